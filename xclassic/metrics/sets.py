"""Metrics of predicted label sets: precision, recall, F1 and accuracy from the counts of each label.

Their `average` says how labels are aggregated:

``"micro"``
    Over all (row, label) pairs at once; frequent labels dominate.
``"macro"``
    The mean over labels. Labels that are neither true nor predicted anywhere are left out, since there is nothing to
    judge: with thousands of labels most of them can be absent from a test set. A label with truth but no prediction,
    or the other way round, has precision, recall and F1 of 0.
``"weighted"``
    The mean over labels weighted by the number of rows in which they are true.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xclassic.metrics._inputs import Pairs, label_mask, read_pairs, read_sets
from xclassic.validation.parameters import check_choice

AVERAGES = ("micro", "macro", "weighted")


def precision(
    Y_true: Any, Y_pred: Any, *, average: str = "micro", labels: ArrayLike | None = None, classes: Any = None
) -> float:
    """Precision of predicted label sets: how many of the predicted labels are true.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
        A label is true where an entry is above zero; any numeric type is accepted.
    Y_pred : sparse or dense matrix of the same shape, or TopK
        A label is predicted where an entry is above zero; in a TopK every prediction is a predicted label.
    average : {"micro", "macro", "weighted"}, default="micro"
        All pairs at once, the mean over labels that are true or predicted somewhere, or the mean over labels weighted
        by the number of their true rows.
    labels : array-like of int or of bool, optional
        Ids of the labels to look at, or a mask over all labels; the others are left out of truth and prediction.
    classes : fitted estimator, or array-like of its ``classes_``, optional
        With it truth and prediction may also be lists of label collections or class vectors, as ``fit`` takes them.
        True labels that are not among the classes count as missed.

    Returns
    -------
    float
        In [0, 1]. A ratio of 0 / 0 is 0.

    Raises
    ------
    ValueError
        If shapes do not match, an entry is negative or NaN, or `average` is unknown.
    TypeError
        If an argument is of the wrong type.

    Examples
    --------
    >>> from xclassic.metrics import precision
    >>> precision([[1, 0, 1], [0, 1, 0]], [[1, 1, 0], [0, 1, 0]], average="macro")
    0.5
    """
    return _precision(count(Y_true, Y_pred, labels, classes), average)


def recall(
    Y_true: Any, Y_pred: Any, *, average: str = "micro", labels: ArrayLike | None = None, classes: Any = None
) -> float:
    """Recall of predicted label sets: how many of the true labels are predicted.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
    Y_pred : sparse or dense matrix of the same shape, or TopK
    average : {"micro", "macro", "weighted"}, default="micro"
    labels : array-like of int or of bool, optional
    classes : fitted estimator, or array-like, optional
        See `precision`.

    Returns
    -------
    float
        In [0, 1]. A ratio of 0 / 0 is 0.

    Raises
    ------
    ValueError, TypeError
        See `precision`.
    """
    return _recall(count(Y_true, Y_pred, labels, classes), average)


def f1(
    Y_true: Any, Y_pred: Any, *, average: str = "micro", labels: ArrayLike | None = None, classes: Any = None
) -> float:
    """F1 of predicted label sets: the harmonic mean of precision and recall.

    The macro average is the mean of the labels' F1, not the F1 of the means.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
    Y_pred : sparse or dense matrix of the same shape, or TopK
    average : {"micro", "macro", "weighted"}, default="micro"
    labels : array-like of int or of bool, optional
    classes : fitted estimator, or array-like, optional
        See `precision`.

    Returns
    -------
    float
        In [0, 1]. A ratio of 0 / 0 is 0.

    Raises
    ------
    ValueError, TypeError
        See `precision`.
    """
    return _f1(count(Y_true, Y_pred, labels, classes), average)


def accuracy(
    Y_true: Any, Y_pred: Any, *, average: str = "micro", labels: ArrayLike | None = None, classes: Any = None
) -> float:
    """Accuracy of predicted label sets: the share of (row, label) decisions that are right, present or absent.

    With many labels nearly all pairs are rightly absent, which brings any prediction close to 1: prefer `f1`. Micro and
    macro are the same here. Every label counts, since a label that is rightly absent is a right decision.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
    Y_pred : sparse or dense matrix of the same shape, or TopK
    average : {"micro", "macro", "weighted"}, default="micro"
    labels : array-like of int or of bool, optional
    classes : fitted estimator, or array-like, optional
        See `precision`.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError, TypeError
        See `precision`.
    """
    return _accuracy(count(Y_true, Y_pred, labels, classes), average)


def subset_accuracy(Y_true: Any, Y_pred: Any, *, labels: ArrayLike | None = None, classes: Any = None) -> float:
    """Subset accuracy: the share of rows whose predicted label set is exactly the true one.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
    Y_pred : sparse or dense matrix of the same shape, or TopK
    labels : array-like of int or of bool, optional
        See `precision`. A row with neither true nor predicted labels is right.
    classes : fitted estimator, or array-like, optional
        See `precision`.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError, TypeError
        See `precision`.
    """
    truth, predicted = _read(Y_true, Y_pred, classes)
    wrong_keys = np.setxor1d(truth.restricted(labels).keys, predicted.restricted(labels).keys, assume_unique=True)
    wrong_rows = np.unique(wrong_keys // truth.n_labels).size
    return 1 - wrong_rows / truth.n_rows


class Counts(NamedTuple):
    """Numbers of rows in which each label is true, predicted, and both."""

    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    both: NDArray[np.int64]
    n_rows: int

    def restricted(self, labels: ArrayLike | None) -> Counts:
        """Return the counts of these labels, given as ids or as a mask; all counts if None."""
        if labels is None:
            return self
        mask = label_mask(labels, self.true.size)
        return Counts(self.true[mask], self.predicted[mask], self.both[mask], self.n_rows)


def count(Y_true: Any, Y_pred: Any, labels: ArrayLike | None = None, classes: Any = None) -> Counts:
    """Count true, predicted and rightly predicted rows of each label."""
    truth, predicted = _read(Y_true, Y_pred, classes)
    both = truth._replace(keys=predicted.keys[truth.contain(predicted.keys)])
    return Counts(_per_label(truth), _per_label(predicted), _per_label(both), truth.n_rows).restricted(labels)


def _per_label(pairs: Pairs) -> NDArray[np.int64]:
    return np.bincount(pairs.labels, minlength=pairs.n_labels)


def _read(Y_true: Any, Y_pred: Any, classes: Any) -> tuple[Pairs, Pairs]:
    truth = read_pairs(Y_true, "Y_true", classes)
    return truth, read_sets(Y_pred, truth, classes)


def _precision(counts: Counts, average: str) -> float:
    return _average(counts.both, counts.predicted, counts, average)


def _recall(counts: Counts, average: str) -> float:
    return _average(counts.both, counts.true, counts, average)


def _f1(counts: Counts, average: str) -> float:
    return _average(2 * counts.both, counts.true + counts.predicted, counts, average)


def _accuracy(counts: Counts, average: str) -> float:
    wrong = counts.true + counts.predicted - 2 * counts.both
    right = (counts.n_rows - wrong) / counts.n_rows
    weights = counts.true if _checked(average) == "weighted" else np.ones(right.size)
    return _weighted_mean(right, weights)


def _average(numerator: NDArray[np.int64], denominator: NDArray[np.int64], counts: Counts, average: str) -> float:
    if _checked(average) == "micro":
        return float(numerator.sum() / max(1, denominator.sum()))
    ratio = np.divide(numerator, denominator, out=np.zeros(denominator.size), where=denominator > 0)
    return _weighted_mean(ratio, counts.true if average == "weighted" else counts.true + counts.predicted > 0)


def _checked(average: str) -> str:
    check_choice("average", average, AVERAGES)
    return average


def _weighted_mean(values: NDArray[np.float64], weights: NDArray[Any]) -> float:
    return float(values @ weights / max(1, weights.sum()))


# Metrics by the names that a report shows.
OF_SETS = {"precision": _precision, "recall": _recall, "F1": _f1, "accuracy": _accuracy}
