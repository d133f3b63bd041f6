"""KNN: the search for neighbors, their votes, and what is stored."""

from __future__ import annotations

import os
import pickle
import sys

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

from tests.helpers.interrupts import run_forked
from tests.helpers.naive import embeddings as naive
from xclassic import KNN, datasets, load
from xclassic.metrics import precision_at_k
from xclassic.neighbors.index import InvertedIndex, build_index, vote
from xclassic.parallel import RUNNING
from xclassic.storage.folder import ModelFileError


def sparse_rows(n, d, seed, density=0.2):
    rows = random_array((n, d), density=density, rng=np.random.default_rng(seed), dtype=np.float32)
    rows = csr_array(rows)
    rows.data = (np.round(16 * rows.data) / 4 - 1).astype(
        np.float32
    )  # some below 0; sums are exact, and many products equal
    return rows


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("form", [csr_array, np.asarray])
@pytest.mark.parametrize("k", [1, 7, 100])
def test_nearest_rows_are_those_of_brute_force(seed, form, k):
    rows, queries = sparse_rows(70, 30, seed).toarray(), sparse_rows(20, 30, seed + 50).toarray()
    queries[3] = 0
    rows[5] = 0
    top = build_index(form(rows)).nearest(form(queries), min(k, 70))
    for i, query in enumerate(queries):
        expected = naive.nearest(rows, query, k)
        count = top.counts[i]
        found = zip(top.scores[i, :count].tolist(), top.ids[i, :count].tolist(), strict=True)
        assert list(found) == expected


@pytest.mark.parametrize("form", [csr_array, np.asarray])
def test_rows_equally_near_rank_by_number(form):
    top = build_index(form(np.ones((50, 2), np.float32))).nearest(form(np.ones((1, 2), np.float32)), 20)
    assert top.ids[0].tolist() == list(range(20))


@pytest.mark.parametrize("power", [0, 1, 2.5])
@pytest.mark.parametrize("normalize", [True, False])
def test_scores_are_shares_of_the_votes(power, normalize):
    random = np.random.default_rng(0)
    X, queries = sparse_rows(60, 25, 1), sparse_rows(10, 25, 2)
    Y = csr_array((random.random((60, 9)) < 0.2).astype(np.float32))
    clf = KNN(n_neighbors=6, power=power, normalize=normalize).fit(X, Y)
    top = clf.predict_topk(queries, 9)
    rows, queries = (clf._prepare(matrix).toarray() for matrix in (X, queries))
    for i, query in enumerate(queries):
        expected = naive.votes(rows, Y.toarray(), query, 6, power)
        if expected is None:
            expected = clf.label_shares_
        found = np.zeros(9)
        found[top.ids[i, : top.counts[i]]] = top.scores[i, : top.counts[i]]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_rows_without_known_features_get_the_most_frequent_labels():
    X = csr_array(np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0]], np.float32))
    clf = KNN().fit(X, [["a"], ["b"], ["b", "c"]])
    top = clf.predict_topk(csr_array(np.array([[0, 0, 2], [3, 0, 0]], np.float32)), 3)
    assert top.named(clf.classes_) == [
        [("b", pytest.approx(2 / 3)), ("a", pytest.approx(1 / 3)), ("c", pytest.approx(1 / 3))],
        [("a", 1.0)],
    ]
    allowed = clf.predict_topk(csr_array((1, 3), dtype=np.float32), 3, labels=["c", "a"])
    assert [name for name, _ in allowed.named(clf.classes_)[0]] == ["a", "c"]


def test_neighbors_without_labels_take_part():
    clf = KNN(power=0).fit(np.eye(2)[[0, 0, 0, 1]], [["a"], [], [], ["b"]])
    assert clf.predict_topk(np.eye(2)[:1], 2).named(clf.classes_)[0] == [("a", pytest.approx(1 / 3))]


def test_tiny_products_vote():
    X = np.array([[1e-20, 1], [1, 0]], np.float32)
    clf = KNN(power=3).fit(X, [["a"], ["b"]])
    top = clf.predict_topk(np.array([[1e-12, 0], [1, 1e-30]], np.float32), 2)
    assert np.isfinite(top.scores[top.ids >= 0]).all()
    assert (top.scores[top.ids >= 0] > 0).all()


@pytest.mark.parametrize("seed", range(20))
def test_search_takes_any_sizes(seed):
    random = np.random.default_rng(seed)
    n, d, L, k = (int(random.integers(1, high)) for high in (80, 12, 10, 90))
    X = sparse_rows(n, d, seed, density=random.random())
    Y = csr_array((random.random((n, L)) < 0.3).astype(np.float32))
    queries = sparse_rows(int(random.integers(1, 30)), d, seed + 1, density=random.random())
    top = KNN(n_neighbors=k).fit(X, Y).predict_topk(queries, L)
    assert (top.ids < L).all()
    assert (top.scores[top.ids >= 0] > 0).all()


