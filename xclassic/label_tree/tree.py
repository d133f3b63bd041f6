"""The label tree: how the labels of a problem are grouped, as plain arrays in level order."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from xclassic.model_io import Arrays, ModelFileError, load_model, save_model


class LabelTree:
    """A tree whose leaves are labels, as plain arrays in level order.

    Node 0 is the root, the nodes of a level follow those of the level above, and the children of a node stand
    together. Every label is a leaf of its own: what the papers call a leaf of many labels is an inner node whose
    children are all labels. Leaves may lie at any depth, and a tree may hold only some of the labels.

    Parameters
    ----------
    child_ptr : ndarray of int64, shape (n_nodes + 1,)
        The children of node i are nodes ``child_ptr[i]`` to ``child_ptr[i + 1] - 1``.
    label : ndarray of int32, shape (n_nodes,)
        Label id of each leaf; -1 for inner nodes.
    n_labels : int
        Size of the label space; ids are below it.
    names : array-like of str, shape (n_nodes,), optional
        Names of the nodes, as of a catalogue.

    Raises
    ------
    ValueError
        If the arrays are no such tree.

    Examples
    --------
    >>> from xclassic import LabelTree
    >>> tree = LabelTree.from_codes([(0, 0), (0, 1), (1,)])
    >>> tree
    LabelTree(3 labels, 2 inner nodes, depth 2)
    >>> tree.decode((0, 1))
    1
    """

    def __init__(
        self, child_ptr: ArrayLike, label: ArrayLike, n_labels: int, names: Sequence[str] | NDArray[Any] | None = None
    ) -> None:
        self.child_ptr: NDArray[np.int64] = np.ascontiguousarray(child_ptr, np.int64)
        self.label: NDArray[np.int32] = np.ascontiguousarray(label, np.int32)
        self.n_labels = int(n_labels)
        self.names = None if names is None else np.asarray(names, np.str_)
        self._check()

    def _check(self) -> None:
        n = len(self.label)
        children = np.diff(self.child_ptr)
        if len(self.child_ptr) != n + 1 or n < 2 or self.child_ptr[0] != 1 or self.child_ptr[-1] != n:
            raise ValueError(
                f"child_ptr has {len(self.child_ptr)} entries for {n} nodes; a tree in level order has one more than "
                f"there are nodes, from 1 to the number of nodes."
            )
        if (children < 0).any() or (self.child_ptr[:-1] <= np.arange(n))[children > 0].any():
            raise ValueError("child_ptr must rise, and children come after their node.")
        if ((children == 0) != (self.label >= 0)).any():
            node = int(np.flatnonzero((children == 0) != (self.label >= 0))[0])
            raise ValueError(
                f"Node {node} has {children[node]} children and label {self.label[node]}; leaves have a label id, "
                f"inner nodes -1."
            )
        ids = self.label[self.label >= 0]
        if ids.max() >= self.n_labels:
            raise ValueError(f"The tree holds label id {ids.max()}, but there are {self.n_labels} labels.")
        unique, counts = np.unique(ids, return_counts=True)
        if len(unique) < len(ids):
            raise ValueError(f"Label id {unique[counts > 1][0]} stands at {counts.max()} leaves; one is allowed.")
        if self.names is not None and self.names.shape != (n,):
            raise ValueError(f"There are {self.names.size} names for {n} nodes.")

    # Shape

    @property
    def n_nodes(self) -> int:
        """Number of nodes, leaves included."""
        return len(self.label)

    @cached_property
    def parent(self) -> NDArray[np.int64]:
        """Parent of each node, -1 for the root."""
        return np.concatenate([[-1], np.repeat(np.arange(self.n_nodes), np.diff(self.child_ptr))])

    @cached_property
    def level_ptr(self) -> NDArray[np.int64]:
        """First node of each level, and the number of nodes."""
        bounds = [0, 1]
        while bounds[-1] < self.n_nodes:
            bounds.append(int(self.child_ptr[bounds[-1]]))
        return np.array(bounds)

    @property
    def depth(self) -> int:
        """Edges on the longest path."""
        return len(self.level_ptr) - 2

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """Ids of the labels in the tree, rising."""
        return np.sort(self.label[self.label >= 0])

    @cached_property
    def inner(self) -> NDArray[np.int64]:
        """Inner nodes, rising."""
        return np.flatnonzero(self.label < 0)

    def __repr__(self) -> str:
        return f"LabelTree({len(self.labels)} labels, {len(self.inner)} inner nodes, depth {self.depth})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, LabelTree)
            and self.n_labels == other.n_labels
            and np.array_equal(self.child_ptr, other.child_ptr)
            and np.array_equal(self.label, other.label)
            and np.array_equal(
                np.zeros(0) if self.names is None else self.names, np.zeros(0) if other.names is None else other.names
            )
        )

    __hash__ = None  # type: ignore[assignment]

    # Builders

    @classmethod
    def from_parents(
        cls,
        parents: ArrayLike,
        labels: ArrayLike | None = None,
        names: Sequence[str] | NDArray[Any] | None = None,
        n_labels: int | None = None,
    ) -> LabelTree:
        """Build a tree from the parent of each node.

        Parameters
        ----------
        parents : array-like of int, shape (n,)
            Number of the parent, -1 for a root. Several roots get a new one above them. Nodes may stand in any order;
            siblings keep theirs.
        labels : array-like of int, shape (n,), optional
            Label id of each node, -1 for none. By default the nodes without children are labels 0, 1, 2, ... An inner
            node that is itself a label gets an additional first child, the label.
        names : sequence of str, shape (n,), optional
        n_labels : int, optional
            Size of the label space; by default one more than the largest label id.

        Returns
        -------
        LabelTree

        Raises
        ------
        ValueError
            If a parent does not exist, there is a cycle, a leaf has no label, or a label stands twice.

        Notes
        -----
        Cost: a few sorts of the nodes.
        """
        parent = np.asarray(parents, np.int64)
        n = len(parent)
        if n == 0:
            raise ValueError("A tree needs at least one label.")
        if ((parent < -1) | (parent >= n)).any():
            node = int(np.flatnonzero((parent < -1) | (parent >= n))[0])
            raise ValueError(f"Node {node} has parent {parent[node]}; there are nodes 0 to {n - 1}, and -1 for a root.")
        is_inner = np.zeros(n, np.bool_)
        is_inner[parent[parent >= 0]] = True
        if labels is None:
            label = np.full(n, -1, np.int64)
            label[~is_inner] = np.arange((~is_inner).sum())
        else:
            label = np.array(labels, np.int64)
        if len(label) != n:
            raise ValueError(f"There are {len(label)} labels for {n} nodes; give each node a label id or -1.")
        if (~is_inner & (label < 0)).any():
            node = int(np.flatnonzero(~is_inner & (label < 0))[0])
            raise ValueError(f"Node {node} has neither children nor a label; drop it or give it a label id.")
        own = np.asarray(names, np.str_) if names is not None else None
        both = np.flatnonzero(is_inner & (label >= 0))  # get a leaf of their own, before their other children
        roots = np.flatnonzero(parent < 0)
        if not len(roots):
            raise ValueError(f"No node is a root; {_cycle(parent, 0)}")
        parent = np.concatenate([parent, both])
        rank = np.concatenate([np.arange(n), np.full(len(both), -1)])
        label = np.concatenate([label, label[both]])
        label[both] = -1
        own = None if own is None else np.concatenate([own, own[both]])
        if len(roots) > 1 or not is_inner[roots[0]]:
            parent[roots] = len(parent)
            parent, rank, label = np.append(parent, -1), np.append(rank, n), np.append(label, -1)
            own = None if own is None else np.append(own, "")
        order = _level_order(parent, rank)
        position = np.empty(len(parent), np.int64)
        position[order] = np.arange(len(order))
        n_children = np.bincount(position[parent[parent >= 0]], minlength=len(parent))
        size = int(label.max()) + 1 if n_labels is None else n_labels
        child_ptr = np.concatenate([[1], 1 + np.cumsum(n_children)])
        return cls(child_ptr, label[order], size, None if own is None else own[order])

    @classmethod
    def from_edges(
        cls, edges: Iterable[tuple[str, str]], labels: Sequence[str] | NDArray[Any] | None = None
    ) -> LabelTree:
        """Build a tree from (child, parent) pairs of names, as a catalogue lists them.

        Parameters
        ----------
        edges : iterable of (str, str)
        labels : sequence of str, optional
            The labels in the order of their ids, as in ``classes_``. Branches without any of them are left out. By
            default the names without children, sorted.

        Returns
        -------
        LabelTree
            With the names of its nodes.

        Raises
        ------
        ValueError
            If a name has two parents, is its own ancestor, or a label is missing.
        """
        above: dict[str, str] = {}
        for child, over in edges:
            if above.setdefault(child, over) != over:
                raise ValueError(
                    f"{child!r} has two parents, {above[child]!r} and {over!r}; choose one, or name the second place "
                    f"differently."
                )
        order = {name: number for number, name in enumerate(dict.fromkeys([*above, *above.values()]))}
        all_names = list(order)
        parent = np.array([order[above[name]] if name in above else -1 for name in all_names])
        if labels is None:
            inner = set(above.values())
            labels = sorted(name for name in all_names if name not in inner)
        missing = [name for name in labels if name not in order]
        if missing:
            raise ValueError(f"{len(missing)} labels are not in the hierarchy, the first is {missing[0]!r}; add edges.")
        label = np.full(len(all_names), -1)
        label[[order[name] for name in labels]] = np.arange(len(labels))
        kept = _with_ancestors(parent, np.flatnonzero(label >= 0))
        number = np.full(len(all_names) + 1, -1)
        number[np.flatnonzero(kept)] = np.arange(kept.sum())
        return cls.from_parents(number[parent[kept]], label[kept], np.asarray(all_names)[kept], len(labels))

    @classmethod
    def from_codes(cls, codes: Any, n_labels: int | None = None) -> LabelTree:
        """Build a tree from the code of each label.

        Parameters
        ----------
        codes : sequence of sequences of int, or ndarray of int, shape (n, length)
            Non-negative numbers, of an array those before the first -1; position i holds the code of label i, and an
            empty code leaves the label out.
        n_labels : int, optional
            Size of the label space; the number of codes by default.

        Returns
        -------
        LabelTree
            Children are in the order of their numbers.

        Raises
        ------
        ValueError
            If two labels have the same code, or one code begins another.
        """
        table = _padded(codes)
        labels = np.flatnonzero(table[:, 0] >= 0) if table.size else np.zeros(0, np.int64)
        table = table[labels]
        order = np.lexsort(table.T[::-1])
        table, labels = table[order], labels[order]
        lengths = (table >= 0).sum(axis=1)
        if len(table) == 0:
            raise ValueError("There is no code.")
        same = table[1:] == table[:-1]
        shared = np.where(same.all(axis=1), table.shape[1], np.argmin(same, axis=1))
        clash = np.flatnonzero(shared >= lengths[:-1])  # sorted, a prefix stands right before a code that it begins
        if len(clash):
            first, second = labels[clash[0]], labels[clash[0] + 1]
            raise ValueError(
                f"The code of label {first} begins or equals that of label {second}; codes must be prefix-free. Append "
                f"a last number to the shorter one."
            )
        parents, node_labels = [np.array([-1])], [np.array([-1])]
        node = np.zeros(len(table), np.int64)
        n_nodes = 1
        shared = np.concatenate([[-1], shared])
        for depth in range(table.shape[1]):
            alive = np.flatnonzero(lengths > depth)
            # Codes that share depth + 1 numbers with the one before them go through its node.
            new = np.ones(len(table), np.bool_)
            new[1:] = shared[1:] <= depth
            new = new[alive]
            numbers = n_nodes + np.cumsum(new) - 1
            parents.append(node[alive][new])
            ends = lengths[alive] == depth + 1
            node_labels.append(np.where(ends, labels[alive], -1)[new])
            node[alive] = numbers
            n_nodes += int(new.sum())
        size = len(_padded(codes)) if n_labels is None else n_labels
        return cls.from_parents(np.concatenate(parents), np.concatenate(node_labels), n_labels=size)

    @classmethod
    def from_linkage(cls, Z: ArrayLike, labels: ArrayLike | None = None, n_labels: int | None = None) -> LabelTree:
        """Build the binary tree of a linkage matrix of scipy.

        Parameters
        ----------
        Z : array-like, shape (m - 1, 4)
            Row i merges the clusters of its first two entries to cluster ``m + i``.
        labels : array-like of int, shape (m,), optional
            Label ids of the observations; 0 to m - 1 by default.
        n_labels : int, optional

        Returns
        -------
        LabelTree
        """
        merges = np.asarray(Z)[:, :2].astype(np.int64)
        m = len(merges) + 1
        parents = np.full(2 * m - 1, -1)
        parents[merges.ravel()] = np.repeat(m + np.arange(m - 1), 2)
        ids = np.full(2 * m - 1, -1)
        ids[:m] = np.arange(m) if labels is None else labels
        return cls.from_parents(parents, ids, n_labels=n_labels)

    @classmethod
    def flat(cls, labels: ArrayLike, n_labels: int | None = None) -> LabelTree:
        """Return the tree whose root has all `labels` as its children: one-vs-rest.

        Parameters
        ----------
        labels : array-like of int
        n_labels : int, optional

        Returns
        -------
        LabelTree
        """
        ids = np.asarray(labels, np.int64)
        return cls.from_parents(np.append(np.full(len(ids), len(ids)), -1), np.append(ids, -1), n_labels=n_labels)

    # Labels and nodes

    def node_targets(self, Y: csr_array) -> csr_array:
        """Return which nodes each row reaches.

        Parameters
        ----------
        Y : csr_array, shape (n_rows, n_labels)
            Labels that are not in the tree are ignored.

        Returns
        -------
        csr_array of float32, shape (n_rows, n_nodes)
            One where a label of the row lies at or under the node.
        """
        paths = self.paths()[Y.indices]
        row = np.broadcast_to(np.repeat(np.arange(Y.shape[0]), np.diff(Y.indptr))[:, None], paths.shape)
        used = paths >= 0
        targets = csr_array(
            (np.ones(int(used.sum()), np.float32), (row[used], paths[used])), shape=(Y.shape[0], self.n_nodes)
        )
        targets.sum_duplicates()
        targets.data[:] = 1
        return targets

    def paths(self) -> NDArray[np.int64]:
        """Return the nodes from the root to each label.

        Returns
        -------
        ndarray of int64, shape (n_labels, depth + 1)
            Padded with -1; rows of -1 for labels that are not in the tree.
        """
        return self._paths

    @cached_property
    def _paths(self) -> NDArray[np.int64]:
        paths = np.full((self.n_labels, self.depth + 1), -1)
        depth_of = np.repeat(np.arange(self.depth + 1), np.diff(self.level_ptr))
        node = np.flatnonzero(self.label >= 0)
        label, depth = self.label[node], depth_of[node]
        while len(node):
            paths[label, depth] = node
            up = depth > 0
            node, label, depth = self.parent[node[up]], label[up], depth[up] - 1
        return paths

    def codes(self) -> NDArray[np.int32]:
        """Return the code of each label: at each node of its path, which child comes next.

        Returns
        -------
        ndarray of int32, shape (n_labels, depth)
            Padded with -1. No code begins another.
        """
        paths = self.paths()[:, 1:]
        return np.where(paths < 0, -1, paths - self.child_ptr[self.parent[paths]]).astype(np.int32)

    def encode(self, label: int) -> tuple[int, ...]:
        """Return the code of a label.

        Parameters
        ----------
        label : int

        Returns
        -------
        tuple of int
        """
        if not 0 <= label < self.n_labels or self.paths()[label, 0] < 0:
            raise ValueError(f"Label {label} is not in the tree.")
        path = self.paths()[label]
        path = path[path >= 0]
        return tuple(int(child - self.child_ptr[node]) for node, child in itertools.pairwise(path))

    def decode(self, code: Sequence[int]) -> int:
        """Return the label of a code.

        Parameters
        ----------
        code : sequence of int

        Returns
        -------
        int
        """
        node = 0
        for step in code:
            if not 0 <= step < self.child_ptr[node + 1] - self.child_ptr[node]:
                raise ValueError(f"No label has the code {tuple(code)}.")
            node = int(self.child_ptr[node] + step)
        if self.label[node] < 0:
            raise ValueError(f"No label has the code {tuple(code)}; it ends at an inner node.")
        return int(self.label[node])

    # Persistence

    def arrays(self) -> Arrays:
        """Return what the tree consists of."""
        arrays: Arrays = {"child_ptr": self.child_ptr, "label": self.label}
        return arrays if self.names is None else {**arrays, "names": self.names}

    @classmethod
    def from_arrays(cls, arrays: Arrays, n_labels: int) -> LabelTree:
        """Take over stored arrays.

        Parameters
        ----------
        arrays : dict of ndarray
        n_labels : int

        Returns
        -------
        LabelTree

        Raises
        ------
        ModelFileError
            If they are no tree.
        """
        for name, dtype in (("child_ptr", np.int64), ("label", np.int32)):
            found = arrays.get(name)
            if found is None or found.ndim != 1 or found.dtype != dtype:
                raise ModelFileError(f"Array {name} of a label tree is missing or of the wrong kind.")
        try:
            return cls(arrays["child_ptr"], arrays["label"], n_labels, arrays.get("names"))
        except (ValueError, IndexError) as error:
            raise ModelFileError(f"A label tree of the model is damaged: {error}") from error

    def save(self, path: str | PathLike[str]) -> None:
        """Write the tree to a folder.

        Parameters
        ----------
        path : str or path
        """
        save_model(path, {"class": "LabelTree", "n_labels": self.n_labels}, self.arrays())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> LabelTree:
        """Read a folder that ``save`` wrote.

        Parameters
        ----------
        path : str or path

        Returns
        -------
        LabelTree

        Raises
        ------
        ModelFileError
            If there is no tree, or it is damaged.
        """
        header, arrays = load_model(path, mmap=False, verify="full")
        if header.get("class") != "LabelTree" or type(header.get("n_labels")) is not int:
            raise ModelFileError(f"{path} holds no label tree but a {header.get('class')!r}.")
        return cls.from_arrays(arrays, header["n_labels"])


def _level_order(parent: NDArray[np.int64], rank: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the nodes level by level, siblings together and by rank."""
    by_parent = np.lexsort((rank, parent))
    n_children = np.bincount(parent[parent >= 0], minlength=len(parent))
    first = np.searchsorted(parent[by_parent], np.arange(len(parent)))
    level = by_parent[:1]  # the root, whose parent is -1
    levels = [level]
    while len(level):
        counts = n_children[level]
        start = np.repeat(first[level] - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts)
        level = by_parent[start + np.arange(counts.sum())]
        levels.append(level)
    order = np.concatenate(levels)
    if len(order) < len(parent):
        unreached = np.setdiff1d(np.arange(len(parent)), order)
        raise ValueError(f"The parents of some nodes run in a circle; {_cycle(parent, int(unreached[0]))}")
    return order


