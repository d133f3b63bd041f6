"""The training side of a feature matrix, and how labels are cut into blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array
from sklearn.utils.extmath import row_norms

from xclassic._kernels.arguments import LANES, FeatureRows, MappedRows
from xclassic.rows import ScaledRows, TrainingRows, kernel_rows, times_rows
from xclassic.validation.pieces import counts_of

TASKS = 128  # Tasks of a one-vs-rest fit, each at least one group of labels. There are more if they would be large.
LARGE = 64  # Groups of labels of which a task has at most as many, so that a large fit keeps a large cluster busy.
# Average row length above which rows are better read in the order of memory. Below it, reading rows of equal length
# together lets the CPU predict where their loops end, which counts for short rows.
SHORT_ROW = 32
WINDOW = 1024  # Rows that are sorted by length together; they are close enough to each other to stay in the cache.


class BlockProblem:
    """The training side of a feature matrix.

    Features are renumbered by descending frequency, so that the weights touched most lie together. Features that occur
    in no row are left out.

    Parameters
    ----------
    X : csr_array, ScaledRows or ndarray of float32, shape (n_rows, n_features)
        Checked features.
    bias : float
        Value of the constant feature that every row carries; 0 means no such feature.

    Attributes
    ----------
    rows : FeatureRows or MappedRows
        The rows as kernels read them.
    feature_of : ndarray of int32, shape (d,)
        The feature of `X` behind each feature of the problem.
    square_norms : ndarray of float32, shape (n,)
        Squared length of each row, the constant feature included.
    reading_order : ndarray of int32, shape (n,), or None
        The order in which rows are read; None means their own.

    Notes
    -----
    Memory: 4 bytes per stored entry, which get other numbers of features; nothing for `ScaledRows`, whose entries do
    when they are read. The models are the same, bit for bit.
    """

    def __init__(self, X: TrainingRows, *, bias: float) -> None:
        self._made_of = X, bias
        self.n_features = X.shape[1]
        self.reading_order: NDArray[np.int32] | None = None
        self.rows: FeatureRows | MappedRows
        if isinstance(X, np.ndarray):
            self.feature_of = np.arange(X.shape[1], dtype=np.int32)
            self.rows = kernel_rows(X, bias=bias)
        else:
            matrix = X.matrix if isinstance(X, ScaledRows) else X
            frequency = counts_of(matrix.indices, self.n_features)
            by_frequency = np.argsort(-frequency, kind="stable")
            self.feature_of = by_frequency[: np.count_nonzero(frequency)].astype(np.int32)
            renumbered = np.empty(self.n_features, np.int32)
            renumbered[by_frequency] = np.arange(self.n_features, dtype=np.int32)
            self.rows = _renumbered(X, renumbered, len(self.feature_of), bias)
            if matrix.nnz < SHORT_ROW * matrix.shape[0]:
                window = np.arange(matrix.shape[0]) // WINDOW
                self.reading_order = np.lexsort((np.diff(matrix.indptr), window)).astype(np.int32)
        parts = X.pieces() if isinstance(X, ScaledRows) else (X,)
        squares = np.concatenate([row_norms(part, squared=True) for part in parts])
        self.square_norms = (squares + bias * bias).astype(np.float32)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_made_of"}

    def _remake(self) -> tuple[Callable[..., BlockProblem], tuple[TrainingRows, float]]:
        """Return how a worker of a cluster makes the problem of the rows, which it has from other tasks too."""
        return _problem, self._made_of


def _problem(X: TrainingRows, bias: float) -> BlockProblem:
    return BlockProblem(X, bias=bias)


def _renumbered(
    X: csr_array | ScaledRows, numbers: NDArray[np.int32], n_features: int, bias: float
) -> FeatureRows | MappedRows:
    """Return rows as kernels read them, with other numbers for the features that occur."""
    if isinstance(X, ScaledRows):
        return X.for_kernels(numbers=numbers, n_features=n_features, bias=bias)
    return kernel_rows(csr_array((X.data, numbers[X.indices], X.indptr), shape=(X.shape[0], n_features)), bias=bias)


def positives(Y: csr_array, labels: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Return the positive rows of `labels` as (pointers per label, rows, entries of `Y`)."""
    columns = csc_array(Y)[:, labels]
    columns.sort_indices()
    return columns.indptr.astype(np.int64), columns.indices.astype(np.int32), columns.data


def weighted_labels(Y: csr_array, sample_weight: NDArray[np.float32] | None, relevance: csr_array | None) -> csr_array:
    """Return how much each row counts for each of its labels."""
    counts = Y if relevance is None else relevance
    return csr_array(times_rows(counts, sample_weight))


def places_in(matrix: csc_array, part: csc_array) -> NDArray[np.int64]:
    """Return where in a matrix the entries of another one are, which are stored in it too; both are sorted."""

    def keys(stored: csc_array) -> NDArray[np.int64]:
        return np.repeat(np.arange(stored.shape[1]), np.diff(stored.indptr)) * stored.shape[0] + stored.indices

    return np.searchsorted(keys(matrix), keys(part))


def by_descending_count(Y: csr_array) -> NDArray[np.int64]:
    """Return the labels with a positive, most frequent first, so that neighbors need about as many sweeps."""
    counts = np.bincount(Y.indices, minlength=Y.shape[1])
    return np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]


def label_ranges(n_labels: int) -> list[tuple[int, int]]:
    """Cut labels into tasks of whole groups; the cut depends on the number of labels alone."""
    n_groups = -(-n_labels // LANES)
    step = min(max(1, -(-n_groups // TASKS)), LARGE) * LANES
    return [(start, min(start + step, n_labels)) for start in range(0, n_labels, step)]
