"""Distances in the Poincaré ball to fifty digits, and the steps of its embedding by the general formulas."""

from decimal import Decimal, localcontext

import numpy as np


def exact_distance(u, v):
    """Return the distance of two points of float64, computed with fifty digits."""
    with localcontext(prec=50):
        u, v = ([Decimal(float(x)) for x in point] for point in (u, v))
        apart = sum((a - b) ** 2 for a, b in zip(u, v, strict=True))
        rooms = [1 - sum(a * a for a in point) for point in (u, v)]
        y = 1 + 2 * apart / (rooms[0] * rooms[1])
        return float((y + (y * y - 1).sqrt()).ln())


def descend(related, pairs, drawn, points, rate):
    """Move points as `xclassic.features.poincare_steps.descend`: the Euclidean gradient times the inverse metric."""
    points = points.copy()
    for (u, v), row in zip(pairs, drawn, strict=True):
        others = [v, *dict.fromkeys(x for x in row if x != u and not related[u, x])]
        distances = np.array([distance(points[u], points[x]) for x in others])
        slopes = -np.exp(-distances) / np.exp(-distances).sum()
        slopes[0] += 1
        before = points[u].copy()
        gradient = np.zeros_like(before)
        for x, slope in zip(others, slopes, strict=True):
            gradient += slope * distance_gradient(before, points[x])
            own = slope * distance_gradient(points[x], before)
            points[x] = inside(points[x] - rate * (1 - points[x] @ points[x]) ** 2 / 4 * own)
        points[u] = inside(before - rate * (1 - before @ before) ** 2 / 4 * gradient)
    return points


def distance(u, v):
    return np.arccosh(1 + 2 * (u - v) @ (u - v) / ((1 - u @ u) * (1 - v @ v)))


def distance_gradient(u, v):
    """Return the gradient of the distance in u: equation 4 of Nickel and Kiela."""
    alpha, beta = 1 - u @ u, 1 - v @ v
    gamma = 1 + 2 / (alpha * beta) * (u - v) @ (u - v)
    return 4 / (beta * np.sqrt(gamma**2 - 1)) * ((v @ v - 2 * u @ v + 1) / alpha**2 * u - v / alpha)


def inside(point):
    return point * min(1, (1 - 1e-5) / max(np.linalg.norm(point), 1e-300))
