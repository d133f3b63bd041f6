// One-vs-rest machines with sparse weights for rare labels: the rows that matter are searched, one label at a time.
//
// The bias is held at -1 or below, so that a row on which no weight lies has a margin of at most -1: as a negative it costs nothing.
// Rows that cost something are found through the columns of the weights.
#pragma once
#include "entries.h"
#include "random.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace xclassic {

struct ActiveSetTask {
    Rows rows;  // X
    Rows columns;  // its transpose
    const float* squares = nullptr;  // (rows.n,) squared length of each row
    int64_t n_labels = 0;
    const int64_t* label_ptr = nullptr;
    const int32_t* label_rows = nullptr;  // positive rows of each label
    double l1 = 0;
    double cost = 0;
    double bias = 0;  // value of the constant feature
    double eps = 0;  // duality gap at which a label is done, as a share of (|w|^2 + b^2) / 2
    double prune = 0;  // weights of at most this absolute value are dropped
    int64_t max_rounds = 0;  // searches after which a label is given up
    uint64_t seed = 0;
    const volatile uint8_t* stop = nullptr;
};

struct ActiveSets {
    std::vector<int64_t> sizes;  // (n_labels,) weights of each label; none if it was given up
    std::vector<int32_t> features;
    std::vector<float> weights;
    std::vector<float> biases;  // (n_labels,) bias b
    std::vector<double> gaps;  // (n_labels,) gap, with about what the bound on b costs; infinite before it was measured
    std::vector<int64_t> active_sizes;  // (n_labels,) rows of each label with alpha above 0
    std::vector<int32_t> active;
    int64_t searches = 0, sweeps = 0;
};

// Minimizes  l1 |w|_1 + |w|^2 / 2 + b^2 / 2 + cost sum_i max(0, 1 - t_i (w.x_i + bias b))^2  with bias b <= -1 for each label. With
// alpha_i >= 0 for the active rows and v = sum_i alpha_i t_i x_i, w is the soft threshold of v at l1, and b is v of the constant feature,
// cut to -1 / bias.
class ActiveSetSolver {
  public:
    ActiveSetSolver(const ActiveSetTask& task, ActiveSets& found)
        : task_(task), found_(found), highest_(-1 / task.bias), random_(task.seed), v_(task.rows.d), known_(task.rows.d),
          listed_(task.rows.d), alpha_(task.rows.n), sign_(task.rows.n), sums_(task.rows.n), marked_(task.rows.n) {
        longest_ = std::sqrt(*std::max_element(task.squares, task.squares + task.rows.n));
        found_.sizes.resize(task.n_labels);
        found_.biases.resize(task.n_labels);
        found_.gaps.resize(task.n_labels);
        found_.active_sizes.resize(task.n_labels);
    }

    void solve_all() {
        for (int64_t label = 0; label < task_.n_labels && !*task_.stop; label++) {
            solve(label);
            keep(label);
            clear();
        }
    }

  private:
    static constexpr double COARSE = 5;  // The largest gradient at which a search follows is at first this many times eps, then smaller.
    static constexpr int SWEEPS = 100;  // Sweeps over the active rows after which a search follows in any case.
    static constexpr size_t GROWTH = 2, FIRST = 32;  // A search adds at most GROWTH times the active rows, or FIRST: the worst violators.
    static constexpr double UNKNOWN = 0.25;  // Share of the tolerance by which a margin may be unknown before rows are read in full.
    static constexpr int64_t LONG = 32;  // The first search leaves out columns that hold more than one row in this many.

    struct Change {
        double key;
        int32_t feature;
        float step;
    };

    struct Violator {
        double excess;  // what w.x is above the margin that costs nothing
        int32_t row;
        bool operator<(const Violator& other) const { return excess > other.excess || (excess == other.excess && row < other.row); }
    };

