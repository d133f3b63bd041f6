"""Base of the methods that code labels: linear models of the places of a code, trained, stored and read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.base import Arrays, Metadata, Verify, XMCClassifier
from xclassic.blocks.problem import BlockProblem, by_descending_count
from xclassic.blocks.training import train_blocks
from xclassic.blocks.weights import BlockWeights
from xclassic.parallel import StopByte
from xclassic.storage.arrays import with_prefix, without_prefix
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number


class LinearCode(XMCClassifier):
    """Base of methods that give each label some of few places, bits, buckets or edges, with a linear model for each.

    A method defines how labels are coded and decoded, and its parameters, among them those below.

    Attributes
    ----------
    weights_ : BlockWeights
        The models of the places.
    """

    C: float
    prune: float
    eps: float
    max_passes: int
    bias: float
    weights_: BlockWeights

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("C", self.C, minimum=0, inclusive=False)
        check_number("prune", self.prune, minimum=0)
        check_number("eps", self.eps, minimum=0, inclusive=False)
        check_number("max_passes", self.max_passes, minimum=1, integer=True)
        check_number("bias", self.bias, minimum=0)

    def _trained(self, X: Features, targets: csr_array, loss: str, seed: int) -> BlockWeights:
        """Return models of the places that rows have; `X` is prepared."""
        places = by_descending_count(targets)
        costs = np.full(len(places), self.C, np.float32)
        return train_blocks(
            BlockProblem(X, bias=self.bias),
            targets,
            places,
            loss=loss,
            eps=self.eps,
            max_passes=self.max_passes,
            prune=self.prune,
            positive_costs=costs,
            negative_costs=costs,
            seed=seed,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        ).weights

    def _margins(self, X: Features, n_places: int, stop: StopByte) -> NDArray[np.float32]:
        """Return the margins of all places, shape (n_rows, n_places); 0 for those without a model."""
        used = self.weights_.labels >= 0
        margins = np.zeros((X.shape[0], n_places), np.float32)
        margins[:, self.weights_.labels[used]] = self.weights_.lane_scores(self._prepare(X), stop=stop)[:, used]
        return margins

    def _prune(self, threshold: float) -> None:
        self.weights_ = self.weights_.pruned(threshold)

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        return with_prefix("weights.", self.weights_.arrays()), {}

    def _set_weights(self, arrays: Arrays, n_places: int, verify: Verify) -> None:
        parts = without_prefix("weights.", arrays)
        self.weights_ = BlockWeights.from_arrays(parts, self.n_features_in_, n_places, full=verify == "full")
