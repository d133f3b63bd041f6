"""Python entry to the spherical k-means of ``cluster.h``.

Arguments are trusted: ``label_tree/partition.py`` makes them.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from xclassic._kernels.blocks cimport Level, Rows, current_level, describe_rows


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


def split_nodes(
    indptr, indices, values, int64_t n, int64_t d, const int64_t[::1] item_ptr, const int32_t[::1] items,
    const int32_t[::1] n_clusters, const uint64_t[::1] seeds, double room, double tolerance, int max_rounds,
    const uint8_t[::1] stop,
):
    """Cluster the items of some nodes; see ``KMeansTask``. Returns the cluster of each of ``items``."""
    cdef KMeansTask task
    cdef KMeans* kmeans
    clusters = np.zeros(items.shape[0], np.int32)
    cdef int32_t[::1] view = clusters
    if not items.shape[0]:
        return clusters
    task.rows = describe_rows(indptr, indices, values, n, d, 0)
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
