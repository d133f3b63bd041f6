"""Label blocks as explanations read them: what the models of a chunk say of a row, and ``explain`` on top of it."""

from __future__ import annotations

from numbers import Real
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from xclassic._kernels.arguments import LANES
from xclassic.base import XMCClassifier
from xclassic.blocks.weights import BlockWeights
from xclassic.explanation import Explanation, FeatureEffect, Names, Step
from xclassic.parallel import RUNNING
from xclassic.validation.features import Features, check_features
from xclassic.validation.labels import find_labels
from xclassic.validation.parameters import check_number


class Row(NamedTuple):
    """A row as the models read it, and what its explanation shows.

    Attributes
    ----------
    features : ndarray of int32, shape (nnz,)
        Ascending.
    values : ndarray of float64, shape (nnz,)
    names : sequence of length n_features, or None
    n_shown : int
    """

    features: NDArray[np.int32]
    values: NDArray[np.float64]
    names: Names | None
    n_shown: int

    @classmethod
    def of(cls, X: Features, names: Names | None, n_shown: int) -> Row:
        """Return the only row of `X`."""
        entries = csr_array(X)
        used = entries.data != 0
        return cls(entries.indices[used].astype(np.int32), entries.data[used].astype(np.float64), names, n_shown)


class Reading:
    """The models of one chunk, limited to the features of one row.

    Attributes
    ----------
    margins : ndarray of float64, shape (n_lanes,)
    """

    def __init__(self, weights: BlockWeights, chunk: int, row: Row) -> None:
        first, last = (LANES * int(end) for end in weights.chunk_group_ptr[chunk : chunk + 2])
        self._row = row
        self._bias = weights.bias[first:last].astype(np.float64)
        self._position, self._lane, self._weight = weights.weights_at(chunk, row.features)
        products = self._weight.astype(np.float64) * row.values[self._position]
        self.margins = self._bias + np.bincount(self._lane, products, minlength=last - first)

    def step(self, lane: int, **metadata: Any) -> Step:
        """Return what the model of a lane says. `metadata` are the fields of `Step` that follow from the search."""
        own = self._lane == lane
        position, weight = self._position[own], self._weight[own].astype(np.float64)
        value = self._row.values[position]
        contribution = value * weight
        features = []
        for i in np.argsort(-np.abs(contribution), kind="stable")[: self._row.n_shown].tolist():
            feature = int(self._row.features[position[i]])
            name = feature if self._row.names is None else str(self._row.names[feature])
            features.append(FeatureEffect(name, float(value[i]), float(weight[i]), float(contribution[i])))
        return Step(
            margin=float(self.margins[lane]),
            bias=float(self._bias[lane]),
            n_active=len(position),
            features=features,
            **metadata,
        )


