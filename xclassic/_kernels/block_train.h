// Dual coordinate descent on a block of labels (Hsieh et al., ICML 2008, for the squared hinge; Yu, Huang and Lin, MLJ 2011, for
// the logistic loss), N labels per visit of a row. Part of block_engine.h. `tests/helpers/naive/blocks.py` does the same for one
// label in numpy, in some fifty lines: read it first.
//
// A visit costs one pass over the row whether or not any lane moves, and on long-tailed data hardly any lane does: a rare label has
// few rows near its boundary. So *passes* over all rows alternate with *sweeps* over the active ones. A pass only reads: it measures
// each lane's duality gap, which decides whether the lane is done, and finds the rows that some lane still has to move. The sweeps
// move. They begin with a sample, since from w = 0 the first rows would take all the weight that belongs to the average negative.
//
// Sweeps visit rows in random order. In a fixed order coordinate descent crawls here: every row carries the constant feature, so the
// dual has one dominant direction, the worst case of cyclic descent (Sun and Ye, Math. Programming 2021). Neighbors in memory
// move together in the shuffle (GROUP), which keeps memory access nearly sequential and costs no convergence.
//
// What a lane becomes must not depend on the other lanes of its block, so that a label gets the same weights alone, in a shard and
// among all labels, bit for bit. Hence all rows are shuffled, for each sweep by a state of its own, and the block visits those that
// some lane has to move; a lane sees its own rows in that order, whatever rows come between. A lane counts sweeps as the block
// does, since all start together, and it takes part in no sweep after it rests until the next pass.

// With an l1 penalty w is the soft threshold of v = sum of t alpha x, which the kernel stores until the end; the constant feature has
// no such penalty. Since the threshold moves by no more than v does, the step of the plain squared hinge stays an ascent.

constexpr int SPARSE_HINGE = N_LOSSES;  // the squared hinge with an l1 penalty

constexpr int AHEAD = 6;  // rows prefetched before their visit
constexpr int SWEEPS_PER_PASS = 5;
constexpr int SAMPLE_SWEEPS = 3;
constexpr int SAMPLE_SHARE = 16;  // The start uses a label's positives and one row in this many.
constexpr uint64_t SAMPLE = ~0ULL >> 1;  // number of the random state that draws them; sweeps have the numbers from 0 on
constexpr float SLACK = 0.02f;  // A row leaves the active set when its gradient exceeds this at alpha = 0 (logistic: is below it).
constexpr float RESTING = 0.05f;  // Spread of gradients at which a lane rests until the next pass (or 10 eps, if less).
constexpr float STILL = 0.1f;  // A gradient below this share of eps moves nothing.
constexpr int NEWTON_STEPS = 6;

template <int N>
struct Solver {
    const TrainTask& task;
    uint32_t live;  // lanes still being trained
    F<N> positive_costs, negative_costs;
    F<N> largest, smallest;  // extremes of the projected gradients in the current sweep
    float still, resting, slack;
};

template <int N>
XC_FN Solver<N> start_solver(const TrainTask& task, uint32_t live) {
    Solver<N> s{task, live, load<N>(task.positive_costs), load<N>(task.negative_costs), {}, {}, 0, 0, 0};
    s.still = STILL * task.eps;
    s.resting = 10 * task.eps < RESTING ? 10 * task.eps : RESTING;
    s.slack = 4 * task.eps < SLACK ? 4 * task.eps : SLACK;
    return s;
}

template <int N>
struct Objective {
    F<N> primal, dual;  // sums of a few hundred rows, in single precision
    double primal_sum[N], dual_sum[N];
};

template <int N>
XC_FN void flush(Objective<N>& o) {
    for (int l = 0; l < N; l++) {
        o.primal_sum[l] += lane(o.primal, l);
        o.dual_sum[l] += lane(o.dual, l);
    }
    o.primal = o.dual = F<N>{};
}

// One row, in the view of its N labels.
template <int N>
struct Row {
    F<N> t, c, alpha, tm;  // target, cost, dual variable, t times the margin
    float square;
};

