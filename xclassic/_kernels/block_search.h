// Path scores of the children of one tree node, for the rows that reached it. Part of block_engine.h.

// The contribution of a node to the log-score of its labels, never above 0. `clipped` reads the margin as a probability.
XC_FN F<16> contribution(int32_t score, F<16> m) {
    const F<16> zero = {}, room = max(1.f - m, zero);
    switch (score) {
        case HINGE2: return -(room * room);
        case HINGE3: return -(room * room * room);
        case SIGMOID: return -(logarithm(1.f + exponential(-absolute(m))) + max(-m, zero));
        default: return min(logarithm(max(m, all<16>(CLIP))), zero);
    }
}

XC_TARGET static void score_children(const ChildrenTask& task) {
    const Rows& rows = task.rows;
    const Chunks& chunks = task.chunks;
    const int64_t c = task.chunk, n_groups = chunks.chunk_groups[c + 1] - chunks.chunk_groups[c];
    for (int64_t q = 0; q < task.n_queries; q++) {
        float* scores = task.scores + q * n_groups * LANES;
        score_any(rows, chunks, c, task.lookup, task.queries[q], scores);
        for (int64_t lane = 0; lane < n_groups * LANES; lane += LANES) {
            const F<16> score = task.parent_scores[q] + contribution(task.score, load<16>(scores + lane));
            store<16>(scores + lane, score);
            store<16>(task.probabilities + q * n_groups * LANES + lane, exponential(score));
        }
    }
}
