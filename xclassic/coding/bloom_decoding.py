"""From what the models say of bits to probabilities of labels; Numba compiles it on the first call."""

from __future__ import annotations

import numpy as np

from xclassic._kernels.jit import Jitted


@Jitted
def decode(margins, bits, owners, n_owners, by_group, allowed, k, stop):  # type: ignore[no-untyped-def]
    """Return the `k` most probable labels of each row as ids, scores and counts.

    Parameters
    ----------
    margins : ndarray of float32, shape (n_rows, n_bits)
        Log-odds of the bits.
    bits : ndarray of int32, shape (n_labels, bits_per_label)
        Bits of each label; read for the labels that are allowed or have an owner.
    owners : ndarray of int32, shape (n_labels,)
        Block of each label or, if `by_group`, its group; -1 for a label that competes with none.
    n_owners : int
    by_group : bool
    allowed : ndarray of bool, shape (n_labels,)
    k : int
    stop : ndarray of uint8, shape (1,)

    Notes
    -----
    Cost of a row: ``n_labels bits_per_label``, and a sort of `k` labels.
    """
    n_rows, n_labels = len(margins), len(bits)
    ids = np.full((n_rows, k), -1, np.int32)
    scores = np.full((n_rows, k), -np.inf, np.float32)
    counts = np.zeros(n_rows, np.int32)
    odds = np.zeros(n_labels)
    lowest = np.zeros(n_labels)
    probability = np.zeros(n_labels, np.float32)
    for row in range(n_rows):
        if stop[0]:
            break
        for label in range(n_labels):
            if allowed[label] or owners[label] >= 0:
                odds[label], lowest[label] = 0, np.inf
                for place in range(bits.shape[1]):
                    margin = margins[row, bits[label, place]]
                    odds[label] += margin
                    lowest[label] = min(lowest[label], margin)
        if by_group:
            _share_groups(odds, lowest, owners, n_owners, probability)
        else:
            _share_blocks(odds, lowest, owners, n_owners, probability)
        counts[row] = _best(probability, allowed, ids[row], scores[row])
    return ids, scores, counts


@Jitted
def _sigmoid(x):  # type: ignore[no-untyped-def]
    return 1 / (1 + np.exp(-x))


@Jitted
def _softplus(x):  # type: ignore[no-untyped-def]
    return max(x, 0.0) + np.log1p(np.exp(-abs(x)))


@Jitted
def _share_blocks(odds, lowest, blocks, n_blocks, probability):  # type: ignore[no-untyped-def]
    """Write ``p(bits of l) p(l | its bits)``: the labels of a block share, since one of them at most is on."""
    highest = np.full(n_blocks, -np.inf)
    total = np.zeros(n_blocks)
    for label, block in enumerate(blocks):
        if block >= 0:
            highest[block] = max(highest[block], odds[label])
    for label, block in enumerate(blocks):
        if block >= 0:
            total[block] += np.exp(odds[label] - highest[block])
    for label, block in enumerate(blocks):
        share = np.exp(odds[label] - highest[block]) / total[block] if block >= 0 else 1.0
        probability[label] = share * _sigmoid(lowest[label])


@Jitted
def _share_groups(odds, lowest, groups, n_groups, probability):  # type: ignore[no-untyped-def]
    """Write ``p(group of l) p(l | its group)``: the odds of a group are summed over all sets of its labels."""
    evidence = np.zeros(n_groups)
    for label, group in enumerate(groups):
        if group >= 0:
            evidence[group] += _softplus(odds[label])
    highest = evidence.max() if n_groups else 0.0
    total = np.exp(evidence - highest).sum()
    for label, group in enumerate(groups):
        if group >= 0:
            probability[label] = np.exp(evidence[group] - highest) / total * _sigmoid(odds[label])
        else:
            probability[label] = _sigmoid(lowest[label])


@Jitted
def _best(probability, allowed, ids, scores):  # type: ignore[no-untyped-def]
    """Write the most probable of the allowed labels, ties by label id; return their number."""
    labels = np.flatnonzero(allowed)
    values = probability[labels]
    k = min(len(ids), len(labels))
    if k < len(labels):
        threshold = np.partition(values, len(labels) - k)[len(labels) - k]
        ties = k - (values > threshold).sum()
        kept = values >= threshold
        for position in range(len(labels)):
            if values[position] == threshold:
                kept[position] = ties > 0
                ties -= 1
        labels, values = labels[kept], values[kept]
    order = np.argsort(-values, kind="mergesort")
    for place in range(k):
        ids[place] = labels[order[place]]
        scores[place] = values[order[place]]
    return k
