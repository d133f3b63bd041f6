"""The estimator contract: everything a user meets is here, once; what a method computes is in its own file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from xclassic._kernels.blocks import simd_level
from xclassic.changing import ChangingLabels
from xclassic.parallel import RUNNING, StopByte, run_tasks
from xclassic.rows import ScaledRows, TrainingRows, rows_in_range, unit_rows, warn_of_scale
from xclassic.shared_docs import complete
from xclassic.storage.arrays import stored_count
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.storage.models import Metadata, save
from xclassic.topk import TopK
from xclassic.validation.features import Features, check_features, refuse_text
from xclassic.validation.labels import TargetKind, check_target, truth_matrix
from xclassic.validation.parameters import check_common, check_k, check_n_jobs, check_number
from xclassic.validation.pieces import first_not_finite, is_mapped
from xclassic.validation.restrictions import Restriction, check_restrictions
from xclassic.validation.weights import check_weights, graded
from xclassic.weighing import refuse_not_taken, refusing_weights
from xclassic.weighted_ranking import ScoreWeights

ROWS_PER_TASK = 512  # Rows of one prediction task. It is fixed, so that predictions cannot depend on the workers.
LARGE, HEAVY = 1e9, 1e6  # Larger parameters and entries, and heavier rows, are named where numbers overflow float32.
SCALE = (
    "Scale the features before the fit and before predictions, by normalize=True where the method has it, or with "
    "sklearn.preprocessing.MaxAbsScaler, and lower parameters such as bias and C, and weights of rows."
)
MAX_SCORES = 100  # Predictions per row of a sparse decision function.
UNSCORED = -1000.0  # What arrays of scores hold where there is none; scikit-learn would refuse minus infinity.


def _is_probabilistic(estimator: XMCClassifier) -> bool:
    if not estimator._probabilistic:
        raise AttributeError(f"The scores of {type(estimator).__name__} are not probabilities; use decision_function.")
    return True


def _has_weights(estimator: XMCClassifier) -> bool:
    if not hasattr(estimator, "_prune"):
        raise AttributeError(f"{type(estimator).__name__} has no weights to prune.")
    return True


class XMCClassifier(ChangingLabels, ClassifierMixin, BaseEstimator):
    """Base class of all extreme multi-label classifiers.

    It owns validation, label names, the containers of the predictions, chunked prediction and persistence. A method
    assigns its parameters in ``__init__``, among them `n_jobs` and `verbose`, and defines the hooks below. It may read
    ``n_features_in_`` and ``classes_``, which are set before any hook runs.

    ``_fit(X, Y)``
        Fit on checked data: `X` is canonical float32 CSR or a C-contiguous float32 array, `Y` canonical float32 CSR of
        ones. Fitted attributes end in an underscore or start with one.
        Methods that take weights get them as further arguments: see `TakesWeights`.
    ``_topk(X, k, labels, stop)``
        Return the `TopK` of checked rows with `k` slots, ``k <= n_labels``. `labels` is None or the ids allowed, a
        sorted int32 array of at least one. The predictions of a row may not depend on the other rows. Return soon
        after ``stop[0]`` becomes non-zero; the result is then thrown away.
    ``_log_odds()``
        Return by how much the log-odds of a label grow with its score, where scores are margins or logarithms, to
        which weights of labels add as logarithms. The default, None, is for scores that weights multiply.
    ``_weighted_topk(X, k, labels, weights, stop)``
        Return what ``_topk`` would if all scores were weighed, by None as they are. By default rankings by score alone
        go deeper and deeper. A method that has all scores, or bounds of them, weighs them itself.
    ``_get_arrays()``
        Return ``(arrays, metadata)``: the fitted state as named arrays and a small dict that JSON can hold. Names do
        not end in an underscore and do not begin with ``params.``.
    ``_set_arrays(arrays, metadata, verify)``
        Restore that state on a new object. Raise `ModelFileError` for anything that a kernel could trip over; with
        ``verify="lazy"`` check only what is cheap, and the rest before its first use.
    ``_fitted_arrays()``
        Return the arrays that must be finite after a fit, by default those of ``_get_arrays``.
    ``_estimate_memory(n, d, L, nnz_x, nnz_y)``
        Return the peak number of bytes above the data during ``_fit``.
    ``_check_parameters()``
        Raise for bad hyper-parameters. It runs before ``_fit`` and at load. Call ``super()._check_parameters()``.
    ``_prune(threshold)``
        Drop the weights at or below `threshold` in absolute value. Only methods with weights define it.
    ``_renumber(ids, n_labels)``, ``_learn_labels(X, Y, new)``
        Take other labels: see `ChangingLabels`. Only methods that can define them.

    Attributes
    ----------
    classes_ : ndarray, shape (n_labels,)
        The user's labels in the order of label ids: sorted label names or classes, or the column numbers of a matrix.
    n_features_in_ : int
        Number of features seen in ``fit``.
    feature_names_in_ : ndarray of str, shape (n_features,)
        Only set if `X` had column names that are all strings.
    instruction_set_ : str or None
        What the kernels ran on in ``fit``: the same data and parameters give the same bits on the same one. None for a
        model of a version that did not store it.
    """

    _probabilistic: ClassVar[bool] = False
    _log_scores: ClassVar[bool] = False  # Whether scores are logarithms of probabilities.
    _scale_free: ClassVar[bool] = False  # Whether fits on X and on 1000 X are alike, also without normalization.
    _blind: ClassVar[bool] = False  # Whether predictions say nothing of the features, as those of some baselines.
    _rows_per_task: ClassVar[int] = ROWS_PER_TASK
    _reads_maps: ClassVar[bool] = False  # Whether a fit reads the rows of a map where they are, by `_rows_to_fit`.
    _not_saved: ClassVar[tuple[str, ...]] = ()  # Parameters that a fitted model does not need and a folder cannot hold.

    n_jobs: int | None
    verbose: int
    normalize: bool
    classes_: NDArray[Any]
    n_features_in_: int
    feature_names_in_: NDArray[Any]
    instruction_set_: str | None = None
    _target_kind: TargetKind
    _target_dtype: np.dtype[Any]
    _labels_per_row: int
    _weighed_fit: bool = False  # Whether rows or labels had weights other than 1 in the fit.
    _fitted: bool = False
    _labels_of_columns: NDArray[Any] | None = None  # Set before the fit, by a blend.

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        complete(cls)

    # Hooks

    def _fit(self, X: Features, Y: csr_array) -> None:
        raise NotImplementedError

    def _weights_taken(self) -> tuple[str, ...]:
        """Return which of ``sample_weight``, ``label_weight`` and ``relevance`` the method takes."""
        return ()

    def _known_labels(self) -> Sequence[Any]:
        """Return labels that are among ``classes_`` even if no row has them, after a fit on lists or class vectors."""
        return ()

    def _names_of_labels(self) -> NDArray[Any]:
        """Return the labels of users, who may have given them to a blend that fits this method on a matrix."""
        return self.classes_ if self._labels_of_columns is None else self._labels_of_columns

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        raise NotImplementedError

    def _log_odds(self) -> float | None:
        return 1.0 if self._log_scores else None

    def _weighted_topk(
        self, X: Features, k: int, labels: NDArray[np.int32] | None, weights: ScoreWeights | None, stop: StopByte
    ) -> TopK:
        if weights is None:
            return self._topk(X, k, labels, stop)

        def ranked(rows: NDArray[np.int64], depth: int) -> TopK:
            return self._topk(X if rows.size == X.shape[0] else X[rows], depth, labels, stop)

        return weights.rank(ranked, X.shape[0], k, labels, stop)

    def _check_input(self, X: Any, *, reset: bool) -> Features:
        """Return checked rows; methods that read texts override it."""
        return check_features(self, X, reset=reset)

    def _prepare(self, X: Features) -> Features:
        """Return checked rows as the models see them; only for methods with the parameter `normalize`."""
        return unit_rows(X) if self.normalize else rows_in_range(X)

    def _rows_to_fit(self, X: Features) -> TrainingRows:
        """Return what `_prepare` returns; rows of a map stay there, for trainers that read them piece by piece."""
        return ScaledRows.of(X, normalize=self.normalize) if is_mapped(X) else self._prepare(X)

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        raise NotImplementedError

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        raise NotImplementedError

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        raise NotImplementedError

    def _fitted_arrays(self) -> Arrays:
        """Return the arrays whose numbers must be finite after a fit."""
        return self._get_arrays()[0]

    # What storage keeps of every estimator in addition to its arrays

    def _get_target(self) -> tuple[Metadata, NDArray[Any]]:
        """Return the metadata of the labels that ``fit`` saw, and the classes."""
        dtype, per_row = self._target_dtype.str, int(self._labels_per_row)
        metadata = {"kind": self._target_kind, "dtype": dtype, "labels_per_row": per_row}
        metadata["instruction_set"] = self.instruction_set_
        return metadata | ({"weighed": True} if self._weighed_fit else {}), self.classes_

    def _set_target(self, metadata: Metadata, classes: NDArray[Any]) -> None:
        """Check and take what `_get_target` returned; the object then counts as fitted."""
        kind, dtype = metadata["kind"], np.dtype(metadata["dtype"])
        if kind not in ("vector", "dense", "sparse") or dtype.kind not in ("biufUS" if kind == "vector" else "biuf"):
            raise ModelFileError(f"The model was fitted on labels of unknown kind: {metadata!r}.")
        if not (classes[:-1] < classes[1:]).all():
            raise ModelFileError("The classes of the model are not in increasing order.")
        self._target_kind, self._target_dtype = kind, dtype
        self._labels_per_row = stored_count(metadata, "labels_per_row")
        self._weighed_fit = bool(metadata.get("weighed", False))
        self.instruction_set_ = metadata.get("instruction_set")  # Earlier versions did not store it.
        if not isinstance(self.instruction_set_, str | None):
            raise ModelFileError(f"The instruction set of the model is {self.instruction_set_!r}; it must be a name.")
        self.classes_, self._fitted = classes, True

    def _check_parameters(self) -> None:
        check_common(self)
        check_n_jobs(self.n_jobs)
        if not isinstance(self.verbose, bool):
            check_number("verbose", self.verbose, minimum=0, integer=True)

    def __sklearn_is_fitted__(self) -> bool:
        return self._fitted

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.classifier_tags.multi_label = True
        tags.classifier_tags.poor_score = self._blind
        return tags

    # Training

    @refusing_weights
    def fit(self, X: Any, y: Any) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
            Features. A sparse matrix of any format is read as CSR, with duplicates summed; anything else stays dense.
            Computation is in float32, and canonical float32 CSR or C-contiguous float32 arrays are not copied.
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
            - A matrix of shape (n_rows, n_labels): label ids are column numbers.
            - One list, tuple, set or array of labels per row, all str or all int: see `encode_labels`. Nested lists of
              one length above two that hold only zeros and ones are read as a matrix.
            - A vector of n_rows classes: every row has exactly one label.

            Rows without labels and labels without rows are legal. Blanks around names do not count, and an empty name
            is a missing one: no label in a list, refused in a vector.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `X` has NaN, infinite or too large entries, if `y` has entries other than 0 and 1 or no label at all, if
            their numbers of rows differ, if a parameter is out of range, or if the fit ends with weights that are not
            finite because entries or parameters are too large. With ``normalize=False`` also if a row is longer than
            1e18 or shorter than 1e-15, unless the method is a forest, to which scale does not matter.
        TypeError
            If something is of the wrong type, or given weights that the method does not take.
        KeyboardInterrupt
            Within a second of Ctrl-C; no thread is left behind. After this and any other error the object is unfitted.
        """
        return self._fit_checked(X, y)

    def _fit_checked(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        label_weight: Any = None,
        relevance: Any = None,
        **options: Any,
    ) -> Self:
        """Fit on checked data; a method whose ``fit`` takes more passes it on to its ``_fit`` as options."""
        self._fitted = False  # It stays so if anything below fails.
        self._check_parameters()
        X = self._check_input(X, reset=True)
        target = check_target(y, X.shape[0], self._known_labels())
        given = {"sample_weight": sample_weight, "label_weight": label_weight, "relevance": relevance}
        refuse_not_taken(self, given)
        rows, Y, weights = check_weights(target, **given)
        if rows is not None:
            X = X[rows]
        uneven = graded(weights.get("relevance")) is not None
        self._weighed_fit = uneven or not weights.keys() <= {"relevance"}
        self.classes_ = target.classes
        self.instruction_set_ = simd_level()
        self._target_kind = target.kind
        self._target_dtype = target.dtype
        self._labels_per_row = max(1, round(Y.nnz / X.shape[0]))
        if not (self._scale_free or getattr(self, "normalize", True)):
            warn_of_scale(X)
        try:
            self._fit(X, Y, **options, **weights)
        except ValueError as error:  # Also a LinAlgError. Libraries that find what outgrew its type do not know why.
            if large := _large_numbers(self, X, weights):
                raise ValueError(f"The fit failed ({error}), probably because of {large}. {SCALE}") from error
            raise
        self._refuse_overflow(X, weights)
        self._fitted = True
        return self

    def _refuse_overflow(self, X: Features, weights: dict[str, Any]) -> None:
        """Raise if the fitted model cannot be used, or read from a folder."""
        for name, array in self._fitted_arrays().items():
            if array.dtype.kind == "f" and first_not_finite(array) is not None:
                large = _large_numbers(self, X, weights) or "numbers that outgrew float32"
                raise ValueError(f"The fit ended with {name} that are not all finite, because of {large}. {SCALE}")

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
        """
        self._check_parameters()
        if not issparse(y):
            y = check_target(y, len(y)).Y
        if not issparse(X):
            X = np.asarray(X)
        if X.ndim != 2:
            refuse_text(X, type(self).__name__)
            raise ValueError(f"X has {X.ndim} dimensions; pass features, one row for each data point.")
        n, d = X.shape
        nnz_x = X.nnz if issparse(X) else n * d
        if self._reads_maps and is_mapped(X):
            nnz_x = min(nnz_x, 2 * (n + d))  # What a tree node copies at most.
        entry_bytes = 8 if issparse(X) else 4
        as_needed = X.dtype == np.float32 and (not issparse(X) or X.format == "csr")
        converted = (0 if as_needed else nnz_x * entry_bytes) + (0 if y.dtype == np.float32 else y.nnz * 8)
        return int(converted + self._estimate_memory(n, d, y.shape[1], nnz_x, y.nnz))

    @available_if(_has_weights)
    def prune_weights(self, threshold: float) -> Self:
        """Drop small weights of the fitted model, for a smaller model and faster prediction at some cost in accuracy.

        Parameters
        ----------
        threshold : float
            Weights of at most this absolute value are dropped; at least 0.

        Returns
        -------
        self
        """
        check_is_fitted(self)
        check_number("threshold", threshold, minimum=0)
        self._prune(float(threshold))  # type: ignore[attr-defined]
        return self

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
    ) -> TopK:
        """Return the best `k` labels of each row.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
            Features as in ``fit``; zero rows are legal.
        k : int, default=5
            Number of predictions per row, at least 1. More than there are labels gives all labels.
        labels : sequence of labels, optional
            Predict only these, given as in ``classes_``. The search itself is restricted, so up to `k` of the allowed
            labels are found.
        exclude : sequence of labels, or matrix or list of label collections, one for each row, optional
            Never predict these: the same in all rows, or in each row its own, such as those that are known already. In
            a sparse matrix of shape (n_rows, n_labels) every entry that is not 0 is such a label; a dense one holds 0
            and 1.
        candidates : matrix, or list of label collections, one for each row, optional
            Rank for each row only its own candidates, such as the proposals of another system.
        label_weights : dict of labels to floats, or array-like, shape (n_labels,), optional
            Rank by score times the weight of the label. An array is in the order of ``classes_``; labels that a dict
            does not name have 1. A label of weight 0 is never predicted; weights above 0 are from 1e-9 to 1e9. See the
            notes.

        Returns
        -------
        TopK
            With ``min(k, n_labels)`` slots; ``classes_[top.ids]`` and ``top.named(classes_)`` give the user's labels.

        Raises
        ------
        ValueError
            If `k` is below 1, a label is unknown, `X` does not fit the fitted model, labels are given for other rows,
            a weight is negative, not finite or out of range, all are 0, there is not one for each label, or a score is
            not finite because entries are too large.
        TypeError
            If `candidates` or `label_weights` is of the wrong type.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.

        Notes
        -----
        Cost, where rows have labels of their own: rows are searched one by one unless neighbors have the same, which
        takes a fraction of a millisecond for each, and a byte for each label.

        With `label_weights` the scores returned are the weighed ones. Scores of at least 0, such as probabilities, are
        multiplied by the weight, and a score below 0 is divided by it, so that a larger weight always helps. Where
        scores are margins or logarithms of probabilities, weights multiply odds: a score gains ``log(weight) / s``, if
        log-odds grow by s per unit of the score. For logarithms and the logistic loss s is 1, for the hinge loss 2, for
        the squared hinge loss 4; `PDSparse` takes twice as much, and `Slice` divides by `alpha`. With one over the
        propensities of `metrics.propensity` as weights, or a power of them, the ranking is for PSP@k.

        All labels that a method scores are weighed before the best `k` are taken. One-vs-rest and compressions weigh
        every label. Searches in label trees are guided by the largest weight under each node, and keep every node that
        they keep without weights. Other methods rank deeper and deeper without weights, until no further label can be
        among the best, which takes longer the more weights differ; those that score candidates alone, such as
        neighbors, `Slice` and `Blend`, weigh these, and `T5Classifier` the ``max(beam, 4 k)`` best. Weights that are
        all 1 change nothing.
        """
        check_is_fitted(self)
        k = check_k(k)
        X = self._check_input(X, reset=False)
        allowed = check_restrictions(
            labels, exclude, candidates, X.shape[0], self.classes_, label_weights=label_weights
        )
        return self._ranked(X, k, allowed)

    def decision_function(
        self, X: Any, *, max_scores: int = MAX_SCORES, pairs: Any = None
    ) -> csr_array | NDArray[np.float32]:
        """Return label scores.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        max_scores : int, default=100
            Scores per row after a fit on a sparse matrix or on label collections.
        pairs : matrix, or list of label collections, one for each row, optional
            Score these labels of each row and no others, as ``predict_topk(X, candidates=pairs)`` does.

        Returns
        -------
        csr_array or ndarray of float32, shape (n_rows, n_labels)
            With `pairs` CSR with their scores; a pair that is not stored there was not scored. Otherwise:
            After a fit on a dense matrix or a class vector, an array of all scores. Labels that the method does not
            score, such as those without training rows, have -1000 there, or twice the lowest score of the row if that
            is less, so that they rank below all others and every number is finite. For two classes it has one number
            per row, as in scikit-learn: the score of the second class above that of the first. Otherwise CSR with the
            best `max_scores` per row. An entry that is not stored there was not scored: read it as minus infinity, and
            a stored zero as the score 0.
        """
        if pairs is not None:
            check_is_fitted(self)
            X = self._check_input(X, reset=False)
            allowed = check_restrictions(None, None, pairs, X.shape[0], self.classes_, "pairs")
            return self._ranked(X, allowed.most, allowed).to_csr(self.classes_.size)
        return self._scores(X, max_scores, probabilities=False)

    @available_if(_is_probabilistic)
    def predict_proba(self, X: Any, *, max_scores: int = MAX_SCORES) -> csr_array | NDArray[np.float32]:
        """Return label probabilities; after a fit on a class vector each row sums to one.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        max_scores : int, default=100
            Probabilities per row after a fit on a sparse matrix or on label collections.

        Returns
        -------
        csr_array or ndarray of float32, shape (n_rows, n_labels)
            An array of all probabilities after a fit on a dense matrix or a class vector, else CSR with the best
            `max_scores` per row.
        """
        return self._scores(X, max_scores, probabilities=True)

    def predict(self, X: Any, *, threshold: float | None = None, k_predict: int | None = None) -> Any:
        """Return the labels of each row in the container of the labels that ``fit`` was given.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        threshold : float, optional
            Predict the labels whose score is at least this. Default 0.5 where scores are probabilities.
        k_predict : int, optional
            Predict this many of the best labels, or fewer if `threshold` is given too. Default where scores are not
            probabilities: the mean number of labels of a training row, rounded, at least 1.

        Returns
        -------
        ndarray, shape (n_rows,), or ndarray or csr_array, shape (n_rows, n_labels)
            The best class of each row after a fit on a class vector, which takes neither parameter; a dense 0-1
            matrix after a fit on one; otherwise CSR of ones.
        """
        check_is_fitted(self)
        if self._target_kind == "vector":
            if threshold is not None or k_predict is not None:
                raise ValueError("threshold and k_predict choose sets of labels; a fit on a class vector predicts one.")
            return self.classes_[np.maximum(self.predict_topk(X, 1).ids[:, 0], 0)]
        chosen = self._label_sets(X, threshold, k_predict).to_csr(self.classes_.size)
        ones = csr_array((np.ones(chosen.nnz, self._target_dtype), chosen.indices, chosen.indptr), shape=chosen.shape)
        return ones.toarray() if self._target_kind == "dense" else ones

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return precision at 1: the share of rows whose best label is right (accuracy for a class vector).

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
            True labels. Rows without a label that ``fit`` has seen count as wrong.
        sample_weight : array-like, shape (n_rows,), optional

        Returns
        -------
        float
            In [0, 1].
        """
        best = self.predict_topk(X, 1)
        truth = truth_matrix(y, self.classes_)
        if truth.shape[0] != best.n_rows:
            raise ValueError(f"X has {best.n_rows} rows but y has {truth.shape[0]}.")
        hits = best.to_csr(self.classes_.size)
        hits.data[:] = 1
        weights = None if sample_weight is None else np.asarray(sample_weight, np.float64)
        return float(np.average(hits.multiply(truth).sum(axis=1, dtype=np.float64), weights=weights))

    def _ranked(self, X: Features, k: int, allowed: Restriction | None = None) -> TopK:
        """Predict for checked rows, in chunks of fixed size through the workers."""
        n_rows = X.shape[0]
        k = min(k, self.classes_.size)
        allowed = Restriction(None, None, None, self.classes_.size) if allowed is None else allowed
        if n_rows == 0 or (allowed.labels is not None and allowed.labels.size == 0):
            return TopK.empty(n_rows, k)
        topk: Callable[..., TopK] = self._topk
        if allowed.weights is not None:
            topk = partial(self._weighted_topk, weights=ScoreWeights.of(allowed.weights, self._log_odds()))
        step = self._rows_per_task
        if n_rows <= step and not allowed.by_row:  # It is over before Ctrl-C would matter, and threads cost more.
            return _finite(topk(X, k, allowed.labels, stop=RUNNING))
        chunks = [slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step)]
        prediction = partial(_topk_chunk, topk, X, k, allowed)
        return _finite(
            TopK.concat(
                run_tasks(prediction, chunks, n_jobs=self.n_jobs, description="predicting", verbose=self.verbose)
            )
        )

    def _scores(self, X: Any, max_scores: int, *, probabilities: bool) -> csr_array | NDArray[np.float32]:
        """Return scores in the container of the fit."""
        check_is_fitted(self)
        check_number("max_scores", max_scores, minimum=1, integer=True)
        X = self._check_input(X, reset=False)
        if self._target_kind == "sparse":
            return self._ranked(X, max_scores).to_csr(self.classes_.size)
        top = self._ranked(X, self.classes_.size)
        normalize = self._target_kind == "vector" and self._probabilistic
        scores = np.zeros((top.n_rows, self.classes_.size), np.float32)
        if not probabilities and not normalize:
            scores[:] = _below_all(top)
        filled = top.filled()
        scores[np.nonzero(filled)[0], top.ids[filled]] = top.scores[filled]
        if normalize:
            scores = _normalized(scores)
        if not probabilities and self._target_kind == "vector" and self.classes_.size == 2:
            return scores[:, 1] - scores[:, 0]
        return scores

    def _label_sets(self, X: Any, threshold: float | None, k_predict: int | None) -> TopK:
        """Return the labels that ``predict`` returns."""
        X = self._check_input(X, reset=False)
        if threshold is None and k_predict is None:
            if self._probabilistic:
                threshold = 0.5
            else:
                k_predict = self._labels_per_row
        if threshold is None:
            return self._ranked(X, check_k(k_predict))
        check_number("threshold", threshold)
        if k_predict is not None:
            return self._ranked(X, check_k(k_predict)).above(threshold)
        k = MAX_SCORES
        while True:  # Until then some row could have a further label above the threshold.
            top = self._ranked(X, k)
            if k >= self.classes_.size or not (top.scores[:, -1] >= threshold).any():
                return top.above(threshold)
            k *= 4

    # Persistence

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted model to a folder, as `xclassic.save` does.

        A model that is there already is replaced as a whole or, on any failure, not at all.

        Parameters
        ----------
        path : str or path
            The folder.

        Raises
        ------
        TypeError
            If a parameter is neither None, a bool, a number, a string, an array, nor a list or tuple of plain values.
        OSError
            If the folder cannot be written, for instance because the disk is full.
        """
        save(self, path)


def _topk_chunk(
    topk: Callable[..., TopK], X: Features, k: int, allowed: Restriction, rows: slice, stop: StopByte
) -> TopK:
    if not allowed.by_row:
        return topk(X[rows], k, allowed.labels, stop=stop)
    tops = []
    for part, labels in allowed.parts(rows):
        if stop[0] or not labels.size:
            tops.append(TopK.empty(part.stop - part.start, k))
        else:
            tops.append(topk(X[part], k, labels, stop=stop))
    return TopK.concat(tops)


def _below_all(top: TopK) -> NDArray[np.float64]:
    """Return a finite number below the scores of each row, shape (n_rows, 1); nearly always the same one."""
    lowest = np.min(top.scores, axis=1, initial=0, where=top.filled(), keepdims=True)
    return np.clip(2 * lowest.astype(np.float64), np.finfo(np.float32).min, UNSCORED)


def _large_numbers(estimator: XMCClassifier, X: Any, weights: dict[str, Any]) -> str:
    """Name the parameters, entries of `X` and weights that may be why numbers overflow; empty if there are none."""
    params = estimator.get_params(deep=False).items()
    large = [f"{name}={value!r}" for name, value in params if isinstance(value, (int, float)) and abs(value) > LARGE]
    values = X.data if issparse(X) else X
    if values.dtype == np.float32 and (highest := float(np.abs(values).max(initial=0))) > LARGE:
        large.append(f"entries of X up to {highest:.3g} in absolute value")
    of_rows = weights.get("sample_weight", np.ones(1))
    if of_rows.max() > HEAVY:
        large.append(f"weights of rows up to {of_rows.max():.3g}")
    return " and ".join(large)


def _finite(top: TopK) -> TopK:
    """Return predictions whose scores are finite, or raise."""
    highest = top.scores.max(axis=1, initial=-np.inf)  # Unfilled slots hold minus infinity.
    bad = np.isnan(highest) | (highest == np.inf)
    if bad.any():
        raise ValueError(
            f"The scores of X[{int(np.argmax(bad))}] are not finite numbers: they outgrew float32, in which xclassic "
            f"computes. {SCALE}"
        )
    return top


def _normalized(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make the rows sum to one; rows of zeros become uniform."""
    totals = scores.sum(axis=1, keepdims=True)
    return np.divide(scores, totals, out=np.full_like(scores, 1 / scores.shape[1]), where=totals > 0)
