"""The most frequent labels, for every row."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.base import Arrays, Metadata, Verify, XMCClassifier
from xclassic.changing import moved_rows
from xclassic.parallel import StopByte
from xclassic.storage.arrays import stored_table
from xclassic.storage.folder import ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features


class Popularity(XMCClassifier):
    """Rank labels by their share of the training rows, the same for every row.

    A model that is not clearly ahead of this has learned little from the features. On data with a few very frequent
    labels the figures of this baseline are higher than one expects.

    Parameters
    ----------
    n_jobs : int, optional
        Workers for predictions, as joblib counts them.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Attributes
    ----------
    shares_ : ndarray of float32, shape (n_labels,)
        The share of the training rows that have each label.

    See Also
    --------
    RandomOrder : What chance gives.
    NearestCentroid : The simplest ranking that looks at the features.

    Notes
    -----
    The scores are the shares, which are probabilities. Labels without a training row are never predicted; rows without
    labels count as rows.

    Cost: one pass over the labels. Memory: 4 bytes for each label.

    Examples
    --------
    >>> from xclassic import Popularity, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> round(Popularity().fit(bibtex.X, bibtex.Y).score(bibtex.X_test, bibtex.Y_test), 3)
    0.14
    """

    _probabilistic = True
    _scale_free = True
    _blind = True

    def __init__(self, *, n_jobs: int | None = None, verbose: int = 0) -> None:
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _fit(self, X: Features, Y: csr_array) -> None:
        self.shares_ = (np.bincount(Y.indices, minlength=Y.shape[1]) / Y.shape[0]).astype(np.float32)

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        shares = self.shares_ if labels is None else np.where(_among(labels, self.shares_.size), self.shares_, 0)
        seen = np.flatnonzero(shares)
        row = csr_array((shares[seen], seen, [0, len(seen)]), shape=(1, shares.size))
        return _repeated(TopK.from_csr(row, k), X.shape[0])

    def _renumber(self, ids: NDArray[np.int32], n_labels: int) -> None:
        self.shares_ = moved_rows(self.shares_, ids, n_labels)

    def _learn_labels(self, X: Features, Y: csr_array, new: NDArray[np.int32]) -> None:
        shares = (np.bincount(Y.indices, minlength=Y.shape[1]) / Y.shape[0]).astype(np.float32)
        self.shares_[new] = shares[new]

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        return {"shares": self.shares_}, {}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        self.shares_ = stored_table(arrays, {"shares": (np.float32, "labels")}, "the model")["shares"]
        if self.shares_.size != self.classes_.size:
            raise ModelFileError(f"The model has shares of {self.shares_.size} of its {self.classes_.size} labels.")
        if not ((self.shares_ >= 0) & (self.shares_ <= 1)).all():
            raise ModelFileError("A share of the training rows lies outside [0, 1].")

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        return 20 * L


def _among(labels: NDArray[np.int32], n_labels: int) -> NDArray[np.bool_]:
    """Return which labels are allowed."""
    allowed = np.zeros(n_labels, np.bool_)
    allowed[labels] = True
    return allowed


def _repeated(top: TopK, n_rows: int) -> TopK:
    """Return the ranking of one row for each of `n_rows`."""
    arrays: list[Any] = [np.repeat(array, n_rows, axis=0) for array in top]
    return TopK(*arrays)
