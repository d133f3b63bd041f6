"""Ways to group labels into a tree: by k-means of label vectors, at random, by frequency."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

import xclassic._kernels.cluster as kernels
from xclassic._kernels.arguments import FeatureRows
from xclassic.label_tree.building import integers
from xclassic.label_tree.tree import LabelTree
from xclassic.parallel import StopByte, run_tasks, spawn_seeds
from xclassic.rows import kernel_rows
from xclassic.validation.features import check_rows
from xclassic.validation.parameters import check_counts, check_number

TASKS = 64  # At most this many tasks per level; each is at least one node, and about so many labels:
SMALL = 2048


def kmeans_tree(
    vectors: Any,
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

    A node of more than `max_leaf` labels is split into `branching` clusters, or fewer if these suffice for children of
    at most `max_leaf` labels; a node of at most `max_leaf` labels has these as its children.

    Parameters
    ----------
    vectors : sparse matrix or array-like, shape (n, d)
        A vector for each label, of unit length or zero; see `label_vectors`.
    branching : int, default=16
        Clusters of a node, at least 2. Parabel uses 2, XR-Linear 16 or 32, Bonsai 100, the prefix tree 6.
    max_leaf : int, default=100
        At most this many labels in a node that is not split further; at least 1.
    balanced : bool, default=True
        Clusters of a node differ in size by at most one label. Otherwise each label goes to the nearest center.
    max_share : float, default=1.0
        If not `balanced`, the largest share of the labels of a node that one cluster may take; the labels nearest to
        it stay.
    max_depth : int, optional
        At most this many splits above a label; a node at that depth keeps all its labels as children.
    labels : ndarray of int, shape (n,), optional
        Label ids of the vectors; 0 to n - 1 by default.
    n_labels : int, optional
        Size of the label space; by default one more than the largest label id.
    tolerance : float, default=1e-3
        Gain of the mean cosine below which a split is done.
    max_rounds : int, default=20
        Rounds after which a split is done in any case.
    random_state : int, RandomState or None, default=0
        Seed of the first centers, which are labels drawn at random.
    n_jobs : int, optional
        Workers, as joblib counts them. The tree does not depend on it.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Returns
    -------
    LabelTree

    Raises
    ------
    ValueError, TypeError
        If vectors are not finite, the list of vectors is empty, or a parameter is out of range.

    Notes
    -----
    Cost: ``nnz(vectors)`` vector operations of 16 lanes per round, level and 16 clusters. Memory: a copy of the vectors
    of the largest node being split, and ``4 n branching`` bytes. Identical and zero vectors are told apart by label id
    alone. An empty cluster takes the label that fits its own cluster worst.

    References
    ----------
    .. [1] Y. Prabhu, A. Kag, S. Harsola, R. Agrawal and M. Varma, "Parabel: Partitioned label trees for extreme
       classification with application to dynamic search advertising", WWW 2018 (balanced, two clusters).
    .. [2] S. Khandagale, H. Xiao and R. Babbar, "Bonsai: diverse and shallow trees for extreme multi-label
       classification", Machine Learning 2020 (not balanced).

    Examples
    --------
    >>> from xclassic.label_tree import kmeans_tree
    >>> tree = kmeans_tree([[1, 0], [0, 1], [0.8, 0.6], [0, 1]], branching=2, max_leaf=2)
    >>> print(tree.draw(label_names=["jazz", "bread", "opera", "cake"]))
    4 labels: bread, cake, jazz, ...
    ├── 2 labels: bread, cake
    │   ├── bread
    │   └── cake
    └── 2 labels: jazz, opera
        ├── jazz
        └── opera
    """
    vectors = check_rows(vectors, "vectors")
    return kmeans_trees(
        kernel_rows(vectors),
        [random_state],
        branching=branching,
        max_leaf=max_leaf,
        balanced=balanced,
        max_share=max_share,
        max_depth=max_depth,
        labels=labels,
        n_labels=n_labels,
        tolerance=tolerance,
        max_rounds=max_rounds,
        n_jobs=n_jobs,
        verbose=verbose,
    )[0]


