"""FastXML: trees over points whose nodes optimize nDCG (Prabhu and Varma, KDD 2014)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

import xclassic._kernels.hyperplanes as kernels
from xclassic._kernels.arguments import FeatureRows
from xclassic.instance_tree.forest import ForestClassifier
from xclassic.instance_tree.growing import UNWEIGHTED, Split, TreeWeights
from xclassic.instance_tree.ndcg import split_by_ranking
from xclassic.parallel import StopByte
from xclassic.rows import kernel_rows, row_lengths
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number

RANKING_ROUNDS = 50  # At most this many rounds per node. nDCG grows in each, so this only bounds the time.
RISE = 1e-6  # The sides of a node are settled when its mean nDCG grows by less than this.
SWEEPS = 2  # Sweeps over the features per Newton step. More do not improve trees on held-out rows.


class FastXML(ForestClassifier):
    r"""Forest over points: every node splits its points so that two rankings of all labels serve them best.

    In each node the points get random sides; then, alternately, each side ranks the labels and each point moves to the
    side whose ranking has the larger nDCG for its labels. A sparse hyperplane, fitted to the sides by l1-regularized
    logistic regression, decides where points really go. A leaf holds the mean label vector of its points, and a
    prediction is the mean over the trees.

    It is good where labels often co-occur and features are few, as on delicious, where it is ahead of all linear
    methods. It predicts fast, since a row sees some ten hyperplanes per tree. Rare labels need `PfastreXML`;
    with very many labels the leaves know too few of them, and linear methods such as `DiSMEC` and `Parabel` are ahead.

    Parameters
    ----------
    n_trees : int, default=50
        Trees, whose leaves are averaged. Accuracy grows with their number, by little after some tens.
    max_leaf : int, default=10
        Nodes of at most this many points are not split.
    max_depth : int, optional
        At most this many edges from the root to a leaf; no limit by default.
    C : float, default=4.0
        Cost of a point on the wrong side of a hyperplane, above 0, for rows whose mean length is one; rows of another
        scale give the same trees. Both sides cost the same in total.
    eps : float, default=0.1
        A hyperplane is done at this residual: the sum of violations of optimality, relative to the sum at the start.
    max_steps : int, default=3
        Newton steps after which a hyperplane is done in any case. More steps lower the objective, but do not help the
        labels: on held-out rows of bibtex and delicious three are as accurate as ten.
    leaf_labels : int, default=100
        Labels kept in a leaf, the most frequent ones.
    bias : float, default=1.0
        Value of a constant feature, in mean lengths of a row. It is regularized as the others are; 0 for none.
    normalize : bool, default=False
        Scale every row to unit length first.
    n_jobs : int, optional
        Workers, as joblib counts them. The model does not depend on it.
    random_state : int or None, default=0
        Seed of the first sides; None takes a new one each time.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Attributes
    ----------
    trees_ : list of InstanceTree

    See Also
    --------
    PfastreXML : Weights labels by how rarely they are annotated, and re-ranks the rare ones.

    Notes
    -----
    Scores are mean shares of the points in the leaves, in [0, 1]. Labels that no leaf of a row has kept are not
    predicted. Rows without labels reach leaves but do not rank labels. A node is a leaf when its hyperplane leaves all
    points on one side, as for identical rows or label sets.

    In ``fit``, ``sample_weight`` multiplies the nDCG of a row and its share of the average of a leaf, and
    ``label_weight`` the gain of a label. Hyperplanes and `max_leaf` count each row once, so that a weight of two is not
    quite two rows.

    The objective of a node [1]_, with sides :math:`\delta_i = \pm 1` and rankings :math:`r^\pm`, is

    .. math:: \|w\|_1 + C \sum_i c_i \log(1 + e^{-\delta_i w x_i}) - \sum_i \mathrm{nDCG}(r^{\delta_i}, y_i),

    where :math:`c_i` is the number of points over the number on the side of i, and nDCG runs over all labels. As in the
    authors' program, sides are settled before the hyperplane, which is fitted once.

    Cost: ``O(n_trees nnz(X) log n_rows)``. Memory: per worker the columns of one node and 20 bytes for each label,
    in addition to the finished trees.

    References
    ----------
    .. [1] Y. Prabhu and M. Varma, "FastXML: A fast, accurate and stable tree-classifier for extreme multi-label
       learning", KDD 2014.
    .. [2] G.-X. Yuan, C.-H. Ho and C.-J. Lin, "An improved GLMNET for L1-regularized logistic regression", JMLR 2012.

    Examples
    --------
    >>> from xclassic import FastXML, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = FastXML(n_trees=5).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    _probabilistic = True

    def __init__(
        self,
        n_trees: int = 50,
        *,
        max_leaf: int = 10,
        max_depth: int | None = None,
        C: float = 4.0,
        eps: float = 0.1,
        max_steps: int = 3,
        leaf_labels: int = 100,
        bias: float = 1.0,
        normalize: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.n_trees = n_trees
        self.max_leaf = max_leaf
        self.max_depth = max_depth
        self.C = C
        self.eps = eps
        self.max_steps = max_steps
        self.leaf_labels = leaf_labels
        self.bias = bias
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("C", self.C, minimum=0, inclusive=False)
        check_number("eps", self.eps, minimum=0, inclusive=False)
        check_number("max_steps", self.max_steps, minimum=1, integer=True)
        check_number("bias", self.bias, minimum=0)

    def _weights_taken(self) -> tuple[str, ...]:
        return "sample_weight", "label_weight"

    def _splitter(self, X: Features, Y: csr_array, seed: int, weights: TreeWeights = UNWEIGHTED) -> RankingSplitter:
        of_rows, of_labels = self._normalizers(Y), self._label_weights(Y)
        if weights.sample_weight is not None:
            of_rows = of_rows * weights.sample_weight
        if weights.label_weight is not None:
            of_labels = of_labels * weights.label_weight
        length = mean_length(X)
        scale = 1 / nearest_power(length)
        return RankingSplitter(
            X,
            scale,
            self.bias * length * scale,
            Y.indptr.astype(np.int64, copy=False),
            Y.indices.astype(np.int32, copy=False),
            of_rows,
            of_labels,
            discounts(Y.shape[1]),
            self.C / (length * scale),
            self.eps,
            self.max_steps,
        )

    def _normalizers(self, Y: csr_array) -> NDArray[np.float32]:
        """Return the factor of the gains of each row: one over the best DCG that its labels can have."""
        n_labels = np.diff(Y.indptr)
        best = np.concatenate([[0], np.cumsum(discounts(n_labels.max(initial=0)))])[n_labels]
        return np.divide(1, best, out=np.zeros(len(best)), where=best > 0).astype(np.float32)

    def _label_weights(self, Y: csr_array) -> NDArray[np.float32]:
        """Return the factor of the gains of each label."""
        return np.ones(Y.shape[1], np.float32)


def mean_length(X: Features) -> float:
    """Return the mean length of rows, 1 if all are zero."""
    return float(row_lengths(X).mean()) or 1.0


def nearest_power(length: float) -> float:
    """Return the power of two next to a length; a product with it rounds nothing."""
    return float(2.0 ** np.clip(np.rint(np.log2(length)), -126, 126))


def discounts(n_labels: int) -> NDArray[np.float32]:
    """Return the weight of each rank in nDCG."""
    return (1 / np.log2(np.arange(2, n_labels + 2))).astype(np.float32)


@dataclass(frozen=True)
class RankingSplitter:
    """Splitter of the nodes of a level: sides by ranking, then a hyperplane between them."""

    X: Features
    scale: float
    bias: float
    label_ptr: NDArray[np.int64]
    labels: NDArray[np.int32]
    normalizers: NDArray[np.float32]
    label_weights: NDArray[np.float32]
    discounts: NDArray[np.float32]
    cost: float
    eps: float
    max_steps: int

    def __call__(
        self, point_ptr: NDArray[np.int64], points: NDArray[np.int32], seeds: NDArray[np.uint64], stop: StopByte
    ) -> Split:
        sides = self.sides(point_ptr, points, seeds, stop)
        rows = kernel_rows(self.X, bias=self.bias)
        *planes, went = self.planes(rows, self.scale, self.cost, point_ptr, points, sides, seeds, stop)
        return halved(point_ptr, went, *planes)

    def sides(
        self, point_ptr: NDArray[np.int64], points: NDArray[np.int32], seeds: NDArray[np.uint64], stop: StopByte
    ) -> NDArray[np.uint8]:
        """Return the side, 0 or 1, of each point whose ranking serves its labels better."""
        sides = np.random.default_rng(seeds).integers(0, 2, len(points), dtype=np.uint8)
        split_by_ranking(  # Indices are unsigned, since Numba checks the sign of others.
            self.label_ptr.view(np.uint64),
            self.labels.view(np.uint32),
            self.normalizers,
            self.label_weights,
            point_ptr.view(np.uint64),
            points.view(np.uint32),
            sides,
            self.discounts,
            RANKING_ROUNDS,
            RISE,
            stop,
        )
        return sides

    def planes(
        self,
        rows: FeatureRows,
        scale: float,
        cost: float,
        point_ptr: NDArray[np.int64],
        points: NDArray[np.int32],
        sides: NDArray[np.uint8],
        seeds: NDArray[np.uint64],
        stop: StopByte,
    ) -> tuple[NDArray[Any], ...]:
        """Return sizes, features, weights and biases of the hyperplanes of the nodes, and the side of each point."""
        return kernels.train_planes(
            rows,
            point_ptr=point_ptr,
            points=points,
            sides=sides,
            scale=scale,
            cost=cost,
            eps=self.eps,
            max_rounds=self.max_steps,
            max_sweeps=SWEEPS,
            seeds=seeds,
            stop=stop,
        )


def halved(
    point_ptr: NDArray[np.int64],
    went: NDArray[np.uint8],
    sizes: NDArray[np.int64],
    features: NDArray[np.int32],
    weights: NDArray[np.float32],
    bias: NDArray[np.float32],
) -> Split:
    """Return the split by hyperplanes; a node whose points all `went` to one side is a leaf."""
    n_second = np.add.reduceat(went, point_ptr[:-1], dtype=np.int64)
    parted = (n_second > 0) & (n_second < np.diff(point_ptr))
    entries = np.repeat(parted, sizes)
    return Split(
        arity=2 * parted,
        child=went.astype(np.int64),
        sizes=_beside_zeros(sizes[parted]),
        features=features[entries],
        weights=weights[entries],
        bias=_beside_zeros(bias[parted]),
    )


def _beside_zeros(first: NDArray[Any]) -> NDArray[Any]:
    """Return values for pairs of children: those given for the first of a pair, and zeros for the second."""
    return np.stack([first, np.zeros_like(first)], axis=1).ravel()
