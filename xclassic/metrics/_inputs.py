"""Inputs of every metric: the true labels, the predictions, and the labels to look at."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse

from xclassic.topk import TopK, check_topk
from xclassic.validation.features import sound, storable
from xclassic.validation.labels import align_labels, class_array
from xclassic.validation.parameters import check_counts, check_k, check_number


class Pairs(NamedTuple):
    """Distinct (row, label) pairs as keys ``row * n_labels + label``, which makes membership one binary search.

    Attributes
    ----------
    keys : ndarray of int64
        Strictly increasing.
    n_rows, n_labels : int
    """

    keys: NDArray[np.int64]
    n_rows: int
    n_labels: int

    @property
    def rows(self) -> NDArray[np.int64]:
        return self.keys // self.n_labels

    @property
    def labels(self) -> NDArray[np.int64]:
        return self.keys % self.n_labels

    def contain(self, keys: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return the mask of `keys` that are among these pairs. Cost: a binary search for each."""
        if self.keys.size == 0:
            return np.zeros(keys.shape, np.bool_)
        positions = np.minimum(np.searchsorted(self.keys, keys), self.keys.size - 1)
        return self.keys[positions] == keys

    def restricted(self, labels: ArrayLike | None) -> Pairs:
        """Return the pairs of these labels, given as ids or as a mask; all pairs if None."""
        if labels is None:
            return self
        return self._replace(keys=self.keys[label_mask(labels, self.n_labels)[self.labels]])


class Judged(NamedTuple):
    """A ranking compared with the truth.

    Attributes
    ----------
    truth : Pairs
        Restricted to the labels looked at.
    ids : ndarray of int32, shape (n_rows, n_slots)
        The label of each hit, and any id below `n_labels` elsewhere; ``n_slots`` is the largest `k` requested, or the
        depth of the ranking if smaller.
    hits : ndarray of bool, shape (n_rows, n_slots)
        True where a slot holds a true label.
    sizes : ndarray of int64, shape (n_rows,)
        Number of true labels of each row.
    counted : ndarray of bool, shape (n_rows,)
        Rows that a mean over rows includes: all, or under a restriction those with a true label.
    """

    truth: Pairs
    ids: NDArray[np.int32]
    hits: NDArray[np.bool_]
    sizes: NDArray[np.int64]
    counted: NDArray[np.bool_]

    def restricted(self, labels: ArrayLike | None) -> Judged:
        """Return the same ranking compared with the truth of these labels only."""
        if labels is None:
            return self
        mask = label_mask(labels, self.truth.n_labels)
        truth = self.truth.restricted(mask)
        sizes = _sizes(truth)
        return Judged(truth, self.ids, self.hits & mask[self.ids], sizes, sizes > 0)


def judge(
    Y_true: Any,
    top: Any,
    k: int | None,
    labels: ArrayLike | None = None,
    classes: Any = None,
    exclude: Any = None,
) -> Judged:
    """Compare a ranking with the truth down to slot `k`, or all of it if None."""
    truth, ranking = read_both(Y_true, top, k, classes, exclude)
    keys = np.arange(truth.n_rows, dtype=np.int64)[:, None] * truth.n_labels + ranking.ids
    hits = truth.contain(keys) & ranking.filled()
    ids = np.where(hits, ranking.ids, 0)
    return Judged(truth, ids, hits, _sizes(truth), np.ones(truth.n_rows, np.bool_)).restricted(labels)


def read_both(Y_true: Any, top: Any, k: int | None, classes: Any, exclude: Any) -> tuple[Pairs, TopK]:
    """Return the truth and the ranking down to slot `k`, both without the pairs excluded."""
    truth = read_pairs(Y_true, "Y_true", classes)
    if exclude is None:
        return truth, read_ranking(top, truth, k)
    excluded = _as_wide(read_pairs(exclude, "exclude", classes), truth, classes)
    if excluded[1:] != truth[1:]:
        raise ValueError(f"exclude has shape {tuple(excluded[1:])} but Y_true has {tuple(truth[1:])}.")
    ones = (np.ones(excluded.keys.size, np.float32), (excluded.rows, excluded.labels))
    matrix = csr_array(ones, shape=(truth.n_rows, truth.n_labels))
    truth = truth._replace(keys=truth.keys[~excluded.contain(truth.keys)])
    return truth, read_ranking(read_ranking(top, truth, None).without(matrix), truth, k)


