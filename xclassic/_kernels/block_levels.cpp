// Compiles block_engine.h once per instruction-set level into a table that is indexed at run time.
//
// Compiler-made function clones would hide which one runs and could not be forced in a test; a table can. Functions of a level
// call only each other, so that no code built for a wide instruction set can end up shared with a narrow one.
#include "block_types.h"
#include "entries.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

// The bounds-checked build (see setup.py) stops at the first bad index instead of reading past an array.
#ifdef XCLASSIC_BOUNDSCHECK
#define XC_CHECK(condition) \
    if (!(condition)) { std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); std::abort(); }
#else
#define XC_CHECK(condition)
#endif

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define XCLASSIC_X86 1
#include <immintrin.h>
#endif

#define XC_LEVEL_BASELINE 0
#define XC_LEVEL_V3 3
#define XC_LEVEL_V4 4

#define XC_LEVEL XC_LEVEL_BASELINE
#define XC_NAMESPACE baseline
#define XC_TARGET
#include "block_engine.h"
#undef XC_LEVEL
#undef XC_NAMESPACE
#undef XC_TARGET
#undef XC_FN
#undef XC_PARTS

#ifdef XCLASSIC_X86
#define XC_LEVEL XC_LEVEL_V3
#define XC_NAMESPACE v3
#define XC_TARGET __attribute__((target("avx2,fma,bmi,bmi2,popcnt,lzcnt,f16c")))
#include "block_engine.h"
#undef XC_LEVEL
#undef XC_NAMESPACE
#undef XC_TARGET
#undef XC_FN
#undef XC_PARTS

#define XC_LEVEL XC_LEVEL_V4
#define XC_NAMESPACE v4
#define XC_TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512cd,avx2,fma,bmi,bmi2,popcnt,lzcnt,f16c")))
#include "block_engine.h"
#undef XC_LEVEL
#undef XC_NAMESPACE
#undef XC_TARGET
#undef XC_FN
#undef XC_PARTS
#endif

namespace xclassic {

static const Level LEVELS[] = {
    {"baseline", baseline::train, baseline::keep, baseline::ridge, baseline::predict, baseline::score_centers,
     baseline::score_children},
#ifdef XCLASSIC_X86
    {"v3", v3::train, v3::keep, v3::ridge, v3::predict, v3::score_centers,
     v3::score_children},
    {"v4", v4::train, v4::keep, v4::ridge, v4::predict, v4::score_centers,
     v4::score_children},
#endif
};

int n_levels() { return sizeof(LEVELS) / sizeof(LEVELS[0]); }

const Level& level(int i) { return LEVELS[i]; }

bool level_runs_here(int i) {
#ifdef XCLASSIC_X86
    __builtin_cpu_init();
    if (i == 1) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
    if (i == 2)
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
               __builtin_cpu_supports("avx512cd") && level_runs_here(1);
#endif
    return i == 0;
}

}  // namespace xclassic
