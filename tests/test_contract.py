"""The contract of `tests/helpers/contract.py` for every public estimator, and what of it holds for transformers."""

import pytest

import xclassic
from tests.helpers.contract import Contract, assert_writes_nothing, noisy
from xclassic import features
from xclassic.storage import registry

for name in registry.ESTIMATORS:
    facts = {"estimator": getattr(xclassic, name)(), "fits_at_once": name == "KNN"}
    globals()[f"Test{name}"] = type(f"Test{name}", (Contract,), facts)


# tests/test_bert.py does the same for BertEncoder, since it has a model.
@pytest.mark.parametrize("name", sorted({*registry.TRANSFORMERS} - {"BertEncoder"}))
def test_transforming_writes_no_attribute(name):
    X, params = (["red shorts", "blue jeans"], {}) if name == "TextFeatures" else (noisy()[0], {"n_components": 8})
    assert_writes_nothing(getattr(features, name)(**params).fit(X), "transform", X)
