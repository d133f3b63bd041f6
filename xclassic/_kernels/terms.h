// Texts as terms: words, sequences of words, and sequences of characters within words, counted for each text.
#pragma once
#include <Python.h>

#include <cmath>
#include <utility>

#include "term_table.h"

namespace xclassic {

// What a text is cut into. The first three differ in what a word is; the patterns are in xclassic/features/terms.py.
enum Cut : int32_t { WHOLE_WORDS, ANY_WORDS, LONG_WORDS, CHARACTERS, TOKENS, N_CUTS };
constexpr const char* CUT_NAMES[N_CUTS] = {"whole", "any", "long", "char_wb", "tokens"};

// The characters of a string of Python, 1, 2 or 4 bytes each.
struct Characters {
    const void* data = nullptr;
    int64_t n = 0;
    int32_t width = 1;
};

// Letters, digits and numerals, and the underscore: \w of Python's re.
inline bool in_word(uint32_t c) {
    if (c < 128) return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || (c >= 'A' && c <= 'Z');
    return Py_UNICODE_ISALNUM(c);
}

inline uint8_t* write_utf8(uint8_t* p, uint32_t c) {
    if (c < 0x80) {
        *p++ = uint8_t(c);
    } else if (c < 0x800) {
        *p++ = uint8_t(0xC0 | c >> 6);
        *p++ = uint8_t(0x80 | (c & 63));
    } else if (c < 0x10000) {  // half surrogates too
        *p++ = uint8_t(0xE0 | c >> 12);
        *p++ = uint8_t(0x80 | (c >> 6 & 63));
        *p++ = uint8_t(0x80 | (c & 63));
    } else {
        *p++ = uint8_t(0xF0 | c >> 18);
        *p++ = uint8_t(0x80 | (c >> 12 & 63));
        *p++ = uint8_t(0x80 | (c >> 6 & 63));
        *p++ = uint8_t(0x80 | (c & 63));
    }
    return p;
}

inline const uint8_t* next_character(const uint8_t* p) {
    return p + 1 + (*p >= 0xC0) + (*p >= 0xE0) + (*p >= 0xF0);
}

// The words of a text, with a space before the first and behind each. So each sequence of words is a run of bytes, and so is a word
// between its spaces.
class WordRun {
public:
    std::vector<size_t> starts;  // of each word, and one past the last space

    explicit WordRun(const FixedTable* stop_words) : stop_words_(stop_words) {}

    size_t n_words() const { return starts.size() - 1; }
    const uint8_t* bytes() const { return bytes_.data(); }

    void clear() {
        starts.assign(1, 1);
        end_ = 1;
        room(0, 1);
    }

    void add_text(const Characters& text, Cut cut) {
        room(text.n, text.width);
        if (text.width == 1) cut_text(static_cast<const uint8_t*>(text.data), text.n, cut);
        if (text.width == 2) cut_text(static_cast<const uint16_t*>(text.data), text.n, cut);
        if (text.width == 4) cut_text(static_cast<const uint32_t*>(text.data), text.n, cut);
    }

    void add_token(const Characters& token) {
        room(token.n, token.width);
        if (token.width == 1) add_word(static_cast<const uint8_t*>(token.data), token.n);
        if (token.width == 2) add_word(static_cast<const uint16_t*>(token.data), token.n);
        if (token.width == 4) add_word(static_cast<const uint32_t*>(token.data), token.n);
    }

private:
    // Make room for characters, each of which may be a word.
    void room(int64_t n, int32_t width) {
        const size_t size = end_ + size_t(n) * (width == 1 ? 3 : size_t(width) + 2) + 1;
        if (bytes_.size() < size) bytes_.resize(std::max(size, bytes_.size() + bytes_.size() / 2));
        bytes_[0] = ' ';
    }

    template <class Char>
    void add_word(const Char* word, int64_t n) {
        uint8_t* p = bytes_.data() + end_;
        for (int64_t i = 0; i < n; i++) p = write_utf8(p, word[i]);
        const size_t length = size_t(p - bytes_.data()) - end_;
        if (!stop_words_->empty() && stop_words_->find(bytes_.data() + end_, length) >= 0) return;
        *p = ' ';
        end_ += length + 1;
        starts.push_back(end_);
    }

    template <class Char>
    void cut_text(const Char* text, int64_t n, Cut cut) {
        for (int64_t i = 0; i < n;) {
            if (cut == CHARACTERS ? Py_UNICODE_ISSPACE(text[i]) : !in_word(text[i])) {
                i++;
                continue;
            }
            const int64_t begin = i;
            if (cut == CHARACTERS)
                while (i < n && !Py_UNICODE_ISSPACE(text[i])) i++;
            else
                i = word_end(text, n, i, cut);
            if (cut != LONG_WORDS || i - begin > 1) add_word(text + begin, i - begin);
        }
    }

