"""The labels that may be those of a row: the ones with the nearest centroids, and the ones of the nearest rows."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.blocks.shortlists import margins_of
from xclassic.blocks.weights import BlockWeights
from xclassic.linear.nearest_centroid import centroid_weights
from xclassic.neighbors.index import NeighborIndex, build_index, stored_index, vote_weights
from xclassic.parallel import RUNNING, StopByte, run_tasks
from xclassic.storage.arrays import matrix_arrays, stored_matrix, verify_matrix, with_prefix, without_prefix
from xclassic.storage.folder import Arrays
from xclassic.topk import TopK

Rows = NDArray[np.float32]

POWER = 3.0  # Of the cosines with the nearest rows, by which these vote.
ROWS = 512  # Rows of one task of a search.


class Listed(NamedTuple):
    """Labels that may be those of each row, and what the neighbors say of them; in no order.

    Attributes
    ----------
    ids : ndarray of int32, shape (n_rows, n)
        -1 where unused.
    counts : ndarray of int32, shape (n_rows,)
        Used slots of each row, which are the first.
    cosines : ndarray of float32, shape (n_rows, n)
        Between the row and the centroid of the label.
    votes : ndarray of float32, shape (n_rows, n)
        Share of the label in the votes of the nearest rows.
    """

    ids: NDArray[np.int32]
    counts: NDArray[np.int32]
    cosines: NDArray[np.float32]
    votes: NDArray[np.float32]


class Shortlister:
    """An index of the centroids of labels, and one of labeled rows.

    Parameters
    ----------
    centroids : BlockWeights
    index : NeighborIndex
    Y : csr_array, shape (n_rows_of_the_index, n_labels)
    """

    def __init__(self, centroids: BlockWeights, index: NeighborIndex, Y: csr_array, *, verified: bool = True) -> None:
        self.centroids, self.index, self.Y, self._verified = centroids, index, Y, verified

    @classmethod
    def build(
        cls, Z: Rows, Y: csr_array, search: str = "exact", *, n_jobs: int | None = None, verbose: int = 0
    ) -> Shortlister:
        """Index rows of unit length; `search` is that of `build_index`."""
        centroids = centroid_weights(Z, Y, max_entries=Z.shape[1], n_jobs=n_jobs, verbose=verbose)
        return cls(centroids, build_index(Z, search), Y)

    def search(
        self, Z: Rows, size: int, n_neighbors: int, labels: NDArray[np.int32] | None = None, stop: StopByte = RUNNING
    ) -> Listed:
        """Return the labels of the `size` nearest centroids and the best `size` labels of the nearest rows.

        Parameters
        ----------
        Z : ndarray of float32, shape (n_rows, width)
            Rows of unit length.
        size, n_neighbors : int
        labels : ndarray of int32, optional
            The only labels to list.
        stop : ndarray of uint8, shape (1,), optional
        """
        self.verify()
        n, n_labels = self.Y.shape
        size = min(size, n_labels)
        near = self.centroids.ranked(Z, size, labels, stop=stop).to_csr(n_labels)
        votes = self._votes(self.index.nearest(Z, min(n_neighbors, n), stop), labels)
        voted = TopK.from_csr(votes, size).to_csr(n_labels)
        near.data[:], voted.data[:] = 1, 1
        listed = TopK.from_csr(near + voted, min(2 * size, n_labels))
        cosines = margins_of(self.centroids, Z, listed.ids, stop=stop)
        return Listed(listed.ids, listed.counts, cosines, entries_at(votes, listed.ids))

    def _votes(self, nearest: TopK, labels: NDArray[np.int32] | None) -> csr_array:
        """Return the shares of all labels in the votes of the nearest rows."""
        weights, filled = vote_weights(nearest.scores, POWER), nearest.filled()
        shares = weights / np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
        ends = np.concatenate([[0], np.cumsum(nearest.counts)])
        by_row = csr_array((shares[filled], nearest.ids[filled], ends), shape=(nearest.n_rows, self.Y.shape[0]))
        votes = csr_array(by_row @ self.Y)
        if labels is not None:
            votes.data[~np.isin(votes.indices, labels)] = 0
            votes.eliminate_zeros()
        votes.sort_indices()
        return votes

    def matrix(self, Z: Rows, size: int, n_neighbors: int, *, n_jobs: int | None = None, verbose: int = 0) -> csr_array:
        """Return the shortlists of rows as rows of ones, shape (n_rows, n_labels)."""
        search = partial(_search, self, Z, size, n_neighbors)
        starts = range(0, Z.shape[0], ROWS)
        parts = run_tasks(search, starts, n_jobs=n_jobs, description="shortlists", verbose=verbose)
        counts, ids = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        ends = np.concatenate([[0], np.cumsum(counts)])
        found = csr_array((np.ones(len(ids), np.float32), ids, ends), shape=(Z.shape[0], self.Y.shape[1]))
        found.sort_indices()
        return found

    def verify(self) -> None:
        """Check stored arrays before their first use."""
        if not self._verified:
            verify_matrix("labels", self.Y)
            self.index.verify()
            self._verified = True

    def arrays(self) -> Arrays:
        """Return the arrays that `from_arrays` takes."""
        index, centroids = (
            with_prefix("index.", self.index.arrays()),
            with_prefix("centroids.", self.centroids.arrays()),
        )
        return index | centroids | matrix_arrays("labels", self.Y)

    @classmethod
    def from_arrays(cls, arrays: Arrays, width: int, shape: tuple[int, int], *, full: bool) -> Shortlister:
        """Take over stored arrays of labels of some shape, checked now if `full`, else before their first use.

        Raises
        ------
        ModelFileError
            If an array is missing, or does not fit the others.
        """
        centroids = BlockWeights.from_arrays(without_prefix("centroids.", arrays), width, shape[1], full=full)
        index = stored_index(without_prefix("index.", arrays), shape[0], width)
        found = cls(centroids, index, stored_matrix(arrays, "labels", shape), verified=False)
        if full:
            found.verify()
        return found


def entries_at(matrix: csr_array, ids: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return the entries of a canonical matrix at some columns of each row, and 0 where none is stored."""
    rows, width = np.arange(matrix.shape[0]), matrix.shape[1]
    stored = np.repeat(rows, np.diff(matrix.indptr)) * width + matrix.indices
    wanted = rows[:, None] * width + ids
    at = np.searchsorted(stored, wanted)
    stored, values = np.append(stored, -1), np.append(matrix.data, np.float32(0))
    return np.where((stored[at] == wanted) & (ids >= 0), values[at], np.float32(0))


def _search(lister: Shortlister, Z: Rows, size: int, n_neighbors: int, start: int, stop: StopByte) -> Any:
    found = lister.search(Z[start : start + ROWS], size, n_neighbors, None, stop)
    return found.counts, found.ids[found.ids >= 0]
