// Spherical k-means: the scores of items against k centers, k / 16 blocks of lanes at a time. Part of block_engine.h.

// scores[i * k_padded + c] = v_i . center_c. Centers are blocks of 16 (or one narrower block): (blocks, d, width).
template <int N>
XC_TARGET static void score_block(const ClusterTask& task, int64_t block) {
    const float* centers = task.centers + block * N * (task.rows.d + 1);
    for (int64_t i = 0; i < task.rows.n; i++) {
        if (i % 256 == 0 && *task.stop) return;
        store<N>(task.scores + i * task.n_blocks * N + block * N, margins<N>(task.rows, centers, i));
    }
}

XC_TARGET static void score_centers(const ClusterTask& task) {
    for (int64_t block = 0; block < task.n_blocks; block++) {
        switch (task.width) {
            case 16: score_block<16>(task, block); break;
            case 8: score_block<8>(task, block); break;
            case 4: score_block<4>(task, block); break;
            default: score_block<2>(task, block);
        }
    }
}
