"""The tree that all methods of this family grow: points walk from the root to one leaf."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

import xclassic._kernels.forest as kernels
from xclassic._version import __version__
from xclassic.parallel import StopByte, run_tasks
from xclassic.rows import kernel_rows
from xclassic.storage.arrays import Table, stored_table
from xclassic.storage.folder import Arrays, ModelFileError, load_model, save_model
from xclassic.validation.features import INT32_MAX, Features, check_rows

TABLE: Table = {
    "bias": (np.float32, "nodes"),
    "n_points": (np.int64, "nodes"),
    "child_ptr": (np.int64, "nodes + 1"),
    "router_ptr": (np.int64, "nodes + 1"),
    "features": (np.int32, "weights"),
    "weights": (np.float32, "weights"),
    "label_ptr": (np.int64, "nodes + 1"),
    "labels": (np.int32, "shares"),
    "shares": (np.float32, "shares"),
}


class InstanceTree:
    """A tree over points in level order, with a router in every inner node and a label distribution in every leaf.

    Parameters
    ----------
    child_ptr : ndarray of int64, shape (n_nodes + 1,)
        The children of node v are the nodes ``child_ptr[v]`` to ``child_ptr[v + 1] - 1``; a leaf has an empty range.
    router_ptr : ndarray of int64, shape (n_nodes + 1,)
        Pointers to the entries of the vector of node v. A node sends a point x to the child whose vector w and bias b
        give the largest w.x + b, or to the first of equal ones. A hyperplane is a child with a vector next to one
        without, and a threshold of a feature is a vector of one entry.
    features : ndarray of int32, shape (router_ptr[-1],)
        Ascending within a vector.
    weights : ndarray of float32, shape (router_ptr[-1],)
    bias : ndarray of float32, shape (n_nodes,)
    label_ptr : ndarray of int64, shape (n_nodes + 1,)
        Pointers to the labels of leaf v; an inner node has an empty range.
    labels : ndarray of int32, shape (label_ptr[-1],)
        Ascending within a leaf.
    shares : ndarray of float32, shape (label_ptr[-1],)
        Mean weight of each label over the points of the leaf, above 0.
    n_points : ndarray of int64, shape (n_nodes,)
        Training points in each leaf; 0 for inner nodes.
    n_features, n_labels : int
        Sizes of the spaces of features and labels.

    Raises
    ------
    ValueError
        If the arrays do not form such a tree.

    Examples
    --------
    >>> import numpy as np
    >>> from xclassic import FastXML, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> tree = FastXML(n_trees=1).fit(bibtex.X, bibtex.Y).trees_[0]
    >>> tree.leaf_of(bibtex.X_test).shape
    (2515,)
    """

    def __init__(
        self,
        *,
        child_ptr: NDArray[np.int64],
        router_ptr: NDArray[np.int64],
        features: NDArray[np.int32],
        weights: NDArray[np.float32],
        bias: NDArray[np.float32],
        label_ptr: NDArray[np.int64],
        labels: NDArray[np.int32],
        shares: NDArray[np.float32],
        n_points: NDArray[np.int64],
        n_features: int,
        n_labels: int,
    ) -> None:
        self.child_ptr = child_ptr
        self.router_ptr = router_ptr
        self.features = features
        self.weights = weights
        self.bias = bias
        self.label_ptr = label_ptr
        self.labels = labels
        self.shares = shares
        self.n_points = n_points
        self.n_features = n_features
        self.n_labels = n_labels
        self._prepared: Any = None
        self.verify()

    def verify(self) -> None:
        """Check every pointer and index that a walk from the root follows.

        Raises
        ------
        ValueError
            If the arrays do not form a tree.
        """
        n_nodes = len(self.bias)
        children = self.child_ptr
        if len(children) != n_nodes + 1 or n_nodes == 0 or children[0] != 1 or children[-1] != n_nodes:
            raise ValueError(f"child_ptr does not list {n_nodes} nodes, each but the root as a child of one other.")
        inner = np.diff(children) > 0
        if (np.diff(children) < 0).any() or (children[:-1][inner] <= np.flatnonzero(inner)).any():
            raise ValueError("child_ptr is not in level order: children come after their parent.")
        _check_pointers("router_ptr", self.router_ptr, n_nodes, len(self.features))
        _check_pointers("label_ptr", self.label_ptr, n_nodes, len(self.labels))
        _check_ids("features", self.features, self.router_ptr, self.n_features)
        _check_ids("labels", self.labels, self.label_ptr, self.n_labels)
        if len(self.weights) != len(self.features) or len(self.shares) != len(self.labels):
            raise ValueError("There must be a weight for each feature and a share for each label.")
        if not np.isfinite(self.weights).all() or not np.isfinite(self.bias).all():
            raise ValueError("weights and bias must be finite.")
        if not np.isfinite(self.shares).all() or not (self.shares > 0).all():
            raise ValueError("shares must be above 0 and finite.")
        if len(self.n_points) != n_nodes or (self.n_points < 0).any():
            raise ValueError("n_points must be at least 0 for each node.")

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.bias)

    @cached_property
    def leaves(self) -> NDArray[np.int64]:
        """The nodes without children."""
        return np.flatnonzero(np.diff(self.child_ptr) == 0)

    @cached_property
    def level_ptr(self) -> NDArray[np.int64]:
        """The nodes of depth d are ``level_ptr[d]`` to ``level_ptr[d + 1] - 1``."""
        bounds = [0, 1]
        while bounds[-1] < self.n_nodes:
            bounds.append(int(self.child_ptr[bounds[-1]]))
        return np.array(bounds)

    @property
    def depth(self) -> int:
        """Edges from the root to the deepest leaf."""
        return len(self.level_ptr) - 2

    @property
    def mean_depth(self) -> float:
        """Edges from the root to the leaf of a training point, on average."""
        depth = np.repeat(np.arange(self.depth + 1), np.diff(self.level_ptr))
        return float((depth * self.n_points).sum() / max(self.n_points.sum(), 1))

    def __repr__(self) -> str:
        return f"InstanceTree({len(self.leaves)} leaves, depth {self.depth}, {self.mean_depth:.1f} on average)"

    def leaf_of(self, X: Any) -> NDArray[np.int64]:
        """Return the leaf of each row.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
            Rows as the estimator prepares them, for instance scaled to unit length.

        Returns
        -------
        ndarray of int64, shape (n_rows,)
            Node numbers.

        Raises
        ------
        ValueError, TypeError
            If `X` has another number of features, or is no matrix of finite numbers.
        """
        X = check_rows(X, "X", self.n_features)
        leaves: list[NDArray[np.int64]] = run_tasks(self._route, [X], description="walking")
        return leaves[0]

    def _route(self, X: Features, stop: StopByte) -> NDArray[np.int64]:
        return kernels.route(self.prepared(), kernel_rows(X), stop=stop)

    def prepared(self) -> Any:
        """Return the form of the tree that the kernels read, made and checked at its first use.

        Returns
        -------
        KernelTree

        Raises
        ------
        ModelFileError
            If the tree was loaded and is damaged.
        """
        if self._prepared is None:
            try:
                self.verify()
            except ValueError as error:
                raise ModelFileError(f"An instance tree of the model is damaged: {error}") from error
            self._prepared = kernels.KernelTree(
                child_ptr=self.child_ptr,
                router_ptr=self.router_ptr,
                features=self.features,
                weights=self.weights,
                bias=self.bias,
                label_ptr=self.label_ptr,
                labels=self.labels,
                shares=self.shares,
            )
        return self._prepared

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_prepared": None}

    def draw(
        self,
        max_depth: int = 3,
        *,
        feature_names: Sequence[str] | None = None,
        label_names: Sequence[str] | None = None,
    ) -> str:
        """Return the top levels as text: the routers of inner nodes, and the labels of leaves.

        Parameters
        ----------
        max_depth : int, default=3
            Levels below the root.
        feature_names, label_names : sequence of str, optional
            Names to show; numbers by default.

        Returns
        -------
        str
        """
        lines: list[str] = []

        def named(number: int, names: Sequence[str] | None) -> str:
            return str(number) if names is None else str(names[number])

        def describe(node: int) -> str:
            begin, end = self.child_ptr[node], self.child_ptr[node + 1]
            if begin == end:
                found = slice(self.label_ptr[node], self.label_ptr[node + 1])
                best = np.argsort(-self.shares[found], kind="stable")[:3]
                shown = [f"{named(self.labels[found][b], label_names)} {self.shares[found][b]:.2f}" for b in best]
                return f"{self.n_points[node]} points: {', '.join(shown) or 'no label'}"
            return f"{end - begin} children"

        def router(node: int) -> str:
            found = slice(self.router_ptr[node], self.router_ptr[node + 1])
            weights = self.weights[found]
            best = np.argsort(-np.abs(weights), kind="stable")[:3]
            terms = [f"{weights[b]:+.2f} {named(self.features[found][b], feature_names)}" for b in best]
            rest = [f"({len(weights) - 3} more)"] if len(weights) > 3 else []
            return " ".join([f"{self.bias[node]:+.2f}", *terms, *rest])

        def add(node: int, depth: int, stem: str) -> None:
            for child in range(self.child_ptr[node], self.child_ptr[node + 1]):
                last = child == self.child_ptr[node + 1] - 1
                lines.append(f"{stem}{'└── ' if last else '├── '}[{router(child)}] {describe(child)}")
                if depth < max_depth:
                    add(child, depth + 1, stem + ("    " if last else "│   "))

        lines.append(describe(0))
        add(0, 1, "")
        return "\n".join(lines)

    def with_labels(self, labels: csr_array) -> InstanceTree:
        """Return the tree with other labels in its leaves.

        Parameters
        ----------
        labels : csr_array, shape (n_nodes, n_labels)
            Canonical: the mean weight of each label over the points of each leaf, above 0.

        Returns
        -------
        InstanceTree
        """
        arrays = self.arrays() | {
            "label_ptr": labels.indptr.astype(np.int64),
            "labels": labels.indices.astype(np.int32),
            "shares": labels.data.astype(np.float32),
        }
        return InstanceTree(n_features=self.n_features, n_labels=labels.shape[1], **arrays)

    def leaf_labels(self) -> csr_array:
        """Return the mean weight of each label over the points of each leaf.

        Returns
        -------
        csr_array of float32, shape (n_nodes, n_labels)
            Empty rows for inner nodes.
        """
        return csr_array((self.shares, self.labels, self.label_ptr), shape=(self.n_nodes, self.n_labels))

    # Persistence

    def arrays(self) -> Arrays:
        """Return the arrays that the tree consists of.

        Returns
        -------
        dict of str to ndarray
            Keys are the names of the parameters.
        """
        return {name: getattr(self, name) for name in TABLE}

    @classmethod
    def from_arrays(cls, arrays: Arrays, n_features: int, n_labels: int, *, verify: bool = True) -> InstanceTree:
        """Return the tree of stored arrays.

        Parameters
        ----------
        arrays : dict of str to ndarray
            The arrays that `arrays` returned; others are ignored.
        n_features, n_labels : int
        verify : bool, default=True
            Check the contents now; otherwise before their first use.

        Returns
        -------
        InstanceTree

        Raises
        ------
        ModelFileError
            If an array is missing, of another kind, or does not fit the others.
        """
        found = stored_table(arrays, TABLE, "an instance tree")
        tree = cls.__new__(cls)
        tree.__dict__.update(found, n_features=n_features, n_labels=n_labels)
        tree._prepared = None
        if verify:
            tree.prepared()
        return tree

    def save(self, path: str | PathLike[str]) -> None:
        """Write the tree to a folder, for `load`.

        Parameters
        ----------
        path : str or path

        Raises
        ------
        FileExistsError
            If the path is a file, or a folder that holds anything but a model.
        OSError
            If writing fails.
        """
        header = {"class": "InstanceTree", "version": __version__}
        save_model(path, header | {"n_features": self.n_features, "n_labels": self.n_labels}, self.arrays())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> InstanceTree:
        """Read a folder that `save` wrote.

        Parameters
        ----------
        path : str or path

        Returns
        -------
        InstanceTree

        Raises
        ------
        ModelFileError
            If the folder does not hold a tree, or the tree is damaged.
        """
        header, arrays = load_model(path, mmap=False, verify="full")
        if header.get("class") != "InstanceTree":
            raise ModelFileError(f"{path} holds no instance tree but a model of class {header.get('class')!r}.")
        d, L = header.get("n_features"), header.get("n_labels")
        if not all(type(size) is int and 0 < size <= INT32_MAX for size in (d, L)):
            raise ModelFileError(f"The tree in {path} is for {d!r} features and {L!r} labels.")
        return cls.from_arrays(arrays, int(d or 0), int(L or 0))


def _check_pointers(name: str, pointers: NDArray[np.int64], n: int, n_entries: int) -> None:
    if len(pointers) != n + 1 or pointers[0] != 0 or pointers[-1] != n_entries or (np.diff(pointers) < 0).any():
        raise ValueError(f"{name} must ascend from 0 to {n_entries} in {n + 1} entries.")


def _check_ids(name: str, ids: NDArray[np.int32], pointers: NDArray[np.int64], n: int) -> None:
    if len(ids) == 0:
        return
    if ids.min() < 0 or ids.max() >= n:
        raise ValueError(f"{name} has the number {ids.min() if ids.min() < 0 else ids.max()}; there are {n}.")
    starts = np.zeros(len(ids) + 1, np.bool_)
    starts[pointers] = True
    if (np.diff(ids) <= 0)[~starts[1:-1]].any():
        raise ValueError(f"{name} must ascend within a node.")
