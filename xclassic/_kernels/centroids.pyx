"""Squared distances of rows to the centroids of some labels each.

Arguments are trusted: ``instance_tree/reranking.py`` makes and checks them.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t

from xclassic._kernels.arguments cimport FeatureRows, Rows, check_lists


def squared_distances(
    FeatureRows queries, *, const int32_t[:, ::1] ids, const int32_t[::1] counts, const int64_t[::1] centroid_ptr,
    const int32_t[::1] features, const float[::1] means, const float[::1] square_norms, const uint8_t[::1] stop,
):
    """Return an array of the shape of ``ids``: row i to the centroid of each label in the first ``counts[i]`` slots."""
    cdef Rows rows = queries.rows
    cdef int64_t n = rows.n, d = rows.d, i, p, slot, label
    cdef float dot, square
    check_lists(centroid_ptr, features, d)
    found = np.zeros((n, ids.shape[1]), np.float32)
    cdef float[:, ::1] distances = found
    cdef float[::1] dense = np.zeros(d, np.float32)
    with nogil:
        for i in range(n):
            if stop[0]:
                break
            square = 0
            if rows.indices == NULL:
                for p in range(d):
                    dense[p] = rows.values[i * d + p]
                    square += dense[p] * dense[p]
            else:
                for p in range(rows.indptr[i], rows.indptr[i + 1]):
                    dense[rows.indices[p]] = rows.values[p]
                    square += rows.values[p] * rows.values[p]
            for slot in range(counts[i]):
                label = ids[i, slot]
                dot = 0
                for p in range(centroid_ptr[label], centroid_ptr[label + 1]):
                    dot += means[p] * dense[features[p]]
                distances[i, slot] = max(square + square_norms[label] - 2 * dot, 0)
            if rows.indices != NULL:
                for p in range(rows.indptr[i], rows.indptr[i + 1]):
                    dense[rows.indices[p]] = 0
    return found
