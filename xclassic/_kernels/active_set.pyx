"""Python entry to the active-set solver of ``active_set.h``.

Arguments are trusted: ``linear/ppd_sparse.py`` makes them.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libcpp.vector cimport vector

from xclassic._kernels.arguments cimport FeatureRows, Rows, copied, start


cdef extern from "active_set.h" namespace "xclassic" nogil:
    cdef struct ActiveSetTask:
        Rows rows
        Rows columns
        const float* squares
        int64_t n_labels
        const int64_t* label_ptr
        const int32_t* label_rows
        double l1
        double cost
        double bias
        double eps
        double prune
        int64_t max_rounds
        uint64_t seed
        const uint8_t* stop

    cdef cppclass ActiveSets:
        vector[int64_t] sizes
        vector[int32_t] features
        vector[float] weights
        vector[float] biases
        vector[double] gaps
        vector[int64_t] active_sizes
        vector[int32_t] active
        int64_t searches
        int64_t sweeps

    cdef cppclass ActiveSetSolver:
        ActiveSetSolver(const ActiveSetTask&, ActiveSets&) except +
        void solve_all() except +


def solve_active_sets(
    FeatureRows rows, FeatureRows columns, *, const float[::1] squares, const int64_t[::1] label_ptr,
    const int32_t[::1] label_rows, double l1, double cost, double bias, double eps, double prune, int64_t max_rounds,
    uint64_t seed, const uint8_t[::1] stop,
):
    """Solve some labels; see ``ActiveSetTask``.

    Returns (sizes, features, weights, biases, gaps, active_sizes, active, work), the first seven as in ``ActiveSets``;
    work counts searches and sweeps.
    """
    cdef ActiveSetTask task
    cdef ActiveSets found
    cdef ActiveSetSolver* solver
    task.rows = rows.rows
    task.columns = columns.rows
    task.squares = &squares[0]
    task.n_labels = label_ptr.shape[0] - 1
    task.label_ptr = &label_ptr[0]
    task.label_rows = start(label_rows)
    task.l1 = l1
    task.cost = cost
    task.bias = bias
    task.eps = eps
    task.prune = prune
    task.max_rounds = max_rounds
    task.seed = seed
    task.stop = &stop[0]
    solver = new ActiveSetSolver(task, found)
    try:
        with nogil:
            solver.solve_all()
    finally:
        del solver
    return (
        copied(found.sizes.data(), found.sizes.size(), np.int64),
        copied(found.features.data(), found.features.size(), np.int32),
        copied(found.weights.data(), found.weights.size(), np.float32),
        copied(found.biases.data(), found.biases.size(), np.float32),
        copied(found.gaps.data(), found.gaps.size(), np.float64),
        copied(found.active_sizes.data(), found.active_sizes.size(), np.int64),
        copied(found.active.data(), found.active.size(), np.int32),
        np.array([found.searches, found.sweeps], np.int64),
    )