template <int N, int LOSS>
XC_FN Row<N> read_row(const Solver<N>& s, int64_t i) {
    const TrainTask& task = s.task;
    const I<N> positive = lanes<N>(task.targets[i]);
    Row<N> row;
    row.t = select(positive, all<N>(1.f), all<N>(-1.f));
    row.c = task.pair_costs ? load<N>(task.pair_costs + i * N) : select(positive, s.positive_costs, s.negative_costs);
    if (task.row_weights) row.c = row.c * task.row_weights[i];
    row.alpha = load<N>(task.alpha + i * N);
    if constexpr (LOSS == SPARSE_HINGE) row.tm = row.t * margins<N, true>(task.rows, task.W, i, task.l1);
    else row.tm = row.t * margins<N>(task.rows, task.W, i);
    row.square = task.square_norms[i];
    return row;
}

template <int N>
struct Proposal {
    F<N> projected;  // projected gradient of the dual
    F<N> next;  // optimum of the coordinate
    I<N> rest;  // lanes that need not see the row again soon
};

// Squared hinge: c max(0, 1 - t m)^2, dual variable alpha >= 0 with w = sum of t alpha x.
template <int N>
XC_FN Proposal<N> propose_hinge(const Row<N>& row) {
    const F<N> zero = {};
    const F<N> ridge = 0.5f / row.c, step = 1.f / (row.square + ridge);  // These do not wait for the margin.
    const F<N> gradient = row.tm - 1.f + row.alpha * ridge;
    const I<N> at_bound = row.alpha == zero;
    Proposal<N> p;
    p.projected = select(at_bound, min(gradient, zero), gradient);
    p.next = max(row.alpha - gradient * step, zero);
    p.rest = at_bound & (gradient > SLACK);
    return p;
}

// Logistic loss: c log(1 + exp(-t m)), 0 <= alpha <= c. In z = log(alpha / (c - alpha)) the coordinate is optimal at the root of
// g(z) = z + K sigmoid(z) + b with K = c |x|^2 and b = t m - alpha |x|^2. g rises, is convex below 0 and concave above, so Newton
// steps that stay on the root's side of 0 converge from everywhere, monotonically after the first.
template <int N>
XC_FN Proposal<N> propose_logistic(const Row<N>& row, float slack, float exact) {
    const F<N> zero = {};
    const F<N> K = row.c * row.square, b = row.tm - row.alpha * row.square;
    const I<N> negative = 0.5f * K + b > zero;
    F<N> z = -row.tm, sigmoid = {};
    I<N> going = zero == zero;  // A lane that is done stays as it is, however long the others take.
    for (int step = 0; step <= NEWTON_STEPS && bits(going); step++) {
        z = select(negative, min(z, zero), max(z, zero));
        const F<N> here = 1.f / (1.f + exponential(-z));
        const F<N> change = (z + K * here + b) / (1.f + K * here * (1.f - here));
        sigmoid = select(going, here, sigmoid);
        z = select(going, z - change, z);
        going = going & (absolute(change) > exact);
    }
    Proposal<N> p;
    p.next = row.c * sigmoid;
    p.projected = (row.alpha - p.next) * (row.square + 4.f / row.c);  // The gradient itself is infinite at 0 and c.
    p.rest = absolute(p.projected) < slack;
    return p;
}

template <int N, int LOSS>
XC_FN Proposal<N> propose(const Solver<N>& s, const Row<N>& row) {
    if constexpr (LOSS != LOGISTIC) return propose_hinge(row);
    else return propose_logistic(row, s.slack, s.still);
}

template <int N, int LOSS>
XC_FN void add_objective(Objective<N>& o, const Row<N>& row) {
    const F<N> zero = {};
    if constexpr (LOSS != LOGISTIC) {
        const F<N> hinge = max(1.f - row.tm, zero);
        o.primal = o.primal + row.c * hinge * hinge;
        o.dual = o.dual + row.alpha - row.alpha * row.alpha * (0.25f / row.c);
    } else {
        const F<N> tiny = all<N>(1e-30f), share = row.alpha / row.c, rest = 1.f - share;
        o.primal = o.primal + row.c * (logarithm(1.f + exponential(-absolute(row.tm))) + max(-row.tm, zero));
        o.dual = o.dual - row.c * (share * logarithm(max(share, tiny)) + rest * logarithm(max(rest, tiny)));
    }
}

