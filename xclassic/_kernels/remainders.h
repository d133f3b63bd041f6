// Linear models of the residuals of a low-rank model: least squares with a penalty on absolute predictions, 16 labels at a time.
#pragma once
#include "entries.h"
#include "random.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace xclassic {

constexpr int64_t WIDTH = 16;  // labels side by side
constexpr int64_t AHEAD = 3;  // rows that are fetched before the current one is done

struct RemainderTask {
    Rows rows;
    const float* square_norms = nullptr;  // (n,)
    const float* targets = nullptr;  // (n, WIDTH)
    float alpha = 0;  // ridge penalty, above 0
    float l1 = 0;  // penalty on absolute predictions
    int32_t sweeps = 0;
    uint64_t seed = 0;
    float eps = 0;  // change of a dual variable below which the fit is done
    float* W = nullptr;  // in and out (d, WIDTH), zeros at first
    const volatile uint8_t* stop = nullptr;
};

// Prefetches row i: rows are visited at random, so the CPU cannot foresee the next.
inline void prefetch(const RemainderTask& task, const float* duals, int64_t i) {
    __builtin_prefetch(duals + i * WIDTH);
    __builtin_prefetch(task.targets + i * WIDTH);
    const int64_t first = task.rows.indices ? task.rows.indptr[i] : i * task.rows.d;
    const int64_t last = task.rows.indices ? task.rows.indptr[i + 1] : first + task.rows.d;
    for (int64_t p = first; p < last; p += WIDTH) {
        __builtin_prefetch(task.rows.values + p);
        if (task.rows.indices) __builtin_prefetch(task.rows.indices + p);
    }
}

inline float shrunk(float x, float by) { return std::copysign(std::max(std::fabs(x) - by, 0.f), x); }

// Minimizes  |t - Xw|^2 / 2 + l1 |Xw|_1 + alpha |w|^2 / 2  for each label by dual coordinate descent: w = sum_i a_i x_i / alpha,
// where a_i is the slope of row i's loss at its prediction p. With q = |x_i|^2 / alpha and p0 the prediction without the row,
// p = shrunk(p0 + q t, q l1) / (1 + q) and a_i = (p - p0) / q.
inline void fit_remainders(const RemainderTask& task) {
    const int64_t n = task.rows.n;
    std::vector<float> duals(n * WIDTH);
    std::vector<int64_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    Random random(task.seed);
    for (int32_t sweep = 0; sweep < task.sweeps; sweep++) {
        for (int64_t i = n - 1; i > 0; i--) std::swap(order[i], order[random.below(i + 1)]);  // One fixed order is slow.
        float largest = 0;
        for (int64_t at = 0; at < n; at++) {
            if (*task.stop) return;
            const int64_t i = order[at];
            if (at + AHEAD < n) prefetch(task, duals.data(), order[at + AHEAD]);
            const float q = task.square_norms[i] / task.alpha;
            if (q == 0) continue;
            float p[WIDTH] = {}, step[WIDTH];
            each_entry(task.rows, i, [&](int32_t feature, float x) XC_INLINE {
                const float* w = task.W + feature * WIDTH;
                for (int64_t l = 0; l < WIDTH; l++) p[l] += x * w[l];
            });
            float* dual = duals.data() + i * WIDTH;
            const float* target = task.targets + i * WIDTH;
            const float per_q = 1 / q, per_sum = 1 / (1 + q), shrinkage = q * task.l1, per_alpha = 1 / task.alpha;
            for (int64_t l = 0; l < WIDTH; l++) {
                const float without = p[l] - q * dual[l];
                const float now = (shrunk(without + q * target[l], shrinkage) * per_sum - without) * per_q;
                step[l] = (now - dual[l]) * per_alpha;
                largest = std::max(largest, std::fabs(now - dual[l]));
                dual[l] = now;
            }
            each_entry(task.rows, i, [&](int32_t feature, float x) XC_INLINE {
                float* w = task.W + feature * WIDTH;
                for (int64_t l = 0; l < WIDTH; l++) w[l] += x * step[l];
            });
        }
        if (largest < task.eps) return;
    }
}

}  // namespace xclassic
