"""Checks of features."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import bsr_array, coo_array, csc_array, csr_array, issparse
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_array, validate_data

from xclassic.validation.pieces import INT32_MAX, csr_over, first_not_finite, pieces_of
from xclassic.validation.records import column_names

Features: TypeAlias = csr_array | NDArray[np.float32]

FLOAT32_MAX = np.finfo(np.float32).max

_RULES: dict[str, Any] = {"accept_sparse": "csr", "dtype": "numeric", "order": "C", "ensure_all_finite": False}
_COMPRESSED = {"csr": csr_array, "csc": csc_array, "bsr": bsr_array}


def check_features(estimator: BaseEstimator, X: Any, *, reset: bool) -> Features:
    """Return `X` as finite float32: canonical CSR for a sparse matrix, else a C-contiguous array.

    Data that has this form already is not copied, and the caller's arrays are never written. A matrix of
    `datasets.open_matrix` is looked at piece by piece.

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
        or differs from the fitted features in number or names; if its index arrays are broken; or if `X` holds texts.
    TypeError
        If `X` holds anything else but numbers, such as dates.
    """
    if not reset and isinstance(X, (list, tuple)) and not X:
        X = np.empty((0, estimator.n_features_in_))  # No rows have no width.
    try:
        checked = validate_data(estimator, sound(X, "X"), reset=reset, ensure_min_samples=int(reset), **_RULES)
    except (TypeError, ValueError) as error:
        refuse_text(X, type(estimator).__name__, error)
        raise
    if checked.dtype.kind not in "biuf":
        refuse_text(X, type(estimator).__name__)
    return _as_features(checked, "X")


def check_rows(X: Any, name: str, n_columns: int | None = None) -> Features:
    """Return a matrix that belongs to no estimator in the form that `check_features` returns.

    Parameters
    ----------
    X : array-like or sparse matrix, shape (n_rows, n_columns)
        Any real dtype; it may be empty.
    name : str
        What messages call it.
    n_columns : int, optional
        The number of columns that it must have.

    Raises
    ------
    ValueError, TypeError
        As `check_features` does.
    """
    X = sound(X, name) if issparse(X) else np.asarray(X)
    if X.dtype.kind in "US":
        raise ValueError(
            f"{name} holds text; pass the rows that xclassic.features.TextFeatures, or what made X, makes of it."
        )
    if X.ndim != 2:
        raise ValueError(f"{name} has shape {X.shape}; pass a matrix, with a row for each item.")
    options = {"input_name": name, "ensure_min_samples": 0, "ensure_min_features": 0}
    X = _as_features(check_array(X, **options, **_RULES), name)
    if n_columns is not None and X.shape[1] != n_columns:
        raise ValueError(f"{name} has {X.shape[1]} columns; it must have {n_columns} here.")
    return X


def refuse_text(X: Any, name: str, error: Exception | None = None) -> None:
    """Raise a ValueError that says what to do if `X` holds texts or records, in any container."""
    values = np.atleast_1d(np.asarray([] if issparse(X) else X, dtype=object))
    kinds = (str, Mapping) if values.ndim == 1 else str  # A record stands for a whole row.
    text = next((value for value in values.flat if isinstance(value, kinds)), None)
    if text is None:
        return
    names = column_names(X) or []
    if isinstance(text, Mapping):
        fields = list(text)
    else:
        fields = [field for field, column in zip(names, values.T, strict=False) if _has_text(column)]
    wanted = "" if not fields else repr(fields if len(fields) > 1 else fields[0])
    raise ValueError(
        f"X holds {'records' if fields else 'text'}, not features: {_shown(text)}. Put a transformer of texts before "
        f"the classifier: make_pipeline(xclassic.features.TextFeatures({wanted}), {name}()), or BertEncoder in its "
        "place."
    ) from error


def _has_text(column: Any) -> bool:
    return any(isinstance(value, str) for value in column)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]} ..."


def _as_features(X: Any, name: str) -> Features:
    """Return what scikit-learn has checked as finite float32."""
    if not issparse(X):
        return _to_float32(X, name, lambda position: np.unravel_index(position, X.shape))
    X = _sorted(X)
    data = _to_float32(X.data, name, lambda position: entry_at(X, position))
    return X if data is X.data else csr_over(data, X.indices, X.indptr, X.shape)


def _to_float32(values: NDArray[Any], name: str, locate: Any) -> NDArray[np.float32]:
    """Cast to float32. `locate` returns row and column of a flat position, for the error message."""
    _check_real(values.dtype, name)
    with np.errstate(over="ignore"):
        cast = values.astype(np.float32, copy=False)
    position = first_not_finite(cast)
    if position is not None:
        row, column = locate(position)
        value = values.flat[position]
        if np.isfinite(value):
            raise ValueError(
                f"{name}[{row}, {column}] is {value:g}, beyond the range of float32 (at most {FLOAT32_MAX:.3g} in "
                "absolute value), in which xclassic computes. Scale the features, for instance with "
                "sklearn.preprocessing.MaxAbsScaler."
            )
        found = "NaN" if np.isnan(value) else "infinity"
        raise ValueError(
            f"Input {name} contains {found} (first: {name}[{row}, {column}]); finite numbers are needed. Remove "
            "such rows or fill the gaps, for instance with sklearn.impute.SimpleImputer."
        )
    return cast


def _check_real(dtype: np.dtype[Any], name: str) -> None:
    if dtype.kind not in "biuf":
        raise TypeError(f"{name} is of dtype {dtype}; pass real numbers. Dates become numbers as differences in days.")


def canonical(matrix: Any, name: str) -> csr_array:
    """Return a matrix as CSR with sorted indices and no duplicates, and with int32 indices where they fit."""
    if not issparse(matrix):
        dense = np.asarray(matrix)
        _check_real(dense.dtype, name)
        matrix = csr_array(storable(dense))
    return _sorted(sound(matrix, name).tocsr())


def storable(array: NDArray[Any]) -> NDArray[Any]:
    """Return numbers in a type that scipy.sparse stores: no half precision, and the byte order of the machine."""
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return array.astype(np.float32) if array.dtype == np.float16 else array


def sound(matrix: Any, name: str) -> Any:
    """Return a sparse matrix once its indices are known to lie within it, and anything else as it is.

    Conversions of scipy follow them unchecked. The result is a new object: flags cached on the caller's matrix may be
    stale, and its arrays must stay unchanged.
    """
    if not issparse(matrix):
        return matrix
    _check_real(matrix.dtype, name)
    if matrix.ndim != 2:
        raise ValueError(f"{name} is a sparse array of shape {matrix.shape}; pass a matrix of two dimensions.")
    try:
        if matrix.format in _COMPRESSED:
            arrays = (matrix.data, matrix.indices, matrix.indptr)
            wide = matrix.format == "csr" and _has_wide_pointers(matrix)
            matrix = csr_over(*arrays, matrix.shape) if wide else _COMPRESSED[matrix.format](arrays, shape=matrix.shape)
            if (np.diff(matrix.indptr) < 0).any():  # The check of scipy passes it if the last pointer is not positive.
                raise ValueError("row or column pointers decrease")
            matrix.check_format(full_check=not wide)
            for piece in pieces_of(matrix) if wide else ():
                piece.check_format(full_check=True)
        elif matrix.format == "coo":
            matrix = coo_array((_wide(matrix.data), matrix.coords), shape=matrix.shape)
    except ValueError as error:
        raise ValueError(
            f"The index arrays of {name} are broken: {error}. Rebuild the matrix from its entries."
        ) from error
    return matrix


def _has_wide_pointers(X: Any) -> bool:
    """Return whether a CSR matrix has pointers of 64 bits to indices of 32 bits, which most of scipy would convert."""
    return bool(X.indptr.dtype == np.int64 and X.indices.dtype == np.int32)


def _wide(values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers whose sums do not wrap around."""
    return values.astype(np.float64) if values.dtype.kind in "iu" or values.dtype == np.float16 else values


def _sorted(X: Any) -> csr_array:
    """Return CSR whose indices are within it in canonical form."""
    if _has_wide_pointers(X) and all(piece.has_canonical_format for piece in pieces_of(X)):
        return X
    X = csr_array((X.data, X.indices, X.indptr), shape=X.shape)
    if X.indptr.dtype != np.int32 and max(X.nnz, *X.shape) <= INT32_MAX:
        X = csr_array((X.data, X.indices.astype(np.int32), X.indptr.astype(np.int32)), shape=X.shape)
    if not X.has_canonical_format:
        X = csr_array((_wide(X.data), X.indices, X.indptr), shape=X.shape, copy=True)
        X.sum_duplicates()
    return X


def entry_at(X: csr_array, position: int) -> tuple[int, int]:
    """Return row and column of a stored entry."""
    return int(np.searchsorted(X.indptr, position, side="right")) - 1, int(X.indices[position])