// The gap bounds the excess of the objective, and since the objective is strongly convex, |w - w*|^2 <= 2 gap. It is measured against
// |w|^2 / 2 rather than the objective, which for a frequent label is mostly loss that no w avoids and would hide large errors of w.
template <int N, int LOSS>
XC_FN void measure_gaps(const Solver<N>& s, const Objective<N>& objective) {
    const TrainTask& task = s.task;
    double square[N] = {}, length[N] = {};
    F<N> part = {}, part_length = {};
    for (int64_t f = 0; f <= task.rows.d; f++) {
        const F<N> w = f < task.rows.d ? weights<N, LOSS == SPARSE_HINGE>(task.W + f * N, task.l1) : load<N>(task.W + f * N);
        part = part + w * w;
        if (LOSS == SPARSE_HINGE && f < task.rows.d) part_length = part_length + absolute(w);
        if (f % 256 == 255 || f == task.rows.d) {
            for (int l = 0; l < N; l++) square[l] += lane(part, l), length[l] += lane(part_length, l);
            part = part_length = F<N>{};
        }
    }
    for (int l = 0; l < N; l++) {
        if (!(s.live >> l & 1)) continue;
        const double penalty = LOSS == SPARSE_HINGE ? double{task.l1} * length[l] : 0;
        const double primal = 0.5 * square[l] + penalty + objective.primal_sum[l];
        const double dual = objective.dual_sum[l] - 0.5 * square[l];
        task.gaps[l] = square[l] > 0 ? (primal - dual) / (0.5 * square[l]) : primal > dual ? INFINITY : 0;
    }
}

XC_FN int64_t row_at(const TrainTask& task, int64_t p) {
    return task.reading_order ? task.reading_order[p] : p;
}

// The rows that some lane has to move, in reading order, and where each group of neighbors begins among them.
struct List {
    int64_t n_groups;
    int32_t *begins, *rows;  // (n_groups + 1,), (n,)
    int32_t *groups, *visits;  // scratch: groups and rows in the order of a sweep
};

XC_FN List new_list(const TrainTask& task) {
    const int64_t n_groups = (task.rows.n + GROUP - 1) / GROUP;
    int32_t* rows = task.order + n_groups + 1;
    return {n_groups, task.order, rows, rows + task.rows.n, rows + task.rows.n + n_groups};
}

// Reads all rows; measures the gaps of the live lanes, and lists the rows each has to move.
template <int N, int LOSS>
XC_FN void pass_over_rows(const Solver<N>& s, List& list) {
    const TrainTask& task = s.task;
    Objective<N> objective = {};
    int32_t listed = 0;
    for (int64_t p = 0; p < task.rows.n; p++) {
        if (p % 256 == 0) {
            if (*task.stop) return;
            flush(objective);
        }
        if (p % GROUP == 0) list.begins[p / GROUP] = listed;
        const int64_t i = row_at(task, p);
        if (task.reading_order && p + AHEAD < task.rows.n) prefetch_row(task.rows, row_at(task, p + AHEAD));
        const Row<N> row = read_row<N, LOSS>(s, i);
        add_objective<N, LOSS>(objective, row);
        const uint32_t active = bits(~propose<N, LOSS>(s, row).rest) & s.live;
        task.active[i] = static_cast<uint16_t>(active);
        if (active) list.rows[listed++] = static_cast<int32_t>(i);
    }
    list.begins[list.n_groups] = listed;
    flush(objective);
    measure_gaps<N, LOSS>(s, objective);
    task.counts[0]++;
    task.counts[2] += task.rows.n;
}

// One coordinate step per active lane. Returns the lanes that stay active for the row.
template <int N, int LOSS>
XC_FN uint32_t move_row(Solver<N>& s, int64_t i, uint32_t active) {
    const TrainTask& task = s.task;
    const Row<N> row = read_row<N, LOSS>(s, i);
    const Proposal<N> proposal = propose<N, LOSS>(s, row);
    const I<N> mine = lanes<N>(active);
    const I<N> keep = mine & ~proposal.rest;
    s.largest = select(keep, max(s.largest, proposal.projected), s.largest);
    s.smallest = select(keep, min(s.smallest, proposal.projected), s.smallest);
    const I<N> moves = mine & (absolute(proposal.projected) > s.still);
    if (bits(moves)) {
        const F<N> next = select(moves, proposal.next, row.alpha);
        store<N>(task.alpha + i * N, next);
        add_row<N>(task.rows, task.W, i, row.t * (next - row.alpha));
        task.counts[3]++;
    }
    task.counts[2]++;
    return bits(keep);
}

