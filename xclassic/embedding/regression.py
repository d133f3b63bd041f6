"""Linear maps from features to short vectors: ridge regression of many targets on one factorisation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve

from xclassic.linear.exact_ridge import LIMIT, factorise, gram_matrix
from xclassic.parallel import StopByte
from xclassic.validation import Features

ADMM_ROUNDS = 50
CG_SWEEPS = 30
CG_COLUMNS = 64
CG_TOLERANCE = 1e-4  # of the residual, relative to the right side, at which conjugate gradients end


class RidgeSolver:
    """Solves ``(X^T X + alpha I) V = X^T Z`` for one Z after the other.

    By the Cholesky factor of the matrix of features or that of rows, whichever is smaller; beyond 15,000 of both by
    conjugate gradients.

    Parameters
    ----------
    X : csr_array or ndarray, shape (n_rows, n_features)
    alpha : float
        At least 0.
    stop : ndarray of uint8, shape (1,)

    Raises
    ------
    ValueError
        If `alpha` is so small that the matrix has no factor.
    """

    def __init__(self, X: Features, alpha: float, stop: StopByte) -> None:
        self.X = X
        self.alpha = alpha
        self.stop = stop
        self.of_rows = X.shape[0] < X.shape[1]
        self.factor = None
        if min(X.shape) > LIMIT:
            return
        try:
            self.factor = factorise(gram_matrix(X, alpha, self.of_rows, stop), stop)
        except LinAlgError as error:
            if not stop[0]:
                raise ValueError(
                    f"The rows or features are linearly dependent, and alpha={alpha} is too small to make up for it. "
                    "Set it higher, for instance to 1."
                ) from error

    def solve(self, Z: NDArray[Any]) -> NDArray[np.float32]:
        """Return V, shape (n_features, n_components); of no use after a stop."""
        if self.stop[0]:
            return np.zeros((self.X.shape[1], Z.shape[1]), np.float32)
        if self.factor is None:
            right = np.asarray(self.X.T @ Z, np.float32)
            return conjugate_gradients(self.X, self.alpha, right, np.zeros_like(right), self.stop, CG_SWEEPS)
        solved = cho_solve(self.factor, Z if self.of_rows else self.X.T @ Z, check_finite=False)
        return np.asarray(self.X.T @ solved if self.of_rows else solved, np.float32)


def conjugate_gradients(
    X: Features, alpha: Any, right: NDArray[Any], start: NDArray[np.float32], stop: StopByte, sweeps: int
) -> NDArray[np.float32]:
    """Solve ``(X^T X + alpha I) V = right`` for all columns at once, each with step lengths of its own.

    Parameters
    ----------
    X : csr_array or ndarray, shape (n_rows, n_features)
    alpha : float or ndarray, shape (n_columns,)
        For all columns or for each.
    right, start : ndarray of float32, shape (n_features, n_columns)
        Right side, and the first V.
    stop : ndarray of uint8, shape (1,)
    sweeps : int
        Steps, at most; they end when all residuals have fallen to a ten-thousandth of the right side.

    Returns
    -------
    ndarray of float32, shape (n_features, n_columns)
    """
    V = np.array(start, np.float32)
    alphas = np.broadcast_to(np.asarray(alpha, np.float32), V.shape[1])
    for first in range(0, V.shape[1], CG_COLUMNS):  # few at a time, to look at `stop` in between
        some = slice(first, first + CG_COLUMNS)
        V[:, some] = _descend(X, alphas[some], right[:, some], V[:, some], stop, sweeps)
    return V


def _descend(
    X: Features, alpha: NDArray[np.float32], right: NDArray[Any], V: NDArray[np.float32], stop: StopByte, sweeps: int
) -> NDArray[np.float32]:
    """Take the steps of `conjugate_gradients` for some columns."""
    if stop[0]:
        return V
    residual = right - (X.T @ (X @ V) + alpha * V)
    direction = residual
    square, enough = np.einsum("ij,ij->j", residual, residual), CG_TOLERANCE**2 * np.einsum("ij,ij->j", right, right)
    for _ in range(sweeps):
        if stop[0] or (square <= enough).all():
            break
        image = X.T @ (X @ direction) + alpha * direction
        step = square / np.maximum(np.einsum("ij,ij->j", direction, image), np.finfo(np.float32).tiny)
        V = V + step * direction
        residual = residual - step * image
        before, square = square, np.einsum("ij,ij->j", residual, residual)
        direction = residual + square / np.maximum(before, np.finfo(np.float32).tiny) * direction
    return V


def fit_map(X: Features, Z: NDArray[np.float32], alpha: float, l1: float, stop: StopByte) -> NDArray[np.float32]:
    r"""Return V that minimises :math:`\|Z - XV\|^2 + \alpha \|V\|^2 + l_1 \|XV\|_1`.

    Ridge regression if `l1` is 0. Otherwise by the alternating direction method of multipliers, whose rounds are ridge
    regressions on one factorisation.

    Parameters
    ----------
    X : csr_array or ndarray, shape (n_rows, n_features)
    Z : ndarray of float32, shape (n_rows, n_components)
    alpha, l1 : float
        At least 0.
    stop : ndarray of uint8, shape (1,)

    Returns
    -------
    ndarray of float32, shape (n_features, n_components)

    Notes
    -----
    Cost: ``m^3 / 3`` with m the smaller of rows and features, and products with `X`. Memory: ``4 m^2`` bytes.
    """
    if l1 == 0:
        return RidgeSolver(X, alpha, stop).solve(Z)
    solver = RidgeSolver(X, alpha / 2, stop)
    image, dual = Z, np.zeros_like(Z)  # what XV is to be, and the scaled multipliers, with a penalty of 1
    for _ in range(ADMM_ROUNDS):
        V = solver.solve((Z + image - dual) / 2)
        mapped = np.asarray(X @ V) + dual
        image = np.sign(mapped) * np.maximum(np.abs(mapped) - np.float32(l1 / 2), np.float32(0))
        dual = mapped - image
        if stop[0]:
            break
    return V
