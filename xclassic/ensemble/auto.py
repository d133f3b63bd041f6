"""The right model without knowing which: methods are tried on training rows, and the best are blended."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import check_random_state

from xclassic.base import XMCClassifier
from xclassic.ensemble.blend import Blend
from xclassic.ensemble.combining import Combination, mean_of
from xclassic.ensemble.composite import OfMembers
from xclassic.ensemble.cross_fitting import Folds, choose_folds, weights_of_rows
from xclassic.ensemble.members import RawRows, last_step, raw_rows
from xclassic.ensemble.portfolio import first_members
from xclassic.ensemble.search import Clock, Search, Trial, Views
from xclassic.ensemble.targets import check_target_name, read_target
from xclassic.features import TextFeatures
from xclassic.parallel import StopByte, default_workers
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.storage.models import Metadata, plain_value, value_of_plain
from xclassic.storage.registry import ESTIMATORS, find_class
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number

N_TRIALS = 12  # Without limits: one of each family, and a third as many others near the best of them.
MOST_TRIALS = 60  # Within a limit of time: more would hardly find better parameters.
FINALISTS = 6
N_CANDIDATES = 100


class AutoXMC(OfMembers):
    """The best model or blend of models for the data, found on training rows.

    One method of each family is fitted on at most 5,000 rows and judged on others; further trials change the parameters
    that matter of the best three. The better half, at most six and two of one class, then predict all held-out rows
    (see the parameter `cv` of `Blend`), on which members and their combination are chosen. What is used is
    fitted on all rows.

    Parameters
    ----------
    time_limit : float, optional
        Seconds that the fit may take, about: a fit that has begun is ended, and what is begun is what is expected to
        fit. A third goes to trials on few rows. If there is no time for any comparison, the cheapest method is fitted,
        with a warning.
    n_trials : int, optional
        Trials on few rows; by default 12, or with `time_limit` as many as there is time for, at most 60.
    trials : list of dict, optional
        ``trials_`` of an earlier fit: the models that were cross-fitted there are here, and nothing else is tried. On
        the same data that gives the same model, bit for bit, also if it was found within a limit of time.
    target : str, default="mean"
        What is aimed at: see `Blend`.
    members : "auto", or list of (str, XMCClassifier) pairs, default="auto"
        What trials begin with; parameters are plain values. ``"auto"``: `KNN`, `Bonsai`, `OneVsRestLeastSquares`,
        `DiSMEC`, `PLT`, `FastXML`, `CRAFTML` and `AnnexML`.
    features : transformer, optional
        What makes features of rows that are texts or records; it is fitted anew for each split. By default
        `TextFeatures`, which chooses its settings; for records pass one that names the fields.
    max_memory : float, optional
        Bytes that a single fit may take, by its ``estimate_memory``; other methods are skipped. By default half of the
        memory of the machine.
    n_jobs : int, optional
        Workers, as joblib counts them. Without `time_limit` the model does not depend on it.
    random_state : int or None, default=0
        Seed of the choice of held-out rows and of parameters.
    verbose : int, default=0
        Above 0, show the progress of trials and predictions.

    Attributes
    ----------
    estimator_ : Blend or Pipeline
        What predicts: a blend of one or more members, after features of their own if rows are texts or records.
    blend_ : Blend
        The last step of it. Its ``named_estimators_`` are fitted members, ``weights_`` their weights.
    trials_ : list of dict
        All trials in order: ``"name"``, ``"estimator"``, ``"params"`` that are not defaults, ``"stage"``
        (``"screened"``, ``"cross-fitted"``, ``"skipped"`` or ``"failed"``), ``"value"`` of the target on held-out
        rows, ``"rows"`` of each fit, ``"seconds"`` and ``"note"``.
    seconds_ : float
        What the fit took.
    report_ : str
        What was tried, what it cost and gave, and why it was chosen, as a Markdown table and sentences.

    See Also
    --------
    Blend : What it ends with, of members that you choose.

    Notes
    -----
    Values on few rows and on all held-out rows are not comparable: with more rows every method is better. For metrics
    of rare labels values are sums of inverse propensities, which are comparable with each other alone.

    What a member chooses by itself, as least squares does its power of propensities, is chosen in the first split and
    stays. Weights of rows and labels are handed on, if all first members take them. A model that fails is reported and
    left out, unless all fail.

    Cost: without limits, twelve fits on up to 5,000 rows, and up to six times five fits on four fifths of all rows;
    with more than 50,000 rows once instead of five times. Memory: the largest of ``estimate_memory`` among the
    members, and the features of the splits.

    References
    ----------
    .. [1] K. Jamieson and A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization",
       AISTATS 2016.
    .. [2] R. Caruana, A. Niculescu-Mizil, G. Crew and A. Ksikes, "Ensemble selection from libraries of models",
       ICML 2004.

    Examples
    --------
    >>> from xclassic import KNN, AutoXMC, OneVsRestLeastSquares, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> members = [("neighbors", KNN()), ("squares", OneVsRestLeastSquares())]
    >>> auto = AutoXMC(members=members, n_trials=2).fit(bibtex.X[:500], bibtex.Y[:500])
    >>> [trial["name"] for trial in auto.trials_ if trial["stage"] == "screened"]
    ['neighbors', 'squares']
    """

    _not_saved: ClassVar[tuple[str, ...]] = ("trials", "members", "features")

    trials_: list[dict[str, Any]]
    seconds_: float

    def __init__(
        self,
        *,
        time_limit: float | None = None,
        n_trials: int | None = None,
        trials: Sequence[Mapping[str, Any]] | None = None,
        target: str = "mean",
        members: str | Sequence[tuple[str, XMCClassifier]] | None = "auto",
        features: Any = None,
        max_memory: float | None = None,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.time_limit = time_limit
        self.n_trials = n_trials
        self.trials = trials
        self.target = target
        self.members = members
        self.features = features
        self.max_memory = max_memory
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @property
    def estimator_(self) -> Any:
        return self.estimators_[0]

    @property
    def blend_(self) -> Blend:
        blend: Blend = last_step(self.estimator_)
        return blend

    @property
    def report_(self) -> str:
        rows = ["| model | stage | rows | seconds | value | note |", "| --- | --- | --- | --- | --- | --- |"]
        for trial in self.trials_:
            params = ", ".join(f"{key}={value_of_plain(value)!r}" for key, value in trial["params"].items())
            value = "" if trial["value"] is None else f"{trial['value']:.4f}"
            cells = [f"{trial['name']}: {trial['estimator']}({params})", trial["stage"], str(trial["rows"])]
            rows.append("| " + " | ".join([*cells, f"{trial['seconds']:.1f}", value, trial["note"]]) + " |")
        blend = self.blend_
        shares = [f"{name} {share:.2f}" for name, share in zip(blend.named_estimators_, blend.weights_, strict=True)]
        ended = "one model" if len(shares) == 1 else f"a {blend.combination_} blend"
        why = (
            f"It ends with {ended}: {', '.join(shares)}. Among all numbers of members, their mean and a logistic model "
            f"of them, this is the smallest whose {self.target} on held-out rows is within a standard error of the "
            "best."
        )
        return "\n".join([*rows, "", why, f"The fit took {self.seconds_:.0f} s."])

    @property
    def _probabilistic(self) -> bool:  # type: ignore[override]
        return self.target != "tail" and not self.target.startswith("PS")

    @property
    def _reads_features(self) -> bool:
        return self._fitted and super()._reads_features

    def _members(self) -> Sequence[tuple[str, Any]]:
        return [("model", model) for model in vars(self).get("estimators_", [])]

    def _weights_taken(self) -> tuple[str, ...]:
        taken = [member._weights_taken() for _, member in self._first_members()]
        return tuple(weight for weight in taken[0] if all(weight in others for others in taken))

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("time_limit", "max_memory"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), minimum=0, inclusive=False)
        if self.n_trials is not None:
            check_number("n_trials", self.n_trials, minimum=1, integer=True)
        check_target_name(self.target)

    def _check_members(self) -> None:
        if self._fitted:
            return
        for name, member in self._first_members():
            if not isinstance(member, XMCClassifier) or _told_params(member) is None:
                raise TypeError(
                    f"Member {name!r} is {member!r}; members are estimators of xclassic whose parameters are plain "
                    "values."
                )
            member._check_parameters()

    def _first_members(self) -> list[tuple[str, Any]]:
        if self.trials is not None:
            told = [t for t in self.trials if not isinstance(t, Mapping) or t.get("stage") == "cross-fitted"]
            if not told:
                raise ValueError("trials has none that was cross-fitted; pass `trials_` of a fitted AutoXMC.")
            return _models(told)
        if self.members is None or isinstance(self.members, str):
            if self.members not in (None, "auto"):
                raise ValueError(f'members is {self.members!r}; pass "auto" or a list of (name, estimator) pairs.')
            return first_members()
        try:
            found = [(str(name), member) for name, member in self.members]
        except (TypeError, ValueError) as error:
            raise TypeError(f"members must be a list of (name, estimator) pairs: {error}.") from error
        if not found or len({name for name, _ in found}) < len(found):
            raise ValueError("members is empty, or a name occurs twice; pass (name, estimator) pairs.")
        return found

    def _known_labels(self) -> list[Any]:
        return []

    # Training

    def _fit_checked(self, X: Any, y: Any, **options: Any) -> Any:
        self.__dict__.pop("estimators_", None)  # Those of an earlier fit would say what is read.
        return super()._fit_checked(X, y, **options)

    def _fit(self, X: Features | RawRows, Y: csr_array, **weights: Any) -> None:
        clock = Clock(self.time_limit)
        rng = check_random_state(self.random_state)
        features = self._features(X)
        folds = choose_folds(Y, "auto", rng)
        search = self._search(Views(X, Y, folds, features), weights, clock, rng)
        names = self._tried(search) if folds.splits else []
        blend = self._blend(search, folds, names, Y) if names else self._without_folds(search)
        self.estimators_ = [self._fit_last(blend, features, X, Y, weights)]
        self.trials_ = [_told(trial) for trial in search.trials]
        self.seconds_ = clock.spent()

    def _features(self, X: Features | RawRows) -> Any:
        if not isinstance(X, RawRows):
            return None
        return TextFeatures(n_jobs=self.n_jobs) if self.features is None else self.features

    def _search(self, views: Views, weights: dict[str, Any], clock: Clock, rng: Any) -> Search:
        Y = views.Y

        def fit(name: str, member: Any, X: Features, rows: NDArray[np.int64]) -> Any:
            return self._fit_member(name, member, X, csr_array(Y[rows]), weights_of_rows(weights, rows))

        most = _half_of_memory() if self.max_memory is None else self.max_memory
        target, depth = read_target(self.target, Y), min(N_CANDIDATES, Y.shape[1])
        return Search(views, fit, target, depth, clock, most, rng, self.verbose)

    def _tried(self, search: Search) -> list[str]:
        """Try models, and return the names of those that predicted all held-out rows."""
        if self.trials is not None:
            search.clock.limit = None
            search.cross_fit([Trial(*pair, "screened") for pair in self._first_members()])
        else:
            limited = self.n_trials is None and self.time_limit is not None
            n_trials = MOST_TRIALS if limited else self.n_trials or N_TRIALS
            search.screen(self._first_members(), n_trials)
            n_good = len(search.good("screened"))
            search.cross_fit(search.finalists(min(FINALISTS, -(-n_good // 2))))
        if not search.tops and all(trial.stage == "failed" for trial in search.trials):
            failures = "; ".join(f"{trial.name}: {trial.note}" for trial in search.trials)
            raise ValueError(f"All models failed. {failures}")
        return list(search.tops)

    def _blend(self, search: Search, folds: Folds, names: list[str], Y: csr_array) -> Blend:
        """Return the blend of the members that held-out rows speak for, which knows how to combine them."""
        estimators = {trial.name: trial.estimator for trial in search.good("cross-fitted")}
        blend = Blend([(name, estimators[name]) for name in names], target=self.target)
        blend._learn_from(folds, [search.tops[name] for name in names], search.target)
        used = blend._used()
        chosen = Blend([blend.estimators[i] for i in used], target=self.target, n_candidates=N_CANDIDATES)
        combination = blend._combination
        terms = combination.terms[used] if combination.terms.size else combination.terms
        chosen._learned = Combination(combination.weights[used], combination.base, terms), blend.maps_[used]
        return chosen

    def _without_folds(self, search: Search) -> Blend:
        """Return the best model of few rows for which there is time, else the cheapest."""
        good = search.good("screened")
        first = Trial(*self._first_members()[0], "screened")
        in_time = [trial for trial in good if search.clock.has(search.projected(trial))]
        chosen = in_time[0] if in_time else min(good, key=lambda trial: trial.seconds, default=first)
        if self.time_limit is not None:
            warnings.warn(
                f"time_limit={self.time_limit} leaves no time to compare models on all held-out rows, so "
                f"{chosen.estimator!r} is fitted, {'the best of few rows' if in_time else 'the cheapest'}. Allow more.",
                stacklevel=2,
            )
        blend = Blend([(chosen.name, chosen.estimator)], target=self.target, n_candidates=N_CANDIDATES)
        blend._learned = mean_of(np.ones(1)), np.array([[0.0, 1.0, 0.0, 0.0]])
        return blend

    def _fit_last(
        self, blend: Blend, features: Any, X: Features | RawRows, Y: csr_array, weights: dict[str, Any]
    ) -> Any:
        blend._labels_of_columns = self._names_of_labels()
        with default_workers(self.n_jobs):
            if features is None:
                return blend.fit(X, Y, **weights)
            made = clone(features)
            rows = made.fit_transform(raw_rows(X), Y)
            return Pipeline([("features", made), ("blend", blend.fit(rows, Y, **weights))])

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        most = _half_of_memory() if self.max_memory is None else self.max_memory
        needed = [member._estimate_memory(n, d, L, nnz_x, nnz_y) for _, member in self._first_members()]
        fitting = [bytes_ for bytes_ in needed if bytes_ <= most] or [min(needed)]
        predicted = min(20_000, n) * min(N_CANDIDATES, L) * 40 * FINALISTS
        return int(max(fitting) + 8 * (nnz_x + nnz_y) + predicted)

    def estimate_memory(self, X: Any, y: Any) -> int:
        """Return the number of bytes that ``fit(X, y)`` will need at its peak, beyond `X` and `y` themselves.

        Parameters
        ----------
        X, y
            As for ``fit``, but features alone; only their shapes and numbers of entries are read, and label lists are
            encoded.

        Returns
        -------
        int
            An estimate for the first members, meant to be right within a factor of two.

        Raises
        ------
        TypeError, ValueError
            If `X` is no matrix, or a parameter is out of range.
        """
        return XMCClassifier.estimate_memory(self, X, y)

    # Prediction

    def _topk(self, X: Any, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        return self.blend_._topk(X.parts[0], k, labels, stop)

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays, headers = self._packed_members()
        trials = [{key: value for key, value in trial.items() if key != "seconds"} for trial in self.trials_]
        return arrays, {
            "members": headers,
            "first": "auto" if self.members in (None, "auto") else [_told_model(*pair) for pair in self.members],
            "own_features": self.features is not None,
            "trials": trials,
            "seconds": [*(trial["seconds"] for trial in self.trials_), self.seconds_],
        }

    def _fitted_arrays(self) -> Arrays:
        return {}  # Members check their own.

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        self._unpack_members(arrays, metadata["members"], verify)
        self._check_unpacked()
        if len(self.estimators_) != 1 or not isinstance(self.blend_, Blend):
            raise ModelFileError("The model must hold one blend, or a pipeline that ends in one.")
        *seconds, self.seconds_ = (float(value) for value in metadata["seconds"])
        self.trials_ = [trial | {"seconds": own} for trial, own in zip(metadata["trials"], seconds, strict=True)]
        _models(self.trials_)
        first = metadata["first"]
        self.members = "auto" if first == "auto" else _models(first)
        self.features = clone(self.estimator_[0]) if metadata["own_features"] is True else None


def _half_of_memory() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2


# What is told of trials


def _told_params(estimator: XMCClassifier) -> dict[str, Any] | None:
    """Return the parameters that are not defaults, as JSON holds them, or None if it cannot."""
    try:
        defaults = type(estimator)().get_params(deep=False)
        params = estimator.get_params(deep=False)
        return {name: plain_value(name, params[name]) for name in params if params[name] != defaults[name]}
    except (TypeError, ValueError):
        return None


def _told_model(name: str, estimator: XMCClassifier) -> dict[str, Any]:
    return {"name": name, "estimator": type(estimator).__name__, "params": _told_params(estimator)}


def _told(trial: Trial) -> dict[str, Any]:
    told = trial._asdict() | _told_model(trial.name, trial.estimator)
    return told | {"value": None if np.isnan(trial.value) else trial.value, "seconds": round(trial.seconds, 3)}


def _models(told: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """Return the unfitted models that were told, by name."""
    try:
        unknown = [model["estimator"] for model in told if model["estimator"] not in ESTIMATORS]
        if unknown:
            raise ValueError(f"trials has estimators that are not known here: {', '.join(map(str, unknown))}.")
        params = [{key: value_of_plain(value) for key, value in model["params"].items()} for model in told]
        return [(str(m["name"]), find_class(m["estimator"])(**own)) for m, own in zip(told, params, strict=True)]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"trials is no list of trials, as `trials_` of a fitted AutoXMC is: {error!r}.") from error
