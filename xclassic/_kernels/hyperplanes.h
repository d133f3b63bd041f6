// Sparse separating hyperplanes: l1-regularized logistic regression on the rows of one tree node.
//
// It minimizes |w|_1 + sum_i c_i log(1 + exp(-t_i m_i)), m_i = w.x_i, where the constant feature is one of the features. Each round
// is a proximal Newton step (newGLMNET; Yuan, Ho and Lin, JMLR 2012) on a working set: the features with a weight and those whose
// gradient exceeds the penalty. Most features of a node never enter it and get no column.
#pragma once
#include "entries.h"
#include "random.h"
#include "rounding.h"
#include "submatrix.h"

#include <cmath>

namespace xclassic {

struct PlaneTask {
    Rows rows;  // the whole matrix; its bias is the one after scaling
    float scale = 0;  // power of two by which rows are multiplied, so that their length is near one while a plane is fitted
    int64_t n_nodes = 0;
    const int64_t* point_ptr = nullptr;  // (n_nodes + 1,)
    const int32_t* points = nullptr;  // rows of each node
    const uint8_t* sides = nullptr;  // 0 for each point where the plane should be positive
    float cost = 0;
    float eps = 0;  // sum of violations of optimality at which a plane is done, relative to the sum at w = 0
    int32_t max_rounds = 0;  // Newton steps
    int32_t max_sweeps = 0;  // sweeps over the features in one Newton step
    const uint64_t* seeds = nullptr;  // (n_nodes,)
    uint8_t* went = nullptr;  // out, for each of `points`: 0 where the plane is at least zero, else 1
    const volatile uint8_t* stop = nullptr;
};

// Finished planes, plane by plane.
struct Planes {
    std::vector<int64_t> sizes;
    std::vector<int32_t> features;  // ascending
    std::vector<float> values;  // half precise; they are for the scaled rows
    std::vector<float> biases;  // scaled back, so that planes hold for the rows as they are
};

class PlaneTrainer {
  public:
    PlaneTrainer(const PlaneTask& task, Planes& out) : task_(task), out_(out), part_(task.rows) {}

    void train_all() {
        for (int64_t node = 0; node < task_.n_nodes && !*task_.stop; node++) train(node);
    }

  private:
    void train(int64_t node) {
        const int64_t begin = task_.point_ptr[node];
        n_ = task_.point_ptr[node + 1] - begin;
        part_.cut(task_.points + begin, n_, 0);
        d_ = part_.rows.d;
        random_ = Random(task_.seeds[node]);
        weigh(task_.sides + begin);
        build_columns();
        w_.assign(d_ + 1, 0.f);
        margin_.assign(n_, 0.f);
        along_.assign(n_, 0.f);
        loss_ = loss_along(0);
        double first = 0;
        for (int round = 0; round < task_.max_rounds && !*task_.stop; round++) {
            differentiate();
            const double violation = choose_features();
            if (round == 0) first = violation;
            if (violation <= task_.eps * first || !step(0.1 * violation)) break;
        }
        write(begin);
    }

    // Weighs errors so that the total cost of either side is the same.
    void weigh(const uint8_t* sides) {
        int64_t ones = 0;
        for (int64_t i = 0; i < n_; i++) ones += sides[i];
        const float zero = task_.cost * static_cast<float>(n_) / static_cast<float>(std::max<int64_t>(n_ - ones, 1));
        const float one = task_.cost * static_cast<float>(n_) / static_cast<float>(std::max<int64_t>(ones, 1));
        cost_.resize(n_);
        target_.resize(n_);
        for (int64_t i = 0; i < n_; i++) {
            cost_[i] = sides[i] ? one : zero;
            target_[i] = sides[i] ? -1.f : 1.f;
        }
    }

