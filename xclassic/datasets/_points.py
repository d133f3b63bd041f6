"""The check of points that come from memory or from binary files."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse


def check_points(X: Any, Y: Any) -> tuple[Any, csr_array]:
    """Return ``X`` as finite float32 (canonical `csr_array` if sparse) and ``Y`` as canonical `csr_array` of ones.

    Raises
    ------
    ValueError
        If ``X`` holds a value that is not finite in float32, ``Y`` is no matrix of zeros and ones, the numbers of rows
        differ, or the index arrays of a sparse matrix are broken.
    """
    from sklearn.utils import check_array

    from xclassic.validation import truth_matrix

    X = check_array(
        X, accept_sparse="csr", dtype=np.float32, input_name="X", ensure_min_samples=0, ensure_min_features=0
    )
    if issparse(X):
        X = csr_array((X.data, X.indices, X.indptr), shape=X.shape)
        X.check_format(full_check=True)
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
    if len(getattr(Y, "shape", ())) != 2:
        raise ValueError("Y must be a matrix with a row for each point and a column for each label")
    if X.shape[0] != Y.shape[0]:
        raise ValueError(f"X has {X.shape[0]} rows and Y has {Y.shape[0]}; they must describe the same points")
    return X, truth_matrix(Y, np.arange(Y.shape[1]))
