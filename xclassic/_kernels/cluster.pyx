"""Python entry to the label vectors of ``label_vectors.h`` and the spherical k-means of ``cluster.h``.

Arguments are trusted: ``label_tree/vectors.py`` and ``label_tree/partition.py`` make them.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libcpp.vector cimport vector

from xclassic._kernels.arguments cimport FeatureRows, Rows, check_lists, copied, opened, start
from xclassic._kernels.blocks cimport Level, current_level


cdef extern from "cluster.h" namespace "xclassic" nogil:
    cdef struct KMeansTask:
        Rows rows
        int64_t n_nodes
        const int64_t* item_ptr
        const int32_t* items
        const int32_t* n_clusters
        const uint64_t* seeds
        double room
        double tolerance
        int32_t max_rounds
        int32_t* clusters
        const Level* level
        const uint8_t* stop

    cdef cppclass KMeans:
        KMeans(const KMeansTask&) except +
        void split_all() except +

cdef extern from "label_vectors.h" namespace "xclassic" nogil:
    cdef struct LabelVectorsTask:
        Rows rows
        int64_t n_labels
        const int64_t* label_ptr
        const int32_t* label_rows
        const float* weights
        int64_t max_entries
        const uint8_t* stop

    cdef cppclass LabelVectors:
        vector[int64_t] sizes
        vector[int32_t] indices
        vector[float] values

    void sum_label_rows(const LabelVectorsTask&, LabelVectors&) except +


def label_vectors(
    rows, *, const int64_t[::1] label_ptr, const int32_t[::1] label_rows, const float[::1] weights,
    int64_t max_entries, const uint8_t[::1] stop,
):
    """Sum the rows of labels; see ``LabelVectorsTask``. Returns (number of entries per label, indices, values)."""
    cdef FeatureRows own = opened(rows)
    cdef LabelVectorsTask task
    cdef LabelVectors out
    check_lists(label_ptr, label_rows, own.rows.n)
    task.rows = own.rows
    task.n_labels = label_ptr.shape[0] - 1
    task.label_ptr = &label_ptr[0]
    task.label_rows = start(label_rows)
    task.weights = start(weights)
    task.max_entries = max_entries
    task.stop = &stop[0]
    with nogil:
        sum_label_rows(task, out)
    return (
        copied(out.sizes.data(), out.sizes.size(), np.int64),
        copied(out.indices.data(), out.indices.size(), np.int32),
        copied(out.values.data(), out.values.size(), np.float32),
    )


def split_nodes(
    FeatureRows rows, *, const int64_t[::1] item_ptr, const int32_t[::1] items, const int32_t[::1] n_clusters,
    const uint64_t[::1] seeds, double room, double tolerance, int max_rounds, const uint8_t[::1] stop,
):
    """Cluster the items of some nodes; see ``KMeansTask``. Returns the cluster of each of ``items``."""
    cdef KMeansTask task
    cdef KMeans* kmeans
    clusters = np.zeros(items.shape[0], np.int32)
    cdef int32_t[::1] view = clusters
    if not items.shape[0]:
        return clusters
    check_lists(item_ptr, items, rows.rows.n)
    task.rows = rows.rows
    task.n_nodes = item_ptr.shape[0] - 1
    task.item_ptr = &item_ptr[0]
    task.items = &items[0]
    task.n_clusters = &n_clusters[0]
    task.seeds = &seeds[0]
    task.room = room
    task.tolerance = tolerance
    task.max_rounds = max_rounds
    task.clusters = &view[0]
    task.level = current_level()
    task.stop = &stop[0]
    kmeans = new KMeans(task)
    try:
        with nogil:
            kmeans.split_all()
    finally:
        del kmeans
    return clusters
