"""Labels in random order."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.base import Arrays, Metadata, Verify, XMCClassifier
from xclassic.parallel import StopByte, spawn_seeds
from xclassic.storage.arrays import stored_table
from xclassic.storage.folder import ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features

CELLS = 1 << 20  # Scores that exist at once.


class RandomOrder(XMCClassifier):
    """Rank the labels of each row in random order: what chance gives.

    Parameters
    ----------
    n_jobs : int, optional
        Workers for predictions, as joblib counts them.
    random_state : int or None, default=0
        Seed of the orders; None takes a new one each time.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Attributes
    ----------
    labels_ : ndarray of int32, shape (n_seen_labels,)
        The ids of the labels with a training row, ascending.

    See Also
    --------
    Popularity : The most frequent labels, for every row.

    Notes
    -----
    The score of a label for a row is a hash of the row, the label and the seed, evenly spread over [0, 1). So equal
    rows get equal rankings. Labels without a training row are never predicted.

    Cost: O(n_labels) for each row predicted. Memory: 4 bytes for each label.

    Examples
    --------
    >>> from xclassic import RandomOrder, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> RandomOrder().fit(bibtex.X, bibtex.Y).score(bibtex.X_test, bibtex.Y_test) < 0.03
    True
    """

    _scale_free = True
    _blind = True

    def __init__(
        self,
        *,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _fit(self, X: Features, Y: csr_array) -> None:
        self.labels_ = np.unique(Y.indices).astype(np.int32)
        self._seed = spawn_seeds(self.random_state, 1).astype(np.uint64)

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        candidates = self.labels_ if labels is None else np.intersect1d(labels, self.labels_)
        step = max(1, CELLS // self.classes_.size)
        tops = [TopK.empty(0, k)]
        keys = _mixed(_row_hashes(X) ^ self._seed)
        for start in range(0, X.shape[0], step):
            if stop[0]:
                break
            some = keys[start : start + step, None]
            scores = np.full((len(some), self.classes_.size), -np.inf, np.float32)
            scores[:, candidates] = _uniform(_mixed(some ^ _mixed(candidates.astype(np.uint64))))
            tops.append(TopK.from_dense(scores, k))
        return TopK.concat(tops)

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        return {"labels": self.labels_, "seed": self._seed}, {}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        found = stored_table(arrays, {"labels": (np.int32, "labels"), "seed": (np.uint64, "seeds")}, "the model")
        self.labels_, self._seed = found["labels"], found["seed"]
        ends = np.concatenate([[-1], self.labels_.astype(np.int64), [self.classes_.size]])
        if self._seed.size != 1 or not (np.diff(ends) > 0).all():
            raise ModelFileError("The labels of the model are not ascending ids, or it has not one seed.")

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        return 20 * L + 4 * nnz_y


def _row_hashes(X: Features) -> NDArray[np.uint64]:
    """Return 64 bits for each row, which depend on its entries that are not zero."""
    rows = csr_array(X, copy=True)
    rows.eliminate_zeros()
    indices, data = rows.indices.astype(np.int32), rows.data
    digests = b"".join(
        blake2b(indices[a:b].tobytes() + data[a:b].tobytes(), digest_size=8).digest()
        for a, b in zip(rows.indptr[:-1], rows.indptr[1:], strict=True)
    )
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def _mixed(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scatter 64-bit keys over all numbers (the finalizer of splitmix64: Steele, Lea and Flood, OOPSLA 2014)."""
    keys = keys + np.uint64(0x9E3779B97F4A7C15)
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))


def _uniform(keys: NDArray[np.uint64]) -> NDArray[np.float32]:
    """Return numbers in [0, 1) from the upper bits."""
    return (keys >> np.uint64(40)).astype(np.float32) / np.float32(1 << 24)
