"""Training with the embeddings of only those tokens that occur."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class TokensInUse(torch.nn.Module):
    """Some rows of an embedding, read by the same token ids.

    Parameters
    ----------
    weight : Tensor, shape (n_tokens, d)
        The whole embedding.
    used : Tensor of int64, shape (n_used,)
        Ids of the rows; no others may be asked for.
    """

    rank: Tensor

    def __init__(self, weight: Tensor, used: Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight.detach()[used], requires_grad=weight.requires_grad)
        rank = torch.zeros(len(weight), dtype=torch.int64, device=weight.device)
        rank[used] = torch.arange(len(used), device=weight.device)
        self.register_buffer("rank", rank, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the rows of some tokens."""
        return torch.nn.functional.embedding(self.rank[tokens], self.weight)


def embedding_rows(embedding: Any, tokens: Tensor) -> Tensor:
    """Return the rows of some tokens, shape (n, d), of an embedding or an output layer."""
    return embedding(tokens) if isinstance(embedding, TokensInUse) else embedding.weight[tokens]


@contextmanager
def tokens_in_use(model: Any, *tokens: NDArray[np.int64]) -> Iterator[None]:
    """Let a T5 hold the embeddings of some tokens alone, and put them back in their places at the end.

    The others have no gradient, so training is the same without them; but a step would fill, clip and update arrays of
    the whole vocabulary, which for small models takes longer than all the rest.

    Parameters
    ----------
    model : T5ForConditionalGeneration
        Changed in place.
    *tokens : ndarray of int64
        All that will be read or written, besides what begins a target and the padding.
    """
    config = model.config
    special = np.array([config.decoder_start_token_id, config.pad_token_id], np.int64)
    used = torch.from_numpy(np.unique(np.concatenate([special, *tokens]))).to(model.device)
    whole, head = model.shared, model.lm_head
    tied = head.weight is whole.weight
    some = TokensInUse(whole.weight, used)
    _set_embeddings(model, some, some if tied else TokensInUse(head.weight, used))
    try:
        yield
    finally:
        with torch.no_grad():
            whole.weight[used] = some.weight
            if not tied:
                head.weight[used] = model.lm_head.weight
        _set_embeddings(model, whole, head)


def _set_embeddings(model: Any, embedding: Any, head: Any) -> None:
    model.shared = model.encoder.embed_tokens = model.decoder.embed_tokens = embedding
    model.lm_head = head
