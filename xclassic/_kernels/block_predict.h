// Scores of all labels of each chunk, and the best k of them or all. Part of block_engine.h.
//
// A chunk is read once per batch. Its feature rows are found through a table of the whole feature space, filled for the batch, or
// by binary search if the batch is too small for a table to pay.

XC_FN float number(float value) { return value; }

XC_FN float number(int8_t value) { return value; }

// IEEE half precision: sign, 5 bits of exponent, 10 of fraction.
XC_FN float number(uint16_t half) {
    const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16, rest = half & 0x7FFF;
    float value;
    if (rest >= 0x400) {
        const uint32_t pattern = sign | ((rest << 13) + 0x38000000);
        std::memcpy(&value, &pattern, sizeof value);
    } else {
        value = static_cast<float>(rest) * 5.9604645e-8f;  // subnormal: multiples of 2^-24
        if (sign) value = -value;
    }
    return value;
}

#if XC_LEVEL == XC_LEVEL_V4
XC_FN __m512 packed16(const float* from) { return _mm512_loadu_ps(from); }
XC_FN __m512 packed16(const uint16_t* from) { return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))); }
XC_FN __m512 packed16(const int8_t* from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
}
#elif XC_LEVEL == XC_LEVEL_V3
XC_FN __m256 packed8(const float* from) { return _mm256_loadu_ps(from); }
XC_FN __m256 packed8(const uint16_t* from) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))); }
XC_FN __m256 packed8(const int8_t* from) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
}
#endif

// scores[l] += x * value of lane l, for the lanes of the cell.
template <typename Value>
XC_FN void add_cell(float* scores, uint32_t mask, const Value* packed, float x) {
#if XC_LEVEL == XC_LEVEL_V4
    F<16> spread;
    spread.part[0] = (Layout<16>::Float)_mm512_maskz_expand_ps(static_cast<__mmask16>(mask), packed16(packed));
    store<16>(scores, load<16>(scores) + x * spread);
#elif XC_LEVEL == XC_LEVEL_V3
    for (int half = 0; half < 2; half++, mask >>= 8, scores += 8) {
        // Each lane present gets a byte of ones, then 0, 1, 2, ... go to these bytes: the place of each lane's packed value.
        const uint64_t present = _pdep_u64(mask, 0x0101010101010101) * 0xFF;
        const __m256i from = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(_pdep_u64(0x0706050403020100, present)));
        const __m256i kept = _mm256_cvtepi8_epi32(_mm_cvtsi64_si128(present));
        F<8> spread;
        spread.part[0] = (Layout<8>::Float)_mm256_and_ps(
            _mm256_permutevar8x32_ps(packed8(packed), from), _mm256_castsi256_ps(kept));
        store<8>(scores, load<8>(scores) + x * spread);
        packed += __builtin_popcount(mask & 0xFF);
    }
#else
    for (; mask; mask &= mask - 1) scores[__builtin_ctz(mask)] += x * number(*packed++);
#endif
}

// The place in the whole array of a row's first cell or value. Only the low 32 bits are stored; the chunk's first is known in full.
XC_FN int64_t whole(int64_t first_of_chunk, uint32_t low) {
    return first_of_chunk + static_cast<uint32_t>(low - static_cast<uint32_t>(first_of_chunk));
}

// The first of rows begin to end - 1 whose feature is not below the given one; end if all are below. It has no branches, which the
// CPU could not foresee.
XC_FN int64_t bisect(const Chunks& chunks, int64_t begin, int64_t end, int32_t feature) {
    int64_t length = end - begin;
    while (length > 0) {
        const int64_t half = (length + 1) / 2;
        begin += chunks.features[begin + half - 1] < feature ? half : 0;
        length -= half;
    }
    return begin;
}

// The same search from a guess, since a bisection of all rows would miss the cache at each of its first steps.
XC_FN int64_t find_feature(const Chunks& chunks, int64_t begin, int64_t end, int32_t feature, int64_t n_features) {
    constexpr int64_t LINE = 16;
    int64_t low = begin + (end - begin) * feature / n_features, high = low, reach = LINE;
    if (low < end && chunks.features[low] < feature) {
        while (high < end && chunks.features[high] < feature) {
            low = high;
            high += reach;
            reach *= 2;
        }
    } else {
        while (low > begin && (low >= end || chunks.features[low] >= feature)) {
            high = low;
            low -= reach;
            reach *= 2;
        }
    }
    return bisect(chunks, low < begin ? begin : low, high + 1 < end ? high + 1 : end, feature);
}

