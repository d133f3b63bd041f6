r"""The Poincaré ball: distances, and the maps between the ball and the flat space that touches it at 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]

MOST = 1 - 1e-5  # Largest norm of a point; nearer to 1, distances lose their digits.


def poincare_distances(u: Points, v: Points) -> NDArray[np.float64]:
    r"""Return :math:`\operatorname{arcosh}(1 + 2 \|u - v\|^2 / ((1 - \|u\|^2)(1 - \|v\|^2)))` of pairs of points.

    Parameters
    ----------
    u, v : ndarray of float64, shapes (..., d)
        Points of norm below 1; the shapes are broadcast.

    Returns
    -------
    ndarray of float64, shape (...)
    """
    apart = np.square(u - v).sum(axis=-1)
    x = 2 * apart / ((1 - np.square(u).sum(axis=-1)) * (1 - np.square(v).sum(axis=-1)))
    return np.log1p(x + np.sqrt(x * (x + 2)))  # The arcosh of 1 + x, with all digits of a small x.


def logarithm_map(points: Points) -> Points:
    r"""Return points of the ball as vectors at 0, :math:`\operatorname{artanh}(\|u\|) u / \|u\|`.

    Their lengths are half of the distances from 0.
    """
    norms = np.sqrt(np.square(points).sum(axis=-1, keepdims=True))
    safe = np.where(norms > 0, norms, 1)
    return np.asarray(np.where(norms > 0, np.arctanh(np.minimum(norms, MOST)) / safe, 1) * points)


def exponential_map(vectors: Points) -> Points:
    r"""Return vectors at 0 as points of the ball, :math:`\tanh(\|v\|) v / \|v\|`, the inverse of `logarithm_map`."""
    norms = np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True))
    safe = np.where(norms > 0, norms, 1)
    return np.asarray(np.where(norms > 0, np.minimum(np.tanh(norms), MOST) / safe, 1) * vectors)
