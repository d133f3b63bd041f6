"""InstanceTree: validation, walks, drawing and storage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from xclassic import FastXML, datasets
from xclassic.instance_tree import InstanceTree
from xclassic.storage.folder import ModelFileError


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


def test_row_walks_to_the_child_with_the_highest_score_and_to_the_first_of_equals():
    X = np.array([[1, 0], [0.5, 9], [0.4, 0]], np.float32)
    assert stump().leaf_of(X).tolist() == [1, 1, 2]
    assert stump().leaf_of(csr_array(X)).tolist() == [1, 1, 2]
    with pytest.raises(ValueError, match="X has 3 columns; it must have 2"):
        stump().leaf_of(np.zeros((1, 3), np.float32))


def test_tree_statistics():
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
        ({"labels": np.array([2, 0, 1], np.int32)}, "ascend"),
        ({"weights": np.array([np.nan], np.float32)}, "finite"),
        ({"weights": np.zeros(0, np.float32)}, "weight for each"),
        ({"shares": np.array([0.75, 0, 1], np.float32)}, "shares"),
        ({"n_points": np.array([0, -1, 2])}, "n_points"),
    ],
)
def test_arrays_that_make_no_tree_are_rejected(changes, message):
    with pytest.raises(ValueError, match=message):
        stump(**changes)


def test_tree_saves_and_loads(tmp_path, forest):
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
