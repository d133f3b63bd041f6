// What the label-block kernels read and write: plain pointers, no Python, no containers.
#pragma once
#include <cstdint>

namespace xclassic {

constexpr int LANES = 16;  // labels trained and scored side by side

// Feature rows. Sparse rows are CSR; dense rows have indices == nullptr and values of shape (n, d).
struct Rows {
    const int64_t* indptr;
    const int32_t* indices;
    const float* values;
    int64_t n;  // rows
    int64_t d;  // features, without the constant one
    float bias;  // value of the constant feature that every row carries; 0 for none
};

enum Loss : int32_t { SQUARED_HINGE = 0, LOGISTIC = 1, RIDGE = 2, SOFTMAX = 3 };

// One block of linear models. W has d + 1 rows of `width` lanes; the last row belongs to the constant feature.
struct TrainTask {
    Rows rows;
    const float* square_norms;  // (n,) squared norm of each row, constant feature included
    const float* row_weights;  // (n,) multiplies the cost of a row, or nullptr
    float* pair_costs;  // (n, width) replaces all other costs, or nullptr; overwritten
    const int32_t* reading_order;  // (n,) the rows in the order of the passes, or nullptr for their own
    uint16_t* targets;  // (n,) bit l: the row is a positive of lane l; overwritten
    const float* positive_costs;  // (width,)
    const float* negative_costs;  // (width,)
    int32_t width;  // lanes: 16, 8, 4 or 2
    int32_t lanes_used;
    int32_t loss;
    int32_t max_passes;
    float eps;  // duality gap, as a share of |w|^2 / 2, at which a lane is done
    uint64_t seed;
    float* W;  // out, 64-byte aligned
    float* alpha;  // scratch (n, width), 64-byte aligned
    float* spare;  // scratch (d + 1, width / 4)
    uint16_t* active;  // scratch (n,)
    int32_t* order;  // scratch (n + n / 8 + 2,)
    double* gaps;  // out (width,): the same share when last measured
    int64_t* counts;  // out (4,): full passes, active sweeps, rows read, rows written
    const volatile uint8_t* stop;
};

// What to keep of a trained block.
struct KeepTask {
    const float* W;  // (d, width)
    int64_t d;
    int32_t width;
    int32_t lanes_used;
    float prune;  // weights of at most this absolute value are dropped
    uint16_t* masks;  // out (d,): the lanes kept
    float* values;  // out, room for d * width + 16: the kept weights, feature by feature
};

// One block of ridge regressions, (X'X + ridge I) w = X' targets, by conjugate gradients.
struct RidgeTask {
    Rows rows;
    const float* diagonal;  // (d + 1,) of X'X + ridge I: the Jacobi preconditioner
    float ridge;
    int32_t width;
    int32_t max_sweeps;
    float tolerance;  // relative residual, in the norm of the preconditioner, at which a lane is done
    const int64_t* positive_ptr;  // (width + 1,) positives of each lane
    const int32_t* positives;
    const float* target_values;  // (width,) what a positive row has to be mapped to
    const float* row_weights;  // (n,) or nullptr
    float* W;  // out (d + 1, width)
    float* residual;  // scratch of the same shape, as are the next two
    float* direction;
    float* product;
    double* residuals;  // out (width,)
    int64_t* counts;  // out (1,): sweeps
    const volatile uint8_t* stop;
};

// Linear models as chunks of labels; see BlockWeights in blocks/weights.py for the layout.
struct Chunks {
    int64_t n_chunks;
    const int64_t* chunk_groups;  // (n_chunks + 1,)
    const int64_t* chunk_rows;  // (n_chunks + 1,)
    const int32_t* labels;  // (n_groups, 16), -1 in lanes without a label
    const float* bias;  // (n_groups, 16)
    const int32_t* features;  // (n_rows,) rising within a chunk
    const int64_t* chunk_cells;  // (n_chunks + 1,)
    const int64_t* chunk_values;  // (n_chunks + 1,)
    const uint32_t* row_cells;  // (n_rows + 1,) first cell of each row, modulo 2^32: the chunk tells the rest
    const uint32_t* row_values;  // (n_rows + 1,) first value, likewise
    const uint16_t* cell_groups;  // (n_cells,) group within the chunk
    const uint16_t* cell_masks;  // (n_cells,)
    const void* values;  // (n_values + 16,): the tail lets a whole register be loaded at the last cell
    int32_t value_type;
    const float* chunk_scales;  // (n_chunks,) what the values of a chunk are multiples of
};

enum ValueType : int32_t { FLOAT32 = 0, FLOAT16 = 1, INT8 = 2 };

struct PredictTask {
    Rows rows;
    Chunks chunks;
    const uint16_t* allowed;  // (n_groups,) lanes that may be answered
    int64_t k;
    int32_t* lookup;  // scratch (d,), -1 throughout before and after
    float* scores;  // scratch (widest chunk), 64-byte aligned
    int32_t* top_ids;  // out (n, k)
    float* top_scores;  // out (n, k)
    int32_t* top_counts;  // out (n,), zero before
    const volatile uint8_t* stop;
};

// Scores of items against the centers of clusters.
struct ClusterTask {
    Rows rows;
    const float* centers;  // (n_blocks, d + 1, width), 64-byte aligned; the last row of a block is zero
    int64_t n_blocks;
    int32_t width;
    float* scores;  // out (n, n_blocks * width)
    const volatile uint8_t* stop;
};

// How a margin m counts in the log-score of a path: -max(0, 1 - m)^2, the same cubed, log sigmoid(m), log of m clipped to [CLIP, 1],
// log of the softmax over siblings.
enum PathScore : int32_t { HINGE2 = 0, HINGE3 = 1, SIGMOID = 2, CLIPPED = 3, SHARE = 4 };
constexpr float CLIP = 1e-4f;

// Scores of the children of one node for some rows.
struct ChildrenTask {
    Rows rows;
    Chunks chunks;
    int64_t chunk;  // of the node
    int64_t n_children;
    int64_t n_queries;
    const int32_t* queries;  // rows
    const float* parent_scores;  // log-score of the node for each
    int32_t score;
    const int32_t* lookup;  // (d,) place of each feature in the chunk, -1 for none; or nullptr to search
    float* scores;  // out (n_queries, 16 groups): log-scores
    float* probabilities;  // out, likewise: their exponentials, not below e^-87
};

// One instruction-set level of every kernel.
struct Level {
    const char* name;
    void (*train)(const TrainTask&);
    int64_t (*keep)(const KeepTask&);  // returns the number of values
    void (*ridge)(const RidgeTask&);
    void (*predict)(const PredictTask&);
    void (*score_centers)(const ClusterTask&);
    void (*score_children)(const ChildrenTask&);
};

// The levels compiled in, from the plainest to the widest, and whether this CPU can run each.
int n_levels();
const Level& level(int i);
bool level_runs_here(int i);

}  // namespace xclassic
