"""The stratified split: against its plain twin, its guarantees, and against a random split."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.sparse import csr_array, csr_matrix, random_array

from tests.helpers.naive import datasets as naive
from xclassic._kernels.stratify import stratify
from xclassic.datasets import load_bibtex, reveal_labels, stratified_split

LABEL_MATRICES = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=12))


def pattern(matrix):
    return matrix.indices.astype(np.int32), matrix.indptr.astype(np.int64)


def split_quietly(Y, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return stratified_split(Y, **options)


@settings(max_examples=300)
@given(LABEL_MATRICES, st.data())
def test_kernel_equals_the_twin(Y, data):
    n_rows = Y.shape[0]
    n_test = data.draw(st.integers(1, n_rows - 1))
    coins = data.draw(arrays(np.uint8, n_rows, elements=st.integers(0, 1)))
    matrix = csr_array(Y.astype(np.float32))
    (labels, label_ptr), (rows, row_ptr) = pattern(matrix), pattern(matrix.tocsc())
    found = stratify(labels=labels, label_ptr=label_ptr, rows=rows, row_ptr=row_ptr, coins=coins, n_test=n_test)
    assert found.tolist() == naive.stratify(Y, coins, n_test).tolist()


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
