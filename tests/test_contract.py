"""The contract of `tests/contract.py` for every public estimator."""

from contract import Contract

import xclassic

for name in xclassic.ESTIMATORS:
    globals()[f"Test{name}"] = type(f"Test{name}", (Contract,), {"estimator": getattr(xclassic, name)()})
