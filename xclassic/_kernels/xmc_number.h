// Decimal text to float32 and back, always to the nearest value, independent of the locale of the process.
#pragma once

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <locale>
#include <sstream>
#include <string>

namespace xclassic {

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

// The slow, portable way. Unlike std::from_chars it tells overflow (infinite) from underflow (zero or nearly). Libraries differ
// in which of the two they report as a failure and in the value they leave.
inline float stream_to_float(const char *begin, const char *end) {
    std::istringstream text(std::string(begin, end));
    text.imbue(std::locale::classic());
    float value = 0.0f;
    text >> value;
    return text.fail() && value > 1.0f ? HUGE_VALF : value;
}

// Reads [+-]digits[.digits][e[+-]digits] from [p, end) into *value. Returns the end of the number, or nullptr if the text does not
// start with one. A number too large for float32 becomes infinite.
inline const char *read_float(const char *p, const char *end, float *value) {
    static const float powers[] = {1e0f, 1e1f, 1e2f, 1e3f, 1e4f, 1e5f, 1e6f, 1e7f, 1e8f, 1e9f, 1e10f};
    const bool negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) ++p;
    const char *begin = p;
    uint64_t mantissa = 0;
    while (p < end && is_digit(*p)) mantissa = mantissa * 10 + (*p++ - '0');
    int64_t digits = p - begin, decimals = 0;
    if (p < end && *p == '.') {
        const char *point = p++;
        while (p < end && is_digit(*p)) mantissa = mantissa * 10 + (*p++ - '0');
        decimals = p - point - 1;
    }
    digits += decimals;
    if (digits == 0) return nullptr;
    bool plain = true;
    if (p < end && (*p == 'e' || *p == 'E')) {
        plain = false;
        ++p;
        if (p < end && (*p == '-' || *p == '+')) ++p;
        if (p == end || !is_digit(*p)) return nullptr;
        while (p < end && is_digit(*p)) ++p;
    }
    float magnitude = 0.0f;
    if (plain && digits <= 19 && mantissa <= (1u << 24) && decimals <= 10) {
        magnitude = static_cast<float>(mantissa) / powers[decimals];  // Both are exact, so the one division rounds to nearest.
    } else {
#if defined(__cpp_lib_to_chars)
        if (std::from_chars(begin, p, magnitude).ec != std::errc()) magnitude = stream_to_float(begin, p);
#else
        magnitude = stream_to_float(begin, p);
#endif
    }
    *value = negative ? -magnitude : magnitude;
    return p;
}

// Writes the shortest text that reads back as `value` (finite) and returns its end; at most 16 characters.
inline char *write_float(char *p, float value) {
#if defined(__cpp_lib_to_chars)
    return std::to_chars(p, p + 16, value).ptr;
#else
    for (int precision = 1;; ++precision) {
        std::ostringstream text;
        text.imbue(std::locale::classic());
        text.precision(precision);
        text << value;
        const std::string digits = text.str();
        const char *begin = digits.data(), *end = begin + digits.size();
        float back = 0.0f;
        read_float(begin, end, &back);
        if (back == value || precision == 9) return std::copy(begin, end, p);
    }
#endif
}

}  // namespace xclassic
