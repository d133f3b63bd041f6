"""InstanceTree: validation, walks, drawing, storage; and the growth of forests."""

from __future__ import annotations

import numpy as np
import pytest
from naive_forests import forest_scores, walk
from scipy.sparse import csr_array, random_array

from xclassic import FastXML, datasets
from xclassic.instance_tree import InstanceTree
from xclassic.model_io import ModelFileError


def stump(**changes):
    """A root that sends x0 >= 0.5 to the first of two leaves."""
    arrays = {
        "child_ptr": np.array([1, 3, 3, 3]),
        "router_ptr": np.array([0, 0, 1, 1]),
        "features": np.array([0], np.int32),
        "weights": np.array([1], np.float32),
        "bias": np.array([0, -0.5, 0], np.float32),
        "label_ptr": np.array([0, 0, 2, 3]),
        "labels": np.array([0, 2, 1], np.int32),
        "shares": np.array([0.75, 0.25, 1], np.float32),
        "n_points": np.array([0, 4, 2]),
    }
    return InstanceTree(n_features=2, n_labels=3, **(arrays | changes))


@pytest.fixture(scope="module")
def forest():
    bibtex = datasets.load_bibtex()
    return FastXML(n_trees=3).fit(bibtex.X, bibtex.Y)


def test_a_row_walks_to_the_child_with_the_highest_score_and_to_the_first_of_equals():
    X = np.array([[1, 0], [0.5, 9], [0.4, 0]], np.float32)
    assert stump().leaf_of(X).tolist() == [1, 1, 2]
    assert stump().leaf_of(csr_array(X)).tolist() == [1, 1, 2]
    with pytest.raises(ValueError, match="3 features"):
        stump().leaf_of(np.zeros((1, 3), np.float32))


def test_statistics():
    tree = stump()
    assert (tree.n_nodes, tree.depth, tree.mean_depth) == (3, 1, 1.0)
    assert tree.leaves.tolist() == [1, 2]
    assert repr(tree) == "InstanceTree(2 leaves, depth 1, 1.0 on average)"


def test_drawing_names_features_and_labels():
    drawn = stump().draw(feature_names=["word", "other"], label_names=["a", "b", "c"])
    assert drawn.splitlines() == [
        "2 children",
        "├── [-0.50 +1.00 word] 4 points: a 0.75, c 0.25",
        "└── [+0.00] 2 points: b 1.00",
    ]
    assert "+1.00 0" in stump().draw()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"child_ptr": np.array([1, 3, 3, 4])}, "child_ptr"),
        ({"child_ptr": np.array([1, 2, 2, 3])}, "level order"),
        ({"child_ptr": np.array([1, 3, 3])}, "child_ptr"),
        ({"router_ptr": np.array([0, 0, 2, 1])}, "router_ptr"),
        ({"features": np.array([2], np.int32)}, "features"),
        ({"features": np.array([-1], np.int32)}, "features"),
        ({"labels": np.array([0, 3, 1], np.int32)}, "labels"),
        ({"labels": np.array([2, 0, 1], np.int32)}, "rise"),
        ({"weights": np.array([np.nan], np.float32)}, "finite"),
        ({"weights": np.zeros(0, np.float32)}, "weight for each"),
        ({"shares": np.array([0.75, 0, 1], np.float32)}, "shares"),
        ({"n_points": np.array([0, -1, 2])}, "n_points"),
    ],
)
def test_arrays_that_are_no_tree_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        stump(**changes)


def test_saving_and_loading(tmp_path, forest):
    for number, tree in enumerate((stump(), forest.trees_[0])):
        tree.save(tmp_path / str(number))
        loaded = InstanceTree.load(tmp_path / str(number))
        for name, array in tree.arrays().items():
            np.testing.assert_array_equal(loaded.arrays()[name], array)
    with pytest.raises(ModelFileError, match="missing"):
        InstanceTree.from_arrays({}, 1, 1)
    arrays = stump().arrays()
    with pytest.raises(ModelFileError, match="float64"):
        InstanceTree.from_arrays(arrays | {"weights": np.ones(1)}, 2, 3)
    with pytest.raises(ModelFileError, match="damaged"):
        InstanceTree.from_arrays(arrays | {"features": np.array([7], np.int32)}, 2, 3)


