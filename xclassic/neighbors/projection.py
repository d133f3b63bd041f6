"""Short vectors for rows whose inner products are those of the rows' nearest label vectors (SLEEC)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import csr_array

from xclassic.linalg.products import products_at
from xclassic.parallel import StopByte

FIRST_STEPS = 8  # Power iterations for the start. Later rounds continue from the basis of the round before.
LONGER, SHORTER = 1.2, 0.5  # Factors of the step length after the loss fell and after it rose.


def project(
    similarities: csr_array, n_components: int, rounds: int, random: np.random.Generator, stop: StopByte
) -> NDArray[np.float32]:
    r"""Return vectors Z with :math:`z_i z_j` near the stored entries of `similarities`, by singular value projection.

    Each round takes a step from :math:`M = Z Z^\top` toward the stored entries S,

    .. math:: M \leftarrow P(M + \eta\, (S - M)_\Omega),

    where P keeps the largest positive eigenvalues. The eigenvectors are found by power iteration on the sum of a
    low-rank and a sparse matrix, starting at those of the round before. A step that raises the loss is undone and
    halved.

    Parameters
    ----------
    similarities : csr_array, shape (n_rows, n_rows)
        Symmetric; entries that are not stored are ignored.
    n_components : int
    rounds : int
    random : Generator
        Source of the random start.
    stop : ndarray of uint8, shape (1,)

    Returns
    -------
    ndarray of float32, shape (n_rows, n_components)
        Zeros in the columns beyond `n_rows`.
    """
    n, rank = similarities.shape[0], min(n_components, similarities.shape[0])
    indptr, indices = similarities.indptr.astype(np.int64), similarities.indices.astype(np.int64)
    basis = random.standard_normal((n, rank), np.float32)
    for _ in range(FIRST_STEPS):
        basis = np.linalg.qr(similarities @ basis)[0]
    Z = _scaled(basis, basis.T @ (similarities @ basis))
    products = np.empty_like(similarities.data)
    best, least, length = Z, np.inf, 1.0
    for _ in range(rounds):
        if stop[0]:
            break
        products_at(indptr, indices, Z, Z, products)
        residuals = similarities.data - products
        loss = float(residuals @ residuals)
        if loss < least:
            best, least, length, step = Z, loss, length * LONGER, residuals
        else:
            length *= SHORTER
        towards = csr_array((np.float32(length) * step, similarities.indices, similarities.indptr), similarities.shape)
        basis = np.linalg.qr(best)[0]
        basis = np.linalg.qr(best @ (best.T @ basis) + towards @ basis)[0]
        Z = _scaled(basis, basis.T @ (best @ (best.T @ basis) + towards @ basis))
    products_at(indptr, indices, Z, Z, products)
    if ((similarities.data - products) ** 2).sum() < least:
        best = Z
    return np.pad(best, ((0, 0), (0, n_components - rank)))


def _scaled(basis: NDArray[np.float32], within: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return F such that ``F F^T`` is the positive semi-definite part of ``basis within basis^T``."""
    values, vectors = eigh((within + within.T) / 2)
    return ((basis @ vectors) * np.sqrt(np.maximum(values, 0))).astype(np.float32)