    // The node's matrix by columns; the constant feature is the last.
    void build_columns() {
        ptr_.assign(d_ + 3, 0);
        each_node_entry([&](int64_t, int64_t f, float) { ptr_[f + 2]++; });
        for (int64_t f = 0; f <= d_; f++) ptr_[f + 2] += ptr_[f + 1];
        row_.resize(ptr_[d_ + 2]);
        value_.resize(row_.size());
        scaled_.resize(row_.size());
        each_node_entry([&](int64_t i, int64_t f, float x) {
            const int64_t p = ptr_[f + 1]++;
            row_[p] = static_cast<int32_t>(i);
            value_[p] = x;
        });
    }

    template <typename Visit>
    void each_node_entry(Visit visit) const {
        for (int64_t i = 0; i < n_; i++) {
            each_entry(part_.rows, i, [&](int64_t f, float x) { visit(i, f, x * task_.scale); });
            if (part_.rows.bias != 0) visit(i, d_, part_.rows.bias);
        }
    }

    // First derivative of the loss by the margins, root of the second, and the gradient by the weights.
    void differentiate() {
        slope_.resize(n_);
        root_.resize(n_);
        for (int64_t i = 0; i < n_; i++) {
            const float wrong = 1.f / (1.f + std::exp(target_[i] * margin_[i]));
            slope_[i] = -target_[i] * cost_[i] * wrong;
            root_[i] = std::sqrt(std::max(cost_[i] * wrong * (1.f - wrong), 1e-8f));
        }
        gradient_.resize(d_ + 1);
        for (int64_t f = 0; f <= d_; f++) gradient_[f] = dot(f, value_.data(), slope_.data());
    }

    // Sum over the rows of a feature of x[entry] y[row]. It uses four sums, since with one each addition would wait for the one before.
    float dot(int64_t f, const float* x, const float* y) const {
        float a = 0, b = 0, c = 0, e = 0;
        const int32_t* row = row_.data();
        int64_t p = ptr_[f];
        const int64_t end = ptr_[f + 1];
        for (; p + 4 <= end; p += 4) {
            a += x[p] * y[row[p]];
            b += x[p + 1] * y[row[p + 1]];
            c += x[p + 2] * y[row[p + 2]];
            e += x[p + 3] * y[row[p + 3]];
        }
        for (; p < end; p++) a += x[p] * y[row[p]];
        return (a + b) + (c + e);
    }

    static float violation(float w, float gradient) {
        if (w > 0) return std::fabs(gradient + 1);
        if (w < 0) return std::fabs(gradient - 1);
        return std::max(std::fabs(gradient) - 1, 0.f);
    }

    // The working set. Returns the sum of all violations of optimality.
    double choose_features() {
        chosen_.clear();
        double sum = 0;
        for (int64_t f = 0; f <= d_; f++) {
            const float excess = violation(w_[f], gradient_[f]);
            sum += excess;
            if (w_[f] != 0 || excess > 0) chosen_.push_back(static_cast<int32_t>(f));
        }
        // The order is by the user's number, or dense and sparse rows would give different planes.
        const int64_t without_bias = static_cast<int64_t>(chosen_.size()) - (!chosen_.empty() && chosen_.back() == d_);
        std::sort(chosen_.begin(), chosen_.begin() + without_bias,
                  [this](int32_t a, int32_t b) { return part_.features[a] < part_.features[b]; });
        return sum;
    }

    // One Newton step: coordinate descent on the quadratic model, then a line search. Returns whether the objective fell.
    bool step(double enough) {
        const int64_t k = static_cast<int64_t>(chosen_.size());
        move_.assign(d_ + 1, 0.f);
        hessian_.resize(d_ + 1);
        along_.assign(n_, 0.f);
        for (const int32_t f : chosen_) {
            float sum = 1e-12f;
            for (int64_t p = ptr_[f]; p < ptr_[f + 1]; p++) {
                scaled_[p] = value_[p] * root_[row_[p]];
                sum += scaled_[p] * scaled_[p];
            }
            hessian_[f] = sum;
        }
        for (int sweep = 0; sweep < task_.max_sweeps; sweep++) {
            double sum = 0;
            for (int64_t c = k - 1; c > 0; c--) std::swap(chosen_[c], chosen_[random_.below(c + 1)]);
            for (const int32_t f : chosen_) sum += move_weight(f);
            if (sum <= enough) break;
        }
        for (int64_t i = 0; i < n_; i++) along_[i] /= root_[i];  // This is now the change of the margin.
        return search_line();
    }

