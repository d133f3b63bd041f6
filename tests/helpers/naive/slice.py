"""Slice, label by label and row by row. Imports nothing from the kernels."""

import numpy as np

from tests.helpers.naive.linear import rank, train_linear, with_bias


def generative(X, Y, queries, prior):
    """The product of each query with the centroid of each label, and what the label's frequency adds."""
    scores = np.zeros((len(queries), Y.shape[1]))
    for label in range(Y.shape[1]):
        total = sum(X[i] for i in range(len(X)) if Y[i, label])
        centroid = total / (np.linalg.norm(total) or 1)
        scores[:, label] = [query @ centroid for query in queries]
        scores[:, label] += prior * np.log(Y[:, label].sum() / len(Y))
    return scores


def training_rows(X, Y, shortlist, prior):
    """For each label its rows, and those that have it among their nearest."""
    nearest = [rank(scores)[:shortlist] for scores in generative(X, Y, X, prior)]
    return [[i for i in range(len(X)) if Y[i, label] or label in nearest[i]] for label in range(Y.shape[1])]


def classifiers(X, Y, shortlist, prior, C, bias):
    """The minimizer of each label's objective; the last weight is that of the constant feature."""
    models = []
    for label, rows in enumerate(training_rows(X, Y, shortlist, prior)):
        part = with_bias(X[rows], bias)
        models.append(train_linear(part, Y[rows, label] > 0, np.full(len(rows), C), "squared_hinge"))
    return np.array(models)


def scores(X, Y, queries, shortlist, prior, C, bias, alpha):
    """The mean of both scores for the labels on the shortlist of each query, and minus infinity for all others."""
    g = generative(X, Y, queries, prior)
    margins = with_bias(queries, bias) @ classifiers(X, Y, shortlist, prior, C, bias).T
    found = np.full(g.shape, -np.inf)
    for i in range(len(queries)):
        for label in rank(g[i])[:shortlist]:
            found[i, label] = (1 - alpha) * g[i, label] + alpha * margins[i, label]
    return found
