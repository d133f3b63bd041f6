"""Matrices in forms that mean the same, matrices that are none, and odd ones: by name, from a CSR matrix and a place.

The place, any number from 0, says where a fault is.
"""

import numpy as np
from scipy.sparse import bsr_array, coo_array, csc_array, csr_array, csr_matrix, dia_array, dok_array, lil_array


def with_parts(matrix, data=None, indices=None, indptr=None):
    """Return the matrix with other arrays, which no constructor looks at."""
    made = matrix.copy()
    made.data, made.indices, made.indptr = (
        old.copy() if new is None else np.asarray(new)
        for new, old in zip((data, indices, indptr), (matrix.data, matrix.indices, matrix.indptr), strict=True)
    )
    return made


def replaced(array, place, value):
    """Return the array with another value; the place is an index, or a number that may be beyond the end."""
    made = array.copy()
    if isinstance(place, int) and made.ndim == 1:
        place = place % made.size if made.size and place >= 0 else place
    if made.size:
        made[place] = value
    return made


def backwards(m):
    order = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(m.indptr[:-1], m.indptr[1:], strict=True)])
    return with_parts(m, m.data[order], m.indices[order])


def with_zeros(matrix):
    dense = matrix.toarray()
    dense[dense == 0] = np.nan
    made = csr_array(dense)
    made.data[np.isnan(made.data)] = 0
    return made


def with_coordinate(matrix, at, row):
    made = coo_array(matrix)
    made.coords[0][at % max(1, made.nnz)] = row
    return made


FORMS = {  # the same matrix
    "csr": lambda m, at: m,
    "csr_matrix": lambda m, at: csr_matrix(m),
    "csc": lambda m, at: csc_array(m),
    "coo": lambda m, at: coo_array(m),
    "bsr": lambda m, at: bsr_array(m),
    "dia": lambda m, at: dia_array(m),
    "dok": lambda m, at: dok_array(m),
    "lil": lambda m, at: lil_array(m),
    "float64": lambda m, at: m.astype(np.float64),
    "int64": lambda m, at: with_parts(m, indices=m.indices.astype(np.int64), indptr=m.indptr.astype(np.int64)),
    "unsorted": lambda m, at: backwards(m),
    "stored twice": lambda m, at: with_parts(m, np.repeat(m.data / 2, 2), np.repeat(m.indices, 2), m.indptr * 2),
    "stored zeros": lambda m, at: m if m.nnz == np.prod(m.shape) else with_zeros(m),
    "dense": lambda m, at: m.toarray(),
    "dense float64": lambda m, at: m.toarray().astype(np.float64),
    "big-endian": lambda m, at: m.toarray().astype(">f4"),
    "Fortran": lambda m, at: np.asfortranarray(m.toarray()),
    "strided": lambda m, at: np.repeat(m.toarray(), 2, axis=1)[:, ::2],
    "objects": lambda m, at: m.toarray().astype(object),
    "lists": lambda m, at: m.toarray().tolist(),
}  # fmt: skip
BROKEN = {  # no matrix at all
    "column too large": lambda m, at: with_parts(m, indices=replaced(m.indices, at, m.shape[1])),
    "column far too large": lambda m, at: with_parts(m, indices=replaced(m.indices, at, 2**31 - 1)),
    "column below zero": lambda m, at: with_parts(m, indices=replaced(m.indices, at, -1)),
    "column far below zero": lambda m, at: with_parts(m, indices=replaced(m.indices, at, -(2**31))),
    "row of csc too large": lambda m, at: with_parts(csc_array(m), indices=replaced(csc_array(m).indices, at, 10**9)),
    "row of csc below zero": lambda m, at: with_parts(csc_array(m), indices=replaced(csc_array(m).indices, at, -9)),
    "row of coo too large": lambda m, at: with_coordinate(m, at, 2**31 - 1),
    "row of coo below zero": lambda m, at: with_coordinate(m, at, -9),
    "pointers descend": lambda m, at: with_parts(m, indptr=replaced(m.indptr, min(1 + at, m.shape[0] - 1), 10**8)),
    "pointers too long": lambda m, at: with_parts(m, indptr=replaced(m.indptr, -1, 10**8)),
    "pointers below zero": lambda m, at: with_parts(m, indptr=replaced(m.indptr, at, -5)),
    "pointers end below zero": lambda m, at: with_parts(m, indptr=replaced(m.indptr, -1, -5)),
    "few pointers": lambda m, at: with_parts(m, indptr=m.indptr[:-1]),
    "few columns": lambda m, at: with_parts(m, indices=m.indices[: at % m.nnz]),
    "few values": lambda m, at: with_parts(m, data=m.data[: at % m.nnz]),
    "one dimension": lambda m, at: m.toarray().ravel(),
    "one sparse dimension": lambda m, at: coo_array(m.toarray().ravel()),
    "three dimensions": lambda m, at: m.toarray()[None],
    "a number": lambda m, at: 3.0,
    "nothing": lambda m, at: None,
    "complex": lambda m, at: m.toarray() * (1 + 1j),
    "complex and sparse": lambda m, at: m * (1 + 1j),
    "dates": lambda m, at: m.toarray().astype(np.int64).astype("M8[s]"),
    "NaN": lambda m, at: replaced(m.toarray(), (0, 0), np.nan),
    "sparse NaN": lambda m, at: with_parts(m, replaced(m.data, at, np.nan)),
}  # fmt: skip
ODD = {  # right or refused, which depends on the function
    "narrower": lambda m, at: m[:, : -1 - at % m.shape[1]],
    "wider": lambda m, at: csr_array((m.data, m.indices, m.indptr), (m.shape[0], m.shape[1] + 1 + at % 9)),
    "transposed": lambda m, at: m.T,
    "without columns": lambda m, at: m[:, :0],
    "without rows": lambda m, at: m[:0],
    "without entries": lambda m, at: csr_array(m.shape, dtype=m.dtype),
    "one row": lambda m, at: m[:1],
    "one row fewer": lambda m, at: m[:-1],
    "infinite": lambda m, at: replaced(m.toarray(), (0, 0), np.inf),
    "huge": lambda m, at: m.astype(np.float64) * 1e300,
    "nearly too large": lambda m, at: with_parts(m, data=replaced(m.data, at, 3e38)),
    "tiny": lambda m, at: m * np.float32(1e-44),
    "negative": lambda m, at: -m,
    "booleans": lambda m, at: m.astype(bool),
    "half precise": lambda m, at: m.toarray().astype(np.float16),
    "long": lambda m, at: m.toarray().astype(np.longdouble),
    "masked": lambda m, at: np.ma.masked_less(m.toarray(), 0.5),
    "one column": lambda m, at: with_parts(m, indices=np.full_like(m.indices, at % m.shape[1])),
    "columns of floats": lambda m, at: with_parts(m, indices=m.indices.astype(np.float32)),
    "texts": lambda m, at: m.toarray().astype(str),
    "a text": lambda m, at: "text",
    "columns by name": lambda m, at: {"a": [1.0] * m.shape[0]},
    "ragged": lambda m, at: [[1.0, 0.0], [1.0]],
    "no objects": lambda m, at: np.full(m.shape, None),
    "wraps around": lambda m, at: (
        with_parts(m, np.full(2 * m.nnz, 128, np.uint8), np.repeat(m.indices, 2), m.indptr * 2)
    ),
}  # fmt: skip
