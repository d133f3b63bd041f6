"""Declarations of ``arguments.h`` and of the owners of memory in ``arguments.pyx``."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "arguments.h" namespace "xclassic" nogil:
    const bint c_checked "xclassic::CHECKED"
    const int c_lanes "xclassic::LANES"
    const int64_t c_small_batch "xclassic::SMALL_BATCH"
    const float c_clip "xclassic::CLIP"
    const int N_LOSSES, N_PATH_SCORES, N_VALUE_TYPES
    const char* const* LOSS_NAMES
    const char* const* PATH_SCORE_NAMES
    const char* const* VALUE_TYPE_NAMES

    cdef struct RowReader:
        const int32_t* ids
        const int32_t* numbers
        int64_t n_features
        const float* lengths
        const int32_t* exponents
        int32_t* indices
        float* values
        int64_t last

    cdef struct Rows:
        const int64_t* indptr
        const int32_t* indices
        const float* values
        int64_t n
        int64_t d
        float bias
        RowReader* reader

    cdef struct Chunks:
        int64_t n_chunks
        const int64_t* chunk_group_ptr
        const int64_t* chunk_feature_ptr
        const int32_t* labels
        const float* bias
        const int32_t* features
        const int64_t* chunk_cell_ptr
        const int64_t* chunk_value_ptr
        const uint32_t* feature_cell_ptr
        const uint32_t* feature_value_ptr
        const uint16_t* cell_groups
        const uint16_t* cell_masks
        const void* values
        int32_t value_type
        const float* chunk_scales

    cdef struct Best:
        int64_t k
        int32_t* ids
        float* scores
        int32_t* counts


ctypedef fused Number:
    uint8_t
    uint16_t
    uint32_t
    uint64_t
    int32_t
    int64_t
    float
    double


cdef inline const Number* start(const Number[::1] array) noexcept:
    """Return the address of the first entry; NULL for None and for an array without entries."""
    if array is None or array.shape[0] == 0:
        return NULL
    return &array[0]


cdef class FeatureRows:
    cdef Rows rows
    cdef RowReader reader
    cdef object buffers
    cdef readonly object indptr, indices, values


cdef class MappedRows:
    cdef readonly object indptr, indices, values, numbers, lengths, exponents
    cdef readonly int64_t n_rows, n_features, longest
    cdef readonly float bias


cdef FeatureRows opened(rows)


cdef class StoredWeights:
    cdef Chunks chunks
    cdef readonly int64_t widest
    cdef object arrays


cdef class BestLabels:
    cdef Best best
    cdef readonly object ids, scores, counts


cdef tuple names(const char* const* table, int n)
cdef check_lists(const int64_t[::1] ptr, const int32_t[::1] items, int64_t bound)
cdef copied(const void* data, size_t size, dtype)
