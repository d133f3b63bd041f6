// Path scores of the children of one tree node, for the rows that reached it. Part of block_engine.h.

// The contribution of a node to the log-score of its labels, at most 0. `clipped` reads the margin as a probability.
XC_FN F<16> contribution(int32_t score, F<16> m) {
    const F<16> zero = {}, room = max(1.f - m, zero);
    switch (score) {
        case HINGE2: return -(room * room);
        case HINGE3: return -(room * room * room);
        case SIGMOID: return -(logarithm(1.f + exponential(-absolute(m))) + max(-m, zero));
        default: return min(logarithm(max(m, all<16>(CLIP))), zero);
    }
}

// Turns the margins of all children into contributions that depend on each other: m - log(sum of exp(m)).
XC_FN void share_among_siblings(float* m, int64_t n) {
    float top = m[0];
    for (int64_t j = 1; j < n; j++) top = m[j] > top ? m[j] : top;
    double sum = 0;
    for (int64_t j = 0; j < n; j++) sum += std::exp(double{m[j]} - top);
    const float shift = top + static_cast<float>(std::log(sum));
    for (int64_t j = 0; j < n; j++) m[j] = m[j] < shift ? m[j] - shift : 0.f;
}

XC_TARGET static void score_children(const ChildrenTask& task) {
    const Rows& rows = task.rows;
    const Chunks& chunks = task.chunks;
    const int64_t c = task.chunk, n_groups = chunks.chunk_group_ptr[c + 1] - chunks.chunk_group_ptr[c];
    for (int64_t q = 0; q < task.n_queries; q++) {
        float* scores = task.scores + q * n_groups * LANES;
        score_any(rows, chunks, c, task.lookup, task.queries[q], scores);
        if (task.score == SHARE) share_among_siblings(scores, task.n_children);
        for (int64_t lane = 0; lane < n_groups * LANES; lane += LANES) {
            const F<16> m = load<16>(scores + lane);
            const F<16> score = task.parent_scores[q] + (task.score == SHARE ? m : contribution(task.score, m));
            store<16>(scores + lane, score);
            store<16>(task.probabilities + q * n_groups * LANES + lane, exponential(score));
        }
    }
}