def _as_wide(pairs: Pairs, truth: Pairs, classes: Any) -> Pairs:
    """Return pairs of the classes as pairs of all labels of the truth, which has unknown labels behind them."""
    if classes is None or pairs.n_labels != class_array(classes).size:
        return pairs
    return Pairs(pairs.rows * truth.n_labels + pairs.labels, pairs.n_rows, truth.n_labels)


def _sizes(truth: Pairs) -> NDArray[np.int64]:
    return np.bincount(truth.rows, minlength=truth.n_rows)


def read_pairs(Y: Any, name: str, classes: Any = None) -> Pairs:
    """Read a label matrix of any numeric type: a label is set where an entry is above zero.

    Indices may be unsorted, zeros may be stored, and an entry that is stored twice counts once. With `classes` labels
    may also be given by name; those that are not among the classes are numbered behind them.

    Raises
    ------
    TypeError
        If `Y` is not a matrix of numbers.
    ValueError
        If an entry is negative or NaN, or if there are no rows or no labels.
    """
    if classes is not None:
        Y = align_labels(Y, classes, name)
    Y = sound(Y, name) if issparse(Y) else _as_array(Y, name)
    n_rows, n_labels = Y.shape
    if n_rows == 0 or n_labels == 0:
        raise ValueError(f"{name} has shape ({n_rows}, {n_labels}); a metric needs a row and a label at least.")
    Y = csr_array(Y)
    rows = np.repeat(np.arange(n_rows, dtype=np.int64), np.diff(Y.indptr))
    if not (Y.data >= 0).all():
        i = int(np.argmin(Y.data >= 0))
        raise ValueError(f"{name}[{rows[i]}, {Y.indices[i]}] is {Y.data[i]}; the entries of a label matrix are 0 or 1.")
    keys = (rows * n_labels + Y.indices)[Y.data != 0]
    if not (keys[1:] > keys[:-1]).all():
        keys = np.unique(keys)
    return Pairs(keys, n_rows, n_labels)


def _as_array(Y: Any, name: str) -> NDArray[Any]:
    try:
        Y = np.asarray(Y)
    except ValueError:  # The rows differ in length.
        Y = np.empty(0, object)
    if Y.ndim != 2 or Y.dtype.kind not in "biuf":
        raise TypeError(
            f"{name} is not a matrix of numbers; pass a sparse or dense 0-1 matrix of shape (n_rows, n_labels). For "
            "labels by name add classes=: the fitted estimator, or its classes_, which the ranking numbers them by."
        )
    return storable(Y)


def read_ranking(top: Any, truth: Pairs, k: int | None) -> TopK:
    """Return a ranking cut at `k`, or raise if it is shorter."""
    top = check_topk(top) if isinstance(top, TopK) else _rank(top, truth, k)
    if top.n_rows != truth.n_rows:
        raise ValueError(f"The ranking has {top.n_rows} rows but Y_true has {truth.n_rows}.")
    _check_ids(top, truth.n_labels)
    if k is None:
        return top
    if min(check_k(k), truth.n_labels) > top.k:
        raise ValueError(
            f"k is {k} but the ranking holds {top.k} labels per row; ask for more with predict_topk(X, k={k})."
        )
    return top.head(k)


