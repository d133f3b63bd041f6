"""A problem for label blocks, their trainer with the options of the tests, and their weights as a matrix."""

import numpy as np
from scipy.sparse import csr_array, random_array

from xclassic.blocks.problem import BlockProblem
from xclassic.blocks.training import train_blocks


def problem_data(n=120, d=40, n_labels=20, seed=0, density=0.2):
    """Rows of unit length and labels that depend on them, of all frequencies, the last without a row."""
    random = np.random.default_rng(seed)
    X = random_array((n, d), density=density, rng=random, dtype=np.float32)
    X = csr_array(X.multiply(1 / np.maximum(np.sqrt(X.multiply(X).sum(axis=1)), 1e-12)[:, None]), dtype=np.float32)
    scores = X @ random.standard_normal((d, n_labels)) + 0.3 * random.standard_normal((n, n_labels))
    share = np.linspace(0.4, 0.01, n_labels)
    Y = scores > [np.quantile(column, 1 - q) for column, q in zip(scores.T, share, strict=True)]
    Y[:, -1] = False
    return X, csr_array(Y, dtype=np.float32)


def train(X, Y, labels, *, C=1.0, loss="squared_hinge", eps=1e-6, positive_costs=None, bias=1.0, **options):
    costs = np.full(len(labels), C, np.float32)
    defaults = {"max_passes": 200, "prune": 0.0, "seed": 3}
    return train_blocks(
        BlockProblem(X, bias=bias),
        Y,
        labels,
        loss=loss,
        eps=eps,
        positive_costs=costs if positive_costs is None else positive_costs,
        negative_costs=costs,
        **{**defaults, **options},
    )


def dense_weights(weights, n_labels):
    """Weights of shape (n_features + 1, n_labels), the bias weight last (for a constant feature of value 1)."""
    bias = np.zeros(n_labels)
    used = weights.labels >= 0
    bias[weights.labels[used]] = weights.bias[used]
    return np.vstack([weights.to_csc(n_labels).toarray(), bias])
