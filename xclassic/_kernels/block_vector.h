// Vectors of N float lanes at the level being compiled. No include guard: block_engine.h includes it once per level.
//
// A vector is a few registers of the level's native width. (The compiler accepts a 64-byte vector type at every level, but keeps it
// in memory where registers are narrower, which costs a factor of four with AVX2.) Arithmetic is the compiler's vector
// extension; only what it cannot express (a mask as bits, a rounded-up register) is written per level.

#define XC_FN XC_TARGET static inline __attribute__((always_inline))

#if XC_LEVEL == XC_LEVEL_V4
constexpr int NATIVE = 16;
#elif XC_LEVEL == XC_LEVEL_V3
constexpr int NATIVE = 8;
#else
constexpr int NATIVE = 4;
#endif

template <int N>
struct Layout {
    static constexpr int WIDTH = N < NATIVE ? N : NATIVE;
    static constexpr int PARTS = N / WIDTH;
    typedef float Float __attribute__((vector_size(4 * WIDTH)));
    typedef int32_t Int __attribute__((vector_size(4 * WIDTH)));
    typedef Float InMemory __attribute__((aligned(4), may_alias));
};

template <int N>
struct F {  // floats
    typename Layout<N>::Float part[Layout<N>::PARTS];
};

template <int N>
struct I {  // integers, and masks, in which all bits of a lane are set or clear
    typename Layout<N>::Int part[Layout<N>::PARTS];
};

#define XC_PARTS(N) for (int p = 0; p < Layout<N>::PARTS; p++)

template <int N>
XC_FN F<N> all(float x) {
    F<N> v;
    XC_PARTS(N) v.part[p] = x - typename Layout<N>::Float{};  // x - 0 is x for every x
    return v;
}

template <int N>
XC_FN float lane(const F<N>& v, int l) {
    return v.part[l / Layout<N>::WIDTH][l % Layout<N>::WIDTH];
}

template <int N>
XC_FN void set_lane(F<N>& v, int l, float x) {
    v.part[l / Layout<N>::WIDTH][l % Layout<N>::WIDTH] = x;
}

template <int N>
XC_FN F<N> load(const float* from) {
    F<N> v;
    XC_PARTS(N) v.part[p] = *reinterpret_cast<const typename Layout<N>::InMemory*>(from + p * Layout<N>::WIDTH);
    return v;
}

template <int N>
XC_FN void store(float* to, F<N> v) {
    XC_PARTS(N) *reinterpret_cast<typename Layout<N>::InMemory*>(to + p * Layout<N>::WIDTH) = v.part[p];
}

#define XC_ARITHMETIC(OP)                                      \
    template <int N>                                           \
    XC_FN F<N> operator OP(F<N> a, F<N> b) {                   \
        XC_PARTS(N) a.part[p] = a.part[p] OP b.part[p];        \
        return a;                                              \
    }                                                          \
    template <int N>                                           \
    XC_FN F<N> operator OP(F<N> a, float b) {                  \
        return a OP all<N>(b);                                 \
    }                                                          \
    template <int N>                                           \
    XC_FN F<N> operator OP(float a, F<N> b) {                  \
        return all<N>(a) OP b;                                 \
    }
XC_ARITHMETIC(+)
XC_ARITHMETIC(-)
XC_ARITHMETIC(*)
XC_ARITHMETIC(/)
#undef XC_ARITHMETIC

template <int N>
XC_FN F<N> operator-(F<N> a) {
    XC_PARTS(N) a.part[p] = -a.part[p];
    return a;
}

#define XC_COMPARISON(OP)                                                                                \
    template <int N>                                                                                     \
    XC_FN I<N> operator OP(F<N> a, F<N> b) {                                                             \
        I<N> mask;                                                                                       \
        XC_PARTS(N) mask.part[p] = (typename Layout<N>::Int)(a.part[p] OP b.part[p]);                    \
        return mask;                                                                                     \
    }                                                                                                    \
    template <int N>                                                                                     \
    XC_FN I<N> operator OP(F<N> a, float b) {                                                            \
        return a OP all<N>(b);                                                                           \
    }
XC_COMPARISON(<)
XC_COMPARISON(>)
XC_COMPARISON(<=)
XC_COMPARISON(>=)
XC_COMPARISON(==)
#undef XC_COMPARISON

template <int N>
XC_FN I<N> operator&(I<N> a, I<N> b) {
    XC_PARTS(N) a.part[p] &= b.part[p];
    return a;
}

