// The entries of a row, sparse or dense.
#pragma once
#include "arguments.h"

#include <cmath>

#define XC_INLINE __attribute__((always_inline))

namespace xclassic {

// The entries of a sparse row.
struct Entries {
    const int32_t* indices;
    const float* values;
    int64_t n;
};

// Reads a row as its problem has it. The operations are those of numpy in rows.py, so that a map and memory give the same bits.
inline __attribute__((noinline)) Entries read_stored(const Rows& rows, int64_t i) {
    RowReader& reader = *rows.reader;
    const int64_t row = reader.ids ? reader.ids[i] : i, begin = rows.indptr[row], n = rows.indptr[row + 1] - begin;
    if (row == reader.last) return {reader.indices, reader.values, n};
    const int32_t* features = rows.indices + begin;
    const float* values = rows.values + begin;
    for (int64_t p = 0; p < n; p++) reader.indices[p] = reader.numbers ? reader.numbers[features[p]] : features[p];
    if (reader.exponents && reader.exponents[row]) {
        for (int64_t p = 0; p < n; p++) reader.values[p] = std::ldexp(values[p], -reader.exponents[row]);
        values = reader.values;
    }
    const float length = reader.lengths ? reader.lengths[row] : 1;
    for (int64_t p = 0; p < n; p++) reader.values[p] = values[p] / length;
    reader.last = row;
    return {reader.indices, reader.values, n};
}

// They are good until the next row is read.
inline XC_INLINE Entries entries_of(const Rows& rows, int64_t i) {
    if (rows.reader) return read_stored(rows, i);
    const int64_t begin = rows.indptr[i];
    return {rows.indices + begin, rows.values + begin, rows.indptr[i + 1] - begin};
}

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
