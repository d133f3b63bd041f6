"""Scores of the children of trie nodes, from the hidden states of a decoder."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from xclassic.neural.trie import TokenTrie
from xclassic.neural.vocabulary import embedding_rows, embedding_sums

GATHER = 64  # Tokens in a product with all tokens that cost as much as fetching the vector of one token.


class Children(NamedTuple):
    """The children of some nodes, filled up to the same number.

    Attributes
    ----------
    nodes : Tensor of int64, shape (n, width)
        Node numbers; entries beyond a node's last child have no meaning.
    log_p : Tensor of float32, shape (n, width)
        Logarithm of each child's probability given its parent; minus infinity beyond the last child.
    """

    nodes: Tensor
    log_p: Tensor


class TrieOnDevice(NamedTuple):
    """The arrays of a `TokenTrie` on the device of a model, with the values of the model that they need.

    Attributes
    ----------
    child_ptr, token_rank, only_label : Tensor of int64
        See `TokenTrie`.
    vocabulary : Tensor of int64
        The tokens of the trie.
    words : tuple of Tensor, shape (n_vocabulary, n_words), or None
        Tokens and shares of the words that contribute to the tokens of the trie.
    scale : float
        Factor of hidden states before their product with the token embeddings.
    """

    child_ptr: Tensor
    token_rank: Tensor
    only_label: Tensor
    vocabulary: Tensor
    words: tuple[Tensor, Tensor] | None
    scale: float

    @classmethod
    def place(cls, trie: TokenTrie, model: Any) -> TrieOnDevice:
        """Return a trie on the device of a model."""
        config = model.config
        arrays = (trie.tree.child_ptr, trie.token_rank, trie.only_label, trie.vocabulary)
        # Tensors get copies, since they are writable and the arrays of a tree are read-only.
        child_ptr, token_rank, only_label, vocabulary = (
            torch.tensor(array, dtype=torch.int64, device=model.device) for array in arrays
        )
        words = None
        if trie.words is not None:  # Only tries of codes have words; their vocabulary is the nodes below the root.
            tokens, shares = (torch.tensor(array[1:], device=model.device) for array in trie.words)
            words = tokens, shares
        scale = config.d_model**-0.5 if config.scale_decoder_outputs else 1.0
        return cls(child_ptr, token_rank, only_label, vocabulary, words, scale)

    def output_weights(self, model: Any) -> Tensor:
        r"""Return the output vectors of the trie's tokens, shape (n_vocabulary, d_model); no others are needed.

        The vector of a node with words is :math:`(e + \sum_w s_w e_w) / \sqrt 2`, from its own output embedding, the
        output embeddings of the words and their shares. So labels share what is learned about the words in their names,
        as they do with ``target="name"``; and sums of two vectors of similar length keep that length.
        """
        own = embedding_rows(model.lm_head, self.vocabulary)
        if self.words is not None:
            own = (own + embedding_sums(model.lm_head, *self.words)) * 0.5**0.5
        return own * self.scale

    def children(self, hidden: Tensor, nodes: Tensor, width: int, weights: Tensor) -> Children:
        """Return the children of each node with their probabilities.

        Parameters
        ----------
        hidden : Tensor, shape (n, d_model)
            State of the decoder at each node.
        nodes : Tensor of int64, shape (n,)
        width : int
            At least the number of children of each node.
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
        tokens = self.token_rank[children]
        if width * GATHER < len(weights):
            scores = (weights[tokens] @ hidden[:, :, None])[:, :, 0].float()
        else:
            scores = (hidden @ weights.T).float().gather(1, tokens)
        return Children(children, scores.masked_fill(beyond, -torch.inf).log_softmax(dim=1))
