"""The split of FastXML: two sides of a node and a ranking of the labels for each that maximize nDCG.

Numba compiles it on the first call.
"""

from __future__ import annotations

import numpy as np

from xclassic._kernels.jit import Jitted

NOTHING = np.float32(1e-12)  # Gains below this are rounding errors and count as 0.
COARSE = 13  # Low bits of a gain that insertion sorts, after two passes that sort by eight higher bits each.


@Jitted
def split_by_ranking(  # type: ignore[no-untyped-def]
    indptr, indices, normalizers, weights, point_ptr, points, sides, discounts, max_rounds, tolerance, stop
):
    """Alternate ranking and assignment in every node of a level, from given sides on, until nDCG stops growing.

    Row i gains ``normalizers[i] * weights[l] * discounts[rank]`` from its label l at some rank.

    Parameters
    ----------
    indptr, indices : ndarray of int64, int32
        Labels of each row.
    normalizers : ndarray of float32, shape (n_rows,)
    weights : ndarray of float32, shape (n_labels,)
    point_ptr : ndarray of int64, shape (n_nodes + 1,)
    points : ndarray of int32
        Rows of each node.
    sides : ndarray of uint8
        Side of each point, 0 or 1; changed in place.
    discounts : ndarray of float32, shape (n_labels,)
        Factor of the gain at each rank, descending.
    max_rounds : int
    tolerance : float
        A node is done when the mean gain of a row grows by less than this.
    stop : ndarray of uint8, shape (1,)

    Notes
    -----
    Cost of a round: the labels of the rows that moved, the labels of all rows, and the labels of the node.
    """
    n_labels = len(weights)
    scores = np.zeros((2, n_labels))  # Sums of the normalizers of the rows of each side.
    worth = np.zeros((2, n_labels), np.float32)  # Discount of each label on either side.
    better = np.zeros(n_labels, np.float32)
    seen = np.zeros(n_labels, np.bool_)
    labels = np.empty(n_labels, np.int32)
    one_float = np.empty(1, np.float32)
    bits = one_float.view(np.int32)
    keys = np.empty(n_labels, np.int64)  # Inverted bits of a gain, so that the largest come first, then the label.
    spare = np.empty(n_labels, np.int64)
    counts = np.zeros((2, 256), np.int64)
    for node in range(len(point_ptr) - 1):
        if stop[0]:
            return
        begin, end = point_ptr[node], point_ptr[node + 1]
        n_present = _sum_by_label(indptr, indices, normalizers, points, sides, begin, end, scores, seen, labels)
        present = labels[:n_present]
        before = -np.inf
        for _ in range(max_rounds):
            total = 0.0
            for side in range(2):
                _rank(scores, side, weights, present, one_float, bits, keys, spare, counts)
                for rank in range(len(present)):
                    label = keys[rank] & 0xFFFFFFFF
                    worth[side, label] = discounts[rank]
                    total += scores[side, label] * weights[label] * discounts[rank]
            mean = total / (end - begin)
            if mean - before <= tolerance:
                break
            before = mean
            for position in range(len(present)):
                label = present[position]
                better[label] = weights[label] * (worth[0, label] - worth[1, label])
            if not _assign(indptr, indices, normalizers, points, sides, begin, end, scores, better):
                break
        for position in range(len(present)):
            seen[present[position]] = False


@Jitted
def _sum_by_label(  # type: ignore[no-untyped-def]
    indptr, indices, normalizers, points, sides, begin, end, scores, seen, labels
):
    """Sum the normalizers of a node's rows for each label on each side.

    Write the labels of the rows to `labels`, ascending, and return their number.
    """
    n_present = 0
    for q in range(begin, end):
        i = points[q]
        for p in range(indptr[i], indptr[i + 1]):
            label = indices[p]
            if not seen[label]:
                seen[label] = True
                labels[n_present] = label
                n_present += 1
                scores[0, label] = scores[1, label] = 0
            scores[sides[q], label] += normalizers[i]
    if 16 * n_present <= len(seen):
        labels[:n_present].sort()
        return n_present
    n_present = 0
    for label in range(len(seen)):
        if seen[label]:
            labels[n_present] = label
            n_present += 1
    return n_present


@Jitted
def _rank(scores, side, weights, present, one_float, bits, keys, spare, counts):  # type: ignore[no-untyped-def]
    """Write a node's labels to the low halves of `keys`, by descending gain when ranked first, ties by label id."""
    highest = NOTHING
    for position in range(len(present)):
        label = present[position]
        highest = max(highest, np.float32(scores[side, label] * weights[label]))
    one_float[0] = highest  # Floats above 0 have the order of their bits.
    first = np.int64(bits[0])
    counts[:] = 0
    for position in range(len(present)):
        label = present[position]
        one_float[0] = max(NOTHING, np.float32(scores[side, label] * weights[label]))
        key = first - bits[0]
        keys[position] = key << 32 | label
        counts[0, key >> COARSE & 255] += 1
        counts[1, key >> COARSE + 8 & 255] += 1
    _sort(keys, spare, counts, len(present))


@Jitted
def _sort(keys, spare, counts, n):  # type: ignore[no-untyped-def]
    """Sort the first n keys by their high halves: by digits of eight bits, counted in `counts`, then by insertion."""
    for digit in range(2):
        start = 0
        for value in range(256):
            counts[digit, value], start = start, start + counts[digit, value]
        for position in range(n):
            key = keys[position]
            value = key >> 32 + COARSE + 8 * digit & 255
            spare[counts[digit, value]] = key
            counts[digit, value] += 1
        keys, spare = spare, keys  # After two passes the keys are back in their own array.
    for rank in range(n):
        key, place = keys[rank], rank
        while place > 0 and keys[place - 1] > key:
            keys[place] = keys[place - 1]
            place -= 1
        keys[place] = key


@Jitted
def _assign(  # type: ignore[no-untyped-def]
    indptr, indices, normalizers, points, sides, begin, end, scores, better
):
    """Move each row of a node to the side that ranks its labels better; it stays if both are equally good.

    Return whether any row moved.
    """
    moved = False
    for q in range(begin, end):
        i = points[q]
        gain = np.float32(0)
        for p in range(indptr[i], indptr[i + 1]):
            gain += better[indices[p]]
        side = 0 if gain > 0 else 1
        if gain == 0 or side == sides[q]:
            continue
        for p in range(indptr[i], indptr[i + 1]):
            scores[sides[q], indices[p]] -= normalizers[i]
            scores[side, indices[p]] += normalizers[i]
        sides[q] = side
        moved = True
    return moved
