// Some rows of a matrix, cut out with only the features that occur in them.
#pragma once
#include "block_types.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace xclassic {

// Memory that starts at a multiple of 64 bytes and only grows.
template <typename T>
class Scratch {
  public:
    T* get(int64_t size) {
        if (size > size_) {
            std::free(raw_);
            size_ = size + size / 4;
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
class SubMatrix {
  public:
    explicit SubMatrix(const Rows& all) : all_(all), number_(all.indices ? all.d : 0, -1) {}

    Rows rows{};
    std::vector<int32_t> features;  // number of each feature in the whole matrix

    // Cuts out n rows. `copies` is the room for repeated rows, as a multiple of n.
    void cut(const int32_t* ids, int64_t n, int copies) {
        if (all_.indices) cut_sparse(ids, n, copies);
        else cut_dense(ids, n, copies);
    }

    // Appends a copy of row i.
    void repeat(int64_t i) {
        const int64_t n = rows.n++;
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
    // Features are numbered in order of occurrence, so that frequent ones get small numbers and lie together.
    void cut_sparse(const int32_t* ids, int64_t n, int copies) {
        int64_t nnz = 0;
        for (int64_t i = 0; i < n; i++) nnz += all_.indptr[ids[i] + 1] - all_.indptr[ids[i]];
        int64_t* indptr = indptr_.get((1 + copies) * n + 1);
        int32_t* indices = indices_.get((1 + copies) * nnz + 1);
        float* values = values_.get((1 + copies) * nnz + 1);
        features.clear();
        indptr[0] = 0;
        int64_t q = 0;
        for (int64_t i = 0; i < n; i++) {
            const int64_t end = all_.indptr[ids[i] + 1];
            for (int64_t p = all_.indptr[ids[i]]; p < end; p++, q++) {
                int32_t& number = number_[all_.indices[p]];
                if (number < 0) {
                    number = static_cast<int32_t>(features.size());
                    features.push_back(all_.indices[p]);
                }
                indices[q] = number;
                values[q] = all_.values[p];
            }
            indptr[i + 1] = q;
        }
        for (int32_t f : features) number_[f] = -1;
        rows = {indptr, indices, values, n, static_cast<int64_t>(features.size()), all_.bias};
    }

    void cut_dense(const int32_t* ids, int64_t n, int copies) {
        float* values = values_.get((1 + copies) * n * all_.d + 1);
        for (int64_t i = 0; i < n; i++)
            std::memcpy(values + i * all_.d, all_.values + int64_t{ids[i]} * all_.d, sizeof(float) * all_.d);
        features.resize(all_.d);
        for (int64_t f = 0; f < all_.d; f++) features[f] = static_cast<int32_t>(f);
        rows = {nullptr, nullptr, values, n, all_.d, all_.bias};
    }

    const Rows& all_;
    std::vector<int32_t> number_;  // number of each feature in the cut; -1 if it does not occur
    Scratch<int64_t> indptr_;
    Scratch<int32_t> indices_;
    Scratch<float> values_;
};

}  // namespace xclassic
