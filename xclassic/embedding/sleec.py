"""SLEEC: neighbours in a space learned from the labels (Bhatia, Jain, Kar, Varma and Jain, NIPS 2015)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from xclassic.base import Arrays, Facts, Verify, XMCClassifier
from xclassic.embedding.clusters import cluster_centroids, nearest_centroid
from xclassic.embedding.neighbours import DenseIndex, label_shares, vote, vote_weights
from xclassic.embedding.projection import label_similarities, project
from xclassic.embedding.regression import fit_map, largest_entries
from xclassic.model_io import ModelFileError
from xclassic.parallel import StopByte, blas_threads, run_tasks, spawn_seeds
from xclassic.rows import unit_rows
from xclassic.stored_arrays import matrix_arrays, stored_array, stored_matrix, verify_matrix
from xclassic.topk import TopK
from xclassic.validation import Features, check_number


@dataclass
class Part:
    """A cluster of training rows: their numbers, the map from features, and where they come to lie, at unit length."""

    rows: NDArray[np.int32]
    map: csr_array  # (n_features, n_components)
    vectors: NDArray[np.float32]  # (n_rows, n_components)

    @cached_property
    def index(self) -> DenseIndex:
        return DenseIndex.build(self.vectors)


@dataclass
class Learner:
    """A partition of the training rows."""

    centroids: NDArray[np.float32]  # (n_parts, n_features)
    parts: list[Part]

    def find(self, X: Features, power: float, neighbours: NDArray[np.int32], weights: NDArray[np.float32]) -> None:
        """Write the neighbours of each row and their shares of the vote, which sum to 1, or 0 where there are none."""
        if not self.parts:
            return
        nearest = nearest_centroid(X, self.centroids)
        for c in np.unique(nearest):
            part, asked = self.parts[c], np.flatnonzero(nearest == c)
            found = part.index.nearest(mapped(X[asked], part.map), min(neighbours.shape[1], len(part.rows)))
            shares = vote_weights(found.scores, power)
            shares /= np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
            neighbours[asked, : found.k] = part.rows[np.maximum(found.ids, 0)]
            weights[asked, : found.k] = shares


def mapped(X: Features, V: csr_array) -> NDArray[np.float32]:
    """Return the images of the rows at unit length, or zeros."""
    images = X @ V
    return unit_rows(images if isinstance(images, np.ndarray) else images.toarray())


class SLEEC(XMCClassifier):
    r"""Neighbours in a space where rows with like labels are near: local embeddings, an ensemble of them.

    A learner parts the training rows into clusters by their features. Within each, it

    1. *compresses* the labels: gives every row a short vector, such that rows have the inner products that the label
       vectors of their nearest neighbours have,
    2. *regresses*: learns a linear map from the features to these vectors,
    3. *decodes*: maps a new row of the cluster, finds the nearest training rows there, and lets them vote.

    The answer is the mean over learners, each of which sees other rows and clusters. Labels need no model of their own,
    and those that stand together are learned together: more accurate than linear methods where labels are frequent and
    related, as on delicious; with very many rare labels one-vs-rest is ahead.

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
        Rows, by likeness of labels, whose inner products with a row are preserved; the row itself is one.
    rounds : int, default=15
        Rounds of the projection; more come closer to the inner products.
    alpha : float, default=1.0
        Ridge penalty of the map, above 0.
    l1 : float, default=0.0
        Weight of the absolute values of the mapped rows, at least 0: makes them sparse.
    kept_share : float, default=0.5
        Share of the entries of the map that are kept, the largest, in (0, 1]. 0.3, as in the paper, costs half a point
        of P@1 on held-out rows of delicious, and nothing on those of bibtex and citeulike_t.
    n_neighbors : int, default=20
        Training rows that vote, of each learner.
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

    See Also
    --------
    KNN : Neighbours by the features themselves.

    Notes
    -----
    Scores are shares of the votes, in [0, 1]. Training rows without labels are left out. A row that is near to no
    training row, such as one without known features, is answered with ``label_shares_``. Clusters of fewer rows than
    `n_components` have shorter vectors, and those of fewer than `n_neighbors` let all vote.

    Label vectors are scaled to unit length. Unlike in the paper [1]_, `l1` is off by default, neighbours are found by
    the cosine of mapped rows, which weighs their votes, and every learner leaves some rows out.

    Cost, for each learner: ``n_rows (n_components^2 + label_neighbors n_components) rounds`` for the vectors, and
    ``m^3 / 3`` per cluster for the map, with m the smaller of its rows and features. A prediction reads
    ``cluster_size n_components`` numbers for each learner. Memory: per worker ``4 m^2`` bytes; the vectors,
    ``4 n_rows n_components`` bytes for each learner, and the maps, 8 bytes for each entry kept.

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

    _probabilistic = True

    learners_: list[Learner]
    labels_: csr_array
    label_shares_: NDArray[np.float32]

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
        kept_share: float = 0.5,
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
        self.kept_share = kept_share
        self.n_neighbors = n_neighbors
        self.power = power
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("n_learners", "n_components", "cluster_size", "label_neighbors", "n_neighbors"):
            check_number(name, getattr(self, name), minimum=1, integer=True)
        check_number("rounds", self.rounds, minimum=0, integer=True)
        check_number("alpha", self.alpha, minimum=0, inclusive=False)
        check_number("l1", self.l1, minimum=0)
        check_number("power", self.power, minimum=0)
        for name in ("sample_share", "kept_share"):
            check_number(name, getattr(self, name), minimum=0, maximum=1)
            if getattr(self, name) == 0:
                raise ValueError(f"{name} is 0; something must remain. It is in (0, 1].")

    def _encoded(self, X: Features) -> Features:
        return unit_rows(X) if self.normalize else X

    # Training

    def _fit(self, X: Features, Y: csr_array) -> None:
        self.labels_ = Y
        self._verified = True
        self.label_shares_ = label_shares(Y)
        self.learners_ = run_tasks(
            partial(self._learn, self._encoded(X), Y, np.flatnonzero(np.diff(Y.indptr))),
            spawn_seeds(self.random_state, self.n_learners).tolist(),
            n_jobs=self.n_jobs,
            description="fitting",
            verbose=self.verbose,
        )

    def _learn(self, X: Features, Y: csr_array, labelled: NDArray[np.int64], seed: int, stop: StopByte) -> Learner:
        """Fit one learner."""
        random = np.random.default_rng(seed)
        n = int(np.ceil(self.sample_share * len(labelled)))
        if n == 0:
            return Learner(np.zeros((0, X.shape[1]), np.float32), [])
        rows = np.sort(random.choice(labelled, n, replace=False))
        with blas_threads(1):  # so that the model does not depend on how BLAS shares its work
            n_clusters = min(n, max(1, round(len(labelled) / self.cluster_size)))
            centroids = cluster_centroids(X[rows], n_clusters, random, stop)
            cluster = nearest_centroid(X[rows], centroids)
            filled = np.unique(cluster)
            parts = [self._embed(X, Y, rows[cluster == c], random, stop) for c in filled if not stop[0]]
        return Learner(centroids[filled], parts)

    def _embed(
        self, X: Features, Y: csr_array, rows: NDArray[np.int64], random: np.random.Generator, stop: StopByte
    ) -> Part:
        """Fit one cluster: compress the labels, regress, and keep where the training rows come to lie."""
        similarities = label_similarities(Y[rows], self.label_neighbors, stop)
        Z = project(similarities, self.n_components, self.rounds, random, stop)
        V = largest_entries(fit_map(X[rows], Z, self.alpha, self.l1, stop), self.kept_share)
        return Part(rows.astype(np.int32), V, mapped(X[rows], V))

    # Prediction

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None) -> TopK:
        if not self._verified:
            self._verify()
        X = self._encoded(X)
        neighbours = np.zeros((X.shape[0], self.n_neighbors * len(self.learners_)), np.int32)
        weights = np.zeros(neighbours.shape, np.float32)
        for number, learner in enumerate(self.learners_):
            slots = slice(number * self.n_neighbors, (number + 1) * self.n_neighbors)
            learner.find(X, self.power, neighbours[:, slots], weights[:, slots])
        return vote(neighbours, weights, self.labels_, self.label_shares_, k, labels)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        rows = min(n, self.cluster_size)
        worker = 8 * min(rows, d) ** 2 + 4 * self.n_components * (8 * rows + 3 * d)
        maps = 8 * self.kept_share * self.n_components * min(d, nnz_x) * max(1, n / self.cluster_size)
        model = self.n_learners * (4 * n * self.n_components + maps)
        return int(8 * nnz_x + model + effective_n_jobs(self.n_jobs) * worker)

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Facts]:
        parts = [part for learner in self.learners_ for part in learner.parts]
        empty = csr_array((0, self.n_components), dtype=np.float32)
        arrays: Arrays = {
            "n_parts": np.array([len(learner.parts) for learner in self.learners_]),
            "n_rows": np.array([len(part.rows) for part in parts], np.int64),
            "rows": np.concatenate([np.zeros(0, np.int32), *(part.rows for part in parts)]),
            "vectors": np.concatenate([np.zeros((0, self.n_components), np.float32), *(p.vectors for p in parts)]),
            "centroids": np.concatenate([learner.centroids for learner in self.learners_]),
            "label_shares": self.label_shares_,
            **matrix_arrays("maps", csr_array(vstack([empty, *(part.map for part in parts)]))),
            **matrix_arrays("labels", self.labels_),
        }
        return arrays, {"n_training_rows": self.labels_.shape[0]}

    def _set_arrays(self, arrays: Arrays, facts: Facts, verify: Verify) -> None:
        n, d, m = facts.get("n_training_rows"), self.n_features_in_, self.n_components
        if not isinstance(n, int) or n < 1:
            raise ModelFileError(f"n_training_rows is {n!r}; the number of training rows belongs there.")
        self.labels_ = stored_matrix(arrays, "labels", (n, self.classes_.size))
        n_parts, n_rows = (stored_array(arrays, name, np.int64, (None,)) for name in ("n_parts", "n_rows"))
        n_all = int(n_parts.sum())
        if (n_parts < 0).any() or len(n_rows) != n_all or (n_rows < 1).any():
            raise ModelFileError("n_parts and n_rows do not tell the clusters of each learner and their rows.")
        rows = stored_array(arrays, "rows", np.int32, (int(n_rows.sum()),))
        vectors = stored_array(arrays, "vectors", np.float32, (len(rows), m))
        centroids = stored_array(arrays, "centroids", np.float32, (n_all, d))
        self.label_shares_ = stored_array(arrays, "label_shares", np.float32, (self.classes_.size,))
        maps = stored_matrix(arrays, "maps", (n_all * d, m))
        ends = np.cumsum(n_rows)
        bounds = [slice(end - size, end) for end, size in zip(ends, n_rows, strict=True)]
        self.learners_, first = [], 0
        for size in n_parts.tolist():
            numbers = range(first, first + size)
            parts = [Part(rows[bounds[i]], _rows_of(maps, i * d, d), vectors[bounds[i]]) for i in numbers]
            self.learners_.append(Learner(centroids[first : first + size], parts))
            first += size
        self._verified = False
        if verify == "full":
            self._verify()

    def _verify(self) -> None:
        """Check what a kernel follows in a model that was loaded."""
        verify_matrix("labels", self.labels_)
        for learner in self.learners_:
            for part in learner.parts:
                verify_matrix("maps", part.map)
                if not 0 <= part.rows.min() <= part.rows.max() < self.labels_.shape[0]:
                    raise ModelFileError(f"A row of a cluster is not below {self.labels_.shape[0]}.")
                if not np.isfinite(part.vectors).all():
                    raise ModelFileError("A vector of a training row is not finite.")
        self._verified = True


def _rows_of(matrix: csr_array, start: int, n: int) -> csr_array:
    """Return some rows of a stored matrix whose offsets nobody has checked."""
    offsets = matrix.indptr[start : start + n + 1]
    first, last = int(offsets[0]), int(offsets[-1])
    if not 0 <= first <= last <= len(matrix.data):
        raise ModelFileError("The offsets of maps are out of range.")
    part = csr_array((n, matrix.shape[1]), dtype=np.float32)
    part.indptr, part.indices, part.data = offsets - first, matrix.indices[first:last], matrix.data[first:last]
    return part
