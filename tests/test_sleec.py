"""SLEEC: projection, regression, clusters, and the ensemble."""

from __future__ import annotations

import naive_embeddings as naive
import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import Ridge

from xclassic import SLEEC, datasets
from xclassic.embedding.clusters import cluster_centroids, nearest_centroid
from xclassic.embedding.projection import label_similarities, project, subtract_products
from xclassic.embedding.regression import fit_map, largest_entries
from xclassic.metrics import precision_at_k
from xclassic.model_io import ModelFileError
from xclassic.rows import unit_rows

STOP = np.zeros(1, np.uint8)


def random_labels(n, n_labels, seed, density=0.2):
    random = np.random.default_rng(seed)
    Y = random.random((n, n_labels)) < density
    Y[np.arange(n), random.integers(0, n_labels, n)] = True
    return csr_array(Y.astype(np.float32))


# Compression


@pytest.mark.parametrize("seed", range(3))
def test_similarities_are_those_of_the_nearest_label_vectors(seed):
    Y = random_labels(40, 12, seed)
    vectors = unit_rows(Y).toarray()
    found = label_similarities(Y, 5, STOP).toarray()
    expected = np.zeros((40, 40))
    for i, vector in enumerate(vectors):
        for cosine, j in naive.nearest(vectors, vector, 5):
            expected[i, j] = expected[j, i] = cosine
    kept = found != 0
    np.testing.assert_allclose(found[kept], (vectors @ vectors.T)[kept], rtol=1e-5)
    assert abs(int(kept.sum()) - int((expected != 0).sum())) <= 8  # equal cosines may round differently
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(np.diag(found), 1, rtol=1e-5)


@pytest.mark.parametrize("rank", [2, 5, 30])
def test_projection_of_all_pairs_is_the_truncated_eigendecomposition(rank):
    random = np.random.default_rng(0)
    directions = np.linalg.qr(random.standard_normal((30, 30)))[0]
    S = (directions * 3.0 ** -np.arange(30)) @ directions.T
    Z = project(csr_array(S.astype(np.float32)), rank, 20, random, STOP)
    assert Z.shape == (30, rank)
    np.testing.assert_allclose(Z @ Z.T, naive.largest_eigenpairs(S, rank), atol=1e-5)


def test_negative_eigenvalues_are_left_out():
    S = csr_array((np.array([0, 1, 1, 0], np.float32), [0, 1, 0, 1], [0, 2, 4]), shape=(2, 2))  # zeros are stored
    Z = project(S, 2, 10, np.random.default_rng(0), STOP)
    np.testing.assert_allclose(Z @ Z.T, np.full((2, 2), 0.5), atol=1e-5)
    assert not project(csr_array(-np.eye(3, dtype=np.float32)), 2, 5, np.random.default_rng(0), STOP).any()


def test_more_rounds_never_raise_the_loss():
    S = label_similarities(random_labels(200, 40, 1, density=0.05), 10, STOP)
    losses = []
    for rounds in (0, 1, 2, 5, 10, 20, 40):
        Z = project(S, 10, rounds, np.random.default_rng(0), STOP)
        rows, columns = S.nonzero()
        losses.append(((S.toarray()[rows, columns] - (Z @ Z.T)[rows, columns]) ** 2).sum())
    assert (np.diff(losses) <= 1e-4).all()
    assert losses[-1] < 0.5 * losses[0]


def test_residuals_stay_in_bounds_and_compile_to_the_same():
    random = np.random.default_rng(0)
    S, Z = label_similarities(random_labels(20, 6, 0), 4, STOP), random.standard_normal((20, 3)).astype(np.float32)
    found = [np.empty_like(S.data) for _ in range(2)]
    sums = [
        function(S.indptr.astype(np.int64), S.indices.astype(np.int64), S.data, Z, out)
        for function, out in zip((subtract_products, subtract_products.python), found, strict=True)
    ]
    expected = (S.toarray() - Z @ Z.T)[S.nonzero()]
    for residuals, total in zip(found, sums, strict=True):
        np.testing.assert_allclose(residuals, expected, atol=1e-5)
        assert total == pytest.approx((expected**2).sum(), rel=1e-4)


# Regression


@pytest.mark.parametrize("shape", [(40, 9), (9, 40)])
@pytest.mark.parametrize("form", [csr_array, np.asarray])
def test_without_l1_the_map_is_ridge_regression(shape, form):
    random = np.random.default_rng(0)
    X, Z = (random.standard_normal((shape[0], width)).astype(np.float32) for width in (shape[1], 3))
    V = fit_map(form(X), Z, 0.7, 0.0, STOP)
    np.testing.assert_allclose(V, Ridge(0.7, fit_intercept=False).fit(X, Z).coef_.T, atol=1e-4)


@pytest.mark.parametrize("l1", [0.1, 1.0, 1e4])
def test_with_l1_the_map_has_the_least_objective(l1):
    random = np.random.default_rng(1)
    X, Z = (random.standard_normal((25, width)).astype(np.float32) for width in (6, 2))
    V = fit_map(csr_array(X), Z, 0.5, l1, STOP)
    best = naive.map_objective(X, Z, naive.smooth_map(X, Z, 0.5, l1), 0.5, l1)
    assert naive.map_objective(X, Z, V, 0.5, l1) <= 1.002 * best
    if l1 == 1e4:
        assert np.abs(X @ V).max() < 1e-2


