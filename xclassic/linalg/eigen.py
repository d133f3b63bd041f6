"""Leading eigenvectors of a symmetric matrix that is known by its products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

from xclassic.parallel import StopByte

DENSE_LIMIT = 1000  # Order up to which the eigenvectors of a dense matrix are computed directly.
COLUMNS = 32  # Columns that are multiplied between two looks at `stop`.
ROWS = 16_384  # Rows of a basis that are made orthonormal between two looks at `stop`.
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
    matrix = by_columns(product, np.eye(order, dtype=np.float32), stop).astype(np.float64)
    if stop[0]:
        return np.zeros((order, k), np.float32)
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
        basis = orthonormal(by_columns(product, orthonormal(basis, stop), stop).astype(np.float32), stop)
    if stop[0]:
        return np.zeros((order, k), np.float32)
    within = basis.T @ by_columns(product, basis, stop)
    vectors = eigh((within + within.T) / 2)[1]
    return np.ascontiguousarray(basis @ vectors[:, : -k - 1 : -1], np.float32)


def orthonormal(matrix: NDArray[np.float32], stop: StopByte) -> NDArray[np.float32]:
    """Return an orthonormal basis of the columns: that of each slab of rows, then that of their triangles.

    Source: J. Demmel, L. Grigori, M. Hoemmen and J. Langou, "Communication-optimal parallel and sequential QR and LU
    factorizations", SIAM Journal on Scientific Computing 2012.
    """
    parts = []
    for start in range(0, len(matrix), ROWS):
        if stop[0]:
            return matrix
        parts.append(np.linalg.qr(matrix[start : start + ROWS]))
    if len(parts) == 1:
        return parts[0][0]
    top = np.linalg.qr(np.vstack([triangle for _, triangle in parts]))[0]
    ends = np.cumsum([len(triangle) for _, triangle in parts])
    return np.vstack([own @ of_own for (own, _), of_own in zip(parts, np.split(top, ends[:-1]), strict=True)])


def by_columns(product: Callable[[NDArray[Any]], NDArray[Any]], V: NDArray[Any], stop: StopByte) -> NDArray[Any]:
    """Return the product with `V`, a few columns at a time; after a stop the others are zeros."""
    parts = [product(V[:, :COLUMNS])]
    for start in range(COLUMNS, V.shape[1], COLUMNS):
        if stop[0]:
            parts.append(np.zeros((len(parts[0]), V.shape[1] - start), parts[0].dtype))
            break
        parts.append(product(V[:, start : start + COLUMNS]))
    return np.hstack(parts)
