"""Words of texts for networks that learn a vector for each: vocabulary, tokens, and vectors to start from."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.utils.extmath import randomized_svd

from xclassic.features.word_table import WORD

PAD, UNKNOWN = 0, 1  # Tokens of no word and of all words outside of the vocabulary; those of words come behind them.
SPECIAL = 2


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, as `xclassic.features.TextFeatures` finds them."""
    return WORD.findall(text.lower())


def vocabulary_of(texts: NDArray[np.object_], min_texts: int, max_words: int | None) -> list[str]:
    """Return the words of at least `min_texts` texts, those of most texts first.

    Raises
    ------
    ValueError
        If there is none.
    """
    counts = Counter(word for text in texts for word in set(words_of(text)))
    known = [word for word, count in counts.items() if count >= min_texts]
    if not known:
        found = (
            f"{len(counts)} words are in fewer than min_texts={min_texts}" if counts else "there is not one word in any"
        )
        raise ValueError(f"{found} of the {texts.size} texts, so there is nothing to learn from.")
    return sorted(known, key=lambda word: (-counts[word], word))[:max_words]


def tokens_of(
    texts: NDArray[np.object_], vocabulary: Mapping[str, int], max_length: int
) -> tuple[list[list[int]], int]:
    """Return the tokens of texts, at most `max_length` of each, and how many were cut."""
    tokens = [[vocabulary.get(word, UNKNOWN) for word in words_of(text)] for text in texts]
    return [row[:max_length] for row in tokens], sum(len(row) > max_length for row in tokens)


def warn_of_cuts(n_cut: int, n_texts: int, max_length: int, unit: str = "tokens") -> None:
    """Warn if texts were cut."""
    if n_cut:
        warnings.warn(
            f"{n_cut} of {n_texts} texts have more than {max_length} {unit} and were cut; raise max_length to read "
            "them whole.",
            UserWarning,
            stacklevel=4,
        )


# Vectors to start from


def random_vectors(n_words: int, width: int, seed: int) -> NDArray[np.float32]:
    """Return vectors of about unit length, shape (n_words, width)."""
    return np.random.default_rng(seed).standard_normal((n_words, width), np.float32) / np.float32(np.sqrt(width))


def latent_vectors(
    flat: NDArray[np.int64], starts: NDArray[np.int64], n_words: int, width: int, seed: int
) -> NDArray[np.float32]:
    """Return vectors by which words of the same texts are close, from an SVD of the TF-IDF of texts.

    Parameters
    ----------
    flat : ndarray of int64
        Tokens of all texts.
    starts : ndarray of int64, shape (n_texts + 1,)
        Where each text begins.
    n_words, width : int
        Shape of the result.
    seed : int

    Returns
    -------
    ndarray of float32, shape (n_words, width)
        Vectors of unit length, so that rare words speak as loudly as frequent ones. What the rank of the texts does not
        fill is zero.
    """
    shape = (starts.size - 1, SPECIAL + n_words)
    counts = csr_array((np.ones(flat.size, np.float32), flat, starts), shape=shape)[:, SPECIAL:]
    counts.sum_duplicates()
    texts = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    rank = min(width, *texts.shape)
    _, values, right = randomized_svd(texts, rank, random_state=seed)
    vectors = np.zeros((n_words, width), np.float32)
    vectors[:, :rank] = right.T * values
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, np.finfo(np.float32).tiny)


def given_vectors(table: Any, words: Sequence[str] | NDArray[Any], width: int, seed: int) -> NDArray[np.float32]:
    """Return the vectors of words in a table, and random ones of the mean length of its vectors for those it lacks.

    Parameters
    ----------
    table : dict of str to ndarray, or tuple (words, matrix)
    words : sequence of str
    width : int
        Numbers of a vector.
    seed : int

    Returns
    -------
    ndarray of float32, shape (n_words, width)
    """
    found = table_of(table)
    vectors = random_vectors(len(words), width, seed)
    known = [i for i, word in enumerate(words) if word in found]
    if known:
        given = np.array([found[words[i]] for i in known], np.float32)
        vectors *= np.linalg.norm(given, axis=1).mean()
        vectors[known] = given
    return vectors


def table_of(table: Any) -> Mapping[str, Any]:
    """Return word vectors by word.

    Raises
    ------
    TypeError
        If the table is neither a dict nor words and a matrix.
    ValueError
        If numbers of words and rows differ.
    """
    if isinstance(table, Mapping):
        return table
    if not isinstance(table, tuple) or len(table) != 2 or np.ndim(table[1]) != 2:
        raise TypeError(
            f"embeddings is a {type(table).__name__}; pass None, 'random', a dict from words to vectors, or a tuple "
            "(words, matrix)."
        )
    words, matrix = table
    if len(words) != len(matrix):
        raise ValueError(f"embeddings has {len(words)} words, but {len(matrix)} vectors; pass one for each.")
    return dict(zip(map(str, words), np.asarray(matrix), strict=True))


def check_table(table: Any, width: int) -> None:
    """Raise an error unless a table has vectors of `width` finite numbers."""
    for word, vector in table_of(table).items():
        if np.shape(vector) != (width,):
            raise ValueError(
                f"embeddings has a vector of shape {np.shape(vector)} for {word!r}, but n_dimensions is {width}; "
                f"pass n_dimensions={np.size(vector)} if all have as many."
            )
        if not _is_finite(vector):
            raise ValueError(f"embeddings has a vector for {word!r} that is not of finite numbers.")


def _is_finite(vector: Any) -> bool:
    values = np.asarray(vector)
    return values.dtype.kind in "fiu" and bool((np.abs(values) <= np.finfo(np.float32).max).all())
