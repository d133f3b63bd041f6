"""Base of the linear compressions of the label space: short codes for label vectors, a map to them, and back."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.base import Arrays, Metadata, Verify, XMCClassifier
from xclassic.blocks.weights import BlockWeights
from xclassic.linalg.eigen import DENSE_LIMIT
from xclassic.linalg.ridge import RidgeSolver, with_bias
from xclassic.parallel import StopByte, blas_threads, run_tasks, spawn_seeds
from xclassic.storage.arrays import FINITE, stored_array, with_prefix, without_prefix
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number
from xclassic.weighted_ranking import ScoreWeights


class CenteredLabels:
    """Label vectors minus their mean, as an operator, since the matrix itself would be dense."""

    def __init__(self, Y: csr_array, mean: NDArray[np.float32]) -> None:
        self.Y = Y
        self.mean = mean

    def times(self, V: NDArray[Any]) -> NDArray[Any]:
        """Return the product with a matrix of shape (n_labels, n); it has shape (n_rows, n)."""
        return np.asarray(self.Y @ V - self.mean @ V)

    def transposed_times(self, U: NDArray[Any]) -> NDArray[Any]:
        """Return the product of the transpose with a matrix of shape (n_rows, n); it has shape (n_labels, n)."""
        return np.asarray(self.Y.T @ U - np.outer(self.mean, U.sum(axis=0)))


class LinearCompression(XMCClassifier):
    r"""Base of methods that compress label vectors by a matrix with orthonormal columns.

    With directions V, codes :math:`(y - \bar y) V` and a ridge regression W from the features to the codes, a row has
    the scores :math:`x W V^\top + \bar y`. A method defines ``_directions``; if not ``_centered``, its mean is 0.

    Attributes
    ----------
    map_ : ndarray of float32, shape (n_features + 1, n_components)
        From features to codes; the last row is that of the constant feature.
    decoder_ : BlockWeights
        From codes to labels.
    """

    _centered = True
    _fewest_components = 1

    map_: NDArray[np.float32]
    decoder_: BlockWeights

    def __init__(
        self,
        n_components: int = 200,
        *,
        alpha: float = 1.0,
        bias: float = 1.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.alpha = alpha
        self.bias = bias
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _directions(
        self, labels: CenteredLabels, solver: RidgeSolver, k: int, random: np.random.Generator
    ) -> NDArray[np.float32]:
        """Return the directions of the label space to keep, shape (n_labels, k)."""
        raise NotImplementedError

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("n_components", self.n_components, minimum=self._fewest_components, integer=True)
        check_number("alpha", self.alpha, minimum=0)
        check_number("bias", self.bias, minimum=0)

    @property
    def _decoder_inputs(self) -> int:
        return self.n_components

    def _fit(self, X: Features, Y: csr_array) -> None:
        seed = int(spawn_seeds(self.random_state, 1)[0])
        task = partial(self._compress, with_bias(self._prepare(X), self.bias), Y)
        ((self.map_, self.decoder_),) = run_tasks(task, [seed], description="fitting", verbose=self.verbose)

    def _compress(
        self, X: Features, Y: csr_array, seed: int, stop: StopByte
    ) -> tuple[NDArray[np.float32], BlockWeights]:
        counts = np.bincount(Y.indices, minlength=Y.shape[1])
        seen = np.flatnonzero(counts)
        mean = (counts[seen] / Y.shape[0]).astype(np.float32) * np.float32(self._centered)
        labels = CenteredLabels(csr_array(Y[:, seen]), mean)
        k = min(self.n_components, Y.shape[0], len(seen))
        with blas_threads(1):  # The model must not depend on how BLAS shares its work.
            solver = RidgeSolver(X, self.alpha, stop)
            V = np.zeros((0, 0), np.float32)
            if k > 0:
                V = self._directions(labels, solver, k, np.random.default_rng(seed))
            W = solver.solve(labels.times(V))
        V, W = (np.pad(matrix, ((0, 0), (0, self.n_components - k))) for matrix in (V, W))
        return W, BlockWeights.from_dense(V.T, mean, seen, prune=0)

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        return self._weighted_topk(X, k, labels, None, stop)

    def _weighted_topk(
        self, X: Features, k: int, labels: NDArray[np.int32] | None, weights: ScoreWeights | None, stop: StopByte
    ) -> TopK:
        return self.decoder_.ranked(self._inputs(X), k, labels, weights=weights, stop=stop)

    def _inputs(self, X: Features) -> Features:
        """Return what the decoder reads of each row."""
        return self._codes(X)

    def _renumber(self, ids: NDArray[np.int32], n_labels: int) -> None:
        self.decoder_ = self.decoder_.relabeled(ids)

    def _codes(self, X: Features) -> NDArray[np.float32]:
        """Return the codes that the regression predicts, shape (n_rows, n_components)."""
        rows = csr_array(self._prepare(X))  # BLAS rounds the product of dense rows by the size of their batch.
        return np.asarray(rows @ self.map_[:-1] + np.float32(self.bias) * self.map_[-1])

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        m = min(n, d) if min(n, d) <= 15_000 else 0
        dense = 8 * min(L, DENSE_LIMIT) ** 2
        return int(12 * nnz_x + 4 * m**2 + dense + 4 * self.n_components * (4 * n + 3 * d + 5 * L))

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        return {"map": self.map_} | with_prefix("decoder.", self.decoder_.arrays()), {}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        self.map_ = stored_array(arrays, "map", np.float32, (self.n_features_in_ + 1, self.n_components), FINITE)
        parts, n_labels = without_prefix("decoder.", arrays), self.classes_.size
        self.decoder_ = BlockWeights.from_arrays(parts, self._decoder_inputs, n_labels, full=verify == "full")


def predictable(labels: CenteredLabels, solver: RidgeSolver, V: NDArray[Any]) -> NDArray[Any]:
    """Return ``Z^T H Z V`` for centered labels Z and the hat matrix H of the ridge regression."""
    return labels.transposed_times(np.asarray(solver.X @ solver.solve(labels.times(V))))
