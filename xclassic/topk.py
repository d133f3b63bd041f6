"""The result type that estimators return and that metrics, ensembles and the command line read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from xclassic.validation.features import canonical
from xclassic.validation.parameters import check_k


class TopK(NamedTuple):
    """The best labels of each row, best first.

    Equal scores are ordered by the smaller label id. Slots that no label fills hold id -1 and score minus infinity, and
    ``counts`` says how many are filled: a row may have fewer than ``k`` predictions because a search was restricted or
    because the method does not score every label.

    Attributes
    ----------
    ids : ndarray of int32, shape (n_rows, k)
        Label ids (columns of the label matrix, positions in ``classes_``); -1 where unused.
    scores : ndarray of float32, shape (n_rows, k)
        Descending along each row; minus infinity where unused.
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
        """Return rows of unfilled slots.

        Parameters
        ----------
        n_rows, k : int
            Shape of the result.

        Returns
        -------
        TopK
            All slots are unfilled.
        """
        return cls(
            np.full((n_rows, k), -1, np.int32),
            np.full((n_rows, k), -np.inf, np.float32),
            np.zeros(n_rows, np.int32),
        )

    @classmethod
    def from_csr(cls, scores: Any, k: int) -> TopK:
        """Rank each row of a sparse score matrix.

        Parameters
        ----------
        scores : sparse matrix or array-like, shape (n_rows, n_labels)
            An entry that is not stored was not scored, and neither was minus infinity; a stored zero is a score.
            Entries stored twice are summed.
        k : int
            Predictions wanted, at least 1.

        Returns
        -------
        TopK
            With ``min(k, n_labels)`` slots. Scores are compared as the float32 numbers that are returned.

        Raises
        ------
        ValueError, TypeError
            If a score is NaN, `k` is below 1, or `scores` is not a matrix of numbers.

        Notes
        -----
        Cost: one sort of the stored entries, O(nnz log nnz).
        """
        scores = canonical(scores, "scores")
        rows = np.repeat(np.arange(scores.shape[0]), np.diff(scores.indptr))
        return cls._ranked(rows, scores.indices, scores.data, scores.shape, k)

    @classmethod
    def from_dense(cls, scores: ArrayLike, k: int) -> TopK:
        """Rank each row of a dense score matrix.

        Parameters
        ----------
        scores : array-like, shape (n_rows, n_labels)
            Minus infinity means "not scored".
        k : int
            Predictions wanted, at least 1.

        Returns
        -------
        TopK
            With ``min(k, n_labels)`` slots. Scores are compared as the float32 numbers that are returned.

        Raises
        ------
        ValueError, TypeError
            If a score is NaN, `k` is below 1, or `scores` is not a matrix of numbers.

        Notes
        -----
        Cost: one selection per row, O(n_rows n_labels), then a sort of the selected entries.
        """
        given = np.asarray(scores)
        if given.ndim != 2:
            raise ValueError(f"scores has {given.ndim} dimensions; pass one row per data point and a column per label.")
        if given.dtype.kind not in "biuf":
            raise TypeError(f"scores is of dtype {given.dtype}; pass numbers.")
        dense = given.astype(np.float32, copy=False)
        if check_k(k) < dense.shape[1]:
            # NaN sorts last and would hide here, so it is kept for the check below.
            kth_best = np.partition(dense, dense.shape[1] - k, axis=1)[:, -k, None]
            candidates = (dense >= kth_best) | np.isnan(dense)
        else:
            candidates = np.ones(dense.shape, np.bool_)
        rows, ids = np.nonzero(candidates)
        return cls._ranked(rows, ids, dense[rows, ids], dense.shape, k)

    @classmethod
    def _ranked(
        cls, rows: NDArray[Any], ids: NDArray[Any], scores: NDArray[Any], shape: tuple[int, int], k: int
    ) -> TopK:
        """Rank entries that are sorted by row and label."""
        n_rows, n_labels = shape
        scores = scores.astype(np.float32)
        if np.isnan(scores).any():
            i = int(np.argmax(np.isnan(scores)))
            raise ValueError(f"The score of row {rows[i]}, label {ids[i]} is NaN, which has no rank.")
        scored = scores != -np.inf
        rows, ids, scores = rows[scored], ids[scored], scores[scored]
        order = np.lexsort((-scores, rows))  # The sort is stable, so equal scores stay in the order of labels.
        lengths = np.bincount(rows, minlength=n_rows)
        slots = np.arange(rows.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        top = cls.empty(n_rows, min(check_k(k), n_labels))
        within = slots < top.k
        best = order[within]
        top.ids[rows[within], slots[within]] = ids[best]
        top.scores[rows[within], slots[within]] = scores[best]
        np.minimum(lengths, top.k, out=top.counts, casting="unsafe")
        return top

    @classmethod
    def concat(cls, parts: Sequence[TopK]) -> TopK:
        """Stack results row-wise.

        Parameters
        ----------
        parts : sequence of TopK
            At least one, all of the same ``k``.

        Returns
        -------
        TopK
            The rows of all parts in their order.

        Raises
        ------
        ValueError, TypeError
            If there is no part, if the parts differ in ``k``, or as for `check_topk`.
        """
        parts = [check_topk(part) for part in parts]
        widths = {part.k for part in parts}
        if len(widths) != 1:
            raise ValueError(f"The parts have {sorted(widths)} slots per row; pass at least one, all of the same k.")
        return cls(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))

    def filled(self) -> NDArray[np.bool_]:
        """Return the mask of filled slots.

        Returns
        -------
        ndarray of bool, shape (n_rows, k)
        """
        return np.arange(self.k) < self.counts[:, None]

    def head(self, k: int) -> TopK:
        """Return the first slots of every row.

        Parameters
        ----------
        k : int
            Slots wanted, at least 1; all slots if there are fewer.

        Returns
        -------
        TopK
            Views of the arrays of ids and scores.

        Raises
        ------
        TypeError, ValueError
            If `k` is not an integer, or is below 1; or if the ranking is not well-formed.
        """
        top = check_topk(self)
        k = min(check_k(k), top.k)
        return TopK(top.ids[:, :k], top.scores[:, :k], np.minimum(top.counts, k))

    def above(self, threshold: float) -> TopK:
        """Keep the predictions with a score of at least a threshold.

        Parameters
        ----------
        threshold : float
            The lowest score kept.

        Returns
        -------
        TopK
            The same ``k``; the slots of all other predictions are unfilled.

        Raises
        ------
        ValueError
            If scores do not descend, or as for `check_topk`.
        """
        top = check_topk(self)
        high = top.filled() & (top.scores >= threshold)
        counts = high.sum(axis=1, dtype=np.int32)
        keep = np.arange(top.k) < counts[:, None]
        if (high != keep).any():
            row = int((high != keep).any(axis=1).argmax())
            raise ValueError(
                f"The scores of row {row} do not descend; rank them with TopK.from_csr or TopK.from_dense."
            )
        return TopK(np.where(keep, top.ids, -1), np.where(keep, top.scores, np.float32(-np.inf)), counts)

    def without(self, labels: Any) -> TopK:
        """Drop some predictions of each row, for instance of labels that are known already; the others move up.

        Parameters
        ----------
        labels : sparse or dense 0-1 matrix, shape (n_rows, n_labels)
            The labels to drop.

        Returns
        -------
        TopK
            The same ``k``, so predict more labels than are wanted in the end, and see `head`.

        Raises
        ------
        ValueError
            If `labels` has another number of rows or entries other than 0 and 1, or as for `check_topk`.
        """
        top, dropped = check_topk(self), canonical(labels, "labels")
        if dropped.shape[0] != top.n_rows:
            raise ValueError(f"labels has {dropped.shape[0]} rows and the ranking {top.n_rows}.")
        if not ((dropped.data == 0) | (dropped.data == 1)).all():
            raise ValueError("labels has entries other than 0 and 1; pass a label matrix, such as (labels > 0).")
        rows = np.repeat(np.arange(top.n_rows, dtype=np.int64), np.diff(dropped.indptr))
        keys = (rows * dropped.shape[1] + dropped.indices)[dropped.data != 0]
        own = np.arange(top.n_rows, dtype=np.int64)[:, None] * dropped.shape[1] + top.ids
        stays = top.filled() & ~(np.isin(own, keys) & (top.ids < dropped.shape[1]))
        order = np.argsort(~stays, axis=1, kind="stable")
        ids, scores = np.where(stays, top.ids, -1), np.where(stays, top.scores, np.float32(-np.inf))
        return TopK(
            np.take_along_axis(ids, order, axis=1),
            np.take_along_axis(scores, order, axis=1),
            stays.sum(axis=1, dtype=np.int32),
        )

    def to_csr(self, n_labels: int) -> csr_array:
        """Return the scores as a sparse matrix.

        Parameters
        ----------
        n_labels : int
            Number of columns.

        Returns
        -------
        csr_array of float32, shape (n_rows, n_labels)
            Canonical. A stored zero is the score of a prediction; an entry that is not stored is not a prediction.

        Raises
        ------
        ValueError
            If a prediction is not an id below `n_labels`, a row names a label twice, or as for `check_topk`.
        """
        top = check_topk(self, n_labels)
        filled = top.filled()
        indptr = np.concatenate(([0], np.cumsum(top.counts, dtype=np.int64)))
        matrix = csr_array((top.scores[filled], top.ids[filled], indptr), shape=(top.n_rows, n_labels))
        matrix.sort_indices()
        if not matrix.has_canonical_format:
            rows = np.repeat(np.arange(top.n_rows), top.counts)
            twice = (np.diff(rows) == 0) & (np.diff(matrix.indices) == 0)
            raise ValueError(f"Row {rows[twice.argmax()]} names label {matrix.indices[twice.argmax()]} twice.")
        return matrix

    def named(self, classes: Sequence[Any] | NDArray[Any]) -> list[list[tuple[Any, float]]]:
        """Return the predictions of each row by name.

        Parameters
        ----------
        classes : sequence
            The name of each label id, such as ``classes_`` of the estimator or the label names of a data set.

        Returns
        -------
        list of lists of (label, score)
            One list per row, best first. Labels of an array are Python's own strings and integers, as JSON takes them.

        Raises
        ------
        ValueError, TypeError
            If a prediction has no name in `classes`, or as for `check_topk`.
        """
        return [
            [(_plain(classes[label]), float(score)) for label, score in zip(ids[:count], scores[:count], strict=True)]
            for ids, scores, count in zip(*check_topk(self, len(classes)), strict=True)
        ]


