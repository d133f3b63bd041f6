"""Scores of the edges that may follow, from the hidden states of a decoder."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xclassic.neural.choices import AT, END, LENGTH, Choices
from xclassic.neural.vocabulary import embedding_rows, embedding_sums

GATHER = 64  # Tokens in a product with all tokens that cost as much as fetching the vector of one token.


class Following(NamedTuple):
    """The edges that may follow some edges, filled up to the same number.

    Attributes
    ----------
    edges : Tensor of int64, shape (n, width)
        `END` beyond the last.
    log_p : Tensor of float32, shape (n, width)
        Logarithm of the probability of each; minus infinity beyond the last.
    """

    edges: Tensor
    log_p: Tensor


class ChoicesOnDevice(NamedTuple):
    """The arrays of `Choices` on the device of a model, with the values of the model that they need.

    Attributes
    ----------
    table, rank, vocabulary : Tensor of int64
        See `Choices`.
    tokens : Tensor of int64
        With as many tokens in front as the longest edge has, so that `read` may begin before an edge.
    words : tuple of Tensor, shape (n_vocabulary, n_words), or None
        Tokens and shares of the words that contribute to the tokens of a trie.
    scale : float
        Factor of hidden states before their product with the token embeddings.
    n_positions : int
        See `Choices`.
    """

    table: Tensor
    rank: Tensor
    vocabulary: Tensor
    tokens: Tensor
    words: tuple[Tensor, Tensor] | None
    scale: float
    n_positions: int

    @classmethod
    def place(cls, choices: Choices, model: Any) -> ChoicesOnDevice:
        """Return choices on the device of a model."""

        def placed(array: NDArray[Any]) -> Tensor:
            return torch.tensor(array, device=model.device)

        config, words = model.config, choices.tries[0].words
        longest = int(choices.table[:, LENGTH].max())
        tokens = np.concatenate([np.zeros(longest, np.int64), choices.tokens])
        table = choices.table.copy()
        table[:, AT] += longest
        return cls(
            placed(table),
            placed(choices.rank),
            placed(choices.vocabulary),
            placed(np.where(tokens < 0, config.decoder_start_token_id, tokens)),
            # Only codes have words; their vocabulary is the nodes below the root.
            None if words is None else (placed(words.tokens[1:]), placed(words.shares[1:])),
            config.d_model**-0.5 if getattr(config, "scale_decoder_outputs", False) else 1.0,
            choices.n_positions,
        )

    def output_weights(self, model: Any) -> Tensor:
        r"""Return the output vectors of the vocabulary, shape (n_vocabulary, d_model); no others are needed.

        The vector of a node with words is :math:`(e + \sum_w s_w e_w) / \sqrt 2`, from its own output embedding, the
        output embeddings of the words and their shares. So labels share what is learned about the words in their names,
        as they do with ``target="name"``; and sums of two vectors of similar length keep that length.
        """
        own = embedding_rows(model.lm_head, self.vocabulary)
        if self.words is not None:
            own = (own + embedding_sums(model.lm_head, *self.words)) * 0.5**0.5
        return own * self.scale

    def read(self, at: Tensor, length: Tensor, n_tokens: int) -> Tensor:
        """Return the tokens of some edges, shape (..., n_tokens); where an edge has fewer, its last stands last."""
        slots = torch.arange(-n_tokens, 0, device=at.device)
        return self.tokens[(at + length)[..., None] + slots]

    def following(self, hidden: Tensor, first: Tensor, count: Tensor, width: int, weights: Tensor) -> Following:
        """Return what may follow some edges, with the probabilities.

        Parameters
        ----------
        hidden : Tensor, shape (n, d_model)
            State of the decoder after each edge.
        first, count : Tensor of int64, shape (n,)
            Columns of the table for each edge.
        width : int
            At least the largest count.
        weights : Tensor, shape (n_vocabulary, d_model)
            From `output_weights`.
        """
        slots = torch.arange(width, device=first.device)
        beyond = slots >= count[:, None]
        edges = (first[:, None] + slots).masked_fill(beyond, END)
        tokens = self.rank[edges]
        if width * GATHER < len(weights):
            scores = (weights[tokens] @ hidden[:, :, None])[:, :, 0].float()
        else:
            scores = (hidden @ weights.T).float().gather(1, tokens)
        return Following(edges, scores.masked_fill(beyond, -torch.inf).log_softmax(dim=1))
