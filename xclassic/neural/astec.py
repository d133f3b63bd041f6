"""The networks of `DeepXML`: the encoder of Astec, the transfer layer, and the loss of positives and shortlists."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from xclassic.networks.batches import Ints
from xclassic.networks.feature_rows import FeatureLinear, SparseRows
from xclassic.networks.torch_support import to_device
from xclassic.neural.label_network import FeatureBody, LabelNetwork
from xclassic.rows import dense
from xclassic.validation.features import Features


class Residual(FeatureBody):
    """A residual block, ``h + dropout(relu(A h + b))``."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.inner = torch.nn.Linear(width, width)
        self.dropout = torch.nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden + self.dropout(torch.relu(self.inner(hidden)))


class Encoder(FeatureBody):
    """The encoder of short texts: the weighted sum of the vectors of a row's words, ReLU, dropout, a residual block.

    Dense rows, which another encoder has made, go straight to the residual block.
    """

    def __init__(self, n_features: int, width: int, sparse: bool, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.words = FeatureLinear(n_features, width) if sparse else None
        self.dropout = torch.nn.Dropout(dropout)
        self.residual = Residual(width, dropout)

    def inputs(self, X: Features, rows: Ints, device: Any) -> Tensor | SparseRows:
        if self.words is None:
            return to_device(dense(X[rows]), device)
        return super().inputs(X, rows, device)

    def forward(self, rows: Any) -> Tensor:
        if self.words is None:  # The entries of rows of unit length are brought to about 1, where layers learn.
            return self.residual(rows * math.sqrt(self.width))
        return self.residual(self.dropout(torch.relu(self.words(rows))))

    def start(self, vectors: NDArray[np.float32]) -> None:
        """Let words begin with some vectors of unit length, shape (n_features, n_vectors); the rest stays random."""
        if self.words is not None:
            with torch.no_grad():
                self.words.weight[:, : vectors.shape[1]] = torch.from_numpy(vectors * np.float32(math.sqrt(self.width)))


class TransferredEncoder(FeatureBody):
    """An encoder and the transfer layer above it."""

    def __init__(self, n_features: int, width: int, sparse: bool, dropout: float) -> None:
        super().__init__()
        self.width = width
        self.encoder = Encoder(n_features, width, sparse, dropout)
        self.transfer = Residual(width, dropout)

    def inputs(self, X: Features, rows: Ints, device: Any) -> Tensor | SparseRows:
        return self.encoder.inputs(X, rows, device)

    def forward(self, rows: Any) -> Tensor:
        return self.transfer(self.encoder(rows))


class ShortlistNetwork(LabelNetwork):
    """A label network whose loss is the mean cross-entropy of a row's positives and the labels on its shortlist.

    Parameters
    ----------
    body, Y
        As for `LabelNetwork`.
    shortlists : csr_array, shape (n_rows, n_labels)
        Stored where a label is on the shortlist of a row.
    """

    def __init__(self, body: FeatureBody, Y: csr_array, shortlists: csr_array) -> None:
        super().__init__(body, Y)
        self.pairs = csr_array(shortlists + 2 * Y)  # at least 2 where a label is positive

    def loss_of(self, X: Any, Y: csr_array, rows: Ints) -> Tensor:
        pairs = self.pairs[rows]
        sizes = np.diff(pairs.indptr)
        row_of = np.repeat(np.arange(rows.size), sizes)
        labels, label_of = np.unique(pairs.indices, return_inverse=True)
        at, weight, target, used = (
            to_device(array, self.device)
            for array in (
                row_of * labels.size + label_of,
                (1 / sizes[row_of]).astype(np.float32),
                (pairs.data >= 2).astype(np.float32),
                labels.astype(np.int64),
            )
        )
        hidden = self.body(self.body.inputs(X, rows, self.device))
        scores = torch.nn.functional.linear(hidden, self.output.weight[used], self.output.bias[used])
        scores = scores.float().flatten()[at]
        return torch.nn.functional.binary_cross_entropy_with_logits(scores, target, weight, reduction="sum")

    def scores_of(self, X: Any, rows: Ints) -> Tensor:
        """Return the scores of the labels that are positives or on the shortlist; others were never pushed down."""
        listed = to_device(self.pairs[rows].toarray() > 0, self.device)
        return super().scores_of(X, rows).masked_fill(~listed, -torch.inf)
