r"""The squared loss of a `TreeEmbedding`, minimized by half-steps in closed form.

.. math::

    \sum_h \frac{\lambda_h}{2} \|T_h - X A_h^\top E_h^\top\|^2
    + \frac{\kappa}{2} \sum_{u, c} \|e_c - P_u e_u\|^2
    + \frac{\nu}{2} \Big( \sum_u \|P_u - I\|^2 + \sum_h \|E_h\|^2 + \sum_h \|A_h\|^2 \Big)

Private residuals r of the children are eliminated: for each, :math:`\mu \|v - r\|^2 + \rho \|r\|^2` has the minimum
:math:`\kappa \|v\|^2` with :math:`\kappa = \mu \rho / (\mu + \rho)`.
"""

from __future__ import annotations

from copy import copy
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve

from xclassic.linalg.low_rank import Array, least_squares_features
from xclassic.neural.tree_levels import Level
from xclassic.parallel import StopByte
from xclassic.validation.features import Features

Doubles = NDArray[np.float64]
MOST_ENTRIES = 2**22  # At most this many entries of the systems of nodes are held at a time.


def coupling(mu: float, rho: float) -> float:
    r"""Return :math:`\kappa`."""
    return mu / (1 + mu / rho) if rho else 0.0


def alternate_levels(
    X: Features, levels: list[Level], kappa: float, nu: float, rounds: int, stop: StopByte
) -> list[Level]:
    """Return levels with a lower objective, alternating between projections, encoders and vectors.

    Parameters
    ----------
    X : csr_array or ndarray, shape (n_rows, n_features)
    levels : list of Level
        Their encoders are the start; they stay as they are.
    kappa, nu : float
        At least 0, and above 0.
    rounds : int
    stop : ndarray of uint8, shape (1,)
        After a stop the result is unfinished.
    """
    levels = [copy(level) for level in levels]
    for depth in range(len(levels)):
        fit_nodes(X, levels, depth, 0.0, nu, stop)
    for _ in range(rounds):
        for above, level in pairwise(levels):
            fit_projections(above, level, kappa, nu)
        for level in levels:
            fit_encoder(X, level, nu, stop)
        for depth in range(len(levels)):
            fit_nodes(X, levels, depth, kappa, nu, stop)
    return levels


def fit_encoder(X: Features, level: Level, nu: float, stop: StopByte) -> None:
    """Lower the objective in an encoder, by ridge regression with conjugate gradients."""
    if not stop[0]:
        image = np.asarray(level.targets @ level.nodes)
        level.encoder = least_squares_features(X, image, level.nodes, level.encoder, nu / level.weight, stop)


def fit_projections(above: Level, level: Level, kappa: float, nu: float) -> None:
    r"""Minimize the objective in the projections of the nodes of a level into the one below it.

    The children of u have the mean m and the number n. With :math:`a = e_u` the minimizer differs from the padded
    identity by :math:`q a^\top` alone, where :math:`q = \kappa n (m - I a) / (\kappa n \|a\|^2 + \nu)`.
    """
    sums, n_children = _over_children(level, len(above.nodes))
    level.slope = above.nodes.astype(np.float64)
    strength = kappa * n_children
    gap = sums / n_children - _padded(level.slope, level.nodes.shape[1])
    level.shift = strength * gap / (strength * np.square(level.slope).sum(axis=1, keepdims=True) + nu)


def fit_nodes(X: Features, levels: list[Level], depth: int, kappa: float, nu: float, stop: StopByte) -> None:
    r"""Minimize the objective in the vectors of a level: ridge regression with prior means from above and below.

    The vector of a node with parent p and n children c solves
    :math:`(\lambda Z^\top Z + \nu + \kappa + \kappa n P_u^\top P_u) e_u
    = \lambda Z^\top t_u + \kappa P_p e_p + \kappa P_u^\top \sum_c e_c`.
    """
    if stop[0]:
        return
    level = levels[depth]
    codes = np.asarray(X @ level.encoder)
    gram = level.weight * (codes.T.astype(np.float64) @ codes)
    right = level.weight * np.asarray(level.targets.T @ codes, np.float64)
    diagonal = nu
    if kappa and depth > 0:
        diagonal += kappa
        right += kappa * projected(levels[depth - 1], level)[level.parent]
    gram[np.diag_indices_from(gram)] += diagonal
    if kappa and depth + 1 < len(levels):
        solved = _solved_above(gram, right, levels[depth + 1], kappa, stop)
    else:
        solved = solve(gram, right.T, assume_a="pos").T
    level.nodes = np.ascontiguousarray(solved, np.float32)


def scoring_vectors(levels: list[Level], path: float) -> tuple[list[Array], list[Array]]:
    """Return vectors and biases of nodes whose margins m have ``(1 - m)^2 = w (1 - s)^2`` for scores s.

    The weight w is 1 for the lowest level, and `path` times its share of the weight of that level for the others.
    """
    weights = np.array([level.weight for level in levels])
    roots = np.sqrt(path * weights / weights[-1]).astype(np.float32)
    roots[-1] = 1
    vectors = [root * level.nodes for root, level in zip(roots, levels, strict=True)]
    return vectors, [np.full(len(level.nodes), 1 - root) for root, level in zip(roots, levels, strict=True)]


def projected(above: Level, level: Level) -> Doubles:
    """Return P e of the nodes of a level, in the space of the one below it."""
    vectors = above.nodes.astype(np.float64)
    length = np.einsum("ij,ij->i", level.slope, vectors)
    return _padded(vectors, level.nodes.shape[1]) + length[:, None] * level.shift


def _solved_above(gram: Doubles, right: Doubles, below: Level, kappa: float, stop: StopByte) -> Doubles:
    """Return the vectors of nodes with children, each from a system of its own."""
    sums, n_children = _over_children(below, len(right))
    width = len(gram)
    solved = np.zeros_like(right)
    for some in _slices(len(right), width):
        if stop[0]:
            break
        q, a = below.shift[some], below.slope[some]
        P = a[:, None, :] * q[:, :, None]
        P[:, np.arange(width), np.arange(width)] += 1
        back = P.transpose(0, 2, 1)
        systems = gram + kappa * n_children[some, :, None] * (back @ P)
        sides = right[some, :, None] + kappa * (back @ sums[some, :, None])
        solved[some] = np.linalg.solve(systems, sides)[:, :, 0]
    return solved


def _slices(n: int, width: int) -> list[slice]:
    step = max(1, MOST_ENTRIES // width**2)
    return [slice(start, start + step) for start in range(0, n, step)]


def _over_children(level: Level, n_parents: int) -> tuple[Doubles, Doubles]:
    """Return the sums of the vectors of the children of each node, and their numbers as a column."""
    starts = np.searchsorted(level.parent, np.arange(n_parents))
    sums = np.add.reduceat(level.nodes.astype(np.float64), starts, axis=0)
    return sums, np.bincount(level.parent, minlength=n_parents).astype(np.float64)[:, None]


def _padded(vectors: Doubles, width: int) -> Doubles:
    return np.pad(vectors, ((0, 0), (0, width - vectors.shape[1])))
