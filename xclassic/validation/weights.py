"""Check the weights of rows, of labels and of their pairs."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse

from xclassic.validation.labels import Target, find_labels, label_array

LEAST, MOST = 1e-9, 1e9  # Products of a weight of a row, of its label and of the pair, and a cost stay within float32.


class Weighted(NamedTuple):
    """Checked labels and weights.

    Attributes
    ----------
    rows : ndarray of int64 or None
        The rows whose weight is above 0; None means all.
    Y : csr_array of float32
        The labels of these rows, without those of weight 0.
    options : dict
        What of ``sample_weight``, ``label_weight`` and ``relevance`` was given; the first two only if they are not all
        ones. They are for these rows and stored where `Y` is. Labels of weight 0 have weight 1 here, since no row has
        them.
    """

    rows: NDArray[np.int64] | None
    Y: csr_array
    options: dict[str, Any]


def check_weights(
    target: Target, *, sample_weight: Any = None, label_weight: Any = None, relevance: Any = None
) -> Weighted:
    """Read the weights of a fit, and leave out what has weight 0.

    Raises
    ------
    ValueError
        If weights have another shape than the rows or labels, are negative, not finite, out of range or all zero, or
        relevances are not above 0 exactly where labels are.
    TypeError
        If weights are no numbers.
    """
    Y, options, rows = target.Y, dict[str, Any](), None
    if relevance is not None:
        Y = options["relevance"] = check_relevance(relevance, Y)
    if label_weight is not None:
        weights = check_label_weight(label_weight, target.classes)
        Y = _without_labels(Y, weights)
        weights = np.where(weights > 0, weights, np.float32(1))
        if (weights != 1).any():
            options["label_weight"] = weights
    if sample_weight is not None:
        weights = check_sample_weight(sample_weight, Y.shape[0])
        if not weights.all():
            rows = np.flatnonzero(weights)
            Y, weights = csr_array(Y[rows]), weights[rows]
        if (weights != 1).any():
            options["sample_weight"] = weights
    if "relevance" in options:
        options["relevance"] = Y
        Y = csr_array((np.ones_like(Y.data), Y.indices, Y.indptr), shape=Y.shape)
    return Weighted(rows, Y, options)


def _without_labels(Y: csr_array, weights: NDArray[np.float32]) -> csr_array:
    if weights.all():
        return Y
    kept = weights[Y.indices] > 0
    ends = np.concatenate([[0], np.cumsum(kept)])[Y.indptr]
    return csr_array((Y.data[kept], Y.indices[kept], ends), shape=Y.shape)


def check_sample_weight(sample_weight: Any, n_rows: int) -> NDArray[np.float32]:
    """Return a weight for each row; a number is that of all rows."""
    weights = _numbers("sample_weight", sample_weight)
    if weights.ndim == 0:
        weights = np.full(n_rows, weights)
    if weights.shape != (n_rows,):
        raise ValueError(
            f"sample_weight has shape {weights.shape}; pass one weight for each of the {n_rows} rows of X."
        )
    return _in_range(weights, "sample_weight", "row", np.arange(n_rows))


def check_label_weight(
    label_weight: Any, classes: NDArray[Any], name: str = "label_weight", labels_of: str = "y"
) -> NDArray[np.float32]:
    """Return a weight for each label; those that a mapping does not name have weight 1."""
    if isinstance(label_weight, Mapping):
        weights, named = np.ones(classes.size), list(label_weight)
        ids = find_labels(label_array(named), classes) if named else np.zeros(0, np.int32)
        if (ids < 0).any():
            raise ValueError(
                f"{name} names {named[int(np.argmax(ids < 0))]!r}, which is no label of {labels_of}; labels are such "
                f"as {classes[:3].tolist()}."
            )
        given = _numbers(name, list(label_weight.values()))
        if given.ndim != 1:
            raise ValueError(f"{name} is a dict of labels to lists; pass one number for each label.")
        weights[ids] = given
    else:
        weights = _numbers(name, label_weight)
    if weights.shape != classes.shape:
        raise ValueError(
            f"{name} has shape {weights.shape}; pass one weight for each of the {classes.size} labels in the "
            "order of classes_, or a dict of labels and their weights."
        )
    return _in_range(weights, name, "label", classes)


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


def _in_range(weights: NDArray[np.float64], name: str, what: str, names: NDArray[Any]) -> NDArray[np.float32]:
    """Return weights in float32, if they are 0 or can be computed with, and are not all 0."""
    wrong = ~((weights == 0) | ((weights >= LEAST) & (weights <= MOST)))
    if wrong.any():
        first = np.argmax(wrong)
        raise ValueError(
            f"{name} of {what} {names[first].item()!r} is {weights[first]}; a weight is 0, which leaves the {what} "
            f"out, or from {LEAST:g} to {MOST:g}."
        )
    if not weights.any():
        raise ValueError(
            f"{name} is zero for all {what}s, which leaves none; give at least one {what} a weight above 0."
        )
    return weights.astype(np.float32)


def check_relevance(relevance: Any, Y: csr_array) -> csr_array:
    """Return relevances at the places of `Y`."""
    if not issparse(relevance):
        raise TypeError(f"relevance is a {type(relevance).__name__}; pass a sparse matrix of the shape of y.")
    given = csr_array(relevance, dtype=np.float32, copy=True)
    given.sum_duplicates()
    given.eliminate_zeros()
    if given.shape != Y.shape:
        raise ValueError(f"relevance has shape {given.shape}, but y has {Y.shape}; give each label of y one.")
    if not np.array_equal(given.indptr, Y.indptr) or not np.array_equal(given.indices, Y.indices):
        raise ValueError("relevance must be above 0 exactly where y is 1.")
    wrong = ~((given.data >= np.float32(LEAST)) & (given.data <= np.float32(MOST)))
    if wrong.any():
        raise ValueError(
            f"relevance holds {given.data[np.argmax(wrong)]}; relevances are finite and above 0, from {LEAST:g} to "
            f"{MOST:g}."
        )
    return given


def graded(relevance: csr_array | None) -> csr_array | None:
    """Return relevances, or None if all are one, so that a fit runs as without any."""
    return None if relevance is None or (relevance.data == 1).all() else relevance
