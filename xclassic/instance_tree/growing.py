"""Growth of an instance tree, level by level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

import xclassic._kernels.forest as kernels
from xclassic.instance_tree.tree import InstanceTree
from xclassic.parallel import StopByte
from xclassic.rows import times_rows


@dataclass(frozen=True)
class Split:
    """How the nodes of a level are split.

    Attributes
    ----------
    arity : ndarray of int64, shape (n_nodes,)
        Children of each node; 0 if it cannot be split.
    child : ndarray of int64, shape (n_points,)
        The child of its node that each point goes to. It is ignored in nodes that are not split.
    sizes : ndarray of int64, shape (arity.sum(),)
        Entries of the vector of each child.
    features : ndarray of int32, shape (sizes.sum(),)
        Ascending within a vector.
    weights : ndarray of float32, shape (sizes.sum(),)
    bias : ndarray of float32, shape (arity.sum(),)
    """

    arity: NDArray[np.int64]
    child: NDArray[np.int64]
    sizes: NDArray[np.int64]
    features: NDArray[np.int32]
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]


class TreeWeights(NamedTuple):
    """Weights that a tree is grown with; None means ones.

    Attributes
    ----------
    sample_weight : ndarray of float32, shape (n_rows,), or None
    label_weight : ndarray of float32, shape (n_labels,), or None
    """

    sample_weight: NDArray[np.float32] | None = None
    label_weight: NDArray[np.float32] | None = None


UNWEIGHTED = TreeWeights()


class Splitter(Protocol):
    """Interface of a method: it returns a router for each node of a level."""

    def __call__(
        self, point_ptr: NDArray[np.int64], points: NDArray[np.int32], seeds: NDArray[np.uint64], stop: StopByte
    ) -> Split: ...


def grow_tree(
    points: NDArray[np.int32],
    labels: csr_array,
    split: Splitter,
    seed: int,
    stop: StopByte,
    *,
    max_leaf: int,
    max_depth: int | None,
    max_labels: int,
    n_features: int,
    row_weights: NDArray[np.float32] | None = None,
) -> InstanceTree:
    """Split nodes of more than `max_leaf` points until none can be split.

    Parameters
    ----------
    points : ndarray of int32
        Rows to grow the tree on; a row may occur more than once.
    labels : csr_array of float32, shape (n_rows, n_labels)
        The weight of each label of a row; leaves average these.
    split : Splitter
    seed : int
    stop : ndarray of uint8, shape (1,)
    max_leaf : int
    max_depth : int or None
        At most this many edges from the root to a leaf.
    max_labels : int
        Labels kept in a leaf, namely those of the largest weight.
    n_features : int
    row_weights : ndarray of float32, shape (n_rows,), optional
        Weight of each row in the average of its leaf.

    Returns
    -------
    InstanceTree

    Notes
    -----
    Memory: some bytes for each point, and the memory of `split`.
    """
    pointers = np.array([0, len(points)])
    levels: list[Split] = []
    arities: list[NDArray[np.int64]] = []
    leaves: list[tuple[NDArray[np.int64], NDArray[np.int32]]] = []
    depth = 0
    while len(pointers) > 1 and not stop[0]:
        sizes = np.diff(pointers)
        large = sizes > max_leaf if max_depth is None or depth < max_depth else np.zeros(len(sizes), np.bool_)
        arity = np.zeros(len(sizes), np.int64)
        if large.any():
            inside = np.repeat(large, sizes)
            seeds = np.random.SeedSequence([seed, depth]).generate_state(int(large.sum()), np.uint64).astype(np.uint64)
            found = split(np.concatenate([[0], np.cumsum(sizes[large])]), points[inside], seeds, stop)
            arity[large] = found.arity
            levels.append(found)
        else:
            inside = np.zeros(len(points), np.bool_)
        arities.append(arity)
        stays = np.repeat(arity == 0, sizes)
        leaves.append((sizes[arity == 0], points[stays]))
        if not arity.any():
            break
        # Points of the nodes that were split, in the order of the children.
        starts = np.cumsum(arity) - arity
        goes = found.child[~stays[inside]] + np.repeat(starts, sizes)[~stays]
        order = np.argsort(goes, kind="stable")
        points = points[~stays][order]
        pointers = np.concatenate([[0], np.cumsum(np.bincount(goes, minlength=int(arity.sum())))])
        depth += 1
    if row_weights is not None:
        labels = _weighted(labels, leaves, row_weights)
    return _assembled(arities, levels, leaves, labels, max_labels, n_features)


def _weighted(
    labels: csr_array, leaves: list[tuple[NDArray[np.int64], NDArray[np.int32]]], row_weights: NDArray[np.float32]
) -> csr_array:
    """Return labels whose plain average over a leaf is the weighted average of those given."""
    factors = np.zeros(len(row_weights), np.float32)
    for sizes, points in leaves:
        leaf = np.repeat(np.arange(len(sizes)), sizes)
        totals = np.bincount(leaf, weights=row_weights[points], minlength=len(sizes))
        factors[points] = row_weights[points] * (sizes / totals)[leaf]
    return csr_array(times_rows(labels, factors))


def _assembled(
    arities: list[NDArray[np.int64]],
    levels: list[Split],
    leaves: list[tuple[NDArray[np.int64], NDArray[np.int32]]],
    labels: csr_array,
    max_labels: int,
    n_features: int,
) -> InstanceTree:
    """Return the tree that joins the levels; its root has no vector."""
    arity = np.concatenate(arities)
    leaf_sizes = np.concatenate([sizes for sizes, _ in leaves])
    n_labels, ids, shares = kernels.average_labels(
        indptr=labels.indptr.astype(np.int64),
        indices=labels.indices.astype(np.int32, copy=False),
        weights=labels.data,
        n_labels=labels.shape[1],
        point_ptr=np.concatenate([[0], np.cumsum(leaf_sizes)]),
        points=np.concatenate([points for _, points in leaves]),
        max_labels=max_labels,
    )
    labels_of_node, points_of_node = np.zeros(len(arity), np.int64), np.zeros(len(arity), np.int64)
    labels_of_node[arity == 0] = n_labels
    points_of_node[arity == 0] = leaf_sizes

    def joined(name: str, dtype: type) -> NDArray[Any]:
        return np.concatenate([np.zeros(0, dtype), *(getattr(level, name) for level in levels)])

    return InstanceTree(
        child_ptr=np.concatenate([[1], 1 + np.cumsum(arity)]),
        router_ptr=np.concatenate([[0, 0], np.cumsum(joined("sizes", np.int64))]),
        features=joined("features", np.int32),
        weights=joined("weights", np.float32),
        bias=np.concatenate([np.zeros(1, np.float32), joined("bias", np.float32)]),
        label_ptr=np.concatenate([[0], np.cumsum(labels_of_node)]),
        labels=ids,
        shares=shares,
        n_points=points_of_node,
        n_features=n_features,
        n_labels=labels.shape[1],
    )
