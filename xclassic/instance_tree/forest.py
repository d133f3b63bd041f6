"""Base of the forests over points: growth of their trees, ranking, storage."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack
from sklearn.utils.validation import check_is_fitted

from xclassic.base import Arrays, Metadata, Verify, XMCClassifier
from xclassic.changing import only_columns, stacked
from xclassic.instance_tree.changing import refilled, renumbered, trees_due, with_further
from xclassic.instance_tree.ensemble import Ensemble
from xclassic.instance_tree.growing import UNWEIGHTED, Splitter, TreeWeights, grow_tree
from xclassic.instance_tree.tree import InstanceTree
from xclassic.parallel import StopByte, run_tasks, spawn_seeds
from xclassic.rows import unit_rows
from xclassic.topk import TopK
from xclassic.validation.features import Features, check_features
from xclassic.validation.labels import encode_known_labels
from xclassic.validation.parameters import check_number
from xclassic.weighing import TakesWeights


class ForestClassifier(TakesWeights, XMCClassifier):
    """Base of forests whose trees send a row to one leaf each, and average the label distributions of the leaves.

    A method defines ``_splitter(X, Y, seed, weights)``, which splits the nodes of a tree, and may change what leaves
    average (``_leaf_labels``) and which rows a tree is grown on (``_rows_of_tree``).
    """

    _scale_free = True

    n_trees: int
    max_leaf: int
    max_depth: int | None
    leaf_labels: int
    normalize: bool
    random_state: Any
    _ensemble: Ensemble

    @property
    def trees_(self) -> list[InstanceTree]:
        """The trees."""
        return self._ensemble.trees

    @trees_.setter
    def trees_(self, trees: list[InstanceTree]) -> None:
        self._ensemble = Ensemble(trees)

    # Hooks

    def _splitter(self, X: Features, Y: csr_array, seed: int, weights: TreeWeights = UNWEIGHTED) -> Splitter:
        """Return the splitter of the nodes of one tree."""
        raise NotImplementedError

    def _leaf_labels(self, Y: csr_array) -> csr_array:
        """Return the weights of the labels of each row that leaves average."""
        return Y

    def _rows_of_tree(self, n: int, seed: int) -> NDArray[np.int32]:
        """Return the rows that a tree is grown on."""
        return np.arange(n, dtype=np.int32)

    def _n_columns(self) -> int:
        """Return the number of features that the trees see."""
        return self.n_features_in_

    # The contract

    def _weights_taken(self) -> tuple[str, ...]:
        return ("sample_weight",)

    def _prepare(self, X: Features) -> Features:
        return unit_rows(X) if self.normalize else X  # Trees compare sums of the same row alone, of any scale.

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("n_trees", self.n_trees, minimum=1, integer=True)
        check_number("max_leaf", self.max_leaf, minimum=1, integer=True)
        check_number("leaf_labels", self.leaf_labels, minimum=1, integer=True)
        if self.max_depth is not None:
            check_number("max_depth", self.max_depth, minimum=1, integer=True)

    def _fit(self, X: Features, Y: csr_array, **options: Any) -> None:
        self.trees_ = self._grown(X, Y, spawn_seeds(self.random_state, self.n_trees), **options)

    def _grown(self, X: Features, Y: csr_array, seeds: NDArray[np.uint64], **options: Any) -> list[InstanceTree]:
        """Grow a tree for each seed. What ``fit`` takes more is handed on as options, by default weights."""
        X = self._prepare(X)
        grow = partial(_grow, self, X, Y, self._leaf_labels(Y), TreeWeights(**options))
        return grown_trees(self, grow, seeds, Y.shape[1])

    def add_trees(self, n: int, X: Any, y: Any) -> Self:
        """Grow further trees on the data of the fit.

        If `random_state` is an int, the forest is the same as after a fit of all the trees at once.

        Parameters
        ----------
        n : int
            Trees to add, at least 1; `n_trees` grows by it.
        X, y
            See ``fit``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `X` or `y` do not fit the fitted model, or it was fitted with weights.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.
        """
        return self._add_trees(n, X, y)

    def _add_trees(self, n: int, X: Any, y: Any, **options: Any) -> Self:
        check_number("n", n, minimum=1, integer=True)
        self._refuse_weighed("add_trees")
        X, Y = self._further(X, y)
        seeds = spawn_seeds(self.random_state, len(self.trees_) + n)[len(self.trees_) :]
        self.trees_ = self.trees_ + self._grown(X, Y, seeds, **options)
        self.n_trees = len(self.trees_)
        return self

    def _add_rows(self, X: Features, Y: csr_array, known: tuple[Features, csr_array] | None) -> None:
        self._fill(self._prepare(X), Y)
        if known is not None:
            rows, truth = stacked(known[0], X), csr_array(vstack([known[1], Y]))
            due = trees_due(len(self.trees_), known[0].shape[0], rows.shape[0])
            seeds = spawn_seeds(self.random_state, len(self.trees_))[due]
            trees = list(self.trees_)
            for number, tree in zip(due.tolist(), self._grown(rows, truth, seeds), strict=True):
                trees[number] = tree
            self.trees_ = trees

    def _renumber(self, ids: NDArray[np.int32], n_labels: int) -> None:
        self._ensemble.prepared()  # This checks what was loaded.
        self.trees_ = [renumbered(ids, n_labels, tree) for tree in self.trees_]

    def _learn_labels(self, X: Features, Y: csr_array, new: NDArray[np.int32]) -> None:
        add = partial(with_further, self._prepare(X), self._leaf_labels(only_columns(Y, new)), self.leaf_labels)
        self.trees_ = run_tasks(
            add, self.trees_, n_jobs=self.n_jobs, description="filling leaves", verbose=self.verbose
        )

    def _fill(self, rows: Features, Y: csr_array) -> Self:
        add = partial(refilled, rows, self._leaf_labels(Y), self.leaf_labels)
        self.trees_ = run_tasks(
            add, self.trees_, n_jobs=self.n_jobs, description="filling leaves", verbose=self.verbose
        )
        return self

    def _further(self, X: Any, y: Any) -> tuple[Features, csr_array]:
        check_is_fitted(self)
        self._check_parameters()
        X = check_features(self, X, reset=False)
        return X, encode_known_labels(y, X.shape[0], self.classes_)

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        return self._ensemble.rank(self._prepare(X), k, labels, stop)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        worker = effective_n_jobs(self.n_jobs) * (24 * nnz_x + 64 * n + 20 * d + 20 * L)
        return int(12 * nnz_x + worker + self.n_trees * (8 * nnz_y + 40 * n))

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        return self._ensemble.arrays(), {}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        self._ensemble = Ensemble.from_arrays(arrays, self._n_columns(), self.classes_.size)
        if verify == "full":
            self._ensemble.prepared()


def _grow(
    forest: ForestClassifier,
    X: Features,
    Y: csr_array,
    labels: csr_array,
    weights: TreeWeights,
    seed: int,
    stop: StopByte,
) -> Arrays:
    tree = grow_tree(
        forest._rows_of_tree(X.shape[0], seed),
        labels,
        forest._splitter(X, Y, seed, weights),
        seed,
        stop,
        max_leaf=forest.max_leaf,
        max_depth=forest.max_depth,
        max_labels=forest.leaf_labels,
        n_features=X.shape[1],
        row_weights=weights.sample_weight,
    )
    return tree.arrays()


def grown_trees(
    forest: ForestClassifier, grow: Callable[..., Arrays], seeds: NDArray[np.uint64], n_labels: int
) -> list[InstanceTree]:
    """Return the trees whose arrays `grow` returns, one for each seed."""
    parts = run_tasks(
        grow,
        seeds.tolist(),
        n_jobs=forest.n_jobs,
        description="growing trees",
        verbose=forest.verbose,
        pieces=True,
    )
    return [InstanceTree.from_arrays(part, forest._n_columns(), n_labels) for part in parts]
