"""Groups of labels that co-occur, and a block for each label of a group. Numba compiles it on the first call."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic._kernels.jit import Jitted
from xclassic.parallel import StopByte


def group_labels(
    shared: csr_array, counts: NDArray[np.int64], n_groups: int, size: int, stop: StopByte
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Put labels that co-occur into a group, and the labels of a group into different blocks.

    Pairs of labels are joined by descending cosine of their columns, unless their cluster would outgrow a group.
    Clusters then fill groups, the largest first, and one that fits nowhere as a whole is divided. Last, the most
    frequent label first, a label takes the block of its group in which it co-occurs least with the labels there.

    Parameters
    ----------
    shared : csr_array of float64, shape (n_labels, n_labels)
        Rows that two labels share; the diagonal is empty.
    counts : ndarray of int64, shape (n_labels,)
        Rows of each label, at least 1.
    n_groups, size : int
        At least as many places as labels.
    stop : ndarray of uint8, shape (1,)

    Returns
    -------
    groups, blocks : ndarray of int32, shape (n_labels,)
        The labels of a group have different blocks, below `size`.

    Notes
    -----
    Cost: a sort of the pairs, and ``n_labels (n_groups + size)`` at most. Memory: 30 bytes for each stored pair.
    """
    row = np.repeat(np.arange(len(counts), dtype=np.int32), np.diff(shared.indptr))
    cosines = shared.data / np.sqrt(counts[row] * counts[shared.indices])
    once = row < shared.indices
    first, second = row[once], shared.indices[once].astype(np.int32)
    order = np.argsort(-cosines[once], kind="stable")
    clusters = _clusters(first[order], second[order], len(counts), size, stop)
    _, clusters, sizes = np.unique(clusters, return_inverse=True, return_counts=True)
    largest_first = np.lexsort((np.arange(len(counts)), clusters, -sizes[clusters]))
    groups = _pack(largest_first, sizes[clusters], n_groups, size, stop)
    indptr, frequent_first = shared.indptr.astype(np.int64), np.argsort(-counts, kind="stable")
    blocks = _blocks(indptr, shared.indices, shared.data, frequent_first, groups, n_groups, size, stop)
    return groups, blocks


@Jitted
def _clusters(first, second, n_labels, size, stop):  # type: ignore[no-untyped-def]
    """Join pairs in their order, as Kruskal does, into clusters of at most `size`; return a member for each label."""
    parent = np.arange(n_labels)
    sizes = np.ones(n_labels, np.int64)
    for pair in range(len(first)):
        if stop[0]:
            break
        a, b = _root(parent, first[pair]), _root(parent, second[pair])
        if a != b and sizes[a] + sizes[b] <= size:
            if sizes[a] < sizes[b]:
                a, b = b, a
            parent[b] = a
            sizes[a] += sizes[b]
    for label in range(n_labels):
        parent[label] = _root(parent, label)
    return parent


@Jitted
def _root(parent, label):  # type: ignore[no-untyped-def]
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@Jitted
def _pack(labels, sizes, n_groups, size, stop):  # type: ignore[no-untyped-def]
    """Return a group for each label; `labels` are sorted by cluster, and `sizes` are those of their clusters."""
    groups = np.zeros(len(labels), np.int32)
    free = np.full(n_groups, size)
    open_from = 0  # The groups before it are full.
    start = 0
    while start < len(labels) and not stop[0]:
        end = start + sizes[labels[start]]
        while free[open_from] == 0:
            open_from += 1
        group = open_from
        while group < n_groups and free[group] < end - start:
            group += 1
        for position in range(start, end):
            if group == n_groups:  # The cluster fits nowhere as a whole.
                while free[open_from] == 0:
                    open_from += 1
            place = open_from if group == n_groups else group
            groups[labels[position]] = place
            free[place] -= 1
        start = end
    return groups


@Jitted
def _blocks(indptr, indices, shared, labels, groups, n_groups, size, stop):  # type: ignore[no-untyped-def]
    """Return a block for each label, chosen in the order of `labels`."""
    blocks = np.zeros(len(labels), np.int32)
    placed = np.zeros(len(labels), np.bool_)
    taken = np.zeros((n_groups, size), np.bool_)
    cost = np.zeros(size)
    for label in labels:
        if stop[0]:
            break
        cost[:] = 0
        for p in range(indptr[label], indptr[label + 1]):
            if placed[indices[p]]:
                cost[blocks[indices[p]]] += shared[p]
        best = -1
        for block in range(size):
            if not taken[groups[label], block] and (best < 0 or cost[block] < cost[best]):
                best = block
        blocks[label] = best
        placed[label] = True
        taken[groups[label], best] = True
    return blocks
