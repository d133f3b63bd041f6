"""What holds for every forest over points: FastXML, PfastreXML, MLRF and CRAFTML."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array
from sklearn.base import clone

from tests.helpers.naive.forests import forest_scores, walk
from xclassic import CRAFTML, MLRF, FastXML, PfastreXML, datasets
from xclassic.storage.folder import ModelFileError

# Set so that a score is the mean of the shares in the leaves, and the share in a leaf the mean over all its points.
PLAIN = [FastXML(), PfastreXML(propensity=None, alpha=1.0), MLRF(bootstrap=False), CRAFTML()]
every_forest = pytest.mark.parametrize("forest", PLAIN, ids=lambda forest: type(forest).__name__)


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


def new(forest, **parameters):
    return clone(forest).set_params(**parameters)


def assert_leaves_are_means(clf, X, Y):
    rows = clf._prepare(X)
    for tree in clf.trees_:
        leaves = tree.leaf_of(rows)
        assert np.bincount(leaves, minlength=tree.n_nodes)[tree.leaves].tolist() == tree.n_points[tree.leaves].tolist()
        for leaf in tree.leaves[::10]:
            shares = np.zeros(tree.n_labels)
            entries = slice(tree.label_ptr[leaf], tree.label_ptr[leaf + 1])
            shares[tree.labels[entries]] = tree.shares[entries]
            np.testing.assert_allclose(shares, Y[np.flatnonzero(leaves == leaf)].mean(axis=0), rtol=1e-3)


@every_forest
def test_predictions_equal_walks_in_plain_loops(forest, bibtex):
    clf = new(forest, n_trees=3).fit(bibtex.X, bibtex.Y)
    X = clf._prepare(bibtex.X_test[:40])
    dense = X.toarray()
    for tree in clf.trees_:
        assert tree.leaf_of(X).tolist() == [walk(tree, x) for x in dense]
    top = clf.predict_topk(bibtex.X_test[:40], 10)
    for row in range(40):
        scores = forest_scores(clf.trees_, dense[row], 159)
        order = np.lexsort((np.arange(159), -scores.astype(np.float32)))
        count = top.counts[row]
        assert count == min(10, (scores > 0).sum())
        np.testing.assert_allclose(top.scores[row, :count], scores[order[:count]], rtol=1e-3)
        np.testing.assert_allclose(scores[top.ids[row, :count]], scores[order[:count]], rtol=1e-3)


@every_forest
def test_rows_may_be_dense(forest, bibtex):
    X, Y = bibtex.X[:300], bibtex.Y[:300]
    sparse, dense = new(forest, n_trees=2).fit(X, Y), new(forest, n_trees=2).fit(X.toarray(), Y)
    np.testing.assert_array_equal(sparse.predict_topk(X, 3).scores, dense.predict_topk(X.toarray(), 3).scores)


@every_forest
def test_leaves_hold_the_mean_labels_of_their_points(forest, bibtex):
    clf = new(forest, n_trees=2, leaf_labels=159).fit(bibtex.X[:1000], bibtex.Y[:1000])
    assert_leaves_are_means(clf, bibtex.X[:1000], bibtex.Y[:1000])


@every_forest
def test_partial_fit_moves_the_means_of_leaves(forest, bibtex):
    clf = new(forest, n_trees=2, leaf_labels=159).fit(bibtex.X[:600], bibtex.Y[:600])
    clf.predict_topk(bibtex.X_test[:5])
    before = [tree.arrays() for tree in clf.trees_]
    clf.partial_fit(bibtex.X[600:1000], bibtex.Y[600:1000])
    for tree, old in zip(clf.trees_, before, strict=True):
        np.testing.assert_array_equal(tree.weights, old["weights"])
        assert tree.n_points.sum() == 1000
    assert_leaves_are_means(clf, bibtex.X[:1000], bibtex.Y[:1000])
    scores = forest_scores(clf.trees_, clf._prepare(bibtex.X_test[[0]]).toarray()[0], 159)
    assert clf.predict_topk(bibtex.X_test[:1], 1).scores[0, 0] == pytest.approx(scores.max(), rel=1e-5)


@every_forest
def test_partial_fit_takes_further_labels(forest):
    clf = new(forest, n_trees=1).fit(np.eye(3), [["a"], ["c"], ["a"]])
    clf.partial_fit(np.eye(3), [["b"], ["b"], []])
    assert clf.classes_.tolist() == ["a", "b", "c"]
    assert clf.trees_[0].n_points.sum() == 6
    assert clf.predict_topk(np.eye(3), 3).counts.max() == 3
    with pytest.raises(ValueError, match="5"):
        clf.partial_fit(np.eye(3), [[5], [5], []])


@every_forest
def test_trees_added_are_those_of_a_larger_forest(forest, bibtex):
    X, Y = bibtex.X[:500], bibtex.Y[:500]
    clf = new(forest, n_trees=2, random_state=3).fit(X, Y).add_trees(2, X, Y)
    whole = new(forest, n_trees=4, random_state=3).fit(X, Y)
    assert clf.n_trees == 4
    for one, other in zip(clf.trees_, whole.trees_, strict=True):
        for name, array in one.arrays().items():
            np.testing.assert_array_equal(array, other.arrays()[name])
    np.testing.assert_array_equal(clf.predict_topk(X, 5).scores, whole.predict_topk(X, 5).scores)


@every_forest
def test_max_depth_bounds_the_tree(forest, bibtex):
    assert new(forest, n_trees=1, max_depth=2).fit(bibtex.X, bibtex.Y).trees_[0].depth == 2


@every_forest
def test_leaf_labels_keeps_the_largest_shares(forest):
    Y = csr_array(np.array([[1, 1, 0, 1], [0, 1, 1, 1]], np.float32))
    tree = new(forest, n_trees=1, leaf_labels=2).fit(np.eye(2), Y).trees_[0]
    assert tree.labels.tolist() == [1, 3]
    assert tree.shares.tolist() == [1, 1]


@every_forest
def test_max_leaf_above_the_data_gives_the_most_frequent_labels(forest):
    X = np.eye(5, dtype=np.float32)
    clf = new(forest, n_trees=2, max_leaf=5).fit(X, [["a"], ["a", "b"], ["a"], ["b"], ["c"]])
    assert clf.predict_topk(X[:1], 3).named(clf.classes_)[0] == [
        ("a", pytest.approx(0.6, rel=1e-3)),
        ("b", pytest.approx(0.4, rel=1e-3)),
        ("c", pytest.approx(0.2, rel=1e-3)),
    ]
    assert [tree.n_nodes for tree in clf.trees_] == [1, 1]


@every_forest
@pytest.mark.parametrize("dense", [False, True])
def test_rows_without_features_or_labels_and_constant_features(forest, dense):
    random = np.random.default_rng(0)
    X = random_array((60, 8), density=0.3, rng=random, dtype=np.float32).toarray()
    X[:, 2] = 1
    X[:5] = 0
    Y = csr_array((random.random((60, 6)) < 0.2).astype(np.float32))
    assert (np.diff(Y.indptr) == 0).any()
    top = new(forest, n_trees=4, max_leaf=2).fit(X if dense else csr_array(X), Y).predict_topk(X, 6)
    assert np.isfinite(top.scores[top.ids >= 0]).all()
    assert (top.scores[top.ids >= 0] <= 1 + 1e-6).all()


@every_forest
def test_identical_rows_are_one_leaf(forest):
    X, Y = np.ones((50, 3)), (np.random.default_rng(0).random((50, 4)) < 0.5).astype(int)
    clf = new(forest, n_trees=3, max_leaf=5).fit(X, Y)
    assert [tree.n_nodes for tree in clf.trees_] == [1, 1, 1]
    np.testing.assert_allclose(clf.decision_function(X), Y.mean(axis=0)[None].repeat(50, 0), atol=1e-3)


@every_forest
def test_identical_label_sets_are_predicted_everywhere(forest):
    X = np.random.default_rng(0).random((50, 3))
    clf = new(forest, n_trees=3, max_leaf=5).fit(X, np.ones((50, 4), int))
    np.testing.assert_allclose(clf.decision_function(X), 1, atol=1e-3)


@every_forest
def test_forest_of_one_label_and_one_row(forest):
    clf = new(forest, n_trees=2).fit(np.ones((1, 1)), [["only"]])
    assert clf.predict_topk(np.ones((1, 1))).named(clf.classes_)[0] == [("only", 1.0)]


@every_forest
def test_labels_never_seen_are_never_predicted(forest):
    Y = csr_array(([1.0] * 6, ([0, 1, 2, 3, 4, 5], [1, 3, 1, 3, 1, 3])), shape=(6, 5))
    top = new(forest, n_trees=3, max_leaf=1).fit(np.eye(6), Y).predict_topk(np.eye(6), 5)
    assert set(top.ids[top.ids >= 0].tolist()) <= {1, 3}


@every_forest
def test_damaged_forest_is_rejected(forest):
    clf = new(forest, n_trees=2, max_leaf=1).fit(np.eye(2).repeat(4, axis=0), [["a"]] * 4 + [["b"]] * 4)
    arrays, metadata = clf._get_arrays()
    assert arrays["features"].size
    loaded = new(forest)
    loaded.n_features_in_, loaded.classes_ = 2, clf.classes_
    for name in (name for name, array in arrays.items() if array.size):
        with pytest.raises(ModelFileError):
            loaded._set_arrays(arrays | {name: arrays[name][:-1]}, metadata, "full")
    for arrays_without_trees in (
        {k: v for k, v in arrays.items() if k != "n_nodes"},
        arrays | {"n_nodes": arrays["n_nodes"][:0]},
    ):
        with pytest.raises(ModelFileError, match="n_nodes"):
            loaded._set_arrays(arrays_without_trees, metadata, "lazy")
