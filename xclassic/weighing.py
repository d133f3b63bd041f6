"""Weights of rows, of labels and of their pairs: which methods take them in ``fit``, and what the others say."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, Self, TypeVar

from xclassic.storage.registry import ESTIMATORS, find_class

FEATURES = "label_features"
WEIGHTS = ("sample_weight", "label_weight", "relevance")

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def refusing_weights(fit: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
    """Let a ``fit`` say which methods take the weights that are not in its signature; the signature stays as it is."""
    taken = inspect.signature(fit).parameters
    refused, takes_features = [name for name in WEIGHTS if name not in taken], FEATURES in taken

    @wraps(fit)
    def fit_without(*args: Parameters.args, **options: Parameters.kwargs) -> Result:
        method = type(args[0]).__name__
        for name in refused:
            if name in options and options.pop(name) is not None:
                raise TypeError(_refusal(method, name))
        if FEATURES in options and not takes_features:
            raise TypeError(
                f"{method}.fit takes no {FEATURES}; LabelAugmentation({method}(...)).fit(X, y, {FEATURES}=...) does, "
                "and fits any method with them."
            )
        return fit(*args, **options)

    return fit_without


def refuse_not_taken(estimator: Any, given: Mapping[str, Any]) -> None:
    """Raise for a weight that a method does not take, or does not take with its parameters."""
    method, taken = type(estimator).__name__, estimator._weights_taken()
    for name, weights in given.items():
        if weights is None or name in taken:
            continue
        if method in takers(name):
            raise ValueError(
                f"{method} takes no {name} with these parameters: see its docstring, and the guide to weights for what "
                "each method does with them."
            )
        raise TypeError(_refusal(method, name))


def takers(name: str) -> list[str]:
    """Return the methods that take a weight by default."""
    return [known for known in ESTIMATORS if name in find_class(known)()._weights_taken()]


def _refusal(method: str, name: str) -> str:
    return (
        f"{method}.fit takes no {name}. These methods take it: {', '.join(takers(name))}. With any other method leave "
        "rows or labels out, or repeat rows."
    )


class TakesWeights:
    """A base of methods whose ``fit`` takes weights of rows, of labels or of pairs of both.

    It comes before `XMCClassifier` among the bases. A method says by ``_weights_taken`` which ones, and its ``_fit``
    has a keyword for each, with the default None: ``sample_weight`` of shape (n_rows,) and ``label_weight`` of shape
    (n_labels,), float32 and above 0, and ``relevance``, a float32 CSR matrix that is stored where `Y` is, with entries
    above 0.
    """

    _fit_checked: Callable[..., Self]

    @refusing_weights
    def fit(
        self, X: Any, y: Any, *, sample_weight: Any = None, label_weight: Any = None, relevance: Any = None
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
            See `XMCClassifier.fit`.
        sample_weight : float or array-like, shape (n_rows,), optional
            Weight of each row, by default 1: what it multiplies is said in the notes on the method. One of 0 leaves the
            row out, while its labels stay among ``classes_``. Weights above 0 are from 1e-9 to 1e9.
        label_weight : dict of labels to floats, or array-like, shape (n_labels,), optional
            Weight of each label, likewise. An array is in the order of ``classes_``; labels that a dict does not name
            have 1. One of 0 leaves the label out: it is never predicted.
        relevance : sparse matrix, shape (n_rows, n_labels), optional
            Weight of each label of a row, above 0 exactly where `y` is 1 and from 1e-9 to 1e9.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a weight is negative, not finite or out of range, there is not one for each row, label or 1 of `y`, all
            are 0, or a label is unknown. If the method takes a weight, but not with its parameters. Or as
            `XMCClassifier.fit`.
        TypeError
            If weights are not numbers, `relevance` is not a sparse matrix, or the method does not take a weight.

        Notes
        -----
        Weights that are all 1 give the model of a fit without weights, bit for bit. What was fitted with others learns
        nothing further: `add_labels` and `partial_fit` refuse it.
        """
        return self._fit_checked(X, y, sample_weight=sample_weight, label_weight=label_weight, relevance=relevance)
