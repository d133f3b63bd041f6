"""Forests that are told some labels of a row: the methods that take them, and their way through the contract."""

from __future__ import annotations

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array, hstack
from sklearn.utils.validation import check_is_fitted

from xclassic.base import MAX_SCORES
from xclassic.instance_tree.forest import ForestClassifier
from xclassic.metrics.revealed import check_held_out
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.labels import revealed_matrix, truth_matrix
from xclassic.weighing import refusing_weights


class _JoinedRows(NamedTuple):
    """Checked rows, each followed by its revealed labels, on their way through the prediction of the base class."""

    rows: csr_array


class RevealedLabelsForest(ForestClassifier):
    """Base of forests whose ``fit`` and predictions take labels that are known beforehand.

    A method finds them as the option ``revealed`` of ``_fit`` and ``_grown`` (see ``_given``), and in ``_topk`` behind
    the features of a row (see ``_parted``). It defines ``_add_points(X, Y, given)``, which ``partial_fit`` calls.
    """

    _joint_labels = True  # Labels are features too.

    def _add_points(self, X: Features, Y: csr_array, given: csr_array | None) -> Self:
        """Add points to the leaves that they reach with the labels given, or with some that are drawn."""
        raise NotImplementedError

    # Training

    def _weights_taken(self) -> tuple[str, ...]:
        return ()

    @refusing_weights
    def fit(self, X: Any, y: Any, revealed: Any = None) -> Self:  # type: ignore[override]
        """Fit the model.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
            All labels of the rows, those revealed included: see `XMCClassifier.fit`.
        revealed : sparse or dense 0-1 matrix, or list of label collections, optional
            Labels that were known of each row. By default every tree draws some of the labels in `y`, so that the model
            fits any number of them. Pass what was really known if that is no random part; an empty matrix for none.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `revealed` holds every label of `y`, has other rows or columns, or as `XMCClassifier.fit`.
        """
        return self._fit_checked(X, y, revealed=revealed)

    def add_trees(self, n: int, X: Any, y: Any, revealed: Any = None) -> Self:
        """Grow further trees on the data of the fit, as `FastXML.add_trees` does.

        Parameters
        ----------
        n : int
            Trees to add, at least 1; `n_trees` grows by it.
        X, y, revealed
            See ``fit``.

        Returns
        -------
        self
        """
        return self._add_trees(n, X, y, revealed=revealed)

    def partial_fit(  # type: ignore[override]
        self, X: Any, y: Any, classes: Any = None, revealed: Any = None
    ) -> Self:
        """Add points to the leaves that they reach, as `FastXML.partial_fit` does. The first call is a fit.

        Parameters
        ----------
        X, y
            New points, with the features and labels of the fit.
        classes : array-like, optional
            Ignored: the labels are those of the first call.
        revealed
            See ``fit``. By default some of the labels are drawn, the same ones for all trees.

        Returns
        -------
        self
        """
        if not self._fitted:
            return self.fit(X, y, revealed)
        X, Y = self._further(X, y)
        return self._add_points(X, Y, self._given(revealed, Y))

    def _given(self, revealed: Any, Y: csr_array) -> csr_array | None:
        """Return the labels revealed of training rows, None if they are to be drawn."""
        if revealed is None:
            return None
        known = revealed_matrix(revealed, Y.shape[0], self.classes_)
        if Y.nnz and known.multiply(Y).nnz == Y.nnz:
            raise ValueError(
                "revealed holds every label of y, so that nothing is left to predict. Pass the labels that are known "
                "before a prediction, or none for random parts of y."
            )
        return known

    # Prediction

    def predict_topk(
        self,
        X: Any,
        k: int = 5,
        labels: ArrayLike | None = None,
        exclude: Any = None,
        revealed: Any = None,
        *,
        candidates: Any = None,
        label_weights: Any = None,
    ) -> TopK:
        """Return the best `k` labels of each row, without those revealed.

        Parameters
        ----------
        X, k, labels, exclude
            See `XMCClassifier.predict_topk`.
        revealed : sparse or dense 0-1 matrix, or list of label collections, optional
            Labels of each row that are known, in the form of ``fit``; none by default. Names that are not among
            ``classes_`` are ignored.
        candidates, label_weights
            See `XMCClassifier.predict_topk`.

        Returns
        -------
        TopK
        """
        return super().predict_topk(
            self._joined(X, revealed), k, labels, exclude, candidates=candidates, label_weights=label_weights
        )

    def decision_function(
        self, X: Any, *, max_scores: int = MAX_SCORES, pairs: Any = None, revealed: Any = None
    ) -> csr_array | NDArray[np.float32]:
        """Return label scores, as `XMCClassifier.decision_function`; revealed labels have none.

        Parameters
        ----------
        X, max_scores, pairs
            See there.
        revealed
            See ``predict_topk``.

        Returns
        -------
        csr_array or ndarray of float32, shape (n_rows, n_labels)
        """
        return super().decision_function(self._joined(X, revealed), max_scores=max_scores, pairs=pairs)

    def predict(
        self, X: Any, *, threshold: float | None = None, k_predict: int | None = None, revealed: Any = None
    ) -> Any:
        """Return the labels of each row that are not revealed, as `XMCClassifier.predict`.

        Parameters
        ----------
        X, threshold, k_predict
            See there.
        revealed
            See ``predict_topk``.

        Returns
        -------
        ndarray or csr_array
        """
        return super().predict(self._joined(X, revealed), threshold=threshold, k_predict=k_predict)

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None, revealed: Any = None) -> float:
        """Return precision at 1 on labels that were not revealed.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
            The labels to predict: without those revealed.
        sample_weight : array-like, shape (n_rows,), optional
            See `XMCClassifier.score`.
        revealed
            See ``predict_topk``.

        Returns
        -------
        float

        Raises
        ------
        ValueError
            If `y` has a label that was revealed of the same row.
        """
        joined = self._joined(X, revealed)
        if revealed is not None:
            truth = truth_matrix(y, self.classes_)
            check_held_out(truth, revealed_matrix(revealed, truth.shape[0], self.classes_))
        return super().score(joined, y, sample_weight)

    def _joined(self, X: Any, revealed: Any) -> Any:
        if revealed is None:
            return X
        check_is_fitted(self)
        X = super()._check_input(X, reset=False)
        known = revealed_matrix(revealed, X.shape[0], self.classes_)
        return _JoinedRows(csr_array(hstack([csr_array(X), known], format="csr")))

    def _check_input(self, X: Any, *, reset: bool) -> Features:
        return X.rows if isinstance(X, _JoinedRows) else super()._check_input(X, reset=reset)

    def _parted(self, X: Features) -> tuple[Features, csr_array]:
        """Return the features of checked rows and their revealed labels, none where a row came without any."""
        n_labels, d = self.classes_.size, self.n_features_in_
        if X.shape[1] == d:
            return X, csr_array((X.shape[0], n_labels), dtype=np.float32)
        return X[:, :d], csr_array(X[:, d:])
