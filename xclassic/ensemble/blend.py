"""Several estimators used together: a weighted mean of their normalized predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn import config_context
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import _BaseComposition

from xclassic.base import XMCClassifier
from xclassic.datasets import stratified_split
from xclassic.ensemble.members import (
    MemberRows,
    RawRows,
    is_matrix,
    last_step,
    naming,
    path_to_last_step,
    prepared,
    raw_rows,
    reads_features,
)
from xclassic.metrics._inputs import read_pairs
from xclassic.parallel import StopByte, default_workers
from xclassic.pipelines import predict_topk
from xclassic.storage.arrays import with_prefix, without_prefix
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.storage.models import Metadata, packed, unpacked
from xclassic.topk import TopK, check_topk
from xclassic.validation.features import Features, check_features
from xclassic.validation.parameters import check_choice, check_number
from xclassic.weighing import TakesWeights, refuse_not_taken

NORMALIZATIONS = ("probability", "rank", "none")
MAX_HELD_OUT = 10_000  # Rows. All blends are compared on the same rows, so more would hardly change the choice.
SHARES = np.linspace(0, 1, 41)  # Shares of one member in the blend that the search for weights tries.
# What a hit in each of the first five slots adds to the mean of P@1, P@3 and P@5.
GAINS = [sum(1 / k for k in (1, 3, 5) if slot < k) / 3 for slot in range(5)]


class Blend(TakesWeights, XMCClassifier, _BaseComposition):
    r"""Weighted mean of the predictions of several estimators, with weights fitted on held-out rows.

    Methods that err on different rows make a blend that is more accurate than any of them. Where one member is better
    throughout, as least squares is on bibtex, it gets nearly all the weight and little is gained. Each member names its
    best `n_candidates` labels, :math:`B_m(x)`; a label's score is

    .. math:: s_l(x) = \sum_m w_m \, [l \in B_m(x)] \, f_m(s_{ml}(x), r_{ml}(x)), \qquad w_m \ge 0, \; \sum_m w_m = 1

    with :math:`s_{ml}` the score and :math:`r_{ml} = 1, 2, \dots` the rank that member m gives to label l, and
    :math:`f_m` its normalization.

    Parameters
    ----------
    estimators : list of (str, XMCClassifier or Pipeline) pairs
        The members by name. They are cloned; ``set_params(name__C=2)`` sets a parameter of one, and
        ``set_params(name=...)`` replaces it. A pipeline ends in an estimator, and brings features of its own.
    weights : "auto", None, or sequence of float, shape (n_members,), default="auto"
        ``"auto"`` chooses the weights with the highest mean of P@1, P@3 and P@5 on held-out rows; None means equal
        weights. Given weights, of which one must be above 0, are scaled to sum to one. Members of weight 0 are not
        queried.
    normalization : {"probability", "rank", "none"}, default="probability"
        ``"probability"``: the logistic function of :math:`a + b \, s + c \log r`, fitted for each member on held-out
        rows; the blend then has probabilities too. ``"rank"``: :math:`1 / (1 + r)`, which needs no rows. ``"none"``:
        the score itself, for members of one scale whose scores are at least 0, such as probabilities.
    n_candidates : int, default=100
        Labels that each member names; all further labels count as absent and add 0. The blend predicts no others,
        so ask for more candidates if you need more than this many predictions.
    validation_share : float, default=0.3
        Share of the training rows that are held out, in (0, 1); at most 10,000 rows. Members are fitted twice, first
        without them and then on all rows, or once if neither weights nor probabilities have to be fitted. On bibtex
        (4,880 rows) the weights chosen with 0.1 were on average worse, and less steady, than with 0.3; 0.2 lay between.
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
        They sum to one.
    maps_ : ndarray of float64, shape (n_members, 3) or (0, 3)
        The coefficients a, b and c of each member for ``normalization="probability"``.

    See Also
    --------
    blend_topk : The weighted mean of ready predictions.

    Notes
    -----
    The weights are found by coordinate search from equal ones: the share of one member is tried on a grid of 41 values
    from 0 to 1, the others keeping their proportions, and the best is kept, until no change of a share improves it. On
    the held-out rows the result is not worse than the best member and equal weights, and for two members than the
    whole grid. Few held-out rows make a noisy choice: with fewer than a thousand, consider equal weights.

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

    ``fit`` hands weights on to the members, if all of them take them. Held-out rows, on which the blend itself learns,
    count once each.

    Cost: the fits of the members, twice, and a search that takes seconds at most. A prediction costs those of the
    members, twice under a restriction, and O(n_members n_candidates log) per row.

    References
    ----------
    .. [1] G. V. Cormack, C. L. A. Clarke and S. Büttcher, "Reciprocal rank fusion outperforms Condorcet and individual
       rank learning methods", SIGIR 2009.
    .. [2] J. Platt, "Probabilistic outputs for support vector machines and comparisons to regularized likelihood
       methods", Advances in Large Margin Classifiers, 1999.

    Examples
    --------
    >>> from xclassic import Blend, DiSMEC, OneVsRestLeastSquares, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> blend = Blend([("margins", DiSMEC()), ("squares", OneVsRestLeastSquares())])
    >>> blend = blend.fit(bibtex.X, bibtex.Y)
    >>> blend.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    _not_saved: ClassVar[tuple[str, ...]] = ("estimators",)

    estimators_: list[Any]
    weights_: NDArray[np.float64]
    maps_: NDArray[np.float64]

    def __init__(
        self,
        estimators: Sequence[tuple[str, XMCClassifier | Pipeline]],
        *,
        weights: str | Sequence[float] | None = "auto",
        normalization: str = "probability",
        n_candidates: int = 100,
        validation_share: float = 0.3,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.estimators = estimators
        self.weights = weights
        self.normalization = normalization
        self.n_candidates = n_candidates
        self.validation_share = validation_share
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
    def _probabilistic(self) -> bool:  # type: ignore[override]
        if self.normalization == "none":
            return all(last_step(member)._probabilistic for _, member in self.estimators)
        return self.normalization == "probability"

    @property
    def _reads_features(self) -> bool:
        return all(reads_features(member) for _, member in self.estimators)

    @property
    def _rows_per_task(self) -> int:  # type: ignore[override]
        return max(last_step(self.estimators_[i])._rows_per_task for i in self._used())

    def _known_labels(self) -> list[Any]:
        return [label for _, member in self.estimators for label in last_step(member)._known_labels()]

    def _used(self) -> list[int]:
        """Return the fitted members that are queried."""
        return np.flatnonzero(self.weights_).tolist()

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice("normalization", self.normalization, NORMALIZATIONS)
        check_number("n_candidates", self.n_candidates, minimum=1, integer=True)
        check_number("validation_share", self.validation_share, minimum=0, maximum=1, inclusive=False)
        if self.validation_share == 1:
            raise ValueError("validation_share is 1; rows must remain to train on. It must be below 1.")
        if isinstance(self.weights, str):
            check_choice("weights", self.weights, ("auto",))

    def _check_members(self) -> None:
        """Check what needs the members, which a model that is being loaded does not have at first."""
        try:
            names = [name for name, _ in self.estimators]
        except (TypeError, ValueError) as error:
            raise TypeError(f"estimators must be a list of (name, estimator) pairs: {error}.") from error
        if not names:
            raise ValueError("estimators is empty; pass at least one (name, estimator) pair.")
        for name, member in self.estimators:
            if not isinstance(last_step(member), XMCClassifier):
                ends = "a Pipeline that ends in " if isinstance(member, Pipeline) else ""
                raise TypeError(
                    f"Member {name!r} is {ends}a {type(last_step(member)).__name__}; members are estimators of "
                    "xclassic, or pipelines that end in one."
                )
            with naming(name):
                last_step(member)._check_parameters()
        self._validate_names(names)
        self._given_weights()

    def _given_weights(self) -> NDArray[np.float64]:
        """Return the weights that the parameter gives, or equal weights if they have to be found."""
        given = np.ones(len(self.estimators)) if self.weights is None or isinstance(self.weights, str) else self.weights
        return _check_weights(given, len(self.estimators))

    # Rows, which members that are pipelines, or read texts, get as they come

    def _check_input(self, X: Any, *, reset: bool) -> Any:
        """Return rows for all members: to fit on, or as the estimator of each member predicts for them."""
        if reset:
            self._check_members()
        if self._reads_features or is_matrix(X):
            X = check_features(self, X, reset=reset)
        else:
            X = RawRows(X)
            if reset:
                self._forget_features(X)
        return X if reset else self._prepared(X)

    def _forget_features(self, X: RawRows) -> None:
        """Drop what an earlier fit on a matrix left: the features of these rows are known to the members alone."""
        if X.shape[0] == 0:
            raise ValueError("X has no rows; at least one is needed.")
        for name in {"n_features_in_", "feature_names_in_"} & vars(self).keys():
            delattr(self, name)

    def _prepared(self, X: Features | RawRows) -> MemberRows:
        parts: list[Any] = [None] * len(self.estimators_)
        with default_workers(self.n_jobs):
            for i in self._used() if X.shape[0] else []:
                with naming(self.estimators[i][0]):
                    parts[i] = prepared(self.estimators_[i], X)
        return MemberRows(parts, X.shape[0])

    # Training

    def _weights_taken(self) -> tuple[str, ...]:
        members = [last_step(member)._weights_taken() for _, member in self.estimators]
        return tuple(weight for weight in members[0] if all(weight in taken for taken in members))

    def _fit_checked(self, X: Any, y: Any, **options: Any) -> Self:
        self._fitted = False
        self._check_members()
        for name, member in self.estimators:
            with naming(name):
                refuse_not_taken(last_step(member), options)
        return super()._fit_checked(X, y, **options)

    def _fit(self, X: Features | RawRows, Y: csr_array, **weights: Any) -> None:
        self.weights_ = self._given_weights()
        self.maps_ = np.empty((0, 3))
        with default_workers(self.n_jobs):
            if self.normalization == "probability" or self._searches_weights():
                self._learn(X, Y, weights)
            self.estimators_ = self._fit_members(X, Y, weights)

    def _fit_members(self, X: Features | RawRows, Y: csr_array, weights: dict[str, Any]) -> list[Any]:
        fitted = []
        for name, member in self.estimators:
            own = {f"{path_to_last_step(member)}{weight}": value for weight, value in weights.items()}
            new = clone(member)
            last_step(new)._labels_of_columns = self._names_of_labels()
            with naming(name), config_context(enable_metadata_routing=False):  # Steps are named instead.
                fitted.append(new.fit(raw_rows(X), Y, **own))
        return fitted

    def _searches_weights(self) -> bool:
        return isinstance(self.weights, str) and len(self.estimators) > 1

    def _learn(self, X: Features | RawRows, Y: csr_array, weights: dict[str, Any]) -> None:
        """Fit the probabilities and the weights on held-out rows."""
        train, held_out = _split(Y, self.validation_share, self.random_state)
        of_train = {weight: value if weight == "label_weight" else value[train] for weight, value in weights.items()}
        members, rows = self._fit_members(X[train], Y[train], of_train), raw_rows(X[held_out])
        tops = [predict_topk(member, rows, self.n_candidates) for member in members]
        truth = csr_array(Y[held_out])
        ranks = np.arange(1, tops[0].k + 1)
        if self.normalization == "probability":
            self.maps_ = np.stack([_fit_map(top, truth) for top in tops])
        if self._searches_weights() and held_out.size:
            self.weights_ = _best_weights([self._normalized(i, top, ranks) for i, top in enumerate(tops)], truth)

    def estimate_memory(self, X: Any, y: Any) -> int:
        """Return the number of bytes that ``fit(X, y)`` will need at its peak, beyond `X` and `y` themselves.

        Parameters
        ----------
        X, y
            As for ``fit``; only their shapes and numbers of entries are read, and label lists are encoded.

        Returns
        -------
        int
            An estimate, meant to be right within a factor of two.

        Raises
        ------
        ValueError
            If a member is a pipeline or reads texts, since how many features it makes is known after its fit.
        """
        self._check_members()
        for name, member in self.estimators:
            if not reads_features(member):
                raise ValueError(
                    f"Member {name!r} is a {type(member).__name__} with features of its own, whose number is known "
                    "after its fit. Estimate the memory of its last step, on rows that the other steps have made."
                )
        return super().estimate_memory(X, y)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        members = max(member._estimate_memory(n, d, L, nnz_x, nnz_y) for _, member in self.estimators)
        entries = min(MAX_HELD_OUT, n * self.validation_share) * min(self.n_candidates, L) * len(self.estimators)
        return int(members + 8 * (nnz_x + nnz_y) + entries * (40 + 8 * len(self.estimators)))

    # Prediction

    def _topk(self, X: Any, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        used = self._used()
        tops = [self._normalized(i, *self._candidates(i, X.parts[i], labels, stop)) for i in used]
        return blend_topk(tops, self.weights_[used], k, self.classes_.size)

    def _candidates(
        self, i: int, X: Any, labels: NDArray[np.int32] | None, stop: StopByte
    ) -> tuple[TopK, NDArray[np.int64]]:
        """Return the best allowed labels of member `i`, and their ranks among all labels."""
        member, depth = last_step(self.estimators_[i]), min(self.n_candidates, self.classes_.size)
        top = member._topk(X, depth, labels, stop)
        slots = np.arange(depth)
        if labels is None or self.normalization == "none":
            return top, slots + 1
        best = member._topk(X, depth, None, stop)
        higher = best.scores[:, None, :] > top.scores[:, :, None]
        level = (best.scores[:, None, :] == top.scores[:, :, None]) & (best.ids[:, None, :] < top.ids[:, :, None])
        before = ((higher | level) & best.filled()[:, None, :]).sum(axis=2)
        beyond = before == best.counts[:, None]  # Labels that are candidates only under the restriction rank last.
        return top, 1 + before + np.cumsum(beyond, axis=1) - beyond

    def _normalized(self, i: int, top: TopK, ranks: NDArray[np.int64]) -> TopK:
        """Return the predictions of member `i` with scores that can be averaged."""
        if self.normalization == "none":
            return top
        if self.normalization == "rank":
            scores = np.broadcast_to(1 / (1 + ranks), top.scores.shape)
        else:
            constant, of_score, of_rank = self.maps_[i]
            raw = np.where(top.filled(), top.scores, 0).astype(np.float64)
            scores = expit(constant + of_score * raw + of_rank * np.log(ranks))
        return top._replace(scores=np.where(top.filled(), scores, -np.inf).astype(np.float32))

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays: Arrays = {"weights": self.weights_, "maps": self.maps_}
        headers = []
        for i, (name, member) in enumerate(self.named_estimators_.items()):
            header, member_arrays = packed(member)
            headers.append({"name": name, **header})
            arrays |= with_prefix(f"member.{i}.", member_arrays)
        return arrays, {"members": headers}

    def _fitted_arrays(self) -> Arrays:
        return {"weights": self.weights_, "maps": self.maps_}  # Members check their own.

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        headers = metadata["members"]
        self.estimators_ = [
            unpacked(header, without_prefix(f"member.{i}.", arrays), verify) for i, header in enumerate(headers)
        ]
        self.estimators = [
            (header["name"], clone(member)) for header, member in zip(headers, self.estimators_, strict=True)
        ]
        self._check_members()
        n_features = getattr(self, "n_features_in_", None)
        for name, member in self.named_estimators_.items():
            own = getattr(member, "n_features_in_", n_features)
            if member.classes_.size != self.classes_.size or (
                own != n_features and (n_features is not None or reads_features(member))
            ):
                raise ModelFileError(f"Member {name!r} of the model has other labels or features than the model.")
        self.weights_ = _check_weights(arrays["weights"], len(headers))
        self.maps_ = np.asarray(arrays["maps"], np.float64)
        expected = (len(headers) if self.normalization == "probability" else 0, 3)
        if self.maps_.shape != expected or not np.isfinite(self.maps_).all():
            raise ModelFileError(f"The maps of the model have shape {self.maps_.shape} or are not finite.")


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
    parts = [top.to_csr(n_labels).tocoo() for top in tops]
    scores = np.concatenate([share * part.data.astype(np.float64) for share, part in zip(shares, parts, strict=True)])
    rows, ids = (np.concatenate([getattr(part, axis) for part in parts]) for axis in ("row", "col"))
    return TopK.from_csr(csr_array((scores, (rows, ids)), shape=parts[0].shape), k)


def _check_weights(weights: Any, n_members: int) -> NDArray[np.float64]:
    """Return the weights scaled to sum to one, or raise if they are invalid."""
    values = np.asarray(weights)
    if values.shape != (n_members,) or values.dtype.kind not in "biuf":
        raise ValueError(f"weights is {weights!r}; pass one number for each of the {n_members} members.")
    if not np.isfinite(values).all() or (values < 0).any() or not (values > 0).any():
        raise ValueError(f"weights is {weights!r}; weights are finite and at least 0, and one must be above 0.")
    return values / values.sum(dtype=np.float64)


# Weights and probabilities, which are learned on held-out rows


def _split(Y: csr_array, share: float, random_state: Any) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows to train on and those held out; a single row is only trained on."""
    n_held_out = min(MAX_HELD_OUT, int(np.ceil(share * Y.shape[0])), Y.shape[0] - 1)
    if n_held_out == 0:
        return np.arange(Y.shape[0]), np.arange(0)
    return stratified_split(Y, test_size=n_held_out, random_state=random_state)


def _fit_map(top: TopK, truth: csr_array) -> NDArray[np.float64]:
    """Fit the probability that a prediction is right: a logistic function of score and logarithm of rank."""
    rows, slots = np.nonzero(top.filled())
    hits = _are_hits(truth, rows, top.ids[rows, slots])
    if hits.all() or not hits.any():  # A slope needs both hits and misses.
        return np.array([0.0, 1.0, 0.0])
    features = np.column_stack([top.scores[rows, slots], np.log(1 + slots)]).astype(np.float64)
    center, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-12)
    model = LogisticRegression().fit((features - center) / scale, hits)
    slopes = model.coef_[0] / scale
    return np.array([model.intercept_[0] - slopes @ center, *slopes])


def _are_hits(truth: csr_array, rows: NDArray[np.int64], ids: NDArray[Any]) -> NDArray[np.bool_]:
    if truth.shape[0] == 0:
        return np.zeros(rows.size, np.bool_)
    return read_pairs(truth, "Y").contain(rows * truth.shape[1] + ids)


def _best_weights(tops: Sequence[TopK], truth: csr_array) -> NDArray[np.float64]:
    """Search the simplex, one coordinate after the other, for the highest mean of P@1, P@3 and P@5."""
    scores, hits = _aligned(tops, truth)
    weights = np.full(len(tops), 1 / len(tops))
    best = _mean_precision(scores, hits, weights)
    found = True
    while found:
        found = False
        for member in range(len(tops)):
            trials = [_with_share(weights, member, share) for share in SHARES]
            values = [_mean_precision(scores, hits, trial) for trial in trials]
            if max(values) > best + 1e-12:
                best, found = max(values), True
                weights = trials[int(np.argmax(values))]
    return weights


def _with_share(weights: NDArray[np.float64], member: int, share: float) -> NDArray[np.float64]:
    """Return the weights with one set to `share`; the others keep their proportions, or are equal if all are 0."""
    others = weights.copy()
    others[member] = 0
    if not others.any():
        others = np.where(np.arange(weights.size) == member, 0.0, 1.0)
    trial = others / others.sum() * (1 - share)
    trial[member] = share
    return trial


def _aligned(tops: Sequence[TopK], truth: csr_array) -> tuple[list[NDArray[np.float32]], NDArray[np.bool_]]:
    """Lay out all candidates of a row side by side, in the order of their ids.

    Returns the scores of each member, shape (n_rows, n_slots), and which candidates are true. A score is 0 for labels
    that the member does not name, and minus infinity for slots beyond the last candidate.
    """
    n_rows, n_labels = truth.shape
    named = [np.nonzero(top.filled()) for top in tops]
    keys = [rows * n_labels + top.ids[rows, slots] for top, (rows, slots) in zip(tops, named, strict=True)]
    union = np.unique(np.concatenate(keys))
    rows = union // n_labels
    starts = np.searchsorted(rows, np.arange(n_rows))
    slots = np.arange(union.size) - starts[rows]
    shape = (n_rows, int(slots.max(initial=-1)) + 1)
    filled = np.zeros(shape, np.bool_)
    filled[rows, slots] = True
    scores = []
    for top, own, place in zip(tops, keys, named, strict=True):
        values = np.where(filled, np.float32(0), np.float32(-np.inf))
        at = np.searchsorted(union, own)
        values[rows[at], slots[at]] = top.scores[place]
        scores.append(values)
    hits = np.zeros(shape, np.bool_)
    hits[rows, slots] = _are_hits(truth, rows, union % n_labels)
    return scores, hits


def _mean_precision(
    scores: Sequence[NDArray[np.float32]], hits: NDArray[np.bool_], weights: NDArray[np.float64]
) -> float:
    """Return the mean of P@1, P@3 and P@5 of a blend."""
    blended = np.where(np.isneginf(scores[0]), scores[0], np.float32(0))
    for weight, part in zip(weights, scores, strict=True):
        if weight:
            blended += np.float32(weight) * part
    value, rows = 0.0, np.arange(hits.shape[0])
    for gain in GAINS[: hits.shape[1]]:
        first = np.argmax(blended, axis=1)  # Of equal scores, the first has the smallest id.
        value += gain * hits[rows, first].mean()
        blended[rows, first] = -np.inf
    return value
