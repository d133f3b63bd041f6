// The weights of a trained block that are large enough to keep. Part of block_engine.h.

// Writes the kept values of each feature one after the other. The last store may reach N - 1 values past them.
template <int N>
XC_TARGET static int64_t keep_block(const KeepTask& task) {
    const uint32_t used = (1u << task.lanes_used) - 1;
    float* to = task.values;
    for (int64_t f = 0; f < task.d; f++) {
        const F<N> w = load<N>(task.W + f * N);
        const uint32_t mask = bits(absolute(w) > task.prune) & used;
        task.masks[f] = static_cast<uint16_t>(mask);
#if XC_LEVEL == XC_LEVEL_V4
        if constexpr (N == 16) {
            _mm512_storeu_ps(to, _mm512_maskz_compress_ps(static_cast<__mmask16>(mask), (__m512)w.part[0]));
            to += __builtin_popcount(mask);
            continue;
        }
#endif
        for (uint32_t left = mask; left; left &= left - 1) *to++ = task.W[f * N + __builtin_ctz(left)];
    }
    return to - task.values;
}

XC_TARGET static int64_t keep(const KeepTask& task) {
    switch (task.width) {
        case 16: return keep_block<16>(task);
        case 8: return keep_block<8>(task);
        case 4: return keep_block<4>(task);
        default: return keep_block<2>(task);
    }
}
