"""The solver of PD-Sparse: block-coordinate descent over rows, with the sums of the dual variables by feature.

Numba compiles it on the first call. The sums of each feature lie in a table of two arrays, `keys` (labels, or `EMPTY`)
and `sums`. It is a hash table as long as it is small, and has a slot for each label, in their order, from then on.
"""

from __future__ import annotations

import numpy as np

from xclassic._kernels.jit import Jitted

FIRST, SLOTS, USED = range(3)  # Columns of `table`; its last row says where the free room of the arrays begins.
EMPTY, FROZEN = -1, -2  # Keys of slots that have no label, or one whose weight is to stay 0.


@Jitted
def improve_rows(  # type: ignore[no-untyped-def]
    order, indptr, indices, values, square_norms, label_ptr, labels, shares, rival_ptr, n_rivals, rivals, burdens,
    n_labels, cost, smoothing, l1, fixed, start, table, keys, sums, stop,
):  # fmt: skip
    """Visit rows: find the most violating labels of each, and minimize the dual exactly over its active labels.

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
        Room for the active labels of each row that it does not have.
    n_rivals : ndarray of int32, shape (n_rows,)
        Their number; what is left of the room says how many a visit may add.
    rivals, burdens : ndarray of int32, float32
        These labels, and their dual variables; changed in place.
    n_labels : int
    cost, smoothing, l1 : float
        See `PDSparse`.
    fixed : bool
        Whether only weights that exist may change.
    start : int
        Of labels that violate equally, the first ones from here on are taken, from another place on for each row.
    table : ndarray of int64, shape (n_features + 1, 3)
        Of each feature: its first place in the arrays, and its numbers of slots and of labels; changed in place.
    keys, sums : ndarray of int32, float32
        Changed in place, or replaced.
    stop : ndarray of uint8, shape (1,)

    Returns
    -------
    gap : float
        Sum of the duality gaps of the rows, each when it was visited.
    keys, sums
        The arrays, or larger ones.
    """
    scores = np.zeros(n_labels, np.float32)
    gap = 0.0
    for i in order:
        if stop[0]:
            break
        own, own_mass = labels[label_ptr[i] : label_ptr[i + 1]], shares[label_ptr[i] : label_ptr[i + 1]]
        if len(own) == 0 or len(own) == n_labels or square_norms[i] == 0:
            continue
        features, amounts = indices[indptr[i] : indptr[i + 1]], values[indptr[i] : indptr[i + 1]]
        scores[:] = 0
        add_scores(features, amounts, l1, n_labels, table, keys, sums, scores)
        first, n, room = rival_ptr[i], n_rivals[i], rival_ptr[i + 1] - rival_ptr[i]
        others, other_mass = rivals[first : first + n], burdens[first : first + n]
        curvature = square_norms[i] + smoothing
        own_slope = scores[own] + smoothing * own_mass
        other_slope = smoothing * other_mass - 1 - scores[others]

        own_goal, other_goal = own_mass - own_slope / curvature, other_mass - other_slope / curvature
        low, high = project(own_goal, other_goal, cost)
        scores[own] = -np.inf
        scores[others] = -np.inf
        new, new_scores = violating(scores, -1 - high * curvature, (start + i) % n_labels)
        gap += row_gap(
            own_slope, own_mass, other_slope, other_mass, new_scores, low * curvature, high * curvature, cost, smoothing
        )
        if len(new) > room - n:
            new, new_scores = highest(new, new_scores, room - n)
        if len(new):
            rivals[first + n : first + n + len(new)] = new
            burdens[first + n : first + n + len(new)] = 0
            n += len(new)
            others, other_mass = rivals[first : first + n], burdens[first : first + n]
            own_goal = own_mass - own_slope / curvature
            other_goal = other_mass - np.concatenate((other_slope, -1.0 - new_scores)) / curvature
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
                keys, sums = make_room(features[p], len(moved), n_labels, table, keys, sums)
            add(features[p], moved, steps, amounts[p], n_labels, fixed, table, keys, sums)
    return gap, keys, sums


