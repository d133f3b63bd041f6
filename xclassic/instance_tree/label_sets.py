"""The second view of SwiftXML: the revealed labels of a row, as features of nodes and beside the sets of each label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from xclassic.base import Metadata
from xclassic.instance_tree.reranking import TailReranker
from xclassic.parallel import StopByte
from xclassic.storage.arrays import stored_array, with_prefix, without_prefix
from xclassic.storage.folder import Arrays, ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features

SHARE = 0.5  # Weight in the re-ranker of the distance between sets of labels, beside that between rows.


@dataclass(frozen=True)
class LabelSets:
    """What turns revealed labels into rows, and compares them with the sets of labels that each label occurs in.

    Attributes
    ----------
    length : float
        That of a set of many labels: about the mean length of a row, so that margins over both can be added.
    seen : ndarray of bool, shape (n_labels,)
        Labels that a training row has or that were revealed of one.
    reranker : TailReranker
        Its centroids are the mean sets that each label occurs in, without the label itself.
    """

    length: float
    seen: NDArray[np.bool_]
    reranker: TailReranker

    @classmethod
    def of_training(cls, length: float, known: csr_array | None, Y: csr_array, reranker: TailReranker) -> LabelSets:
        """Average the sets of training rows: those revealed, or all their labels where these are drawn later."""
        seen = np.bincount(Y.indices, minlength=Y.shape[1]) > 0
        if known is not None:
            seen |= np.bincount(known.indices, minlength=Y.shape[1]) > 0
        reranker._average(Y if known is None else known, Y)
        means, trained = reranker.centroids_, reranker._trained
        means.data[means.indices == np.repeat(np.arange(means.shape[0]), np.diff(means.indptr))] = 0
        means.eliminate_zeros()
        reranker._set(means, trained)
        return cls(length, seen, reranker)

    def rows(self, known: csr_array) -> csr_array:
        """Return the second view of rows, from their revealed labels."""
        counts = np.diff(known.indptr)
        values = np.repeat(self.length / np.sqrt(counts + 1), counts).astype(np.float32)
        return csr_array((values, known.indices, known.indptr), shape=known.shape)

    def beside(self, X: Features, known: csr_array) -> csr_array:
        """Return rows as trees see them: their features, then their second view."""
        return csr_array(hstack([csr_array(X), self.rows(self._of_seen(known))], format="csr"))

    def distances(self, known: csr_array, found: TopK, stop: StopByte) -> NDArray[np.float32]:
        """Return the weighted squared distance of each set to the mean sets of its candidates."""
        known = self._of_seen(known)
        counts = np.diff(known.indptr)
        share = (SHARE * counts / (counts + 1)).astype(np.float32)
        return share[:, None] * self.reranker._distances(known, found, stop)

    def _of_seen(self, known: csr_array) -> csr_array:
        """Return revealed labels without those that training knows nothing of."""
        if self.seen.all():
            return known
        ones = self.seen[known.indices].astype(np.float32)
        of_seen = csr_array((ones, known.indices, known.indptr), shape=known.shape, copy=True)
        of_seen.eliminate_zeros()
        return of_seen

    def arrays(self) -> tuple[Arrays, Metadata]:
        """Return what a model folder keeps."""
        return with_prefix("sets.", self.reranker._arrays()) | {"seen": self.seen}, {"length": self.length}

    @classmethod
    def from_arrays(cls, arrays: Arrays, metadata: Metadata, n_labels: int, reranker: TailReranker) -> LabelSets:
        """Return what `arrays` kept, or raise ModelFileError if a kernel could not follow it."""
        length = metadata.get("length")
        if not isinstance(length, float) or not 2.0**-126 <= length <= 2.0**126:
            raise ModelFileError(f"The length of the second view is {length!r}; it must be a power of two.")
        reranker._take(without_prefix("sets.", arrays), n_labels, n_labels)
        return cls(length, stored_array(arrays, "seen", np.bool_, (n_labels,)), reranker)
