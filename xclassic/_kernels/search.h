// Search for the best labels of rows in trees of linear models. This file decides which nodes are scored; their scores come from the
// block engine.
#pragma once
#include "submatrix.h"

#include <algorithm>
#include <cmath>
#include <queue>

namespace xclassic {

struct Tree {
    Chunks chunks;  // one chunk for each inner node
    const int64_t* child_ptr = nullptr;  // (n_nodes + 1,)
    const int32_t* label = nullptr;  // (n_nodes,) -1 for inner nodes
    const int32_t* chunk_of = nullptr;  // (n_nodes,) chunk of each inner node
    const uint8_t* allowed = nullptr;  // (n_nodes,) whether a prediction may lie at or under the node, or nullptr if all may
    const float* weights = nullptr;  // (n_nodes,) weight of a label, and the largest under an inner node; or nullptr
    const float* log_weights = nullptr;  // (n_nodes,) their logarithms, set for inner nodes; nullptr if the beam holds all nodes
};

// Weights of labels as a search reads them.
class NodeWeights {
  public:
    NodeWeights(const Tree& tree, int64_t n_nodes, const float* label_weights) : weights_(n_nodes), logs_(n_nodes) {
        for (int64_t node = n_nodes - 1; node >= 0; node--) {  // Children come after their parent.
            const int32_t label = tree.label[node];
            if (label >= 0) {
                weights_[node] = label_weights[label];
                continue;
            }
            const float* first = weights_.data() + tree.child_ptr[node];
            const float* end = weights_.data() + tree.child_ptr[node + 1];
            weights_[node] = first == end ? 0.f : *std::max_element(first, end);
            logs_[node] = std::log(weights_[node]);
        }
    }
    void give(Tree& tree, bool all_kept) const {
        tree.weights = weights_.data();
        tree.log_weights = all_kept ? nullptr : logs_.data();
    }

  private:
    std::vector<float> weights_, logs_;
};

struct Reached {
    int32_t row, node;
    float score;  // a log-score
    int32_t rank;  // rank among the nodes that the row reached on this level, best first; -1 for a node that only its weight keeps
};

constexpr int64_t QUERIES = 32;  // rows scored against a node in one call

template <typename Id>
inline bool precedes(float score, Id id, float other, Id other_id) {
    return score > other || (score == other && id < other_id);
}

// The k best (score, id) pairs of each row, best first.
template <typename Id>
class BestPairs {
  public:
    BestPairs(int64_t n, int64_t k) : k_(k), count_(n), ids_(n * k), scores_(n * k) {}
    int64_t count(int64_t row) const { return count_[row]; }
    Id id(int64_t row, int64_t slot) const { return ids_[row * k_ + slot]; }
    bool holds(int64_t row, Id id) const {
        const Id* first = ids_.data() + row * k_;
        return std::find(first, first + count_[row], id) != first + count_[row];
    }
    float score(int64_t row, int64_t slot) const { return scores_[row * k_ + slot]; }
    // The score below which nothing can enter any more.
    float bar(int64_t row) const { return count_[row] < k_ ? -INFINITY : scores_[row * k_ + k_ - 1]; }
    void clear() { std::fill(count_.begin(), count_.end(), 0); }
    void offer(int64_t row, Id id, float score) {
        Id* ids = ids_.data() + row * k_;
        float* scores = scores_.data() + row * k_;
        int64_t slot = count_[row];
        if (slot == k_) {
            if (!precedes(score, id, scores[k_ - 1], ids[k_ - 1])) return;
            slot = k_ - 1;
        } else {
            count_[row]++;
        }
        for (; slot > 0 && precedes(score, id, scores[slot - 1], ids[slot - 1]); slot--) {
            scores[slot] = scores[slot - 1];
            ids[slot] = ids[slot - 1];
        }
        scores[slot] = score;
        ids[slot] = id;
    }

  private:
    int64_t k_;
    std::vector<int64_t> count_;
    std::vector<Id> ids_;
    std::vector<float> scores_;
};

using BestOfRow = BestPairs<int32_t>;

// A node and its log-score, where it is ranked by something else.
struct ScoredNode {
    int32_t node;
    float score;
    bool operator<(const ScoredNode& other) const { return node < other.node; }
};

using BestBounds = BestPairs<ScoredNode>;

// Means over trees of the probabilities, where a label that a tree did not score counts as 0.
class Ensemble {
  public:
    Ensemble(int64_t n, int64_t n_labels) : n_(n), sums_(n_labels) {}

