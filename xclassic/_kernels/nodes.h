// Training of tree nodes: the children of a node, over the rows that reach it and the features that occur there. The solvers come
// from the block engine; this file cuts a node's problem out of the whole and gathers the weights into one chunk.
#pragma once
#include "submatrix.h"

#include <cmath>
#include <numeric>

namespace xclassic {

constexpr float INERT = 1e-9f;  // Cost of a pair that must not count. A cost of zero would divide by zero.

struct NodeTask {
    Rows rows;  // the whole matrix, features numbered by descending frequency
    const float* square_norms = nullptr;  // (n,) squared norm of each row, constant feature included
    const int32_t* feature_of = nullptr;  // (d,) the user's number of each feature
    int64_t n_features = 0;  // number of the user's features
    int64_t n_nodes = 0;
    const int64_t* row_ptr = nullptr;  // (n_nodes + 1,)
    const int32_t* node_rows = nullptr;  // rows that reach each node, ascending
    const float* row_mass = nullptr;  // weight of each of these rows, or nullptr for ones
    const int64_t* child_ptr = nullptr;  // (n_nodes + 1,)
    const int64_t* positive_ptr = nullptr;  // (n_children + 1,)
    const int32_t* positives = nullptr;  // rows of each child, ascending, among the rows of the node
    const float* positive_mass = nullptr;  // share of the row's weight that belongs to the child, or nullptr for all of it
    const uint64_t* seeds = nullptr;  // (n_nodes,)
    int32_t loss = 0;
    float cost = 0;  // cost of an error; for least squares the ridge penalty
    float negative_cost = 1;  // factor of the cost of a negative; not for least squares and softmax
    const float* child_costs = nullptr;  // (n_children,) factor of all costs of each child, or nullptr; not for these two either
    float eps = 0;
    int32_t max_passes = 0;
    float prune = 0;
    const Level* level = nullptr;
    const volatile uint8_t* stop = nullptr;
};

// Finished chunks, chunk by chunk; pointers count from the start of the task.
struct ChunkParts {
    std::vector<int64_t> chunk_feature_ptr{0}, chunk_cell_ptr{0}, chunk_value_ptr{0};
    std::vector<int32_t> features;
    std::vector<uint32_t> feature_cell_ptr, feature_value_ptr;  // first cell and value of each feature row
    std::vector<uint16_t> cell_groups, cell_masks;
    std::vector<float> values;
    std::vector<float> bias;  // bias of each child
    std::vector<double> residuals;  // residual of each child
};

class NodeTrainer {
  public:
    NodeTrainer(const NodeTask& task, ChunkParts& out)
        : task_(task), out_(out), part_(task.rows), written_(task.n_features), local_row_(task.rows.n) {}

    void train_all() {
        for (int64_t node = 0; node < task_.n_nodes && !*task_.stop; node++) train_node(node);
    }

  private:
    struct Cell {
        int32_t feature;  // the user's number of the feature
        uint16_t group, mask;
        int64_t value;  // its first value in node_values_
    };

    void train_node(int64_t node) {
        const int32_t* ids = task_.node_rows + task_.row_ptr[node];
        n_ = task_.row_ptr[node + 1] - task_.row_ptr[node];
        part_.cut(ids, n_, task_.positive_mass != nullptr);
        float* norms = norms_.get(2 * n_);
        for (int64_t i = 0; i < n_; i++) {
            norms[i] = task_.square_norms[ids[i]];
            local_row_[ids[i]] = static_cast<int32_t>(i);
        }
        cells_.clear();
        node_values_.clear();
        const int64_t begin = task_.child_ptr[node], n_children = task_.child_ptr[node + 1] - begin;
        for (int64_t first = 0; first < n_children && !*task_.stop; first += LANES) {
            const int used = static_cast<int>(std::min<int64_t>(LANES, n_children - first));
            train_group(node, begin + first, used, static_cast<uint16_t>(first / LANES));
        }
        write_chunk();
    }

    void train_group(int64_t node, int64_t first_child, int used, uint16_t group) {
        const int width = lane_width(used);
        part_.rows.n = n_;
        float* W = W_.get((part_.rows.d + 1) * width);
        double residuals[LANES] = {};
        if (task_.loss == LEAST_SQUARES) fit_ridge(node, first_child, used, width, W, residuals);
        else fit_margins(node, first_child, used, width, W, residuals);
        for (int lane = 0; lane < used; lane++) {
            out_.bias.push_back(part_.rows.bias * W[part_.rows.d * width + lane]);
            out_.residuals.push_back(residuals[lane]);
        }
        keep_cells(W, width, used, group);
    }

