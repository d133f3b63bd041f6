"""The base of the label-tree methods: trees, node training, search, persistence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from typing import Any, ClassVar

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic._kernels.arguments import LANES, VALUE_TYPES
from xclassic.base import Arrays, Metadata, Verify
from xclassic.blocks.explaining import ExplainableClassifier, Row
from xclassic.blocks.problem import BlockProblem, weighted_labels
from xclassic.explanation import Names, Step
from xclassic.label_tree.changing import hang, nodes_above, nodes_grown, relabeled, with_retrained, with_siblings
from xclassic.label_tree.explaining import explain_path
from xclassic.label_tree.nodes import LOSSES, Matcher, NodeSolver, train_tree, train_trees
from xclassic.label_tree.partition import kmeans_trees
from xclassic.label_tree.search import TreeModel, search
from xclassic.label_tree.shared_docs import NOTES, PARAMETERS
from xclassic.label_tree.tree import LabelTree
from xclassic.linalg.label_vectors import LabelRows, label_vectors
from xclassic.parallel import StopByte, spawn_seeds
from xclassic.rows import TrainingRows
from xclassic.shared_docs import complete
from xclassic.storage.arrays import with_prefix, without_prefix
from xclassic.storage.folder import ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number
from xclassic.validation.weights import graded
from xclassic.weighing import WEIGHTS, TakesWeights
from xclassic.weighted_ranking import ScoreWeights

# Path score of each loss: what a margin says of the labels under a node; see `search.PATH_SCORES`.
SCORE_OF_LOSS = {"squared_hinge": "hinge2", "logistic": "sigmoid", "least_squares": "clipped", "softmax": "share"}
MAX_TREES = 1000


class LabelTreeClassifier(TakesWeights, ExplainableClassifier):
    """Base of methods that rank labels by the models along their paths in one or several label trees.

    A method consists of a way to group labels (``_partition``), a loss that is fitted in the nodes (`loss` and its
    parameters), and a score of the margins along a path (``_path_score``).

    Attributes
    ----------
    trees_ : list of LabelTree
    models_ : list of TreeModel
        The trees with their weights.
    """

    _rows_per_task: ClassVar[int] = 1024  # The weights of a node are read once for this many rows.
    _not_saved: ClassVar[tuple[str, ...]] = ("tree",)
    _reads_maps = True
    _all_rows: ClassVar[bool] = False  # Whether rows without labels are negatives at the root.
    _losses: ClassVar[tuple[str, ...]] = LOSSES[:3]

    models_: list[TreeModel]

    def __init__(
        self,
        *,
        n_trees: int,
        tree: LabelTree | Sequence[LabelTree] | None,
        beam: int | None,
        loss: str,
        C: float,
        negative_cost: float,
        eps: float,
        max_passes: int,
        prune: float,
        weight_dtype: str,
        bias: float,
        normalize: bool,
        n_jobs: int | None,
        random_state: int | np.random.RandomState | None,
        verbose: int,
    ) -> None:
        self.n_trees = n_trees
        self.tree = tree
        self.beam = beam
        self.loss = loss
        self.C = C
        self.negative_cost = negative_cost
        self.eps = eps
        self.max_passes = max_passes
        self.prune = prune
        self.weight_dtype = weight_dtype
        self.bias = bias
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def __init_subclass__(cls) -> None:
        complete(cls, PARAMETERS, NOTES)
        super().__init_subclass__()

    # Hooks of a method

    def _partition(self, X: TrainingRows, Y: csr_array, labels: NDArray[np.int64], seeds: NDArray[np.uint64]) -> Any:
        """Return a tree over `labels` for each seed."""
        raise NotImplementedError

    def _path_score(self) -> str:
        return SCORE_OF_LOSS[self.loss]

    def _kmeans_trees(
        self,
        X: TrainingRows,
        Y: csr_array,
        labels: NDArray[np.int64],
        seeds: NDArray[np.uint64],
        view: str = "pifa",
        **options: Any,
    ) -> list[LabelTree]:
        """Return a tree for each seed, by `kmeans_trees` with these options."""
        workers: dict[str, Any] = {"n_jobs": self.n_jobs, "verbose": self.verbose}
        rows = LabelRows.of(X, Y if labels.size == Y.shape[1] else csr_array(Y[:, labels]), view, **workers)
        ids: dict[str, Any] = {"labels": labels, "n_labels": Y.shape[1]}
        return kmeans_trees(rows, [int(seed % 2**32) for seed in seeds], **ids, **options, **workers)

    def _matcher(self, X: TrainingRows) -> Matcher | None:
        """Return how rows find nodes that are not theirs but should learn from them; by default None, for no search."""
        return None

    # The contract

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("n_trees", self.n_trees, minimum=1, maximum=MAX_TREES, integer=True)
        if self.beam is not None:
            check_number("beam", self.beam, minimum=1, integer=True)
        check_choice("loss", self.loss, self._losses)
        check_number("C", self.C, minimum=0, inclusive=False)
        check_number("negative_cost", self.negative_cost, minimum=0, inclusive=False)
        if self.negative_cost != 1 and self.loss not in LOSSES[:2]:
            raise ValueError(
                f"negative_cost is {self.negative_cost}, but loss={self.loss!r} has no costs of its own for negatives; "
                "set it to 1, or take loss='squared_hinge' or loss='logistic'."
            )
        check_number("eps", self.eps, minimum=0, inclusive=False)
        check_number("max_passes", self.max_passes, minimum=1, integer=True)
        check_number("prune", self.prune, minimum=0)
        check_choice("weight_dtype", self.weight_dtype, VALUE_TYPES)
        check_number("bias", self.bias, minimum=0)
        _check_trees(self.tree)

    def _weights_taken(self) -> tuple[str, ...]:
        return WEIGHTS if self.loss in LOSSES[:2] else ("sample_weight",)

    def _fit(
        self,
        X: Features,
        Y: csr_array,
        *,
        sample_weight: NDArray[np.float32] | None = None,
        label_weight: NDArray[np.float32] | None = None,
        relevance: csr_array | None = None,
    ) -> None:
        rows, relevance = self._rows_to_fit(X), graded(relevance)
        Y = Y if relevance is None else relevance
        self.models_ = []
        labels = np.unique(Y.indices)
        if not labels.size:
            return
        weighted = weighted_labels(Y, sample_weight, None)
        trees = self._given_trees(Y) or self._partition(rows, weighted, labels, self._seeds()[::2])
        seeds = list(islice(cycle(self._node_seeds()), len(trees)))
        matcher = self._matcher(rows)
        weights = {"graded": relevance is not None, "row_weights": sample_weight, "label_weight": label_weight}
        if matcher is None:
            trained = self._trainer(train_trees, rows, Y, **weights)(trees=trees, seeds=seeds)
        else:
            train = self._trainer(train_tree, rows, Y, matcher=matcher, **weights)
            trained = [train(tree=tree, seed=seed) for tree, seed in zip(trees, seeds, strict=True)]
        for tree, own in zip(trees, trained, strict=True):
            self.models_.append(TreeModel(tree, own.weights.astype(self.weight_dtype)))

    def _seeds(self) -> NDArray[np.uint64]:
        """Return two seeds for each tree, of its labels and of its nodes."""
        return spawn_seeds(self.random_state, 2 * self.n_trees)

    def _node_seeds(self) -> list[int]:
        return [seed % 2**62 for seed in self._seeds()[1::2].tolist()]

    def _trainer(self, train: Callable[..., Any], X: TrainingRows, Y: csr_array, **options: Any) -> Callable[..., Any]:
        """Return `train_tree` or `train_trees` for prepared rows, which takes trees and seeds."""
        return partial(
            train,
            BlockProblem(X, bias=self.bias),
            Y,
            solver=NodeSolver(
                self.loss,
                self.C,
                self.eps,
                self.max_passes,
                self.prune,
                self.weight_dtype == "float16",
                self.negative_cost,
            ),
            all_rows=self._all_rows,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            **options,
        )

    def _given_trees(self, Y: csr_array) -> list[LabelTree]:
        """Return the trees of the parameter `tree`, checked against the labels."""
        trees = [] if self.tree is None else [self.tree] if isinstance(self.tree, LabelTree) else list(self.tree)
        for tree in trees:
            check_labels_of(tree, Y, self.classes_)
        return trees

    _learns_from_known = True

    def _renumber(self, ids: NDArray[np.int32], n_labels: int) -> None:
        changed = [relabeled(model, ids, n_labels) for model in self.models_]
        self.models_ = [model for model in changed if model is not None]

    def _learn_labels(self, X: Features, Y: csr_array, new: NDArray[np.int32]) -> None:
        self._relearn(X, Y, new, lambda tree: with_siblings(tree, nodes_above(tree, new)))

    def _learn_rows(self, X: Features, Y: csr_array, labels: NDArray[np.int32], n_known: int) -> None:
        def due(tree: LabelTree) -> NDArray[np.int64]:
            nodes = nodes_grown(tree, Y, n_known, labels)
            return with_siblings(tree, nodes) if self.loss == "softmax" else nodes  # Siblings share their sum.

        self._relearn(X, Y, labels, due)

    def _relearn(
        self, X: Features, Y: csr_array, labels: NDArray[np.int32], due: Callable[[LabelTree], NDArray[np.int64]]
    ) -> None:
        """Hang those of `labels` that are in no tree, and learn the models of the nodes that are `due`."""
        if not self.models_:
            self._fit(X, Y)
            return
        rows = self._rows_to_fit(X)
        if self._matcher(rows) is not None:
            raise ValueError(
                "With matcher_negatives a node learns from the rows that all levels above send to it, so a part of "
                "them cannot learn alone; fit anew with all rows and labels."
            )
        labels = np.intersect1d(labels, Y.indices)  # Labels without rows are in no tree.
        if not labels.size:
            return
        train = self._trainer(train_tree, rows, Y)
        known, self.models_ = self.models_, []
        for model, seed in zip(known, cycle(self._node_seeds())):
            new = np.setdiff1d(labels, model.tree.labels)
            tree, number = hang(model.tree, new, self._most_similar(model, rows, Y, new))
            nodes = due(tree)
            trained = train(tree=tree, seed=seed, children=nodes).weights
            self.models_.append(with_retrained(model, tree, number, nodes, trained))

    def _most_similar(
        self, model: TreeModel, X: TrainingRows, Y: csr_array, new: NDArray[np.int32]
    ) -> NDArray[np.int32]:
        """Return for each new label the one that a tree finds for the mean of its rows."""
        vectors = label_vectors(X, csr_array(Y[:, new]), n_jobs=self.n_jobs, verbose=self.verbose)
        return search([model], vectors, 1, score=self._path_score(), beam=self.beam).ids[:, 0]

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        return self._weighted_topk(X, k, labels, None, stop)

    def _weighted_topk(
        self, X: Features, k: int, labels: NDArray[np.int32] | None, weights: ScoreWeights | None, stop: StopByte
    ) -> TopK:
        if not self.models_:
            return TopK.empty(X.shape[0], k)
        return search(
            self.models_,
            self._prepare(X),
            k,
            score=self._path_score(),
            beam=self.beam,
            labels=labels,
            weights=weights,
            stop=stop,
        )

    def _explained(self, row: Row, label: int, label_names: Names | None) -> tuple[float, int, list[Step]]:
        steps: list[Step] = []
        score = 0.0
        for number, model in enumerate(self.models_):
            names = self.classes_ if label_names is None and model.tree.names is None else label_names
            path = explain_path(model, number, row, label, names, score=self._path_score(), beam=self.beam)
            if path and path[-1].kept:
                score += float(np.exp(sum(step.contribution for step in path))) / len(self.models_)
            steps += path
        return score, len(self.models_), steps

    @property
    def trees_(self) -> list[LabelTree]:
        """The label trees."""
        return [model.tree for model in self.models_]

    def _prune(self, threshold: float) -> None:
        for model in self.models_:
            model.prepared()  # This checks what was loaded.
        self.models_ = [TreeModel(model.tree, model.weights.pruned(threshold)) for model in self.models_]

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        vectors = 8 * min(nnz_y * max(1, nnz_x // max(1, n)), L * d)
        reaching = 8 * nnz_y * max(2, int(np.log2(L + 1)))
        worker = effective_n_jobs(self.n_jobs) * (16 * nnz_x + 8 * LANES * (n + d))
        model = 2 * 12 * 100 * L * self.n_trees
        return int(12 * nnz_x + max(2 * vectors, reaching + worker) + model)

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays: Arrays = {}
        for number, model in enumerate(self.models_):
            arrays |= with_prefix(f"tree{number}.", model.tree.arrays())
            arrays |= with_prefix(f"weights{number}.", model.weights.arrays())
        return arrays, {"n_trees": len(self.models_)}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        n_trees = metadata.get("n_trees")
        if type(n_trees) is not int or not 0 <= n_trees <= MAX_TREES:
            raise ModelFileError(f"The model has {n_trees!r} trees.")
        self.models_ = []
        for number in range(n_trees):
            model = TreeModel.from_arrays(
                without_prefix(f"tree{number}.", arrays),
                without_prefix(f"weights{number}.", arrays),
                self.classes_.size,
                self._n_inputs(),
            )
            if verify == "full":
                model.verify()
            self.models_.append(model)

    def _n_inputs(self) -> int:
        """Number of features that the models see."""
        return self.n_features_in_


def check_labels_of(tree: LabelTree, Y: csr_array, classes: NDArray[Any]) -> None:
    """Raise unless a tree is over the labels of `Y`, and holds all that have a row."""
    if tree.n_labels != Y.shape[1]:
        raise ValueError(
            f"The tree is over {tree.n_labels} labels, but Y has {Y.shape[1]}; it belongs to other data. Build "
            f"it with n_labels={Y.shape[1]} and label ids that are columns of Y."
        )
    missing = np.setdiff1d(Y.indices, tree.labels)
    if missing.size:
        raise ValueError(
            f"{missing.size} labels with training rows are not in the tree, the first is label "
            f"{classes[missing[:1]].tolist()[0]!r} (id {missing[0]}). Add them, or drop their columns "
            "of Y."
        )


def _check_trees(value: Any) -> None:
    """Raise unless the parameter `tree` is None, a tree, or a list of trees."""
    if value is None or isinstance(value, LabelTree):
        return
    trees = value if isinstance(value, (list, tuple)) else [value]
    wrong = [tree for tree in trees if not isinstance(tree, LabelTree)]
    if wrong:
        raise TypeError(f"tree is a {type(wrong[0]).__name__}; pass a LabelTree or a list of them.")
    if not trees:
        raise ValueError("tree is an empty list; pass a LabelTree or a list of them, or None to have them made.")
