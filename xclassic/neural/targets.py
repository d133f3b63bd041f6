"""What a text decoder is to write for each label: its name, or its code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xclassic.label_tree.partition import kmeans_tree
from xclassic.label_tree.tree import LabelTree
from xclassic.rows import unit_rows

MOST_DIGITS = 10


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


def code_sequences(tree: LabelTree, tokenizer: Any) -> list[list[int]]:
    """Return the tokens of label codes: one for each digit at each place.

    What a digit means depends on where in the code it stands, so the first 2 and the second are different tokens: those
    that T5 keeps free, ``<extra_id_0>`` to ``<extra_id_99>``. (With the ten pieces for digits in all places a small T5
    from random weights learned far more slowly.) Codes of more than ten digits begin again with the first ten tokens.

    Parameters
    ----------
    tree : LabelTree
        Its ``codes()`` are written; at most 10 children a node.
    tokenizer : tokenizer of transformers
        With the 100 extra tokens.

    Returns
    -------
    list of list of int
        For every label of the tree. None begins another.

    Raises
    ------
    ValueError
        If the tree has wider nodes or lacks labels, or the tokenizer lacks the extra tokens.
    """
    codes = tree.codes()
    n_digits = int(codes.max()) + 1
    if n_digits > MOST_DIGITS:
        raise ValueError(f"A node of the tree has {n_digits} children; codes are written with {MOST_DIGITS} digits.")
    missing = np.flatnonzero(codes[:, 0] < 0)
    if missing.size:
        raise ValueError(f"Label {missing[0]} is not in the tree, so it has no code; pass a tree with all labels.")
    extra = tokenizer.convert_tokens_to_ids([f"<extra_id_{i}>" for i in range(MOST_DIGITS**2)])
    if len({*extra, tokenizer.unk_token_id}) <= MOST_DIGITS**2:
        raise ValueError("The tokenizer has no tokens <extra_id_0> to <extra_id_99> for codes; use target='name'.")
    place = np.arange(codes.shape[1]) % MOST_DIGITS
    table = np.asarray(extra)[MOST_DIGITS * place + np.maximum(codes, 0)]
    return [row[: int(length)].tolist() for row, length in zip(table, (codes >= 0).sum(axis=1), strict=True)]
