"""Check the weights of rows and of labels."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xclassic.validation.labels import find_labels, label_array

LEAST, MOST = 1e-20, 1e20  # Products of weights and costs stay within float32.
_RANGE = f"weights are at least 0 and finite, and those above 0 from {LEAST:g} to {MOST:g}"


def check_row_weights(sample_weight: Any, n_rows: int) -> NDArray[np.float32]:
    """Return a weight for each row, at least one of them above 0.

    Parameters
    ----------
    sample_weight : number or array-like, shape (n_rows,)
    n_rows : int

    Returns
    -------
    ndarray of float32, shape (n_rows,)

    Raises
    ------
    ValueError
        If there is not one weight for each row, one is negative, not finite or beyond what float32 can hold, or all
        are 0.
    TypeError
        If they are not numbers.
    """
    weights = _numbers("sample_weight", sample_weight)
    if weights.ndim == 0:
        weights = np.full(n_rows, weights)
    if weights.shape != (n_rows,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}; pass one weight for each of the {n_rows} rows of X."
        )
    bad = np.flatnonzero(~((weights == 0) | ((weights >= LEAST) & (weights <= MOST))))
    if bad.size:
        raise ValueError(f"sample_weight[{bad[0]}] is {weights[bad[0]]}; {_RANGE}.")
    if not weights.any():
        raise ValueError(
            "sample_weight is zero for all rows, which leaves none; give at least one row a weight above 0."
        )
    return weights.astype(np.float32)


def check_label_weights(label_weight: Any, classes: NDArray[Any]) -> NDArray[np.float32]:
    """Return a weight for each label.

    Parameters
    ----------
    label_weight : mapping of labels to numbers, or array-like, shape (n_labels,)
        Labels that a mapping does not name have weight 1.
    classes : ndarray, shape (n_labels,)

    Returns
    -------
    ndarray of float32, shape (n_labels,)

    Raises
    ------
    ValueError
        If a label is unknown, there is not one weight for each label, or one is not above 0, not finite or beyond what
        float32 can hold.
    TypeError
        If they are not numbers.
    """
    if isinstance(label_weight, Mapping):
        weights = np.ones(classes.size)
        weights[_ids(list(label_weight), classes)] = _numbers("label_weight", list(label_weight.values()))
    else:
        weights = _numbers("label_weight", label_weight)
    if weights.shape != classes.shape:
        raise ValueError(
            f"label_weight has shape {weights.shape}; pass one weight for each of the {classes.size} labels in the "
            "order of classes_, or a dict of labels and their weights."
        )
    bad = np.flatnonzero(~((weights >= LEAST) & (weights <= MOST)))
    if bad.size:
        label = classes[bad[:1]].tolist()[0]
        raise ValueError(
            f"The weight of label {label!r} is {weights[bad[0]]}; weights of labels are from {LEAST:g} to {MOST:g}. "
            "To leave a label out, drop its column or its name from y."
        )
    return weights.astype(np.float32)


def _ids(labels: list[Any], classes: NDArray[Any]) -> NDArray[np.int32]:
    ids = find_labels(label_array(labels), classes) if labels else np.zeros(0, np.int32)
    if (ids < 0).any():
        raise ValueError(
            f"label_weight names {labels[int(np.argmax(ids < 0))]!r}, which is no label of y; labels are such as "
            f"{classes[:3].tolist()}."
        )
    return ids


def _numbers(name: str, value: Any) -> NDArray[np.float64]:
    """Return numbers in any container as an array."""
    try:
        array = np.asarray(value)
        if array.dtype.kind == "O" and all(isinstance(item, Real) for item in array.ravel()):
            array = array.astype(np.float64)
    except (TypeError, ValueError) as error:  # rows of different lengths, or what has no array
        raise ValueError(f"{name} is no array of numbers: {error}") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} is {value!r:.60} of type {type(value).__name__}; pass numbers.")
    return array.astype(np.float64)
