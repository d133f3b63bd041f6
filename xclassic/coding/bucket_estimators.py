"""What MACH makes of the margins of a label's buckets: the estimators of its papers, and the geometric mean."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

AGGREGATES = ("geometric", "mean", "unbiased", "min")
# How steeply the probability of a bucket grows with its margin. Logistic curves that were fitted to held-out training
# rows of three data sets had slopes of 2.4 to 4.8, and of 0.8 to 1 for the logistic loss.
SLOPES = {"squared_hinge": 3.0, "logistic": 1.0}


class BucketEstimator(NamedTuple):
    """How the scores of labels follow from the margins of their buckets.

    Attributes
    ----------
    aggregate, loss : str
    n_tables : int
    collision_probability : float
        Probability that two labels share their bucket in a table.
    """

    aggregate: str
    loss: str
    n_tables: int
    collision_probability: float

    def values(self, margins: NDArray[Any]) -> NDArray[Any]:
        """Return what buckets of these margins are worth: log p, or p."""
        curve = log_expit if self.aggregate == "geometric" else expit
        return curve(SLOPES[self.loss] * margins)  # type: ignore[no-any-return]

    def scale(self, values: NDArray[Any]) -> tuple[float, NDArray[np.float64]]:
        """Return factor and offsets, one for each row, that make scores of the totals of a label's values.

        `values` are those of all buckets, minus infinity for buckets without a model. With the smallest of its values
        in place of the total, factor and offset are 1 and 0.
        """
        R, q = self.n_tables, self.collision_probability if self.aggregate == "unbiased" else 0.0
        n_positive = np.where(values > 0, values, 0).sum(axis=1, dtype=np.float64) / R
        return 1.0 if self.aggregate == "min" else 1 / (R * (1 - q)), -q / (1 - q) * n_positive

    def parts(self, margins: NDArray[np.float64], places: NDArray[np.int64]) -> list[float]:
        """Return what each bucket of a label adds to its score, given the margins of all buckets of a row."""
        values = self.values(margins)
        factor, offsets = self.scale(values[None, :])
        own = values[places]
        if self.aggregate == "min":
            return np.where(np.arange(len(own)) == own.argmin(), own, 0.0).tolist()  # type: ignore[no-any-return]
        return (factor * own + offsets[0] / len(own)).tolist()  # type: ignore[no-any-return]
