"""Splits of multi-label data."""

from __future__ import annotations

import math
import warnings
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from xclassic._kernels.stratify import move_rows, stratify
from xclassic.validation.parameters import check_number

TRAIN, TEST = 0, 1  # the sides of one split


def stratified_split(
    Y: Any, *, test_size: float = 0.2, random_state: Any = None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows into train and test so that the rows of every label are divided in proportion.

    Every label that has a row keeps at least one in train.

    Parameters
    ----------
    Y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector, with n_rows rows
        Labels of the rows, as for ``fit``.
    test_size : float or int, default=0.2
        Share of the rows in test, in (0, 1), rounded up; or the number of these rows.
    random_state : int, RandomState instance or None, default=None
        Seed; the same seed gives the same split.

    Returns
    -------
    train_rows : ndarray of int64
        Row numbers, ascending. They index all data of these rows: ``X[train_rows]``, ``Y[train_rows]``.
    test_rows : ndarray of int64
        All other rows, ascending.

    Raises
    ------
    ValueError
        If either side would be empty, or ``Y`` is not a set of labels per row.

    Warns
    -----
    UserWarning
        If test stays smaller than `test_size` because train can spare no other row.

    Notes
    -----
    This is iterative stratification (Sechidis et al., 2011) for two sides. Each step takes the label with the fewest
    rows not yet placed and places these rows. A row goes to the side that lacks more rows of this label, else to the
    side that lacks more rows, else to a random side; but it goes to train if it is the last row that can keep a label
    there. So labels of one row are never in test, and labels of two rows are rarely. Then rows are moved until test has
    its size, first rows whose labels the other side lacks, and never the last row of a label in train. Labels and rows
    are shuffled beforehand.

    Cost: O(nnz log nnz) time, some 40 bytes per stored label.

    References
    ----------
    K. Sechidis, G. Tsoumakas, I. Vlahavas. On the Stratification of Multi-Label Data. ECML PKDD 2011.

    Examples
    --------
    >>> from xclassic.datasets import load_bibtex, stratified_split
    >>> data = load_bibtex()
    >>> train, test = stratified_split(data.Y, test_size=0.25, random_state=0)
    >>> len(train), len(test)
    (3660, 1220)
    """
    from sklearn.utils import check_random_state

    from xclassic.validation.labels import check_target

    Y = check_target(Y, Y.shape[0] if hasattr(Y, "shape") else len(Y)).Y
    n_rows = Y.shape[0]
    n_test = _test_rows(test_size, n_rows)
    share = n_test / n_rows
    sides = _Sides(Y, check_random_state(random_state), [1 - share, share], [n_rows - n_test, n_test])
    surplus = sides.sizes()[TEST] - n_test
    lack = (1 - share) - sides.counts[:, TRAIN] / sides.totals
    if surplus > 0:
        sides.move(TEST, TRAIN, surplus, lack)
    else:
        sides.move(TRAIN, TEST, -surplus, -lack)
    train, test = sides.rows(TRAIN), sides.rows(TEST)
    if len(test) < n_test:
        warnings.warn(
            f"test has {len(test)} rows, not the {n_test} asked for: each row in train is needed there for some label "
            "that has no other row in train",
            stacklevel=2,
        )
    return train, test


def stratified_kfold(
    Y: Any, n_splits: int = 5, *, random_state: Any = None
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Split rows into folds so that the rows of every label are divided evenly, for cross-validation.

    Every label that has a row keeps at least one in every train side.

    Parameters
    ----------
    Y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector, with n_rows rows
        Labels of the rows, as for ``fit``.
    n_splits : int, default=5
        Number of folds, from 2 to the number of rows.
    random_state : int, RandomState instance or None, default=None
        Seed; the same seed gives the same folds.

    Returns
    -------
    list of (train_rows, test_rows), of length n_splits
        Row numbers as ndarray of int64, ascending. No row is in two test sides, and a row that alone could keep a label
        in train is in none. The list is what ``cv=`` of ``GridSearchCV`` and ``cross_val_score`` of scikit-learn takes.

    Raises
    ------
    TypeError, ValueError
        If `n_splits` is not a number of folds that the rows allow, ``Y`` is not a set of labels per row, or a fold
        would have no row to test because labels need the rows in train.

    See Also
    --------
    stratified_split : One train and one test side.

    Notes
    -----
    This is iterative stratification (Sechidis et al., 2011). Each step takes the label with the fewest rows not yet
    placed and places these rows. A row goes to the fold that lacks most rows of this label, else to the one that lacks
    most rows, else to a random one; but never to a fold that would then have all rows of a label. A row that may go to
    no fold, such as that of a label of one row, is in train of all folds. Then rows are moved from folds that are too
    large to those that are too small, as far as that rule allows. Labels and rows are shuffled beforehand.

    Cost: O(nnz log nnz + n_splits nnz) time, some 40 bytes per stored label and 4 n_splits bytes per label.

    References
    ----------
    K. Sechidis, G. Tsoumakas, I. Vlahavas. On the Stratification of Multi-Label Data. ECML PKDD 2011.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from xclassic import KNN
    >>> from xclassic.datasets import load_bibtex, stratified_kfold
    >>> data = load_bibtex()
    >>> folds = stratified_kfold(data.Y, 3, random_state=0)
    >>> [(len(train), len(test)) for train, test in folds]
    [(3253, 1627), (3254, 1626), (3253, 1627)]
    >>> search = GridSearchCV(KNN(), {"n_neighbors": [10, 30]}, cv=folds)
    """
    from sklearn.utils import check_random_state

    from xclassic.validation.labels import check_target

    Y = check_target(Y, Y.shape[0] if hasattr(Y, "shape") else len(Y)).Y
    n_rows = Y.shape[0]
    check_number("n_splits", n_splits, minimum=2, integer=True)
    if n_splits > n_rows:
        raise ValueError(f"n_splits={n_splits} is more than the {n_rows} rows; pass a number from 2 to {n_rows}")
    sides = _Sides(Y, check_random_state(random_state), [0.0, *[1 / n_splits] * n_splits], [0, *[n_rows] * n_splits])
    _even_out(sides)
    n_train, *sizes = sides.sizes()
    if min(sizes) == 0:
        raise ValueError(
            f"{sizes.count(0)} of {n_splits} folds would have no row to test: {n_train} of {n_rows} rows are each the "
            "only one that can keep some label in train; pass fewer n_splits, or leave out labels that one row has"
        )
    everything = np.arange(n_rows)
    tests = [sides.rows(fold) for fold in range(1, n_splits + 1)]
    return [(np.delete(everything, test), test) for test in tests]


def _even_out(sides: _Sides) -> None:
    """Move rows from test sides that are too large to those that are too small, first those of labels too frequent."""
    sizes = np.array(sides.sizes()[1:])
    n_splits = len(sizes)
    largest_first = np.argsort(-sizes, kind="stable")
    wanted = np.full(n_splits, sizes.sum() // n_splits)
    wanted[largest_first[: sizes.sum() % n_splits]] += 1
    for source in largest_first:
        for target in largest_first[::-1]:
            moves = min(sizes[source] - wanted[source], wanted[target] - sizes[target])
            if moves > 0:
                excess = (sides.counts[:, source + 1] - sides.counts[:, target + 1]) / sides.totals
                moved = sides.move(source + 1, target + 1, moves, excess)
                sizes[source] -= moved
                sizes[target] += moved


class _Sides:
    """Rows placed in sides: side 0 is train alone, each other one a test side; no test side has all rows of a label."""

    def __init__(self, Y: csr_array, rng: Any, shares: list[float], room: list[int]) -> None:
        n_rows, n_labels = Y.shape
        self._order = rng.permutation(n_rows)
        self._Y = Y[self._order]
        self._Y.indices = rng.permutation(n_labels).astype(np.int32)[self._Y.indices]
        choices = sum(share > 0 for share in shares)
        self.counts = np.zeros((n_labels, len(shares)), np.int32)
        labels, label_ptr = _pattern(self._Y)
        rows, row_ptr = _pattern(self._Y.tocsc())
        self.totals = np.maximum(np.diff(row_ptr), 1)
        self._side = stratify(
            labels=labels,
            label_ptr=label_ptr,
            rows=rows,
            row_ptr=row_ptr,
            coins=rng.randint(choices, size=n_rows).astype(np.int32),
            shares=np.array(shares),
            room=np.array(room, np.int64),
            counts=self.counts,
        )

    def sizes(self) -> list[int]:
        return np.bincount(self._side, minlength=self.counts.shape[1]).tolist()

    def rows(self, side: int) -> NDArray[np.int64]:
        return np.sort(self._order[self._side == side])

    def move(self, source: int, target: int, moves: int, excess: NDArray[np.float64]) -> int:
        """Move up to so many rows, those first whose labels are most in excess; return how many could move."""
        rows = np.flatnonzero(self._side == source)
        Y = self._Y[rows]
        order = np.argsort(-(Y @ excess / np.maximum(np.diff(Y.indptr), 1)), kind="stable")
        labels, label_ptr = _pattern(self._Y)
        move_rows(
            labels=labels,
            label_ptr=label_ptr,
            order=rows[order],
            totals=self.totals,
            counts=self.counts,
            sides=self._side,
            target=target,
            moves=moves,
        )
        return int((self._side[rows] == target).sum())


def _test_rows(test_size: float, n_rows: int) -> int:
    n_test = int(test_size) if isinstance(test_size, Integral) else math.ceil(test_size * n_rows)
    if not 0 < n_test < n_rows:
        raise ValueError(
            f"test_size={test_size} would put {n_test} of {n_rows} rows into test; pass a share in (0, 1) or a number "
            "of rows that leaves a row on either side"
        )
    return n_test


def _pattern(matrix: csr_array | csc_array) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    return matrix.indices.astype(np.int32, copy=False), matrix.indptr.astype(np.int64)


def reveal_labels(Y: Any, share: float | None = None, *, random_state: Any = None) -> tuple[csr_array, csr_array]:
    """Split the labels of each row into some that are known beforehand and the rest, which is to be predicted.

    Parameters
    ----------
    Y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector, with n_rows rows
        Labels of the rows, as for ``fit``.
    share : float, optional
        Share of the labels of a row that are revealed, in [0, 1], on average over the rows: of three labels 0.5 reveals
        one or two. By default each row has a share of its own, so that every number is equally likely.
    random_state : int, RandomState instance or None, default=None
        Seed; the same seed gives the same split.

    Returns
    -------
    revealed, rest : csr_array of float32, shape (n_rows, n_labels)
        No label is in both; their sum is `Y`. A row with labels keeps at least one in `rest`.

    Raises
    ------
    ValueError
        If `share` is not in [0, 1], or ``Y`` is not a set of labels per row.

    Examples
    --------
    >>> from xclassic.datasets import load_bibtex, reveal_labels
    >>> data = load_bibtex()
    >>> revealed, rest = reveal_labels(data.Y_test, 0.4, random_state=0)
    >>> revealed.nnz + rest.nnz == data.Y_test.nnz
    True
    """
    from sklearn.utils import check_random_state

    from xclassic.validation.labels import check_target

    if share is not None:
        check_number("share", share, minimum=0, maximum=1)
    Y = check_target(Y, Y.shape[0] if hasattr(Y, "shape") else len(Y)).Y
    random, sizes = check_random_state(random_state), np.diff(Y.indptr)
    dice = random.uniform(size=len(sizes))
    wanted = np.floor(dice * sizes if share is None else share * sizes + dice)
    n_revealed = np.minimum(wanted, np.maximum(sizes - 1, 0)).astype(np.int64)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    order = np.lexsort((random.uniform(size=Y.nnz), rows))
    revealed = np.zeros(Y.nnz, np.bool_)
    revealed[order] = np.arange(Y.nnz) - Y.indptr[rows] < n_revealed[rows]
    return _entries(Y, revealed), _entries(Y, ~revealed)


def _entries(Y: csr_array, chosen: NDArray[np.bool_]) -> csr_array:
    indptr = np.concatenate([[0], np.cumsum(chosen)])[Y.indptr]
    return csr_array((Y.data[chosen], Y.indices[chosen], indptr), shape=Y.shape)
