"""Checks of labels that come to a fitted model, and of their new names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from xclassic.validation.labels import (
    check_kinds,
    check_target,
    class_array,
    encode_known_labels,
    find_labels,
    label_array,
    label_ids,
    renumber,
)
from xclassic.validation.records import items_of


class NewLabels(NamedTuple):
    """Labels that a model does not know yet, beside those that it knows.

    Attributes
    ----------
    Y : csr_array of float32, shape (n_rows, n_labels)
        Canonical, of ones: the new labels of each row, and the known ones if they are given.
    classes : ndarray, shape (n_labels,)
        All labels, sorted.
    ids : ndarray of int32, shape (n_known,)
        What the ids of the known labels become.
    new : ndarray of int32, shape (n_new,)
        The ids of the new ones.
    known_given : bool
        Whether `Y` says which of the known labels the rows have.
    """

    Y: csr_array
    classes: NDArray[Any]
    ids: NDArray[np.int32]
    new: NDArray[np.int32]
    known_given: bool


def check_new_labels(Y_new: Any, names: Any, Y: Any, n_rows: int, classes: NDArray[Any]) -> NewLabels:
    """Read the arguments of ``add_labels``.

    Raises
    ------
    ValueError
        If there is no new label, a name is known or comes twice, the rows do not fit, or as for `check_target`.
    """
    target = check_target(Y_new, n_rows)
    is_matrix = issparse(Y_new) or target.kind == "dense"
    if not is_matrix and (names is not None or Y is not None):
        raise ValueError("names and Y are for a matrix of new labels; lists and vectors name all labels themselves.")
    columns = _column_labels(names, target.Y.shape[1], classes) if is_matrix else target.classes
    check_kinds(columns, classes, "Y_new")
    is_known = find_labels(columns, classes) >= 0
    if is_matrix and is_known.any():
        first = columns[is_known][:1].tolist()[0]
        raise ValueError(f"{is_known.sum()} of the new labels are known already, the first is {first!r}.")
    if is_known.all():
        raise ValueError("Y_new has no label that the model does not know yet.")
    everything, ids, new = merged(classes, np.sort(columns[~is_known]))
    Y_all, _ = renumber(target.Y, columns, everything, "Y_new")
    if Y is not None:
        known = encode_known_labels(Y, n_rows, classes)
        moved = csr_array((known.data, ids[known.indices], known.indptr), shape=Y_all.shape)
        Y_all = csr_array(Y_all + moved)
    Y_all.sort_indices()
    return NewLabels(Y_all, everything, ids, new, Y is not None or bool(is_known.any()))


def _column_labels(names: Any, n: int, classes: NDArray[Any]) -> NDArray[Any]:
    """Return the labels of the columns of a matrix."""
    if names is None:
        if classes.dtype.kind not in "iu":
            raise ValueError(
                f"The labels of the model are such as {classes[:1].tolist()[0]!r}; say by names what the {n} columns "
                "are."
            )
        return classes[-1] + 1 + np.arange(n)
    labels = _labels(names, "names")
    if labels.size != n:
        raise ValueError(f"names has {labels.size} labels, but Y_new has {n} columns.")
    return labels


def unknown_labels(y: Any, n_rows: int, classes: NDArray[Any]) -> NDArray[Any]:
    """Return the labels of further rows that are not among `classes`, sorted; a matrix has none."""
    target = check_target(y, n_rows)
    if issparse(y) or target.kind == "dense":
        return classes[:0]
    check_kinds(target.classes, classes, "y")
    return target.classes[find_labels(target.classes, classes) < 0]


def check_new_names(names: Any, classes: NDArray[Any]) -> NDArray[Any]:
    """Return the new label of each class.

    Raises
    ------
    ValueError
        If a mapping names an unknown label, a sequence has another length, or two labels would have one name.
    """
    if isinstance(names, Mapping):
        renamed = classes.tolist()
        for old, new in names.items():
            renamed[label_ids([old], "names", classes)[0]] = new
        return _labels(renamed, "names")
    labels = _labels(names, "names")
    if labels.size != classes.size:
        raise ValueError(
            f"names has {labels.size} labels, but the model {classes.size}; pass one for each of classes_, or a "
            "mapping of some old labels to new ones."
        )
    return labels


def _labels(labels: Any, name: str) -> NDArray[Any]:
    """Return distinct labels without blanks around them, in the order given."""
    listed = None if isinstance(labels, (str, bytes)) else items_of(labels)
    if listed is None:
        raise TypeError(f"{name} is a {type(labels).__name__}; pass a list or an array of labels.")
    array = label_array([label.item() if isinstance(label, np.generic) else label for label in listed])
    stripped = np.strings.strip(array) if array.dtype.kind == "U" else array
    if stripped.dtype.kind == "U" and (stripped == "").any():
        raise ValueError(f"{name} has an empty label at position {int(np.argmax(stripped == ''))}.")
    found, counts = np.unique(stripped, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"{name} would give {found[counts > 1][:1].tolist()[0]!r} to {counts.max()} labels.")
    return class_array(stripped)


def merged(classes: NDArray[Any], labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int32], NDArray[np.int32]]:
    """Return all of two sorted arrays of distinct labels, and the place of each of the first and of the second."""
    joined = np.concatenate([classes, labels])
    order = np.argsort(joined, kind="stable")
    place = np.empty(joined.size, np.int32)
    place[order] = np.arange(joined.size, dtype=np.int32)
    return joined[order], place[: classes.size], place[classes.size :]
