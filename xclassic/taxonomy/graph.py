"""Concepts that may lie below several others, as in a thesaurus: a directed graph without cycles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from xclassic.label_tree.tree import LabelTree
from xclassic.taxonomy.levels import LabelLevels
from xclassic.validation.labels import label_array

SHOWN = 10  # Concepts of a cycle that a message names.


class ConceptGraph(LabelLevels):
    """Concepts with any number of parents each, some of which are the labels.

    A thesaurus puts "fish farming" below both "fisheries" and "animal husbandry". Such a graph has levels as a
    `LabelHierarchy` has them, but a label may have several nodes on a level, and counts once in each: sums over the
    nodes of a level may exceed the sum over the labels.

    The level of a concept is the number of steps on its *longest* way to the top, so that all its parents lie above it.
    A label that lies above a level is carried down: it is a node of its own there.

    Parameters
    ----------
    parents : mapping of str to iterable of str
        For each concept its parents; none for a concept at the top.
    labels : sequence of str, optional
        The concepts that are labels, in the order of label ids; by default all, in their order.

    Attributes
    ----------
    concepts : ndarray of str, shape (n_concepts,)
        All concepts, in the order of `parents`.
    labels : ndarray of str, shape (n_labels,)
        The concepts that are labels.
    levels : tuple of str
        "L0", "L1" and so on, to the level of the deepest label.
    depths : ndarray of int32, shape (n_concepts,)
        Number of the level of each concept.

    Raises
    ------
    ValueError
        If there is no concept, a parent or a label is no concept, a label is named twice, or there is a cycle, which
        the message names.
    TypeError
        If concepts are not strings, or the parents of a concept are one string.

    See Also
    --------
    LabelHierarchy : Where each label has one path from the top.
    Vocabulary : Reads concepts from files, and makes such a graph of them.

    Notes
    -----
    Memory: 12 bytes for each pair of a label and a concept at or above it, once levels are used; 7,000 concepts of
    EuroVoc have 18,000 such pairs.

    Examples
    --------
    >>> from xclassic import ConceptGraph, TopK
    >>> graph = ConceptGraph({"fisheries": [], "husbandry": [], "cows": ["husbandry"],
    ...                       "fish farming": ["fisheries", "husbandry"]}, labels=["cows", "fish farming"])
    >>> graph
    ConceptGraph(2 labels, 4 concepts; L0: 2, L1: 2)
    >>> graph.ancestors(1)
    ('fisheries', 'husbandry')
    >>> top = TopK.from_dense([[0.25, 0.5]], k=2)
    >>> graph.expand(top, "L0", how="sum").named(graph.nodes("L0"))
    [[('husbandry', 0.75), ('fisheries', 0.5)]]
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, parents: Mapping[str, Iterable[str]], labels: Sequence[str] | None = None) -> None:
        if not parents:
            raise ValueError("parents is empty; a graph needs at least one concept.")
        above = {concept: _listed(concept, names) for concept, names in parents.items()}
        if not all(isinstance(name, str) for concept, names in above.items() for name in (concept, *names)):
            raise TypeError("parents holds something that is not a string; concepts are strings.")
        self.concepts = label_array(list(above))
        self._number = {concept: i for i, concept in enumerate(above)}
        unknown = [(name, concept) for concept, names in above.items() for name in names if name not in self._number]
        if unknown:
            raise ValueError(
                f"{len(unknown)} parents are no concepts (first: {unknown[0][0]!r}, of {unknown[0][1]!r}). Add them to "
                "the mapping, with an empty list if they are at the top, or take them out."
            )
        sizes = [len(names) for names in above.values()]
        places = [
            self._number[name] for names in above.values() for name in sorted(names, key=self._number.__getitem__)
        ]
        self._parents = csr_array(
            (np.ones(len(places), np.float32), np.array(places, np.int32), np.cumsum([0, *sizes])),
            shape=(len(above), len(above)),
        )
        self.depths = self._longest_ways()
        self._label_ids = np.arange(len(above)) if labels is None else self._numbers(labels)
        self.labels = self.concepts[self._label_ids]
        self.levels = tuple(f"L{level}" for level in range(int(self.depths[self._label_ids].max()) + 1))

    @classmethod
    def from_edges(cls, edges: Iterable[tuple[str, str | None]], labels: Sequence[str] | None = None) -> ConceptGraph:
        """Build the graph of pairs of concepts.

        Parameters
        ----------
        edges : iterable of (child, parent)
            A concept without a parent, or with the parent None, is at the top. A pair may come twice.
        labels : sequence of str, optional
            The concepts that are labels, in the order of label ids; by default all, in the order in which they are
            first named.

        Returns
        -------
        ConceptGraph

        Raises
        ------
        ValueError, TypeError
            As by the constructor.

        See Also
        --------
        LabelTree.from_edges : Where each concept has one parent.

        Examples
        --------
        >>> graph = ConceptGraph.from_edges([("tea", "drinks"), ("tea", "plants")], labels=["tea"])
        >>> graph.ancestors(0)
        ('drinks', 'plants')
        """
        above: dict[str, list[str]] = {}
        for child, parent in edges:
            parents = above.setdefault(child, [])
            if parent is not None:
                above.setdefault(parent, [])
                parents.append(parent)
        return cls(above, labels)

    def aligned(self, classes: ArrayLike) -> ConceptGraph:
        """Return the graph of an estimator's classes: label ids are positions in its ``classes_``.

        Parameters
        ----------
        classes : array-like of str, shape (n_classes,)
            Concepts.

        Returns
        -------
        ConceptGraph
            The same concepts, of which the classes are the labels.

        Raises
        ------
        ValueError
            If a class is no concept.

        Examples
        --------
        >>> graph = ConceptGraph({"tea": ["drinks"], "coffee": ["drinks"], "drinks": []})
        >>> graph.aligned(["coffee", "tea"]).labels.tolist()
        ['coffee', 'tea']
        """
        wanted = np.asarray(classes)
        if wanted.ndim != 1 or wanted.dtype.kind not in "OU":
            raise ValueError(
                f"classes has shape {wanted.shape} and dtype {wanted.dtype}; pass concepts. After a fit on a matrix "
                "label ids are its columns: make the graph with labels= in their order."
            )
        return ConceptGraph(self._above(), wanted.tolist())

    # Labels and nodes

    def parents(self, concept: str) -> tuple[str, ...]:
        """Return the concepts right above a concept.

        Parameters
        ----------
        concept : str
            Any concept, a label or not.

        Returns
        -------
        tuple of str
            In the order of `concepts`; empty at the top.

        Raises
        ------
        ValueError
            If there is no such concept.

        Examples
        --------
        >>> ConceptGraph({"tea": ["drinks"], "drinks": []}).parents("tea")
        ('drinks',)
        """
        return self._names(self._row(self._numbers([concept])[0]))

    def ancestors(self, label: int) -> tuple[str, ...]:
        """Return the concepts above a label, each once.

        Parameters
        ----------
        label : int
            Its id.

        Returns
        -------
        tuple of str
            Concepts from the top level down, on a level in the order of `concepts`; without the label itself.

        Raises
        ------
        ValueError
            If there is no such label.

        Examples
        --------
        >>> parents = {"food": [], "plants": [], "drinks": ["food"], "tea": ["plants", "drinks"]}
        >>> ConceptGraph(parents, labels=["tea"]).ancestors(0)
        ('food', 'plants', 'drinks')
        """
        own = self._label_ids[self._check_label(label)]
        found = np.setdiff1d(self._reached[[label]].indices, own)
        return self._names(found[np.lexsort([found, self.depths[found]])])

    def nodes(self, level: str | int) -> NDArray[np.str_]:
        """Return the concepts of a level.

        Parameters
        ----------
        level : str or int
            Name of the level, or its number from 0 at the top.

        Returns
        -------
        ndarray of str, shape (n_nodes,)
            Sorted concepts that are at or above a label. They include labels that lie above the level and are carried
            down.

        Raises
        ------
        ValueError
            If there is no such level.
        """
        return self._levels[self._level_number(level)][0]

    def membership(self, level: str | int) -> csr_array:
        """Return which labels are at or below each node of a level.

        Parameters
        ----------
        level : str or int
            Name of the level, or its number from 0 at the top.

        Returns
        -------
        csr_array of float32, shape (n_labels, n_nodes)
            At least one entry for each label, all ones.

        Raises
        ------
        ValueError
            If there is no such level.

        Examples
        --------
        >>> graph = ConceptGraph({"a": [], "b": [], "c": ["a", "b"], "d": ["b"]}, labels=["c", "d"])
        >>> graph.membership("L0").toarray().astype(int)
        array([[1, 1],
               [0, 1]])
        """
        return self._levels[self._level_number(level)][1]

    @cached_property
    def tree(self) -> LabelTree:
        """A tree for tree methods, ``XRLinear(tree=graph.tree)``: each concept keeps one of its parents.

        It is the parent with the shortest way to the top; of several, the one with the most labels below it in the
        graph, each counted once; of several still, the one that comes first as text. Concepts that are no longer above
        a label are left out.
        """
        n = self.concepts.size
        shortest, below = self._shortest_ways(), self._reached.sum(axis=0)
        place = np.argsort(np.argsort(self.concepts))
        child = np.repeat(np.arange(n), np.diff(self._parents.indptr))
        parent = self._parents.indices
        order = np.lexsort([place[parent], -below[parent], shortest[parent], child])
        children, first = np.unique(child[order], return_index=True)
        kept = dict(zip(children.tolist(), parent[order[first]].tolist(), strict=True))
        names = self.concepts.tolist()
        edges = [(name, names[kept[i]] if i in kept else None) for i, name in enumerate(names)]
        return LabelTree.from_edges(edges, labels=self.labels.tolist())

    @cached_property
    def _reached(self) -> csr_array:
        """Ones where a concept is at or above a label, shape (n_labels, n_concepts)."""
        n = self._label_ids.size
        frontier = csr_array((np.ones(n, np.float32), self._label_ids, np.arange(n + 1)), shape=(n, self.concepts.size))
        reached = frontier
        while frontier.nnz:
            frontier = _of_ones(csr_array(frontier @ self._parents))
            reached = _of_ones(csr_array(reached + frontier))
        return reached

    @cached_property
    def _levels(self) -> list[tuple[NDArray[np.str_], csr_array]]:
        """The nodes of each level, and the nodes of each label on it."""
        n = self._label_ids.size
        rows = np.repeat(np.arange(n), np.diff(self._reached.indptr))
        concepts = self._reached.indices
        depths, is_itself = self.depths[concepts], concepts == self._label_ids[rows]
        found = []
        for level in range(len(self.levels)):
            here = (depths == level) | (is_itself & (depths < level))
            names, ids = np.unique(self.concepts[concepts[here]], return_inverse=True)
            ones = np.ones(ids.size, np.float32)
            found.append((names, csr_array((ones, (rows[here], ids)), shape=(n, names.size))))
        return found

    # Ways to the top

    def _longest_ways(self) -> NDArray[np.int32]:
        """Return the steps on the longest way of each concept to the top; raise an error if there is a cycle."""
        children = csr_array(self._parents.T)
        missing = np.diff(self._parents.indptr)  # Parents whose depth is not known yet.
        depths = np.full(self.concepts.size, -1, np.int32)
        layer, depth = np.flatnonzero(missing == 0), 0
        while layer.size:
            depths[layer] = depth
            below = children[layer].indices
            np.subtract.at(missing, below, 1)
            layer, depth = np.unique(below[missing[below] == 0]), depth + 1
        if (depths < 0).any():
            raise self._cycle_error(depths)
        return depths

    def _shortest_ways(self) -> NDArray[np.int64]:
        """Return the steps on the shortest way of each concept to the top."""
        steps = np.zeros(self.concepts.size, np.int64)
        by_depth = np.argsort(self.depths, kind="stable")
        for concept in by_depth[np.searchsorted(self.depths[by_depth], 1) :].tolist():
            steps[concept] = 1 + steps[self._row(concept)].min()
        return steps

    def _cycle_error(self, depths: NDArray[np.int32]) -> ValueError:
        """Return the error that names a cycle; concepts of depth -1 are on one, or below one."""
        node, place = int(np.argmin(depths)), dict[int, int]()
        while node not in place:
            place[node] = len(place)
            above = self._row(node)
            node = int(above[depths[above] < 0][0])
        cycle = [*list(place)[place[node] :], node]
        names = [repr(str(self.concepts[i])) for i in cycle]
        shown = names if len(names) <= SHOWN else [*names[:SHOWN], "...", names[-1]]
        return ValueError(
            f"The concepts have a cycle of {len(cycle) - 1}, from child to parent: {' -> '.join(shown)}; take one of "
            "these steps out."
        )

    # Names and numbers

    def _row(self, concept: int) -> NDArray[np.int32]:
        return self._parents.indices[self._parents.indptr[concept] : self._parents.indptr[concept + 1]]

    def _names(self, concepts: NDArray[np.integer]) -> tuple[str, ...]:
        return tuple(self.concepts[concepts].tolist())

    def _numbers(self, labels: Sequence[Hashable]) -> NDArray[np.int64]:
        missing = [label for label in labels if label not in self._number]
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(labels)} labels are no concepts (first: {missing[:3]}); concepts are such as "
                f"{str(self.concepts[0])!r}. Add them, with their parents."
            )
        if len(set(labels)) < len(labels):
            twice = Counter(labels).most_common(1)[0][0]
            raise ValueError(f"labels names {twice!r} twice; a label has one id.")
        if not len(labels):
            raise ValueError("labels is empty; a graph needs at least one label.")
        return np.array([self._number[label] for label in labels])  # type: ignore[index]

    def _above(self) -> dict[str, tuple[str, ...]]:
        return {concept: self._names(self._row(i)) for i, concept in enumerate(self.concepts.tolist())}

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ConceptGraph):
            return NotImplemented
        return self._above() == other._above() and self.labels.tolist() == other.labels.tolist()

    def __repr__(self) -> str:
        sizes = ", ".join(f"{level}: {self.nodes(level).size}" for level in self.levels)
        return f"ConceptGraph({self.labels.size} labels, {self.concepts.size} concepts; {sizes})"


def _listed(concept: str, names: Iterable[str]) -> list[str]:
    """Return different parents."""
    if isinstance(names, str):
        raise TypeError(f"The parents of {concept!r} are {names!r}; pass a list of names, [name] for one.")
    return list(dict.fromkeys(names))


def _of_ones(matrix: csr_array) -> csr_array:
    """Return the matrix with ones in place of its values, and sorted indices."""
    matrix.data[:] = 1
    matrix.sort_indices()
    return matrix
