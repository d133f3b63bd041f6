"""Linear maps from features to short vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve
from scipy.sparse import csr_array

from xclassic.linear.exact_ridge import factorise, gram_matrix
from xclassic.parallel import StopByte
from xclassic.validation import Features

ADMM_ROUNDS = 50


def fit_map(X: Features, Z: NDArray[np.float32], alpha: float, l1: float, stop: StopByte) -> NDArray[np.float32]:
    r"""Return V that minimises :math:`\|Z - XV\|^2 + \alpha \|V\|^2 + l_1 \|XV\|_1`.

    Ridge regression if `l1` is 0. Otherwise by the alternating direction method of multipliers, whose rounds are ridge
    regressions on one factorisation.

    Parameters
    ----------
    X : csr_array or ndarray, shape (n_rows, n_features)
    Z : ndarray of float32, shape (n_rows, n_components)
    alpha : float
        Above 0.
    l1 : float
        At least 0.
    stop : ndarray of uint8, shape (1,)

    Returns
    -------
    ndarray of float32, shape (n_features, n_components)

    Notes
    -----
    Cost: ``m^3 / 3`` with m the smaller of rows and features, and products with `X`. Memory: ``4 m^2`` bytes.
    """
    of_rows = X.shape[0] < X.shape[1]
    factor = factorise(gram_matrix(X, alpha if l1 == 0 else alpha / 2, of_rows, stop), stop)
    if stop[0]:
        return np.zeros((X.shape[1], Z.shape[1]), np.float32)

    def regressed(target: NDArray[Any]) -> NDArray[np.float32]:
        solved = cho_solve(factor, target if of_rows else X.T @ target, check_finite=False)
        return np.asarray(X.T @ solved if of_rows else solved, np.float32)

    if l1 == 0:
        return regressed(Z)
    image, dual = Z, np.zeros_like(Z)  # what XV is to be, and the scaled multipliers, with a penalty of 1
    for _ in range(ADMM_ROUNDS):
        if stop[0]:
            break
        V = regressed((Z + image - dual) / 2)
        mapped = np.asarray(X @ V) + dual
        image = np.sign(mapped) * np.maximum(np.abs(mapped) - np.float32(l1 / 2), np.float32(0))
        dual = mapped - image
    return V


def largest_entries(V: NDArray[np.float32], share: float) -> csr_array:
    """Return `V` with a share of its entries, those largest in absolute value."""
    sizes = np.abs(V[V != 0])
    kept = int(np.ceil(share * sizes.size))
    if kept < sizes.size:
        V = np.where(np.abs(V) >= np.partition(sizes, sizes.size - kept)[sizes.size - kept], V, 0)
    return csr_array(V)