    float move_weight(int32_t f) {
        const int64_t begin = ptr_[f], end = ptr_[f + 1];
        const float gradient = gradient_[f] + dot(f, scaled_.data(), along_.data());
        const float w = w_[f] + move_[f], h = hessian_[f];
        float change = -w;
        if (gradient + 1 <= h * w) change = -(gradient + 1) / h;
        else if (gradient - 1 >= h * w) change = -(gradient - 1) / h;
        change = std::min(std::max(change, -10.f), 10.f);
        if (std::fabs(change) > 1e-12f) {
            move_[f] += change;
            for (int64_t p = begin; p < end; p++) along_[row_[p]] += scaled_[p] * change;
        }
        return violation(w, gradient);
    }

    bool search_line() {
        double expected = 0;
        for (const int32_t f : chosen_) expected += double{gradient_[f]} * move_[f] + std::fabs(w_[f] + move_[f]) - std::fabs(w_[f]);
        for (float share = 1; share > 1e-4f; share /= 2) {
            const double loss = loss_along(share);
            double change = loss - loss_;
            for (const int32_t f : chosen_) change += std::fabs(w_[f] + share * move_[f]) - std::fabs(w_[f]);
            if (change > 0.01 * share * expected) continue;
            for (const int32_t f : chosen_) w_[f] += share * move_[f];
            for (int64_t i = 0; i < n_; i++) margin_[i] += share * along_[i];
            loss_ = loss;
            return true;
        }
        return false;
    }

    // Sum of the losses of all rows at a share of the step.
    double loss_along(float share) const {
        double sum = 0;
        for (int64_t i = 0; i < n_; i++) {
            const float tm = target_[i] * (margin_[i] + share * along_[i]);
            sum += cost_[i] * (std::log1p(std::exp(-std::fabs(tm))) + std::max(-tm, 0.f));
        }
        return sum;
    }

    // Margins are added up again in the order of forest.h, by ascending feature, so that a training row takes the same way later.
    void write(int64_t begin) {
        kept_.clear();
        for (int64_t f = 0; f < d_; f++) {
            w_[f] = half_precise(w_[f]);
            if (w_[f] != 0) kept_.push_back({part_.features[f], static_cast<int32_t>(f)});
        }
        std::sort(kept_.begin(), kept_.end());
        std::fill(margin_.begin(), margin_.end(), part_.rows.bias * w_[d_]);
        for (const auto& [feature, f] : kept_) {
            out_.features.push_back(feature);
            out_.values.push_back(w_[f]);
            for (int64_t p = ptr_[f]; p < ptr_[f + 1]; p++) margin_[row_[p]] += w_[f] * value_[p];
        }
        out_.sizes.push_back(static_cast<int64_t>(kept_.size()));
        out_.biases.push_back(part_.rows.bias * w_[d_] / task_.scale);  // The side of a plane depends on their ratio alone.
        for (int64_t i = 0; i < n_; i++) task_.went[begin + i] = margin_[i] < 0;
    }

    const PlaneTask& task_;
    Planes& out_;
    SubMatrix part_;
    int64_t n_ = 0, d_ = 0;
    double loss_ = 0;  // loss at the current weights
    Random random_{0};
    std::vector<float> w_, gradient_, hessian_, move_;  // entries: features
    std::vector<float> margin_, cost_, target_, slope_, root_, along_;  // entries: rows
    std::vector<int64_t> ptr_;
    std::vector<int32_t> row_;
    std::vector<float> value_, scaled_;  // entries of the columns; scaled by the root of their row
    std::vector<int32_t> chosen_;
    std::vector<std::pair<int32_t, int32_t>> kept_;  // feature, and its number in the node
};

}  // namespace xclassic
