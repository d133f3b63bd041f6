// The label-block kernels at one instruction-set level. No include guard: block_levels.cpp includes this once per level.
//
// Notation: N lanes; lane l holds one label. w is the label's weight vector (a column of W), alpha its dual variables (a column of
// alpha), m = w.x the margin of a row, t = +1 or -1 its target, c its cost.
namespace xclassic {
namespace XC_NAMESPACE {

#include "block_vector.h"

// Adds x[p] * WEIGHTS(p) for p in [p, end) to four sums, since with one sum each addition would wait for the one before it.
#define XC_DOT(WEIGHTS)                              \
    for (; p + 4 <= end; p += 4) {                   \
        a = a + x[p] * WEIGHTS(p);                   \
        b = b + x[p + 1] * WEIGHTS(p + 1);           \
        c = c + x[p + 2] * WEIGHTS(p + 2);           \
        e = e + x[p + 3] * WEIGHTS(p + 3);           \
    }                                                \
    if (p < end) b = b + x[p] * WEIGHTS(p);          \
    if (p + 1 < end) c = c + x[p + 1] * WEIGHTS(p + 1); \
    if (p + 2 < end) e = e + x[p + 2] * WEIGHTS(p + 2);

// The weights of a feature. SOFT: they are stored before the soft threshold at l1, which the l1 penalty makes of them.
template <int N, bool SOFT>
XC_FN F<N> weights(const float* from, float l1) {
    const F<N> v = load<N>(from);
    if constexpr (SOFT) return v - min(max(v, all<N>(-l1)), all<N>(l1));
    else return v;
}

// m[l] = w_l . x_i, all lanes at once: one pass over the row, one load of N weights per feature.
template <int N, bool SOFT = false>
XC_FN F<N> margins(const Rows& rows, const float* W, int64_t i, float l1 = 0) {
    F<N> a = load<N>(W + rows.d * N) * rows.bias, b = {}, c = {}, e = {};
    if (rows.indices) {
        const Entries row = entries_of(rows, i);
        const int32_t* index = row.indices;
        const float* x = row.values;
        int64_t p = 0;
        const int64_t end = row.n;
        for (int64_t q = p; q < end; q++) XC_CHECK(index[q] >= 0 && index[q] < rows.d);
#define XC_SPARSE(p) weights<N, SOFT>(W + int64_t{index[p]} * N, l1)
        XC_DOT(XC_SPARSE)
#undef XC_SPARSE
    } else {
        const float* x = rows.values + i * rows.d;
        const int64_t end = rows.d;
        int64_t p = 0;
#define XC_DENSE(p) weights<N, SOFT>(W + (p) * N, l1)
        XC_DOT(XC_DENSE)
#undef XC_DENSE
    }
    return (a + b) + (c + e);
}
#undef XC_DOT

// w_l += step[l] x_i.
template <int N>
XC_FN void add_row(const Rows& rows, float* W, int64_t i, F<N> step) {
    if (!rows.indices) {
        const float* x = rows.values + i * rows.d;
        for (int64_t f = 0; f < rows.d; f++) store<N>(W + f * N, load<N>(W + f * N) + x[f] * step);
    } else {
        const Entries row = entries_of(rows, i);
        for (int64_t p = 0; p < row.n; p++) {
            float* w = W + int64_t{row.indices[p]} * N;
            store<N>(w, load<N>(w) + row.values[p] * step);
        }
    }
    float* w = W + rows.d * N;
    store<N>(w, load<N>(w) + rows.bias * step);
}

// Prefetches row i, since rows come in random order, which the hardware cannot foresee.
XC_FN void prefetch_row(const Rows& rows, int64_t i) {
    if (!rows.indices) {
        __builtin_prefetch(rows.values + i * rows.d);
        return;
    }
    const int64_t p = rows.indptr[rows.reader && rows.reader->ids ? rows.reader->ids[i] : i];
    __builtin_prefetch(rows.indices + p);
    __builtin_prefetch(rows.indices + p + 16);
    __builtin_prefetch(rows.values + p);
    __builtin_prefetch(rows.values + p + 16);
}

struct Random {
    uint64_t state;
};

// xorshift64*; `below` maps the upper half onto 0..n-1.
XC_FN uint32_t below(Random& random, uint32_t n) {
    random.state ^= random.state >> 12;
    random.state ^= random.state << 25;
    random.state ^= random.state >> 27;
    return static_cast<uint32_t>(((random.state * 0x2545F4914F6CDD1DULL >> 32) * n) >> 32);
}

#include "block_train.h"

#include "block_keep.h"

#include "block_ridge.h"

#include "block_predict.h"

#include "block_cluster.h"

#include "block_search.h"

}  // namespace XC_NAMESPACE
}  // namespace xclassic
