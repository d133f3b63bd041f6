"""Ways to group labels into a tree: k-means of label vectors, at random, by frequency."""

from __future__ import annotations

import heapq
import itertools
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import xclassic._kernels.cluster as kernels
from xclassic.label_tree.tree import LabelTree
from xclassic.parallel import StopByte, run_tasks, spawn_seeds
from xclassic.validation import Features

TASKS = 64  # that the nodes of a level are cut into, as far as there are so many


def kmeans_tree(
    vectors: Features,
    *,
    branching: int = 16,
    max_leaf: int = 100,
    balanced: bool = True,
    max_share: float = 1.0,
    max_depth: int | None = None,
    labels: NDArray[Any] | None = None,
    n_labels: int | None = None,
    tolerance: float = 1e-3,
    max_rounds: int = 20,
    random_state: int | np.random.RandomState | None = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> LabelTree:
    """Group labels by recursive spherical k-means.

    A node of more than `max_leaf` labels is split into `branching` clusters, or fewer if that suffices for children of
    at most `max_leaf` labels; a node of at most `max_leaf` labels has these as its children.

    Parameters
    ----------
    vectors : csr_array or ndarray of float32, shape (n, d)
        A vector for each label, of unit length or zero; see `label_vectors`.
    branching : int, default=16
        Clusters of a node, at least 2. Parabel has 2, XR-Linear 16 or 32, Bonsai 100, the prefix tree 6.
    max_leaf : int, default=100
        At least 1.
    balanced : bool, default=True
        Clusters of a node differ in size by at most one label. Otherwise each label goes to the nearest centre.
    max_share : float, default=1.0
        Where not `balanced`, the largest share of the labels of a node that one cluster may take; the labels nearest to
        it stay.
    max_depth : int, optional
        Splits above a label at most; a node at that depth keeps all its labels as children.
    labels : ndarray of int, shape (n,), optional
        Label ids of the vectors; 0 to n - 1 by default.
    n_labels : int, optional
        Size of the label space.
    tolerance : float, default=1e-3
        Gain of the mean cosine below which a split is done.
    max_rounds : int, default=20
        Rounds after which it is done in any case.
    random_state : int, RandomState or None, default=0
        The first centres are labels drawn at random.
    n_jobs, verbose
        See `run_tasks`.

    Returns
    -------
    LabelTree

    Notes
    -----
    Cost: ``nnz(vectors)`` vector operations of 16 lanes per round, level and 16 clusters. Memory: a copy of the vectors
    of the largest node being split, and ``4 n branching`` bytes. Identical and zero vectors are told apart by label id
    alone. An empty cluster takes the label that fits worst where it is.

    References
    ----------
    .. [1] Y. Prabhu, A. Kag, S. Harsola, R. Agrawal and M. Varma, "Parabel: Partitioned label trees for extreme
       classification with application to dynamic search advertising", WWW 2018 (balanced, two clusters).
    .. [2] S. Khandagale, H. Xiao and R. Babbar, "Bonsai: diverse and shallow trees for extreme multi-label
       classification", Machine Learning 2020 (not balanced).
    """
    split = partial(
        _kmeans,
        _as_rows(vectors),
        room=0.0 if balanced else max_share,
        tolerance=tolerance,
        max_rounds=max_rounds,
        n_jobs=n_jobs,
        verbose=verbose,
    )
    return _grow(vectors.shape[0], split, branching, max_leaf, max_depth, balanced, labels, n_labels, random_state)


def random_tree(
    n: int,
    *,
    branching: int = 16,
    max_leaf: int = 100,
    labels: NDArray[Any] | None = None,
    n_labels: int | None = None,
    random_state: int | np.random.RandomState | None = 0,
) -> LabelTree:
    """Group `n` labels at random into a tree of equal splits.

    Parameters are those of `kmeans_tree`. What a method loses on such a tree is what its grouping of labels is worth.

    Parameters
    ----------
    n : int
        Number of labels.

    Returns
    -------
    LabelTree
    """
    return _grow(n, _shuffle, branching, max_leaf, None, True, labels, n_labels, random_state)


def huffman_tree(
    counts: NDArray[Any], *, branching: int = 2, labels: NDArray[Any] | None = None, n_labels: int | None = None
) -> LabelTree:
    """Group labels by frequency, so that frequent ones have short paths (Huffman's code).

    Parameters
    ----------
    counts : ndarray, shape (n,)
        Rows of each label.
    branching : int, default=2
    labels, n_labels
        See `kmeans_tree`.

    Returns
    -------
    LabelTree
    """
    n = len(counts)
    if n == 1:
        return LabelTree.from_parents([-1, 0], labels=[-1, 0 if labels is None else labels[0]], n_labels=n_labels)
    heap: list[tuple[float, int]] = [(float(count), label) for label, count in enumerate(counts)]
    heapq.heapify(heap)
    parents = np.full(n + (n - 2) // (branching - 1) + 1, -1, np.int64)
    node = n
    width = (n - 2) % (branching - 1) + 2  # of the first merge, so that the root is full
    while len(heap) > 1:
        merged = [heapq.heappop(heap) for _ in range(width)]
        for _, child in merged:
            parents[child] = node
        heapq.heappush(heap, (sum(count for count, _ in merged), node))
        node, width = node + 1, branching
    ids = np.full(len(parents), -1, np.int64)
    ids[:n] = np.arange(n) if labels is None else labels
    return LabelTree.from_parents(parents, labels=ids, n_labels=n_labels)


def _grow(
    n: int,
    split: Any,
    branching: int,
    max_leaf: int,
    max_depth: int | None,
    balanced: bool,
    labels: NDArray[Any] | None,
    n_labels: int | None,
    random_state: int | np.random.RandomState | None,
) -> LabelTree:
    """Split nodes level by level; ``split(items, item_ptr, arities, seeds)`` tells the cluster of each item."""
    items = np.arange(n, dtype=np.int32)
    pointers = np.array([0, n])
    nodes = np.zeros(1, np.int64)
    parents = [np.array([-1])]
    n_nodes = 1
    label_parent = np.zeros(n, np.int64)
    depth_seeds = spawn_seeds(random_state, 64)
    depth = 0
    while len(nodes):
        sizes = np.diff(pointers)
        arity = _arity(sizes, branching, max_leaf, balanced)
        if max_depth is not None and depth >= max_depth:
            arity[:] = 1
        splits = arity > 1
        node_of_item = np.repeat(np.arange(len(nodes)), sizes)
        done = ~splits[node_of_item]
        label_parent[items[done]] = nodes[node_of_item[done]]
        if not splits.any():
            break
        items, node_of_item = items[~done], node_of_item[~done]
        seeds = np.random.SeedSequence(int(depth_seeds[depth % 64])).generate_state(int(splits.sum()), np.uint64)
        pointers = np.concatenate([[0], np.cumsum(sizes[splits])])
        clusters = split(items, pointers, arity[splits].astype(np.int32), seeds)
        group = node_of_item * int(arity.max() + 1) + clusters
        order = np.argsort(group, kind="stable")
        items, group = items[order], group[order]
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        parents.append(nodes[node_of_item[order][starts]])
        pointers = np.append(starts, len(items))
        nodes = n_nodes + np.arange(len(starts))
        n_nodes += len(starts)
        depth += 1
    ids = np.full(n_nodes + n, -1, np.int64)
    ids[n_nodes:] = np.arange(n) if labels is None else labels
    return LabelTree.from_parents(np.concatenate([*parents, label_parent]), labels=ids, n_labels=n_labels)


def _arity(sizes: NDArray[Any], branching: int, max_leaf: int, balanced: bool) -> NDArray[np.int64]:
    """Return the number of children that nodes of so many labels are split into; 1 where labels are the children."""
    leaves = np.maximum(-(-sizes // max_leaf), 1)
    if balanced:
        # Alike on all levels below, and up to twice as many where that saves a level; but two clusters remain two.
        most = 2 if branching == 2 else 2 * branching
        levels = np.maximum(np.ceil(np.log(leaves) / np.log(most) - 1e-9), 1)
        wanted = np.ceil(leaves ** (1 / levels) - 1e-9).astype(np.int64)
    else:
        wanted = np.minimum(sizes, branching)  # as many as needed would not be enough, since their sizes differ
    return np.where(sizes <= max_leaf, 1, np.maximum(wanted, 2))


def _as_rows(vectors: Features) -> tuple[Any, ...]:
    n, d = vectors.shape
    if isinstance(vectors, np.ndarray):
        return None, None, np.ascontiguousarray(vectors, np.float32).ravel(), n, d
    return vectors.indptr.astype(np.int64), vectors.indices.astype(np.int32, copy=False), vectors.data, n, d


def _kmeans(
    rows: tuple[Any, ...],
    items: NDArray[np.int32],
    pointers: NDArray[np.int64],
    arities: NDArray[np.int32],
    seeds: NDArray[np.uint64],
    *,
    n_jobs: int | None,
    verbose: int,
    **options: Any,
) -> NDArray[np.int32]:
    cuts = np.unique(np.searchsorted(pointers, np.linspace(0, pointers[-1], TASKS + 1)))
    tasks = [
        (pointers[a : b + 1] - pointers[a], items[pointers[a] : pointers[b]], arities[a:b], seeds[a:b])
        for a, b in itertools.pairwise(cuts)
    ]
    run = partial(_kmeans_task, rows, options)
    return np.concatenate(run_tasks(run, tasks, n_jobs=n_jobs, description="grouping labels", verbose=verbose))


def _kmeans_task(rows: tuple[Any, ...], options: dict[str, Any], task: tuple[Any, ...], stop: StopByte) -> Any:
    return kernels.split_nodes(*rows, *task, options["room"], options["tolerance"], options["max_rounds"], stop)


def _shuffle(
    items: NDArray[np.int32], pointers: NDArray[np.int64], arities: NDArray[np.int32], seeds: NDArray[np.uint64]
) -> NDArray[np.int32]:
    """Deal the items of each node out at random."""
    random = np.random.default_rng(seeds)
    node = np.repeat(np.arange(len(arities)), np.diff(pointers))
    order = np.lexsort((random.random(len(items)), node))
    position = np.arange(len(items)) - pointers[:-1][node]
    clusters = np.empty(len(items), np.int32)
    clusters[order] = position % arities[node]
    return clusters
