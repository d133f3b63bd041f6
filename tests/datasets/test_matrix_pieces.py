"""Pieces of matrices and folders are the rows that are read at once, and broken files are refused in the same words."""

from itertools import pairwise
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array, csc_array, csr_array, csr_matrix, random_array, save_npz, vstack

from xclassic import datasets
from xclassic.datasets import DataFileError, _matrix_pieces, load, read_npz, write_xmc
from xclassic.datasets._matrix_pieces import _cuts, matrix_pieces
from xclassic.datasets.folders import folder_pieces


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(_matrix_pieces, "PIECE_ENTRIES", 40)
    monkeypatch.setattr("xclassic.datasets.xmc.PIECE", 40)
    monkeypatch.setattr("xclassic.datasets.xmc.BLOCK_BYTES", 200)


def data(n_rows, seed=0):
    rng = np.random.default_rng(seed)
    X = csr_array(random_array((n_rows, 9), density=0.3, rng=rng, dtype=np.float32))
    return X, csr_array((random_array((n_rows, 5), density=0.3, rng=rng) != 0).astype(np.float32))


def joined(pieces):
    X, Y = (list(parts) for parts in zip(*pieces, strict=True))
    width = [max(part.shape[1] for part in parts) for parts in (X, Y)]
    for parts, columns in zip((X, Y), width, strict=True):
        for part in parts:
            part.resize(part.shape[0], columns)
    return len(X), csr_array(vstack(X)), csr_array(vstack(Y))


def same(A, B):
    return A.shape == B.shape and A.dtype == B.dtype and (csr_array(A) != csr_array(B)).nnz == 0


@pytest.mark.parametrize("kind", [csr_array, csr_matrix, csc_array, coo_array, "wide", "dense", "not compressed"])
def test_pieces_are_the_rows_of_the_file(kind, tmp_path):
    X, Y = data(60)
    stored = X.toarray() if kind == "dense" else kind(X) if callable(kind) else X
    if kind == "wide":
        stored.indices, stored.indptr, stored.data = (
            X.indices.astype(np.int64), X.indptr.astype(np.int64), X.data.astype(float)
        )  # fmt: skip
    if kind == "dense":
        np.save(tmp_path / "X.npy", stored)
    else:
        save_npz(tmp_path / "X.npz", stored, compressed=kind != "not compressed")
    save_npz(tmp_path / "Y.npz", Y)
    path = tmp_path / ("X.npy" if kind == "dense" else "X.npz")
    X_whole, Y_whole = read_npz(path, tmp_path / "Y.npz")
    pieces = list(matrix_pieces(path, tmp_path / "Y.npz"))
    assert all(type(X_piece) is type(X_whole) and X_piece.dtype == np.float32 for X_piece, _ in pieces)
    n_pieces, X_all, Y_all = joined([(csr_array(X_piece), Y_piece) for X_piece, Y_piece in pieces])
    assert n_pieces > 3
    assert same(X_all, X_whole.astype(np.float32))
    assert same(Y_all, Y_whole)
    assert all(Y_piece is None for _, Y_piece in matrix_pieces(path))


@given(st.lists(st.integers(0, 90), max_size=30))
def test_cuts_bound_the_entries_of_a_piece(sizes):
    ptr = np.cumsum([0, *sizes])
    cuts = _cuts(ptr)
    assert cuts[0] == 0
    assert cuts[-1] == len(sizes)
    assert sorted(set(cuts)) == cuts or cuts == [0, 0]
    for start, stop in pairwise(cuts):
        assert ptr[stop] - ptr[start] <= 40 or stop - start == 1


def test_matrix_without_rows_is_one_piece(tmp_path):
    save_npz(tmp_path / "X.npz", csr_array((0, 4), dtype=np.float32))
    assert [X.shape for X, _ in matrix_pieces(tmp_path / "X.npz")] == [(0, 4)]


def refused(read, *arguments):
    with pytest.raises(DataFileError) as raised:
        list(read(*arguments))
    return str(raised.value)


def test_broken_matrices_are_refused(tmp_path):
    X, Y = data(60)
    path, labels = tmp_path / "X.npz", tmp_path / "Y.npz"
    save_npz(path, X, compressed=False)
    save_npz(labels, Y)
    whole = path.read_bytes()
    for broken in (whole[:-40], b"", b"PK\x03\x04 and more", b"\x93NUMPY"):
        path.write_bytes(broken)
        assert refused(matrix_pieces, path) == refused(read_npz, path)
    save_npz(path, X)
    save_npz(labels, Y[:-1])
    assert refused(matrix_pieces, path, labels) == refused(read_npz, path, labels)
    save_npz(labels, 2 * Y)
    assert "Y.npz: " in refused(matrix_pieces, path, labels)
    save_npz(path, X * np.nan)
    assert "Input X contains NaN" in refused(matrix_pieces, path)
    np.savez(path, format="csr", shape=(2, 3), indptr=[0, 1, 1], indices=[7], data=[1.0])
    assert refused(matrix_pieces, path)
    np.savez(path, format="csr", shape=(2, 3), indptr=[0, 1, 2], indices=[1], data=[1.0])
    assert refused(matrix_pieces, path)
    np.save(tmp_path / "X.npy", np.zeros(3))
    assert "X.npy: the array has shape (3,)" in refused(matrix_pieces, tmp_path / "X.npy")