@Jitted
def add_scores(features, values, l1, n_labels, table, keys, sums, scores):  # type: ignore[no-untyped-def]
    """Add the products of a row with the weights to `scores`."""
    limit = np.float32(l1)
    for p in range(len(features)):
        x, first, slots = values[p], table[features[p], FIRST], table[features[p], SLOTS]
        part = sums[first : first + slots]
        if slots == n_labels:
            for label in range(n_labels):
                scores[label] += x * (part[label] - min(max(part[label], -limit), limit))
            continue
        for slot in range(slots):
            if keys[first + slot] >= 0:
                scores[keys[first + slot]] += x * (part[slot] - min(max(part[slot], -limit), limit))


@Jitted
def violating(scores, bound, start):  # type: ignore[no-untyped-def]
    """Return the labels whose scores are above `bound`, in their order from `start` on, and the scores."""
    found = np.empty(np.count_nonzero(scores > bound), np.int32)
    n = 0
    if len(found):
        for label in range(start, len(scores)):
            if scores[label] > bound:
                found[n] = label
                n += 1
        for label in range(start):
            if scores[label] > bound:
                found[n] = label
                n += 1
    return found, scores[found]


@Jitted
def highest(labels, scores, n):  # type: ignore[no-untyped-def]
    """Return the `n` labels with the highest scores, the first ones of equal scores, and the scores."""
    last = np.partition(scores, len(scores) - n)[len(scores) - n]
    equal = n - np.count_nonzero(scores > last)
    kept = scores > last
    for p in range(len(scores)):
        if equal and scores[p] == last:
            kept[p] = True
            equal -= 1
    return labels[kept], scores[kept]


@Jitted
def row_gap(own_slope, own_mass, other_slope, other_mass, new_scores, low, high, cost, smoothing):  # type: ignore[no-untyped-def]
    """Return a bound on what the dual of a row lacks: the best of two that hold for all labels.

    The first takes the loss as linear in the dual variables. The second takes the sums of the variables into the
    objective, with `low` and `high` as multipliers, so that each variable has its own largest value.
    """
    steepest = high
    if len(other_slope):
        steepest = min(steepest, other_slope.min())
    if len(new_scores):
        steepest = min(steepest, -1.0 - new_scores.max())
    linear = (own_slope * own_mass).sum() + (other_slope * other_mass).sum()
    linear += max(0.0, -cost * (own_slope.min() + steepest))
    if smoothing == 0:
        return linear
    total = (low - high) * (cost - own_mass.sum())
    for p in range(len(own_mass)):
        total += gain(-own_slope[p] - low, own_mass[p], smoothing)
    for p in range(len(other_mass)):
        total += gain(high - other_slope[p], other_mass[p], smoothing)
    for p in range(len(new_scores)):
        total += gain(1 + new_scores[p] + high, 0.0, smoothing)
    return min(linear, total)


@Jitted
def gain(slope, mass, smoothing):  # type: ignore[no-untyped-def]
    """Return the most that a variable of value `mass` gains if its objective has this slope."""
    step = max(slope / smoothing, -mass)
    return slope * step - smoothing * step * step / 2


@Jitted
def project(own, others, cost):  # type: ignore[no-untyped-def]
    """Replace two vectors by the nearest ones that are not negative and whose sums are equal and at most `cost`.

    The nearest ones are ``max(own - low, 0)`` and ``max(others + high, 0)``; return `low` and `high`. They are one
    number, where the sums are equal, unless these are `cost`.
    """
    if len(others) == 0:
        s = own.max()
        own[:] = 0
        return s, s
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
        return to_simplex(own, cost), -to_simplex(others, cost)
    for p in range(len(own)):
        own[p] = max(own[p] - s, 0.0)
    for p in range(len(others)):
        others[p] = max(others[p] + s, 0.0)
    return s, s


@Jitted
def to_simplex(vector, total):  # type: ignore[no-untyped-def]
    """Replace a vector by the nearest one that is not negative and whose sum is `total`; return what is taken off."""
    descending = np.sort(vector)[::-1]
    added, s = 0.0, 0.0
    for n in range(len(vector)):
        added += descending[n]
        if descending[n] - (added - total) / (n + 1) > 0:
            s = (added - total) / (n + 1)
    for p in range(len(vector)):
        vector[p] = max(vector[p] - s, 0.0)
    return s


@Jitted
def slot_of(j, label, table, keys):  # type: ignore[no-untyped-def]
    """Return the slot of a label in the hash table of feature j, or the empty one where it belongs."""
    first, mask = table[j, FIRST], table[j, SLOTS] - 1
    slot = label & mask
    while keys[first + slot] != EMPTY and keys[first + slot] != label:
        slot = (slot + 1) & mask
    return first + slot


