"""The tasks of ``block_types.h`` and the instruction-set level in use."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint64_t
from libcpp cimport bool as cbool

from xclassic._kernels.arguments cimport Best, Chunks, Rows


cdef extern from "block_types.h" namespace "xclassic" nogil:
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
        float l1
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

    cdef struct PredictTask:
        Rows rows
        Chunks chunks
        const uint16_t* allowed
        const float* weights
        cbool added
        Best best
        float* all
        int64_t n_lanes
        int32_t* lookup
        float* scores
        const uint8_t* stop

    cdef struct Level:
        const char* name
        void (*train)(const TrainTask&) noexcept nogil
        int64_t (*keep)(const KeepTask&) noexcept nogil
        void (*ridge)(const RidgeTask&) noexcept nogil
        void (*predict)(const PredictTask&) noexcept nogil

    const int N_COUNTS
    int c_lane_width "xclassic::lane_width"(int64_t n_labels)
    int64_t spare_size(int64_t d, int width)
    int64_t order_size(int64_t n)
    int64_t kept_size(int64_t d, int width)

    int n_levels()
    const Level& level(int i)
    cbool level_runs_here(int i)


cdef const Level* current_level() noexcept nogil
