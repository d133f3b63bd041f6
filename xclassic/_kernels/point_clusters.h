// Splits of tree nodes into clusters of points with similar labels, separated by the mean features of the clusters.
#pragma once
#include "entries.h"
#include "random.h"
#include "rounding.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace xclassic {

struct PointClusterTask {
    Rows labels;  // sparse; a vector of unit length, or zero, for each row
    Rows rows;  // features of the same rows
    const int32_t* slots = nullptr;  // (rows.d,) the dimension out of n_slots that a feature is projected to
    const float* signs = nullptr;  // (rows.d,) sign of each feature in its dimension
    int64_t n_slots = 0;
    int64_t n_nodes = 0;
    const int64_t* point_ptr = nullptr;  // (n_nodes + 1,)
    const int32_t* points = nullptr;
    int32_t n_clusters = 0;
    int32_t rounds = 0;  // rounds of k-means after the start
    int64_t max_sample = 0;  // points of a node that are clustered, at most
    float kept_share = 0;  // share of the entries of a centroid that is kept, the largest ones
    int64_t kept_least = 0, kept_most = 0;
    const uint64_t* seeds = nullptr;  // (n_nodes,)
    int32_t* child = nullptr;  // out, for each of `points`; -1 in a node that is not split
    const volatile uint8_t* stop = nullptr;
};

// A centroid for each child, node by node.
struct Centroids {
    std::vector<int64_t> arity;  // children of each node: 0, or at least 2
    std::vector<int64_t> sizes;  // points of each child
    std::vector<int32_t> features;  // ascending
    std::vector<float> values;  // half precise
};

// Vectors side by side, one row of lanes for each dimension in use; vectors are zero in all other dimensions.
class Lanes {
  public:
    Lanes(int64_t n_dimensions, int32_t n) : n(n), place_(n_dimensions), values_(n) {}

    float* at(int32_t dimension) { return values_.data() + int64_t{place_[dimension]} * n; }
    const float* at(int32_t dimension) const { return values_.data() + int64_t{place_[dimension]} * n; }
    float* use(int32_t dimension) {
        if (!place_[dimension]) {
            dimensions.push_back(dimension);
            place_[dimension] = static_cast<int32_t>(dimensions.size());
            values_.resize(values_.size() + n);
        }
        return at(dimension);
    }
    void clear() {
        for (int32_t dimension : dimensions) place_[dimension] = 0;
        dimensions.clear();
        values_.resize(n);
    }
    void scale_to_unit() {
        std::vector<double> squares(n);
        for (int32_t dimension : dimensions)
            for (int32_t c = 0; c < n; c++) squares[c] += double{at(dimension)[c]} * at(dimension)[c];
        for (int32_t dimension : dimensions)
            for (int32_t c = 0; c < n; c++)
                if (squares[c] > 0) at(dimension)[c] /= static_cast<float>(std::sqrt(squares[c]));
    }

    const int32_t n;
    std::vector<int32_t> dimensions;  // dimensions in use

  private:
    std::vector<int32_t> place_;  // row of lanes of each dimension; 0 is the row of zeros
    std::vector<float> values_;
};

class PointClusterer {
  public:
    PointClusterer(const PointClusterTask& task, Centroids& out)
        : task_(task), out_(out), label_centers_(task.labels.d, task.n_clusters), slot_centers_(task.n_slots, task.n_clusters),
          centers_(task.rows.d, task.n_clusters), scores_(task.n_clusters), random_(0) {}

    void split_all() {
        for (int64_t node = 0; node < task_.n_nodes && !*task_.stop; node++) split(node);
    }

  private:
    void split(int64_t node) {
        begin_ = task_.point_ptr[node];
        n_ = task_.point_ptr[node + 1] - begin_;
        random_ = Random(task_.seeds[node]);
        std::fill(task_.child + begin_, task_.child + begin_ + n_, -1);
        draw_sample();
        if (start() > 1) {
            for (int32_t round = 0; round < task_.rounds && !*task_.stop && move_centers(); round++) {}
            average_features();
            route();
        } else {
            out_.arity.push_back(0);
        }
    }

    // Points that have labels; each is listed with its cluster.
    void draw_sample() {
        sample_.clear();
        for (int64_t q = begin_; q < begin_ + n_; q++)
            if (task_.labels.indptr[task_.points[q]] < task_.labels.indptr[task_.points[q] + 1]) sample_.push_back(task_.points[q]);
        const int64_t n = static_cast<int64_t>(sample_.size());
        if (n <= task_.max_sample) return;
        for (int64_t s = 0; s < task_.max_sample; s++) std::swap(sample_[s], sample_[s + random_.below(n - s)]);
        sample_.resize(task_.max_sample);
    }

    // First centers (k-means++; Arthur and Vassilvitskii, 2007): points drawn in proportion to the squared distance to earlier ones.
    // Returns the number of different centers found; assigns each point to the nearest.
    int32_t start() {
        const int64_t n = static_cast<int64_t>(sample_.size());
        cluster_.assign(n, 0);
        nearest_.assign(n, -2.f);
        label_centers_.clear();
        if (n == 0) return 0;
        int64_t chosen = random_.below(n);
        int32_t found = 0;
        while (true) {
            each_entry(task_.labels, sample_[chosen], [&](int32_t l, float y) { label_centers_.use(l)[found] = y; });
            double sum = 0;
            for (int64_t s = 0; s < n; s++) {
                float cosine = 0;
                each_entry(task_.labels, sample_[s], [&](int32_t l, float y) { cosine += y * label_centers_.at(l)[found]; });
                if (cosine > nearest_[s]) {
                    nearest_[s] = cosine;
                    cluster_[s] = found;
                }
                sum += distance(s);
            }
            if (++found == task_.n_clusters || sum == 0 || *task_.stop) return found;
            double left = random_.uniform() * sum;
            for (int64_t s = 0; s < n && left >= 0; s++) {
                if (distance(s) == 0) continue;
                chosen = s;
                left -= distance(s);
            }
        }
    }

