"""Search for the parameters with which an estimator ranks held-out rows best."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from tqdm.auto import tqdm

from xclassic import metrics
from xclassic.base import XMCClassifier
from xclassic.datasets import stratified_kfold, stratified_split
from xclassic.ensemble.members import RawRows, is_matrix, raw_rows
from xclassic.ensemble.search_space import Space, propose, search_space
from xclassic.ensemble.trials import Trial, TrialFile, best_of, trial_table
from xclassic.label_tree.base import LabelTreeClassifier
from xclassic.metrics.propensity import PROPENSITY_SCORED
from xclassic.metrics.ranking import AT_K
from xclassic.pipelines import predict_topk
from xclassic.validation.features import Features, check_features
from xclassic.validation.labels import check_target
from xclassic.validation.parameters import check_number, check_type

MANY_ROWS = 5_000  # From here one part held out tells as much as folds do of fewer rows.
MAX_HELD_OUT = 10_000  # Rows. All trials are compared on the same ones, so more would hardly change the choice.
N_SPLITS = 3
METRIC = re.compile(rf"(?:(head|torso|tail) )?({'|'.join([*AT_K, *PROPENSITY_SCORED])})@([1-9]\d*)")
NOT_OF_TREES = ("C",)  # What is tuned of label trees and leaves the tree as it is.

Split = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True)
class Tuning:
    """What `tune` found; as text, the table of its trials.

    Attributes
    ----------
    estimator : XMCClassifier or Pipeline
        As it was given, not fitted, but with the best parameters.
    metric : str
        The metric that was aimed at.
    trials : list of Trial
        All trials in their order, as tuples ``(number, params, score, seconds, error)``. The first has the parameters
        of the estimator as it was given. `score` is the metric on held-out rows, None if the trial failed, and
        `error` then says why.
    best_params : dict
        The parameters of the trial with the best score, the first of those if there are several.
    best_score : float
        Its score. It is the best of many on the same rows, so other rows will give a little less.
    """

    estimator: Any
    metric: str
    trials: list[Trial]
    best_params: dict[str, Any]
    best_score: float

    def __str__(self) -> str:
        return trial_table(self.trials, self.metric)


def tune(
    estimator: Any,
    X: Any,
    Y: Any,
    metric: str = "P@5",
    *,
    n_trials: int = 20,
    n_splits: int | None = None,
    trial_file: str | None = None,
    random_state: int = 0,
    verbose: int = 0,
) -> Tuning:
    """Search for the parameters with which an estimator ranks held-out rows best.

    Each estimator has a few parameters that matter, with ranges. Those of them that have their defaults in `estimator`
    are searched, all others stay as they are. Fit the result with ``tune(...).estimator.fit(X, Y)``.

    Parameters
    ----------
    estimator : XMCClassifier or Pipeline that ends in one
        It is not fitted. Of a pipeline the last step is tuned.
    X : array-like or sparse matrix of shape (n_rows, n_features), or texts or records
        Training rows, as the ``fit`` of the estimator takes them.
    Y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
        Their labels.
    metric : str, default="P@5"
        A metric of `xclassic.metrics.evaluate`: P, R, nDCG, hit, coverage, PSP or PSnDCG with a depth, which ``head``,
        ``torso`` or ``tail`` may precede, as in ``"tail R@5"``.
    n_trials : int, default=20
        Number of trials, at least 1, with those of `trial_file`. The first one has the parameters as they are.
    n_splits : int, optional
        Folds for cross-validation, by `stratified_kfold`; 1 holds out a fifth of the rows, at most 10,000. Default: 3
        for fewer than 5,000 rows, else 1.
    trial_file : str, optional
        File of JSON lines to which each trial is written when it ends. Trials that it holds are not run again, so that
        a search goes on after an interruption, or with more trials. The file may only hold trials of the same data,
        estimator, metric, folds and seed.
    random_state : int, default=0
        Seed of the search and of the choice of held-out rows. The same seed gives the same trials for every ``n_jobs``.
    verbose : int, default=0
        Above 0, show the progress with the time left.

    Returns
    -------
    Tuning

    Raises
    ------
    TypeError, ValueError
        If the estimator has no parameters to tune or all of them are set, the metric or a number is not one of those
        accepted, rows and labels do not fit together, no rows can be held out, `trial_file` holds something else, or
        all trials fail.

    Notes
    -----
    Trials alternate between points spread evenly over the ranges and points near the best one so far. A trial that
    fails is listed with its error, and the search goes on. The features of a pipeline are fitted once for each fold.
    Label trees are built once for each fold and setting of what shapes them, and serve all values of C.

    Cost: `n_trials` times `n_splits` fits on the training rows of a fold, of which a copy is made; of a pipeline, the
    features of all folds are kept.

    Examples
    --------
    >>> from xclassic import KNN, datasets, tune
    >>> data = datasets.load_bibtex()
    >>> tuning = tune(KNN(), data.X[:500], data.Y[:500], "P@3", n_trials=4)
    >>> sorted(tuning.best_params)
    ['n_neighbors', 'power']
    >>> clf = tuning.estimator.fit(data.X, data.Y)
    """
    last = _last(estimator)
    if not isinstance(last, XMCClassifier):
        raise TypeError(
            f"{type(last).__name__} cannot be tuned; pass an estimator of xclassic, or a pipeline with one."
        )
    space = search_space(last)
    check_metric(metric)
    check_number("n_trials", n_trials, minimum=1, integer=True)
    check_number("random_state", random_state, minimum=0, maximum=2**32 - 1, integer=True)
    check_type("trial_file", trial_file, (str,), "the path of a file, or None")
    if n_splits is not None:
        check_number("n_splits", n_splits, minimum=1, integer=True)
    rows = check_features(clone(last), X, reset=True) if is_matrix(X) else RawRows(X)
    labels = check_target(Y, rows.shape[0]).Y
    held_out = _HeldOut(estimator, rows, labels, metric, _splits(labels, n_splits, random_state))
    start = {name: getattr(last, name) for name in space}
    identity = _identity(estimator, space, rows, labels, metric, n_splits, random_state) if trial_file else {}
    kept = TrialFile(trial_file, identity)
    trials = kept.read()[:n_trials]
    best = best_of(trials)
    with tqdm(total=n_trials, initial=len(trials), desc=f"tuning {type(last).__name__}", disable=verbose <= 0) as bar:
        while len(trials) < n_trials:
            tried = [trial.params for trial in trials]
            params = propose(space, start, tried, best and best.params, random_state)
            if params is None:
                break
            trials.append(held_out.trial(len(trials), params))
            kept.append(trials[-1])
            best = best_of(trials)
            if best is not None:
                bar.set_postfix_str(f"best {metric} {100 * (best.score or 0):.2f}", refresh=False)
            bar.update()
    if best is None or best.score is None:
        raise ValueError(f"All {len(trials)} trials failed, the first one with {trials[0].error}")
    tuned = clone(estimator)
    _last(tuned).set_params(**best.params)
    return Tuning(tuned, metric, trials, best.params, best.score)


def _last(estimator: Any) -> Any:
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def check_metric(metric: Any) -> None:
    """Raise ValueError unless this is the name of a metric that can be aimed at."""
    if not isinstance(metric, str) or METRIC.fullmatch(metric) is None:
        names = ", ".join([*AT_K, *PROPENSITY_SCORED])
        raise ValueError(
            f"metric is {metric!r}; it must be one of {names} with a depth, such as 'P@5', after 'head', 'torso' or "
            "'tail' if only these labels count."
        )


def _splits(Y: csr_array, n_splits: int | None, seed: int) -> list[Split]:
    n_rows = Y.shape[0]
    if n_splits is None:
        n_splits = N_SPLITS if n_rows < MANY_ROWS else 1
    if n_splits > 1:
        return stratified_kfold(Y, n_splits, random_state=seed)
    train, test = stratified_split(Y, test_size=min(-(-n_rows // 5), MAX_HELD_OUT), random_state=seed)
    if test.size == 0:
        raise ValueError(f"No row can be held out: each of the {n_rows} rows alone keeps some label in training.")
    return [(train, test)]


def _identity(
    estimator: Any, space: Space, X: Features | RawRows, Y: csr_array, metric: str, n_splits: int | None, seed: int
) -> dict[str, Any]:
    """Return what must be the same for trials to be comparable."""
    settings = clone(estimator)
    _last(settings).set_params(n_jobs=None, verbose=0)
    return {
        "estimator": type(_last(estimator)).__name__,
        "metric": metric,
        "n_splits": n_splits,
        "random_state": seed,
        "tuned": {name: list(kind) for name, kind in space.items()},
        "settings": joblib.hash(settings),
        "data": joblib.hash((raw_rows(X), Y)),
    }


class _HeldOut:
    """Held-out rows on which all trials are judged.

    Parameters
    ----------
    estimator : XMCClassifier or Pipeline
    X : Features or RawRows
    Y : csr_array, shape (n_rows, n_labels)
    metric : str
    splits : list of (train_rows, test_rows)
    """

    def __init__(self, estimator: Any, X: Features | RawRows, Y: csr_array, metric: str, splits: list[Split]) -> None:
        self._last, self._metric = _last(estimator), metric
        self._truths = [(Y[train], Y[test]) for train, test in splits]
        self._rows = [(raw_rows(X[train]), raw_rows(X[test])) for train, test in splits]
        if isinstance(estimator, Pipeline) and len(estimator) > 1:
            pairs = zip(self._rows, self._truths, strict=True)
            self._rows = [_features(estimator[:-1], *rows, Y_train) for rows, (Y_train, _) in pairs]
        self._trees: dict[Any, Any] = {}
        counts = np.bincount(Y.indices, minlength=Y.shape[1])
        self._depth = int(metric.rpartition("@")[2])
        self._options: dict[str, Any] = {"ks": (self._depth,)}
        if " " in metric:
            self._options["train_counts"] = counts
            self._check_group(metrics.label_groups(counts)[metric.split()[0]])
        if "PS" in metric:
            self._options["propensities"] = metrics.propensity(counts, Y.shape[0])

    def _check_group(self, labels: NDArray[np.intp]) -> None:
        for _, truth in self._truths:
            if not np.isin(truth.indices, labels).any():
                raise ValueError(f"No held-out row has a label that {self._metric} counts; aim at another metric.")

    def trial(self, number: int, params: dict[str, Any]) -> Trial:
        """Return how good the parameters are, or why they failed."""
        start = time.perf_counter()
        score, error = None, None
        try:
            score = float(np.mean([self._score(fold, params) for fold in range(len(self._rows))]))
        except Exception as failure:  # One setting may need too much memory, or be too extreme, and others not.
            error = f"{type(failure).__name__}: {' '.join(str(failure).split())}"
        return Trial(number, params, score, round(time.perf_counter() - start, 3), error)

    def _score(self, fold: int, params: dict[str, Any]) -> float:
        (X_train, X_test), (Y_train, Y_test) = self._rows[fold], self._truths[fold]
        model = self._fit(fold, params, X_train, Y_train)
        return metrics.evaluate(Y_test, predict_topk(model, X_test, self._depth), **self._options)[self._metric]

    def _fit(self, fold: int, params: dict[str, Any], X: Any, Y: csr_array) -> Any:
        model = clone(self._last).set_params(**params)
        if not isinstance(model, LabelTreeClassifier) or model.tree is not None:
            return model.fit(X, Y)
        shape = fold, *(value for name, value in params.items() if name not in NOT_OF_TREES)
        model.set_params(tree=self._trees.get(shape)).fit(X, Y)
        self._trees[shape] = model.trees_
        return model


def _features(transformer: Any, X_train: Any, X_test: Any, Y_train: csr_array) -> tuple[Any, Any]:
    fitted = clone(transformer)
    return fitted.fit_transform(X_train, Y_train), fitted.transform(X_test)
