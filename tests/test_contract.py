"""The contract of `tests/contract.py` for every public estimator."""

from contract import Contract

import xclassic
from xclassic.storage import registry

for name in registry.ESTIMATORS:
    facts = {"estimator": getattr(xclassic, name)(), "fits_at_once": name == "KNN"}
    globals()[f"Test{name}"] = type(f"Test{name}", (Contract,), facts)
