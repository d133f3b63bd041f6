"""A guard for measurements of predictions that were made with some labels known."""

from __future__ import annotations

from typing import Any

import numpy as np

from xclassic.metrics._inputs import Pairs, read_pairs, read_ranking
from xclassic.topk import TopK


def check_held_out(Y_true: Any, revealed: Any, top: TopK | None = None) -> None:
    """Raise unless the labels that a prediction is measured on are others than those it was told.

    Parameters
    ----------
    Y_true : sparse or dense 0-1 matrix, shape (n_rows, n_labels)
        The labels to predict.
    revealed : sparse or dense 0-1 matrix, shape (n_rows, n_labels)
        The labels that were known.
    top : TopK, optional
        Predictions; none of them may be known. See `TopK.without`.

    Raises
    ------
    ValueError
        If a label of a row is in two of them, or their shapes differ.

    See Also
    --------
    datasets.reveal_labels : Makes two such matrices.

    Examples
    --------
    >>> from xclassic import datasets, metrics
    >>> revealed, rest = datasets.reveal_labels(datasets.load_bibtex().Y_test, 0.5, random_state=0)
    >>> metrics.check_held_out(rest, revealed)
    """
    truth, known = read_pairs(Y_true, "Y_true"), read_pairs(revealed, "revealed")
    if truth[1:] != known[1:]:
        raise ValueError(f"Y_true has shape {tuple(truth[1:])} but revealed has {tuple(known[1:])}.")
    told = truth.keys[known.contain(truth.keys)]
    if told.size:
        raise ValueError(
            f"Y_true has {told.size} labels that were revealed, the first in {_place(told[0], truth)}: a prediction is "
            "measured on what it was not told. Leave them out, for instance by datasets.reveal_labels."
        )
    if top is None:
        return
    ranking = read_ranking(top, truth, None)
    predicted = (np.arange(truth.n_rows)[:, None] * truth.n_labels + ranking.ids)[ranking.filled()]
    told = predicted[known.contain(predicted)]
    if told.size:
        raise ValueError(
            f"The ranking has {told.size} labels that were revealed, the first in {_place(told[0], truth)}. Drop them, "
            "for instance by TopK.without, so that the slots are for what is to be predicted."
        )


def _place(key: int, truth: Pairs) -> str:
    return f"row {key // truth.n_labels}, label {key % truth.n_labels}"
