// Images of rows under a linear map in half precision.
#pragma once
#include "entries.h"
#include "rounding.h"

#include <algorithm>

namespace xclassic {

struct MapTask {
    Rows rows;
    const int32_t* features = nullptr;  // (n_features,), ascending: the map is 0 for all others
    const uint16_t* weights = nullptr;  // (n_features, n_components), half precise
    int64_t n_features = 0;
    int64_t n_components = 0;
    float* images = nullptr;  // in and out (rows.n, n_components), zeros at first
};

inline void map_rows(const MapTask& task) {
    const int32_t* last = task.features + task.n_features;
    for (int64_t i = 0; i < task.rows.n; i++) {
        float* image = task.images + i * task.n_components;
        const int32_t* at = task.features;
        each_entry(task.rows, i, [&](int32_t feature, float x) {
            at = std::lower_bound(at, last, feature);
            if (at == last || *at != feature) return;
            const uint16_t* weights = task.weights + (at - task.features) * task.n_components;
            for (int64_t c = 0; c < task.n_components; c++) image[c] += x * from_half(weights[c]);
        });
    }
}

}  // namespace xclassic
