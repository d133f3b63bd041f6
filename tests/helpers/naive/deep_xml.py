"""DeepXML one row and one label at a time. Imports nothing from the kernels."""

import numpy as np


def unit(vector):
    return vector / (np.linalg.norm(vector) or 1)


def residual(weights, name, hidden):
    return hidden + np.maximum(0, weights[f"{name}.inner.weight"] @ hidden + weights[f"{name}.inner.bias"])


def learned(weights, row):
    """What the networks make of a row of unit length, scaled to unit length."""
    if "encoder.words.weight" in weights:
        words = sum(value * vector for value, vector in zip(row, weights["encoder.words.weight"], strict=True))
        hidden = np.maximum(0, words + weights["encoder.words.bias"])
    else:
        hidden = row * np.sqrt(len(row))
    return unit(residual(weights, "transfer", residual(weights, "encoder.residual", hidden)))


def best(values, k):
    """The positions of the largest finite values; equal ones in their order."""
    order = sorted(np.flatnonzero(np.isfinite(values)), key=lambda i: (-values[i], i))
    return [int(i) for i in order[:k]]


def listed(Z, Y, row, size, n_neighbors, allowed=None):
    """The shortlist of a row: for each label on it the cosine with its centroid, and its share of the votes."""
    allowed = np.ones(Y.shape[1], bool) if allowed is None else np.isin(np.arange(Y.shape[1]), allowed)
    has_rows = Y.any(axis=0)
    centroids = [unit(Z[Y[:, label] > 0].sum(axis=0)) for label in range(Y.shape[1])]
    cosines = np.array([row @ centroid for centroid in centroids])
    products = Z @ row
    nearest = [i for i in best(products, n_neighbors) if products[i] > 0]
    votes = np.zeros(Y.shape[1])
    for i in nearest:
        votes += Y[i] * products[i] ** 3
    votes /= sum(products[i] ** 3 for i in nearest) or 1
    near = best(np.where(has_rows & allowed, cosines, -np.inf), size)
    voted = best(np.where((votes > 0) & allowed, votes, -np.inf), size)
    return {label: (cosines[label], votes[label]) for label in {*near, *voted}}


def probabilities(Z, Y, classifiers, mix, row, size, n_neighbors, allowed=None):
    """The probability of each label on the shortlist of a row; the last weight of a classifier is its constant."""
    found = listed(Z, Y, row, size, n_neighbors, allowed)
    margins = {label: classifiers[label] @ np.append(row, 1) for label in found}
    return {
        label: 1 / (1 + np.exp(-(mix[0] + mix[1] * margins[label] + mix[2] * cosine + mix[3] * vote)))
        for label, (cosine, vote) in found.items()
    }


def loss(scores, positives, shortlists):
    """The sum over rows of the mean cross-entropy of the labels that are positives or on the shortlist."""
    total = 0.0
    for of_row, positive, shortlist in zip(scores, positives, shortlists, strict=True):
        labels = np.flatnonzero((positive > 0) | (shortlist > 0))
        total += np.mean([np.log1p(np.exp(-of_row[j] if positive[j] else of_row[j])) for j in labels])
    return total
