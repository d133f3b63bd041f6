"""MLRF: a random forest whose splits make label sets similar (Agrawal et al., WWW 2013)."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

import xclassic._kernels.thresholds as kernels
from xclassic.instance_tree.forest import ForestClassifier
from xclassic.instance_tree.growing import UNWEIGHTED, Split, TreeWeights
from xclassic.parallel import StopByte
from xclassic.rows import kernel_rows
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number


class MLRF(ForestClassifier):
    r"""Random forest for label sets: every node takes the threshold of one feature that makes its sides most uniform.

    A node looks at some random features and splits its points where the label sets on either side differ least among
    themselves. This is the only forest here whose trees can be read as questions, and the only one that does not depend
    on the scale of features. On sparse text `FastXML` and `CRAFTML` are more accurate.

    Parameters
    ----------
    n_trees : int, default=100
        Trees, whose leaves are averaged. Accuracy grows with their number, by little after a hundred.
    max_leaf : int, default=20
        Nodes of at most this many points are not split.
    min_leaf : int, default=3
        At least this many points on either side of a split.
    min_share : float, default=0.005
        At least this share of the points of a node on either side, in [0, 0.5]. With 0, words that few rows contain
        make trees very deep, and training takes several times as long on 40,000 rows of text.
    max_depth : int, optional
        At most this many edges from the root to a leaf; no limit by default.
    split_features : float or "sqrt", default=0.1
        Share of all features that a node looks at, above 0 and at most 1, or the square root of their number. They are
        drawn from the features that occur in the node, and more are drawn until one can split it.
    bootstrap : bool, default=True
        Grow each tree on as many rows as there are, drawn with replacement; otherwise on the rows themselves.
    leaf_labels : int, default=100
        Labels kept in a leaf, the most frequent ones.
    normalize : bool, default=False
        Scale every row to unit length first.
    n_jobs : int, optional
        Workers, as joblib counts them. The model does not depend on it.
    random_state : int or None, default=0
        Seed of rows and features; None takes a new one each time.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Attributes
    ----------
    trees_ : list of InstanceTree

    See Also
    --------
    sklearn.ensemble.RandomForestClassifier : For a few dense labels.

    Notes
    -----
    Scores are mean shares of the points in the leaves, in [0, 1]. With :math:`n_l` of the :math:`n` points of a side
    having label l, its impurity is :math:`\sum_l n_l (1 - n_l / n)`, the Gini index of each label on its own; the sum
    over both sides is minimized [1]_. A feature that a row does not have is 0. Points with a value of at most the
    threshold, halfway between two neighbors, go to the first child. A node is a leaf when its points all have the same
    labels, or no feature splits them. The paper also fills in labels that are likely missing before it grows trees,
    which is not done here; least squares with propensities does so in its own way.

    In ``fit``, ``sample_weight`` is the weight of a row in the average of its leaf; nodes are split by counting each
    row once.

    Labels are counted only where they occur, so that a feature costs its entries in the node times the labels of a row,
    for any number of labels. Cost: ``O(n_trees nnz(X) (log nnz(X) + labels of a row) depth)`` at most. Memory:
    per worker the entries of the features that one node looks at, and 8 bytes for each label and feature, in addition
    to the finished trees.

    References
    ----------
    .. [1] R. Agrawal, A. Gupta, Y. Prabhu and M. Varma, "Multi-label learning with millions of labels: Recommending
       advertiser bid phrases for web pages", WWW 2013.

    Examples
    --------
    >>> from xclassic import MLRF, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = MLRF(n_trees=5).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    _probabilistic = True

    def __init__(
        self,
        n_trees: int = 100,
        *,
        max_leaf: int = 20,
        min_leaf: int = 3,
        min_share: float = 0.005,
        max_depth: int | None = None,
        split_features: float | str = 0.1,
        bootstrap: bool = True,
        leaf_labels: int = 100,
        normalize: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.n_trees = n_trees
        self.max_leaf = max_leaf
        self.min_leaf = min_leaf
        self.min_share = min_share
        self.max_depth = max_depth
        self.split_features = split_features
        self.bootstrap = bootstrap
        self.leaf_labels = leaf_labels
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("min_leaf", self.min_leaf, minimum=1, integer=True)
        check_number("min_share", self.min_share, minimum=0, maximum=0.5)
        if isinstance(self.split_features, str):
            check_choice("split_features", self.split_features, ("sqrt",))
        else:
            check_number("split_features", self.split_features, minimum=0, maximum=1, inclusive=False)

    def _rows_of_tree(self, n: int, seed: int) -> NDArray[np.int32]:
        if not self.bootstrap:
            return super()._rows_of_tree(n, seed)
        return np.sort(np.random.default_rng(seed).integers(0, n, n, dtype=np.int32))

    def _splitter(self, X: Features, Y: csr_array, seed: int, weights: TreeWeights = UNWEIGHTED) -> ThresholdSplitter:
        d = X.shape[1]
        return ThresholdSplitter(
            X,
            Y.indptr.astype(np.int64, copy=False),
            Y.indices.astype(np.int32, copy=False),
            Y.shape[1],
            ceil(sqrt(d) if self.split_features == "sqrt" else self.split_features * d),
            self.min_leaf,
            self.min_share,
        )


@dataclass(frozen=True)
class ThresholdSplitter:
    """Splitter of the nodes of a level: the best threshold of some random features in each."""

    X: Features
    label_ptr: NDArray[np.int64]
    labels: NDArray[np.int32]
    n_labels: int
    split_features: int
    min_leaf: int
    min_share: float

    def __call__(
        self, point_ptr: NDArray[np.int64], points: NDArray[np.int32], seeds: NDArray[np.uint64], stop: StopByte
    ) -> Split:
        features, thresholds, above = kernels.find_thresholds(
            kernel_rows(self.X),
            label_ptr=self.label_ptr,
            labels=self.labels,
            n_labels=self.n_labels,
            point_ptr=point_ptr,
            points=points,
            max_features=self.split_features,
            min_leaf=self.min_leaf,
            min_share=self.min_share,
            seeds=seeds,
            stop=stop,
        )
        parted = features >= 0
        n = int(parted.sum())
        return Split(
            arity=2 * parted,
            child=above.astype(np.int64),
            sizes=np.tile([0, 1], n),
            features=features[parted],
            weights=np.ones(n, np.float32),
            bias=np.stack([np.zeros(n, np.float32), -thresholds[parted]], axis=1).ravel(),
        )
