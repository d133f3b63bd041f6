"""Base of the one-vs-rest methods: unit rows, block weights, ranking by score, persistence."""

from __future__ import annotations

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic._kernels.arguments import LANES
from xclassic.base import Arrays, Metadata, Verify
from xclassic.blocks.explaining import ExplainableClassifier, FullReading, Row
from xclassic.blocks.weights import BlockWeights
from xclassic.changing import only_columns
from xclassic.explanation import Names, Step
from xclassic.parallel import StopByte
from xclassic.storage.arrays import with_prefix, without_prefix
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number
from xclassic.weighted_ranking import ScoreWeights


class OneVsRestLinear(ExplainableClassifier):
    """Base of methods that fit one linear model per label and rank labels by ``w.x + bias``.

    A method defines ``_fit``, which sets ``weights_``, and its hyper-parameters, among them `prune`, `bias` and
    `normalize`. Labels without a training row get no model and are never predicted.

    Attributes
    ----------
    weights_ : BlockWeights
        The fitted models.
    """

    prune: float
    bias: float
    normalize: bool
    weights_: BlockWeights

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("bias", self.bias, minimum=0)
        check_number("prune", self.prune, minimum=0)

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        return self._weighted_topk(X, k, labels, None, stop)

    def _weighted_topk(
        self, X: Features, k: int, labels: NDArray[np.int32] | None, weights: ScoreWeights | None, stop: StopByte
    ) -> TopK:
        return self.weights_.ranked(self._prepare(X), k, labels, weights=weights, stop=stop)

    def _explained(self, row: Row, label: int, label_names: Names | None) -> tuple[float, int, list[Step]]:
        name = str((self.classes_ if label_names is None else label_names)[label])
        steps = label_steps(self.weights_, row, label, name)
        return sum(step.margin for step in steps), 0, steps

    def _prune(self, threshold: float) -> None:
        self.weights_ = self.weights_.pruned(threshold)

    def _renumber(self, ids: NDArray[np.int32], n_labels: int) -> None:
        self.weights_ = self.weights_.relabeled(ids)

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        return with_prefix("weights.", self.weights_.arrays()), {}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        parts, n_labels = without_prefix("weights.", arrays), self.classes_.size
        self.weights_ = BlockWeights.from_arrays(parts, self.n_features_in_, n_labels, full=verify == "full")


class IndependentLabels(OneVsRestLinear):
    """Base of the one-vs-rest methods in which nothing that a label learns depends on another label."""

    def _learn_labels(self, X: Features, Y: csr_array, new: NDArray[np.int32]) -> None:
        known = self.weights_
        self._fit(X, only_columns(Y, new))
        self.weights_ = BlockWeights.concatenated([known, self.weights_])

    def _learn_rows(self, X: Features, Y: csr_array, labels: NDArray[np.int32], n_known: int) -> None:
        ids = np.arange(Y.shape[1], dtype=np.int32)
        ids[labels] = -1
        self._renumber(ids, Y.shape[1])
        self._learn_labels(X, Y, labels)


def label_steps(weights: BlockWeights, row: Row, label: int, name: str, share: float = 1.0) -> list[Step]:
    """Return what the model of a label says of a row, `share` of which is in the score; nothing without a model."""
    if label not in weights.labels:
        return []
    reading = FullReading(weights, row)
    margin = float(reading.margins[reading.labels == label][0])
    return [reading.step(label, name, share * margin)]


def costs_of_labels(
    C: float, labels: NDArray[np.int64], label_weight: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Return the cost of an error of each of `labels`."""
    costs = np.full(len(labels), C, np.float32)
    return costs if label_weight is None else costs * label_weight[labels]


def memory_of_blocks(n: int, d: int, L: int, nnz_x: int, n_jobs: int | None, arrays_per_feature: int) -> int:
    """Return the bytes that a one-vs-rest fit needs above the data, with a guess of 150 weights per label."""
    copies = 12 * nnz_x + 24 * n  # Column numbers, and values if rows are scaled.
    scratch = effective_n_jobs(n_jobs) * 4 * LANES * (n + arrays_per_feature * d)
    model = 2 * 150 * 10 * L  # The model exists twice while trained blocks are merged.
    return copies + scratch + model
