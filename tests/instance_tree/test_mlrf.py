"""MLRF: the threshold of a node, and the forest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.tree import DecisionTreeClassifier

import xclassic._kernels.thresholds as kernels
from tests.helpers.naive import forests as naive
from xclassic import MLRF, datasets
from xclassic.metrics import precision_at_k
from xclassic.rows import kernel_rows

STOP = np.zeros(1, np.uint8)


def find(X, Y, points=None, max_features=None, min_leaf=1, min_share=0.0, seed=1):
    """Run the kernel on one node."""
    Y = csr_array(Y)
    points = np.arange(X.shape[0], dtype=np.int32) if points is None else np.asarray(points, np.int32)
    features, thresholds, went = kernels.find_thresholds(
        kernel_rows(X),
        label_ptr=Y.indptr.astype(np.int64),
        labels=Y.indices.astype(np.int32),
        n_labels=Y.shape[1],
        point_ptr=np.array([0, len(points)]),
        points=points,
        max_features=max_features or X.shape[1],
        min_leaf=min_leaf,
        min_share=min_share,
        seeds=np.array([seed], np.uint64),
        stop=STOP,
    )
    return int(features[0]), float(thresholds[0]), went


def small_problem(seed, negative=True):
    random = np.random.default_rng(seed)
    n, d, n_labels = (int(random.integers(2, high)) for high in (20, 6, 6))
    X = random.integers(-3 if negative else 0, 4, (n, d)) * (random.random((n, d)) < 0.6)
    return X.astype(np.float32), (random.random((n, n_labels)) < 0.4).astype(float)


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("min_leaf", [1, 4])
@pytest.mark.parametrize("seed", range(25))
def test_split_is_the_best_of_all(seed, min_leaf, dense):
    X, Y = small_problem(seed)
    feature, threshold, went = find(X if dense else csr_array(X), Y, min_leaf=min_leaf)
    best, splits = naive.best_threshold(X, Y, min_leaf)
    if feature < 0:
        assert not splits or not Y.std(axis=0).any()
        return
    assert (feature, pytest.approx(threshold)) in splits
    np.testing.assert_array_equal(went, X[:, feature] > threshold)
    assert min(went.sum(), (1 - went).sum()) >= min_leaf
    assert naive.likeness(Y[went == 0]) + naive.likeness(Y[went == 1]) == pytest.approx(best)


def test_split_leaves_a_share_of_the_points_on_either_side():
    X = np.zeros((100, 2), np.float32)
    X[:5, 0] = X[:30, 1] = 1
    Y = np.zeros((100, 2))
    Y[:5] = 1  # feature 0 tells these apart
    assert find(csr_array(X), Y)[0] == 0
    assert find(csr_array(X), Y, min_share=0.1)[0] == 1


def test_rows_that_stand_in_a_node_twice_count_twice():
    X, Y = small_problem(3)
    points = np.sort(np.random.default_rng(0).integers(0, len(X), 2 * len(X)))
    found, repeated = find(csr_array(X), Y, points), find(csr_array(X[points]), Y[points])
    assert found[:2] == repeated[:2]
    np.testing.assert_array_equal(found[2], repeated[2])


def test_features_are_drawn_until_one_parts_the_node():
    X = np.zeros((10, 40), np.float32)
    X[:, :39] = 1
    X[5:, 39] = 2
    Y = np.eye(2)[np.repeat([0, 1], 5)]
    for seed in range(5):
        assert find(csr_array(X), Y, max_features=1, seed=seed)[:2] == (39, 1.0)


def test_candidates_are_random_and_the_best_of_them_wins():
    random = np.random.default_rng(0)
    X = random.random((60, 30)).astype(np.float32)
    Y = (random.random((60, 5)) < 0.5).astype(float)
    single = {find(X, Y, max_features=1, seed=seed)[0] for seed in range(40)}
    assert len(single) > 15
    assert len({find(X, Y, max_features=30, seed=seed)[0] for seed in range(10)}) == 1


def test_thresholds_between_floats_that_touch():
    low = np.float32(1)
    high = np.nextafter(low, np.float32(2))
    X = np.array([[low], [high]], np.float32)
    feature, threshold, went = find(X, np.eye(2))
    assert (feature, threshold, went.tolist()) == (0, 1.0, [0, 1])


@pytest.mark.parametrize("seed", range(4))
def test_tree_equals_that_of_scikit_learn(seed):
    random = np.random.default_rng(seed)
    X = random.standard_normal((300, 6)).astype(np.float32)
    Y = np.column_stack([X[:, 0] > 0, X[:, 1] + X[:, 2] > 0.5, random.random(300) < 0.2]).astype(int)
    clf = MLRF(
        1, max_leaf=1, min_leaf=1, min_share=0, split_features=1.0, bootstrap=False, max_depth=3, normalize=False
    ).fit(X, Y)
    reference = DecisionTreeClassifier(max_depth=3, random_state=0).fit(X, Y)
    tree = clf.trees_[0]
    assert len(tree.leaves) == reference.get_n_leaves()
    shares = np.column_stack([p[:, 1] for p in reference.predict_proba(X)])
    np.testing.assert_allclose(np.maximum(clf.decision_function(X), 0), shares, atol=1e-3)  # -inf: not predicted
    leaves = reference.apply(X)
    pairs = set(zip(tree.leaf_of(X).tolist(), leaves.tolist(), strict=True))
    assert len(pairs) == len(np.unique(leaves))


def test_bootstrap_draws_other_rows_for_each_tree():
    X = np.random.default_rng(0).random((100, 4))
    Y = np.eye(2)[(X[:, 0] > 0.5).astype(int)]
    clf = MLRF(n_trees=3, max_leaf=50).fit(X, Y)
    assert len({tree.bias.tobytes() for tree in clf.trees_}) == 3
    assert [tree.n_points.sum() for tree in clf.trees_] == [100] * 3
    rows = clf._rows_of_tree(1000, 5)
    assert 600 < len(np.unique(rows)) < 670


def test_mlrf_accuracy_on_bibtex():
    bibtex = datasets.load_bibtex()
    top = MLRF(n_trees=20).fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    assert precision_at_k(bibtex.Y_test, top, 1) > 0.595
    assert precision_at_k(bibtex.Y_test, top, 5) > 0.26


@pytest.mark.parametrize("bad", [0, 1.5, "log2", None])
def test_split_features_that_is_bad_is_rejected(bad):
    with pytest.raises((ValueError, TypeError), match="split_features"):
        MLRF(split_features=bad).fit(np.eye(3), np.eye(3))
