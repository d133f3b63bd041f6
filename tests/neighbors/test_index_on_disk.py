"""KNN with its index in a folder: the same index, bit for bit, and the same predictions."""

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

import xclassic
from xclassic import KNN
from xclassic.datasets import open_matrix, write_matrix
from xclassic.validation import pieces
from xclassic.validation.pieces import is_mapped


@pytest.fixture
def data(monkeypatch):
    monkeypatch.setattr(pieces, "PIECE", 200)
    rng = np.random.default_rng(0)
    X = csr_array(random_array((150, 40), density=0.2, rng=rng, dtype=np.float32))
    X.sort_indices()
    return X, csr_array((rng.random((150, 12)) < 0.2).astype(np.float32))


@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("mapped", [True, False])
def test_the_index_is_that_in_memory(mapped, normalize, data, tmp_path):
    X, Y = data
    in_memory = KNN(5, normalize=normalize).fit(X, Y)
    write_matrix(tmp_path / "X", [X])
    rows = open_matrix(tmp_path / "X") if mapped else X
    on_disk = KNN(5, normalize=normalize, index_folder=tmp_path / "index").fit(rows, Y)
    assert is_mapped(on_disk.index_.postings)
    for part in ("indptr", "indices", "data"):
        expected = getattr(in_memory.index_.postings, part)
        np.testing.assert_array_equal(getattr(on_disk.index_.postings, part), expected)
    found, expected = on_disk.predict_topk(X, 5), in_memory.predict_topk(X, 5)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_array_equal(found.scores, expected.scores)
    open_matrix(tmp_path / "index", verify="full")


def test_a_saved_model_needs_the_folder_no_more(data, tmp_path):
    X, Y = data
    clf = KNN(5, index_folder=tmp_path / "index").fit(X, Y)
    clf.save(tmp_path / "model")
    expected = clf.predict_topk(X, 5)
    for file in (tmp_path / "index").glob("*.npy"):
        file.unlink()
    again = xclassic.load(tmp_path / "model")
    assert again.index_folder is None
    np.testing.assert_array_equal(again.predict_topk(X, 5).ids, expected.ids)


def test_a_further_fit_replaces_the_index(data, tmp_path):
    X, Y = data
    clf = KNN(5, index_folder=str(tmp_path))
    before = clf.fit(X[:50], Y[:50]).index_
    clf.fit(X, Y)
    assert before.n_rows == 50
    assert clf.index_.n_rows == open_matrix(tmp_path).shape[1] == 150
    assert len(list(tmp_path.glob("*.npy"))) == 3


def test_rows_are_added_to_an_index_in_a_folder(data, tmp_path):
    X, Y = data
    on_disk = KNN(5, index_folder=tmp_path).fit(X[:100], Y[:100]).partial_fit(X[100:], Y[100:])
    in_memory = KNN(5).fit(X[:100], Y[:100]).partial_fit(X[100:], Y[100:])
    np.testing.assert_array_equal(on_disk.predict_topk(X, 5).ids, in_memory.predict_topk(X, 5).ids)


def test_dense_rows_and_other_things_than_paths_are_refused(data, tmp_path):
    X, Y = data
    with pytest.raises(ValueError, match="index_folder is for sparse rows, but X is dense"):
        KNN(index_folder=tmp_path).fit(X.toarray(), Y)
    with pytest.raises(TypeError, match="index_folder is 3; pass the path of a folder"):
        KNN(index_folder=3).fit(X, Y)
    with pytest.raises(ValueError, match="index_folder is an empty text; pass the path of a folder"):
        KNN(index_folder="").fit(X, Y)
