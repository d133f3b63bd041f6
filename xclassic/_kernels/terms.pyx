"""Texts as counted terms, and their vocabularies; see ``terms.h`` and ``term_table.h``.

Strings are two arrays: UTF-8 bytes, and pointers to where each begins and ends. Arguments are trusted:
``features/terms.py`` makes them.
"""

import numpy as np

from cpython.unicode cimport PyUnicode_DATA, PyUnicode_GET_LENGTH, PyUnicode_KIND
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memcpy
from libcpp cimport bool as cbool
from libcpp.vector cimport vector

from xclassic._kernels.arguments cimport c_checked, copied, names, start


cdef extern from "term_table.h" namespace "xclassic" nogil:
    cdef cppclass Strings:
        const uint8_t* bytes
        const int64_t* ends
        int64_t n
        const uint8_t* at(int64_t)
        size_t length(int64_t)

    cdef cppclass GrowingTable:
        vector[uint8_t] bytes
        vector[int64_t] ends
        Strings strings()

    cdef cppclass FixedTable:
        FixedTable()
        FixedTable(const Strings&) except +
        int32_t find(const uint8_t*, size_t)

    uint32_t hash_of(const uint8_t*, size_t)
    int compared(const Strings&, int64_t, const Strings&, int64_t)
    void c_sort_strings "xclassic::sort_strings"(const Strings&, int32_t*) except +
    void c_merge_strings "xclassic::merge_strings"(
        const Strings&, const Strings&, vector[uint8_t]&, vector[int64_t]&, int32_t*, int32_t*
    ) except +


cdef extern from "terms.h" namespace "xclassic" nogil:
    cdef enum Cut:
        CHARACTERS, TOKENS, N_CUTS

    const char* const* CUT_NAMES

    cdef cppclass Characters:
        const void* data
        int64_t n
        int32_t width

    cdef cppclass WordRun:
        WordRun(const FixedTable*)
        void clear() except +
        void add_text(const Characters&, Cut) except +
        void add_token(const Characters&) except +

    cdef struct Entry:
        int32_t term
        int32_t count

    cdef cppclass TermCounter:
        GrowingTable table
        vector[Entry] entries
        vector[int64_t] ptr
        void end_text(const WordRun&, cbool characters, int64_t shortest, int64_t longest) except +

    void c_renumber_rows "xclassic::renumber_rows"(
        const int64_t*, int64_t, const Entry*, const int32_t*, int64_t*, int32_t*, float*
    ) except +
    void c_weigh_rows "xclassic::weigh_rows"(
        const int64_t*, int64_t, const int32_t*, const float*, float, float*
    )


CUTS = names(CUT_NAMES, N_CUTS)


cdef Strings strings_in(const uint8_t[::1] characters, const int64_t[::1] ends) except *:
    cdef Strings strings
    cdef int64_t i
    strings.bytes = start(characters)
    strings.ends = &ends[0]
    strings.n = ends.shape[0] - 1
    if c_checked:
        for i in range(strings.n):
            if not 0 <= ends[i] <= ends[i + 1] <= characters.shape[0]:
                raise IndexError(f"String {i} is from {ends[i]} to {ends[i + 1]} of {characters.shape[0]} bytes.")
    return strings


cdef class Vocabulary:
    """Strings of which none repeats, numbered in their order, and a table that finds them."""

    cdef readonly object characters, ends
    cdef FixedTable table

    def __init__(self, const uint8_t[::1] characters, const int64_t[::1] ends):
        cdef Strings strings = strings_in(characters, ends)
        self.characters = np.asarray(characters)
        self.ends = np.asarray(ends)
        self.table = FixedTable(strings)

    def __reduce__(self):
        return Vocabulary, (self.characters, self.ends)


cdef Characters characters_of(str text):
    cdef Characters found
    found.data = PyUnicode_DATA(text)
    found.n = PyUnicode_GET_LENGTH(text)
    found.width = PyUnicode_KIND(text)
    return found


cdef count(
    TermCounter* counter, list texts, int cut, int64_t shortest, int64_t longest, Vocabulary stop_words,
    const uint8_t[::1] stop,
):
    """Count the terms of texts, which are str, or lists of str if ``cut`` is that of tokens; fewer after a stop."""
    cdef vector[Characters] parts
    cdef vector[int64_t] part_ptr
    cdef WordRun* words
    cdef int64_t i, part
    for i in range(len(texts)):
        part_ptr.push_back(parts.size())
        if cut == TOKENS:
            for token in texts[i]:
                parts.push_back(characters_of(token))
        else:
            parts.push_back(characters_of(texts[i]))
    part_ptr.push_back(parts.size())
    words = new WordRun(&stop_words.table)
    try:
        with nogil:
            for i in range(<int64_t>part_ptr.size() - 1):
                if stop[0]:
                    break
                words.clear()
                for part in range(part_ptr[i], part_ptr[i + 1]):
                    if cut == TOKENS:
                        words.add_token(parts[part])
                    else:
                        words.add_text(parts[part], <Cut>cut)
                counter.end_text(words[0], cut == CHARACTERS, shortest, longest)
    finally:
        del words


