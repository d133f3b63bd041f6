"""Rankings by score times the weight of each label."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from xclassic.parallel import StopByte
from xclassic.topk import TopK

# By how much the log-odds of a label grow with its margin, if either answer is as probable as the exponential of minus
# its loss says, where the margin is between -1 and 1. Scores under any other loss are multiplied by weights.
LOG_ODDS = {"squared_hinge": 4.0, "hinge": 2.0, "logistic": 1.0}
FIRST, GROWTH = 4, 4  # The first list is so many times as long as the ranking asked for, each further one as the last.


class ScoreWeights(NamedTuple):
    """Weights of labels as they meet the scores of a method: the larger the weight, the larger the score.

    Attributes
    ----------
    values : ndarray of float32, shape (n_labels,)
        Above 0 for each label that may be predicted, unless they are added.
    added : bool
        Whether they are added to scores. Otherwise they are factors, and a score below 0 is divided by its factor.
    """

    values: NDArray[np.float32]
    added: bool

    @classmethod
    def of(cls, weights: NDArray[np.float32], log_odds: float | None) -> Self:
        """Return the weights for scores whose log-odds grow by `log_odds` per unit; None if scores are multiplied."""
        if log_odds is None:
            return cls(weights, added=False)
        with np.errstate(divide="ignore"):  # A label of weight 0 is not allowed.
            return cls((np.log(weights.astype(np.float64)) / log_odds).astype(np.float32), added=True)

    def weighed(self, scores: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return float32 scores with these weights."""
        with np.errstate(over="ignore", invalid="ignore"):  # Of unfilled slots. What overflows is refused later.
            return scores + values if self.added else np.where(scores < 0, scores / values, scores * values)

    def reranked(self, top: TopK, k: int) -> TopK:
        """Return the best `k` of ranked labels by their weighed scores."""
        scores = np.where(top.filled(), self.weighed(top.scores, self.values[top.ids]), np.float32(-np.inf))
        falling = np.where(np.isnan(scores), -np.inf, -scores)  # NaN is refused later.
        order = np.lexsort((top.ids, falling), axis=1)[:, :k]
        ids, scores = (np.take_along_axis(array, order, axis=1) for array in (top.ids, scores))
        return TopK(ids, scores, np.minimum(top.counts, np.int32(k)))

    def rank(
        self,
        ranked: Callable[[NDArray[np.int64], int], TopK],
        n_rows: int,
        k: int,
        labels: NDArray[np.int32] | None,
        stop: StopByte,
    ) -> TopK:
        """Return the best `k` labels of each row by weighed score, from rankings by score alone.

        They go deeper and deeper, for each row until no label beyond can be among its best: not even one of the last
        score and the largest weight. So the result is that of weighing all labels that the method ranks.

        Parameters
        ----------
        ranked : callable
            Returns the best labels of some rows in so many slots.
        n_rows, k : int
        labels : ndarray of int32, or None
            The only labels that are ranked.
        stop : ndarray of uint8, shape (1,)

        Returns
        -------
        TopK
        """
        n_labels = self.values.size
        largest = self.values.max() if labels is None else self.values[labels].max()
        best, rows, depth = TopK.empty(n_rows, k), np.arange(n_rows), min(FIRST * k, n_labels)
        while rows.size and not stop[0]:
            top = ranked(rows, depth)
            if stop[0]:
                break
            for array, found in zip(best, self.reranked(top, k), strict=True):
                array[rows] = found
            more = (top.counts == depth) & (depth < n_labels)
            beyond = self.weighed(top.scores[:, -1], largest)
            rows = rows[more & ~(best.scores[rows, -1] > beyond)]
            depth = min(GROWTH * depth, n_labels)
        return best
