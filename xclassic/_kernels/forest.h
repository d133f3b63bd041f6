// Trees over points: a row walks from the root to one leaf, which holds a distribution of labels.
#pragma once
#include "entries.h"
#include "label_sums.h"
#include "rounding.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace xclassic {

// A node sends a row to the child whose vector and bias give it the highest score, the first one if scores are equal. In level order
// the children of node v are child_ptr[v] to child_ptr[v + 1] - 1; a leaf has no children.
struct PointTree {
    const int64_t* child_ptr = nullptr;  // (n_nodes + 1,)
    const int64_t* router_ptr = nullptr;  // (n_nodes + 1,) entries of the vector that leads to each node from its parent
    const int32_t* features = nullptr;
    const float* weights = nullptr;
    const float* bias = nullptr;  // (n_nodes,)
    const int64_t* label_ptr = nullptr;  // (n_nodes + 1,) labels of each leaf
    const int32_t* labels = nullptr;
    const float* shares = nullptr;
};

constexpr int64_t GROUP = 16;  // rows that walk side by side
constexpr int64_t AHEAD = 4;  // leaves whose labels are fetched before their turn

// Features of some rows, by number.
class DenseRows {
  public:
    explicit DenseRows(const Rows& rows) : rows_(rows), values_(rows.indices ? GROUP * rows.d : 0) {}
    void enter(int64_t first, int64_t n) {
        first_ = first;
        n_ = n;
        each_entry([](float& place, float x) { place = x; });
    }
    void leave() {
        each_entry([](float& place, float) { place = 0; });
    }
    const float* row(int64_t g) const { return rows_.indices ? values_.data() + g * rows_.d : rows_.values + (first_ + g) * rows_.d; }

  private:
    template <typename Visit>
    void each_entry(Visit visit) {
        if (!rows_.indices) return;
        for (int64_t g = 0; g < n_; g++)
            for (int64_t p = rows_.indptr[first_ + g]; p < rows_.indptr[first_ + g + 1]; p++) visit(values_[g * rows_.d + rows_.indices[p]], rows_.values[p]);
    }

    const Rows& rows_;
    std::vector<float> values_;
    int64_t first_ = 0, n_ = 0;
};

// Vectors of the first nodes of trees side by side. Most rows pass those nodes, whose vectors are long. For a row with few features
// it is much cheaper to add up its rows of the block than to read each vector.
class FirstNodes {
  public:
    FirstNodes(const std::vector<PointTree>& trees, int64_t d) : d_(d) {
        const int64_t room = MAX_BYTES / static_cast<int64_t>(sizeof(float)) / std::max<int64_t>(d, 1);
        const int64_t share = std::min(MAX_COLUMNS, room / std::max<int64_t>(static_cast<int64_t>(trees.size()), 1));
        for (const PointTree& tree : trees) choose(tree, share);
        weights_.assign(d_ * size(), 0.f);
        for (size_t t = 0; t < trees.size(); t++)
            for (size_t node = 0; node < columns[t].size(); node++)
                for (int64_t p = trees[t].router_ptr[node]; p < trees[t].router_ptr[node + 1]; p++)
                    weights_[trees[t].features[p] * size() + columns[t][node]] = trees[t].weights[p];
    }

    int64_t size() const { return static_cast<int64_t>(bias_.size()); }

    void score(const Rows& rows, int64_t i, float* scores) const {
        std::copy(bias_.begin(), bias_.end(), scores);
        each_entry(rows, i, [&](int32_t feature, float x) { add(feature, x, scores); });
    }

    std::vector<std::vector<int32_t>> columns;  // column of each of a tree's first nodes; -1 for a node without a vector

  private:
    static constexpr int64_t MAX_COLUMNS = 16;  // columns per tree, at most
    static constexpr int64_t MAX_BYTES = int64_t{1} << 25;

    void choose(const PointTree& tree, int64_t n) {
        columns.emplace_back();
        for (int64_t node = 0, last = 0; n > 0 && node <= last; node++) {
            last = std::max(last, tree.child_ptr[node + 1] - 1);
            const bool empty = tree.router_ptr[node] == tree.router_ptr[node + 1];
            columns.back().push_back(empty ? -1 : static_cast<int32_t>(size()));
            if (empty) continue;
            bias_.push_back(tree.bias[node]);
            n--;
        }
    }

    void add(int64_t feature, float x, float* __restrict__ scores) const {
        const float* weights = weights_.data() + feature * size();
        for (int64_t c = 0; c < size(); c++) scores[c] += x * weights[c];
    }

    const int64_t d_;
    std::vector<float> bias_;  // bias of each column
    std::vector<float> weights_;  // (d, size())
};

// Walks rows side by side through one tree, so that one waits for memory while others move.
class Walker {
  public:
    // `columns` holds the columns of the first nodes, whose scores are known already. It may be empty.
    Walker(const PointTree& tree, const std::vector<int32_t>& columns) : tree_(tree), columns_(columns) {}

