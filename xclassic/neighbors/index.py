"""The rows nearest to a query, and the labels that they vote for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

import xclassic._kernels.neighbors as kernels
from xclassic.blocks.weights import BlockWeights
from xclassic.changing import only_columns, stacked
from xclassic.datasets._matrix_folder import writing
from xclassic.datasets.matrices import open_matrix
from xclassic.neighbors.graph import GraphIndex
from xclassic.parallel import RUNNING, StopByte
from xclassic.rows import ScaledRows, kernel_rows, spans
from xclassic.storage.arrays import (
    matrix_arrays,
    stored_array,
    stored_matrix,
    verify_matrix,
    with_prefix,
    without_prefix,
)
from xclassic.storage.folder import Arrays, ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.pieces import counts_of


class NeighborIndex(Protocol):
    """Rows that are found by their inner product with a query."""

    def nearest(self, X: Features, k: int, stop: StopByte = RUNNING) -> TopK:
        """Return for each query in `X` the `k` rows with the largest products above 0; ``ids`` are row numbers."""

    @property
    def n_rows(self) -> int:
        """Number of rows."""

    @property
    def rows(self) -> Features:
        """Return the rows."""

    def verify(self) -> None:
        """Raise ModelFileError if stored arrays are damaged."""

    def arrays(self) -> Arrays:
        """Return the arrays that `stored_index` takes."""


class JoinedIndex:
    """Indexes of consecutive ranges of rows, so that rows can be added without listing all of them anew."""

    def __init__(self, parts: list[NeighborIndex]) -> None:
        self.parts = parts

    @property
    def n_rows(self) -> int:
        return sum(part.n_rows for part in self.parts)

    def nearest(self, X: Features, k: int, stop: StopByte = RUNNING) -> TopK:
        found = [part.nearest(X, min(k, part.n_rows), stop) for part in self.parts]
        starts = np.cumsum([0, *(part.n_rows for part in self.parts[:-1])], dtype=np.int32)
        ids = np.concatenate([top.ids + start for top, start in zip(found, starts, strict=True)], axis=1)
        scores = np.concatenate([top.scores for top in found], axis=1)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]  # Equally near rows stay in the order of rows.
        counts = np.minimum(sum(top.counts for top in found), k).astype(np.int32)
        filled = np.arange(best.shape[1]) < counts[:, None]
        ids, scores = (np.take_along_axis(array, best, axis=1) for array in (ids, scores))
        return TopK(np.where(filled, ids, np.int32(-1)), scores, counts)

    def verify(self) -> None:
        for part in self.parts:
            part.verify()

    @property
    def rows(self) -> Features:
        return reduce(stacked, [part.rows for part in self.parts])

    def arrays(self) -> Arrays:
        arrays: Arrays = {"part_rows": np.array([part.n_rows for part in self.parts])}
        for number, part in enumerate(self.parts):
            arrays |= with_prefix(f"part{number}.", part.arrays())
        return arrays


def with_rows(index: NeighborIndex, rows: Features, search: str) -> NeighborIndex:
    """Return an index that has further rows behind its own.

    Parts that are not twice as large as those behind them are listed anew with them, so that there are few parts and a
    row is listed only some times, however many it comes with.
    """
    parts = index.parts if isinstance(index, JoinedIndex) else [index]
    kept = len(parts)
    n_behind = rows.shape[0]
    while kept and parts[kept - 1].n_rows < 2 * n_behind:
        kept -= 1
        n_behind += parts[kept].n_rows
    behind = reduce(stacked, [*(part.rows for part in parts[kept:]), rows])
    last = build_index(behind, search)
    return JoinedIndex([*parts[:kept], last]) if kept else last


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
    if "part_rows" in arrays:
        sizes = stored_array(arrays, "part_rows", np.int64, (None,), (1, n_rows))
        if sizes.sum() != n_rows:
            raise ModelFileError(
                f"The parts of the index have {sizes.sum()} rows in all, but {n_rows} rows have labels."
            )
        parts = enumerate(sizes.tolist())
        return JoinedIndex([stored_index(without_prefix(f"part{i}.", arrays), n, n_features) for i, n in parts])
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

    @classmethod
    def write(cls, rows: ScaledRows, folder: str | os.PathLike[str]) -> InvertedIndex:
        """Write the lists to a folder, some rows at a time, and return an index over maps of its files."""
        n_rows, n_features = rows.shape
        indptr = np.concatenate([[0], np.cumsum(counts_of(rows.matrix.indices, n_features))])
        with writing(Path(os.path.expanduser(folder)), append=False) as writer:
            writer.scatter(indptr, _entries_by_feature(rows, indptr[:-1].copy()))
            writer.n_columns = n_rows
        return cls(open_matrix(folder))

    @property
    def n_rows(self) -> int:
        return int(self.postings.shape[1])

    @property
    def rows(self) -> Features:
        self.verify()
        return csr_array(self.postings.T.tocsr())

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


def _entries_by_feature(rows: ScaledRows, places: NDArray[np.int64]) -> Iterator[tuple[NDArray[Any], ...]]:
    """Yield places, rows and values of the entries of consecutive rows; `places` are the next free ones, and move."""
    first = 0
    for piece in rows.pieces():
        by_feature = csc_array(piece)
        sizes = np.diff(by_feature.indptr).astype(np.int64)
        yield spans(places, sizes), by_feature.indices + first, by_feature.data
        places += sizes
        first += piece.shape[0]


class DenseIndex:
    """Dense rows in groups of 16, stored as the label blocks of the linear methods; rows take the place of labels."""

    def __init__(self, blocks: BlockWeights) -> None:
        self.blocks = blocks

    @classmethod
    def build(cls, rows: NDArray[np.float32]) -> DenseIndex:
        n = len(rows)
        return cls(BlockWeights.from_dense(rows.T, np.zeros(n, np.float32), np.arange(n), prune=0))

    @property
    def n_rows(self) -> int:
        return int(np.count_nonzero(self.blocks.labels >= 0))

    @property
    def rows(self) -> Features:
        self.blocks.verify()
        return np.ascontiguousarray(self.blocks.to_csc(self.n_rows).toarray().T)

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


def label_shares(Y: csr_array, row_weights: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """Return the share of the rows, or of their weights, with each label."""
    if row_weights is None:
        return (np.bincount(Y.indices, minlength=Y.shape[1]) / Y.shape[0]).astype(np.float32)
    counts = np.bincount(Y.indices, np.repeat(row_weights, np.diff(Y.indptr)), minlength=Y.shape[1])
    return np.minimum(counts / row_weights.sum(dtype=np.float64), 1).astype(np.float32)


def vote_factors(sample_weight: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    """Return the weights of the training rows as shares of the largest."""
    return None if sample_weight is None else sample_weight / sample_weight.max()


def weighted_votes(
    weights: NDArray[np.float32], neighbors: NDArray[np.int32], row_weights: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Return the weights of votes times those of the training rows; unfilled slots, of any number, keep weight 0."""
    return weights if row_weights is None else weights * row_weights[neighbors]