XC_FN void shuffle(int32_t* order, int64_t n, Random& random) {
    for (int64_t g = 0; g < n; g++) order[g] = static_cast<int32_t>(g);
    for (int64_t g = n - 1; g > 0; g--) {
        const uint32_t other = below(random, static_cast<uint32_t>(g + 1));
        const int32_t kept = order[g];
        order[g] = order[other];
        order[other] = kept;
    }
}

// The state of the random numbers of one purpose: an output of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
XC_FN Random numbered(uint64_t seed, uint64_t number) {
    uint64_t z = seed + (number + 1) * 0x9E3779B97F4A7C15ULL;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ z >> 27) * 0x94D049BB133111EBULL;
    return {(z ^ z >> 31) | 1};
}

// Puts the listed rows into the order of their groups in a shuffle of all. Returns their number.
XC_FN int64_t order_visits(const List& list, Random random) {
    shuffle(list.groups, list.n_groups, random);
    int64_t n = 0;
    for (int64_t g = 0; g < list.n_groups; g++)
        for (int32_t p = list.begins[list.groups[g]]; p < list.begins[list.groups[g] + 1]; p++) list.visits[n++] = list.rows[p];
    return n;
}

// Keeps the listed rows that one of some lanes still has to move.
XC_FN void shorten(List& list, const uint16_t* active, uint32_t moving) {
    int32_t left = 0, p = 0;
    for (int64_t g = 0; g < list.n_groups; g++) {
        list.begins[g] = left;
        for (; p < list.begins[g + 1]; p++)
            if (active[list.rows[p]] & moving) list.rows[left++] = list.rows[p];
    }
    list.begins[list.n_groups] = left;
}

// Sweeps the listed rows until every live lane rests or `sweeps` are done. A lane that rests is left out of the later sweeps.
template <int N, int LOSS>
XC_FN void sweep_rows(Solver<N>& s, List& list, int pass, int sweeps) {
    const TrainTask& task = s.task;
    uint32_t moving = s.live;
    for (int sweep = 0; sweep < sweeps && moving && list.begins[list.n_groups]; sweep++) {
        s.largest = all<N>(-INFINITY);
        s.smallest = all<N>(INFINITY);
        const int64_t n = order_visits(list, numbered(task.seed, uint64_t{SWEEPS_PER_PASS} * pass + sweep));
        for (int64_t q = 0; q < n; q++) {
            if (q % 256 == 0 && *task.stop) return;
            const int64_t i = list.visits[q], ahead = list.visits[q + AHEAD < n ? q + AHEAD : q];
            prefetch_row(task.rows, ahead);
            __builtin_prefetch(task.alpha + ahead * N);
            const uint32_t active = task.active[i] & moving;
            if (active) task.active[i] = static_cast<uint16_t>((task.active[i] & ~active) | move_row<N, LOSS>(s, i, active));
        }
        task.counts[1]++;
        moving &= ~(bits(s.largest - s.smallest <= s.resting) | bits(s.largest < s.smallest));
        shorten(list, task.active, moving);
    }
}

template <int N, int LOSS>
XC_TARGET static void finish_block(const TrainTask& task, uint32_t live, int pass);