def count_terms(
    list texts, *, int cut, int64_t shortest, int64_t longest, Vocabulary stop_words, const uint8_t[::1] stop
):
    """Return the terms of texts in the order of their first occurrence, and how often each text has them.

    Texts are str, or lists of str if ``cut`` is that of tokens; there are fewer after a stop.
    """
    cdef TermCounter counter
    count(&counter, texts, cut, shortest, longest, stop_words, stop)
    entries = copied(counter.entries.data(), 2 * counter.entries.size(), np.int32)
    return (
        copied(counter.table.bytes.data(), counter.table.bytes.size(), np.uint8),
        copied(counter.table.ends.data(), counter.table.ends.size(), np.int64),
        copied(counter.ptr.data(), counter.ptr.size(), np.int64),
        entries.reshape(-1, 2),
    )


def count_known(
    list texts, *, int cut, int64_t shortest, int64_t longest, Vocabulary stop_words, Vocabulary vocabulary,
    int64_t n_hashed, const uint8_t[::1] stop,
):
    """Return the counts of the terms in a vocabulary, or without one those of terms hashed into so many columns."""
    cdef TermCounter counter
    cdef Strings strings
    cdef vector[int32_t] numbers
    cdef int64_t i
    cdef bint hashed = vocabulary is None
    count(&counter, texts, cut, shortest, longest, stop_words, stop)
    with nogil:
        strings = counter.table.strings()
        numbers.resize(strings.n)
        for i in range(strings.n):
            if hashed:
                numbers[i] = column_of(strings, i, n_hashed)
            else:
                numbers[i] = vocabulary.table.find(strings.at(i), strings.length(i))
    return renumbered(
        counter.ptr.data(), counter.ptr.size() - 1, counter.entries.data(), counter.entries.size(), numbers.data()
    )


cdef renumbered(
    const int64_t* ptr, int64_t n_rows, const Entry* entries, int64_t n_entries, const int32_t* numbers
):
    new_ptr = np.empty(n_rows + 1, np.int64)
    new_terms, values = np.empty(n_entries, np.int32), np.empty(n_entries, np.float32)
    cdef int64_t[::1] to_ptr = new_ptr
    cdef int32_t[::1] to_terms = new_terms
    cdef float[::1] to_values = values
    cdef int32_t* at_terms = <int32_t*>start(to_terms)
    cdef float* at_values = <float*>start(to_values)
    with nogil:
        c_renumber_rows(ptr, n_rows, entries, numbers, &to_ptr[0], at_terms, at_values)
    return new_ptr, new_terms[: to_ptr[n_rows]], values[: to_ptr[n_rows]]


def sort_strings(const uint8_t[::1] characters, const int64_t[::1] ends):
    """Return the numbers of strings in the order of their bytes."""
    cdef Strings strings = strings_in(characters, ends)
    order = np.empty(strings.n, np.int32)
    cdef int32_t[::1] numbers = order
    if strings.n:
        with nogil:
            c_sort_strings(strings, &numbers[0])
    return order


def take_strings(const uint8_t[::1] characters, const int64_t[::1] ends, const int32_t[::1] taken):
    """Return the strings of some numbers, in the order given, as ``characters, ends``."""
    cdef Strings strings = strings_in(characters, ends)
    cdef int64_t i
    new_ends = np.zeros(taken.shape[0] + 1, np.int64)
    cdef int64_t[::1] to_ends = new_ends
    for i in range(taken.shape[0]):
        to_ends[i + 1] = to_ends[i] + <int64_t>strings.length(taken[i])
    new_characters = np.empty(to_ends[taken.shape[0]], np.uint8)
    cdef uint8_t[::1] to_characters = new_characters
    with nogil:
        for i in range(taken.shape[0]):
            if to_ends[i + 1] > to_ends[i]:
                memcpy(&to_characters[to_ends[i]], strings.at(taken[i]), to_ends[i + 1] - to_ends[i])
    return new_characters, new_ends


