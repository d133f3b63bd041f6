// Multinomial logistic regression on one block of up to 16 classes, by stochastic dual coordinate ascent (Shalev-Shwartz and Zhang,
// JMLR 2013). Part of block_engine.h.
//
// It minimizes |W|^2 / 2 + sum_i c_i CE(z_i, softmax(W x_i)), where z_i shares the row among its positive classes. Row i has a point
// a_i of the simplex, w_k = sum_i c_i (z_ik - a_ik) x_i, and at the optimum a_i = softmax(W x_i) =: p_i. The duality gap is the
// sum of c_i KL(a_i | p_i); a visit moves a_i towards p_i by the step that the smoothness of the loss allows.

template <int N>
XC_FN float total(F<N> v) {
    float sum = 0;
    for (int l = 0; l < N; l++) sum += lane(v, l);
    return sum;
}

template <int N>
XC_FN F<N> softmax(F<N> m, int lanes_used) {
    float top = -INFINITY;
    for (int l = 0; l < lanes_used; l++) top = lane(m, l) > top ? lane(m, l) : top;
    const F<N> e = select(lanes<N>((1u << lanes_used) - 1), exponential(m - top), F<N>{});
    return e / total(e);
}

// KL(a | p) as the sum of p_l - a_l - a_l log(p_l / a_l). No term is below 0, and those of near points come from their difference: rounded
// logarithms, and sums that are not quite one, would end a training early by a gap that is too small, or even negative.
template <int N>
XC_FN float divergence(F<N> a, F<N> p) {
    const F<N> tiny = all<N>(1e-30f);
    const F<N> u = (p - a) / max(a, tiny);
    F<N> series = u * -0.2f + 0.25f;  // (u - log(1 + u)) / u^2
    series = series * -u + 1.f / 3;
    series = series * -u + 0.5f;
    const F<N> far = p - a - a * (logarithm(max(p, tiny)) - logarithm(max(a, tiny)));
    return total(select(absolute(u) < 0.1f, a * u * u * series, max(far, F<N>{})));
}

template <int N>
XC_TARGET static void train_softmax(const TrainTask& task) {
    const int64_t n = task.rows.n, d = task.rows.d;
    std::memset(task.W, 0, sizeof(float) * N * (d + 1));
    std::memset(task.counts, 0, sizeof(int64_t) * 4);
    for (int64_t i = 0; i < n; i++) {  // The start is a = z, so that W = 0.
        const int positives = __builtin_popcount(task.targets[i]);
        F<N> z = {};
        for (int l = 0; l < N; l++)
            if (task.targets[i] >> l & 1) set_lane(z, l, 1.f / static_cast<float>(positives));
        store<N>(task.alpha + i * N, z);
    }
    Random random{task.seed | 1};
    double gap = 0, square = 0;
    for (int pass = 0; pass < task.max_passes && !*task.stop; pass++) {
        shuffle(task.order, n, random);
        gap = 0;
        for (int64_t q = 0; q < n; q++) {
            if (q % 256 == 0 && *task.stop) return;
            const int64_t i = task.order[q];
            if (q + AHEAD < n) prefetch_row(task.rows, task.order[q + AHEAD]);
            if (!task.targets[i]) continue;
            const float c = task.positive_costs[0] * (task.row_weights ? task.row_weights[i] : 1.f);
            const F<N> a = load<N>(task.alpha + i * N), p = softmax(margins<N>(task.rows, task.W, i), task.lanes_used);
            const F<N> direction = p - a;
            const float length = total(direction * direction), apart = divergence(a, p);
            gap += double{c} * apart;
            if (length < 1e-12f) continue;
            const float step = (apart + 0.5f * length) / (length * (1.f + c * task.square_norms[i]));
            const F<N> move = direction * (step < 1.f ? step : 1.f);
            store<N>(task.alpha + i * N, a + move);
            add_row<N>(task.rows, task.W, i, -(c * move));
            task.counts[3]++;
        }
        task.counts[0]++;
        square = 0;
        for (int64_t f = 0; f <= d; f++) {
            const F<N> w = load<N>(task.W + f * N);
            square += total(w * w);
        }
        if (gap <= task.eps * 0.5 * square) break;
    }
    for (int l = 0; l < N; l++) task.gaps[l] = square > 0 ? gap / (0.5 * square) : 0;
}
