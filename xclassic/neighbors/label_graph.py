"""The rows whose labels are most similar to those of each row."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csc_array, csr_array

from xclassic.neighbors.index import InvertedIndex
from xclassic.parallel import StopByte
from xclassic.rows import unit_rows

MOST_LISTED = 2000  # At most this many rows of a label are compared, since the cost is quadratic in them.


def label_similarities(Y: csr_array, n_neighbors: int, random: np.random.Generator, stop: StopByte) -> csr_array:
    """Return the cosines of the label vectors of each row and the rows most similar to it, in both directions.

    Of a label with more than 2,000 rows, only a random 2,000 can be found; otherwise the cost would be quadratic.

    Parameters
    ----------
    Y : csr_array, shape (n_rows, n_labels)
        Rows without labels are similar to no other.
    n_neighbors : int
        At most this many neighbors of each row, itself among them.
    random : Generator
    stop : ndarray of uint8, shape (1,)

    Returns
    -------
    csr_array, shape (n_rows, n_rows)
        Symmetric.
    """
    vectors = unit_rows(Y)
    index = InvertedIndex.build(thinned(vectors, MOST_LISTED, random))
    cosines = index.nearest(vectors, min(n_neighbors, Y.shape[0]), stop).to_csr(Y.shape[0])
    return csr_array(cosines.maximum(cosines.T))


def thinned(Y: csr_array, most: int, random: np.random.Generator) -> csr_array:
    """Return `Y` with at most `most` entries in each column; which ones are left out is random."""
    counts = np.bincount(Y.indices, minlength=Y.shape[1])
    if counts.max(initial=0) <= most:
        return Y
    columns = csc_array(Y)
    kept = np.ones(columns.nnz, bool)
    for label in np.flatnonzero(counts > most):
        entries = np.arange(columns.indptr[label], columns.indptr[label + 1])
        kept[random.choice(entries, len(entries) - most, replace=False)] = False
    indptr = np.concatenate([[0], np.cumsum(kept)])[columns.indptr]
    return csr_array(csc_array((columns.data[kept], columns.indices[kept], indptr), shape=Y.shape))


def label_neighbors(Y: csr_array, n_neighbors: int, seed: int, stop: StopByte) -> csr_array:
    """Return the graph of `label_similarities` without the edges from rows to themselves."""
    similar = label_similarities(Y, n_neighbors + 1, np.random.default_rng(seed), stop).tocoo()
    apart = similar.coords[0] != similar.coords[1]
    return csr_array((similar.data[apart], (similar.coords[0][apart], similar.coords[1][apart])), shape=similar.shape)