    void fit_margins(int64_t node, int64_t first_child, int used, int width, float* W, double* residuals) {
        TrainTask block{};
        uint16_t* targets = targets_.get(2 * n_);
        std::memset(targets, 0, sizeof(uint16_t) * 2 * n_);
        float positive_costs[LANES], negative_costs[LANES];
        for (int lane = 0; lane < LANES; lane++) {
            positive_costs[lane] = task_.cost * (task_.child_costs && lane < used ? task_.child_costs[first_child + lane] : 1.f);
            negative_costs[lane] = positive_costs[lane] * task_.negative_cost;
        }
        if (task_.positive_mass) {
            block.pair_costs = grade(node, first_child, used, width, targets, positive_costs, negative_costs);
        } else {
            for (int lane = 0; lane < used; lane++)
                for (int64_t p = task_.positive_ptr[first_child + lane]; p < task_.positive_ptr[first_child + lane + 1]; p++)
                    targets[local_row_[task_.positives[p]]] |= static_cast<uint16_t>(1 << lane);
            block.row_weights = mass_of(node);
        }
        const int64_t n = part_.rows.n;
        int64_t counts[N_COUNTS];
        block.rows = part_.rows;
        block.square_norms = norms_.get(0);
        block.targets = targets;
        block.positive_costs = positive_costs;
        block.negative_costs = negative_costs;
        block.width = width;
        block.lanes_used = used;
        block.loss = task_.loss;
        block.max_passes = task_.max_passes;
        block.eps = task_.eps;
        block.seed = task_.seeds[node];
        block.W = W;
        block.alpha = alpha_.get(n * width);
        block.spare = spare_.get(spare_size(part_.rows.d, width));
        block.active = active_.get(n);
        block.order = order_.get(order_size(n));
        block.gaps = residuals;
        block.counts = counts;
        block.stop = task_.stop;
        task_.level->train(block);
    }

    // Targets and costs where a child has a share of a row's mass: the share is positive, the rest negative. A row of which a child
    // has only a share enters twice.
    float* grade(int64_t node, int64_t first_child, int used, int width, uint16_t* targets, const float* positive_costs,
                 const float* negative_costs) {
        const float* mass = mass_of(node);
        float* costs = costs_.get(2 * n_ * width);
        int32_t* twin = twin_.get(n_);
        std::fill(twin, twin + n_, -1);
        for (int64_t i = 0; i < n_; i++)
            for (int lane = 0; lane < width; lane++) costs[i * width + lane] = negative_costs[lane] * mass[i];
        for (int lane = 0; lane < used; lane++) {
            for (int64_t p = task_.positive_ptr[first_child + lane]; p < task_.positive_ptr[first_child + lane + 1]; p++) {
                const int32_t i = local_row_[task_.positives[p]];
                const float share = task_.positive_mass[p], rest = mass[i] - share;
                if (rest <= 1e-6f * mass[i]) {
                    targets[i] |= static_cast<uint16_t>(1 << lane);
                    costs[i * width + lane] = positive_costs[lane] * mass[i];
                    continue;
                }
                if (twin[i] < 0) {
                    twin[i] = static_cast<int32_t>(part_.rows.n);
                    part_.repeat(i);
                    norms_.get(0)[twin[i]] = norms_.get(0)[i];
                    std::fill(costs + int64_t{twin[i]} * width, costs + (int64_t{twin[i]} + 1) * width, INERT);
                }
                targets[twin[i]] |= static_cast<uint16_t>(1 << lane);
                costs[i * width + lane] = std::max(negative_costs[lane] * rest, INERT);
                costs[int64_t{twin[i]} * width + lane] = std::max(positive_costs[lane] * share, INERT);
            }
        }
        return costs;
    }

    const float* mass_of(int64_t node) const {
        return task_.row_mass ? task_.row_mass + task_.row_ptr[node] : nullptr;
    }

    void fit_ridge(int64_t node, int64_t first_child, int used, int width, float* W, double* residuals) {
        const int64_t size = (part_.rows.d + 1) * width;
        sum_squares(mass_of(node));
        int64_t ptr[LANES + 1] = {0};
        float targets[LANES] = {};  // targets of the positives of each lane
        positives_.clear();
        for (int lane = 0; lane < width; lane++) {
            if (lane < used) {
                targets[lane] = 1;
                for (int64_t p = task_.positive_ptr[first_child + lane]; p < task_.positive_ptr[first_child + lane + 1]; p++)
                    positives_.push_back(local_row_[task_.positives[p]]);
            }
            ptr[lane + 1] = static_cast<int64_t>(positives_.size());
        }
        float* scratch = alpha_.get(3 * size);
        int64_t counts[1];
        RidgeTask block{};
        block.rows = part_.rows;
        block.diagonal = diagonal_.get(0);
        block.ridge = task_.cost;
        block.width = width;
        block.max_sweeps = task_.max_passes;
        block.tolerance = task_.eps;
        block.positive_ptr = ptr;
        block.positives = positives_.data();
        block.target_values = targets;
        block.row_weights = mass_of(node);
        block.W = W;
        block.residual = scratch;
        block.direction = scratch + size;
        block.product = scratch + 2 * size;
        block.residuals = residuals;
        block.counts = counts;
        block.stop = task_.stop;
        task_.level->ridge(block);
    }

