// Sums of the rows of each label, scaled to unit length.
#pragma once
#include "submatrix.h"

#include <cmath>

namespace xclassic {

struct LabelVectorsTask {
    Rows rows;  // sparse
    int64_t n_labels = 0;
    const int64_t* label_ptr = nullptr;  // (n_labels + 1,)
    const int32_t* label_rows = nullptr;  // rows of each label
    const float* weights = nullptr;  // weight of each row
    int64_t max_entries = 0;  // entries kept of each label: the largest in absolute value
    const volatile uint8_t* stop = nullptr;
};

struct LabelVectors {
    std::vector<int64_t> sizes;
    std::vector<int32_t> indices;
    std::vector<float> values;
};

inline void sum_label_rows(const LabelVectorsTask& task, LabelVectors& out) {
    const Rows& rows = task.rows;
    std::vector<float> sum(rows.d);
    std::vector<int32_t> touched;
    RankedSet seen(rows.d);
    for (int64_t label = 0; label < task.n_labels && !*task.stop; label++) {
        touched.clear();
        seen.clear();
        for (int64_t q = task.label_ptr[label]; q < task.label_ptr[label + 1]; q++) {
            const int64_t i = task.label_rows[q];
            const Entries row = entries_of(rows, i);
            for (int64_t p = 0; p < row.n; p++) {
                sum[row.indices[p]] += task.weights[q] * row.values[p];
                seen.add(row.indices[p]);
            }
        }
        seen.each([&](int64_t f) {
            if (!std::isfinite(sum[f])) sum[f] = 0;  // The sum is beyond the range of float32.
            touched.push_back(static_cast<int32_t>(f));
        });
        std::vector<int32_t> kept = touched;
        if (static_cast<int64_t>(kept.size()) > task.max_entries) {
            std::nth_element(kept.begin(), kept.begin() + task.max_entries, kept.end(), [&sum](int32_t a, int32_t b) {
                const float x = std::fabs(sum[a]), y = std::fabs(sum[b]);
                return x > y || (x == y && a < b);
            });
            kept.resize(task.max_entries);
            std::sort(kept.begin(), kept.end());
        }
        double square = 0;
        for (int32_t f : kept) square += double{sum[f]} * sum[f];
        const float scale = square > 0 ? static_cast<float>(1 / std::sqrt(square)) : 0;
        int64_t size = 0;
        for (int32_t f : kept) {
            if (sum[f] * scale == 0) continue;
            out.indices.push_back(f);
            out.values.push_back(sum[f] * scale);
            size++;
        }
        out.sizes.push_back(size);
        for (int32_t f : touched) sum[f] = 0;
    }
}

}  // namespace xclassic
