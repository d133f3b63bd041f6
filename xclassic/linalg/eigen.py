"""Leading eigenvectors of a symmetric matrix that is known by its products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from xclassic.parallel import StopByte

DENSE_LIMIT = 1000  # Order up to which the eigenvectors of a dense matrix are computed directly.
SLAB = 128  # Columns of the dense matrix that are computed between two looks at `stop`.
STEPS, OVERSAMPLING = 6, 20  # Rounds and extra columns of the subspace iteration beyond that order.


def top_eigenvectors(
    product: Callable[[NDArray[Any]], NDArray[Any]], order: int, k: int, random: np.random.Generator, stop: StopByte
) -> NDArray[np.float32]:
    """Return the eigenvectors of the k largest eigenvalues of a positive semi-definite matrix, descending.

    Matrices of an order up to 1,000, or up to ``2 k``, are made dense; for larger ones it is subspace iteration.

    Parameters
    ----------
    product : callable
        Multiplies the matrix by one of shape (order, n).
    order, k : int
    random : Generator
    stop : ndarray of uint8, shape (1,)

    Returns
    -------
    ndarray of float32, shape (order, k)
    """
    if order > max(DENSE_LIMIT, 2 * k):
        return subspace_iteration(product, order, k, random, stop, STEPS, OVERSAMPLING)
    identity = np.eye(order, dtype=np.float32)
    matrix = np.zeros((order, order))
    for start in range(0, order, SLAB):
        if not stop[0]:
            matrix[:, start : start + SLAB] = product(identity[:, start : start + SLAB])
    vectors = eigh((matrix + matrix.T) / 2, subset_by_index=(order - k, order - 1))[1]
    return np.ascontiguousarray(vectors[:, ::-1], np.float32)


def subspace_iteration(
    product: Callable[[NDArray[Any]], NDArray[Any]],
    order: int,
    k: int,
    random: np.random.Generator,
    stop: StopByte,
    steps: int,
    oversampling: int,
) -> NDArray[np.float32]:
    """Return the eigenvectors as `top_eigenvectors` does, by multiplying a random basis by the matrix `steps` times.

    Source: N. Halko, P.-G. Martinsson and J. A. Tropp, "Finding structure with randomness", SIAM Review 2011.
    """
    basis = random.standard_normal((order, min(order, k + oversampling)), np.float32)
    for _ in range(steps):
        if stop[0]:
            break
        basis = np.linalg.qr(product(np.linalg.qr(basis)[0]).astype(np.float32))[0]
    within = basis.T @ product(basis)
    vectors = eigh((within + within.T) / 2)[1]
    return np.ascontiguousarray(basis @ vectors[:, : -k - 1 : -1], np.float32)
