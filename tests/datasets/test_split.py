"""The stratified split and folds: against their plain twin, their guarantees, and against a random split."""

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.sparse import csr_array, csr_matrix, random_array
from sklearn.model_selection import GridSearchCV, cross_val_score

from tests.helpers.naive import datasets as naive
from xclassic import KNN, metrics
from xclassic._kernels.stratify import stratify
from xclassic.datasets import load_bibtex, reveal_labels, stratified_kfold, stratified_split

LABEL_MATRICES = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12))


def pattern(matrix):
    return matrix.indices.astype(np.int32), matrix.indptr.astype(np.int64)


def split_quietly(Y, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return stratified_split(Y, **options)


@st.composite
def sides(draw, n_rows):
    """Return shares and rooms: of train and test, or of folds behind a side that only takes what they refuse."""
    if draw(st.booleans()):
        n_test = draw(st.integers(1, n_rows - 1))
        return [1 - n_test / n_rows, n_test / n_rows], [n_rows - n_test, n_test]
    n_splits = draw(st.integers(2, 5))
    return [0.0, *[1 / n_splits] * n_splits], [0, *[n_rows] * n_splits]


@settings(max_examples=300)
@given(LABEL_MATRICES, st.data())
def test_kernel_equals_the_twin(Y, data):
    n_rows = Y.shape[0]
    shares, room = data.draw(sides(n_rows))
    most = sum(share > 0 for share in shares) - 1
    coins = data.draw(arrays(np.int32, n_rows, elements=st.integers(0, most)))
    matrix = csr_array(Y.astype(np.float32))
    (labels, label_ptr), (rows, row_ptr) = pattern(matrix), pattern(matrix.tocsc())
    counts = np.zeros((Y.shape[1], len(shares)), np.int32)
    found = stratify(
        labels=labels, label_ptr=label_ptr, rows=rows, row_ptr=row_ptr, coins=coins, shares=np.array(shares),
        room=np.array(room), counts=counts,
    )  # fmt: skip
    assert found.tolist() == naive.stratify(Y, coins, shares, room)
    assert counts.T.tolist() == [Y[found == side].sum(axis=0).tolist() for side in range(len(shares))]


@settings(max_examples=300)
@given(LABEL_MATRICES, st.data(), st.integers(0, 100))
def test_split_guarantees(Y, data, seed):
    n_rows = Y.shape[0]
    n_test = data.draw(st.integers(1, n_rows - 1))
    train, test = split_quietly(csr_array(Y.astype(np.float32)), test_size=n_test, random_state=seed)
    assert sorted([*train, *test]) == list(range(n_rows))
    assert np.all(np.diff(train) > 0)
    assert np.all(np.diff(test) > 0)
    assert np.array_equal(Y[train].any(axis=0), Y.any(axis=0))
    assert len(test) <= n_test
    if len(test) < n_test:  # then train can spare no row
        needed = Y[train].sum(axis=0) == 1
        assert Y[train][:, needed].any(axis=1).all()


def test_split_reports_too_many_needed_rows():
    Y = csr_array(np.eye(10, dtype=np.float32))
    with pytest.warns(UserWarning, match="test has 0 rows, not the 3 asked for"):
        train, test = stratified_split(Y, test_size=3, random_state=0)
    assert train.tolist() == list(range(10))
    assert test.size == 0


@pytest.mark.parametrize("test_size", [0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("seed", range(3))
def test_split_spreads_labels_better_than_at_random(test_size, seed):
    Y = load_bibtex().Y
    _, test = stratified_split(Y, test_size=test_size, random_state=seed)
    assert len(test) == np.ceil(test_size * Y.shape[0])
    shuffled = np.random.default_rng(seed).permutation(Y.shape[0])
    totals = np.asarray(Y.sum(axis=0))

    def spread(rows):
        return np.abs(np.asarray(Y[rows].sum(axis=0)) / totals - test_size).mean()

    assert spread(test) < spread(shuffled[: len(test)]) / 3


def test_split_keeps_rare_labels_in_train():
    rng = np.random.default_rng(0)
    labels = rng.zipf(1.5, size=(3000, 3)).clip(max=5000) - 1
    rows = np.repeat(np.arange(3000), 3)
    Y = csr_array((np.ones(9000, np.float32), (rows, labels.ravel())), shape=(3000, 5000))
    Y.data[:] = 1
    train, test = stratified_split(Y, random_state=0)
    assert len(test) == 600
    assert np.array_equal(np.unique(Y[train].indices), np.unique(Y.indices))
    assert len(np.setdiff1d(Y.indices, Y[rng.permutation(3000)[600:]].indices)) > 50  # what chance would lose


def test_split_seed_decides():
    Y = load_bibtex().Y
    first, again, other = (stratified_split(Y, random_state=seed)[1] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    generator = np.random.RandomState(1)
    assert np.array_equal(first, stratified_split(Y, random_state=generator)[1])


def test_split_sizes():
    Y = csr_array(np.ones((10, 1), np.float32))
    assert [len(stratified_split(Y, test_size=size)[1]) for size in (0.2, 0.21, 0.01, 0.9, 1, 9)] == [2, 3, 1, 9, 1, 9]
    for size in (0, 10, 1.0, 0.0, -0.5, 0.95, 11):
        with pytest.raises(
            ValueError, match=r"test_size=.* would put .* of 10 rows into test; pass a share in \(0, 1\)"
        ):
            stratified_split(Y, test_size=size)


def test_split_containers_agree_and_are_left_alone():
    Y = csr_array(random_array((40, 6), density=0.3, format="csr", rng=0) > 0, dtype=np.float32)
    expected = stratified_split(Y, random_state=0)
    lists = [Y.indices[a:b].tolist() for a, b in zip(Y.indptr[:-1], Y.indptr[1:], strict=True)]
    frozen = csr_matrix(Y, copy=True)
    for array in (frozen.data, frozen.indices, frozen.indptr):
        array.flags.writeable = False
    wide = csr_array((Y.data, Y.indices.astype(np.int64), Y.indptr.astype(np.int64)), shape=Y.shape)
    for container in (Y.toarray(), Y.tocsc(), frozen, wide, lists, Y.toarray().astype(int)):
        assert all(map(np.array_equal, stratified_split(container, random_state=0), expected))


def test_split_of_a_class_vector():
    y = np.array(["a"] * 50 + ["b"] * 10 + ["c"])
    train, test = stratified_split(y, test_size=0.2, random_state=0)
    assert [(y[test] == name).sum() for name in "abc"] == [11, 2, 0]
    assert len(train) == 48


def test_split_spreads_rows_without_labels():
    Y = csr_array(np.repeat(np.eye(3, dtype=np.float32), [40, 40, 40], axis=0)[:, :2])
    _, test = stratified_split(Y, test_size=30, random_state=0)
    assert [((test >= a) & (test < a + 40)).sum() for a in (0, 40, 80)] == [10, 10, 10]


def test_split_rejects_fractional_labels():
    with pytest.raises(ValueError, match="only 0 and 1"):
        stratified_split(csr_array(np.array([[0.5], [1.0]])))


def random_folds(n_rows, n_splits, seed):
    return np.array_split(np.random.default_rng(seed).permutation(n_rows), n_splits)


@settings(max_examples=300)
@given(LABEL_MATRICES, st.integers(2, 5), st.integers(0, 100))
def test_folds_are_disjoint_and_keep_every_label_in_every_train(Y, n_splits, seed):
    try:
        folds = stratified_kfold(csr_array(Y.astype(np.float32)), n_splits, random_state=seed)
    except ValueError as error:
        assume("rows; pass" not in str(error))
        assert "folds would have no row to test" in str(error)  # noqa: PT017
        return
    tested = np.concatenate([test for _, test in folds])
    assert len(np.unique(tested)) == len(tested)
    for train, test in folds:
        assert train.dtype == test.dtype == np.int64
        assert np.all(np.diff(train) > 0)
        assert np.all(np.diff(test) > 0)
        assert sorted([*train, *test]) == list(range(Y.shape[0]))
        assert np.array_equal(Y[train].any(axis=0), Y.any(axis=0))
    alone = Y[:, Y.sum(axis=0) == 1].any(axis=1)
    assert not np.isin(np.flatnonzero(alone), tested).any()


@pytest.mark.parametrize("n_splits", [2, 3, 10])
def test_folds_are_even_and_spread_labels_better_than_at_random(n_splits):
    Y = load_bibtex().Y
    tests = [test for _, test in stratified_kfold(Y, n_splits, random_state=0)]
    sizes = [len(test) for test in tests]
    assert sum(sizes) == Y.shape[0]
    assert max(sizes) - min(sizes) <= 1
    totals = Y.sum(axis=0)

    def spread(tests):
        return np.mean([np.abs(Y[test].sum(axis=0) / totals - 1 / n_splits).mean() for test in tests])

    assert spread(tests) < spread(random_folds(Y.shape[0], n_splits, 0)) / 3


def test_folds_leave_out_of_test_no_more_rows_than_labels_need():
    pairs, single = [[f"pair {i // 2}"] for i in range(40)], [["single", "often"]]
    folds = stratified_kfold([*pairs, *single, *[["often"], []] * 10], 4, random_state=0)
    assert sorted(np.concatenate([test for _, test in folds])) == [i for i in range(61) if i != 40]
    copies = [["a", "b"], ["a", "b"]]  # One fold could hold each; b must not follow a into the same one.
    assert [test.size for _, test in stratified_kfold(copies, 2, random_state=0)] == [1, 1]


def test_folds_are_the_same_for_the_same_seed_and_every_container():
    Y = csr_array(random_array((60, 6), density=0.3, format="csr", rng=0) > 0, dtype=np.float32)
    lists = [Y.indices[a:b].tolist() for a, b in zip(Y.indptr[:-1], Y.indptr[1:], strict=True)]
    expected = [test.tolist() for _, test in stratified_kfold(Y, random_state=1)]
    for container in (Y, Y.toarray(), Y.tocsc(), lists):
        assert [test.tolist() for _, test in stratified_kfold(container, random_state=1)] == expected
    assert [test.tolist() for _, test in stratified_kfold(Y, random_state=2)] != expected
    assert len(expected) == 5


def test_folds_serve_the_searches_of_scikit_learn():
    data = load_bibtex()
    X, Y = data.X[:300], data.Y[:300]
    folds = stratified_kfold(Y, 3, random_state=0)
    search = GridSearchCV(KNN(), {"n_neighbors": [1, 20]}, cv=folds, scoring=metrics.precision_at_1).fit(X, Y)
    by_hand = [
        metrics.precision_at_k(Y[test], KNN(n_neighbors=20).fit(X[train], Y[train]).predict_topk(X[test], 1), 1)
        for train, test in folds
    ]
    assert search.cv_results_["mean_test_score"][1] == pytest.approx(np.mean(by_hand))
    assert cross_val_score(KNN(n_neighbors=20), X, Y.toarray(), cv=folds) == pytest.approx(by_hand)


@pytest.mark.parametrize("n_splits", [1, 0, -3, 2.5, "5", True])
def test_folds_refuse_what_is_no_number_of_folds(n_splits):
    with pytest.raises((TypeError, ValueError), match="n_splits is"):
        stratified_kfold(np.ones((9, 1)), n_splits)


def test_folds_say_why_there_are_too_few_rows():
    with pytest.raises(ValueError, match="n_splits=4 is more than the 3 rows; pass a number from 2 to 3"):
        stratified_kfold([["a"], ["a"], ["a"]], 4)
    with pytest.raises(ValueError, match="2 of 2 folds would have no row to test: 3 of 3 rows are each the only one"):
        stratified_kfold(["a", "b", "c"], 2)
    with pytest.raises(ValueError, match="2 of 4 folds would have no row to test: 3 of 5 rows"):
        stratified_kfold(["a", "b", "c", "d", "d"], 4)


@given(LABEL_MATRICES, st.one_of(st.none(), st.floats(0, 1)), st.integers(0, 99))
def test_reveal_labels_parts_the_labels_and_leaves_one_to_predict(Y, share, seed):
    revealed, rest = reveal_labels(Y, share, random_state=seed)
    assert (revealed + rest).toarray().tolist() == Y.astype(float).tolist()
    assert revealed.multiply(rest).nnz == 0
    np.testing.assert_array_equal(np.diff(rest.indptr) > 0, Y.any(axis=1))
    again, _ = reveal_labels(csr_array(Y.astype(np.float32)), share, random_state=seed)
    assert (again != revealed).nnz == 0


def test_reveal_labels_draws_the_share_asked_for_and_any_label():
    Y = np.ones((4000, 5))
    for share, expected in ((0, 0), (0.2, 1), (0.3, 1.5), (1, 4)):
        revealed, _ = reveal_labels(Y, share, random_state=0)
        assert revealed.nnz / 4000 == pytest.approx(expected, abs=0.05)
        assert revealed.sum(axis=0) / 4000 == pytest.approx(np.full(5, expected / 5), abs=0.03)
    counts = np.diff(reveal_labels(Y, random_state=0)[0].indptr)  # Every number but all is equally likely.
    assert np.bincount(counts) / 4000 == pytest.approx(np.full(5, 0.2), abs=0.03)


@pytest.mark.parametrize("share", [-0.1, 1.1, "all", np.nan])
def test_reveal_labels_refuses_what_is_no_share(share):
    with pytest.raises((TypeError, ValueError), match="share is"):
        reveal_labels(np.ones((2, 2)), share)
