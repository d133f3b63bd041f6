"""CRAFTML: trees that cluster points by their labels, and tell the clusters apart by their mean features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.sparse import csr_array

import xclassic._kernels.point_clusters as kernels
from xclassic.instance_tree.forest import ForestClassifier
from xclassic.instance_tree.growing import UNWEIGHTED, Split, TreeWeights
from xclassic.parallel import StopByte
from xclassic.rows import kernel_rows, unit_rows
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number


class CRAFTML(ForestClassifier):
    """Forest over points: every node clusters its points by their labels, and sends them to the nearest mean row.

    No classifier is trained. Each tree sees features and labels through a random projection of its own; in a node,
    k-means groups points whose label sets are similar, and a point goes to the cluster whose mean features are nearest.
    This is the fastest method here to train, as accurate as `FastXML`, and the best choice for dense features of few
    dimensions. Models are larger than those of `FastXML`.

    Parameters
    ----------
    n_trees : int, default=50
        Trees, whose leaves are averaged.
    max_leaf : int, default=20
        Nodes of at most this many points are not split.
    max_depth : int, optional
        At most this many edges from the root to a leaf; no limit by default.
    n_clusters : int, default=10
        At most this many children of a node; with 1 there is only a root.
    rounds : int, default=2
        At most this many rounds of k-means after its start; they end when no point changes its cluster.
    n_dimensions : int, default=100000
        Dimensions that features are projected to, and labels too. With the paper's 10,000, mean rows gain an entry for
        each feature that shares a dimension with one of their own.
    max_sample : int, default=20000
        At most this many points of a node are clustered; all of them are sent on.
    kept_share : float, default=0.2
        Share of the entries of a mean row that are kept, largest first, in [0, 1]. The paper keeps a tenth, which makes
        models smaller and costs up to two points of P@1 on held-out rows.
    kept_least : int, default=10
        At least this many entries are kept, for any `kept_share`.
    kept_most : int, default=500
        At most this many entries are kept; it must be at least `kept_least`.
    leaf_labels : int, default=100
        Labels kept in a leaf, the most frequent ones.
    normalize : bool, default=False
        Scale every row to unit length first.
    n_jobs : int, optional
        Workers, as joblib counts them. The model does not depend on it.
    random_state : int or None, default=0
        Seed of projections and clusters; None takes a new one each time.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Attributes
    ----------
    trees_ : list of InstanceTree

    See Also
    --------
    FastXML : Hyperplanes in place of mean rows, with smaller models and faster predictions.

    Notes
    -----
    Scores are mean shares of the points in the leaves, in [0, 1]. A projection adds each coordinate, with a random
    sign, to one random dimension [1]_, so that products of rows are kept on average. Points without labels are not
    clustered. A node is a leaf when its label sets are all the same, or its points all go to one mean row, as identical
    rows do. Mean rows are stored in the features themselves, so that trees are walked like those of the other forests.

    In ``fit``, ``sample_weight`` is the weight of a row in the average of its leaf; nodes are split by counting each
    row once.

    Cost: ``O(n_trees n_clusters (nnz(X) + nnz(Y)) log n_rows)``. Memory: per worker 4 bytes for each
    feature and 8 for each dimension of the projections, ``4 n_clusters`` more for each dimension that occurs, in
    addition to the finished trees.

    References
    ----------
    .. [1] W. Siblini, P. Kuntz and F. Meyer, "CRAFTML, an efficient clustering-based random forest for extreme
       multi-label learning", ICML 2018.

    Examples
    --------
    >>> from xclassic import CRAFTML, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = CRAFTML(n_trees=5).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    _probabilistic = True

    def __init__(
        self,
        n_trees: int = 50,
        *,
        max_leaf: int = 20,
        max_depth: int | None = None,
        n_clusters: int = 10,
        rounds: int = 2,
        n_dimensions: int = 100_000,
        max_sample: int = 20_000,
        kept_share: float = 0.2,
        kept_least: int = 10,
        kept_most: int = 500,
        leaf_labels: int = 100,
        normalize: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.n_trees = n_trees
        self.max_leaf = max_leaf
        self.max_depth = max_depth
        self.n_clusters = n_clusters
        self.rounds = rounds
        self.n_dimensions = n_dimensions
        self.max_sample = max_sample
        self.kept_share = kept_share
        self.kept_least = kept_least
        self.kept_most = kept_most
        self.leaf_labels = leaf_labels
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("n_clusters", self.n_clusters, minimum=1, integer=True)
        check_number("rounds", self.rounds, minimum=0, integer=True)
        check_number("n_dimensions", self.n_dimensions, minimum=1, integer=True)
        check_number("max_sample", self.max_sample, minimum=1, integer=True)
        check_number("kept_share", self.kept_share, minimum=0, maximum=1)
        check_number("kept_least", self.kept_least, minimum=1, integer=True)
        check_number("kept_most", self.kept_most, minimum=self.kept_least, integer=True)

    def _splitter(self, X: Features, Y: csr_array, seed: int, weights: TreeWeights = UNWEIGHTED) -> ClusterSplitter:
        random = np.random.default_rng(seed)
        slots, signs = draw_projection(X.shape[1], self.n_dimensions, random)
        labels = unit_rows(project(Y, *draw_projection(Y.shape[1], self.n_dimensions, random), self.n_dimensions))
        return ClusterSplitter(
            labels,
            X,
            slots,
            signs,
            self.n_dimensions,
            self.n_clusters,
            self.rounds,
            self.max_sample,
            self.kept_share,
            self.kept_least,
            self.kept_most,
        )

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        worker = 8 * self.n_clusters * d + 8 * self.n_dimensions + 20 * nnz_y
        return super()._estimate_memory(n, d, L, nnz_x, nnz_y) + effective_n_jobs(self.n_jobs) * worker


def draw_projection(
    n: int, n_dimensions: int, random: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return for each of `n` coordinates the dimension that it is added to and its sign there."""
    slots = random.integers(0, n_dimensions, n, dtype=np.int32)
    return slots, (2 * random.integers(0, 2, n) - 1).astype(np.float32)


def project(X: csr_array, slots: NDArray[np.int32], signs: NDArray[np.float32], n_dimensions: int) -> csr_array:
    """Return the projected rows. On average over projections, their products equal those of the rows of `X`."""
    projected = csr_array((X.data * signs[X.indices], slots[X.indices], X.indptr.copy()), (X.shape[0], n_dimensions))
    projected.sum_duplicates()
    projected.eliminate_zeros()
    return projected


@dataclass(frozen=True)
class ClusterSplitter:
    """Splitter of the nodes of a level: clusters by labels, then the centroid of each in the space of features."""

    labels: csr_array
    X: Features
    slots: NDArray[np.int32]
    signs: NDArray[np.float32]
    n_dimensions: int
    n_clusters: int
    rounds: int
    max_sample: int
    kept_share: float
    kept_least: int
    kept_most: int

    def __call__(
        self, point_ptr: NDArray[np.int64], points: NDArray[np.int32], seeds: NDArray[np.uint64], stop: StopByte
    ) -> Split:
        arity, child, sizes, features, weights = kernels.split_by_clusters(
            kernel_rows(self.X),
            kernel_rows(self.labels),
            slots=self.slots,
            signs=self.signs,
            n_slots=self.n_dimensions,
            point_ptr=point_ptr,
            points=points,
            n_clusters=self.n_clusters,
            rounds=self.rounds,
            max_sample=self.max_sample,
            kept_share=self.kept_share,
            kept_least=self.kept_least,
            kept_most=self.kept_most,
            seeds=seeds,
            stop=stop,
        )
        return Split(
            arity=arity,
            child=child.astype(np.int64),
            sizes=sizes,
            features=features,
            weights=weights,
            bias=np.zeros(len(sizes), np.float32),
        )
