"""Weights of rows and of labels: which methods take them in ``fit``, and how they reach their ``_fit``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.storage.registry import ESTIMATORS, find_class
from xclassic.validation.features import Features
from xclassic.validation.weights import check_label_weights, check_row_weights

WEIGHTS = ("sample_weight", "label_weight")

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def refusing_weights(fit: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Let a ``fit`` say which methods take the weights that are not in its signature; the signature stays as it is."""
    refused = [name for name in WEIGHTS if name not in inspect.signature(fit).parameters]

    @wraps(fit)
    def fit_without(*args: Parameters.args, **options: Parameters.kwargs) -> Result:
        for name in refused:
            if name in options:
                raise TypeError(_refusal(type(args[0]).__name__, name))
        return fit(*args, **options)

    return fit_without


def _refusal(estimator: str, name: str) -> str:
    takers = [known for known in ESTIMATORS if name in inspect.signature(find_class(known).fit).parameters]
    return (
        f"{estimator}.fit takes no {name}. These methods take it: {', '.join(takers)}. With any other method leave "
        "rows or labels out, or repeat rows."
    )


class WeighsRows:
    """A base of methods that take a weight of each row.

    Their ``_fit`` has the keyword ``row_weights``: None, or an array of float32, shape (n_rows,), of numbers above 0.
    """

    _fit_checked: Callable[..., Self]

    @refusing_weights
    def fit(self, X: Any, y: Any, *, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
            See `XMCClassifier.fit`.
        sample_weight : float or array-like, shape (n_rows,), optional
            Weight of each row, by default 1: a weight of 2 counts as the row twice, and one of 0 leaves it out, while
            its labels stay among ``classes_``. Weights above 0 are from 1e-20 to 1e20.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a weight is negative or not finite, there is not one for each row, or all are 0. Or as
            `XMCClassifier.fit`.
        TypeError
            If weights are not numbers.
        """
        return self._fit_checked(X, y, sample_weight=sample_weight)


class WeighsRowsAndLabels:
    """A base of methods that take a weight of each row and of each label.

    Their ``_fit`` has the keywords ``row_weights`` of `WeighsRows` and ``label_weights``: None, or an array of float32,
    shape (n_labels,), of numbers above 0.
    """

    _fit_checked: Callable[..., Self]

    @refusing_weights
    def fit(self, X: Any, y: Any, *, sample_weight: Any = None, label_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
            See `XMCClassifier.fit`.
        sample_weight : float or array-like, shape (n_rows,), optional
            Weight of each row, by default 1: a weight of 2 counts as the row twice, and one of 0 leaves it out, while
            its labels stay among ``classes_``. Weights above 0 are from 1e-20 to 1e20.
        label_weight : dict of labels to floats, or array-like, shape (n_labels,), optional
            What the parameter `C` is multiplied by for each label, from 1e-20 to 1e20. An array is in the order of
            ``classes_``; labels that a dict does not name have 1.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a weight of a row is negative or not finite, one of a label is not above 0, there is not one for each, or
            all rows have 0. If a label is unknown. Or as `XMCClassifier.fit`.
        TypeError
            If weights are not numbers.
        """
        return self._fit_checked(X, y, sample_weight=sample_weight, label_weight=label_weight)


def rows_that_count(
    X: Features, Y: csr_array, sample_weight: Any, options: dict[str, Any]
) -> tuple[Features, csr_array, dict[str, Any]]:
    """Return the data and the options of ``_fit`` without rows of weight 0, and with the weights of the others.

    The weights are left out of the options if all are 1, so that such a fit is the one without weights.
    """
    weights = check_row_weights(sample_weight, X.shape[0])
    kept = weights > 0
    if not kept.all():
        X, Y, weights = X[kept], Y[kept], weights[kept]
        if "relevance" in options:
            options = options | {"relevance": options["relevance"][kept]}
    return X, Y, options if (weights == 1).all() else options | {"row_weights": weights}


def labels_that_count(label_weight: Any, classes: NDArray[Any]) -> dict[str, NDArray[np.float32]]:
    """Return the option of ``_fit`` with the weights of labels, none if all are 1."""
    weights = check_label_weights(label_weight, classes)
    return {} if (weights == 1).all() else {"label_weights": weights}
