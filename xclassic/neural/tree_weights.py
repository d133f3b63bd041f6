"""The vectors of a `TreeEmbedding` as a search over codes reads them, and as explanations read them: over features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.arguments import LANES
from xclassic.blocks.weights import BlockWeights
from xclassic.label_tree.nodes import MAX_CHILDREN
from xclassic.label_tree.tree import LabelTree
from xclassic.linalg.low_rank import Array


def node_weights(tree: LabelTree, vectors: list[Array], biases: list[Array]) -> BlockWeights:
    """Return the models of all nodes but the root over the codes of all levels side by side.

    Parameters
    ----------
    tree : LabelTree
        All leaves are on the lowest level.
    vectors : list of ndarray of float32, shape (n_nodes, width)
        Those of each level below the root.
    biases : list of ndarray of float32, shape (n_nodes,)

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
    ends = np.cumsum([0, *(level.shape[1] for level in vectors)])
    parts = []
    for depth, (level, bias) in enumerate(zip(vectors, biases, strict=True), 1):
        for parent in range(int(tree.level_ptr[depth - 1]), int(tree.level_ptr[depth])):
            children = np.arange(*tree.child_ptr[parent : parent + 2])
            own = children - tree.level_ptr[depth]
            weights = np.zeros((int(ends[-1]), len(children)), np.float32)
            weights[ends[depth - 1] : ends[depth]] = level[own].T
            parts.append(BlockWeights.from_dense(weights, bias[own], children, prune=0, chunk_groups=MAX_CHILDREN))
    return BlockWeights.concatenated(parts)


class FeatureWeights:
    """The models of the nodes over the features of rows, worked out where `Reading` asks for them.

    Parameters
    ----------
    weights : BlockWeights
        Over codes.
    encoder : ndarray of float32, shape (n_features + 1, n_codes)
        The last row is that of the constant feature.
    constant : float
        Value of this feature.
    """

    def __init__(self, weights: BlockWeights, encoder: Array, constant: float) -> None:
        self._weights = weights
        self._encoder = encoder
        self.chunk_group_ptr = weights.chunk_group_ptr
        self.bias = weights.lane_scores(np.float32(constant) * encoder[-1:])[0]

    def weights_at(self, chunk: int, features: NDArray[np.int32]) -> tuple[Any, Any, Array]:
        """Return what `BlockWeights.weights_at` returns."""
        first, last = self.chunk_group_ptr[chunk : chunk + 2]
        code, lane, value = self._weights.weights_at(chunk, np.arange(self._encoder.shape[1], dtype=np.int32))
        nodes = np.zeros((self._encoder.shape[1], LANES * int(last - first)), np.float32)
        nodes[code, lane] = value
        products = self._encoder[features] @ nodes
        position, lane = np.nonzero(products)
        return position, lane, products[position, lane]
