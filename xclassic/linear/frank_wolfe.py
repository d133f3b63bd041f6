"""The solver of PD-Sparse: block-coordinate Frank-Wolfe over rows, with the weights inverted: labels by feature.

Numba compiles it on the first call. Each feature has a hash table of labels in three arrays: `index` (the place of a
label among the entries, at a slot that its id gives), `entries` (labels) and `sums` (their sums over the rows). Entries
whose sum exceeds the penalty, so that they have a weight, come first: a search reads nothing else.
"""

from __future__ import annotations

import numpy as np

from xclassic._kernels.jit import Jitted

FIRST, SLOTS, ENTRIES, WEIGHTS = range(
    4
)  # Columns of `table`; its last row says where the free room of the arrays begins.


@Jitted
def improve_rows(  # type: ignore[no-untyped-def]
    order, indptr, indices, values, square_norms, label_ptr, labels, shares, rival_ptr, n_rivals, rivals, burdens,
    n_labels, cost, smoothing, l1, fixed, start, table, index, entries, sums, stop,
):  # fmt: skip
    """Visit rows: find the most violating label of each, and minimize the dual exactly over its active labels.

    Parameters
    ----------
    order : ndarray of int64
        The rows to visit.
    indptr, indices, values
        The features of the rows, as CSR.
    square_norms : ndarray of float64, shape (n_rows,)
    label_ptr, labels : ndarray of int64, int32
        The labels of the rows, as CSR.
    shares : ndarray of float32, as long as `labels`
        The dual variables of these; changed in place.
    rival_ptr : ndarray of int64, shape (n_rows + 1,)
    n_rivals : ndarray of int32, shape (n_rows,)
        Active labels that a row does not have; there is room for one more.
    rivals, burdens : ndarray of int32, float32
        These labels, and their dual variables; changed in place.
    n_labels : int
    cost, smoothing, l1 : float
        See `PDSparse`.
    fixed : bool
        Whether only weights that exist may change.
    start : int
        Where the search among labels without any weight begins.
    table : ndarray of int64, shape (n_features + 1, 4)
        Of each feature: its first place in the arrays, and its numbers of slots, entries and weights; changed in place.
    index, entries, sums : ndarray of int32, int32, float32
        Changed in place, or replaced.
    stop : ndarray of uint8, shape (1,)

    Returns
    -------
    gap : float
        Sum of the duality gaps of the rows, each when it was visited.
    index, entries, sums
        The arrays, or larger ones.
    """
    scores = np.zeros(n_labels)
    taken = np.zeros(n_labels, np.bool_)
    seen = np.zeros(n_labels, np.bool_)
    touched = np.empty(n_labels, np.int32)
    gap = 0.0
    for i in order:
        if stop[0]:
            break
        own, own_mass = labels[label_ptr[i] : label_ptr[i + 1]], shares[label_ptr[i] : label_ptr[i + 1]]
        if len(own) == 0 or len(own) == n_labels or square_norms[i] == 0:
            continue
        features, amounts = indices[indptr[i] : indptr[i + 1]], values[indptr[i] : indptr[i + 1]]
        seen_labels = touched[: add_scores(features, amounts, l1, table, entries, sums, scores, seen, touched)]
        first, n = rival_ptr[i], n_rivals[i]
        taken[own] = True
        taken[rivals[first : first + n]] = True
        worst = most_violating(scores, taken, seen, seen_labels, (start + i) % n_labels)
        taken[own] = False
        taken[rivals[first : first + n]] = False
        if worst >= 0:
            rivals[first + n], burdens[first + n] = worst, 0
            n += 1
        others, other_mass = rivals[first : first + n], burdens[first : first + n]

        own_slope = scores[own] + smoothing * own_mass
        other_slope = smoothing * other_mass - 1 - scores[others]
        scores[seen_labels] = 0
        seen[seen_labels] = False
        gap += (own_slope * own_mass).sum() + (other_slope * other_mass).sum()
        gap += max(0.0, -cost * (own_slope.min() + other_slope.min()))
        own_goal = own_mass - own_slope / (square_norms[i] + smoothing)
        other_goal = other_mass - other_slope / (square_norms[i] + smoothing)
        project(own_goal, other_goal, cost)

        moved = np.concatenate((own, others))
        steps = np.concatenate((own_goal.astype(np.float32) - own_mass, other_mass - other_goal.astype(np.float32)))
        own_mass[:], other_mass[:] = own_goal, other_goal
        moved, steps = moved[steps != 0], steps[steps != 0]
        kept = np.flatnonzero(other_mass)
        others[: len(kept)], other_mass[: len(kept)] = others[kept], other_mass[kept]
        n_rivals[i] = len(kept)
        for p in range(len(features)):
            if not fixed:
                index, entries, sums = make_room(features[p], len(moved), n_labels, table, index, entries, sums)
            for q in range(len(moved)):
                add(features[p], moved[q], steps[q] * amounts[p], l1, fixed, table, index, entries, sums)
    return gap, index, entries, sums


