// Random numbers of the kernels that run at one instruction set; the block engine has its own, built once per level.
#pragma once
#include <cstdint>

namespace xclassic {

// xorshift64* (Vigna, 2016), of which the upper half is used.
class Random {
  public:
    explicit Random(uint64_t seed) : state_(seed | 1) {}

    // An integer from 0 to n - 1.
    int64_t below(int64_t n) { return static_cast<int64_t>(draw() * static_cast<uint64_t>(n) >> 32); }

    // A number in [0, 1).
    double uniform() { return static_cast<double>(draw()) / 4294967296.0; }

  private:
    uint64_t draw() {
        state_ ^= state_ >> 12;
        state_ ^= state_ << 25;
        state_ ^= state_ >> 27;
        return state_ * 0x2545F4914F6CDD1DULL >> 32;
    }

    uint64_t state_;
};

}  // namespace xclassic
