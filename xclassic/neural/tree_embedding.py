"""TreeEmbedding: a label tree whose nodes are vectors, which widen from level to level."""

from __future__ import annotations

import warnings
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack
from sklearn.base import clone

from xclassic.base import Arrays, Metadata, Verify
from xclassic.blocks.explaining import ExplainableClassifier, Row
from xclassic.explanation import Names, Step
from xclassic.label_tree.base import check_labels_of
from xclassic.label_tree.explaining import explain_path
from xclassic.label_tree.partition import kmeans_tree
from xclassic.label_tree.search import TreeModel, search
from xclassic.label_tree.tree import LabelTree
from xclassic.linalg.label_vectors import label_vectors
from xclassic.linalg.low_rank import Array
from xclassic.linalg.ridge import with_bias
from xclassic.linear.dismec import DiSMEC
from xclassic.metrics.ranking import precision_at_k
from xclassic.networks.batches import split_rows
from xclassic.networks.torch_support import import_torch, memory_errors
from xclassic.neural.tree_levels import (
    Level,
    even_tree,
    hyperbolic_start,
    level_weights,
    level_widths,
    new_levels,
    random_start,
)
from xclassic.neural.tree_squares import alternate_levels, coupling, scoring_vectors
from xclassic.neural.tree_weights import FeatureWeights, node_weights
from xclassic.parallel import StopByte, blas_threads, run_tasks, spawn_seeds
from xclassic.storage.arrays import FINITE, stored_array, with_prefix, without_prefix
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number, check_numbers, check_type
from xclassic.weighted_ranking import ScoreWeights

# Path scores: under squared loss the log-likelihood of a node's target 1 falls with the square of 1 minus its score.
SCORES = {"squared": "hinge2", "logistic": "sigmoid"}
MU = (0.0, 0.2, 2.0, 20.0)  # What "auto" tries; of equal ones the first.
SPARSE = (0.0, 0.3, 0.6)
HELD_OUT = 0.1  # Share of the rows that are held out for it,
MOST_HELD = 1000  # and at most this many of them are ranked.
NU = {"squared": 1.0, "logistic": 0.1}


