"""The choices that a decoder makes while it writes labels, and the tokens that it writes between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xclassic.neural.trie import TokenTrie

Ints = NDArray[np.int64]

START, END = 0, 1  # Edges: what is written before the first choice, and what follows the last one.
FIRST, COUNT, AT, LENGTH, GAIN = range(5)  # Columns of the table.


class Choices:
    r"""The continuations among which a decoder chooses, and what is certain after each.

    Only nodes with several children are choices. A child with all that must follow it, up to the next choice, is an
    *edge*: a decoder reads its tokens at once. So names such as "Animals > Pets > Birds" cost a step for each choice
    and not for each token. The probability of a label is the product of its choices, since what is certain has
    probability 1.

    Of several tries the labels are written one after the other, each from its own trie: every combination can be
    written. Its number is that of `numpy.ravel_multi_index` over the numbers of labels.

    Parameters
    ----------
    tries : sequence of TokenTrie
        At least one.

    Attributes
    ----------
    tries : tuple of TokenTrie
    sizes : tuple of int
        The number of labels of each trie.
    table : ndarray of int64, shape (n_edges, 5)
        Of each edge: the first edge that may follow and how many do (after the last choice `END` alone), where its
        tokens begin in `tokens` and how many are to be read (none after the last choice), and what it adds to the
        number of the combination.
    tokens : ndarray of int64
        The tokens of all edges; the very first is -1, for the token that begins all output.
    rank : ndarray of int64, shape (n_edges,)
        Position in the vocabulary of the first token of each edge, which alone is chosen.
    nodes : ndarray of int64, shape (n_edges,)
        The node of each edge, counted through all tries.
    vocabulary : ndarray of int64
        The tokens that the tries use, ascending.
    n_positions : int
        No output has more tokens than this before its last choice.

    Raises
    ------
    ValueError
        If the combinations are too many to be numbered.
    """

    def __init__(self, tries: Sequence[TokenTrie]) -> None:
        self.tries = tuple(tries)
        self.sizes = tuple(trie.n_labels for trie in tries)
        if math.prod(self.sizes) > np.iinfo(np.int64).max:
            raise ValueError(f"Fields of {self.sizes} values have more combinations than 64 bits can number.")
        self.vocabulary = np.unique(np.concatenate([trie.vocabulary for trie in tries]))
        self._roots = np.cumsum([0, *(trie.tree.n_nodes for trie in tries[:-1])])
        first, count = self._children()
        ahead, length = self._certain(first, count)
        is_edge = np.concatenate([_of_parent(count[root:], trie) >= 2 for root, trie in self._rooted()])
        self.nodes = np.concatenate([[0, 0], np.flatnonzero(is_edge)])
        self._number = np.full(first.size, -1, np.int64)
        self._number[self.nodes[2:]] = np.arange(2, self.nodes.size)
        final = count[ahead[self.nodes]] == 0  # Nothing is left to choose.
        final[END] = True
        length = np.where(final, 0, length[self.nodes])
        self.table = np.empty((self.nodes.size, 5), np.int64)
        ahead = np.where(final, 0, ahead[self.nodes])
        self.table[:, FIRST] = np.where(final, END, self._number[first[ahead]])
        self.table[:, COUNT] = np.where(final, 1, count[ahead])
        self.table[:, AT] = np.cumsum(length) - length
        self.table[:, LENGTH] = length
        self.table[:, GAIN] = self._gains()[self.nodes]
        self.table[:2, GAIN] = 0
        tokens = np.concatenate([trie.tokens for trie in tries])
        self.tokens = self._written(tokens, first, length)
        self.rank = np.searchsorted(self.vocabulary, np.maximum(tokens[self.nodes], 0))
        self.n_positions = sum(trie.tree.depth for trie in tries) + 1

    def _rooted(self) -> list[tuple[int, TokenTrie]]:
        return list(zip(self._roots.tolist(), self.tries, strict=True))

    def _children(self) -> tuple[Ints, Ints]:
        """Return the first child of each node and how many it has; after a leaf comes the root of the next trie."""
        counts = [np.diff(trie.tree.child_ptr) for trie in self.tries]
        counts[-1] = np.where(self.tries[-1].only_label >= 0, 0, counts[-1])  # Nothing is left to choose below these.
        first = np.concatenate([root + trie.tree.child_ptr[:-1] for root, trie in self._rooted()])
        count = np.concatenate(counts)
        for (root, trie), following in zip(self._rooted(), self._roots[1:].tolist(), strict=False):
            leaves = root + np.flatnonzero(trie.tree.label >= 0)
            first[leaves], count[leaves] = first[following], count[following]
        return first, count

    def _certain(self, first: Ints, count: Ints) -> tuple[Ints, Ints]:
        """Return the next choice or end from each node on, and the number of tokens up to there."""
        ahead, length = np.arange(first.size), np.ones(first.size, np.int64)
        for root, trie in reversed(self._rooted()):
            for start, stop in reversed(trie.levels):
                nodes = root + start + np.flatnonzero(count[root + start : root + stop] == 1)
                ahead[nodes] = ahead[first[nodes]]
                length[nodes] += length[first[nodes]]
        return ahead, length

    def _gains(self) -> Ints:
        strides = [math.prod(self.sizes[i + 1 :]) for i in range(len(self.sizes))]
        gains = [np.maximum(trie.only_label, 0) * stride for trie, stride in zip(self.tries, strides, strict=True)]
        return np.concatenate(gains)

    def _written(self, tokens: Ints, first: Ints, length: Ints) -> Ints:
        """Return the tokens of all edges, one edge after the other."""
        written = np.empty(int(length.sum()), np.int64)
        current = self.nodes.copy()
        for step in range(int(length.max())):
            longer = np.flatnonzero(length > step)
            written[self.table[longer, AT] + step] = tokens[current[longer]]
            more = longer[length[longer] > step + 1]
            current[more] = first[current[more]]
        return written

    @property
    def used_tokens(self) -> Ints:
        """The tokens whose vectors are needed, ascending: the vocabulary and the words of codes."""
        return np.unique(np.concatenate([self.vocabulary, *(trie.used_tokens for trie in self.tries)]))

    @cached_property
    def _edges(self) -> list[Ints]:
        """The edges of each label of each trie, -1 where nothing is chosen."""
        paths = []
        for root, trie in self._rooted():
            nodes = trie.tree.paths()[:, 1:]
            paths.append(np.where(nodes >= 0, self._number[root + nodes], -1))
        return paths

    def edges(self, parts: Ints) -> Ints:
        """Return the choices that lead to some combinations.

        Parameters
        ----------
        parts : ndarray of int64, shape (n, n_tries)
            The label of each trie.

        Returns
        -------
        ndarray of int64, shape (n, n_steps)
            The edge that is chosen at each step, -1 after the last.
        """
        edges = np.concatenate([paths[parts[:, i]] for i, paths in enumerate(self._edges)], axis=1)
        chosen = edges >= 0
        edges = np.take_along_axis(edges, np.argsort(~chosen, axis=1, kind="stable"), axis=1)
        return edges[:, : int(chosen.sum(axis=1).max(initial=0))]

    def allowed(self, labels: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return which edges lead to at least one of some labels of the only trie."""
        return self.tries[0].allowed_nodes(labels)[self.nodes]


def _of_parent(values: Ints, trie: TokenTrie) -> Ints:
    return np.where(trie.tree.parent >= 0, values[trie.tree.parent], 0)
