"""The best paths of a trellis by list Viterbi, and the labels that have them.

Numba compiles it on the first call.
"""

from __future__ import annotations

import numpy as np

from xclassic._kernels.jit import Jitted


@Jitted
def best_labels(edge_scores, trellis, labels, k, ids, scores, counts, stop):  # type: ignore[no-untyped-def]
    """Write the `k` labels whose paths have the largest sums of edge scores, for each row; ties by label id.

    More and more of the best paths are found, until those that are better than the last one hold `k` labels: then no
    label is missing, and equal ones are all there. Where all sums cost less, they are taken instead.

    Parameters
    ----------
    edge_scores : ndarray of float32, shape (n_rows, n_edges)
    trellis : Trellis
    labels : ndarray of int32, shape (n_paths,)
        Label of each path; -1 for one that may not be predicted.
    k : int
    ids, scores, counts : ndarray of int32, float32 and int32, shape (n_rows, k), (n_rows, k) and (n_rows,)
        The result; unfilled slots are left as they are.
    stop : ndarray of uint8, shape (1,)
    """
    n_paths, width = len(labels), trellis.sizes[0]
    allowed = np.flatnonzero(labels >= 0)
    n_allowed = len(allowed)
    wanted = min(k, n_allowed)
    for row in range(len(edge_scores)):
        if stop[0] or n_allowed == 0:
            return
        n_best = 1 + wanted * n_paths // n_allowed
        while n_best < n_paths and width * (width + 2 * n_best) < 2 * n_allowed:
            sums, paths = best_paths(edge_scores[row], trellis, n_best)
            better = (sums > sums[-1]) & (labels[paths] >= 0)
            if better.sum() >= wanted:
                break
            n_best *= 4
        else:
            sums, paths = _sums(edge_scores[row], trellis, allowed), allowed
            better = sums >= np.partition(sums, n_allowed - wanted)[n_allowed - wanted]
        sums, found = sums[better], labels[paths[better]]
        by_id = np.argsort(found)
        order = by_id[np.argsort(-sums[by_id], kind="mergesort")][:wanted]
        counts[row] = len(order)
        ids[row, : len(order)] = found[order]
        scores[row, : len(order)] = sums[order]


@Jitted
def _sums(edge_scores, trellis, paths):  # type: ignore[no-untyped-def]
    """Return the float32 sums of some paths."""
    sums, last_layer = np.empty(len(paths), np.float32), len(trellis.sizes) - 1
    for i in range(len(paths)):
        last = 0
        while trellis.first_path[last] > paths[i]:
            last += 1
        rest, before, total = paths[i] - trellis.first_path[last], 0, 0.0
        for t in range(last + 1):
            state = rest % trellis.width if t < last else rest
            total += edge_scores[trellis.first_edge[t] + before * trellis.sizes[t] + state]
            rest, before = rest // trellis.width, state
        if last < last_layer:
            total += edge_scores[trellis.first_exit[last] + before]
        sums[i] = total
    return sums


@Jitted
def best_paths(edge_scores, trellis, n_best):  # type: ignore[no-untyped-def]
    """Return the float32 sums, descending, and the numbers of the `n_best` best paths, at most as many as there are.

    Every state keeps its best paths from the source. Those of the next layer are merged from the lists of this one,
    each raised by an edge [1]_. Prefixes of equal sums are ordered by number, and sums are taken in float64 from the
    source on, as for all paths, so that both are equal to the bit.

    Notes
    -----
    Cost: ``b + n_best log b`` for a state, and the states of a layer are b. Memory: 16 bytes for each path kept.

    References
    ----------
    .. [1] N. Seshadri and C.-E. W. Sundberg, "List Viterbi decoding algorithms with applications", 1994.
    """
    n_layers, width = len(trellis.sizes), trellis.sizes[0]
    n_lists = n_layers * width + 1  # The states, layer by layer, and the sink.
    sums, numbers = np.empty((n_lists, n_best)), np.empty((n_lists, n_best), np.int64)
    counts = np.zeros(n_lists, np.int64)
    sources, gains, shifts = np.empty(n_lists, np.int64), np.empty(n_lists), np.zeros(n_lists, np.int64)
    for state in range(width):
        sums[state, 0], numbers[state, 0], counts[state] = edge_scores[state], state, 1
    for t in range(1, n_layers):
        for state in range(trellis.sizes[t]):
            for before in range(width):
                sources[before] = (t - 1) * width + before
                gains[before] = edge_scores[trellis.first_edge[t] + before * trellis.sizes[t] + state]
                shifts[before] = state * trellis.places[t]
            _merge(sums, numbers, counts, sources, gains, shifts, width, t * width + state)
    n_ends = 0
    for t in range(n_layers):
        for state in range(trellis.n_exits[t]):
            sources[n_ends] = t * width + state
            gains[n_ends] = edge_scores[trellis.first_exit[t] + state] if t < n_layers - 1 else 0.0
            shifts[n_ends] = trellis.first_path[t]
            n_ends += 1
    _merge(sums, numbers, counts, sources, gains, shifts, n_ends, n_lists - 1)
    n_found = counts[-1]
    return sums[-1, :n_found].astype(np.float32), numbers[-1, :n_found]


@Jitted
def _merge(sums, numbers, counts, sources, gains, shifts, n_sources, target):  # type: ignore[no-untyped-def]
    """Write to list `target` the best of the lists `sources`, whose sums grow by `gains` and numbers by `shifts`.

    A heap holds the next entry of each list, so that the best of them is at its top.
    """
    heap, places = np.arange(n_sources), np.zeros(n_sources, np.int64)
    next_sum, next_number = np.empty(n_sources), np.empty(n_sources, np.int64)
    for s in range(n_sources):
        next_sum[s] = sums[sources[s], 0] + gains[s]
        next_number[s] = numbers[sources[s], 0] + shifts[s]
    size = n_sources
    for root in range(size // 2 - 1, -1, -1):
        _sink(heap, size, root, next_sum, next_number)
    n_found = 0
    while size and n_found < sums.shape[1]:
        s = heap[0]
        sums[target, n_found], numbers[target, n_found] = next_sum[s], next_number[s]
        n_found += 1
        places[s] += 1
        if places[s] < counts[sources[s]]:
            next_sum[s] = sums[sources[s], places[s]] + gains[s]
            next_number[s] = numbers[sources[s], places[s]] + shifts[s]
        else:
            size -= 1
            heap[0] = heap[size]
        _sink(heap, size, 0, next_sum, next_number)
    counts[target] = n_found


@Jitted
def _sink(heap, size, root, next_sum, next_number):  # type: ignore[no-untyped-def]
    """Move the root of a heap down until no child is better: of a larger sum, or of an equal one and a lower number."""
    while True:
        best = root
        for child in range(2 * root + 1, min(2 * root + 3, size)):
            a, b = heap[child], heap[best]
            if next_sum[a] > next_sum[b] or (next_sum[a] == next_sum[b] and next_number[a] < next_number[b]):
                best = child
        if best == root:
            return
        heap[root], heap[best] = heap[best], heap[root]
        root = best
