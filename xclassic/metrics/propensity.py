"""Propensity-scored metrics: rare labels, which annotators miss more often, weigh more.

Jain, Prabhu and Varma, "Extreme multi-label loss functions for recommendation, tagging, ranking & other missing label
applications", KDD 2016.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from xclassic.metrics._inputs import Judged, Pairs, for_all_labels, judge
from xclassic.metrics.ranking import discounts
from xclassic.validation.parameters import check_choice, check_counts, check_number

# The published constants (A, B). "default" is for every data set that the other two do not name.
PRESETS = {"default": (0.55, 1.5), "wikipedia": (0.5, 0.4), "amazon": (0.6, 2.6)}


def propensity(
    label_counts: ArrayLike,
    n_samples: int,
    *,
    preset: str | None = None,
    A: float | None = None,
    B: float | None = None,
) -> NDArray[np.float64]:
    """Estimate the propensity of each label: the probability that it is annotated where it is true.

    ``p = 1 / (1 + C (count + B)^-A)`` with ``C = (ln(n_samples) - 1) (B + 1)^A``.

    Parameters
    ----------
    label_counts : array-like, shape (n_labels,)
        Training points of each label, as in ``Y_train.sum(axis=0)``.
    n_samples : int
        Number of training points, at least 3: the logarithm must exceed 1.
    preset : {"default", "wikipedia", "amazon"}, optional
        Published constants: "wikipedia" for Wikipedia-LSHTC and Wikipedia-500K (A=0.5, B=0.4), "amazon" for Amazon-670K
        and similar ones (A=0.6, B=2.6), "default" for every other data set (A=0.55, B=1.5). None means "default".
        Papers disagree on AmazonCat, so state which was used.
    A, B : float, optional
        Constants instead of a preset, both or neither; A is at least 0, B above 0.

    Returns
    -------
    ndarray of float64, shape (n_labels,)
        In (0, 1], higher for frequent labels. The weight of a label in `psp_at_k` is one over its propensity.

    Raises
    ------
    ValueError
        If a count is negative or above `n_samples`, `n_samples` is below 3, the preset is unknown, a preset and
        constants are given, or only one constant is.
    TypeError
        If a number is of the wrong type.

    Examples
    --------
    >>> from xclassic.metrics import propensity
    >>> propensity([1, 100, 10_000], n_samples=15_539).round(3)
    array([0.104, 0.47 , 0.917])
    """
    A, B = _constants(preset, A, B)
    counts = check_counts(label_counts)
    check_number("n_samples", n_samples, minimum=3, integer=True)
    if counts.size and counts.max() > n_samples:
        raise ValueError(
            f"Label {counts.argmax()} has {counts.max():g} training points but n_samples is {n_samples}; count both on "
            "the same training data."
        )
    return _propensity(counts, n_samples, A, B)


def _propensity(counts: NDArray[Any], n_samples: float, A: float, B: float) -> Any:
    C = (np.log(n_samples) - 1) * (B + 1) ** A
    return 1 / (1 + C * (counts + B) ** -A)


def _constants(preset: str | None, A: float | None, B: float | None) -> tuple[float, float]:
    if A is None and B is None:
        preset = "default" if preset is None else preset
        check_choice("preset", preset, PRESETS)
        return PRESETS[preset]
    if A is None or B is None or preset is not None:
        raise ValueError(f"preset={preset!r}, A={A!r}, B={B!r}: pass a preset, or both A and B and no preset.")
    check_number("A", A, minimum=0)
    check_number("B", B, minimum=0, inclusive=False)
    return A, B


def psp_at_k(
    Y_true: Any,
    top: Any,
    k: int,
    propensities: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    classes: Any = None,
    exclude: Any = None,
) -> float:
    """Propensity-scored precision at k, as a ratio of sums.

    It is the sum over rows of the weights ``1 / propensity`` of all hits among the first `k`, divided by the same sum
    for the best ranking possible: the `k` true labels of each row with the largest weights. It is not a mean of ratios.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
    top : TopK, or sparse or dense score matrix of shape (n_rows, n_labels)
    k : int
        See `precision_at_k`.
    propensities : array-like, shape (n_labels,)
        In (0, 1], as `propensity` returns them.
    labels : array-like of int or of bool, optional
        Labels to look at, in both sums.
    classes : fitted estimator, or array-like, optional
        See `precision_at_k`. A label that is not among them gets the least of `propensities`.
    exclude : sparse or dense matrix, optional
        See `precision_at_k`.

    Returns
    -------
    float
        In [0, 1]; 0 if no label is true.

    Raises
    ------
    ValueError
        If propensities are out of range or not one per label, or as for `precision_at_k`.
    TypeError
        See `precision_at_k`.
    """
    judged = judge(Y_true, top, k, labels, classes, exclude)
    return _psp(judged, k, check_propensities(propensities, judged.truth, classes))


def psndcg_at_k(
    Y_true: Any,
    top: Any,
    k: int,
    propensities: ArrayLike,
    *,
    labels: ArrayLike | None = None,
    classes: Any = None,
    exclude: Any = None,
) -> float:
    """Propensity-scored nDCG at k, as a ratio of sums.

    It is `psp_at_k` with the weight in slot j divided by log(1 + j) in both sums.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
    top : TopK, or sparse or dense score matrix of shape (n_rows, n_labels)
    k : int
    propensities : array-like, shape (n_labels,)
    labels : array-like of int or of bool, optional
    classes : fitted estimator, or array-like, optional
    exclude : sparse or dense matrix, optional
        See `psp_at_k`.

    Returns
    -------
    float
        In [0, 1]; 0 if no label is true.

    Raises
    ------
    ValueError, TypeError
        See `psp_at_k`.
    """
    judged = judge(Y_true, top, k, labels, classes, exclude)
    return _psndcg(judged, k, check_propensities(propensities, judged.truth, classes))


def inverse_propensities(
    constants: str | tuple[float, float], Y: csr_array, row_weights: NDArray[np.float32] | None = None
) -> NDArray[np.float64]:
    """Return 1 / p of each label of a training matrix, under a preset or constants (A, B); rows count by weight."""
    entries = None if row_weights is None else np.repeat(row_weights, np.diff(Y.indptr))
    counts = np.bincount(Y.indices, entries, minlength=Y.shape[1])
    n_rows = Y.shape[0] if row_weights is None else float(row_weights.sum(dtype=np.float64))
    A, B = PRESETS[constants] if isinstance(constants, str) else constants
    return 1 / _propensity(counts, max(3, n_rows), A, B)  # The propensity model is undefined for fewer rows.


def check_constants(name: str, constants: Any) -> None:
    """Raise unless a parameter is a preset of `propensity` or its constants (A, B)."""
    if isinstance(constants, str):
        check_choice(name, constants, tuple(PRESETS))
        return
    if not isinstance(constants, (tuple, list)) or len(constants) != 2:
        raise TypeError(f"{name} is {constants!r}; pass one of {', '.join(map(repr, PRESETS))}, or two numbers (A, B).")
    check_number(f"A of {name}", constants[0], minimum=0)
    check_number(f"B of {name}", constants[1], minimum=0, inclusive=False)


def check_propensities(propensities: ArrayLike, truth: Pairs, classes: Any = None) -> NDArray[np.float64]:
    """Return propensities as float64 after a check of their number and range.

    A label that is not among `classes` gets the least of them, since it has no training row.
    """
    values = np.asarray(propensities, np.float64)
    values = for_all_labels(values, truth, classes, values.min(initial=1))
    n_labels = truth.n_labels
    if values.shape != (n_labels,):
        raise ValueError(f"Propensities have shape {values.shape} but Y_true has {n_labels} labels.")
    valid = (values > 0) & (values <= 1)
    if not valid.all():
        i = int(np.argmin(valid))
        raise ValueError(
            f"The propensity of label {i} is {values[i]}; propensities lie in (0, 1]. If these are inverse "
            "propensities, pass one over them."
        )
    return values


def _psp(judged: Judged, k: int, propensities: NDArray[np.float64]) -> float:
    return _ratio_of_sums(judged, np.ones(k), 1 / propensities)


def _psndcg(judged: Judged, k: int, propensities: NDArray[np.float64]) -> float:
    return _ratio_of_sums(judged, discounts(k), 1 / propensities)


def _ratio_of_sums(judged: Judged, gain: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    hits = judged.hits[:, : gain.size]
    rows, slots = np.nonzero(hits)
    found = weights[judged.ids[rows, slots]] @ gain[slots]
    best = _best_sum(judged, gain, weights)
    return float(found / best) if best > 0 else 0.0


def _best_sum(judged: Judged, gain: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    """Return the sum over rows for a ranking that puts the true labels of a row first, by descending weight."""
    rows = judged.truth.rows
    true_weights = weights[judged.truth.labels]
    ordered = true_weights[np.lexsort((-true_weights, rows))]
    slots = np.arange(rows.size) - np.repeat(np.cumsum(judged.sizes) - judged.sizes, judged.sizes)
    within = slots < gain.size
    return float(ordered[within] @ gain[slots[within]])


# Metrics by the names that a report shows.
PROPENSITY_SCORED = {"PSP": _psp, "PSnDCG": _psndcg}
