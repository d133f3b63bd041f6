"""Points as text, ``label,label feature:value feature:value``, to and from the arrays of two CSR matrices."""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memchr
from libcpp.algorithm cimport sort
from libcpp.pair cimport pair
from libcpp.vector cimport vector

cdef extern from "xmc_number.h" namespace "xclassic" nogil:
    const char *read_float(const char *p, const char *end, float *value)
    char *write_float(char *p, float value)

cdef extern from "<charconv>" namespace "std" nogil:
    cdef struct to_chars_result:
        char *ptr
    to_chars_result to_chars(char *first, char *last, int32_t value)

cdef extern from "<cmath>" namespace "std" nogil:
    bint isfinite(float value)


cpdef enum Problem:
    NONE
    BAD_LABEL
    LABEL_RANGE
    BAD_FEATURE
    FEATURE_RANGE
    BAD_VALUE
    REPEATED_FEATURE
    EMPTY_LINE
    TOO_MANY_POINTS


cdef struct Limits:
    int64_t points  # -1 means no limit
    int64_t labels
    int64_t features
    int32_t first_feature


# One line during parsing: `p` is the next character, `end` one past the last.
cdef struct Line:
    const char *p
    const char *end


cdef inline bint is_blank(char c) noexcept nogil:
    return c == c' ' or c == c'\t'


cdef inline void skip_blanks(Line *line) noexcept nogil:
    while line.p < line.end and is_blank(line.p[0]):
        line.p += 1


cdef inline int64_t read_id(Line *line) noexcept nogil:
    """Read digits; return -1 without digits. An id over 32 bits comes back as 2**40, beyond every limit."""
    cdef const char *begin = line.p
    cdef int64_t number = 0
    while line.p < line.end and c'0' <= line.p[0] <= c'9':
        number = min(number * 10 + (line.p[0] - c'0'), <int64_t>1 << 40)
        line.p += 1
    return number if line.p > begin else -1


cdef Problem read_labels(Line *line, Limits limits, int32_t *labels, int64_t *count) noexcept nogil:
    """Read ``3,5,8``, or nothing if the line starts with a blank or with a feature. Stops at the culprit."""
    cdef const char *begin = line.p
    cdef int64_t label
    count[0] = 0
    if line.p == line.end or is_blank(line.p[0]):
        return NONE
    while True:
        begin = line.p
        label = read_id(line)
        if label >= 0 and count[0] == 0 and line.p < line.end and line.p[0] == c':':
            line.p = begin
            return NONE
        if label < 0 or (line.p < line.end and line.p[0] != c',' and not is_blank(line.p[0])):
            line.p = begin
            return BAD_LABEL
        if label >= limits.labels:
            line.p = begin
            return LABEL_RANGE
        labels[count[0]] = <int32_t>label
        count[0] += 1
        if line.p == line.end or line.p[0] != c',':
            return NONE
        line.p += 1
        skip_blanks(line)


cdef Problem read_features(Line *line, Limits limits, int32_t *features, float *values, int64_t *count) noexcept nogil:
    """Read ``4:0.5 7:1`` to the end of the line. Stops at the culprit."""
    cdef const char *begin
    cdef const char *stop
    cdef int64_t feature
    count[0] = 0
    while True:
        skip_blanks(line)
        if line.p == line.end:
            return NONE
        begin = line.p
        feature = read_id(line)
        if feature < 0 or line.p == line.end or line.p[0] != c':':
            line.p = begin
            return BAD_FEATURE
        feature -= limits.first_feature
        if not 0 <= feature < limits.features:
            line.p = begin
            return FEATURE_RANGE
        stop = read_float(line.p + 1, line.end, &values[count[0]])
        if stop == NULL or (stop < line.end and not is_blank(stop[0])) or not isfinite(values[count[0]]):
            line.p = begin
            return BAD_VALUE
        line.p = stop
        features[count[0]] = <int32_t>feature
        count[0] += 1


cdef int64_t sort_labels(int32_t *labels, int64_t count) noexcept nogil:
    """Sort, remove duplicates, and return how many are left."""
    cdef int64_t i, kept = 1
    if count < 2:
        return count
    for i in range(1, count):
        if labels[i] <= labels[i - 1]:
            break
    else:
        return count
    sort(labels, labels + count)
    for i in range(1, count):
        if labels[i] != labels[kept - 1]:
            labels[kept] = labels[i]
            kept += 1
    return kept


cdef bint sort_features(int32_t *features, float *values, int64_t count) noexcept nogil:
    """Sort by feature; return False if one appears twice."""
    cdef int64_t i
    cdef vector[pair[int32_t, float]] cells
    for i in range(1, count):
        if features[i] <= features[i - 1]:
            break
    else:
        return True
    for i in range(count):
        cells.push_back(pair[int32_t, float](features[i], values[i]))
    sort(cells.begin(), cells.end())
    for i in range(count):
        features[i] = cells[i].first
        values[i] = cells[i].second
        if i > 0 and features[i] == features[i - 1]:
            return False
    return True


