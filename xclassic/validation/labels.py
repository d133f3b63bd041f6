"""Checks of labels in all their containers, and of restrictions to some of them."""

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Collection, Iterable, Sequence, Set
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse
from sklearn.utils.multiclass import check_classification_targets

from xclassic.validation.features import INT32_MAX, canonical, entry_at
from xclassic.validation.records import column_names, is_missing, items_of

PLAIN = (list, tuple, set, frozenset)  # Collections that are read as they are.

TargetKind: TypeAlias = Literal["vector", "dense", "sparse"]

_NO_CLASS = (
    "where a class is missing. In a vector every row needs a class: leave the row out, or pass a list of labels for "
    "each row, where [] is a row without labels."
)


class Target(NamedTuple):
    """Checked training labels.

    Attributes
    ----------
    Y : csr_array of float32, shape (n_rows, n_labels)
        Canonical; every stored value is 1.
    classes : ndarray, shape (n_labels,)
        The user's label of each column, strictly increasing.
    kind : {"vector", "dense", "sparse"}
        The container that the labels came in, which is the one that ``predict`` returns.
    dtype : dtype
        Dtype of the 0-1 predictions of ``predict`` (of the classes for a vector).
    """

    Y: csr_array
    classes: NDArray[Any]
    kind: TargetKind
    dtype: np.dtype[Any]


def check_target(Y: Any, n_rows: int, known: Sequence[Any] = ()) -> Target:
    """Read training labels in any of the accepted containers.

    Parameters
    ----------
    Y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
        See `XMCClassifier.fit`.
    n_rows : int
        Number of rows of the features.
    known : sequence of str or of int
        Labels that are among the classes even if no row has them. The columns of a matrix stay as they are.

    Raises
    ------
    ValueError
        If `Y` has another number of rows, no label at all, entries other than 0 and 1, or missing values.
    TypeError
        If labels are neither strings nor integers.
    """
    target = _read_target(Y)
    if target.Y.shape[0] != n_rows:
        raise ValueError(f"X has {n_rows} rows but Y has {target.Y.shape[0]}; they must describe the same data points.")
    if target.classes.size == 0:
        raise ValueError("Y has no label (no class, no column), so there is nothing to learn. Pass at least one.")
    is_matrix = issparse(Y) or target.kind == "dense"
    return target if is_matrix or not len(known) else _with_labels(target, label_array(list(known)))


def _with_labels(target: Target, labels: NDArray[Any]) -> Target:
    """Return a target that has these labels too."""
    check_kinds(labels, target.classes, "The names")
    classes = np.union1d(target.classes, _without_blanks(labels))
    ids = find_labels(target.classes, classes)[target.Y.indices]
    Y = csr_array((target.Y.data, ids, target.Y.indptr), shape=(target.Y.shape[0], classes.size))
    return Target(Y, classes, target.kind, classes.dtype if target.kind == "vector" else target.dtype)


def _read_target(Y: Any, name: str = "Y") -> Target:
    if Y is None:
        raise ValueError("This classifier requires y to be passed, but the target y is None.")
    if issparse(Y):
        if Y.ndim != 2:
            raise ValueError(
                f"{name} is a sparse array of shape {Y.shape}; pass a sparse matrix, one column for each label."
            )
        if Y.dtype.kind not in "biuf":
            raise ValueError(
                f"Unknown label type: {name} is a sparse matrix of dtype {Y.dtype}; a label matrix holds 0 and 1. Make "
                f"it one with {name}.astype(np.float32)."
            )
        return _matrix_target(Y, "sparse", Y.dtype, name)
    rows = _listed(Y)
    if rows is not None and any(_is_collection(row) for row in rows) and not _is_indicator(rows, name):
        matrix, classes = encode_labels(rows)
        return Target(matrix, classes, "sparse", matrix.dtype)
    if rows is None or not any(isinstance(row, str) for row in rows):
        array = np.asarray(Y if rows is None or hasattr(Y, "__array__") else rows)
    else:
        array = np.asarray(rows, object)  # It keeps the types and takes no more memory than the strings themselves.
    if array.ndim == 1:
        return _vector_target(array)
    if array.ndim == 2:
        return _dense_target(array, name)
    raise ValueError(
        f"{name} is a {type(Y).__name__} of {array.ndim} dimensions; pass a 0-1 matrix, a list of label collections or "
        "a 1-D class vector."
    )