    float distance(int64_t s) const { return nearest_[s] > 1 - 1e-5f ? 0 : 1 - nearest_[s]; }

    // Returns whether a point changed its cluster; if none did, further rounds would change nothing either.
    bool move_centers() {
        bool moved = false;
        label_centers_.clear();
        for (size_t s = 0; s < sample_.size(); s++)
            each_entry(task_.labels, sample_[s], [&](int32_t l, float y) { label_centers_.use(l)[cluster_[s]] += y; });
        label_centers_.scale_to_unit();
        for (size_t s = 0; s < sample_.size(); s++) {
            std::fill(scores_.begin(), scores_.end(), 0.f);
            each_entry(task_.labels, sample_[s], [&](int32_t l, float y) { add(label_centers_.at(l), y); });
            const int32_t best = best_score();
            moved |= best != cluster_[s];
            cluster_[s] = best;
        }
        return moved;
    }

    // The mean features of the clusters are projected, lose small entries, and are mapped back to the features that occur here.
    void average_features() {
        slot_centers_.clear();
        centers_.clear();
        for (size_t s = 0; s < sample_.size(); s++)
            each_entry(task_.rows, sample_[s], [&](int32_t f, float x) {
                slot_centers_.use(task_.slots[f])[cluster_[s]] += task_.signs[f] * x;
                centers_.use(f);
            });
        for (int32_t c = 0; c < task_.n_clusters; c++) prune(c);
        slot_centers_.scale_to_unit();
        std::sort(centers_.dimensions.begin(), centers_.dimensions.end());
        for (int32_t f : centers_.dimensions)
            for (int32_t c = 0; c < task_.n_clusters; c++) centers_.at(f)[c] = half_precise(task_.signs[f] * slot_centers_.at(task_.slots[f])[c]);
    }

    void prune(int32_t c) {
        sizes_.clear();
        for (int32_t slot : slot_centers_.dimensions)
            if (slot_centers_.at(slot)[c] != 0) sizes_.push_back(std::fabs(slot_centers_.at(slot)[c]));
        const int64_t n = static_cast<int64_t>(sizes_.size());
        const int64_t share = static_cast<int64_t>(std::ceil(task_.kept_share * static_cast<float>(n)));
        const int64_t kept = std::min(std::max(task_.kept_least, share), task_.kept_most);
        if (kept >= n) return;
        std::nth_element(sizes_.begin(), sizes_.begin() + (n - kept), sizes_.end());
        for (int32_t slot : slot_centers_.dimensions)
            if (std::fabs(slot_centers_.at(slot)[c]) < sizes_[n - kept]) slot_centers_.at(slot)[c] = 0;
    }

    // Sends points to the centroid of the largest product, added up as in forest.h. Centroids without points are left out.
    void route() {
        n_points_.assign(task_.n_clusters, 0);
        for (int64_t q = begin_; q < begin_ + n_; q++) {
            std::fill(scores_.begin(), scores_.end(), 0.f);
            each_entry(task_.rows, task_.points[q], [&](int32_t f, float x) { add(centers_.at(f), x); });
            n_points_[task_.child[q] = best_score()]++;
        }
        number_.assign(task_.n_clusters, -1);
        int32_t n_children = 0;
        for (int32_t c = 0; c < task_.n_clusters; c++)
            if (n_points_[c]) number_[c] = n_children++;
        if (n_children < 2) {
            out_.arity.push_back(0);
            return;
        }
        out_.arity.push_back(n_children);
        for (int64_t q = begin_; q < begin_ + n_; q++) task_.child[q] = number_[task_.child[q]];
        for (int32_t c = 0; c < task_.n_clusters; c++) {
            if (!n_points_[c]) continue;
            const size_t before = out_.features.size();
            for (int32_t f : centers_.dimensions) {
                if (centers_.at(f)[c] == 0) continue;
                out_.features.push_back(f);
                out_.values.push_back(centers_.at(f)[c]);
            }
            out_.sizes.push_back(static_cast<int64_t>(out_.features.size() - before));
        }
    }

    void add(const float* lanes, float weight) {
        for (int32_t c = 0; c < task_.n_clusters; c++) scores_[c] += weight * lanes[c];
    }

    int32_t best_score() const { return static_cast<int32_t>(std::max_element(scores_.begin(), scores_.end()) - scores_.begin()); }

    const PointClusterTask& task_;
    Centroids& out_;
    int64_t begin_ = 0, n_ = 0;
    Lanes label_centers_, slot_centers_, centers_;  // centers by label dimension, by projected feature and by feature
    std::vector<float> scores_;  // scores of one point, one for each cluster
    std::vector<int32_t> sample_, cluster_;  // points, and the cluster of each
    std::vector<float> nearest_;  // cosine of each point to its center
    std::vector<float> sizes_;
    std::vector<int64_t> n_points_;  // points in each cluster
    std::vector<int32_t> number_;  // number of each cluster among the clusters with points
    Random random_;
};

}  // namespace xclassic
