"""Vectors of words from the words they occur with: positive mutual information, factored."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.sparse import coo_array, csr_array, vstack

from xclassic.linalg.eigen import COLUMNS, OVERSAMPLING, STEPS, orthonormal
from xclassic.parallel import StopByte, blas_threads, run_tasks

Vectors = NDArray[np.float32]

OCCURRENCES = 1 << 17  # Of words whose neighbors a task counts.
SMOOTHING = 0.75  # Power of the counts of neighbors, so that rare ones do not rank first.


def learned_vectors(
    flat: NDArray[np.int32],
    starts: NDArray[np.int64],
    n_words: int,
    n_dimensions: int,
    *,
    window: int | None,
    seed: int,
    n_jobs: int | None,
    verbose: int,
) -> Vectors:
    """Return vectors by which words that occur in the same company are close.

    Parameters
    ----------
    flat : ndarray of int32
        Words of all texts.
    starts : ndarray of int64, shape (n_texts + 1,)
        Where each text begins.
    n_words, n_dimensions : int
        Shape of the result, whose last columns are missing where the rank does not suffice.
    window : int or None
        Company are words at most so far away; None for the whole text.
    seed : int
    n_jobs : int or None
    verbose : int

    Returns
    -------
    ndarray of float32, shape (n_words, at most n_dimensions)
    """
    if window is None:
        matrix = text_information(flat, starts, n_words)
    else:
        counts = neighbor_counts(flat, starts, n_words, window, n_jobs, verbose)
        matrix = positive_information(counts)
    return factored(matrix, min(n_dimensions, *matrix.shape), seed, n_jobs, verbose)


def text_information(flat: NDArray[np.int32], starts: NDArray[np.int64], n_words: int) -> csr_array:
    """Return the positive mutual information of texts and words, of shape (n_texts, n_words)."""
    counts = word_counts(flat, starts, n_words)
    return positive_information(counts[np.diff(counts.indptr) > 0])


def word_counts(flat: NDArray[np.int32], starts: NDArray[np.int64], n_words: int) -> csr_array:
    """Return how often each text has each word, in float32."""
    shape = (starts.size - 1, n_words)
    counts = csr_array((np.ones(flat.size, np.float32), flat, starts), shape=shape, copy=True)
    counts.sum_duplicates()
    return counts


def neighbor_counts(
    flat: NDArray[np.int32],
    starts: NDArray[np.int64],
    n_words: int,
    window: int,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> csr_array:
    """Count how often words stand near each other.

    Neighbors count by their distance: `window` side by side, 1 if they are `window` apart.

    Returns
    -------
    csr_array of float64, shape (n_words, n_words)
    """
    order = np.argsort(flat, kind="stable")
    ends = np.cumsum(np.bincount(flat, minlength=n_words))
    # Ranges of words with about as many occurrences each, cut by the data alone.
    n_ranges = max(1, flat.size // OCCURRENCES)
    cuts = np.unique(np.searchsorted(ends, np.linspace(0, flat.size, n_ranges + 1)[1:-1], side="right"))
    bounds = [0, *cuts.tolist(), n_words]
    text_of = np.repeat(np.arange(starts.size - 1), np.diff(starts))
    tasks = [pair for pair in pairwise(bounds) if pair[0] < pair[1]]
    count = partial(_neighbors_of, flat, text_of, order, np.concatenate([[0], ends]), window)
    return csr_array(vstack(run_tasks(count, tasks, n_jobs=n_jobs, description="neighbors", verbose=verbose)))


def _neighbors_of(
    flat: NDArray[np.int32],
    text_of: NDArray[np.int64],
    order: NDArray[np.int64],
    ends: NDArray[np.int64],
    window: int,
    words: tuple[int, int],
    stop: StopByte,
) -> csr_array:
    """Return the rows of a range of words."""
    first, last = words
    places = order[ends[first] : ends[last]]
    shape = (last - first, ends.size - 1)
    rows = csr_array(shape, dtype=np.float64)
    for distance in (d for d in range(-window, window + 1) if d):
        if stop[0]:
            break
        near = places + distance
        inside = (near >= 0) & (near < flat.size)
        here, near = places[inside], near[inside]
        same = text_of[here] == text_of[near]
        here, near = flat[here[same]] - first, flat[near[same]]
        weight = np.full(here.size, float(window + 1 - abs(distance)))
        rows = rows + csr_array(coo_array((weight, (here, near)), shape=shape))
    return rows


def positive_information(counts: csr_array) -> csr_array:
    r"""Return :math:`\max(0, \log \frac{p(i, j)}{p(i) p(j)})` of counts, where p(j) is smoothed, in float32.

    Source: O. Levy, Y. Goldberg and I. Dagan, "Improving distributional similarity with lessons learned from word
    embeddings", TACL 2015.
    """
    rows, columns = counts.sum(axis=1), counts.sum(axis=0)
    smoothed = columns**SMOOTHING
    with np.errstate(divide="ignore"):
        of_rows, of_columns = -np.log(rows), np.log(smoothed.sum() or 1) - np.log(smoothed)
    values = np.log(counts.data).astype(np.float32)
    values += np.repeat(of_rows, np.diff(counts.indptr)).astype(np.float32)
    values += of_columns[counts.indices].astype(np.float32)
    information = csr_array((np.maximum(values, 0), counts.indices, counts.indptr), shape=counts.shape)
    information.eliminate_zeros()
    return information


def factored(matrix: csr_array, k: int, seed: int, n_jobs: int | None, verbose: int) -> Vectors:
    """Return the leading right singular vectors of a matrix as columns, times the roots of their singular values.

    Singular values of 0 have no column. The rounds of `xclassic.linalg.eigen.subspace_iteration`, whose products are
    tasks here.
    """
    order = matrix.shape[1]
    basis = np.random.default_rng(seed).standard_normal((order, min(order, k + OVERSAMPLING)), np.float32)
    with blas_threads(1):
        for _ in range(STEPS):
            basis = run_tasks(orthonormal, [basis])[0]
            basis = _gram_product(matrix, basis, n_jobs, verbose)
        basis = run_tasks(orthonormal, [basis])[0]
        within = basis.T @ _gram_product(matrix, basis, n_jobs, verbose)
        squares, vectors = eigh((within + within.T).astype(np.float64) / 2)
        squares, vectors = squares[: -k - 1 : -1], vectors[:, : -k - 1 : -1]
        kept = squares > squares.max(initial=0) * np.finfo(np.float32).eps
        scaled = vectors[:, kept] * squares[kept] ** 0.25
        return np.ascontiguousarray(basis @ scaled.astype(np.float32))


def _gram_product(matrix: csr_array, basis: Vectors, n_jobs: int | None, verbose: int) -> Vectors:
    """Return the product of ``matrix.T @ matrix`` with a basis."""
    blocks = [np.ascontiguousarray(basis[:, at : at + COLUMNS]) for at in range(0, basis.shape[1], COLUMNS)]
    products = run_tasks(partial(_product, matrix), blocks, n_jobs=n_jobs, description="factoring", verbose=verbose)
    return np.hstack(products)


def _product(matrix: csr_array, block: Vectors, stop: StopByte) -> Vectors:
    return np.asarray(matrix.T @ (matrix @ block), np.float32)