    // Takes the probabilities of the children of a node. Children that are not labels, or not allowed, are skipped later.
    void add(int32_t row, const Tree& tree, int64_t first_child, int64_t n_children, const float* probabilities) {
        blocks_.push_back({row, static_cast<int32_t>(n_children), tree.label + first_child,
                           tree.allowed ? tree.allowed + first_child : nullptr, probabilities_.size()});
        probabilities_.insert(probabilities_.end(), probabilities, probabilities + n_children);
    }

    // With `label_weights`, the best by the product of mean and weight.
    void best(int64_t n_trees, const float* label_weights, BestOfRow& best) {
        std::vector<size_t> first(n_ + 1);
        for (const Block& block : blocks_) first[block.row + 1]++;
        for (int64_t row = 0; row < n_; row++) first[row + 1] += first[row];
        std::vector<const Block*> sorted(blocks_.size());
        for (const Block& block : blocks_) sorted[first[block.row]++] = &block;  // This keeps the order of the trees.
        size_t begin = 0;
        for (int64_t row = 0; row < n_; row++) {
            const size_t end = first[row];
            for (size_t b = begin; b < end; b++)
                each(*sorted[b], [&](int32_t label, float probability) { sums_[label] += probability; });
            for (size_t b = begin; b < end; b++)
                each(*sorted[b], [&](int32_t label, float) {
                    if (sums_[label] == 0) return;  // The label was offered already: no probability is 0.
                    const float mean = sums_[label] / static_cast<float>(n_trees);
                    best.offer(row, label, label_weights ? mean * label_weights[label] : mean);
                    sums_[label] = 0;
                });
            begin = end;
        }
    }

  private:
    struct Block {
        int32_t row, n_children;
        const int32_t* label;
        const uint8_t* allowed;
        size_t first;  // position of its first probability
    };

    template <typename Visit>
    void each(const Block& block, Visit visit) const {
        for (int32_t j = 0; j < block.n_children; j++)
            if (block.label[j] >= 0 && (!block.allowed || block.allowed[j])) visit(block.label[j], probabilities_[block.first + j]);
    }

    int64_t n_;
    std::vector<float> sums_, probabilities_;
    std::vector<Block> blocks_;
};

class TreeSearch {
  public:
    TreeSearch(const Rows& rows, int32_t score, const Level* level, const volatile uint8_t* stop)
        : rows_(rows),
          score_(score),
          level_(level),
          stop_(stop),
          entries_per_row_(rows.indices ? rows.indptr[rows.n] / std::max<int64_t>(rows.n, 1) : rows.d) {}

    // Nodes are compared by log-scores, which do not run out of range on long paths, and labels by probabilities, which are the
    // predictions.
    //
    // The search keeps the `beam` best nodes of each row on each level. With `best`, labels go there, and paths end that cannot enter
    // it any more (contributions are never positive). Without it all labels that were scored go to `ensemble`.
    //
    // With weights, labels are compared by probability times weight, and a second beam keeps the nodes best by what a label under
    // them can reach: log-score plus logarithm of the largest weight. The first beam stays, so that no label is lost by weights.
    void beam(const Tree& tree, int64_t beam, BestOfRow* best, Ensemble* ensemble) {
        std::vector<Reached> reached, later;
        for (int32_t row = 0; row < rows_.n; row++)
            if (!tree.allowed || tree.allowed[0]) reached.push_back({row, 0, 0.f, 0});
        BestOfRow next(rows_.n, beam);
        BestBounds bounds(tree.log_weights ? rows_.n : 0, beam);
        while (!reached.empty() && !*stop_) {
            next.clear();
            bounds.clear();
            // The best node of a row is opened first: its labels may show that the others need no look.
            split_first(reached, later, best != nullptr);
            expand(tree, reached, next, bounds, best, ensemble);
            if (!later.empty()) expand(tree, later, next, bounds, best, ensemble);
            reached.clear();
            for (int32_t row = 0; row < rows_.n; row++) {
                for (int32_t slot = 0; slot < next.count(row); slot++)
                    reached.push_back({row, next.id(row, slot), next.score(row, slot), slot});
                for (int32_t slot = 0; tree.log_weights && slot < bounds.count(row); slot++) {
                    const ScoredNode kept = bounds.id(row, slot);
                    if (!next.holds(row, kept.node)) reached.push_back({row, kept.node, kept.score, -1});
                }
            }
        }
    }

