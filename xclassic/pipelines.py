"""Rankings by what scikit-learn makes of an estimator: pipelines and searches."""

from __future__ import annotations

from inspect import signature
from typing import Any

from numpy.typing import ArrayLike
from sklearn.pipeline import Pipeline

from xclassic.base import XMCClassifier
from xclassic.topk import TopK


def predict_topk(
    model: Any,
    X: Any,
    k: int = 5,
    labels: ArrayLike | None = None,
    exclude: Any = None,
    revealed: Any = None,
    *,
    candidates: Any = None,
    label_weights: Any = None,
    unseen: bool = False,
) -> TopK:
    """Return the best `k` labels of each row from an estimator, a `Pipeline` or a fitted search.

    A scikit-learn pipeline passes on only the methods it knows; this function transforms `X` by all steps but the last
    and passes the result to the last one.

    Parameters
    ----------
    model : XMCClassifier, Pipeline that ends in one, or a search over either
        A fitted model; of a `GridSearchCV` and similar searches, the ``best_estimator_`` predicts.
    X : array-like
        The input of the first step, for instance a list of texts.
    k, labels, exclude
        See `XMCClassifier.predict_topk`.
    revealed : sparse or dense 0-1 matrix, or list of label collections, optional
        Labels of each row that are known already, for a model that takes them: see `SwiftXML.predict_topk`.
    candidates : matrix, or list of label collections, one for each row, optional
        See `XMCClassifier.predict_topk`.
    label_weights : dict of labels to floats, or array-like, shape (n_labels,), optional
        Rank by score times these: see `XMCClassifier.predict_topk`.
    unseen : bool, default=False
        Rank labels without training rows too, for a model that takes their features: see
        `LabelAugmentation.predict_topk`.

    Returns
    -------
    TopK

    Raises
    ------
    TypeError
        If the model does not end in an estimator of xclassic, or is told labels and takes none.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from xclassic import DiSMEC, predict_topk
    >>> texts = ["stars and planets", "bread and butter", "planets and moons"]
    >>> pipe = make_pipeline(TfidfVectorizer(), DiSMEC()).fit(texts, [["astronomy"], ["food"], ["astronomy"]])
    >>> predict_topk(pipe, ["a planet of bread"], k=1).named(pipe.classes_)[0][0][0]
    'food'
    """
    model = getattr(model, "best_estimator_", model)
    if isinstance(model, Pipeline):
        X = model[:-1].transform(X) if len(model) > 1 else X
        return predict_topk(
            model[-1],
            X,
            k,
            labels,
            exclude,
            revealed,
            candidates=candidates,
            label_weights=label_weights,
            unseen=unseen,
        )
    if not isinstance(model, XMCClassifier):
        raise TypeError(
            f"{type(model).__name__} ranks no labels; pass an estimator of xclassic or a pipeline that ends in one."
        )
    options: dict[str, Any] = {
        "labels": labels,
        "exclude": exclude,
        "candidates": candidates,
        "label_weights": label_weights,
    }
    if unseen:
        if "unseen" not in signature(model.predict_topk).parameters:
            raise TypeError(
                f"{type(model).__name__} knows no features of labels without training rows; LabelAugmentation of it "
                "does. Leave unseen out."
            )
        options["unseen"] = True
    if revealed is None:
        return model.predict_topk(X, k, **options)
    if not takes_revealed(model):
        raise TypeError(
            f"{type(model).__name__} cannot be told labels that are known; SwiftXML can. Leave revealed out, and drop "
            "these labels from a deeper ranking with TopK.without."
        )
    options["revealed"] = revealed
    return model.predict_topk(X, k, **options)


def takes_revealed(estimator: XMCClassifier) -> bool:
    """Return whether an estimator can be told labels of the rows that it predicts."""
    return "revealed" in signature(estimator.predict_topk).parameters
