"""Partial credit for predictions whose label is near the true one in a tree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xclassic.metrics._inputs import Pairs, for_all_labels, read_both
from xclassic.topk import TopK
from xclassic.validation.parameters import check_k


def prefix_credit(
    Y_true: Any,
    top: Any,
    codes: ArrayLike,
    *,
    k: int = 1,
    labels: ArrayLike | None = None,
    classes: Any = None,
    exclude: Any = None,
) -> float:
    r"""Prefix credit: how far the codes of the first `k` predictions agree with the code of a true label.

    .. math:: \frac1n \sum_i \frac1k \sum_{j \le k} \max_{t \in y_i} \frac{s(c_t, c_{\hat y_{ij}})}{|c_t|}

    with :math:`s` the length of the longest common prefix of two codes and :math:`|c_t|` the length of the true one. A
    right prediction earns 1; one whose path leaves that of the true label half-way down the tree earns 1/2. If all
    codes have one digit this is `precision_at_k`; otherwise it is at least as large.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
    top : TopK, or sparse or dense score matrix of shape (n_rows, n_labels)
        See `precision_at_k`.
    codes : array-like of int, shape (n_labels, depth)
        The digits of each label's code, at least 0, then -1 up to the depth; ``LabelTree.codes()`` gives them. A label
        without digits has no code, and earns and gives credit only as itself.
    k : int, default=1
        At least 1. The divisor is always `k`, also for rows with fewer true labels or predictions.
    labels : array-like of int or of bool, optional
        Labels to look at: only they count as true. Predictions stay, and so does the divisor.
    classes : fitted estimator, or array-like, optional
        See `precision_at_k`. A label that is not among them has no code.
    exclude : sparse or dense matrix, optional
        See `precision_at_k`.

    Returns
    -------
    float
        In [0, 1]. Rows without labels count 0 and stay in the mean.

    Raises
    ------
    ValueError
        If `codes` does not have a row for each label or has digits after a -1, or as for `precision_at_k`.
    TypeError
        If `codes` are not integers, or as for `precision_at_k`.

    Notes
    -----
    Cost: O(nnz k depth) for nnz true labels; some 20 nnz k bytes of memory.

    Several predictions of a row may earn credit for the same true label.

    Examples
    --------
    The true label is 1, with code 0 1; the prediction is 0, with code 0 0.

    >>> from xclassic.metrics import prefix_credit
    >>> prefix_credit([[0, 1, 0]], [[0.9, 0.2, 0.1]], [[0, 0], [0, 1], [1, -1]])
    0.5
    """
    truth, ranking = read_both(Y_true, top, check_k(k), classes, exclude)
    truth = truth.restricted(labels)
    digits = _check_codes(codes, truth, classes)
    if truth.keys.size == 0:
        return 0.0
    starts = np.flatnonzero(np.diff(truth.rows, prepend=-1))
    best = np.maximum.reduceat(_credits(truth, ranking, digits), starts)
    return float(best.sum() / (truth.n_rows * k))


def _credits(truth: Pairs, ranking: TopK, digits: NDArray[Any]) -> NDArray[np.float64]:
    """Return for every true label the credit that each prediction of its row earns."""
    rows, true = truth.rows, truth.labels
    filled = ranking.filled()
    predictions = np.where(filled, ranking.ids, 0)[rows]
    agree = filled[rows]
    exact = agree & (predictions == true[:, None])
    shared = np.zeros(agree.shape, np.int32)
    for digit in digits.T:
        agree &= (digit[predictions] == digit[true][:, None]) & (digit[true] >= 0)[:, None]
        shared += agree
    lengths = np.maximum((digits >= 0).sum(axis=1), 1)
    return np.where(exact, 1.0, shared / lengths[true][:, None])


def _check_codes(codes: ArrayLike, truth: Pairs, classes: Any) -> NDArray[Any]:
    try:
        digits = np.asarray(codes)
    except ValueError as error:  # The rows differ in length.
        raise ValueError(f"codes have different lengths ({error}); pad them with -1 to one.") from error
    if digits.dtype.kind not in "iu":
        raise TypeError(f"codes is an array of {digits.dtype}; digits are integers.")
    digits, n_labels = for_all_labels(digits, truth, classes, -1), truth.n_labels
    if digits.ndim != 2 or digits.shape[0] != n_labels:
        raise ValueError(f"codes has shape {digits.shape}; pass one row of digits for each of the {n_labels} labels.")
    wrong = (digits < -1).any(axis=1) | ((digits[:, :-1] < 0) & (digits[:, 1:] >= 0)).any(axis=1)
    if wrong.any():
        label = int(wrong.argmax())
        raise ValueError(
            f"The code of label {label} is {digits[label].tolist()}; digits are at least 0 and only -1 follows a -1."
        )
    return digits
