"""Training with the embeddings of only the tokens that occur."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class TokensInUse(torch.nn.Module):
    """Some rows of an embedding, addressed by the same token ids.

    Parameters
    ----------
    weight : Tensor, shape (n_tokens, d)
        The whole embedding.
    used : Tensor of int64, shape (n_used,)
        Ids of the rows; only these may be read.
    trained : Tensor of bool, shape (n_used,)
        Which of them are trained; the others stay unchanged.
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
        """All rows, with the trained ones first."""
        return torch.cat([self.moving, self.still]) if len(self.still) else self.moving

    def forward(self, tokens: Tensor) -> Tensor:
        """Return the rows of some tokens."""
        return torch.nn.functional.embedding(self.rank[tokens], self.weight)

    def write_back(self, weight: Tensor) -> None:
        """Copy the trained rows to their places in the whole embedding."""
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
    """Let a T5 hold only the embeddings of some tokens, and put them back in their places at the end.

    Other embeddings have no gradient, so training is the same without them; but a step would fill, clip and update
    arrays of the whole vocabulary, which for small models takes longer than the rest of the step.

    Parameters
    ----------
    model : T5ForConditionalGeneration
        Changed in place.
    *tokens : ndarray of int64
        All tokens that will be read or written, except padding and the token that begins a target.
    new : ndarray of int64
        Tokens among them that are trained even where the model's embeddings are not.
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
    """Let a T5 read with an embedding and write with an output layer.

    The caller decides which of their weights are shared: transformers infers this from the content of a checkpoint, and
    forgets it where embeddings are replaced by its own methods.
    """
    model.shared = model.encoder.embed_tokens = model.decoder.embed_tokens = embedding
    model.lm_head = head
