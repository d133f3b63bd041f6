"""The obvious slow version of MACH: every label scored from the buckets that a loop hashes it to."""

import numpy as np


def prime_from(least):
    p = max(least, 2)
    while any(p % q == 0 for q in range(2, p)):
        p += 1
    return p


def bucket(label, factor, shift, n_labels, n_buckets):
    """((a l + b) mod p) mod B."""
    return (int(factor) * label + int(shift)) % prime_from(n_labels) % n_buckets


def bucket_truth(Y, hashes):
    """Y of shape (n_rows, n_labels) as one array of shape (n_rows, n_buckets) for each table."""
    tables = []
    for factor, shift in zip(hashes.factors, hashes.shifts, strict=True):
        truth = np.zeros((Y.shape[0], hashes.n_buckets), bool)
        for label in range(Y.shape[1]):
            truth[:, bucket(label, factor, shift, Y.shape[1], hashes.n_buckets)] |= Y[:, label] > 0
        tables.append(truth)
    return tables


def collision_probability(n_labels, n_buckets):
    """Share of the pairs of numbers below p that are equal modulo B; as many buckets as labels collide never."""
    p = prime_from(n_labels)
    pairs = [x % n_buckets == y % n_buckets for x in range(p) for y in range(p) if x != y]
    return 0 if n_buckets == n_labels else np.mean(pairs)


def aggregated(probabilities, how, collision, n_positive):
    """Score of a label from its probability in each table; `n_positive` is the number of labels of the row."""
    if how == "geometric":
        return np.mean(np.log(probabilities))
    if how == "mean":
        return np.mean(probabilities)
    if how == "unbiased":
        return (np.mean(probabilities) - collision * n_positive) / (1 - collision)
    return np.min(probabilities)


def label_scores(tables, hashes, how):
    """Scores of all labels of one row from the probabilities of its buckets, an array for each table."""
    B, n_labels = hashes.n_buckets, hashes.n_labels
    collision = collision_probability(n_labels, B)
    n_positive = np.mean([table.sum() for table in tables])
    scores = []
    for label in range(n_labels):
        own = [
            table[bucket(label, factor, shift, n_labels, B)]
            for table, factor, shift in zip(tables, hashes.factors, hashes.shifts, strict=True)
        ]
        scores.append(aggregated(own, how, collision, n_positive))
    return np.array(scores)
