"""Labels as further training rows with soft targets (Gandalf: Kharbanda et al., KDD 2024)."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from copy import copy
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.utils.validation import check_is_fitted

from xclassic.base import Arrays, Metadata, Verify, XMCClassifier
from xclassic.datasets import stratified_split
from xclassic.features.label_rows import augment_with_labels, check_label_features, check_threshold
from xclassic.features.unseen_labels import UnseenLabels, fit_maps, labeled_features
from xclassic.parallel import StopByte, default_workers
from xclassic.storage.arrays import with_prefix, without_prefix
from xclassic.storage.folder import ModelFileError
from xclassic.storage.models import packed, unpacked
from xclassic.storage.registry import ESTIMATORS, find_class
from xclassic.topk import TopK
from xclassic.validation.features import Features, check_rows
from xclassic.validation.labels import class_array, find_labels, label_array
from xclassic.validation.parameters import check_choice
from xclassic.weighing import refusing_weights
from xclassic.weighted_ranking import ScoreWeights

HARD = 0.5  # Soft targets from here on are labels for methods that know no shares.
HELD_OUT, MAX_HELD_OUT = 0.2, 10_000  # Share and number of rows on which scores become probabilities.
N_RANKED = 20  # Labels of each of these rows.


class LabelAugmentation(XMCClassifier):
    r"""Fit any method on the training rows and one further row for each label.

    The further row of label l has the features of the label itself: its name, encoded as the rows are, or the centroid
    of its rows. It belongs to l, and to every label m that often occurs with l, with the share

    .. math:: g_{lm} = \frac{|\{i : y_{il} = y_{im} = 1\}|}{|\{i : y_{il} = 1\}|}, \qquad g_{ll} = 1,

    where that is at least `threshold`. So a rare label learns from its name and from its companions; labels without any
    training row can be predicted if they have features.

    Parameters
    ----------
    estimator : str or XMCClassifier, default="DiSMEC"
        The method, or the name of one with its defaults. `DiSMEC`, `PPDSparse`, and label trees with the squared hinge
        or the logistic loss, take the shares as weights of the positives (not `PLT`, and not `XRLinear` with hard
        negatives). Other methods get the labels whose share is at least 0.5, and a warning says so.
    threshold : float or None, default=0.1
        Smallest share that counts. Above 1 only the label itself is left. None adds no rows, so that features serve
        labels without rows alone.
    n_jobs : int, optional
        Workers, as joblib counts them, for `estimator` too if it does not set its own.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Attributes
    ----------
    unseen_ : object or None
        The labels that have features and no training row, if there are any.
    estimator_ : XMCClassifier
        The fitted method, whose labels are label ids. `xclassic.explain` takes it, with ``label_names=classes_``.

    See Also
    --------
    xclassic.features.augment_with_labels : The rows and targets alone.

    Notes
    -----
    The shares are counted on the training rows alone. Rows of labels without any feature are left out. So are, by
    default, labels of fewer than two rows: the centroid of one row is that row, which would count once more for each
    such label that it has.

    A label tree groups labels by the sums of their rows, to which the rows of the labels belong.

    ``predict_topk(X, unseen=True)`` ranks labels that have features and no training row by

    .. math:: \sigma(a s + b \log s + c), \qquad a, b \ge 0,

    with s the cosine of their features and those of the row, and all others by such a function of the score that
    `estimator` gives. Both are learned on a fifth of the rows, at most 10,000, that are held out at first: the one as
    if all labels had only features, the other by a fit on the remaining rows. Neither changes the order of labels
    within its kind. The constant of labels without rows is then lowered until P@1, P@3 and P@5 of the other labels
    fall, on these rows, by no more than the standard error of their mean, where a share of the labels plays those
    without rows; so their probabilities are too low rather than too high.

    Cost: that of `estimator` on ``n_rows + n_labels`` rows, and one sparse product of the labels with themselves; twice
    that if labels have features and no rows.
    Memory: a copy of `X` with these rows, and for each label at most ``labels_per_row / threshold`` shares of 8 bytes.

    References
    ----------
    .. [1] S. Kharbanda, D. Gupta, E. Schultheis, A. Banerjee, C.-J. Hsieh and R. Babbar, "Gandalf: Learning label-label
       correlations in extreme multi-label classification via label features", KDD 2024.

    Examples
    --------
    >>> from xclassic import LabelAugmentation, Parabel, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = LabelAugmentation(Parabel(n_trees=1)).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)

    With names of labels, which the vectorizer of the texts encodes too:

    >>> from xclassic.features import TextFeatures
    >>> texts, names = ["stars and planets", "bread and butter"], ["planet names", "food like bread"]
    >>> features = TextFeatures(min_df=1).fit(texts + names)
    >>> clf = LabelAugmentation()
    >>> clf = clf.fit(features.transform(texts), ["sky", "table"], label_features=features.transform(names))
    >>> clf.predict(features.transform(["food"])).tolist()
    ['table']

    A label that no row has, but that has a name:

    >>> F = features.transform([*names, "bikes and cars"])
    >>> clf = clf.fit(features.transform(texts), ["sky", "table"], label_features=(["sky", "table", "street"], F))
    >>> clf.classes_.tolist()
    ['sky', 'street', 'table']
    """

    _not_saved = ("estimator",)

    unseen_: UnseenLabels | None
    _labels_of_features: list[Any] | None = None
    _ranks_unseen: bool = False

    def __init__(
        self,
        estimator: str | XMCClassifier = "DiSMEC",
        *,
        threshold: float | None = 0.1,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.threshold = threshold
        self.n_jobs = n_jobs
        self.verbose = verbose

    @refusing_weights
    def fit(self, X: Any, y: Any, label_features: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
            See `XMCClassifier.fit`.
        label_features : sparse matrix or array-like, shape (n_labels, n_features), or pair of labels and this, optional
            A row for each label, in the order of ``classes_``: for lists and class vectors their sorted distinct
            labels, which `xclassic.encode_labels` returns. A pair ``(labels, matrix)`` says whose rows they are:
            labels that no row of `y` has are among ``classes_`` too, and others may have no features. By default the
            centroids of the labels' rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If `label_features` is no such matrix, or as `XMCClassifier.fit`.
        """
        self._labels_of_features, label_features = labeled_features(label_features)
        return self._fit_checked(X, y, label_features=label_features)

    def _known_labels(self) -> Sequence[Any]:
        return self._labels_of_features or ()

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if self.threshold is not None:
            check_threshold(self.threshold)

    def _check_method(self) -> None:
        """Check what a model that is being loaded does not have at first."""
        if isinstance(self.estimator, str):
            check_choice("estimator", self.estimator, ESTIMATORS)
        elif not isinstance(self.estimator, XMCClassifier):
            raise TypeError(
                f"estimator is a {type(self.estimator).__name__}; pass an estimator of xclassic. Put what comes before "
                "it in a pipeline in front of the augmentation."
            )
        self._method()._check_parameters()

    def _method(self) -> XMCClassifier:
        return find_class(self.estimator)() if isinstance(self.estimator, str) else self.estimator

    @property
    def _probabilistic(self) -> bool:  # type: ignore[override]
        return self._method()._probabilistic

    def _fit(self, X: Features, Y: csr_array, label_features: Any = None) -> None:
        self._check_method()
        if label_features is not None:
            label_features = check_label_features(self._by_label(label_features), X.shape[1], Y.shape[1])
        self.unseen_ = None if label_features is None else self._learned(X, Y, label_features)
        self.estimator_ = self._fitted_method(X, Y, label_features)

    def _fitted_method(self, X: Features, Y: csr_array, label_features: Features | None) -> XMCClassifier:
        method: XMCClassifier = clone(self._method())
        if self.threshold is None:
            with default_workers(self.n_jobs):
                return method.fit(X, Y)
        with default_workers(self.n_jobs):
            rows, targets, shares = augment_with_labels(X, Y, label_features, threshold=self.threshold)
            if "relevance" in method._weights_taken():
                return method._fit_checked(rows, targets, relevance=shares)
            warnings.warn(
                f"{type(method).__name__} takes no shares of labels, so it is fitted on those of at least {HARD}.",
                UserWarning,
                stacklevel=5,
            )
            return method.fit(rows, _at_least(shares, HARD))

    def _by_label(self, features: Any) -> Any:
        """Return a row for each label, without entries for labels that have no features."""
        labels = self._labels_of_features
        if labels is None:
            return features
        features = check_rows(features, "label_features")
        if len(labels) != features.shape[0]:
            raise ValueError(
                f"label_features has {len(labels)} labels but {features.shape[0]} rows; pass a row for each label."
            )
        if len(set(labels)) < len(labels):
            twice = Counter(labels).most_common(1)[0][0]
            raise ValueError(f"label_features names the label {twice!r} twice; pass one row for each label.")
        given = class_array(label_array(labels))
        ids = find_labels(given, self.classes_)
        if (ids < 0).any():
            raise ValueError(
                f"label_features has the label {given[int(np.argmin(ids))].item()!r}, which is not among the labels "
                f"({self.classes_[:3].tolist()} ...): those of a matrix are its column numbers."
            )
        place = csr_array(
            (np.ones(ids.size, np.float32), (ids, np.arange(ids.size))), shape=(self.classes_.size, ids.size)
        )
        return place @ features

    def _learned(self, X: Features, Y: csr_array, label_features: Features) -> UnseenLabels | None:
        """Return the labels that have features alone, and how they compare to the others; None if there are none."""
        has_rows = np.bincount(Y.indices, minlength=Y.shape[1]) > 0
        has_features = np.asarray(abs(label_features).sum(axis=1)).ravel() > 0
        unseen, seen = (np.flatnonzero(kind & has_features).astype(np.int32) for kind in (~has_rows, has_rows))
        n_held_out = min(MAX_HELD_OUT, int(HELD_OUT * Y.shape[0]))
        if not (unseen.size and seen.size and n_held_out):
            return None
        train, held_out = stratified_split(Y, test_size=n_held_out, random_state=0)
        truth = csr_array(Y[held_out])
        method = self._fitted_method(X[train], csr_array(Y[train]), label_features)
        labels = np.unique(Y[train].indices)
        ranked = method.predict_topk(X[held_out], N_RANKED, labels=labels)
        share = unseen.size / (unseen.size + seen.size)
        return UnseenLabels.of(unseen, label_features, fit_maps(ranked, X[held_out], label_features, truth, share))

    # Prediction

    def predict_topk(
        self,
        X: Any,
        k: int = 5,
        labels: ArrayLike | None = None,
        exclude: Any = None,
        *,
        candidates: Any = None,
        label_weights: Any = None,
        unseen: bool = False,
    ) -> TopK:
        """Return the best `k` labels of each row.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        k : int, default=5
        labels, exclude, candidates, label_weights
            As in `XMCClassifier.predict_topk`.
        unseen : bool, default=False
            Rank labels without training rows by the similarity of their features, beside the others: scores are then
            probabilities. By default `estimator` ranks them, if their features were rows of it.

        Returns
        -------
        TopK
            See `XMCClassifier.predict_topk`.

        Raises
        ------
        ValueError
            If `unseen` is asked for and there are no such labels, or as `XMCClassifier.predict_topk`.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.
        """
        if unseen and getattr(self, "unseen_", None) is None:
            check_is_fitted(self)
            raise ValueError(
                "unseen=True ranks labels that have features and no training row, and there are none, or fewer than "
                "five rows to learn from how they compare to the others. Pass label_features to "
                "fit, or leave unseen out."
            )
        check_choice("unseen", unseen, (True, False))
        ranked = copy(self)
        ranked._ranks_unseen = unseen
        return XMCClassifier.predict_topk(
            ranked, X, k, labels, exclude, candidates=candidates, label_weights=label_weights
        )

    def _log_odds(self) -> float | None:
        ranks_unseen = self.unseen_ is not None and self._ranks_unseen
        return None if ranks_unseen else self.estimator_._log_odds()  # Beside unseen labels, scores are probabilities.

    def _weighted_topk(
        self, X: Features, k: int, labels: NDArray[np.int32] | None, weights: ScoreWeights | None, stop: StopByte
    ) -> TopK:
        if self.unseen_ is not None and self._ranks_unseen:
            return super()._weighted_topk(X, k, labels, weights, stop)
        return self.estimator_._weighted_topk(self.estimator_._check_input(X, reset=False), k, labels, weights, stop)

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        rows = self.estimator_._check_input(X, reset=False)  # A blend prepares rows for each of its members.
        if self.unseen_ is None or not self._ranks_unseen:
            return self.estimator_._topk(rows, k, labels, stop)
        n_labels = self.classes_.size
        seen = np.setdiff1d(np.arange(n_labels, dtype=np.int32) if labels is None else labels, self.unseen_.ids)
        ranked = self.estimator_._topk(rows, k, seen, stop) if seen.size else TopK.empty(X.shape[0], k)
        return self.unseen_.merged(ranked, X, k, n_labels, labels, stop)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        of_labels = L * max(1, nnz_x // max(1, n))
        shares = 0 if self.threshold is None else int(L * max(1, nnz_y / max(1, n)) / max(self.threshold, 1e-3))
        copies = 8 * (nnz_x + of_labels) + 24 * (nnz_y + min(shares, L * L))
        return copies + self._method()._estimate_memory(n + L, d, L, nnz_x + of_labels, nnz_y + min(shares, L * L))

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        header, arrays = packed(self.estimator_)
        of_unseen = {} if self.unseen_ is None else with_prefix("unseen.", self.unseen_.arrays())
        return with_prefix("estimator.", arrays) | of_unseen, {
            "estimator": header,
            "name": self.estimator if isinstance(self.estimator, str) else None,
        }

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        method = unpacked(metadata["estimator"], without_prefix("estimator.", arrays), verify)
        sizes = (self.classes_.size, self.n_features_in_)
        if not isinstance(method, XMCClassifier) or (method.classes_.size, method.n_features_in_) != sizes:
            raise ModelFileError("The method of the model has other labels or features than the model.")
        of_unseen = without_prefix("unseen.", arrays)
        self.unseen_ = UnseenLabels.from_arrays(of_unseen, *sizes) if of_unseen else None
        if verify == "full" and self.unseen_ is not None:
            self.unseen_.index.verify()
        self.estimator_ = method
        self.estimator = clone(method) if metadata["name"] is None else metadata["name"]
        self._check_method()


def _at_least(shares: csr_array, share: float) -> csr_array:
    hard = shares.copy()
    hard.data = (hard.data >= share).astype(np.float32)
    hard.eliminate_zeros()
    return hard
