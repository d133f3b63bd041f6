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
    rng = check_random_state(random_state)
    order = rng.permutation(n_rows)
    shuffled = Y[order]
    shuffled.indices = rng.permutation(Y.shape[1]).astype(np.int32)[shuffled.indices]
    coins = rng.randint(2, size=n_rows).astype(np.uint8)
    labels, label_ptr = _pattern(shuffled)
    rows, row_ptr = _pattern(shuffled.tocsc())
    in_test = stratify(labels=labels, label_ptr=label_ptr, rows=rows, row_ptr=row_ptr, coins=coins, n_test=n_test)
    _resize(shuffled, in_test, n_test)
    if in_test.sum() < n_test:
        warnings.warn(
            f"test has {in_test.sum()} rows, not the {n_test} asked for: each row in train is needed there for some "
            "label that has no other row in train",
            stacklevel=2,
        )
    return np.sort(order[~in_test]), np.sort(order[in_test])


def _resize(Y: csr_array, in_test: NDArray[np.bool_], n_test: int) -> None:
    """Move rows between the sides until test has ``n_test``, first rows whose labels their side has too many of."""
    totals = np.maximum(np.bincount(Y.indices, minlength=Y.shape[1]), 1)
    train_counts = np.bincount(Y[~in_test].indices, minlength=Y.shape[1])
    excess = (1 - n_test / Y.shape[0]) - train_counts / totals
    row_excess = Y @ excess / np.maximum(np.diff(Y.indptr), 1)
    surplus = int(in_test.sum()) - n_test
    order = np.argsort(-row_excess if surplus > 0 else row_excess, kind="stable")
    labels, label_ptr = _pattern(Y)
    move_rows(
        labels=labels,
        label_ptr=label_ptr,
        order=order,
        train_counts=train_counts,
        in_test=in_test.view(np.uint8),
        surplus=surplus,
    )


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
