"""Metrics of a ranking: how good the first k labels of each row are.

They share these parameters and rules; the user guide has the formulas.

* A true label is an entry above zero of `Y_true`.
* Equal scores rank the smaller label id first.
* A row without true labels counts 0 and stays in the mean.
* With ``labels=`` only those labels count as true; the ranking stays as it is, so other labels still take up slots.
  Means over rows are then over the rows that have a true label among them, except in `precision_at_k`, whose
  values for disjoint groups of labels add up.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xclassic.metrics._inputs import Judged, judge
from xclassic.validation.parameters import check_k


def precision_at_k(
    Y_true: Any, top: Any, k: int, *, labels: ArrayLike | None = None, classes: Any = None, exclude: Any = None
) -> float:
    """Precision at k: the share of the first `k` slots that hold a true label.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
        A label is true where an entry is above zero; any numeric type is accepted.
    top : TopK, or sparse or dense score matrix of shape (n_rows, n_labels)
        The ranking. In a sparse matrix an entry that is not stored was not scored; minus infinity means the same.
    k : int
        At least 1. The divisor is always `k`, also for rows with fewer true labels or predictions.
    labels : array-like of int or of bool, optional
        Ids of the labels to look at, or a mask over all labels: only they can be hits. The divisor stays `k`, so that
        the values of disjoint groups add up to the whole.
    classes : fitted estimator, or array-like of its ``classes_``, optional
        With it `Y_true` may also be a list of label collections or a class vector, as ``fit`` takes them. True labels
        that are not among the classes count as missed.
    exclude : sparse or dense matrix, shape (n_rows, n_labels), optional
        Pairs of a row and a label that do not count, neither as true nor as predicted, such as labels that are known
        already: predictions behind move up. Rank deeper by as many, or predict with the same ``exclude=``.

    Returns
    -------
    float
        In [0, 1]. The highest possible value is the mean of ``min(k, n_true) / k``.

    Raises
    ------
    ValueError
        If shapes do not match, an entry of `Y_true` is negative or NaN, or the ranking ends before `k`.
    TypeError
        If an argument is of the wrong type.

    Examples
    --------
    >>> from xclassic.metrics import precision_at_k
    >>> precision_at_k([[1, 0, 1], [0, 1, 0]], [[0.9, 0.2, 0.1], [0.3, 0.2, 0.1]], k=2)
    0.5
    """
    return _precision(judge(Y_true, top, k, labels, classes, exclude), k)


def recall_at_k(
    Y_true: Any, top: Any, k: int, *, labels: ArrayLike | None = None, classes: Any = None, exclude: Any = None
) -> float:
    """Recall at k: the share of a row's true labels that are among the first `k`, averaged over rows.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
    top : TopK, or sparse or dense score matrix of shape (n_rows, n_labels)
    k : int
        See `precision_at_k`.
    labels : array-like of int or of bool, optional
        Labels to look at; the mean is over the rows that have one of them.
    classes : fitted estimator, or array-like, optional
    exclude : sparse or dense matrix, optional
        See `precision_at_k`.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError, TypeError
        See `precision_at_k`.
    """
    return _recall(judge(Y_true, top, k, labels, classes, exclude), k)


def ndcg_at_k(
    Y_true: Any, top: Any, k: int, *, labels: ArrayLike | None = None, classes: Any = None, exclude: Any = None
) -> float:
    """Normalized discounted cumulative gain at k, averaged over rows.

    A true label in slot j gains 1 / log(1 + j). The sum is divided by the sum of a ranking which puts all true labels
    of the row first.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
    top : TopK, or sparse or dense score matrix of shape (n_rows, n_labels)
    k : int
        See `precision_at_k`.
    labels : array-like of int or of bool, optional
        Labels to look at; the mean is over the rows that have one of them.
    classes : fitted estimator, or array-like, optional
    exclude : sparse or dense matrix, optional
        See `precision_at_k`.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError, TypeError
        See `precision_at_k`.

    References
    ----------
    .. [1] K. Järvelin and J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM Transactions on
       Information Systems 20(4), 2002.
    """
    return _ndcg(judge(Y_true, top, k, labels, classes, exclude), k)


def hit_at_k(
    Y_true: Any, top: Any, k: int, *, labels: ArrayLike | None = None, classes: Any = None, exclude: Any = None
) -> float:
    """Hit rate at k: the share of rows with at least one true label among the first `k`.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
    top : TopK, or sparse or dense score matrix of shape (n_rows, n_labels)
    k : int
        See `precision_at_k`.
    labels : array-like of int or of bool, optional
        Labels to look at; the mean is over the rows that have one of them.
    classes : fitted estimator, or array-like, optional
    exclude : sparse or dense matrix, optional
        See `precision_at_k`.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError, TypeError
        See `precision_at_k`.
    """
    return _hit(judge(Y_true, top, k, labels, classes, exclude), k)


def coverage_at_k(
    Y_true: Any, top: Any, k: int, *, labels: ArrayLike | None = None, classes: Any = None, exclude: Any = None
) -> float:
    """Coverage at k: the share of labels that are found at least once.

    It is the share, of the labels that are true in some row, that are a hit among the first `k` of at least one row.
    (This is not scikit-learn's ``coverage_error``, which is a depth in the ranking.)

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
    top : TopK, or sparse or dense score matrix of shape (n_rows, n_labels)
    k : int
        See `precision_at_k`.
    labels : array-like of int or of bool, optional
        Labels to look at.
    classes : fitted estimator, or array-like, optional
    exclude : sparse or dense matrix, optional
        See `precision_at_k`.

    Returns
    -------
    float
        In [0, 1]; 0 if no label is true.

    Raises
    ------
    ValueError, TypeError
        See `precision_at_k`.

    References
    ----------
    .. [1] E. Schultheis et al., "Generalized test utilities for long-tail performance in extreme multi-label
       classification", NeurIPS 2023. (It divides by all labels, including those that are never true.)
    """
    return _coverage(judge(Y_true, top, k, labels, classes, exclude), k)


def r_precision(
    Y_true: Any, top: Any, *, labels: ArrayLike | None = None, classes: Any = None, exclude: Any = None
) -> float:
    """R-precision: for a row of R true labels the share of its first R slots that are hits, averaged over rows.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
    top : TopK, or sparse or dense score matrix of shape (n_rows, n_labels)
        See `precision_at_k`. The ranking must be as deep as the row with the most true labels.
    labels : array-like of int or of bool, optional
        Labels to look at; R counts only them, and the mean is over the rows that have one of them.
    classes : fitted estimator, or array-like, optional
    exclude : sparse or dense matrix, optional
        See `precision_at_k`.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If the ranking ends before the number of true labels of a row, or as for `precision_at_k`.
    TypeError
        See `precision_at_k`.
    """
    judged = judge(Y_true, top, None, labels, classes, exclude)
    depth, deepest = judged.ids.shape[1], int(judged.sizes.max())
    if deepest > depth:
        raise ValueError(
            f"Row {judged.sizes.argmax()} has {deepest} true labels but the ranking holds {depth} per row; "
            f"ask for more with predict_topk(X, k={deepest})."
        )
    within = judged.hits & (np.arange(depth) < judged.sizes[:, None])
    return _mean_ratio(within.sum(axis=1), judged.sizes, judged)


def _precision(judged: Judged, k: int) -> float:
    return float(judged.hits[:, :k].sum() / (judged.hits.shape[0] * check_k(k)))


def _recall(judged: Judged, k: int) -> float:
    return _mean_ratio(judged.hits[:, :k].sum(axis=1), judged.sizes, judged)


def _ndcg(judged: Judged, k: int) -> float:
    gain = discounts(k)
    found = judged.hits[:, :k] @ gain[: judged.hits.shape[1]]
    ideal = np.concatenate(([0.0], np.cumsum(gain)))[np.minimum(judged.sizes, k)]
    return _mean_ratio(found, ideal, judged)


def _hit(judged: Judged, k: int) -> float:
    return _mean_ratio(judged.hits[:, :k].sum(axis=1) > 0, np.ones(judged.sizes.size), judged)


def _coverage(judged: Judged, k: int) -> float:
    found = np.unique(judged.ids[:, :k][judged.hits[:, :k]]).size
    return found / max(1, np.unique(judged.truth.labels).size)


def discounts(k: int) -> NDArray[np.float64]:
    """Return 1 / log2(1 + j) for the slots j = 1..k."""
    return 1 / np.log2(np.arange(2, k + 2))


def _mean_ratio(numerator: NDArray[Any], denominator: NDArray[Any], judged: Judged) -> float:
    """Return the mean of the ratio over the rows counted; 0 / 0 is 0, and so is the mean without rows."""
    ratio = np.divide(numerator, denominator, out=np.zeros(denominator.size), where=denominator > 0)
    return float(ratio[judged.counted].sum() / max(1, judged.counted.sum()))


# Metrics by the names that a report shows.
AT_K = {"P": _precision, "R": _recall, "nDCG": _ndcg, "hit": _hit, "coverage": _coverage}
