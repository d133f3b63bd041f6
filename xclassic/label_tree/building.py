"""Hierarchies, codes and linkage matrices, converted to the arrays of a label tree."""

from __future__ import annotations

import operator
from collections.abc import Hashable, Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Names = NDArray[np.str_]


class Hierarchy(NamedTuple):
    """Nodes in any order.

    Attributes
    ----------
    parents : ndarray of int64, shape (n,)
        Number of the parent, -1 for a root.
    labels : ndarray of int64, shape (n,)
        Label id of the node, -1 for a node that is not a label.
    names : ndarray of str, shape (n,), or None
    """

    parents: Ints
    labels: Ints
    names: Names | None

    def say(self, node: int) -> str:
        """Return the words for a node in messages."""
        return f"node {node}" + ("" if self.names is None else f" ({str(self.names[node])!r})")

    def is_inner(self) -> NDArray[np.bool_]:
        """Return the mask of nodes with children."""
        return np.bincount(self.parents + 1, minlength=len(self.parents) + 1)[1:] > 0


class LevelOrdered(NamedTuple):
    """The arrays of a `LabelTree`."""

    child_ptr: Ints
    labels: Ints
    names: Names | None


def integers(name: str, values: ArrayLike) -> Ints:
    """Return a flat array of integers.

    Raises
    ------
    ValueError
        If `values` is None, or empty.
    """
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0 or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} is an array of shape {array.shape} and dtype {array.dtype}; pass a flat list of integers that is "
            "not empty."
        )
    return array.astype(np.int64)


def find_twice(labels: NDArray[Any]) -> tuple[int, int] | None:
    """Return two positions that hold the same label other than -1; None if all differ. Cost: one sort."""
    order = np.argsort(labels, kind="stable")
    ordered = labels[order]
    twice = np.flatnonzero((ordered[1:] == ordered[:-1]) & (ordered[1:] >= 0))
    return (int(order[twice[0]]), int(order[twice[0] + 1])) if twice.size else None


# A hierarchy of numbered nodes


def read_hierarchy(parents: ArrayLike, labels: ArrayLike | None, names: ArrayLike | None) -> Hierarchy:
    """Check parents, label ids and names of nodes as passed by the user; ``from_parents`` describes them."""
    parent = integers("parents", parents)
    n = len(parent)
    unknown = np.flatnonzero((parent < -1) | (parent >= n))
    if unknown.size:
        node = unknown[0]
        raise ValueError(
            f"parents[{node}] is {parent[node]}, and no such node exists; use 0 to {n - 1}, or -1 for a root."
        )
    hierarchy = Hierarchy(parent, np.full(n, -1), None if names is None else np.asarray(names, np.str_))
    if hierarchy.names is not None and hierarchy.names.shape != (n,):
        raise ValueError(f"names has shape {hierarchy.names.shape}; pass one name for each of the {n} nodes.")
    if labels is None:
        leaves = np.flatnonzero(~hierarchy.is_inner())
        hierarchy.labels[leaves] = np.arange(len(leaves))
        return hierarchy
    hierarchy = hierarchy._replace(labels=integers("labels", labels))
    _check_labels(hierarchy)
    return hierarchy


def _check_labels(hierarchy: Hierarchy) -> None:
    labels = hierarchy.labels
    if len(labels) != len(hierarchy.parents):
        raise ValueError(f"labels has {len(labels)} entries for {len(hierarchy.parents)} nodes; use -1 for no label.")
    if labels.min() < -1:
        node = int(np.argmin(labels))
        raise ValueError(f"labels[{node}] is {labels[node]}; use a label id from 0, or -1 for no label.")
    if twice := find_twice(labels):
        first, second = (hierarchy.say(node) for node in twice)
        raise ValueError(f"Label {labels[twice[0]]} stands at {first} and at {second}; keep it at one of them.")


def in_level_order(hierarchy: Hierarchy) -> LevelOrdered:
    """Return the tree of a hierarchy: one root, and every label a leaf.

    Raises
    ------
    ValueError
        If a leaf has no label, or there is a cycle.
    """
    parents, labels, names = hierarchy
    is_inner = hierarchy.is_inner()
    bare = np.flatnonzero(~is_inner & (labels < 0))
    if bare.size:
        some = ", ".join(map(hierarchy.say, bare[:3].tolist()))
        raise ValueError(
            f"Nodes without children must be labels; {bare.size} are not (first: {some}). Give them label ids or leave "
            "them out; LabelTree.from_edges leaves out branches without labels."
        )
    # A label with children becomes a leaf below itself. These leaves come first, since siblings are ordered by number.
    own = np.flatnonzero(is_inner & (labels >= 0))
    parents = np.concatenate([own, parents])
    parents[parents >= 0] += len(own)
    labels = np.concatenate([labels[own], np.where(is_inner, -1, labels)])
    names = None if names is None else np.concatenate([names[own], names])
    roots = np.flatnonzero(parents < 0)
    if len(roots) != 1 or labels[roots[0]] >= 0:
        parents[roots] = len(parents)
        parents, labels = np.append(parents, -1), np.append(labels, -1)
        names = None if names is None else np.append(names, "")
    order = _breadth_first(parents)
    if len(order) < len(parents):
        raise _cycle_error(hierarchy)
    n_children = np.bincount(parents + 1, minlength=len(parents) + 1)[1:][order]
    return LevelOrdered(_child_ptr(n_children), labels[order], None if names is None else names[order])


