"""What the forests over points have in common: growth of their trees, ranking, storage."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.utils.validation import check_is_fitted

import xclassic._kernels.forest as kernels
from xclassic.base import Arrays, Facts, Verify, XMCClassifier
from xclassic.instance_tree.growing import Splitter, grow_tree
from xclassic.instance_tree.tree import InstanceTree
from xclassic.model_io import ModelFileError
from xclassic.parallel import StopByte, run_tasks, spawn_seeds
from xclassic.rows import kernel_rows, unit_rows
from xclassic.topk import TopK
from xclassic.validation import Features, check_features, check_number, encode_known_labels

_POINTERS = ("child_ptr", "router_ptr", "label_ptr")
_NARROW: dict[np.dtype[Any], np.dtype[Any]] = {  # dtypes of arrays in a tree, and in a stored model if the numbers fit
    np.dtype(np.int64): np.dtype(np.uint32),
    np.dtype(np.int32): np.dtype(np.uint16),
    np.dtype(np.float32): np.dtype(np.float16),
}


class ForestClassifier(XMCClassifier):
    """Forests over points: every tree sends a row to one leaf, and the label distributions of the leaves are averaged.

    A method offers ``_splitter(X, Y, seed)``, what a tree does in its nodes, and may change what leaves average
    (``_leaf_labels``) and which rows a tree is grown on (``_rows_of_tree``).
    """

    n_trees: int
    max_leaf: int
    max_depth: int | None
    leaf_labels: int
    normalize: bool
    random_state: Any
    trees_: list[InstanceTree]

    # Hooks

    def _splitter(self, X: Features, Y: csr_array, seed: int) -> Splitter:
        """Return what one tree does in its nodes."""
        raise NotImplementedError

    def _leaf_labels(self, Y: csr_array) -> csr_array:
        """Return the weights of the labels of each row that leaves average."""
        return Y

    def _rows_of_tree(self, n: int, seed: int) -> NDArray[np.int32]:
        """Return the rows that a tree is grown on."""
        return np.arange(n, dtype=np.int32)

    def _encoded(self, X: Features) -> Features:
        """Return the rows as the trees see them."""
        return unit_rows(X) if self.normalize else X

    # The contract

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("n_trees", self.n_trees, minimum=1, integer=True)
        check_number("max_leaf", self.max_leaf, minimum=1, integer=True)
        check_number("leaf_labels", self.leaf_labels, minimum=1, integer=True)
        if self.max_depth is not None:
            check_number("max_depth", self.max_depth, minimum=1, integer=True)

    def _fit(self, X: Features, Y: csr_array) -> None:
        self.trees_ = self._grown(X, Y, spawn_seeds(self.random_state, self.n_trees))

    def _grown(self, X: Features, Y: csr_array, seeds: NDArray[np.uint64]) -> list[InstanceTree]:
        X = self._encoded(X)
        grow = partial(_grow, self, X, Y, self._leaf_labels(Y))
        return run_tasks(grow, seeds.tolist(), n_jobs=self.n_jobs, description="growing trees", verbose=self.verbose)

    def add_trees(self, n: int, X: Any, y: Any) -> Self:
        """Grow further trees on the data of the fit.

        With an int for `random_state` the forest becomes that of a fit of all the trees at once.

        Parameters
        ----------
        n : int
            Trees to add, at least 1; `n_trees` rises by it.
        X, y
            As for ``fit``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `X` or `y` do not fit the fitted model.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.
        """
        check_number("n", n, minimum=1, integer=True)
        X, Y = self._further(X, y)
        seeds = spawn_seeds(self.random_state, len(self.trees_) + n)[len(self.trees_) :]
        self.trees_ = self.trees_ + self._grown(X, Y, seeds)
        self.n_trees = len(self.trees_)
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Add points to the leaves that they reach; the trees themselves stay. The first call is a fit.

        Parameters
        ----------
        X, y
            New points, with features and labels of the fit.
        classes : array-like, optional
            Ignored: the labels are those of the first call.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `X` or `y` do not fit the fitted model, or as for ``fit``.

        Notes
        -----
        A leaf knows only the labels that it kept, `leaf_labels` of them; the mean of the others starts from 0.
        """
        if not self._fitted:
            return self.fit(X, y)
        X, Y = self._further(X, y)
        add = partial(_refreshed, self._encoded(X), self._leaf_labels(Y), self.leaf_labels)
        self.trees_ = run_tasks(
            add, self.trees_, n_jobs=self.n_jobs, description="filling leaves", verbose=self.verbose
        )
        return self

    def _further(self, X: Any, y: Any) -> tuple[Features, csr_array]:
        check_is_fitted(self)
        self._check_parameters()
        X = check_features(self, X, reset=False)
        return X, encode_known_labels(y, X.shape[0], self.classes_)

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None) -> TopK:
        return rank(self.trees_, self._encoded(X), self.classes_.size, k, labels)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        worker = effective_n_jobs(self.n_jobs) * (24 * nnz_x + 64 * n + 20 * d + 20 * L)
        return int(12 * nnz_x + worker + self.n_trees * (8 * nnz_y + 40 * n))

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Facts]:
        return joined(self.trees_), {}

    def _set_arrays(self, arrays: Arrays, facts: Facts, verify: Verify) -> None:
        self.trees_ = separated(arrays, self.n_features_in_, self.classes_.size)
        if verify == "full":
            for tree in self.trees_:
                tree.prepared()


