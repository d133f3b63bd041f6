"""A threshold for each label, which labels of few positives share with those that are about as frequent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xclassic.ensemble.aims import Aim, Judged

N_STEPS = 256  # Thresholds that are tried: quantiles of the keys of hits, or all of them if they are fewer.
BLOCK = 4096  # Labels whose curves are held at a time.
ROUNDS = 20


def label_thresholds(
    aim: Aim, judged: Judged, keys: NDArray[np.float64], counts: NDArray[np.int64], shared: float
) -> NDArray[np.float64]:
    """Return the best threshold for each label.

    Parameters
    ----------
    aim : Aim
    judged : Judged
    keys : ndarray of float64, shape (n_pairs,)
        What is compared with the thresholds.
    counts : ndarray of int64, shape (n_labels,)
        Training rows of each label. Labels of the same power of two are a band.
    shared : float
        The positives, above 0, that the band of a label counts for beside its own.

    Returns
    -------
    ndarray of float64, shape (n_labels,)
        Infinity where choosing the label would never help.
    """
    curves = _Curves(judged, keys, counts, shared)
    if aim.name == "macro_f1":
        return curves.best_ratios()
    if aim.name == "precision":
        return _at_recall(aim, judged, keys, curves)
    best = np.full(counts.size, aim.threshold(judged, keys))
    value = aim.value(judged, keys >= best[judged.labels])
    tried, seen = best, {value}
    for _ in range(ROUNDS):
        tried = curves.best_sums(aim.gains(judged, keys >= tried[judged.labels]))
        reached = aim.value(judged, keys >= tried[judged.labels])
        if reached > value:
            best, value = tried, reached
        if reached in seen:
            break
        seen.add(reached)
    return best


def _at_recall(aim: Aim, judged: Judged, keys: NDArray[np.float64], curves: _Curves) -> NDArray[np.float64]:
    """Return the thresholds at the highest price of a pair at which the recall is reached."""
    low, high, best = 0.0, 1.0, np.full(judged.of_labels.size, -np.inf)
    for _ in range(ROUNDS):
        price = (low + high) / 2
        tried = curves.best_sums(judged.hits - price)
        found = judged.hits[keys >= tried[judged.labels]].sum()
        if found >= aim.recall * judged.of_rows.sum():
            low, best = price, tried
        else:
            high = price
    return best


def _between(keys: NDArray[np.float64], hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return thresholds below keys of hits, halfway to the next lower key, where rounding does no harm."""
    distinct = np.unique(keys)
    at = np.searchsorted(distinct, np.unique(keys[hits]))
    at = at[np.linspace(0, at.size - 1, min(N_STEPS, at.size)).round().astype(np.int64)]
    return np.where(at > 0, (distinct[at - 1] + distinct[at]) / 2, -np.inf)


class _Curves:
    """What the pairs above each threshold add up to, for each label and its band."""

    def __init__(self, judged: Judged, keys: NDArray[np.float64], counts: NDArray[np.int64], shared: float) -> None:
        self.judged, self.shared = judged, shared
        self.steps = _between(keys, judged.hits)
        self.step = np.searchsorted(self.steps, keys, side="right") - 1  # The highest threshold that keeps the pair.
        self.band = np.floor(np.log2(np.maximum(counts, 1))).astype(np.int64)
        self.n_bands = int(self.band.max(initial=0)) + 1
        order = np.argsort(judged.labels, kind="stable")
        self.order = order[self.step[order] >= 0]

    def best_sums(self, gains: NDArray[Any]) -> NDArray[np.float64]:
        """Return the thresholds above which gains add up to most."""
        return self._best([gains], lambda sums, _: sums[0])

    def best_ratios(self) -> NDArray[np.float64]:
        """Return the thresholds that are best for the F1 of each label."""
        hits = self.judged.hits.astype(np.float64)
        return self._best(
            [hits, np.ones(hits.size)], lambda sums, true: np.asarray(2 * sums[0] / np.maximum(sums[1] + true, 1))
        )

    def _best(
        self,
        weights: list[NDArray[Any]],
        value: Callable[[list[NDArray[Any]], NDArray[Any]], NDArray[Any]],
    ) -> NDArray[np.float64]:
        true = self.judged.of_labels
        of_bands = np.bincount(self.band, true, self.n_bands)
        bands = [np.zeros((self.n_bands, self.steps.size)) for _ in weights]
        for labels, sums in self._blocks(weights):
            for total, part in zip(bands, sums, strict=True):
                np.add.at(total, self.band[labels], part)
        for total in bands:
            total[of_bands == 0] = total.sum(axis=0)
        of_bands = np.where(of_bands == 0, max(of_bands.sum(), 1), of_bands)
        best = np.full(true.size, np.inf)
        for labels, sums in self._blocks(weights):
            share = (self.shared / of_bands)[self.band[labels]][:, None]
            mixed = [part + share * total[self.band[labels]] for part, total in zip(sums, bands, strict=True)]
            values = value(mixed, true[labels][:, None] + self.shared)
            at = values.shape[1] - 1 - np.argmax(values[:, ::-1], axis=1)  # Of equal values the highest threshold.
            helps = values[np.arange(at.size), at] > 0
            best[labels] = np.where(helps, self.steps[at], np.inf)
        return best

    def _blocks(self, weights: list[NDArray[Any]]) -> Iterator[tuple[slice, list[NDArray[Any]]]]:
        """Yield labels, and the sums of the weights of their pairs above each threshold."""
        labels = self.judged.labels[self.order]
        for start in range(0, self.judged.of_labels.size, BLOCK):
            n_labels = min(BLOCK, self.judged.of_labels.size - start)
            within = self.order[slice(*np.searchsorted(labels, [start, start + n_labels]))]
            cells = (self.judged.labels[within] - start) * self.steps.size + self.step[within]
            shape = (n_labels, self.steps.size)
            sums = [np.bincount(cells, of_pairs[within], n_labels * self.steps.size) for of_pairs in weights]
            above = [np.cumsum(part.reshape(shape)[:, ::-1], axis=1)[:, ::-1] for part in sums]
            yield slice(start, start + n_labels), above
