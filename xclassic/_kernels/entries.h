// The entries of a row, sparse or dense.
#pragma once
#include "arguments.h"

#define XC_INLINE __attribute__((always_inline))

namespace xclassic {

// Calls visit(feature, value) for the nonzero values, by ascending feature.
template <typename Visit>
inline XC_INLINE void each_entry(const Rows& rows, int64_t row, Visit visit) {
    if (rows.indices) {
        for (int64_t p = rows.indptr[row]; p < rows.indptr[row + 1]; p++)
            if (rows.values[p] != 0) visit(rows.indices[p], rows.values[p]);
    } else {
        const float* x = rows.values + row * rows.d;
        for (int64_t f = 0; f < rows.d; f++)
            if (x[f] != 0) visit(static_cast<int32_t>(f), x[f]);
    }
}

}  // namespace xclassic
