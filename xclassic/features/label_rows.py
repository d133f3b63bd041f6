"""Labels as further rows, with soft targets from co-occurrence (Gandalf: Kharbanda et al., KDD 2024, section 3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, vstack

from xclassic.linalg.label_vectors import label_vectors
from xclassic.rows import unit_rows
from xclassic.validation.features import Features, canonical, check_rows
from xclassic.validation.labels import check_target
from xclassic.validation.parameters import check_number

BLOCK = 1024  # Labels whose co-occurrences are counted together.


def augment_with_labels(
    X: Any, Y: Any, label_features: Any = None, *, threshold: float = 0.1
) -> tuple[Features, csr_array, csr_array]:
    """Return the rows and one further row for each label, with soft targets by co-occurrence.

    Parameters
    ----------
    X : sparse matrix or array-like, shape (n_rows, n_features)
    Y : sparse or dense 0-1 matrix, shape (n_rows, n_labels)
    label_features : sparse matrix or array-like, shape (n_labels, n_features), optional
        By default the centroids of the labels' rows, of unit length, without labels of one row, whose centroid is that
        row; see `LabelAugmentation`.
    threshold : float, default=0.1
        Smallest share of a label's rows that a companion must have. Above 1 only the label itself is left.

    Returns
    -------
    rows : csr_array or ndarray of float32, shape (n_rows + n_used_labels, n_features)
        Labels whose features are all zero are left out. Sparse if `X` is.
    targets : csr_array of ones, shape (n_rows + n_used_labels, n_labels)
    shares : csr_array of float32, of the shape and with the entries of `targets`
        1 in the rows of `X`; in those of labels the share, and 1 for the label itself.

    Raises
    ------
    ValueError, TypeError
        If a matrix is none of finite numbers, their shapes do not fit, or `Y` is no 0-1 matrix.

    Examples
    --------
    >>> import numpy as np
    >>> from xclassic.features import augment_with_labels
    >>> rows, targets, shares = augment_with_labels(np.eye(3), np.array([[1, 0], [1, 1], [0, 1]]))
    >>> shares.toarray()[3:]
    array([[1. , 0.5],
           [0.5, 1. ]], dtype=float32)
    """
    check_threshold(threshold)
    X = check_rows(X, "X")
    Y = check_target(Y, X.shape[0]).Y
    if label_features is None:
        further = label_vectors(unit_rows(X), Y)
        used = np.bincount(Y.indices, minlength=Y.shape[1]) > 1
    else:
        further = check_label_features(label_features, X.shape[1], Y.shape[1])
        used = np.ones(Y.shape[1], np.bool_)
    used &= np.asarray(abs(further).sum(axis=1)).ravel() > 0
    shares = csr_array(vstack([Y, _label_shares(Y, threshold)[used]], format="csr"), dtype=np.float32)
    return _stacked(X, further[used]), _ones(shares), shares


def check_label_features(label_features: Any, n_features: int, n_labels: int) -> Features:
    """Return features of labels as checked rows, one for each label."""
    rows = check_rows(label_features, "label_features", n_features)
    if rows.shape[0] != n_labels:
        raise ValueError(
            f"label_features has {rows.shape[0]} rows but there are {n_labels} labels; give each label one row, in the "
            "order of classes_."
        )
    return rows


def check_threshold(threshold: Any) -> None:
    check_number("threshold", threshold, minimum=0, inclusive=False)


def _label_shares(Y: csr_array, threshold: float) -> csr_array:
    """Return for each label the share of its rows that each other label has too, where it is at least `threshold`."""
    by_label = csr_array(Y.T)
    counts = np.diff(by_label.indptr)
    blocks = []
    for start in range(0, Y.shape[1], BLOCK):
        together = csr_array(by_label[start : start + BLOCK] @ Y)
        row = np.repeat(np.arange(together.shape[0]), np.diff(together.indptr)) + start
        share = together.data / counts[row]
        kept = (share >= threshold) & (row != together.indices)
        blocks.append((share[kept], row[kept], together.indices[kept]))
    own = np.arange(Y.shape[1])
    share, row, column = (np.concatenate(parts) for parts in zip(*blocks, (np.ones(Y.shape[1]), own, own), strict=True))
    return csr_array((share.astype(np.float32), (row, column)), shape=(Y.shape[1], Y.shape[1]))


def _ones(Y: csr_array) -> csr_array:
    return csr_array((np.ones(Y.nnz, np.float32), Y.indices, Y.indptr), shape=Y.shape)


def _stacked(X: Features, further: Features) -> Features:
    """Return rows in the container of the first."""
    if not isinstance(X, np.ndarray):
        return canonical(vstack([X, csr_array(further)], format="csr", dtype=np.float32), "rows")
    return np.vstack([X, further if isinstance(further, np.ndarray) else further.toarray()])
