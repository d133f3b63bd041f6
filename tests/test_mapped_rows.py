"""Fits that read rows from a map: the same models, bit for bit, as fits on the matrix in memory."""

import re

import numpy as np
import pytest
from joblib import parallel_config
from scipy.sparse import csr_array, random_array
from sklearn.base import clone

from xclassic import PLT, DiSMEC, HierarchicalXC, Parabel, XReg, XRLinear
from xclassic.rows import ScaledRows, row_lengths, rows_in_range, unit_rows
from xclassic.validation import pieces
from xclassic.validation.features import check_rows
from xclassic.validation.pieces import is_mapped, pieces_of, row_pieces

SMALL = {"max_leaf": 20, "branching": 4}
METHODS = [
    DiSMEC(max_passes=5),
    DiSMEC(loss="logistic", max_passes=5),
    XRLinear(**SMALL),
    XRLinear(**SMALL, loss="logistic", n_jobs=2),
    XRLinear(**SMALL, loss="least_squares"),
    XRLinear(**SMALL, matcher_negatives=True),
    Parabel(1, max_leaf=20),
    PLT(1, max_leaf=20),
    XReg(1, max_leaf=20),
    HierarchicalXC(),
]


def problem(extreme):
    """Return rows with more entries than a node copies, and labels that depend on them."""
    rng = np.random.default_rng(0)
    X = csr_array(random_array((600, 200), density=0.15, rng=rng, dtype=np.float32))
    best = np.argsort(-(X @ rng.normal(size=(200, 60))), axis=1)[:, :2]
    Y = csr_array((np.ones(1200, np.float32), best.ravel(), np.arange(0, 1201, 2)), shape=(600, 60))
    if extreme:
        scales = np.repeat(10.0 ** rng.integers(-30, 30, 600), np.diff(X.indptr))
        X = csr_array(((X.data * scales).astype(np.float32), X.indices, X.indptr), shape=X.shape)
    X.sort_indices()
    Y.sort_indices()
    return X, Y


def mapped(X, folder):
    arrays = []
    for name in ("data", "indices", "indptr"):
        np.save(folder / f"{name}.npy", getattr(X, name))
        arrays.append(np.load(folder / f"{name}.npy", mmap_mode="r"))
    return csr_array(tuple(arrays), shape=X.shape)


def arrays_of(estimator):
    return {name: array.copy() for name, array in estimator._get_arrays()[0].items()}


@pytest.mark.parametrize("extreme", [False, True])
@pytest.mark.parametrize("method", METHODS, ids=repr)
def test_a_map_gives_the_same_model_bit_for_bit(method, extreme, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 5000)
    X, Y = problem(extreme)
    in_memory = arrays_of(clone(method).fit(X, Y))
    from_map = arrays_of(clone(method).fit(mapped(X, tmp_path), Y))
    assert in_memory.keys() == from_map.keys()
    for name, array in in_memory.items():
        np.testing.assert_array_equal(array, from_map[name], err_msg=name)


@pytest.mark.parametrize("method", [DiSMEC(normalize=False, max_passes=5), XRLinear(**SMALL, normalize=False)])
def test_a_map_gives_the_same_model_without_normalization(method, tmp_path):
    X, Y = problem(False)
    in_memory = arrays_of(clone(method).fit(X, Y))
    for name, array in arrays_of(clone(method).fit(mapped(X, tmp_path), Y)).items():
        np.testing.assert_array_equal(array, in_memory[name])


def test_rows_of_a_map_learn_further_labels(tmp_path):
    X, Y = problem(False)
    known, new = csr_array(Y[:, :50]), csr_array(Y[:, 50:])
    for method in (DiSMEC(max_passes=5), XRLinear(**SMALL)):
        in_memory = clone(method).fit(X, known).add_labels(X, new, Y=known)
        from_map = clone(method).fit(X, known).add_labels(mapped(X, tmp_path), new, Y=known)
        for name, array in arrays_of(in_memory).items():
            np.testing.assert_array_equal(array, arrays_of(from_map)[name])


@pytest.mark.parametrize("extreme", [False, True])
def test_scaled_rows_are_unit_rows(extreme, tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 700)
    X, _ = problem(extreme)
    X = csr_array(X[:, :])
    X.data[X.indptr[3] : X.indptr[4]] = 0
    rows = ScaledRows.of(mapped(X, tmp_path), normalize=True)
    expected = unit_rows(X)
    np.testing.assert_array_equal(np.concatenate([piece.data for piece in rows.pieces()]), expected.data)
    np.testing.assert_array_equal(rows.rows(5, 9).toarray(), expected[5:9].toarray())
    assert ScaledRows.of(rows_of_length_one(tmp_path), normalize=True).lengths is None


