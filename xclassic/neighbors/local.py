"""Base of the ensembles of local embeddings: clusters of the rows, each with a space of its own, and their votes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.base import Arrays, Metadata, Verify, XMCClassifier
from xclassic.changing import moved_columns, moved_rows
from xclassic.neighbors.clusters import nearest_centroid
from xclassic.neighbors.feature_map import FeatureMap, used_columns
from xclassic.neighbors.graph import GraphIndex
from xclassic.neighbors.index import (
    DenseIndex,
    label_shares,
    stored_row_weights,
    vote,
    vote_factors,
    vote_weights,
    weighted_votes,
    with_columns,
)
from xclassic.parallel import StopByte, run_tasks, spawn_seeds
from xclassic.storage.arrays import FINITE, check_within, matrix_arrays, stored_array, stored_matrix, verify_matrix
from xclassic.storage.folder import ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number
from xclassic.weighing import TakesWeights


@dataclass
class Cluster:
    """Training rows, a map from features to a space, and the vectors of the rows there, at unit length."""

    rows: NDArray[np.int32]
    map: FeatureMap
    vectors: NDArray[np.float16]  # (n_rows, n_components)

    @cached_property
    def exact(self) -> DenseIndex:
        return DenseIndex.build(self.vectors.astype(np.float32))

    @cached_property
    def graph(self) -> GraphIndex:
        return GraphIndex(self.vectors.astype(np.float32))


@dataclass
class Learner:
    """A partition of the training rows: a row belongs to the cluster whose scorer has the largest product with it."""

    scorers: NDArray[np.float32]  # (n_parts, n_features)
    clusters: list[Cluster]

    @classmethod
    def build(
        cls,
        X: Features,
        rows: NDArray[np.int64],
        scorers: NDArray[np.float32],
        fit_map: Callable[[Features, NDArray[np.int64]], NDArray[np.float32]],
        stop: StopByte,
    ) -> Learner:
        """Cluster some rows of `X` and map each cluster; clusters without rows are dropped.

        `fit_map` takes the rows of a cluster, without the features that are 0 in all of them, and their numbers. It
        returns the map, shape (n_features_of_the_cluster, n_components).
        """
        cluster_of = nearest_centroid(X[rows], scorers)
        filled = np.unique(cluster_of)
        clusters = []
        for c in filled:
            if stop[0]:
                break
            members = rows[cluster_of == c]
            own, features = used_columns(X[members])
            own_map = FeatureMap.build(features, fit_map(own, members))
            clusters.append(Cluster(members.astype(np.int32), own_map, own_map.images(X[members]).astype(np.float16)))
        return cls(scorers[filled], clusters)

    def parts(self) -> tuple[NDArray[np.float32], list[Any]]:
        """Return the arrays that the learner consists of, for `of_parts`."""
        return self.scorers, [(c.rows, c.map.features, c.map.weights, c.vectors) for c in self.clusters]

    @classmethod
    def of_parts(cls, parts: tuple[NDArray[np.float32], list[Any]]) -> Learner:
        scorers, clusters = parts
        return cls(
            scorers,
            [Cluster(rows, FeatureMap(features, weights), vectors) for rows, features, weights, vectors in clusters],
        )

    def find(
        self,
        X: Features,
        search: str,
        power: float,
        neighbors: NDArray[np.int32],
        weights: NDArray[np.float32],
        stop: StopByte,
    ) -> None:
        """Write the neighbors of each row and their shares of the vote, which sum to 1, or to 0 without neighbors."""
        if not self.clusters:
            return
        nearest = nearest_centroid(X, self.scorers)
        for c in np.unique(nearest):
            cluster, queries = self.clusters[c], np.flatnonzero(nearest == c)
            index = cluster.graph if search == "graph" else cluster.exact
            found = index.nearest(cluster.map.images(X[queries]), min(neighbors.shape[1], len(cluster.rows)), stop)
            shares = vote_weights(found.scores, power)
            shares /= np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
            neighbors[queries, : found.k] = cluster.rows[np.maximum(found.ids, 0)]
            weights[queries, : found.k] = shares


class LocalEmbeddings(TakesWeights, XMCClassifier):
    """Base of ensembles whose learners cluster the training rows and map each cluster to a space, where neighbors vote.

    A method defines `_trainer`. Its constructor sets `n_learners`, `n_components`, `n_neighbors`, `power` and
    `normalize` in addition to what every method has.

    Attributes
    ----------
    learners_ : list of Learner
    labels_ : csr_array, shape (n_rows, n_labels)
        Labels of the training rows.
    label_shares_ : ndarray of float32, shape (n_labels,)
        Share of the training rows with each label.
    row_weights_ : ndarray of float32, shape (n_rows,), or None
        Weights of the training rows as shares of the largest; None if all are one.
    """

    _probabilistic = True

    n_learners: int
    n_components: int
    n_neighbors: int
    power: float
    normalize: bool
    search: str = "exact"  # How neighbors are found among the rows of a cluster.
    random_state: int | np.random.RandomState | None
    learners_: list[Learner]
    labels_: csr_array
    label_shares_: NDArray[np.float32]
    row_weights_: NDArray[np.float32] | None

    def _trainer(self, X: Features, Y: csr_array, labeled: NDArray[np.int64]) -> Callable[[int, StopByte], Learner]:
        """Return a function that fits a learner from a seed. `labeled` are the rows with labels, at least one."""
        raise NotImplementedError

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("n_learners", "n_components", "n_neighbors"):
            check_number(name, getattr(self, name), minimum=1, integer=True)
        check_number("power", self.power, minimum=0)

    def _weights_taken(self) -> tuple[str, ...]:
        return ("sample_weight",)

    def _fit(self, X: Features, Y: csr_array, *, sample_weight: NDArray[np.float32] | None = None) -> None:
        self.labels_ = Y
        self._verified = True
        self.row_weights_ = vote_factors(sample_weight)
        self.label_shares_ = label_shares(Y, sample_weight)
        self.learners_ = []
        labeled = np.flatnonzero(np.diff(Y.indptr))
        if labeled.size:
            learned = run_tasks(
                partial(_parts_of_learner, self._trainer(self._prepare(X), Y, labeled)),
                spawn_seeds(self.random_state, self.n_learners).tolist(),
                n_jobs=self.n_jobs,
                description="fitting",
                verbose=self.verbose,
                pieces=True,
            )
            self.learners_ = [Learner.of_parts(parts) for parts in learned]

    def _renumber(self, ids: NDArray[np.int32], n_labels: int) -> None:
        if not self._verified:
            self._verify()
        self.labels_ = moved_columns(self.labels_, ids, n_labels)
        self.label_shares_ = moved_rows(self.label_shares_, ids, n_labels)

    def _learn_labels(self, X: Features, Y: csr_array, new: NDArray[np.int32]) -> None:
        self.labels_ = with_columns(self.labels_, Y, new)
        self.label_shares_ = label_shares(self.labels_)

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        if not self._verified:
            self._verify()
        X = self._prepare(X)
        n_slots = min(self.n_neighbors, self.labels_.shape[0])
        neighbors = np.zeros((X.shape[0], n_slots * len(self.learners_)), np.int32)
        weights = np.zeros(neighbors.shape, np.float32)
        for number, learner in enumerate(self.learners_):
            slots = slice(number * n_slots, (number + 1) * n_slots)
            learner.find(X, self.search, self.power, neighbors[:, slots], weights[:, slots], stop)
        weights = weighted_votes(weights, neighbors, self.row_weights_)
        return vote(neighbors, weights, self.labels_, self.label_shares_, k, labels)

    def _model_memory(self, n: int, d: int, nnz_x: int, part_size: int) -> float:
        """Return an estimate of the bytes of all learners."""
        used = min(d, nnz_x * part_size / max(n, part_size))
        n_clusters = max(1, n / part_size)
        return self.n_learners * (n_clusters * (2 * used * self.n_components + 4 * d) + 2 * n * self.n_components)

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        clusters = [cluster for learner in self.learners_ for cluster in learner.clusters]
        m, d = self.n_components, self.n_features_in_
        arrays: Arrays = {
            "n_parts": np.array([len(learner.clusters) for learner in self.learners_], np.int64),
            "n_rows": np.array([len(cluster.rows) for cluster in clusters], np.int64),
            "n_used": np.array([len(cluster.map.features) for cluster in clusters], np.int64),
            "rows": _joined([cluster.rows for cluster in clusters], np.zeros(0, np.int32)),
            "vectors": _joined([cluster.vectors for cluster in clusters], np.zeros((0, m), np.float16)),
            "scorers": _joined([learner.scorers for learner in self.learners_], np.zeros((0, d), np.float32)),
            "features": _joined([cluster.map.features for cluster in clusters], np.zeros(0, np.int32)),
            "weights": _joined([cluster.map.weights for cluster in clusters], np.zeros((0, m), np.float16)),
            "label_shares": self.label_shares_,
            **matrix_arrays("labels", self.labels_),
        }
        if self.row_weights_ is not None:
            arrays["row_weights"] = self.row_weights_
        return arrays, {"n_training_rows": self.labels_.shape[0]}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        n, d, m = metadata.get("n_training_rows"), self.n_features_in_, self.n_components
        if not isinstance(n, int) or n < 1:
            raise ModelFileError(f"n_training_rows is {n!r}; the number of training rows belongs there.")
        self.labels_ = stored_matrix(arrays, "labels", (n, self.classes_.size))
        self.label_shares_ = stored_array(arrays, "label_shares", np.float32, (self.classes_.size,), (0, 1))
        self.row_weights_ = stored_row_weights(arrays, n)
        clusters_of = _slices(arrays, "n_parts", None)
        n_all = clusters_of[-1].stop if clusters_of else 0
        rows_of, used_of = (_slices(arrays, name, n_all) for name in ("n_rows", "n_used"))
        n_rows, n_used = (of[-1].stop if of else 0 for of in (rows_of, used_of))
        rows = stored_array(arrays, "rows", np.int32, (n_rows,))
        vectors = stored_array(arrays, "vectors", np.float16, (n_rows, m))
        features = stored_array(arrays, "features", np.int32, (n_used,))
        weights = stored_array(arrays, "weights", np.float16, (n_used, m))
        scorers = stored_array(arrays, "scorers", np.float32, (n_all, d))
        clusters = [
            Cluster(rows[own], FeatureMap(features[used], weights[used]), vectors[own])
            for own, used in zip(rows_of, used_of, strict=True)
        ]
        self.learners_ = [Learner(scorers[of], clusters[of]) for of in clusters_of]
        self._verified = False
        if verify == "full":
            self._verify()

    def _verify(self) -> None:
        """Check the contents of a loaded model, whose indices a kernel follows."""
        verify_matrix("labels", self.labels_)
        for learner in self.learners_:
            check_within("scorers", learner.scorers, *FINITE)
        for cluster in (cluster for learner in self.learners_ for cluster in learner.clusters):
            if len(cluster.rows) == 0 or not 0 <= cluster.rows.min() <= cluster.rows.max() < self.labels_.shape[0]:
                raise ModelFileError(f"A cluster has no rows, or a row of it is not below {self.labels_.shape[0]}.")
            if (np.diff(cluster.map.features) <= 0).any():
                raise ModelFileError("The features of a map do not ascend.")
            if not (np.isfinite(cluster.vectors).all() and np.isfinite(cluster.map.weights).all()):
                raise ModelFileError("A vector of a training row, or a weight of a map, is not finite.")
        self._verified = True


def _parts_of_learner(train: Callable[[int, StopByte], Learner], seed: int, stop: StopByte) -> Any:
    return train(seed, stop).parts()


def _joined(arrays: list[NDArray[Any]], none: NDArray[Any]) -> NDArray[Any]:
    """Return the arrays joined, or the empty array `none` if the list is empty."""
    return np.concatenate([none, *arrays])


def _slices(arrays: Arrays, name: str, n: int | None) -> list[slice]:
    """Return consecutive slices whose sizes are in an array of a model."""
    sizes = stored_array(arrays, name, np.int64, (n,))
    if (sizes < 0).any():
        raise ModelFileError(f"A size in {name} is below 0.")
    ends = np.cumsum(sizes)
    return [slice(int(end - size), int(end)) for size, end in zip(sizes, ends, strict=True)]