// A feature of the query that the chunk has weights for.
struct Hit {
    int64_t row, cell, end;  // feature row, its cells
    const void* packed;
    float x;
};

constexpr int HITS = 32;  // hits whose memory reads overlap

// Adds the weights of some features to the scores of chunk c. Each feature takes several reads that depend on each other, so all
// features begin theirs before the first read is awaited.
template <typename Value>
XC_FN void add_hits(const Chunks& chunks, int64_t c, float* scores, [[maybe_unused]] int64_t n_groups, Hit* hits, int n) {
    const int64_t first_cell = chunks.chunk_cell_ptr[c], first_value = chunks.chunk_value_ptr[c];
    for (int h = 0; h < n; h++) {
        const int64_t row = hits[h].row;
        hits[h].cell = whole(first_cell, chunks.feature_cell_ptr[row]);
        hits[h].end = hits[h].cell + static_cast<uint32_t>(chunks.feature_cell_ptr[row + 1] - chunks.feature_cell_ptr[row]);
        const Value* packed = static_cast<const Value*>(chunks.values) + whole(first_value, chunks.feature_value_ptr[row]);
        hits[h].packed = packed;
        __builtin_prefetch(chunks.cell_groups + hits[h].cell);
        __builtin_prefetch(chunks.cell_masks + hits[h].cell);
        __builtin_prefetch(packed);
    }
    for (int h = 0; h < n; h++) {
        const Value* packed = static_cast<const Value*>(hits[h].packed);
        for (int64_t cell = hits[h].cell; cell < hits[h].end; cell++) {
            const uint32_t mask = chunks.cell_masks[cell];
            XC_CHECK(chunks.cell_groups[cell] < n_groups);
            XC_CHECK(packed + __builtin_popcount(mask) <= static_cast<const Value*>(chunks.values) + chunks.chunk_value_ptr[c + 1]);
            add_cell(scores + int64_t{chunks.cell_groups[cell]} * LANES, mask, packed, hits[h].x);
            packed += __builtin_popcount(mask);
        }
    }
}

// Tells whether (score, id) is a better prediction than (other, other_id). Equal scores go to the smaller id.
XC_FN bool better(float score, int32_t id, float other, int32_t other_id) {
    return score > other || (score == other && id < other_id);
}

// Inserts a prediction into the k best ones of a row, which are kept best first.
XC_FN void insert(int32_t* ids, float* scores, int32_t& count, int64_t k, int32_t id, float score) {
    int64_t slot = count;
    if (count == k) {
        if (!better(score, id, scores[k - 1], ids[k - 1])) return;
        slot = k - 1;
    } else {
        count++;
    }
    for (; slot > 0 && better(score, id, scores[slot - 1], ids[slot - 1]); slot--) {
        scores[slot] = scores[slot - 1];
        ids[slot] = ids[slot - 1];
    }
    scores[slot] = score;
    ids[slot] = id;
}

XC_FN void keep_best(const PredictTask& task, int64_t i, int64_t first_group, int64_t n_groups) {
    const int64_t k = task.best.k;
    int32_t* ids = task.best.ids + i * k;
    float* best = task.best.scores + i * k;
    int32_t& count = task.best.counts[i];
    for (int64_t g = 0; g < n_groups; g++) {
        uint32_t candidates = task.allowed[first_group + g];
        if (count == k) candidates &= bits(load<16>(task.scores + g * LANES) >= best[k - 1]);
        for (; candidates; candidates &= candidates - 1) {
            const int l = __builtin_ctz(candidates);
            insert(ids, best, count, k, task.chunks.labels[(first_group + g) * LANES + l], task.scores[g * LANES + l]);
        }
    }
}

// Weighs the scores of one chunk, so that a larger weight never lowers one.
XC_FN void weigh(const PredictTask& task, int64_t first_group, int64_t n_groups) {
    const float* weights = task.weights + first_group * LANES;
    for (int64_t l = 0; l < n_groups * LANES; l++) {
        const float score = task.scores[l], weight = weights[l];
        task.scores[l] = task.added ? score + weight : score < 0 ? score / weight : score * weight;
    }
}

