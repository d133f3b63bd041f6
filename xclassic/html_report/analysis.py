"""What a report shows in addition to the metrics: precision and recall by frequency, calibration, confusions, a sample.

All of it is linear in rows times predictions and in true labels; no array is as large as rows times labels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xclassic.metrics._inputs import Pairs, read_pairs, read_ranking
from xclassic.topk import TopK

STEPS = (1, 2, 5)  # Bins of label frequency begin at these multiples of each power of ten.


class Case(NamedTuple):
    """A ranking and the truth.

    Attributes
    ----------
    truth : Pairs
    top : TopK
        The ranking, cut at the depth of the report.
    hits : ndarray of bool, shape (n_rows, k)
        Where a prediction is a true label.
    sizes : ndarray of int64, shape (n_rows,)
        Number of true labels of each row.
    """

    truth: Pairs
    top: TopK
    hits: NDArray[np.bool_]
    sizes: NDArray[np.int64]

    def missed(self) -> NDArray[np.bool_]:
        """Return the mask of true pairs that are not among the predictions of their row."""
        rows, slots = np.nonzero(self.hits)
        found = rows * self.truth.n_labels + self.top.ids[rows, slots]
        return ~np.isin(self.truth.keys, found, assume_unique=True)


def baseline_precisions(case: Case, train_counts: NDArray[Any], k: int) -> tuple[float, float]:
    """Return the P@k that chance gives on average, and that of the most frequent labels for every row."""
    true = np.bincount(case.truth.keys % case.truth.n_labels, minlength=case.truth.n_labels) / max(1, case.truth.n_rows)
    known = np.flatnonzero(train_counts)
    popular = known[np.argsort(-train_counts[known], kind="stable")][:k]
    chance = true[known].sum() * min(k, known.size) / max(1, known.size)
    return float(chance / k), float(true[popular].sum() / k)


def read_case(Y_true: Any, top: Any, depth: int) -> Case:
    """Compare the first predictions with the truth."""
    truth = read_pairs(Y_true, "Y_true")
    ranking = read_ranking(top, truth, depth)
    keys = np.arange(truth.n_rows, dtype=np.int64)[:, None] * truth.n_labels + ranking.ids
    hits = truth.contain(keys) & ranking.filled()
    return Case(truth, ranking, hits, np.bincount(truth.rows, minlength=truth.n_rows))


class FrequencyBins(NamedTuple):
    """Labels by their number of training rows; every field has an entry for each bin that holds a label.

    Attributes
    ----------
    fewest, most : ndarray of int64
        Training rows of the labels in the bin, both ends included.
    labels : ndarray of int64
        Number of labels.
    true, predicted, right : ndarray of int64
        Pairs of a row and one of these labels that are true, that are predictions, and that are both.
    """

    fewest: NDArray[np.int64]
    most: NDArray[np.int64]
    labels: NDArray[np.int64]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]
    right: NDArray[np.int64]

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of the predictions that are right; NaN without a prediction."""
        return _ratio(self.right, self.predicted)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of the true labels that are predicted; NaN without a true label."""
        return _ratio(self.right, self.true)


def by_frequency(case: Case, train_counts: NDArray[np.float64]) -> FrequencyBins:
    """Return how labels fare by their number of training rows, in bins 0, 1, 2 to 4, 5 to 9, 10 to 19 and so on."""
    highest = int(train_counts.max())
    powers = 10 ** np.arange(len(str(highest)) + 1, dtype=np.int64)
    ends = np.outer(powers, STEPS).ravel()
    ends = ends[: np.searchsorted(ends, highest, side="right") + 1]
    bin_of = np.searchsorted(ends, train_counts, side="right")

    def count(bins: NDArray[Any]) -> NDArray[np.int64]:
        return np.bincount(bins, minlength=ends.size)

    labels = count(bin_of)
    columns = (
        np.concatenate(([0], ends[:-1])),
        ends - 1,
        labels,
        count(bin_of[case.truth.labels]),
        count(bin_of[case.top.ids[case.top.filled()]]),
        count(bin_of[case.top.ids[case.hits]]),
    )
    return FrequencyBins(*(column[labels > 0] for column in columns))


class ScoreBins(NamedTuple):
    """Predictions in bins of about equal size by ascending score; predictions of one score share a bin.

    Attributes
    ----------
    lowest, highest, mean : ndarray of float64
        Scores in the bin.
    share : ndarray of float64
        Share of right predictions.
    size : ndarray of int64
        Number of predictions, at least 1.
    """

    lowest: NDArray[np.float64]
    highest: NDArray[np.float64]
    mean: NDArray[np.float64]
    share: NDArray[np.float64]
    size: NDArray[np.int64]

    @property
    def calibration_error(self) -> float:
        """Mean distance of the share of right predictions from the mean score, weighted by the size of the bins."""
        return float(np.average(np.abs(self.mean - self.share), weights=self.size))


def by_score(case: Case, n_bins: int = 10) -> ScoreBins:
    """Return how often predictions are right by their score; only finite scores count."""
    used = case.top.filled() & np.isfinite(case.top.scores)
    scores, right = case.top.scores[used].astype(np.float64), case.hits[used]
    ordered = np.sort(scores)
    if ordered.size == 0:
        return ScoreBins(ordered, ordered, ordered, ordered, np.zeros(0, np.int64))
    cuts = np.unique(ordered[np.arange(1, n_bins) * ordered.size // n_bins])
    bin_of = np.searchsorted(cuts, scores, side="right")
    size = np.bincount(bin_of, minlength=cuts.size + 1)
    mean, share = (_ratio(np.bincount(bin_of, values, minlength=size.size), size) for values in (scores, right))
    full = size > 0
    ends = np.cumsum(size)
    lowest, highest = ordered[(ends - size)[full]], ordered[(ends - 1)[full]]
    return ScoreBins(lowest, highest, mean[full], share[full], size[full])


class Confusions(NamedTuple):
    """Pairs of labels, the most frequent first.

    Attributes
    ----------
    missed, predicted : ndarray of int64
        Label ids.
    rows : ndarray of int64
        Rows with `missed` among the true labels that were not predicted, and `predicted` as the wrong first prediction.
    """

    missed: NDArray[np.int64]
    predicted: NDArray[np.int64]
    rows: NDArray[np.int64]


def confusions(case: Case, limit: int) -> Confusions:
    """Return which labels are ranked first where another is true and not predicted at all; ties go by label id."""
    n_labels, rows = case.truth.n_labels, case.truth.rows
    first_wrong = (case.top.counts > 0) & ~case.hits[:, 0]
    chosen = first_wrong[rows] & case.missed()
    keys = case.truth.labels[chosen] * n_labels + case.top.ids[rows[chosen], 0]
    pairs, counts = np.unique(keys, return_counts=True)
    best = np.lexsort((pairs, -counts))[:limit]
    return Confusions(*np.divmod(pairs[best], n_labels), counts[best])


def sample_rows(case: Case, count: int, seed: int) -> NDArray[np.intp]:
    """Return some rows that have labels, half of them with a right first prediction if there are enough of both."""
    random = np.random.default_rng(seed)
    right = np.flatnonzero(case.hits[:, 0])
    wrong = np.flatnonzero(~case.hits[:, 0] & (case.sizes > 0))
    n_wrong = min(wrong.size, max(count // 2, count - right.size))
    n_right = min(right.size, count - n_wrong)
    return np.sort(
        np.concatenate([random.choice(right, n_right, replace=False), random.choice(wrong, n_wrong, replace=False)])
    )


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    """Return the quotients, NaN for 0 / 0."""
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)
