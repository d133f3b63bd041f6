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
    trained : Tensor of bool, shape (n_used,)
        Which of them are trained; the others stay as they are.
    """

    rank: Tensor
    still: Tensor

    def __init__(self, weight: Tensor, used: Tensor, trained: Tensor) -> None:
        super().__init__()
        self.moving = torch.nn.Parameter(weight.detach()[used[trained]])
        self.order = torch.cat([used[trained], used[~trained]])
        rank = torch.zeros(len(weight), dtype=torch.int64, device=weight.device)
        rank[self.order] = torch.arange(len(used), device=weight.device)
        self.register_buffer("rank", rank, persistent=False)
        self.register_buffer("still", weight.detach()[used[~trained]], persistent=False)

    @property
    def weight(self) -> Tensor:
        """All rows, those that are trained first."""
        return torch.cat([self.moving, self.still]) if len(self.still) else self.moving

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the rows of some tokens."""
        return torch.nn.functional.embedding(self.rank[tokens], self.weight)

    def write_back(self, weight: Tensor) -> None:
        """Put what was trained in its place in the whole embedding."""
        with torch.no_grad():
            weight[self.order[: len(self.moving)]] = self.moving


def embedding_rows(embedding: Any, tokens: Tensor) -> Tensor:
    """Return the rows of some tokens, shape (n, d), of an embedding or an output layer."""
    return embedding(tokens) if isinstance(embedding, TokensInUse) else embedding.weight[tokens]


def embedding_sums(embedding: Any, tokens: Tensor, shares: Tensor) -> Tensor:
    """Return weighted sums of rows of an embedding or an output layer, shape (n, d).

    Parameters
    ----------
    embedding : TokensInUse or module
    tokens : Tensor of int64, shape (n, n_words)
    shares : Tensor, shape (n, n_words)
        Weights of the rows.
    """
    if isinstance(embedding, TokensInUse):
        tokens = embedding.rank[tokens]
    weight = embedding.weight
    return torch.nn.functional.embedding_bag(tokens, weight, mode="sum", per_sample_weights=shares.to(weight.dtype))


@contextmanager
def tokens_in_use(model: Any, *tokens: NDArray[np.int64], new: NDArray[np.int64]) -> Iterator[None]:
    """Let a T5 hold the embeddings of some tokens alone, and put them back in their places at the end.

    The others have no gradient, so training is the same without them; but a step would fill, clip and update arrays of
    the whole vocabulary, which for small models takes longer than all the rest.

    Parameters
    ----------
    model : T5ForConditionalGeneration
        Changed in place.
    *tokens : ndarray of int64
        All that will be read or written, besides what begins a target and the padding.
    new : ndarray of int64
        Those of them that are trained even where the model's embeddings are not.
    """
    config = model.config
    special = np.array([config.decoder_start_token_id, config.pad_token_id], np.int64)
    used = np.unique(np.concatenate([special, *tokens]))
    is_new = torch.from_numpy(np.isin(used, new)).to(model.device)
    ids = torch.from_numpy(used).to(model.device)
    whole, head = model.shared, model.lm_head
    some = TokensInUse(whole.weight, ids, is_new | whole.weight.requires_grad)
    tied = head.weight is whole.weight
    some_head = some if tied else TokensInUse(head.weight, ids, is_new | head.weight.requires_grad)
    set_embeddings(model, some, some_head)
    try:
        yield
    finally:
        some.write_back(whole.weight)
        some_head.write_back(head.weight)
        set_embeddings(model, whole, head)


def set_embeddings(model: Any, embedding: Any, head: Any) -> None:
    """Let a T5 read by an embedding and write by an output layer.

    Which of their weights are one is for the caller to say: transformers tells it from what a checkpoint holds, and
    forgets it where embeddings are replaced by its own means.
    """
    model.shared = model.encoder.embed_tokens = model.decoder.embed_tokens = embedding
    model.lm_head = head
