"""The embedding methods as their papers write them, in plain loops or dense algebra."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy.sparse import csr_array


def random_labels(n, n_labels, seed, density=0.2):
    """Label vectors with at least one label each."""
    random = np.random.default_rng(seed)
    Y = random.random((n, n_labels)) < density
    Y[np.arange(n), random.integers(0, n_labels, n)] = True
    return csr_array(Y.astype(np.float32))


def nearest(rows, query, k):
    """The k rows with the largest products above 0, the first of equals first."""
    products = [(float(np.dot(row, query)), i) for i, row in enumerate(rows)]
    return sorted((pair for pair in products if pair[0] > 0), key=lambda pair: (-pair[0], pair[1]))[:k]


def votes(rows, Y, query, k, power):
    """Shares of the labels in the votes of the nearest rows; None if there are none."""
    found = nearest(rows, query, k)
    if not found:
        return None
    weights = [product**power for product, _ in found]
    return sum(w * Y[i] for w, (_, i) in zip(weights, found, strict=True)) / sum(weights)


def largest_eigenpairs(S, rank):
    """The closest positive semi-definite matrix of a rank."""
    values, vectors = np.linalg.eigh(S)
    kept = np.argsort(-values)[:rank]
    return (vectors[:, kept] * np.maximum(values[kept], 0)) @ vectors[:, kept].T


def map_objective(X, Z, V, alpha, l1):
    return ((Z - X @ V) ** 2).sum() + alpha * (V**2).sum() + l1 * np.abs(X @ V).sum()


def smooth_map(X, Z, alpha, l1, softness=1e-6, steps=20_000):
    """The minimum of the objective with sqrt(a^2 + softness) for |a|, by gradient descent with momentum."""
    V = np.zeros((X.shape[1], Z.shape[1]))
    before, look = V, V
    rate = 1 / (2 * np.linalg.norm(X, 2) ** 2 * (1 + l1 / (2 * np.sqrt(softness))) + 2 * alpha)
    for step in range(steps):
        image = X @ look
        slope = X.T @ (2 * (image - Z) + l1 * image / np.sqrt(image**2 + softness)) + 2 * alpha * look
        before, V = V, look - rate * slope
        look = V + step / (step + 3) * (V - before)
    return V


def hat_matrix(X, alpha):
    return X @ np.linalg.pinv(X.T @ X + alpha * np.eye(X.shape[1])) @ X.T


def compressed_scores(X, Y, query, directions, alpha, mean):
    """Ridge regression of the codes of the labels, decoded, in float64."""
    W = np.linalg.pinv(X.T @ X + alpha * np.eye(X.shape[1])) @ X.T @ (Y - mean) @ directions
    return query @ W @ directions.T + mean


def top_directions(matrix, k):
    return np.linalg.eigh(matrix)[1][:, : -k - 1 : -1]


LOSSES = {
    "squared": lambda score, positive: (score - positive) ** 2 / 2,
    "logistic": lambda score, positive: np.log(1 + np.exp(-score if positive else score)),
    "squared_hinge": lambda score, positive: max(0, 1 - (score if positive else -score)) ** 2 / 2,
}


def pair_loss(Z, H, pairs, loss):
    """The sum of LEML's losses over the entries other than 0: weights, below 0 for negatives."""
    total = 0.0
    for i, j in zip(*np.nonzero(pairs), strict=True):
        total += abs(float(pairs[i, j])) * LOSSES[loss](float(Z[i] @ H[j]), pairs[i, j] > 0)
    return total


def nuclear_norm_regression(X, Y, weight, steps=3000):
    """The B that minimizes ``||Y - X B||^2 / 2 + weight ||B||_*``, by proximal gradient descent with momentum."""
    B = np.zeros((X.shape[1], Y.shape[1]))
    look, rate = B, 1 / np.linalg.norm(X, 2) ** 2
    for step in range(steps):
        U, s, Vt = np.linalg.svd(look - rate * X.T @ (X @ look - Y), full_matrices=False)
        before, B = B, (U * np.maximum(0, s - rate * weight)) @ Vt
        look = B + step / (step + 3) * (B - before)
    return B


def reduced_rank_regression(X, Y, rank):
    """Least squares under a bound on the rank of the weights: fitted values projected on their best directions."""
    B = np.linalg.lstsq(X, Y, rcond=None)[0]
    directions = np.linalg.svd(X @ B)[2][:rank].T
    return B @ directions @ directions.T


def matching_pursuit(target, codes, s):
    """Orthogonal matching pursuit of one row: the weights of the labels, in the order chosen."""
    chosen, weights, residual = [], [], target
    for _ in range(s):
        products = codes @ residual
        if products.max() <= 1e-6 * np.linalg.norm(target) or np.argmax(products) in chosen:
            break
        chosen.append(int(np.argmax(products)))
        weights = np.linalg.lstsq(codes[chosen].T, target, rcond=None)[0]
        residual = target - weights @ codes[chosen]
    return dict(zip(chosen, weights, strict=True))


def best_subset(target, codes, s):
    """The s codes whose span is nearest to the target, by looking at all subsets."""

    def distance(subset):
        own = codes[list(subset)].T
        return np.linalg.norm(target - own @ np.linalg.lstsq(own, target, rcond=None)[0])

    return set(min(combinations(range(len(codes)), s), key=distance))


def cosine(a, b):
    return float(a @ b) / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-12)


def ranking_loss(rows, neighbors, strangers, others, sharpness):
    """AnnexML's loss of embedded rows, each with a neighbor, against the strangers allowed."""
    losses = []
    for row, neighbor, allowed in zip(rows, neighbors, others, strict=True):
        margins = [cosine(row, neighbor) - cosine(row, strangers[n]) for n in np.flatnonzero(allowed)]
        losses.append(np.log(1 + sum(np.exp(-sharpness * margin) for margin in margins)))
    return float(np.mean(losses))
