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


def group_topk(top: TopK, groups: NDArray[np.int32], n_groups: int, how: str) -> TopK:
    """Rank groups of labels. `groups` holds the group of each label, and `how` is a key of `HOW`."""
    scores = check_topk(top).to_csr(groups.size)
    rows = np.repeat(np.arange(top.n_rows, dtype=np.int64), np.diff(scores.indptr))
    keys = rows * n_groups + groups[scores.indices]
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    merged = HOW[how].reduceat(scores.data[order].astype(np.float64), starts)
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
