"""AnnexML: its two ranking problems."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from tests.helpers.naive import embeddings as naive
from tests.helpers.naive.embeddings import random_labels
from xclassic import AnnexML, datasets
from xclassic.metrics import precision_at_k
from xclassic.neighbors.clusters import cluster_centroids, nearest_centroid
from xclassic.neighbors.label_graph import label_neighbors
from xclassic.neighbors.ranking import _edge_batches, learn_partition, ranking_loss, ranking_map
from xclassic.rows import unit_rows

STOP = np.zeros(1, np.uint8)


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


def comparisons(b=6, s=9, m=4, seed=0):
    random = np.random.default_rng(seed)
    others = random.random((b, s)) < 0.8
    others[0] = False  # a row with nobody to compare with
    return random.standard_normal((2 * b + s, m)), others


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sharpness", [0.5, 10.0])
def test_ranking_loss_is_that_of_plain_loops(seed, sharpness):
    images, others = comparisons(seed=seed)
    expected = naive.ranking_loss(images[:6], images[6:12], images[12:], others, sharpness)
    assert ranking_loss(images, others, sharpness)[0] == pytest.approx(expected, rel=1e-10)
    single = ranking_loss(images.astype(np.float32), others, sharpness)
    assert single[0] == pytest.approx(expected, rel=1e-5)
    assert single[1].dtype == np.float32


@pytest.mark.parametrize("sharpness", [1.0, 10.0])
def test_ranking_loss_gradient(sharpness):
    images, others = comparisons(seed=1)
    gradient = ranking_loss(images, others, sharpness)[1]
    for at in np.ndindex(images.shape):
        moved = [images.copy(), images.copy()]
        moved[0][at] += 1e-5
        moved[1][at] -= 1e-5
        slope = np.subtract(*(ranking_loss(each, others, sharpness)[0] for each in moved)) / 2e-5
        assert gradient[at] == pytest.approx(slope, abs=1e-7)


def test_ranking_loss_that_is_sharp_is_a_hinge():
    images, others = comparisons(seed=2)
    others[0] = True
    units = images / np.linalg.norm(images, axis=1, keepdims=True)
    near = np.einsum("ij,ij->i", units[:6], units[6:12])
    far = np.where(others, units[:6] @ units[12:].T, -np.inf).max(axis=1)
    assert ranking_loss(images, others, 1e5)[0] / 1e5 == pytest.approx(np.maximum(0, far - near).mean(), rel=1e-3)


def test_images_of_zeros_are_far_from_all():
    images, others = comparisons()
    images[[1, 7, 13]] = 0
    loss, gradient = ranking_loss(images.astype(np.float32), others, 10.0)
    assert np.isfinite(loss)
    assert np.isfinite(gradient).all()


def test_batches_hold_each_row_with_neighbors_once():
    graph = label_neighbors(random_labels(50, 20, 0, density=0.02), 3, 0, STOP)
    with_neighbors = np.flatnonzero(np.diff(graph.indptr))
    assert len(with_neighbors) < 50
    for _ in range(3):
        batches = list(_edge_batches(graph, 1, 8, np.random.default_rng(0)))
        rows, neighbors = (np.concatenate(pieces) for pieces in zip(*batches, strict=True))
        assert sorted(rows.tolist()) == with_neighbors.tolist()
        assert (graph.toarray()[rows, neighbors] > 0).all()


@pytest.mark.parametrize("form", [csr_array, np.asarray])
def test_training_for_longer_ranks_neighbors_higher(form, bibtex):
    X, graph = unit_rows(bibtex.X[:600]), label_neighbors(bibtex.Y[:600], 5, 0, STOP)
    rows, neighbors = graph.nonzero()
    losses = []
    for epochs in (0, 2, 8):
        V = ranking_map(form(X.toarray()), graph, 16, 10.0, epochs, np.random.default_rng(0), STOP)
        images = np.concatenate([X[rows] @ V, X[neighbors] @ V, X @ V])
        losses.append(ranking_loss(images, graph[rows].toarray() == 0, 10.0)[0])
    assert losses[2] < losses[1] < losses[0]


@pytest.mark.parametrize("form", [csr_array, np.asarray])
def test_clusters_of_similar_size_keep_neighbors_together(form, bibtex):
    X, graph = unit_rows(bibtex.X), label_neighbors(bibtex.Y, 10, 0, STOP)
    rows, neighbors = graph.nonzero()
    lifts = []
    for scorers in (
        learn_partition(form(X.toarray()), graph, 5, np.random.default_rng(0), STOP),
        cluster_centroids(X, 5, np.random.default_rng(0), STOP),
    ):
        assert scorers.shape == (5, 1836)
        cluster = nearest_centroid(X, scorers)
        shares = np.bincount(cluster, minlength=5) / len(cluster)
        lifts.append((cluster[rows] == cluster[neighbors]).mean() / (shares**2).sum())  # 1 for clusters at random
        if len(lifts) == 1:
            assert shares.max() < 0.4
    assert lifts[0] > lifts[1]
    assert lifts[0] > 2


def test_single_cluster_needs_no_training(bibtex):
    graph = label_neighbors(bibtex.Y[:50], 10, 0, STOP)
    assert learn_partition(bibtex.X[:50], graph, 1, np.random.default_rng(0), STOP).shape == (1, 1836)


def test_rows_whose_labels_nobody_shares_still_vote():
    clf = AnnexML(1, n_components=8, n_neighbors=1).fit(np.eye(6), np.eye(6))
    np.testing.assert_array_equal(clf.predict_topk(np.eye(6), 1).ids[:, 0], np.arange(6))


@pytest.mark.long
def test_graph_finds_almost_the_same(bibtex):
    pytest.importorskip("usearch")
    exact = AnnexML(3).fit(bibtex.X, bibtex.Y)
    expected = exact.predict_topk(bibtex.X_test, 5)
    found = AnnexML(3, search="graph").fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    assert (found.ids == expected.ids).all(axis=1).mean() > 0.95
    again = exact.set_params(search="graph").predict_topk(bibtex.X_test, 5)
    np.testing.assert_array_equal(again.ids, found.ids)


@pytest.mark.parametrize("name", ["part_size", "sharpness", "search"])
def test_annexml_rejects_zero_parameters(name):
    with pytest.raises(ValueError, match=name):
        AnnexML(**{name: 0}).fit(np.eye(2), [["a"], ["b"]])


def test_annexml_accuracy_on_bibtex(bibtex):
    top = AnnexML(4).fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    assert precision_at_k(bibtex.Y_test, top, 1) > 0.62
    assert precision_at_k(bibtex.Y_test, top, 5) > 0.27
