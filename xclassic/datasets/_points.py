"""The check of points that come from memory or from binary files."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse


def check_features(X: Any) -> Any:
    """Return ``X`` as finite float32, and as a canonical `csr_array` if it is sparse.

    Raises
    ------
    ValueError
        If a value is not finite in float32 or the index arrays of a sparse matrix are broken.
    """
    from sklearn.utils import check_array

    X = check_array(
        X, accept_sparse="csr", dtype=np.float32, input_name="X", ensure_min_samples=0, ensure_min_features=0
    )
    if issparse(X):
        X = csr_array((X.data, X.indices, X.indptr), shape=X.shape)
        X.check_format(full_check=True)
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
    return X


def check_labels(Y: Any, n_rows: int) -> csr_array:
    """Return the 0-1 matrix ``Y`` as a canonical `csr_array` of float32 ones.

    Raises
    ------
    ValueError
        If ``Y`` is not a matrix of zeros and ones with ``n_rows`` rows.
    """
    from xclassic.validation.labels import truth_matrix

    if len(getattr(Y, "shape", ())) != 2:
        raise ValueError("Y must be a matrix with a row for each point and a column for each label")
    if Y.shape[0] != n_rows:
        raise ValueError(f"X has {n_rows} rows and Y has {Y.shape[0]}; they must describe the same points")
    return truth_matrix(Y, np.arange(Y.shape[1]))