def _cycle(parent: NDArray[np.int64], node: int) -> str:
    """Describe a cycle that the ancestors of a node run into."""
    seen: list[int] = []
    while node not in seen:
        seen.append(node)
        node = int(parent[node])
    return "one is " + " -> ".join(map(str, [*seen[seen.index(node) :], node])) + "."


def _with_ancestors(parent: NDArray[np.int64], nodes: NDArray[Any]) -> NDArray[np.bool_]:
    kept = np.zeros(len(parent), np.bool_)
    while len(nodes):
        kept[nodes] = True
        nodes = np.unique(parent[nodes])
        nodes = nodes[nodes >= 0]
        nodes = nodes[~kept[nodes]]
    return kept


def _padded(codes: Any) -> NDArray[np.int64]:
    """Return codes as an array padded with -1."""
    if isinstance(codes, np.ndarray):
        table = codes.astype(np.int64)
        ended = np.cumsum(table < 0, axis=1) > 0
        return np.where(ended, -1, table)
    lengths = np.array([len(code) for code in codes])
    table = np.full((len(codes), max(1, int(lengths.max(initial=0)))), -1)
    flat = [number for code in codes for number in code]
    if any(number < 0 for number in flat):
        raise ValueError("Codes are made of numbers from 0 up.")
    table[np.arange(table.shape[1]) < lengths[:, None]] = flat
    return table