def _child_ptr(n_children: Ints) -> Ints:
    return np.cumsum(np.concatenate([[1], n_children]))


def _breadth_first(parents: Ints) -> Ints:
    """Return the nodes below the roots level by level, siblings by number, without nodes on or under a cycle.

    Cost: one sort, and a few operations of numpy per level.
    """
    by_parent = np.argsort(parents, kind="stable")
    n_children = np.bincount(parents + 1, minlength=len(parents) + 1)
    first = np.cumsum(n_children)  # Where the children of each node begin in by_parent.
    n_children = n_children[1:]
    level = by_parent[: first[0]]
    levels = []
    while level.size:
        levels.append(level)
        counts = n_children[level]
        ends = np.cumsum(counts)
        level = by_parent[np.repeat(first[level] - ends + counts, counts) + np.arange(ends[-1])]
    return np.concatenate(levels) if levels else np.zeros(0, np.int64)


def _cycle_error(hierarchy: Hierarchy) -> ValueError:
    """Return the error that names a cycle of the hierarchy, which must have one."""
    above = hierarchy.parents.tolist()
    seen_from = [-1] * len(above)
    node = start = 0
    while True:
        while node >= 0 and seen_from[node] < 0:
            seen_from[node] = start
            node = above[node]
        if node >= 0 and seen_from[node] == start:
            break
        start += 1
        node = start
    cycle = [node]
    while above[cycle[-1]] != node:
        cycle.append(above[cycle[-1]])
    shown = [hierarchy.say(node) for node in cycle[:10]] + ["..."] * (len(cycle) > 10) + [hierarchy.say(node)]
    return ValueError(
        f"The hierarchy has a cycle of {len(cycle)} nodes, from child to parent: {' -> '.join(shown)}; take one of its "
        "edges out."
    )


# A hierarchy of names


def read_edges(
    edges: Iterable[tuple[Hashable, Hashable]], labels: Sequence[Hashable] | NDArray[Any] | None
) -> Hierarchy:
    """Return the nodes that are labels or lead to one; ``from_edges`` describes the parameters."""
    parent_of: dict[Hashable, Hashable] = {}
    for child, parent in edges:
        if parent_of.setdefault(child, parent) != parent:
            raise ValueError(
                f"{child!r} has two parents, {parent_of[child]!r} and {parent!r}; a tree has room for one. Take one of "
                "the edges out, give the second place a name of its own, or let ConceptGraph.from_edges(edges).tree "
                "choose, which keeps the parent with the shortest way to the top."
            )
    named = dict.fromkeys([*parent_of, *parent_of.values()])
    named.pop(None, None)
    number = {name: i for i, name in enumerate(named)}
    if not number:
        raise ValueError("edges holds no (child, parent) pair; a hierarchy needs at least one.")
    parents = np.array([number.get(parent_of.get(name), -1) for name in number])
    hierarchy = Hierarchy(parents, np.full(len(number), -1), np.array([str(name) for name in number]))
    if labels is None:
        inner = hierarchy.is_inner()
        labels = sorted((name for name, i in number.items() if not inner[i]), key=str)
    places = _places(labels.tolist() if isinstance(labels, np.ndarray) else labels, number)
    hierarchy.labels[places] = np.arange(len(places))
    if len(_breadth_first(parents)) < len(parents):  # The next step may leave a cycle out, so it is looked for here.
        raise _cycle_error(hierarchy)
    return _without_empty(hierarchy)


def _places(labels: Sequence[Hashable], number: dict[Hashable, int]) -> list[int]:
    """Return the node of each label."""
    missing = [label for label in labels if label not in number]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(labels)} labels are missing from the hierarchy (first: {missing[:3]}); add an "
            "edge from each to its parent, or the pair (label, None) to put it at the top."
        )
    if len(set(labels)) < len(labels):
        seen: set[Hashable] = set()
        twice = next(label for label in labels if label in seen or seen.add(label))  # type: ignore[func-returns-value]
        raise ValueError(f"labels names {twice!r} twice; a label has one id.")
    if not labels:
        raise ValueError("labels is empty; a tree needs at least one label.")
    return [number[label] for label in labels]


def _without_empty(hierarchy: Hierarchy) -> Hierarchy:
    """Return the nodes that are labels or lead to one."""
    parents, labels, names = hierarchy
    kept = labels >= 0
    above = parents[kept]
    while above.size:
        above = np.unique(above[above >= 0])
        above = above[~kept[above]]
        kept[above] = True
        above = parents[above]
    number = np.append(np.cumsum(kept) - 1, -1)  # The parent -1 reads the last entry.
    return Hierarchy(number[parents[kept]], labels[kept], None if names is None else names[kept])


# Linkage matrices


