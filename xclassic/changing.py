"""Labels that come, go and get other names after a fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, issparse, vstack
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from xclassic.validation.changes import NewLabels, check_new_labels, check_new_names, merged, unknown_labels
from xclassic.validation.features import Features
from xclassic.validation.labels import (
    TargetKind,
    check_target,
    encode_known_labels,
    find_labels,
    label_ids,
    truth_matrix,
)


def _defined(*hooks: str, otherwise: str) -> Callable[[Any], bool]:
    """Return a check that a method defines one of these hooks; its error ends in the words `otherwise`."""

    def check(estimator: ChangingLabels) -> bool:
        if estimator._joint_labels or not any(hasattr(estimator, hook) for hook in hooks):
            raise AttributeError(f"{type(estimator).__name__} {otherwise}")
        return True

    return check


_renumbers = _defined(
    "_renumber",
    otherwise="builds its labels into everything that it learns, so they cannot change after a fit; fit it anew.",
)
_learns_labels = _defined(
    "_learn_labels",
    otherwise="learns all its labels together, so none can be added after a fit; fit it anew with all of them.",
)
_learns_rows = _defined(
    "_add_rows", "_learn_rows", otherwise="cannot learn from further rows; fit it anew with all rows."
)


class ChangingLabels:
    """What a fitted model does when the labels of its users change; a base of `XMCClassifier`.

    A method defines the hooks that it can. Neither changes an array in place, so that a model is as it was if one of
    them fails.

    ``_renumber(ids, n_labels)``
        Give label ``i`` the id ``ids[i]`` of ``n_labels``, or drop it where that is -1.
    ``_learn_labels(X, Y, new)``
        Learn the labels whose sorted ids are `new`, which have no arrays yet, from checked rows. `Y` has columns for
        all labels; those of the other labels may be empty unless ``_learns_from_known``.
    ``_add_rows(X, Y, known)`` or ``_learn_rows(X, Y, labels, n_known)``
        Learn from further rows and, if they are given, the known ones ``(X, Y)``; or from all rows, of which the first
        `n_known` are known, what changes for the sorted `labels` of the others.
    """

    _learns_from_known: ClassVar[bool] = False  # Whether a new label can only be learned beside the known ones.
    _joint_labels: ClassVar[bool] = False  # Whether labels cannot change although a base defines the hooks.
    _of_fit: ClassVar[tuple[str, ...]] = ()  # Attributes that report on a fit, and hold no longer when labels change.

    classes_: NDArray[Any]
    _weighed_fit: bool
    _fitted: bool
    _target_kind: TargetKind
    _target_dtype: np.dtype[Any]

    @available_if(_renumbers)
    def remove_labels(self, labels: ArrayLike) -> Self:
        """Forget labels; all others keep their scores.

        Parameters
        ----------
        labels : sequence of labels
            As in ``classes_``, which is the shorter afterwards.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a label is unknown, or none would remain.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.

        Notes
        -----
        Predictions are those of ``predict_topk(X, exclude=labels)`` before. The arrays of the labels are dropped, so
        the saved model gets smaller. The columns of matrices are positions in ``classes_``, before and after.

        Cost: one pass over the arrays of the model.
        """
        check_is_fitted(self)
        dropped = label_ids(labels, "labels", self.classes_)
        kept = np.ones(self.classes_.size, np.bool_)
        kept[dropped] = False
        if not kept.any():
            raise ValueError(f"All {kept.size} labels would be removed; a model needs at least one.")
        ids = np.where(kept, np.cumsum(kept) - 1, -1).astype(np.int32)
        return self._become(self._with_classes(self.classes_[kept], ids))

    @available_if(_renumbers)
    def rename_labels(self, names: Mapping[Any, Any] | ArrayLike) -> Self:
        """Give labels other names; what the model has learned stays as it is.

        Parameters
        ----------
        names : mapping of old to new labels, or sequence of all new ones
            A mapping may name some labels only. A sequence has a name for each of ``classes_``, for instance for a
            model that was fitted on a matrix and knows column numbers.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a label is unknown, two labels would have one name, or a name is empty.
        TypeError
            If the names are not all strings or all integers.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.

        Notes
        -----
        ``classes_`` is sorted by the new names, and ids, columns and the order of equal scores follow.

        Cost: one pass over the arrays of the model.

        Examples
        --------
        >>> from xclassic import DiSMEC
        >>> clf = DiSMEC().fit([[1.0, 0.0], [0.0, 1.0]], [["pear"], ["apple"]])
        >>> clf.rename_labels({"pear": "fruit/pear", "apple": "fruit/apple"}).classes_.tolist()
        ['fruit/apple', 'fruit/pear']
        """
        check_is_fitted(self)
        renamed = check_new_names(names, self.classes_)
        order = np.argsort(renamed, kind="stable")
        ids = np.empty(renamed.size, np.int32)
        ids[order] = np.arange(renamed.size, dtype=np.int32)
        return self._become(self._with_classes(renamed[order], ids))

    @available_if(_learns_labels)
    def add_labels(self, X: Any, Y_new: Any, names: ArrayLike | None = None, Y: Any = None) -> Self:
        """Learn further labels, and leave the known ones as they are.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
            Rows of both kinds, with and without a new label; those of ``fit`` unless there is a reason for others.
        Y_new : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
            A matrix has a column for each new label and no others. Of lists and vectors, the labels that the model does
            not know are the new ones.
        names : array-like, shape (n_new,), optional
            The labels of the columns of a matrix. By default the integers after the largest of ``classes_``.
        Y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector, optional
            The labels of these rows that the model knows, for `Y_new` as a matrix. Label trees need them, since a new
            label changes what the nodes above it learn; all other methods do not look at them.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a new label is known, there is none, known labels are needed and missing, the model was fitted with
            weights, or as for ``fit``.
        TypeError
            If the new labels are strings and the known ones integers or the reverse.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.

        Notes
        -----
        A model of one-vs-rest is the same, bit for bit, as after a fit of all labels on these rows, with the values
        that the first fit chose where a parameter is "auto". What other methods do is in the guide to changing a model.
        The default number of labels of ``predict`` stays.

        Cost: that of the new labels alone; for label trees, of the nodes above them.

        Examples
        --------
        >>> from xclassic import DiSMEC, datasets
        >>> bibtex = datasets.load_bibtex()
        >>> clf = DiSMEC().fit(bibtex.X, bibtex.Y[:, :150])
        >>> clf.add_labels(bibtex.X, bibtex.Y[:, 150:]).classes_.size
        159
        """
        check_is_fitted(self)
        self._refuse_weighed("add_labels")
        self._check_parameters()  # type: ignore[attr-defined]
        X = self._check_input(X, reset=False)  # type: ignore[attr-defined]
        found = check_new_labels(Y_new, names, Y, X.shape[0], self.classes_)
        if self._learns_from_known and not found.known_given:
            raise ValueError(
                f"{type(self).__name__} learns a label beside those that it knows, so it needs the known labels of "
                "these rows too: pass them as Y, or lists of all labels as Y_new."
            )
        return self._become(self._with_classes(found.classes, found.ids, X, found))

    @available_if(_learns_rows)
    def partial_fit(self, X: Any, y: Any, classes: Any = None, *, X_known: Any = None, y_known: Any = None) -> Self:
        """Learn from further rows. The first call is a fit.

        Parameters
        ----------
        X, y
            Further rows, with the features of the fit, and their labels in any container. Lists and vectors may name
            labels that are new; a matrix has a column for each of ``classes_``.
        classes : array-like, optional
            Ignored: labels are those of the rows.
        X_known, y_known
            The rows of all calls before, and their labels. One-vs-rest methods and label trees need them, since the old
            rows of a label count as much as the new ones. Forests grow some of their trees anew with them, and only
            fill leaves otherwise. Neighbors do not look at them.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If rows do not fit the fitted model, the known rows are needed and missing, the model was fitted with
            weights, or as for ``fit``.

        Notes
        -----
        One-vs-rest methods and label trees learn those labels anew that the further rows have, and the nodes above
        them, from all rows; all other labels stay as they are. Forests change the leaves that the rows reach, and
        neighbors take the rows among them. The guide to changing a model has a table.

        Cost: of a fit, the share of these labels; for forests and neighbors, little more than that of the further rows.

        Examples
        --------
        >>> from xclassic import DiSMEC, datasets
        >>> bibtex = datasets.load_bibtex()
        >>> old, new = slice(0, 4000), slice(4000, None)
        >>> clf = DiSMEC().fit(bibtex.X[old], bibtex.Y[old])
        >>> clf = clf.partial_fit(bibtex.X[new], bibtex.Y[new], X_known=bibtex.X[old], y_known=bibtex.Y[old])
        >>> round(clf.score(bibtex.X_test, bibtex.Y_test), 2)
        0.64
        """
        if not self._fitted:
            if X_known is not None or y_known is not None:
                raise ValueError("X_known and y_known are rows of earlier calls, but the model is not fitted.")
            return self.fit(X, y)  # type: ignore[attr-defined, no-any-return]
        self._refuse_weighed("partial_fit")
        self._check_parameters()  # type: ignore[attr-defined]
        X = self._check_input(X, reset=False)  # type: ignore[attr-defined]
        unknown = unknown_labels(y, X.shape[0], self.classes_)
        classes, ids, _ = merged(self.classes_, unknown)
        changed = self._with_classes(classes, ids) if unknown.size else self._copied()
        Y = encode_known_labels(y, X.shape[0], classes)
        known = self._known_rows(X_known, y_known, classes)
        if hasattr(self, "_add_rows"):
            changed._add_rows(X, Y, known)  # type: ignore[attr-defined]
        elif known is None:
            raise ValueError(
                f"{type(self).__name__} learns a label from all of its rows, old and new: pass those of all calls "
                "before as X_known and y_known."
            )
        else:
            labels = np.unique(Y.indices).astype(np.int32)
            rows, truth = stacked(known[0], X), csr_array(vstack([known[1], Y]))
            changed._learn_rows(rows, truth, labels, known[0].shape[0])  # type: ignore[attr-defined]
        return self._become(changed)

    def _refuse_weighed(self, call: str) -> None:
        """Raise if the fit had weights, which a call that learns further would not have."""
        if self._weighed_fit:
            raise ValueError(
                f"{type(self).__name__} was fitted with weights of rows or labels, which {call} does not take, so that "
                "what it learns would not fit the rest; fit it anew with all rows, labels and weights."
            )

    def _known_rows(self, X: Any, y: Any, classes: NDArray[Any]) -> tuple[Features, csr_array] | None:
        if (X is None) != (y is None):
            raise ValueError("Pass X_known and y_known together: the rows of earlier calls, and their labels.")
        if X is None:
            return None
        X = self._check_input(X, reset=False)  # type: ignore[attr-defined]
        target = check_target(y, X.shape[0])
        if issparse(y) or target.kind == "dense":  # Its columns are the labels that were known.
            return X, moved_columns(truth_matrix(y, self.classes_), find_labels(self.classes_, classes), classes.size)
        return X, encode_known_labels(y, X.shape[0], classes)

    def _with_classes(
        self, classes: NDArray[Any], ids: NDArray[np.int32], X: Features | None = None, found: NewLabels | None = None
    ) -> Self:
        """Return the model with other classes, of which the old ones have the ids `ids`, and learn those that are new.

        The model itself stays as it is, whatever happens.
        """
        changed = self._copied()
        changed._renumber(ids, classes.size)  # type: ignore[attr-defined]
        changed.classes_ = classes
        if self._target_kind == "vector":
            changed._target_dtype = classes.dtype
        if found is not None:
            changed._learn_labels(X, found.Y, found.new)  # type: ignore[attr-defined]
        return changed

    def _copied(self) -> Self:
        """Return an object with the same attributes, but for those that report on a fit."""
        copied = object.__new__(type(self))
        copied.__dict__.update({name: value for name, value in self.__dict__.items() if name not in self._of_fit})
        return copied

    def _become(self, other: Self) -> Self:
        self.__dict__.clear()
        self.__dict__.update(other.__dict__)
        return self


def stacked(first: Features, second: Features) -> Features:
    """Return the rows of two matrices one above the other; sparse if one of them is."""
    if isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
        return np.concatenate([first, second])
    return csr_array(vstack([csr_array(first), csr_array(second)]))


def moved_columns(Y: csr_array, ids: NDArray[np.int32], n_labels: int) -> csr_array:
    """Return a matrix of `n_labels` columns, in which column i of `Y` is column ``ids[i]``, or nowhere if that is -1.

    Parameters
    ----------
    Y : csr_array, shape (n_rows, n_old)
    ids : ndarray of int32, shape (n_old,)
    n_labels : int

    Returns
    -------
    csr_array, shape (n_rows, n_labels)
        Canonical.
    """
    columns = ids[Y.indices]
    kept = columns >= 0
    ends = np.concatenate([[0], np.cumsum(kept)])[Y.indptr]
    moved = csr_array((Y.data[kept], columns[kept], ends), shape=(Y.shape[0], n_labels))
    moved.sort_indices()
    return moved


def only_columns(Y: csr_array, labels: NDArray[np.int32]) -> csr_array:
    """Return a matrix of the same shape that has entries of some columns alone."""
    ids = np.full(Y.shape[1], -1, np.int32)
    ids[labels] = labels
    return moved_columns(Y, ids, Y.shape[1])


def moved_rows(values: NDArray[Any], ids: NDArray[np.int32], n_labels: int, fill: Any = 0) -> NDArray[Any]:
    """Return an array whose row ``ids[i]`` is row i of `values`; rows that none becomes hold `fill`."""
    moved = np.full((n_labels, *values.shape[1:]), fill, values.dtype)
    moved[ids[ids >= 0]] = values[ids >= 0]
    return moved
