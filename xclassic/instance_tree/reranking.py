"""Re-ranking of predictions by the distance of a row to the mean row of each label."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

import xclassic._kernels.centroids as kernels
from xclassic.changing import moved_columns, moved_rows
from xclassic.parallel import StopByte, run_tasks
from xclassic.rows import kernel_rows, unit_rows
from xclassic.storage.arrays import matrix_arrays, stored_array, stored_matrix, verify_matrix
from xclassic.storage.folder import Arrays
from xclassic.topk import TopK, check_topk
from xclassic.validation.features import Features, check_features
from xclassic.validation.labels import check_target
from xclassic.validation.parameters import check_number


class TailReranker(BaseEstimator):
    r"""Re-ranker of predictions by the distance of a row to the mean of the rows of each label.

    Classifiers of any kind learn little about a label of three rows. Their mean is still a usable description of it, so
    that the predictions of a ranker, weighed against it, name more rare labels.

    Parameters
    ----------
    alpha : float, default=0.8
        Weight of the ranker's score in the geometric mean, in [0, 1]; 1 leaves predictions as they are.
    gamma : float, default=30.0
        Rate at which the tail score falls with the squared distance, at least 0.

    Attributes
    ----------
    centroids_ : csr_array of float32, shape (n_labels, n_features)
        Mean of the rows of each label, scaled to unit length; empty for labels without rows.

    See Also
    --------
    PfastreXML : A forest with this re-ranker.

    Notes
    -----
    With the mean :math:`\mu_l` of the rows of label l, scaled to unit length, and the score :math:`s_l` of a ranker,
    the new score is

    .. math:: s_l^\alpha \left(1 + e^{\gamma \|x - \mu_l\|^2}\right)^{\alpha - 1}

    as in section 5 of [1]_. Scores have to be above 0; map margins there first, for instance by the logistic function.
    Labels without training rows are left out of the predictions.

    Cost: for each row the features of the centroids of its candidates. Memory: the centroids, at most ``8 nnz(X)``
    bytes times the mean number of labels of a row.

    References
    ----------
    .. [1] H. Jain, Y. Prabhu and M. Varma, "Extreme multi-label loss functions for recommendation, tagging, ranking &
       other missing label applications", KDD 2016.

    Examples
    --------
    >>> from xclassic import FastXML, TailReranker, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> forest = FastXML(n_trees=5).fit(bibtex.X, bibtex.Y)
    >>> tail = TailReranker().fit(bibtex.X, bibtex.Y)
    >>> top = tail.rerank(bibtex.X_test, forest.predict_topk(bibtex.X_test, k=100))
    >>> top.head(5).ids.shape
    (2515, 5)
    """

    centroids_: csr_array
    n_features_in_: int

    def __init__(self, alpha: float = 0.8, gamma: float = 30.0) -> None:
        self.alpha = alpha
        self.gamma = gamma

    def fit(self, X: Any, y: Any) -> Self:
        """Average the rows of each label.

        Parameters
        ----------
        X, y
            See ``fit`` of any estimator of xclassic.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, or `X` and `y` are not training data.
        """
        X = check_features(self, X, reset=True)
        return self._average(X, check_target(y, X.shape[0]).Y)

    def _average(self, X: Features, Y: csr_array) -> Self:
        check_number("alpha", self.alpha, minimum=0, maximum=1)
        check_number("gamma", self.gamma, minimum=0)
        by_label = csc_array(Y).T
        counts = np.maximum(np.diff(by_label.indptr), 1)
        sums = csr_array(by_label.astype(np.float32) @ csr_array(unit_rows(X)))
        sums.sort_indices()
        sums.data = (sums.data / np.repeat(counts, np.diff(sums.indptr))).astype(np.float32)
        self.n_features_in_ = X.shape[1]
        self._set(sums, np.diff(by_label.indptr) > 0)
        return self

    def _renumbered(self, ids: NDArray[np.int32], n_labels: int) -> TailReranker:
        """Return a re-ranker whose label ``ids[i]`` is label i of this one."""
        other = clone(self)
        other.n_features_in_ = self.n_features_in_
        centroids = csr_array(moved_columns(csr_array(self.centroids_.T), ids, n_labels).T)
        other._set(centroids, moved_rows(self._trained, ids, n_labels, False))
        return other

    def _with_labels(self, X: Features, Y: csr_array) -> TailReranker:
        """Return a re-ranker that knows the means of the labels of `Y` too, which this one does not."""
        further = clone(self)._average(X, Y)
        further._set(csr_array(self.centroids_ + further.centroids_), self._trained | further._trained)
        return further

    def _set(self, centroids: csr_array, trained: NDArray[np.bool_]) -> None:
        self.centroids_ = centroids
        self._trained = trained
        self._square_norms = np.asarray(centroids.multiply(centroids).sum(axis=1), np.float32).ravel()

    def rerank(self, X: Any, top: TopK) -> TopK:
        """Rescore predictions and sort them.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        top : TopK
            Predictions for the same rows and labels. It should hold more candidates than are needed, say 100.

        Returns
        -------
        TopK
            The same labels in a new order; see `TopK.head`.

        Raises
        ------
        ValueError
            If a score is not above 0, `top` has other rows or labels, or `X` does not fit the data of ``fit``.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.
        """
        check_is_fitted(self)
        X, top = check_features(self, X, reset=False), check_topk(top, self.centroids_.shape[0])
        if top.n_rows != X.shape[0]:
            raise ValueError(f"top has {top.n_rows} rows and X has {X.shape[0]}; pass the predictions of these rows.")
        ranked: list[TopK] = run_tasks(partial(self._reranked, X), [top], description="reranking")
        return ranked[0]

    def _reranked(self, X: Features, top: TopK, stop: StopByte) -> TopK:
        return self._rescored(top, self._distances(X, top, stop))

    def _distances(self, X: Features, top: TopK, stop: StopByte) -> NDArray[np.float32]:
        """Return the squared distance of each row to the centroids of its predictions."""
        return kernels.squared_distances(
            kernel_rows(unit_rows(X)),
            ids=np.ascontiguousarray(top.ids, np.int32),
            counts=np.ascontiguousarray(top.counts, np.int32),
            centroid_ptr=self.centroids_.indptr.astype(np.int64),
            features=self.centroids_.indices.astype(np.int32, copy=False),
            means=self.centroids_.data,
            square_norms=self._square_norms,
            stop=stop,
        )

    def _rescored(self, top: TopK, distances: NDArray[np.float32]) -> TopK:
        n_labels, filled = self.centroids_.shape[0], top.filled()
        if not (top.scores[filled] > 0).all():
            raise ValueError(
                f"top has a score of {top.scores[filled].min()}; scores must be above 0. Map margins there, for "
                "instance with scipy.special.expit."
            )
        scores = np.full(top.ids.shape, -np.inf, np.float32)
        known = filled & self._trained[np.where(filled, top.ids, 0)]
        tail = -np.logaddexp(0, self.gamma * distances[known].astype(np.float64))
        head = np.log(top.scores[known].astype(np.float64))
        scores[known] = self.alpha * head + (1 - self.alpha) * tail  # Ranking uses logarithms, which do not underflow.
        ranked = TopK.from_csr(TopK(top.ids, scores, top.counts).to_csr(n_labels), top.k)
        return TopK(ranked.ids, np.where(ranked.filled(), np.exp(ranked.scores), -np.inf), ranked.counts)

    def _arrays(self) -> Arrays:
        return matrix_arrays("centroids", self.centroids_) | {"trained": self._trained}

    def _take(self, arrays: Arrays, n_features: int, n_labels: int) -> None:
        """Set the arrays that `_arrays` returned, or raise ModelFileError if the kernel could not follow them."""
        centroids = stored_matrix(arrays, "centroids", (n_labels, n_features))
        verify_matrix("centroids", centroids)
        self.n_features_in_ = n_features
        self._set(centroids, stored_array(arrays, "trained", np.bool_, (n_labels,)))
