"""AnnexML (Tagami, KDD 2017)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.neighbors.graph import check_search
from xclassic.neighbors.label_graph import label_neighbors
from xclassic.neighbors.local import Learner, LocalEmbeddings
from xclassic.neighbors.ranking import learn_partition, ranking_map
from xclassic.parallel import StopByte, blas_threads, run_tasks, spawn_seeds
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number


class AnnexML(LocalEmbeddings):
    r"""Neighbors in spaces that are learned by ranking rows with similar labels first.

    A graph joins each training row with the rows whose labels are most similar to its own. A learner

    1. *clusters* the rows by linear scorers, trained such that a row and its neighbors in the graph have the same best
       scorer,
    2. *maps* each cluster linearly to a space where neighbors have larger cosines than other rows,
    3. *decodes*: maps a new row of the cluster, finds the nearest training rows there, and lets them vote.

    The prediction is the mean over learners. The idea is the same as in `SLEEC`, whose clusters do not look at the
    labels and whose spaces preserve inner products rather than ranks; AnnexML trains faster and is as accurate or more.

    Parameters
    ----------
    n_learners : int, default=10
        Learners whose votes are averaged.
    n_components : int, default=100
        Length of the vectors.
    part_size : int, default=3000
        Training rows for each cluster of a learner, on average.
    label_neighbors : int, default=10
        Neighbors of a row in the graph, before rows are added that have this row as a neighbor.
    sharpness : float, default=10.0
        Factor of the cosines in the loss, above 0. The larger it is, the more only the nearest of the others count.
    epochs : int, default=10
        Passes over the rows of a cluster in training its map.
    n_neighbors : int, default=20
        Training rows of each learner that vote.
    power : float, default=8.0
        Power of the cosine in the votes, at least 0.
    search : {"exact", "graph"}, default="exact"
        How neighbors are found in a cluster. "graph" is approximate, for clusters of more than some 200,000 rows, and
        needs USearch (``pip install "xclassic[graph]"``).
    normalize : bool, default=True
        Scale rows to unit length first.
    n_jobs : int, optional
        Workers, as joblib counts them. The model does not depend on it.
    random_state : int or None, default=0
        Seed of the starts and the comparisons; None takes a new one each time.
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
    SLEEC : Spaces that preserve the inner products of label vectors.
    KNN : Neighbors by the features themselves.

    Notes
    -----
    Scores are shares of the votes, in [0, 1]. Training rows without labels are left out. Rows that share labels with no
    other row have no neighbors in the graph; they vote, but do not shape the space. A row that is near to no training
    row, such as one without known features, gets ``label_shares_``. In clusters of fewer rows than `n_neighbors` all
    rows vote.

    In ``fit``, ``sample_weight`` multiplies the vote of a row; spaces and clusters count each row once.

    For row i, its neighbor j and 256 random rows n of the cluster, the map lowers
    :math:`\log(1 + \sum_n e^{-\gamma(\cos_{ij} - \cos_{in})})`, as in the paper [1]_; the scorers lower a loss of their
    own. Unlike there, the steps are taken for batches of 256 rows, which share their n, scorers have no penalty, and
    neighbors are by default searched among all rows of the cluster, which is faster for up to many thousand rows.

    Cost: the graph, ``label_neighbors`` nearest label vectors of each row, where a label is followed to 2,000 of its
    rows. For each learner and epoch, ``6 nnz(X) n_components``, and ``768 n_rows n_components``. A prediction reads
    ``part_size n_components`` numbers for each learner. Memory: per worker 16 bytes for each feature and component;
    for each learner, ``2 n_rows n_components`` bytes for the vectors, ``2 n_components`` for each feature of each
    cluster for the maps, and ``4 n_features`` for each cluster for the scorers.

    References
    ----------
    .. [1] Y. Tagami, "AnnexML: approximate nearest neighbor search for extreme multi-label classification", KDD 2017.

    Examples
    --------
    >>> from xclassic import AnnexML, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = AnnexML(n_learners=2).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    def __init__(
        self,
        n_learners: int = 10,
        *,
        n_components: int = 100,
        part_size: int = 3000,
        label_neighbors: int = 10,
        sharpness: float = 10.0,
        epochs: int = 10,
        n_neighbors: int = 20,
        power: float = 8.0,
        search: str = "exact",
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.n_learners = n_learners
        self.n_components = n_components
        self.part_size = part_size
        self.label_neighbors = label_neighbors
        self.sharpness = sharpness
        self.epochs = epochs
        self.n_neighbors = n_neighbors
        self.power = power
        self.search = search
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("part_size", "label_neighbors"):
            check_number(name, getattr(self, name), minimum=1, integer=True)
        check_number("sharpness", self.sharpness, minimum=0, inclusive=False)
        check_number("epochs", self.epochs, minimum=0, integer=True)
        check_search(self.search)

    def _trainer(self, X: Features, Y: csr_array, labeled: NDArray[np.int64]) -> Callable[[int, StopByte], Learner]:
        seed = int(spawn_seeds(self.random_state, 1)[0])
        (graph,) = run_tasks(partial(label_neighbors, Y, self.label_neighbors), [seed])
        return partial(self._learn, X, graph, labeled)

    def _learn(self, X: Features, graph: csr_array, labeled: NDArray[np.int64], seed: int, stop: StopByte) -> Learner:
        """Fit one learner."""
        random = np.random.default_rng(seed)
        n_clusters = max(1, round(len(labeled) / self.part_size))
        with blas_threads(1):  # The model must not depend on how BLAS shares its work.
            scorers = learn_partition(X[labeled], graph[labeled][:, labeled], n_clusters, random, stop)
            return Learner.build(X, labeled, scorers, partial(self._embed, graph, random, stop), stop)

    def _embed(
        self, graph: csr_array, random: np.random.Generator, stop: StopByte, X: Features, rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return the map of a cluster."""
        own = csr_array(graph[rows][:, rows])
        return ranking_map(X, own, self.n_components, self.sharpness, self.epochs, random, stop)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        used = min(d, nnz_x * min(n, self.part_size) / max(n, 1))
        worker = 8 * nnz_x + 16 * used * self.n_components + 16 * d * max(1, n / self.part_size)
        graph = 16 * n * self.label_neighbors
        model = self._model_memory(n, d, nnz_x, self.part_size)
        return int(8 * nnz_x + graph + model + effective_n_jobs(self.n_jobs) * worker)
