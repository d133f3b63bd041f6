"""Python entry to the agglomeration of ``agglomerate.h``.

Arguments are trusted: ``label_tree/agglomeration.py`` makes them.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t
from libcpp.vector cimport vector

from xclassic._kernels.arguments cimport check_lists, names, start


cdef extern from "agglomerate.h" namespace "xclassic" nogil:
    const int N_LINKAGES
    const char* const* LINKAGE_NAMES

    cdef struct Merge:
        int32_t first
        int32_t second
        double similarity

    cdef cppclass Agglomeration:
        Agglomeration(int64_t, const int64_t*, const int32_t*, const double*, int32_t) except +
        vector[Merge] merges
        void run(const uint8_t* stop) except +


LINKAGES = names(LINKAGE_NAMES, N_LINKAGES)


def agglomerate(
    *, const int64_t[::1] indptr, const int32_t[::1] indices, const double[::1] similarities, int linkage,
    const uint8_t[::1] stop,
):
    """Merge all items of a symmetric similarity in CSR form.

    Returns (items, similarities): for each merge the smallest item of either side, and the similarity of the sides.
    """
    cdef int64_t n = indptr.shape[0] - 1, i
    cdef Agglomeration* merging
    items = np.zeros((max(n - 1, 0), 2), np.int64)
    heights = np.zeros(max(n - 1, 0))
    cdef int64_t[:, ::1] items_view = items
    cdef double[::1] heights_view = heights
    check_lists(indptr, indices, n)
    merging = new Agglomeration(
        n, start(indptr), start(indices), start(similarities), linkage
    )
    try:
        with nogil:
            merging.run(&stop[0])
            for i in range(<int64_t> merging.merges.size()):
                items_view[i, 0] = merging.merges[i].first
                items_view[i, 1] = merging.merges[i].second
                heights_view[i] = merging.merges[i].similarity
    finally:
        del merging
    return items, heights


def number_clusters(const int64_t[:, ::1] items):
    """Return the clusters that each merge joins, by scipy's numbers, and the size of the result.

    Row i of `items` has one item of either side; the new cluster is number ``n + i``.
    """
    cdef int64_t n = items.shape[0] + 1, i, side, node, root
    clusters = np.zeros((n - 1, 2), np.int64)
    sizes = np.ones(2 * n - 1, np.int64)
    cdef int64_t[:, ::1] clusters_view = clusters
    cdef int64_t[::1] sizes_view = sizes
    cdef int64_t[::1] above = np.full(2 * n - 1, -1, np.int64)
    with nogil:
        for i in range(n - 1):
            for side in range(2):
                root = items[i, side]
                while above[root] >= 0:
                    root = above[root]
                node = items[i, side]
                while above[node] >= 0:  # A short path makes the next way up short.
                    above[node], node = root, above[node]
                clusters_view[i, side] = root
            above[clusters_view[i, 0]] = above[clusters_view[i, 1]] = n + i
            sizes_view[n + i] = sizes_view[clusters_view[i, 0]] + sizes_view[clusters_view[i, 1]]
    clusters.sort(axis=1)
    return clusters, sizes[n:]