def _check_ids(top: TopK, n_labels: int) -> None:
    """Raise unless the predictions of each row are distinct columns of the truth."""
    filled = top.filled()
    outside = filled & ((top.ids < 0) | (top.ids >= n_labels))
    if outside.any():
        raise ValueError(
            f"The ranking names label id {top.ids[outside][0]} in row {outside.any(axis=1).argmax()}, which is not a "
            f"column of Y_true; it has {n_labels}."
        )
    unfilled = -1 - np.arange(top.k)  # They differ, so that they do not count as repetitions.
    ordered = np.sort(np.where(filled, top.ids, unfilled), axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
    if twice.any():
        raise ValueError(f"Row {twice.argmax()} of the ranking names a label twice; a prediction counts once.")


def _rank(scores: Any, truth: Pairs, k: int | None) -> TopK:
    if not issparse(scores):
        scores = _as_array(scores, "The score matrix")
    if scores.shape != (truth.n_rows, truth.n_labels):
        raise ValueError(f"The scores have shape {scores.shape} but Y_true has {(truth.n_rows, truth.n_labels)}.")
    k = truth.n_labels if k is None else check_k(k)
    return TopK.from_csr(scores, k) if issparse(scores) else TopK.from_dense(scores, k)


def read_sets(Y_pred: Any, truth: Pairs, classes: Any = None) -> Pairs:
    """Return predicted label sets: the entries above zero of a matrix, or all filled slots of a TopK."""
    if isinstance(Y_pred, TopK):
        Y_pred = read_ranking(Y_pred, truth, None).to_csr(truth.n_labels)
        Y_pred = csr_array((np.ones(Y_pred.nnz, np.bool_), Y_pred.indices, Y_pred.indptr), shape=Y_pred.shape)
    predicted = read_pairs(Y_pred, "Y_pred", None if isinstance(Y_pred, csr_array) else classes)
    predicted = _as_wide(predicted, truth, classes)
    if predicted[1:] != truth[1:]:
        raise ValueError(f"Y_pred has shape {tuple(predicted[1:])} but Y_true has {tuple(truth[1:])}.")
    return predicted


def for_all_labels(values: NDArray[Any], truth: Pairs, classes: Any, missing: Any) -> NDArray[Any]:
    """Return values that are given for each of `classes` with `missing` for the labels of the truth behind them."""
    if classes is None or values.shape[:1] != class_array(classes).shape:
        return values
    padding = [(0, truth.n_labels - values.shape[0]), *[(0, 0)] * (values.ndim - 1)]
    return np.pad(values, padding, constant_values=missing)


def label_mask(labels: ArrayLike, n_labels: int) -> NDArray[np.bool_]:
    """Return the mask over all labels of the labels chosen, which are given by id or by mask."""
    chosen = np.asarray(labels)
    if chosen.dtype == np.bool_:
        if chosen.shape != (n_labels,):
            raise ValueError(f"labels is a mask of shape {chosen.shape}; Y_true has {n_labels} labels.")
        return chosen
    if chosen.size and (chosen.ndim != 1 or chosen.dtype.kind not in "iu"):
        raise TypeError(
            f"labels is an array of {chosen.dtype} with {chosen.ndim} dimensions; pass a flat list of label ids "
            "(columns of Y_true) or a mask over all labels."
        )
    if chosen.size and (chosen.min() < 0 or chosen.max() >= n_labels):
        raise ValueError(f"labels has ids from {chosen.min()} to {chosen.max()}; Y_true has {n_labels} labels.")
    mask = np.zeros(n_labels, np.bool_)
    mask[chosen.astype(np.intp)] = True
    return mask


def label_groups(train_counts: ArrayLike, *, tail_max: int = 25, head_min: int = 101) -> dict[str, NDArray[np.intp]]:
    """Split the labels by how often they occur in training data.

    Parameters
    ----------
    train_counts : array-like of int, shape (n_labels,)
        Training points of each label, as in ``Y_train.sum(axis=0)``.
    tail_max : int, default=25
        Labels with at most this many training points, or without any, are the tail.
    head_min : int, default=101
        Labels with at least this many training points are the head; it must be above `tail_max`.

    Returns
    -------
    dict of str to ndarray of int
        Label ids of ``"head"``, ``"torso"`` (in between) and ``"tail"``, for the ``labels=`` of any metric.

    Raises
    ------
    ValueError
        If a count is negative or not finite, if there is more than one dimension, or if the bounds cross.
    """
    counts = check_counts(train_counts)
    check_number("tail_max", tail_max, minimum=0, integer=True)
    check_number("head_min", head_min, minimum=tail_max + 1, integer=True)
    head, tail = counts >= head_min, counts <= tail_max
    return {"head": np.flatnonzero(head), "torso": np.flatnonzero(~head & ~tail), "tail": np.flatnonzero(tail)}
