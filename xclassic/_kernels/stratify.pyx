"""Iterative stratification of multi-label rows into train and any number of test sides."""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libcpp.vector cimport vector

cdef extern from * nogil:
    """
    #include <functional>
    #include <queue>
    #include <vector>
    // Smallest first.
    typedef std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<uint64_t>> MinHeap;
    """
    cdef cppclass MinHeap:
        void push(uint64_t)
        void pop()
        uint64_t top()
        bint empty()


# The sides while they are filled. Side 0 is train alone; each other one is a test side, and train of all others.
cdef struct Sides:
    int64_t number
    int64_t first  # of those that rows may choose: 1 if side 0 is only for rows that no test side may have
    const double *shares  # of all rows
    int64_t *room  # rows wanted but not yet placed
    int32_t *counts  # rows with each label, (n_labels, number)


cdef inline uint64_t rarity(int64_t remaining, int64_t label) noexcept nogil:
    """Return a key that orders labels by the rows that remain, then by id."""
    return (<uint64_t>remaining << 32) | <uint64_t>label


# What is left to place.
cdef struct Rest:
    const int32_t *labels
    const int64_t *label_ptr
    const int64_t *row_ptr
    int64_t *remaining  # rows with each label


cdef bint train_needs(int64_t row, int64_t side, const Sides *sides, const Rest *rest) noexcept nogil:
    """Return whether some label would have all its rows in this test side, so that train of it has none."""
    cdef int64_t i, label
    for i in range(rest.label_ptr[row], rest.label_ptr[row + 1]):
        label = rest.labels[i]
        if rest.remaining[label] == 1 and sides.counts[label * sides.number + side] == total(label, rest) - 1:
            return True
    return False


cdef inline int64_t total(int64_t label, const Rest *rest) noexcept nogil:
    return rest.row_ptr[label + 1] - rest.row_ptr[label]


cdef inline double lack(int64_t label, int64_t side, const Sides *sides, const Rest *rest) noexcept nogil:
    """Return how many rows with the label the side lacks, 0 without a label."""
    if label < 0:
        return 0
    return total(label, rest) * sides.shares[side] - sides.counts[label * sides.number + side]


cdef int64_t place(int64_t row, int64_t label, int32_t coin, const Sides *sides, const Rest *rest) noexcept nogil:
    """Return the side that lacks most rows with the label, then most rows, then the first one from the coin on."""
    cdef int64_t i, side, best = -1, n = sides.number - sides.first
    cdef double lacks, most = 0
    for i in range(n):
        side = sides.first + (coin + i) % n
        lacks = lack(label, side, sides, rest)
        if best >= 0 and (lacks < most or (lacks == most and sides.room[side] <= sides.room[best])):
            continue
        if side == 0 or not train_needs(row, side, sides, rest):
            best, most = side, lacks
    return max(best, 0)


def stratify(
    *,
    const int32_t[::1] labels,
    const int64_t[::1] label_ptr,
    const int32_t[::1] rows,
    const int64_t[::1] row_ptr,
    const int32_t[::1] coins,
    const double[::1] shares,
    int64_t[::1] room,
    int32_t[:, ::1] counts,
):
    """Return the side of every row; the rules are those of `xclassic.datasets.stratified_split` and its folds.

    ``labels, label_ptr`` are the 0-1 matrix by rows (CSR), ``rows, row_ptr`` by labels (CSC). Side 0 is in train, each
    other side is a test side. ``shares`` and ``room`` are the shares and numbers of rows wanted in the sides; where
    that of side 0 is 0, it takes only rows that no test side may have. ``coins`` settles ties: the side that comes
    first, of those that rows may choose. ``counts``, zeros at first, become the rows with each label in each side.
    Cost: O(nnz log nnz), and in K test sides O(K nnz): whenever a row is placed, its labels enter a heap with their new
    counts; outdated entries are skipped when they come up.
    """
    cdef int64_t n_rows = label_ptr.shape[0] - 1, n_labels = row_ptr.shape[0] - 1
    cdef vector[int64_t] remaining
    cdef vector[uint8_t] placed
    cdef MinHeap rarest
    cdef uint64_t top
    cdef const int32_t *all_labels = <const int32_t *>&labels[0] if labels.shape[0] else NULL
    cdef int32_t *all_counts = <int32_t *>&counts[0, 0] if n_labels else NULL
    cdef Sides sides
    cdef Rest rest
    cdef int64_t label, row, i, j, side
    side_of = np.zeros(n_rows, np.int32)
    cdef int32_t[::1] chosen = side_of
    with nogil:
        remaining.resize(n_labels)
        placed.resize(n_rows)
        sides = Sides(shares.shape[0], shares[0] == 0, &shares[0], &room[0], all_counts)
        rest = Rest(all_labels, &label_ptr[0], &row_ptr[0], remaining.data())
        for label in range(n_labels):
            remaining[label] = total(label, &rest)
            rarest.push(rarity(remaining[label], label))
        while not rarest.empty():
            top = rarest.top()
            rarest.pop()
            label = <uint32_t>top
            if <uint32_t>(top >> 32) != remaining[label]:
                continue
            for i in range(row_ptr[label], row_ptr[label + 1]):
                row = rows[i]
                if placed[row]:
                    continue
                side = place(row, label, coins[row], &sides, &rest)
                chosen[row] = <int32_t>side
                placed[row] = True
                room[side] -= 1
                for j in range(label_ptr[row], label_ptr[row + 1]):
                    counts[labels[j], side] += 1
                    remaining[labels[j]] -= 1
                    if remaining[labels[j]] > 0 and labels[j] != label:
                        rarest.push(rarity(remaining[labels[j]], labels[j]))
        for row in range(n_rows):
            if not placed[row]:
                side = place(row, -1, coins[row], &sides, &rest)
                chosen[row] = <int32_t>side
                room[side] -= 1
    return side_of


def move_rows(
    *,
    const int32_t[::1] labels,
    const int64_t[::1] label_ptr,
    const int64_t[::1] order,
    const int64_t[::1] totals,
    int32_t[:, ::1] counts,
    int32_t[::1] sides,
    int32_t target,
    int64_t moves,
):
    """Move the first ``moves`` rows in ``order`` that can move to the side ``target``.

    No label gets all its rows, of which ``totals`` has the numbers, into one test side. ``counts``, rows with each
    label in each side, and ``sides``, of the rows, are updated. Cost: at most O(nnz) of the rows in ``order``.
    """
    cdef int64_t i, j, row
    cdef bint movable
    with nogil:
        for i in range(order.shape[0]):
            row = order[i]
            if moves == 0:
                break
            movable = True
            if target > 0:
                for j in range(label_ptr[row], label_ptr[row + 1]):
                    movable = movable and counts[labels[j], target] + 1 < totals[labels[j]]
            if movable:
                for j in range(label_ptr[row], label_ptr[row + 1]):
                    counts[labels[j], sides[row]] -= 1
                    counts[labels[j], target] += 1
                sides[row] = target
                moves -= 1
