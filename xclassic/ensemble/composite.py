"""Estimators that are made of other ones, which may be pipelines with features of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from xclassic.base import XMCClassifier
from xclassic.blocks.explaining import explain
from xclassic.ensemble.cross_fitting import Folds, weights_of_rows
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
    with_choices,
)
from xclassic.explanation import Explanation
from xclassic.parallel import StopByte, default_workers
from xclassic.storage.arrays import with_prefix, without_prefix
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.storage.models import Metadata, packed, unpacked
from xclassic.topk import TopK
from xclassic.validation.features import Features, check_features
from xclassic.validation.labels import find_labels
from xclassic.weighing import TakesWeights, refuse_not_taken


class OfMembers(TakesWeights, XMCClassifier):
    """A base of estimators that are made of other ones.

    `X` is whatever all members read: a matrix of numbers, which is checked once, or texts and records, which are handed
    on as they are. A class says by ``_members`` what it is made of, and its ``_fit`` sets ``estimators_``, the fitted
    members in the same order, by ``_fit_member``. Its ``_topk`` gets a `MemberRows`.
    """

    estimators_: list[Any]

    def _members(self) -> Sequence[tuple[str, Any]]:
        """Return the unfitted members by name."""
        raise NotImplementedError

    def _used(self) -> list[int]:
        """Return the fitted members that are queried."""
        return list(range(len(self.estimators_)))

    @property
    def _reads_features(self) -> bool:
        return all(reads_features(member) for _, member in self._members())

    @property
    def _rows_per_task(self) -> int:  # type: ignore[override]
        return max(last_step(self.estimators_[i])._rows_per_task for i in self._used())

    def _known_labels(self) -> list[Any]:
        return [label for _, member in self._members() for label in last_step(member)._known_labels()]

    def _check_members(self) -> None:
        """Check what needs the members, which a model that is being loaded does not have at first."""
        for name, member in self._members():
            if not isinstance(last_step(member), XMCClassifier):
                ends = "a Pipeline that ends in " if isinstance(member, Pipeline) else ""
                raise TypeError(
                    f"Member {name!r} is {ends}a {type(last_step(member)).__name__}; members are estimators of "
                    "xclassic, or pipelines that end in one."
                )
            with naming(name):
                last_step(member)._check_parameters()

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
                with naming(self._members()[i][0]):
                    parts[i] = prepared(self.estimators_[i], X)
        return MemberRows(parts, X.shape[0])

    # Prediction

    def _ranked_candidates(
        self, i: int, X: Any, depth: int, labels: NDArray[np.int32] | None, stop: StopByte
    ) -> tuple[TopK, NDArray[np.int64]]:
        """Return the best allowed labels of member `i`, and their ranks among all labels, as an array of ids.

        Ranks are those among the `depth` best of all labels; allowed labels beyond them rank next.
        """
        member = last_step(self.estimators_[i])
        top = member._topk(X, depth, labels, stop)
        if labels is None:
            return top, np.broadcast_to(np.arange(1, depth + 1), top.ids.shape)
        best = member._topk(X, depth, None, stop)
        higher = best.scores[:, None, :] > top.scores[:, :, None]
        level = (best.scores[:, None, :] == top.scores[:, :, None]) & (best.ids[:, None, :] < top.ids[:, :, None])
        before = ((higher | level) & best.filled()[:, None, :]).sum(axis=2)
        beyond = before == best.counts[:, None]  # Labels that are candidates only under the restriction rank last.
        return top, 1 + before + np.cumsum(beyond, axis=1) - beyond

    # Training

    def _weights_taken(self) -> tuple[str, ...]:
        members = [last_step(member)._weights_taken() for _, member in self._members()]
        return tuple(weight for weight in members[0] if all(weight in taken for taken in members))

    def _fit_checked(self, X: Any, y: Any, **options: Any) -> Self:
        self._fitted = False
        self._check_members()
        for name, member in self._members():
            with naming(name):
                refuse_not_taken(last_step(member), options)
        return super()._fit_checked(X, y, **options)

    def _fit_member(self, name: str, member: Any, X: Features | RawRows, Y: csr_array, weights: dict[str, Any]) -> Any:
        """Return the member fitted on checked rows, with the workers of the whole if it has none itself."""
        own = {f"{path_to_last_step(member)}{weight}": value for weight, value in weights.items()}
        new = clone(member)
        last_step(new)._labels_of_columns = self._names_of_labels()
        with naming(name), default_workers(self.n_jobs), config_context(enable_metadata_routing=False):
            return new.fit(raw_rows(X), Y, **own)  # Steps are named, so that nothing needs to be routed.

    def explain(
        self,
        X: Any,
        label: Any,
        *,
        n_features: int = 10,
        label_names: Sequence[Any] | NDArray[Any] | None = None,
        feature_names: Sequence[Any] | NDArray[Any] | None = None,
    ) -> Explanation:
        """Explain why a member gives a label its score for one row: of those that explain, the one that counts most.

        Parameters
        ----------
        X : array-like
            The row, as the members read it.
        label : str, int or float
            As in ``classes_``.
        n_features : int, default=10
            Features listed for each model; at least 1.
        label_names, feature_names : sequence, optional
            See ``explain`` of the member.

        Returns
        -------
        Explanation
            Of the member's score, which the scores of other members and its normalization make another one.

        Raises
        ------
        TypeError
            If no member that is queried explains its scores.
        ValueError
            As for the member.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.
        """
        check_is_fitted(self)
        able = [i for i in self._used() if hasattr(last_step(self.estimators_[i]), "explain")]
        if not able:
            named = ", ".join(type(last_step(self.estimators_[i])).__name__ for i in self._used())
            raise TypeError(f"{type(self).__name__} explains by its members, and none of these explains: {named}.")
        known = find_labels(np.asarray([label]), self.classes_) if np.isscalar(label) else np.array([-1])
        if known[0] < 0:
            raise ValueError(f"The estimator does not know the label {label!r}; see its {self.classes_.size} classes_.")
        member = self.estimators_[max(able, key=self._share)]
        of_columns = None if isinstance(member, Pipeline) else getattr(self, "feature_names_in_", None)
        explanation = explain(
            member,
            X,
            int(known[0]),
            n_features=n_features,
            label_names=self._names_of_labels() if label_names is None else label_names,
            feature_names=of_columns if feature_names is None else feature_names,
        )
        best = self.classes_[[explanation.best_label]].tolist()[0]
        return replace(explanation, label=self.classes_[known].tolist()[0], best_label=best)

    def _share(self, i: int) -> float:
        """Return how much fitted member `i` counts."""
        return 1.0

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
        for name, member in self._members():
            if not reads_features(member):
                raise ValueError(
                    f"Member {name!r} is a {type(member).__name__} with features of its own, whose number is known "
                    "after its fit. Estimate the memory of its last step, on rows that the other steps have made."
                )
        return super().estimate_memory(X, y)

    # Persistence

    def _packed_members(self) -> tuple[Arrays, list[Metadata]]:
        """Return the arrays of all fitted members and their headers."""
        arrays: Arrays = {}
        headers = []
        for i, ((name, _), member) in enumerate(zip(self._members(), self.estimators_, strict=True)):
            header, member_arrays = packed(member)
            headers.append({"name": name, **header})
            arrays |= with_prefix(f"member.{i}.", member_arrays)
        return arrays, headers

    def _unpack_members(
        self, arrays: Arrays, headers: Sequence[Metadata], verify: Verify
    ) -> list[tuple[str, XMCClassifier | Pipeline]]:
        """Set ``estimators_`` and return the unfitted members by name; `_check_unpacked` looks at both."""
        self.estimators_ = [
            unpacked(header, without_prefix(f"member.{i}.", arrays), verify) for i, header in enumerate(headers)
        ]
        return [(header["name"], clone(member)) for header, member in zip(headers, self.estimators_, strict=True)]

    def _check_unpacked(self) -> None:
        """Raise if members were fitted on other labels or features than the whole."""
        self._check_members()
        n_features = getattr(self, "n_features_in_", None)
        for (name, _), member in zip(self._members(), self.estimators_, strict=True):
            own = getattr(member, "n_features_in_", n_features)
            if member.classes_.size != self.classes_.size or (
                own != n_features and (n_features is not None or reads_features(member))
            ):
                raise ModelFileError(f"Member {name!r} of the model has other labels or features than the model.")


class OfOne(OfMembers):
    """A base of estimators that do something to the predictions of another one, their parameter `estimator`.

    Attributes
    ----------
    estimator_ : XMCClassifier or Pipeline
        The fitted one. It uses the label ids of the whole.
    """

    _not_saved: ClassVar[tuple[str, ...]] = ("estimator",)

    estimator: XMCClassifier | Pipeline

    @property
    def estimator_(self) -> Any:
        return self.estimators_[0]

    def _members(self) -> Sequence[tuple[str, Any]]:
        return [("estimator", self.estimator)]

    def _fit_estimator(self, X: Features | RawRows, Y: csr_array, weights: dict[str, Any]) -> Any:
        return self._fit_member("estimator", self.estimator, X, Y, weights)

    def _held_out(self, X: Features | RawRows, Y: csr_array, folds: Folds, weights: dict[str, Any], depth: int) -> TopK:
        """Return what estimators that were fitted without them predict for the rows that folds hold out.

        They have the choices of the fitted one, which comes first.
        """
        like = with_choices(self.estimator_)

        def fit(rows: NDArray[np.int64]) -> Any:
            return self._fit_member("estimator", like, X[rows], csr_array(Y[rows]), weights_of_rows(weights, rows))

        with default_workers(self.n_jobs):
            return folds.predictions(fit, X, depth)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        copies = 8 * (nnz_x + nnz_y)  # The rows of one fold.
        return int(last_step(self.estimator)._estimate_memory(n, d, L, nnz_x, nnz_y) + copies)

    def _unpack_estimator(self, arrays: Arrays, headers: Sequence[Metadata], verify: Verify) -> None:
        ((_, self.estimator),) = self._unpack_members(arrays, headers, verify)
        self._check_unpacked()
