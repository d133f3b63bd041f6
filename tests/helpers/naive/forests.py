"""The forests' steps as their papers write them, in plain loops."""

from __future__ import annotations

from itertools import pairwise, permutations, product

import numpy as np


def discount(rank: int) -> float:
    return 1 / np.log2(rank + 2)


def gain(ranking, labels, weights=None, normalize=True):
    """nDCG of a ranking of all labels for one row, or its DCG."""
    if len(labels) == 0:
        return 0.0
    weights = np.ones(len(labels)) if weights is None else weights
    place = {label: rank for rank, label in enumerate(ranking)}
    dcg = sum(w * discount(place[label]) for label, w in zip(labels, weights, strict=True))
    return dcg / sum(discount(rank) for rank in range(len(labels))) if normalize else dcg


def best_ranking(rows, n_labels):
    """Of all permutations of the labels the best value for some rows, given as lists of labels."""
    return max(sum(gain(order, labels) for labels in rows) for order in permutations(range(n_labels)))


def best_sides(rows, rankings):
    """Of all assignments of rows to two rankings the best value."""
    return max(
        sum(gain(rankings[side], labels) for side, labels in zip(sides, rows, strict=True))
        for sides in product(range(2), repeat=len(rows))
    )


def rank_by_gain(rows, n_labels):
    """Ranking step: labels by descending sum of the normalizers of the rows that have them, ties by label id."""
    scores = np.zeros(n_labels)
    for labels in rows:
        for label in labels:
            scores[label] += 1 / sum(discount(rank) for rank in range(len(labels)))
    return np.argsort(-scores.round(9), kind="stable")


def objective(rows, sides, n_labels):
    """Sum of the gains of the rows if each side ranks by its own."""
    total = 0.0
    for side in range(2):
        own = [row for row, s in zip(rows, sides, strict=True) if s == side]
        ranking = rank_by_gain(own, n_labels)
        total += sum(gain(ranking, row) for row in own)
    return total


def split(rows, sides, n_labels, rounds=50):
    """Alternate ranking and assignment; return the sides and the objective after each ranking."""
    sides = list(sides)
    values = []
    for _ in range(rounds):
        rankings = [
            rank_by_gain([row for row, side in zip(rows, sides, strict=True) if side == s], n_labels) for s in range(2)
        ]
        values.append(sum(gain(rankings[side], row) for row, side in zip(rows, sides, strict=True)))
        before = list(sides)
        for i, row in enumerate(rows):
            first, second = (gain(ranking, row) for ranking in rankings)
            if abs(first - second) > 1e-9:
                sides[i] = 0 if first > second else 1
        if sides == before:
            break
    return sides, values


def l1_objective(X, t, costs, w, bias_weight, bias=1.0):
    """|w|_1 + sum of c log(1 + exp(-t m)), the weight of the constant feature penalized too."""
    margins = X @ w + bias * bias_weight
    return np.abs(w).sum() + abs(bias_weight) + (costs * np.logaddexp(0, -t * margins)).sum()


def walk(tree, x):
    """The leaf of one dense row."""
    node = 0
    while tree.child_ptr[node + 1] > tree.child_ptr[node]:
        children = range(tree.child_ptr[node], tree.child_ptr[node + 1])
        scores = []
        for child in children:
            entries = slice(tree.router_ptr[child], tree.router_ptr[child + 1])
            scores.append(
                tree.bias[child]
                + sum(w * x[f] for f, w in zip(tree.features[entries], tree.weights[entries], strict=True))
            )
        node = children[int(np.argmax(scores))]
    return node


def forest_scores(trees, x, n_labels):
    """Mean label shares of the leaves of one dense row."""
    scores = np.zeros(n_labels)
    for tree in trees:
        leaf = walk(tree, x)
        entries = slice(tree.label_ptr[leaf], tree.label_ptr[leaf + 1])
        scores[tree.labels[entries]] += tree.shares[entries] / len(trees)
    return scores


def item_set(known, n_labels):
    """The second view of a row of SwiftXML: its revealed labels, the less each the more there are."""
    z = np.zeros(n_labels)
    for label in known:
        z[label] = 1 / np.sqrt(len(known) + 1)
    return z


def mean_set(rows, label, n_labels):
    """The mean of the label sets, each of unit length, of the rows that have a label, without the label itself."""
    own = [row for row in rows if label in row]
    total = np.zeros(n_labels)
    for row in own:
        for other in row:
            total[other] += (other != label) / np.sqrt(len(row))
    return total / max(len(own), 1)


def swift_score(forest_score, x, known, mean_row, mean_of_sets, alpha, gamma):
    """The score of a label of SwiftXML for a row of unit length."""
    m = len(known)
    z = np.zeros(len(mean_of_sets))
    z[known] = 1 / np.sqrt(max(m, 1))
    distance = ((x - mean_row) ** 2).sum() + 0.5 * m / (m + 1) * ((z - mean_of_sets) ** 2).sum()
    return forest_score**alpha * (1 / (1 + np.exp(gamma * distance))) ** (1 - alpha)


def likeness(Y):
    """Sum over the labels of the squared number of rows that have them, by the number of rows."""
    return (Y.sum(axis=0) ** 2).sum() / len(Y)


def best_threshold(X, Y, min_leaf=1):
    """The most similar that two sides of a single-feature split can be, and all (feature, threshold) that reach it."""
    best, found = -1.0, []
    for feature in range(X.shape[1]):
        values = np.unique(X[:, feature])
        for low, high in pairwise(values):
            first = X[:, feature] <= low
            if min(first.sum(), (~first).sum()) < min_leaf:
                continue
            value = likeness(Y[first]) + likeness(Y[~first])
            if value > best + 1e-9:
                best, found = value, []
            if value > best - 1e-9:
                found.append((feature, (low + high) / 2))
    return best, found


def prune(vector, share, least):
    """The largest entries of a vector; of equals as many as there are."""
    sizes = np.sort(np.abs(vector[vector != 0]))[::-1]
    kept = max(least, int(np.ceil(share * len(sizes))))
    return vector if kept >= len(sizes) else np.where(np.abs(vector) >= sizes[kept - 1], vector, 0)


def mean_rows(X, clusters, slots, signs, n_slots, share, least):
    """The projected, pruned and scaled mean row of each cluster, as a direction in the features."""
    P = np.zeros((X.shape[1], n_slots))
    P[np.arange(X.shape[1]), slots] = signs
    means = [prune((X[clusters == cluster] @ P).sum(axis=0), share, least) for cluster in np.unique(clusters)]
    return np.array([P @ (mean / np.linalg.norm(mean)) for mean in means])
