"""The label tree: how the labels of a problem are grouped, as plain arrays in level order."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from xclassic.label_tree import building, drawing
from xclassic.label_tree.arrays import TreeArrays, frozen
from xclassic.validation.features import check_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LabelTree(TreeArrays):
    """A tree whose leaves are labels, as plain arrays in level order.

    Node 0 is the root, the nodes of a level follow those of the level above, and the children of a node are
    contiguous. Every label is a leaf of its own: what the papers call a leaf of many labels is an inner node whose
    children are all labels. Leaves may be at any depth, nodes may have any number of children, and a tree may hold
    only some of the labels. The root is always an inner node.

    Most trees are built by `from_parents`, `from_edges`, `from_codes`, `from_linkage` or `flat`.

    Parameters
    ----------
    child_ptr : array-like of int, shape (n_nodes + 1,)
        The children of node ``i`` are the nodes ``child_ptr[i]`` to ``child_ptr[i + 1] - 1``.
    label : array-like of int, shape (n_nodes,)
        Label id of each leaf; -1 for inner nodes.
    n_labels : int
        Size of the label space; ids are below it.
    names : array-like of str, shape (n_nodes,), optional
        Names of the nodes, for instance those of a catalog.

    Attributes
    ----------
    child_ptr : ndarray of int64, shape (n_nodes + 1,)
        As given, read-only like all arrays below.
    label : ndarray of int32, shape (n_nodes,)
        As given.
    n_labels : int
        Size of the label space.
    names : ndarray of str, shape (n_nodes,), or None
        As given.
    n_nodes : int
        Number of nodes, leaves included.
    depth : int
        Edges on the longest path from the root to a leaf.
    level_ptr : ndarray of int64, shape (depth + 2,)
        The nodes of level ``t`` are ``level_ptr[t]`` to ``level_ptr[t + 1] - 1``.
    parent : ndarray of int64, shape (n_nodes,)
        Parent of each node, -1 for the root.
    inner : ndarray of int64, shape (n_inner,)
        The inner nodes, ascending.
    labels : ndarray of int32, shape (n_leaves,)
        The label ids in the tree, ascending.
    leaves : ndarray of int64, shape (n_labels,)
        The leaf of each label id, -1 for labels that are not in the tree.

    Raises
    ------
    ValueError
        If the arrays are not such a tree.

    Notes
    -----
    Memory: 12 bytes a node, and up to 32 more once all attributes have been used; 50 MB for 1,000,000 labels in
    100,000 groups.

    Examples
    --------
    >>> from xclassic import LabelTree
    >>> tree = LabelTree.from_codes([(0, 0), (0, 1), (1,)])
    >>> tree
    LabelTree(3 labels, 2 inner nodes, depth 2)
    >>> print(tree.draw(label_names=["apple", "pear", "chair"]))
    3 labels: chair, apple, pear
    ├── 2 labels: apple, pear
    │   ├── apple
    │   └── pear
    └── chair
    """

    # Builders

    @classmethod
    def from_parents(
        cls,
        parents: ArrayLike,
        labels: ArrayLike | None = None,
        names: ArrayLike | None = None,
        n_labels: int | None = None,
    ) -> LabelTree:
        """Build a tree from the parent of each node.

        Parameters
        ----------
        parents : array-like of int, shape (n,)
            Number of the parent, -1 for a root. Several roots get a new root above them, and so does a root that is
            only a label. Nodes may be in any order; siblings keep theirs.
        labels : array-like of int, shape (n,), optional
            Label id of each node, -1 for a node that is not a label. By default the nodes without children are labels
            0, 1, 2, ... in their order. An inner node that is itself a label gets an additional first child, the leaf
            of that label.
        names : array-like of str, shape (n,), optional
            Names of the nodes; a new root is called ``""``, an additional leaf like its parent.
        n_labels : int, optional
            Size of the label space; by default one more than the largest label id.

        Returns
        -------
        LabelTree

        Raises
        ------
        ValueError
            If a parent does not exist, the nodes have a cycle, a node has neither children nor a label, a label is at
            two nodes, or sizes do not fit.

        Notes
        -----
        Cost: a few sorts of the nodes, and some 30 microseconds per level; half a second for 1,000,000 labels, with
        100 bytes a node meanwhile.

        Examples
        --------
        >>> tree = LabelTree.from_parents([-1, 0, 0, 1, 1], labels=[-1, 3, 0, 1, 2])
        >>> [tree.encode(label) for label in range(4)]
        [(1,), (0, 1), (0, 2), (0, 0)]
        """
        return cls._grown(building.read_hierarchy(parents, labels, names), n_labels)

    @classmethod
    def from_edges(
        cls,
        edges: Iterable[tuple[Hashable, Hashable]],
        labels: Sequence[Hashable] | NDArray[Any] | None = None,
    ) -> LabelTree:
        """Build a tree from pairs of names, as a catalog lists them.

        Parameters
        ----------
        edges : iterable of (child, parent)
            Names, of any hashable type. A name without a parent, or with the parent None, is at the top. A pair may
            come twice.
            Siblings keep the order in which they are first named as a child.
        labels : sequence, optional
            The names that are labels, in the order of their ids, as in ``classes_``. They may be inner nodes, as in
            `from_parents`. Branches without labels are left out. By default the names without children, sorted as text.

        Returns
        -------
        LabelTree
            The names of its nodes are kept, as text.

        Raises
        ------
        ValueError
            If a name has two parents, the edges have a cycle, or a label is named twice or is missing from the
            hierarchy.

        See Also
        --------
        ConceptGraph.from_edges : For names with several parents; the `tree` of a graph chooses one by a stated rule.

        Notes
        -----
        Cost: loops of Python over the edges; some seconds for 1,000,000 names, with 250 bytes a name meanwhile.

        Examples
        --------
        >>> edges = [("apple", "fruit"), ("pear", "fruit"), ("chair", "furniture")]
        >>> tree = LabelTree.from_edges(edges, labels=["apple", "chair", "pear"])
        >>> tree
        LabelTree(3 labels, 3 inner nodes, depth 2)
        >>> tree.names.tolist()
        ['', 'fruit', 'furniture', 'apple', 'pear', 'chair']
        """
        return cls._grown(building.read_edges(edges, labels), None)

    @classmethod
    def from_codes(cls, codes: Iterable[Sequence[int]] | NDArray[Any], n_labels: int | None = None) -> LabelTree:
        """Build the prefix tree of the codes of labels.

        Parameters
        ----------
        codes : iterable of sequences of int, or array of int, shape (n, length)
            The code of each label: at each node of its path, which child comes next. Numbers are at least 0; -1
            pads a row after the end of its code. An empty code leaves the label out of the tree.
        n_labels : int, optional
            Size of the label space; the number of codes by default.

        Returns
        -------
        LabelTree
            Siblings are in the order of their numbers. Numbers that no code uses are closed up: with codes (1,), (3,)
            `codes` returns (0,), (1,).

        Raises
        ------
        ValueError
            If two labels have the same code, one code begins another, or all are empty.

        Notes
        -----
        Cost: one sort of the codes and some passes over them; for 1,000,000 labels with 6 numbers each about a second,
        with 30 bytes a number meanwhile. Codes that are not an array also cost a loop of Python over their numbers.

        Examples
        --------
        >>> LabelTree.from_codes([(0, 0), (0, 1), (1,)]).codes()
        array([[ 0,  0],
               [ 0,  1],
               [ 1, -1]], dtype=int32)
        """
        table = building.read_codes(codes)
        child_ptr, labels, names = building.in_code_order(table)
        return cls(child_ptr, labels, len(table) if n_labels is None else n_labels, names)

    @classmethod
    def from_linkage(cls, Z: ArrayLike, labels: ArrayLike | None = None, n_labels: int | None = None) -> LabelTree:
        """Build the binary tree of an agglomerative clustering.

        Parameters
        ----------
        Z : array-like, shape (m - 1, 4)
            A linkage matrix as returned by ``scipy.cluster.hierarchy.linkage``: row ``i`` merges the clusters of its
            first two columns to cluster ``m + i``. The other columns are not read.
        labels : array-like of int, shape (m,), optional
            Label ids of the observations; 0 to ``m - 1`` by default.
        n_labels : int, optional
            Size of the label space; by default one more than the largest label id.

        Returns
        -------
        LabelTree
            Of two children, the one with the smaller cluster number is first, as in scipy's matrices.

        Raises
        ------
        ValueError
            If `Z` is not a linkage matrix, or the labels do not fit it.

        Notes
        -----
        Cost: as for `from_parents`. Single linkage makes trees that are nearly as deep as there are labels, for which
        `paths` and `codes` are tables of up to m² entries.

        Examples
        --------
        >>> from scipy.cluster.hierarchy import linkage
        >>> tree = LabelTree.from_linkage(linkage([[0.0], [5.0], [1.0], [7.0]]))
        >>> [tree.encode(label) for label in range(4)]
        [(0, 0), (1, 0), (0, 1), (1, 1)]
        """
        return cls._grown(building.read_linkage(Z, labels), n_labels)

    @classmethod
    def flat(cls, labels: ArrayLike, n_labels: int | None = None) -> LabelTree:
        """Build the tree whose root has all labels as its children.

        Parameters
        ----------
        labels : array-like of int, shape (m,)
            Label ids; the children of the root in this order.
        n_labels : int, optional
            Size of the label space; by default one more than the largest label id.

        Returns
        -------
        LabelTree
            Its depth is 1, which makes any tree method one-vs-rest.

        Raises
        ------
        ValueError
            If the list is empty, or a label comes twice.

        Examples
        --------
        >>> LabelTree.flat([0, 1, 2])
        LabelTree(3 labels, 1 inner nodes, depth 1)
        """
        ids = building.integers("labels", labels)
        n = len(ids)
        child_ptr = np.concatenate([[1], np.full(n + 1, n + 1)])
        size = max(int(ids.max()) + 1, 1) if n_labels is None else n_labels
        return cls(child_ptr, np.concatenate([[-1], ids]), size)

    @classmethod
    def _grown(cls, hierarchy: building.Hierarchy, n_labels: int | None) -> LabelTree:
        size = int(hierarchy.labels.max()) + 1 if n_labels is None else n_labels
        child_ptr, labels, names = building.in_level_order(hierarchy)
        return cls(child_ptr, labels, size, names)

    # Labels and nodes

    def node_targets(self, Y: Any) -> csr_array:
        """Return the nodes that the labels of each row reach.

        Parameters
        ----------
        Y : sparse or dense matrix, shape (n_rows, n_labels)
            A nonzero entry is a label of the row. Labels that are not in the tree are ignored.

        Returns
        -------
        csr_array of float32, shape (n_rows, n_nodes)
            Canonical, of ones where a label of the row is at or under the node.

        Raises
        ------
        ValueError, TypeError
            If the number of columns of `Y` is not the number of labels, or `Y` is no matrix of finite numbers.

        Notes
        -----
        Cost: time and memory of one entry per label of `Y` and level, and of the table of `paths`.

        Examples
        --------
        >>> tree = LabelTree.from_codes([(0, 0), (0, 1), (1,)])
        >>> tree.node_targets([[1, 1, 0], [0, 0, 1]]).toarray().astype(int)
        array([[1, 1, 0, 1, 1],
               [1, 0, 1, 0, 0]])
        """
        truth = csr_array(check_rows(Y, "Y", self.n_labels), copy=True)
        truth.eliminate_zeros()
        paths = self.paths()
        used = paths >= 0
        indptr = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
        nodes = paths[used]
        reach = csr_array((np.ones(nodes.size, np.float32), nodes, indptr), shape=(self.n_labels, self.n_nodes))
        ones = csr_array((np.ones(truth.nnz, np.float32), truth.indices, truth.indptr), shape=truth.shape)
        targets = csr_array(ones @ reach)
        targets.sort_indices()
        targets.data[:] = 1
        return targets

    def paths(self) -> NDArray[np.int64]:
        """Return the nodes from the root to each label.

        Returns
        -------
        ndarray of int64, shape (n_labels, depth + 1)
            Padded with -1; rows of -1 for labels that are not in the tree. Read-only, and computed once.

        Notes
        -----
        Memory: 8 bytes an entry, 56 MB for 1,000,000 labels at depth 6; twice that while it is built.

        Examples
        --------
        >>> LabelTree.from_codes([(0, 0), (0, 1), (1,)]).paths()
        array([[ 0,  1,  3],
               [ 0,  1,  4],
               [ 0,  2, -1]])
        """
        return self._paths

    @cached_property
    def _paths(self) -> NDArray[np.int64]:
        paths = np.full((self.n_labels, self.depth + 1), -1)
        level_of = np.repeat(np.arange(self.depth + 1), np.diff(self.level_ptr))
        labels = self.labels
        node = self.leaves[labels]
        level = level_of[node]
        while node.size:
            paths[labels, level] = node
            below = level > 0
            node, labels, level = self.parent[node[below]], labels[below], level[below] - 1
        return frozen(paths)

    def codes(self) -> NDArray[np.int32]:
        """Return the code of each label: at each node of its path, which child comes next.

        Codes are unique, and no code begins another. `from_codes` rebuilds the tree from them, without its names.

        Returns
        -------
        ndarray of int32, shape (n_labels, depth)
            Counted from 0 and padded with -1; rows of -1 for labels that are not in the tree.

        Notes
        -----
        Memory: as for `paths`, and 4 bytes an entry.

        Examples
        --------
        >>> LabelTree.from_parents([-1, 0, 0, 1, 1]).codes()
        array([[ 1, -1],
               [ 0,  0],
               [ 0,  1]], dtype=int32)
        """
        paths = self.paths()
        codes = np.empty((self.n_labels, self.depth), np.int32)
        for level in range(self.depth):
            above, node = paths[:, level], paths[:, level + 1]
            codes[:, level] = np.where(node >= 0, node - self.child_ptr[above], -1)
        return codes

    def encode(self, label: int) -> tuple[int, ...]:
        """Return the code of a label.

        Parameters
        ----------
        label : int
            Label id.

        Returns
        -------
        tuple of int
            At each node of the path, which child comes next, from 0.

        Raises
        ------
        ValueError
            If the label is not in the tree.

        Examples
        --------
        >>> LabelTree.from_codes([(0, 0), (0, 1), (1,)]).encode(1)
        (0, 1)
        """
        if not 0 <= label < self.n_labels or self.leaves[label] < 0:
            raise ValueError(f"Label {label} is not in the tree; labels lists the ids that are.")
        node, code = int(self.leaves[label]), []
        while node > 0:
            above = int(self.parent[node])
            code.append(node - int(self.child_ptr[above]))
            node = above
        return tuple(reversed(code))

    def decode(self, code: Iterable[int]) -> int:
        """Return the label of a code.

        Parameters
        ----------
        code : iterable of int
            At each node of the path, which child comes next, from 0; -1 ends a code early, as in the rows of `codes`.

        Returns
        -------
        int
            The label id.

        Raises
        ------
        ValueError
            If no label has this code.

        Examples
        --------
        >>> LabelTree.from_codes([(0, 0), (0, 1), (1,)]).decode((0, 1))
        1
        """
        steps = [int(step) for step in code]
        shown = tuple(steps)
        while steps and steps[-1] == -1:
            steps.pop()
        node = 0
        for place, step in enumerate(steps):
            first, last = self.child_ptr[node : node + 2]
            if not 0 <= step < last - first:
                raise ValueError(
                    f"No label has the code {shown}: at position {place} there are {last - first} children."
                )
            node = int(first) + step
        if self.label[node] < 0:
            raise ValueError(f"No label has the code {shown}: it ends at an inner node.")
        return int(self.label[node])

    # Drawing

    def draw(
        self, label_names: Sequence[Any] | NDArray[Any] | None = None, max_depth: int = 3, max_children: int = 8
    ) -> str:
        """Return a drawing of the top levels in text.

        Parameters
        ----------
        label_names : sequence, shape (n_labels,), optional
            Names of the labels by id, such as ``classes_``; by default the names of the leaves, else the ids.
        max_depth : int, default=3
            Levels shown below the root.
        max_children : int, default=8
            Children shown of each node; the remaining ones are counted.

        Returns
        -------
        str
            Lines without a newline at the end. An inner node without a name shows its first three labels, the nearest
            first.

        Raises
        ------
        ValueError
            If the number of names is not the number of labels.

        Examples
        --------
        >>> tree = LabelTree.from_codes([(0, 0), (0, 1), (1,)])
        >>> print(tree.draw(max_depth=1))
        3 labels: 2, 0, 1
        ├── 2 labels: 0, 1
        └── 2
        """
        return drawing.as_text(drawing.outline(self, label_names, max_depth, max_children))

    def to_graphviz(
        self, label_names: Sequence[Any] | NDArray[Any] | None = None, max_depth: int = 3, max_children: int = 8
    ) -> str:
        """Return a drawing of the top levels in the language of Graphviz.

        Parameters
        ----------
        label_names : sequence, shape (n_labels,), optional
            As for `draw`.
        max_depth, max_children : int
            As for `draw`.

        Returns
        -------
        str
            A ``digraph``; ``dot -Tsvg`` makes a picture of it.

        Examples
        --------
        >>> print(LabelTree.flat([0, 1]).to_graphviz(label_names=["apple", "pear"]))
        digraph LabelTree {
          rankdir=LR;
          node [fontname="sans-serif", shape=box];
          n0 [label="2 labels: apple, pear", style=rounded];
          n1 [label="apple", style=solid];
          n0 -> n1;
          n2 [label="pear", style=solid];
          n0 -> n2;
        }
        """
        return drawing.as_graphviz(drawing.outline(self, label_names, max_depth, max_children))

    def plot(
        self,
        label_names: Sequence[Any] | NDArray[Any] | None = None,
        max_depth: int = 3,
        max_children: int = 8,
        ax: Axes | None = None,
    ) -> Axes:
        """Plot the top levels with matplotlib, which the extra ``report`` installs.

        Parameters
        ----------
        label_names : sequence, shape (n_labels,), optional
            As for `draw`.
        max_depth, max_children : int
            As for `draw`.
        ax : matplotlib.axes.Axes, optional
            Axes to plot in; by default those of a new figure that fits the tree.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ModuleNotFoundError
            If matplotlib is not installed.
        """
        return drawing.as_plot(drawing.outline(self, label_names, max_depth, max_children), ax)
