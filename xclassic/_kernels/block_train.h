// Dual coordinate descent on a block of labels (Hsieh et al., ICML 2008, for the squared hinge; Yu, Huang and Lin, MLJ 2011, for
// the logistic loss), N labels per visit of a row. Part of block_engine.h.
//
// A visit costs one pass over the row whether or not any lane moves, and on long-tailed data hardly any does: a rare label has
// few rows near its boundary. So the solver alternates *passes* over all rows with *sweeps* over the active ones, those that
// some lane still moves, and starts from a sample, since from w = 0 the first rows of a pass would take all the weight that
// belongs to the average negative. A pass also measures each lane's duality gap, which decides whether the lane is done.
//
// Rows are visited in random order. In a fixed order coordinate descent crawls here: every row carries the constant feature, so
// the dual has one dominant direction, the worst case of cyclic descent (Sun and Ye, Math. Programming 2021). Neighbouring rows
// move together in the shuffle (GROUP), which keeps memory access nearly sequential and costs no convergence.

constexpr int GROUP = 8;
constexpr int AHEAD = 6;  // rows prefetched before their visit
constexpr int SWEEPS_PER_PASS = 5;
constexpr int SAMPLE_SWEEPS = 3;
constexpr int SAMPLE_SHARE = 16;  // the start uses the positives and one row in so many
constexpr float SLACK = 0.02f;  // a row whose dual gradient exceeds this, at alpha = 0, leaves the active set
constexpr float SWEEP_TOLERANCE = 0.05f;  // spread of projected gradients at which a lane rests until the next pass
constexpr double NEARLY_DONE = 10;  // a gap within this factor of eps needs the sweeps, but no further pass
constexpr float STILL = 1e-3f;  // a projected gradient below this (or below eps / 5) moves nothing

template <int N>
struct Solver {
    const TrainTask& task;
    uint32_t live;  // lanes still being trained
    F<N> positive_costs, negative_costs;
    F<N> largest, smallest;  // projected gradients of the sweep under way
    float still;
    Random random;
    int64_t rows_read, rows_written;
};

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

// One visit. Returns the lanes that stay active for the row.
template <int N, int LOSS, bool MEASURE>
XC_FN uint32_t visit(Solver<N>& s, Objective<N>& objective, int64_t i, uint32_t active) {
    const TrainTask& task = s.task;
    const F<N> m = margins<N>(task.rows, task.W, i);
    s.rows_read++;

    const I<N> positive = lanes<N>(task.targets[i]);
    const I<N> mine = lanes<N>(active);
    const F<N> zero = {};
    const F<N> t = select(positive, all<N>(1.f), all<N>(-1.f));
    F<N> c = select(positive, s.positive_costs, s.negative_costs);
    if (task.row_weights) c = c * task.row_weights[i];
    float* alpha_i = task.alpha + i * N;
    const F<N> alpha = load<N>(alpha_i);
    const float square = task.square_norms[i];

    F<N> projected, next;  // projected gradient of the dual; where the coordinate's optimum lies
    I<N> rest;  // lanes that need not see this row again soon
    if constexpr (LOSS == SQUARED_HINGE) {
        const F<N> room = 1.f - t * m;
        const F<N> ridge = 0.5f / c;
        const F<N> gradient = alpha * ridge - room;
        rest = (alpha == zero) & (gradient > SLACK);
        projected = select(alpha == zero, min(gradient, zero), gradient);
        next = max(alpha - gradient / (square + ridge), zero);
        if constexpr (MEASURE) {
            const F<N> hinge = max(room, zero);
            objective.primal = objective.primal + c * hinge * hinge;
        }
    } else {
        // In s = log(alpha / (c - alpha)) the optimality condition of the coordinate is g(s) = s + K sigmoid(s) + b = 0 with
        // K = c |x|^2 and b = t m - alpha |x|^2: rising, with a root in [-b - K, -b]. Newton steps, bisection where one leaves.
        const F<N> K = c * square, b = t * m - alpha * square;
        F<N> low = -b - K, high = -b, z = min(max(-t * m, low), high);
        for (int step = 0; step < 6; step++) {
            const F<N> sigmoid = 1.f / (1.f + exponential(-z));
            const F<N> g = z + K * sigmoid + b;
            low = select(g < zero, z, low);
            high = select(g < zero, high, z);
            const F<N> newton = z - g / (1.f + K * sigmoid * (1.f - sigmoid));
            const I<N> inside = (newton > low) & (newton < high);
            z = select(inside, newton, 0.5f * (low + high));
        }
        next = c / (1.f + exponential(-z));
        // The gradient is infinite at the ends of [0, c]; the length of the step is the finite measure of what is left to do.
        projected = (alpha - next) * (square + 4.f / c);
        rest = absolute(projected) < SLACK;
        if constexpr (MEASURE) {
            const F<N> e = exponential(-absolute(m));
            objective.primal = objective.primal + c * (logarithm(1.f + e) + max(-t * m, zero));
        }
    }

    const I<N> keep = mine & ~rest;
    s.largest = select(keep, max(s.largest, projected), s.largest);
    s.smallest = select(keep, min(s.smallest, projected), s.smallest);
    const I<N> moves = mine & (absolute(projected) > s.still);
    F<N> settled = alpha;
    if (bits(moves)) {
        settled = select(moves, next, alpha);
        store<N>(alpha_i, settled);
        add_row<N>(task.rows, task.W, i, t * (settled - alpha));
        s.rows_written++;
    }
    if constexpr (MEASURE) {
        if constexpr (LOSS == SQUARED_HINGE) {
            objective.dual = objective.dual + settled - settled * settled * (0.25f / c);
        } else {
            const F<N> share = settled / c, other = max(1.f - share, all<N>(1e-30f));
            objective.dual = objective.dual - c * (share * logarithm(max(share, all<N>(1e-30f))) + other * logarithm(other));
        }
    }
    return bits(keep);
}