    // `scores` has `stride` numbers for each row.
    void walk(const DenseRows& rows, int64_t n, const float* scores, int64_t stride, int64_t* leaves) {
        int64_t active[GROUP];
        int64_t n_active = n;
        for (int64_t g = 0; g < n; g++) {
            active[g] = g;
            leaves[g] = 0;
        }
        while (n_active) {
            int64_t still = 0;
            for (int64_t a = 0; a < n_active; a++) {
                const int64_t node = leaves[active[a]];
                if (tree_.child_ptr[node] == tree_.child_ptr[node + 1]) {
                    __builtin_prefetch(tree_.label_ptr + node);
                    continue;
                }
                __builtin_prefetch(tree_.router_ptr + tree_.child_ptr[node]);
                active[still++] = active[a];
            }
            n_active = still;
            for (int64_t a = 0; a < n_active; a++) {
                const int64_t p = tree_.router_ptr[tree_.child_ptr[leaves[active[a]]]];
                __builtin_prefetch(tree_.features + p);
                __builtin_prefetch(tree_.weights + p);
            }
            for (int64_t a = 0; a < n_active; a++) {
                const int64_t g = active[a];
                leaves[g] = best_child(leaves[g], rows.row(g), scores + g * stride);
                __builtin_prefetch(tree_.child_ptr + leaves[g]);
            }
        }
    }

  private:
    // Ties go to the first child.
    int64_t best_child(int64_t node, const float* x, const float* scores) const {
        const int64_t begin = tree_.child_ptr[node], end = tree_.child_ptr[node + 1];
        int64_t chosen = begin;
        float best = score(begin, x, scores);
        for (int64_t child = begin + 1; child < end; child++) {
            const float found = score(child, x, scores);
            if (found > best) {
                best = found;
                chosen = child;
            }
        }
        return chosen;
    }

    float score(int64_t child, const float* x, const float* scores) const {
        if (child < static_cast<int64_t>(columns_.size()) && columns_[child] >= 0) return scores[columns_[child]];
        float score = tree_.bias[child];
        for (int64_t p = tree_.router_ptr[child]; p < tree_.router_ptr[child + 1]; p++) score += tree_.weights[p] * x[tree_.features[p]];
        return score;
    }

    const PointTree& tree_;
    const std::vector<int32_t>& columns_;
};

// The leaves of all rows in one tree.
inline void route(const PointTree& tree, const Rows& rows, const volatile uint8_t* stop, int64_t* leaves) {
    const std::vector<int32_t> no_columns;
    DenseRows dense(rows);
    for (int64_t first = 0; first < rows.n && !*stop; first += GROUP) {
        const int64_t n = std::min(GROUP, rows.n - first);
        dense.enter(first, n);
        Walker(tree, no_columns).walk(dense, n, nullptr, 0, leaves + first);
        dense.leave();
    }
}

struct Forest {
    Forest(std::vector<PointTree> all, int64_t d) : trees(std::move(all)), first_nodes(trees, d) {}
    const std::vector<PointTree> trees;
    const FirstNodes first_nodes;
};

struct RankTask {
    Rows rows;
    int64_t n_labels = 0;
    const uint8_t* allowed = nullptr;  // (n_labels,) or nullptr if all are allowed
    Best best;
    const volatile uint8_t* stop = nullptr;
};

// The best labels of each row by the mean of their shares in its leaves.
inline void rank_labels(const Forest& forest, const RankTask& task) {
    const std::vector<PointTree>& trees = forest.trees;
    const int64_t n_trees = static_cast<int64_t>(trees.size()), stride = forest.first_nodes.size();
    DenseRows dense(task.rows);
    std::vector<float> scores(std::min(GROUP, task.rows.n) * stride);
    std::vector<int64_t> leaves(n_trees * GROUP);
    LabelSums sums(task.n_labels, task.allowed);
    for (int64_t first = 0; first < task.rows.n && !*task.stop; first += GROUP) {
        const int64_t n = std::min(GROUP, task.rows.n - first);
        dense.enter(first, n);
        for (int64_t g = 0; g < n; g++) forest.first_nodes.score(task.rows, first + g, scores.data() + g * stride);
        for (int64_t t = 0; t < n_trees; t++)
            Walker(trees[t], forest.first_nodes.columns[t]).walk(dense, n, scores.data(), stride, leaves.data() + t * GROUP);
        dense.leave();
        for (int64_t g = 0; g < n; g++) {
            for (int64_t t = 0; t < n_trees; t++) {
                if (t + AHEAD < n_trees) {
                    const int64_t p = trees[t + AHEAD].label_ptr[leaves[(t + AHEAD) * GROUP + g]];
                    __builtin_prefetch(trees[t + AHEAD].labels + p);
                    __builtin_prefetch(trees[t + AHEAD].shares + p);
                }
                const PointTree& tree = trees[t];
                const int64_t leaf = leaves[t * GROUP + g];
                for (int64_t p = tree.label_ptr[leaf]; p < tree.label_ptr[leaf + 1]; p++) sums.add(tree.labels[p], tree.shares[p]);
            }
            const int64_t i = first + g;
            sums.take_best(static_cast<float>(n_trees), task.best, i);
        }
    }
}

// Means of the label vectors of some rows, leaf by leaf; the largest entries are kept, ascending by label.
struct LeafTask {
    const int64_t* indptr = nullptr;  // labels of each row
    const int32_t* indices = nullptr;
    const float* weights = nullptr;  // weight of each label
    int64_t n_labels = 0;
    int64_t n_leaves = 0;
    const int64_t* point_ptr = nullptr;  // (n_leaves + 1,)
    const int32_t* points = nullptr;
    int64_t max_labels = 0;
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