class FullReading:
    """All models of some weights, limited to the features of one row.

    Attributes
    ----------
    labels : ndarray of int32, shape (n_models,)
    margins : ndarray of float64, shape (n_models,)
    """

    def __init__(self, weights: BlockWeights, row: Row) -> None:
        self._weights = weights
        self._chunks = [Reading(weights, chunk, row) for chunk in range(len(weights.chunk_scales))]
        used = weights.labels >= 0
        self.labels = weights.labels[used]
        self.margins = np.concatenate([np.zeros(0), *(chunk.margins for chunk in self._chunks)])[used]

    def step(self, label: int, name: str, contribution: float, rivals: NDArray[np.float64] | None = None) -> Step:
        """Return what the model of a label says, ranked among the margins of its rivals, by default of all models."""
        ends = self._weights.chunk_group_ptr
        lane = int(np.flatnonzero(self._weights.labels == label)[0])
        chunk = int(np.searchsorted(ends, lane // LANES, side="right")) - 1
        rivals = self.margins if rivals is None else rivals
        return self._chunks[chunk].step(
            lane := lane - LANES * int(ends[chunk]),
            tree=0,
            node=label,
            name=name,
            contribution=contribution,
            rank=1 + int((rivals > self._chunks[chunk].margins[lane]).sum()),
            n_siblings=len(rivals),
            level_rank=None,
            kept=True,
        )


class ExplainableClassifier(XMCClassifier):
    """Base of the methods whose scores come from linear models of labels, or of groups of labels in a tree."""

    n_jobs: int | None
    verbose: int

    # Hooks of a family of methods

    def _input_names(self, names: Names | None, n_inputs: int) -> Names | None:
        """Return the names of the features that the models see, given the `names` of the features of the rows."""
        return names

    def _explained(self, row: Row, label: int, label_names: Names | None) -> tuple[float, int, list[Step]]:
        """Return score, number of trees and steps; the list is empty for a label without a model."""
        raise NotImplementedError

    def explain(
        self,
        X: Any,
        label: Any,
        *,
        n_features: int = 10,
        label_names: Names | None = None,
        feature_names: Names | None = None,
    ) -> Explanation:
        """Explain why a label has its score for one row: every model queried, and the features that moved it.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (1, n_features) or (n_features,)
            The row.
        label : str, int or float
            As in ``classes_``.
        n_features : int, default=10
            Features listed for each model, namely those that moved it most; at least 1.
        label_names : sequence, shape (n_labels,), optional
            Names to show for the labels, in the order of ``classes_``; by default ``classes_`` themselves.
        feature_names : sequence, shape (n_features,), optional
            Names to show for the features; by default ``feature_names_in_`` if ``fit`` saw names, else their numbers.
            An estimator that encodes rows itself explains by the numbers of the code: code0, code1, ...

        Returns
        -------
        Explanation
            Data that ``print`` shows as text. Bias and contributions of all features sum to the margin of a step.

        Raises
        ------
        ValueError
            If `X` is not exactly one row, the label is unknown or has no model because no training row carries it, or
            names do not fit.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.

        See Also
        --------
        xclassic.explain : The same for a pipeline.

        Notes
        -----
        Cost: some milliseconds. It reads the weights of the features of the row, in the nodes that a search opens or,
        without a tree, of all labels.
        """
        check_is_fitted(self)
        check_number("n_features", n_features, minimum=1, integer=True)
        X = check_features(self, as_row(X), reset=False)
        if X.shape[0] != 1:
            raise ValueError(f"X has {X.shape[0]} rows; explain takes one, as in X[i : i + 1].")
        _check_names("feature_names", feature_names, X.shape[1])
        _check_names("label_names", label_names, self.classes_.size)
        known = find_labels(np.asarray([label]), self.classes_) if np.isscalar(label) else np.array([-1])
        label = label.item() if isinstance(label, np.generic) else label  # Messages show it as the user writes it.
        if known[0] < 0:
            raise ValueError(
                f"The estimator does not know the label {label!r}; classes_ lists its {self.classes_.size} labels, for "
                f"instance {self.classes_[:3].tolist()}."
            )
        if feature_names is None:
            feature_names = getattr(self, "feature_names_in_", None)
        best = self._topk(X, 1, None, RUNNING)  # This also checks a loaded model before its arrays are followed.
        encoded = self._prepare(X)
        row = Row.of(encoded, self._input_names(feature_names, encoded.shape[1]), n_features)
        score, n_trees, steps = self._explained(row, int(known[0]), label_names)
        if not steps:
            raise ValueError(f"Label {label!r} has no model, since no training row carries it; it is never predicted.")
        shown = self.classes_ if label_names is None else label_names
        ids = [int(known[0]), int(best.ids[0, 0])]
        (own, own_name), (other, other_name) = ((self.classes_[[i]].tolist()[0], str(shown[i])) for i in ids)
        return Explanation(own, own_name, score, other, other_name, float(best.scores[0, 0]), n_trees, steps)


def explain(
    model: Any,
    X: Any,
    label: Any,
    *,
    n_features: int = 10,
    label_names: Names | None = None,
    feature_names: Names | None = None,
) -> Explanation:
    """Explain why an estimator, a `Pipeline` or a fitted search gives a label its score for one row.

    Parameters
    ----------
    model : label-tree or one-vs-rest estimator, one made of such ones, Pipeline that ends in one, or a search over one
        A fitted model; of a `GridSearchCV` and similar searches, the ``best_estimator_`` is explained.
    X : str, array-like
        One row of the input of the first step, for instance a text.
    label, n_features, label_names
        See ``explain`` of the estimator.
    feature_names : sequence, optional
        Names to show for the features that the estimator gets; by default the names that the steps before it return.

    Returns
    -------
    Explanation

    Raises
    ------
    TypeError
        If the model does not end in an estimator that explains.
    ValueError
        As for the estimator.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from xclassic import DiSMEC, explain
    >>> texts = ["stars and planets", "bread and butter", "planets and moons"]
    >>> pipe = make_pipeline(TfidfVectorizer(), DiSMEC()).fit(texts, [["astronomy"], ["food"], ["astronomy"]])
    >>> explanation = explain(pipe, "the moons of all planets", "astronomy")
    >>> [effect.name for effect in explanation.steps[0].features]
    ['planets', 'moons']
    """
    model = getattr(model, "best_estimator_", model)
    X = as_row(X)
    if isinstance(model, Pipeline):
        if len(model) > 1:
            X = model[:-1].transform(X)
            feature_names = _names_out(model[:-1]) if feature_names is None else feature_names
        model = model[-1]
    if not hasattr(model, "explain"):
        raise TypeError(
            f"{type(model).__name__} explains no scores; pass a label-tree or one-vs-rest estimator of xclassic, what "
            "is made of such ones, or a pipeline that ends in one."
        )
    explanation: Explanation = model.explain(
        X, label, n_features=n_features, label_names=label_names, feature_names=feature_names
    )
    return explanation


def as_row(X: Any) -> Any:
    """Return a single text, or a vector of numbers, as a collection of one row, and anything else unchanged."""
    if isinstance(X, str):
        return [X]
    if isinstance(X, (list, tuple)) and X and isinstance(X[0], Real):
        X = np.asarray(X)
    vector = (issparse(X) or isinstance(X, np.ndarray)) and X.ndim == 1 and X.dtype.kind in "biuf"
    return X.reshape(1, -1) if vector else X


def _names_out(steps: Pipeline) -> NDArray[Any] | None:
    try:
        return steps.get_feature_names_out()
    except (AttributeError, ValueError):  # Some steps have no output names, or none without input names.
        return None


def _check_names(parameter: str, names: Names | None, size: int) -> None:
    if names is not None and len(names) != size:
        raise ValueError(f"{parameter} has {len(names)} entries; there must be {size}, one for each.")
