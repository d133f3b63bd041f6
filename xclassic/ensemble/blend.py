"""Several estimators used together: a weighted mean of their normalized predictions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import _BaseComposition

from xclassic.base import XMCClassifier
from xclassic.ensemble.combining import Combination, choose, evidence, fit_map, log_odds_of, mean_of
from xclassic.ensemble.composite import OfMembers
from xclassic.ensemble.cross_fitting import JUDGED, Folds, check_cv, choose_folds, weights_of_rows
from xclassic.ensemble.members import RawRows, last_step, with_choices
from xclassic.ensemble.pairs import Pairs
from xclassic.ensemble.targets import Target, check_target_name, read_target
from xclassic.parallel import StopByte
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.storage.models import Metadata
from xclassic.topk import TopK, check_topk
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number

NORMALIZATIONS = ("probability", "rank", "none")
LEARNED_DEPTH = 20  # Pairs that no member ranks higher are not learned from: they seldom reach the best five.


class Blend(OfMembers, _BaseComposition):
    r"""Predictions of several estimators as one, combined as held-out rows say.

    Methods that err on different rows make a blend that is more accurate than any of them. Each member names its best
    `n_candidates` labels, :math:`B_m(x)`. A label's score is the weighted mean

    .. math:: s_l(x) = \sum_m w_m \, [l \in B_m(x)] \, f_m(s_{ml}(x), r_{ml}(x)), \qquad w_m \ge 0, \; \sum_m w_m = 1

    with :math:`s_{ml}` the score and :math:`r_{ml} = 1, 2, \dots` the rank that member m gives to label l, and
    :math:`f_m` its normalization; or, where that ranks better, a logistic model of what all members say:

    .. math:: s_l(x) = \sigma\Bigl(b_0 + b_1 c_l + \sum_m [l \in B_m(x)] \;
        \theta_m \cdot \bigl((1, z_{ml}, \sigma(z_{ml})) \otimes (1, c_l)\bigr)\Bigr)

    with :math:`z_{ml}` the log-odds of :math:`f_m` and :math:`c_l` the logarithm of one more than the training rows of
    label l: members may be trusted more for frequent labels than for rare ones, or less.

    Parameters
    ----------
    estimators : list of (str, XMCClassifier or Pipeline) pairs
        The members by name. They are cloned; ``set_params(name__C=2)`` sets a parameter of one, and
        ``set_params(name=...)`` replaces it. A pipeline ends in an estimator, and brings features of its own.
    weights : "auto", None, or sequence of float, shape (n_members,), default="auto"
        ``"auto"`` chooses the members, and the mean or, with ``normalization="probability"``, the logistic model of
        them, on held-out rows. None means the mean of all with equal weights. Given weights, of which one must be above
        0, are scaled to sum to one. Members of weight 0 are not queried.
    normalization : {"probability", "rank", "none"}, default="probability"
        ``"probability"``: the logistic function of :math:`a + b \, s + c \log r + d \, c_l`, fitted for each member on
        held-out rows; the blend then has probabilities too. ``"rank"``: :math:`1 / (1 + r)`, which needs no rows.
        ``"none"``: the score itself, for members of one scale whose scores are at least 0, such as probabilities.
    n_candidates : int, default=100
        Labels that each member names; all further labels count as absent. The blend predicts no others, so ask for
        more candidates if you need more than this many predictions.
    target : str, default="mean"
        What ``weights="auto"`` aims at: ``"mean"``, of P@1, P@3 and P@5; ``"tail"``, the mean of PSP@1, PSP@3 and
        PSP@5; or one metric: P, nDCG, R (recall), PSP or PSnDCG with a depth, as in ``"P@5"``. For PSP, PSnDCG and the
        tail labels are ranked by their score divided by their propensity, which is the best ranking for these metrics
        if scores are probabilities; scores of the blend then are none.
    cv : "auto" or int, default="auto"
        Rows that are held out in turn from members that are fitted on the others: a number of folds, at least 2, as
        `datasets.stratified_kfold` makes them. ``"auto"`` holds out a fifth of the rows, at most 10,000, five times or
        until 10,000 were held out. None are if neither weights nor probabilities have to be fitted.
    n_jobs : int, optional
        Workers, as joblib counts them, also for the fits of members that have none set themselves. The model does not
        depend on it.
    random_state : int or None, default=0
        Seed of the choice of held-out rows.
    verbose : int, default=0
        Above 0, show the progress of predictions. Members have their own.

    Attributes
    ----------
    estimators_ : list of XMCClassifier or Pipeline
        The fitted members. They use the label ids of the blend. Methods such as ``estimators_[0].prune_weights(...)``
        work as on any fitted estimator.
    named_estimators_ : dict of str to XMCClassifier or Pipeline
        The fitted members by name.
    weights_ : ndarray of float64, shape (n_members,)
        Weights of the mean. Of a logistic model, how much of the differences between scores each member makes. They sum
        to one.
    combination_ : {"mean", "logistic"}
        What was chosen.
    maps_ : ndarray of float64, shape (n_members, 4) or (0, 4)
        The coefficients a, b, c and d of each member for ``normalization="probability"``.

    See Also
    --------
    blend_topk : The weighted mean of ready predictions.

    Notes
    -----
    The choice compares, for each number of members, the equal mean and the logistic model of those that were added one
    by one, each time the one that helps most. A model is judged on the half of the held-out rows that it was not fitted
    on. Among all of which the mean over rows lies within a standard error of the best, that of fewest members is
    taken, and the mean before the model. So a member that does not help is left out, and a blend loses to its best
    member by no more than the noise of the held-out rows.

    If held-out rows have no label among the candidates, or no rows are held out, as with a single row, weights are
    equal and probabilities are the logistic function of the score.

    With ``labels`` or ``exclude`` each member names its best candidates among those allowed. Ranks stay those among all
    labels, so that a label's score does not depend on what else is allowed; only labels beyond the `n_candidates` best
    of a member, absent otherwise, then add to it.

    Where a member is a pipeline, or reads texts as `T5Classifier` does, `X` is whatever all members read: a matrix of
    numbers, texts, or records in any container. A matrix is checked once, and handed on as float32; anything else is
    handed on as it is, and rows are taken from it for the held-out part. Each member checks what it gets, and errors
    name it. Then the blend has ``n_features_in_`` only after a fit on a matrix. A prediction holds the features that
    each member makes of all rows of the call.

    What a member chooses by itself, as least squares does its power of propensities, is chosen once on all rows, so
    that its scores have one scale in all fits.

    ``fit`` hands weights on to the members, if all of them take them. Held-out rows, on which the blend itself learns,
    count once each.

    Cost: the fits of the members, up to five times, of which four on four fifths of the rows; with more than 50,000
    rows twice. The choice takes seconds. A prediction costs those of the members, twice under a restriction, and
    O(n_members n_candidates log) per row.

    References
    ----------
    .. [1] G. V. Cormack, C. L. A. Clarke and S. Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual
       rank learning methods", SIGIR 2009.
    .. [2] J. Platt, "Probabilistic outputs for support vector machines and comparisons to regularized likelihood
       methods", Advances in Large Margin Classifiers, 1999.
    .. [3] D. H. Wolpert, "Stacked generalization", Neural Networks 5, 1992.

    Examples
    --------
    >>> from xclassic import Blend, DiSMEC, OneVsRestLeastSquares, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> blend = Blend([("margins", DiSMEC()), ("squares", OneVsRestLeastSquares())])
    >>> blend = blend.fit(bibtex.X[:1000], bibtex.Y[:1000])
    >>> blend.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    _not_saved: ClassVar[tuple[str, ...]] = ("estimators",)
    _former_parameters: ClassVar[tuple[str, ...]] = ("validation_share",)  # In models of earlier versions.

    weights_: NDArray[np.float64]
    maps_: NDArray[np.float64]
    _combination: Combination
    _log_counts: NDArray[np.float32]  # shape (n_labels,), or (0,) where nothing depends on them
    _values: NDArray[np.float32]  # shape (n_labels,) or (0,): what scores are multiplied by
    _learned: tuple[Combination, NDArray[np.float64]] | None = None  # Set before the fit, by `AutoXMC`.

    def __init__(
        self,
        estimators: Sequence[tuple[str, XMCClassifier | Pipeline]],
        *,
        weights: str | Sequence[float] | None = "auto",
        normalization: str = "probability",
        n_candidates: int = 100,
        target: str = "mean",
        cv: str | int = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.estimators = estimators
        self.weights = weights
        self.normalization = normalization
        self.n_candidates = n_candidates
        self.target = target
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; the parameters of members are called ``name__parameter``.

        Parameters
        ----------
        deep : bool, default=True
            Include the members by name and their parameters.

        Returns
        -------
        dict of str to object
        """
        return self._get_params("estimators", deep=deep)

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the blend or, as ``name__parameter``, of a member, or replace a member by its name.

        Parameters
        ----------
        **params : object
            Values by name.

        Returns
        -------
        self
        """
        return self._set_params("estimators", **params)

    @property
    def named_estimators_(self) -> dict[str, Any]:
        return {name: member for (name, _), member in zip(self.estimators, self.estimators_, strict=True)}

    @property
    def combination_(self) -> str:
        return "logistic" if self._combination.base.size else "mean"

    @property
    def _probabilistic(self) -> bool:  # type: ignore[override]
        if self._for_rare_labels():
            return False
        if self.normalization == "none":
            return all(last_step(member)._probabilistic for _, member in self.estimators)
        return self.normalization == "probability"

    def _for_rare_labels(self) -> bool:
        return self._searches_weights() and (self.target == "tail" or self.target.startswith("PS"))

    def _members(self) -> Sequence[tuple[str, Any]]:
        return self.estimators

    def _used(self) -> list[int]:
        return np.flatnonzero(self.weights_).tolist()

    def _share(self, i: int) -> float:
        return float(self.weights_[i])

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice("normalization", self.normalization, NORMALIZATIONS)
        check_number("n_candidates", self.n_candidates, minimum=1, integer=True)
        check_target_name(self.target)
        check_cv(self.cv)
        if isinstance(self.weights, str):
            check_choice("weights", self.weights, ("auto",))

    def _check_members(self) -> None:
        try:
            names = [name for name, _ in self.estimators]
        except (TypeError, ValueError) as error:
            raise TypeError(f"estimators must be a list of (name, estimator) pairs: {error}.") from error
        if not names:
            raise ValueError("estimators is empty; pass at least one (name, estimator) pair.")
        super()._check_members()
        self._validate_names(names)
        self._given_weights()

    def _given_weights(self) -> NDArray[np.float64]:
        """Return the weights that the parameter gives, or equal weights if they have to be found."""
        given = np.ones(len(self.estimators)) if self.weights is None or isinstance(self.weights, str) else self.weights
        return _check_weights(given, len(self.estimators))

    def _searches_weights(self) -> bool:
        return isinstance(self.weights, str)

    # Training

    def _fit(self, X: Features | RawRows, Y: csr_array, **weights: Any) -> None:
        self._combine(mean_of(self._given_weights()))
        self.maps_ = np.empty((0, 4))
        self._log_counts = self._values = np.empty(0, np.float32)
        if self.normalization == "probability":
            self._log_counts = np.log1p(np.bincount(Y.indices, minlength=Y.shape[1])).astype(np.float32)
        if self._for_rare_labels():
            values = read_target(self.target, Y).values
            self._values = (values / values.max()).astype(np.float32)
        if self._learned is not None:
            self._combination, self.maps_ = self._learned
            self._combine(self._combination)
        self.estimators_ = [self._fit_member(*member, X, Y, weights) for member in self.estimators]
        if self._learned is None and (self.normalization == "probability" or self._searches_weights()):
            self._learn(X, Y, weights)

    def _combine(self, combination: Combination) -> None:
        self._combination, self.weights_ = combination, combination.weights

    def _learn(self, X: Features | RawRows, Y: csr_array, weights: dict[str, Any]) -> None:
        """Predict held-out rows by all members, and learn from it."""
        folds = choose_folds(Y, self.cv, self.random_state)
        if not folds.splits:
            if self.normalization == "probability":
                self.maps_ = np.tile([0.0, 1.0, 0.0, 0.0], (len(self.estimators), 1))
            return

        def fit(name: str, member: Any, rows: NDArray[np.int64]) -> Any:
            return self._fit_member(name, member, X[rows], csr_array(Y[rows]), weights_of_rows(weights, rows))

        depth = min(self.n_candidates, Y.shape[1])
        members = [(name, with_choices(member)) for name, member in self.named_estimators_.items()]
        tops = [folds.predictions(partial(fit, name, member), X, depth) for name, member in members]
        self._learn_from(folds, tops, read_target(self.target, Y))

    def _learn_from(self, folds: Folds, tops: Sequence[TopK], target: Target) -> None:
        """Fit the probabilities, and choose members and their combination."""
        pairs = Pairs(tops, folds, LEARNED_DEPTH)
        log_odds = []
        if self.normalization == "probability":
            self.maps_ = np.stack([fit_map(said, pairs) for said in pairs.said])
            log_odds = [
                log_odds_of(self.maps_[i], said.scores, said.log_ranks, pairs.log_counts[said.at])
                for i, said in enumerate(pairs.said)
            ]
        if self._searches_weights():
            values = [
                self._normalized(said.scores, np.exp(said.log_ranks), log_odds[i] if log_odds else None)
                for i, said in enumerate(pairs.said)
            ]
            self._combine(choose(pairs, log_odds, values, target))

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        members = max(last_step(member)._estimate_memory(n, d, L, nnz_x, nnz_y) for _, member in self.estimators)
        predicted = min(2 * JUDGED, n) * min(self.n_candidates, L) * len(self.estimators)
        learned = min(2 * JUDGED, n) * min(LEARNED_DEPTH * len(self.estimators), L)
        return int(members + 8 * (nnz_x + nnz_y) + 40 * predicted + learned * 8 * (10 + 8 * len(self.estimators)))

    # Prediction

    def _topk(self, X: Any, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        used = self._used()
        tops = [self._adds(i, *self._candidates(i, X.parts[i], labels, stop)) for i in used]
        shares = self.weights_[used] if self.combination_ == "mean" else np.ones(len(used))
        scores = _summed(tops, shares, self.classes_.size)
        if self.combination_ == "logistic":
            constant, of_count = self._combination.base
            scores.data = expit(constant + of_count * self._log_counts[scores.indices] + scores.data)
        if self._values.size:
            scores.data = scores.data * self._values[scores.indices]
        return TopK.from_csr(scores, k)

    def _candidates(
        self, i: int, X: Any, labels: NDArray[np.int32] | None, stop: StopByte
    ) -> tuple[TopK, NDArray[np.int64]]:
        """Return the best allowed labels of member `i`, and their ranks among all labels if they matter."""
        depth = min(self.n_candidates, self.classes_.size)
        if self.normalization != "none":
            return self._ranked_candidates(i, X, depth, labels, stop)
        return last_step(self.estimators_[i])._topk(X, depth, labels, stop), np.arange(1, depth + 1)

    def _adds(self, i: int, top: TopK, ranks: NDArray[np.int64]) -> TopK:
        """Return the predictions of member `i` with what each adds to the score of its label, which is finite."""
        rows, slots = np.nonzero(top.filled())
        raw, ranks = top.scores[rows, slots].astype(np.float64), np.broadcast_to(ranks, top.scores.shape)[rows, slots]
        log_odds = counts = None
        if self.maps_.size:
            counts = self._log_counts[top.ids[rows, slots]].astype(np.float64)
            log_odds = log_odds_of(self.maps_[i], raw, np.log(ranks), counts)
        if log_odds is not None and counts is not None and self.combination_ == "logistic":
            added = evidence(log_odds, counts) @ self._combination.terms[i]
        else:
            added = self._normalized(raw, ranks, log_odds)
        scores = np.full(top.scores.shape, -np.inf, np.float32)
        scores[rows, slots] = added
        return top._replace(scores=scores)

    def _normalized(
        self, raw: NDArray[np.float64], ranks: NDArray[Any], log_odds: NDArray[np.float64] | None
    ) -> NDArray[np.float64]:
        """Return scores that can be averaged."""
        if log_odds is not None:
            return np.asarray(expit(log_odds))
        return 1 / (1 + ranks) if self.normalization == "rank" else raw

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        members, headers = self._packed_members()
        return members | self._fitted_arrays(), {"members": headers}

    def _fitted_arrays(self) -> Arrays:
        return {  # Members check their own.
            "weights": self.weights_,
            "maps": self.maps_,
            "log_counts": self._log_counts,
            "values": self._values,
            "base": self._combination.base,
            "terms": self._combination.terms,
        }

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        self.estimators = self._unpack_members(arrays, metadata["members"], verify)
        self._check_unpacked()
        n_members, n_labels = len(self.estimators), self.classes_.size
        arrays = _upgraded(arrays, n_labels)
        probable, logistic = self.normalization == "probability", arrays["base"].size > 0
        shapes = {
            "weights": (n_members,),
            "maps": (n_members if probable else 0, 4),
            "log_counts": (n_labels if probable else 0,),
            "values": (n_labels if self._for_rare_labels() else 0,),
            "base": (2 if logistic and probable else 0,),
            "terms": (n_members if logistic else 0, 6),
        }
        for name, shape in shapes.items():
            if arrays[name].shape != shape or arrays[name].dtype.kind != "f" or not np.isfinite(arrays[name]).all():
                raise ModelFileError(
                    f"The {name} of the model have shape {arrays[name].shape} or are not finite; expected {shape}."
                )
        self.maps_, self._log_counts, self._values = arrays["maps"], arrays["log_counts"], arrays["values"]
        weights = _check_weights(arrays["weights"], n_members)
        self._combine(Combination(weights, arrays["base"], arrays["terms"]))


def blend_topk(tops: Sequence[TopK], weights: ArrayLike, k: int, n_labels: int) -> TopK:
    """Rank labels by the weighted mean of their scores in several predictions.

    Parameters
    ----------
    tops : sequence of TopK
        At least one, all of the same rows. A label absent from the prediction for a row counts as score 0 there, so
        scores should be at least 0. The order of labels within a row does not matter.
    weights : array-like of float, shape (n_tops,)
        Each at least 0 and one above 0; they are scaled to sum to one.
    k : int
        Predictions for each row, at least 1.
    n_labels : int
        Size of the label space.

    Returns
    -------
    TopK
        With ``min(k, n_labels)`` slots. Only labels in at least one of `tops` are predicted.

    Raises
    ------
    ValueError
        If numbers of rows differ, weights are negative, not finite, all 0 or not as many as `tops`, or ids are not
        below `n_labels`.

    Notes
    -----
    Cost: one sort of all predictions.

    Examples
    --------
    >>> from xclassic import TopK, blend_topk
    >>> tops = [TopK.from_dense([[0.75, 0.25, 0.0]], k=2), TopK.from_dense([[0.0, 0.25, 0.5]], k=2)]
    >>> blend_topk(tops, [1, 1], k=3, n_labels=3).ids
    array([[0, 1, 2]], dtype=int32)
    """
    tops, shares = [check_topk(top) for top in tops], _check_weights(weights, len(tops))
    n_rows = {top.n_rows for top in tops}
    if len(n_rows) != 1:
        raise ValueError(f"The predictions have {sorted(n_rows)} rows; pass at least one TopK, all of the same rows.")
    return TopK.from_csr(_summed(tops, shares, n_labels), k)


def _check_weights(weights: Any, n_members: int) -> NDArray[np.float64]:
    """Return the weights scaled to sum to one, or raise if they are invalid."""
    values = np.asarray(weights)
    if values.shape != (n_members,) or values.dtype.kind not in "biuf":
        raise ValueError(f"weights is {weights!r}; pass one number for each of the {n_members} members.")
    if not np.isfinite(values).all() or (values < 0).any() or not (values > 0).any():
        raise ValueError(f"weights is {weights!r}; weights are finite and at least 0, and one must be above 0.")
    return values / values.sum(dtype=np.float64)


def _summed(tops: Sequence[TopK], shares: NDArray[np.float64], n_labels: int) -> csr_array:
    """Return the sum of the scores in all predictions, each times its share, for each label that one of them names."""
    parts = [top.to_csr(n_labels).tocoo() for top in tops]
    scores = np.concatenate([share * part.data.astype(np.float64) for share, part in zip(shares, parts, strict=True)])
    rows, ids = (np.concatenate([getattr(part, axis) for part in parts]) for axis in ("row", "col"))
    return csr_array((scores, (rows, ids)), shape=parts[0].shape)


def _upgraded(arrays: Arrays, n_labels: int) -> Arrays:
    """Return the arrays of a blend; earlier versions had weighted means alone, and maps without frequencies."""
    if "terms" in arrays:
        return {name: np.asarray(arrays[name]) for name in ("weights", "maps", "log_counts", "values", "base", "terms")}
    maps = np.asarray(arrays["maps"])
    without = mean_of(np.asarray(arrays["weights"]))
    return {
        "weights": without.weights,
        "maps": np.hstack([maps, np.zeros((maps.shape[0], 1))]),
        "log_counts": np.zeros(n_labels if maps.size else 0, np.float32),
        "values": np.empty(0, np.float32),
        "base": without.base,
        "terms": without.terms,
    }
