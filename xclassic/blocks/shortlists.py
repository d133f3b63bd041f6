"""One-vs-rest on shortlists: the model of a label is trained and queried only for the rows that list it."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

import xclassic._kernels.nodes as kernels
from xclassic._kernels.arguments import LOSSES
from xclassic.blocks.problem import BlockProblem, places_in
from xclassic.blocks.weights import BlockWeights
from xclassic.parallel import RUNNING, StopByte, run_tasks, spawn_seeds
from xclassic.validation.features import Features

TASKS = 128  # Tasks of the training, of about equally many pairs.
SCORES = 1 << 22  # Scores held at once per worker of a prediction.


def train_on_shortlists(
    problem: BlockProblem,
    Y: csr_array,
    shortlists: csr_array,
    *,
    C: float,
    negative_cost: float = 1.0,
    label_weight: NDArray[np.float32] | None = None,
    sample_weight: NDArray[np.float32] | None = None,
    eps: float,
    max_passes: int,
    prune: float,
    random_state: int | np.random.RandomState | None,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> BlockWeights:
    """Train a classifier of each label that has a row: its rows against the others that have it on their shortlist.

    It minimizes ``|w|^2 / 2 + C sum_i c_i max(0, 1 - t_i w.x_i)^2`` over these rows, where ``c_i`` is the product of
    the weights of the row and of the label, and of the entry of `Y` for positives, of `negative_cost` for the others.

    Parameters
    ----------
    problem : BlockProblem
    Y : csr_array, shape (n_rows, n_labels)
        Positives, which count whether they are on a shortlist or not, as much as their entry says.
    shortlists : csr_array, shape (n_rows, n_labels)
        Stored where a label is on the shortlist of a row.
    C, negative_cost, eps, max_passes, prune, random_state
        As for `Slice`.
    label_weight : ndarray of float32, shape (n_labels,), optional
    sample_weight : ndarray of float32, shape (n_rows,), optional
    n_jobs, verbose
        See `run_tasks`.

    Returns
    -------
    BlockWeights

    Notes
    -----
    Cost: a few passes over the rows of each label. Memory: 30 bytes for each pair of a row and a label, and per worker
    the rows of the label that has most.
    """
    labels = np.unique(Y.indices)
    reached = csc_array(shortlists + Y)[:, labels]
    own = csc_array(Y)[:, labels]
    reached.sort_indices()
    own.sort_indices()
    weighted = sample_weight is not None or bool((own.data != 1).any())
    if weighted:
        _weigh(reached, own, sample_weight)
    train = partial(
        _train,
        problem,
        spawn_seeds(random_state, 1)[0],  # A label's order of rows must not depend on its number.
        loss=LOSSES.index("squared_hinge"),
        cost=C,
        negative_cost=negative_cost,
        eps=eps,
        max_passes=max_passes,
        prune=prune,
    )
    cuts = np.searchsorted(reached.indptr, np.linspace(0, reached.nnz, TASKS + 1))
    cuts = np.unique(np.concatenate([[0], cuts[1:-1], [len(labels)]]))
    tasks = [
        _LabelsTask(
            _columns(reached, first, last, weighted),
            _columns(own, first, last, weighted),
            None if label_weight is None else label_weight[labels[first:last]],
        )
        for first, last in pairwise(cuts.tolist())
    ]
    parts = run_tasks(train, tasks, n_jobs=n_jobs, description="training", verbose=verbose, pieces=True)
    features = np.concatenate([np.zeros(0, np.int32), *(part["features"] for part in parts)])
    values = np.concatenate([np.zeros(0, np.float32), *(part["values"] for part in parts)])
    biases = np.concatenate([np.zeros(0, np.float32), *(part["bias"] for part in parts)])
    sizes = np.concatenate([np.zeros(1, np.int64), *(np.diff(part["chunk_feature_ptr"]) for part in parts)])
    weights = csc_array((values, features, np.cumsum(sizes)), shape=(problem.n_features, len(labels)))
    return BlockWeights.from_csc(weights, biases, labels)


def _weigh(reached: csc_array, own: csc_array, sample_weight: NDArray[np.float32] | None) -> None:
    """Write to the entries of both how much their rows count: for positives what `own` says, and one for others."""
    reached.data[:] = 1
    reached.data[places_in(reached, own)] = own.data
    if sample_weight is not None:
        reached.data *= sample_weight[reached.indices]
        own.data *= sample_weight[own.indices]


class _Columns(NamedTuple):
    """The rows of some labels, label by label, and how much they count; None for one each."""

    ptr: NDArray[np.int64]
    rows: NDArray[np.int32]
    mass: NDArray[np.float32] | None


class _LabelsTask(NamedTuple):
    """Some labels for one worker to train.

    Attributes
    ----------
    reached, positive : _Columns
        The rows that look at each label, and those that have it.
    costs : ndarray of float32, shape (n_labels,), or None
        Factor of all costs of each label.
    """

    reached: _Columns
    positive: _Columns
    costs: NDArray[np.float32] | None


def _columns(matrix: csc_array, first: int, last: int, weighted: bool) -> _Columns:
    """Return consecutive columns, without a copy of their entries."""
    ptr = matrix.indptr[first : last + 1].astype(np.int64)
    entries = slice(ptr[0], ptr[-1])
    rows = matrix.indices[entries].astype(np.int32, copy=False)
    return _Columns(ptr - ptr[0], rows, matrix.data[entries] if weighted else None)


def _train(
    problem: BlockProblem, seed: np.uint64, task: _LabelsTask, stop: StopByte, **options: Any
) -> dict[str, NDArray[Any]]:
    """Train some labels, each as the only child of a node that its rows and those of its shortlists reach."""
    n_labels = len(task.reached.ptr) - 1
    return kernels.train_nodes(
        problem.rows,
        square_norms=problem.square_norms,
        feature_of=problem.feature_of,
        n_features=problem.n_features,
        row_ptr=task.reached.ptr,
        node_rows=task.reached.rows,
        row_mass=task.reached.mass,
        child_ptr=np.arange(n_labels + 1),
        positive_ptr=task.positive.ptr,
        positives=task.positive.rows,
        positive_mass=task.positive.mass,
        child_costs=task.costs,
        seeds=np.full(n_labels, seed),
        stop=stop,
        **options,
    )


def margins_of(
    weights: BlockWeights, X: Features, ids: NDArray[np.int32], *, stop: StopByte = RUNNING
) -> NDArray[np.float32]:
    """Return what the models of some labels of each row say of it.

    Parameters
    ----------
    weights : BlockWeights
    X : csr_array or ndarray of float32, shape (n_rows, n_features)
        As for `BlockWeights.ranked`.
    ids : ndarray of int32, shape (n_rows, k)
        Labels that have a model; -1 gives any number.
    stop : ndarray of uint8, shape (1,), optional

    Returns
    -------
    ndarray of float32, shape (n_rows, k)

    Notes
    -----
    Cost: margins are taken of all labels 16 side by side before those asked for are picked, which reads less than the
    weights of 300 labels one by one would.
    """
    used = np.flatnonzero(weights.labels >= 0)
    lane_of = np.zeros(weights.labels.max(initial=0) + 1, np.int64)
    lane_of[weights.labels[used]] = used
    margins = np.zeros(ids.shape, np.float32)
    step = max(1, SCORES // max(1, len(weights.labels)))
    for start in range(0, X.shape[0] if used.size else 0, step):
        rows = slice(start, start + step)
        scores = weights.lane_scores(X[rows], stop=stop)
        margins[rows] = np.take_along_axis(scores, lane_of[ids[rows]], axis=1)
    return margins