@Jitted
def add(j, labels, steps, x, n_labels, fixed, table, keys, sums):  # type: ignore[no-untyped-def]
    """Add steps times `x` to the sums of a feature and some labels."""
    first, slots = table[j, FIRST], table[j, SLOTS]
    if slots == 0:  # No weight of this feature was kept.
        return
    for q in range(len(labels)):
        label = labels[q]
        slot = first + label if slots == n_labels else slot_of(j, label, table, keys)
        if keys[slot] != label:
            if fixed:
                continue
            keys[slot], sums[slot] = label, 0
            table[j, USED] += 1
        sums[slot] += steps[q] * x


@Jitted
def make_room(j, n_more, n_labels, table, keys, sums):  # type: ignore[no-untyped-def]
    """Return the arrays of the tables with room for `n_more` labels of feature j."""
    needed, old, n_old = table[j, USED] + n_more, table[j, FIRST], table[j, SLOTS]
    slots = max(n_old, 4)
    while 4 * needed > 3 * slots and slots < n_labels:
        slots *= 2
    if 2 * slots > n_labels:
        slots = n_labels
    if slots == n_old:
        return keys, sums
    if table[-1, FIRST] + slots > len(keys):
        keys, sums = compacted(table, keys, sums, slots)
        old = table[j, FIRST]
    first = table[-1, FIRST]
    table[-1, FIRST] += slots
    table[j, FIRST], table[j, SLOTS] = first, slots
    keys[first : first + slots], sums[first : first + slots] = EMPTY, 0
    for p in range(old, old + n_old):
        if keys[p] >= 0:
            slot = first + keys[p] if slots == n_labels else slot_of(j, keys[p], table, keys)
            keys[slot], sums[slot] = keys[p], sums[p]
    return keys, sums


@Jitted
def compacted(table, keys, sums, n_more):  # type: ignore[no-untyped-def]
    """Return arrays of half as much again as the tables in use take, without the tables that were replaced."""
    n = 0
    for j in range(len(table) - 1):
        n += table[j, SLOTS]
    size = n + n // 2 + n_more
    new_keys, new_sums = np.empty(size, np.int32), np.empty(size, np.float32)
    n = 0
    for j in range(len(table) - 1):
        old, slots = table[j, FIRST], table[j, SLOTS]
        new_keys[n : n + slots] = keys[old : old + slots]
        new_sums[n : n + slots] = sums[old : old + slots]
        table[j, FIRST] = n
        n += slots
    table[-1, FIRST] = n
    return new_keys, new_sums


@Jitted
def weights_of(table, keys, sums, l1):  # type: ignore[no-untyped-def]
    """Return the weights as CSR arrays, a row for each feature."""
    limit = np.float32(l1)
    ptr = np.zeros(len(table), np.int64)
    for j in range(len(table) - 1):
        part = sums[table[j, FIRST] : table[j, FIRST] + table[j, SLOTS]]
        ptr[j + 1] = ptr[j] + np.count_nonzero(np.abs(part) > limit)
    labels, weights = np.empty(ptr[-1], np.int32), np.empty(ptr[-1], np.float32)
    n = 0
    for j in range(len(table) - 1):
        for slot in range(table[j, FIRST], table[j, FIRST] + table[j, SLOTS]):
            if abs(sums[slot]) > limit:
                labels[n], weights[n] = keys[slot], sums[slot] - np.copysign(limit, sums[slot])
                n += 1
    return ptr, labels, weights


@Jitted
def half_square(table, sums, l1):  # type: ignore[no-untyped-def]
    """Return half of the squared norm of the weights."""
    total = 0.0
    for j in range(len(table) - 1):
        for slot in range(table[j, FIRST], table[j, FIRST] + table[j, SLOTS]):
            total += max(abs(sums[slot]) - l1, 0.0) ** 2
    return total / 2


@Jitted
def keep_weights(table, keys, sums, l1):  # type: ignore[no-untyped-def]
    """Let the weights that are 0 stay so."""
    for j in range(len(table) - 1):
        for slot in range(table[j, FIRST], table[j, FIRST] + table[j, SLOTS]):
            if keys[slot] != EMPTY and abs(sums[slot]) <= l1:
                keys[slot], sums[slot] = FROZEN, 0
