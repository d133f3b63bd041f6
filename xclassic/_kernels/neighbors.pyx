"""Python entries to the neighbor search of ``neighbors.h``.

Arguments are trusted: ``neighbors/index.py`` makes and checks them.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t

from xclassic._kernels.arguments cimport Best, BestLabels, FeatureRows, Rows, check_lists, start


cdef extern from "neighbors.h" namespace "xclassic" nogil:
    cdef struct NearestTask:
        Rows queries
        const int64_t* posting_ptr
        const int32_t* posting_rows
        const float* posting_values
        int64_t n_rows
        Best best
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
        Best best

    void c_vote "xclassic::vote"(const VoteTask&) except +


def find_nearest(
    FeatureRows queries, *, const int64_t[::1] posting_ptr, const int32_t[::1] posting_rows,
    const float[::1] posting_values, int64_t n_rows, int64_t k, const uint8_t[::1] stop,
):
    """Return (rows, products, counts): for each query the ``k`` rows with the largest products above 0."""
    cdef BestLabels found = BestLabels(queries.rows.n, k)
    cdef NearestTask task
    if queries.rows.n == 0 or k == 0 or posting_rows.shape[0] == 0:
        return found.arrays()
    check_lists(posting_ptr, posting_rows, n_rows)
    task.queries = queries.rows
    task.posting_ptr = start(posting_ptr)
    task.posting_rows = start(posting_rows)
    task.posting_values = start(posting_values)
    task.n_rows = n_rows
    task.best = found.best
    task.stop = &stop[0]
    with nogil:
        c_find(task)
    return found.arrays()


def vote(
    *, const int32_t[:, ::1] neighbors, const float[:, ::1] weights, const int64_t[::1] label_ptr,
    const int32_t[::1] labels, int64_t n_labels, const uint8_t[::1] allowed, int64_t k,
):
    """Return (ids, scores, counts) of the best ``k`` labels by their share of the neighbors' weights."""
    cdef BestLabels found = BestLabels(neighbors.shape[0], k)
    cdef VoteTask task
    if neighbors.shape[0] == 0 or neighbors.shape[1] == 0 or k == 0 or labels.shape[0] == 0:
        return found.arrays()
    check_lists(label_ptr, labels, n_labels)
    task.allowed = start(allowed)
    task.n = neighbors.shape[0]
    task.n_neighbors = neighbors.shape[1]
    task.neighbors = &neighbors[0, 0]
    task.weights = &weights[0, 0]
    task.label_ptr = start(label_ptr)
    task.labels = start(labels)
    task.n_labels = n_labels
    task.best = found.best
    with nogil:
        c_vote(task)
    return found.arrays()
