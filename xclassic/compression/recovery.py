"""Sparse recovery: which few labels have codes that add up to a target, and with what weights.

Rows are processed together but independently. Labels are never negative, and neither are their weights here: a code is
chosen for a large product with the residual of the target, not for a large absolute value of the product.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from xclassic.topk import TopK

COSAMP_ROUNDS = 20
SMALL = 1e-6  # Share of a target that counts as 0.

Array = NDArray[np.float32]
Nearest = Callable[[Array, int], TopK]  # It returns the labels whose codes have the largest products with each row.
Found = tuple[NDArray[np.int32], Array]  # Labels and weights of each row, shape (n_rows, s); weight 0 means no label.


def orthogonal_matching_pursuit(targets: Array, codes: Array, nearest: Nearest, s: int) -> Found:
    """Repeat: choose the label whose code fits the residual best, and refit the weights of all labels chosen.

    Parameters
    ----------
    targets : ndarray of float32, shape (n_rows, m)
    codes : ndarray of float32, shape (n_labels, m)
        They have about unit length.
    nearest : callable
        Ranks labels by the products of their codes with rows of length m.
    s : int
        At most this many labels per row; a row ends sooner if no code fits its residual.

    Returns
    -------
    labels : ndarray of int32, shape (n_rows, s)
    weights : ndarray of float32, shape (n_rows, s)

    Notes
    -----
    Cost, for each row: ``s m n_labels`` for the products, and ``s^3 m`` for the weights.

    Source: Y. C. Pati, R. Rezaiifar and P. S. Krishnaprasad, "Orthogonal matching pursuit", Asilomar 1993.
    """
    labels, weights = np.zeros((len(targets), s), np.int32), np.zeros((len(targets), s), np.float32)
    enough = SMALL * np.linalg.norm(targets, axis=1)
    residuals, going = targets.copy(), np.arange(len(targets))
    for step in range(s):
        best = nearest(residuals[going], 1)
        fits = (best.counts > 0) & (best.scores[:, 0] > enough[going])
        fits &= (labels[going, :step] != best.ids).all(axis=1)
        going = going[fits]
        if going.size == 0:
            break
        labels[going, step] = best.ids[fits, 0]
        chosen = labels[going, : step + 1]
        weights[going, : step + 1] = fitted_weights(targets[going], codes[chosen])
        residuals[going] = targets[going] - sums(weights[going, : step + 1], codes[chosen])
    return labels, np.maximum(weights, 0)


def cosamp(targets: Array, codes: Array, nearest: Nearest, s: int) -> Found:
    """Repeat: join the labels kept with 2s others that fit the residual, fit their weights, and keep the s largest.

    A row ends when its residual no longer shrinks, after 20 rounds at most. Parameters and returns are as in
    `orthogonal_matching_pursuit`; m should be at least 3s.

    Notes
    -----
    Cost, for each row and round: ``m n_labels`` for the products, and ``9 s^2 m`` for the weights.

    Source: D. Needell and J. A. Tropp, "CoSaMP: iterative signal recovery from incomplete and inaccurate samples",
    Applied and Computational Harmonic Analysis 2009.
    """
    labels, weights = np.zeros((len(targets), s), np.int32), np.zeros((len(targets), s), np.float32)
    residuals, left = targets.copy(), np.linalg.norm(targets, axis=1)
    going = np.flatnonzero(left)
    for _ in range(COSAMP_ROUNDS):
        if going.size == 0:
            break
        others = nearest(residuals[going], 2 * s)
        joined = np.hstack([np.where(weights[going] > 0, labels[going], -1), others.ids])
        joined.sort(axis=1)
        joined[:, 1:][joined[:, 1:] == joined[:, :-1]] = -1
        candidates = codes[joined] * (joined >= 0)[:, :, None]
        fitted = np.where(joined >= 0, fitted_weights(targets[going], candidates), 0)
        kept = np.argsort(-fitted, axis=1, kind="stable")[:, :s]
        chosen, share = np.take_along_axis(joined, kept, 1), np.maximum(np.take_along_axis(fitted, kept, 1), 0)
        pruned = targets[going] - sums(share, codes[chosen])
        now = np.linalg.norm(pruned, axis=1)
        better = now < left[going] * np.float32(1 - SMALL)
        going, width = going[better], chosen.shape[1]
        labels[going], weights[going] = 0, 0
        labels[going, :width], weights[going, :width] = chosen[better], share[better]
        residuals[going], left[going] = pruned[better], now[better]
    return labels, weights


def fitted_weights(targets: Array, codes: Array) -> Array:
    """Return the least-squares weights of some codes for each row; codes of zeros get 0.

    Parameters
    ----------
    targets : ndarray, shape (n_rows, m)
    codes : ndarray, shape (n_rows, n_codes, m)

    Returns
    -------
    ndarray of float32, shape (n_rows, n_codes)
    """
    gram = (codes @ codes.transpose(0, 2, 1)).astype(np.float64)
    each = np.arange(gram.shape[1])
    gram[:, each, each] += SMALL  # Equal codes then share their weight, and codes of zeros get 0.
    return np.linalg.solve(gram, codes @ targets[:, :, None])[:, :, 0].astype(np.float32)


def sums(weights: Array, codes: Array) -> Array:
    """Return the weighted sums of the codes of each row, shape (n_rows, m)."""
    return (weights[:, None, :] @ codes)[:, 0]