def stored_row_weights(arrays: Arrays, n_rows: int) -> NDArray[np.float32] | None:
    """Return the checked weights of the training rows of a model, None if it has none."""
    if "row_weights" not in arrays:
        return None
    return stored_array(arrays, "row_weights", np.float32, (n_rows,), (0, 1))


def with_columns(known: csr_array, Y: csr_array, new: NDArray[np.int32]) -> csr_array:
    """Return the labels of the training rows with the columns `new` of `Y`, for the same rows.

    Raises
    ------
    ValueError
        If there are other rows.
    """
    if Y.shape[0] != known.shape[0]:
        raise ValueError(
            f"There are labels for {Y.shape[0]} rows, but {known.shape[0]} rows vote; pass the rows of the fit, in "
            "their order."
        )
    both = csr_array(known + only_columns(Y, new))
    both.sort_indices()
    return both


def vote_weights(products: NDArray[np.float32], power: float) -> NDArray[np.float32]:
    """Return a power of the products, and 0 for unfilled slots, whose products are minus infinity.

    All products of a row are divided by the same power of two, which leaves the shares of the votes as they are: powers
    of large or small products would be beyond float32.
    """
    least = np.finfo(np.float32).tiny
    exponents = np.frexp(products.max(axis=1, keepdims=True, initial=0))[1]
    near_one = np.ldexp(np.maximum(products, 0), -exponents)
    return np.where(products > 0, np.maximum(np.maximum(near_one, least) ** np.float32(power), least), np.float32(0))
