"""The result type that estimators return and that metrics, ensembles and the command line read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array


class TopK(NamedTuple):
    """The best labels of each row, best first.

    Equal scores are ordered by the smaller label id. Slots that no label fills hold id -1 and score minus infinity, and
    ``counts`` says how many are filled: a row may have fewer than ``k`` answers because a search was restricted or
    because the method does not score every label.

    Attributes
    ----------
    ids : ndarray of int32, shape (n_rows, k)
        Label ids (columns of the label matrix, positions in ``classes_``); -1 where unused.
    scores : ndarray of float32, shape (n_rows, k)
        Falling along each row; minus infinity where unused.
    counts : ndarray of int32, shape (n_rows,)
        Number of filled slots; they are the first ones of the row.
    """

    ids: NDArray[np.int32]
    scores: NDArray[np.float32]
    counts: NDArray[np.int32]

    @property
    def k(self) -> int:
        """Number of slots per row."""
        return self.ids.shape[1]

    @property
    def n_rows(self) -> int:
        """Number of rows. (``len`` of a NamedTuple counts its fields.)"""
        return self.ids.shape[0]

    @classmethod
    def empty(cls, n_rows: int, k: int) -> TopK:
        """Return ``n_rows`` rows of ``k`` unfilled slots."""
        return cls(
            np.full((n_rows, k), -1, np.int32),
            np.full((n_rows, k), -np.inf, np.float32),
            np.zeros(n_rows, np.int32),
        )

    @classmethod
    def from_csr(cls, scores: Any, k: int) -> TopK:
        """Rank the stored entries of each row of a sparse score matrix; an absent entry means "not scored".

        Cost: one sort of the stored entries, O(nnz log nnz).
        """
        scores = csr_array(scores)
        n_rows = scores.shape[0]
        lengths = np.diff(scores.indptr)
        rows = np.repeat(np.arange(n_rows), lengths)
        order = np.lexsort((scores.indices, -scores.data, rows))
        slot = np.arange(scores.nnz) - np.repeat(scores.indptr[:-1], lengths)
        keep = slot < k
        best = order[keep]
        top = cls.empty(n_rows, k)
        top.ids[rows[keep], slot[keep]] = scores.indices[best]
        top.scores[rows[keep], slot[keep]] = scores.data[best]
        np.minimum(lengths, k, out=top.counts, casting="unsafe")
        return top

    @classmethod
    def from_dense(cls, scores: NDArray[Any], k: int) -> TopK:
        """Rank each row of a dense score matrix. Cost: O(n_rows n_labels log n_labels)."""
        scores = np.asarray(scores)
        k = min(k, scores.shape[1])
        ids = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int32)
        best = np.take_along_axis(scores, ids, axis=1).astype(np.float32)
        return cls(ids, best, np.full(scores.shape[0], k, np.int32))

    @classmethod
    def concat(cls, parts: Sequence[TopK]) -> TopK:
        """Stack results of the same ``k`` row-wise."""
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def filled(self) -> NDArray[np.bool_]:
        """Return the (n_rows, k) mask of filled slots."""
        return np.arange(self.k) < self.counts[:, None]

    def head(self, k: int) -> TopK:
        """Return the first ``k`` slots of every row (all of them where there are fewer)."""
        return TopK(self.ids[:, :k], self.scores[:, :k], np.minimum(self.counts, k))

    def above(self, threshold: float) -> TopK:
        """Keep the answers whose score is at least ``threshold``."""
        counts = (self.filled() & (self.scores >= threshold)).sum(axis=1).astype(np.int32)
        keep = np.arange(self.k) < counts[:, None]
        return TopK(np.where(keep, self.ids, -1), np.where(keep, self.scores, -np.inf), counts)

    def to_csr(self, n_labels: int) -> csr_array:
        """Return the scores as canonical CSR of shape (n_rows, n_labels); stored zeros are scores, not gaps."""
        filled = self.filled()
        indptr = np.concatenate(([0], np.cumsum(self.counts, dtype=np.int64)))
        matrix = csr_array((self.scores[filled], self.ids[filled], indptr), shape=(self.n_rows, n_labels))
        matrix.sort_indices()
        return matrix

    def named(self, classes: NDArray[Any]) -> list[list[tuple[Any, float]]]:
        """Return for each row its ``(label, score)`` pairs, best first."""
        return [
            [(classes[label], float(score)) for label, score in zip(ids[:count], scores[:count], strict=True)]
            for ids, scores, count in zip(self.ids, self.scores, self.counts, strict=True)
        ]
