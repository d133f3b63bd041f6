// Trees over points: a row walks from the root to one leaf, which holds a distribution of labels.
#pragma once
#include "block_types.h"
#include "rounding.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace xclassic {

// A node sends a row to the child whose vector and bias give it the highest score, the first of equals. Level order: the children
// of node v are child_ptr[v] to child_ptr[v + 1] - 1; a leaf has none.
struct PointTree {
    const int64_t* child_ptr;  // (n_nodes + 1,)
    const int64_t* router_ptr;  // (n_nodes + 1,) the vector of each node as a child
    const int32_t* features;
    const float* weights;
    const float* bias;  // (n_nodes,)
    const int64_t* label_ptr;  // (n_nodes + 1,) labels of each leaf
    const int32_t* labels;
    const float* shares;
};

// Features of one row at a time, by number.
class DenseRow {
  public:
    explicit DenseRow(const Rows& rows) : rows_(rows), values_(rows.indices ? rows.d : 0) {}
    void enter(int64_t i) {
        i_ = i;
        if (!rows_.indices) return;
        for (int64_t p = rows_.indptr[i]; p < rows_.indptr[i + 1]; p++) values_[rows_.indices[p]] = rows_.values[p];
    }
    void leave() {
        if (!rows_.indices) return;
        for (int64_t p = rows_.indptr[i_]; p < rows_.indptr[i_ + 1]; p++) values_[rows_.indices[p]] = 0;
    }
    const float* values() const { return rows_.indices ? values_.data() : rows_.values + i_ * rows_.d; }

  private:
    const Rows& rows_;
    std::vector<float> values_;
    int64_t i_ = 0;
};

inline int64_t leaf_of(const PointTree& tree, const float* x) {
    int64_t node = 0;
    while (true) {
        const int64_t begin = tree.child_ptr[node], end = tree.child_ptr[node + 1];
        if (begin == end) return node;
        float best = 0;
        for (int64_t child = begin; child < end; child++) {
            float score = tree.bias[child];
            for (int64_t p = tree.router_ptr[child]; p < tree.router_ptr[child + 1]; p++) score += tree.weights[p] * x[tree.features[p]];
            if (child == begin || score > best) {
                best = score;
                node = child;
            }
        }
    }
}

// The leaves of all rows in one tree.
inline void route(const PointTree& tree, const Rows& rows, const volatile uint8_t* stop, int64_t* leaves) {
    DenseRow row(rows);
    for (int64_t i = 0; i < rows.n && !*stop; i++) {
        row.enter(i);
        leaves[i] = leaf_of(tree, row.values());
        row.leave();
    }
}

struct RankTask {
    Rows rows;
    int64_t n_labels;
    const uint8_t* allowed;  // (n_labels,) or nullptr for all
    int64_t k;
    int32_t* ids;  // out (n, k), like the next two filled with "none"
    float* scores;
    int32_t* counts;
    const volatile uint8_t* stop;
};

// The best labels of each row by the mean of their shares in its leaves, which are found for some rows before labels are summed.
inline void rank_labels(const std::vector<PointTree>& trees, const RankTask& task) {
    constexpr int64_t BATCH = 128;
    const int64_t n_trees = static_cast<int64_t>(trees.size());
    DenseRow row(task.rows);
    std::vector<int64_t> leaves(BATCH * n_trees);
    std::vector<float> sums(task.n_labels);
    std::vector<int32_t> touched;
    for (int64_t first = 0; first < task.rows.n && !*task.stop; first += BATCH) {
        const int64_t n = std::min(BATCH, task.rows.n - first);
        for (int64_t i = 0; i < n; i++) {
            row.enter(first + i);
            for (int64_t t = 0; t < n_trees; t++) leaves[i * n_trees + t] = leaf_of(trees[t], row.values());
            row.leave();
        }
        for (int64_t i = 0; i < n; i++) {
            touched.clear();
            for (int64_t t = 0; t < n_trees; t++) {
                const PointTree& tree = trees[t];
                const int64_t leaf = leaves[i * n_trees + t];
                for (int64_t p = tree.label_ptr[leaf]; p < tree.label_ptr[leaf + 1]; p++) {
                    const int32_t label = tree.labels[p];
                    if (task.allowed && !task.allowed[label]) continue;
                    if (sums[label] == 0) touched.push_back(label);
                    sums[label] += tree.shares[p];
                }
            }
            for (int32_t label : touched) sums[label] /= static_cast<float>(n_trees);  // before ranking, or rounding could make new ties
            const int64_t k = std::min<int64_t>(task.k, static_cast<int64_t>(touched.size()));
            std::partial_sort(touched.begin(), touched.begin() + k, touched.end(), [&sums](int32_t a, int32_t b) {
                return sums[a] > sums[b] || (sums[a] == sums[b] && a < b);
            });
            for (int64_t slot = 0; slot < k; slot++) {
                task.ids[(first + i) * task.k + slot] = touched[slot];
                task.scores[(first + i) * task.k + slot] = sums[touched[slot]];
            }
            task.counts[first + i] = static_cast<int32_t>(k);
            for (int32_t label : touched) sums[label] = 0;
        }
    }
}

// Means of the label vectors of some rows, leaf by leaf; the largest entries are kept, rising by label.
struct LeafTask {
    const int64_t* indptr;  // labels of each row
    const int32_t* indices;
    const float* weights;  // of each of them
    int64_t n_labels;
    int64_t n_leaves;
    const int64_t* point_ptr;  // (n_leaves + 1,)
    const int32_t* points;
    int64_t max_labels;
};

struct Distributions {
    std::vector<int64_t> sizes;
    std::vector<int32_t> labels;
    std::vector<float> shares;  // half precise
};

inline void average_labels(const LeafTask& task, Distributions& out) {
    std::vector<float> sums(task.n_labels);
    std::vector<int32_t> touched;
    for (int64_t leaf = 0; leaf < task.n_leaves; leaf++) {
        touched.clear();
        for (int64_t q = task.point_ptr[leaf]; q < task.point_ptr[leaf + 1]; q++)
            for (int64_t p = task.indptr[task.points[q]]; p < task.indptr[task.points[q] + 1]; p++) {
                if (sums[task.indices[p]] == 0) touched.push_back(task.indices[p]);
                sums[task.indices[p]] += task.weights[p];
            }
        if (static_cast<int64_t>(touched.size()) > task.max_labels) {
            std::nth_element(touched.begin(), touched.begin() + task.max_labels, touched.end(), [&sums](int32_t a, int32_t b) {
                return sums[a] > sums[b] || (sums[a] == sums[b] && a < b);
            });
            for (size_t t = task.max_labels; t < touched.size(); t++) sums[touched[t]] = 0;
            touched.resize(task.max_labels);
        }
        std::sort(touched.begin(), touched.end());
        const float n = static_cast<float>(task.point_ptr[leaf + 1] - task.point_ptr[leaf]);
        const size_t before = out.labels.size();
        for (int32_t label : touched) {
            const float share = half_precise(sums[label] / n);
            sums[label] = 0;
            if (share == 0) continue;
            out.labels.push_back(label);
            out.shares.push_back(share);
        }
        out.sizes.push_back(static_cast<int64_t>(out.labels.size() - before));
    }
}

}  // namespace xclassic