def merge_strings(first, second):
    """Return the union of two ascending lists ``characters, ends``, and the numbers in it of the strings of each."""
    cdef Strings a = strings_in(first[0], first[1]), b = strings_in(second[0], second[1])
    cdef vector[uint8_t] characters
    cdef vector[int64_t] ends
    from_a, from_b = np.empty(a.n, np.int32), np.empty(b.n, np.int32)
    cdef int32_t[::1] to_a = from_a, to_b = from_b
    cdef int32_t* at_a = <int32_t*>start(to_a)
    cdef int32_t* at_b = <int32_t*>start(to_b)
    with nogil:
        c_merge_strings(a, b, characters, ends, at_a, at_b)
    merged = copied(characters.data(), characters.size(), np.uint8), copied(ends.data(), ends.size(), np.int64)
    return merged, from_a, from_b


def first_unsorted(const uint8_t[::1] characters, const int64_t[::1] ends):
    """Return the number of the first string that is not above the one before it, or -1."""
    cdef Strings strings = strings_in(characters, ends)
    cdef int64_t i
    with nogil:
        for i in range(1, strings.n):
            if compared(strings, i - 1, strings, i) >= 0:
                break
        else:
            i = -1
    return i


cdef inline int32_t column_of(const Strings& strings, int64_t i, int64_t n) noexcept nogil:
    return <int32_t>((<int64_t>hash_of(strings.at(i), strings.length(i)) * n) >> 32)


def hash_strings(const uint8_t[::1] characters, const int64_t[::1] ends, int64_t n):
    """Return a number below ``n`` for each string, the same in all versions."""
    cdef Strings strings = strings_in(characters, ends)
    hashes = np.empty(strings.n, np.int32)
    cdef int32_t[::1] numbers = hashes
    cdef int64_t i
    with nogil:
        for i in range(strings.n):
            numbers[i] = column_of(strings, i, n)
    return hashes


def renumber_rows(const int64_t[::1] ptr, const int32_t[:, ::1] entries, const int32_t[::1] numbers):
    """Return ``ptr, terms, values`` with the new ``numbers`` of terms, ascending in each row; -1 leaves one out."""
    cdef int64_t i, n_entries = entries.shape[0]
    cdef const Entry* at = <const Entry*>&entries[0, 0] if n_entries else NULL
    if c_checked:
        for i in range(n_entries):
            if not 0 <= entries[i, 0] < numbers.shape[0]:
                raise IndexError(f"Term {entries[i, 0]} is not below {numbers.shape[0]}.")
    return renumbered(&ptr[0], ptr.shape[0] - 1, at, n_entries, start(numbers))


def weigh_rows(
    *, const int64_t[::1] ptr, const int32_t[::1] terms, float[::1] values, const float[::1] weights, float factor
):
    """Multiply values by the weights of their terms and scale rows to the length ``factor``, in place."""
    cdef int64_t i
    cdef const int32_t* at_terms = start(terms)
    cdef const float* at_weights = start(weights)
    cdef float* at_values = <float*>start(values)
    if c_checked:
        for i in range(terms.shape[0]):
            if not 0 <= terms[i] < weights.shape[0]:
                raise IndexError(f"Term {terms[i]} is not below {weights.shape[0]}.")
    with nogil:
        c_weigh_rows(&ptr[0], ptr.shape[0] - 1, at_terms, at_weights, factor, at_values)


def join_rows(list blocks, const int64_t[::1] widths):
    """Return blocks ``ptr, indices, values`` of so many columns side by side, as one such block."""
    cdef vector[const int64_t*] ptrs
    cdef vector[const int32_t*] indices
    cdef vector[const float*] values
    cdef const int64_t[::1] ptr
    cdef const int32_t[::1] of_indices
    cdef const float[::1] of_values
    cdef int64_t n_rows = 0, n_entries = 0, row, e, at = 0, column
    cdef size_t b
    for block in blocks:
        ptr, of_indices, of_values = block
        ptrs.push_back(&ptr[0])
        indices.push_back(start(of_indices))
        values.push_back(start(of_values))
        n_rows = ptr.shape[0] - 1  # After a stop, later blocks have fewer.
        n_entries += of_indices.shape[0]
    new_ptr = np.zeros(n_rows + 1, np.int64)
    new_indices, new_values = np.empty(n_entries, np.int32), np.empty(n_entries, np.float32)
    cdef int64_t[::1] to_ptr = new_ptr
    cdef int32_t[::1] to_indices = new_indices
    cdef float[::1] to_values = new_values
    with nogil:
        for row in range(n_rows):
            column = 0
            for b in range(ptrs.size()):
                for e in range(ptrs[b][row], ptrs[b][row + 1]):
                    to_indices[at] = <int32_t>(indices[b][e] + column)
                    to_values[at] = values[b][e]
                    at += 1
                column += widths[b]
            to_ptr[row + 1] = at
    return new_ptr, new_indices, new_values
