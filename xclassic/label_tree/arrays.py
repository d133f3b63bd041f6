"""The arrays of a label tree, the arrays derived from them, and how they are stored."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xclassic._version import __version__
from xclassic.label_tree.building import find_twice, integers
from xclassic.storage.arrays import Table, stored_table
from xclassic.storage.folder import Arrays, ModelFileError, load_model, save_model
from xclassic.validation.features import INT32_MAX
from xclassic.validation.parameters import check_number

_TABLE: Table = {"label": (np.int32, "nodes"), "child_ptr": (np.int64, "nodes + 1")}
_NAMES: Table = {"names": ("U", "nodes")}


class TreeArrays:
    """The base of `LabelTree` that only holds the arrays; see there for the parameters."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, child_ptr: ArrayLike, label: ArrayLike, n_labels: int, names: ArrayLike | None = None) -> None:
        check_number("n_labels", n_labels, minimum=1, maximum=INT32_MAX, integer=True)
        ids = integers("label", label)
        if not -1 <= ids.min() <= ids.max() < n_labels:
            node = int(np.argmax((ids < -1) | (ids >= n_labels)))
            raise ValueError(f"Node {node} has label id {ids[node]}; use 0 to {n_labels - 1}, or -1 for an inner node.")
        self._set(
            integers("child_ptr", child_ptr),
            ids.astype(np.int32),
            int(n_labels),
            None if names is None else np.asarray(names, np.str_),
        )
        self.verify()

    def _set(
        self,
        child_ptr: NDArray[np.int64],
        label: NDArray[np.int32],
        n_labels: int,
        names: NDArray[np.str_] | None,
    ) -> None:
        self.child_ptr = frozen(child_ptr)
        self.label = frozen(label)
        self.n_labels = n_labels
        self.names = None if names is None else frozen(names)

    def verify(self) -> None:
        """Check that the arrays are a tree; only `from_arrays` can make one that has not been checked.

        Raises
        ------
        ValueError
            If they are not a tree.

        Notes
        -----
        Cost: some passes over the arrays and a sort of the labels; 0.1 s for 1,000,000 labels.
        """
        child_ptr, label, n_nodes = self.child_ptr, self.label, self.n_nodes
        if len(child_ptr) != n_nodes + 1 or child_ptr[0] != 1 or child_ptr[-1] != n_nodes:
            ends = f", from {child_ptr[0]} to {child_ptr[-1]}" if child_ptr.size else ""
            raise ValueError(
                f"child_ptr has {len(child_ptr)} entries{ends}; for {n_nodes} nodes it has {n_nodes + 1}, from 1 to "
                f"{n_nodes}."
            )
        n_children = np.diff(child_ptr)
        _refuse(
            (n_children < 0) | (child_ptr[:-1] <= np.arange(n_nodes)),
            lambda node: (
                f"child_ptr gives node {node} the children {child_ptr[node]} to {child_ptr[node + 1] - 1}; in level "
                "order children come after their parent, and after the children of the node before it."
            ),
        )
        _refuse(
            (label < -1) | (label >= self.n_labels),
            lambda node: f"Node {node} has label id {label[node]}, but there are {self.n_labels} labels.",
        )
        _refuse(
            ((n_children == 0) != (label >= 0)) | (n_children[0] == 0),
            lambda node: (
                f"Node {node} has {n_children[node]} children and label {label[node]}; a leaf has a label id, an inner "
                "node has -1, and the root is an inner node."
            ),
        )
        if twice := find_twice(label):
            raise ValueError(f"Label {label[twice[0]]} stands at nodes {twice[0]} and {twice[1]}; it has one leaf.")
        if self.names is not None and self.names.shape != (n_nodes,):
            raise ValueError(f"names has shape {self.names.shape}; pass one name for each of the {n_nodes} nodes.")

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.label)

    @property
    def depth(self) -> int:
        """Edges from the root to the deepest leaf."""
        return len(self.level_ptr) - 2

    @cached_property
    def level_ptr(self) -> NDArray[np.int64]:
        """The nodes of depth d are ``level_ptr[d]`` to ``level_ptr[d + 1] - 1``."""
        bounds = [0, 1]
        while bounds[-1] < self.n_nodes:
            bounds.append(int(self.child_ptr[bounds[-1]]))
        return frozen(np.array(bounds))

    @cached_property
    def parent(self) -> NDArray[np.int64]:
        """Parent of each node, -1 for the root."""
        return frozen(np.concatenate([[-1], np.repeat(np.arange(self.n_nodes), np.diff(self.child_ptr))]))

    @cached_property
    def inner(self) -> NDArray[np.int64]:
        """The inner nodes, ascending."""
        return frozen(np.flatnonzero(self.label < 0))

    @cached_property
    def labels(self) -> NDArray[np.int32]:
        """The labels in the tree, ascending."""
        return frozen(np.flatnonzero(self.leaves >= 0).astype(np.int32))

    @cached_property
    def leaves(self) -> NDArray[np.int64]:
        """The leaf of each label, -1 for labels that are not in the tree."""
        leaves = np.full(self.n_labels, -1)
        nodes = np.flatnonzero(self.label >= 0)
        leaves[self.label[nodes]] = nodes
        return frozen(leaves)

    def __repr__(self) -> str:
        n_inner = len(self.inner)
        return f"LabelTree({self.n_nodes - n_inner} labels, {n_inner} inner nodes, depth {self.depth})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TreeArrays):
            return NotImplemented
        mine, theirs = self.arrays(), other.arrays()
        return (
            self.n_labels == other.n_labels
            and mine.keys() == theirs.keys()
            and all(np.array_equal(mine[name], theirs[name]) for name in mine)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.child_ptr, self.label, self.n_labels, self.names)  # Everything else can be derived.

    # Persistence

    def arrays(self) -> Arrays:
        """Return the arrays that the tree consists of.

        Returns
        -------
        dict of str to ndarray
            ``child_ptr``, ``label`` and, if the nodes have names, ``names``.
        """
        arrays: Arrays = {"child_ptr": self.child_ptr, "label": self.label}
        return arrays if self.names is None else {**arrays, "names": self.names}

    @classmethod
    def from_arrays(cls, arrays: Arrays, n_labels: int, *, verify: bool = True) -> Self:
        """Take over stored arrays.

        Parameters
        ----------
        arrays : dict of str to ndarray
            As returned by `arrays`; others are ignored.
        n_labels : int
            Size of the label space.
        verify : bool, default=True
            Check the contents now. If False, only dtypes and lengths are checked, and `verify` must be called before
            the tree is used in any other way.

        Returns
        -------
        LabelTree

        Raises
        ------
        ModelFileError
            If an array is missing or has the wrong dtype or shape, or they are not a tree.
        """
        found = stored_table(arrays, _TABLE | (_NAMES if "names" in arrays else {}), "a label tree")
        if type(n_labels) is not int or not 0 < n_labels <= INT32_MAX:
            raise ModelFileError(f"A label tree is made for {n_labels!r} labels; an integer from 1 belongs there.")
        tree = cls.__new__(cls)
        tree._set(found["child_ptr"], found["label"], n_labels, found.get("names"))
        if verify:
            try:
                tree.verify()
            except ValueError as error:
                raise ModelFileError(f"A label tree of the model is damaged: {error}") from error
        return tree

    def save(self, path: str | PathLike[str]) -> None:
        """Write the tree to a folder, for `load`.

        Parameters
        ----------
        path : str or path
            The folder; a model in it is replaced.

        Raises
        ------
        FileExistsError
            If the path is a file, or a folder whose contents are not a model.
        OSError
            If writing fails.
        """
        save_model(path, {"class": "LabelTree", "version": __version__, "n_labels": self.n_labels}, self.arrays())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a folder that `save` wrote.

        Parameters
        ----------
        path : str or path
            The folder.

        Returns
        -------
        LabelTree

        Raises
        ------
        ModelFileError
            If the folder holds no tree, or the tree is damaged.
        """
        header, arrays = load_model(path, mmap=False, verify="full")
        if header.get("class") != "LabelTree":
            raise ModelFileError(f"{path} holds no label tree but a model of class {header.get('class')!r}.")
        return cls.from_arrays(arrays, header.get("n_labels", 0))


def _refuse(bad: NDArray[np.bool_], message: Callable[[int], str]) -> None:
    """Raise ValueError with the message of the first bad node, if there is one."""
    if bad.any():
        raise ValueError(message(int(np.argmax(bad))))


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """Return a read-only view, so that what is derived from an array stays valid."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
