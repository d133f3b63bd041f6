"""Python entries to the neighbor search of ``neighbors.h``.

Arguments are trusted: ``neighbors/index.py`` makes and checks them.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t

from xclassic._kernels.blocks cimport Rows, describe_rows


cdef extern from "neighbors.h" namespace "xclassic" nogil:
    cdef struct NearestTask:
        Rows queries
        const int64_t* posting_ptr
        const int32_t* posting_rows
        const float* posting_values
        int64_t n_rows
        int64_t k
        int32_t* ids
        float* products
        int32_t* counts
        const uint8_t* stop

    void c_find "xclassic::find_nearest"(const NearestTask&) except +

    cdef struct VoteTask:
        int64_t n
        int64_t n_neighbors
        const int32_t* neighbors
        const float* weights
        const int64_t* label_ptr
        const int32_t* labels
        int64_t n_labels
        const uint8_t* allowed
        int64_t k
        int32_t* ids
        float* scores
        int32_t* counts

    void c_vote "xclassic::vote"(const VoteTask&) except +


def find_nearest(
    indptr, indices, values, int64_t n, int64_t d, const int64_t[::1] posting_ptr, const int32_t[::1] posting_rows,
    const float[::1] posting_values, int64_t n_rows, int64_t k, const uint8_t[::1] stop,
):
    """Return (rows, products, counts): for each query the ``k`` rows with the largest products above 0."""
    ids = np.full((n, k), -1, np.int32)
    products = np.full((n, k), -np.inf, np.float32)
    counts = np.zeros(n, np.int32)
    if n == 0 or posting_rows.shape[0] == 0:
        return ids, products, counts
    cdef int32_t[:, ::1] ids_view = ids
    cdef float[:, ::1] products_view = products
    cdef int32_t[::1] counts_view = counts
    cdef NearestTask task
    task.queries = describe_rows(indptr, indices, values, n, d, 0)
    task.posting_ptr = &posting_ptr[0]
    task.posting_rows = &posting_rows[0]
    task.posting_values = &posting_values[0]
    task.n_rows = n_rows
    task.k = k
    task.ids = &ids_view[0, 0]
    task.products = &products_view[0, 0]
    task.counts = &counts_view[0]
    task.stop = &stop[0]
    with nogil:
        c_find(task)
    return ids, products, counts


def vote(
    const int32_t[:, ::1] neighbors, const float[:, ::1] weights, const int64_t[::1] label_ptr,
    const int32_t[::1] labels, int64_t n_labels, allowed, int64_t k,
):
    """Return (ids, scores, counts) of the best ``k`` labels by their share of the neighbors' weights."""
    cdef int64_t n = neighbors.shape[0]
    ids = np.full((n, k), -1, np.int32)
    scores = np.full((n, k), -np.inf, np.float32)
    counts = np.zeros(n, np.int32)
    if n == 0 or labels.shape[0] == 0:
        return ids, scores, counts
    cdef int32_t[:, ::1] ids_view = ids
    cdef float[:, ::1] scores_view = scores
    cdef int32_t[::1] counts_view = counts
    cdef const uint8_t[::1] mask
    cdef VoteTask task
    task.allowed = NULL
    if allowed is not None:
        mask = allowed
        task.allowed = &mask[0]
    task.n = n
    task.n_neighbors = neighbors.shape[1]
    task.neighbors = &neighbors[0, 0]
    task.weights = &weights[0, 0]
    task.label_ptr = &label_ptr[0]
    task.labels = &labels[0]
    task.n_labels = n_labels
    task.k = k
    task.ids = &ids_view[0, 0]
    task.scores = &scores_view[0, 0]
    task.counts = &counts_view[0]
    with nogil:
        c_vote(task)
    return ids, scores, counts
