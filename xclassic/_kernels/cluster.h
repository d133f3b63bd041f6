// Spherical k-means with limits on cluster sizes, for the items of one tree node after another.
#pragma once
#include "random.h"
#include "submatrix.h"

#include <cmath>
#include <numeric>

namespace xclassic {

struct KMeansTask {
    Rows rows;  // all items, rows of unit length or zero
    int64_t n_nodes = 0;
    const int64_t* item_ptr = nullptr;  // (n_nodes + 1,)
    const int32_t* items = nullptr;  // items of each node
    const int32_t* n_clusters = nullptr;  // (n_nodes,) at least 2, at most the number of items
    const uint64_t* seeds = nullptr;  // (n_nodes,)
    double room = 0;  // largest share of the items that a cluster may take; 0 for equal sizes, which differ by one at most
    double tolerance = 0;  // gain in the mean cosine below which a node is done
    int32_t max_rounds = 0;
    int32_t* clusters = nullptr;  // out, for each of `items`
    const Level* level = nullptr;
    const volatile uint8_t* stop = nullptr;
};

class KMeans {
  public:
    explicit KMeans(const KMeansTask& task) : task_(task), part_(task.rows) {}

    void split_all() {
        for (int64_t node = 0; node < task_.n_nodes && !*task_.stop; node++) split(node);
    }

  private:
    void split(int64_t node) {
        const int32_t* items = task_.items + task_.item_ptr[node];
        const int64_t n = task_.item_ptr[node + 1] - task_.item_ptr[node];
        k_ = task_.n_clusters[node];
        width_ = LANES;
        for (int narrow : {8, 4, 2})
            if (k_ <= narrow) width_ = narrow;
        n_blocks_ = (k_ + width_ - 1) / width_;
        clusters_ = task_.clusters + task_.item_ptr[node];
        part_.cut(items, n, 0);
        centers_size_ = n_blocks_ * (part_.rows.d + 1) * width_;
        scores_size_ = n * n_blocks_ * width_;
        start(node, n);
        double before = -2;
        for (int round = 0; round < task_.max_rounds && !*task_.stop; round++) {
            score();
            const double cosine = assign(n);
            if (cosine - before < task_.tolerance) return;
            before = cosine;
            move_centers(n);
        }
    }

    // The first centers are different items drawn at random.
    void start(int64_t node, int64_t n) {
        Random random(task_.seeds[node]);
        order_.resize(n);
        std::iota(order_.begin(), order_.end(), 0);
        float* centers = centers_.get(centers_size_);
        std::fill(centers, centers + centers_size_, 0.f);
        for (int c = 0; c < k_; c++) {
            std::swap(order_[c], order_[c + random.below(n - c)]);
            add(order_[c], c);
        }
    }

    float* center(int c) { return centers_.get(0) + int64_t{c / width_} * (part_.rows.d + 1) * width_ + c % width_; }

    void add(int64_t item, int c) {
        float* sum = center(c);
        const Rows& rows = part_.rows;
        if (rows.indices)
            for (int64_t p = rows.indptr[item]; p < rows.indptr[item + 1]; p++) sum[int64_t{rows.indices[p]} * width_] += rows.values[p];
        else
            for (int64_t f = 0; f < rows.d; f++) sum[f * width_] += rows.values[item * rows.d + f];
    }

    void score() {
        ClusterTask block{};
        block.rows = part_.rows;
        block.rows.bias = 0;
        block.centers = centers_.get(0);
        block.n_blocks = n_blocks_;
        block.width = width_;
        block.scores = scores_.get(scores_size_);
        block.stop = task_.stop;
        task_.level->score_centers(block);
        for (int64_t i = 0; i < scores_size_; i++)
            if (!std::isfinite(block.scores[i])) block.scores[i] = 0;  // Vectors near the end of the range give NaN, which has no order.
    }

