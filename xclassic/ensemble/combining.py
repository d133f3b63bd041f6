"""How members of a blend are combined: which of them, and how what they say makes one score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from xclassic.ensemble.pairs import Pairs, Said
from xclassic.ensemble.targets import Target
from xclassic.parallel import blas_threads

LEARNED_PAIRS = 300_000  # At most; a few dozen coefficients are steady long before.
STRENGTH = 12.0  # Log-odds beyond this say no more.


class Combination(NamedTuple):
    """How a label's score comes about.

    Attributes
    ----------
    weights : ndarray of float64, shape (n_members,)
        Of the weighted mean; where terms are learned, the share of each member in the differences between scores. They
        sum to one, and members of 0 are not queried.
    base : ndarray of float64, shape (2,) or (0,)
        Log-odds of a label that no member names, and how they grow with the logarithm of one more than its training
        rows. Empty for a mean.
    terms : ndarray of float64, shape (n_members, 6) or (0, 6)
        What each member that names a label adds to them: see `evidence`.
    """

    weights: NDArray[np.float64]
    base: NDArray[np.float64]
    terms: NDArray[np.float64]


def mean_of(weights: NDArray[np.float64]) -> Combination:
    """Return a weighted mean."""
    return Combination(weights, np.empty(0), np.empty((0, 6)))


def evidence(log_odds: NDArray[np.float64], log_counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the terms of a member, shape (n_pairs, 6).

    They are 1 for being named, the log-odds and the probability that the member gives alone, and the products of these
    three with the logarithm of the label's frequency.
    """
    strength = np.clip(log_odds, -STRENGTH, STRENGTH)
    terms = np.stack([np.ones(strength.size), strength, expit(strength)], axis=1)
    return np.hstack([terms, terms * log_counts[:, None]])


def fit_map(said: Said, pairs: Pairs) -> NDArray[np.float64]:
    """Fit the probability that a member is right, as a logistic function of score, rank and frequency."""
    columns = [said.scores, said.log_ranks, pairs.log_counts[said.at]]
    hits = pairs.hits[said.at]
    if hits.all() or not hits.any():  # A slope needs both hits and misses.
        return np.array([0.0, 1.0, 0.0, 0.0])
    return logistic(np.stack(columns, axis=1), hits)


