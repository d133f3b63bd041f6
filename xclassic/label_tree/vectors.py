"""Label vectors: what labels are grouped by."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, hstack

from xclassic.linear.one_vs_rest import unit_rows
from xclassic.validation import Features

VIEWS = ("pifa", "labels", "both")


def label_vectors(X: Features, Y: csr_array, view: str = "pifa") -> Any:
    """Return a vector for each label, of unit length, or zero where a label has no row.

    Parameters
    ----------
    X : csr_array or ndarray of float32, shape (n_rows, n_features)
    Y : csr_array of float32, shape (n_rows, n_labels)
        Weights of the labels of each row.
    view : {"pifa", "labels", "both"}
        The sum of the rows of the label ("positive-instance feature aggregation"), its row of ``Y^T Y``, or the two
        side by side, each of unit length before.

    Returns
    -------
    csr_array or ndarray of float32, shape (n_labels, n_features), (n_labels, n_labels) or both side by side
        Dense for dense `X` and ``view="pifa"``.

    Notes
    -----
    Memory: the stored entries of the result, 8 bytes each; at most one for each pair of an entry of `Y` and an entry of
    the same row of `X` (or of `Y`).
    """
    Yt = csr_array(Y.T)
    if view == "pifa":
        return unit_rows(_product(Yt, X))
    if view == "labels":
        return unit_rows(_product(Yt, Y))
    parts = [csr_array(unit_rows(_product(Yt, part))) for part in (X, Y)]
    return unit_rows(csr_array(hstack(parts, format="csr")))


def _product(Yt: csr_array, rows: Features) -> Any:
    product = Yt @ rows
    if isinstance(product, np.ndarray):
        return np.ascontiguousarray(product, np.float32)
    product.sort_indices()
    return product.astype(np.float32, copy=False)
