"""The targets of a text decoder for each label: its name, or its code in a tree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.label_tree.partition import kmeans_tree
from xclassic.label_tree.tree import LabelTree
from xclassic.neural.choices import Choices
from xclassic.neural.trie import TokenTrie, Words
from xclassic.rows import unit_rows
from xclassic.storage.folder import Arrays, ModelFileError
from xclassic.storage.models import Metadata
from xclassic.topk import TopK
from xclassic.validation.records import check_encodable, check_texts

MOST_WORDS = 8


class NameTarget:
    """The target that writes the name of the label.

    Attributes
    ----------
    instruction : str
        Text that is put before the input texts.
    prefixes : list of (str, str)
        The fields that are written, each with the prefix of its value.
    """

    instruction = ""
    prefixes: list[tuple[str, str]]

    def __init__(self) -> None:
        self.prefixes = []

    def encode(self, y: Any) -> Any:
        """Return the labels of the rows as `XMCClassifier.fit` takes them."""
        return y

    def trie(self, network: Any, classes: NDArray[Any], label_names: Sequence[str] | None) -> TokenTrie:
        """Return the sequences of all labels.

        Parameters
        ----------
        network : Network
            It gets the tokens that it lacks.
        classes : ndarray, shape (n_labels,)
        label_names : sequence of str, length n_labels, or None
            By default `classes`, if they are strings.
        """
        return TokenTrie(name_sequences(_needed(classes, label_names, "target='name'"), network.tokenizer))

    def new_tokens(self, trie: TokenTrie) -> NDArray[np.int64]:
        """Return the tokens of the trie that `trie` added to the network."""
        return trie.vocabulary[:0]

    def choices(self, trie: TokenTrie) -> Choices:
        """Return the choices of all that can be written, given the trie of the labels."""
        return Choices([trie])

    def arrays(self) -> Arrays:
        """Return the arrays that a model folder holds of the target."""
        return {}

    def metadata(self) -> Metadata:
        """Return what else a model folder holds of the target."""
        return {"prefixes": [list(pair) for pair in self.prefixes]}

    def restore(self, arrays: Arrays, metadata: Metadata, classes: NDArray[Any]) -> None:
        """Restore the target from a model folder; anything wrong with its content raises an error."""
        self.prefixes = [(str(field), str(prefix)) for field, prefix in metadata["prefixes"]]


class CodeTarget(NameTarget):
    """The target that writes the code of the label in a tree.

    Parameters
    ----------
    tree : LabelTree or None
        The tree of codes; None makes one from `embeddings`.
    embeddings : ndarray, transformer of texts, or None
        Vectors of the labels, or a transformer that makes them from names; None is a `BertEncoder`.
    branching : int
        Most children of a node.
    seed : int
        Seed of the tree and of the vectors of new tokens.
    **encoder
        Parameters of the `BertEncoder`.

    Attributes
    ----------
    codes : ndarray of int32, shape (n_labels, depth)
    """

    codes: NDArray[np.int32]

    def __init__(self, tree: LabelTree | None, embeddings: Any, branching: int, seed: int, **encoder: Any) -> None:
        super().__init__()
        self._tree = tree
        self._embeddings = embeddings
        self._branching = branching
        self._seed = seed
        self._encoder = encoder

    def trie(self, network: Any, classes: NDArray[Any], label_names: Sequence[str] | None) -> TokenTrie:
        """Return the codes of all labels; the network gets a token for each node of the tree."""
        from xclassic.neural.network import add_tokens

        tree = self._tree_of(classes, label_names)
        self.codes = tree.codes()
        names = _names(classes, label_names)
        words = None if names is None else node_words(tree, names, network.tokenizer)
        return TokenTrie.of_codes(tree, add_tokens(network.model, tree.n_nodes - 1, self._seed), words)

    def _tree_of(self, classes: NDArray[Any], label_names: Sequence[str] | None) -> LabelTree:
        if self._tree is not None:
            if self._tree.n_labels != classes.size:
                raise ValueError(f"tree is of {self._tree.n_labels} labels, but there are {classes.size}.")
            return self._tree
        vectors = self._embeddings
        if vectors is None:
            from xclassic.features import BertEncoder

            vectors = BertEncoder(**self._encoder)
        if hasattr(vectors, "fit_transform"):
            vectors = vectors.fit_transform(_needed(classes, label_names, "target='code'", ", or embeddings"))
        return code_tree(vectors, classes.size, self._branching, self._seed)

    def new_tokens(self, trie: TokenTrie) -> NDArray[np.int64]:
        """Return all tokens of the trie."""
        return trie.vocabulary

    def arrays(self) -> Arrays:
        """Return the codes."""
        return {"codes": self.codes}

    def restore(self, arrays: Arrays, metadata: Metadata, classes: NDArray[Any]) -> None:
        """Restore the codes."""
        super().restore(arrays, metadata, classes)
        self.codes = arrays["codes"]
        if self.codes.ndim != 2 or len(self.codes) != classes.size or self.codes.dtype != np.int32:
            raise ModelFileError(f"The codes of the model have shape {self.codes.shape}.")


def _names(classes: NDArray[Any], label_names: Sequence[str] | None) -> list[str] | None:
    """Return the names of the labels; None if they are numbers without names."""
    if label_names is None and classes.dtype.kind not in "US":
        return None
    given = classes if label_names is None else check_texts(label_names, "label_names")
    names = [str(name) for name in given]
    if len(names) != classes.size:
        raise ValueError(f"label_names has {len(names)} names, but there are {classes.size} labels.")
    check_encodable(names, "classes_" if label_names is None else "label_names")
    return names


def _needed(classes: NDArray[Any], label_names: Sequence[str] | None, target: str, instead: str = "") -> list[str]:
    """Return the names of the labels, which must exist."""
    names = _names(classes, label_names)
    if names is None:
        raise ValueError(
            f"Labels are numbers here, and {target} needs their names: pass label_names, one for each of "
            f"{classes.size} labels{instead}."
        )
    return names


def name_sequences(names: Sequence[str], tokenizer: Any, end: list[int] | None = None) -> list[list[int]]:
    """Return the tokens of label names.

    Parameters
    ----------
    names : sequence of str, length n_labels
        Blanks around and between words do not count.
    tokenizer : tokenizer of transformers
    end : list of int, optional
        What is written after each name; by default the end token.

    Returns
    -------
    list of list of int
        A name with the same tokens as an earlier one is written with a number, as in
        ``"Shorts (2)"``.

    Raises
    ------
    ValueError
        If a name has no token, or one that ends or pads names.
    """
    plain = [" ".join(str(name).split()) for name in names]
    sequences = _tokens(plain, tokenizer)
    for i, sequence in enumerate(sequences):
        if not sequence:
            raise ValueError(
                f"The name of label {i}, {names[i]!r}, has no token, so it cannot be written. Name it otherwise by "
                "label_names, or use target='code'."
            )
        for token in (tokenizer.eos_token_id, tokenizer.pad_token_id):
            if token in sequence:
                raise ValueError(
                    f"The name of label {i}, {names[i]!r}, holds {tokenizer.convert_ids_to_tokens(token)!r}, which the "
                    "tokenizer keeps for ends and padding. Name it otherwise by label_names, or use target='code'."
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
    end = [tokenizer.eos_token_id] if end is None else end
    return [[*sequence, *end] for sequence in sequences]


def _tokens(names: list[str], tokenizer: Any) -> list[list[int]]:
    tokens: list[list[int]] = tokenizer(names, add_special_tokens=False)["input_ids"]
    return tokens


def code_tree(vectors: Any, n_labels: int, branching: int, seed: int) -> LabelTree:
    """Return a tree of codes made by recursive k-means.

    Parameters
    ----------
    vectors : array-like, shape (n_labels, d)
        One vector per label.
    n_labels : int
    branching : int
        Most children of a node.
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
    """Return for each node of a tree the tokens that distinguish the names below it from all names below its parent.

    Parameters
    ----------
    tree : LabelTree
        A tree with all labels.
    names : sequence of str, length n_labels
    tokenizer : tokenizer of transformers

    Returns
    -------
    Words
        The `MOST_WORDS` tokens whose mean share of a name most exceeds the mean below the parent, and by how much.

    Notes
    -----
    Memory: while tokens are counted, a number for each node and distinct token below it.
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