// Continues the last few live lanes in a block of N / 4 lanes, whose weights take a quarter of the cache.
template <int N, int LOSS>
XC_TARGET static void repack(const TrainTask& task, uint32_t live, int pass) {
    constexpr int M = N / 4;
    int from[M] = {}, used = 0;
    for (int l = 0; l < N; l++)
        if (live >> l & 1) from[used++] = l;
    float positive_costs[M], negative_costs[M];
    double gaps[M];
    for (int l = 0; l < M; l++) {
        positive_costs[l] = task.positive_costs[from[l]];
        negative_costs[l] = task.negative_costs[from[l]];
    }
    for (int64_t f = 0; f <= task.rows.d; f++)
        for (int l = 0; l < M; l++) task.spare[f * M + l] = task.W[f * N + from[l]];
    for (int64_t i = 0; i < task.rows.n; i++) {  // It works in place: the dual variables of finished lanes are not read again.
        uint32_t targets = 0;
        float alpha[M], costs[M] = {};
        for (int l = 0; l < M; l++) {
            targets |= static_cast<uint32_t>(task.targets[i] >> from[l] & 1) << l;
            alpha[l] = task.alpha[i * N + from[l]];
            if (task.pair_costs) costs[l] = task.pair_costs[i * N + from[l]];
        }
        std::memcpy(task.alpha + i * M, alpha, sizeof alpha);
        if (task.pair_costs) std::memcpy(task.pair_costs + i * M, costs, sizeof costs);
        task.targets[i] = static_cast<uint16_t>(targets);
    }
    TrainTask narrow = task;
    narrow.positive_costs = positive_costs;
    narrow.negative_costs = negative_costs;
    narrow.lanes_used = used;
    narrow.W = task.spare;
    narrow.gaps = gaps;
    finish_block<M, LOSS>(narrow, (1u << used) - 1, pass);
    for (int l = 0; l < used; l++) task.gaps[from[l]] = gaps[l];
    for (int64_t f = 0; f <= task.rows.d; f++)
        for (int l = 0; l < used; l++) task.W[f * N + from[l]] = task.spare[f * M + l];
}

// Alternates passes, from the given one on, and their sweeps, until every lane is done.
template <int N, int LOSS>
XC_TARGET static void finish_block(const TrainTask& task, uint32_t live, int pass) {
    Solver<N> s = start_solver<N>(task, live);
    List list = new_list(task);
    for (; pass <= task.max_passes && s.live && !*task.stop; pass++) {
        if constexpr (N >= 8)
            if (__builtin_popcount(s.live) <= N / 4) return repack<N, LOSS>(task, s.live, pass);
        pass_over_rows<N, LOSS>(s, list);
        if (*task.stop) return;
        for (int l = 0; l < N; l++)
            if (task.gaps[l] <= task.eps) s.live &= ~(1u << l);
        sweep_rows<N, LOSS>(s, list, pass, SWEEPS_PER_PASS);
    }
}

template <int N, int LOSS>
XC_TARGET static void train_block(const TrainTask& task) {
    const int64_t n = task.rows.n;
    Solver<N> s = start_solver<N>(task, (1u << task.lanes_used) - 1);
    List list = new_list(task);
    Random random = numbered(task.seed, SAMPLE);
    std::memset(task.W, 0, sizeof(float) * N * (task.rows.d + 1));
    std::memset(task.alpha, 0, sizeof(float) * N * n);
    std::memset(task.counts, 0, sizeof(int64_t) * 4);
    int32_t listed = 0;
    for (int64_t p = 0; p < n; p++) {
        if (p % GROUP == 0) list.begins[p / GROUP] = listed;
        const int64_t i = row_at(task, p);
        task.active[i] = static_cast<uint16_t>(below(random, SAMPLE_SHARE) == 0 ? s.live : task.targets[i]);
        if (task.active[i]) list.rows[listed++] = static_cast<int32_t>(i);
    }
    list.begins[list.n_groups] = listed;
    sweep_rows<N, LOSS>(s, list, 0, SAMPLE_SWEEPS);
    finish_block<N, LOSS>(task, s.live, 1);
    if constexpr (LOSS == SPARSE_HINGE)
        for (int64_t f = 0; f < task.rows.d; f++) store<N>(task.W + f * N, weights<N, true>(task.W + f * N, task.l1));
}

template <int N>
XC_TARGET static void train_any(const TrainTask& task) {
    if (task.loss == LOGISTIC) return train_block<N, LOGISTIC>(task);
    if (task.l1 >= 0) return train_block<N, SPARSE_HINGE>(task);
    train_block<N, SQUARED_HINGE>(task);
}

#include "block_softmax.h"

XC_TARGET static void train(const TrainTask& task) {
    if (task.loss == SOFTMAX) {
        switch (task.width) {
            case 16: return train_softmax<16>(task);
            case 8: return train_softmax<8>(task);
            case 4: return train_softmax<4>(task);
            default: return train_softmax<2>(task);
        }
    }
    switch (task.width) {
        case 16: return train_any<16>(task);
        case 8: return train_any<8>(task);
        case 4: return train_any<4>(task);
        default: return train_any<2>(task);
    }
}
