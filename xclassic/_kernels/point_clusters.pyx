"""Python entry to the clusters of ``point_clusters.h``.

Arguments are trusted: ``instance_tree/craftml.py`` makes them.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libcpp.vector cimport vector

from xclassic._kernels.arguments cimport FeatureRows, Rows, copied


cdef extern from "point_clusters.h" namespace "xclassic" nogil:
    cdef struct PointClusterTask:
        Rows labels
        Rows rows
        const int32_t* slots
        const float* signs
        int64_t n_slots
        int64_t n_nodes
        const int64_t* point_ptr
        const int32_t* points
        int32_t n_clusters
        int32_t rounds
        int64_t max_sample
        float kept_share
        int64_t kept_least
        int64_t kept_most
        const uint64_t* seeds
        int32_t* child
        const uint8_t* stop

    cdef struct Centroids:
        vector[int64_t] arity
        vector[int64_t] sizes
        vector[int32_t] features
        vector[float] values

    cdef cppclass PointClusterer:
        PointClusterer(const PointClusterTask&, Centroids&) except +
        void split_all() except +


def split_by_clusters(
    FeatureRows rows, FeatureRows labels, *, const int32_t[::1] slots, const float[::1] signs, int64_t n_slots,
    const int64_t[::1] point_ptr, const int32_t[::1] points, int n_clusters, int rounds, int64_t max_sample,
    float kept_share, int64_t kept_least, int64_t kept_most, const uint64_t[::1] seeds, const uint8_t[::1] stop,
):
    """Split each node; see ``PointClusterTask``. Returns (arity, child of each point, sizes, features, values)."""
    cdef PointClusterTask task
    cdef Centroids found
    cdef PointClusterer* clusterer
    child = np.empty(points.shape[0], np.int32)
    cdef int32_t[::1] child_view = child
    task.labels = labels.rows
    task.rows = rows.rows
    task.slots = &slots[0]
    task.signs = &signs[0]
    task.n_slots = n_slots
    task.n_nodes = seeds.shape[0]
    task.point_ptr = &point_ptr[0]
    task.points = &points[0]
    task.n_clusters = n_clusters
    task.rounds = rounds
    task.max_sample = max_sample
    task.kept_share = kept_share
    task.kept_least = kept_least
    task.kept_most = kept_most
    task.seeds = &seeds[0]
    task.child = &child_view[0]
    task.stop = &stop[0]
    clusterer = new PointClusterer(task, found)
    try:
        with nogil:
            clusterer.split_all()
    finally:
        del clusterer
    return (
        copied(found.arity.data(), found.arity.size(), np.int64),
        child,
        copied(found.sizes.data(), found.sizes.size(), np.int64),
        copied(found.features.data(), found.features.size(), np.int32),
        copied(found.values.data(), found.values.size(), np.float32),
    )
