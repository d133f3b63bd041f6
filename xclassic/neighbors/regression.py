"""The map of SLEEC from features to short vectors."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xclassic.linalg.ridge import RidgeSolver
from xclassic.parallel import StopByte
from xclassic.validation.features import Features

ADMM_ROUNDS = 50


def fit_map(X: Features, Z: NDArray[np.float32], alpha: float, l1: float, stop: StopByte) -> NDArray[np.float32]:
    r"""Return V that minimizes :math:`\|Z - XV\|^2 + \alpha \|V\|^2 + l_1 \|XV\|_1`.

    If `l1` is 0 this is ridge regression. Otherwise it is solved by the alternating direction method of multipliers,
    whose rounds are ridge regressions on one factorization.

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
    image, dual = Z, np.zeros_like(Z)  # The target of XV, and the scaled multipliers, with a penalty of 1.
    for _ in range(ADMM_ROUNDS):
        V = solver.solve((Z + image - dual) / 2)
        mapped = np.asarray(X @ V) + dual
        image = np.sign(mapped) * np.maximum(np.abs(mapped) - np.float32(l1 / 2), np.float32(0))
        dual = mapped - image
        if stop[0]:
            break
    return V
