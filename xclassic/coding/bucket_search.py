"""The search of MACH: the labels with the best scores, without scoring all labels. Numba compiles it on first use."""

from __future__ import annotations

import numpy as np

from xclassic._kernels.jit import Jitted

FIRST = 4  # Buckets of each table, on average, that are visited before the bound is first asked.
GROWTH = 4  # Every further round visits this many times as many.


@Jitted
def best_labels(  # type: ignore[no-untyped-def]
    values, n_buckets, prime, factors, inverses, shifts, allowed, smallest, scale, offsets, ids, scores, counts, stop
):
    """Write the labels of the highest ``scale * total + offset``, where the total is the sum over a label's buckets.

    A label whose buckets are all worth less than v has a mean of less than v. So buckets are visited by descending
    value, until no label beyond them can be among the best. Results are those of scoring every label.

    Parameters
    ----------
    values : ndarray of float32, shape (n_rows, n_tables * n_buckets)
    n_buckets, prime : int
    factors, inverses, shifts : ndarray of int64, shape (n_tables,)
        Label l is in bucket ``(factor * l + shift) % prime % n_buckets``; factor and inverse are 1 modulo the prime.
    allowed : ndarray of bool, shape (n_labels,)
    smallest : bool
        Take the smallest value instead of the sum.
    scale : float
    offsets : ndarray of float64, shape (n_rows,)
    ids, scores, counts : ndarray of int32, float32 and int32
        Empty slots of a `TopK`, filled in place.
    stop : ndarray of uint8, shape (1,)

    Notes
    -----
    Cost: a selection among the buckets of a row, and ``n_tables`` steps for every label of the buckets visited.
    """
    n_tables, size = len(factors), values.shape[1]
    for i in range(len(values)):
        if stop[0]:
            return
        row = values[i]
        visited, n_visited = np.inf, FIRST * n_tables  # Buckets worth this much have been visited.
        while visited > -np.inf:
            least = -np.inf
            if n_visited < size:
                least = np.partition(row, size - n_visited)[size - n_visited]
            for place in range(size):
                if not least <= row[place] < visited:
                    continue
                table = place // n_buckets
                for hashed in range(place - table * n_buckets, prime, n_buckets):
                    label = (hashed - shifts[table]) * inverses[table] % prime
                    if label >= len(allowed) or not allowed[label]:
                        continue
                    total = _total(row, label, table, n_buckets, prime, factors, shifts, smallest)
                    if total > -np.inf:
                        _insert(ids[i], scores[i], counts, i, label, np.float32(scale * total + offsets[i]))
            bound = least if smallest else least * n_tables
            if counts[i] == ids.shape[1] and np.float32(scale * bound + offsets[i]) < scores[i, -1]:
                break
            visited, n_visited = least, GROWTH * n_visited


@Jitted
def _total(row, label, table, n_buckets, prime, factors, shifts, smallest):  # type: ignore[no-untyped-def]
    """Return sum or minimum of a label's values, or -inf unless `table` is the first with the largest of them."""
    here = row[table * n_buckets + (factors[table] * label + shifts[table]) % prime % n_buckets]
    total = np.inf if smallest else 0.0
    for t in range(len(factors)):
        value = row[t * n_buckets + (factors[t] * label + shifts[t]) % prime % n_buckets]
        if value > here or (value == here and t < table):
            return -np.inf
        total = min(total, value) if smallest else total + value
    return total


@Jitted
def _insert(ids, scores, counts, i, label, score):  # type: ignore[no-untyped-def]
    """Insert a label into the best ones of row i, ties to the smaller label."""
    k = len(ids)
    slot = counts[i]
    if slot == k:
        if score < scores[k - 1] or (score == scores[k - 1] and label > ids[k - 1]):
            return
        slot = k - 1
    else:
        counts[i] += 1
    while slot > 0 and (score > scores[slot - 1] or (score == scores[slot - 1] and label < ids[slot - 1])):
        scores[slot], ids[slot] = scores[slot - 1], ids[slot - 1]
        slot -= 1
    scores[slot], ids[slot] = score, label