def test_votes_of_chosen_weights():
    Y = csr_array(np.array([[1, 0, 1], [0, 1, 0], [1, 0, 0]], np.float32))
    neighbors, weights = np.array([[2, 1, 0]], np.int32), np.array([[3, 0, 1]], np.float32)
    top = vote(neighbors, weights, Y, np.ones(3, np.float32), 3)
    assert top.ids.tolist() == [[0, 2, -1]]
    assert top.scores[0, :2].tolist() == [1.0, 0.25]


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("verify", ["lazy", "full"])
def test_knn_rejects_damaged_arrays(dense, verify):
    X = np.eye(4, dtype=np.float32)
    clf = KNN().fit(X if dense else csr_array(X), [["a"], ["b"], ["c"], ["a"]])
    arrays, metadata = clf._get_arrays()

    def load(changed, metadata=metadata):
        loaded = KNN()
        loaded.n_features_in_, loaded.classes_ = 4, clf.classes_
        loaded._set_arrays(changed, metadata, verify)
        loaded._fitted = True
        return loaded._topk(X if dense else csr_array(X), 2, None, RUNNING)

    load(arrays)
    for name, array in arrays.items():
        with pytest.raises(ModelFileError):
            load({other: a for other, a in arrays.items() if other != name})
        with pytest.raises(ModelFileError):
            load(arrays | {name: array[:-1]})
    for name in ("labels.indices", "blocks.features" if dense else "postings.indices"):
        with pytest.raises(ModelFileError):
            load(arrays | {name: np.full_like(arrays[name], 99)})
    with pytest.raises(ModelFileError, match="n_rows"):
        load(arrays, {"n_rows": "4"})


def test_knn_accuracy_on_bibtex():
    bibtex = datasets.load_bibtex()
    top = KNN().fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    assert precision_at_k(bibtex.Y_test, top, 1) > 0.54
    assert precision_at_k(bibtex.Y_test, top, 5) > 0.24


# Search by a graph


def clustered_rows(n, d, seed):
    random = np.random.default_rng(seed)
    centers = np.random.default_rng(0).standard_normal((50, d))
    return (centers[random.integers(0, 50, n)] + random.standard_normal((n, d))).astype(np.float32)


def test_graph_finds_most_of_the_nearest():
    pytest.importorskip("usearch")
    rows, queries = clustered_rows(5000, 20, 1), clustered_rows(200, 20, 2)
    exact, found = (build_index(rows, search).nearest(queries, 20) for search in ("exact", "graph"))
    assert np.mean([len(np.intersect1d(*pair)) / 20 for pair in zip(exact.ids, found.ids, strict=True)]) >= 0.95
    for i in range(200):
        np.testing.assert_allclose(found.scores[i], rows[found.ids[i]] @ queries[i], rtol=1e-4)
        assert (np.diff(found.scores[i]) <= 0).all()


def test_graph_of_few_rows_is_exact():
    pytest.importorskip("usearch")
    rows, queries = clustered_rows(30, 6, 1), clustered_rows(40, 6, 2)
    exact, found = (build_index(rows, search).nearest(queries, 30) for search in ("exact", "graph"))
    np.testing.assert_array_equal(found.ids, exact.ids)
    np.testing.assert_array_equal(found.counts, exact.counts)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_graph_finds_the_same_each_time(n_jobs, tmp_path):
    pytest.importorskip("usearch")
    X, queries = clustered_rows(3000, 12, 1), clustered_rows(1500, 12, 2)
    Y = csr_array((np.random.default_rng(0).random((3000, 30)) < 0.1).astype(np.float32))
    clf = KNN(search="graph").fit(X, Y)
    clf.save(tmp_path / "model")
    expected = clf.predict_topk(queries, 5)
    for other in (
        KNN(search="graph", n_jobs=n_jobs).fit(X, Y),
        pickle.loads(pickle.dumps(clf)),
        load(tmp_path / "model").set_params(n_jobs=n_jobs),
    ):
        for found, wanted in zip(other.predict_topk(queries, 5), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_graph_is_searched_in_a_child_forked_amid_a_search():
    pytest.importorskip("usearch")
    rows, found = clustered_rows(30, 6, 1), []
    index = build_index(rows, "graph")
    expected = index.nearest(rows, 3)

    class Unfinished:
        def search(self, query, k, threads):
            found.append(run_forked(lambda: index.nearest(rows, 3)))
            raise ZeroDivisionError

    index._graph = Unfinished()
    with pytest.raises(ZeroDivisionError):
        index.nearest(rows, 1)
    np.testing.assert_array_equal(found[0].ids, expected.ids)


def test_graph_without_usearch_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(ImportError, match=r"xclassic\[graph\]"):
        KNN(search="graph").fit(np.eye(2), [["a"], ["b"]])
    KNN().fit(np.eye(2), [["a"], ["b"]])


def test_graph_is_for_dense_rows_alone():
    pytest.importorskip("usearch")
    assert isinstance(build_index(csr_array(np.eye(3, dtype=np.float32)), "graph"), InvertedIndex)


def test_graph_rejects_damaged_rows():
    X = np.eye(4, dtype=np.float32)
    clf = KNN(search="graph").fit(X, np.eye(4))
    arrays, metadata = clf._get_arrays()
    for changed in (X[:3], X.astype(np.float64), np.full_like(X, np.nan)):
        loaded = KNN(search="graph")
        loaded.n_features_in_, loaded.classes_ = 4, clf.classes_
        with pytest.raises(ModelFileError):
            loaded._set_arrays(arrays | {"graph_rows": changed}, metadata, "full")
    loaded._set_arrays(arrays | {"graph_rows": np.full_like(X, np.inf)}, metadata, "lazy")
    with pytest.raises(ModelFileError, match="A value of graph_rows in the model is not finite"):
        loaded.index_.nearest(X, 2)