def count_marks(const unsigned char[::1] text):
    """Count the line ends, commas and colons of a text, which bound the room that its points need."""
    cdef Py_ssize_t i
    cdef int64_t lines = 0, commas = 0, colons = 0
    with nogil:
        for i in range(text.shape[0]):
            lines += text[i] == c'\n'
            commas += text[i] == c','
            colons += text[i] == c':'
    return lines, commas, colons


def parse_points(
    const unsigned char[::1] text,
    *,
    Py_ssize_t row,
    int64_t n_points,
    int64_t n_labels,
    int64_t n_features,
    int32_t first_feature,
    int32_t[::1] labels,
    int64_t[::1] label_ptr,
    int32_t[::1] features,
    float[::1] values,
    int64_t[::1] feature_ptr,
):
    """Parse the whole lines of ``text`` as the points ``row``, ``row + 1``, ... of two CSR matrices.

    The arrays must have the room that `count_marks` announces (one label more than commas per line). Rows come out
    sorted; a repeated label is kept once.

    Returns
    -------
    row, line : int
        The next row, and the number of lines read before the parser stopped (or all).
    repeated, repeated_line : int
        The number of repeated labels left out, and the line (from 0) of the first.
    problem, at : int
        The `Problem` that stopped the parser and the offset of the culprit in ``text``.
    """
    cdef Limits limits = Limits(n_points, n_labels, n_features, first_feature)
    cdef const char *start = <const char *>&text[0] if text.shape[0] else NULL
    cdef const char *end = start + text.shape[0]
    cdef const char *begin
    cdef const char *newline
    cdef Line line = Line(start, start)
    cdef Problem problem = NONE
    cdef int64_t lines = 0, repeated = 0, repeated_line = -1
    cdef int64_t n_read, n_kept, n_cells
    with nogil:
        while line.p < end:
            begin = line.p
            newline = <const char *>memchr(begin, c'\n', end - begin)
            if newline == NULL:
                newline = end
            line.end = newline - 1 if newline > begin and (newline - 1)[0] == c'\r' else newline
            if begin == line.end and n_points < 0:
                problem = EMPTY_LINE
            elif begin < line.end and begin[0] == c'#':
                pass
            elif row == n_points:
                if begin < line.end:
                    problem = TOO_MANY_POINTS
            else:
                problem = read_labels(&line, limits, &labels[0] + label_ptr[row], &n_read)
                if problem == NONE:
                    problem = read_features(
                        &line, limits, &features[0] + feature_ptr[row], &values[0] + feature_ptr[row], &n_cells
                    )
                if problem == NONE and not sort_features(
                    &features[0] + feature_ptr[row], &values[0] + feature_ptr[row], n_cells
                ):
                    line.p = begin
                    problem = REPEATED_FEATURE
                if problem == NONE:
                    n_kept = sort_labels(&labels[0] + label_ptr[row], n_read)
                    if n_kept < n_read and repeated == 0:
                        repeated_line = lines
                    repeated += n_read - n_kept
                    label_ptr[row + 1] = label_ptr[row] + n_kept
                    feature_ptr[row + 1] = feature_ptr[row] + n_cells
                    row += 1
            if problem != NONE:
                break
            lines += 1
            line.p = newline + 1
    return row, lines, repeated, repeated_line, int(problem), line.p - start


def format_points(
    *,
    const int32_t[::1] labels,
    const int64_t[::1] label_ptr,
    const int32_t[::1] features,
    const float[::1] values,
    const int64_t[::1] feature_ptr,
):
    """Format the points of two CSR matrices (finite) as lines; a value is the shortest text that reads back equal."""
    cdef Py_ssize_t n_rows = label_ptr.shape[0] - 1
    # An id takes at most 10 characters and its mark; a value at most 16.
    cdef int64_t most = 2 * n_rows + 11 * labels.shape[0] + 28 * features.shape[0]
    cdef vector[char] buffer
    cdef char *p
    cdef Py_ssize_t row
    cdef int64_t i
    with nogil:
        buffer.resize(most)
        p = buffer.data()
        for row in range(n_rows):
            for i in range(label_ptr[row], label_ptr[row + 1]):
                if i > label_ptr[row]:
                    p[0] = c','
                    p += 1
                p = to_chars(p, p + 10, labels[i]).ptr
            if label_ptr[row] == label_ptr[row + 1] and feature_ptr[row] == feature_ptr[row + 1]:
                p[0] = c' '
                p += 1
            for i in range(feature_ptr[row], feature_ptr[row + 1]):
                p[0] = c' '
                p = to_chars(p + 1, p + 11, features[i]).ptr
                p[0] = c':'
                p = write_float(p + 1, values[i])
            p[0] = c'\n'
            p += 1
    return buffer.data()[: p - buffer.data()]
