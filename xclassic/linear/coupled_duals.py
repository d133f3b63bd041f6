"""The dual of M3L by block coordinate descent over groups of labels that are not coupled, and the weights it gives."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, diags_array, hstack
from sklearn.utils.extmath import row_norms

from xclassic.blocks.problem import label_ranges
from xclassic.blocks.weights import BlockWeights
from xclassic.linear.correlation import independent_groups
from xclassic.parallel import StopByte, run_tasks
from xclassic.rows import compressed_arrays


def solve_duals(
    X: csr_array,
    Y: csc_array,
    R: csr_array,
    *,
    costs: tuple[float, float],
    bias: float,
    tol: float,
    max_passes: int,
    seeds: NDArray[np.uint64],
    n_jobs: int | None,
    verbose: int,
) -> tuple[csc_array, float]:
    """Return the signed dual variables, shape (n_rows, n_labels), and the largest projected gradient of the last sweep.

    No two labels of a group are coupled, so the labels of a group are trained at once, while the others add fixed
    margins. There is at most one sweep over the groups for each seed. `costs` are those of positives and of negatives.
    """
    groups = independent_groups(R)
    if not groups:
        return csc_array((X.shape[0], 0), dtype=np.float64), 0.0
    order = np.concatenate(groups)
    R, Y = R[order][:, order], Y[:, order]
    Y.sort_indices()
    diagonal = R.diagonal()
    coupling = csc_array(R - diags_array(diagonal))
    norms = (row_norms(X, squared=True) + bias * bias).astype(np.float32)
    train = partial(_train_task, (*compressed_arrays(X), norms, bias, X.shape[1]))
    ends = np.cumsum([0, *(len(group) for group in groups)])
    parts = [csc_array((X.shape[0], len(group)), dtype=np.float64) for group in groups]
    for seed in seeds.astype(np.uint32):
        worst = 0.0
        for g, group in enumerate(groups):
            others = csc_array(hstack(parts) @ coupling[:, ends[g] : ends[g + 1]])
            tasks = []
            for a, b in label_ranges(len(group)):
                here = slice(ends[g] + a, ends[g] + b)
                task = (Y[:, here], parts[g][:, a:b], others[:, a:b], diagonal[here])
                tasks.append((*task, *costs, tol, max_passes, seed))
            found = run_tasks(train, tasks, n_jobs=n_jobs, description="training", verbose=verbose)
            parts[g] = csc_array(hstack([part for part, _ in found]))
            worst = max([worst, *(violation for _, violation in found)])
        if worst <= tol:
            break
    return csc_array(hstack(parts))[:, np.argsort(order)], worst


def weights_of_duals(
    X: csr_array,
    duals: csc_array,
    R: csr_array,
    labels: NDArray[Any],
    *,
    bias: float,
    prune: float,
    n_jobs: int | None,
    verbose: int,
) -> BlockWeights:
    """Return ``X^T duals R``, with small weights dropped label range by label range."""
    combine = partial(_combine_task, csr_array(X.T), duals, csc_array(R), prune)
    parts = run_tasks(combine, label_ranges(len(labels)), n_jobs=n_jobs, verbose=verbose)
    models = hstack([csc_array((X.shape[1], 0), dtype=np.float32), *(part for part, _ in parts)], format="csc")
    biases = np.concatenate([np.zeros(0), *(constant for _, constant in parts)]) * bias * bias
    return BlockWeights.from_csc(csc_array(models), biases.astype(np.float32), labels)


def _train_task(problem: Any, task: Any, stop: StopByte) -> Any:
    from xclassic.linear.hinge import train_hinge  # The first call loads Numba.

    positives, own, others, diagonal, *options = task
    ptr, rows, duals, violations = train_hinge(
        *problem,
        *compressed_arrays(positives)[:2],
        *compressed_arrays(own),
        *compressed_arrays(others),
        diagonal,
        *options,
        stop,
    )
    return csc_array((duals, rows, ptr), shape=own.shape), violations.max(initial=0)


def _combine_task(
    columns: csr_array, duals: csc_array, R: csc_array, prune: float, labels: tuple[int, int], stop: StopByte
) -> Any:
    if stop[0]:
        labels = (0, 0)
    shared = duals @ R[:, slice(*labels)]
    weights = csc_array(columns @ shared)
    weights.data[np.abs(weights.data) <= prune] = 0
    weights.eliminate_zeros()
    return weights.astype(np.float32), shared.sum(axis=0)
