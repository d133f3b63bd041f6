"""Pairs of rows and labels that members of a blend name, and what each says of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.ensemble.cross_fitting import Folds
from xclassic.metrics._inputs import read_pairs
from xclassic.topk import TopK


class Pairs:
    """All pairs that at least one member ranks high, in the order of rows and labels.

    Parameters
    ----------
    tops : sequence of TopK
        What each member predicts for the held-out rows.
    folds : Folds
    depth : int
        Pairs are kept that some member ranks among its best `depth`.

    Attributes
    ----------
    n_rows : int
    rows, labels : ndarray of int64, shape (n_pairs,)
    hits : ndarray of bool, shape (n_pairs,)
        Whether the label is true.
    log_counts : ndarray of float64, shape (n_pairs,)
        Logarithm of one more than the training rows that the label had in the model that predicted it.
    n_true : ndarray of int64, shape (n_rows,)
        True labels of each row.
    said : list of Said
        For each member.
    """

    def __init__(self, tops: Sequence[TopK], folds: Folds, depth: int) -> None:
        self.n_rows, n_labels = folds.truth.shape
        self.n_true = np.diff(folds.truth.indptr).astype(np.int64)
        named = [np.nonzero(top.filled()) for top in tops]
        keys = [rows * n_labels + top.ids[rows, slots] for top, (rows, slots) in zip(tops, named, strict=True)]
        high = [own[slots < depth] for own, (_, slots) in zip(keys, named, strict=True)]
        union = np.unique(np.concatenate(high))
        self.rows, self.labels = union // n_labels, union % n_labels
        self.hits = are_hits(folds.truth, self.rows, self.labels)
        self.log_counts = np.log1p(folds.counts(self.rows, self.labels))
        self.said = []
        for top, own, (rows, slots) in zip(tops, keys, named, strict=True):
            at = np.searchsorted(union, own)
            kept = (at < union.size) & (union[np.minimum(at, union.size - 1)] == own)
            scores = top.scores[rows[kept], slots[kept]].astype(np.float64)
            self.said.append(Said(at[kept], scores, np.log1p(slots[kept])))

    def best(
        self, scores: NDArray[np.floating], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the positions, rows and slots of the `k` best pairs of each row; of equal scores the first label's."""
        order = np.lexsort((-scores, self.rows))
        rows = self.rows[order]
        slots = np.arange(rows.size) - np.searchsorted(rows, np.arange(self.n_rows))[rows]
        kept = slots < k
        return order[kept], rows[kept], slots[kept]


class Said(NamedTuple):
    """What a member says of the pairs that it names.

    Attributes
    ----------
    at : ndarray of int64, shape (n_named,)
        Positions among the pairs.
    scores : ndarray of float64, shape (n_named,)
    log_ranks : ndarray of float64, shape (n_named,)
        Logarithm of the rank, which begins with 1.
    """

    at: NDArray[np.int64]
    scores: NDArray[np.float64]
    log_ranks: NDArray[np.float64]


def are_hits(truth: csr_array, rows: NDArray[np.int64], labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which pairs of rows and labels are in a matrix."""
    if truth.shape[0] == 0:
        return np.zeros(rows.size, np.bool_)
    return read_pairs(truth, "Y").contain(rows * truth.shape[1] + labels)
