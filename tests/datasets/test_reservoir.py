"""The sample of rows that a model is told again when it learns from further ones."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from tests.helpers.contract import noisy
from xclassic import DiSMEC
from xclassic.datasets import Reservoir

X, Y = noisy(400)
LISTS = [[f"label {label}" for label in Y.indices[a:b]] for a, b in zip(Y.indptr[:-1], Y.indptr[1:], strict=True)]


def test_each_label_keeps_some_rows_or_all():
    reservoir = Reservoir(per_label=5).add(X, Y)
    counts, kept = Y.sum(axis=0), reservoir.y.sum(axis=0)
    assert (kept >= np.minimum(counts, 5)).all()
    assert 37 < reservoir.X.shape[0] == reservoir.y.shape[0] < 37 * 5
    assert np.diff(reservoir.y.indptr).min() > 0
    rows = {row.tobytes() for row in np.hstack([X.toarray(), Y.toarray()])}
    assert {row.tobytes() for row in np.hstack([reservoir.X.toarray(), reservoir.y.toarray()])} <= rows


@pytest.mark.parametrize("as_lists", [False, True])
def test_the_sample_does_not_depend_on_the_batches(as_lists):
    y = LISTS if as_lists else Y
    whole = Reservoir(5).add(X, y)
    parts = Reservoir(5)
    for start, end in [(0, 1), (1, 130), (130, 131), (131, 400)]:
        parts.add(X[start:end], y[start:end])
    assert parts.n_seen == whole.n_seen == 400
    np.testing.assert_array_equal(parts.X.toarray(), whole.X.toarray())
    if as_lists:
        assert [set(row) for row in parts.y] == [set(row) for row in whole.y]
    else:
        np.testing.assert_array_equal(parts.y.toarray(), whole.y.toarray())


def test_seeds_draw_other_rows():
    one, same, other = (Reservoir(3, random_state=seed).add(X, Y).X.toarray() for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert one.shape != other.shape or not np.array_equal(one, other)


def test_matrices_may_become_wider():
    reservoir = Reservoir(5).add(X[:200], Y[:200, :30]).add(X[200:], Y[200:])
    assert reservoir.y.shape[1] == 37
    assert reservoir.y[:, 30:].nnz > 0


def test_dense_rows_and_vectors_are_taken():
    y = np.array(["a", "b"])[np.arange(400) % 2]
    reservoir = Reservoir(7).add(X.toarray()[:300], y[:300]).add(X.toarray()[300:], y[300:])
    assert isinstance(reservoir.X, np.ndarray)
    assert sorted(map(tuple, reservoir.y)) == 7 * [("a",)] + 7 * [("b",)]


def test_a_model_learns_with_it():
    clf, reservoir = DiSMEC().fit(X[:300], LISTS[:300]), Reservoir(4).add(X[:300], LISTS[:300])
    clf.partial_fit(X[300:], [[*row, "late"] for row in LISTS[300:]], X_known=reservoir.X, y_known=reservoir.y)
    assert "late" in clf.classes_


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Reservoir(0), ValueError, "per_label"),
        (lambda: Reservoir(1.5), TypeError, "per_label"),
        (lambda: Reservoir(random_state=-1), ValueError, "random_state"),
        (lambda: Reservoir().add(X, Y[:9]), ValueError, "400 rows"),
        (lambda: Reservoir().add(X, Y).add(X[:, :9], Y), ValueError, "9"),
        (lambda: Reservoir().add(X, Y).add(X, LISTS), ValueError, "a matrix before and is lists now"),
        (lambda: Reservoir().add(X, LISTS).add(X, Y), ValueError, "lists before and is a matrix now"),
        (lambda: Reservoir().add(X, Y).add(X, Y[:, :9]), ValueError, "9 columns, but 37 before"),
        (lambda: Reservoir().add(X, LISTS).add(X, [[5]] * 400), ValueError, "such as 5"),
        (lambda: Reservoir().add(X * np.nan, Y), ValueError, "NaN"),
    ],
)
def test_what_is_no_row_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_refused_batch_leaves_the_sample_as_it_was():
    reservoir = Reservoir(5).add(X[:100], Y[:100])
    before = reservoir.X.toarray()
    with pytest.raises(ValueError, match="columns"):
        reservoir.add(X, csr_array(Y[:, :3]))
    assert reservoir.n_seen == 100
    np.testing.assert_array_equal(reservoir.X.toarray(), before)
