"""Images of rows under a linear map that is stored in half precision, for the features in use only.

Arguments are trusted: ``neighbors/feature_map.py`` makes and checks them.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint16_t

from xclassic._kernels.arguments cimport FeatureRows, Rows


cdef extern from "maps.h" namespace "xclassic" nogil:
    cdef struct MapTask:
        Rows rows
        const int32_t* features
        const uint16_t* weights
        int64_t n_features
        int64_t n_components
        float* images

    void c_map_rows "xclassic::map_rows"(const MapTask&)


def map_rows(FeatureRows rows, *, const int32_t[::1] features, const uint16_t[:, ::1] weights):
    """Return the products of the rows with the map, shape (n, n_components)."""
    images = np.zeros((rows.rows.n, weights.shape[1]), np.float32)
    if images.size == 0 or features.shape[0] == 0:
        return images
    cdef float[:, ::1] images_view = images
    cdef MapTask task
    task.rows = rows.rows
    task.features = &features[0]
    task.weights = &weights[0, 0]
    task.n_features = features.shape[0]
    task.n_components = weights.shape[1]
    task.images = &images_view[0, 0]
    with nogil:
        c_map_rows(task)
    return images
