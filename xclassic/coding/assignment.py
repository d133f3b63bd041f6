"""Which label gets which path: an order of the labels in which similar ones are neighbors."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

import xclassic._kernels.cluster as kernels
from xclassic._kernels.arguments import FeatureRows
from xclassic.parallel import StopByte, run_tasks, spawn_seeds
from xclassic.rows import kernel_rows, unit_rows
from xclassic.validation.features import Features

MAX_ENTRIES = 200  # Entries kept of the mean row of a label, as for label trees.
TASKS = 64  # At most this many tasks at a time.


def order_by_similarity(X: Features, Y: csr_array, seed: int, n_jobs: int | None, verbose: int) -> NDArray[np.int64]:
    """Return the labels in the order of the leaves of a balanced binary tree, made by k-means of their mean rows.

    Paths that follow each other have the same states in the last layers of a trellis, so neighbors share these edges.
    """
    rows = kernel_rows(_mean_rows(X, Y, n_jobs, verbose))
    labels, sizes = np.arange(Y.shape[1], dtype=np.int32), np.array([Y.shape[1]])
    for level_seed in spawn_seeds(int(seed) % 2**32, Y.shape[1].bit_length()):
        open_nodes = sizes > 1
        arities = open_nodes + 1
        seeds = np.random.default_rng(level_seed).integers(2**63, size=len(sizes), dtype=np.uint64)
        side = np.zeros(len(labels), np.int64)
        inside = np.repeat(open_nodes, sizes)
        side[inside] = _split(rows, labels[inside], sizes[open_nodes], seeds[open_nodes], n_jobs, verbose)
        node = np.repeat(np.cumsum(arities) - arities, sizes) + side
        labels = labels[np.argsort(node, kind="stable")]
        sizes = np.bincount(node, minlength=arities.sum())
    return labels.astype(np.int64)


def _mean_rows(X: Features, Y: csr_array, n_jobs: int | None, verbose: int) -> Features:
    """Return the mean row of each label, scaled to unit length; of sparse rows its largest entries."""
    by_label = csr_array(Y.T)
    if isinstance(X, np.ndarray):
        return unit_rows(np.ascontiguousarray(by_label @ X, np.float32))
    bounds = np.unique(np.linspace(0, Y.shape[1], TASKS + 1).astype(np.int64))
    tasks = [by_label[a:b] for a, b in pairwise(bounds)]
    run = partial(_sum_task, kernel_rows(X))
    parts = run_tasks(run, tasks, n_jobs=n_jobs, description="label vectors", verbose=verbose)
    lengths, indices, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return csr_array((values, indices, np.append(0, np.cumsum(lengths))), shape=(Y.shape[1], X.shape[1]))


def _sum_task(
    rows: FeatureRows, of_label: csr_array, stop: StopByte
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    return kernels.label_vectors(
        rows,
        label_ptr=of_label.indptr.astype(np.int64),
        label_rows=of_label.indices.astype(np.int32),
        weights=of_label.data,
        max_entries=MAX_ENTRIES,
        stop=stop,
    )


def _split(
    rows: FeatureRows,
    labels: NDArray[np.int32],
    sizes: NDArray[np.int64],
    seeds: NDArray[np.uint64],
    n_jobs: int | None,
    verbose: int,
) -> NDArray[np.int32]:
    """Return the half of its node that each label goes to; `labels` are those of the nodes, one after the other."""
    ends = np.append(0, np.cumsum(sizes))
    cuts = np.unique(np.searchsorted(ends, np.linspace(0, ends[-1], TASKS + 1)))
    tasks = [(ends[a : b + 1] - ends[a], labels[ends[a] : ends[b]], seeds[a:b]) for a, b in pairwise(cuts)]
    run = partial(_split_task, rows)
    parts = run_tasks(run, tasks, n_jobs=n_jobs, description="clustering labels", verbose=verbose)
    return np.concatenate([np.zeros(0, np.int32), *parts])


def _split_task(
    rows: FeatureRows, task: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint64]], stop: StopByte
) -> NDArray[np.int32]:
    pointers, labels, seeds = task
    return kernels.split_nodes(
        rows,
        item_ptr=pointers,
        items=labels,
        n_clusters=np.full(len(seeds), 2, np.int32),
        seeds=seeds,
        room=0.0,
        tolerance=1e-3,
        max_rounds=20,
        stop=stop,
    )
