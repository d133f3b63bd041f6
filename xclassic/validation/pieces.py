"""Arrays that are looked at piece by piece, so that a map larger than memory is never copied as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

INT32_MAX = np.iinfo(np.int32).max
PIECE = 1 << 18  # Entries of a piece; a row that has more is a piece of its own.


def is_mapped(matrix: Any) -> bool:
    """Return whether the entries of a CSR matrix lie in a file that is mapped into memory."""
    array = matrix.data if isinstance(matrix, csr_array) else None
    while array is not None and not isinstance(array, np.memmap):
        array = getattr(array, "base", None)
    return array is not None


def csr_over(data: NDArray[Any], indices: NDArray[Any], indptr: NDArray[Any], shape: tuple[int, int]) -> csr_array:
    """Return a matrix over these very arrays, with pointers of 32 bits where they fit and indices have them too.

    The constructor of scipy copies indices of 32 bits to 64 bits where pointers have 64.
    """
    if len(data) <= INT32_MAX and indices.dtype == np.int32:
        indptr = indptr.astype(np.int32, copy=False)
    if indices.dtype == indptr.dtype:
        return csr_array((data, indices, indptr), shape=shape)
    matrix = csr_array(shape, dtype=data.dtype)
    matrix.data, matrix.indices, matrix.indptr = data, indices, indptr
    return matrix


def row_pieces(indptr: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Yield the first row and the end of consecutive rows that make a piece."""
    first, n_rows = 0, len(indptr) - 1
    while first < n_rows:
        most = min(int(indptr[first]) + PIECE, int(indptr[-1]))
        end = int(np.searchsorted(indptr, indptr.dtype.type(most), side="right")) - 1
        end = min(max(end, first + 1), first + PIECE, n_rows)
        yield first, end
        first = end


def rows_of(matrix: csr_array, first: int, end: int) -> csr_array:
    """Return consecutive rows of a CSR matrix."""
    indptr = matrix.indptr[first : end + 1]
    entries = slice(int(indptr[0]), int(indptr[-1]))
    shape = (end - first, matrix.shape[1])
    return csr_over(matrix.data[entries], matrix.indices[entries], indptr - indptr[0], shape)


def pieces_of(matrix: csr_array) -> Iterator[csr_array]:
    """Yield the rows of a CSR matrix, a piece at a time."""
    for first, end in row_pieces(matrix.indptr):
        yield rows_of(matrix, first, end)


def first_not_finite(values: NDArray[Any]) -> int | None:
    """Return the flat position of the first value that is NaN or infinite."""
    flat = values.reshape(-1)
    for start in range(0, flat.size, PIECE):
        finite = np.isfinite(flat[start : start + PIECE])
        if not finite.all():
            return start + int(np.argmin(finite))
    return None


def counts_of(indices: NDArray[Any], size: int) -> NDArray[np.int64]:
    """Return how often each number below `size` occurs."""
    counts = np.zeros(size, np.int64)
    step = max(PIECE, size)
    for start in range(0, len(indices), step):
        counts += np.bincount(indices[start : start + step], minlength=size)
    return counts
