// Some rows of a matrix, cut out with only the features that occur in them.
#pragma once
#include "block_types.h"
#include "entries.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace xclassic {

constexpr int64_t SPARE = 1 << 16;  // At most this many entries of room to grow.

// Memory that starts at a multiple of 64 bytes and only grows. What it held is lost then.
template <typename T>
class Scratch {
  public:
    T* get(int64_t size) {
        if (size > size_) {
            std::free(raw_);
            size_ = size + std::min(size / 4, SPARE);
            raw_ = std::malloc(sizeof(T) * size_ + 64);
            if (!raw_) throw std::bad_alloc();
        }
        return reinterpret_cast<T*>((reinterpret_cast<uintptr_t>(raw_) + 63) & ~uintptr_t{63});
    }
    Scratch() = default;
    Scratch(const Scratch&) = delete;
    ~Scratch() { std::free(raw_); }

  private:
    void* raw_ = nullptr;
    int64_t size_ = 0;
};

// A set of small integers that lists its members in ascending order and gives the rank of each.
class RankedSet {
  public:
    explicit RankedSet(int64_t n) : bits_((n + 63) / 64 + 1), before_(bits_.size()) {}
    void clear() { std::fill(bits_.begin(), bits_.end(), 0); }
    void add(int64_t i) { bits_[i >> 6] |= uint64_t{1} << (i & 63); }
    int64_t count_ranks() {
        int64_t n = 0;
        for (size_t word = 0; word < bits_.size(); word++) {
            before_[word] = static_cast<int32_t>(n);
            n += __builtin_popcountll(bits_[word]);
        }
        return n;
    }
    int32_t rank(int64_t i) const {
        return before_[i >> 6] + __builtin_popcountll(bits_[i >> 6] & ((uint64_t{1} << (i & 63)) - 1));
    }
    template <typename Visit>
    void each(Visit visit) const {
        for (size_t word = 0; word < bits_.size(); word++)
            for (uint64_t left = bits_[word]; left; left &= left - 1)
                visit(static_cast<int64_t>(word * 64 + __builtin_ctzll(left)));
    }

  private:
    std::vector<uint64_t> bits_;
    std::vector<int32_t> before_;
};

// Some rows of a matrix. The memory is reused from one cut to the next.
//
// Rows that have a reader are copied too, which is faster, up to 16 bytes for each row and feature of the matrix; a larger part is
// read where it is. Features have the same numbers either way, and so what is made of the rows has the same bits.
class SubMatrix {
  public:
    explicit SubMatrix(const Rows& all) : all_(all), number_(all.indices ? all.d : 0, -1) {}

    Rows rows{};
    std::vector<int32_t> features;  // number of each feature in the whole matrix

    // Cuts out n rows. `copies` is the room for repeated rows, as a multiple of n.
    void cut(const int32_t* ids, int64_t n, int copies) {
        if (!all_.indices) return cut_dense(ids, n, copies);
        if (all_.reader) all_.reader->last = -1;  // A view has used the same memory since.
        const int64_t nnz = (1 + copies) * count_entries(ids, n);
        if (all_.reader && nnz > 2 * (all_.n + all_.reader->n_features)) view(ids, n, copies);
        else cut_sparse(ids, n, copies, nnz);
    }

    // Appends a copy of row i.
    void repeat(int64_t i) {
        const int64_t n = rows.n++;
        if (rows.reader) {
            ids_.get(0)[n] = ids_.get(0)[i];
            return;
        }
        float* values = values_.get(0);
        if (!rows.indices) {
            std::memcpy(values + n * rows.d, values + i * rows.d, sizeof(float) * rows.d);
            return;
        }
        int64_t* indptr = indptr_.get(0);
        const int64_t length = indptr[i + 1] - indptr[i];
        std::memcpy(indices_.get(0) + indptr[n], indices_.get(0) + indptr[i], sizeof(int32_t) * length);
        std::memcpy(values + indptr[n], values + indptr[i], sizeof(float) * length);
        indptr[n + 1] = indptr[n] + length;
    }

  private:
    int64_t count_entries(const int32_t* ids, int64_t n) const {
        int64_t nnz = 0;
        for (int64_t i = 0; i < n; i++) nnz += all_.indptr[ids[i] + 1] - all_.indptr[ids[i]];
        return nnz;
    }

    void view(const int32_t* ids, int64_t n, int copies) {
        int32_t* stored = ids_.get((1 + copies) * n);
        std::memcpy(stored, ids, sizeof(int32_t) * n);
        stored_number_.assign(all_.reader->n_features, -1);
        features.clear();
        for (int64_t i = 0; i < n; i++) {
            for (int64_t p = all_.indptr[ids[i]]; p < all_.indptr[ids[i] + 1]; p++) {
                int32_t& number = stored_number_[all_.indices[p]];
                if (number >= 0) continue;
                number = static_cast<int32_t>(features.size());
                features.push_back(all_.reader->numbers[all_.indices[p]]);
            }
        }
        reader_ = *all_.reader;
        reader_.ids = stored;
        reader_.numbers = stored_number_.data();
        rows = {all_.indptr, all_.indices, all_.values, n, static_cast<int64_t>(features.size()), all_.bias, &reader_};
    }

    // Features are numbered in order of occurrence, so that frequent ones get small numbers and lie together.
    void cut_sparse(const int32_t* ids, int64_t n, int copies, int64_t room) {
        int64_t* indptr = indptr_.get((1 + copies) * n + 1);
        int32_t* indices = indices_.get(room + 1);
        float* values = values_.get(room + 1);
        features.clear();
        indptr[0] = 0;
        int64_t q = 0;
        for (int64_t i = 0; i < n; i++) {
            const Entries row = entries_of(all_, ids[i]);
            for (int64_t p = 0; p < row.n; p++, q++) {
                int32_t& number = number_[row.indices[p]];
                if (number < 0) {
                    number = static_cast<int32_t>(features.size());
                    features.push_back(row.indices[p]);
                }
                indices[q] = number;
                values[q] = row.values[p];
            }
            indptr[i + 1] = q;
        }
        for (int32_t f : features) number_[f] = -1;
        rows = {indptr, indices, values, n, static_cast<int64_t>(features.size()), all_.bias, nullptr};
    }

    void cut_dense(const int32_t* ids, int64_t n, int copies) {
        float* values = values_.get((1 + copies) * n * all_.d + 1);
        for (int64_t i = 0; i < n; i++)
            std::memcpy(values + i * all_.d, all_.values + int64_t{ids[i]} * all_.d, sizeof(float) * all_.d);
        features.resize(all_.d);
        for (int64_t f = 0; f < all_.d; f++) features[f] = static_cast<int32_t>(f);
        rows = {nullptr, nullptr, values, n, all_.d, all_.bias, nullptr};
    }

    const Rows& all_;
    std::vector<int32_t> number_;  // number of each feature in the cut; -1 if it does not occur
    std::vector<int32_t> stored_number_;  // the same for stored features, in a view
    RowReader reader_;  // of a view
    Scratch<int32_t> ids_;  // stored rows of a view
    Scratch<int64_t> indptr_;
    Scratch<int32_t> indices_;
    Scratch<float> values_;
};

}  // namespace xclassic