XC_FN bool any_allowed(const PredictTask& task, int64_t begin, int64_t end) {
    for (int64_t g = begin; g < end; g++)
        if (task.allowed[g]) return true;
    return false;
}

// The scores of row i for all labels of chunk c. `lookup` has the place of each feature in the chunk, -1 if it has none; without
// `lookup` features are searched.
template <typename Value>
XC_FN void score_row(const Rows& rows, const Chunks& chunks, int64_t c, const int32_t* lookup, int64_t i, float* scores) {
    const int64_t first_group = chunks.chunk_group_ptr[c], n_groups = chunks.chunk_group_ptr[c + 1] - first_group;
    const int64_t begin = chunks.chunk_feature_ptr[c], end = chunks.chunk_feature_ptr[c + 1];
    std::memcpy(scores, chunks.bias + first_group * LANES, sizeof(float) * LANES * n_groups);
    const int64_t p0 = rows.indices ? rows.indptr[i] : i * rows.d;
    const int64_t p1 = rows.indices ? rows.indptr[i + 1] : p0 + rows.d;
    Hit hits[HITS];
    int n_hits = 0;
    int64_t row = begin;
    for (int64_t p = p0; p < p1; p++) {
        const int32_t feature = rows.indices ? rows.indices[p] : static_cast<int32_t>(p - p0);
        const float x = rows.values[p];
        XC_CHECK(feature >= 0 && feature < rows.d);
        if (x == 0) continue;
        if (lookup) {
            if (lookup[feature] < 0) continue;
            row = begin + lookup[feature];
        } else {
            row = find_feature(chunks, begin, end, feature, rows.d);
            if (row == end) break;  // features ascend
            if (chunks.features[row] != feature) continue;
        }
        __builtin_prefetch(chunks.feature_cell_ptr + row);
        __builtin_prefetch(chunks.feature_value_ptr + row);
        hits[n_hits].row = row;
        hits[n_hits].x = x * chunks.chunk_scales[c];
        if (++n_hits == HITS) {
            add_hits<Value>(chunks, c, scores, n_groups, hits, n_hits);
            n_hits = 0;
        }
    }
    add_hits<Value>(chunks, c, scores, n_groups, hits, n_hits);
}

XC_FN void score_any(const Rows& rows, const Chunks& chunks, int64_t c, const int32_t* lookup, int64_t i, float* scores) {
    switch (chunks.value_type) {
        case FLOAT32: return score_row<float>(rows, chunks, c, lookup, i, scores);
        case FLOAT16: return score_row<uint16_t>(rows, chunks, c, lookup, i, scores);
        default: return score_row<int8_t>(rows, chunks, c, lookup, i, scores);
    }
}

XC_TARGET static void predict(const PredictTask& task) {
    const Rows& rows = task.rows;
    const Chunks& chunks = task.chunks;
    const bool tabulate = rows.n > SMALL_BATCH;
    for (int64_t c = 0; c < chunks.n_chunks; c++) {
        const int64_t first_group = chunks.chunk_group_ptr[c], n_groups = chunks.chunk_group_ptr[c + 1] - first_group;
        const int64_t begin = chunks.chunk_feature_ptr[c], end = chunks.chunk_feature_ptr[c + 1];
        if (!task.all && !any_allowed(task, first_group, first_group + n_groups)) continue;
        if (tabulate)
            for (int64_t row = begin; row < end; row++) task.lookup[chunks.features[row]] = static_cast<int32_t>(row - begin);
        for (int64_t i = 0; i < rows.n; i++) {
            if (i % 256 == 0 && *task.stop) break;
            score_any(rows, chunks, c, tabulate ? task.lookup : nullptr, i, task.scores);
            if (task.weights) weigh(task, first_group, n_groups);
            if (task.all)
                std::memcpy(task.all + i * task.n_lanes + first_group * LANES, task.scores, sizeof(float) * LANES * n_groups);
            else
                keep_best(task, i, first_group, n_groups);
        }
        if (tabulate)
            for (int64_t row = begin; row < end; row++) task.lookup[chunks.features[row]] = -1;
        if (*task.stop) return;
    }
}
