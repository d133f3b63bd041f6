"""All metrics of one prediction at once, and their table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xclassic.metrics._inputs import Judged, Pairs, for_all_labels, judge, label_groups, read_pairs
from xclassic.metrics.propensity import PROPENSITY_SCORED, check_propensities
from xclassic.metrics.ranking import AT_K
from xclassic.metrics.sets import AVERAGES, OF_SETS, Counts, count, subset_accuracy
from xclassic.validation.parameters import check_counts, check_k


def evaluate(
    Y_true: Any,
    top: Any,
    *,
    ks: Iterable[int] = (1, 3, 5),
    propensities: ArrayLike | None = None,
    train_counts: ArrayLike | None = None,
    classes: Any = None,
    exclude: Any = None,
) -> dict[str, float]:
    """Return every metric of a ranking.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
        A label is true where an entry is above zero.
    top : TopK, or sparse or dense score matrix of shape (n_rows, n_labels)
        The ranking, at least as deep as the largest of `ks`.
    ks : iterable of int, default=(1, 3, 5)
        Depths at which the ranking is cut.
    propensities : array-like, shape (n_labels,), optional
        Propensities from `propensity`; they add PSP and PSnDCG.
    train_counts : array-like of int, shape (n_labels,), optional
        Training points of each label; adds each metric for the head, torso and tail labels of `label_groups`. A group
        without any true label is left out.
    classes : fitted estimator, or array-like of its ``classes_``, optional
        With it labels may also be given by name; see `precision_at_k` and `precision`. `propensities` and
        `train_counts` are then those of the classes.
    exclude : sparse or dense matrix, shape (n_rows, n_labels), optional
        Pairs of a row and a label that do not count; see `precision_at_k`.

    Returns
    -------
    dict of str to float
        Values in [0, 1] under keys such as ``"P@1"``, ``"nDCG@5"``, ``"PSP@3"`` and ``"tail R@5"``. `format_table`
        prints them.

    Raises
    ------
    ValueError, TypeError
        As `precision_at_k` and `psp_at_k`.

    Notes
    -----
    Cost: O((nnz + n_rows k) log nnz) for nnz true labels; the truth is read and looked up once.

    Examples
    --------
    >>> from xclassic.metrics import evaluate
    >>> scores = evaluate([[1, 0, 1], [0, 1, 0]], [[0.9, 0.2, 0.1], [0.3, 0.2, 0.1]], ks=(1, 2))
    >>> scores["P@1"], scores["R@2"]
    (0.5, 0.75)
    """
    depths = sorted({check_k(k) for k in ks})
    if not depths:
        raise ValueError("ks is empty; name at least one depth, as in ks=(1, 3, 5).")
    judged = judge(Y_true, top, depths[-1], classes=classes, exclude=exclude)
    if propensities is not None:
        propensities = check_propensities(propensities, judged.truth, classes)
    results = _at_depths(judged, depths, propensities)
    for name, labels in _groups(train_counts, judged.truth, classes):
        group = judged.restricted(labels)
        if group.truth.keys.size:
            scores = _at_depths(group, depths, propensities)
            results |= {f"{name} {key}": value for key, value in scores.items()}
    return results


def _at_depths(judged: Judged, depths: list[int], propensities: NDArray[np.float64] | None) -> dict[str, float]:
    results = {f"{name}@{k}": metric(judged, k) for name, metric in AT_K.items() for k in depths}
    if propensities is not None:
        results |= {
            f"{name}@{k}": metric(judged, k, propensities) for name, metric in PROPENSITY_SCORED.items() for k in depths
        }
    return results


def evaluate_sets(
    Y_true: Any, Y_pred: Any, *, train_counts: ArrayLike | None = None, classes: Any = None
) -> dict[str, float]:
    """Return every metric of predicted label sets.

    Parameters
    ----------
    Y_true : sparse or dense matrix, shape (n_rows, n_labels)
    Y_pred : sparse or dense matrix of the same shape, or TopK
        See `precision`.
    train_counts : array-like of int, shape (n_labels,), optional
        Training points of each label; adds each metric for the head, torso and tail labels of `label_groups`. A group
        without any true label is left out.
    classes : fitted estimator, or array-like of its ``classes_``, optional
        With it labels may also be given by name; see `precision_at_k` and `precision`. `propensities` and
        `train_counts` are then those of the classes.

    Returns
    -------
    dict of str to float
        Values in [0, 1] under keys such as ``"micro precision"``, ``"macro F1"``, ``"tail macro F1"`` and
        ``"subset accuracy"``. `format_table` prints them.

    Raises
    ------
    ValueError, TypeError
        As `precision`.
    """
    truth = read_pairs(Y_true, "Y_true", classes)
    counts = count(Y_true, Y_pred, classes=classes)
    results = _of_sets(counts)
    for name, labels in _groups(train_counts, truth, classes):
        group = counts.restricted(labels)
        if group.true.any():
            results |= {f"{name} {key}": value for key, value in _of_sets(group).items()}
    return results | {"subset accuracy": subset_accuracy(Y_true, Y_pred, classes=classes)}


def _of_sets(counts: Counts) -> dict[str, float]:
    return {f"{average} {name}": metric(counts, average) for average in AVERAGES for name, metric in OF_SETS.items()}


def _groups(train_counts: ArrayLike | None, truth: Pairs, classes: Any) -> list[tuple[str, NDArray[np.intp]]]:
    if train_counts is None:
        return []
    counts = for_all_labels(check_counts(train_counts), truth, classes, 0)
    if counts.size != truth.n_labels:
        raise ValueError(f"train_counts has {counts.size} entries but Y_true has {truth.n_labels} labels.")
    return list(label_groups(counts).items())


def format_table(results: Mapping[str, float]) -> str:
    """Return the metrics of `evaluate` or `evaluate_sets` as a small text table, in percent.

    Parameters
    ----------
    results : mapping of str to float
        A key ends in the name of its column, which follows the last ``@``, or else the last space.

    Returns
    -------
    str
        One line per metric (or average) and group of labels, one column per `k` (or metric), no newline at the end.

    Examples
    --------
    >>> from xclassic.metrics import format_table
    >>> print(format_table({"P@1": 0.65, "P@3": 0.4, "tail P@1": 0.0125}))
                @1      @3
    P        65.00   40.00
    tail P    1.25
    """
    cells = {_cell(key): f"{100 * value:.2f}" for key, value in results.items()}
    names = list(dict.fromkeys(name for name, _ in cells))
    columns = list(dict.fromkeys(column for _, column in cells))
    name_width = max(map(len, names), default=0)
    widths = [max(len(column), 6) for column in columns]
    lines = [["", *columns], *([name, *(cells.get((name, column), "") for column in columns)] for name in names)]
    return "\n".join(
        "  ".join([line[0].ljust(name_width), *map(str.rjust, line[1:], widths)]).rstrip() for line in lines
    )


def _cell(key: str) -> tuple[str, str]:
    """Return the row and the column of a metric."""
    name, at, k = key.rpartition("@")
    if at:
        return name, at + k
    name, _, column = key.rpartition(" ")
    return name, column
