// Conjugate gradients with a Jacobi preconditioner on a block of ridge regressions (Hestenes and Stiefel 1952). N right-hand sides
// advance in lockstep, each with its own step lengths. One sweep reads every row once: it gathers the row's margins with the
// direction and scatters them back. Part of block_engine.h.

template <int N>
XC_FN void add_doubles(double* sums, F<N> part) {
    for (int l = 0; l < N; l++) sums[l] += lane(part, l);
}

// product = (X' D X + ridge I) direction, with D the row weights.
template <int N>
XC_FN bool normal_product(const RidgeTask& task) {
    const Rows& rows = task.rows;
    for (int64_t f = 0; f <= rows.d; f++) {
        store<N>(task.product + f * N, task.ridge * load<N>(task.direction + f * N));
    }
    for (int64_t i = 0; i < rows.n; i++) {
        if (i % 1024 == 0 && *task.stop) return false;
        F<N> m = margins<N>(rows, task.direction, i);
        if (task.row_weights) m = m * task.row_weights[i];
        add_row<N>(rows, task.product, i, m);
    }
    return true;
}

template <int N>
XC_TARGET static void ridge_block(const RidgeTask& task) {
    const int64_t size = task.rows.d + 1;
    std::memset(task.W, 0, sizeof(float) * N * size);
    std::memset(task.residual, 0, sizeof(float) * N * size);
    task.counts[0] = 0;

    for (int l = 0; l < N; l++) {
        F<N> step = {};
        for (int64_t p = task.positive_ptr[l]; p < task.positive_ptr[l + 1]; p++) {
            const int32_t i = task.positives[p];
            set_lane(step, l, task.target_values[l] * (task.row_weights ? task.row_weights[i] : 1.f));
            add_row<N>(task.rows, task.residual, i, step);
        }
    }

    double rho[N] = {}, start[N];
    for (int64_t f = 0; f < size; f++) {
        const F<N> r = load<N>(task.residual + f * N), z = r / task.diagonal[f];
        store<N>(task.direction + f * N, z);
        add_doubles<N>(rho, r * z);
    }
    std::memcpy(start, rho, sizeof rho);

    uint32_t live = 0;
    for (int l = 0; l < N; l++) live |= static_cast<uint32_t>(rho[l] > 0) << l;
    const double done = double{task.tolerance} * task.tolerance;
    for (int sweep = 0; sweep < task.max_sweeps && live; sweep++) {
        if (!normal_product<N>(task)) return;
        task.counts[0]++;
        double curvature[N] = {}, next[N] = {};
        for (int64_t f = 0; f < size; f++)
            add_doubles<N>(curvature, load<N>(task.direction + f * N) * load<N>(task.product + f * N));
        F<N> step = {}, turn = {};
        for (int l = 0; l < N; l++)
            if (live >> l & 1) set_lane(step, l, static_cast<float>(rho[l] / curvature[l]));
        for (int64_t f = 0; f < size; f++) {
            store<N>(task.W + f * N, load<N>(task.W + f * N) + step * load<N>(task.direction + f * N));
            const F<N> r = load<N>(task.residual + f * N) - step * load<N>(task.product + f * N);
            store<N>(task.residual + f * N, r);
            add_doubles<N>(next, r * r / task.diagonal[f]);
        }
        for (int l = 0; l < N; l++) {
            if (!(live >> l & 1)) continue;
            set_lane(turn, l, static_cast<float>(next[l] / rho[l]));
            rho[l] = next[l];
            if (!(rho[l] > done * start[l])) live &= ~(1u << l);
        }
        const I<N> going = lanes<N>(live);
        for (int64_t f = 0; f < size; f++) {
            const F<N> z = load<N>(task.residual + f * N) / task.diagonal[f];
            const F<N> p = z + turn * load<N>(task.direction + f * N);
            store<N>(task.direction + f * N, select(going, p, F<N>{}));
        }
    }
    for (int l = 0; l < N; l++) task.residuals[l] = start[l] > 0 ? std::sqrt(rho[l] / start[l]) : 0;
}

XC_TARGET static void ridge(const RidgeTask& task) {
    switch (task.width) {
        case 16: return ridge_block<16>(task);
        case 8: return ridge_block<8>(task);
        case 4: return ridge_block<4>(task);
        default: return ridge_block<2>(task);
    }
}
