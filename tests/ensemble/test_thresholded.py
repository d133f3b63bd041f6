"""ThresholdedClassifier: the contract, scikit-learn's checks, what predict answers, and what scikit-learn would."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import TunedThresholdClassifierCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import xclassic
from tests.helpers.centroid import Centroid, ProbabilisticCentroid
from tests.helpers.contract import EXPECTED_FAILURES, WEIGHED, Contract, assert_same_predictions, noisy
from tests.helpers.folders import edit_header, replace_array
from xclassic import DiSMEC, ModelFileError, ThresholdedClassifier, datasets, metrics
from xclassic.features import TextFeatures


class TestContract(Contract):
    estimator = ThresholdedClassifier(DiSMEC(), cv=2)


@parametrize_with_checks(
    [ThresholdedClassifier(DiSMEC(), cv=2)], expected_failed_checks=lambda estimator: EXPECTED_FAILURES | WEIGHED
)
def test_thresholded_passes_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def bibtex():
    data = datasets.load_bibtex()
    return data.X[:1000], csr_array(data.Y[:1000]), data.X_test, data.Y_test


def test_rankings_are_those_of_the_estimator(bibtex):
    X, Y, X_test, _ = bibtex
    model = ThresholdedClassifier(DiSMEC(), cv=2).fit(X, Y)
    plain = DiSMEC().fit(X, Y)
    assert_same_predictions(model.predict_topk(X_test[:50], 7), plain.predict_topk(X_test[:50], 7))
    top = plain.predict_topk(X_test, 100)
    np.testing.assert_array_equal(
        model.predict(X_test).toarray() > 0, model.thresholds_.sets(top).to_csr(Y.shape[1]).toarray() != 0
    )
    for options in ({"threshold": 0.0}, {"k_predict": 3}, {"threshold": -0.5, "k_predict": 2}):
        np.testing.assert_array_equal(
            model.predict(X_test, **options).toarray(), plain.predict(X_test, **options).toarray()
        )


@pytest.mark.parametrize("average", ["micro", "macro"])
def test_sets_are_better_than_the_usual_ones_on_bibtex(bibtex, average):
    X, Y, X_test, Y_test = bibtex
    usual = DiSMEC().fit(X, Y).predict(X_test)
    found = ThresholdedClassifier(DiSMEC(), aim=f"{average}_f1", cv=2).fit(X, Y).predict(X_test)
    assert metrics.f1(Y_test, found, average=average) > metrics.f1(Y_test, usual, average=average) + 0.02


def test_thresholds_of_labels_are_as_good_as_those_of_scikit_learn():
    """Three labels of dense rows, and a fit of TunedThresholdClassifierCV for each."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(900, 10)).astype(np.float32)
    logits = X @ rng.normal(size=(10, 3)) - np.linspace(0.5, 4, 3) + rng.logistic(size=(900, 3))
    Y = (logits > 0).astype(np.float32)
    train, test = slice(0, 600), slice(600, 900)
    learner = DiSMEC(normalize=False)
    model = ThresholdedClassifier(learner, aim="macro_f1", strategy="label", cv=3).fit(X[train], Y[train])
    tuned = [
        TunedThresholdClassifierCV(learner, scoring="f1", cv=3).fit(X[train], Y[train, i]).predict(X[test])
        for i in range(3)
    ]
    theirs = metrics.f1(Y[test], np.stack(tuned, axis=1), average="macro")
    assert metrics.f1(Y[test], model.predict(X[test]), average="macro") > theirs - 0.01


def test_texts_and_names_and_weights(tmp_path):
    texts = ["stars and planets", "bread and butter", "planets and moons", "butter and jam", "moons", "bread"] * 6
    labels = [["astronomy"], ["food"], ["astronomy", "space"], ["food"], ["astronomy", "space"], ["food"]] * 6
    model = ThresholdedClassifier(make_pipeline(TextFeatures(), DiSMEC()), cv=3)
    model.fit(texts, labels, sample_weight=np.linspace(0.5, 2, 36))
    model.save(tmp_path / "model")
    copy = xclassic.load(tmp_path / "model", verify="full")
    found = copy.predict(["a moon and bread", "planets"])
    np.testing.assert_array_equal(found.toarray(), model.predict(["a moon and bread", "planets"]).toarray())
    assert found.sum(axis=1).min() >= 1
    again = clone(copy).fit(texts, labels, sample_weight=np.linspace(0.5, 2, 36))
    np.testing.assert_array_equal(again.thresholds_.values, model.thresholds_.values)
    with pytest.raises(TypeError, match="sample_weight"):
        ThresholdedClassifier(xclassic.PLST(), cv=2).fit(*noisy(), sample_weight=np.ones(150))


@pytest.mark.parametrize("estimator", [Centroid(), ProbabilisticCentroid()])
def test_single_row_has_the_usual_sets(estimator):
    X, _ = noisy()
    row, truth = X[:1], csr_array(np.eye(1, 37, 3, dtype=np.float32))
    model, plain = ThresholdedClassifier(estimator).fit(row, truth), clone(estimator).fit(row, truth)
    np.testing.assert_array_equal(model.predict(X).toarray(), plain.predict(X).toarray())


def test_labels_that_are_all_seen_once_have_the_usual_sets():
    X, _ = noisy()
    once = csr_array(np.eye(150, dtype=np.float32))
    model, plain = ThresholdedClassifier(DiSMEC(), cv=2).fit(X, once), DiSMEC().fit(X, once)
    np.testing.assert_array_equal(model.predict(X).toarray(), plain.predict(X).toarray())


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"estimator": LogisticRegression()}, TypeError, "is a LogisticRegression"),
        ({"estimator": DiSMEC(C=-1)}, ValueError, "C is -1"),
        ({"aim": "best"}, ValueError, "aim is 'best'"),
        ({"aim": ("precision", 2)}, ValueError, "the recall of aim is 2"),
        ({"strategy": "all"}, ValueError, "strategy is 'all'"),
        ({"cv": 1}, ValueError, "cv is 1"),
    ],
)
def test_thresholded_rejects_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        ThresholdedClassifier(**{"estimator": DiSMEC(), **params}).fit(*noisy())


@pytest.mark.parametrize("verify", ["lazy", "full"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: replace_array(folder, "values", np.array([0.5])),
        lambda folder: replace_array(folder, "values", np.full(37, np.nan)),
        lambda folder: replace_array(folder, "coefficients", np.ones(4)),
        lambda folder: replace_array(folder, "counts", np.ones(37)),
        lambda folder: edit_header(folder, lambda header: header["facts"].update(strategy="two")),
        lambda folder: edit_header(folder, lambda header: header["facts"].update(depth=0)),
        lambda folder: edit_header(folder, lambda header: header["facts"]["members"].clear()),
    ],
)
def test_thresholded_rejects_damaged_models(damage, verify, tmp_path):
    ThresholdedClassifier(DiSMEC(), aim=("precision", 0.5), strategy="label", cv=2).fit(*noisy()).save(tmp_path / "m")
    assert xclassic.load(tmp_path / "m").aim == ("precision", 0.5)
    damage(tmp_path / "m")
    with pytest.raises(ModelFileError):
        xclassic.load(tmp_path / "m", verify=verify)