def check_topk(top: Any, n_labels: int | None = None) -> TopK:
    """Return a ranking that a user may have made, with arrays of the promised dtypes, or raise.

    Parameters
    ----------
    top : TopK
    n_labels : int, optional
        Bound of the label ids; by default they are not looked at.

    Raises
    ------
    TypeError
        If `top` is no `TopK`, or its arrays are not numbers.
    ValueError
        If shapes do not fit, a row has fewer or more predictions than slots, or a prediction is not an id below
        `n_labels`.

    Notes
    -----
    Kernels follow counts and ids unchecked, and the arrays of a `TopK` can be changed at any time. So whoever takes one
    from a user checks it; what a method returns is made by kernels and is not checked on the way.
    """
    if not isinstance(top, TopK):
        raise TypeError(
            f"A {type(top).__name__} is no ranking; pass the TopK of predict_topk, TopK.from_dense or TopK.from_csr."
        )
    ids, scores, counts = (np.asarray(array) for array in top)
    if ids.ndim != 2 or scores.shape != ids.shape or counts.shape != ids.shape[:1]:
        raise ValueError(
            f"The ranking has ids of shape {ids.shape}, scores of {scores.shape} and counts of {counts.shape}; ids and "
            "scores are (n_rows, k), counts (n_rows,)."
        )
    if ids.dtype.kind not in "iu" or counts.dtype.kind not in "iu" or scores.dtype.kind not in "iuf":
        raise TypeError(
            f"The ranking has ids of {ids.dtype}, scores of {scores.dtype} and counts of {counts.dtype}; ids and "
            "counts are integers, scores are floats."
        )
    if counts.size and not 0 <= counts.min() <= counts.max() <= ids.shape[1]:
        row = int(np.argmax((counts < 0) | (counts > ids.shape[1])))
        raise ValueError(f"counts[{row}] of the ranking is {counts[row]}; a row has {ids.shape[1]} slots.")
    named = ids[np.arange(ids.shape[1]) < counts[:, None]]
    if n_labels is not None and named.size and not 0 <= named.min() <= named.max() < n_labels:
        raise ValueError(
            f"The predictions name label ids from {named.min()} to {named.max()}; there are {n_labels} labels."
        )
    return TopK(np.asarray(ids, np.int32), np.asarray(scores, np.float32), np.asarray(counts, np.int32))


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label