    // The labels of one row in the exact order of their scores. Nodes are opened best first, and as no contribution is positive, a
    // label that comes up is better than all that are still hidden. The search ends after k labels.
    void exact(const Tree& tree, int32_t row, int64_t k, BestOfRow& best) {
        struct Waiting {
            float score;  // a probability; for a node, an upper bound on that of a label under it
            int32_t label, node;  // Label -1 means a node, which precedes equals since it may hide smaller labels.
            float log_score;
            bool operator<(const Waiting& other) const {
                return precedes(other.score, other.label, score, label) ||
                       (score == other.score && label == other.label && node > other.node);
            }
        };
        std::priority_queue<Waiting> waiting;
        if (!tree.allowed || tree.allowed[0]) waiting.push({tree.weights ? tree.weights[0] : 1.f, -1, 0, 0.f});
        while (!waiting.empty() && k > 0 && !*stop_) {
            const Waiting top = waiting.top();
            waiting.pop();
            if (top.label >= 0) {
                best.offer(row, top.label, top.score);
                k--;
                continue;
            }
            const Reached one{row, top.node, top.log_score, 0};
            score(tree, &one, 1, false);
            for (int64_t child = tree.child_ptr[top.node], at = 0; child < tree.child_ptr[top.node + 1]; child++, at++) {
                const int32_t label = tree.label[child];
                const float log_score = scores_.get(0)[at], probability = probabilities_.get(0)[at];
                const float weight = tree.weights ? tree.weights[child] : 1.f;
                if (!tree.allowed || tree.allowed[child])
                    waiting.push(
                        {weight * (label < 0 ? bound(log_score) : probability), label, static_cast<int32_t>(child), log_score});
            }
        }
    }

  private:
    // Upper bound on the probability of a label under a node, with a margin for the rounding of the exponential.
    static float bound(float log_score) { return std::exp(std::max(log_score, -87.f)) * 1.00001f; }

    void split_first(std::vector<Reached>& reached, std::vector<Reached>& later, bool by_rank) const {
        later.clear();
        if (!by_rank) return;
        auto middle = std::stable_partition(reached.begin(), reached.end(), [](const Reached& r) { return r.rank == 0; });
        later.assign(middle, reached.end());
        reached.erase(middle, reached.end());
    }

    void expand(const Tree& tree, std::vector<Reached>& reached, BestOfRow& next, BestBounds& bounds, BestOfRow* best,
                Ensemble* ensemble) {
        if (best)
            reached.erase(std::remove_if(reached.begin(), reached.end(),
                                         [&tree, best](const Reached& r) {
                                             const float weight = tree.weights ? tree.weights[r.node] : 1.f;
                                             return weight * bound(r.score) < best->bar(r.row);
                                         }),
                          reached.end());
        std::sort(reached.begin(), reached.end(), [](const Reached& a, const Reached& b) {
            return a.node < b.node || (a.node == b.node && a.row < b.row);
        });
        for (size_t first = 0; first < reached.size() && !*stop_;) {
            size_t last = first;
            while (last < reached.size() && reached[last].node == reached[first].node) last++;
            open(tree, reached.data() + first, static_cast<int64_t>(last - first), next, bounds, best, ensemble);
            first = last;
        }
    }

