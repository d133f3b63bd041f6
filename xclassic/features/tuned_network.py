"""An encoder in training: which of its weights learn, the rows of batches, and vectors of labels that learn with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import Parameter

from xclassic.features.encoder_network import EncoderNetwork, Tokens, batches_of, run_batches
from xclassic.features.vector_cache import Vectors
from xclassic.networks.lora import low_rank

AT_ONCE = 500  # Texts whose products with the vectors of all labels are in memory together.


class TunedNetwork(torch.nn.Module):
    """An encoder, the tokens of the texts that it learns from, and vectors that are trained beside it.

    Parameters
    ----------
    network : EncoderNetwork
    tokens : list of ndarray of int32
        Tokens of each training text.
    pooling : {"mean", "cls"}
    bfloat16 : bool
        Whether to compute in bfloat16 without gradients too, as training does.
    token_dropout : float, default=0.0
        Share of the tokens that training leaves out.
    """

    def __init__(
        self,
        network: EncoderNetwork,
        tokens: Sequence[Tokens],
        pooling: str,
        bfloat16: bool,
        token_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.token_dropout = token_dropout
        self.encoder = network.module
        self.network, self.tokens, self.pooling, self.short = network, tokens, pooling, bfloat16
        self.vectors = Parameter(torch.empty(0, network.n_dimensions, device=self.device))

    @property
    def device(self) -> Any:
        """The device of the encoder."""
        return self.encoder.device

    def rows(self, tokens: Sequence[Tokens]) -> Tensor:
        """Return the row of each text, of unit length, with gradients, and in training without some tokens."""
        if self.training and self.token_dropout:
            tokens = without_some(tokens, self.token_dropout)
        pooled: Tensor = self.network.pooled(tokens, self.pooling, True)
        return pooled

    def frozen_rows(self, tokens: Sequence[Tokens]) -> Vectors:
        """Return the rows by the current weights, without gradients and without dropout."""

        def encode(batch: NDArray[np.intp]) -> Vectors:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.short):
                return self.network.vectors([tokens[i] for i in batch], self.pooling, True)

        training = self.training
        self.eval()
        rows = np.empty((len(tokens), self.network.n_dimensions), np.float32)
        lengths = np.fromiter(map(len, tokens), np.int64, len(tokens))
        batches = batches_of(lengths, self.network.batch_tokens)
        with closing(run_batches(encode, batches, self.device.type)) as results:
            for batch, found in zip(batches, results, strict=True):
                rows[batch] = found
        self.train(training)
        return rows

    def texts(self, rows: NDArray[np.integer]) -> list[Tokens]:
        """Return the tokens of some training texts."""
        return [self.tokens[row] for row in rows]

    def precision(self, rows: NDArray[np.int64], vectors: Vectors, Y: csr_array) -> float:
        """Return the share of texts that the vector nearest to them is right for, by the columns of `Y`."""
        hits = 0.0
        for part in np.array_split(rows, -(-rows.size // AT_ONCE)):
            best = np.argmax(self.frozen_rows(self.texts(part)) @ vectors.T, axis=1)
            hits += Y[part, best].sum()
        return hits / rows.size


def without_some(tokens: Sequence[Tokens], share: float) -> list[Tokens]:
    """Leave out tokens at random, but for the first and the last one of each text; PyTorch's generator is the seed."""
    rng = np.random.default_rng(int(torch.randint(2**31, ())))
    kept = []
    for text in tokens:
        keep = rng.random(text.size) >= share
        keep[[0, -1]] = True
        kept.append(text[keep])
    return kept


@contextmanager
def trainable(module: Any, layers: int | None, lora_rank: int | None, seed: int) -> Iterator[None]:
    """Let weights of an encoder learn within the block, and none after it.

    Parameters
    ----------
    module : PreTrainedModel of transformers
    layers : int or None
        The number of upper layers that learn; None stands for all weights, also those of tokens.
    lora_rank : int or None
        Rank of corrections that learn in place of the weights.
    seed : int

    Raises
    ------
    ValueError
        If the encoder has fewer layers.
    """
    module.requires_grad_(layers is None)
    if layers is not None:
        for layer in _layers(module, layers):
            layer.requires_grad_(True)
    try:
        with low_rank(module, lora_rank, seed):
            yield
    finally:
        module.eval().requires_grad_(False)


def _layers(module: Any, count: int) -> Any:
    """Return the upper layers of an encoder."""
    stacks = [part for part in module.modules() if isinstance(part, torch.nn.ModuleList)]
    found = max(stacks, key=len, default=())
    if len(found) < count:
        raise ValueError(f"layers is {count}; this encoder has {len(found)} layers.")
    return found[len(found) - count :]
