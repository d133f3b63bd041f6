"""Python entry to the hyperplanes of ``hyperplanes.h``.

Arguments are trusted: ``instance_tree/fastxml.py`` makes them.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libcpp.vector cimport vector

from xclassic._kernels.arguments cimport FeatureRows, Rows, copied


cdef extern from "hyperplanes.h" namespace "xclassic" nogil:
    cdef struct PlaneTask:
        Rows rows
        int64_t n_nodes
        const int64_t* point_ptr
        const int32_t* points
        const uint8_t* sides
        float scale
        float cost
        float eps
        int32_t max_rounds
        int32_t max_sweeps
        const uint64_t* seeds
        uint8_t* went
        const uint8_t* stop

    cdef cppclass Planes:
        vector[int64_t] sizes
        vector[int32_t] features
        vector[float] values
        vector[float] biases

    cdef cppclass PlaneTrainer:
        PlaneTrainer(const PlaneTask&, Planes&) except +
        void train_all() except +


def train_planes(
    FeatureRows rows, *, const int64_t[::1] point_ptr, const int32_t[::1] points, const uint8_t[::1] sides,
    float scale, float cost, float eps, int max_rounds, int max_sweeps, const uint64_t[::1] seeds,
    const uint8_t[::1] stop,
):
    """Fit a plane in each node; see ``PlaneTask``. Returns (sizes, features, values, biases, side of each point)."""
    cdef PlaneTask task
    cdef Planes planes
    cdef PlaneTrainer* trainer
    went = np.empty(points.shape[0], np.uint8)
    cdef uint8_t[::1] went_view = went
    task.rows = rows.rows
    task.n_nodes = point_ptr.shape[0] - 1
    task.point_ptr = &point_ptr[0]
    task.points = &points[0]
    task.sides = &sides[0]
    task.scale = scale
    task.cost = cost
    task.eps = eps
    task.max_rounds = max_rounds
    task.max_sweeps = max_sweeps
    task.seeds = &seeds[0]
    task.went = &went_view[0]
    task.stop = &stop[0]
    trainer = new PlaneTrainer(task, planes)
    try:
        with nogil:
            trainer.train_all()
    finally:
        del trainer
    return (
        copied(planes.sizes.data(), planes.sizes.size(), np.int64),
        copied(planes.features.data(), planes.features.size(), np.int32),
        copied(planes.values.data(), planes.values.size(), np.float32),
        copied(planes.biases.data(), planes.biases.size(), np.float32),
        went,
    )
