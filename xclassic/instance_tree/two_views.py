"""Nodes of two views: a hyperplane over the features and one over the revealed labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic._kernels.jit import Jitted
from xclassic.instance_tree.fastxml import RankingSplitter, halved
from xclassic.instance_tree.growing import Split
from xclassic.parallel import StopByte
from xclassic.rows import compressed_arrays, kernel_rows


@dataclass(frozen=True)
class TwoViewSplitter:
    """Splitter of the nodes of a level: sides by ranking, then a hyperplane between them in each view."""

    ranking: RankingSplitter
    X: csr_array  # The rows of `ranking`, which fits its planes to dense rows as `PfastreXML` does.
    Z: csr_array
    scale: float
    cost: float

    def __call__(
        self, point_ptr: NDArray[np.int64], points: NDArray[np.int32], seeds: NDArray[np.uint64], stop: StopByte
    ) -> Split:
        ranking, X, Z = self.ranking, self.X, self.Z
        nodes = (point_ptr, points, ranking.sides(point_ptr, points, seeds, stop), seeds, stop)
        rows = kernel_rows(ranking.X, bias=ranking.bias)
        x_sizes, x_features, x_weights, bias, _ = ranking.planes(rows, ranking.scale, ranking.cost, *nodes)
        z_sizes, z_features, z_weights, _, _ = ranking.planes(kernel_rows(Z), self.scale, self.cost, *nodes)
        # The entries of a node's two planes one after the other.
        node_of_entry = np.concatenate([np.repeat(np.arange(len(sizes)), sizes) for sizes in (x_sizes, z_sizes)])
        order = np.argsort(node_of_entry, kind="stable")
        sizes = x_sizes + z_sizes
        features = np.concatenate([x_features, z_features + np.int32(X.shape[1])])[order]
        weights = np.concatenate([x_weights, z_weights])[order]
        went = np.zeros(len(points), np.uint8)
        send_points(
            point_ptr,
            points,
            np.concatenate([[0], np.cumsum(sizes)]),
            features,
            weights,
            bias,
            compressed_arrays(X),
            compressed_arrays(Z),
            np.zeros(X.shape[1] + Z.shape[1], np.float32),
            X.shape[1],
            went,
            stop,
        )
        return halved(point_ptr, went, sizes, features, weights, bias)


@Jitted
def send_points(  # type: ignore[no-untyped-def]
    point_ptr, points, plane_ptr, features, weights, bias, X, Z, vector, n_features, went, stop
):
    """Write the side of each point of each node, 0 or 1, by the sum of its margins in both views.

    Sums are in the order of a walk through the tree, so that a training row takes the same way later. `vector` is room
    for the plane of a node, all zeros.
    """
    for node in range(len(point_ptr) - 1):
        if stop[0]:
            return
        for p in range(plane_ptr[node], plane_ptr[node + 1]):
            vector[features[p]] = weights[p]
        for q in range(point_ptr[node], point_ptr[node + 1]):
            i = points[q]
            margin = bias[node]
            indptr, indices, values = X
            for p in range(indptr[i], indptr[i + 1]):
                margin += vector[indices[p]] * values[p]
            indptr, indices, values = Z
            for p in range(indptr[i], indptr[i + 1]):
                margin += vector[n_features + indices[p]] * values[p]
            went[q] = margin < 0
        for p in range(plane_ptr[node], plane_ptr[node + 1]):
            vector[features[p]] = 0
