"""The loss of a text decoder on the paths of a trie."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xclassic.networks.batches import Batch
from xclassic.networks.torch_support import to_device
from xclassic.neural.layers import decode, encode
from xclassic.neural.scoring import TrieOnDevice
from xclassic.neural.texts import Texts
from xclassic.neural.trie import TokenTrie


class PathLoss:
    """The mean of ``-log p(label | text)`` over pairs, with the distribution p of a `TokenTrie`.

    Parameters
    ----------
    model : T5ForConditionalGeneration
    trie : TokenTrie
    texts : Texts
    checkpointing : bool, default=False
        Whether the backward pass computes activations anew instead of keeping them.
    """

    def __init__(self, model: Any, trie: TokenTrie, texts: Texts, *, checkpointing: bool = False) -> None:
        self.model, self.texts, self.checkpointing = model, texts, checkpointing
        self.tensors = TrieOnDevice.place(trie, model)
        self.groups = _steps_by_width(trie.widths)
        self.paths = torch.tensor(trie.paths.nodes, device=model.device)
        self.n_steps = trie.paths.n_steps  # Kept on the host, which thus never waits for the device to get shapes.
        self.tokens = torch.tensor(np.maximum(trie.tokens, 0), device=model.device)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the pairs of a batch."""
        model, device = self.model, self.model.device
        n_steps = self.n_steps[batch.labels]
        paths = self.paths[to_device(batch.labels, device), : int(n_steps.max())]
        if paths.shape[1] == 0:  # A single label is always certain.
            return 0.0 * self.tensors.output_weights(model).sum()
        input_ids, mask = self.texts.batch(batch.rows, device)
        start = torch.full((len(paths), 1), model.config.decoder_start_token_id, device=device)
        written = torch.cat([start, self.tokens[paths[:, :-1]]], dim=1)
        encoded = encode(model, input_ids, mask, checkpointing=self.checkpointing)
        states = decode(model, written, encoded, mask, checkpointing=self.checkpointing)
        weights = self.tensors.output_weights(model).to(states.dtype)
        nodes = torch.cat([torch.zeros_like(start), paths], dim=1)
        total = states.new_zeros((), dtype=torch.float32)
        for steps, width in self.groups:
            row, at = np.nonzero(n_steps[:, None] > steps)
            if not row.size:
                continue
            rows, step = to_device(np.array([row, steps[at]]), device)
            children = self.tensors.children(states[rows, step], nodes[rows, step], width, weights)
            slots = nodes[rows, step + 1] - children.nodes[:, 0]
            total = total - children.log_p.gather(1, slots[:, None]).sum()
        return total


def _steps_by_width(widths: list[int]) -> list[tuple[NDArray[np.int64], int]]:
    """Return steps of the path that share an array of children, each group with its width.

    Levels differ much in width, so that one array for all would be mostly empty; one for each would need many
    operations. Steps whose widths are within a factor of two go together. A step of width 1 is certain.
    """
    sizes = np.asarray(widths, np.int64)
    powers = np.ceil(np.log2(np.maximum(sizes, 1)))
    groups = [np.flatnonzero(powers == power) for power in np.unique(powers[sizes > 1])]
    return [(steps, int(sizes[steps].max())) for steps in groups]