def _listed(Y: Any) -> list[Any] | None:
    """Return the rows of label collections or of a class vector, None for a matrix and a table.

    The container decides nothing: a column of lists means what the list of lists means. NumPy makes an array of objects
    from lists of strings, which has two dimensions if they happen to have one length.
    """
    if isinstance(Y, np.ndarray) and Y.dtype == object and any(isinstance(value, str) for value in Y.ravel()):
        return Y.tolist() if Y.ndim <= 2 else None
    if column_names(Y) is not None or isinstance(Y, Set) or getattr(Y, "ndim", 1) != 1:
        return None
    return items_of(Y)


def _is_collection(value: Any) -> bool:
    return isinstance(value, PLAIN) or items_of(value) is not None


def _is_indicator(rows: Sequence[Any], name: str) -> bool:
    """Tell whether nested lists spell a 0-1 matrix; refuse those that could be a matrix or collections of labels.

    Rows of one length that hold only zeros and ones are a matrix if a row repeats a value, which a collection of labels
    does not, or if a value is not an integer, which a label is.
    """
    if not all(isinstance(row, (list, tuple, np.ndarray)) for row in rows):
        return False
    width = len(rows[0])
    if width == 0 or not all(
        len(row) == width and all(isinstance(value, Real) and value in (0, 1) for value in row) for row in rows
    ):
        return False
    integers = all(isinstance(value, Integral) and not isinstance(value, bool) for row in rows for value in row)
    if integers and all(len(set(row)) == width for row in rows):
        raise ValueError(
            f"{name} is a nested list such as {list(rows[0])!r}, which may be a row of a 0-1 matrix or a list of the "
            f"label ids 0 and 1. Pass np.array({name}) for a matrix, or sets such as {{0, 1}} for label ids."
        )
    return True


def encode_labels(
    lists: Iterable[Collection[Any]], classes: ArrayLike | Any | None = None
) -> tuple[csr_array, NDArray[Any]]:
    """Turn one collection of labels per row into a 0-1 matrix.

    scikit-learn's searches refuse ragged lists; encode them once and pass the matrix instead. Its ``cross_val_score``
    and ``cross_validate`` refuse sparse matrices too, but only in a check of their arguments that
    ``sklearn.config_context(skip_parameter_validation=True)`` leaves out.

    Parameters
    ----------
    lists : iterable of collections of str, or of int
        The labels of each row in any order; a label listed twice counts once, and an empty collection is a row
        without labels. Blanks around a string do not count, and an empty string is no label, as in text files.
    classes : fitted estimator, or array-like of its ``classes_``, optional
        Labels of the first columns, in this order; labels that are not among them get the columns behind. Pass it for
        rows that a model is measured on, so that columns mean what they mean in the model's rankings.

    Returns
    -------
    Y : csr_array of float32, shape (n_rows, n_labels)
        Canonical; every stored value is 1.
    classes : ndarray of str or int64, shape (n_labels,)
        The label of each column: `classes`, then the others, sorted. Strings take the width of the longest one.

    Raises
    ------
    TypeError
        If a row is not a collection, or a label is neither a string nor an integer (None and NaN are missing, and named
        with their row), or strings and integers are mixed.
    ValueError
        If an integer does not fit 64 bits, a string ends in a null character, or `classes` are strings and the labels
        integers or the reverse.

    Notes
    -----
    Cost: one dictionary look-up per label and one sort of the distinct labels.

    Examples
    --------
    >>> from xclassic import encode_labels
    >>> Y, classes = encode_labels([["cat", "pet"], [], ["pet"]])
    >>> Y.toarray()
    array([[1., 1.],
           [0., 0.],
           [0., 1.]], dtype=float32)
    >>> classes
    array(['cat', 'pet'], dtype='<U3')
    """
    return encode_rows(lists, classes, "Y")


def encode_rows(lists: Iterable[Collection[Any]], classes: Any, name: str) -> tuple[csr_array, NDArray[Any]]:
    """Do what `encode_labels` does; errors call the lists `name`."""
    ids: dict[Any, int] = {}
    columns: list[int] = []
    indptr = [0]
    for i, row in enumerate(lists):
        labels = row if isinstance(row, PLAIN) else items_of(row)
        if labels is None:
            raise TypeError(f"{name}[{i}] is {row!r}, not a collection of labels; {_row_hint(row)}.")
        try:
            columns.extend(ids.setdefault(label, len(ids)) for label in labels)
        except TypeError as error:
            raise TypeError(
                f"{name}[{i}] holds something that is not a label ({error}); use strings or integers."
            ) from error
        indptr.append(len(columns))
    _check_present(list(ids), columns, indptr, name)
    found, column_of = _sorted_labels(ids)
    indices = column_of[np.asarray(columns, np.intp)]
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))[indices >= 0]
    indices = indices[indices >= 0]
    Y = csr_array((np.ones(rows.size, np.float32), (rows, indices)), shape=(len(indptr) - 1, found.size))
    Y.sum_duplicates()
    Y.data[:] = 1
    if classes is None:
        return Y, found
    return renumber(Y, found, class_array(classes), "lists" if name == "Y" else name)


