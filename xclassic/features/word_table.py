"""Words of texts as numbers, and tables of vectors by word."""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xclassic.datasets.word_vectors import Subwords, WordTable, read_table
from xclassic.features.terms import WORDS
from xclassic.validation.pieces import first_not_finite

Vectors = NDArray[np.float32]

LEARNED = "learned"
WORD = re.compile(WORDS["any"])

__all__ = ["LEARNED", "Subwords", "Tokens", "WordTable", "checked_table", "found_words", "tokens_of", "unit_vectors"]


class Tokens(NamedTuple):
    """The words of texts, by number.

    Attributes
    ----------
    flat : ndarray of int32
        Words of all texts.
    starts : ndarray of int64, shape (n_texts + 1,)
        Where each text begins.
    """

    flat: NDArray[np.int32]
    starts: NDArray[np.int64]

    def renumbered(self, numbers: NDArray[np.int32]) -> Tokens:
        """Return tokens with other numbers; those of which the number is negative are left out."""
        flat = numbers[self.flat]
        kept = flat >= 0
        return Tokens(flat[kept], np.concatenate([[0], np.cumsum(kept)])[self.starts])


def tokens_of(
    texts: Sequence[str] | NDArray[np.object_],
    index: dict[str, int],
    *,
    grow: bool = False,
    further: dict[str, int] | None = None,
) -> Tokens:
    """Return the words of texts in lower case, as `xclassic.features.TextFeatures` finds them.

    Parameters
    ----------
    texts : sequence of str
    index : dict of str to int
        Numbers of words.
    grow : bool, default=False
        Give numbers to words that have none, in the index.
    further : dict of str to int, optional
        Takes the numbers of words that the index lacks, from its length on. By default these are left out.
    """
    flat, ends = array("i"), array("q", [0])
    for text in texts:
        words = WORD.findall(text.lower())
        if grow:
            flat.extend([index.setdefault(word, len(index)) for word in words])
        elif further is None:
            flat.extend([index[word] for word in words if word in index])
        else:
            flat.extend(
                [
                    index[word] if word in index else further.setdefault(word, len(index) + len(further))
                    for word in words
                ]
            )
        ends.append(len(flat))
    return Tokens(np.frombuffer(flat, np.int32), np.frombuffer(ends, np.int64))


def checked_table(vectors: Any, words: Sequence[str] | None) -> WordTable:
    """Return the vectors of a file, a dict, or words and a matrix."""
    if isinstance(vectors, (str, os.PathLike)):
        if not os.path.exists(os.path.expanduser(vectors)):
            raise FileNotFoundError(
                f"vectors is {os.fspath(vectors)!r}, and there is no such file; pass the path of a file of vectors, or "
                f"{LEARNED!r}."
            )
        if os.path.isdir(os.path.expanduser(vectors)):
            raise IsADirectoryError(f"vectors is {os.fspath(vectors)!r}, which is a folder; pass the path of a file.")
        return read_table(vectors, words)
    pairs = (list(vectors), list(vectors.values())) if isinstance(vectors, Mapping) else vectors
    try:
        names, matrix = [str(word) for word in pairs[0]], np.asarray(pairs[1], np.float32)
        fits = len(pairs) == 2 and matrix.ndim == 2 and len(names) == len(matrix) and matrix.shape[1] > 0
    except (TypeError, ValueError, IndexError) as error:
        raise ValueError(f"vectors does not hold words and their vectors: {error}") from error
    if not fits:
        raise ValueError(
            f"vectors has {len(names)} words and an array of shape {matrix.shape}; it must have a row of numbers for "
            "each word."
        )
    if first_not_finite(matrix) is not None:
        raise ValueError("vectors has NaN, infinite or too large numbers.")
    return WordTable(names, matrix, None)


def found_words(table: WordTable, words: Sequence[str], *, everything: bool) -> WordTable:
    """Return a table of words in lower case and vectors of unit length.

    Parameters
    ----------
    table : WordTable
    words : sequence of str
        Words of the training texts, in lower case.
    everything : bool
        Return all words of the table too, and what gives vectors to others.
    """
    exact: dict[str, int] = {}
    similar: dict[str, int] = {}
    for number, word in enumerate(table.words):
        lower = word.lower()
        (exact if lower == word else similar).setdefault(lower, number)
    numbers = similar | exact
    subwords = table.subwords if everything else None
    names = list(numbers) if everything else [word for word in words if word in numbers]
    vectors = table.vectors[[numbers[name] for name in names]]
    if subwords is not None:
        more, made = subwords.vectors([word for word in words if word not in numbers])
        names, vectors = names + more, np.concatenate([vectors, made])
    if not any(word in numbers for word in words) and subwords is None:
        raise ValueError(
            f"Not one of the {len(words)} words of the training texts, such as {', '.join(words[:3])}, has a vector"
            f"{_such_as(table.words)}. Are both of the same language?"
        )
    return WordTable(names, unit_vectors(vectors), subwords)


def _such_as(words: list[str]) -> str:
    return f"; those that have one are such as {', '.join(words[:3])}" if words else ""


def unit_vectors(vectors: Vectors, least: float = 0.0) -> Vectors:
    """Return vectors scaled to unit length; those no longer than `least` become zeros."""
    wide = vectors.astype(np.float64)
    lengths = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    return np.where((lengths > least)[:, None], wide / np.where(lengths > least, lengths, 1)[:, None], 0).astype(
        np.float32
    )
