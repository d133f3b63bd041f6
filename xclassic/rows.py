"""Rows of features: scaled to unit length, and as kernels read them."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from sklearn.utils.extmath import row_norms

from xclassic._kernels.arguments import FeatureRows
from xclassic.validation.features import Features

# Squares of the entries of shorter rows vanish in float32, those of longer ones overflow.
SHORTEST, LONGEST = 1e-15, 1e18
USUAL = (1e-2, 1e4)  # Median lengths of rows that are no reason for a warning.
SLAB = 1024  # Rows that are worked on in float64 at a time.


def compressed_arrays(matrix: Any) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[Any]]:
    """Return pointers, indices and values of a CSR or CSC matrix, in the types that compiled loops take."""
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int32, copy=False), matrix.data


def spans(starts: NDArray[np.int64], sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the numbers from each start on, as many as its size, as the places of some rows in compressed arrays."""
    return np.repeat(starts - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())


def unit_rows(X: Features) -> Features:
    """Return `X` with rows of length one; rows of zeros stay, and `X` itself is returned if nothing changes."""
    X, norms, _ = _measured(X)
    norms[norms == 0] = 1
    if (np.abs(norms - 1) < 1e-6).all():
        return X
    if isinstance(X, np.ndarray):
        return X / norms[:, None]
    values = X.data / np.repeat(norms, np.diff(X.indptr))
    return csr_array((values, X.indices, X.indptr), shape=X.shape)


def rows_in_range(X: Features) -> Features:
    """Return `X` if products of its rows are within the range of float32.

    Raises
    ------
    ValueError
        If they are not.
    """
    lengths = row_lengths(X)
    extreme = (lengths > LONGEST) | ((lengths < SHORTEST) & (lengths > 0))
    if extreme.any():
        row = int(extreme.argmax())
        raise ValueError(
            f"Row {row} of X has length {lengths[row]:.3g}, and products of such rows leave float32; lengths from "
            f"{SHORTEST:g} to {LONGEST:g} are possible. Scale the features, for instance with "
            "sklearn.preprocessing.MaxAbsScaler, or set normalize=True."
        )
    return X


def warn_of_scale(X: Features) -> None:
    """Warn of rows for which regularization means something else than its parameters say."""
    lengths = row_lengths(X)
    typical = float(np.median(lengths[lengths > 0])) if lengths.any() else 1.0
    if not USUAL[0] <= typical <= USUAL[1]:
        warnings.warn(
            f"The median length of the rows of X is {typical:.3g}. Without normalization a regularization weighs the "
            "less, the longer the rows are, by the square of their length. Set normalize=True, scale the features, for "
            "instance with sklearn.preprocessing.MaxAbsScaler, or choose the parameters of regularization accordingly.",
            stacklevel=4,  # The level of the caller of fit.
        )


def row_lengths(X: Features) -> NDArray[np.float64]:
    """Return the length of each row."""
    _, norms, exponents = _measured(X)
    return np.ldexp(norms.astype(np.float64), exponents)


def _measured(X: Features) -> tuple[Features, NDArray[np.float32], NDArray[np.int32]]:
    """Return rows whose squares float32 can hold, their lengths, and the exponents of the powers of two taken out."""
    norms, exponents = row_norms(X), np.zeros(X.shape[0], np.int32)
    extreme = np.flatnonzero((norms < SHORTEST) | ~(norms <= LONGEST))
    if extreme.size and X.shape[1]:
        exponents[extreme] = np.frexp(dense(abs(X[extreme]).max(axis=1)).ravel())[1]
    if not exponents.any():
        return X, norms, exponents
    X = _times_powers_of_two(X, -exponents)
    return X, row_norms(X), exponents


def _times_powers_of_two(X: Features, exponents: NDArray[np.int32]) -> Features:
    """Return `X` with each row multiplied by a power of two, which rounds nothing."""
    if isinstance(X, np.ndarray):
        return np.ldexp(X, exponents[:, None])
    values = np.ldexp(X.data, np.repeat(exponents, np.diff(X.indptr)))
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
