"""The true labels of data beside those of a model, and the metrics."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic import TopK, encode_labels, fields_report, metrics
from xclassic.cli.data import Points
from xclassic.cli.models import TrainedModel
from xclassic.validation.labels import renumber, strangers

MIN_POINTS = 3  # Fewest training points that propensities can be estimated from.


def measure(
    trained: TrainedModel,
    points: Points,
    depths: list[int],
    constants: dict[str, Any],
    by_frequency: bool,
    revealed: csr_array | None = None,
    label_weights: NDArray[np.float64] | None = None,
) -> tuple[dict[str, float], csr_array]:
    """Rank labeled points and return every metric, and the truth it was measured against.

    Parameters
    ----------
    trained : TrainedModel
        Its label counts give the propensities.
    points : Points
    depths : list of int
    constants : dict
        Of `xclassic.metrics.propensity`: ``preset``, ``A`` and ``B``, any of them None.
    by_frequency : bool
        Whether to add the metrics for head, torso and tail labels.
    revealed : csr_array, optional
        Labels that the model is told; none of them may be among those of the points.
    label_weights : ndarray of float64, shape (n_labels,), optional
        By which scores are multiplied.

    Raises
    ------
    ValueError
        If label counts are asked for and the model holds none, or a label to predict is revealed.
    """
    truth = align_labels(points.Y, trained.estimator.classes_)
    n_labels = truth.shape[1]
    if revealed is not None:
        metrics.check_held_out(truth[:, : revealed.shape[1]], revealed)
    asked = by_frequency or any(value is not None for value in constants.values())
    options: dict[str, Any] = {}
    if trained.label_counts is not None:
        counts = np.pad(trained.label_counts, (0, n_labels - trained.label_counts.size))  # Unknown labels count 0.
        n_train = trained.training["n_rows"]
        if n_train >= MIN_POINTS:
            options["propensities"] = metrics.propensity(counts, n_train, **constants)
        options["train_counts"] = counts if by_frequency else None
    elif asked:
        raise ValueError("the model holds no label counts; name its training data with --train")
    top = widen(trained.predict_topk(points.X, max(depths), revealed, label_weights), min(max(depths), n_labels))
    return metrics.evaluate(truth, top, ks=depths, **options), truth


def measure_fields(trained: TrainedModel, points: Points) -> dict[str, dict[str, float]]:
    """Return the metrics of each field of predicted records; see `xclassic.fields_report`."""
    target = trained.estimator._target  # type: ignore[attr-defined]
    predicted = trained.estimator.predict_fields(trained.check(points.X))  # type: ignore[attr-defined]
    return fields_report(target.columns(points.Y), target.columns(predicted))


def labels_of(estimator: Any, Y: Any) -> Any:
    """Return the labels of rows; those of a model of several fields are texts that its records make."""
    return [[text] for text in estimator._target.encode(Y).tolist()] if getattr(estimator, "fields_", None) else Y


def count_labels(Y: Any, classes: NDArray[Any]) -> NDArray[np.int64]:
    """Return how many rows have each label of a model."""
    indices = align_labels(Y, classes).indices
    return np.bincount(indices, minlength=classes.size)[: classes.size].astype(np.int64)


def align_labels(Y: Any, classes: NDArray[Any]) -> csr_array:
    """Return labels as a 0-1 matrix whose first columns are those of a model.

    Parameters
    ----------
    Y : list of label lists, or csr_array whose columns are label ids
    classes : ndarray, shape (n_labels,)
        Of the model.

    Returns
    -------
    csr_array, shape (n_rows, n_labels + n_unknown)
        Labels that the model does not know come last: they are true, and nothing can hit them. A warning says so if
        these are all.
    """
    encoded, names = (Y, np.arange(Y.shape[1])) if isinstance(Y, csr_array) else encode_labels(Y)
    if names.dtype.kind != classes.dtype.kind:  # The label 12 of a JSON file is "12" in a CSV file.
        names, classes = names.astype(str), classes.astype(str)
    aligned, everything = renumber(encoded, names, classes, "the data")
    if names.size and everything.size == classes.size + names.size:
        hint = "Check --label-field and --label-delimiter."
        warnings.warn(f"{strangers(names, classes, 'the data')} {hint}", stacklevel=2)
    return aligned


def widen(top: TopK, k: int) -> TopK:
    """Return a ranking with `k` slots at least, the further ones unfilled."""
    if top.k >= k:
        return top
    wide = TopK.empty(top.n_rows, k)
    wide.ids[:, : top.k] = top.ids
    wide.scores[:, : top.k] = top.scores
    return wide._replace(counts=top.counts)
