"""Rows of features: scaled to unit length, and as kernels read them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from sklearn.utils.extmath import row_norms

from xclassic._kernels.arguments import FeatureRows
from xclassic.validation.features import Features

SLAB = 1024  # Rows that are worked on in float64 at a time.


def unit_rows(X: Features) -> Features:
    """Return `X` with rows of length one; rows of zeros stay, and `X` itself is returned if nothing changes."""
    norms = row_norms(X)
    norms[norms == 0] = 1
    if (np.abs(norms - 1) < 1e-6).all():
        return X
    if isinstance(X, np.ndarray):
        return X / norms[:, None]
    values = X.data / np.repeat(norms, np.diff(X.indptr))
    return csr_array((values, X.indices, X.indptr), shape=X.shape)


def row_products(X: Features, W: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the products of rows with a dense matrix; no product depends on the neighboring rows.

    BLAS adds up dense rows in an order that depends on their place and number. The effect in float64 is far below
    the precision of the float32 result.
    """
    if isinstance(X, csr_array):
        return np.asarray(X @ W, np.float32)
    wide, products = W.astype(np.float64), np.empty((len(X), W.shape[1]), np.float32)
    for start in range(0, len(X), SLAB):
        products[start : start + SLAB] = X[start : start + SLAB].astype(np.float64) @ wide
    return products


def dense(matrix: Any) -> NDArray[np.float32]:
    """Return a matrix, sparse or not, as an array."""
    return np.asarray(matrix.toarray() if issparse(matrix) else matrix, np.float32)


def kernel_rows(X: Features, *, bias: float = 0.0) -> FeatureRows:
    """Return rows as kernels read them, each followed by the constant feature `bias`."""
    if isinstance(X, np.ndarray):
        indptr, indices, values = None, None, np.ascontiguousarray(X).ravel()
    else:
        indptr, indices, values = X.indptr.astype(np.int64, copy=False), X.indices.astype(np.int32, copy=False), X.data
    return FeatureRows(indptr, indices, values, n_rows=X.shape[0], n_features=X.shape[1], bias=bias)
