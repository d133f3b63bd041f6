"""Iterative stratification of multi-label rows into train and test."""

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


# Train or test, while it is filled.
cdef struct Side:
    double share  # share of all rows
    int64_t room  # rows wanted but not yet placed
    int64_t *counts  # rows with each label


cdef inline uint64_t rarity(int64_t remaining, int64_t label) noexcept nogil:
    """Return a key that orders labels by the rows that remain, then by id."""
    return (<uint64_t>remaining << 32) | <uint64_t>label


cdef bint train_needs(
    const int32_t *labels, int64_t count, const int64_t *train_counts, const int64_t *remaining
) noexcept nogil:
    """Return whether train has no row of some label and this row is the last that remains of it."""
    cdef int64_t i
    for i in range(count):
        if train_counts[labels[i]] == 0 and remaining[labels[i]] == 1:
            return True
    return False


cdef bint roomier(Side *test, Side *train, uint8_t coin) noexcept nogil:
    return coin if test.room == train.room else test.room > train.room


cdef bint prefers_test(Side *test, Side *train, int64_t label, int64_t total, uint8_t coin) noexcept nogil:
    """Compare the shortfall of the sides in the label, then in all rows."""
    cdef double train_lacks = total * train.share - train.counts[label]
    cdef double test_lacks = total * test.share - test.counts[label]
    return roomier(test, train, coin) if test_lacks == train_lacks else test_lacks > train_lacks


def stratify(
    *,
    const int32_t[::1] labels,
    const int64_t[::1] label_ptr,
    const int32_t[::1] rows,
    const int64_t[::1] row_ptr,
    const uint8_t[::1] coins,
    int64_t n_test,
):
    """Place every row in train or test; the rules are those of `xclassic.datasets.stratified_split`.

    ``labels, label_ptr`` are the 0-1 matrix by rows (CSR), ``rows, row_ptr`` by labels (CSC). ``coins`` settles ties: 1
    means test. Returns the mask of the rows in test, about ``n_test``. Cost: O(nnz log nnz): whenever a row is placed,
    its labels enter a heap with their new counts; outdated entries are skipped when they come up.
    """
    cdef int64_t n_rows = label_ptr.shape[0] - 1, n_labels = row_ptr.shape[0] - 1
    cdef vector[int64_t] remaining, train_counts, test_counts
    cdef vector[uint8_t] placed
    cdef MinHeap rarest
    cdef uint64_t top
    cdef double share = <double>n_test / n_rows
    cdef Side test, train
    cdef Side *side
    cdef int64_t label, row, i, j, count
    mask = np.zeros(n_rows, np.bool_)
    cdef uint8_t[::1] in_test = mask.view(np.uint8)
    with nogil:
        remaining.resize(n_labels)
        train_counts.resize(n_labels)
        test_counts.resize(n_labels)
        placed.resize(n_rows)
        test = Side(share, n_test, test_counts.data())
        train = Side(1 - share, n_rows - n_test, train_counts.data())
        for label in range(n_labels):
            remaining[label] = row_ptr[label + 1] - row_ptr[label]
            rarest.push(rarity(remaining[label], label))
        while not rarest.empty():
            top = rarest.top()
            rarest.pop()
            label = <uint32_t>top
            if <uint32_t>(top >> 32) != remaining[label]:
                continue
            count = row_ptr[label + 1] - row_ptr[label]
            for i in range(row_ptr[label], row_ptr[label + 1]):
                row = rows[i]
                if placed[row]:
                    continue
                j = label_ptr[row]
                in_test[row] = prefers_test(&test, &train, label, count, coins[row]) and not train_needs(
                    &labels[j], label_ptr[row + 1] - j, train.counts, remaining.data()
                )
                placed[row] = True
                side = &test if in_test[row] else &train
                side.room -= 1
                for j in range(label_ptr[row], label_ptr[row + 1]):
                    side.counts[labels[j]] += 1
                    remaining[labels[j]] -= 1
                    if remaining[labels[j]] > 0 and labels[j] != label:
                        rarest.push(rarity(remaining[labels[j]], labels[j]))
        for row in range(n_rows):
            if not placed[row]:
                in_test[row] = roomier(&test, &train, coins[row])
                side = &test if in_test[row] else &train
                side.room -= 1
    return mask


def move_rows(
    *,
    const int32_t[::1] labels,
    const int64_t[::1] label_ptr,
    const int64_t[::1] order,
    int64_t[::1] train_counts,
    uint8_t[::1] in_test,
    int64_t surplus,
):
    """Move ``surplus`` rows from test to train, or ``-surplus`` rows back: the first ones in ``order`` that can move.

    No label loses its last row in train. ``train_counts`` and ``in_test`` are updated. Cost: at most O(nnz).
    """
    cdef bint to_train = surplus > 0
    cdef int64_t moves = abs(surplus)
    cdef int64_t i, j, row
    cdef bint movable
    with nogil:
        for i in range(order.shape[0]):
            row = order[i]
            if moves == 0:
                break
            movable = in_test[row] == to_train
            if movable and not to_train:
                for j in range(label_ptr[row], label_ptr[row + 1]):
                    movable = movable and train_counts[labels[j]] > 1
            if movable:
                in_test[row] = not to_train
                moves -= 1
                for j in range(label_ptr[row], label_ptr[row + 1]):
                    train_counts[labels[j]] += 1 if to_train else -1