    void solve(int64_t label) {
        random_ = Random(task_.seed);  // A label must not depend on those solved before it.
        for (int64_t q = task_.label_ptr[label]; q < task_.label_ptr[label + 1]; q++) activate(task_.label_rows[q], 1);
        tolerance_ = COARSE * task_.eps;
        gap_ = std::numeric_limits<double>::infinity();
        held_ = 0;
        for (int64_t round = 0; round < task_.max_rounds && !*task_.stop; round++) {
            sweep();
            search(round == 0);
            if (round > 0) {
                measure();
                if (gap_ <= task_.eps / 2 || gap_ + held_ <= task_.eps) return;
                if (violators_.empty()) tolerance_ /= 2;
            }
            const size_t limit = std::max(FIRST, GROWTH * active_.size());
            if (violators_.size() > limit) {
                std::nth_element(violators_.begin(), violators_.begin() + limit, violators_.end());
                violators_.resize(limit);
            }
            for (const Violator& violator : violators_) activate(violator.row, -1);
        }
    }

    void activate(int32_t row, int8_t sign) {
        sign_[row] = sign;
        active_.push_back(row);
        each_entry(task_.rows, row, [&](int32_t f, float) XC_INLINE {
            if (!listed_[f]) features_.push_back(f);
            listed_[f] = 1;
        });
    }

    double weight(int32_t f) const { return v_[f] - std::min(std::max(v_[f], -task_.l1), task_.l1); }

    double bias_weight() const { return std::min(v_bias_, highest_); }

    double dot(int32_t row) const {
        double total = 0;
        each_entry(task_.rows, row, [&](int32_t f, float x) XC_INLINE { total += x * weight(f); });
        return total;
    }

    // Moves the dual variables of the active rows until no gradient exceeds the tolerance. The step is safe since w moves by no more
    // than v does. In a fixed order descent crawls along the constant feature, which all rows share.
    void sweep() {
        const double bias = task_.bias, ridge = 1 / (2 * task_.cost);
        double largest = std::numeric_limits<double>::infinity();
        for (int count = 0; count < SWEEPS && largest > tolerance_ && !*task_.stop; count++) {
            found_.sweeps++;
            largest = 0;
            for (size_t q = active_.size(); q > 1; q--) std::swap(active_[q - 1], active_[random_.below(q)]);
            for (int32_t i : active_) {
                const double t = sign_[i];
                double gradient = t * (dot(i) + bias * bias_weight()) - 1 + ridge * alpha_[i];
                if (alpha_[i] == 0) gradient = std::min(gradient, 0.0);
                largest = std::max(largest, std::fabs(gradient));
                if (std::fabs(gradient) <= 0.1 * tolerance_) continue;
                double change = std::max(-alpha_[i], -gradient / (task_.squares[i] + ridge));
                if (std::min(v_bias_, v_bias_ + t * bias * change) < highest_)  // There b moves as well.
                    change = std::max(-alpha_[i], -gradient / (task_.squares[i] + ridge + bias * bias));
                alpha_[i] += change;
                v_bias_ += t * bias * change;
                each_entry(task_.rows, i, [&](int32_t f, float x) XC_INLINE { v_[f] += t * change * x; });
            }
        }
    }

    // Lists the rows that are not active and whose w.x is above what costs nothing by more than the tolerance. `loss_` becomes a bound on
    // the sum of squares of what rows that are not active exceed it by.
    //
    // `sums_` holds known.x of the rows touched. Columns of weights that have changed are read until the rest of the change can add no
    // more than a share of the tolerance to any row, by the inequality of Cauchy and Schwarz; rows that may then be violators are read in
    // full. The first search looks for candidates only and leaves out long columns.
    void search(bool first) {
        found_.searches++;
        const double rest = read_columns(first), room = -1 - task_.bias * bias_weight();
        loss_ = 0;
        violators_.clear();
        for (int32_t i : touched_) {
            double excess = sums_[i] + rest - room;
            if (sign_[i] != 0 || excess <= 0) continue;
            if (excess > tolerance_ && rest > 0) excess = std::max(dot(i) - room, 0.0);
            loss_ += excess * excess;
            if (excess > tolerance_) violators_.push_back({excess, i});
        }
    }

