"""The loss of a text decoder on the paths of a trie."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from xclassic.networks.batches import Batch
from xclassic.networks.torch_support import to_device
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
    """

    def __init__(self, model: Any, trie: TokenTrie, texts: Texts) -> None:
        self.model, self.texts = model, texts
        self.tensors = TrieOnDevice.place(trie, model)
        self.widths = trie.widths
        self.paths = torch.tensor(trie.paths.nodes, device=model.device)
        self.n_steps = trie.paths.n_steps  # Kept on the host, which thus never waits for the device to get shapes.
        self.tokens = torch.tensor(np.maximum(trie.tokens, 0), device=model.device)

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the pairs of a batch."""
        model, device = self.model, self.model.device
        n_steps = self.n_steps[batch.labels]
        labels = to_device(batch.labels, device)
        paths = self.paths[labels, : int(n_steps.max())]
        if paths.shape[1] == 0:  # A single label is always certain.
            return 0.0 * self.tensors.output_weights(model).sum()
        input_ids, mask = self.texts.batch(batch.rows, device)
        start = torch.full((len(labels), 1), model.config.decoder_start_token_id, device=device)
        written = torch.cat([start, self.tokens[paths[:, :-1]]], dim=1)
        encoded = model.get_encoder()(input_ids=input_ids, attention_mask=mask).last_hidden_state
        states = model.get_decoder()(
            input_ids=written, encoder_hidden_states=encoded, encoder_attention_mask=mask, use_cache=False
        ).last_hidden_state
        weights = self.tensors.output_weights(model)
        total = states.new_zeros((), dtype=torch.float32)
        nodes = torch.zeros_like(labels)
        for step in range(paths.shape[1]):  # Levels differ much in width, so each has its own array.
            there = to_device(np.flatnonzero(n_steps > step), device)
            children = self.tensors.children(states[there, step], nodes[there], self.widths[step], weights)
            nodes = paths[:, step]
            slots = nodes[there] - children.nodes[:, 0]
            total = total - children.log_p.gather(1, slots[:, None]).sum()
        return total
