"""Checks of what predictions are restricted to, some labels for all rows or other ones for each row, and of weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from xclassic.validation.features import canonical
from xclassic.validation.labels import PLAIN, check_restriction, encode_rows
from xclassic.validation.records import items_of
from xclassic.validation.weights import check_label_weight


class Restriction(NamedTuple):
    """The labels that may be predicted, and their weights.

    Attributes
    ----------
    labels : ndarray of int32, or None
        Sorted ids of those allowed in any row; None for all.
    candidates : csr_array, shape (n_rows, n_labels), or None
        An entry for each label that is allowed in the row; None for all.
    excluded : csr_array, shape (n_rows, n_labels), or None
        An entry for each label that is not.
    n_labels : int
    weights : ndarray of float32, shape (n_labels,), or None
        By which scores are multiplied; above 0 for the labels that are allowed. None if all are 1.
    """

    labels: NDArray[np.int32] | None
    candidates: csr_array | None
    excluded: csr_array | None
    n_labels: int
    weights: NDArray[np.float32] | None = None

    @property
    def by_row(self) -> bool:
        """Whether rows have labels of their own."""
        return self.candidates is not None or self.excluded is not None

    @property
    def most(self) -> int:
        """The largest number of candidates of a row, at least 1."""
        return self.n_labels if self.candidates is None else int(np.diff(self.candidates.indptr).max(initial=1))

    def parts(self, rows: slice) -> Iterator[tuple[slice, NDArray[np.int32]]]:
        """Yield runs of rows, of at least one, that may have the same labels, each with the sorted ids of these."""
        begin, before = rows.start, self._of_row(rows.start)
        for row in range(rows.start + 1, rows.stop):
            ids = self._of_row(row)
            if not np.array_equal(ids, before):
                yield slice(begin, row), before
                begin, before = row, ids
        yield slice(begin, rows.stop), before

    def _of_row(self, row: int) -> NDArray[np.int32]:
        allowed = np.zeros(self.n_labels, np.bool_)
        allowed[slice(None) if self.labels is None else self.labels] = True
        if self.excluded is not None:
            allowed[_entries(self.excluded, row)] = False
        if self.candidates is None:
            return np.flatnonzero(allowed).astype(np.int32)
        ids = _entries(self.candidates, row)
        return ids[allowed[ids]]


def check_restrictions(
    labels: Any,
    exclude: Any,
    candidates: Any,
    n_rows: int,
    classes: NDArray[Any],
    name: str = "candidates",
    label_weights: Any = None,
) -> Restriction:
    """Read the parameters `labels`, `exclude`, `candidates` and `label_weights` of ``predict_topk``.

    Errors call the candidates `name`.

    Raises
    ------
    ValueError
        If a label is unknown, a matrix or list has another number of rows or columns, or a weight is out of range.
    TypeError
        If `candidates` is neither a matrix nor a list of label collections, or weights are not numbers.
    """
    excluded = None
    if is_by_row(exclude):
        excluded, exclude = label_rows(exclude, "exclude", n_rows, classes), None
    if candidates is not None:
        if not is_by_row(candidates) and (n_rows or items_of(candidates) != []):
            raise TypeError(
                f"{name} is a {type(candidates).__name__}; pass a matrix with a column for each label, or a list of "
                "labels for each row. For the same labels in all rows there is labels= of predict_topk."
            )
        candidates = label_rows(candidates, name, n_rows, classes)
    allowed, weights = check_restriction(labels, exclude, classes), None
    if label_weights is not None:
        weights = check_label_weight(label_weights, classes, "label_weights", "the model")
        if not weights.all():
            weighed = np.flatnonzero(weights).astype(np.int32)
            allowed = weighed if allowed is None else np.intersect1d(allowed, weighed)
        if (weights[weights > 0] == 1).all():
            weights = None
    return Restriction(allowed, candidates, excluded, classes.size, weights)


def is_by_row(labels: Any) -> bool:
    """Return whether labels are given for each row: as a matrix, or as collections in a list."""
    if _is_matrix(labels):
        return True
    items = None if isinstance(labels, (str, bytes)) else items_of(labels)
    return any(isinstance(item, PLAIN) or items_of(item) is not None for item in items or [])


def _is_matrix(labels: Any) -> bool:
    """Return whether labels are a matrix of 0 and 1: as in ``fit``, an array of two dimensions does not hold ids."""
    return issparse(labels) or (isinstance(labels, np.ndarray) and labels.ndim == 2 and labels.dtype.kind in "biuf")


def label_rows(labels: Any, name: str, n_rows: int, classes: NDArray[Any]) -> csr_array:
    """Return labels that are given for each row as a matrix of their ids, of which every stored entry is one."""
    if _is_matrix(labels):
        if not issparse(labels) and not np.isin(labels, (0, 1)).all():
            raise ValueError(
                f"{name} is an array with entries other than 0 and 1; for the ids of labels pass lists, as "
                f"{name}.tolist() makes them."
            )
        matrix = canonical(labels, name)
        if matrix.shape != (n_rows, classes.size):
            raise ValueError(
                f"{name} has shape {matrix.shape}; for {n_rows} rows and the {classes.size} labels of the model it is "
                f"{(n_rows, classes.size)}."
            )
        if not matrix.data.all():
            matrix = csr_array(matrix, copy=True)
            matrix.eliminate_zeros()
        return matrix
    matrix, names = encode_rows(labels, classes, name)
    if matrix.shape[0] != n_rows:
        raise ValueError(f"{name} has lists for {matrix.shape[0]} rows, but X has {n_rows}.")
    if matrix.shape[1] > classes.size:
        unknown = names[classes.size :]
        raise ValueError(
            f"{name} has {unknown.size} labels that the estimator does not know (first: {unknown[:3].tolist()}); leave "
            "them out."
        )
    return matrix


def _entries(matrix: csr_array, row: int) -> NDArray[np.int32]:
    return matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]].astype(np.int32, copy=False)
