"""Chunks of stored weights made of the lanes of other chunks.

Arguments are trusted: ``blocks/moving.py`` makes them of weights that are checked.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libcpp.vector cimport vector

from xclassic._kernels.arguments cimport copied, start

cdef extern from "lanes.h" namespace "xclassic" nogil:
    cppclass LaneSource:
        const int64_t* chunk_group_ptr
        const int64_t* chunk_feature_ptr
        const int64_t* chunk_cell_ptr
        const int64_t* chunk_value_ptr
        const int32_t* features
        const uint32_t* feature_cell_ptr
        const uint16_t* cell_groups
        const uint16_t* cell_masks
        const uint8_t* values
        const int32_t* lane_of
        const int64_t* chunk_of
    cppclass LaneChunks:
        vector[int64_t] chunk_features
        vector[int64_t] chunk_cells
        vector[int64_t] chunk_values
        vector[int32_t] features
        vector[uint32_t] feature_cells
        vector[uint32_t] feature_values
        vector[uint16_t] cell_groups
        vector[uint16_t] cell_masks
        vector[uint8_t] values
    void move_lanes(
        const vector[LaneSource]& sources, int64_t n_chunks, int64_t width, const uint8_t* stop, LaneChunks& out
    ) noexcept


def moved_lanes(list sources, *, int64_t n_chunks, int64_t width, const uint8_t[::1] stop):
    """Return the numbers of rows, cells and values of each chunk, and of the cells and values of each row; then arrays.

    Each source is a tuple of the arrays of its weights, of which values are bytes, the new lane of each lane, and the
    chunk whose lanes go into each new chunk. ``width`` is the number of bytes of a value.
    """
    cdef vector[LaneSource] found
    cdef LaneSource source
    cdef LaneChunks out
    cdef const int64_t[::1] groups, rows, cells, values, chunk_of
    cdef const int32_t[::1] features, lane_of
    cdef const uint32_t[::1] cell_ptr
    cdef const uint16_t[::1] cell_groups, masks
    cdef const uint8_t[::1] data
    for groups, rows, cells, values, features, cell_ptr, cell_groups, masks, data, lane_of, chunk_of in sources:
        source.chunk_group_ptr, source.chunk_feature_ptr = start(groups), start(rows)
        source.chunk_cell_ptr, source.chunk_value_ptr = start(cells), start(values)
        source.features, source.feature_cell_ptr = start(features), start(cell_ptr)
        source.cell_groups, source.cell_masks, source.values = start(cell_groups), start(masks), start(data)
        source.lane_of, source.chunk_of = start(lane_of), start(chunk_of)
        found.push_back(source)
    with nogil:
        move_lanes(found, n_chunks, width, &stop[0], out)
    return (
        copied(out.chunk_features.data(), out.chunk_features.size(), np.int64),
        copied(out.chunk_cells.data(), out.chunk_cells.size(), np.int64),
        copied(out.chunk_values.data(), out.chunk_values.size(), np.int64),
        copied(out.feature_cells.data(), out.feature_cells.size(), np.uint32),
        copied(out.feature_values.data(), out.feature_values.size(), np.uint32),
        copied(out.features.data(), out.features.size(), np.int32),
        copied(out.cell_groups.data(), out.cell_groups.size(), np.uint16),
        copied(out.cell_masks.data(), out.cell_masks.size(), np.uint16),
        copied(out.values.data(), out.values.size(), np.uint8),
    )
