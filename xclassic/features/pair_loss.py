"""The loss of pairs of a text and the text of one of its labels, with the labels that it is most often taken for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from xclassic.features.encoder_network import Tokens
from xclassic.features.tuned_network import AT_ONCE, TunedNetwork
from xclassic.networks.batches import Batch
from xclassic.networks.torch_support import to_device
from xclassic.storage.folder import Arrays


class PairLoss:
    """The cross-entropy of the label of a pair among the labels of a batch and their hard negatives.

    Parameters
    ----------
    model : TunedNetwork
    label_tokens : list of ndarray of int32
        Tokens of the text of each label.
    Y : csr_array of ones, shape (n_rows, n_labels)
    rows : ndarray of int64
        The rows that are trained on.
    negatives : int
        Hard negatives of a row.
    temperature : float

    Attributes
    ----------
    arrays : dict of str to ndarray
        For each row, by the encoder at the start of the epoch, the nearest labels that are not its own; -1 where there
        are no more.
    """

    def __init__(
        self,
        model: TunedNetwork,
        label_tokens: Sequence[Tokens],
        Y: csr_array,
        rows: NDArray[np.int64],
        *,
        negatives: int,
        temperature: float,
    ) -> None:
        self.model, self.label_tokens, self.Y, self.trained = model, label_tokens, Y, rows
        self.negatives, self.temperature = min(negatives, Y.shape[1]), temperature
        lengths = np.fromiter(map(len, label_tokens), np.int64, len(label_tokens))
        self.key: tuple[NDArray[Any], ...] = (np.concatenate(label_tokens), lengths)
        self.arrays: Arrays = {}

    def begin(self, epoch: int) -> None:
        """Find the hard negatives of an epoch."""
        hard = np.full((self.Y.shape[0], self.negatives), -1, np.int32)
        if self.negatives:
            labels = self.model.frozen_rows(self.label_tokens)
            for part in np.array_split(self.trained, -(-self.trained.size // AT_ONCE)):
                scores = self.model.frozen_rows(self.model.texts(part)) @ labels.T
                hard[part] = nearest_wrong(scores, self.Y[part], self.negatives)
        self.arrays = {"hard": hard}

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the pairs of a batch."""
        labels = np.unique(np.append(self.arrays["hard"][batch.rows], batch.labels))
        labels = labels[labels >= 0].astype(np.int64)
        rows = self.model.rows(self.model.texts(batch.rows)).float()
        columns = self.model.rows([self.label_tokens[label] for label in labels]).float()
        with torch.autocast(rows.device.type, enabled=False):
            scores = rows @ columns.T / self.temperature
        own = np.searchsorted(labels, batch.labels)
        others = self.Y[batch.rows][:, labels].toarray() > 0  # Labels of a row are no negatives of it.
        others[np.arange(own.size), own] = False
        scores = scores.masked_fill(to_device(others, scores.device), -torch.inf)
        return torch.nn.functional.cross_entropy(scores, to_device(own, scores.device), reduction="sum")

    def precision(self, rows: NDArray[np.int64]) -> float:
        """Return the share of rows whose nearest label, among all, is right."""
        return self.model.precision(rows, self.model.frozen_rows(self.label_tokens), self.Y)


def nearest_wrong(scores: NDArray[np.float32], Y: csr_array, count: int) -> NDArray[np.int32]:
    """Return for each row the columns of the highest scores that are not in `Y`, best first, padded with -1."""
    row = np.repeat(np.arange(Y.shape[0]), np.diff(Y.indptr))
    scores[row, Y.indices] = -np.inf
    found = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    values = np.take_along_axis(scores, found, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    found, values = np.take_along_axis(found, order, axis=1), np.take_along_axis(values, order, axis=1)
    return np.where(values > -np.inf, found, -1).astype(np.int32)