@pytest.mark.parametrize("compressed", [False, True])
def test_wrong_byte_is_found_when_it_is_read(compressed, tmp_path):
    X, _ = data(4000)
    path = tmp_path / "X.npz"
    save_npz(path, X, compressed=compressed)
    with ZipFile(path) as archive:
        part = archive.getinfo("data.npy")
    whole = bytearray(path.read_bytes())
    whole[part.header_offset + part.compress_size - 3] ^= 255
    path.write_bytes(whole)
    assert "X.npz: the file is damaged or cut short, in row" in refused(matrix_pieces, path)
    refused(read_npz, path)


# Folders


def fill(folder, form, names=True):
    (X, Y), (X_test, Y_test) = data(50), data(23, seed=1)
    if form == "matrices":
        for name, matrix in {"X_train": X, "Y_train": Y, "X_dev": X_test, "Y_dev": Y_test}.items():
            save_npz(folder / f"{name}.npz", matrix)
    elif form == "split":
        write_xmc(folder / "toy_data.txt", vstack([X, X_test]), vstack([Y, Y_test]))
        rows = np.random.default_rng(3).permutation(73) + 1
        for name, side in {"trSplit": rows[:40], "tstSplit": rows[45:]}.items():
            (folder / f"toy_{name}.txt").write_text("\n".join(map(str, side)))
    else:
        for name, part in {"train": (X, Y), "test": (X_test, Y_test)}.items():
            write_xmc(folder / f"{name}.txt", *part)
            if form == "without headers":
                path = folder / f"{name}.txt"
                path.write_text(path.read_text().partition("\n")[2])
    if names:
        (folder / "label_names.txt").write_text("a\nb\nc\nd\ne\n")
    return {"zero_based": True} if form == "without headers" else {}


@pytest.mark.parametrize("form", ["texts", "without headers", "matrices", "split"])
def test_pieces_of_a_folder_are_its_points(form, tmp_path):
    options = fill(tmp_path, form)
    points = load(tmp_path, **options)
    train, test, names = folder_pieces(tmp_path, **options)
    assert names == points.label_names
    for pieces, X, Y in ((train, points.X, points.Y), (test, points.X_test, points.Y_test)):
        n_pieces, X_all, Y_all = joined(pieces)
        assert n_pieces > 1
        if form == "split":  # In the order of the data.
            X_all, X = (np.sort(matrix.sum(axis=1)) for matrix in (X_all, X))
            assert np.allclose(X_all, X)
        else:
            X_all.resize(X.shape)
            assert same(X_all, X)
        assert Y_all.sum(axis=0).tolist() == Y.sum(axis=0).tolist()


def test_folders_that_do_not_fit_are_refused(tmp_path):
    def words(read):
        with pytest.raises((DataFileError, FileNotFoundError)) as raised:
            read()
        return str(raised.value)

    def in_pieces(folder):
        train, test, _ = folder_pieces(folder)
        list(train)
        list(test or ())

    assert words(lambda: in_pieces(tmp_path)) == words(lambda: load(tmp_path))
    fill(tmp_path, "texts")
    (tmp_path / "label_names.txt").write_text("a\nb\n")
    assert "it names 2 labels, but the points have 5" in words(lambda: in_pieces(tmp_path))
    assert words(lambda: in_pieces(tmp_path)) == words(lambda: load(tmp_path))
    (tmp_path / "test.txt").write_text("1 10 5\n1 2:7\n")
    assert "train has 9 features and test has 10" in words(lambda: in_pieces(tmp_path))
    assert words(lambda: in_pieces(tmp_path)) == words(lambda: load(tmp_path))
    split = tmp_path / "split"
    split.mkdir()
    fill(split, "split")
    (split / "toy_tstSplit.txt").write_text("3\n74\n")
    assert "row 74 is out of range" in words(lambda: in_pieces(split))


def test_description_of_pieces_is_that_of_the_whole(tmp_path):
    X, Y = data(60)
    save_npz(tmp_path / "X.npz", X)
    save_npz(tmp_path / "Y.npz", Y)
    whole = datasets.describe([(X, Y)])
    assert datasets.describe(matrix_pieces(tmp_path / "X.npz", tmp_path / "Y.npz")) == whole
    wide = csr_array((X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)), shape=X.shape)
    assert datasets.describe([(X, Y)], [(wide, Y)])["overlap"]["test rows that are in training"] == 60
