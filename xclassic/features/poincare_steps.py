"""The steps of Riemannian gradient descent of a `PoincareEmbedding`.

Numba compiles them on the first call.
"""

from __future__ import annotations

import numpy as np

from xclassic._kernels.jit import Jitted
from xclassic.linalg.hyperbolic import MOST

TINY = 1e-30  # Two points with a smaller squared distance are one point, at which the distance has no gradient.


@Jitted
def descend(indptr, indices, pairs, drawn, points, rate, stop):  # type: ignore[no-untyped-def]
    """Move the points of some pairs, one pair after the other.

    Parameters
    ----------
    indptr, indices : ndarray of int64, int32
        Nodes related to each node, ascending.
    pairs : ndarray of int64, shape (n_pairs, 2)
        A node u and a node v related to it.
    drawn : ndarray of int64, shape (n_pairs, n_negatives)
        Nodes that v is set against; u, those related to it, and repeated ones are passed over.
    points : ndarray of float64, shape (n_nodes, d)
        Changed in place.
    rate : float
    stop : ndarray of uint8, shape (1,)
    """
    d = points.shape[1]
    others = np.empty(drawn.shape[1] + 1, np.int64)
    squares = np.empty(len(others))  # Of the distances in flat space.
    roots = np.empty(len(others))
    shares = np.empty(len(others))
    step = np.empty(d)
    for q in range(len(pairs)):
        if stop[0]:
            return
        u = pairs[q, 0]
        others[0] = pairs[q, 1]
        n = 1
        for i in range(drawn.shape[1]):
            if drawn[q, i] == u or _related(indptr, indices, u, drawn[q, i]):
                continue
            others[n] = drawn[q, i]  # This ends the next loop.
            place = 1
            while others[place] != drawn[q, i]:
                place += 1
            n += place == n
        room = 1 - _square(points, u)  # 1 - |u|^2
        nearest = np.inf
        for i in range(n):
            square = 0.0
            for j in range(d):
                square += (points[u, j] - points[others[i], j]) ** 2
            x = 2 * square / (room * (1 - _square(points, others[i])))
            squares[i] = square
            roots[i] = np.sqrt(x * (x + 2))
            shares[i] = np.log1p(x + roots[i])
            nearest = min(nearest, shares[i])
        total = 0.0
        for i in range(n):
            shares[i] = np.exp(nearest - shares[i])
            total += shares[i]
        step[:] = 0
        for i in range(n):
            # The loss grows by this much with the distance to this node.
            slope = (1.0 if i == 0 else 0.0) - shares[i] / total
            if squares[i] < TINY:
                continue
            v = others[i]
            room_v = 1 - _square(points, v)
            of_u, of_v = rate * slope / (room_v * roots[i]), rate * slope / (room * roots[i])
            for j in range(d):
                apart = points[u, j] - points[v, j]
                step[j] += of_u * (room * apart + squares[i] * points[u, j])
                points[v, j] -= of_v * (squares[i] * points[v, j] - room_v * apart)
            _keep_inside(points, v)
        for j in range(d):
            points[u, j] -= step[j]
        _keep_inside(points, u)


@Jitted
def _related(indptr, indices, u, v):  # type: ignore[no-untyped-def]
    low, high = indptr[u], indptr[u + 1]
    while low < high:
        middle = (low + high) // 2
        if indices[middle] < v:
            low = middle + 1
        else:
            high = middle
    return low < indptr[u + 1] and indices[low] == v


@Jitted
def _square(points, u):  # type: ignore[no-untyped-def]
    square = 0.0
    for j in range(points.shape[1]):
        square += points[u, j] ** 2
    return square


@Jitted
def _keep_inside(points, u):  # type: ignore[no-untyped-def]
    norm = np.sqrt(_square(points, u))
    if norm > MOST:
        for j in range(points.shape[1]):
            points[u, j] *= MOST / norm