@Jitted
def add_scores(features, values, l1, table, entries, sums, scores, seen, touched):  # type: ignore[no-untyped-def]
    """Add the products of a row with the weights to `scores`, and return the number of labels touched."""
    n_touched = 0
    for p in range(len(features)):
        j, x = features[p], values[p]
        for e in range(table[j, FIRST], table[j, FIRST] + table[j, WEIGHTS]):
            label = entries[e]
            if not seen[label]:
                seen[label] = True
                touched[n_touched] = label
                n_touched += 1
            scores[label] += x * (sums[e] - np.copysign(l1, sums[e]))
    return n_touched


@Jitted
def most_violating(scores, taken, seen, touched, start):  # type: ignore[no-untyped-def]
    """Return the label with the highest score among those that are not taken, or -1; labels not touched score 0."""
    best, best_score = -1, -np.inf
    for label in touched:
        if not taken[label] and (scores[label] > best_score or (scores[label] == best_score and label < best)):
            best, best_score = label, scores[label]
    if best_score <= 0 and len(touched) < len(scores):
        for offset in range(len(scores)):
            label = (start + offset) % len(scores)
            if not taken[label] and not seen[label]:
                return label
    return best


@Jitted
def project(own, others, cost):  # type: ignore[no-untyped-def]
    """Replace two vectors by the nearest ones that are not negative and whose sums are equal and at most `cost`.

    The nearest ones are ``max(own - s, 0)`` and ``max(others + s, 0)``; s is where their sums are equal.
    """
    breaks = np.concatenate((own, -others))
    order = np.argsort(breaks)[::-1]
    n_own, n_others, excess = 0, len(others), -others.sum()
    s, rank = excess / n_others, 0
    # Between two breaks the difference of the sums is excess - (n_own + n_others) s; it grows as s falls.
    while rank < len(order) and s < breaks[order[rank]]:
        passed = order[rank]
        if passed < len(own):
            n_own += 1
            excess += own[passed]
        else:
            n_others -= 1
            excess += others[passed - len(own)]
        if n_own + n_others == 0:  # Nothing violates: both sums are 0 from here to the next break.
            s = breaks[passed]
            break
        s = excess / (n_own + n_others)
        rank += 1
    total = 0.0
    for p in range(len(own)):
        total += max(own[p] - s, 0.0)
    if total > cost:
        to_simplex(own, cost)
        to_simplex(others, cost)
        return
    for p in range(len(own)):
        own[p] = max(own[p] - s, 0.0)
    for p in range(len(others)):
        others[p] = max(others[p] + s, 0.0)


@Jitted
def to_simplex(vector, total):  # type: ignore[no-untyped-def]
    """Replace a vector by the nearest one that is not negative and whose sum is `total`."""
    descending = np.sort(vector)[::-1]
    added, s = 0.0, 0.0
    for n in range(len(vector)):
        added += descending[n]
        if descending[n] - (added - total) / (n + 1) > 0:
            s = (added - total) / (n + 1)
    for p in range(len(vector)):
        vector[p] = max(vector[p] - s, 0.0)


