"""Scores of the children of trie nodes, from the hidden states of a decoder."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from xclassic.neural.trie import TokenTrie
from xclassic.neural.vocabulary import embedding_rows


class Children(NamedTuple):
    """The children of some nodes, filled up to the same number.

    Attributes
    ----------
    nodes : Tensor of int64, shape (n, width)
        Node numbers; what stands beyond a node's last child means nothing.
    log_p : Tensor of float32, shape (n, width)
        Logarithm of each child's probability given its parent; minus infinity beyond the last child.
    """

    nodes: Tensor
    log_p: Tensor


class TrieOnDevice(NamedTuple):
    """The arrays of a `TokenTrie` where the model is, with what they need of the model.

    Attributes
    ----------
    child_ptr, token_rank, only_label : Tensor of int64
        See `TokenTrie`.
    vocabulary : Tensor of int64
        The tokens of the trie.
    scale : float
        What hidden states are multiplied by before they meet the token embeddings.
    """

    child_ptr: Tensor
    token_rank: Tensor
    only_label: Tensor
    vocabulary: Tensor
    scale: float

    @classmethod
    def place(cls, trie: TokenTrie, model: Any) -> TrieOnDevice:
        """Return a trie on the device of a model."""
        config = model.config
        arrays = (trie.tree.child_ptr, trie.token_rank, trie.only_label, trie.vocabulary)
        # Copies, since arrays of a tree are read-only and tensors are not.
        child_ptr, token_rank, only_label, vocabulary = (
            torch.tensor(array, dtype=torch.int64, device=model.device) for array in arrays
        )
        scale = config.d_model**-0.5 if config.scale_decoder_outputs else 1.0
        return cls(child_ptr, token_rank, only_label, vocabulary, scale)

    def output_weights(self, model: Any) -> Tensor:
        """Return the output embeddings of the trie's tokens, shape (n_vocabulary, d_model): no others are needed."""
        return embedding_rows(model.lm_head, self.vocabulary) * self.scale

    def children(self, hidden: Tensor, nodes: Tensor, width: int, weights: Tensor) -> Children:
        """Return the probabilities of what may follow each node.

        Parameters
        ----------
        hidden : Tensor, shape (n, d_model)
            State of the decoder at each node.
        nodes : Tensor of int64, shape (n,)
        width : int
            At least the number of children of each.
        weights : Tensor, shape (n_vocabulary, d_model)
            From `output_weights`.

        Returns
        -------
        Children
        """
        first = self.child_ptr[nodes, None]
        slots = torch.arange(width, device=nodes.device)
        beyond = slots >= self.child_ptr[nodes + 1, None] - first
        children = torch.where(beyond, 0, first + slots)
        scores = (hidden @ weights.T).float().gather(1, self.token_rank[children])
        return Children(children, scores.masked_fill(beyond, -torch.inf).log_softmax(dim=1))
