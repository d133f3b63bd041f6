// Strings in one run of bytes, found by a table of hashes, in the order of their bytes. In UTF-8 this is the order of Python's strings.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace xclassic {

// String i is bytes[ends[i] .. ends[i + 1]).
struct Strings {
    const uint8_t* bytes = nullptr;
    const int64_t* ends = nullptr;  // (n + 1,)
    int64_t n = 0;

    const uint8_t* at(int64_t i) const { return bytes + ends[i]; }
    size_t length(int64_t i) const { return size_t(ends[i + 1] - ends[i]); }
    bool equals(int64_t i, const uint8_t* p, size_t size) const {
        return length(i) == size && (size == 0 || std::memcmp(at(i), p, size) == 0);
    }
};

// Up to 8 bytes as a number. Bytes are read twice rather than one by one.
inline uint64_t load_word(const uint8_t* p, size_t n) {
    uint64_t word = 0;
    uint32_t low = 0, high = 0;
    if (n >= 8) {
        std::memcpy(&word, p, 8);
    } else if (n >= 4) {
        std::memcpy(&low, p, 4);
        std::memcpy(&high, p + n - 4, 4);
        word = low | uint64_t(high) << 32;
    } else if (n > 0) {
        word = p[0] | uint64_t(p[n / 2]) << 8 | uint64_t(p[n - 1]) << 16;
    }
    return word;
}

inline uint64_t mixed(uint64_t h) {
    h *= 0x9E3779B97F4A7C15u;
    return h ^ (h >> 32);
}

// Models with a hashed vocabulary count on these values.
inline uint32_t hash_of(const uint8_t* p, size_t n) {
    uint64_t h = n;
    for (; n > 8; p += 8, n -= 8) h = mixed(h ^ load_word(p, 8));
    h = mixed(mixed(h) ^ load_word(p, n));
    return uint32_t((h * 0xD6E8FEB86659FD93u) >> 32);
}

// Open addressing. The hash of a slot is its place in a table of any size, so that a table grows without its strings.
class HashSlots {
public:
    int32_t find(uint32_t hash, const Strings& strings, const uint8_t* p, size_t n) const {
        if (slots_.empty()) return -1;
        for (size_t at = hash & mask(); slots_[at].id >= 0; at = (at + 1) & mask())
            if (slots_[at].hash == hash && strings.equals(slots_[at].id, p, n)) return slots_[at].id;
        return -1;
    }

    void insert(uint32_t hash, int32_t id) {
        if (2 * (n_used_ + 1) > slots_.size()) reserve(n_used_ + 1);
        place({hash, id});
        n_used_++;
    }

    void reserve(size_t n) {
        size_t size = 64;
        while (size < 2 * n) size *= 2;
        if (size <= slots_.size()) size = 2 * slots_.size();
        std::vector<Slot> before(size);
        before.swap(slots_);
        for (const Slot& slot : before)
            if (slot.id >= 0) place(slot);
    }

private:
    struct Slot {
        uint32_t hash = 0;
        int32_t id = -1;
    };

    size_t mask() const { return slots_.size() - 1; }

    void place(const Slot& slot) {
        size_t at = slot.hash & mask();
        while (slots_[at].id >= 0) at = (at + 1) & mask();
        slots_[at] = slot;
    }

    std::vector<Slot> slots_;
    size_t n_used_ = 0;
};

// Different strings, numbered as they come.
class GrowingTable {
public:
    std::vector<uint8_t> bytes;
    std::vector<int64_t> ends{0};

    Strings strings() const { return {bytes.data(), ends.data(), int64_t(ends.size()) - 1}; }

    int32_t id_of(const uint8_t* p, size_t n) {
        const uint32_t hash = hash_of(p, n);
        const int32_t found = slots_.find(hash, strings(), p, n);
        if (found >= 0) return found;
        const int32_t id = int32_t(ends.size()) - 1;
        bytes.insert(bytes.end(), p, p + n);
        ends.push_back(int64_t(bytes.size()));
        slots_.insert(hash, id);
        return id;
    }

private:
    HashSlots slots_;
};

// Given strings, of which none repeats.
class FixedTable {
public:
    FixedTable() = default;
    explicit FixedTable(const Strings& strings) : strings_(strings) {
        slots_.reserve(size_t(strings.n));
        for (int64_t i = 0; i < strings.n; i++) slots_.insert(hash_of(strings.at(i), strings.length(i)), int32_t(i));
    }

    bool empty() const { return strings_.n == 0; }

    int32_t find(const uint8_t* p, size_t n) const {
        return empty() ? -1 : slots_.find(hash_of(p, n), strings_, p, n);
    }

private:
    Strings strings_;
    HashSlots slots_;
};

inline int compared(const Strings& a, int64_t i, const Strings& b, int64_t j) {
    const size_t n = std::min(a.length(i), b.length(j));
    const int order = n ? std::memcmp(a.at(i), b.at(j), n) : 0;
    if (order != 0) return order;
    return a.length(i) < b.length(j) ? -1 : a.length(i) > b.length(j);
}

// Writes the numbers of strings in the order of their bytes.
inline void sort_strings(const Strings& strings, int32_t* order) {
    struct Item {
        uint64_t beginning;  // the first 8 bytes, so that most comparisons read no string
        int32_t id;
    };
    std::vector<Item> items(size_t(strings.n));
    for (int64_t i = 0; i < strings.n; i++) {
        uint64_t beginning = 0;
        for (size_t k = 0; k < 8; k++) beginning = beginning << 8 | (k < strings.length(i) ? strings.at(i)[k] : 0);
        items[size_t(i)] = {beginning, int32_t(i)};
    }
    std::sort(items.begin(), items.end(), [&](const Item& a, const Item& b) {
        if (a.beginning != b.beginning) return a.beginning < b.beginning;
        return compared(strings, a.id, strings, b.id) < 0;
    });
    for (size_t i = 0; i < items.size(); i++) order[i] = items[i].id;
}

// The union of two ascending lists without repetitions, and where the strings of each are in it.
inline void merge_strings(const Strings& a, const Strings& b, std::vector<uint8_t>& bytes, std::vector<int64_t>& ends, int32_t* from_a,
                          int32_t* from_b) {
    bytes.reserve(size_t(a.ends[a.n] + b.ends[b.n]));
    ends.reserve(size_t(a.n + b.n + 1));
    ends.push_back(0);
    for (int64_t i = 0, j = 0; i < a.n || j < b.n;) {
        const int order = i == a.n ? 1 : j == b.n ? -1 : compared(a, i, b, j);
        const Strings& from = order <= 0 ? a : b;
        const int64_t taken = order <= 0 ? i : j;
        const int32_t number = int32_t(ends.size()) - 1;
        bytes.insert(bytes.end(), from.at(taken), from.at(taken) + from.length(taken));
        ends.push_back(int64_t(bytes.size()));
        if (order <= 0) from_a[i++] = number;
        if (order >= 0) from_b[j++] = number;
    }
}

}  // namespace xclassic
