"""The trainers of blocks of linear models over the same rows.

Every method that fits many linear models at once builds on this module: one-vs-rest over all labels, or the children of
a tree node over the node's rows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

import xclassic._kernels.blocks as kernels
from xclassic._kernels.arguments import LOSSES as kernel_losses
from xclassic.blocks.problem import BlockProblem, label_ranges, positives
from xclassic.blocks.weights import BlockWeights
from xclassic.parallel import StopByte, run_tasks
from xclassic.storage.folder import ModelFileError

LOSSES = kernel_losses[:2]  # Losses that a single label can be fitted by; the others are for the children of a node.


@dataclass
class Trained:
    """The result of a block trainer, label by label in the order of the call.

    Attributes
    ----------
    weights : BlockWeights
    residuals : ndarray of float64, shape (n_labels,)
        Of each label when it was last measured: its duality gap as a share of ``|w|^2 / 2``, which bounds the squared
        relative error of the weights; or the relative residual of a least-squares fit.
    work : ndarray of int64
        Counts of the work done, summed over blocks: passes over all rows, sweeps of the active rows, rows read, rows
        updated; for least squares only conjugate-gradient sweeps.
    """

    weights: BlockWeights
    residuals: NDArray[np.float64]
    work: NDArray[np.int64]


def train_blocks(
    problem: BlockProblem,
    Y: csr_array,
    labels: NDArray[Any],
    *,
    loss: str,
    l1: float = -1.0,
    eps: float,
    max_passes: int,
    prune: float,
    positive_costs: NDArray[np.float32],
    negative_costs: NDArray[np.float32],
    row_weights: NDArray[np.float32] | None = None,
    pair_costs: csr_array | None = None,
    seed: int,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Trained:
    """Train an L2-regularized linear classifier for each of `labels`: its rows against all others.

    It minimizes for each label ``|w|^2 / 2 + sum_i c_i loss(t_i w.x_i)``, where ``t_i`` is 1 on the label's rows and -1
    on the others, and ``c_i`` is its positive or negative cost times the weight of the row. Weights of at most `prune`
    in absolute value are dropped block by block.

    Parameters
    ----------
    problem : BlockProblem
    Y : csr_array, shape (n_rows_of_X, n_labels_in_all)
    labels : ndarray of int
        Columns of `Y` to train. What one becomes does not depend on the others, to the last bit.
    loss : {"squared_hinge", "logistic"}
    l1 : float, optional
        From 0 on, the squared hinge has the penalty ``l1 |w|_1`` besides, without the weight of the constant feature.
    eps : float
        Duality gap, as a share of ``|w|^2 / 2``, at which a label is done.
    max_passes : int
        Passes over all rows after which a label is given up.
    prune : float
    positive_costs, negative_costs : ndarray of float32, shape (len(labels),)
    row_weights : ndarray of float32, shape (n_rows_of_X,), optional
    pair_costs : csr_array of float32, shape of Y, optional
        Stored where `Y` is, above 0: what the cost of each positive is multiplied by.
    seed : int
    n_jobs, verbose
        See `run_tasks`.

    Returns
    -------
    Trained

    Notes
    -----
    Memory in addition to the finished weights: per worker ``64 (n_rows + n_active_features)`` bytes, and 64 for each
    row if there are `pair_costs`.
    """
    pointers, rows, shares = positives(Y if pair_costs is None else pair_costs, labels)
    train = partial(
        _train_task,
        problem,
        width=kernels.lane_width(len(labels)),
        loss=LOSSES.index(loss),
        l1=l1,
        eps=eps,
        max_passes=max_passes,
        prune=prune,
        seed=seed,
        row_weights=None if row_weights is None else np.ascontiguousarray(row_weights),
        label_shares=None if pair_costs is None else shares,
    )
    tasks = [
        (pointers[a : b + 1], rows, positive_costs[a:b], negative_costs[a:b]) for a, b in label_ranges(len(labels))
    ]
    return run_blocks(train, tasks, labels, problem.n_features, n_jobs, verbose)


def ridge_blocks(
    problem: BlockProblem,
    Y: csr_array,
    labels: NDArray[Any],
    *,
    alpha: float,
    targets: NDArray[np.float32],
    tolerance: float,
    max_sweeps: int,
    prune: float,
    row_weights: NDArray[np.float32] | None = None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Trained:
    """Fit ``(X^T D X + alpha I) w = targets[j] X^T D y_j`` for each of `labels` by block conjugate gradients.

    D has the weights of the rows on its diagonal. The parameters are those of `train_blocks`, and:

    Parameters
    ----------
    alpha : float
        Ridge penalty, which includes the constant feature.
    targets : ndarray of float32, shape (len(labels),)
        What the rows of each label are mapped to; all other rows are mapped to 0.
    tolerance : float
        Relative residual, in the norm of the preconditioner, at which a label is done.
    max_sweeps : int
        Passes over the rows after which a label is given up.

    Notes
    -----
    Cost: ``4 nnz(X)`` multiply-adds per sweep and label. Memory in addition to the finished weights: per worker
    ``256 n_active_features`` bytes.
    """
    pointers, rows, _ = positives(Y, labels)
    diagonal = np.full(len(problem.feature_of) + 1, alpha, np.float32)
    diagonal[:-1] += _square_sums(problem, row_weights)
    n_rows = problem.rows.n_rows if row_weights is None else row_weights.sum(dtype=np.float64)
    diagonal[-1] += n_rows * problem.rows.bias**2
    fit = partial(
        _ridge_task,
        problem,
        diagonal=diagonal,
        row_weights=row_weights,
        ridge=alpha,
        width=kernels.lane_width(len(labels)),
        tolerance=tolerance,
        max_sweeps=max_sweeps,
        prune=prune,
    )
    tasks = [(pointers[a : b + 1], rows, targets[a:b]) for a, b in label_ranges(len(labels))]
    return run_blocks(fit, tasks, labels, problem.n_features, n_jobs, verbose)


def _square_sums(problem: BlockProblem, row_weights: NDArray[np.float32] | None) -> NDArray[np.float64]:
    """Return the weighted sum of squares of each feature."""
    d = len(problem.feature_of)
    squares = problem.rows.values.astype(np.float64) ** 2
    if row_weights is not None:
        squares *= np.repeat(row_weights, d if problem.rows.indptr is None else np.diff(problem.rows.indptr))
    if problem.rows.indices is None:
        return squares.reshape(-1, d).sum(axis=0)
    return np.bincount(problem.rows.indices, weights=squares, minlength=d).astype(np.float64)


def _train_task(problem: BlockProblem, task: tuple[Any, ...], stop: StopByte, **options: Any) -> Any:
    pointers, positives, positive_costs, negative_costs = task
    return kernels.train_labels(
        problem.rows,
        square_norms=problem.square_norms,
        reading_order=problem.reading_order,
        feature_of=problem.feature_of,
        label_ptr=pointers,
        label_rows=positives,
        positive_costs=positive_costs,
        negative_costs=negative_costs,
        stop=stop,
        **options,
    )


def _ridge_task(problem: BlockProblem, task: tuple[Any, ...], stop: StopByte, **options: Any) -> Any:
    pointers, positives, targets = task
    return kernels.ridge_labels(
        problem.rows,
        feature_of=problem.feature_of,
        label_ptr=pointers,
        label_rows=positives,
        target_values=targets,
        stop=stop,
        **options,
    )


def _check_cells(cells: Any, n_features: int) -> None:
    """Raise for what the merging kernel would trip over, since results may come from files."""
    for features, masks, values in zip(cells.features, cells.masks, cells.values, strict=True):
        inside = not len(features) or 0 <= features.min() <= features.max() < n_features
        if not inside or len(features) != len(masks) or int(np.bitwise_count(masks).sum()) != len(values):
            raise ModelFileError(f"A piece of a model holds weights that are none of {n_features} features.")


def run_blocks(
    function: Callable[..., Any],
    tasks: list[Any],
    labels: NDArray[Any],
    n_features: int,
    n_jobs: int | None,
    verbose: int,
) -> Trained:
    """Run tasks, each of which returns (cells, bias, residuals, work) of the next `labels`, and join their blocks."""
    results = run_tasks(function, tasks, n_jobs=n_jobs, description="training", verbose=verbose, pieces=True)
    bias = np.concatenate([np.zeros(0, np.float32), *(result[1] for result in results)])
    residuals = np.concatenate([np.zeros(0), *(result[2] for result in results)])
    work = sum((result[3] for result in results), np.zeros(1, np.int64))
    cells = [result[0] for result in results]
    del results
    for part in cells:
        _check_cells(part, n_features)
    return Trained(BlockWeights.from_cells(cells, bias, labels, n_features), residuals, work)