def _row_hint(row: Any) -> str:
    return "write [] for a row without labels" if is_missing(row) else f"write [{row!r}] for a row with one label"


def _check_present(labels: list[Any], columns: list[int], indptr: list[int], name: str) -> None:
    """Refuse None and NaN with their row; `columns` says of every entry of the rows which label it is."""
    for position, label in enumerate(labels):
        if is_missing(label):
            row = bisect_right(indptr, columns.index(position)) - 1
            raise TypeError(
                f"{name}[{row}] holds {label!r}, which stands for a missing label; leave it out. A row without labels "
                "is []."
            )


def _sorted_labels(ids: dict[Any, int]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return distinct labels without blanks around them, sorted, and the place of each label, -1 for empty ones."""
    names = [label.strip() if isinstance(label, str) else label for label in ids]
    present = np.array([name != "" for name in names], bool)
    found, places = np.unique(label_array([name for name in names if name != ""]), return_inverse=True)
    place_of = np.full(len(names), -1, np.intp)
    place_of[present] = places
    return found, place_of


def class_array(classes: Any) -> NDArray[Any]:
    """Return the classes of a fitted estimator, or an array of them."""
    array = _without_blanks(np.asarray(getattr(classes, "classes_", classes)))
    if array.ndim != 1 or array.dtype.kind not in "iufbUS" or not _distinct(array):
        raise ValueError(
            f"classes is an array of {array.dtype} with {array.ndim} dimensions; pass a fitted estimator, or its "
            "classes_: one distinct label for each column."
        )
    return array


def _distinct(labels: NDArray[Any]) -> bool:
    return bool((labels[:-1] < labels[1:]).all()) or np.unique(labels).size == labels.size


def renumber(Y: csr_array, labels: NDArray[Any], classes: NDArray[Any], name: str) -> tuple[csr_array, NDArray[Any]]:
    """Return `Y` with a column per class, followed by one per label that is not among them, and all these labels."""
    check_kinds(labels, classes, name)
    order = np.argsort(classes, kind="stable")
    ids = find_labels(labels, classes[order])
    unseen = ids < 0
    ids[~unseen] = order[ids[~unseen]]
    ids[unseen] = classes.size + np.arange(unseen.sum())
    shape = (Y.shape[0], classes.size + int(unseen.sum()))
    renumbered = csr_array((Y.data, ids[Y.indices], Y.indptr), shape=shape)
    renumbered.sort_indices()
    return renumbered, np.concatenate([classes, labels[unseen]]) if unseen.any() else classes


def check_kinds(labels: NDArray[Any], classes: NDArray[Any], name: str) -> None:
    """Refuse texts where the classes are numbers and the reverse: not one of them would be found."""
    if labels.size and classes.size and (labels.dtype.kind in "US") != (classes.dtype.kind in "US"):
        raise ValueError(
            f"{name} has labels such as {labels[:1].tolist()[0]!r}, but the classes are such as "
            f"{classes[:1].tolist()[0]!r}. Make both strings or both integers, for instance by str(label)."
        )


def label_array(labels: list[Any]) -> NDArray[Any]:
    """Return distinct labels as an array of str or int64."""
    if all(isinstance(label, str) for label in labels):
        classes = np.array(labels, dtype=np.str_)
        if classes.tolist() != labels:
            raise ValueError("A label ends in a null character, which NumPy strings drop. Remove it from the labels.")
        return classes
    if all(isinstance(label, Integral) and not isinstance(label, bool) for label in labels):
        try:
            return np.array(labels, dtype=np.int64)
        except OverflowError as error:
            raise ValueError("Integer labels must fit 64 bits; pass larger ones as strings.") from error
    kinds = sorted({type(label).__name__ for label in labels})
    raise TypeError(f"Labels are of type {', '.join(kinds)}; use strings throughout or integers throughout.")


def _vector_target(y: NDArray[Any]) -> Target:
    classes, positions = _unique(y)
    n_rows = y.size
    index_dtype = np.int32 if n_rows <= INT32_MAX else np.int64
    Y = csr_array(
        (np.ones(n_rows, np.float32), positions.astype(index_dtype), np.arange(n_rows + 1, dtype=index_dtype)),
        shape=(n_rows, classes.size),
    )
    return Target(Y, classes, "vector", classes.dtype)


def _without_blanks(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels without the blanks around strings, which do not count anywhere."""
    return np.strings.strip(labels) if labels.dtype.kind in "US" else labels


def _unique(y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Return the distinct classes of a 1-D vector, sorted, and the position of each entry in them."""
    if y.dtype.kind in "OU":  # Only the distinct ones become an array, which is as wide as the longest.
        labels = y.tolist()
        for i, label in enumerate(labels):
            if is_missing(label):
                raise ValueError(f"y[{i}] is {label!r}, {_NO_CLASS}")
            if not isinstance(label, (str, Integral)):
                raise ValueError(
                    f"Unknown label type: y[{i}] is {label!r} in a 1-D class vector; use strings or integers."
                )
        ids: dict[Any, int] = {}
        numbers = [ids.setdefault(label, len(ids)) for label in labels]
        classes, place_of = _sorted_labels(ids)
        places = place_of[numbers]
        if places.size and places.min() < 0:
            raise ValueError(f"y[{int(np.argmin(places))}] is empty, {_NO_CLASS}")
        return classes, places
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        i = int(np.argmin(np.isfinite(y)))
        raise ValueError(f"Input y contains {'NaN' if np.isnan(y[i]) else 'infinity'}: y[{i}] is {y[i]}, {_NO_CLASS}")
    y = _without_blanks(y)
    if y.dtype.kind in "US" and (lengths := np.strings.str_len(y)).size and lengths.min() == 0:
        i = int(np.argmin(lengths))
        raise ValueError(f"y[{i}] is empty, {_NO_CLASS}")
    if y.dtype.kind not in "iufbUS":
        raise ValueError(f"Unknown label type: y has dtype {y.dtype}; use strings or integers as classes.")
    if y.dtype.kind == "f":  # It raises a helpful error on fractions, but warns of many classes.
        check_classification_targets(y)
    return np.unique(y, return_inverse=True)


def _dense_target(Y: NDArray[Any], name: str) -> Target:
    if Y.dtype == object:
        try:
            Y = Y.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"Unknown label type: {name} is a 2-D array of objects that are not numbers ({error})."
            ) from error
    if Y.dtype.kind not in "biuf":
        raise ValueError(
            f"Unknown label type: {name} is a 2-D array of dtype {Y.dtype}; pass a 0-1 matrix, or a list of label "
            "lists."
        )
    return _matrix_target(Y, "dense", Y.dtype, name)


def _matrix_target(matrix: Any, kind: TargetKind, dtype: np.dtype[Any], name: str) -> Target:
    if matrix.shape[1] > INT32_MAX:
        raise ValueError(f"{name} has {matrix.shape[1]} columns; at most {INT32_MAX} labels are supported.")
    Y = canonical(matrix, name)
    valid = (Y.data == 1) | (Y.data == 0)
    if not valid.all():
        position = int(np.argmin(valid))
        row, column = entry_at(Y, position)
        raise ValueError(
            f"{name}[{row}, {column}] is {Y.data[position]:.10g}; a label matrix holds only 0 and 1 (entries stored "
            f"twice are summed). Make it one with ({name} > 0).astype(np.float32). If these are class ids, "
            "encode_labels([[id] for id in ids])[0] makes a matrix of them; fit takes a 1-D vector too."
        )
    if not Y.data.all():
        Y = csr_array(Y, copy=True)
        Y.eliminate_zeros()
    if Y.dtype != np.float32:
        Y = csr_array((np.ones(Y.nnz, np.float32), Y.indices, Y.indptr), shape=Y.shape)
    return Target(Y, np.arange(Y.shape[1]), kind, dtype)


def align_labels(Y: Any, classes: Any, name: str = "Y") -> csr_array:
    """Return true labels as a 0-1 matrix with a column per class, followed by one per label that is not among them.

    Parameters
    ----------
    Y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
        As for ``fit``. The columns of a matrix are taken for `classes` in order.
    classes : fitted estimator, or array-like, shape (n_classes,)
        Its ``classes_``.
    name : str, default="Y"
        What messages call `Y`.

    Returns
    -------
    csr_array of float32, shape (n_rows, n_classes + n_unknown)

    Raises
    ------
    ValueError
        If a matrix has another number of columns than there are classes, or labels are strings and classes integers or
        the reverse.

    Warns
    -----
    UserWarning
        If not one of the labels is among the classes.
    """
    classes = class_array(classes)
    target = _read_target(Y, name)
    if issparse(Y) or target.kind == "dense":
        if target.Y.shape[1] != classes.size:
            raise ValueError(
                f"{name} has {target.Y.shape[1]} columns but the estimator was fitted with {classes.size} labels."
            )
        return target.Y
    aligned, everything = renumber(target.Y, target.classes, classes, name)
    if target.classes.size and everything.size == classes.size + target.classes.size:
        warnings.warn(strangers(target.classes, classes, name), stacklevel=3)
    return aligned


def strangers(labels: NDArray[Any], classes: NDArray[Any], name: str) -> str:
    """Return a message for labels of which not one is among the classes."""
    return (
        f"Not one of the {labels.size} labels of {name} is among the {classes.size} classes, so that all count as "
        f"missed. {name} has such as {labels[:3].tolist()}, the classes are such as {classes[:3].tolist()}."
    )


def truth_matrix(Y: Any, classes: NDArray[Any], name: str = "Y") -> csr_array:
    """Return the matrix of `align_labels` without the labels that are not among `classes`: no prediction names them."""
    return csr_array(align_labels(Y, classes, name)[:, : classes.size])


def revealed_matrix(revealed: Any, n_rows: int, classes: NDArray[Any]) -> csr_array:
    """Return labels known beforehand as a 0-1 matrix whose columns are `classes`; others are left out.

    Raises
    ------
    ValueError
        If there are other than `n_rows` rows, a matrix has other columns, or as for `check_target`.
    """
    target = _read_target(revealed, "revealed")
    if target.Y.shape[0] != n_rows:
        raise ValueError(f"revealed has {target.Y.shape[0]} rows but X has {n_rows}; write [] for rows without any.")
    if issparse(revealed) or target.kind == "dense":
        return truth_matrix(revealed, classes, "revealed")
    known, _ = renumber(target.Y, target.classes, classes, "revealed")
    return csr_array(known[:, : classes.size])


def encode_known_labels(y: Any, n_rows: int, classes: NDArray[Any]) -> csr_array:
    """Return further training labels as a 0-1 matrix whose columns are `classes`.

    Raises
    ------
    ValueError
        If a label is not among `classes`, or as for `check_target`.
    """
    target = check_target(y, n_rows)
    if issparse(y) or target.kind == "dense":
        return truth_matrix(y, classes)
    unknown = target.classes[find_labels(target.classes, classes) < 0]
    if unknown.size:
        raise ValueError(
            f"{unknown.size} labels were not seen in fit, the first is {unknown[:1].tolist()[0]!r}. Fit anew with all "
            "labels, or drop these."
        )
    return truth_matrix(y, classes)


# Restrictions to some labels


def find_labels(labels: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.int32]:
    """Return the position of each label in the sorted `classes`, -1 where it is not among them."""
    if labels.size == 0 or classes.size == 0 or (labels.dtype.kind in "US") != (classes.dtype.kind in "US"):
        return np.full(labels.size, -1, np.int32)
    labels = _without_blanks(labels)
    positions = np.minimum(np.searchsorted(classes, labels), classes.size - 1)
    return np.where(classes[positions] == labels, positions, -1).astype(np.int32)


def check_restriction(
    labels: ArrayLike | None, exclude: ArrayLike | None, classes: NDArray[Any]
) -> NDArray[np.int32] | None:
    """Return the sorted ids of the labels that may be predicted, None for all of them.

    Raises
    ------
    ValueError
        If a label is unknown; its first few are named.
    """
    if labels is None and exclude is None:
        return None
    allowed = np.arange(classes.size, dtype=np.int32) if labels is None else label_ids(labels, "labels", classes)
    if exclude is None:
        return allowed
    return np.setdiff1d(allowed, label_ids(exclude, "exclude", classes), assume_unique=True)


def label_ids(labels: ArrayLike, name: str, classes: NDArray[Any]) -> NDArray[np.int32]:
    if isinstance(labels, (str, bytes)):
        raise ValueError(f"{name} is the string {labels!r}; pass a list of labels.")
    listed = None if isinstance(labels, np.ndarray) else items_of(labels)
    wanted = np.asarray(labels if listed is None else listed)
    if wanted.dtype == object:
        wanted = label_array(wanted.ravel().tolist())
    if wanted.ndim != 1:
        raise ValueError(f"{name} has {wanted.ndim} dimensions; pass a flat list of labels.")
    if wanted.dtype == np.bool_ and classes.dtype != np.bool_:
        raise ValueError(f"{name} is a mask of {wanted.size} booleans; pass labels, as in classes_[mask].")
    ids = find_labels(wanted, classes)
    if (ids < 0).any():
        unknown = wanted[ids < 0]
        raise ValueError(
            f"{name} has {unknown.size} labels that the estimator does not know (first: {unknown[:3].tolist()}); "
            f"classes_ lists its {classes.size} labels, for instance {classes[:3].tolist()}."
        )
    return np.unique(ids)
