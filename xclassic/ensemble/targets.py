"""What a choice among models aims at: a metric of rankings, as what each hit adds to it."""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.ensemble.pairs import Pairs
from xclassic.metrics.propensity import inverse_propensities
from xclassic.validation.parameters import check_k

MEANS = {"mean": "P", "tail": "PSP"}  # Of the metric at 1, 3 and 5.
METRICS = ("P", "nDCG", "R", "PSP", "PSnDCG")
ACCEPTED = f'"mean", "tail", or one of {", ".join(METRICS)} with a depth, as in "P@5"'


class Target(NamedTuple):
    """A metric as a sum over hits.

    Attributes
    ----------
    gains : ndarray of float64, shape (depth,)
        What a hit in each slot adds.
    values : ndarray of float64, shape (n_labels,) or (0,)
        What a hit of each label is worth: the inverse propensity for metrics of rare labels. Empty: 1.
    divided : str
        "": gains stand as they are. "labels": by the number of true labels of the row. "ideal": by what the best
        ranking of the row gains.
    """

    gains: NDArray[np.float64]
    values: NDArray[np.float64]
    divided: str

    def of_rows(self, pairs: Pairs, scores: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return what the ranking of each row by `scores`, one for each pair, gains."""
        at, rows, slots = pairs.best(scores, self.gains.size)
        gained = self.gains[slots] * pairs.hits[at]
        if self.values.size:
            gained = gained * self.values[pairs.labels[at]]
        return np.bincount(rows, gained, pairs.n_rows) * self._factors(pairs.n_true)

    def _factors(self, n_true: NDArray[np.int64]) -> NDArray[np.float64]:
        if self.divided == "labels":
            return 1 / np.maximum(n_true, 1)
        if self.divided == "ideal":
            return 1 / np.cumsum(self.gains)[np.clip(n_true, 1, self.gains.size) - 1]
        return np.ones(n_true.size)


def check_target_name(name: str) -> None:
    """Raise unless `read_target` reads the name."""
    match = re.fullmatch(rf"({'|'.join(METRICS)})@(\d+)", name) if isinstance(name, str) else None
    if match is None and not (isinstance(name, str) and name in MEANS):
        raise ValueError(f"target is {name!r}; it must be {ACCEPTED}.")
    if match is not None:
        check_k(int(match[2]))


def read_target(name: str, Y: csr_array) -> Target:
    """Return a target by its name.

    Parameters
    ----------
    name : str
        One of `ACCEPTED`.
    Y : csr_array, shape (n_rows, n_labels)
        All training labels, for their propensities.

    Returns
    -------
    Target
    """
    check_target_name(name)
    metric, depths = (MEANS[name], (1, 3, 5)) if name in MEANS else _split(name)
    slots = np.arange(max(depths))
    if metric in ("nDCG", "PSnDCG"):
        gains = 1 / np.log2(slots + 2)
    elif metric == "R":
        gains = np.ones(slots.size)
    else:
        gains = np.mean([np.where(slots < k, 1 / k, 0) for k in depths], axis=0)
    values = inverse_propensities("default", Y) if metric.startswith("PS") else np.empty(0)
    return Target(gains, values, {"R": "labels", "nDCG": "ideal"}.get(metric, ""))


def _split(name: str) -> tuple[str, tuple[int]]:
    metric, depth = name.split("@")
    return metric, (int(depth),)