def test_the_largest_entries_are_kept():
    V = np.array([[3, -1, 0], [2, -5, 0.5]], np.float32)
    np.testing.assert_array_equal(largest_entries(V, 0.6).toarray(), [[3, 0, 0], [2, -5, 0]])
    np.testing.assert_array_equal(largest_entries(V, 1.0).toarray(), V)
    assert largest_entries(np.zeros((2, 2), np.float32), 0.5).nnz == 0


# Clusters


@pytest.mark.parametrize("form", [csr_array, np.asarray])
def test_clusters_part_what_is_apart(form):
    X = np.eye(3, dtype=np.float32)[np.arange(60) % 3] + 0.01
    for seed in range(10):
        centroids = cluster_centroids(form(X), 3, np.random.default_rng(seed), STOP)
        if len({tuple(row.round(3)) for row in centroids}) == 3:  # the start had a row of each kind
            cluster = nearest_centroid(form(X), centroids)
            assert [len(set(cluster[kind::3])) for kind in range(3)] == [1, 1, 1]
            return
    raise AssertionError("no start had a row of each kind")


# The ensemble


def test_rows_of_their_own_features_give_back_their_labels():
    Y = random_labels(50, 10, 3)
    clf = SLEEC(2, sample_share=1.0, n_neighbors=1, kept_share=1.0, n_components=50, alpha=0.01).fit(
        csr_array(np.eye(50, dtype=np.float32)), Y
    )
    np.testing.assert_allclose(np.maximum(clf.decision_function(np.eye(50)).toarray(), 0), Y.toarray(), atol=1e-5)


def test_small_clusters_and_few_rows():
    bibtex = datasets.load_bibtex()
    X, Y = bibtex.X[:60], bibtex.Y[:60]
    clf = SLEEC(3, cluster_size=5, n_components=40, n_neighbors=30, label_neighbors=50).fit(X, Y)
    assert min(len(part.rows) for learner in clf.learners_ for part in learner.parts) < 5
    top = clf.predict_topk(bibtex.X_test[:50], 5)
    assert (top.counts > 0).all()
    one = SLEEC(2).fit(X[:1], [["only"]])
    assert one.predict_topk(X[:1], 1).named(one.classes_)[0] == [("only", pytest.approx(1.0))]


def test_rows_without_labels_are_left_out():
    bibtex = datasets.load_bibtex()
    X, Y = bibtex.X[:80], bibtex.Y[:80].tolil()
    Y[[3, 7]] = 0
    clf = SLEEC(2, sample_share=1.0).fit(X, csr_array(Y))
    for learner in clf.learners_:
        rows = np.concatenate([part.rows for part in learner.parts])
        assert sorted(rows.tolist()) == [i for i in range(80) if i not in (3, 7)]


def test_rows_without_known_features_get_the_most_frequent_labels():
    bibtex = datasets.load_bibtex()
    clf = SLEEC(1).fit(bibtex.X[:200], bibtex.Y[:200])
    top = clf.predict_topk(csr_array((1, 1836), dtype=np.float32), 3)
    assert top.ids[0].tolist() == np.argsort(-clf.label_shares_, kind="stable")[:3].tolist()


@pytest.mark.parametrize("name", ["sample_share", "kept_share", "alpha", "n_neighbors"])
def test_nothing_is_no_parameter(name):
    with pytest.raises(ValueError, match=name):
        SLEEC(**{name: 0}).fit(np.eye(2), [["a"], ["b"]])


@pytest.mark.parametrize("verify", ["lazy", "full"])
def test_damaged_arrays_are_refused(verify):
    bibtex = datasets.load_bibtex()
    X = bibtex.X[:90]
    clf = SLEEC(2, cluster_size=30, n_components=4).fit(X, bibtex.Y[:90])
    arrays, facts = clf._get_arrays()

    def load(changed, facts=facts):
        loaded = SLEEC(2, n_components=4)
        loaded.n_features_in_, loaded.classes_ = clf.n_features_in_, clf.classes_
        loaded._set_arrays(changed, facts, verify)
        return loaded._topk(X, 2, None)

    np.testing.assert_array_equal(load(arrays).ids, clf._topk(X, 2, None).ids)
    for name, array in arrays.items():
        with pytest.raises(ModelFileError):
            load({other: a for other, a in arrays.items() if other != name})
        with pytest.raises(ModelFileError):
            load(arrays | {name: array[:-1]})
        with pytest.raises(ModelFileError):
            load(arrays | {name: array.astype(np.complex64)})
    for name in ("rows", "maps.indices", "labels.indices", "n_rows", "maps.indptr"):
        with pytest.raises(ModelFileError):
            load(arrays | {name: arrays[name][::-1] + arrays[name].dtype.type(2000)})
    with pytest.raises(ModelFileError):
        load(arrays | {"vectors": np.full_like(arrays["vectors"], np.nan)})
    with pytest.raises(ModelFileError, match="n_training_rows"):
        load(arrays, {"n_training_rows": 0})


def test_accuracy_on_bibtex():
    bibtex = datasets.load_bibtex()
    top = SLEEC(4).fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    assert precision_at_k(bibtex.Y_test, top, 1) > 0.625
    assert precision_at_k(bibtex.Y_test, top, 5) > 0.275