def kmeans_trees(
    rows: FeatureRows,
    random_states: Sequence[int | np.random.RandomState | None],
    *,
    branching: int,
    max_leaf: int,
    balanced: bool = True,
    max_share: float = 1.0,
    max_depth: int | None = None,
    labels: NDArray[Any] | None = None,
    n_labels: int | None = None,
    tolerance: float = 1e-3,
    max_rounds: int = 20,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> list[LabelTree]:
    """Group labels by `kmeans_tree` once for each seed, with the vectors as kernels read them.

    The trees grow together, so that their roots, each a task of its own, keep several workers busy.
    """
    check_number("max_share", max_share, minimum=0, inclusive=False, maximum=1)
    check_number("max_rounds", max_rounds, minimum=1, integer=True)
    options = {"room": 0.0 if balanced else max_share, "tolerance": tolerance, "max_rounds": max_rounds}
    split = partial(_kmeans, rows, options, n_jobs=n_jobs, verbose=verbose)
    shape: dict[str, Any] = {"branching": branching, "max_leaf": max_leaf, "max_depth": max_depth, "balanced": balanced}
    ids: dict[str, Any] = {"labels": labels, "n_labels": n_labels}
    return _grow([_growing(rows.n_rows, random_state=seed, **shape, **ids) for seed in random_states], split)


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

    The accuracy that a method loses on such a tree measures its grouping of labels.

    Parameters
    ----------
    n : int
        Number of labels, at least 1.
    branching, max_leaf
        As for `kmeans_tree` with balanced clusters.
    labels, n_labels
        As for `kmeans_tree`.
    random_state : int, RandomState or None, default=0
        Seed of the grouping.

    Returns
    -------
    LabelTree

    Raises
    ------
    ValueError
        If a parameter is out of range.

    Examples
    --------
    >>> from xclassic.label_tree import random_tree
    >>> random_tree(1000, branching=10, max_leaf=10)
    LabelTree(1000 labels, 111 inner nodes, depth 3)
    """
    shape: dict[str, Any] = {"branching": branching, "max_leaf": max_leaf, "max_depth": None, "balanced": True}
    growing = _growing(n, labels=labels, n_labels=n_labels, random_state=random_state, **shape)
    return _grow([growing], lambda levels: [_shuffle(level) for level in levels])[0]


def huffman_tree(
    counts: ArrayLike, *, branching: int = 2, labels: NDArray[Any] | None = None, n_labels: int | None = None
) -> LabelTree:
    """Group labels by frequency, so that frequent ones have short paths (Huffman's code).

    Parameters
    ----------
    counts : array-like, shape (n,)
        Rows of each label, at least 0.
    branching : int, default=2
        Children of a node, at least 2.
    labels, n_labels
        As for `kmeans_tree`.

    Returns
    -------
    LabelTree

    Raises
    ------
    ValueError
        If counts are negative or empty, or a parameter is out of range.

    Notes
    -----
    Cost: ``O(n log n)``, in a loop of Python; some seconds for 1,000,000 labels.

    Examples
    --------
    >>> from xclassic.label_tree import huffman_tree
    >>> huffman_tree([8, 1, 1, 4]).codes()
    array([[ 0, -1, -1],
           [ 1,  1,  0],
           [ 1,  1,  1],
           [ 1,  0, -1]], dtype=int32)
    """
    check_number("branching", branching, minimum=2, integer=True)
    rows = check_counts(counts)
    if not rows.size:
        raise ValueError("counts is empty; pass how many rows each label has.")
    n = len(rows)
    if n == 1:
        return LabelTree.flat(_label_ids(n, labels), n_labels)
    heap: list[tuple[float, int]] = [(count, label) for label, count in enumerate(rows.tolist())]
    heapq.heapify(heap)
    parents = np.full(n + (n - 2) // (branching - 1) + 1, -1, np.int64)
    node = n
    width = (n - 2) % (branching - 1) + 2  # Width of the first merge, chosen so that the root is full.
    while len(heap) > 1:
        merged = [heapq.heappop(heap) for _ in range(width)]
        for _, child in merged:
            parents[child] = node
        heapq.heappush(heap, (sum(count for count, _ in merged), node))
        node, width = node + 1, branching
    ids = np.full(len(parents), -1, np.int64)
    ids[:n] = _label_ids(n, labels)
    return LabelTree.from_parents(parents, labels=ids, n_labels=n_labels)


class _Level(NamedTuple):
    """The nodes of a level that are to be split.

    Attributes
    ----------
    items : ndarray of int32
        Node by node.
    item_ptr : ndarray of int64, shape (n_nodes + 1,)
    arities : ndarray of int32, shape (n_nodes,)
        Clusters of each node.
    seeds : ndarray of uint64, shape (n_nodes,)
    """

    items: NDArray[np.int32]
    item_ptr: NDArray[np.int64]
    arities: NDArray[np.int32]
    seeds: NDArray[np.uint64]


Growing: TypeAlias = Generator[_Level, NDArray[np.int32] | None, LabelTree]


def _grow(growing: list[Growing], split: Callable[[list[_Level]], list[NDArray[np.int32]]]) -> list[LabelTree]:
    """Grow trees level by level, all at the same pace; `split` returns the cluster of each item of some levels."""
    trees: dict[int, LabelTree] = {}
    clusters: dict[int, NDArray[np.int32] | None] = dict.fromkeys(range(len(growing)))
    while clusters:
        levels = {}
        for number, chosen in clusters.items():
            try:
                levels[number] = growing[number].send(chosen)
            except StopIteration as done:
                trees[number] = done.value
        clusters = dict(zip(levels, split(list(levels.values())) if levels else [], strict=True))
    return [trees[number] for number in range(len(growing))]


def _growing(
    n: int,
    *,
    branching: int,
    max_leaf: int,
    max_depth: int | None,
    balanced: bool,
    labels: NDArray[Any] | None,
    n_labels: int | None,
    random_state: int | np.random.RandomState | None,
) -> Growing:
    """Yield the nodes to split of one level after the other, for the clusters of their items; return the tree."""
    check_number("number of labels", n, minimum=1, integer=True)
    check_number("branching", branching, minimum=2, integer=True)
    check_number("max_leaf", max_leaf, minimum=1, integer=True)
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
        clusters = yield _Level(items, pointers, arity[splits].astype(np.int32), np.asarray(seeds, np.uint64))
        assert clusters is not None
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
    ids[n_nodes:] = _label_ids(n, labels)
    return LabelTree.from_parents(np.concatenate([*parents, label_parent]), labels=ids, n_labels=n_labels)


def _arity(sizes: NDArray[Any], branching: int, max_leaf: int, balanced: bool) -> NDArray[np.int64]:
    """Return the number of children that nodes of these sizes are split into; 1 where labels are the children."""
    leaves = np.maximum(-(-sizes // max_leaf), 1)
    if balanced:
        # Equal on all levels below, and up to twice `branching` where that saves a level; but two clusters remain two.
        most = 2 if branching == 2 else 2 * branching
        levels = np.maximum(np.ceil(np.log(leaves) / np.log(most) - 1e-9), 1)
        wanted = np.ceil(leaves ** (1 / levels) - 1e-9).astype(np.int64)
    else:
        wanted = np.minimum(sizes, branching)  # Just enough would be too few, since cluster sizes differ.
    return np.where(sizes <= max_leaf, 1, np.maximum(wanted, 2))


def _label_ids(n: int, labels: NDArray[Any] | None) -> NDArray[Any]:
    if labels is None:
        return np.arange(n)
    ids = integers("labels", labels)
    if len(ids) != n:
        raise ValueError(f"labels has {len(ids)} entries; pass one id for each of the {n} labels.")
    return ids


def _kmeans(
    rows: FeatureRows, options: dict[str, Any], levels: list[_Level], *, n_jobs: int | None, verbose: int
) -> list[NDArray[np.int32]]:
    tasks = [_tasks_of(level) for level in levels]
    run, all_tasks = partial(_kmeans_task, rows, options), list(itertools.chain.from_iterable(tasks))
    clusters = iter(run_tasks(run, all_tasks, n_jobs=n_jobs, description="grouping labels", verbose=verbose))
    return [np.concatenate(list(itertools.islice(clusters, len(own)))) for own in tasks]


def _tasks_of(level: _Level) -> list[_Level]:
    """Cut a level into parts for one worker each; the pointers of a part count from its first item."""
    pointers = level.item_ptr
    n_tasks = min(TASKS, -(-int(pointers[-1]) // SMALL))
    cuts = np.unique(np.searchsorted(pointers, np.linspace(0, pointers[-1], n_tasks + 1)))
    return [
        _Level(
            level.items[pointers[a] : pointers[b]],
            pointers[a : b + 1] - pointers[a],
            level.arities[a:b],
            level.seeds[a:b],
        )
        for a, b in itertools.pairwise(cuts)
    ]


def _kmeans_task(rows: FeatureRows, options: dict[str, Any], task: _Level, stop: StopByte) -> Any:
    return kernels.split_nodes(
        rows,
        item_ptr=task.item_ptr,
        items=task.items,
        n_clusters=task.arities,
        seeds=task.seeds,
        stop=stop,
        **options,
    )


def _shuffle(level: _Level) -> NDArray[np.int32]:
    """Distribute the items of each node at random."""
    random = np.random.default_rng(level.seeds)
    items, pointers, arities = level.items, level.item_ptr, level.arities
    node = np.repeat(np.arange(len(arities)), np.diff(pointers))
    order = np.lexsort((random.random(len(items)), node))
    position = np.arange(len(items)) - pointers[:-1][node]
    clusters = np.empty(len(items), np.int32)
    clusters[order] = position % arities[node]
    return clusters
