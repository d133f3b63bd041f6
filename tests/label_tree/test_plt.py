"""PLT: probabilities along a known tree."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from xclassic import PLT, LabelTree

TREE = LabelTree.from_codes([(0, 0), (0, 1), (1, 0), (1, 1, 0), (1, 1, 1)])
EXACT = {"prune": 0.0, "weight_dtype": "float32", "normalize": False, "eps": 1e-3, "max_passes": 100}


def draw(n, seed=0):
    """Return rows, a label for each drawn down `TREE` by a logistic model in each node, and label probabilities."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)).astype(np.float32)
    probability = np.ones((n, TREE.n_nodes))
    for node in TREE.inner:
        share = 1 / (1 + np.exp(-(X @ rng.normal(size=3) * 1.5 + rng.normal())))
        left = TREE.child_ptr[node]
        probability[:, left] = probability[:, node] * share
        probability[:, left + 1] = probability[:, node] * (1 - share)
    truth = probability[:, TREE.paths().max(axis=1)]
    return X, (truth.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(max=4), truth


def probabilities(clf, X, n_labels=5):
    return clf.predict_topk(X, k=n_labels).to_csr(n_labels).toarray()


def test_probabilities_are_those_of_the_known_tree():
    X, y, truth = draw(8000)
    found = probabilities(PLT(tree=TREE, beam=None, C=1.0, **EXACT).fit(X, y), X)
    assert np.abs(found - truth).mean() < 0.02
    for label in range(5):
        for group in np.array_split(np.argsort(found[:, label]), 8):
            assert (y[group] == label).mean() == pytest.approx(found[group, label].mean(), abs=0.05)


def exhaustive(clf, X):
    """Return the probability of every node of the first tree by plain matrix products."""
    model = clf.models_[0]
    tree, w = model.tree, model.weights
    bias = np.zeros(tree.n_nodes)
    bias[w.labels[w.labels >= 0]] = w.bias[w.labels >= 0]
    nodes = 1 / (1 + np.exp(-(X @ w.to_csc(tree.n_nodes).toarray() + bias)))
    nodes[:, 0] = 1
    for node in range(1, tree.n_nodes):
        nodes[:, node] *= nodes[:, tree.parent[node]]
    return tree, nodes


@pytest.mark.parametrize("partition", ["kmeans", "huffman", "random"])
def test_search_by_best_first_is_exhaustive_search(partition):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(300, 6)).astype(np.float32)
    Y = csr_array((rng.random((300, 40)) < 0.1).astype(np.float32))
    clf = PLT(partition=partition, max_leaf=3, beam=None, **EXACT).fit(X, Y)
    tree, nodes = exhaustive(clf, X)
    expected = np.zeros((300, 40))
    leaves = np.flatnonzero(tree.label >= 0)
    expected[:, tree.label[leaves]] = nodes[:, leaves]
    top = clf.predict_topk(X, k=7)
    np.testing.assert_allclose(top.scores, -np.sort(-expected, axis=1)[:, :7], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(expected, top.ids, axis=1), top.scores, atol=1e-5)
    assert (nodes[:, 1:] <= nodes[:, tree.parent[1:]]).all()
    for leaf in leaves:  # a label is at most as likely as each node above it
        assert (probabilities(clf, X, 40)[:, tree.label[leaf]] <= nodes[:, tree.parent[leaf]] + 1e-6).all()


def test_rows_without_labels_are_negatives_at_the_root():
    X = np.ones((100, 1), np.float32)
    Y = np.zeros((100, 2), np.float32)
    Y[:30, 0] = Y[30:50, 1] = 1
    clf = PLT(C=5, eps=1e-4, max_passes=1000, normalize=False, prune=0).fit(X, Y)
    np.testing.assert_allclose(clf.predict_proba(X[:1])[0], [0.3, 0.2], atol=0.02)
