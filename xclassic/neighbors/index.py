"""The rows nearest to a query, and the labels that they vote for."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

import xclassic._kernels.neighbors as kernels
from xclassic.blocks.weights import BlockWeights
from xclassic.neighbors.graph import GraphIndex
from xclassic.parallel import RUNNING, StopByte
from xclassic.rows import kernel_rows
from xclassic.storage.arrays import (
    matrix_arrays,
    stored_array,
    stored_matrix,
    verify_matrix,
    with_prefix,
    without_prefix,
)
from xclassic.storage.folder import Arrays
from xclassic.topk import TopK
from xclassic.validation.features import Features


class NeighborIndex(Protocol):
    """Rows that are found by their inner product with a query."""

    def nearest(self, X: Features, k: int, stop: StopByte = RUNNING) -> TopK:
        """Return for each query in `X` the `k` rows with the largest products above 0; ``ids`` are row numbers."""

    def verify(self) -> None:
        """Raise ModelFileError if stored arrays are damaged."""

    def arrays(self) -> Arrays:
        """Return the arrays that `stored_index` takes."""


def build_index(rows: Features, search: str = "exact") -> NeighborIndex:
    """Return an index that suits the rows; it is exact unless they are dense and `search` is "graph"."""
    if not isinstance(rows, np.ndarray):
        return InvertedIndex.build(rows)
    return GraphIndex(rows) if search == "graph" else DenseIndex.build(rows)


def stored_index(arrays: Arrays, n_rows: int, n_features: int) -> NeighborIndex:
    """Return an index from its arrays, checked before its first use.

    Raises
    ------
    ModelFileError
        If an array is missing or does not fit the others.
    """
    if "postings.indptr" in arrays:
        return InvertedIndex(stored_matrix(arrays, "postings", (n_features, n_rows)), verified=False)
    if "graph_rows" in arrays:
        return GraphIndex(stored_array(arrays, "graph_rows", np.float32, (n_rows, n_features)))
    blocks = BlockWeights.from_arrays(without_prefix("blocks.", arrays), n_features, n_rows, full=False)
    return DenseIndex(blocks)


class InvertedIndex:
    """Sparse rows, listed by feature. A search reads the lists of the query's features."""

    def __init__(self, postings: csr_array, *, verified: bool = True) -> None:
        self.postings = postings  # (n_features, n_rows)
        self._verified = verified

    @classmethod
    def build(cls, rows: csr_array) -> InvertedIndex:
        return cls(csr_array(csc_array(rows).T))

    def nearest(self, X: Features, k: int, stop: StopByte = RUNNING) -> TopK:
        self.verify()
        postings = self.postings
        return TopK(
            *kernels.find_nearest(
                kernel_rows(X),
                posting_ptr=postings.indptr.astype(np.int64, copy=False),
                posting_rows=postings.indices.astype(np.int32, copy=False),
                posting_values=postings.data,
                n_rows=postings.shape[1],
                k=k,
                stop=stop,
            )
        )

    def verify(self) -> None:
        if not self._verified:
            verify_matrix("postings", self.postings)
            self._verified = True

    def arrays(self) -> Arrays:
        return matrix_arrays("postings", self.postings)


class DenseIndex:
    """Dense rows in groups of 16, stored as the label blocks of the linear methods; rows take the place of labels."""

    def __init__(self, blocks: BlockWeights) -> None:
        self.blocks = blocks

    @classmethod
    def build(cls, rows: NDArray[np.float32]) -> DenseIndex:
        n = len(rows)
        return cls(BlockWeights.from_dense(rows.T, np.zeros(n, np.float32), np.arange(n), prune=0))

    def nearest(self, X: Features, k: int, stop: StopByte = RUNNING) -> TopK:
        return self.blocks.ranked(X, k, stop=stop).above(float(np.finfo(np.float32).smallest_subnormal))

    def verify(self) -> None:
        self.blocks.verify()

    def arrays(self) -> Arrays:
        return with_prefix("blocks.", self.blocks.arrays())


def vote(
    neighbors: NDArray[np.int32],
    weights: NDArray[np.float32],
    Y: csr_array,
    label_shares: NDArray[np.float32],
    k: int,
    labels: NDArray[np.int32] | None = None,
) -> TopK:
    """Return the labels of the neighbors of each row, ranked by their share of the weights.

    Parameters
    ----------
    neighbors : ndarray of int32, shape (n_rows, n_neighbors)
        Row numbers of `Y`.
    weights : ndarray of float32, shape (n_rows, n_neighbors)
        At least 0; neighbors of weight 0 do not count.
    Y : csr_array, shape (n_neighbor_rows, n_labels)
        Labels of the rows; every stored entry is a label.
    label_shares : ndarray of float32, shape (n_labels,)
        Scores for rows without neighbors; labels of share 0 are not predicted.
    k : int
    labels : ndarray of int32, optional
        The only labels to predict.

    Returns
    -------
    TopK
        Scores are shares, in (0, 1].
    """
    allowed = np.ones(Y.shape[1], np.uint8)
    if labels is not None:
        allowed[:] = 0
        allowed[labels] = 1
    top = TopK(
        *kernels.vote(
            neighbors=np.ascontiguousarray(neighbors),
            weights=np.ascontiguousarray(weights, np.float32),
            label_ptr=Y.indptr.astype(np.int64, copy=False),
            labels=Y.indices.astype(np.int32, copy=False),
            n_labels=Y.shape[1],
            allowed=allowed,
            k=k,
        )
    )
    alone = ~weights.any(axis=1)
    if alone.any():
        usual = TopK.from_dense(np.where((label_shares > 0) & (allowed > 0), label_shares, -np.inf)[None], k)
        for array, values in zip(top, usual, strict=True):
            array[alone] = values
    return top


def label_shares(Y: csr_array) -> NDArray[np.float32]:
    """Return the share of the rows with each label."""
    return (np.bincount(Y.indices, minlength=Y.shape[1]) / Y.shape[0]).astype(np.float32)


def vote_weights(products: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    """Return a power of the products, and 0 for unfilled slots, whose products are minus infinity.

    All products of a row are divided by the same power of two, which leaves the shares of the votes as they are: powers
    of large or small products would be beyond float32.
    """
    least = np.finfo(np.float32).tiny
    exponents = np.frexp(products.max(axis=1, keepdims=True, initial=0))[1]
    near_one = np.ldexp(np.maximum(products, 0), -exponents)
    return np.where(products > 0, np.maximum(np.maximum(near_one, least) ** np.float32(power), least), np.float32(0))
