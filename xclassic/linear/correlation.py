"""Correlation matrices of labels: from co-occurrence or given, and which labels they leave uncoupled."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigvalsh
from scipy.sparse import csr_array, diags_array, eye_array, vstack
from scipy.sparse.linalg import eigsh

from xclassic.blocks.problem import label_ranges
from xclassic.validation.features import canonical

LEAST = 0.1  # Smallest eigenvalue of a matrix from co-occurrence.
MENDED = 0.1  # Share of the mean diagonal down to which negative eigenvalues are errors of estimation, and mended.
SMALL = 500  # Labels up to which all eigenvalues are computed; for more the smallest one is found by iterations.


def cooccurrence(Y: csr_array, coupling: float, n_neighbors: int) -> csr_array:
    """Return the identity plus `coupling` times the cosines of the columns of `Y`.

    Cosines count between a label and the `n_neighbors` most similar ones, in either direction. Since the others are
    missing, some eigenvalue may be negative. If one is below 0.1, the coupling is reduced until none is.
    """
    counts = np.bincount(Y.indices, minlength=Y.shape[1])
    scaled = csr_array(Y @ diags_array(1 / np.sqrt(np.maximum(counts, 1))))
    columns = csr_array(scaled.T)
    parts = [_most_similar(csr_array(columns[a:b] @ scaled), a, n_neighbors) for a, b in label_ranges(Y.shape[1])]
    similar = csr_array(vstack(parts))
    similar = csr_array(similar.maximum(similar.T))
    least = least_eigenvalue(similar)
    strength = min(coupling, (LEAST - 1) / least) if least < 0 else coupling
    return csr_array(eye_array(Y.shape[1]) + strength * similar)


def _most_similar(cosines: csr_array, first: int, n_neighbors: int) -> csr_array:
    """Return the largest entries of each row, ties to the smaller column, without that of the label itself."""
    entries = cosines.tocoo()
    row, column = entries.row, entries.col
    value = np.where(column == row + first, 0, entries.data)
    order = np.lexsort((column, -value, row))
    rank = np.arange(len(order)) - np.searchsorted(row[order], row[order])
    kept = order[(rank < n_neighbors) & (value[order] > 0)]
    return csr_array((value[kept], (row[kept], column[kept])), shape=cosines.shape)


def checked_correlation(R: Any, n_labels: int) -> csr_array:
    """Return a given matrix, with a larger diagonal if an eigenvalue is slightly negative.

    Raises
    ------
    ValueError
        If it has another shape, is not symmetric, or is far from positive semidefinite.
    """
    R = canonical(R, "correlation").astype(np.float64)
    if R.shape != (n_labels, n_labels):
        raise ValueError(f"correlation has shape {R.shape}; pass ({n_labels}, {n_labels}), in the order of classes_.")
    if not np.isfinite(R.data).all():
        raise ValueError("correlation has entries that are NaN or infinite; pass finite numbers.")
    diagonal = R.diagonal()
    if not (diagonal > 0).all():
        label = int(np.argmin(diagonal))
        raise ValueError(f"correlation[{label}, {label}] is {diagonal[label]:g}; the diagonal must be above 0.")
    asymmetry = abs(R - R.T)
    if asymmetry.nnz and asymmetry.max() > 1e-6 * diagonal.max():
        raise ValueError("correlation is not symmetric; pass for instance (R + R.T) / 2.")
    R = csr_array((R + R.T) / 2)
    least, typical = least_eigenvalue(R), float(diagonal.mean())
    if least >= -1e-6 * typical:  # Zero does no harm: the problem remains convex.
        return R
    if least < -MENDED * typical:
        raise ValueError(
            f"correlation has the eigenvalue {least:.3g}, and a correlation matrix has none below 0. Pass for instance "
            f"R + {-least:.3g} * I, or A @ A.T with a row of attributes for each label."
        )
    warnings.warn(f"correlation has the eigenvalue {least:.3g}; {-least:.3g} is added to its diagonal.", stacklevel=6)
    return csr_array(R - least * eye_array(n_labels))


def least_eigenvalue(R: csr_array) -> float:
    """Return the smallest eigenvalue of a symmetric matrix."""
    if R.shape[0] <= SMALL:
        return float(eigvalsh(R.toarray())[0])
    start = np.random.default_rng(0).standard_normal(R.shape[0])
    return float(eigsh(R, 1, which="SA", v0=start, tol=1e-3, return_eigenvectors=False)[0])


def independent_groups(R: csr_array) -> list[NDArray[np.int64]]:
    """Cut labels into groups without coupling inside: each label joins the first group that holds no neighbor."""
    group_of = np.full(R.shape[0], -1)
    for label in range(R.shape[0]):
        taken = np.unique(group_of[R.indices[R.indptr[label] : R.indptr[label + 1]]])
        taken = taken[taken >= 0]
        gaps = np.flatnonzero(taken != np.arange(len(taken)))
        group_of[label] = gaps[0] if len(gaps) else len(taken)
    return [np.flatnonzero(group_of == group) for group in range(group_of.max(initial=-1) + 1)]
