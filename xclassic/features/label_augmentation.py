"""Labels as further training rows with soft targets (Gandalf: Kharbanda et al., KDD 2024)."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import clone

from xclassic.base import Arrays, Metadata, Verify, XMCClassifier
from xclassic.features.label_rows import augment_with_labels, check_threshold
from xclassic.parallel import StopByte, default_workers
from xclassic.storage.arrays import with_prefix, without_prefix
from xclassic.storage.folder import ModelFileError
from xclassic.storage.models import packed, unpacked
from xclassic.storage.registry import ESTIMATORS, find_class
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice
from xclassic.weighing import refusing_weights

HARD = 0.5  # Soft targets from here on are labels for methods that know no shares.


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
    threshold : float, default=0.1
        Smallest share that counts. Above 1 only the label itself is left.
    n_jobs : int, optional
        Workers, as joblib counts them, for `estimator` too if it does not set its own.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Attributes
    ----------
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

    Cost: that of `estimator` on ``n_rows + n_labels`` rows, and one sparse product of the labels with themselves.
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
    """

    _not_saved = ("estimator",)

    def __init__(
        self,
        estimator: str | XMCClassifier = "DiSMEC",
        *,
        threshold: float = 0.1,
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
        label_features : sparse matrix or array-like, shape (n_labels, n_features), optional
            A row for each label, in the order of ``classes_``: for lists and class vectors their sorted distinct
            labels, which `xclassic.encode_labels` returns. By default the centroids of the labels' rows.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If `label_features` is no such matrix, or as `XMCClassifier.fit`.
        """
        return self._fit_checked(X, y, label_features=label_features)

    def _check_parameters(self) -> None:
        super()._check_parameters()
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
        method: XMCClassifier = clone(self._method())
        with default_workers(self.n_jobs):
            rows, targets, shares = augment_with_labels(X, Y, label_features, threshold=self.threshold)
            if "relevance" in method._weights_taken():
                method._fit_checked(rows, targets, relevance=shares)
            else:
                warnings.warn(
                    f"{type(method).__name__} takes no shares of labels, so it is fitted on those of at least {HARD}.",
                    UserWarning,
                    stacklevel=4,
                )
                method.fit(rows, _at_least(shares, HARD))
        self.estimator_ = method

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        rows = self.estimator_._check_input(X, reset=False)  # A blend prepares rows for each of its members.
        return self.estimator_._topk(rows, k, labels, stop)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        of_labels = L * max(1, nnz_x // max(1, n))
        shares = int(L * max(1, nnz_y / max(1, n)) / max(self.threshold, 1e-3))
        copies = 8 * (nnz_x + of_labels) + 24 * (nnz_y + min(shares, L * L))
        return copies + self._method()._estimate_memory(n + L, d, L, nnz_x + of_labels, nnz_y + min(shares, L * L))

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        header, arrays = packed(self.estimator_)
        return with_prefix("estimator.", arrays), {
            "estimator": header,
            "name": self.estimator if isinstance(self.estimator, str) else None,
        }

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        method = unpacked(metadata["estimator"], without_prefix("estimator.", arrays), verify)
        sizes = (self.classes_.size, self.n_features_in_)
        if not isinstance(method, XMCClassifier) or (method.classes_.size, method.n_features_in_) != sizes:
            raise ModelFileError("The method of the model has other labels or features than the model.")
        self.estimator_ = method
        self.estimator = clone(method) if metadata["name"] is None else metadata["name"]
        self._check_method()


def _at_least(shares: csr_array, share: float) -> csr_array:
    hard = shares.copy()
    hard.data = (hard.data >= share).astype(np.float32)
    hard.eliminate_zeros()
    return hard
