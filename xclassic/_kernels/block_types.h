// The tasks of the label-block kernels: inputs and outputs in addition to the types of arguments.h.
#pragma once
#include "arguments.h"

#include <algorithm>

namespace xclassic {

// The lanes of the narrowest block that holds this many labels.
inline int lane_width(int64_t n_labels) { return n_labels <= 2 ? 2 : n_labels <= 4 ? 4 : n_labels <= 8 ? 8 : LANES; }

constexpr int GROUP = 8;  // rows of a TrainTask that are shuffled together
constexpr int N_COUNTS = 4;  // counts of the work of a TrainTask

// Sizes of the scratch arrays, in entries.
inline int64_t spare_size(int64_t d, int width) { return (d + 1) * std::max(width / 4, 1); }
inline int64_t order_size(int64_t n) { return 2 * (n + (n + GROUP - 1) / GROUP) + 1; }
inline int64_t kept_size(int64_t d, int width) { return d * width + LANES; }

// One block of linear models. W has d + 1 rows of `width` lanes; the last row belongs to the constant feature.
struct TrainTask {
    Rows rows;
    const float* square_norms = nullptr;  // (n,) squared norm of each row, constant feature included
    const float* row_weights = nullptr;  // (n,) multiplies the cost of a row, or nullptr
    float* pair_costs = nullptr;  // (n, width) replaces all other costs, or nullptr; overwritten
    const int32_t* reading_order = nullptr;  // (n,) the rows in the order of the passes, or nullptr for the order of the matrix
    uint16_t* targets = nullptr;  // (n,) bit l: the row is a positive of lane l; overwritten
    const float* positive_costs = nullptr;  // (width,)
    const float* negative_costs = nullptr;  // (width,)
    int32_t width = 0;  // lanes: 16, 8, 4 or 2
    int32_t lanes_used = 0;
    int32_t loss = 0;
    int32_t max_passes = 0;
    float eps = 0;  // duality gap, as a share of |w|^2 / 2, at which a lane is done
    float l1 = -1;  // from 0 on: the squared hinge has the penalty l1 |w|_1 besides
    uint64_t seed = 0;
    float* W = nullptr;  // out, 64-byte aligned
    float* alpha = nullptr;  // scratch (n, width), 64-byte aligned
    float* spare = nullptr;  // scratch, spare_size()
    uint16_t* active = nullptr;  // scratch (n,)
    int32_t* order = nullptr;  // scratch, order_size()
    double* gaps = nullptr;  // out (width,): gap of each lane when last measured, as the same share
    int64_t* counts = nullptr;  // out (N_COUNTS,): full passes, active sweeps, rows read, rows written
    const volatile uint8_t* stop = nullptr;
};

// The weights of a trained block that are kept.
struct KeepTask {
    const float* W = nullptr;  // (d, width)
    int64_t d = 0;
    int32_t width = 0;
    int32_t lanes_used = 0;
    float prune = 0;  // weights of at most this absolute value are dropped
    uint16_t* masks = nullptr;  // out (d,): the lanes kept
    float* values = nullptr;  // out, kept_size(): the kept weights, feature by feature
};

// One block of ridge regressions, (X'X + ridge I) w = X' targets, by conjugate gradients.
struct RidgeTask {
    Rows rows;
    const float* diagonal = nullptr;  // (d + 1,) diagonal of X'X + ridge I: the Jacobi preconditioner
    float ridge = 0;
    int32_t width = 0;
    int32_t max_sweeps = 0;
    float tolerance = 0;  // relative residual, in the norm of the preconditioner, at which a lane is done
    const int64_t* positive_ptr = nullptr;  // (width + 1,) positives of each lane
    const int32_t* positives = nullptr;
    const float* target_values = nullptr;  // (width,) target of the positive rows of each lane
    const float* row_weights = nullptr;  // (n,) or nullptr
    float* W = nullptr;  // out (d + 1, width)
    float* residual = nullptr;  // scratch of the same shape, as are the next two
    float* direction = nullptr;
    float* product = nullptr;
    double* residuals = nullptr;  // out (width,)
    int64_t* counts = nullptr;  // out (1,): sweeps
    const volatile uint8_t* stop = nullptr;
};

struct PredictTask {
    Rows rows;
    Chunks chunks;
    const uint16_t* allowed = nullptr;  // (n_groups,) lanes that may be predicted
    const float* weights = nullptr;  // (16 n_groups,) what weighs the score of each lane before the best are taken; or nullptr
    bool added = false;  // whether weights are added to scores; otherwise they are factors, by which a score below 0 is divided
    Best best;
    float* all = nullptr;  // out (n, 16 n_groups): the scores of all lanes, instead of the best; or nullptr
    int64_t n_lanes = 0;  // 16 n_groups, if `all` is given
    int32_t* lookup = nullptr;  // scratch (d,), -1 throughout before and after; nullptr if rows.n <= SMALL_BATCH
    float* scores = nullptr;  // scratch (widest chunk), 64-byte aligned
    const volatile uint8_t* stop = nullptr;
};

// Scores of items against the centers of clusters.
struct ClusterTask {
    Rows rows;
    const float* centers = nullptr;  // (n_blocks, d + 1, width), 64-byte aligned; the last row of a block is zero
    int64_t n_blocks = 0;
    int32_t width = 0;
    float* scores = nullptr;  // out (n, n_blocks * width)
    const volatile uint8_t* stop = nullptr;
};

// Scores of the children of one node for some rows.
struct ChildrenTask {
    Rows rows;
    Chunks chunks;
    int64_t chunk = 0;  // chunk of the node
    int64_t n_children = 0;
    int64_t n_queries = 0;
    const int32_t* queries = nullptr;  // rows
    const float* parent_scores = nullptr;  // log-score of the node for each query
    int32_t score = 0;
    const int32_t* lookup = nullptr;  // (d,) place of each feature in the chunk, -1 if it has none; or nullptr to search
    float* scores = nullptr;  // out (n_queries, 16 groups): log-scores
    float* probabilities = nullptr;  // out, in the same shape: exponentials of the log-scores, at least e^-87
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

// The compiled levels, from the plainest to the widest, and whether this CPU can run each.
int n_levels();
const Level& level(int i);
bool level_runs_here(int i);

}  // namespace xclassic
