"""The loss of a T5 that fills the holes of texts."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xclassic.networks.batches import Batch
from xclassic.neural.layers import decode, encode
from xclassic.neural.spans import Corruption
from xclassic.neural.texts import Texts
from xclassic.neural.vocabulary import embedding_rows

Ints = NDArray[np.int64]
Pair = tuple[list[int], list[int]]


class SpanLoss:
    """The mean of ``-log p`` over the tokens that were taken out of a text, each text with holes of its own.

    Parameters
    ----------
    model : T5ForConditionalGeneration
    rows : list of list of int
        Tokens of the texts, without end.
    corruption : Corruption
    vocabulary : ndarray of int64
        The tokens among which the model chooses, ascending: those of the texts, the sentinels and the end.
    pad : int
    checkpointing : bool, default=False
        Whether the backward pass computes activations anew instead of keeping them.
    """

    def __init__(
        self,
        model: Any,
        rows: list[list[int]],
        corruption: Corruption,
        vocabulary: Ints,
        pad: int,
        *,
        checkpointing: bool = False,
    ) -> None:
        self.model, self.rows, self.corruption, self.pad = model, rows, corruption, pad
        self.checkpointing = checkpointing
        self.vocabulary = torch.from_numpy(vocabulary).to(model.device)
        scaled = getattr(model.config, "scale_decoder_outputs", False)
        self.scale = model.config.d_model**-0.5 if scaled else 1.0

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the texts of a batch, with holes drawn from the generator of PyTorch."""
        rng = np.random.default_rng(int(torch.randint(2**62, ())))
        return self.of_pairs([self.corruption.pair(self.rows[i], rng) for i in batch.rows.tolist()]).sum()

    def of_pairs(self, pairs: list[Pair]) -> Tensor:
        """Return the loss of each text."""
        model, every = self.model, np.arange(len(pairs))
        tokens, mask = Texts([read for read, _ in pairs], self.pad).batch(every, model.device)
        targets, filled = Texts([written for _, written in pairs], self.pad).batch(every, model.device)
        start = torch.full_like(targets[:, :1], model.config.decoder_start_token_id)
        encoded = encode(model, tokens, mask, checkpointing=self.checkpointing)
        written = torch.cat([start, targets[:, :-1]], dim=1)
        states = decode(model, written, encoded, mask, checkpointing=self.checkpointing)
        row, at = filled.nonzero(as_tuple=True)
        weights = (embedding_rows(model.lm_head, self.vocabulary) * self.scale).to(states.dtype)
        scores = (states[row, at] @ weights.T).float()
        right = torch.searchsorted(self.vocabulary, targets[row, at])
        losses = torch.nn.functional.cross_entropy(scores, right, reduction="none")
        return losses.new_zeros(len(pairs)).index_add(0, row, losses / filled.sum(dim=1)[row])

    @torch.no_grad()
    def mean(self, rows: Ints, seed: int, batch_size: int) -> float:
        """Return the mean over some texts, whose holes are the same at each call."""
        self.model.eval()
        pairs = [self.corruption.pair(self.rows[i], np.random.default_rng([seed, i])) for i in rows.tolist()]
        losses = [self.of_pairs(pairs[i : i + batch_size]) for i in range(0, len(pairs), batch_size)]
        return float(torch.cat(losses).mean())
