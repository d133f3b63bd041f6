"""Check the relevances of labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse


def check_relevance(relevance: Any, Y: csr_array) -> csr_array:
    """Return relevances at the places of `Y`, divided by the largest."""
    if not issparse(relevance):
        raise TypeError(f"relevance is a {type(relevance).__name__}; pass a sparse matrix of the shape of y.")
    given = csr_array(relevance, dtype=np.float32, copy=True)
    given.sum_duplicates()
    given.eliminate_zeros()
    if given.shape != Y.shape:
        raise ValueError(f"relevance has shape {given.shape}, but y has {Y.shape}; give each label of y one.")
    if not np.array_equal(given.indptr, Y.indptr) or not np.array_equal(given.indices, Y.indices):
        raise ValueError("relevance must be above 0 exactly where y is 1.")
    if given.nnz and not (np.isfinite(given.data).all() and given.data.min() > 0):
        raise ValueError(f"relevance holds {given.data.min()}; relevances are finite and above 0.")
    given.data /= given.data.max(initial=1e-30)
    return given
