// Scores of labels that are summed from several amounts, one row at a time.
#pragma once
#include "arguments.h"

#include <algorithm>
#include <vector>

namespace xclassic {

class LabelSums {
  public:
    // `allowed` has a byte for each label, or is nullptr. Labels with a zero byte are left out.
    LabelSums(int64_t n_labels, const uint8_t* allowed) : allowed_(allowed), sums_(n_labels) {}

    // Adds an amount, which must be above 0.
    void add(int32_t label, float amount) {
        if (allowed_ && !allowed_[label]) return;
        if (sums_[label] == 0) touched_.push_back(label);
        sums_[label] += amount;
    }

    // Writes the largest sums over `divisor` as the labels of row i, ties by label id, and resets the sums.
    void take_best(float divisor, const Best& best, int64_t i) {
        for (int32_t label : touched_) sums_[label] /= divisor;  // This precedes the ranking, or rounding could make new ties.
        const int64_t k = std::min(best.k, static_cast<int64_t>(touched_.size()));
        std::partial_sort(touched_.begin(), touched_.begin() + k, touched_.end(), [this](int32_t a, int32_t b) {
            return sums_[a] > sums_[b] || (sums_[a] == sums_[b] && a < b);
        });
        for (int64_t slot = 0; slot < k; slot++) {
            best.ids[i * best.k + slot] = touched_[slot];
            best.scores[i * best.k + slot] = sums_[touched_[slot]];
        }
        for (int32_t label : touched_) sums_[label] = 0;
        touched_.clear();
        best.counts[i] = static_cast<int32_t>(k);
    }

  private:
    const uint8_t* allowed_;
    std::vector<float> sums_;
    std::vector<int32_t> touched_;
};

}  // namespace xclassic
