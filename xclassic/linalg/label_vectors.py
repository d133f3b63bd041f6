"""Label vectors, by which labels are grouped or found."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

import xclassic._kernels.cluster as kernels
from xclassic._kernels.arguments import FeatureRows, MappedRows
from xclassic.parallel import StopByte, in_threads, run_tasks
from xclassic.rows import ScaledRows, TrainingRows, kernel_rows, unit_rows
from xclassic.validation.features import check_rows
from xclassic.validation.parameters import check_choice, check_number

VIEWS = ("pifa", "labels", "both")
TASKS = 64
MAX_ENTRIES = 200  # Entries kept of a label vector, since more make no better groups.


def label_vectors(
    X: Any,
    Y: Any,
    view: str = "pifa",
    *,
    max_entries: int = MAX_ENTRIES,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Any:
    """Return a vector for each label, of unit length, or zero for a label without rows.

    Parameters
    ----------
    X : sparse matrix or array-like, shape (n_rows, n_features)
        Scale rows to unit length first, so that each counts the same.
    Y : sparse matrix or array-like, shape (n_rows, n_labels)
        The labels of each row, or their weights.
    view : {"pifa", "labels", "both"}, default="pifa"
        The sum of the rows of the label ("positive-instance feature aggregation"), its row of ``Y^T Y``, or the two
        side by side, each scaled to unit length first.
    max_entries : int, default=200
        Largest entries kept of each vector, if `X` is sparse.
    n_jobs : int, optional
        Workers, as joblib counts them. The vectors do not depend on it.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Returns
    -------
    csr_array or ndarray of float32, shape (n_labels, n_features), (n_labels, n_labels) or both side by side
        Dense for dense `X` and ``view="pifa"``.

    Raises
    ------
    ValueError, TypeError
        If `X` and `Y` have different numbers of rows or are no matrices of finite numbers, or `view` is unknown.

    Notes
    -----
    Cost: one addition for each pair of an entry of `Y` and an entry of the same row of `X` (or of `Y`). Memory: 8 bytes
    for each entry of the result, at most `max_entries` for each label, and ``4 n_features`` for each worker.

    Examples
    --------
    >>> from xclassic.label_tree import label_vectors
    >>> label_vectors(np.eye(2), csr_array([[1, 1], [1, 0]]))
    array([[0.70710677, 0.70710677],
           [1.        , 0.        ]], dtype=float32)
    """
    check_choice("view", view, VIEWS)
    check_number("max_entries", max_entries, minimum=1, integer=True)
    X, Y = X if isinstance(X, ScaledRows) else check_rows(X, "X"), csr_array(check_rows(Y, "Y"))
    if X.shape[0] != Y.shape[0]:
        raise ValueError(f"X has shape {X.shape} and Y {Y.shape}; they must have the same rows.")
    options: dict[str, Any] = {"max_entries": max_entries, "n_jobs": n_jobs, "verbose": verbose}
    if view == "pifa":
        return _sums(X, Y, **options)
    if view == "labels":
        return _sums(Y, Y, **options)
    parts = [csr_array(_sums(rows, Y, **options)) for rows in (X, Y)]
    return unit_rows(csr_array(hstack(parts, format="csr")))


class LabelRows(FeatureRows):
    """Label vectors as kernels read them, which workers of a cluster make of the rows and labels that they have."""

    _made_of: tuple[TrainingRows, csr_array, str]

    @classmethod
    def of(cls, X: TrainingRows, Y: csr_array, view: str, *, n_jobs: int | None = None, verbose: int = 0) -> LabelRows:
        """Make the rows of `label_vectors`, in threads of this process."""
        with in_threads():
            vectors = label_vectors(X, Y, view, n_jobs=n_jobs, verbose=verbose)
        rows = kernel_rows(vectors)
        made = cls(rows.indptr, rows.indices, rows.values, n_rows=rows.n_rows, n_features=rows.n_features)
        made._made_of = X, Y, view
        return made

    def _remake(self) -> tuple[Callable[..., LabelRows], tuple[Any, ...]]:
        return LabelRows.of, self._made_of


class _SumsTask(NamedTuple):
    """Some labels whose rows one worker sums."""

    label_ptr: NDArray[np.int64]
    rows: NDArray[np.int32]
    weights: NDArray[np.float32]


def _sums(rows: TrainingRows, Y: csr_array, *, max_entries: int, n_jobs: int | None, verbose: int) -> Any:
    """Return the sum of the rows of each label, scaled to unit length."""
    by_label = csr_array(Y.T)
    if isinstance(rows, np.ndarray):
        return unit_rows(np.ascontiguousarray(by_label @ rows, np.float32))
    pointers = by_label.indptr.astype(np.int64)
    cuts = np.unique(np.searchsorted(pointers, np.linspace(0, pointers[-1], TASKS + 1)[1:-1]))
    bounds = [0, *(cut for cut in cuts.tolist() if 0 < cut < Y.shape[1]), Y.shape[1]]
    tasks = [
        _SumsTask(pointers[a : b + 1] - pointers[a], part.indices.astype(np.int32), part.data.astype(np.float32))
        for a, b in pairwise(bounds)
        for part in [by_label[a:b]]
    ]
    run = partial(_sums_task, rows.for_kernels() if isinstance(rows, ScaledRows) else kernel_rows(rows), max_entries)
    parts = run_tasks(run, tasks, n_jobs=n_jobs, description="label vectors", verbose=verbose)
    sizes, indices, values = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    indptr = np.concatenate([[0], np.cumsum(sizes)])
    sums = csr_array((values, indices, indptr), shape=(Y.shape[1], rows.shape[1]), copy=False)
    sums.has_sorted_indices = sums.has_canonical_format = True
    return sums


def _sums_task(rows: FeatureRows | MappedRows, max_entries: int, task: _SumsTask, stop: StopByte) -> Any:
    return kernels.label_vectors(
        rows,
        label_ptr=task.label_ptr,
        label_rows=task.rows,
        weights=task.weights,
        max_entries=max_entries,
        stop=stop,
    )