template <int N>
XC_FN I<N> operator~(I<N> a) {
    XC_PARTS(N) a.part[p] = ~a.part[p];
    return a;
}

// a where the mask is set, b elsewhere.
template <int N>
XC_FN F<N> select(I<N> mask, F<N> a, F<N> b) {
    XC_PARTS(N) a.part[p] = mask.part[p] ? a.part[p] : b.part[p];
    return a;
}

template <int N>
XC_FN F<N> max(F<N> a, F<N> b) {
    return select(a > b, a, b);
}

template <int N>
XC_FN F<N> min(F<N> a, F<N> b) {
    return select(a < b, a, b);
}

template <int N>
XC_FN F<N> absolute(F<N> a) {
    return max(a, -a);
}

// The mask whose lane l is set where bit l of `bits` is.
template <int N>
XC_FN I<N> lanes(uint32_t bits) {
    constexpr int W = Layout<N>::WIDTH;
    I<N> mask;
    XC_PARTS(N) {
        typename Layout<N>::Int bit;
        for (int l = 0; l < W; l++) bit[l] = 1 << l;
        mask.part[p] = (bit & static_cast<int32_t>(bits >> (p * W))) != 0;
    }
    return mask;
}

// Bit l is set where lane l of the mask is.
template <int N>
XC_FN uint32_t bits(I<N> mask) {
    constexpr int W = Layout<N>::WIDTH;
    uint32_t found = 0;
    XC_PARTS(N) {
        uint32_t part = 0;
        if constexpr (W == 2) {
            part = (mask.part[p][0] & 1) | (mask.part[p][1] & 2);
#if XC_LEVEL == XC_LEVEL_V4
        } else if constexpr (W == 16) {
            part = _mm512_movepi32_mask((__m512i)mask.part[p]);
#endif
#if XC_LEVEL == XC_LEVEL_V4 || XC_LEVEL == XC_LEVEL_V3
        } else if constexpr (W == 8) {
            part = _mm256_movemask_ps((__m256)mask.part[p]);
#endif
#ifdef XCLASSIC_X86
        } else if constexpr (W == 4) {
            part = _mm_movemask_ps((__m128)mask.part[p]);
#endif
        } else {
            for (int l = 0; l < W; l++) part |= static_cast<uint32_t>(mask.part[p][l] & 1) << l;
        }
        found |= part << (p * W);
    }
    return found;
}

// exp(x) to a few units in the last place: x = n log 2 + r with |r| <= log(2) / 2, then the Taylor polynomial of degree 6 in r.
template <int N>
XC_FN F<N> exponential(F<N> x) {
    x = min(max(x, all<N>(-87.f)), all<N>(88.f));
    const F<N> shifted = x * 1.44269504f + 12582912.f;  // Adding 1.5 * 2^23 rounds to the nearest integer.
    const F<N> n = shifted - 12582912.f;
    const F<N> r = x - n * 0.693145752f - n * 1.42860677e-6f;
    F<N> y = r * (1.f / 720) + 1.f / 120;
    y = y * r + 1.f / 24;
    y = y * r + 1.f / 6;
    y = y * r + 0.5f;
    y = y * r + 1.f;
    y = y * r + 1.f;
    XC_PARTS(N) {
        // 0x4B400000 is the pattern of 1.5 * 2^23, so this is 2^n.
        const auto scale = ((typename Layout<N>::Int)shifted.part[p] - 0x4B400000 + 127) << 23;
        y.part[p] *= (typename Layout<N>::Float)scale;
    }
    return y;
}

// log(x) for positive normal x = 2^e m with m in [sqrt(1/2), sqrt(2)): log m = 2 atanh((m - 1) / (m + 1)) by its odd series.
template <int N>
XC_FN F<N> logarithm(F<N> x) {
    F<N> m, e;
    XC_PARTS(N) {
        const auto pattern = (typename Layout<N>::Int)x.part[p] - 0x3F3504F3;  // the pattern of sqrt(1/2)
        m.part[p] = (typename Layout<N>::Float)((pattern & 0x007FFFFF) + 0x3F3504F3);
        e.part[p] = __builtin_convertvector(pattern >> 23, typename Layout<N>::Float);
    }
    const F<N> z = (m - 1.f) / (m + 1.f), z2 = z * z;
    F<N> y = z2 * (2.f / 9) + 2.f / 7;
    y = y * z2 + 2.f / 5;
    y = y * z2 + 2.f / 3;
    y = y * z2 + 2.f;
    return y * z + e * 0.693147181f;
}