def rows_of_length_one(folder):
    return mapped(csr_array(np.eye(5, dtype=np.float32)), folder)


def test_lengths_of_a_map_are_those_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 700)
    X, _ = problem(True)
    rows = mapped(X, tmp_path)
    np.testing.assert_array_equal(row_lengths(rows), row_lengths(X))
    with pytest.raises(ValueError, match="products of such rows leave float32") as found:
        ScaledRows.of(rows, normalize=False)
    with pytest.raises(ValueError, match=re.escape(str(found.value))):
        rows_in_range(X)


def test_pieces_are_whole_rows_without_gap(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 10)
    X = csr_array(random_array((50, 30), density=0.2, rng=np.random.default_rng(1), dtype=np.float32))
    bounds = list(row_pieces(X.indptr))
    assert [first for first, _ in bounds] == [0, *(end for _, end in bounds[:-1])]
    assert bounds[-1][1] == 50
    assert all(X.indptr[end] - X.indptr[first] <= 10 or end == first + 1 for first, end in bounds)
    np.testing.assert_array_equal(np.concatenate([piece.toarray() for piece in pieces_of(X)]), X.toarray())


def wide(X):
    """Return a matrix as one of more than 2^31 entries is held: pointers of 64 bits, indices of 32."""
    matrix = csr_array(X.shape, dtype=X.dtype)
    matrix.data, matrix.indices, matrix.indptr = X.data, X.indices.astype(np.int32), X.indptr.astype(np.int64)
    return matrix


def test_more_entries_than_int32_counts_stay_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "INT32_MAX", 1000)
    X, Y = problem(False)
    rows = wide(mapped(X, tmp_path))
    checked = check_rows(rows, "X")
    assert is_mapped(checked)
    assert checked.indptr.dtype == np.int64
    assert checked.indices.dtype == np.int32
    expected = arrays_of(XRLinear(**SMALL).fit(X, Y))
    for name, array in arrays_of(XRLinear(**SMALL).fit(rows, Y)).items():
        np.testing.assert_array_equal(array, expected[name])


@pytest.mark.parametrize(
    ("part", "value", "words"),
    [("indices", 200, "indices must be < 200"), ("data", np.nan, r"NaN \(first: X\[0, \d+\]\)")],
)
def test_broken_entries_are_found_in_a_map(part, value, words, tmp_path, monkeypatch):
    X, Y = problem(False)
    getattr(X, part)[5] = value
    rows = mapped(X, tmp_path)
    for limit in (pieces.INT32_MAX, 1000):
        monkeypatch.setattr(pieces, "INT32_MAX", limit)
        with pytest.raises(ValueError, match=words):
            DiSMEC().fit(wide(rows), Y)


def test_entries_out_of_order_are_put_into_order(tmp_path, monkeypatch):
    monkeypatch.setattr(pieces, "INT32_MAX", 1000)
    X, _ = problem(False)
    turned = csr_array((X.data[::-1].copy(), X.indices[::-1].copy(), X.indptr[-1] - X.indptr[::-1]), shape=X.shape)
    checked = check_rows(wide(mapped(turned, tmp_path)), "X")
    np.testing.assert_array_equal(checked.toarray(), X.toarray()[::-1])
    assert checked.has_canonical_format


@pytest.mark.parametrize("method", [DiSMEC(), XRLinear()])
def test_the_memory_of_a_fit_on_a_map_is_estimated_without_its_entries(method, tmp_path):
    X, Y = problem(False)
    dense = csr_array(np.ones(X.shape, np.float32))
    in_memory = method.estimate_memory(dense, Y) - method.estimate_memory(X, Y)
    sparse, full = tmp_path / "sparse", tmp_path / "full"
    sparse.mkdir()
    full.mkdir()
    assert in_memory > 0
    assert method.estimate_memory(mapped(dense, full), Y) == method.estimate_memory(mapped(X, sparse), Y)


def test_processes_read_the_map_too(tmp_path):
    X, Y = problem(False)
    expected = arrays_of(XRLinear(**SMALL).fit(X, Y))
    with parallel_config("loky", n_jobs=2):
        found = arrays_of(XRLinear(**SMALL).fit(mapped(X, tmp_path), Y))
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_rows_with_wide_pointers_are_predicted(tmp_path, monkeypatch):
    X, Y = problem(False)
    clf = DiSMEC(max_passes=5).fit(X, Y)
    expected = clf.predict_topk(X, 3)
    monkeypatch.setattr(pieces, "INT32_MAX", 1000)
    found = clf.predict_topk(wide(mapped(X, tmp_path)), 3)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores, expected.scores)
