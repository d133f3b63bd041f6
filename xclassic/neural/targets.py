"""What a text decoder is to write for each label: its name, or its code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from xclassic.label_tree.partition import kmeans_tree
from xclassic.label_tree.tree import LabelTree
from xclassic.neural.trie import Words
from xclassic.rows import unit_rows
from xclassic.topk import TopK

MOST_WORDS = 8


def name_sequences(names: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """Return the tokens of label names.

    Parameters
    ----------
    names : sequence of str, length n_labels
        Blanks around and between words do not count.
    tokenizer : tokenizer of transformers

    Returns
    -------
    list of list of int
        Each ends in the end token. A name that has the tokens of an earlier one is written with a number, as in
        ``"Shorts (2)"``.

    Raises
    ------
    ValueError
        If a name has no token.
    """
    plain = [" ".join(str(name).split()) for name in names]
    sequences = _tokens(plain, tokenizer)
    for i, sequence in enumerate(sequences):
        if not sequence:
            raise ValueError(
                f"The name of label {i}, {names[i]!r}, has no token, so it cannot be written. Name it otherwise by "
                "label_names, or use target='code'."
            )
    seen: dict[tuple[int, ...], int] = {}
    for i, sequence in enumerate(sequences):
        count = seen[tuple(sequence)] = seen.get(tuple(sequence), 0) + 1
        while count > 1:
            numbered = tuple(_tokens([f"{plain[i]} ({count})"], tokenizer)[0])
            if numbered not in seen:
                seen[numbered] = 1
                sequences[i] = list(numbered)
                break
            count += 1
    return [[*sequence, tokenizer.eos_token_id] for sequence in sequences]


def _tokens(names: list[str], tokenizer: Any) -> list[list[int]]:
    tokens: list[list[int]] = tokenizer(names, add_special_tokens=False)["input_ids"]
    return tokens


def code_tree(vectors: Any, n_labels: int, branching: int, seed: int) -> LabelTree:
    """Return a tree of codes, by recursive k-means.

    Parameters
    ----------
    vectors : array-like, shape (n_labels, d)
        One for each label.
    n_labels : int
    branching : int
        Children of a node at most.
    seed : int

    Raises
    ------
    ValueError
        If `vectors` has another shape or numbers that are not finite.
    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    if vectors.ndim != 2 or len(vectors) != n_labels or not np.isfinite(vectors).all():
        raise ValueError(
            f"embeddings has shape {vectors.shape} or numbers that are not finite; there must be a row for each of "
            f"{n_labels} labels."
        )
    return kmeans_tree(unit_rows(vectors), branching=branching, max_leaf=branching, balanced=False, random_state=seed)


def node_words(tree: LabelTree, names: Sequence[str], tokenizer: Any) -> Words:
    """Return for each node of a tree the tokens that tell the names below it from those below its parent.

    Parameters
    ----------
    tree : LabelTree
        With all labels.
    names : sequence of str, length n_labels
    tokenizer : tokenizer of transformers

    Returns
    -------
    Words
        The `MOST_WORDS` tokens whose mean share of a name is most above that below the parent, by how much it is.

    Notes
    -----
    Memory: a number for each node and distinct token below it while they are counted.
    """
    sequences = _tokens([" ".join(str(name).split()) for name in names], tokenizer)
    lengths = np.fromiter(map(len, sequences), np.int64, len(sequences))
    tokens = np.fromiter((token for sequence in sequences for token in sequence), np.int64, int(lengths.sum()))
    parts = np.repeat(1 / np.maximum(lengths, 1), lengths)
    rows = np.repeat(np.arange(lengths.size), lengths)
    of_labels = csr_array((parts, (rows, tokens)), (lengths.size, len(tokenizer)))
    paths = tree.paths()
    labels, depths = np.nonzero(paths >= 0)
    nodes = paths[labels, depths]
    means = 1 / np.bincount(nodes, minlength=tree.n_nodes)
    of_nodes = csr_array((means[nodes], (nodes, labels)), (tree.n_nodes, lengths.size)) @ of_labels
    top = TopK.from_csr(of_nodes - of_nodes[np.maximum(tree.parent, 0)], MOST_WORDS)
    shares = np.maximum(top.scores, 0)
    return Words(np.maximum(top.ids, 0).astype(np.int64), unit_rows(shares).astype(np.float32))
