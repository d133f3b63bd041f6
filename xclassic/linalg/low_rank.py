"""Two factors of a linear model for many targets, each in closed form given the other."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, solve

from xclassic.linalg.ridge import conjugate_gradients
from xclassic.parallel import StopByte
from xclassic.rows import row_lengths
from xclassic.validation.features import Features

Array = NDArray[np.float32]
FEW_SWEEPS = 10  # Sweeps of conjugate gradients per round. The next round continues from their result.


def random_map(n_features: int, rank: int, seed: int) -> Array:
    """Return a random start for `alternate`."""
    return np.random.default_rng(seed).standard_normal((n_features, rank), np.float32)


def alternate(X: Features, Y: Any, alpha: float, rounds: int, W: Array, stop: StopByte) -> tuple[Array, Array]:
    r"""Minimize :math:`\|Y - X W H^\top\|^2 + \alpha (\|W\|^2 + \|H\|^2)`, alternating between H and W.

    Parameters
    ----------
    X : csr_array or ndarray, shape (n_rows, n_features)
    Y : csr_array or LinearOperator, shape (n_rows, n_labels)
        It is multiplied by matrices on either side.
    alpha : float
        Above 0.
    rounds : int
    W : ndarray of float32, shape (n_features, rank)
        The start.
    stop : ndarray of uint8, shape (1,)

    Returns
    -------
    W : ndarray of float32, shape (n_features, rank)
    H : ndarray of float32, shape (n_labels, rank)
        The minimizer for this W.
    """
    for _ in range(rounds if W.shape[1] else 0):
        if stop[0]:
            break
        H = least_squares_labels(np.asarray(X @ W), Y, alpha)
        W = least_squares_features(X, np.asarray(Y @ H), H, W, alpha, stop)
    if stop[0]:
        return W, np.zeros((Y.shape[1], W.shape[1]), np.float32)
    return W, least_squares_labels(np.asarray(X @ W), Y, alpha)


def least_squares_labels(Z: Array, Y: Any, alpha: float) -> Array:
    """Return the H that minimizes the objective for the codes Z."""
    gram = Z.T.astype(np.float64) @ Z
    return np.ascontiguousarray(solve(gram + alpha * np.eye(len(gram)), (Y.T @ Z).T, assume_a="pos").T, np.float32)


def least_squares_features(X: Features, YH: Array, H: Array, W: Array, alpha: float, stop: StopByte) -> Array:
    """Return a W with a lower objective for H than the given W."""
    values, basis = eigh(H.T.astype(np.float64) @ H)
    if alpha > 1e6 * values[-1] * np.square(row_lengths(X)).sum():  # A large alpha makes the factors vanish.
        return np.zeros_like(W)
    values = np.maximum(values, 1e-9 * values[-1:]).astype(np.float32)
    basis = basis.astype(np.float32)
    right = np.asarray(X.T @ (YH @ basis)) / values
    rotated = conjugate_gradients(X, np.float32(alpha) / values, right, W @ basis, stop, FEW_SWEEPS)
    return np.asarray(rotated @ basis.T)
