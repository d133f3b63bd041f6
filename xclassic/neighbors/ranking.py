"""Two problems in which neighbors in the label graph are to be ranked above others (AnnexML): clusters, and a map."""

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

BATCH = 256  # rows of a step, and strangers that each of them is compared with
STEP = 0.1
MOST_BATCHES = 400  # of an epoch of the partition, whose steps change all scorers
PARTITION_EPOCHS = 5


def learn_partition(
    X: Features, graph: csr_array, n_parts: int, random: np.random.Generator, stop: StopByte
) -> NDArray[np.float32]:
    r"""Return scorers such that a row and its neighbors in the graph have the same best scorer.

    For a row whose best scorer is w, a neighbor j of it, and any row n, a step lowers

    .. math:: \log(1 + e^{-w x_j}) + \log(1 + e^{w x_n}) .

    Neighbors draw the scorer near. Other rows repel it, those of large clusters most often, which makes clusters
    similar in size. Scorers start as rows.

    Parameters
    ----------
    X : csr_array or ndarray, shape (n_rows, n_features)
    graph : csr_array, shape (n_rows, n_rows)
        Its entries are the neighbors.
    n_parts : int
        At most the number of rows.
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
    r"""Return V such that the images :math:`x V` of neighbors in the graph have larger cosines than those of others.

    Parameters
    ----------
    X : csr_array or ndarray, shape (n_rows, n_features)
    graph : csr_array, shape (n_rows, n_rows)
        Its entries are the neighbors.
    n_components : int
    sharpness : float
        Factor of the cosines in `ranking_loss`.
    epochs : int
        Times that each row with neighbors is compared: one of them, at random, with 256 rows at random.
    random : Generator
        For the start and the comparisons.
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

    The mean over rows i with the neighbor j of

    .. math:: \log \Bigl(1 + \sum_n e^{-\gamma (\cos_{ij} - \cos_{in})}\Bigr) .

    Parameters
    ----------
    images : ndarray, shape (2 n_rows + n_strangers, n_components)
        Of the rows, of a neighbor of each, and of rows that all of them are compared with. An image of zeros has the
        cosine 0 with all.
    others : ndarray of bool, shape (n_rows, n_strangers)
        The strangers n that a row is compared with.
    sharpness : float
        The factor, above 0; the larger, the more the largest cosine of others counts alone.

    Returns
    -------
    loss : float
    gradient : ndarray
        Like `images`.
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
    """Yield all rows with neighbors in random order, some at a time, each with one of its neighbors."""
    degrees = np.diff(graph.indptr)
    for _ in range(epochs):
        order = random.permutation(np.flatnonzero(degrees))
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield rows, graph.indices[graph.indptr[rows] + random.integers(0, degrees[rows])]


def _adagrad_step(weights: NDArray[np.float32], squares: NDArray[np.float32], gradient: Any) -> None:
    """Change the weights, and the sums of the squares of their gradients, in place."""
    squares += gradient * gradient
    weights -= STEP * gradient / (np.sqrt(squares) + np.float32(1e-8))
