"""Python entry to the point trees of ``forest.h``.

Arguments are trusted: ``instance_tree/tree.py`` makes and checks them.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t
from libcpp.vector cimport vector

from xclassic._kernels.arguments cimport Best, BestLabels, FeatureRows, Rows, copied, start


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
        Best best
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
    """A tree as the kernels read it. It keeps the arrays alive."""

    cdef PointTree tree
    cdef object arrays

    def __init__(
        self, *, const int64_t[::1] child_ptr, const int64_t[::1] router_ptr, const int32_t[::1] features,
        const float[::1] weights, const float[::1] bias, const int64_t[::1] label_ptr, const int32_t[::1] labels,
        const float[::1] shares,
    ):
        self.arrays = (child_ptr, router_ptr, features, weights, bias, label_ptr, labels, shares)
        self.tree.child_ptr = start(child_ptr)
        self.tree.router_ptr = start(router_ptr)
        self.tree.features = start(features)
        self.tree.weights = start(weights)
        self.tree.bias = start(bias)
        self.tree.label_ptr = start(label_ptr)
        self.tree.labels = start(labels)
        self.tree.shares = start(shares)


def route(KernelTree tree, FeatureRows rows, *, const uint8_t[::1] stop):
    """Return the leaf of each row."""
    leaves = np.zeros(rows.rows.n, np.int64)
    cdef int64_t[::1] view = leaves
    if rows.rows.n:
        with nogil:
            c_route(tree.tree, rows.rows, &stop[0], &view[0])
    return leaves


cdef class KernelForest:
    """Trees as the kernels read them. It keeps them alive."""

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
    KernelForest forest, FeatureRows rows, *, int64_t n_labels, const uint8_t[::1] allowed, int64_t k,
    const uint8_t[::1] stop,
):
    """Return (ids, scores, counts) of the best ``k`` labels; ``allowed`` has a byte for each label, or is None."""
    cdef BestLabels found = BestLabels(rows.rows.n, k)
    cdef RankTask task
    if rows.rows.n == 0 or k == 0:
        return found.arrays()
    task.rows = rows.rows
    task.n_labels = n_labels
    task.allowed = start(allowed)
    task.best = found.best
    task.stop = &stop[0]
    with nogil:
        c_rank(forest.forest[0], task)
    return found.arrays()


def average_labels(
    *, const int64_t[::1] indptr, const int32_t[::1] indices, const float[::1] weights, int64_t n_labels,
    const int64_t[::1] point_ptr, const int32_t[::1] points, int64_t max_labels,
):
    """Return (number of labels of each leaf, labels, shares); see ``LeafTask``."""
    cdef LeafTask task
    cdef Distributions found
    task.indptr = &indptr[0]
    task.indices = start(indices)
    task.weights = start(weights)
    task.n_labels = n_labels
    task.n_leaves = point_ptr.shape[0] - 1
    task.point_ptr = &point_ptr[0]
    task.points = start(points)
    task.max_labels = max_labels
    with nogil:
        c_average(task, found)
    return (
        copied(found.sizes.data(), found.sizes.size(), np.int64),
        copied(found.labels.data(), found.labels.size(), np.int32),
        copied(found.shares.data(), found.shares.size(), np.float32),
    )