class TreeEmbedding(ExplainableClassifier):
    r"""A label tree with a vector for each node, coupled along its edges and wider on lower levels.

    On level h of the tree a row x has the code :math:`z_h = A_h x` and a node u the vector :math:`e_u`, of the same
    width, which grows with h. The score :math:`s_u(x) = e_u \cdot z_h` says whether a label of the row is at or under
    the node: :math:`t_u(x)` is 1 or 0. Each inner node has a projection :math:`P_u` into the space of its children,
    and each child c a private residual :math:`r_c`, in

    .. math::

        \min_{A, e, P, r} \;& \tfrac12 \sum_h \lambda_h \sum_{i,\, u \in h} (t_u(x_i) - e_u \cdot A_h x_i)^2
        + \tfrac{\mu}{2} \sum_{u,\, c \in u} \|e_c - P_u e_u - r_c\|^2 + \tfrac{\rho}{2} \sum_c \|r_c\|^2 \\
        &+ \tfrac{\nu}{2} \Big( \sum_h \|A_h\|^2 + \sum_u \|e_u\|^2 + \sum_u \|P_u - I\|^2 \Big),

    so that labels with few rows learn from their siblings. A search ranks labels by
    :math:`\exp(-\sum_h w_h \max(0, 1 - s_h)^2)` over the nodes of their paths, where :math:`w_h` is 1 for the label
    itself. With a tree of one level this is `LEML`.

    With ``loss="logistic"`` the score :math:`s_u(x) = e_u \cdot z_h + b_u` is the log-odds that a row which reaches the
    parent of u also reaches u, as in `PLT`. Squares are replaced by logistic losses, over the children of the nodes
    that a row reaches, and labels are ranked by their probability, the product along the path.

    Parameters
    ----------
    n_components : int or sequence of int, default=200
        Width of the vectors of labels; a level has half of the width two levels below. A sequence gives the width of
        each level, from the one below the root, and may not descend. No level is wider than it has nodes.
    loss : {"squared", "logistic"}, default="squared"
        Squared loss has closed forms and takes seconds. Logistic loss is trained on PyTorch (the extra ``neural``),
        takes minutes, starts from the squared solution, and gives probabilities.
    tree : LabelTree, optional
        Take this tree, such as a catalog, instead of grouping labels by balanced k-means. Every label with a row must
        be in it. A saved model keeps its tree, not this parameter.
    branching : int, default=2
        Children of a node in a tree that is made, at least 2.
    max_leaf : int, default=16
        At most this many labels in a node that is not split further. A value of at least the number of labels makes a
        tree of one level.
    level_weights : float or sequence of float, default=0.5
        Weights :math:`\lambda_h`: the weight of a level as a share of that of the level below, in [0.01, 1], with 1
        for the labels; or a weight above 0 for each level, from the one below the root.
    geometry : {"flat", "hyperbolic"}, default="flat"
        Start of the vectors: at random, or for the first ten columns of each level from a `PoincareEmbedding` of the
        tree, so that related nodes begin near each other.
    mu : float or "auto", default="auto"
        Weight :math:`\mu` of the coupling of children to their parent, at least 0. 0 makes the levels independent.
        "auto" takes 0, 0.2, 2 or 20, whichever ranks the labels of held-out rows best, at the cost of four more
        fits under squared loss.
    rho : float, optional
        Weight :math:`\rho` of the private residuals, at least 0; by default as `mu`. A residual that costs nothing
        decouples its node, so that 0 makes the levels independent; a large one lets `mu` act in full. Only
        :math:`\mu\rho / (\mu + \rho)` counts.
    nu : float, optional
        Penalty :math:`\nu` of encoders, vectors and projections, above 0; by default 1 for squared and 0.1 for logistic
        loss.
    rounds : int, default=5
        Alternations of fitting projections, encoders and vectors, at least 1.
    path : float, default=0.2
        Weight of the levels above in the score of a label under squared loss, at least 0: :math:`w_h` is this times
        :math:`\lambda_h`, divided by the weight of the level of labels. 0 ranks by the scores of labels alone, and
        wants ``beam=None``.
    sparse : float or "auto", default=0.0
        Share of sparse one-vs-rest models, those of `DiSMEC`, in the scores of labels, in [0, 1]. "auto" takes 0, 0.3
        or 0.6, whichever ranks the labels of held-out rows best, at the cost of three more fits.
    beam : int or None, default=100
        Nodes kept on each level of a search. More is a little more accurate and slower; None gives the exactly best
        labels.
    epochs : int, default=20
        Most passes over the rows under logistic loss; 0 keeps the start.
    batch_size : int, default=128
        Rows of a step.
    learning_rate : float, default=0.003
        Peak learning rate of AdamW, which rises over a tenth of the steps and then falls to 0.
    validation : float, default=0.1
        Share of the rows, at most 0.9, whose loss chooses the best epoch; 0 for none. Every label keeps a row to learn
        from.
    patience : int, default=3
        Epochs without a better loss of these rows after which training ends.
    checkpoint : str or path, optional
        Folder to which training writes its state, and from which the same call continues.
    device : str, optional
        Where to train, such as "cuda" or "cpu"; by default on a GPU if there is one. Prediction needs no PyTorch.
    bias : float, default=1.0
        Value of a constant feature; 0 for none.
    normalize : bool, default=True
        Scale rows to unit length first.
    n_jobs : int, optional
        Workers, as joblib counts them. The model does not depend on it.
    random_state : int or None, default=0
        Seed of the grouping and of the start; None takes a new one each time.
    verbose : int, default=0
        Above 0, show progress.

    Attributes
    ----------
    map_ : ndarray of float32, shape (n_features + 1, n_codes)
        The encoders :math:`A_h^\top` of all levels side by side; the last row is that of the constant feature.
    model_ : TreeModel or None
        The tree with all leaves on its lowest level, and the models of its nodes over codes: the vectors scaled by
        :math:`\sqrt{w_h}`, with :math:`1 - \sqrt{w_h}` as bias, or the vectors and biases of logistic loss. None if no
        row has a label.
    mu_, sparse_ : float
        The parameters that were used.
    curve_ : list of dict
        For each epoch of logistic loss its number, the mean loss, and the score: minus the loss of held-out rows.

    See Also
    --------
    LEML : One level, without a tree.
    Parabel : Classifiers of full width in the nodes.

    Notes
    -----
    Nobody has published this method; it is a proposal, read in the simplest way. Scores lie in [0, 1];
    those of squared loss are not probabilities. Labels without a training row are never predicted, and are left out of
    a tree that is given. Rows without labels are negatives everywhere under squared loss, and left out under logistic
    loss. Leaves that end above the lowest level get a chain of single children.

    Under squared loss all half-steps have closed forms and need no matrix of rows by nodes. Residuals are eliminated,
    which leaves :math:`\kappa = \mu \rho / (\mu + \rho)` as the weight of :math:`\|e_c - P_u e_u\|^2`. The best
    projection differs from the padded identity by a matrix of rank one, so it is stored as two vectors, and maps
    :math:`e_u` to a mean of itself and the mean of its children. A vector of a node is a ridge regression whose prior
    mean is :math:`P_p e_p` of its parent p.

    Cost: for each round and level, ``20 nnz(X) width``, and ``width^3`` for each inner node. Memory: for each level,
    its targets and ``width`` numbers for each row, feature and node, several times. A tree that is as deep as it has
    labels has as many levels. Logistic loss costs for each epoch ``width`` for each pair of a row and a child of a node
    that it reaches, and for each step all weights, which are held four times.

    The same seed gives the same model; on a GPU only with ``torch.use_deterministic_algorithms(True)``.

    References
    ----------
    .. [1] H.-F. Yu, P. Jain, P. Kar and I. S. Dhillon, "Large-scale multi-label learning with missing labels",
       ICML 2014 (the model of each level).
    .. [2] K. Jasinska et al., "Extreme F-measure maximization using sparse probability estimates", ICML 2016 (trees of
       models whose nodes say whether a label is under them).

    Examples
    --------
    >>> from xclassic import TreeEmbedding, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = TreeEmbedding(80).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    _not_saved = ("tree", "checkpoint", "device")

    curve_: list[dict[str, float]]
    map_: NDArray[np.float32]
    model_: TreeModel | None
    mu_: float
    sparse_: float

    def __init__(
        self,
        n_components: int | tuple[int, ...] = 200,
        *,
        loss: str = "squared",
        tree: LabelTree | None = None,
        branching: int = 2,
        max_leaf: int = 16,
        level_weights: float | tuple[float, ...] = 0.5,
        geometry: str = "flat",
        mu: float | str = "auto",
        rho: float | None = None,
        nu: float | None = None,
        rounds: int = 5,
        path: float = 0.2,
        sparse: float | str = 0.0,
        beam: int | None = 100,
        epochs: int = 20,
        batch_size: int = 128,
        learning_rate: float = 0.003,
        validation: float = 0.1,
        patience: int = 3,
        checkpoint: str | Path | None = None,
        device: str | None = None,
        bias: float = 1.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.loss = loss
        self.tree = tree
        self.branching = branching
        self.max_leaf = max_leaf
        self.level_weights = level_weights
        self.geometry = geometry
        self.mu = mu
        self.rho = rho
        self.nu = nu
        self.rounds = rounds
        self.path = path
        self.sparse = sparse
        self.beam = beam
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.validation = validation
        self.patience = patience
        self.checkpoint = checkpoint
        self.device = device
        self.bias = bias
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_numbers("n_components", self.n_components, minimum=1, integer=True)
        if not isinstance(self.n_components, int) and list(self.n_components) != sorted(self.n_components):
            raise ValueError(f"n_components is {self.n_components}; the widths of lower levels may not be smaller.")
        check_type("tree", self.tree, (LabelTree,), "a LabelTree or None")
        check_number("branching", self.branching, minimum=2, integer=True)
        check_number("max_leaf", self.max_leaf, minimum=1, integer=True)
        check_numbers("level_weights", self.level_weights, minimum=1e-6, maximum=1e6)
        if isinstance(self.level_weights, (int, float)):
            check_number("level_weights", self.level_weights, minimum=0.01, maximum=1)
        for name in ("mu", "rho", "path", "bias", "sparse"):
            value = getattr(self, name)
            if name in ("mu", "sparse") and isinstance(value, str):
                check_choice(name, value, ("auto",))
            elif name != "rho" or value is not None:
                check_number(name, value, minimum=0, maximum=1 if name == "sparse" else None)
        if self.nu is not None:
            check_number("nu", self.nu, minimum=0, inclusive=False)
        check_number("rounds", self.rounds, minimum=1, integer=True)
        check_choice("loss", self.loss, tuple(SCORES))
        check_choice("geometry", self.geometry, ("flat", "hyperbolic"))
        for name, least in (("epochs", 0), ("batch_size", 1), ("patience", 1)):
            check_number(name, getattr(self, name), minimum=least, integer=True)
        check_number("learning_rate", self.learning_rate, minimum=0, inclusive=False)
        check_number("validation", self.validation, minimum=0, maximum=0.9)
        check_type("checkpoint", self.checkpoint, (str, PathLike), "a string or a path")
        check_type("device", self.device, (str,), "a string or None")
        if self.beam is not None:
            check_number("beam", self.beam, minimum=1, integer=True)

    @property
    def _probabilistic(self) -> bool:  # type: ignore[override]
        return self.loss == "logistic"

    def _fit(self, X: Features, Y: csr_array) -> None:
        if self.loss == "logistic":
            import_torch("TreeEmbedding(loss='logistic')")
        self.mu_ = self.sparse_ = 0.0
        self.curve_ = []
        self.map_, self.model_ = np.zeros((X.shape[1] + 1, 0), np.float32), None
        labels = np.unique(Y.indices)
        if not labels.size:
            return
        seeds = spawn_seeds(self.random_state, 3).tolist()
        # What suits the levels under squared loss, in seconds, suits those of logistic loss.
        self.mu_ = self._chosen("mu", MU, X, Y, seeds[1] % 2**32, loss="squared", sparse=0.0)
        self.sparse_ = self._chosen("sparse", SPARSE, X, Y, seeds[1] % 2**32, mu=self.mu_)
        X = self._prepare(X)
        tree = even_tree(self._tree(X, Y, labels, seeds[1] % 2**32), labels)
        vectors, biases = self._vectors(with_bias(X, self.bias), Y, tree, seeds[0], seeds[2] % 2**32)
        flat = None
        if self.sparse_:
            flat, vectors[-1], biases[-1] = self._interpolated(X, Y, tree, vectors[-1], biases[-1])
        self.model_ = TreeModel(tree, node_weights(tree, vectors, biases, flat))

    def _chosen(
        self, name: str, candidates: tuple[float, ...], X: Features, Y: csr_array, seed: int, **fixed: Any
    ) -> float:
        """Return a parameter or, if it is "auto", the candidate that ranks the labels of held-out rows best."""
        value = getattr(self, name)
        if not isinstance(value, str):
            return float(value)
        kept, held = split_rows(Y, HELD_OUT, seed)
        if not held.size:
            return candidates[0]
        precision = []
        for candidate in candidates:
            trial = clone(self).set_params(checkpoint=None, **fixed, **{name: candidate})
            with warnings.catch_warnings(action="ignore"):  # Of the scale of the features, once more.
                top = trial.fit(X[kept], Y[kept]).predict_topk(X[held[:MOST_HELD]], 5)
            precision.append(sum(precision_at_k(Y[held[:MOST_HELD]], top, k) for k in (1, 3, 5)))
        return candidates[int(np.argmax(precision))]

    def _vectors(self, X: Features, Y: csr_array, tree: LabelTree, start: int, seed: int) -> Any:
        """Fit the encoders, and return vectors and biases of the nodes of each level."""
        widths, weights = level_widths(tree, self.n_components), level_weights(tree, self.level_weights)
        levels = new_levels(tree, Y, weights)
        kappa = coupling(self.mu_, self.mu_ if self.rho is None else self.rho)
        nu = NU[self.loss] if self.nu is None else self.nu
        random_start(levels, widths, X.shape[1], start)
        if self.geometry == "hyperbolic":
            with blas_threads(1):
                hyperbolic_start(X, levels, tree, nu, seed)
        fit = partial(alternate_levels, X, kappa=kappa, nu=nu, rounds=self.rounds)
        with blas_threads(1):  # The model must not depend on how BLAS shares its work.
            (levels,) = run_tasks(partial(_fit_levels, fit), [levels], description="fitting", verbose=self.verbose)
        if self.loss == "logistic":
            found = self._trained(X, Y, levels, kappa, nu, seed)
        else:
            found = scoring_vectors(levels, self.path)
        self.map_ = np.concatenate([level.encoder for level in levels], axis=1)
        return found

    def _trained(self, X: Features, Y: csr_array, levels: list[Level], kappa: float, nu: float, seed: int) -> Any:
        """Train levels on PyTorch in place, and return vectors and biases of their nodes."""
        from xclassic.neural.tree_logistic import fit_logistic

        with memory_errors("lower batch_size or n_components, or use device='cpu'"):
            vectors, biases, self.curve_ = fit_logistic(self, X, Y, levels, kappa, nu, seed)
        return vectors, biases

    def _interpolated(self, X: Features, Y: csr_array, tree: LabelTree, vectors: Array, bias: Array) -> Any:
        """Return the share of sparse models in the leaves, and vectors and biases that leave room for it."""
        logistic, share = self.loss == "logistic", np.float32(self.sparse_)
        options: dict[str, Any] = {
            "bias": self.bias,
            "n_jobs": self.n_jobs,
            "verbose": self.verbose,
            "normalize": False,
        }
        flat = DiSMEC(loss="logistic" if logistic else "squared_hinge", random_state=0, **options).fit(X, Y).weights_
        scale, offset = (1.0, 0.0) if logistic else (0.5, 0.5)  # Of margins -1 and 1 they make scores 0 and 1.
        margins = np.zeros(Y.shape[1], np.float32)
        margins[flat.labels[flat.labels >= 0]] = flat.bias[flat.labels >= 0]
        own = np.float32(scale) * margins[tree.label[tree.level_ptr[-2] :]] + np.float32(offset)
        weights = flat.to_csc(Y.shape[1]) * (share * np.float32(scale))
        return weights, (1 - share) * vectors, (1 - share) * bias + share * own

    def _tree(self, X: Features, Y: csr_array, labels: NDArray[Any], seed: int) -> LabelTree:
        """Return the tree that is given, or one that groups the labels with rows."""
        if self.tree is not None:
            check_labels_of(self.tree, Y, self.classes_)
            return self.tree
        workers: dict[str, Any] = {"n_jobs": self.n_jobs, "verbose": self.verbose}
        return kmeans_tree(
            label_vectors(X, csr_array(Y[:, labels]), **workers),
            branching=self.branching,
            max_leaf=self.max_leaf,
            labels=labels,
            n_labels=Y.shape[1],
            random_state=seed,
            **workers,
        )

    # Prediction

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        return self._weighted_topk(X, k, labels, None, stop)

    def _weighted_topk(
        self, X: Features, k: int, labels: NDArray[np.int32] | None, weights: ScoreWeights | None, stop: StopByte
    ) -> TopK:
        if self.model_ is None:
            return TopK.empty(X.shape[0], k)
        return search(
            [self.model_],
            self._inputs(X),
            k,
            score=SCORES[self.loss],
            beam=self.beam,
            labels=labels,
            weights=weights,
            stop=stop,
        )

    def _inputs(self, X: Features) -> Features:
        """Return the codes of all levels, and the rows themselves beside them if there is a sparse model."""
        X = self._prepare(X)
        rows = csr_array(X)  # BLAS rounds the product of dense rows by the size of their batch.
        codes = np.asarray(rows @ self.map_[:-1] + np.float32(self.bias) * self.map_[-1])
        return csr_array(hstack([csr_array(codes), rows])) if self.sparse_ else codes

    def _explained(self, row: Row, label: int, label_names: Names | None) -> tuple[float, int, list[Step]]:
        if self.model_ is None:
            return 0.0, 1, []
        weights: Any = FeatureWeights(self.model_.weights, self.map_, self.bias)
        model = TreeModel(self.model_.tree, weights)
        names = self.classes_ if label_names is None and model.tree.names is None else label_names
        path = explain_path(model, 0, row, label, names, score=SCORES[self.loss], beam=self.beam)
        kept = bool(path) and path[-1].kept
        return float(np.exp(sum(step.contribution for step in path))) if kept else 0.0, 1, path

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        vectors = 8 * min(nnz_y * max(1, nnz_x // max(1, n)), L * d)
        width = min(L, self.n_components if isinstance(self.n_components, int) else max(self.n_components))
        depth = max(1, int(np.log2(max(1, L / self.max_leaf))) + 1)
        squares = 12 * nnz_y * depth + 4 * width * (4 * n + 8 * d + 10 * L)
        network = 4 * 4 * 2 * width * (d + L) if self.loss == "logistic" else 0  # Weights, gradients, two moments.
        flat = DiSMEC(n_jobs=self.n_jobs)._estimate_memory(n, d, L, nnz_x, nnz_y) if self.sparse else 0
        return int(12 * nnz_x + max(2 * vectors, squares + network, flat))

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays: Arrays = {"map": self.map_}
        if self.model_ is not None:
            arrays |= with_prefix("tree.", self.model_.tree.arrays())
            arrays |= with_prefix("weights.", self.model_.weights.arrays())
        chosen = {"mu": self.mu_, "sparse": self.sparse_}
        return arrays, {"has_labels": self.model_ is not None, "curve": self.curve_} | chosen

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        self.curve_ = list(metadata["curve"])
        self.mu_, self.sparse_ = float(metadata["mu"]), float(metadata["sparse"])
        self.map_, self.model_ = stored_array(arrays, "map", np.float32, (self.n_features_in_ + 1, None), FINITE), None
        if metadata["has_labels"]:
            n_inputs = self.map_.shape[1] + (self.n_features_in_ if self.sparse_ else 0)
            tree, weights = without_prefix("tree.", arrays), without_prefix("weights.", arrays)
            self.model_ = TreeModel.from_arrays(tree, weights, self.classes_.size, n_inputs)
            if verify == "full":
                self.model_.verify()


def _fit_levels(fit: Any, levels: list[Level], stop: StopByte) -> list[Level]:
    found: list[Level] = fit(levels=levels, stop=stop)
    return found
