"""The loss of a text decoder on its choices."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from xclassic.networks.batches import Batch
from xclassic.networks.torch_support import to_device
from xclassic.neural.choices import AT, COUNT, FIRST, LENGTH, START, Choices, Ints
from xclassic.neural.layers import decode, encode
from xclassic.neural.scoring import ChoicesOnDevice
from xclassic.neural.texts import Texts


class PathLoss:
    """The mean of ``-log p(label | text)`` over pairs, with the distribution p of `Choices`.

    Parameters
    ----------
    model : T5ForConditionalGeneration
    choices : Choices
    texts : Texts
    parts : ndarray of int64, shape (n_labels, n_tries), optional
        The combination that each label is; by default the labels are those of the only trie.
    checkpointing : bool, default=False
        Whether the backward pass computes activations anew instead of keeping them.
    """

    def __init__(
        self, model: Any, choices: Choices, texts: Texts, parts: Ints | None = None, *, checkpointing: bool = False
    ) -> None:
        self.model, self.choices, self.texts, self.checkpointing = model, choices, texts, checkpointing
        self.parts = np.arange(choices.sizes[0])[:, None] if parts is None else parts
        self.placed = ChoicesOnDevice.place(choices, model)
        start = model.config.decoder_start_token_id
        self.tokens = np.where(choices.tokens < 0, start, choices.tokens)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the pairs of a batch."""
        model, device = self.model, self.model.device
        weights = self.placed.output_weights(model)
        edges = self.choices.edges(self.parts[batch.labels])
        if edges.shape[1] == 0:  # A single label is always certain.
            return 0.0 * weights.sum()
        # Shapes are found on the host, which thus never waits for the device.
        row, step = np.nonzero(edges >= 0)
        chosen = edges[row, step]
        before = np.where(step == 0, START, edges[row, step - 1])
        written, at = self._written(row, before)
        input_ids, mask = self.texts.batch(batch.rows, device)
        encoded = encode(model, input_ids, mask, checkpointing=self.checkpointing)
        states = decode(model, to_device(written, device), encoded, mask, checkpointing=self.checkpointing)
        weights = weights.to(states.dtype)
        first, count = self.choices.table[before, FIRST], self.choices.table[before, COUNT]
        total = states.new_zeros((), dtype=torch.float32)
        for group in _by_width(count):
            facts = np.array([part[group] for part in (row, at, first, count, chosen - first)])
            rows, ends, firsts, counts, slots = to_device(facts, device)
            width = int(count[group].max())
            found = self.placed.following(states[rows, ends], firsts, counts, width, weights)
            total = total - found.log_p.gather(1, slots[:, None]).sum()
        return total

    def _written(self, row: Ints, edges: Ints) -> tuple[Ints, Ints]:
        """Return the tokens of edges, those of a row behind one another, and where in the row each edge ends."""
        length = self.choices.table[edges, LENGTH]
        ends = np.cumsum(length)
        starts_row = np.flatnonzero(np.diff(row, prepend=-1))
        ends -= np.repeat((ends - length)[starts_row], np.diff(starts_row, append=row.size))  # Each row begins at 0.
        written = np.full((int(row[-1]) + 1, int(ends.max())), self.tokens[0])
        inner = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
        read = np.repeat(self.choices.table[edges, AT], length) + inner
        written[np.repeat(row, length), np.repeat(ends - length, length) + inner] = self.tokens[read]
        return written, ends - 1


def _by_width(count: Ints) -> list[Ints]:
    """Return choices that share an array of scores, in groups.

    Numbers of children differ much, so that one array for all would be mostly empty; one for each would need many
    operations. Those within a factor of two go together.
    """
    powers = np.ceil(np.log2(count))
    return [np.flatnonzero(powers == power) for power in np.unique(powers)]
