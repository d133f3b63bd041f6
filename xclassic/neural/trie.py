"""The token sequences of all labels as one tree in flat arrays, for training and for decoding."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from xclassic.label_tree.tree import LabelTree
from xclassic.storage.arrays import with_prefix
from xclassic.storage.folder import Arrays


class Words(NamedTuple):
    """The words that describe the nodes of a tree of codes; see `xclassic.neural.targets.node_words`.

    Attributes
    ----------
    tokens : ndarray of int64, shape (n_nodes, n_words)
    shares : ndarray of float32, shape (n_nodes, n_words)
        At least 0, and a vector of length 1 for each node that has words; 0 beyond its last word.
    """

    tokens: NDArray[np.int64]
    shares: NDArray[np.float32]


class TokenTrie:
    r"""The possible continuations in the token sequences of labels.

    The sequence of a label is a path from the root, with one token per step. A model that gives each possible
    continuation a score defines a distribution over the labels: at a node the softmax over its children, and for a
    label the product along its path,

    .. math:: p(l \mid x) = \prod_t \frac{\exp s(v_t \mid x, v_{<t})}{\sum_{c \in \mathrm{children}(v_{t-1})}
        \exp s(c \mid x, v_{<t})}

    which sums to 1 over all labels. Where only one label is left, the rest of its tokens is certain.

    Parameters
    ----------
    sequences : sequence of sequences of int
        The tokens of each label, at least one. No sequence may begin another; if one could, let all end in the same
        token, which occurs nowhere else.

    Attributes
    ----------
    tree : LabelTree
        The structure.
    tokens : ndarray of int64, shape (n_nodes,)
        The token that leads to each node, -1 for the root.
    only_label : ndarray of int64, shape (n_nodes,)
        The label of each node that has only one label below it; -1 for other nodes.
    vocabulary : ndarray of int64
        The tokens that the trie uses, ascending.
    token_rank : ndarray of int64, shape (n_nodes,)
        Position of each node's token in the vocabulary (0 for the root).
    words : Words or None
        Words of the nodes of codes, if labels have names.

    Raises
    ------
    ValueError
        If there is no sequence, two are equal, or one begins another.

    Notes
    -----
    Memory: some 60 bytes per node, and 8 bytes for each label and step.
    """

    def __init__(self, sequences: Sequence[Sequence[int]]) -> None:
        lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
        if lengths.size == 0 or lengths.min() == 0:
            raise ValueError("A trie needs at least one sequence, and at least one token in each.")
        table = np.full((lengths.size, lengths.max()), -1, np.int64)
        table[np.arange(table.shape[1]) < lengths[:, None]] = np.concatenate([np.asarray(s) for s in sequences])
        tree = LabelTree.from_codes(table)
        nodes = tree.paths()[:, 1:]
        tokens = np.full(tree.n_nodes, -1, np.int64)
        tokens[nodes[nodes >= 0]] = table[nodes >= 0]
        self._set(tree, tokens)

    @classmethod
    def of_codes(cls, tree: LabelTree, first_token: int, words: Words | None = None) -> Self:
        """Return the trie of the codes in a tree, where a digit has a different token after each prefix.

        The meaning of a digit depends on the digits before it, so each node of the tree has its own token.

        Parameters
        ----------
        tree : LabelTree
            A tree with all labels.
        first_token : int
            The token of the first child of the root; the nodes after it have the following tokens.
        words : Words, optional

        Raises
        ------
        ValueError
            If labels are not in the tree.
        """
        missing = np.flatnonzero(tree.leaves < 0)
        if missing.size:
            raise ValueError(f"Label {missing[0]} is not in the tree, so it has no code; pass a tree with all labels.")
        tokens = first_token - 1 + np.arange(tree.n_nodes)
        tokens[0] = -1
        return cls.from_arrays(tree.child_ptr, tree.label, tokens, tree.n_labels, words)

    @classmethod
    def from_arrays(
        cls, child_ptr: Any, label: Any, tokens: NDArray[Any], n_labels: int, words: Words | None = None
    ) -> Self:
        """Return the trie of a tree and its tokens.

        Parameters
        ----------
        child_ptr, label, n_labels
            Fields of the `LabelTree`.
        tokens : ndarray of int64, shape (n_nodes,)
        words : Words, optional
            See the attributes.

        Raises
        ------
        ValueError
            If the arrays are not a valid tree with all labels, or tokens do not fit it.
        """
        tree = LabelTree(child_ptr, label, n_labels)
        if tokens.shape != (tree.n_nodes,) or tokens.dtype != np.int64 or tokens[1:].min() < 0:
            raise ValueError(f"tokens has shape {tokens.shape} and dtype {tokens.dtype}, or names no token")
        if tree.labels.size != n_labels:
            raise ValueError(f"the trie has {tree.labels.size} labels, not {n_labels}")
        if words is not None:
            _check_words(words, tree.n_nodes)
        trie = cls.__new__(cls)
        trie._set(tree, tokens, words)
        return trie

    def arrays(self) -> Arrays:
        """Return the trie as arrays for a model folder."""
        arrays: Arrays = {"child_ptr": self.tree.child_ptr, "label": self.tree.label, "tokens": self.tokens}
        return arrays if self.words is None else arrays | with_prefix("words.", self.words._asdict())

    @classmethod
    def restored(cls, arrays: Arrays, n_labels: int) -> Self:
        """Return the trie of `arrays`; anything wrong with them raises an error."""
        words = Words(arrays["words.tokens"], arrays["words.shares"]) if "words.tokens" in arrays else None
        return cls.from_arrays(arrays["child_ptr"], arrays["label"], arrays["tokens"], n_labels, words)

    def _set(self, tree: LabelTree, tokens: NDArray[np.int64], words: Words | None = None) -> None:
        self.tree, self.tokens, self.words = tree, tokens, words
        self.vocabulary = np.unique(self.tokens[1:])
        self.token_rank = np.searchsorted(self.vocabulary, self.tokens)
        self.only_label = self._only_labels()

    def _only_labels(self) -> NDArray[np.int64]:
        tree = self.tree
        n_below = (tree.label >= 0).astype(np.int64)
        label = np.where(tree.label >= 0, tree.label, 0).astype(np.int64)  # The sum below is the label if it is alone.
        for start, stop in reversed(self.levels[1:]):
            np.add.at(n_below, tree.parent[start:stop], n_below[start:stop])
            np.add.at(label, tree.parent[start:stop], label[start:stop])
        return np.where(n_below == 1, label, -1)

    @property
    def used_tokens(self) -> NDArray[np.int64]:
        """The tokens whose vectors are needed to score nodes, ascending: the vocabulary and the words."""
        return self.vocabulary if self.words is None else np.union1d(self.vocabulary, self.words.tokens)

    @property
    def n_labels(self) -> int:
        """Number of labels."""
        return self.tree.n_labels

    @property
    def levels(self) -> list[tuple[int, int]]:
        """The first node of each level, and the one after its last."""
        return list(pairwise(self.tree.level_ptr.tolist()))

    def allowed_nodes(self, labels: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which nodes have at least one of some labels below them.

        Parameters
        ----------
        labels : ndarray of int, shape (n,)

        Returns
        -------
        ndarray of bool, shape (n_nodes,)
        """
        allowed = np.zeros(self.tree.n_nodes, np.bool_)
        allowed[self.tree.leaves[labels]] = True
        for start, stop in reversed(self.levels[1:]):
            allowed[self.tree.parent[start:stop][allowed[start:stop]]] = True
        return allowed


def _check_words(words: Words, n_nodes: int) -> None:
    tokens, shares = words
    if tokens.ndim != 2 or len(tokens) != n_nodes or tokens.dtype != np.int64 or tokens.min(initial=0) < 0:
        raise ValueError(f"words have tokens of shape {tokens.shape} and dtype {tokens.dtype}, or negative ones")
    if shares.shape != tokens.shape or shares.dtype != np.float32 or not np.isfinite(shares).all():
        raise ValueError(f"words have shares of shape {shares.shape} and dtype {shares.dtype}, or not finite ones")
