"""Label trees whose labels come and go, with the models of their nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic._kernels.arguments import LANES
from xclassic.blocks.moving import move_lanes
from xclassic.blocks.weights import BlockWeights
from xclassic.label_tree.search import TreeModel, allowed_nodes, lanes_of_children
from xclassic.label_tree.tree import LabelTree

GROWTH = 1.25  # The rows of an inner node at which it is learned anew, as a multiple of those at the time before.


def relabeled(model: TreeModel, ids: NDArray[np.int32], n_labels: int) -> TreeModel | None:
    """Return a tree with other label ids and its models; nodes without labels are dropped.

    Parameters
    ----------
    model : TreeModel
    ids : ndarray of int32, shape (n_old_labels,)
        What the id of each label becomes; -1 drops it.
    n_labels : int

    Returns
    -------
    TreeModel or None
        None if no label of the tree remains.
    """
    model.prepared()  # This checks what was loaded.
    tree = model.tree
    label = np.where(tree.label >= 0, ids[tree.label], np.int32(-1))
    kept = allowed_nodes(tree, np.flatnonzero(ids >= 0).astype(np.int32)) > 0
    if not kept.any():
        return None
    if kept.all():
        return TreeModel(LabelTree(tree.child_ptr, label, n_labels, tree.names), model.weights)
    place = np.cumsum(kept) - 1
    parent = np.where(tree.parent[kept] >= 0, place[tree.parent[kept]], -1)
    names = None if tree.names is None else tree.names[kept]
    smaller, number = _in_level_order(parent, label[kept], n_labels, names)
    node_of = np.full(tree.n_nodes + 1, -1)  # The last entry is for lanes without a child.
    node_of[:-1][kept] = number
    return TreeModel(smaller, _assembled(smaller, [(model.weights, node_of[lanes_of_children(tree)])]))


def hang(tree: LabelTree, new: NDArray[np.int32], beside: NDArray[np.int32]) -> tuple[LabelTree, NDArray[np.int64]]:
    """Return a tree with further labels, each a sibling of another label.

    Parameters
    ----------
    tree : LabelTree
    new : ndarray of int32, shape (n_new,)
        Labels that are not in the tree.
    beside : ndarray of int32, shape (n_new,)
        Labels that are.

    Returns
    -------
    tree : LabelTree
        The new leaves are the last children of their nodes.
    number : ndarray of int64, shape (n_old_nodes,)
        What the number of each node becomes.
    """
    parents = np.concatenate([tree.parent, tree.parent[tree.leaves[beside]]])
    label = np.concatenate([tree.label, new])
    names = tree.names
    if names is not None:
        names = np.concatenate([names, np.full(len(new), "", np.str_)])
    larger, number = _in_level_order(parents, label, tree.n_labels, names)
    return larger, number[: tree.n_nodes]


def nodes_above(tree: LabelTree, labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the nodes on the paths to some labels, without the root, ascending; the leaves are among them."""
    return np.flatnonzero(allowed_nodes(tree, labels)[1:]) + 1


def nodes_grown(tree: LabelTree, Y: csr_array, n_known: int, labels: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the nodes above some labels that have so many more rows that their models have to be learned anew.

    A label always has. An inner node has each time that its rows have become a quarter more, however many come at a
    time: half of the labels are below each child of the root, whose models a few rows more hardly change.

    Parameters
    ----------
    tree : LabelTree
    Y : csr_array, shape (n_rows, n_labels)
    n_known : int
        The rows of `Y` from which the models have learned, which are its first ones.
    labels : ndarray of int32
        The labels of the further rows.
    """
    nodes = nodes_above(tree, labels)
    reached = tree.node_targets(Y)
    before, after = (np.bincount(reached.indices[: reached.indptr[n]], minlength=tree.n_nodes) for n in (n_known, -1))
    steps = [np.floor(np.log(np.maximum(counts[nodes], 1)) / np.log(GROWTH)) for counts in (before, after)]
    return nodes[(tree.label[nodes] >= 0) | (steps[0] < steps[1])]


def with_siblings(tree: LabelTree, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return all children of the parents of some nodes, ascending."""
    is_parent = np.zeros(tree.n_nodes, np.bool_)
    is_parent[tree.parent[nodes]] = True
    return np.flatnonzero(is_parent[tree.parent[1:]]) + 1


def with_retrained(
    model: TreeModel, tree: LabelTree, number: NDArray[np.int64], children: NDArray[np.int64], trained: BlockWeights
) -> TreeModel:
    """Return the models of a larger tree: `trained` for some nodes, and those of a smaller tree for all others.

    Parameters
    ----------
    model : TreeModel
        The smaller tree.
    tree, number
        What `hang` returned for it.
    children : ndarray of int64
        Nodes of the larger tree, ascending; all that the smaller one does not have are among them.
    trained : BlockWeights
        Models of these, a chunk for each node that has some of them as children.
    """
    node_of: NDArray[np.int64] = np.append(number, -1)[lanes_of_children(model.tree)]
    node_of[np.isin(node_of, children)] = -1
    return TreeModel(tree, _assembled(tree, [(model.weights, node_of), (trained, lanes_of_children(tree, children))]))


def _in_level_order(
    parent: NDArray[np.int64], label: NDArray[np.int32], n_labels: int, names: NDArray[Any] | None
) -> tuple[LabelTree, NDArray[np.int64]]:
    """Return the tree of nodes that are in any order, the root first, and the number of each; siblings keep theirs."""
    n_children = np.bincount(parent[1:], minlength=len(parent))
    by_parent = np.argsort(parent, kind="stable")  # The root, whose parent is -1, comes first.
    first_child = 1 + np.cumsum(n_children) - n_children
    levels = [np.zeros(1, np.int64)]
    while levels[-1].size:
        counts = n_children[levels[-1]]
        ends = np.cumsum(counts)
        levels.append(by_parent[np.repeat(first_child[levels[-1]] - ends + counts, counts) + np.arange(ends[-1])])
    nodes = np.concatenate(levels)
    child_ptr = 1 + np.concatenate([[0], np.cumsum(n_children[nodes])])
    number = np.empty(len(nodes), np.int64)
    number[nodes] = np.arange(len(nodes))
    return LabelTree(child_ptr, label[nodes], n_labels, None if names is None else names[nodes]), number


def _assembled(tree: LabelTree, parts: list[tuple[BlockWeights, NDArray[Any]]]) -> BlockWeights:
    """Return the weights of a tree from parts, each with the node of the tree that each of its lanes belongs to."""
    nodes = lanes_of_children(tree)
    lane_of = np.full(tree.n_nodes + 1, -1)  # The last entry is for lanes without a node.
    lane_of[nodes[nodes >= 0]] = np.flatnonzero(nodes >= 0)
    n_groups = -(-np.diff(tree.child_ptr)[tree.inner] // LANES)
    dtype = parts[0][0].values.dtype.name
    if len(parts) > 1:  # Values that are multiples of a scale need a common one.
        stored = "float32" if dtype == "int8" else dtype
        parts = [(weights.astype(stored), node) for weights, node in parts]
    moved = [(weights, lane_of[node]) for weights, node in parts]
    starts = np.concatenate([[0], np.cumsum(n_groups)])
    return move_lanes(moved, labels=nodes, chunk_group_ptr=starts).astype(dtype)
