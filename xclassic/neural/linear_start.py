"""The linear model that `NeuralXC` starts from: singular vectors, a ridge regression, scores made log-odds."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, eigh, solve_triangular
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.utils.extmath import randomized_svd

from xclassic.linalg.ridge import gram_matrix
from xclassic.validation.features import Features

Array = NDArray[np.float32]
Wide = NDArray[np.float64]

POWER_ITERATIONS = 4
MOST_ROWS, MOST_SCORES = 2048, 2**23  # Choices, each among few, are made by at most so many rows and scores.
SMALLEST = 1e-3  # Share of a row's residual that the row keeps at least when it is left out.
PENALTIES = (3.0, 1.0, 10.0)
WEIGHTS = (1.0, 0.3)
POWERS = (0.0, 0.1, 0.2, 0.3, 0.4)
BOUNDS = [(0.1, 100), (-20, 20)]


class RidgeStart(NamedTuple):
    """Log-odds ``codes regressor decoder + bias``.

    Attributes
    ----------
    regressor : ndarray of float32, shape (n_codes, k)
    decoder : ndarray of float32, shape (k, n_labels)
    bias : ndarray of float32, shape (n_labels,)
    """

    regressor: Array
    decoder: Array
    bias: Array


def leading_axes(X: Features, n: int, seed: int) -> Array:
    """Return the leading right singular vectors, shape (n_features, n): zeros where there are fewer."""
    axes = np.zeros((X.shape[1], n), np.float32)
    found = min(n, *X.shape)
    axes[:, :found] = randomized_svd(X, found, n_iter=POWER_ITERATIONS, random_state=seed)[2].T
    return axes


def ridge_start(codes: Array, n_own: int, Y: csr_array, k: int, penalty: float | None) -> RidgeStart:
    r"""Fit a ridge regression of rank k to labels minus their shares p, and make its scores s log-odds.

    These are :math:`a (s + p) p^{-\gamma} + b`, as ridge regression shrinks rare labels most, with the least
    cross-entropy. Of the penalties, of the weights of all but the first `n_own` codes, and of the powers
    :math:`\gamma` those are taken by which rows rank best that are left out of the regression; each must beat what is
    listed before it by twice the standard error.
    """
    share = np.bincount(Y.indices, minlength=Y.shape[1]) / Y.shape[0]
    gram = gram_matrix(codes, 0.0, of_rows=False)
    products = np.asarray(Y.T @ codes, np.float64).T - np.outer(codes.sum(axis=0, dtype=np.float64), share)
    n_rows = max(1, min(MOST_ROWS, MOST_SCORES // Y.shape[1], Y.shape[0]))
    rows = np.linspace(0, Y.shape[0] - 1, n_rows).astype(np.int64)
    some, truth = codes[rows], Y[rows].toarray()
    powers = [share**-power for power in POWERS]
    chosen: Any = None
    rounding = float(np.finfo(np.float32).eps * np.trace(gram))  # Below it the matrix may not be positive definite.
    for number, weight in product(
        [max(rounding, number) for number in ((penalty,) if penalty else PENALTIES)],
        WEIGHTS if n_own < codes.shape[1] else (1.0,),
    ):
        weights = np.where(np.arange(codes.shape[1]) < n_own, 1, weight).astype(np.float32)
        weighted = gram * np.outer(weights, weights), products * weights[:, None], some * weights
        scores = left_out(*weighted, truth - share, number)
        for power in powers:
            precision = mean_precision((scores + share) * power, truth)
            if chosen is None or is_better(precision, chosen[0]):
                chosen = precision, number, weights, power, scores
    _, number, weights, power, scores = chosen
    a, b = calibration((scores + share) * power, truth)
    regressor, decoder = of_rank(gram * np.outer(weights, weights), products * weights[:, None], k, number)
    decoder *= a * power
    # Factors of one length: AdamW moves the weights of both alike.
    balance = np.sqrt(np.linalg.norm(decoder, axis=1) / np.linalg.norm(regressor, axis=0))
    balance[balance == 0] = 1
    arrays = weights[:, None] * regressor * balance, decoder / balance[:, None], a * power * share + b
    return RidgeStart(*(np.asarray(array, np.float32) for array in arrays))


def left_out(gram: Array, products: Wide, codes: Array, residuals: Array, penalty: float) -> Array:
    """Return the scores of some rows, each left out of the regression of the labels minus their shares."""
    factor = cholesky(gram + np.float32(penalty) * np.eye(len(gram), dtype=np.float32), lower=True)
    solved = cho_solve((factor, True), codes.T).T
    leverage = np.einsum("ij,ij->i", solved, codes)
    errors = residuals - solved @ products.astype(np.float32)
    return np.asarray(residuals - errors / np.maximum(1 - leverage, SMALLEST)[:, None], np.float32)


def of_rank(gram: Array, products: Wide, k: int, penalty: float) -> tuple[Wide, Wide]:
    """Return the ridge regression of rank k with the least loss, as two factors.

    With ``K = C'C + penalty = R R'``, the regression ``K^-1 C'Z = R'^-1 M`` has its best approximation where that of
    ``M = R^-1 C'Z`` is best, since the loss of M is measured by plain squares.
    """
    root = cholesky(gram + penalty * np.eye(len(gram)), lower=True)
    images = solve_triangular(root, products, lower=True)
    vectors = eigh(images @ images.T, subset_by_index=(len(gram) - k, len(gram) - 1))[1]
    return solve_triangular(root, vectors, lower=True, trans="T"), vectors.T @ images


def calibration(scores: Array, truth: Array) -> tuple[float, float]:
    """Return the numbers a and b for which the log-odds ``a score + b`` have the least cross-entropy."""

    def loss(t: Wide) -> tuple[float, list[float]]:
        logits = t[0] * scores + t[1]
        slope = expit(logits) - truth
        value = np.logaddexp(0, logits).sum() - np.vdot(logits, truth)
        return value / truth.size, [np.vdot(slope, scores) / truth.size, slope.mean()]

    a, b = minimize(loss, [1.0, 0.0], jac=True, method="L-BFGS-B", bounds=BOUNDS).x
    return float(a), float(b)


def is_better(precision: Wide, other: Wide) -> bool:
    """Return whether the mean is higher by twice its standard error."""
    gain = precision - other
    return bool(gain.mean() > 2 * gain.std() / np.sqrt(gain.size))


def mean_precision(scores: Array, truth: Array) -> Wide:
    """Return the mean of P@1, P@3 and P@5 of each row."""
    best = np.argpartition(-scores, min(5, scores.shape[1] - 1), axis=1)[:, :5]
    order = np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1), axis=1)
    hits = np.take_along_axis(truth, order, axis=1)
    return np.mean([hits[:, :k].sum(axis=1) / k for k in (1, 3, 5)], axis=0, dtype=np.float64)
