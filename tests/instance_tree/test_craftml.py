"""CRAFTML: projections, clusters, mean rows, and the forest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array

import xclassic._kernels.point_clusters as kernels
from tests.helpers.contract import assert_same_arrays, noisy
from tests.helpers.naive import forests as naive
from xclassic import CRAFTML, datasets
from xclassic.instance_tree.craftml import draw_projection, project
from xclassic.metrics import precision_at_k
from xclassic.rows import kernel_rows, unit_rows

STOP = np.zeros(1, np.uint8)


def split(labels, X, *, k=3, rounds=2, max_sample=10_000, share=1.0, least=1, most=1000, n_slots=None, seed=1):
    """Run the kernel on one node of all rows; without `n_slots` features are not projected."""
    d = X.shape[1]
    if n_slots is None:
        slots, signs, n_slots = np.arange(d, dtype=np.int32), np.ones(d, np.float32), d
    else:
        slots, signs = draw_projection(d, n_slots, np.random.default_rng(seed))
    n = X.shape[0]
    found = kernels.split_by_clusters(
        kernel_rows(X),
        kernel_rows(unit_rows(csr_array(labels.astype(np.float32)))),
        slots=slots,
        signs=signs,
        n_slots=n_slots,
        point_ptr=np.array([0, n]),
        points=np.arange(n, dtype=np.int32),
        n_clusters=k,
        rounds=rounds,
        max_sample=max_sample,
        kept_share=share,
        kept_least=least,
        kept_most=most,
        seeds=np.array([seed], np.uint64),
        stop=STOP,
    )
    return *found, slots, signs


def vectors(sizes, features, values, d):
    W = np.zeros((len(sizes), d))
    W[np.repeat(np.arange(len(sizes)), sizes), features] = values
    return W


def test_projections_keep_products_on_average():
    random = np.random.default_rng(0)
    X = csr_array(random_array((2, 300), density=0.3, rng=random, dtype=np.float32))
    exact = (X @ X.T).toarray()
    n = 2000
    products = np.zeros((n, 2, 2))
    for trial in range(n):
        P = project(X, *draw_projection(300, 50, random), 50)
        products[trial] = (P @ P.T).toarray()
    error = products.std(axis=0) / np.sqrt(n)
    assert (np.abs(products.mean(axis=0) - exact) < 4 * error).all()
    assert error.max() < 0.05 * exact[0, 0]


def test_projected_rows_are_those_of_a_matrix():
    random = np.random.default_rng(1)
    X = csr_array(random_array((20, 30), density=0.3, rng=random, dtype=np.float32))
    slots, signs = draw_projection(30, 7, random)
    P = np.zeros((30, 7), np.float32)
    P[np.arange(30), slots] = signs
    np.testing.assert_allclose(project(X, slots, signs, 7).toarray(), X @ P, atol=1e-5)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_points_go_to_the_nearest_mean_row_of_their_clusters(seed, dense):
    random = np.random.default_rng(seed)
    groups = np.arange(60) % 3
    X = (random.random((60, 20)) * (random.random((60, 20)) < 0.4)).astype(np.float32)
    X[np.arange(60), groups] = 2  # so that all three mean rows are nearest to some
    arity, child, sizes, features, values, slots, signs = split(
        np.eye(3)[groups], X if dense else csr_array(X), share=0.6, least=2, n_slots=12, seed=seed
    )
    W = vectors(sizes, features, values, 20)
    expected = naive.mean_rows(X, groups, slots, signs, 12, 0.6, 2)
    assert arity.tolist() == [3]
    order = np.abs(W[:, None] - expected[None]).max(axis=2).argmin(axis=0)
    np.testing.assert_allclose(W[order], expected, atol=1e-3)
    scores = X @ W.T
    np.testing.assert_allclose(scores[np.arange(60), child], scores.max(axis=1), rtol=1e-5)


def test_mean_rows_keep_a_few_entries():
    X = np.random.default_rng(0).random((40, 30)).astype(np.float32)
    labels = np.eye(2)[np.arange(40) % 2]
    for share, least, most, kept in ((0.2, 1, 30, 6), (0.0, 4, 30, 4), (1.0, 1, 30, 30), (1.0, 1, 7, 7)):
        sizes = split(labels, csr_array(X), k=2, share=share, least=least, most=most)[2]
        assert (sizes == kept).all()


def test_clusters_have_similar_labels():
    random = np.random.default_rng(2)
    groups = random.integers(0, 4, 300)
    Y = np.zeros((300, 40))
    for i, group in enumerate(groups):
        Y[i, 10 * group + random.choice(10, 4, replace=False)] = 1
    X = np.eye(4)[groups] + 0.01 * random.random((300, 4))
    arity, child, *_ = split(Y, csr_array(X.astype(np.float32)), k=4, rounds=5, seed=3)
    assert arity[0] >= 3
    for c in range(arity[0]):
        assert len(np.unique(groups[child == c])) <= 2


def test_rows_without_labels_are_sent_on_but_not_clustered():
    Y = np.zeros((30, 2))
    Y[:10, 0] = Y[10:20, 1] = 1
    X = np.zeros((30, 3), np.float32)
    X[:10, 0] = X[10:20, 1] = 1
    X[20:25, 0] = 1
    X[25:, 2] = 1
    arity, child, _, features, *_ = split(Y, csr_array(X), k=3)
    assert arity.tolist() == [2]
    assert len(set(child[:10]) | set(child[20:25])) == 1
    assert (child >= 0).all()
    assert 2 not in features


def test_sample_decides_for_all_points():
    random = np.random.default_rng(0)
    groups = np.arange(400) % 2
    X = (np.eye(2)[groups] + 0.1 * random.random((400, 2))).astype(np.float32)
    arity, child, *_ = split(np.eye(2)[groups], csr_array(X), k=2, max_sample=20)
    assert arity.tolist() == [2]
    assert len(set(zip(groups.tolist(), child.tolist(), strict=True))) == 2


@pytest.mark.parametrize("same", ["rows", "labels", "none"])
def test_nodes_that_cannot_be_split_are_leaves(same):
    random = np.random.default_rng(0)
    X = np.ones((20, 3)) if same == "rows" else random.random((20, 3))
    Y = np.zeros((20, 4)) if same == "none" else random.random((20, 4)) < 0.5
    if same == "labels":
        Y[:] = [1, 0, 1, 0]
    arity, _, sizes, features, *_ = split(Y, csr_array(X.astype(np.float32)))
    assert arity.tolist() == [0]
    assert not len(sizes)
    assert not len(features)


def test_clusters_as_many_as_points_memorize_the_labels():
    random = np.random.default_rng(0)
    X = random.standard_normal((40, 30))
    Y = (random.random((40, 12)) < 0.4).astype(float)
    Y = np.unique(Y, axis=0)[1:]  # a cluster for each, all with labels
    X = X[: len(Y)]
    clf = CRAFTML(
        n_trees=1, n_clusters=len(Y), max_leaf=1, kept_share=1.0, kept_most=10_000, n_dimensions=1_000_000
    ).fit(X, Y)
    assert len(clf.trees_[0].leaves) == len(Y)
    np.testing.assert_allclose(np.maximum(clf.decision_function(X), 0), Y, atol=1e-3)


def test_trees_see_other_projections():
    bibtex = datasets.load_bibtex()
    clf = CRAFTML(n_trees=2).fit(bibtex.X[:300], bibtex.Y[:300])
    one, other = clf.trees_
    assert one.weights.tobytes() != other.weights.tobytes()


def test_craftml_accuracy_on_bibtex():
    bibtex = datasets.load_bibtex()
    top = CRAFTML(n_trees=20).fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    assert precision_at_k(bibtex.Y_test, top, 1) > 0.6
    assert precision_at_k(bibtex.Y_test, top, 5) > 0.265


def test_rounds_end_when_no_point_moves():
    X, Y = noisy()
    model = CRAFTML(n_trees=2, rounds=2**31 - 1).fit(X, Y)
    assert_same_arrays(model, CRAFTML(n_trees=2, rounds=500).fit(X, Y))
