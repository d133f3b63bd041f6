"""Every parameter of every class is fed the same list of values: it takes them, or says by its name what is wrong."""

import warnings
from contextlib import contextmanager
from numbers import Number

import numpy as np
import pytest

from tests.helpers.centroid import Centroid
from tests.helpers.contract import ESTIMATORS
from xclassic import Blend, Calibrated, DiSMEC, OneVsRestLeastSquares, ThresholdedClassifier, load, save
from xclassic.features import FourierFeatures
from xclassic.storage import registry

VALUES = [
    10**400, -(10**400), 2**31, 2**32, 2**63, -(2**31) - 1, -1, 0, 1, True, False, None, float("nan"),
    float("inf"), -float("inf"), 1e-300, 1e300, 0.5, 1j, "", "no such", b"x", [], [object()], (), (1,), {}, {1},
    object(), int, print, np.int64(3), np.float32(0.5), np.bool_(True), np.str_("no such"), np.datetime64("NaT"),
    np.array(3), np.array([1.0, 2.0]), np.array(["a"]),
]  # fmt: skip
ENORMOUS = 1e6  # Numbers beyond it are only checked: what they make of the weights is another matter, or takes long.
MADE_FOR = {"n_components": 2, "n_trees": 2, "n_learners": 2, "epochs": 0}
NOT_FITTED = ("verbose", "text", "vectors")  # They print, name columns of X, or a file.

X = np.random.default_rng(0).random((12, 5)).astype(np.float32)
TEXTS = ["green tea", "desk lamp", "red tea"] * 4
LABELS = [["a"], ["b"], ["a", "c"]] * 4


def made(name):
    cls = registry.find_class(name)
    if name == "Blend":
        return Blend([("one", Centroid()), ("other", OneVsRestLeastSquares())])
    if name == "Calibrated":
        return Calibrated(Centroid())
    if name == "ThresholdedClassifier":
        return ThresholdedClassifier(Centroid(), cv=2)
    known = cls().get_params(deep=False)
    return cls().set_params(**{key: value for key, value in MADE_FOR.items() if key in known})


@contextmanager
def taken_or_named(parameter, value):
    """Fail on any error but one that names the parameter."""
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    except (TypeError, ValueError, ImportError) as error:  # The last where a value needs an extra.
        if parameter not in str(error):
            raise AssertionError(f"{parameter} = {value!r}: {error}") from error


def is_tried(name, value):
    return name not in NOT_FITTED and not (isinstance(value, Number) and abs(value) > ENORMOUS)


@pytest.mark.parametrize(
    "name",
    [
        *ESTIMATORS,
        "Blend",
        "Calibrated",
        "ThresholdedClassifier",
        "TextFeatures",
        "WordVectors",
        "FourierFeatures",
        "Autoencoder",
        "FeatureAgglomeration",
    ],
)
def test_parameters_take_a_value_or_name_themselves(name):
    data = TEXTS if name in ("TextFeatures", "WordVectors") else X
    for parameter in made(name).get_params(deep=False):
        for value in VALUES:
            model = made(name).set_params(**{parameter: value})
            with taken_or_named(parameter, value):
                model._check_parameters()
                if is_tried(parameter, value):
                    model.fit(data, LABELS)


@pytest.mark.parametrize("name", ["T5Classifier", "XMLCNN", "BertEncoder"])
def test_parameters_of_networks_take_a_value_or_name_themselves(name):
    pytest.importorskip("transformers")
    cls = registry.find_class(name)
    for parameter in cls().get_params(deep=False):
        for value in VALUES:
            with taken_or_named(parameter, value):
                cls(**{parameter: value})._check_parameters()


@pytest.mark.parametrize("value", [1, 0, "yes", None, np.array([True])])
def test_booleans_are_true_or_false(value):
    for name in ESTIMATORS:
        if "normalize" in made(name).get_params(deep=False):
            with pytest.raises(ValueError, match=r"^normalize is .*; it must be one of True, False"):
                made(name).set_params(normalize=value).fit(X, LABELS)


@pytest.mark.parametrize("value", ["x", -1, 2**32, 0.5, True, []])
def test_random_states_are_seeds(value):
    with pytest.raises((TypeError, ValueError), match=r"^random_state is "):
        DiSMEC(random_state=value).fit(X, LABELS)


@pytest.mark.parametrize("value", [5, "x", (1,), ("a", "b"), (1.0, 0.0), [0.5, 1.5, 2.5]])
def test_propensities_are_presets_or_two_numbers(value):
    for name in ("DiSMEC", "OneVsRestLeastSquares", "XReg", "PfastreXML"):
        with pytest.raises((TypeError, ValueError), match="propensity is "):
            made(name).set_params(propensity=value).fit(X, LABELS)
        made(name).set_params(propensity=[0.5, 1.5]).fit(X, LABELS)


@pytest.mark.parametrize("n_components", [np.int64(50), np.int32(50), np.uint8(50)])
def test_scalars_of_numpy_make_the_model_that_numbers_of_python_make(n_components, tmp_path):
    encoder = FourierFeatures(n_components, gamma=np.float32(0.5)).fit(X)
    assert {type(value) for value in encoder.get_params().values()} == {int, float}
    save(encoder, tmp_path / "model")
    expected = FourierFeatures(50, gamma=0.5).fit(X).transform(X)
    for other in (encoder, load(tmp_path / "model")):
        np.testing.assert_array_equal(other.transform(X), expected)