def log_odds_of(
    coefficients: NDArray[np.float64],
    scores: NDArray[np.float64],
    log_ranks: NDArray[np.float64],
    log_counts: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the log-odds that the coefficients of `fit_map` give."""
    constant, of_score, of_rank, of_count = coefficients
    return np.asarray(constant + of_score * scores + of_rank * log_ranks + of_count * log_counts)


def choose(
    pairs: Pairs, log_odds: Sequence[NDArray[np.float64]], values: Sequence[NDArray[np.float64]], target: Target
) -> Combination:
    """Return the combination that is best for the target on held-out rows, or one of fewer members that is as good.

    Parameters
    ----------
    pairs : Pairs
    log_odds : sequence of ndarray, shape (n_named,) each, or empty
        Of the pairs that each member names. Without them the combination is a mean.
    values : sequence of ndarray, shape (n_named,) each
        Normalized scores, of which means are taken.
    target : Target

    Returns
    -------
    Combination
    """
    n_members = len(values)
    if not pairs.hits.any():  # There is nothing to choose by.
        return mean_of(np.full(n_members, 1 / n_members))
    worth = target.values[pairs.labels] if target.values.size else np.ones(pairs.rows.size)

    def gained(scores: NDArray[np.float64]) -> NDArray[np.float64]:
        return target.of_rows(pairs, scores * worth)

    nested = _nested(n_members, lambda members: gained(_mean(pairs, values, members)).mean())
    found = [(members, False, gained(_mean(pairs, values, members))) for members in nested]
    if log_odds and n_members > 1:
        stack = _Stack(pairs, log_odds)
        nested = _nested(n_members, lambda members: gained(stack.scores(members)).mean())
        found += [(members, True, gained(stack.held_out_scores(members))) for members in nested[1:]]
    best = max(found, key=lambda option: option[2].mean())
    as_good = [option for option in found if hardly_below(option[2], best[2])]
    members, stacked, _ = min(as_good, key=lambda option: (len(option[0]), option[1]))
    return stack.combination(members) if stacked else mean_of(np.isin(np.arange(n_members), members) / len(members))


def hardly_below(gained: NDArray[np.float64], best: NDArray[np.float64]) -> bool:
    """Tell whether the difference is within its standard error (the rule of Breiman and others, CART, 1984)."""
    lost = best - gained
    return bool(lost.mean() <= lost.std() / np.sqrt(lost.size))


def _nested(n_members: int, value: Callable[[list[int]], float]) -> list[list[int]]:
    """Return sets of 1, 2, ... members, each with the member more that helps most."""
    sets: list[list[int]] = [[]]
    while len(sets[-1]) < n_members:
        further = [[*sets[-1], i] for i in range(n_members) if i not in sets[-1]]
        sets.append(max(further, key=value))
    return sets[1:]


def _mean(pairs: Pairs, values: Sequence[NDArray[np.float64]], members: Sequence[int]) -> NDArray[np.float64]:
    scores = np.zeros(pairs.rows.size)
    for i in members:
        scores[pairs.said[i].at] += values[i] / len(members)
    return scores


class _Stack:
    """A logistic model of all that the members say."""

    def __init__(self, pairs: Pairs, log_odds: Sequence[NDArray[np.float64]]) -> None:
        self.pairs = pairs
        self.columns = np.zeros((pairs.rows.size, 1 + 6 * len(log_odds)))
        self.columns[:, 0] = pairs.log_counts
        for i, (said, own) in enumerate(zip(pairs.said, log_odds, strict=True)):
            self.columns[said.at[:, None], self._of([i])[1:]] = evidence(own, pairs.log_counts[said.at])
        step = -(-pairs.rows.size // LEARNED_PAIRS)
        self.learned = pairs.rows % step == 0
        self.half = pairs.rows // step % 2 == 0

    def _of(self, members: Sequence[int]) -> list[int]:
        return [0] + [1 + 6 * i + j for i in members for j in range(6)]

    def _fit(self, members: Sequence[int], among: NDArray[np.bool_]) -> NDArray[np.float64]:
        return logistic(self.columns[among][:, self._of(members)], self.pairs.hits[among])

    def _scores(self, members: Sequence[int], coefficients: NDArray[np.float64]) -> NDArray[np.float64]:
        return expit(coefficients[0] + self.columns[:, self._of(members)] @ coefficients[1:])

    def scores(self, members: Sequence[int]) -> NDArray[np.float64]:
        """Return scores by coefficients that were fitted on the same rows."""
        return self._scores(members, self._fit(members, self.learned))

    def held_out_scores(self, members: Sequence[int]) -> NDArray[np.float64]:
        """Return the scores of each half of the rows by what was fitted on the other half."""
        by_first, by_second = (self._fit(members, self.learned & half) for half in (self.half, ~self.half))
        return np.where(self.half, self._scores(members, by_second), self._scores(members, by_first))

    def combination(self, members: Sequence[int]) -> Combination:
        """Return the combination of these members, of all of the rows."""
        coefficients = self._fit(members, self.learned)
        n_members = self.columns.shape[1] // 6
        terms = np.zeros((n_members, 6))
        terms[members] = coefficients[2:].reshape(-1, 6)
        shares = np.array([(self.columns[:, self._of([i])[1:]] @ own).std() for i, own in enumerate(terms)])
        return Combination(shares / shares.sum(), coefficients[:2], terms)


def logistic(columns: NDArray[np.float64], hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return constant and slopes of a logistic regression; columns are brought to one scale for it."""
    if hits.all() or not hits.any():
        return np.zeros(1 + columns.shape[1])
    center, scale = columns.mean(axis=0), np.maximum(columns.std(axis=0), 1e-9)
    with blas_threads(1):
        model = LogisticRegression(solver="newton-cholesky").fit((columns - center) / scale, hits)
    slopes = model.coef_[0] / scale
    return np.array([model.intercept_[0] - slopes @ center, *slopes])
