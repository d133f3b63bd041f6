"""The contract of `tests/contract.py` for every public estimator."""

from contract import Contract

import xclassic

for name in xclassic.ESTIMATORS:
    facts = {"estimator": getattr(xclassic, name)(), "fits_at_once": name == "KNN"}
    globals()[f"Test{name}"] = type(f"Test{name}", (Contract,), facts)