template <int N>
XC_FN void forget_gradients(Solver<N>& s) {
    s.largest = all<N>(-INFINITY);
    s.smallest = all<N>(INFINITY);
}

template <int N>
XC_FN uint32_t spread_within(const Solver<N>& s, float tolerance) {
    return bits(s.largest - s.smallest <= tolerance) | bits(s.largest < s.smallest);
}

XC_FN void shuffle_groups(int32_t* order, int64_t n_groups, Random& random) {
    for (int64_t g = 0; g < n_groups; g++) order[g] = static_cast<int32_t>(g);
    for (int64_t g = n_groups - 1; g > 0; g--) {
        const uint32_t other = below(random, static_cast<uint32_t>(g + 1));
        const int32_t kept = order[g];
        order[g] = order[other];
        order[other] = kept;
    }
}

// Visits the listed rows (all n where `list` is null) in shuffled groups.
template <int N, int LOSS, bool MEASURE>
XC_FN void visit_rows(Solver<N>& s, Objective<N>& objective, const int32_t* list, int64_t n, int32_t* groups) {
    const TrainTask& task = s.task;
    const int64_t n_groups = (n + GROUP - 1) / GROUP;
    shuffle_groups(groups, n_groups, s.random);
    forget_gradients<N>(s);
    for (int64_t g = 0; g < n_groups; g++) {
        if (g % 32 == 0) {
            if (*task.stop) return;
            if constexpr (MEASURE) flush<N>(objective);
        }
        const int64_t begin = int64_t{groups[g]} * GROUP, end = begin + GROUP < n ? begin + GROUP : n;
        if (g + 1 < n_groups) {
            const int64_t ahead = int64_t{groups[g + 1]} * GROUP;
            const int64_t i = list ? list[ahead] : ahead;
            prefetch_row(task.rows, i);
            __builtin_prefetch(task.alpha + i * N);
        }
        for (int64_t p = begin; p < end; p++) {
            const int64_t i = list ? list[p] : p;
            const uint32_t active = list ? task.active[i] & s.live : s.live;
            if (!active) continue;
            if (list && p + AHEAD < n) {
                prefetch_row(task.rows, list[p + AHEAD]);
                __builtin_prefetch(task.alpha + int64_t{list[p + AHEAD]} * N);
            }
            task.active[i] = static_cast<uint16_t>((task.active[i] & ~active) | visit<N, LOSS, MEASURE>(s, objective, i, active));
        }
    }
    if constexpr (MEASURE) flush<N>(objective);
}

