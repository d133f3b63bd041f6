// Half precision: rounding to numbers that it holds exactly, so that a model predicts the same before and after saving, and reading.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace xclassic {

constexpr float LEAST_HALF = 6.104e-5f, LARGEST_HALF = 65504.f;  // normal numbers of half precision

// The nearest number with eleven significant bits, ties to even. It is zero below the least and the largest above the largest.
inline float half_precise(float x) {
    if (std::fabs(x) < LEAST_HALF) return 0;
    if (std::fabs(x) >= LARGEST_HALF) return std::copysign(LARGEST_HALF, x);
    uint32_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    bits += 0xFFF + (bits >> 13 & 1);
    bits &= ~uint32_t{0x1FFF};
    std::memcpy(&x, &bits, sizeof bits);
    return x;
}

// The value of a half-precision pattern; infinities and NaN become large numbers.
inline float from_half(uint16_t pattern) {
    const uint32_t bits = static_cast<uint32_t>(pattern & 0x7FFF) << 13, sign = static_cast<uint32_t>(pattern & 0x8000) << 16;
    float x;
    std::memcpy(&x, &bits, sizeof x);
    x *= 0x1p112f;  // This is the difference of the biases of the exponents.
    uint32_t scaled;
    std::memcpy(&scaled, &x, sizeof scaled);
    scaled |= sign;
    std::memcpy(&x, &scaled, sizeof x);
    return x;
}

}  // namespace xclassic
