"""Nearest centroid: the mean of the rows of each label, compared with the row (Rocchio)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from xclassic.blocks.problem import weighted_labels
from xclassic.blocks.weights import BlockWeights
from xclassic.linalg.label_vectors import label_vectors
from xclassic.linear.one_vs_rest import IndependentLabels
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number
from xclassic.weighing import TakesWeights


class NearestCentroid(TakesWeights, IndependentLabels):
    r"""Rank labels by the cosine between a row and the centroid of the label's training rows.

    .. math:: \text{score}(x, l) = \frac{x}{\|x\|} \cdot \frac{\sum_{i \in l} x_i}{\| \sum_{i \in l} x_i \|}

    The simplest method that looks at the features: nothing is optimized. It is a baseline, and not a weak one for rare
    labels.

    Parameters
    ----------
    max_entries : int, default=1000
        The largest entries kept of each centroid of sparse rows. More make a larger model.
    normalize : bool, default=True
        Scale rows to unit length first, so that each counts the same.
    n_jobs : int, optional
        Workers, as joblib counts them. The model does not depend on it.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Attributes
    ----------
    weights_ : BlockWeights
        The centroids.

    See Also
    --------
    Popularity : A baseline that looks at the labels alone.
    KNN : The nearest rows vote.

    Notes
    -----
    Labels without a training row are never predicted; rows without labels do not count. A centroid is the weighted sum
    of the rows where ``fit`` gets ``sample_weight`` or ``relevance``, then scaled to unit length as ever.

    Cost: one addition for each pair of a label of a row and an entry of the row. Memory: 12 bytes for each entry of a
    centroid.

    References
    ----------
    .. [1] J. J. Rocchio, "Relevance feedback in information retrieval", in: The SMART Retrieval System, 1971.

    Examples
    --------
    >>> from xclassic import NearestCentroid, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> round(NearestCentroid().fit(bibtex.X, bibtex.Y).score(bibtex.X_test, bibtex.Y_test), 2)
    0.53
    """

    _scale_free = True
    bias = 0.0
    prune = 0.0

    def __init__(
        self, max_entries: int = 1000, *, normalize: bool = True, n_jobs: int | None = None, verbose: int = 0
    ) -> None:
        self.max_entries = max_entries
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("max_entries", self.max_entries, minimum=1, integer=True)

    def _weights_taken(self) -> tuple[str, ...]:
        return "sample_weight", "relevance"

    def _fit(
        self,
        X: Features,
        Y: csr_array,
        *,
        sample_weight: NDArray[np.float32] | None = None,
        relevance: csr_array | None = None,
    ) -> None:
        Y = weighted_labels(Y, sample_weight, relevance)
        self.weights_ = centroid_weights(
            self._prepare(X), Y, max_entries=self.max_entries, n_jobs=self.n_jobs, verbose=self.verbose
        )

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        entries = min(nnz_y * max(1, nnz_x // max(1, n)), L * d, L * self.max_entries)
        return int(12 * nnz_x + 40 * entries)


def centroid_weights(X: Features, Y: csr_array, *, max_entries: int, n_jobs: int | None, verbose: int) -> BlockWeights:
    """Return the centroid of each label that has a row, with a bias of 0."""
    labels = np.unique(Y.indices)
    centroids = label_vectors(X, Y[:, labels], max_entries=max_entries, n_jobs=n_jobs, verbose=verbose)
    return BlockWeights.from_csc(csc_array(centroids.T), np.zeros(len(labels), np.float32), labels)
