"""Checks of features."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

Features: TypeAlias = csr_array | NDArray[np.float32]

INT32_MAX = np.iinfo(np.int32).max
FLOAT32_MAX = np.finfo(np.float32).max


def check_features(estimator: BaseEstimator, X: Any, *, reset: bool) -> Features:
    """Return `X` as finite float32: canonical CSR for a sparse matrix, else a C-contiguous array.

    Data that has this form already is not copied, and the caller's arrays are never written.

    Parameters
    ----------
    estimator : estimator
        Its ``n_features_in_`` and ``feature_names_in_`` are set if `reset`, else `X` is compared with them.
    X : array-like or sparse matrix, shape (n_rows, n_features)
        Any real dtype. Sparse entries may be in any order, and duplicates are summed.
    reset : bool
        True in ``fit``, where at least one row is needed.

    Raises
    ------
    ValueError
        If `X` is not two-dimensional, is empty, has NaN or infinite entries or entries beyond the range of float32,
        or differs from the fitted features in number or names; or if its index arrays are broken.
    TypeError
        If `X` holds anything but numbers.
    """
    if isinstance(X, str) or (isinstance(X, (list, tuple)) and X and isinstance(X[0], str)):
        raise ValueError(
            "X holds text, not features. Put a transformer of texts before the classifier: "
            f"make_pipeline(xclassic.features.TextFeatures(), {type(estimator).__name__}())."
        )
    X = validate_data(
        estimator,
        summable(X),
        reset=reset,
        accept_sparse="csr",
        dtype="numeric",
        order="C",
        ensure_all_finite=False,
        ensure_min_samples=int(reset),
    )
    return finite(X)


def summable(X: Any) -> Any:
    """Return a sparse matrix of integers as one of floats: conversion to CSR sums what is stored twice."""
    if issparse(X) and X.format != "csr" and X.dtype.kind in "iu":
        return X.astype(np.result_type(X.dtype, np.float32))
    return X


def finite(X: Any) -> Features:
    """Return a CSR matrix or an array as finite float32, the former canonical.

    Raises
    ------
    ValueError
        If an entry is not finite in float32, with its row and column; or if index arrays are broken.
    """
    if issparse(X):
        X = canonical(X, "X")
        data = _to_float32(X.data, lambda position: entry_at(X, position))
        return X if data is X.data else csr_array((data, X.indices, X.indptr), shape=X.shape)
    return _to_float32(X, lambda position: np.unravel_index(position, X.shape))


def _to_float32(values: NDArray[Any], locate: Any) -> NDArray[np.float32]:
    """Cast to float32. `locate` returns row and column of a flat position, for the error message."""
    with np.errstate(over="ignore"):
        cast = values.astype(np.float32, copy=False)
    finite = np.isfinite(cast)
    if not finite.all():
        position = int(np.argmin(finite))
        row, column = locate(position)
        value = values.flat[position]
        if np.isfinite(value):
            raise ValueError(
                f"X[{row}, {column}] is {value:g}, beyond the range of float32 (at most {FLOAT32_MAX:.3g} in absolute "
                "value), in which xclassic computes. Scale the features, for instance with "
                "sklearn.preprocessing.MaxAbsScaler."
            )
        name = "NaN" if np.isnan(value) else "infinity"
        raise ValueError(
            f"Input X contains {name} (first: X[{row}, {column}]); finite numbers are needed. Remove such rows or fill "
            "the gaps, for instance with sklearn.impute.SimpleImputer."
        )
    return cast


def canonical(matrix: Any, name: str) -> csr_array:
    """Return `matrix` as CSR with sorted indices and no duplicates, and with int32 indices where they fit."""
    # This needs a new object: flags cached on the caller's matrix may be stale, and its arrays must stay unchanged.
    X = csr_array((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
    try:
        X.check_format(full_check=True)
    except ValueError as error:
        raise ValueError(
            f"The index arrays of {name} are broken: {error}. Rebuild the matrix from its entries."
        ) from error
    if X.indptr.dtype != np.int32 and max(X.nnz, *X.shape) <= INT32_MAX:
        X = csr_array((X.data, X.indices.astype(np.int32), X.indptr.astype(np.int32)), shape=X.shape)
    if not X.has_canonical_format:
        # Sums wrap in narrow integers.
        dtype = np.result_type(X.dtype, np.float32) if X.dtype.kind in "iu" else X.dtype
        X = csr_array((X.data.astype(dtype), X.indices.copy(), X.indptr.copy()), shape=X.shape)
        X.sum_duplicates()
    return X


def entry_at(X: csr_array, position: int) -> tuple[int, int]:
    """Return row and column of a stored entry."""
    return int(np.searchsorted(X.indptr, position, side="right")) - 1, int(X.indices[position])