def test_predictions_equal_walks_in_plain_loops(forest):
    bibtex = datasets.load_bibtex()
    X = forest._encoded(bibtex.X_test[:40])
    dense = X.toarray()
    for tree in forest.trees_:
        assert tree.leaf_of(X).tolist() == [walk(tree, x) for x in dense]
    top = forest.predict_topk(bibtex.X_test[:40], 10)
    for row in range(40):
        scores = forest_scores(forest.trees_, dense[row], 159)
        order = np.lexsort((np.arange(159), -scores.astype(np.float32)))
        count = top.counts[row]
        assert count == min(10, (scores > 0).sum())
        np.testing.assert_allclose(top.scores[row, :count], scores[order[:count]], rtol=1e-3)
        np.testing.assert_allclose(scores[top.ids[row, :count]], scores[order[:count]], rtol=1e-3)


def test_leaves_hold_the_mean_labels_of_their_points(forest):
    bibtex = datasets.load_bibtex()
    tree = forest.trees_[1]
    leaves = tree.leaf_of(forest._encoded(bibtex.X))
    assert np.bincount(leaves, minlength=tree.n_nodes)[tree.leaves].tolist() == tree.n_points[tree.leaves].tolist()
    for leaf in tree.leaves[::25]:
        mean = bibtex.Y[np.flatnonzero(leaves == leaf)].mean(axis=0)
        stored = np.zeros(159)
        entries = slice(tree.label_ptr[leaf], tree.label_ptr[leaf + 1])
        stored[tree.labels[entries]] = tree.shares[entries]
        np.testing.assert_allclose(stored, mean, rtol=1e-3)


def test_leaf_labels_keeps_the_largest_shares():
    Y = csr_array(np.array([[1, 1, 0, 1], [0, 1, 1, 1]], np.float32))
    clf = FastXML(n_trees=1, leaf_labels=2).fit(np.eye(2), Y)
    assert clf.trees_[0].labels.tolist() == [1, 3]
    assert clf.trees_[0].shares.tolist() == [1, 1]


def test_max_leaf_above_the_data_gives_the_most_frequent_labels():
    X = np.eye(5, dtype=np.float32)
    clf = FastXML(n_trees=2, max_leaf=5).fit(X, [["a"], ["a", "b"], ["a"], ["b"], ["c"]])
    assert clf.predict_topk(X[:1], 3).named(clf.classes_)[0] == [
        ("a", pytest.approx(0.6, rel=1e-3)),
        ("b", pytest.approx(0.4, rel=1e-3)),
        ("c", pytest.approx(0.2, rel=1e-3)),
    ]
    assert [tree.n_nodes for tree in clf.trees_] == [1, 1]


def test_max_depth_bounds_the_tree():
    bibtex = datasets.load_bibtex()
    clf = FastXML(n_trees=1, max_depth=3).fit(bibtex.X, bibtex.Y)
    assert clf.trees_[0].depth == 3


def test_trees_added_are_those_of_a_larger_forest():
    bibtex = datasets.load_bibtex()
    X, Y = bibtex.X[:500], bibtex.Y[:500]
    clf = FastXML(n_trees=2, random_state=3).fit(X, Y).add_trees(2, X, Y)
    whole = FastXML(n_trees=4, random_state=3).fit(X, Y)
    assert clf.n_trees == 4
    for one, other in zip(clf.trees_, whole.trees_, strict=True):
        for name, array in one.arrays().items():
            np.testing.assert_array_equal(array, other.arrays()[name])
    np.testing.assert_array_equal(clf.predict_topk(X, 5).scores, whole.predict_topk(X, 5).scores)


