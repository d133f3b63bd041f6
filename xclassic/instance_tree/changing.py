"""Trees over points whose leaves change after a fit: further points, further labels, leaves that are split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.changing import moved_columns
from xclassic.instance_tree.tree import InstanceTree
from xclassic.parallel import StopByte
from xclassic.topk import TopK
from xclassic.validation.features import Features


def refilled(X: Features, labels: csr_array, max_labels: int, tree: InstanceTree, stop: StopByte) -> InstanceTree:
    """Return the tree with leaves that average old and new points."""
    place, n_new = _places(tree, X, stop)
    n_points = tree.n_points + n_new
    both = csr_array(tree.leaf_labels() * tree.n_points[:, None] + place @ labels)
    both = csr_array(both / np.maximum(n_points, 1)[:, None])
    filled = tree.with_labels(_kept(both, max_labels))
    filled.n_points = n_points
    return filled


def with_further(X: Features, labels: csr_array, max_labels: int, tree: InstanceTree, stop: StopByte) -> InstanceTree:
    """Return the tree with leaves that have further labels too, by their mean over the rows `X` in each leaf."""
    place, n_rows = _places(tree, X, stop)
    further = csr_array((place @ labels) / np.maximum(n_rows, 1)[:, None])
    return tree.with_labels(_kept(csr_array(tree.leaf_labels() + further), max_labels))


def renumbered(ids: NDArray[np.int32], n_labels: int, tree: InstanceTree) -> InstanceTree:
    """Return the tree with other label ids in its leaves."""
    return tree.with_labels(moved_columns(tree.leaf_labels(), ids, n_labels))


def _places(tree: InstanceTree, X: Features, stop: StopByte) -> tuple[csr_array, NDArray[np.int64]]:
    """Return which rows are in which leaf, shape (n_nodes, n_rows), and how many are."""
    leaves = tree._route(X, stop)
    ones = np.ones(len(leaves), np.float32)
    place = csr_array((ones, (leaves, np.arange(len(leaves)))), shape=(tree.n_nodes, len(leaves)))
    return place, np.bincount(leaves, minlength=tree.n_nodes)


def _kept(labels: csr_array, max_labels: int) -> csr_array:
    """Return the labels of each leaf that it keeps, in half precision, which a saved model has."""
    labels.data = labels.data.astype(np.float16).astype(np.float32)
    labels.eliminate_zeros()
    kept = TopK.from_csr(labels, max_labels).to_csr(labels.shape[1])
    kept.sort_indices()
    return kept


def trees_due(n_trees: int, n_before: int, n_after: int) -> NDArray[np.int64]:
    """Return which trees of a forest to grow anew as its rows become more: each once while their number doubles.

    They take turns, in the order of their numbers, however many rows come at a time.
    """
    first, last = (int(n_trees * np.log2(max(n, 1))) for n in (n_before, n_after))
    return np.unique(np.arange(max(first, last - n_trees), last) % n_trees)
