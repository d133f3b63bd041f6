"""Ridge regression of many targets, on one Cholesky factorization or by conjugate gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_solve, cholesky, solve_triangular
from scipy.sparse import csr_array, hstack, issparse

from xclassic.linalg.eigen import by_columns
from xclassic.parallel import RUNNING, StopByte
from xclassic.rows import dense
from xclassic.validation.features import Features

LIMIT = 15_000  # Largest order at which a matrix is factorized, since memory is quadratic and time cubic in it.
SLAB = 1024  # Rows of a matrix that are worked on between two looks at `stop`.
PIVOT = 10 * np.finfo(np.float32).eps  # A pivot below this share of its diagonal entry counts as 0.
CG_SWEEPS = 30
CG_COLUMNS = 64
CG_TOLERANCE = 1e-4  # Norm of the residual, relative to the right side, at which conjugate gradients end.


def with_bias(X: Features, bias: float) -> Features:
    """Return `X` with the constant feature as its last column."""
    constant = np.full((X.shape[0], 1), bias, np.float32)
    return csr_array(hstack([X, constant])) if issparse(X) else np.hstack([X, constant])


def gram_matrix(X: Features, alpha: float, of_rows: bool, stop: StopByte = RUNNING) -> NDArray[np.float32]:
    """Return ``X X^T + alpha I`` or ``X^T X + alpha I``, dense; after a stop it is unfinished."""
    left = X if of_rows else X.T if isinstance(X, np.ndarray) else csr_array(X.T)
    right = left.T
    gram = np.empty((left.shape[0], left.shape[0]), np.float32)
    for start in range(0, len(gram), SLAB):  # A sparse product is larger than the dense array it fills.
        if stop[0]:
            break
        gram[start : start + SLAB] = dense(left[start : start + SLAB] @ right)
    gram[np.diag_indices_from(gram)] += alpha
    return gram


def factorize(gram: NDArray[np.float32], stop: StopByte = RUNNING) -> tuple[NDArray[np.float32], bool]:
    """Overwrite the lower triangle with its Cholesky factor, slab by slab, since one LAPACK call would not see Ctrl-C.

    Returns what `scipy.linalg.cho_solve` takes; after a stop it is useless.
    """
    m = len(gram)
    for start in range(0, m, SLAB):
        end = min(start + SLAB, m)
        corner = cholesky(gram[start:end, start:end], lower=True, check_finite=False)
        gram[start:end, start:end] = corner
        if end == m or stop[0]:
            break
        slabs = [slice(first, min(first + SLAB, m)) for first in range(end, m, SLAB)]
        for rows in slabs:
            if stop[0]:
                return gram, True
            gram[rows, start:end] = solve_triangular(corner, gram[rows, start:end].T, lower=True, check_finite=False).T
        for rows in slabs:
            if stop[0]:
                return gram, True
            gram[rows, end : rows.stop] -= gram[rows, start:end] @ gram[end : rows.stop, start:end].T
    return gram, True


class RidgeSolver:
    """Solver of ``(X^T X + alpha I) V = X^T Z`` for one Z after the other.

    It uses the Cholesky factor of the matrix of features or of rows, whichever is smaller, and conjugate gradients if
    there are more than 15,000 of both.

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
        gram = gram_matrix(X, alpha, self.of_rows, stop)
        before = gram.diagonal().copy()
        try:
            self.factor = factorize(gram, stop)
            # Rounding may leave a pivot above 0 that would be 0 exactly, and then LAPACK does not fail.
            singular = bool((gram.diagonal() ** 2 <= PIVOT * before).any())
        except LinAlgError:
            singular = True
        if singular and not stop[0]:
            raise ValueError(
                f"The rows or features are linearly dependent, and alpha={alpha} is too small to make up for it. "
                "Set it higher, for instance to 1."
            )

    def solve(self, Z: NDArray[Any]) -> NDArray[np.float32]:
        """Return V, shape (n_features, n_components); after a stop it is useless."""
        if self.stop[0]:
            return np.zeros((self.X.shape[1], Z.shape[1]), np.float32)
        if self.factor is None:
            right = by_columns(lambda some: np.asarray(self.X.T @ some, np.float32), Z, self.stop)
            return conjugate_gradients(self.X, self.alpha, right, np.zeros_like(right), self.stop, CG_SWEEPS)
        return by_columns(self._solved, Z, self.stop)

    def _solved(self, Z: NDArray[Any]) -> NDArray[np.float32]:
        solved = cho_solve(self.factor, Z if self.of_rows else self.X.T @ Z, check_finite=False)
        return np.asarray(self.X.T @ solved if self.of_rows else solved, np.float32)


def conjugate_gradients(
    X: Features, alpha: Any, right: NDArray[Any], start: NDArray[np.float32], stop: StopByte, sweeps: int
) -> NDArray[np.float32]:
    """Solve ``(X^T X + alpha I) V = right`` for all columns at once, each with its own step lengths.

    Parameters
    ----------
    X : csr_array or ndarray, shape (n_rows, n_features)
    alpha : float or ndarray, shape (n_columns,)
        One value for all columns, or one for each.
    right, start : ndarray of float32, shape (n_features, n_columns)
        The right side, and the initial V.
    stop : ndarray of uint8, shape (1,)
    sweeps : int
        At most this many steps; they end when all residuals are at most a ten-thousandth of the right side.

    Returns
    -------
    ndarray of float32, shape (n_features, n_columns)
    """
    V = np.array(start, np.float32)
    alphas = np.broadcast_to(np.asarray(alpha, np.float32), V.shape[1])
    for first in range(0, V.shape[1], CG_COLUMNS):  # Few columns at a time let `stop` be seen soon.
        some = slice(first, first + CG_COLUMNS)
        V[:, some] = _descend(X, alphas[some], right[:, some], V[:, some], stop, sweeps)
    return V


def _descend(
    X: Features, alpha: NDArray[np.float32], right: NDArray[Any], V: NDArray[np.float32], stop: StopByte, sweeps: int
) -> NDArray[np.float32]:
    """Run `conjugate_gradients` on a slice of the columns."""
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
