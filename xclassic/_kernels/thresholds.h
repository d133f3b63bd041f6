// Single-feature splits of tree nodes that leave the label sets on either side most similar.
//
// A side of n rows, n_l of them with label l, has the impurity sum_l n_l (1 - n_l / n). The sum over both sides is least where
// sum_l a_l^2 / a + sum_l b_l^2 / b is largest, which changes by the labels of one row when the row changes sides.
#pragma once
#include "entries.h"

#include <algorithm>
#include <vector>

namespace xclassic {

struct ThresholdTask {
    Rows rows;  // the whole matrix
    const int64_t* label_ptr = nullptr;  // labels of each row
    const int32_t* labels = nullptr;
    int64_t n_labels = 0;
    int64_t n_nodes = 0;
    const int64_t* point_ptr = nullptr;  // (n_nodes + 1,)
    const int32_t* points = nullptr;  // rows of each node, possibly with repetitions
    int64_t max_features = 0;  // candidates in a node, at most
    int64_t min_leaf = 0;  // points on either side, at least
    double min_share = 0;  // points on either side as a share of the points of the node, at least
    const uint64_t* seeds = nullptr;  // (n_nodes,)
    int32_t* features = nullptr;  // out (n_nodes,): -1 if no candidate splits the node, or its rows all have the same labels
    float* thresholds = nullptr;  // out (n_nodes,)
    uint8_t* went = nullptr;  // out, for each of `points`: whether its value is above the threshold
    const volatile uint8_t* stop = nullptr;
};

class ThresholdFinder {
  public:
    explicit ThresholdFinder(const ThresholdTask& task)
        : task_(task), total_(task.n_labels), side_(task.n_labels), n_entries_(task.rows.d), place_(task.rows.d) {}

    void find_all() {
        for (int64_t node = 0; node < task_.n_nodes && !*task_.stop; node++) find(node);
    }

  private:
    struct Entry {
        float value;
        int32_t point;  // position in the node
    };
    struct Candidate {
        uint64_t key;  // candidates are tried by ascending key, which is random
        int32_t feature;
        bool operator<(const Candidate& other) const { return key > other.key; }  // heaps pop the largest
    };

    void find(int64_t node) {
        begin_ = task_.point_ptr[node];
        n_ = task_.point_ptr[node + 1] - begin_;
        fewest_ = std::max(task_.min_leaf, static_cast<int64_t>(task_.min_share * static_cast<double>(n_)));
        best_feature_ = -1;
        if (count_labels()) {
            list_features(task_.seeds[node]);
            while (best_feature_ < 0 && !heap_.empty()) try_some();
            for (int32_t f : present_) n_entries_[f] = 0;
        }
        for (int32_t l : touched_) total_[l] = 0;
        task_.features[node] = best_feature_;
        task_.thresholds[node] = best_threshold_;
    }

    const int32_t* labels_begin(int64_t point) const { return task_.labels + task_.label_ptr[task_.points[begin_ + point]]; }
    const int32_t* labels_end(int64_t point) const { return task_.labels + task_.label_ptr[task_.points[begin_ + point] + 1]; }

    // Returns whether some label is on some rows and not on all.
    bool count_labels() {
        touched_.clear();
        for (int64_t i = 0; i < n_; i++)
            for (const int32_t* l = labels_begin(i); l < labels_end(i); l++)
                if (total_[*l]++ == 0) touched_.push_back(*l);
        square_sum_ = 0;
        bool mixed = false;
        for (int32_t l : touched_) {
            square_sum_ += int64_t{total_[l]} * total_[l];
            mixed |= total_[l] < n_;
        }
        return mixed;
    }

    template <typename Visit>
    void each_node_entry(Visit visit) const {
        for (int64_t i = 0; i < n_; i++)
            each_entry(task_.rows, task_.points[begin_ + i], [&](int32_t f, float x) { visit(i, f, x); });
    }

    static uint64_t mixed(uint64_t z) {  // the finisher of splitmix64 (Steele, Lea and Flood, 2014)
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
        return z ^ (z >> 31);
    }

    void list_features(uint64_t seed) {
        present_.clear();
        each_node_entry([this](int64_t, int32_t f, float) {
            if (n_entries_[f]++ == 0) present_.push_back(f);
        });
        heap_.clear();
        for (int32_t f : present_)  // A side of fewer entries than `fewest_` would be too small.
            if (n_entries_[f] >= fewest_) heap_.push_back({mixed(seed + 0x9E3779B97F4A7C15ULL * static_cast<uint64_t>(f + 1)), f});
        std::make_heap(heap_.begin(), heap_.end());
    }