// Sweeps the active rows until every lane rests or `sweeps` are done. A lane that rests is left out of the sweeps that follow.
template <int N, int LOSS>
XC_FN void sweep_active(Solver<N>& s, int32_t* list, int64_t n, int32_t* groups, int sweeps) {
    Objective<N> none;
    const uint32_t live = s.live;
    for (int sweep = 0; sweep < sweeps && s.live && n && !*s.task.stop; sweep++) {
        visit_rows<N, LOSS, false>(s, none, list, n, groups);
        s.task.counts[1]++;
        s.live &= ~spread_within<N>(s, SWEEP_TOLERANCE);
        int64_t left = 0;
        for (int64_t p = 0; p < n; p++)
            if (s.task.active[list[p]] & s.live) list[left++] = list[p];
        n = left;
    }
    s.live = live;
}

template <int N>
XC_FN void measure_gaps(const Solver<N>& s, const Objective<N>& objective) {
    const TrainTask& task = s.task;
    double square[N] = {};
    F<N> part = {};
    for (int64_t f = 0; f <= task.rows.d; f++) {
        const F<N> w = load<N>(task.W + f * N);
        part = part + w * w;
        if (f % 256 == 255 || f == task.rows.d) {
            for (int l = 0; l < N; l++) square[l] += lane(part, l);
            part = F<N>{};
        }
    }
    for (int l = 0; l < N; l++) {
        if (!(s.live >> l & 1)) continue;
        const double primal = 0.5 * square[l] + objective.primal_sum[l];
        const double dual = objective.dual_sum[l] - 0.5 * square[l];
        task.gaps[l] = primal > 0 ? (primal - dual) / primal : 0;
    }
}

template <int N, int LOSS>
XC_TARGET static void train_block(const TrainTask& task) {
    const int64_t n = task.rows.n;
    Solver<N> s{task, (1u << task.lanes_used) - 1, load<N>(task.positive_costs), load<N>(task.negative_costs), {}, {}, 0,
                {task.seed | 1}, 0, 0};
    Objective<N> objective;
    s.still = task.eps / 5 < STILL ? task.eps / 5 : STILL;
    std::memset(task.W, 0, sizeof(float) * N * (task.rows.d + 1));
    std::memset(task.alpha, 0, sizeof(float) * N * n);
    std::memset(task.counts, 0, sizeof(int64_t) * 4);
    int32_t* groups = task.order;
    int32_t* list = task.order + n / GROUP + 1;

    int64_t listed = 0;
    for (int64_t i = 0; i < n; i++) {
        const bool sampled = task.targets[i] || below(s.random, SAMPLE_SHARE) == 0;
        task.active[i] = sampled ? static_cast<uint16_t>(s.live) : 0;
        if (sampled) list[listed++] = static_cast<int32_t>(i);
    }
    sweep_active<N, LOSS>(s, list, listed, groups, SAMPLE_SWEEPS);

    for (int pass = 0; pass < task.max_passes && s.live && !*task.stop; pass++) {
        objective = Objective<N>{};
        visit_rows<N, LOSS, true>(s, objective, nullptr, n, groups);
        task.counts[0]++;
        if (*task.stop) break;
        measure_gaps<N>(s, objective);
        uint32_t done = 0, nearly = 0;
        for (int l = 0; l < N; l++) {
            done |= static_cast<uint32_t>(task.gaps[l] <= task.eps) << l;
            nearly |= static_cast<uint32_t>(task.gaps[l] <= task.eps * NEARLY_DONE) << l;
        }
        s.live &= ~done;
        listed = 0;
        for (int64_t i = 0; i < n; i++)
            if (task.active[i] & s.live) list[listed++] = static_cast<int32_t>(i);
        sweep_active<N, LOSS>(s, list, listed, groups, SWEEPS_PER_PASS);
        s.live &= ~nearly;
    }
    task.counts[2] = s.rows_read;
    task.counts[3] = s.rows_written;
}

XC_TARGET static void train(const TrainTask& task) {
    const bool hinge = task.loss == SQUARED_HINGE;
    switch (task.width) {
        case 16: return hinge ? train_block<16, SQUARED_HINGE>(task) : train_block<16, LOGISTIC>(task);
        case 8: return hinge ? train_block<8, SQUARED_HINGE>(task) : train_block<8, LOGISTIC>(task);
        case 4: return hinge ? train_block<4, SQUARED_HINGE>(task) : train_block<4, LOGISTIC>(task);
        default: return hinge ? train_block<2, SQUARED_HINGE>(task) : train_block<2, LOGISTIC>(task);
    }
}