def rank(trees: list[InstanceTree], X: Features, n_labels: int, k: int, labels: NDArray[np.int32] | None) -> TopK:
    """Return the best `k` labels of each row by their mean share over the trees, of `labels` only if given."""
    prepared = [tree.prepared() for tree in trees]
    allowed = None
    if labels is not None:
        allowed = np.zeros(n_labels, np.uint8)
        allowed[labels] = 1
    return TopK(*kernels.rank_labels(prepared, *kernel_rows(X), n_labels, allowed, k, np.zeros(1, np.uint8)))


def _grow(
    forest: ForestClassifier,
    X: Features,
    Y: csr_array,
    labels: csr_array,
    seed: int,
    stop: StopByte,
) -> InstanceTree:
    return grow_tree(
        forest._rows_of_tree(X.shape[0], seed),
        labels,
        forest._splitter(X, Y, seed),
        seed,
        stop,
        max_leaf=forest.max_leaf,
        max_depth=forest.max_depth,
        max_labels=forest.leaf_labels,
        n_features=X.shape[1],
    )


def _refreshed(X: Features, labels: csr_array, max_labels: int, tree: InstanceTree, stop: StopByte) -> InstanceTree:
    """Return the tree with the means of its leaves over old and new points."""
    n_new = np.bincount(leaves := tree.leaf_of(X), minlength=tree.n_nodes)
    place = csr_array(
        (np.ones(len(leaves), np.float32), (leaves, np.arange(len(leaves)))), shape=(tree.n_nodes, len(leaves))
    )
    old = csr_array((tree.shares, tree.labels, tree.label_ptr), shape=(tree.n_nodes, tree.n_labels))
    n_points = tree.n_points + n_new
    both = csr_array(old * tree.n_points[:, None] + place @ labels)
    both = csr_array(both / np.maximum(n_points, 1)[:, None])
    both.data = both.data.astype(np.float16).astype(np.float32)  # as a saved model has it
    both.eliminate_zeros()
    kept = TopK.from_csr(both, max_labels).to_csr(tree.n_labels)
    kept.sort_indices()
    arrays = tree.arrays() | {
        "label_ptr": kept.indptr.astype(np.int64),
        "labels": kept.indices.astype(np.int32),
        "shares": kept.data.astype(np.float32),
        "n_points": n_points,
    }
    return InstanceTree(n_features=tree.n_features, n_labels=tree.n_labels, **arrays)


def joined(trees: list[InstanceTree]) -> Arrays:
    """Return the arrays of all trees one after the other, in narrow types, and how many nodes each has.

    Weights and shares are half precise already (``rounding.h``), so nothing is lost.
    """
    parts = [tree.arrays() for tree in trees]
    arrays: Arrays = {"n_nodes": np.array([tree.n_nodes for tree in trees])}
    for name in parts[0]:
        values = np.concatenate([part[name] for part in parts])
        narrow = _NARROW.get(values.dtype, values.dtype)
        fits = narrow.kind == "f" or values.max(initial=0) <= np.iinfo(narrow).max
        arrays[name] = values.astype(narrow) if name != "bias" and fits else values
    return arrays


def separated(arrays: Arrays, n_features: int, n_labels: int) -> list[InstanceTree]:
    """Return the trees of `joined` arrays.

    Raises
    ------
    ModelFileError
        If the arrays do not fit together. Their contents are checked when a tree is first used.
    """
    n_nodes = arrays.get("n_nodes")
    if n_nodes is None or n_nodes.ndim != 1 or n_nodes.dtype != np.int64 or not (n_nodes > 0).all():
        raise ModelFileError("n_nodes of the forest must be the number of nodes of each tree.")
    ends = np.cumsum(n_nodes)
    trees = []
    entry = {"router_ptr": 0, "label_ptr": 0}
    for number, (last, size) in enumerate(zip(ends.tolist(), n_nodes.tolist(), strict=True)):
        nodes, pointers = slice(last - size, last), slice(last - size + number, last + number + 1)
        tree: Arrays = {}
        for name in ("bias", "n_points"):
            tree[name] = _slice(arrays, name, nodes)
        for name in _POINTERS:
            tree[name] = _slice(arrays, name, pointers)
        for pointer, names in (("router_ptr", ("features", "weights")), ("label_ptr", ("labels", "shares"))):
            begin = entry[pointer]
            entry[pointer] = begin + int(tree[pointer][-1])
            for name in names:
                tree[name] = _slice(arrays, name, slice(begin, entry[pointer]))
        trees.append(InstanceTree.from_arrays(tree, n_features, n_labels, verify=False))
    last = int(ends[-1]) if trees else 0
    used = {"bias": last, "child_ptr": last + len(trees), "features": entry["router_ptr"], "labels": entry["label_ptr"]}
    for name, size in used.items():
        if len(arrays[name]) != size:
            raise ModelFileError(f"Array {name} of the forest has {len(arrays[name])} entries, but its trees {size}.")
    return trees


def _slice(arrays: Arrays, name: str, part: slice) -> NDArray[Any]:
    found = arrays.get(name)
    if found is None or found.ndim != 1 or not 0 <= part.start <= part.stop <= len(found):
        raise ModelFileError(f"Array {name} of the forest is missing or too short.")
    wide = next((wide for wide, narrow in _NARROW.items() if found.dtype == narrow), found.dtype)
    return found[part].astype(wide, copy=False)
