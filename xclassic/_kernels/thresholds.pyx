"""Python entry to the thresholds of ``thresholds.h``.

Arguments are trusted: ``instance_tree/mlrf.py`` makes them.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from xclassic._kernels.arguments cimport FeatureRows, Rows, start


cdef extern from "thresholds.h" namespace "xclassic" nogil:
    cdef struct ThresholdTask:
        Rows rows
        const int64_t* label_ptr
        const int32_t* labels
        int64_t n_labels
        int64_t n_nodes
        const int64_t* point_ptr
        const int32_t* points
        int64_t max_features
        int64_t min_leaf
        double min_share
        const uint64_t* seeds
        int32_t* features
        float* thresholds
        uint8_t* went
        const uint8_t* stop

    cdef cppclass ThresholdFinder:
        ThresholdFinder(const ThresholdTask&) except +
        void find_all() except +


def find_thresholds(
    FeatureRows rows, *, const int64_t[::1] label_ptr, const int32_t[::1] labels, int64_t n_labels,
    const int64_t[::1] point_ptr, const int32_t[::1] points, int64_t max_features, int64_t min_leaf, double min_share,
    const uint64_t[::1] seeds, const uint8_t[::1] stop,
):
    """Split each node; see ``ThresholdTask``. Returns (feature or -1, threshold, whether each point is above it)."""
    cdef ThresholdTask task
    cdef ThresholdFinder* finder
    features = np.full(seeds.shape[0], -1, np.int32)
    thresholds = np.zeros(seeds.shape[0], np.float32)
    went = np.zeros(points.shape[0], np.uint8)
    cdef int32_t[::1] features_view = features
    cdef float[::1] thresholds_view = thresholds
    cdef uint8_t[::1] went_view = went
    task.rows = rows.rows
    task.label_ptr = &label_ptr[0]
    task.labels = start(labels)
    task.n_labels = n_labels
    task.n_nodes = seeds.shape[0]
    task.point_ptr = &point_ptr[0]
    task.points = &points[0]
    task.max_features = max_features
    task.min_leaf = min_leaf
    task.min_share = min_share
    task.seeds = &seeds[0]
    task.features = &features_view[0]
    task.thresholds = &thresholds_view[0]
    task.went = &went_view[0]
    task.stop = &stop[0]
    finder = new ThresholdFinder(task)
    try:
        with nogil:
            finder.find_all()
    finally:
        del finder
    return features, thresholds, went