    // Scores the children of one node for the rows that reached it.
    void open(const Tree& tree, const Reached* reached, int64_t n, BestOfRow& next, BestBounds& bounds, BestOfRow* best,
              Ensemble* ensemble) {
        const int64_t c = tree.chunk_of[reached->node], n_rows = tree.chunks.chunk_feature_ptr[c + 1] - tree.chunks.chunk_feature_ptr[c];
        // Filling the table costs about a tenth of a search for each feature row of the chunk.
        const bool tabulate = n * entries_per_row_ * 10 > n_rows;
        if (tabulate) fill_lookup(tree, c, true);
        const int64_t begin = tree.child_ptr[reached->node], end = tree.child_ptr[reached->node + 1];
        const int64_t stride = (tree.chunks.chunk_group_ptr[c + 1] - tree.chunks.chunk_group_ptr[c]) * LANES;
        for (int64_t first = 0; first < n; first += QUERIES) {
            const int64_t count = std::min(QUERIES, n - first);
            score(tree, reached + first, count, tabulate);
            for (int64_t q = 0; q < count; q++) {
                const int32_t row = reached[first + q].row;
                const float* scores = scores_.get(0) + q * stride;
                const float* probabilities = probabilities_.get(0) + q * stride;
                if (ensemble) ensemble->add(row, tree, begin, end - begin, probabilities);
                if (tree.weights) {
                    offer_weighed(tree, reached[first + q], scores, probabilities, next, bounds, best);
                    continue;
                }
                for (int64_t child = begin; child < end; child++) {
                    const int32_t label = tree.label[child];
                    if (tree.allowed && !tree.allowed[child]) continue;
                    if (label < 0) next.offer(row, static_cast<int32_t>(child), scores[child - begin]);
                    else if (best) best->offer(row, label, probabilities[child - begin]);
                }
            }
        }
        if (tabulate) fill_lookup(tree, c, false);
    }

    // Offers the children of a node, as `open` does without weights.
    static void offer_weighed(const Tree& tree, const Reached& parent, const float* scores, const float* probabilities, BestOfRow& next,
                              BestBounds& bounds, BestOfRow* best) {
        const int64_t begin = tree.child_ptr[parent.node], end = tree.child_ptr[parent.node + 1];
        for (int64_t child = begin; child < end; child++) {
            const int32_t label = tree.label[child], node = static_cast<int32_t>(child);
            const float score = scores[child - begin];
            if (tree.allowed && !tree.allowed[child]) continue;
            if (label >= 0) {
                if (best) best->offer(parent.row, label, probabilities[child - begin] * tree.weights[child]);
                continue;
            }
            if (parent.rank >= 0) next.offer(parent.row, node, score);
            if (tree.log_weights) bounds.offer(parent.row, {node, score}, score + tree.log_weights[child]);
        }
    }

    void fill_lookup(const Tree& tree, int64_t c, bool in) {
        if (lookup_.empty()) lookup_.assign(rows_.d, -1);
        for (int64_t row = tree.chunks.chunk_feature_ptr[c]; row < tree.chunks.chunk_feature_ptr[c + 1]; row++)
            lookup_[tree.chunks.features[row]] = in ? static_cast<int32_t>(row - tree.chunks.chunk_feature_ptr[c]) : -1;
    }

    void score(const Tree& tree, const Reached* reached, int64_t n, bool tabulated) {
        const int64_t c = tree.chunk_of[reached->node];
        const int64_t n_groups = tree.chunks.chunk_group_ptr[c + 1] - tree.chunks.chunk_group_ptr[c];
        for (int64_t q = 0; q < n; q++) {
            queries_[q] = reached[q].row;
            parents_[q] = reached[q].score;
        }
        ChildrenTask task{};
        task.rows = rows_;
        task.chunks = tree.chunks;
        task.chunk = c;
        task.n_children = tree.child_ptr[reached->node + 1] - tree.child_ptr[reached->node];
        task.n_queries = n;
        task.queries = queries_;
        task.parent_scores = parents_;
        task.score = score_;
        task.lookup = tabulated ? lookup_.data() : nullptr;
        task.scores = scores_.get(n * n_groups * LANES);
        task.probabilities = probabilities_.get(n * n_groups * LANES);
        level_->score_children(task);
    }

    const Rows& rows_;
    int32_t score_;
    const Level* level_;
    const volatile uint8_t* stop_;
    int64_t entries_per_row_;
    std::vector<int32_t> lookup_;
    Scratch<float> scores_, probabilities_;
    int32_t queries_[QUERIES];
    float parents_[QUERIES];
};

}  // namespace xclassic
