"""The vectors of a `TreeEmbedding` as a search over codes reads them, and as explanations read them: over features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, vstack

from xclassic._kernels.arguments import LANES
from xclassic.blocks.weights import BlockWeights
from xclassic.label_tree.nodes import MAX_CHILDREN
from xclassic.label_tree.tree import LabelTree
from xclassic.linalg.low_rank import Array


def node_weights(
    tree: LabelTree, vectors: list[Array], biases: list[Array], flat: csc_array | None = None
) -> BlockWeights:
    """Return the models of all nodes but the root over the codes of all levels side by side, and further features.

    Parameters
    ----------
    tree : LabelTree
        All leaves are on the lowest level.
    vectors : list of ndarray of float32, shape (n_nodes, width)
        Those of each level below the root.
    biases : list of ndarray of float32, shape (n_nodes,)
    flat : csc_array of float32, shape (n_features, n_labels), optional
        Weights of further features in the models of the leaves.

    Returns
    -------
    BlockWeights
        With a chunk for each inner node, whose "labels" are the numbers of its children.

    Raises
    ------
    ValueError
        If a node has too many children.
    """
    widest = int(np.diff(tree.child_ptr).max())
    if widest > MAX_CHILDREN:
        raise ValueError(f"A node has {widest} children; {MAX_CHILDREN} is the most. Group them below further nodes.")
    ends = np.cumsum([0, *(level.shape[1] for level in vectors)]).tolist()
    n_further = 0 if flat is None else flat.shape[0]
    parts = []
    for depth, (level, bias) in enumerate(zip(vectors, biases, strict=True), 1):
        for parent in range(int(tree.level_ptr[depth - 1]), int(tree.level_ptr[depth])):
            children = np.arange(*tree.child_ptr[parent : parent + 2])
            own = children - tree.level_ptr[depth]
            weights = _at(level[own], ends[depth - 1], ends[-1] + n_further)
            if flat is not None and depth == len(vectors):
                further = csc_array(
                    vstack([csc_array((ends[-1], len(own)), dtype=np.float32), flat[:, tree.label[children]]])
                )
                weights = csc_array(weights + further)
            parts.append(BlockWeights.from_csc(weights, bias[own], children, MAX_CHILDREN // LANES))
    return BlockWeights.concatenated(parts)


def _at(rows: Array, first: int, n_inputs: int) -> csc_array:
    """Return vectors as the columns of a matrix, from one of its rows on."""
    n, width = rows.shape
    places = np.tile(np.arange(first, first + width), n)
    return csc_array((rows.ravel(), places, np.arange(0, n * width + 1, width)), shape=(n_inputs, n))


class FeatureWeights:
    """The models of the nodes over the features of rows, worked out where `Reading` asks for them.

    Parameters
    ----------
    weights : BlockWeights
        Over codes, and perhaps over features besides.
    encoder : ndarray of float32, shape (n_features + 1, n_codes)
        The last row is that of the constant feature.
    constant : float
        Value of this feature.
    """

    def __init__(self, weights: BlockWeights, encoder: Array, constant: float) -> None:
        self._weights = weights
        self._encoder = encoder
        self.chunk_group_ptr = weights.chunk_group_ptr
        n_codes = encoder.shape[1]
        constants = np.zeros((1, weights.n_features), np.float32)
        constants[:, :n_codes] = np.float32(constant) * encoder[-1]
        self.bias = weights.lane_scores(constants)[0]

    def weights_at(self, chunk: int, features: NDArray[np.int32]) -> tuple[Any, Any, Array]:
        """Return what `BlockWeights.weights_at` returns."""
        first, last = self.chunk_group_ptr[chunk : chunk + 2]
        n_codes, n_lanes = self._encoder.shape[1], LANES * int(last - first)
        code, lane, value = self._weights.weights_at(chunk, np.arange(n_codes, dtype=np.int32))
        nodes = np.zeros((n_codes, n_lanes), np.float32)
        nodes[code, lane] = value
        products = self._encoder[features] @ nodes
        if self._weights.n_features > n_codes:
            position, lane, value = self._weights.weights_at(chunk, features + np.int32(n_codes))
            products[position, lane] += value
        position, lane = np.nonzero(products)
        return position, lane, products[position, lane]