    void sum_squares(const float* mass) {
        const int64_t d = part_.rows.d;
        float* diagonal = diagonal_.get(d + 1);
        std::fill(diagonal, diagonal + d, task_.cost);
        const float total = mass ? static_cast<float>(std::accumulate(mass, mass + n_, 0.0)) : static_cast<float>(n_);
        diagonal[d] = task_.cost + total * part_.rows.bias * part_.rows.bias;
        for (int64_t i = 0; i < n_; i++) {
            const float weight = mass ? mass[i] : 1.f;
            if (part_.rows.indices) {
                const Entries row = entries_of(part_.rows, i);
                for (int64_t p = 0; p < row.n; p++) diagonal[row.indices[p]] += weight * row.values[p] * row.values[p];
            } else {
                const float* row = part_.rows.values + i * d;
                for (int64_t f = 0; f < d; f++) diagonal[f] += weight * row[f] * row[f];
            }
        }
    }

    void keep_cells(const float* W, int width, int used, uint16_t group) {
        const int64_t d = part_.rows.d, first = static_cast<int64_t>(node_values_.size());
        uint16_t* masks = masks_.get(d);
        float* values = alpha_.get(kept_size(d, width));  // The dual variables have done their work.
        const int64_t n_values = task_.level->keep({W, d, width, used, task_.prune, masks, values});
        node_values_.insert(node_values_.end(), values, values + n_values);
        for (int64_t f = 0, value = first; f < d; f++) {
            if (!masks[f]) continue;
            cells_.push_back({task_.feature_of[part_.features[f]], group, masks[f], value});
            value += __builtin_popcount(masks[f]);
        }
    }

    // Sorts the cells by feature, then group, and appends them as a chunk.
    void write_chunk() {
        written_.clear();
        for (const Cell& cell : cells_) written_.add(cell.feature);
        const int64_t n_rows = written_.count_ranks(), n_cells = static_cast<int64_t>(cells_.size());
        first_.assign(n_rows + 1, 0);
        for (const Cell& cell : cells_) first_[written_.rank(cell.feature) + 1]++;
        for (int64_t r = 0; r < n_rows; r++) first_[r + 1] += first_[r];
        sorted_.resize(n_cells);
        for (const Cell& cell : cells_) sorted_[first_[written_.rank(cell.feature)]++] = &cell;
        int32_t feature = -1;
        for (const Cell* cell : sorted_) {
            if (cell->feature != feature) {
                feature = cell->feature;
                out_.features.push_back(feature);
                out_.feature_cell_ptr.push_back(static_cast<uint32_t>(out_.cell_masks.size()));
                out_.feature_value_ptr.push_back(static_cast<uint32_t>(out_.values.size()));
            }
            out_.cell_groups.push_back(cell->group);
            out_.cell_masks.push_back(cell->mask);
            const float* value = node_values_.data() + cell->value;
            out_.values.insert(out_.values.end(), value, value + __builtin_popcount(cell->mask));
        }
        out_.chunk_feature_ptr.push_back(static_cast<int64_t>(out_.features.size()));
        out_.chunk_cell_ptr.push_back(static_cast<int64_t>(out_.cell_masks.size()));
        out_.chunk_value_ptr.push_back(static_cast<int64_t>(out_.values.size()));
    }

    const NodeTask& task_;
    ChunkParts& out_;
    SubMatrix part_;
    RankedSet written_;
    std::vector<int32_t> local_row_;
    std::vector<int32_t> positives_;
    std::vector<Cell> cells_;
    std::vector<const Cell*> sorted_;
    std::vector<float> node_values_;
    std::vector<int64_t> first_;
    int64_t n_ = 0;  // rows of the node; rows that enter twice count once
    Scratch<float> W_, alpha_, spare_, norms_, costs_, diagonal_;
    Scratch<int32_t> order_, twin_;
    Scratch<uint16_t> targets_, active_, masks_;
};

}  // namespace xclassic
