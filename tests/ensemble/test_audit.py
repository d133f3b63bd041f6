"""audit_labels: what it finds of planted errors, and what it says of them."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from tests.helpers.contract import noisy
from xclassic import KNN, DiSMEC, OneVsRestLeastSquares, Parabel, audit_labels
from xclassic.ensemble.audit import usual_probabilities

NAMES = ["bread", "moons", "stars", "tea"]


def clear(n_rows=200, seed=0):
    """Rows that say which of four labels they have."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(0, 4, n_rows)
    X = np.eye(4)[kinds] + 0.05 * rng.standard_normal((n_rows, 4))
    return X.astype(np.float32), kinds


@pytest.mark.parametrize("model", [KNN(), DiSMEC(), Parabel()])
def test_planted_errors_come_first(model):
    X, kinds = clear()
    labels = [[NAMES[kind]] for kind in kinds]
    labels[3], labels[50] = [NAMES[(kinds[3] + 1) % 4]], []
    labels[120] = [*labels[120], NAMES[(kinds[120] + 1) % 4]]
    doubts = audit_labels(model, X, labels, n=2)
    found = [(doubt.kind, doubt.row, doubt.label) for doubt in doubts]
    assert set(found[:2]) == {("missing", 3, NAMES[kinds[3]]), ("missing", 50, NAMES[kinds[50]])}
    assert set(found[2:]) == {("wrong", row, NAMES[(kinds[row] + 1) % 4]) for row in (3, 120)}
    assert all(doubt.probability > 0.5 for doubt in doubts[:2])
    assert all(doubt.probability < 0.1 < doubt.usual for doubt in doubts[2:])


def test_forms_of_labels_are_audited_alike():
    X, kinds = clear()
    kinds[3] = (kinds[3] + 1) % 4
    by_class = audit_labels(KNN(), X, kinds, n=5)
    matrix = csr_array(np.eye(4, dtype=np.float32)[kinds])
    assert audit_labels(KNN(), X, matrix, n=5) == by_class
    assert audit_labels(KNN(n_jobs=2), X, matrix, n=5, n_jobs=2) == by_class
    assert audit_labels(KNN(), X, matrix, n=5, random_state=1) != by_class
    assert by_class[0].row == 3


def test_every_pair_may_be_listed():
    X, Y = noisy()
    doubts = audit_labels(OneVsRestLeastSquares(), X, Y, n=10**6, cv=3)
    wrong = [(doubt.row, doubt.label) for doubt in doubts if doubt.kind == "wrong"]
    assert sorted(wrong) == sorted(zip(*(axis.tolist() for axis in Y.nonzero()), strict=True))
    missing = [doubt for doubt in doubts if doubt.kind == "missing"]
    assert len(missing) + len(wrong) <= Y.shape[0] * Y.shape[1]
    assert [doubt.probability for doubt in missing] == sorted((d.probability for d in missing), reverse=True)


def test_what_is_usual_equals_a_loop():
    rng = np.random.default_rng(0)
    labels, probabilities = rng.integers(0, 9, 60) ** 2 // 8, rng.random(60)
    found = usual_probabilities(labels, probabilities, 10)
    counts = [int((labels == label).sum()) for label in range(10)]
    for label, count in enumerate(counts):
        size = max(count, 1).bit_length()
        alike = [other for other in range(10) if counts[other] and counts[other].bit_length() == size]
        own = probabilities[labels == label].sum()
        like = np.mean(probabilities[np.isin(labels, alike)]) if alike else 0
        assert found[label] == pytest.approx((own + 2 * like) / (count + 2))


@pytest.mark.parametrize(
    ("options", "message"), [({"n": 0}, "n is 0"), ({"cv": 1}, "cv is 1"), ({"cv": "auto"}, "cv is 'auto'")]
)
def test_bad_numbers(options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        audit_labels(KNN(), *noisy(), **options)


def test_a_single_row_is_refused():
    X, Y = noisy()
    with pytest.raises(ValueError, match="single row"):
        audit_labels(KNN(), X[:1], Y[:1])
