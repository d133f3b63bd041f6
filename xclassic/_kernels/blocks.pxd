"""What the kernel modules share: the tasks of ``block_types.h`` and the instruction-set level in use."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libcpp cimport bool as cbool


cdef extern from "block_types.h" namespace "xclassic" nogil:
    int LANES

    cdef struct Rows:
        const int64_t* indptr
        const int32_t* indices
        const float* values
        int64_t n
        int64_t d
        float bias

    cdef struct TrainTask:
        Rows rows
        const float* square_norms
        const float* row_weights
        float* pair_costs
        const int32_t* reading_order
        uint16_t* targets
        const float* positive_costs
        const float* negative_costs
        int32_t width
        int32_t lanes_used
        int32_t loss
        int32_t max_passes
        float eps
        uint64_t seed
        float* W
        float* alpha
        float* spare
        uint16_t* active
        int32_t* order
        double* gaps
        int64_t* counts
        const uint8_t* stop

    cdef struct KeepTask:
        const float* W
        int64_t d
        int32_t width
        int32_t lanes_used
        float prune
        uint16_t* masks
        float* values

    cdef struct RidgeTask:
        Rows rows
        const float* diagonal
        float ridge
        int32_t width
        int32_t max_sweeps
        float tolerance
        const int64_t* positive_ptr
        const int32_t* positives
        const float* target_values
        const float* row_weights
        float* W
        float* residual
        float* direction
        float* product
        double* residuals
        int64_t* counts
        const uint8_t* stop

    cdef struct Chunks:
        int64_t n_chunks
        const int64_t* chunk_groups
        const int64_t* chunk_rows
        const int32_t* labels
        const float* bias
        const int32_t* features
        const int64_t* chunk_cells
        const int64_t* chunk_values
        const uint32_t* row_cells
        const uint32_t* row_values
        const uint16_t* cell_groups
        const uint16_t* cell_masks
        const void* values
        int32_t value_type
        const float* chunk_scales

    cdef struct PredictTask:
        Rows rows
        Chunks chunks
        const uint16_t* allowed
        int64_t k
        int32_t* lookup
        float* scores
        int32_t* top_ids
        float* top_scores
        int32_t* top_counts
        const uint8_t* stop

    cdef struct Level:
        const char* name
        void (*train)(const TrainTask&) noexcept nogil
        int64_t (*keep)(const KeepTask&) noexcept nogil
        void (*ridge)(const RidgeTask&) noexcept nogil
        void (*predict)(const PredictTask&) noexcept nogil

    int n_levels()
    const Level& level(int i)
    cbool level_runs_here(int i)


cdef int set_values(Chunks* chunks, values, const float[::1] chunk_scales) except -1
cdef copied(const void* data, size_t size, dtype)
cdef const Level* current_level() noexcept nogil
cdef Rows describe_rows(indptr, indices, values, int64_t n, int64_t d, float bias)
