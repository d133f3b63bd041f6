// Agglomeration of items by a sparse similarity, with nearest-neighbor chains (Murtagh 1983; Müllner, arXiv:1109.2378).
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace xclassic {

enum Linkage : int32_t { AVERAGE, COMPLETE, SINGLE, N_LINKAGES };
constexpr const char* LINKAGE_NAMES[N_LINKAGES] = {"average", "complete", "single"};

// A map from clusters to numbers, by open addressing.
class Neighbors {
  public:
    int64_t size() const { return size_; }
    double* find(int32_t key) {
        if (keys_.empty()) return nullptr;
        for (size_t at = start(key);; at = (at + 1) & (keys_.size() - 1)) {
            if (keys_[at] == key) return &values_[at];
            if (keys_[at] == EMPTY) return nullptr;
        }
    }
    double& at(int32_t key) {  // An absent key gets the value 0.
        if ((used_ + 1) * 4 > static_cast<int64_t>(keys_.size()) * 3) grow();
        size_t place = keys_.size();
        for (size_t at = start(key);; at = (at + 1) & (keys_.size() - 1)) {
            if (keys_[at] == key) return values_[at];
            if (keys_[at] == REMOVED && place == keys_.size()) place = at;
            if (keys_[at] == EMPTY) {
                if (place == keys_.size()) {
                    place = at;
                    used_++;
                }
                break;
            }
        }
        keys_[place] = key;
        size_++;
        return values_[place] = 0;
    }
    void remove(int32_t key) {
        for (size_t at = start(key);; at = (at + 1) & (keys_.size() - 1)) {
            if (keys_[at] == EMPTY) return;
            if (keys_[at] == key) {
                keys_[at] = REMOVED;
                size_--;
                return;
            }
        }
    }
    void release() {
        std::vector<int32_t>().swap(keys_);
        std::vector<double>().swap(values_);
        size_ = used_ = 0;
    }
    template <typename Visit>
    void each(Visit visit) const {
        for (size_t at = 0; at < keys_.size(); at++)
            if (keys_[at] >= 0) visit(keys_[at], values_[at]);
    }

  private:
    static constexpr int32_t EMPTY = -1, REMOVED = -2;
    size_t start(int32_t key) const { return (static_cast<uint32_t>(key) * 2654435769u >> 7) & (keys_.size() - 1); }
    void grow() {
        std::vector<int32_t> keys(std::max<size_t>(4, static_cast<size_t>(size_ * 2 + 2)));
        size_t capacity = 4;
        while (capacity < keys.size()) capacity *= 2;
        keys.assign(capacity, EMPTY);
        std::vector<double> values(capacity);
        keys.swap(keys_);
        values.swap(values_);
        used_ = size_;
        for (size_t old = 0; old < keys.size(); old++) {
            if (keys[old] < 0) continue;
            size_t at = start(keys[old]);
            while (keys_[at] != EMPTY) at = (at + 1) & (capacity - 1);
            keys_[at] = keys[old];
            values_[at] = values[old];
        }
    }

    std::vector<int32_t> keys_;
    std::vector<double> values_;
    int64_t size_ = 0, used_ = 0;
};

struct Merge {
    int32_t first, second;  // smallest item of each side
    double similarity;
};

// Merges all items. Items without any similarity are merged last, smallest groups first.
//
// Average linkage keeps the sum over pairs, so that a merge touches only the shorter list of neighbors. Complete linkage keeps the
// minimum, which drops what is missing in either list.
class Agglomeration {
  public:
    Agglomeration(int64_t n, const int64_t* indptr, const int32_t* indices, const double* similarities, int32_t linkage)
        : linkage_(linkage), near_(n), size_(n, 1), smallest_(n), height_(n, INFINITY) {
        for (int32_t i = 0; i < n; i++) {
            smallest_[i] = i;
            for (int64_t p = indptr[i]; p < indptr[i + 1]; p++)
                if (indices[p] != i && similarities[p] > 0) near_[i].at(indices[p]) = similarities[p];
        }
    }

    std::vector<Merge> merges;

    void run(const volatile uint8_t* stop) {
        const int32_t n = static_cast<int32_t>(near_.size());
        std::vector<int32_t> chain, groups;
        for (int32_t seed = 0; seed < n; seed++) {
            if (size_[seed] == 0) continue;
            chain.assign(1, seed);
            while (!chain.empty()) {
                if (*stop) return;
                const int32_t top = chain.back(), before = chain.size() > 1 ? chain[chain.size() - 2] : -1;
                const int32_t nearest = nearest_of(top, before);
                if (nearest < 0) {  // Only a chain of one can end so, as a similarity is mutual.
                    chain.pop_back();
                } else if (nearest == before) {
                    chain.resize(chain.size() - 2);
                    merge(top, before, similarity(top, before, *near_[top].find(before)));
                    if (chain.empty()) chain.push_back(size_[top] ? top : before);
                } else {
                    chain.push_back(nearest);
                }
            }
        }
        for (int32_t i = 0; i < n; i++)
            if (size_[i]) groups.push_back(i);
        join_groups(groups);
    }

  private:
    double similarity(int32_t a, int32_t b, double stored) const {
        return linkage_ == AVERAGE ? stored / (static_cast<double>(size_[a]) * static_cast<double>(size_[b])) : stored;
    }

    // The most similar cluster. Ties go to the cluster before it in the chain, then to the one with the smallest item.
    int32_t nearest_of(int32_t a, int32_t before) const {
        int32_t best = -1;
        double most = -1;
        near_[a].each([&](int32_t b, double stored) {
            const double s = similarity(a, b, stored);
            if (s < most || (s == most && best == before)) return;
            if (s > most || b == before || smallest_[b] < smallest_[best]) {
                best = b;
                most = s;
            }
        });
        return best;
    }

    // Afterwards one of the two represents both and the other has size 0.
    void merge(int32_t a, int32_t b, double s) {
        s = std::min(s, std::min(height_[a], height_[b]));  // Rounding must not put a merge before those inside it.
        merges.push_back({smallest_[a], smallest_[b], s});
        if (near_[a].size() < near_[b].size()) std::swap(a, b);
        near_[a].remove(b);
        near_[b].remove(a);
        if (linkage_ == COMPLETE) drop_one_sided(a, b);
        near_[b].each([&](int32_t c, double stored) {
            double& kept = near_[a].at(c);
            kept = linkage_ == AVERAGE ? kept + stored : linkage_ == SINGLE ? std::max(kept, stored) : std::min(kept, stored);
            near_[c].remove(b);
            near_[c].at(a) = kept;
        });
        near_[b].release();
        size_[a] += size_[b];
        size_[b] = 0;
        smallest_[a] = std::min(smallest_[a], smallest_[b]);
        height_[a] = s;
    }

    void drop_one_sided(int32_t a, int32_t b) {
        for (const auto& [mine, other] : {std::pair{a, b}, std::pair{b, a}}) {
            std::vector<int32_t> gone;
            near_[mine].each([&, o = other](int32_t c, double) {
                if (!near_[o].find(c)) gone.push_back(c);
            });
            for (int32_t c : gone) {
                near_[mine].remove(c);
                near_[c].remove(mine);
            }
        }
    }

    void join_groups(std::vector<int32_t> groups) {
        const auto later = [this](int32_t a, int32_t b) {
            return size_[a] > size_[b] || (size_[a] == size_[b] && smallest_[a] > smallest_[b]);
        };
        std::make_heap(groups.begin(), groups.end(), later);
        while (groups.size() > 1) {
            std::pop_heap(groups.begin(), groups.end(), later);
            const int32_t a = groups.back();
            groups.pop_back();
            std::pop_heap(groups.begin(), groups.end(), later);
            const int32_t b = groups.back();
            merges.push_back({smallest_[a], smallest_[b], 0});
            size_[b] += size_[a];
            smallest_[b] = std::min(smallest_[a], smallest_[b]);
            std::push_heap(groups.begin(), groups.end(), later);
        }
    }

    int32_t linkage_;
    std::vector<Neighbors> near_;
    std::vector<int64_t> size_;
    std::vector<int32_t> smallest_;
    std::vector<double> height_;  // similarity of the last merge of each cluster
};

}  // namespace xclassic