def test_partial_fit_moves_the_means_of_leaves():
    bibtex = datasets.load_bibtex()
    first, rest = slice(0, 600), slice(600, 1000)
    clf = FastXML(n_trees=2, leaf_labels=159).fit(bibtex.X[first], bibtex.Y[first])
    clf.predict_topk(bibtex.X_test[:5])
    before = [tree.arrays() for tree in clf.trees_]
    clf.partial_fit(bibtex.X[rest], bibtex.Y[rest])
    X = clf._encoded(bibtex.X[:1000])
    for tree, old in zip(clf.trees_, before, strict=True):
        np.testing.assert_array_equal(tree.weights, old["weights"])
        leaves = tree.leaf_of(X)
        assert tree.n_points.sum() == 1000
        for leaf in np.unique(leaves)[::10]:
            mean = bibtex.Y[np.flatnonzero(leaves == leaf)].mean(axis=0)
            stored = np.zeros(159)
            entries = slice(tree.label_ptr[leaf], tree.label_ptr[leaf + 1])
            stored[tree.labels[entries]] = tree.shares[entries]
            np.testing.assert_allclose(stored, mean, rtol=1e-3)
    scores = forest_scores(clf.trees_, clf._encoded(bibtex.X_test[[0]]).toarray()[0], 159)
    assert clf.predict_topk(bibtex.X_test[:1], 1).scores[0, 0] == pytest.approx(scores.max(), rel=1e-5)


def test_further_labels_must_be_known():
    clf = FastXML(n_trees=1).fit(np.eye(3), [["a"], ["b"], ["a"]])
    with pytest.raises(ValueError, match="'c'"):
        clf.partial_fit(np.eye(3), [["a"], ["c"], ["b"]])
    clf.partial_fit(np.eye(3), [["b"], ["b"], []])
    assert clf.trees_[0].n_points.sum() == 6


def test_a_damaged_forest_is_refused():
    clf = FastXML(n_trees=2, max_leaf=1, C=10).fit(np.eye(4), [["a"], ["b"], ["a"], ["b"]])
    assert clf.trees_[0].features.size
    arrays, facts = clf._get_arrays()
    for name in (name for name, array in arrays.items() if array.size):
        loaded = FastXML()
        loaded.n_features_in_, loaded.classes_ = 4, clf.classes_
        with pytest.raises(ModelFileError):
            loaded._set_arrays(arrays | {name: arrays[name][:-1]}, facts, "full")
    for arrays_without_trees in (
        {k: v for k, v in arrays.items() if k != "n_nodes"},
        arrays | {"n_nodes": arrays["n_nodes"][:0]},
    ):
        with pytest.raises(ModelFileError, match="n_nodes"):
            loaded._set_arrays(arrays_without_trees, facts, "lazy")


def test_rows_without_features_or_labels_and_constant_features():
    random = np.random.default_rng(0)
    X = random_array((60, 8), density=0.3, rng=random, dtype=np.float32).tocsr()
    X = csr_array(X)
    X.data[X.indices == 2] = 1
    Y = csr_array((random.random((60, 6)) < 0.2).astype(np.float32))
    X[:5] = 0
    X.eliminate_zeros()
    clf = FastXML(n_trees=4, max_leaf=2).fit(X, Y)
    top = clf.predict_topk(X, 6)
    assert np.isfinite(top.scores[top.ids >= 0]).all()
    assert (top.scores[top.ids >= 0] <= 1 + 1e-6).all()


@pytest.mark.parametrize("same", ["rows", "labels"])
def test_nodes_that_cannot_be_split_become_leaves(same):
    random = np.random.default_rng(0)
    X = np.ones((50, 3)) if same == "rows" else random.random((50, 3))
    Y = np.ones((50, 4)) if same == "labels" else (random.random((50, 4)) < 0.5).astype(int)
    clf = FastXML(n_trees=3, max_leaf=5).fit(X, Y)
    if same == "rows":
        assert [tree.n_nodes for tree in clf.trees_] == [1, 1, 1]
    np.testing.assert_allclose(clf.decision_function(X)[:2], Y.mean(axis=0)[None].repeat(2, 0), atol=1e-3)


def test_one_label_and_one_row():
    clf = FastXML(n_trees=2).fit(np.ones((1, 1)), [["only"]])
    assert clf.predict_topk(np.ones((1, 1))).named(clf.classes_)[0] == [("only", 1.0)]