def read_linkage(Z: ArrayLike, labels: ArrayLike | None) -> Hierarchy:
    """Return the nodes of a linkage matrix; ``from_linkage`` describes the parameters."""
    table = np.asarray(Z)
    if table.ndim != 2 or table.shape[1] != 4 or table.dtype.kind not in "iuf":
        raise ValueError(f"Z has shape {table.shape} and dtype {table.dtype}; pass a linkage matrix of four columns.")
    n_merges = len(table)
    n = n_merges + 1
    merged = table[:, :2]
    made = n + np.arange(n_merges)
    bad = (merged != np.floor(merged)) | (merged < 0) | (merged >= made[:, None])
    if bad.any():
        row, side = (int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"Z[{row}, {side}] is {table[row, side]}; row {row} merges two of the clusters 0 to {n + row - 1}."
        )
    merged = merged.astype(np.int64)
    times = np.bincount(merged.ravel(), minlength=n + n_merges)
    if (times > 1).any():
        raise ValueError(f"Z merges cluster {np.argmax(times)} {times.max()} times; a cluster is merged once.")
    parents = np.full(n + n_merges, -1)
    parents[merged] = made[:, None]
    ids = np.arange(n) if labels is None else integers("labels", labels)
    if len(ids) != n:
        raise ValueError(f"labels has {len(ids)} entries; Z is a linkage of {n} labels.")
    hierarchy = Hierarchy(parents, np.concatenate([ids, np.full(n_merges, -1)]), None)
    _check_labels(hierarchy)
    return hierarchy


# Codes


def read_codes(codes: Iterable[Sequence[int]] | NDArray[Any]) -> Ints:
    """Return codes as an array of int64, shape (n_labels, length), with -1 after the end of each."""
    table = codes if isinstance(codes, np.ndarray) else _padded(list(codes))
    if table.ndim != 2 or table.dtype.kind not in "iu":
        raise ValueError(
            f"codes is an array of shape {table.shape} and dtype {table.dtype}; pass a row of integers for each label."
        )
    table = table.astype(np.int64)
    # A valid -1 is in the last column, or followed by -1 only.
    bad = (table < -1) | np.pad((table[:, :-1] < 0) & (table[:, 1:] >= 0), ((0, 0), (0, min(1, table.shape[1]))))
    if bad.any():
        label, place = (int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"The code of label {label} has {table[label, place]} at position {place}; use numbers from 0, and -1 only "
            "after the end of a code."
        )
    if not (table >= 0).any():
        raise ValueError("codes holds no code that is not empty; a tree needs at least one label.")
    return table


def _padded(codes: list[Sequence[int]]) -> Ints:
    try:
        lengths = np.fromiter(map(len, codes), np.int64, len(codes))
        numbers = np.fromiter(map(operator.index, chain.from_iterable(codes)), np.int64, lengths.sum())
    except TypeError as error:
        raise ValueError(f"codes must hold a sequence of integers for each label: {error}.") from error
    table = np.full((len(codes), lengths.max(initial=0)), -1)
    table[np.arange(table.shape[1]) < lengths[:, None]] = numbers
    return table


def in_code_order(table: Ints) -> LevelOrdered:
    """Return the prefix tree of codes.

    Raises
    ------
    ValueError
        If two labels have the same code, or one code begins another.

    Notes
    -----
    In lexicographic order the codes below a node are contiguous, so the nodes of a level are the places where a code
    differs from the one before it in one of the first numbers.
    """
    labels = np.flatnonzero((table >= 0).any(axis=1))
    labels = labels[np.lexsort(table[labels].T[::-1])]
    table = table[labels]
    lengths = (table >= 0).sum(axis=1)
    differs = table[1:] != table[:-1]
    shared = np.where(differs.any(axis=1), differs.argmax(axis=1), table.shape[1])
    # In this order a code that begins others is right before the first of them.
    clash = np.flatnonzero(shared >= lengths[:-1])
    if clash.size:
        first = clash[0]
        same = lengths[first] == lengths[first + 1]
        code = tuple(table[first, : lengths[first]].tolist())
        raise ValueError(
            f"Labels {labels[first]} and {labels[first + 1]} both have the code {code}; make them differ."
            if same
            else f"The code {code} of label {labels[first]} begins that of label {labels[first + 1]}, "
            f"{tuple(table[first + 1, : lengths[first + 1]].tolist())}; append a number to the shorter one."
        )
    shared = np.concatenate([[-1], shared])
    parents, ids = [np.array([0])], [np.array([-1])]
    node = np.zeros(len(table), np.int64)  # The node that each code has reached.
    n_nodes = 1
    for level in range(int(lengths.max())):
        new = (lengths > level) & (shared <= level)
        parents.append(node[new])
        ids.append(np.where(lengths[new] == level + 1, labels[new], -1))
        node = n_nodes - 1 + np.cumsum(new)  # Wrong for codes that have ended, but never read for them.
        n_nodes += len(parents[-1])
    n_children = np.bincount(np.concatenate(parents[1:]), minlength=n_nodes)
    return LevelOrdered(_child_ptr(n_children), np.concatenate(ids), None)
