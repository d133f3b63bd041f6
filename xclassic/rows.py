"""Rows of features: scaled to unit length, and as kernels read them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from sklearn.utils.extmath import row_norms

from xclassic.validation.features import Features


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


def dense(matrix: Any) -> NDArray[np.float32]:
    """Return a matrix, sparse or not, as an array."""
    return np.asarray(matrix.toarray() if issparse(matrix) else matrix, np.float32)


def kernel_rows(X: Features) -> tuple[Any, ...]:
    """Return indptr, indices (None and None for dense rows), values, number of rows, number of features."""
    if isinstance(X, np.ndarray):
        return None, None, np.ascontiguousarray(X).ravel(), *X.shape
    return X.indptr.astype(np.int64, copy=False), X.indices.astype(np.int32, copy=False), X.data, *X.shape
