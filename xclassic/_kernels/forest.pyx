"""Python entry to the point trees of ``forest.h``.

Arguments are trusted: ``instance_tree/tree.py`` makes and checks them.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t
from libcpp.vector cimport vector

from xclassic._kernels.blocks cimport Rows, copied, describe_rows


cdef extern from "forest.h" namespace "xclassic" nogil:
    cdef struct PointTree:
        const int64_t* child_ptr
        const int64_t* router_ptr
        const int32_t* features
        const float* weights
        const float* bias
        const int64_t* label_ptr
        const int32_t* labels
        const float* shares

    void c_route "xclassic::route"(const PointTree&, const Rows&, const uint8_t* stop, int64_t* leaves) except +

    cdef struct RankTask:
        Rows rows
        int64_t n_labels
        const uint8_t* allowed
        int64_t k
        int32_t* ids
        float* scores
        int32_t* counts
        const uint8_t* stop

    cdef cppclass Forest:
        Forest(vector[PointTree], int64_t d) except +

    void c_rank "xclassic::rank_labels"(const Forest&, const RankTask&) except +

    cdef struct LeafTask:
        const int64_t* indptr
        const int32_t* indices
        const float* weights
        int64_t n_labels
        int64_t n_leaves
        const int64_t* point_ptr
        const int32_t* points
        int64_t max_labels

    cdef struct Distributions:
        vector[int64_t] sizes
        vector[int32_t] labels
        vector[float] shares

    void c_average "xclassic::average_labels"(const LeafTask&, Distributions&) except +


cdef class KernelTree:
    """A tree as the kernels read it. Keeps the arrays alive."""

    cdef PointTree tree
    cdef object arrays

    def __init__(
        self, const int64_t[::1] child_ptr, const int64_t[::1] router_ptr, const int32_t[::1] features,
        const float[::1] weights, const float[::1] bias, const int64_t[::1] label_ptr, const int32_t[::1] labels,
        const float[::1] shares,
    ):
        self.arrays = (child_ptr, router_ptr, features, weights, bias, label_ptr, labels, shares)
        self.tree.child_ptr = &child_ptr[0]
        self.tree.router_ptr = &router_ptr[0]
        self.tree.features = &features[0] if features.shape[0] else NULL
        self.tree.weights = &weights[0] if weights.shape[0] else NULL
        self.tree.bias = &bias[0]
        self.tree.label_ptr = &label_ptr[0]
        self.tree.labels = &labels[0] if labels.shape[0] else NULL
        self.tree.shares = &shares[0] if shares.shape[0] else NULL


def route(KernelTree tree, indptr, indices, values, int64_t n, int64_t d, const uint8_t[::1] stop):
    """Return the leaf of each row."""
    leaves = np.zeros(n, np.int64)
    if n == 0:
        return leaves
    cdef int64_t[::1] view = leaves
    cdef Rows rows = describe_rows(indptr, indices, values, n, d, 0)
    with nogil:
        c_route(tree.tree, rows, &stop[0], &view[0])
    return leaves


cdef class KernelForest:
    """Trees as the kernels read them. Keeps them alive."""

    cdef Forest* forest
    cdef list trees

    def __cinit__(self, list trees, int64_t d):
        cdef vector[PointTree] described
        self.trees = trees
        for tree in trees:
            described.push_back((<KernelTree?> tree).tree)
        self.forest = new Forest(described, d)

    def __dealloc__(self):
        del self.forest


def rank_labels(
    KernelForest forest, indptr, indices, values, int64_t n, int64_t d, int64_t n_labels, allowed, int64_t k,
    const uint8_t[::1] stop,
):
    """Return (ids, scores, counts) of the best ``k`` labels; ``allowed`` has a byte for each label, or is None."""
    ids = np.full((n, k), -1, np.int32)
    scores = np.full((n, k), -np.inf, np.float32)
    counts = np.zeros(n, np.int32)
    if n == 0 or k == 0:
        return ids, scores, counts
    cdef int32_t[:, ::1] ids_view = ids
    cdef float[:, ::1] scores_view = scores
    cdef int32_t[::1] counts_view = counts
    cdef const uint8_t[::1] mask
    cdef RankTask task
    task.allowed = NULL
    if allowed is not None:
        mask = allowed
        task.allowed = &mask[0]
    task.rows = describe_rows(indptr, indices, values, n, d, 0)
    task.n_labels = n_labels
    task.k = k
    task.ids = &ids_view[0, 0]
    task.scores = &scores_view[0, 0]
    task.counts = &counts_view[0]
    task.stop = &stop[0]
    with nogil:
        c_rank(forest.forest[0], task)
    return ids, scores, counts


def average_labels(
    const int64_t[::1] indptr, const int32_t[::1] indices, const float[::1] weights, int64_t n_labels,
    const int64_t[::1] point_ptr, const int32_t[::1] points, int64_t max_labels,
):
    """Return (number of labels of each leaf, labels, shares); see ``LeafTask``."""
    cdef LeafTask task
    cdef Distributions found
    task.indptr = &indptr[0]
    task.indices = &indices[0] if indices.shape[0] else NULL
    task.weights = &weights[0] if weights.shape[0] else NULL
    task.n_labels = n_labels
    task.n_leaves = point_ptr.shape[0] - 1
    task.point_ptr = &point_ptr[0]
    task.points = &points[0] if points.shape[0] else NULL
    task.max_labels = max_labels
    with nogil:
        c_average(task, found)
    return (
        copied(found.sizes.data(), found.sizes.size(), np.int64),
        copied(found.labels.data(), found.labels.size(), np.int32),
        copied(found.shares.data(), found.shares.size(), np.float32),
    )
