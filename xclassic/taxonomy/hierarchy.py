"""Labels and the groups above them, as in a catalog: category, sub-category, type."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from xclassic.label_tree.tree import LabelTree
from xclassic.metrics.groups import one_group_each
from xclassic.taxonomy.levels import LabelLevels
from xclassic.validation.labels import label_array
from xclassic.validation.records import NA, Names, Path, check_name, check_names, ended, paths_of, read_names

SEP = " > "


class LabelHierarchy(LabelLevels):
    """The path of each label from the top level of a catalog down to the label itself.

    A node is identified by its whole path: "Shorts" under "Women" and "Shorts" under "Men" are two nodes. A label is
    mostly a leaf, but a path may end early, even where others go on: a catalog with ``("Clothing", "Women")`` may know
    only ``("Clothing",)`` of some product. On the levels below its end such a label is carried down: it is a node of
    its own there, under its own text. So every label has exactly one node on every level, and the scores of a level
    have the same sum as the scores of the labels.

    Most hierarchies are made by `from_paths` or `from_table`.

    Parameters
    ----------
    paths : iterable of sequences of str
        The names on the way to each label, with its own name last. All paths differ and have at most one name per
        level.
    levels : sequence of str
        Names of the levels, from the top.
    sep : str, default=" > "
        Separator of the names where a path is written as text.

    Attributes
    ----------
    paths : tuple of tuples of str
        As given, in the order of label ids.
    levels : tuple of str
        As given.
    sep : str
        As given.
    labels : ndarray of str, shape (n_labels,)
        The paths as text, which is how estimators know the labels.

    Raises
    ------
    ValueError
        If there is no path or no level, a path is empty, repeated or longer than there are levels, or a name contains
        `sep`.
    TypeError
        If names are not strings.

    See Also
    --------
    ConceptGraph : Where labels have several parents, as in a thesaurus.
    LabelTree : The structure alone, which tree methods take as ``tree=``; `tree` makes one.

    Notes
    -----
    Memory: the paths, and for each level, once it has been used, its nodes as text and 4 bytes per label.

    Examples
    --------
    >>> import numpy as np
    >>> from xclassic import TopK
    >>> from xclassic import LabelHierarchy
    >>> hierarchy = LabelHierarchy.from_paths(["Food > Tea", "Food > Rice", "Home > Lamps"])
    >>> hierarchy
    LabelHierarchy(3 labels; L0: 2, L1: 3)
    >>> top = TopK.from_dense([[0.3, 0.3, 0.4]], k=3)
    >>> hierarchy.expand(top, "L0", how="sum").named(hierarchy.nodes("L0"))[0][0][0]
    'Food'
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, paths: Iterable[Sequence[str]], levels: Sequence[str], sep: str = SEP) -> None:
        if not isinstance(sep, str) or not sep:
            raise ValueError(f"sep is {sep!r}; it must be text that no name contains, such as {SEP!r}.")
        self.levels = check_names("levels", levels)
        if not self.levels:
            raise ValueError("levels is empty; a hierarchy has at least one level.")
        self.paths = tuple(tuple(path) for path in paths)
        self.sep = sep
        if not self.paths:
            raise ValueError("There is no path; a hierarchy needs at least one label.")
        seen: dict[Path, int] = {}
        for label, path in enumerate(self.paths):
            self._check_path(path)
            if seen.setdefault(path, label) != label:
                raise ValueError(
                    f"Labels {seen[path]} and {label} both have the path {sep.join(path)!r}; a label has a path of its "
                    "own. from_table takes repeated rows."
                )
        self.labels = label_array([sep.join(path) for path in self.paths])

    def _check_path(self, path: Path) -> None:
        if not all(isinstance(name, str) for name in path):
            raise TypeError(f"The path {path!r} holds something that is not a string; names are strings.")
        if not 0 < len(path) <= len(self.levels) or "" in path:
            raise ValueError(
                f"The path {path!r} has {len(path)} names; it may have 1 to {len(self.levels)}, one per level from the "
                "top, and none of them empty."
            )
        if tuple(self.sep.join(path).split(self.sep)) != path:
            raise ValueError(
                f"The path {path!r} cannot be written with {self.sep!r} between its names, since one of them contains "
                "it; change that name, or choose another sep where there is one."
            )

    # Builders

    @classmethod
    def from_paths(
        cls,
        paths: Iterable[str | Sequence[Any]],
        levels: Sequence[str] | None = None,
        *,
        sep: str = SEP,
        na: Sequence[str] = NA,
    ) -> LabelHierarchy:
        """Build the hierarchy of one path per label.

        Parameters
        ----------
        paths : iterable of str, or of sequences of str
            For each label, in the order of label ids, its names from the top level down, or one text that is split at
            `sep`.
        levels : sequence of str, optional
            Names of the levels; by default "L0", "L1" and so on, one for each name of the longest path.
        sep : str, default=" > "
            Separator of the names where a path is written as text.
        na : sequence of str, default=("na", "NA", "n/a", "N/A")
            Names that stand for a missing one. They end a path, as do None, NaN and "".

        Returns
        -------
        LabelHierarchy

        Raises
        ------
        ValueError
            If a path is empty, has a gap (a name below a missing one) or is repeated.
        TypeError
            If a path is neither text nor a sequence, or a name is not a string.

        Examples
        --------
        >>> LabelHierarchy.from_paths([["Food", "Tea"], ["Food", "Rice"]]).labels.tolist()
        ['Food > Tea', 'Food > Rice']
        """
        check_names("na", na)
        rows: list[tuple[str | None, ...]] = []
        for label, path in enumerate(paths):
            if not isinstance(path, (str, list, tuple, np.ndarray)):
                raise TypeError(f"paths[{label}] is {path!r}; pass text, or a list of names from the top level down.")
            parts = path.split(sep) if isinstance(path, str) else path
            rows.append(tuple(check_name(part, na, f"paths[{label}]") for part in parts))
        depth = max(map(len, rows), default=0)
        levels = [f"L{i}" for i in range(max(depth, 1))] if levels is None else levels
        shown = [*levels, *(f"level {i}" for i in range(len(levels), depth))]
        return cls([ended(row, shown, f"paths[{label}]") for label, row in enumerate(rows)], levels, sep)

    @classmethod
    def from_table(
        cls, table: Any, levels: Sequence[str], *, unique: bool = False, sep: str = SEP, na: Sequence[str] = NA
    ) -> LabelHierarchy:
        """Build the hierarchy of the rows of a table.

        Parameters
        ----------
        table : DataFrame, list of dicts, or dict of columns
            One row per product or per label. Rows may repeat; rows that are missing on all levels do not name a label.
        levels : sequence of str
            The columns, from the top level down to the label.
        unique : bool, default=False
            Whether a name identifies a node. False: its path does, so a name may occur under several parents. True: its
            name within its level does, so a second parent is a contradiction and an error.
        sep : str, default=" > "
            Separator of the names where a path is written as text.
        na : sequence of str, default=("na", "NA", "n/a", "N/A")
            Names that stand for a missing one. They end a path, as do None, NaN and "".

        Returns
        -------
        LabelHierarchy
            Its labels are the distinct paths, sorted by their text, as in ``classes_`` of an estimator whose classes
            are these texts.

        Raises
        ------
        ValueError
            If no row names a label, a row has a gap (a name below a missing one), or, if `unique`, a name lies under
            two parents; the message names the first ones with their rows.
        TypeError
            If a name is not a string.

        Notes
        -----
        Cost: Python loops over the rows, which take some seconds for 1,000,000.

        Examples
        --------
        >>> products = [{"group": "Food", "type": "Tea"}, {"group": "Food", "type": "na"}]
        >>> LabelHierarchy.from_table(products, ["group", "type"]).paths
        (('Food',), ('Food', 'Tea'))
        """
        check_names("na", na)
        paths = paths_of(read_names(table, check_names("levels", levels), na))
        if unique:
            _refuse_contradictions(paths, levels, sep)
        return cls(sorted({path for path in paths if path}, key=sep.join), levels, sep)

    def aligned(self, classes: ArrayLike) -> LabelHierarchy:
        """Return the hierarchy of an estimator's classes: label ids are positions in its ``classes_``.

        Parameters
        ----------
        classes : array-like of str, shape (n_classes,)
            Texts of paths, as in `labels`; or last names of paths, if each ends only one path. Labels that are not
            among the classes are left out.

        Returns
        -------
        LabelHierarchy

        Raises
        ------
        ValueError
            If a class has no path, or a last name has several.

        Examples
        --------
        >>> hierarchy = LabelHierarchy.from_paths(["Food > Tea", "Food > Rice"])
        >>> hierarchy.aligned(["Rice", "Tea"]).labels.tolist()
        ['Food > Rice', 'Food > Tea']
        """
        wanted = np.asarray(classes)
        if wanted.ndim != 1 or wanted.dtype.kind not in "OU":
            raise ValueError(
                f"classes has shape {wanted.shape} and dtype {wanted.dtype}; pass the texts of paths. After a fit on a "
                "matrix label ids are its columns: make the hierarchy by from_paths in their order."
            )
        known = dict(zip(self.labels.tolist(), self.paths, strict=True))
        found = wanted.tolist()
        if not all(name in known for name in found):
            known = self._by_last_name(found)
        return LabelHierarchy([known[name] for name in found], self.levels, self.sep)

    def _by_last_name(self, wanted: list[str]) -> dict[str, Path]:
        ending: dict[str, list[Path]] = {}
        for path in self.paths:
            ending.setdefault(path[-1], []).append(path)
        missing = [name for name in wanted if name not in ending]
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(wanted)} classes have no path (first: {missing[:3]}); classes are texts such "
                f"as {str(self.labels[0])!r}, or last names such as {self.paths[0][-1]!r}. Add their paths."
            )
        for name in wanted:
            if len(ending[name]) > 1:
                shown = " and ".join(repr(self.sep.join(path)) for path in ending[name][:2])
                raise ValueError(f"The class {name!r} ends several paths, {shown}; use the texts of paths as classes.")
        return {name: ending[name][0] for name in wanted}

    # Labels and nodes

    def path(self, label: int) -> Path:
        """Return the names on the way to a label.

        Parameters
        ----------
        label : int
            Its id.

        Returns
        -------
        tuple of str
            Names from the top level down, with the label's own name last.

        Raises
        ------
        ValueError
            If there is no such label.
        """
        return self.paths[self._check_label(label)]

    def ancestors(self, label: int) -> tuple[str, ...]:
        """Return the nodes above a label, as text.

        Parameters
        ----------
        label : int
            Its id.

        Returns
        -------
        tuple of str
            Nodes from the top level down, without the label itself; empty for a label of the top level.

        Raises
        ------
        ValueError
            If there is no such label.

        Examples
        --------
        >>> LabelHierarchy.from_paths(["Food > Drinks > Tea"]).ancestors(0)
        ('Food', 'Food > Drinks')
        """
        path = self.path(label)
        return tuple(self.sep.join(path[:end]) for end in range(1, len(path)))

    def nodes(self, level: str | int) -> NDArray[np.str_]:
        """Return the nodes of a level, as text.

        Parameters
        ----------
        level : str or int
            Name of the level, or its number from 0 at the top.

        Returns
        -------
        ndarray of str, shape (n_nodes,)
            Sorted nodes. They include labels that end above the level and are carried down.

        Raises
        ------
        ValueError
            If there is no such level.
        """
        return self._nodes[self._level_number(level)][0]

    def node_ids(self, level: str | int) -> NDArray[np.int32]:
        """Return the node of each label on a level.

        Parameters
        ----------
        level : str or int
            Name of the level, or its number from 0 at the top.

        Returns
        -------
        ndarray of int32, shape (n_labels,)
            Positions in ``nodes(level)``.

        Raises
        ------
        ValueError
            If there is no such level.

        Examples
        --------
        >>> LabelHierarchy.from_paths(["Home > Lamps", "Food > Tea", "Food > Rice"]).node_ids("L0")
        array([1, 0, 0], dtype=int32)
        """
        return self._nodes[self._level_number(level)][1]

    def membership(self, level: str | int) -> csr_array:
        """Return which labels are at or below each node of a level.

        Parameters
        ----------
        level : str or int
            Name of the level, or its number from 0 at the top.

        Returns
        -------
        csr_array of float32, shape (n_labels, n_nodes)
            One entry for each label, a one, at its node.

        Raises
        ------
        ValueError
            If there is no such level.

        Examples
        --------
        >>> hierarchy = LabelHierarchy.from_paths(["Home > Lamps", "Food > Tea", "Food > Rice"])
        >>> hierarchy.membership("L0").toarray().astype(int)
        array([[0, 1],
               [1, 0],
               [1, 0]])
        """
        return one_group_each(self.node_ids(level), self.nodes(level).size)

    def parents(self, level: str | int) -> NDArray[np.int32]:
        """Return the parent of each node of a level.

        Parameters
        ----------
        level : str or int
            Name of the level, or its number from 1 for the one below the top.

        Returns
        -------
        ndarray of int32, shape (n_nodes,)
            Positions in the nodes of the level above. The parent of a label that is carried down is the label itself.

        Raises
        ------
        ValueError
            If there is no such level, or it is the top.
        """
        number = self._level_number(level)
        if number == 0:
            raise ValueError(f"Level {self.levels[0]!r} is the top; its nodes have no parents.")
        nodes, ids = self._nodes[number]
        above = np.empty(nodes.size, np.int32)
        above[ids] = self._nodes[number - 1][1]
        return above

    @cached_property
    def _nodes(self) -> list[tuple[NDArray[np.str_], NDArray[np.int32]]]:
        """The nodes of each level, and the node of each label on it."""
        found = []
        for end in range(1, len(self.levels) + 1):
            texts = label_array([self.sep.join(path[:end]) for path in self.paths])
            nodes, ids = np.unique(texts, return_inverse=True)
            found.append((nodes, ids.astype(np.int32)))
        return found

    @cached_property
    def tree(self) -> LabelTree:
        """The hierarchy for tree methods, ``XRLinear(tree=hierarchy.tree)``; nodes have their last names."""
        number: dict[Path, int] = {}
        for path in self.paths:
            for end in range(1, len(path) + 1):
                number.setdefault(path[:end], len(number))
        parents = [number.get(node[:-1], -1) for node in number]
        labels = np.full(len(number), -1)
        labels[[number[path] for path in self.paths]] = np.arange(len(self.paths))
        return LabelTree.from_parents(parents, labels=labels, names=[node[-1] for node in number])

    # Tables

    def targets(self, table: Any, *, na: Sequence[str] = NA) -> csr_array:
        """Return the label of each row of a table, for ``fit`` and for metrics.

        Parameters
        ----------
        table : DataFrame, list of dicts, or dict of columns
            A table with a column for each level.
        na : sequence of str, default=("na", "NA", "n/a", "N/A")
            Names that stand for a missing one, in addition to None, NaN and "".

        Returns
        -------
        csr_array of float32, shape (n_rows, n_labels)
            Canonical matrix of ones. Rows whose path is not a label of the hierarchy, or is missing on all levels, are
            empty: metrics count them as wrong.

        Raises
        ------
        ValueError
            If a column is missing, or a row has a gap (a name below a missing one).
        TypeError
            If a name is not a string.
        """
        check_names("na", na)
        number = {path: label for label, path in enumerate(self.paths)}
        ids = np.array([number.get(path, -1) for path in paths_of(read_names(table, self.levels, na))], np.int32)
        known = ids >= 0
        indptr = np.concatenate([[0], np.cumsum(known)])
        return csr_array((np.ones(indptr[-1], np.float32), ids[known], indptr), shape=(ids.size, len(self.paths)))

    def to_table(self) -> dict[str, Names]:
        """Return the paths as columns, the inverse of `from_table`.

        Returns
        -------
        dict of str to list
            For each level the name of every label, None below the end of its path. ``pandas.DataFrame`` takes it.

        Examples
        --------
        >>> LabelHierarchy.from_paths(["Food", "Food > Tea"]).to_table()
        {'L0': ['Food', 'Food'], 'L1': [None, 'Tea']}
        """
        return {
            level: [path[i] if i < len(path) else None for path in self.paths] for i, level in enumerate(self.levels)
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LabelHierarchy):
            return NotImplemented
        return (self.paths, self.levels, self.sep) == (other.paths, other.levels, other.sep)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{level}: {self.nodes(level).size}" for level in self.levels)
        return f"LabelHierarchy({len(self.paths)} labels; {sizes})"


def _refuse_contradictions(paths: Sequence[Path], levels: Sequence[str], sep: str) -> None:
    """Raise an error if a name of a level lies under two parents."""
    first: dict[tuple[int, str], tuple[Path, int]] = {}
    clashes: dict[tuple[int, str], str] = {}
    for row, path in enumerate(paths):
        for level in range(1, len(path)):
            node = (level, path[level])
            parent, before = first.setdefault(node, (path[:level], row))
            if parent != path[:level]:
                clashes.setdefault(
                    node,
                    f"{levels[level]} {path[level]!r} lies under both {sep.join(parent)!r} (row {before}) and "
                    f"{sep.join(path[:level])!r} (row {row})",
                )
    if clashes:
        shown = [clashes[node] for node in sorted(clashes, key=operator.itemgetter(0))[:3]]
        raise ValueError(
            f"Names with several parents ({len(clashes)}): {'; '.join(shown)}{'; ...' * (len(clashes) > 3)}. Correct "
            "the rows, or pass unique=False, which takes the same name under another parent for another node; a "
            "ConceptGraph holds one node with several parents."
        )
