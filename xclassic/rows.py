"""Rows of features: scaled to unit length, and as kernels read them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from sklearn.utils.extmath import row_norms

from xclassic._kernels.arguments import FeatureRows, MappedRows
from xclassic.validation.features import Features
from xclassic.validation.pieces import is_mapped, pieces_of, row_pieces, rows_of

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
    return _divided(X, norms)


def rows_in_range(X: Features) -> Features:
    """Return `X` if products of its rows are within the range of float32.

    Raises
    ------
    ValueError
        If they are not.
    """
    check_range(row_lengths(X))
    return X


def check_range(lengths: NDArray[np.float64]) -> None:
    """Raise ValueError if products of rows of these lengths are beyond the range of float32."""
    extreme = (lengths > LONGEST) | ((lengths < SHORTEST) & (lengths > 0))
    if extreme.any():
        row = int(extreme.argmax())
        raise ValueError(
            f"Row {row} of X has length {lengths[row]:.3g}, and products of such rows leave float32; lengths from "
            f"{SHORTEST:g} to {LONGEST:g} are possible. Scale the features, for instance with "
            "sklearn.preprocessing.MaxAbsScaler, or set normalize=True."
        )


def warn_of_scale(X: Features) -> None:
    """Warn of rows for which regularization means something else than its parameters say."""
    lengths = row_lengths(X)
    typical = float(np.median(lengths[lengths > 0])) if lengths.any() else 1.0
    if not USUAL[0] <= typical <= USUAL[1]:
        warnings.warn(
            f"The median length of the rows of X is {typical:.3g}. Without normalization a regularization weighs the "
            "less, the longer the rows are, by the square of their length. Set normalize=True, scale the features, for "
            "instance with sklearn.preprocessing.MaxAbsScaler, or choose the parameters of regularization accordingly.",
            stacklevel=5,  # The level of the caller of fit.
        )


def row_lengths(X: Features) -> NDArray[np.float64]:
    """Return the length of each row."""
    parts = pieces_of(X) if is_mapped(X) else (X,)
    measured = [_measured(part)[1:] for part in parts]
    lengths = [np.ldexp(norms.astype(np.float64), exponents) for norms, exponents in measured]
    return np.concatenate([np.zeros(0), *lengths])


class ScaledRows(NamedTuple):
    """The rows of a map as a fit sees them: of unit length, or as they are. They are scaled when they are read.

    Attributes
    ----------
    matrix : csr_array of float32, shape (n_rows, n_features)
        What is mapped.
    lengths : ndarray of float32, shape (n_rows,), or None
        What values are divided by, after `exponents`; None for 1.
    exponents : ndarray of int32, shape (n_rows,), or None
        Powers of two that are taken out of the values first; None for none.
    """

    matrix: csr_array
    lengths: NDArray[np.float32] | None
    exponents: NDArray[np.int32] | None

    @classmethod
    def of(cls, X: csr_array, *, normalize: bool) -> ScaledRows:
        """Return the rows that `unit_rows` or `rows_in_range` would return."""
        if not normalize:
            check_range(row_lengths(X))
            return cls(X, None, None)
        measured = [_measured(piece)[1:] for piece in pieces_of(X)]
        norms, exponents = (np.concatenate(arrays) for arrays in zip(*measured, strict=True))
        norms[norms == 0] = 1
        unit = (np.abs(norms - 1) < 1e-6).all()
        return cls(X, None if unit else norms, exponents if exponents.any() else None)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and features."""
        shape: tuple[int, int] = self.matrix.shape
        return shape

    def rows(self, first: int, end: int) -> csr_array:
        """Return consecutive rows in memory."""
        rows = rows_of(self.matrix, first, end)
        if self.exponents is not None:
            rows = _times_powers_of_two(rows, -self.exponents[first:end])
        return rows if self.lengths is None else _divided(rows, self.lengths[first:end])

    def pieces(self) -> Iterator[csr_array]:
        """Yield all rows, some at a time."""
        for first, end in row_pieces(self.matrix.indptr):
            yield self.rows(first, end)

    def for_kernels(
        self, *, numbers: NDArray[np.int32] | None = None, n_features: int | None = None, bias: float = 0.0
    ) -> MappedRows:
        """Return the rows as kernels read them, with other numbers for some of the features if they are given."""
        matrix = self.matrix
        return MappedRows(
            matrix.indptr.astype(np.int64, copy=False),
            matrix.indices,
            matrix.data,
            numbers=numbers,
            lengths=self.lengths,
            exponents=self.exponents,
            n_rows=matrix.shape[0],
            n_features=matrix.shape[1] if n_features is None else n_features,
            bias=bias,
        )


TrainingRows: TypeAlias = Features | ScaledRows


def _divided(X: csr_array, lengths: NDArray[np.float32]) -> csr_array:
    values = X.data / np.repeat(lengths, np.diff(X.indptr))
    return csr_array((values, X.indices, X.indptr), shape=X.shape)


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


def times_rows(matrix: Any, factors: NDArray[np.float32] | None) -> Any:
    """Return a CSR matrix or an array with each row multiplied by a number; None leaves it as it is."""
    if factors is None:
        return matrix
    if isinstance(matrix, np.ndarray):
        return matrix * factors[:, None]
    values = matrix.data * np.repeat(factors, np.diff(matrix.indptr))
    return csr_array((values, matrix.indices, matrix.indptr), shape=matrix.shape)


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
