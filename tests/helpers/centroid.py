"""A small complete estimator, so that the contract can be tested apart from any method."""

from functools import partial
from pathlib import Path
from threading import Event

import numpy as np
from scipy.sparse import csr_array

from xclassic import ModelFileError, TopK, XMCClassifier
from xclassic.parallel import run_tasks, spawn_seeds
from xclassic.validation.parameters import check_number

LABELS_PER_TASK = 4


class Centroid(XMCClassifier):
    """Score a label by the inner product with the shrunken mean of its rows, less half the mean's squared length."""

    def __init__(self, shrink=0.0, noise=1e-6, random_state=0, n_jobs=None, verbose=0):
        self.shrink = shrink
        self.noise = noise
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_parameters(self):
        super()._check_parameters()
        check_number("shrink", self.shrink, minimum=0)
        check_number("noise", self.noise, minimum=0)

    def _fit(self, X, Y):
        columns = Y.tocsc()
        starts = range(0, Y.shape[1], LABELS_PER_TASK)
        tasks = [
            (X, columns[:, start : start + LABELS_PER_TASK], self.shrink, self.noise, seed)
            for start, seed in zip(starts, spawn_seeds(self.random_state, len(starts)), strict=True)
        ]
        self.centroids_ = np.concatenate(
            run_tasks(centroids, tasks, n_jobs=self.n_jobs, description="centroids", verbose=self.verbose)
        )

    def _all_scores(self, X):
        products = np.stack([row @ self.centroids_.T for row in dense_rows(X)])
        return products - (self.centroids_**2).sum(axis=1) / 2

    def _topk(self, X, k, labels, stop):
        scores = self._all_scores(X)
        if labels is None:
            return TopK.from_dense(scores, k)
        rows, columns = np.repeat(np.arange(len(scores)), labels.size), np.tile(labels, len(scores))
        return TopK.from_csr(csr_array((scores[:, labels].ravel(), (rows, columns)), shape=scores.shape), k)

    def _get_arrays(self):
        return {"centroids": self.centroids_}, {"shrink": self.shrink}

    def _set_arrays(self, arrays, metadata, verify):
        self.centroids_ = arrays["centroids"]
        if self.centroids_.shape != (self.classes_.size, self.n_features_in_):
            raise ModelFileError(f"centroids have shape {self.centroids_.shape}")

    def _estimate_memory(self, n, d, L, nnz_x, nnz_y):
        return 4 * d * L

    def _prune(self, threshold):
        self.centroids_ = np.where(np.abs(self.centroids_) > threshold, self.centroids_, 0)


class ProbabilisticCentroid(Centroid):
    """The same through a logistic function."""

    _probabilistic = True

    def _all_scores(self, X):
        return 1 / (1 + np.exp(-super()._all_scores(X)))


def dense_rows(X):
    return X.toarray() if isinstance(X, csr_array) else X


def centroids(task, stop):
    X, columns, shrink, noise, seed = task
    if stop[0]:
        return None
    counts = np.asarray(columns.sum(axis=0)) + shrink
    means = (X.T @ columns.toarray()).T / np.maximum(counts, 1)[:, None]
    return (means + noise * np.random.default_rng(seed).standard_normal(means.shape)).astype(np.float32)


def endless(task, stop):
    """Stand in for a kernel: work without end until told to stop."""
    while not stop[0]:
        Event().wait(0.01)


class Endless(Centroid):
    """Never ends fitting; writes a byte to the file `started` when it has begun."""

    def __init__(self, started=None, n_jobs=None):
        super().__init__(n_jobs=n_jobs)
        self.started = started

    def _fit(self, X, Y):
        run_tasks(partial(announced, self.started), [0, 1, 2, 3], n_jobs=self.n_jobs)


def announced(started, task, stop):
    Path(started).write_bytes(b"0")
    endless(task, stop)
