"""What a choice of label sets aims at: a metric of sets, its value, and the one threshold that is best for it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xclassic.validation.parameters import check_choice, check_number

AIMS = ("micro_f1", "macro_f1", "example_f1")


class Judged(NamedTuple):
    """Pairs of rows and labels that a ranking names, and whether they are true.

    Attributes
    ----------
    rows, labels : ndarray of int64, shape (n_pairs,)
    hits : ndarray of bool, shape (n_pairs,)
    of_rows : ndarray of int64, shape (n_rows,)
        True labels of each row, named or not.
    of_labels : ndarray of int64, shape (n_labels,)
        Rows of each label.
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]
    hits: NDArray[np.bool_]
    of_rows: NDArray[np.int64]
    of_labels: NDArray[np.int64]


class Aim(NamedTuple):
    """A metric of label sets.

    Attributes
    ----------
    name : str
        One of `AIMS`, or ``"precision"``.
    recall : float
        The share of the true pairs that have to be chosen, for ``"precision"``.
    """

    name: str
    recall: float = 0.0

    def units(self, judged: Judged) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return what the metric is a mean over, for each pair, and how many true pairs each of them has."""
        if self.name == "macro_f1":
            return judged.labels, judged.of_labels
        if self.name == "example_f1":
            return judged.rows, judged.of_rows
        return np.zeros(judged.rows.size, np.int64), judged.of_rows.sum(keepdims=True)

    def value(self, judged: Judged, chosen: NDArray[np.bool_]) -> float:
        """Return the metric of a choice of pairs; a precision falls in proportion where recall is below the wanted."""
        true, sizes, both = self._counts(judged, chosen)
        if self.name == "precision":
            precision, recall = both[0] / max(sizes[0], 1), both[0] / max(true[0], 1)
            return float(precision * min(1, recall / self.recall))
        counted = true + sizes > 0
        return float((2 * both[counted] / (true + sizes)[counted]).sum() / max(counted.sum(), 1))

    def gains(self, judged: Judged, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return by how much each pair would raise a mean of F1 near a choice (Dinkelbach, 1967, for one ratio)."""
        unit, _ = self.units(judged)
        true, sizes, both = self._counts(judged, chosen)
        total = np.maximum(true + sizes, 1)
        return np.asarray((2 * judged.hits - (2 * both / total)[unit]) / total[unit])

    def _counts(self, judged: Judged, chosen: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        unit, true = self.units(judged)
        unit, hits = unit[chosen], judged.hits[chosen]
        return true, np.bincount(unit, minlength=true.size), np.bincount(unit, hits, true.size)

    def threshold(self, judged: Judged, keys: NDArray[np.float64]) -> float:
        """Return the best threshold for all pairs, or the lowest one if none reaches the wanted recall."""
        order = np.argsort(-keys, kind="stable")
        keys = keys[order]
        ends = np.flatnonzero(np.append(keys[1:] < keys[:-1], True))  # Where a threshold can cut.
        values = self._values_of_heads(judged, order)[ends]
        end = ends[np.argmax(values)]
        return float((keys[end] + keys[end + 1]) / 2) if end + 1 < keys.size else -np.inf

    def _values_of_heads(self, judged: Judged, order: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the metric of the choices of the first 1, 2, ... pairs of an order."""
        unit, true = self.units(judged)
        unit, hits = unit[order], judged.hits[order]
        if self.name == "precision":
            both = np.cumsum(hits)
            reached = both / max(true[0], 1) >= self.recall
            lowest = both / max(true[0], 1) - 1  # Below every precision, and best for the highest recall.
            return np.asarray(np.where(reached, both / np.arange(1, hits.size + 1), lowest))
        by_unit = np.argsort(unit, kind="stable")
        starts = np.searchsorted(unit[by_unit], unit[by_unit])
        sizes, both = np.empty(unit.size, np.int64), np.empty(unit.size, np.int64)
        sizes[by_unit] = 1 + np.arange(unit.size) - starts
        total = np.concatenate(([0], np.cumsum(hits[by_unit])))
        both[by_unit] = total[1:] - total[starts]
        after = 2 * both / (true[unit] + sizes)
        before = 2 * (both - hits) / np.maximum(true[unit] + sizes - 1, 1)
        counted = np.count_nonzero(true) + np.cumsum((true[unit] == 0) & (sizes == 1))
        return np.asarray(np.cumsum(after - before) / np.maximum(counted, 1))


def read_aim(aim: Any) -> Aim:
    """Return an aim as it is given by users, or raise."""
    if isinstance(aim, (tuple, list)):
        if len(aim) != 2 or aim[0] != "precision":
            raise ValueError(f'aim is {aim!r}; as a pair it is ("precision", recall), such as ("precision", 0.8).')
        check_number("the recall of aim", aim[1], minimum=0, maximum=1, inclusive=False)
        return Aim("precision", float(aim[1]))
    try:
        check_choice("aim", aim, AIMS)
    except ValueError as error:
        raise ValueError(f'{str(error)[:-1]}, or ("precision", recall).') from None
    return Aim(aim)
