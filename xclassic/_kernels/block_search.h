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
    const int64_t c = task.chunk, first_group = chunks.chunk_groups[c], n_groups = chunks.chunk_groups[c + 1] - first_group;
    const int64_t begin = chunks.chunk_rows[c], end = chunks.chunk_rows[c + 1];
    for (int64_t q = 0; q < task.n_queries; q++) {
        float* scores = task.scores + q * n_groups * LANES;
        std::memcpy(scores, chunks.bias + first_group * LANES, sizeof(float) * LANES * n_groups);
        const int64_t i = task.queries[q];
        const int64_t p0 = rows.indices ? rows.indptr[i] : i * rows.d;
        const int64_t p1 = rows.indices ? rows.indptr[i + 1] : p0 + rows.d;
        for (int64_t p = p0; p < p1; p++) {
            const int32_t feature = rows.indices ? rows.indices[p] : static_cast<int32_t>(p - p0);
            const float x = rows.values[p];
            XC_CHECK(feature >= 0 && feature < rows.d);
            if (x == 0) continue;
            const int64_t row = task.lookup ? task.lookup[feature] : find_feature(chunks, begin, end, feature);
            if (row >= 0) add_feature(chunks, c, scores, n_groups, row, x);
        }
        for (int64_t g = 0; g < n_groups; g++)
            store<16>(scores + g * LANES, task.parent_scores[q] + contribution(task.score, load<16>(scores + g * LANES)));
    }
}
