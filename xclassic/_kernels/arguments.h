// Arguments and results of kernels: rows of features, stored weights, buffers for the best labels, and the constants that Python and
// C++ share. Plain pointers, no Python, no containers; `arguments.pyx` exports the constants and owns the memory.
#pragma once
#include <cstdint>

namespace xclassic {

#ifdef XCLASSIC_BOUNDSCHECK
constexpr bool CHECKED = true;  // See setup.py.
#else
constexpr bool CHECKED = false;
#endif

constexpr int LANES = 16;  // labels trained and scored side by side
// A batch of more rows than this gets a table of the whole feature space instead of a search for each feature.
constexpr int64_t SMALL_BATCH = 4;

// The names are in the order of the enums.
enum Loss : int32_t { SQUARED_HINGE, LOGISTIC, LEAST_SQUARES, SOFTMAX, N_LOSSES };
constexpr const char* LOSS_NAMES[N_LOSSES] = {"squared_hinge", "logistic", "least_squares", "softmax"};

// The term of a margin m in the log-score of a path: -max(0, 1 - m)^2, the same cubed, log sigmoid(m), log of m clipped to [CLIP, 1],
// log of the softmax over siblings.
enum PathScore : int32_t { HINGE2, HINGE3, SIGMOID, CLIPPED, SHARE, N_PATH_SCORES };
constexpr const char* PATH_SCORE_NAMES[N_PATH_SCORES] = {"hinge2", "hinge3", "sigmoid", "clipped", "share"};
constexpr float CLIP = 1e-4f;

enum ValueType : int32_t { FLOAT32, FLOAT16, INT8, N_VALUE_TYPES };
constexpr const char* VALUE_TYPE_NAMES[N_VALUE_TYPES] = {"float32", "float16", "int8"};

// How rows that stay where a file holds them become those of a problem: other numbers of rows and features, and values divided by the
// length of their row. A thread has a reader of its own, which keeps the row read last.
struct RowReader {
    const int32_t* ids = nullptr;  // (n,) the stored row behind each row, or nullptr for the same
    const int32_t* numbers = nullptr;  // (n_features,) the number of each stored feature, or nullptr for the same
    int64_t n_features = 0;  // stored features
    const float* lengths = nullptr;  // (stored rows,) what values are divided by, or nullptr for 1
    const int32_t* exponents = nullptr;  // (stored rows,) powers of two that are taken out of values first, or nullptr for none
    int32_t* indices = nullptr;  // (longest row,) the row read last, as are the next two
    float* values = nullptr;  // (longest row,)
    int64_t last = -1;
};

// Feature rows. Sparse rows are CSR; dense rows have indices == nullptr and values of shape (n, d). Rows with a reader hold what is
// stored; entries.h reads them.
struct Rows {
    const int64_t* indptr = nullptr;
    const int32_t* indices = nullptr;
    const float* values = nullptr;
    int64_t n = 0;  // rows
    int64_t d = 0;  // features, without the constant one
    float bias = 0;  // value of the constant feature that every row carries; 0 means no such feature
    RowReader* reader = nullptr;  // of sparse rows
};

// Linear models as chunks of labels; see BlockWeights in blocks/weights.py for the layout.
struct Chunks {
    int64_t n_chunks = 0;
    const int64_t* chunk_group_ptr = nullptr;  // (n_chunks + 1,)
    const int64_t* chunk_feature_ptr = nullptr;  // (n_chunks + 1,)
    const int32_t* labels = nullptr;  // (n_groups, 16), -1 in lanes without a label
    const float* bias = nullptr;  // (n_groups, 16)
    const int32_t* features = nullptr;  // (n_features,) ascending within a chunk
    const int64_t* chunk_cell_ptr = nullptr;  // (n_chunks + 1,)
    const int64_t* chunk_value_ptr = nullptr;  // (n_chunks + 1,)
    const uint32_t* feature_cell_ptr = nullptr;  // (n_features + 1,) modulo 2^32: the chunk has the rest
    const uint32_t* feature_value_ptr = nullptr;  // (n_features + 1,) likewise
    const uint16_t* cell_groups = nullptr;  // (n_cells,) group within the chunk
    const uint16_t* cell_masks = nullptr;  // (n_cells,)
    const void* values = nullptr;  // (n_values + 16,): the tail lets a whole register be loaded at the last cell
    int32_t value_type = FLOAT32;
    const float* chunk_scales = nullptr;  // (n_chunks,): the values of a chunk are multiples of its scale
};

// Output buffers for the best labels of rows.
struct Best {
    int64_t k = 0;
    int32_t* ids = nullptr;  // out (n, k), best first; -1 before
    float* scores = nullptr;  // out (n, k); -infinity before
    int32_t* counts = nullptr;  // out (n,) slots filled; 0 before
};

}  // namespace xclassic
