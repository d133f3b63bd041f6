"""The check of points that come from memory or from binary files."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array


def check_features(X: Any) -> Any:
    """Return ``X`` as finite float32, and as a canonical `csr_array` if it is sparse.

    Raises
    ------
    ValueError
        If a value is not finite in float32 or the index arrays of a sparse matrix are broken.
    """
    from xclassic.validation.features import check_rows

    return check_rows(X, "X")


def check_labels(Y: Any, n_rows: int) -> csr_array:
    """Return the 0-1 matrix ``Y`` as a canonical `csr_array` of float32 ones.

    Raises
    ------
    ValueError
        If ``Y`` is not a matrix of zeros and ones with ``n_rows`` rows.
    """
    from xclassic.validation.labels import truth_matrix

    if len(getattr(Y, "shape", ())) != 2:
        raise ValueError(
            f"Y has shape {getattr(Y, 'shape', None)}; it must be a matrix with a row for each point and a column for "
            "each label. Class ids become one by encode_labels([[id] for id in ids])[0]"
        )
    if Y.shape[0] != n_rows:
        raise ValueError(f"X has {n_rows} rows and Y has {Y.shape[0]}; they must describe the same points")
    return truth_matrix(Y, np.arange(Y.shape[1]))
