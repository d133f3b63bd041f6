"""Sets of labels chosen from rankings: the thresholds that are best for a metric of sets."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.utils import check_random_state

from xclassic.ensemble.aims import Aim, Judged, read_aim
from xclassic.ensemble.combining import LEARNED_PAIRS, logistic
from xclassic.ensemble.cross_fitting import Folds
from xclassic.ensemble.label_curves import label_thresholds
from xclassic.ensemble.pairs import are_hits
from xclassic.metrics._inputs import read_pairs, read_ranking
from xclassic.topk import TopK, check_topk
from xclassic.validation.parameters import check_choice

STRATEGIES = ("one", "probability", "row", "count", "label")
BY_ODDS = ("probability", "row", "label")
SHARED = (4.0, 64.0)  # Positives that the labels of about the same frequency count for beside a label's own.
PARTS = 5  # Of the rows, in which choices among strategies are judged.


class Thresholds(NamedTuple):
    """A rule that chooses a set of labels from the ranking of each row: those whose key is at least the threshold.

    Attributes
    ----------
    strategy : str
        What the key of a label is, as `choose_thresholds` describes it.
    values : ndarray of float64, shape (1,) or (n_labels,)
        The thresholds: one, or with the strategy ``"label"`` one for each label. Minus infinity chooses every label
        that is looked at, infinity none.
    coefficients : ndarray of float64, shape (5,) or (0,)
        Of the log-odds: a constant, and the slopes of score, rank, frequency and distance to the best score. Empty
        where the key does not depend on them.
    counts : ndarray of int64, shape (n_labels,) or (0,)
        Training rows of each label, for the log-odds.
    depth : int
        How many of the best labels of each row are looked at.
    """

    strategy: str
    values: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    counts: NDArray[np.int64]
    depth: int

    def sets(self, top: TopK) -> TopK:
        """Choose labels from each row.

        Parameters
        ----------
        top : TopK
            A ranking by the model that the thresholds were chosen for, with `depth` labels, or all if there are fewer.

        Returns
        -------
        TopK
            With at most `depth` slots. The predictions of a row are the labels chosen, of which there may be none.

        Raises
        ------
        TypeError, ValueError
            If the ranking is not well-formed, or names labels that are unknown to the thresholds.
        """
        top = check_topk(top, self.values.size if self.values.size > 1 else self.counts.size or None).head(self.depth)
        top.to_csr(int(top.ids.max(initial=0)) + 1)  # It refuses rows that name a label twice.
        named = _named(top)
        log_counts = np.log1p(self.counts)[named.labels] if self.counts.size else np.zeros(named.rows.size)
        keys = named.keys(self.strategy, self.coefficients, log_counts)
        return named.only(keys >= self.values[named.labels if self.values.size > 1 else 0], top)


class _Named(NamedTuple):
    """The labels that a ranking names, row by row and best first."""

    rows: NDArray[np.int64]
    slots: NDArray[np.int64]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    best: NDArray[np.float64]  # The first score of the row of each label.

    def part(self, chosen: NDArray[Any]) -> _Named:
        return _Named(*(array[chosen] for array in self))

    def terms(self, log_counts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what log-odds are made of, shape (n_named, 4)."""
        return np.stack([self.scores, np.log1p(self.slots), log_counts, self.scores - self.best], axis=1)

    def keys(
        self, strategy: str, coefficients: NDArray[np.float64], log_counts: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return what is compared with thresholds."""
        if strategy == "one":
            return self.scores
        if strategy == "count":
            return np.asarray(-1.0 - self.slots)
        log_odds: NDArray[Any] = np.full(self.rows.size, coefficients[0])
        for slope, term in zip(coefficients[1:], self.terms(log_counts).T, strict=True):
            log_odds += slope * term  # A product of matrices would round by the number of rows.
        return _shares(log_odds, self.rows, self.slots) if strategy == "row" else log_odds

    def only(self, chosen: NDArray[np.bool_], top: TopK) -> TopK:
        """Return the ranking without labels that are not chosen."""
        rows, slots = self.rows[chosen], self.slots[chosen]
        sets = TopK.empty(top.n_rows, top.k)
        sets.counts[:] = np.bincount(rows, minlength=top.n_rows)
        at = np.arange(rows.size) - np.searchsorted(rows, rows)
        sets.ids[rows, at], sets.scores[rows, at] = top.ids[rows, slots], top.scores[rows, slots]
        return sets


def _named(top: TopK) -> _Named:
    rows, slots = np.nonzero(top.filled())
    scores = top.scores.astype(np.float64)
    return _Named(rows, slots, top.ids[rows, slots].astype(np.int64), scores[rows, slots], scores[rows, 0])


def _shares(log_odds: NDArray[np.float64], rows: NDArray[np.int64], slots: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return probabilities divided by the largest F1 that their row can expect.

    The set of a row whose expected F1 is highest has the labels whose share is at least about a half (Ye and others,
    "Optimizing F-measure: a tale of two approaches", ICML 2012; here F1 is taken as the ratio of the expectations).
    """
    probabilities = expit(log_odds)
    of_rows = np.zeros((rows.max(initial=-1) + 1, slots.max(initial=0) + 1))
    of_rows[rows, slots] = probabilities
    sums = np.cumsum(-np.sort(-of_rows, axis=1), axis=1)
    expected = 2 * sums / (1 + np.arange(sums.shape[1]) + sums[:, -1:])  # Of the sets of 1, 2, ... labels.
    return np.asarray(probabilities / np.maximum(expected.max(axis=1), 1e-12)[rows])


def choose_thresholds(
    Y: Any,
    top: TopK,
    *,
    aim: str | tuple[str, float] = "micro_f1",
    strategy: str = "auto",
    random_state: int | np.random.RandomState | None = 0,
) -> Thresholds:
    r"""Choose the thresholds that are best for a metric of label sets.

    Parameters
    ----------
    Y : sparse or dense 0-1 matrix, shape (n_rows, n_labels)
        True labels.
    top : TopK
        A ranking of each row by a model that was fitted without it, with the labels that may be chosen.
    aim : {"micro_f1", "macro_f1", "example_f1"} or ("precision", float), default="micro_f1"
        What is maximized: F1 of all pairs of rows and labels, the mean F1 of labels, or the mean F1 of rows; labels or
        rows that have no true and no chosen pair are left out of means. With ``("precision", r)`` it is the precision
        of all pairs, among the thresholds that choose at least the share r, in (0, 1], of the true pairs, or as many
        as there are in the ranking.
    strategy : {"auto", "one", "probability", "row", "count", "label"}, default="auto"
        What is compared with a threshold.

        ``"one"``
            The score of a label, with one threshold.
        ``"probability"``
            The log-odds that a logistic model gives to a label by its score, the distance to the best score of the
            row, rank, and the number of its true rows, with one threshold.
        ``"row"``
            The probability of that model divided by the largest F1 that its row can expect, with one threshold: the
            number of labels that is best for the row, if the threshold is a half.
        ``"count"``
            The rank: the same number of labels in all rows.
        ``"label"``
            The log-odds, with a threshold for each label. The labels of about the same frequency, from a power of two
            to the next, are counted beside a label's own pairs as if they were 4 or 64 further positives, so that a
            label of few takes the threshold of its like.
        ``"auto"``
            The one of these that is best on rows that its thresholds were not chosen on: fifths of the rows in turn.
    random_state : int, RandomState instance or None, default=0
        Seed of the fifths.

    Returns
    -------
    Thresholds
        Its ``sets(top)`` chooses labels.

    Raises
    ------
    ValueError
        If no ranking names a true label, numbers of rows differ, or a parameter is none of those accepted.
    TypeError
        If `Y` is no matrix, or `top` no ranking.

    See Also
    --------
    ThresholdedClassifier : Chooses thresholds on its own cross-fitted rankings.

    Notes
    -----
    One threshold is searched exactly, by one pass over all pairs in the order of their keys. So are those of each
    label, up to 256 values of the key, for ``"micro_f1"`` and ``"macro_f1"``; for ``"example_f1"`` they are improved
    from one threshold in rounds, in each of which pairs count what they add to F1 near the choice before.

    Cost: a sort of the pairs named, for each strategy and part.

    Examples
    --------
    >>> from xclassic import TopK, choose_thresholds
    >>> top = TopK.from_dense([[0.9, 0.4, 0.1], [0.3, 0.8, 0.2], [0.1, 0.45, 0.7]], k=3)
    >>> thresholds = choose_thresholds([[1, 1, 0], [0, 1, 0], [0, 1, 1]], top, strategy="one")
    >>> thresholds.values.round(2)
    array([0.35])
    >>> thresholds.sets(top).counts
    array([2, 1, 2], dtype=int32)
    """
    target = read_aim(aim)
    check_choice("strategy", strategy, ("auto", *STRATEGIES))
    truth = read_pairs(Y, "Y")
    top = read_ranking(top, truth, None)
    Y = csr_array((np.ones(truth.keys.size, np.float32), (truth.rows, truth.labels)), shape=truth[1:])
    every_row = np.arange(truth.n_rows)
    counts = np.bincount(truth.labels, minlength=truth.n_labels)
    found = find_thresholds(Folds(Y, [(every_row, every_row)]), counts, top, target, strategy, random_state)
    if found is None:
        raise ValueError("No row of the ranking names a true label; thresholds have nothing to be chosen by.")
    return found


def find_thresholds(
    folds: Folds, counts: NDArray[np.int64], top: TopK, aim: Aim, strategy: str, random_state: Any
) -> Thresholds | None:
    """Return the best thresholds for a model, or None if no held-out row has a true label among those predicted.

    Parameters
    ----------
    folds : Folds
        The held-out rows.
    counts : ndarray of int64, shape (n_labels,)
        Training rows of each label in the final model.
    top : TopK
        Predictions for the held-out rows.
    aim : Aim
    strategy : str
        One of `STRATEGIES`, or ``"auto"``.
    random_state : int, RandomState instance or None
    """
    search = _Search(folds, counts, top, aim)
    if not search.judged.hits.any():
        return None
    options = search.options(strategy)
    return search.fit(*(options[0] if len(options) == 1 else search.best(options, random_state)))


class _Search:
    """Held-out pairs, on which thresholds are chosen and compared."""

    def __init__(self, folds: Folds, counts: NDArray[np.int64], top: TopK, aim: Aim) -> None:
        self.aim, self.counts, self.depth = aim, counts, top.k
        self.named, self.n_rows = _named(top), top.n_rows
        self.log_counts = np.log1p(folds.counts(self.named.rows, self.named.labels))
        self.truth = folds.truth
        self.judged = self._judged(np.ones(self.n_rows, np.bool_))

    def options(self, strategy: str) -> list[tuple[str, float]]:
        """Return what may be chosen: strategies, and what labels share."""
        names = STRATEGIES if strategy == "auto" else (strategy,)
        return [(name, shared) for name in names for shared in (SHARED if name == "label" else (0.0,))]

    def best(self, options: list[tuple[str, float]], random_state: Any) -> tuple[str, float]:
        """Return the option that chooses best on rows that its thresholds were not chosen on; of equals the first."""
        part = check_random_state(random_state).permutation(self.n_rows) % PARTS
        chosen = np.zeros((len(options), self.named.rows.size), np.bool_)
        for i in range(PARTS):
            others, held_out = part != i, part[self.named.rows] == i
            if not self._judged(others).hits.any():
                continue
            for j, option in enumerate(options):
                rule = self.fit(*option, rows=others)
                keys = self.named.part(held_out).keys(rule.strategy, rule.coefficients, self.log_counts[held_out])
                at = self.named.labels[held_out] if rule.values.size > 1 else 0
                chosen[j, held_out] = keys >= rule.values[at]
        values = [self.aim.value(self.judged, own) for own in chosen]
        return options[int(np.argmax(values))]

    def fit(self, strategy: str, shared: float, rows: NDArray[np.bool_] | None = None) -> Thresholds:
        """Return the thresholds that are best on some rows, by default on all."""
        rows = np.ones(self.n_rows, np.bool_) if rows is None else rows
        within, judged = rows[self.named.rows], self._judged(rows)
        named, log_counts = self.named.part(within), self.log_counts[within]
        coefficients, counts = np.empty(0), np.empty(0, np.int64)
        if strategy in BY_ODDS:
            step = -(-named.rows.size // LEARNED_PAIRS)
            learned = np.flatnonzero(named.rows % step == 0)
            coefficients = logistic(named.part(learned).terms(log_counts[learned]), judged.hits[learned])
            counts = self.counts
        keys = named.keys(strategy, coefficients, log_counts)
        if strategy == "label":
            values = label_thresholds(self.aim, judged, keys, self.counts, shared)
        else:
            values = np.array([self.aim.threshold(judged, keys)])
        return Thresholds(strategy, values, coefficients, counts, self.depth)

    def _judged(self, rows: NDArray[np.bool_]) -> Judged:
        named = self.named.part(rows[self.named.rows])
        truth = csr_array(self.truth[np.flatnonzero(rows)])
        of_rows = np.zeros(self.n_rows, np.int64)
        of_rows[rows] = np.diff(truth.indptr)
        of_labels = np.bincount(truth.indices, minlength=truth.shape[1])
        return Judged(named.rows, named.labels, are_hits(self.truth, named.rows, named.labels), of_rows, of_labels)