    // Tries the next candidates. Their columns are cut out in one pass over the rows.
    void try_some() {
        chosen_.clear();
        int64_t size = 0;
        for (int64_t c = 0; c < task_.max_features && !heap_.empty(); c++) {
            std::pop_heap(heap_.begin(), heap_.end());
            const int32_t f = heap_.back().feature;
            heap_.pop_back();
            chosen_.push_back(f);
            size += n_entries_[f];
        }
        entries_.resize(size);
        std::sort(chosen_.begin(), chosen_.end());
        int64_t start = 0;
        for (int32_t f : chosen_) {
            place_[f] = start + 1;  // 0 is for features that are not candidates.
            start += n_entries_[f];
        }
        each_node_entry([this](int64_t i, int32_t f, float value) {
            if (place_[f]) entries_[place_[f]++ - 1] = {value, static_cast<int32_t>(i)};
        });
        Entry* column = entries_.data();
        const Entry* best = nullptr;
        double least = -1;
        for (int32_t f : chosen_) {
            place_[f] = 0;
            const double before = least;
            try_feature(f, column, column + n_entries_[f], least);
            if (least > before) best = column;
            column += n_entries_[f];
        }
        if (best) send(best);
    }

    void try_feature(int32_t f, Entry* begin, Entry* end, double& least) {
        std::sort(begin, end, [](const Entry& a, const Entry& b) { return a.value < b.value || (a.value == b.value && a.point < b.point); });
        Entry* positive = std::partition_point(begin, end, [](const Entry& e) { return e.value < 0; });
        // The many zeros stay on the other side in both sweeps.
        sweep(f, begin, positive, end, +1, least);
        sweep(f, end - 1, positive - 1, begin - 1, -1, least);
    }

    // Moves the entries from `first` to before `last` to one side, value by value; `stop` is the end of the column in that direction.
    void sweep(int32_t f, const Entry* first, const Entry* last, const Entry* stop, int direction, double& least) {
        int64_t squares = 0, other_squares = square_sum_, n = 0;
        const bool zeros = (direction > 0 ? stop - first : first - stop) < n_;
        for (const Entry* e = first; e != last;) {
            const float value = e->value;
            for (; e != last && e->value == value; e += direction, n++)
                for (const int32_t* l = labels_begin(e->point); l < labels_end(e->point); l++) {
                    const int64_t here = side_[*l]++, there = total_[*l] - here;
                    squares += 2 * here + 1;
                    other_squares -= 2 * there - 1;
                }
            if (n_ - n < fewest_) break;
            if (n < fewest_) continue;
            const float next = e != last ? e->value : zeros ? 0.f : e->value;
            const double likeness = static_cast<double>(squares) / n + static_cast<double>(other_squares) / (n_ - n);
            if (likeness <= least) continue;
            least = likeness;
            best_feature_ = f;
            best_threshold_ = between(std::min(value, next), std::max(value, next));
        }
        for (const Entry* e = first; e != last; e += direction)
            for (const int32_t* l = labels_begin(e->point); l < labels_end(e->point); l++) side_[*l] = 0;
    }

    static float between(float low, float high) {
        const float middle = low / 2 + high / 2;
        return middle >= low && middle < high ? middle : low;
    }

    void send(const Entry* column) {
        uint8_t* went = task_.went + begin_;
        std::fill(went, went + n_, static_cast<uint8_t>(0 > best_threshold_));
        for (int64_t p = 0; p < n_entries_[best_feature_]; p++) went[column[p].point] = column[p].value > best_threshold_;
    }

    const ThresholdTask& task_;
    int64_t begin_ = 0, n_ = 0, fewest_ = 1, square_sum_ = 0;
    int32_t best_feature_ = -1;
    float best_threshold_ = 0;
    std::vector<int32_t> total_, side_;  // rows with each label: in the node, and on one side
    std::vector<int32_t> touched_;  // labels of the node
    std::vector<int64_t> n_entries_, place_;  // of each feature: its entries in the node, and the next place to write
    std::vector<int32_t> present_, chosen_;  // features
    std::vector<Candidate> heap_;
    std::vector<Entry> entries_;  // entries of the candidates, column by column
};

}  // namespace xclassic
