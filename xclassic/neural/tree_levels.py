"""The levels of a label tree as a `TreeEmbedding` sees them: all leaves at one depth, a linear model for each level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.features.poincare import PoincareEmbedding
from xclassic.label_tree.tree import LabelTree
from xclassic.linalg.low_rank import Array, least_squares_features, random_map
from xclassic.parallel import RUNNING
from xclassic.validation.features import Features

HYPERBOLIC = 10  # Dimensions of the hyperbolic vectors of a start.
PASSES = 30  # Over the pairs of a node and a node above it.


@dataclass
class Level:
    r"""The nodes of a level, and what is learned of them.

    Attributes
    ----------
    targets : csr_array of float32, shape (n_rows, n_nodes)
        Ones where a row has a label at or under a node.
    parent : ndarray of int64, shape (n_nodes,)
        Place of the parent in the level above; ascending.
    weight : float
        Weight :math:`\lambda` of the level in the loss.
    encoder : ndarray of float32, shape (n_features, width)
        :math:`A^\top`, from features to codes.
    nodes : ndarray of float32, shape (n_nodes, width)
        The vectors e.
    shift : ndarray of float64, shape (n_parents, width)
    slope : ndarray of float64, shape (n_parents, width_above)
        The projection of a parent u is :math:`P_u = I + q_u a_u^\top` with its shift q, its slope a, and the identity
        padded with zeros.
    """

    targets: csr_array
    parent: NDArray[np.int64]
    weight: float
    encoder: Array = field(init=False)
    nodes: Array = field(init=False)
    shift: NDArray[np.float64] = field(init=False)
    slope: NDArray[np.float64] = field(init=False)


def even_tree(tree: LabelTree, labels: NDArray[np.int64]) -> LabelTree:
    """Return the part of a tree above some of its labels, with all leaves at the depth of the deepest.

    A leaf that ended above gets a chain of single children, down to the lowest level.

    Parameters
    ----------
    tree : LabelTree
    labels : ndarray of int64, shape (n,)
        At least one; all are in the tree.
    """
    paths = tree.paths()[labels]
    paths = paths[:, : int((paths >= 0).sum(axis=1).max())]
    parents, kept, above = [np.array([-1])], [np.zeros(1, np.int64)], np.zeros(len(labels), np.int64)
    node = paths[:, 0]
    for column in paths.T[1:]:
        node = np.where(column >= 0, column, node)
        nodes, first, place = np.unique(node, return_index=True, return_inverse=True)
        n_nodes = sum(map(len, kept))
        parents.append(above[first])
        kept.append(nodes)
        above = n_nodes + place
    ids = np.full(sum(map(len, kept)), -1)
    ids[above] = labels
    names = None if tree.names is None else tree.names[np.concatenate(kept)]
    return LabelTree.from_parents(np.concatenate(parents), ids, names, tree.n_labels)


def level_widths(tree: LabelTree, n_components: int | Sequence[int]) -> list[int]:
    """Return the width of each level below the root.

    One number is the width of the leaves, and each level has half of the width two levels below, rounded up. No level
    is wider than it has nodes.

    Raises
    ------
    ValueError
        If there are not as many widths as levels, or they descend.
    """
    n_nodes = np.diff(tree.level_ptr)[1:].tolist()
    if isinstance(n_components, int):
        n_components = [ceil(n_components / 2 ** (above / 2)) for above in reversed(range(tree.depth))]
    if len(n_components) != tree.depth:
        raise ValueError(
            f"n_components has {len(n_components)} widths, and the tree {tree.depth} levels below its root; pass one "
            "width for each, or one number for the width of the leaves."
        )
    return [min(width, n) for width, n in zip(n_components, n_nodes, strict=True)]


def level_weights(tree: LabelTree, weights: float | Sequence[float]) -> list[float]:
    """Return the weight of each level below the root; one number is the ratio of a level to the one below it.

    Raises
    ------
    ValueError
        If there are not as many weights as levels.
    """
    if isinstance(weights, (int, float)):
        return [float(weights) ** (tree.depth - level) for level in range(1, tree.depth + 1)]
    if len(weights) != tree.depth:
        raise ValueError(
            f"level_weights has {len(weights)} entries, and the tree {tree.depth} levels below its root; pass one for "
            "each, or the ratio of a level to the one below it."
        )
    return list(weights)


def new_levels(tree: LabelTree, Y: csr_array, weights: list[float]) -> list[Level]:
    """Return the levels below the root, of which nothing is learned yet."""
    levels = []
    for depth, weight in enumerate(weights, 1):
        parent = tree.parent[tree.level_ptr[depth] : tree.level_ptr[depth + 1]] - tree.level_ptr[depth - 1]
        levels.append(Level(_targets(tree, Y, depth), parent, weight))
    return levels


def random_start(levels: list[Level], widths: list[int], n_features: int, seed: int) -> None:
    """Give each level a random encoder, from which the first half-step computes vectors.

    The encoders share the columns that they have in common, since the projections start as the identity.
    """
    start = random_map(n_features, widths[-1], seed)
    for level, width in zip(levels, widths, strict=True):
        level.encoder = start[:, :width].copy()


def hyperbolic_start(X: Features, levels: list[Level], tree: LabelTree, penalty: float, seed: int) -> None:
    """Fit the first columns of each encoder to hyperbolic vectors of the nodes of its level.

    The vectors are those of the tree in the Poincaré ball, under the logarithm at 0 and turned to their principal axes,
    of which a level takes as many as it has columns.
    """
    points = PoincareEmbedding(HYPERBOLIC, epochs=PASSES, random_state=seed).fit(tree).tangent_
    placed = (points @ np.linalg.svd(points, full_matrices=False)[2].T).astype(np.float32)
    for depth, level in enumerate(levels, 1):
        width = min(HYPERBOLIC, level.encoder.shape[1])
        vectors = np.ascontiguousarray(placed[tree.level_ptr[depth] : tree.level_ptr[depth + 1], :width])
        image = np.asarray(level.targets @ vectors)
        nothing = np.zeros((X.shape[1], width), np.float32)
        level.encoder[:, :width] = least_squares_features(X, image, vectors, nothing, penalty / level.weight, RUNNING)


def _targets(tree: LabelTree, Y: csr_array, depth: int) -> csr_array:
    """Return which nodes of a level are above a label of a row."""
    first, last = tree.level_ptr[depth : depth + 2]
    node = (tree.paths()[:, depth] - first)[Y.indices]  # Every label with a row is in the tree.
    targets = csr_array((np.ones(Y.nnz, np.float32), node, Y.indptr), shape=(Y.shape[0], int(last - first)), copy=True)
    targets.sum_duplicates()
    targets.data[:] = 1
    return targets
