"""Clusters and maps of AnnexML, both learned by ranking neighbors in the label graph above other rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import expit, logsumexp

from xclassic.parallel import StopByte
from xclassic.rows import dense
from xclassic.validation.features import Features

BATCH = 256  # Rows of a step, and random other rows that each of them is compared with.
STEP = 0.1
MOST_BATCHES = 400  # At most this many steps per epoch of the partition, since each step changes all scorers.
PARTITION_EPOCHS = 5


def learn_partition(
    X: Features, graph: csr_array, n_parts: int, random: np.random.Generator, stop: StopByte
) -> NDArray[np.float32]:
    r"""Return scorers such that a row and its neighbors in the graph have the same best scorer.

    For a row whose best scorer is w, its neighbor j and a random row n, a step lowers

    .. math:: \log(1 + e^{-w x_j}) + \log(1 + e^{w x_n}) .

    Neighbors pull the scorer near. Other rows repel it, most often the rows of large clusters, which makes clusters
    similar in size. Scorers start as random rows.

    Parameters
    ----------
    X : csr_array or ndarray, shape (n_rows, n_features)
    graph : csr_array, shape (n_rows, n_rows)
        Its entries are the neighbors.
    n_parts : int
        Number of clusters, at most the number of rows.
    random : Generator
    stop : ndarray of uint8, shape (1,)

    Returns
    -------
    ndarray of float32, shape (n_parts, n_features)

    Notes
    -----
    Cost: five times ``nnz(X) n_parts``, and up to 2,000 times ``n_parts n_features``.
    """
    n = X.shape[0]
    W = dense(X[random.choice(n, n_parts, replace=False)]).T.copy()
    squares = np.zeros_like(W)
    size = max(BATCH, -(-n // MOST_BATCHES))
    for rows, neighbors in _edge_batches(graph, PARTITION_EPOCHS * (n_parts > 1), size, random):
        if stop[0]:
            break
        best = np.tile(np.argmax(X[rows] @ W, axis=1), 2)
        batch = X[np.concatenate([neighbors, random.integers(0, n, len(rows))])]
        side = np.repeat(np.array([1, -1], np.float32), len(rows))
        at = np.arange(len(best)), best
        scores = np.asarray(batch @ W)
        slopes = np.zeros_like(scores)
        slopes[at] = -side * expit(-side * scores[at]) / len(rows)
        _adagrad_step(W, squares, batch.T @ slopes)
    return np.ascontiguousarray(W.T)


def ranking_map(
    X: Features,
    graph: csr_array,
    n_components: int,
    sharpness: float,
    epochs: int,
    random: np.random.Generator,
    stop: StopByte,
) -> NDArray[np.float32]:
    r"""Return V such that images :math:`x V` of neighbors in the graph have larger cosines than those of other rows.

    Parameters
    ----------
    X : csr_array or ndarray, shape (n_rows, n_features)
    graph : csr_array, shape (n_rows, n_rows)
        Its entries are the neighbors.
    n_components : int
    sharpness : float
        Factor of the cosines in `ranking_loss`.
    epochs : int
        Times that a random neighbor of each row, if it has any, is compared with 256 random rows.
    random : Generator
        Source of the random start and comparisons.
    stop : ndarray of uint8, shape (1,)

    Returns
    -------
    ndarray of float32, shape (n_features, n_components)

    Notes
    -----
    Cost: for each epoch and each batch of 256 rows, ``6 nnz n_components`` with the mean number nnz of entries of 256
    rows, ``3 256^2 n_components`` for the cosines, and a few times ``n_features n_components`` for the step.
    """
    n, d = X.shape
    reach = 1 / np.sqrt(max(1.0, np.count_nonzero(X.data if isinstance(X, csr_array) else X) / max(n, 1)))
    V = random.uniform(-reach, reach, (d, n_components)).astype(np.float32)
    squares = np.zeros_like(V)
    for rows, neighbors in _edge_batches(graph, epochs, BATCH, random):
        if stop[0]:
            break
        strangers = random.integers(0, n, BATCH)
        others = (strangers != rows[:, None]) & (strangers != neighbors[:, None])
        batch = X[np.concatenate([rows, neighbors, strangers])]
        slopes = ranking_loss(np.asarray(batch @ V), others, sharpness)[1]
        _adagrad_step(V, squares, batch.T @ slopes)
    return V


def ranking_loss(images: NDArray[Any], others: NDArray[np.bool_], sharpness: float) -> tuple[float, NDArray[Any]]:
    r"""Return how far rows are from having larger cosines with their neighbors than with others, and the gradient.

    The loss is the mean over rows i, each with one neighbor j, of

    .. math:: \log \Bigl(1 + \sum_n e^{-\gamma (\cos_{ij} - \cos_{in})}\Bigr) .

    Parameters
    ----------
    images : ndarray, shape (2 n_rows + n_strangers, n_components)
        Images of the rows, of one neighbor of each, and of the strangers: rows that all of them are compared with. An
        image of zeros has the cosine 0 with all others.
    others : ndarray of bool, shape (n_rows, n_strangers)
        True where a row is compared with a stranger n.
    sharpness : float
        The factor, above 0. The larger it is, the more only the largest cosine with a stranger counts.

    Returns
    -------
    loss : float
    gradient : ndarray
        With respect to `images`, and of their shape.
    """
    b = len(others)
    norms = np.maximum(np.sqrt(np.einsum("ij,ij->i", images, images)), 1e-12)[:, None].astype(images.dtype)
    units = images / norms
    rows, neighbors, strangers = units[:b], units[b : 2 * b], units[2 * b :]
    near = sharpness * np.einsum("ij,ij->i", rows, neighbors)
    logits = np.column_stack([near, np.where(others, sharpness * (rows @ strangers.T), -np.inf)])
    total = logsumexp(logits, axis=1)
    shares = np.exp(logits - total[:, None]) * images.dtype.type(sharpness / b)
    missing, pushes = shares[:, :1] - images.dtype.type(sharpness / b), shares[:, 1:]
    slopes = np.concatenate([pushes @ strangers + missing * neighbors, missing * rows, pushes.T @ rows])
    gradient = (slopes - units * np.einsum("ij,ij->i", units, slopes)[:, None]) / norms
    return float(np.mean(total - near)), gradient


def _edge_batches(
    graph: csr_array, epochs: int, size: int, random: np.random.Generator
) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Yield batches of all rows with neighbors in random order, each with one of its neighbors."""
    degrees = np.diff(graph.indptr)
    for _ in range(epochs):
        order = random.permutation(np.flatnonzero(degrees))
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield rows, graph.indices[graph.indptr[rows] + random.integers(0, degrees[rows])]


def _adagrad_step(weights: NDArray[np.float32], squares: NDArray[np.float32], gradient: Any) -> None:
    """Update the weights, and the sums of their squared gradients, in place."""
    squares += gradient * gradient
    weights -= STEP * gradient / (np.sqrt(squares) + np.float32(1e-8))
