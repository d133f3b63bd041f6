"""SLEEC: neighbors in a space learned from the labels (Bhatia, Jain, Kar, Varma and Jain, NIPS 2015)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.neighbors.clusters import cluster_centroids
from xclassic.neighbors.label_graph import label_similarities
from xclassic.neighbors.local import Learner, LocalEmbeddings
from xclassic.neighbors.projection import project
from xclassic.neighbors.regression import fit_map
from xclassic.parallel import StopByte, blas_threads
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number


class SLEEC(LocalEmbeddings):
    r"""Neighbors in spaces where rows with similar labels are near: an ensemble of local embeddings.

    A learner splits the training rows into clusters by their features. Within each, it

    1. *compresses* the labels: gives every row a short vector, such that rows have the inner products that the label
       vectors of their nearest neighbors have,
    2. *regresses*: learns a linear map from the features to these vectors,
    3. *decodes*: maps a new row of the cluster, finds the nearest training rows there, and lets them vote.

    The prediction is the mean over learners, each of which sees other rows and clusters. Labels need no model of their
    own, and those that co-occur are learned together. This is more accurate than linear methods where labels are
    frequent and related, as on delicious; with very many rare labels one-vs-rest is ahead.

    Parameters
    ----------
    n_learners : int, default=10
        Learners whose votes are averaged.
    n_components : int, default=100
        Length of the vectors. 50 are enough for some hundred features.
    cluster_size : int, default=2000
        Training rows for each cluster of a learner, before it leaves out some. The paper has 6,000; a third of them is
        faster, and a point of P@1 more accurate on held-out rows of delicious.
    sample_share : float, default=0.8
        Share of the training rows that each learner sees, in (0, 1]. With 1, learners differ by their clusters only.
    label_neighbors : int, default=15
        Rows with the most similar labels, whose inner products with a row are preserved; the row itself is one.
    rounds : int, default=15
        Rounds of the projection; more rounds come closer to the inner products.
    alpha : float, default=1.0
        Ridge penalty of the map, above 0.
    l1 : float, default=0.0
        Weight of the absolute values of the mapped rows, at least 0; it makes them sparse.
    n_neighbors : int, default=20
        Training rows of each learner that vote.
    power : float, default=4.0
        Power of the cosine in the votes, at least 0.
    normalize : bool, default=True
        Scale rows to unit length first.
    n_jobs : int, optional
        Workers, as joblib counts them. The model does not depend on it.
    random_state : int or None, default=0
        Seed of samples and clusters; None takes a new one each time.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Attributes
    ----------
    learners_ : list of Learner
    labels_ : csr_array, shape (n_rows, n_labels)
        Labels of the training rows.
    label_shares_ : ndarray of float32, shape (n_labels,)
        Share of the training rows with each label.
    row_weights_ : ndarray of float32, shape (n_rows,), or None
        Weights of the training rows as shares of the largest; None if all are one.

    See Also
    --------
    KNN : Neighbors by the features themselves.

    Notes
    -----
    Scores are shares of the votes, in [0, 1]. Training rows without labels are left out. A row that is near to no
    training row, such as one without known features, gets ``label_shares_``. Clusters of fewer rows than
    `n_components` have shorter vectors, and in clusters of fewer than `n_neighbors` all rows vote.

    In ``fit``, ``sample_weight`` multiplies the vote of a row; spaces and clusters count each row once.

    Label vectors are scaled to unit length. Unlike in the paper [1]_, `l1` is off by default, neighbors are found by
    the cosine of mapped rows, which weighs their votes, and every learner leaves some rows out.

    Cost, for each learner: ``n_rows (n_components^2 + label_neighbors n_components) rounds`` for the vectors, and
    ``m^3 / 3`` per cluster for the map, with m the smaller of its rows and features. A prediction reads
    ``cluster_size n_components`` numbers for each learner. Memory: per worker ``4 m^2`` bytes; the vectors,
    ``2 n_rows n_components`` bytes for each learner, and the maps, ``2 n_components`` for each feature of each cluster.

    References
    ----------
    .. [1] K. Bhatia, H. Jain, P. Kar, M. Varma and P. Jain, "Sparse local embeddings for extreme multi-label
       classification", NIPS 2015.

    Examples
    --------
    >>> from xclassic import SLEEC, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = SLEEC(n_learners=2).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    def __init__(
        self,
        n_learners: int = 10,
        *,
        n_components: int = 100,
        cluster_size: int = 2000,
        sample_share: float = 0.8,
        label_neighbors: int = 15,
        rounds: int = 15,
        alpha: float = 1.0,
        l1: float = 0.0,
        n_neighbors: int = 20,
        power: float = 4.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.n_learners = n_learners
        self.n_components = n_components
        self.cluster_size = cluster_size
        self.sample_share = sample_share
        self.label_neighbors = label_neighbors
        self.rounds = rounds
        self.alpha = alpha
        self.l1 = l1
        self.n_neighbors = n_neighbors
        self.power = power
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("cluster_size", "label_neighbors"):
            check_number(name, getattr(self, name), minimum=1, integer=True)
        check_number("rounds", self.rounds, minimum=0, integer=True)
        check_number("alpha", self.alpha, minimum=0, inclusive=False)
        check_number("l1", self.l1, minimum=0)
        check_number("sample_share", self.sample_share, minimum=0, maximum=1)
        if self.sample_share == 0:
            raise ValueError("sample_share is 0; something must remain. It is in (0, 1].")

    def _trainer(self, X: Features, Y: csr_array, labeled: NDArray[np.int64]) -> Callable[[int, StopByte], Learner]:
        return partial(self._learn, X, Y, labeled)

    def _learn(self, X: Features, Y: csr_array, labeled: NDArray[np.int64], seed: int, stop: StopByte) -> Learner:
        """Fit one learner."""
        random = np.random.default_rng(seed)
        n = int(np.ceil(self.sample_share * len(labeled)))
        rows = np.sort(random.choice(labeled, n, replace=False))
        n_clusters = min(n, max(1, round(len(labeled) / self.cluster_size)))
        with blas_threads(1):  # The model must not depend on how BLAS shares its work.
            centroids = cluster_centroids(X[rows], n_clusters, random, stop)
            return Learner.build(X, rows, centroids, partial(self._embed, Y, random, stop), stop)

    def _embed(
        self, Y: csr_array, random: np.random.Generator, stop: StopByte, X: Features, rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Compress the labels of a cluster, and return the regression of the resulting vectors on its features."""
        similarities = label_similarities(Y[rows], self.label_neighbors, random, stop)
        Z = project(similarities, self.n_components, self.rounds, random, stop)
        return fit_map(X, Z, self.alpha, self.l1, stop)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        rows = min(n, self.cluster_size)
        used = min(d, nnz_x * rows / max(n, 1))
        worker = 8 * min(rows, used) ** 2 + 4 * self.n_components * (8 * rows + 3 * used)
        model = self._model_memory(n, d, nnz_x, self.cluster_size)
        return int(8 * nnz_x + model + effective_n_jobs(self.n_jobs) * worker)
