"""Feature agglomeration, one feature and one number after the other."""

import numpy as np


def label_sums(X, Y):
    """Return for each feature how much of it occurs with each label: ``X^T Y``."""
    sums = np.zeros((len(X[0]), len(Y[0])))
    for x, y in zip(X, Y, strict=True):
        for j, value in enumerate(x):
            for label, relevant in enumerate(y):
                sums[j, label] += value * relevant
    return sums


def agglomerate(X, groups):
    """Return the sum of the features in each group."""
    sums = np.zeros((len(X), max(groups) + 1))
    for i, x in enumerate(X):
        for j, value in enumerate(x):
            sums[i, groups[j]] += value
    return sums


def balanced_leaves(vectors, max_leaf, random):
    """Return groups of vectors, the leaves of a tree of balanced spherical 2-means, as lists of their numbers."""
    return _halved(np.asarray(vectors, float), list(range(len(vectors))), max_leaf, random)


def _halved(vectors, items, max_leaf, random):
    if len(items) <= max_leaf:
        return [items]
    centers = vectors[random.choice(items, 2, replace=False)]
    for _ in range(20):
        # Who is nearest to the first center, compared with the second, belongs to it.
        order = sorted(items, key=lambda j: vectors[j] @ (centers[1] - centers[0]))
        halves = order[: (len(items) + 1) // 2], order[(len(items) + 1) // 2 :]
        sums = [vectors[half].sum(axis=0) for half in halves]
        centers = np.array([total / max(np.linalg.norm(total), 1e-12) for total in sums])
    return [leaf for half in halves for leaf in _halved(vectors, half, max_leaf, random)]


def cohesion(vectors, groups):
    """Return the mean cosine of the vectors with the mean of their group."""
    vectors = np.asarray(vectors, float)
    return sum(np.linalg.norm(vectors[group].sum(axis=0)) for group in groups) / len(vectors)
