"""SLEEC: projection, regression and clusters."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import Ridge

from tests.helpers.naive import embeddings as naive
from tests.helpers.naive.embeddings import random_labels
from xclassic import SLEEC, datasets
from xclassic.metrics import precision_at_k
from xclassic.neighbors.clusters import cluster_centroids, nearest_centroid
from xclassic.neighbors.label_graph import label_similarities
from xclassic.neighbors.projection import project
from xclassic.neighbors.regression import fit_map

STOP = np.zeros(1, np.uint8)


# Compression


@pytest.mark.parametrize("rank", [2, 5, 30])
def test_projection_of_all_pairs_is_the_truncated_eigendecomposition(rank):
    random = np.random.default_rng(0)
    directions = np.linalg.qr(random.standard_normal((30, 30)))[0]
    S = (directions * 3.0 ** -np.arange(30)) @ directions.T
    Z = project(csr_array(S.astype(np.float32)), rank, 20, random, STOP)
    assert Z.shape == (30, rank)
    np.testing.assert_allclose(Z @ Z.T, naive.largest_eigenpairs(S, rank), atol=1e-5)


def test_projection_omits_negative_eigenvalues():
    S = csr_array((np.array([0, 1, 1, 0], np.float32), [0, 1, 0, 1], [0, 2, 4]), shape=(2, 2))  # zeros are stored
    Z = project(S, 2, 10, np.random.default_rng(0), STOP)
    np.testing.assert_allclose(Z @ Z.T, np.full((2, 2), 0.5), atol=1e-5)
    assert not project(csr_array(-np.eye(3, dtype=np.float32)), 2, 5, np.random.default_rng(0), STOP).any()


def test_rounds_never_raise_the_loss():
    S = label_similarities(random_labels(200, 40, 1, density=0.05), 10, np.random.default_rng(0), STOP)
    losses = []
    for rounds in (0, 1, 2, 5, 10, 20, 40):
        Z = project(S, 10, rounds, np.random.default_rng(0), STOP)
        rows, columns = S.nonzero()
        losses.append(((S.toarray()[rows, columns] - (Z @ Z.T)[rows, columns]) ** 2).sum())
    assert (np.diff(losses) <= 1e-4).all()
    assert losses[-1] < 0.5 * losses[0]


# Regression


@pytest.mark.parametrize("shape", [(40, 9), (9, 40)])
@pytest.mark.parametrize("form", [csr_array, np.asarray])
def test_map_without_l1_is_ridge_regression(shape, form):
    random = np.random.default_rng(0)
    X, Z = (random.standard_normal((shape[0], width)).astype(np.float32) for width in (shape[1], 3))
    V = fit_map(form(X), Z, 0.7, 0.0, STOP)
    np.testing.assert_allclose(V, Ridge(0.7, fit_intercept=False).fit(X, Z).coef_.T, atol=1e-4)


@pytest.mark.parametrize("l1", [0.1, 1.0, 1e4])
def test_map_with_l1_has_the_least_objective(l1):
    random = np.random.default_rng(1)
    X, Z = (random.standard_normal((25, width)).astype(np.float32) for width in (6, 2))
    V = fit_map(csr_array(X), Z, 0.5, l1, STOP)
    best = naive.map_objective(X, Z, naive.smooth_map(X, Z, 0.5, l1), 0.5, l1)
    assert naive.map_objective(X, Z, V, 0.5, l1) <= 1.002 * best
    if l1 == 1e4:
        assert np.abs(X @ V).max() < 1e-2


# Clusters


@pytest.mark.parametrize("form", [csr_array, np.asarray])
def test_clusters_separate_what_is_apart(form):
    X = np.eye(3, dtype=np.float32)[np.arange(60) % 3] + 0.01
    for seed in range(10):
        centroids = cluster_centroids(form(X), 3, np.random.default_rng(seed), STOP)
        if len({tuple(row.round(3)) for row in centroids}) == 3:  # the start had a row of each kind
            cluster = nearest_centroid(form(X), centroids)
            assert [len(set(cluster[kind::3])) for kind in range(3)] == [1, 1, 1]
            return
    raise AssertionError("no start had a row of each kind")


# The method


@pytest.mark.parametrize("name", ["sample_share", "alpha", "cluster_size"])
def test_sleec_rejects_zero_parameters(name):
    with pytest.raises(ValueError, match=name):
        SLEEC(**{name: 0}).fit(np.eye(2), [["a"], ["b"]])


def test_learners_see_their_share_of_the_rows():
    bibtex = datasets.load_bibtex()
    clf = SLEEC(2, sample_share=0.3).fit(bibtex.X[:80], bibtex.Y[:80])
    rows = [set(np.concatenate([cluster.rows for cluster in learner.clusters]).tolist()) for learner in clf.learners_]
    assert [len(seen) for seen in rows] == [24, 24]
    assert rows[0] != rows[1]


def test_sleec_accuracy_on_bibtex():
    bibtex = datasets.load_bibtex()
    top = SLEEC(4).fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    assert precision_at_k(bibtex.Y_test, top, 1) > 0.625
    assert precision_at_k(bibtex.Y_test, top, 5) > 0.275