    template <class Char>
    static int64_t word_end(const Char* text, int64_t n, int64_t i, Cut cut) {
        const auto follows = [&](int64_t at) { return at < n && in_word(text[at]); };
        while (follows(i)) i++;
        if (cut == LONG_WORDS) return i;
        while (cut == WHOLE_WORDS && i + 1 < n && (text[i] == '.' || text[i] == ',') && Py_UNICODE_ISDECIMAL(text[i - 1]) &&
               Py_UNICODE_ISDECIMAL(text[i + 1]))
            for (i++; follows(i);) i++;
        if (i + 1 < n && text[i] == '+' && text[i + 1] == '+') return i + 2;
        if (i < n && (text[i] == '+' || text[i] == '#') && !follows(i + 1)) return i + 1;
        return i;
    }

    const FixedTable* stop_words_;
    std::vector<uint8_t> bytes_;
    size_t end_ = 1;
};

// A term of a text, and how often the text has it.
struct Entry {
    int32_t term = 0;
    int32_t count = 0;
};

// The terms of texts, numbered as they come.
class TermCounter {
public:
    GrowingTable table;
    std::vector<Entry> entries;
    std::vector<int64_t> ptr{0};

    // Counts the sequences of so many words, or of characters, and ends the text.
    void end_text(const WordRun& words, bool characters, int64_t shortest, int64_t longest) {
        if (characters)
            for (size_t i = 0; i < words.n_words(); i++)
                add_characters(words.bytes() + words.starts[i] - 1, words.bytes() + words.starts[i + 1], shortest, longest);
        else
            add_words(words, size_t(shortest), std::min(size_t(longest), words.n_words()));
        ptr.push_back(int64_t(entries.size()));
    }

private:
    void add(const uint8_t* begin, const uint8_t* end) {
        const int32_t term = table.id_of(begin, size_t(end - begin));
        if (size_t(term) == places_.size()) places_.push_back(-1);
        int64_t& place = places_[size_t(term)];
        if (place < ptr.back()) {
            place = int64_t(entries.size());
            entries.push_back({term, 0});
        }
        int32_t& count = entries[size_t(place)].count;
        count += count < INT32_MAX;
    }

    void add_words(const WordRun& words, size_t shortest, size_t longest) {
        const uint8_t* bytes = words.bytes();
        for (size_t n = shortest; n <= longest; n++)
            for (size_t i = 0; i + n <= words.n_words(); i++)
                add(bytes + words.starts[i], bytes + words.starts[i + n] - 1);
    }

    // As scikit-learn's char_wb: a word shorter than a sequence counts once, with its spaces.
    void add_characters(const uint8_t* word, const uint8_t* end, int64_t shortest, int64_t longest) {
        for (int64_t n = shortest; n <= longest; n++) {
            const uint8_t* first = word;
            const uint8_t* last = word;
            for (int64_t i = 0; i < n && last < end; i++) last = next_character(last);
            add(first, last);
            if (last == end) return;
            while (last < end) {
                first = next_character(first);
                last = next_character(last);
                add(first, last);
            }
        }
    }

    std::vector<int64_t> places_;  // of each term among the entries, of the last text that has it
};

// Rows with other numbers of terms, where -1 leaves a term out, ascending; counts of the same number are added up.
inline void renumber_rows(const int64_t* ptr, int64_t n_rows, const Entry* entries, const int32_t* numbers, int64_t* new_ptr,
                          int32_t* new_terms, float* values) {
    std::vector<std::pair<int32_t, int32_t>> row;
    int64_t end = 0;
    new_ptr[0] = 0;
    for (int64_t i = 0; i < n_rows; i++) {
        row.clear();
        for (int64_t e = ptr[i]; e < ptr[i + 1]; e++)
            if (numbers[entries[e].term] >= 0) row.emplace_back(numbers[entries[e].term], entries[e].count);
        std::sort(row.begin(), row.end());
        for (const auto& [number, count] : row) {
            if (end > new_ptr[i] && new_terms[end - 1] == number) {
                values[end - 1] += float(count);
            } else {
                new_terms[end] = number;
                values[end++] = float(count);
            }
        }
        new_ptr[i + 1] = end;
    }
}

// Multiplies values by the weights of their terms, scales rows to unit length, rounded as by scikit-learn, and then by a factor.
inline void weigh_rows(const int64_t* ptr, int64_t n_rows, const int32_t* terms, const float* weights, float factor, float* values) {
    for (int64_t i = 0; i < n_rows; i++) {
        double squares = 0;
        for (int64_t e = ptr[i]; e < ptr[i + 1]; e++) {
            values[e] *= weights[terms[e]];
            const float square = values[e] * values[e];
            squares += square;
        }
        const double length = std::sqrt(squares);
        for (int64_t e = ptr[i]; e < ptr[i + 1]; e++) values[e] = float(values[e] / length) * factor;
    }
}

}  // namespace xclassic
