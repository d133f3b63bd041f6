"""Token tries: their arrays against the sequences, paths, restrictions; names and codes as sequences."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.sequences import label_sequences
from xclassic import LabelTree
from xclassic.neural.choices import Choices
from xclassic.neural.targets import MOST_WORDS, name_sequences, node_words
from xclassic.neural.trie import TokenTrie, Words

END = 1


def walk(trie, label):
    """Return the tokens on the way to a label."""
    node, tokens = trie.tree.leaves[label], []
    while node > 0:
        tokens.append(int(trie.tokens[node]))
        node = trie.tree.parent[node]
    return tokens[::-1]


@given(label_sequences())
def test_labels_are_where_their_tokens_lead(sequences):
    trie = TokenTrie(sequences)
    assert [walk(trie, j) for j in range(trie.n_labels)] == sequences
    np.testing.assert_array_equal(trie.vocabulary[trie.token_rank[1:]], trie.tokens[1:])


@given(label_sequences())
def test_nodes_know_their_only_label(sequences):
    trie = TokenTrie(sequences)
    below = [set() for _ in range(trie.tree.n_nodes)]
    for label in range(trie.n_labels):
        node = trie.tree.leaves[label]
        while node >= 0:
            below[node].add(label)
            node = trie.tree.parent[node]
    assert trie.only_label.tolist() == [min(labels) if len(labels) == 1 else -1 for labels in below]


@given(label_sequences(), st.data())
def test_allowed_nodes_lead_to_allowed_labels(sequences, data):
    trie = TokenTrie(sequences)
    labels = sorted(data.draw(st.sets(st.integers(0, trie.n_labels - 1), min_size=1)))
    expected = np.zeros(trie.tree.n_nodes, bool)
    for label in labels:
        node = trie.tree.leaves[label]
        while node >= 0:
            expected[node] = True
            node = trie.tree.parent[node]
    np.testing.assert_array_equal(trie.allowed_nodes(np.array(labels)), expected)


@given(label_sequences())
def test_arrays_make_the_trie_again(sequences):
    trie = TokenTrie(sequences)
    again = TokenTrie.from_arrays(trie.tree.child_ptr, trie.tree.label, trie.tokens, trie.n_labels)
    np.testing.assert_array_equal(again.only_label, trie.only_label)
    np.testing.assert_array_equal(again.tokens, trie.tokens)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [
        ([], "at least one sequence"),
        ([[2], []], "one token in each"),
        ([[2, 3], [2, 3]], "both have the code"),
        ([[2], [2, 3]], "begins"),
    ],
)
def test_trie_rejects_sequences_that_do_not_fit(sequences, message):
    with pytest.raises(ValueError, match=message):
        TokenTrie(sequences)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {"tokens": t.tokens[:-1]}, "tokens has shape"),
        (lambda t: {"tokens": t.tokens.astype(np.int32)}, "tokens has shape .* int32"),
        (lambda t: {"tokens": np.full_like(t.tokens, -1)}, "names no token"),
        (lambda t: {"n_labels": t.n_labels + 1}, "3 labels, not 4"),
        (lambda t: {"child_ptr": t.tree.child_ptr[::-1]}, "child_ptr"),
    ],
)
def test_trie_rejects_arrays_that_do_not_fit(change, message):
    trie = TokenTrie([[2, END], [3, 2, END], [3, 4, END]])
    arrays = {"child_ptr": trie.tree.child_ptr, "label": trie.tree.label, "tokens": trie.tokens, "n_labels": 3}
    with pytest.raises(ValueError, match=message):
        TokenTrie.from_arrays(**{**arrays, **change(trie)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: (w.tokens[:-1], w.shares), "words have tokens"),
        (lambda w: (-w.tokens - 1, w.shares), "negative"),
        (lambda w: (w.tokens.astype(np.int32), w.shares), "int32"),
        (lambda w: (w.tokens, w.shares[:, :-1]), "words have shares"),
        (lambda w: (w.tokens, w.shares.astype(np.float64)), "float64"),
        (lambda w: (w.tokens, np.full_like(w.shares, np.nan)), "not finite"),
    ],
)
def test_trie_rejects_words_that_do_not_fit(change, message):
    tree = LabelTree.flat(range(3))
    words = Words(np.ones((tree.n_nodes, 2), np.int64), np.full((tree.n_nodes, 2), 0.5, np.float32))
    with pytest.raises(ValueError, match=message):
        TokenTrie.of_codes(tree, 50, Words(*change(words)))


# Names and codes


@pytest.fixture(scope="module")
def tokenizer(t5_tokenizer):
    transformers = pytest.importorskip("transformers")
    return transformers.AutoTokenizer.from_pretrained(t5_tokenizer)


def test_names_are_their_tokens_and_an_end(tokenizer):
    names = ["Hair Oil & Serum", "Hair Care"]
    assert name_sequences(names, tokenizer) == [tokenizer(name)["input_ids"] for name in names]


def test_names_of_equal_tokens_get_numbers(tokenizer):
    sequences = name_sequences(["Shorts", " Shorts", "Shorts (2)", "Shorts"], tokenizer)
    written = [tokenizer.decode(s, skip_special_tokens=True) for s in sequences]
    assert written[0] == "Shorts"
    assert len(set(written)) == 4
    assert all(name.startswith("Shorts (") for name in written[1:])
    assert TokenTrie(sequences).n_labels == 4


@pytest.mark.parametrize("name", ["", "  ", "\n"])
def test_names_without_tokens_are_rejected(tokenizer, name):
    with pytest.raises(ValueError, match=r"label 1, .* has no token.*label_names, or use target='code'"):
        name_sequences(["Shorts", name], tokenizer)


@pytest.mark.parametrize("kind", ["eos_token", "pad_token"])
def test_names_with_tokens_kept_for_ends_are_rejected(tokenizer, kind):
    name = f"Shorts{getattr(tokenizer, kind)}"
    with pytest.raises(
        ValueError, match=rf"name of label 1, '{name}', holds '{getattr(tokenizer, kind)}', .*label_names"
    ):
        name_sequences(["Shorts", name], tokenizer)


def test_code_nodes_have_tokens_of_their_own():
    tree = LabelTree.from_codes([(1, 1, 0), (1, 1, 1), (0,), (1, 0)])
    trie = TokenTrie.of_codes(tree, 50)
    assert trie.tokens.tolist() == [-1, *range(50, 50 + tree.n_nodes - 1)]
    edges = Choices([trie]).edges(np.arange(4)[:, None])
    assert edges[0, 0] == edges[1, 0] == edges[3, 0] != edges[2, 0]
    assert (edges >= 0).sum(axis=1).tolist() == [3, 3, 1, 2]


def test_codes_need_all_labels():
    with pytest.raises(ValueError, match="Label 1 is not in the tree"):
        TokenTrie.of_codes(LabelTree.from_codes([(0,), (), (1,)]), 50)


def test_words_tell_a_node_from_its_siblings(tokenizer):
    tree = LabelTree.from_codes([(0, 0), (0, 1), (1,)])
    names = ["Hair Oil", "Hair", "  "]
    tokens, shares = node_words(tree, names, tokenizer)
    means = np.zeros((tree.n_nodes, len(tokenizer)))
    for node in range(tree.n_nodes):
        below = [label for label in range(3) if node in tree.paths()[label]]
        for label in below:
            written = tokenizer(" ".join(names[label].split()), add_special_tokens=False)["input_ids"]
            for token in written:
                means[node, token] += 1 / len(written) / len(below)
    parents = np.maximum(tree.parent, 0)
    expected = np.maximum(means - means[parents], 0)
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    found = np.zeros_like(expected)
    np.add.at(found, (np.arange(tree.n_nodes)[:, None], tokens), shares)
    np.testing.assert_allclose(found, expected / np.where(lengths > 0, lengths, 1), rtol=1e-6)
    assert (shares[tree.leaves[2]] == 0).all()
    assert (shares[0] == 0).all()


def test_words_of_a_node_are_bounded(tokenizer):
    names = [f"{a} {b}" for a in ("red", "green", "blue", "black") for b in ("shirt", "shoe", "hat", "bag", "belt")]
    tree = LabelTree.from_codes([(i % 2, i // 2) for i in range(20)])
    tokens, shares = node_words(tree, names, tokenizer)
    assert tokens.shape == shares.shape == (23, MOST_WORDS)
    assert (np.diff(shares, axis=1) <= 0).all()
    np.testing.assert_allclose(np.linalg.norm(shares[1:], axis=1), 1, rtol=1e-6)
