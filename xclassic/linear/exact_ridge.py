"""Ridge regression of all labels by one Cholesky factorization, and its leave-one-out predictions.

With the constant feature appended to `X`, ``W = (X^T X + alpha I)^-1 X^T T = X^T (X X^T + alpha I)^-1 T``: the first
form factorizes a matrix of features, the second one of rows. The smaller matrix is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve
from scipy.sparse import csc_array, csr_array

import xclassic._kernels.blocks as kernels
from xclassic.blocks.problem import label_ranges
from xclassic.blocks.training import Trained, run_blocks
from xclassic.linalg.ridge import factorize, gram_matrix, with_bias
from xclassic.parallel import StopByte
from xclassic.rows import dense, times_rows
from xclassic.validation.features import Features

SAMPLE_ROWS = 3_000  # Rows that leave-one-out fits if both rows and features are more; its matrix is quadratic in them.
JUDGED_ROWS = 1_000  # Rows whose ranking is judged.
RANKS = (1, 3, 5)
# Labels solved together: always as many, filled up with zeros, since the bits that BLAS returns depend on their number.
SIDES = 64


def solve(
    X: Features,
    Y: csr_array,
    labels: NDArray[Any],
    *,
    alpha: float,
    targets: NDArray[np.float32],
    bias: float,
    prune: float,
    row_weights: NDArray[np.float32] | None,
    n_jobs: int | None,
    verbose: int,
) -> Trained:
    """Fit ``(X^T D X + alpha I) w = targets[j] X^T D y_j`` for each of `labels`.

    The parameters are those of `ridge_blocks`.

    Notes
    -----
    Cost: ``m^3 / 3 + 2 m^2 L`` operations with m the smaller of rows and features. Memory: ``4 m^2`` bytes, and per
    worker 4 bytes for each feature and label of a task and 256 for each row or feature; no array of all features by all
    labels.
    """
    roots = None if row_weights is None else np.sqrt(row_weights)
    X = times_rows(with_bias(X, bias), roots)
    of_rows = X.shape[0] < X.shape[1]
    factor = factorize(gram_matrix(X, alpha, of_rows))
    columns = csc_array(times_rows(Y, roots))[:, labels]
    task = partial(_solve_task, X, columns, factor, of_rows, targets, bias, prune)
    return run_blocks(task, label_ranges(len(labels)), labels, X.shape[1] - 1, n_jobs, verbose)


def _solve_task(
    X: Features,
    columns: csc_array,
    factor: Any,
    of_rows: bool,
    targets: NDArray[np.float32],
    bias: float,
    prune: float,
    labels: tuple[int, int],
    stop: StopByte,
) -> Any:
    first, last = labels
    weights = np.empty((X.shape[1], last - first), np.float32)
    for start in range(first, last, SIDES):
        part = slice(start, min(start + SIDES, last))
        width = part.stop - start
        mapped = columns[:, part].multiply(targets[part]).tocsc()
        sides = np.zeros((len(factor[0]), SIDES), np.float32)
        sides[:, :width] = mapped.toarray() if of_rows else dense(X.T @ mapped)
        solved = cho_solve(factor, sides, overwrite_b=True, check_finite=False)
        weights[:, start - first : part.stop - first] = (X.T @ solved if of_rows else solved)[:, :width]
    cells = kernels.dense_cells(weights[:-1], prune=prune)
    return cells, bias * weights[-1], np.zeros(last - first), np.zeros(1, np.int64)


def leave_one_out(
    X: Features,
    Y: csr_array,
    inverse: NDArray[np.float64],
    *,
    bias: float,
    alphas: Sequence[float],
    powers: Sequence[float],
    row_weights: NDArray[np.float32] | None = None,
    seed: int,
) -> dict[tuple[float, float], float]:
    """Judge pairs of penalty and propensity power on training rows, each ranked by models that have not seen the row.

    With the hat matrix ``H = X (X^T X + alpha I)^-1 X^T``, the models fitted without row i give it the scores
    ``(H_i Y - h_ii y_i) / (1 - h_ii)``. The power only multiplies the columns, so one factorization serves all powers.

    Parameters
    ----------
    X : csr_array or ndarray, shape (n_rows, n_features)
        Features without the constant one.
    Y : csr_array, shape (n_rows, n_labels)
    inverse : ndarray, shape (n_labels,)
        Inverse propensities.
    bias : float
        Value of the constant feature.
    alphas, powers : sequence of float
    row_weights : ndarray of float32, shape (n_rows,), optional
        They count in the fits and in the mean.
    seed : int
        Seed of the choice of rows: 3,000 to fit on if there are more features than that, and 1,000 to judge.

    Returns
    -------
    dict
        The mean of P@1, P@3 and P@5 of each (alpha, power).
    """
    roots = np.ones(X.shape[0], np.float32) if row_weights is None else np.sqrt(row_weights)
    random = np.random.default_rng(seed)
    of_rows = X.shape[1] > SAMPLE_ROWS
    if of_rows and X.shape[0] > SAMPLE_ROWS:
        sample = np.sort(random.choice(X.shape[0], SAMPLE_ROWS, replace=False))
        X, Y, roots = X[sample], Y[sample], roots[sample]
    X = times_rows(with_bias(X, bias), roots)
    judged = np.sort(random.choice(X.shape[0], min(JUDGED_ROWS, X.shape[0]), replace=False))
    seen = np.flatnonzero(np.bincount(Y.indices, minlength=Y.shape[1]))  # Other labels score 0.
    Y, inverse = csr_array(times_rows(csr_array(Y[:, seen]), roots)), inverse[seen]
    quality = {}
    for alpha in alphas:
        hat = _hat_rows(X, alpha, judged, of_rows)
        for power, precision in zip(powers, _precisions(hat, Y, judged, roots, inverse, powers), strict=True):
            quality[alpha, power] = precision
    return quality


def _hat_rows(X: Features, alpha: float, judged: NDArray[np.int64], of_rows: bool) -> NDArray[np.float32]:
    """Return the rows `judged` of the hat matrix."""
    factor = factorize(gram_matrix(X, alpha, of_rows))
    if of_rows:  # H = I - alpha (X X^T + alpha I)^-1
        unit = np.zeros((X.shape[0], len(judged)), np.float32)
        unit[judged, np.arange(len(judged))] = 1
        return (unit - alpha * cho_solve(factor, unit, check_finite=False)).T
    solved = cho_solve(factor, dense(X[judged].T), check_finite=False)
    return np.ascontiguousarray((X @ solved).T)


def _precisions(
    hat: NDArray[np.float32],
    Y: csr_array,
    judged: NDArray[np.int64],
    roots: NDArray[np.float32],
    inverse: NDArray[np.float64],
    powers: Sequence[float],
) -> NDArray[np.float64]:
    """Return for each power the mean of P@1, P@3 and P@5 of the leave-one-out scores of the rows `judged`.

    The rows of `hat` and `Y` are multiplied by `roots` of weights, which changes no ranking.
    """
    total = np.zeros(len(powers))
    scales = [(inverse**power).astype(np.float32) for power in powers]
    best = min(max(RANKS), Y.shape[1])
    for start in range(0, len(judged), 100):
        rows = judged[start : start + 100]
        part = hat[start : start + 100]
        own = part[np.arange(len(rows)), rows]
        truth = Y[rows].toarray()
        scores = (part @ Y - own[:, None] * truth) / np.maximum(1 - own, 1e-6)[:, None]
        for p, scale in enumerate(scales):
            scaled = scores * scale
            top = np.argpartition(-scaled, best - 1, axis=1)[:, :best]
            top = np.take_along_axis(top, np.argsort(-np.take_along_axis(scaled, top, axis=1), axis=1), axis=1)
            hits = np.take_along_axis(truth, top, axis=1) * roots[rows, None]
            total[p] += np.sum([hits[:, :k].sum() / k for k in RANKS])
    return total / (len(RANKS) * np.sum(roots[judged] ** 2, dtype=np.float64))
