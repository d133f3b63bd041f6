"""The search of an automatic choice: which models are tried on how many rows, and what they cost and gave."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.base import clone
from tqdm.auto import tqdm

from xclassic.ensemble.combining import fit_map, log_odds_of
from xclassic.ensemble.cross_fitting import Folds
from xclassic.ensemble.members import RawRows, raw_rows, with_choices
from xclassic.ensemble.pairs import Pairs
from xclassic.ensemble.search_space import search_space
from xclassic.ensemble.targets import Target
from xclassic.topk import TopK

SCREENED, JUDGED = 5_000, 2_000  # Rows that all models are first fitted on and judged by, at most.
LEARNED_DEPTH = 20
SCREENING_SHARE = 0.35  # Of the time: the rest is for cross-fitting what looks good, and for the final fits.
GROWTH = 1.15  # Power of the rows by which times grow, since more rows bring more labels too.
SAME_CLASS = 2  # Finalists at most of one class: others of it err on the same rows.
DRAWS = 20  # Of other parameters until some were not tried yet.
FAR_BEHIND = 0.7  # Models below this share of the best are no help to it.


class Trial(NamedTuple):
    """A model that was tried.

    Attributes
    ----------
    name : str
    estimator : XMCClassifier
        Unfitted.
    stage : {"screened", "cross-fitted", "skipped", "failed"}
    value : float
        What the target is on held-out rows; NaN if there is none.
    rows : int
        Training rows of each fit.
    seconds : float
    note : str
        Why there is no value.
    """

    name: str
    estimator: Any
    stage: str
    value: float = math.nan
    rows: int = 0
    seconds: float = 0.0
    note: str = ""


class Clock:
    """Time that is left; without a limit, any."""

    def __init__(self, limit: float | None) -> None:
        self.limit, self.began = limit, time.perf_counter()

    def spent(self) -> float:
        return time.perf_counter() - self.began

    def has(self, seconds: float, share: float = 1.0) -> bool:
        """Tell whether that much time is left of a share of the limit."""
        return self.limit is None or self.spent() + seconds <= share * self.limit


class Views:
    """The rows of each split as members read them; features of texts are made once for each.

    Parameters
    ----------
    X : Features or RawRows
    Y : csr_array
    folds : Folds
    features : transformer or None
    """

    def __init__(self, X: Any, Y: csr_array, folds: Folds, features: Any) -> None:
        self.X, self.Y, self.folds, self.features = X, Y, folds, features
        self._made: dict[int, tuple[Any, Any]] = {}

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        train, test = self.folds.splits[i]
        if not isinstance(self.X, RawRows):
            return self.X[train], self.X[test]
        if i not in self._made:
            features = clone(self.features)
            rows = features.fit_transform(raw_rows(self.X[train]), csr_array(self.Y[train]))
            self._made[i] = rows, features.transform(raw_rows(self.X[test]))
        return self._made[i]


class Search:
    """What is tried on one data set.

    Parameters
    ----------
    views : Views
    fit : callable
        From a name, an estimator, features and the numbers of their rows to the fitted model.
    target : Target
    depth : int
        Labels that a model names for each row.
    clock : Clock
    max_memory : float
        Bytes that a fit may take.
    rng : RandomState
    verbose : int

    Attributes
    ----------
    trials : list of Trial
        In the order in which they ended.
    tops : dict of str to TopK
        What each cross-fitted model predicts for all held-out rows.
    """

    def __init__(
        self,
        views: Views,
        fit: Any,
        target: Target,
        depth: int,
        clock: Clock,
        max_memory: float,
        rng: Any,
        verbose: int,
    ) -> None:
        self.views, self.folds, self.fit, self.target, self.depth = views, views.folds, fit, target, depth
        self.clock, self.max_memory, self.rng, self.verbose = clock, max_memory, rng, verbose
        self.trials: list[Trial] = []
        self.tops: dict[str, TopK] = {}

    def value(self, top: TopK, folds: Folds) -> float:
        """Return the target of predictions; for metrics of rare labels probabilities are divided by propensities."""
        pairs = Pairs([top], folds, LEARNED_DEPTH)
        said = pairs.said[0]
        scores = np.full(pairs.rows.size, -np.inf)
        if self.target.values.size:
            odds = log_odds_of(fit_map(said, pairs), said.scores, said.log_ranks, pairs.log_counts[said.at])
            scores[said.at] = expit(odds) * self.target.values[pairs.labels[said.at]]
        else:
            scores[said.at] = -said.log_ranks
        return float(self.target.of_rows(pairs, scores).mean())

    # Screening: one fit on some rows

    def screen(self, members: Sequence[tuple[str, Any]], n_trials: int) -> None:
        """Try members on some rows of the first split, then others near the best of them."""
        train, test = self.folds.splits[0]
        few_train = self._some(train.size, SCREENED)
        few_test = self._some(test.size, JUDGED)
        split = Folds(self.views.Y, [(train[few_train], test[few_test])])
        X, X_test = (rows[few] for rows, few in zip(self.views[0], (few_train, few_test), strict=True))
        progress = tqdm(total=n_trials, desc="screening", disable=self.verbose <= 0)
        for name, member in self._candidates(members, n_trials):
            if self.trials and not self.clock.has(max(trial.seconds for trial in self.trials) / 2, SCREENING_SHARE):
                break
            self._try(name, member, [(X, X_test)], split, "screened")
            progress.update()
        progress.close()

    def _some(self, n_rows: int, most: int) -> NDArray[np.int64]:
        if n_rows <= most:
            return np.arange(n_rows)
        return np.sort(self.rng.choice(n_rows, most, replace=False))

    def _candidates(self, members: Sequence[tuple[str, Any]], n_trials: int) -> Iterator[tuple[str, Any]]:
        yield from members[:n_trials]
        for i in range(len(members), n_trials):
            good = self.good("screened")[:3]
            for _ in range(DRAWS if good else 0):
                base = good[int(self.rng.randint(len(good)))]
                varied = self._varied(base.estimator)
                if varied is not None and all(repr(trial.estimator) != repr(varied) for trial in self.trials):
                    yield f"{base.name.split('-')[0]}-{i + 1}", varied
                    break

    def _varied(self, estimator: Any) -> Any:
        """Return the estimator with other values of the parameters that matter, near its own; None if it has none."""
        try:
            space = search_space(estimator)
        except ValueError:
            return None
        rng = np.random.default_rng(self.rng.randint(2**31))
        params = estimator.get_params(deep=False)
        near = {name: values.at(values.near(values.position(params[name]), rng)) for name, values in space.items()}
        return clone(estimator).set_params(**near)

    # Finalists: predictions for all held-out rows

    def good(self, stage: str) -> list[Trial]:
        """Return the trials of a stage that ended with a value, best first."""
        return sorted((t for t in self.trials if t.stage == stage), key=lambda t: -t.value)

    def finalists(self, most: int) -> list[Trial]:
        """Return what is cross-fitted: the best that were screened, few of one class."""
        found: list[Trial] = []
        for trial in self.good("screened"):
            alike = sum(type(t.estimator) is type(trial.estimator) for t in found)
            if alike < SAME_CLASS and trial.value >= FAR_BEHIND * self.good("screened")[0].value:
                found.append(trial)
        return found[:most]

    def cross_fit(self, finalists: Sequence[Trial]) -> None:
        """Predict all held-out rows by each finalist, as long as there is time for this and for the final fits."""
        for trial in tqdm(finalists, desc="cross-fitting", disable=self.verbose <= 0):
            last = sum(self.projected(t) for t in finalists if t.name in self.tops)
            if not self.clock.has(self.projected(trial) * (1 + len(self.folds.splits)) + last):
                self.trials.append(trial._replace(stage="skipped", note="no time was left"))
                continue
            splits = [self.views[i] for i in range(len(self.folds.splits))]
            top = self._try(trial.name, trial.estimator, splits, self.folds, "cross-fitted")
            if top is not None:
                self.tops[trial.name] = top

    def projected(self, trial: Trial) -> float:
        """Return the seconds that a fit on the rows of a split may take."""
        return trial.seconds * max(1.0, self.folds.splits[0][0].size / max(trial.rows, 1)) ** GROWTH

    def _try(
        self,
        name: str,
        member: Any,
        splits: Sequence[tuple[Any, Any]],
        folds: Folds,
        stage: str,
    ) -> TopK | None:
        began, rows = time.perf_counter(), folds.splits[0][0].size
        try:
            needed = member.estimate_memory(splits[0][0], csr_array(self.views.Y[folds.splits[0][0]]))
            if needed > self.max_memory:
                note = f"it would need {needed / 1e9:.1f} GB, more than max_memory"
                self.trials.append(Trial(name, member, "skipped", rows=rows, note=note))
                return None
            tops = []
            for (X, X_test), (train, _) in zip(splits, folds.splits, strict=True):
                model = self.fit(name, member, X, train)
                tops.append(model.predict_topk(X_test, self.depth))
                if stage == "cross-fitted":
                    member = with_choices(model)  # Scores of all splits, and of the final fit, have one scale.
            top = folds.in_order(tops)
            value = self.value(top, folds)
        except (ValueError, TypeError, MemoryError, ArithmeticError, RuntimeError, ImportError) as error:
            seconds = time.perf_counter() - began
            self.trials.append(Trial(name, member, "failed", rows=rows, seconds=seconds, note=str(error)))
            return None
        self.trials.append(Trial(name, member, stage, value, rows, time.perf_counter() - began))
        return top
