"""Rankings by score times the weight of each label, against weighing every score."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

import xclassic
from tests.helpers.contract import assert_same_predictions, noisy, quick
from xclassic import (
    LTLS,
    MACH,
    Blend,
    CompressedSensing,
    DiSMEC,
    LabelAugmentation,
    OneVsRestLeastSquares,
    PDSparse,
    Slice,
    SwiftXML,
    TopK,
    predict_topk,
)
from xclassic.base import ROWS_PER_TASK

X, Y = noisy()
L = Y.shape[1]
RANDOM = np.random.default_rng(0)
WEIGHTS = np.exp(RANDOM.normal(0, 1.5, L)).astype(np.float32)
ROWS = X[:20]


def slow(model, rows, k, weights, log_odds=None):
    """Weigh the scores of all labels, one by one."""
    full = model.predict_topk(rows, L, labels=np.flatnonzero(weights))
    table = np.full((len(full.ids), L), -np.inf, np.float32)
    for row in range(len(full.ids)):
        for label, score in zip(full.ids[row, : full.counts[row]], full.scores[row], strict=False):
            weight = weights[label]
            if log_odds is not None:
                table[row, label] = score + np.float32(np.log(np.float64(weight)) / log_odds)
            else:
                table[row, label] = score * weight if score >= 0 else score / weight
    return TopK.from_dense(table, k)


# How steeply log-odds grow with margins, which gain the logarithm of the weight; None for scores that are multiplied.
METHODS = {
    "squared hinge": (DiSMEC(), 4.0),
    "logistic": (DiSMEC(loss="logistic"), 1.0),
    "least squares": (OneVsRestLeastSquares(), None),
    "compression": (CompressedSensing(n_components=20), None),
    "recovered codes": (CompressedSensing(n_components=20, decoder="omp"), None),
    "shortlist": (Slice(shortlist=10), 8.0),
    "centroids": (Slice(shortlist=10, alpha=0.0), None),
    "order": (PDSparse(max_passes=2), 8.0),
    "trellis": (LTLS(), 1.0),
    "geometric mean": (MACH(aggregate="geometric", n_tables=9), 1.0),
    "unbiased mean": (MACH(aggregate="unbiased", n_tables=9), None),
    "blend": (Blend([("a", DiSMEC()), ("b", OneVsRestLeastSquares())], n_candidates=8), None),
    "augmented": (LabelAugmentation(DiSMEC()), 4.0),
    **{name: (quick(name), None) for name in ("Popularity", "RandomOrder", "KNN", "FastXML", "PfastreXML", "SwiftXML")},
}


@pytest.fixture(scope="module")
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pairs of labels that MACH cannot tell apart.
        return {name: model.set_params(n_jobs=1).fit(X, Y) for name, (model, _) in METHODS.items()}


@pytest.mark.parametrize("name", METHODS)
def test_ranking_is_that_of_weighing_every_score(name, fitted):
    model, log_odds = fitted[name], METHODS[name][1]
    for weights in (WEIGHTS, WEIGHTS**4, np.where(np.arange(L) % 3, WEIGHTS, 0)):
        for k in (1, 5, L):
            assert_same_predictions(
                model.predict_topk(ROWS, k, label_weights=weights), slow(model, ROWS, k, weights, log_odds)
            )


def test_scores_below_zero_gain_from_larger_weights(fitted):
    model = fitted["least squares"]
    full = model.predict_topk(ROWS, L)
    assert full.scores.min() < 0
    plain, heavy = (
        full.to_csr(L).toarray(),
        model.predict_topk(ROWS, L, label_weights=np.full(L, 3)).to_csr(L).toarray(),
    )
    assert (heavy >= plain).all()


@pytest.mark.parametrize("name", ["squared hinge", "KNN", "augmented", "SwiftXML"])
def test_weights_go_with_restrictions(name, fitted):
    model, log_odds = fitted[name], METHODS[name][1]
    labels = np.arange(0, L, 2)
    own = csr_array(RANDOM.random((ROWS.shape[0], L)) < 0.4)
    assert_same_predictions(
        model.predict_topk(ROWS, 4, labels, exclude=[2, 4], label_weights=WEIGHTS),
        slow(model, ROWS, 4, np.where(np.isin(np.arange(L), np.setdiff1d(labels, [2, 4])), WEIGHTS, 0), log_odds),
    )
    by_row = model.predict_topk(ROWS, 4, candidates=own, label_weights=WEIGHTS)
    for row in range(ROWS.shape[0]):
        allowed = np.isin(np.arange(L), own[[row]].indices)
        one = slow(model, ROWS[[row]], 4, np.where(allowed, WEIGHTS, 0), log_odds)
        assert_same_predictions(TopK(*(array[[row]] for array in by_row)), one)


def test_weights_of_one_change_nothing_and_weights_of_zero_exclude(fitted):
    model = fitted["squared hinge"]
    plain = model.predict_topk(ROWS, 5)
    for ones in (np.ones(L), [1] * L, {}, {3: 1}):
        assert_same_predictions(model.predict_topk(ROWS, 5, label_weights=ones), plain)
    without = dict.fromkeys(plain.ids[:, 0].tolist(), 0)
    excluded = model.predict_topk(ROWS, 5, exclude=list(without))
    assert_same_predictions(model.predict_topk(ROWS, 5, label_weights=without), excluded)
    assert not model.predict_topk(ROWS, 5, labels=list(without), label_weights=without).counts.any()


def test_weights_by_name_and_by_pipeline():
    names = [[f"label {label:02d}" for label in row] for row in Y.tolil().rows]
    pipe = make_pipeline(MaxAbsScaler(), DiSMEC()).fit(X, names)
    weights = {"label 03": 50.0, "label 07": 0}
    top = predict_topk(pipe, ROWS, 5, label_weights=weights)
    in_order = [weights.get(label, 1) for label in pipe.classes_]
    assert_same_predictions(top, predict_topk(pipe, ROWS, 5, label_weights=in_order))
    named = [[label for label, _ in row] for row in top.named(pipe.classes_)]
    assert "label 03" in named[0]
    assert not any("label 07" in row for row in named)


def test_unseen_labels_are_weighed_too():
    texts = csr_array(np.eye(4, dtype=np.float32)[np.arange(40) % 4])
    labels = [[f"topic {row % 3}"] for row in range(40)]
    named = (["topic 0", "topic 1", "topic 2", "topic 3"], csr_array(np.eye(4, dtype=np.float32)))
    model = LabelAugmentation(DiSMEC(), threshold=None).fit(texts, labels, label_features=named)
    plain = model.predict_topk(texts[:4], 4, unseen=True)
    heavy = model.predict_topk(texts[:4], 4, unseen=True, label_weights={"topic 3": 2})
    at = np.flatnonzero(model.classes_ == "topic 3")[0]
    expected = plain.to_csr(4).toarray() * np.where(np.arange(4) == at, np.float32(2), np.float32(1))
    np.testing.assert_array_equal(heavy.to_csr(4).toarray(), expected)


@pytest.mark.parametrize("name", ["squared hinge", "KNN", "blend"])
def test_ranking_does_not_depend_on_workers_or_chunks(name, fitted):
    rows = noisy(n_rows=2 * ROWS_PER_TASK + 3)[0]
    model = fitted[name]
    top = model.predict_topk(rows, 5, label_weights=WEIGHTS)
    assert_same_predictions(
        TopK(*(array[:20] for array in top)), model.predict_topk(rows[:20], 5, label_weights=WEIGHTS)
    )
    model.set_params(n_jobs=2)
    assert_same_predictions(model.predict_topk(rows, 5, label_weights=WEIGHTS), top)
    model.set_params(n_jobs=1)


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (np.ones(L - 1), ValueError, rf"label_weights has shape \(36,\); pass one weight for each of the {L} labels"),
        (np.ones((L, 1)), ValueError, r"label_weights has shape \(37, 1\)"),
        (2.0, ValueError, r"label_weights has shape \(\)"),
        (-np.ones(L), ValueError, r"label_weights of label 0 is -1.0; a weight is 0, which leaves the label out"),
        ({3: np.nan}, ValueError, "label_weights of label 3 is nan"),
        ({3: np.inf}, ValueError, "label_weights of label 3 is inf"),
        ({3: 1e-30}, ValueError, "from 1e-09 to 1e"),
        (np.zeros(L), ValueError, "label_weights is zero for all labels"),
        ({99: 2.0}, ValueError, "label_weights names 99, which is no label of the model"),
        ({3: "two"}, TypeError, "label_weights is .*pass numbers"),
        ("weights", TypeError, "pass numbers"),
        ([[1], [1, 2]], ValueError, "label_weights is no array of numbers"),
    ],
)
def test_bad_weights_are_refused(weights, error, message, fitted):
    with pytest.raises(error, match=message):
        fitted["squared hinge"].predict_topk(ROWS, label_weights=weights)


def test_weights_shift_predictions_to_heavy_labels():
    """What weights are for: one over the propensity raises the gain of rare labels."""
    data = xclassic.datasets.load_bibtex()
    model = OneVsRestLeastSquares(propensity_power=0.0).fit(data.X, data.Y)
    p = xclassic.metrics.propensity(data.Y.sum(axis=0), data.Y.shape[0])
    psp = [
        xclassic.metrics.psp_at_k(data.Y_test, model.predict_topk(data.X_test, 5, label_weights=weights), 5, p)
        for weights in (None, 1 / p)
    ]
    assert psp[1] > psp[0] + 0.005


def test_revealed_labels_stay_out(fitted):
    assert isinstance(fitted["SwiftXML"], SwiftXML)
    known = csr_array(Y[:20])
    top = fitted["SwiftXML"].predict_topk(ROWS, 5, revealed=known, label_weights=WEIGHTS)
    assert top.to_csr(L).multiply(known).nnz == 0
    assert_same_predictions(predict_topk(fitted["SwiftXML"], ROWS, 5, revealed=known, label_weights=WEIGHTS), top)
