"""Rankings and accuracies by groups of labels: the nodes of a level, or frequent and rare labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from xclassic.metrics.ranking import hit_at_k
from xclassic.metrics.sets import f1, precision, recall
from xclassic.topk import TopK, check_topk

HOW = {"sum": np.add, "max": np.maximum}


def one_group_each(group_of: NDArray[np.int32], n_groups: int) -> csr_array:
    """Return the groups of each label, as a matrix of ones, where each label is in one group."""
    ones = np.ones(group_of.size, np.float32)
    return csr_array((ones, group_of, np.arange(group_of.size + 1)), shape=(group_of.size, n_groups))


def group_topk(top: TopK, groups: csr_array, how: str) -> TopK:
    """Rank groups of labels.

    Parameters
    ----------
    top : TopK
        Ranked labels.
    groups : csr_array, shape (n_labels, n_groups)
        Ones where a label is in a group. It may be in several, and counts once in each.
    how : str
        A key of `HOW`.

    Returns
    -------
    TopK
        Ranked groups, in as many slots.
    """
    n_labels, n_groups = groups.shape
    scores = check_topk(top).to_csr(n_labels)
    sizes = np.diff(groups.indptr)[scores.indices]
    ends = np.cumsum(sizes)
    places = np.arange(sizes.sum()) + np.repeat(groups.indptr[scores.indices] + sizes - ends, sizes)
    rows = np.repeat(np.arange(top.n_rows, dtype=np.int64), np.diff(scores.indptr))
    keys = np.repeat(rows, sizes) * n_groups + groups.indices[places]
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    merged = HOW[how].reduceat(np.repeat(scores.data, sizes)[order].astype(np.float64), starts)
    at = np.divmod(keys[starts], n_groups)
    return TopK.from_csr(csr_array((merged, at), shape=(top.n_rows, n_groups)), top.k)


def first_predictions(truth: csr_array, best: Any, labels: ArrayLike | None = None) -> dict[str, float]:
    """Return accuracy and macro averages of one prediction per row, of some labels or of all."""
    return {
        "accuracy": hit_at_k(truth, best, 1, labels=labels),
        "macro precision": precision(truth, best, average="macro", labels=labels),
        "macro recall": recall(truth, best, average="macro", labels=labels),
        "macro F1": f1(truth, best, average="macro", labels=labels),
    }


def accuracy_of_groups(truth: csr_array, best: Any, groups: Mapping[str, NDArray[np.intp]]) -> dict[str, float]:
    """Return the accuracy over the rows whose truth is in a group, for each group that occurs in the truth."""
    true = np.unique(truth.indices)
    return {
        f"{name} accuracy": hit_at_k(truth, best, 1, labels=labels)
        for name, labels in groups.items()
        if np.isin(labels, true).any()
    }
