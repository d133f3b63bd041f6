"""Choices of a decoder: edges and their tokens against the sequences of one trie, and of several."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.sequences import END_TOKEN, label_sequences
from xclassic.neural.choices import AT, COUNT, END, FIRST, GAIN, LENGTH, START, Choices
from xclassic.neural.trie import TokenTrie


def tokens_of(choices, edge):
    at, length = choices.table[edge, [AT, LENGTH]]
    return choices.tokens[at : at + length].tolist()


def possible(sequences, prefix):
    return {s[len(prefix)] for s in sequences if s[: len(prefix)] == prefix}


def check(choices, lists, parts):
    """Write one combination by its edges; compare with every continuation that its sequences allow."""
    whole = [s for sequences in lists[:1] for s in sequences]
    for sequences in lists[1:]:
        whole = [[*a, *b] for a in whole for b in sequences]
    number = np.ravel_multi_index(parts, choices.sizes)
    edges = choices.edges(np.array([parts]))[0]
    before, written, gained = START, [], 0
    for edge in edges[edges >= 0].tolist():
        written += tokens_of(choices, before)
        first, count = choices.table[before, [FIRST, COUNT]]
        following = choices.vocabulary[choices.rank[first : first + count]].tolist()
        assert len(following) >= 2
        assert sorted(following) == sorted(possible(whole, written[1:]))
        assert first <= edge < first + count
        gained += choices.table[edge, GAIN]
        before = edge
    assert gained == number
    assert choices.table[before, FIRST] == END
    assert choices.table[before, LENGTH] == 0
    written = [*written[1:], *([choices.vocabulary[choices.rank[before]]] if edges.size else [])]
    assert written == whole[number][: len(written)]
    assert sum(s[: len(written)] == written for s in whole) == 1  # nothing is left to choose
    assert len(written) < choices.n_positions


@given(st.lists(label_sequences(most=6), min_size=1, max_size=3))
def test_edges_write_each_combination(lists):
    choices = Choices([TokenTrie(sequences) for sequences in lists])
    for parts in np.ndindex(*choices.sizes):
        check(choices, lists, parts)
    assert choices.table[END].tolist()[:2] == [END, 1]
    assert choices.table[END, GAIN] == choices.table[END, LENGTH] == 0


@given(label_sequences(), st.data())
def test_restrictions_are_those_of_the_nodes(sequences, data):
    trie = TokenTrie(sequences)
    labels = np.array(sorted(data.draw(st.sets(st.integers(0, trie.n_labels - 1), min_size=1))))
    choices = Choices([trie])
    allowed = choices.allowed(labels)
    edges = choices.edges(np.arange(trie.n_labels)[:, None])
    for edge in range(2, len(choices.table)):
        assert allowed[edge] == (edges[labels] == edge).any()


def test_chains_are_single_edges():
    names = [[3, 4, 5, 6, a, b, END_TOKEN] for a in (7, 8) for b in (9, 10)]
    choices = Choices([TokenTrie(names)])
    assert tokens_of(choices, START) == [-1, 3, 4, 5, 6]
    assert choices.edges(np.arange(4)[:, None]).shape == (4, 2)
    prefix = Choices([TokenTrie([[3, 4, END_TOKEN], [5, END_TOKEN]]), TokenTrie([[6, 7, 8], [6, 7, 9]])])
    assert [tokens_of(prefix, edge) for edge in (2, 3)] == [[3, 4, END_TOKEN, 6, 7], [5, END_TOKEN, 6, 7]]


def test_combinations_that_64_bits_cannot_number_are_refused():
    trie = TokenTrie([[a, b, END_TOKEN] for a in range(2, 66) for b in range(2, 66)])
    assert Choices([trie] * 5).sizes == (4096,) * 5
    with pytest.raises(ValueError, match="more combinations than 64 bits can number"):
        Choices([trie] * 6)
