"""The embedding methods as their papers write them, in plain loops or dense algebra."""

from __future__ import annotations

import numpy as np


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