@Jitted
def slot_of(j, label, table, index, entries):  # type: ignore[no-untyped-def]
    """Return the slot of a label in the table of feature j, or the empty one where it belongs."""
    first, mask = table[j, FIRST], table[j, SLOTS] - 1
    slot = label & mask
    while index[first + slot] >= 0 and entries[first + index[first + slot]] != label:
        slot = (slot + 1) & mask
    return first + slot


@Jitted
def add(j, label, amount, l1, fixed, table, index, entries, sums):  # type: ignore[no-untyped-def]
    """Add to the sum of a feature and a label, and keep the entries with a weight before those without."""
    if table[j, SLOTS] == 0:  # No weight of this feature was kept.
        return
    first = table[j, FIRST]
    slot = slot_of(j, label, table, index, entries)
    if index[slot] < 0:
        if fixed:
            return
        index[slot] = table[j, ENTRIES]
        entries[first + index[slot]], sums[first + index[slot]] = label, 0
        table[j, ENTRIES] += 1
    e = first + index[slot]
    sums[e] += amount
    n = table[j, WEIGHTS]
    if fixed:
        return
    if abs(sums[e]) > l1 and e >= first + n:
        other = first + n
        table[j, WEIGHTS] += 1
    elif abs(sums[e]) <= l1 and e < first + n:
        other = first + n - 1
        table[j, WEIGHTS] -= 1
    else:
        return
    if other == e:
        return
    other_slot = slot_of(j, entries[other], table, index, entries)
    index[slot], index[other_slot] = index[other_slot], index[slot]
    entries[e], entries[other] = entries[other], entries[e]
    sums[e], sums[other] = sums[other], sums[e]


@Jitted
def make_room(j, n_more, n_labels, table, index, entries, sums):  # type: ignore[no-untyped-def]
    """Return the arrays of the tables with room for `n_more` entries of feature j."""
    needed = table[j, ENTRIES] + n_more
    slots = max(table[j, SLOTS], 4)
    while 4 * needed > 3 * slots and slots < n_labels:
        slots *= 2
    if slots == table[j, SLOTS]:
        return index, entries, sums
    free = table[-1, FIRST]
    if free + slots > len(index):
        index, entries, sums = compacted(table, index, entries, sums, slots)
        free = table[-1, FIRST]
    table[-1, FIRST] = free + slots
    old = table[j, FIRST]
    table[j, FIRST], table[j, SLOTS] = free, slots
    index[free : free + slots] = -1
    for e in range(table[j, ENTRIES]):
        entries[free + e], sums[free + e] = entries[old + e], sums[old + e]
        index[slot_of(j, entries[old + e], table, index, entries)] = e
    return index, entries, sums


@Jitted
def compacted(table, index, entries, sums, n_more):  # type: ignore[no-untyped-def]
    """Return arrays of half as much again as the tables in use take, without the tables that were replaced."""
    n = 0
    for j in range(len(table) - 1):
        n += table[j, SLOTS]
    size = n + n // 2 + n_more
    new_index, new_entries, new_sums = np.empty(size, np.int32), np.empty(size, np.int32), np.empty(size, np.float32)
    n = 0
    for j in range(len(table) - 1):
        old, slots = table[j, FIRST], table[j, SLOTS]
        new_index[n : n + slots] = index[old : old + slots]
        new_entries[n : n + slots] = entries[old : old + slots]
        new_sums[n : n + slots] = sums[old : old + slots]
        table[j, FIRST] = n
        n += slots
    table[-1, FIRST] = n
    return new_index, new_entries, new_sums


@Jitted
def keep_weights(table, index, entries):  # type: ignore[no-untyped-def]
    """Forget the entries without a weight."""
    for j in range(len(table) - 1):
        first = table[j, FIRST]
        index[first : first + table[j, SLOTS]] = -1
        table[j, ENTRIES] = table[j, WEIGHTS]
        for e in range(table[j, WEIGHTS]):
            index[slot_of(j, entries[first + e], table, index, entries)] = e
