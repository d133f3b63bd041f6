"""An estimator that predicts sets of labels, by thresholds chosen on rows that are held out from it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.pipeline import Pipeline

from xclassic.base import MAX_SCORES, XMCClassifier
from xclassic.ensemble.aims import read_aim
from xclassic.ensemble.composite import OfOne
from xclassic.ensemble.cross_fitting import JUDGED, check_cv, choose_folds
from xclassic.ensemble.members import RawRows, last_step
from xclassic.ensemble.thresholds import BY_ODDS, STRATEGIES, Thresholds, find_thresholds
from xclassic.parallel import StopByte
from xclassic.storage.arrays import stored_count
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.storage.models import Metadata
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice


class ThresholdedClassifier(OfOne):
    """Predicts sets of labels that are as good as they can be for a metric of sets.

    Rankings and scores are those of the estimator. ``predict`` chooses from them by thresholds that were chosen on
    rankings of training rows by fits without these rows.

    Parameters
    ----------
    estimator : XMCClassifier or Pipeline
        Any estimator, or a pipeline that ends in one and brings features of its own. It is cloned.
    aim : {"micro_f1", "macro_f1", "example_f1"} or ("precision", float), default="micro_f1"
        What the sets maximize: F1 of all pairs of rows and labels, the mean F1 of labels, the mean F1 of rows, or, as
        ``("precision", r)``, the precision at which at least the share r of the true pairs is found.
    strategy : {"auto", "one", "probability", "row", "count", "label"}, default="auto"
        One threshold for all scores, one for probabilities, the best number of labels for each row, the same number for
        all rows, or a threshold for each label: see `choose_thresholds`. ``"auto"`` takes the one that is best on
        held-out parts of the held-out rows.
    cv : "auto" or int, default="auto"
        Rows that are held out in turn from fits on the others: a number of folds, at least 2, of rows drawn at random.
        ``"auto"`` holds out a fifth of the rows, at most 10,000, five times or until 10,000 were held out.
    n_jobs : int, optional
        Workers, as joblib counts them, also for the fits of an estimator that has none set itself. The model does not
        depend on it.
    random_state : int or None, default=0
        Seed of the choice of held-out rows.
    verbose : int, default=0
        Above 0, show the progress of predictions. The estimator has its own.

    Attributes
    ----------
    thresholds_ : Thresholds
        What ``predict`` chooses by.

    See Also
    --------
    choose_thresholds : Chooses thresholds for ready rankings.
    metrics.f1 : Micro and macro F1 of sets.

    Notes
    -----
    Without a held-out row that has a true label among the candidates, as with a single row, thresholds are what
    ``predict`` of the estimator takes without arguments. After a fit on a class vector ``predict`` answers the best
    class, whatever the thresholds.

    At most the 100 best labels of a row are chosen from.

    ``predict(threshold=...)`` and ``predict(k_predict=...)`` choose by what they say instead.

    `X` is whatever the estimator reads, as for `Blend`, and ``fit`` hands weights on to it. Held-out rows, on which
    thresholds are chosen, count once each.

    Cost: the fit of the estimator, up to five times, of which four on four fifths of the rows; with more than 50,000
    rows twice. The choice takes seconds.

    References
    ----------
    .. [1] Z. C. Lipton, C. Elkan and B. Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure",
       ECML PKDD 2014.
    .. [2] N. Ye, K. M. A. Chai, W. S. Lee and H. L. Chieu, "Optimizing F-measure: a tale of two approaches", ICML 2012.

    Examples
    --------
    >>> from xclassic import DiSMEC, ThresholdedClassifier, datasets, metrics
    >>> bibtex = datasets.load_bibtex()
    >>> plain = DiSMEC().fit(bibtex.X, bibtex.Y)
    >>> chosen = ThresholdedClassifier(DiSMEC(), aim="macro_f1", cv=2).fit(bibtex.X, bibtex.Y)
    >>> of_plain, of_chosen = (
    ...     metrics.f1(bibtex.Y_test, model.predict(bibtex.X_test), average="macro") for model in (plain, chosen)
    ... )
    >>> of_chosen > of_plain + 0.05
    True
    """

    thresholds_: Thresholds

    def __init__(
        self,
        estimator: XMCClassifier | Pipeline,
        *,
        aim: str | tuple[str, float] = "micro_f1",
        strategy: str = "auto",
        cv: str | int = "auto",
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.aim = aim
        self.strategy = strategy
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @property
    def _probabilistic(self) -> bool:  # type: ignore[override]
        return bool(last_step(self.estimator)._probabilistic)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        read_aim(self.aim)
        check_choice("strategy", self.strategy, ("auto", *STRATEGIES))
        check_cv(self.cv)

    def _fit(self, X: Features | RawRows, Y: csr_array, **weights: Any) -> None:
        self.estimators_ = [self._fit_estimator(X, Y, weights)]
        self.thresholds_ = self._cross_fitted(X, Y, weights) or self._usual()

    def _cross_fitted(self, X: Features | RawRows, Y: csr_array, weights: dict[str, Any]) -> Thresholds | None:
        """Return thresholds chosen on held-out rows, or None if there is nothing to choose by."""
        folds = choose_folds(Y, self.cv, self.random_state, stratified=False)
        if not folds.splits:
            return None
        top = self._held_out(X, Y, folds, weights, min(MAX_SCORES, Y.shape[1]))
        counts = np.bincount(Y.indices, minlength=Y.shape[1])
        return find_thresholds(folds, counts, top, read_aim(self.aim), self.strategy, self.random_state)

    def _usual(self) -> Thresholds:
        strategy, value = ("one", 0.5) if self._probabilistic else ("count", -float(self._labels_per_row))
        depth = min(MAX_SCORES, self.classes_.size)
        return Thresholds(strategy, np.array([value]), np.empty(0), np.empty(0, np.int64), depth)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        learned = min(2 * JUDGED, n) * min(MAX_SCORES, L) * 200
        return super()._estimate_memory(n, d, L, nnz_x, nnz_y) + learned

    def _topk(self, X: Any, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        top: TopK = last_step(self.estimator_)._topk(X.parts[0], k, labels, stop)
        return top

    def _label_sets(self, X: Any, threshold: float | None, k_predict: int | None) -> TopK:
        if threshold is not None or k_predict is not None:
            return super()._label_sets(X, threshold, k_predict)
        return self.thresholds_.sets(self._ranked(self._check_input(X, reset=False), self.thresholds_.depth))

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        members, headers = self._packed_members()
        metadata = {"members": headers, "strategy": self.thresholds_.strategy, "depth": self.thresholds_.depth}
        return members | self._threshold_arrays(), metadata

    def _threshold_arrays(self) -> Arrays:
        return {name: getattr(self.thresholds_, name) for name in ("values", "coefficients", "counts")}

    def _fitted_arrays(self) -> Arrays:
        return {"coefficients": self.thresholds_.coefficients}  # Thresholds may be infinite.

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        self._unpack_estimator(arrays, metadata["members"], verify)
        strategy, n_labels = metadata["strategy"], self.classes_.size
        if strategy not in STRATEGIES:
            raise ModelFileError(f"The model chooses by {strategy!r}; it must be one of {', '.join(STRATEGIES)}.")
        by_odds = strategy in BY_ODDS
        shapes = {
            "values": ((n_labels if strategy == "label" else 1,), "f"),
            "coefficients": ((5 if by_odds else 0,), "f"),
            "counts": ((n_labels if by_odds else 0,), "i"),
        }
        for name, (shape, kind) in shapes.items():
            array = arrays[name]
            if array.shape != shape or array.dtype.kind != kind or np.isnan(array).any():
                raise ModelFileError(
                    f"The {name} of the thresholds have shape {array.shape} and dtype {array.dtype}, or are not "
                    f"numbers; expected {shape}."
                )
        values, coefficients, counts = (np.asarray(arrays[name]) for name in shapes)
        self.thresholds_ = Thresholds(strategy, values, coefficients, counts, stored_count(metadata, "depth"))
