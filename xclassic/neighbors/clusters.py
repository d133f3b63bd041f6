"""Clusters of rows by their features: spherical k-means."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.preprocessing import normalize

from xclassic.parallel import StopByte
from xclassic.rows import dense
from xclassic.validation.features import Features

ROUNDS = 10


def cluster_centroids(X: Features, n_clusters: int, random: np.random.Generator, stop: StopByte) -> NDArray[np.float32]:
    """Return centroids of unit length, shape (n_clusters, n_features); they start as random rows."""
    centroids = dense(X[random.choice(X.shape[0], n_clusters, replace=False)])
    if n_clusters == 1:
        return centroids
    for _ in range(ROUNDS):
        if stop[0]:
            break
        nearest = nearest_centroid(X, centroids)
        members = csr_array((np.ones(len(nearest), np.float32), (nearest, np.arange(len(nearest)))))
        members.resize((n_clusters, len(nearest)))
        centroids = normalize(dense(members @ X))
    return centroids


def nearest_centroid(X: Features, centroids: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return for each row the number of the centroid with the largest product, or the first of equal ones."""
    if len(centroids) == 1:
        return np.zeros(X.shape[0], np.int64)
    return np.argmax(np.asarray(X @ centroids.T), axis=1)
