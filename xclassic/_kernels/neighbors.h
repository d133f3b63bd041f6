// Rows nearest to a query by inner product, over an inverted index, and the labels that they vote for.
#pragma once
#include "entries.h"
#include "label_sums.h"

#include <algorithm>
#include <vector>

namespace xclassic {

struct NearestTask {
    Rows queries;
    const int64_t* posting_ptr = nullptr;  // (d + 1,)
    const int32_t* posting_rows = nullptr;  // rows that have each feature, ascending
    const float* posting_values = nullptr;
    int64_t n_rows = 0;
    Best best;  // rows and products of each query
    const volatile uint8_t* stop = nullptr;
};

class NearestRows {
  public:
    explicit NearestRows(const NearestTask& task) : task_(task), products_((task.n_rows + STEP - 1) / STEP * STEP) {}

    void find_all() {
        for (int64_t i = 0; i < task_.queries.n && !*task_.stop; i++) {
            each_entry(task_.queries, i, [this](int32_t feature, float x) {
                for (int64_t p = task_.posting_ptr[feature]; p < task_.posting_ptr[feature + 1]; p++)
                    products_[task_.posting_rows[p]] += x * task_.posting_values[p];
            });
            take_best();
            std::sort(best_.begin(), best_.end(), better);
            task_.best.counts[i] = static_cast<int32_t>(best_.size());
            for (size_t slot = 0; slot < best_.size(); slot++) {
                task_.best.ids[i * task_.best.k + slot] = best_[slot].row;
                task_.best.scores[i * task_.best.k + slot] = best_[slot].product;
            }
        }
    }

  private:
    static constexpr int64_t STEP = 16;  // rows that are passed over together

    struct Found {
        float product;
        int32_t row;
    };

    static bool better(const Found& a, const Found& b) { return a.product > b.product || (a.product == b.product && a.row < b.row); }

    // The best products above 0, as a heap with the worst in front, ties by row. Products become 0 again.
    void take_best() {
        best_.clear();
        float bound = 0;
        for (size_t first = 0; first < products_.size(); first += STEP) {
            float* products = products_.data() + first;
            float highest = 0;
            for (int64_t r = 0; r < STEP; r++) highest = std::max(highest, products[r]);
            for (int64_t r = 0; highest > bound && r < STEP; r++) {
                if (products[r] <= bound) continue;
                if (static_cast<int64_t>(best_.size()) == task_.best.k) {
                    std::pop_heap(best_.begin(), best_.end(), better);
                    best_.pop_back();
                }
                best_.push_back({products[r], static_cast<int32_t>(first + r)});
                std::push_heap(best_.begin(), best_.end(), better);
                if (static_cast<int64_t>(best_.size()) == task_.best.k) bound = best_.front().product;
            }
            std::fill(products, products + STEP, 0.f);
        }
    }

    const NearestTask& task_;
    std::vector<float> products_;  // product of each row with the current query
    std::vector<Found> best_;
};

inline void find_nearest(const NearestTask& task) { NearestRows(task).find_all(); }

struct VoteTask {
    int64_t n = 0;
    int64_t n_neighbors = 0;
    const int32_t* neighbors = nullptr;  // (n, n_neighbors)
    const float* weights = nullptr;  // (n, n_neighbors); 0 for slots without a neighbor
    const int64_t* label_ptr = nullptr;  // labels of the rows that are neighbors
    const int32_t* labels = nullptr;
    int64_t n_labels = 0;
    const uint8_t* allowed = nullptr;  // (n_labels,) or nullptr
    Best best;  // labels, and the share of the weight that votes for each
};

inline void vote(const VoteTask& task) {
    LabelSums sums(task.n_labels, task.allowed);
    for (int64_t i = 0; i < task.n; i++) {
        float all = 0;
        for (int64_t q = i * task.n_neighbors; q < (i + 1) * task.n_neighbors; q++) {
            if (task.weights[q] == 0) continue;
            const int32_t row = task.neighbors[q];
            all += task.weights[q];
            for (int64_t p = task.label_ptr[row]; p < task.label_ptr[row + 1]; p++) sums.add(task.labels[p], task.weights[q]);
        }
        sums.take_best(all, task.best, i);
    }
}

}  // namespace xclassic
