"""Scores as probabilities, learned on rows that were held out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.pipeline import Pipeline

from xclassic.base import XMCClassifier
from xclassic.ensemble.combining import hardly_below
from xclassic.ensemble.composite import OfOne
from xclassic.ensemble.cross_fitting import JUDGED, Folds, check_cv, choose_folds
from xclassic.ensemble.members import RawRows
from xclassic.ensemble.pairs import Pairs
from xclassic.ensemble.probability_maps import (
    METHODS,
    IsotonicMap,
    ProbabilityMap,
    fit_maps,
    map_arrays,
    read_map,
    unfitted_map,
)
from xclassic.metrics.calibration import calibration_gap
from xclassic.parallel import StopByte
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.storage.models import Metadata
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number

REPORTED_DEPTH, REPORTED_BINS = 5, 15


class Calibrated(OfOne):
    r"""The predictions of an estimator with probabilities as scores.

    Margins, similarities and votes rank labels; how sure they are, they do not say. This estimator predicts training
    rows by models that were fitted without them, and learns from these predictions what a score means: how often a
    label of that score, and of that number of training rows, is true. Among ten predictions of 0.3 about three are
    right then, whatever the estimator, so that scores of several models can be compared, and thresholds chosen.

    Parameters
    ----------
    estimator : XMCClassifier or Pipeline
        What ranks the labels: an estimator, or a pipeline that ends in one and brings features of its own. It is
        cloned.
    method : {"auto", "logistic", "isotonic"}, default="auto"
        ``"logistic"``: the logistic function of :math:`a + b(t) \, s + c \, t - d \log r`, with s the score, r the rank
        among all labels of the row, t the logarithm of one more than the training rows of the label, and b a line
        above 0. ``"isotonic"``: any rising function of the score, in one, two, four or eight bands of frequencies and
        in each for the best five labels of a row, those up to rank 20, and all others. ``"auto"`` chooses between both
        on held-out rows, as ``"isotonic"`` chooses the number of its bands.
    n_candidates : int, default=100
        Labels that the estimator names, which are ranked by their probability; all further labels count as absent.
    cv : "auto" or int, default="auto"
        Rows that are held out in turn from estimators that are fitted on the others: a number of random folds, at
        least 2. ``"auto"`` holds out a fifth of the rows, at most 10,000, five times or until 10,000 were held out.
    n_jobs : int, optional
        Workers, as joblib counts them, also for the fits of the estimator if it has none set itself. The model does
        not depend on it.
    random_state : int or None, default=0
        Seed of the choice of held-out rows.
    verbose : int, default=0
        Above 0, show the progress of predictions. The estimator has its own.

    Attributes
    ----------
    estimator_ : XMCClassifier or Pipeline
        The fitted one, on all rows. It uses the label ids of the whole.
    method_ : {"logistic", "isotonic"}
        What was chosen.
    calibration_error_ : float
        Expected calibration error of the five best labels of held-out rows, as `metrics.expected_calibration_error`
        has it, each half of the rows by a map that was fitted on the other half; NaN if no rows were held out.

    See Also
    --------
    metrics.expected_calibration_error : How far probabilities are from what comes true.
    Blend : Several estimators as one, with probabilities too.

    Notes
    -----
    Labels of one number of training rows stay in the order of the estimator: all maps rise with the score, and none
    gives a lower rank more. Between frequencies the order changes where a score means more for one than for the other.
    The isotonic map of a single band, with which hardly any order changes, is taken unless the Brier score of held-out
    rows is lower with another one by more than its standard error. Steps of isotonic maps are joined by lines, and a
    hundredth of the logistic map is added to them, so that scores which differ stay different.

    With ``labels`` or ``exclude`` the estimator names its best candidates among those allowed. Ranks stay those among
    all labels, so that a probability does not depend on what else is allowed.

    What the estimator chooses itself where a parameter is "auto", such as the `propensity_power` of
    `OneVsRestLeastSquares`, it chooses on all rows, and the fits without held-out rows take the same: other choices
    would give scores of another scale.

    Held-out rows are drawn at random, and not so that each label keeps rows to learn from, as
    `datasets.stratified_kfold` does: labels that no other row has occur in rows to come as well, and count as missed.
    Weights are handed on to the estimator. Rows count once each for the map.

    With a single row, or if no label is predicted for held-out rows, probabilities are the logistic function of the
    score. After a fit on a class vector the probabilities of a row are divided by their sum.

    Cost: the fit of the estimator, up to six times, five of them on four fifths of the rows; with more than 50,000
    rows two or three times. The map takes seconds. A prediction costs that of the estimator, twice under a restriction.

    References
    ----------
    .. [1] J. Platt, "Probabilistic outputs for support vector machines and comparisons to regularized likelihood
       methods", Advances in Large Margin Classifiers, 1999.
    .. [2] B. Zadrozny and C. Elkan, "Transforming classifier scores into accurate multiclass probability estimates",
       KDD 2002.

    Examples
    --------
    >>> from xclassic import Calibrated, DiSMEC, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = Calibrated(DiSMEC()).fit(bibtex.X[:1000], bibtex.Y[:1000])
    >>> top = clf.predict_topk(bibtex.X_test, k=5)
    >>> bool((0 <= top.scores).all() and (top.scores <= 1).all())
    True
    """

    _probabilistic = True

    calibration_error_: float
    _map: ProbabilityMap
    _log_counts: NDArray[np.float64]  # shape (n_labels,)

    def __init__(
        self,
        estimator: XMCClassifier | Pipeline,
        *,
        method: str = "auto",
        n_candidates: int = 100,
        cv: str | int = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.method = method
        self.n_candidates = n_candidates
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @property
    def method_(self) -> str:
        return "isotonic" if isinstance(self._map, IsotonicMap) else "logistic"

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice("method", self.method, METHODS)
        check_number("n_candidates", self.n_candidates, minimum=1, integer=True)
        check_cv(self.cv)

    # Training

    def _fit(self, X: Features | RawRows, Y: csr_array, **weights: Any) -> None:
        self._log_counts = np.log1p(np.bincount(Y.indices, minlength=Y.shape[1]))
        folds = choose_folds(Y, self.cv, self.random_state, stratified=False)
        self.estimators_ = [self._fit_estimator(X, Y, weights)]
        self._map, self.calibration_error_ = self._learn(X, Y, folds, weights)

    def _learn(
        self, X: Features | RawRows, Y: csr_array, folds: Folds, weights: dict[str, Any]
    ) -> tuple[ProbabilityMap, float]:
        """Return the map of held-out predictions, and its error."""
        if not folds.splits:
            return unfitted_map(), float("nan")
        depth = min(self.n_candidates, Y.shape[1])
        pairs = Pairs([self._held_out(X, Y, folds, weights, depth)], folds, depth)
        return _learned(pairs, self.method) if pairs.rows.size else (unfitted_map(), float("nan"))

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        pairs = min(2 * JUDGED, n) * min(self.n_candidates, L)
        return super()._estimate_memory(n, d, L, nnz_x, nnz_y) + 200 * pairs

    # Prediction

    def _topk(self, X: Any, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        depth = min(self.n_candidates, self.classes_.size)
        top, ranks = self._ranked_candidates(0, X.parts[0], depth, labels, stop)
        filled = top.filled()
        facts = np.stack([top.scores[filled], np.log(ranks[filled]), self._log_counts[top.ids[filled]]], axis=1)
        scores = np.full(top.scores.shape, -np.inf, np.float32)
        scores[filled] = self._map.probabilities(facts)
        return TopK.from_csr(top._replace(scores=scores).to_csr(self.classes_.size), k)

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        members, headers = self._packed_members()
        return members | self._fitted_arrays(), {"members": headers, "calibration_error": repr(self.calibration_error_)}

    def _fitted_arrays(self) -> Arrays:
        return {"log_counts": self._log_counts, **map_arrays(self._map)}  # The estimator checks its own.

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        self._unpack_estimator(arrays, metadata["members"], verify)
        self._log_counts = np.asarray(arrays["log_counts"])
        if self._log_counts.shape != self.classes_.shape or not np.isfinite(self._log_counts).all():
            raise ModelFileError(
                f"The frequencies of the model have shape {self._log_counts.shape} or are not finite; expected "
                f"{self.classes_.shape}."
            )
        try:
            self._map = read_map(arrays)
            self.calibration_error_ = float(metadata["calibration_error"])
        except ValueError as error:
            raise ModelFileError(f"The map of the model to probabilities is damaged: {error}") from error


def _learned(pairs: Pairs, method: str) -> tuple[ProbabilityMap, float]:
    """Return the best map of a method, fitted on all pairs, and its error on halves that it was not fitted on."""
    (said,) = pairs.said
    order = np.argsort(said.at)
    facts, hits = np.stack([said.scores[order], said.log_ranks[order], pairs.log_counts], axis=1), pairs.hits
    maps = fit_maps(method, facts, hits)
    half = pairs.rows % 2 == 0
    if half.all() or not half.any():
        return maps[0], float("nan")
    held_out = np.empty((len(maps), hits.size))
    for own in (half, ~half):
        for i, other in enumerate(fit_maps(method, facts[~own], hits[~own])):
            held_out[i, own] = other.probabilities(facts[own])
    gained = [np.bincount(pairs.rows, -((found - hits) ** 2), pairs.n_rows).astype(np.float64) for found in held_out]
    best = max(gained, key=np.mean)
    chosen = next(i for i, own in enumerate(gained) if hardly_below(own, best))
    at, _, _ = pairs.best(held_out[chosen], REPORTED_DEPTH)
    return maps[chosen], calibration_gap(held_out[chosen, at], hits[at], REPORTED_BINS)