    // Gives every item to its best cluster that has room. Items that would lose most by a second choice come first. Returns the mean
    // cosine of the items with their centers.
    double assign(int64_t n) {
        const int64_t stride = n_blocks_ * width_;
        const float* scores = scores_.get(0);
        regret_.resize(n);
        best_.resize(n);
        for (int64_t i = 0; i < n; i++) {
            const float* s = scores + i * stride;
            int best = 0;
            float first = s[0], second = -INFINITY;
            for (int c = 1; c < k_; c++) {
                if (s[c] > first) {
                    second = first;
                    first = s[c];
                    best = c;
                } else if (s[c] > second) {
                    second = s[c];
                }
            }
            regret_[i] = first - second;
            best_[i] = best;
        }
        size_.assign(k_, 0);
        for (int64_t i = 0; i < n; i++) size_[best_[i]]++;
        limit_rooms(n);
        bool fits = true;
        for (int c = 0; c < k_; c++) fits = fits && size_[c] <= room_[c];
        if (fits && task_.room > 0) {
            size_.assign(k_, 0);
            for (int64_t i = 0; i < n; i++) {
                clusters_[i] = regret_[i] > 0 ? best_[i] : smallest_of_best(scores + i * stride, scores[i * stride + best_[i]]);
                size_[clusters_[i]]++;
            }
        } else {
            std::sort(order_.begin(), order_.end(), [this](int32_t a, int32_t b) {
                return regret_[a] > regret_[b] || (regret_[a] == regret_[b] && a < b);
            });
            size_.assign(k_, 0);
            for (int32_t i : order_) {
                const int c = size_[best_[i]] < room_[best_[i]] ? best_[i] : best_with_room(scores + i * stride);
                clusters_[i] = c;
                size_[c]++;
            }
        }
        fill_empty(n, scores, stride);
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += scores[i * stride + clusters_[i]];
        return sum / static_cast<double>(n);
    }

    void limit_rooms(int64_t n) {
        room_.assign(k_, n);
        if (task_.room > 0) {
            const int64_t least = (n + k_ - 1) / k_;
            std::fill(room_.begin(), room_.end(), std::max<int64_t>(least, static_cast<int64_t>(task_.room * static_cast<double>(n))));
        } else {
            for (int c = 0; c < k_; c++) room_[c] = n / k_ + (c < n % k_);
        }
    }

    // Identical and zero vectors are distributed evenly; a node of only such vectors would lose just one label to each other cluster.
    int smallest_of_best(const float* s, float best) const {
        int smallest = -1;
        for (int c = 0; c < k_; c++)
            if (s[c] == best && (smallest < 0 || size_[c] < size_[smallest])) smallest = c;
        return smallest;
    }

    int best_with_room(const float* s) const {
        int best = -1;
        for (int c = 0; c < k_; c++)
            if (size_[c] < room_[c] && (best < 0 || s[c] > s[best])) best = c;
        return best;
    }

    // An empty cluster takes the item that fits its own cluster worst.
    void fill_empty(int64_t n, const float* scores, int64_t stride) {
        for (int c = 0; c < k_; c++) {
            if (size_[c]) continue;
            int64_t worst = -1;
            for (int64_t i = 0; i < n; i++)
                if (size_[clusters_[i]] > 1 &&
                    (worst < 0 || scores[i * stride + clusters_[i]] < scores[worst * stride + clusters_[worst]]))
                    worst = i;
            size_[clusters_[worst]]--;
            clusters_[worst] = c;
            size_[c] = 1;
        }
    }

    void move_centers(int64_t n) {
        float* centers = centers_.get(0);
        std::fill(centers, centers + centers_size_, 0.f);
        for (int64_t i = 0; i < n; i++) add(i, clusters_[i]);
        const int64_t d = part_.rows.d;
        for (int64_t block = 0; block < n_blocks_; block++) {
            float* W = centers + block * (d + 1) * width_;
            double square[LANES] = {};
            for (int64_t f = 0; f < d; f++)
                for (int l = 0; l < width_; l++) square[l] += double{W[f * width_ + l]} * W[f * width_ + l];
            float scale[LANES];
            for (int l = 0; l < width_; l++) scale[l] = square[l] > 0 ? static_cast<float>(1 / std::sqrt(square[l])) : 0;
            for (int64_t f = 0; f < d; f++)
                for (int l = 0; l < width_; l++) W[f * width_ + l] *= scale[l];
        }
    }

    const KMeansTask& task_;
    SubMatrix part_;
    int k_ = 0, width_ = 0;
    int64_t n_blocks_ = 0, centers_size_ = 0, scores_size_ = 0;
    int32_t* clusters_ = nullptr;
    Scratch<float> centers_, scores_;
    std::vector<int32_t> order_, best_;
    std::vector<float> regret_;
    std::vector<int64_t> size_, room_;
};

}  // namespace xclassic