    // Returns a bound on what the columns that were not read add to a row.
    double read_columns(bool first) {
        const Rows& columns = task_.columns;
        changes_.clear();
        for (int32_t f : features_) {
            const float step = static_cast<float>(weight(f) - known_[f]);
            const double square = static_cast<double>(step) * step;
            if (std::fabs(step) > 0) changes_.push_back({square / (columns.indptr[f + 1] - columns.indptr[f]), f, step});
        }
        std::sort(changes_.begin(), changes_.end(), [](const Change& a, const Change& b) {
            return a.key < b.key || (a.key == b.key && a.feature < b.feature);
        });
        double square = 0;
        for (const Change& change : changes_) {
            const int32_t f = change.feature;
            const double more = square + static_cast<double>(change.step) * change.step;
            const bool is_long = LONG * (columns.indptr[f + 1] - columns.indptr[f]) > columns.d;
            if (longest_ * std::sqrt(more) <= UNKNOWN * tolerance_ || (first && is_long)) {
                square = more;
                continue;
            }
            known_[f] += change.step;
            each_entry(columns, f, [&](int32_t i, float x) XC_INLINE {
                if (!marked_[i]) touched_.push_back(i);
                marked_[i] = 1;
                sums_[i] += change.step * x;
            });
        }
        return first ? 0 : longest_ * std::sqrt(square);
    }

    // Measures the duality gap, and about what the bound on b costs, as shares of (|w|^2 + b^2) / 2. Without the bound all rows would share
    // the sum of dual variables that it holds back, which costs the more, the fewer they are.
    void measure() {
        const double b = bias_weight(), held = (v_bias_ - b) / task_.bias;
        double square = b * b, primal = task_.cost * loss_, dual = (b - v_bias_) * b;
        for (int32_t f : features_) {
            const double w = weight(f);
            square += w * w;
            primal += task_.l1 * std::fabs(w);
        }
        for (int32_t i : active_) {
            const double hinge = std::max(1 - sign_[i] * (dot(i) + task_.bias * b), 0.0);
            primal += task_.cost * hinge * hinge;
            dual += alpha_[i] - alpha_[i] * alpha_[i] / (4 * task_.cost);
        }
        gap_ = (primal + square - dual) / (0.5 * square);
        held_ = held * held / (4 * task_.cost * task_.rows.n) / (0.5 * square);
    }

    void keep(int64_t label) {
        found_.gaps[label] = gap_ + held_;
        for (int32_t i : active_)
            if (alpha_[i] > 0) {
                found_.active.push_back(i);
                found_.active_sizes[label]++;
            }
        if (!(gap_ + held_ <= task_.eps)) return;
        found_.biases[label] = static_cast<float>(task_.bias * bias_weight());
        for (int32_t f : features_)
            if (const float w = static_cast<float>(weight(f)); std::fabs(w) > task_.prune) {
                found_.features.push_back(f);
                found_.weights.push_back(w);
                found_.sizes[label]++;
            }
    }

    // Leaves everything as it was before the label.
    void clear() {
        for (int32_t i : active_) alpha_[i] = sign_[i] = 0;
        for (int32_t f : features_) v_[f] = known_[f] = listed_[f] = 0;
        for (int32_t i : touched_) sums_[i] = marked_[i] = 0;
        active_.clear();
        features_.clear();
        touched_.clear();
        v_bias_ = 0;
    }

    const ActiveSetTask& task_;
    ActiveSets& found_;
    const double highest_;  // b is at most that
    double longest_ = 0;  // length of the longest row
    Random random_;
    double tolerance_ = 0, loss_ = 0, gap_ = 0, held_ = 0, v_bias_ = 0;
    std::vector<double> v_;  // of each feature, as `known_` and `listed_`
    std::vector<float> known_;  // the weights in `sums_`
    std::vector<uint8_t> listed_;  // whether it is in `features_`
    std::vector<int32_t> features_;  // those of the active rows
    std::vector<double> alpha_;  // of each row, as what follows
    std::vector<int8_t> sign_;  // t of the active ones, else 0
    std::vector<float> sums_;  // known.x
    std::vector<uint8_t> marked_;  // whether it is in `touched_`
    std::vector<int32_t> active_, touched_;
    std::vector<Change> changes_;
    std::vector<Violator> violators_;
};

}  // namespace xclassic
