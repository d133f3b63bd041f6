"""Scorers for scikit-learn: ``cross_val_score(model, X, Y, scoring=metrics.precision_at_5)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xclassic.metrics.ranking import ndcg_at_k, precision_at_k, recall_at_k
from xclassic.validation.labels import align_labels
from xclassic.validation.parameters import check_k


class TopKScorer:
    """A ranking metric as a scikit-learn scorer: call it with a fitted model, features and truth.

    Parameters
    ----------
    metric : callable
        ``metric(Y_true, top, k, **options)``, for instance `psp_at_k`. It must be a function of a module, so that the
        scorer can be pickled.
    k : int
        Depth, at least 1.
    **options
        Passed on to the metric, for instance ``propensities``. Options with one entry per label refer to the labels of
        the fitted model.

    Notes
    -----
    Truth may be anything that ``fit`` takes. The columns of matrices are the model's labels in order; named labels and
    class vectors are matched by ``classes_``, and a true label that the model has never seen counts as a miss.

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from xclassic import DiSMEC, metrics
    >>> search = GridSearchCV(DiSMEC(), {"C": [0.3, 1, 3]}, scoring=metrics.precision_at_5)
    """

    def __init__(self, metric: Callable[..., float], k: int, **options: Any) -> None:
        self.metric = metric
        self.k = check_k(k)
        self.options = options
        self.__doc__ = self.__call__.__doc__  # help() and the API reference show ready scorers as functions.

    def __call__(self, estimator: Any, X: Any, y: Any) -> float:
        """Return the metric of the estimator's predictions.

        Parameters
        ----------
        estimator : XMCClassifier, Pipeline that ends in one, or a search over either
            Fitted.
        X : array-like
            Rows as the model's ``predict`` takes them.
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
            True labels.

        Returns
        -------
        float
            Greater is better.
        """
        from xclassic.pipelines import predict_topk  # Metrics alone do not need estimators.

        top = predict_topk(estimator, X, self.k)
        return self.metric(align_labels(y, estimator, "y"), top, self.k, **self.options)

    def __repr__(self) -> str:
        options = "".join(f", {name}=..." for name in self.options)
        return f"TopKScorer({self.metric.__name__}, k={self.k}{options})"


precision_at_1 = TopKScorer(precision_at_k, 1)
precision_at_3 = TopKScorer(precision_at_k, 3)
precision_at_5 = TopKScorer(precision_at_k, 5)
recall_at_1 = TopKScorer(recall_at_k, 1)
recall_at_3 = TopKScorer(recall_at_k, 3)
recall_at_5 = TopKScorer(recall_at_k, 5)
ndcg_at_1 = TopKScorer(ndcg_at_k, 1)
ndcg_at_3 = TopKScorer(ndcg_at_k, 3)
ndcg_at_5 = TopKScorer(ndcg_at_k, 5)
