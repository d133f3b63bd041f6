"""Metrics of probabilities: whether what is predicted with a probability of 0.3 is true three times in ten."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xclassic.metrics._inputs import label_mask, read_both
from xclassic.validation.parameters import check_number


def expected_calibration_error(
    Y_true: Any,
    top: Any,
    k: int = 5,
    *,
    n_bins: int = 15,
    labels: ArrayLike | None = None,
    classes: Any = None,
    exclude: Any = None,
) -> float:
    """Expected calibration error: how far probabilities are from the shares of what is true.

    The pairs of all rows and their best `k` labels are sorted by their probability and cut into bins of equally many.
    The error is the mean, over pairs, of the distance between the mean probability and the share of true labels of
    their bin.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
    top : TopK, or sparse or dense matrix of shape (n_rows, n_labels)
        Predictions whose scores are probabilities in [0, 1].
    k : int, default=5
        Labels of each row that are looked at, or fewer if it has fewer predictions; at least 1.
    n_bins : int, default=15
        At least 1. With fewer pairs than bins each pair is a bin.
    labels : array-like of int or of bool, optional
        Ids of the labels to look at, or a mask over all labels: the pairs of other labels are left out.
    classes : fitted estimator, or array-like, optional
    exclude : sparse or dense matrix, optional
        See `precision_at_k`.

    Returns
    -------
    float
        In [0, 1], and 0 at best; 0 too if nothing is predicted. Noise alone makes it positive: with shares near one
        half and m pairs in a bin, about 0.4 / sqrt(m).

    Raises
    ------
    ValueError
        If a score is no probability, or as `precision_at_k`.
    TypeError
        See `precision_at_k`.

    See Also
    --------
    xclassic.Calibrated : Probabilities for the predictions of any estimator.

    References
    ----------
    .. [1] M. P. Naeini, G. F. Cooper and M. Hauskrecht, "Obtaining well calibrated probabilities using Bayesian
       binning", AAAI 2015.

    Examples
    --------
    >>> from xclassic.metrics import expected_calibration_error
    >>> float(expected_calibration_error([[1, 0], [0, 0]], [[0.5, 0.25], [0.5, 0.25]], k=2, n_bins=2))
    0.125
    """
    check_number("n_bins", n_bins, minimum=1, integer=True)
    return calibration_gap(*_read(Y_true, top, k, labels, classes, exclude), n_bins)


def brier_score(
    Y_true: Any, top: Any, k: int = 5, *, labels: ArrayLike | None = None, classes: Any = None, exclude: Any = None
) -> float:
    """Brier score: the mean squared distance of probabilities from the truth, over the best `k` labels of each row.

    It falls with errors of calibration, and with how well probabilities tell true labels from others. To say for all
    pairs how often they are true on the whole, with a rate r, scores r (1 - r).

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
    top : TopK, or sparse or dense matrix of shape (n_rows, n_labels)
    k : int, default=5
    labels : array-like of int or of bool, optional
    classes : fitted estimator, or array-like, optional
    exclude : sparse or dense matrix, optional
        See `expected_calibration_error`.

    Returns
    -------
    float
        In [0, 1], and 0 at best; 0 too if nothing is predicted.

    Raises
    ------
    ValueError, TypeError
        See `expected_calibration_error`.

    References
    ----------
    .. [1] G. W. Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78, 1950.

    Examples
    --------
    >>> from xclassic.metrics import brier_score
    >>> float(brier_score([[1, 0], [0, 0]], [[0.5, 0.25], [0.5, 0.25]], k=1))
    0.25
    """
    probabilities, hits = _read(Y_true, top, k, labels, classes, exclude)
    return float(((probabilities - hits) ** 2).sum() / max(1, hits.size))


def calibration_gap(probabilities: NDArray[np.float64], hits: NDArray[np.bool_], n_bins: int) -> float:
    """Return the expected calibration error of pairs; equal probabilities stay in their order."""
    order = np.argsort(probabilities, kind="stable")
    starts = np.unique(np.arange(n_bins) * order.size // n_bins)
    gaps = np.add.reduceat((probabilities - hits)[order], starts) if order.size else np.zeros(1)
    return float(np.abs(gaps).sum() / max(1, order.size))


def _read(
    Y_true: Any, top: Any, k: int, labels: ArrayLike | None, classes: Any, exclude: Any
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the probability of each pair, and whether it is true."""
    truth, ranking = read_both(Y_true, top, k, classes, exclude)
    rows, slots = np.nonzero(ranking.filled())
    ids, scores = ranking.ids[rows, slots], ranking.scores[rows, slots].astype(np.float64)
    bad = ~((scores >= 0) & (scores <= 1))
    if bad.any():
        i = int(np.argmax(bad))
        raise ValueError(
            f"The score of row {rows[i]}, label {ids[i]} is {scores[i]:g}, which is no probability; Calibrated makes "
            "probabilities of the scores of any estimator."
        )
    hits = truth.contain(rows * truth.n_labels + ids)
    if labels is None:
        return scores, hits
    seen = label_mask(labels, truth.n_labels)[ids]
    return scores[seen], hits[seen]
