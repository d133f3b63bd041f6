"""What the terms of texts are, and which of them a model knows: plain data for the compiled counter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from xclassic._kernels.terms import (
    CUTS,
    Vocabulary,
    count_known,
    count_terms,
    first_unsorted,
    renumber_rows,
    weigh_rows,
)
from xclassic.parallel import StopByte
from xclassic.storage.arrays import pack_strings, stored_array
from xclassic.storage.folder import Arrays, ModelFileError

Strings: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.int64]]  # UTF-8 bytes, and where each begins and ends
Block: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]  # indptr, indices, values of CSR

KINDS = ("word", "char_wb")
IDF = (1, 100)  # The weight of a term is 1 + log((1 + n) / (1 + df)) for n texts, of which df have it.
# What counts as a word. Models stored before numbers with a point counted as one have "any", and those before the words
# of one character did have "long". The kernel cuts by these patterns.
WORDS = {
    "whole": r"(?u)\w+(?:(?<=\d)[.,](?=\d)\w+)*(?:\+\+|[+#](?!\w))?",
    "any": r"(?u)\w+(?:\+\+|[+#](?!\w))?",
    "long": r"(?u)\b\w\w+\b",
}


def packed(strings: Iterable[str]) -> Strings:
    """Return strings as the kernels take them."""
    arrays = pack_strings("", strings)
    return arrays[""], arrays[".ends"]


def unpacked(strings: Strings) -> list[str]:
    """Return strings of the kernels as those of Python, which may hold half surrogates."""
    whole = strings[0].tobytes()
    return [whole[start:end].decode(errors="surrogatepass") for start, end in pairwise(strings[1].tolist())]


@dataclass(frozen=True)
class Counted:
    """The terms of some texts, numbered as they come, and how often each text has them.

    Attributes
    ----------
    strings : tuple
    ptr : ndarray of int64, shape (n_texts + 1,)
    entries : ndarray of int32, shape (n_entries, 2)
        Terms and counts.
    """

    strings: Strings
    ptr: NDArray[np.int64]
    entries: NDArray[np.int32]


@dataclass(frozen=True)
class Cut:
    """What the terms of a text are.

    Attributes
    ----------
    kind : {"word", "char_wb"}
        Sequences of words, or of characters within words.
    lengths : tuple of int
        Shortest and longest sequence.
    words : {"whole", "any", "long"}
        What a word is, by its name in `WORDS`.
    stop_words : frozenset of str
        Words left out.
    analyzer : callable, optional
        Returns the words of a text, in place of `words`.
    n_hashed : int, optional
        Number of columns that terms are hashed into, without a vocabulary.
    """

    kind: str
    lengths: tuple[int, int]
    words: str = "whole"
    stop_words: frozenset[str] = frozenset()
    analyzer: Callable[[str], Iterable[str]] | None = None
    n_hashed: int | None = None

    @cached_property
    def _stop_words(self) -> Vocabulary:
        return Vocabulary(*packed(sorted(self.stop_words)))

    @property
    def _arguments(self) -> dict[str, Any]:
        words = self.words if self.analyzer is None else "tokens"
        return {
            "cut": CUTS.index(words if self.kind == "word" else self.kind),
            "shortest": self.lengths[0],
            "longest": self.lengths[1],
            "stop_words": self._stop_words,
        }

    def count(self, texts: list[str] | list[list[str]], stop: StopByte) -> Counted:
        """Count the terms of texts in lower case, or of lists of words if there is an analyzer."""
        characters, ends, ptr, entries = count_terms(texts, **self._arguments, stop=stop)
        return Counted((characters, ends), ptr, entries)

    def count_known(self, texts: list[str] | list[list[str]], vocabulary: Vocabulary | None, stop: StopByte) -> Block:
        """Count the terms that are in a vocabulary, or all if they are hashed, by their columns."""
        return count_known(texts, **self._arguments, vocabulary=vocabulary, n_hashed=self.n_hashed or 0, stop=stop)


def stop_words_of(stop_words: Any) -> frozenset[str]:
    """Return the words that a parameter leaves out."""
    if isinstance(stop_words, str):
        return frozenset(ENGLISH_STOP_WORDS)
    return frozenset(stop_words or ())


@dataclass
class Terms:
    """The terms of one kind in a text field that a model knows, and what each weighs.

    Attributes
    ----------
    cut : Cut
        What a term is.
    sublinear_tf : bool
        Whether the count of a term enters as one plus its logarithm.
    idf : ndarray of float32, shape (n_terms,)
        Weights of the terms, or of the columns that they are hashed into.
    strings : tuple of ndarray of uint8 and ndarray of int64, shape (n_terms + 1,), optional
        The terms in the order of their characters: UTF-8 bytes, and pointers to where each begins and ends. None if
        they are hashed.
    """

    cut: Cut
    sublinear_tf: bool
    idf: NDArray[np.float32] = field(repr=False)
    strings: Strings | None = field(repr=False)

    @cached_property
    def vocabulary(self) -> Vocabulary | None:
        """The terms with a table that finds them, made at first use."""
        return None if self.strings is None else Vocabulary(*self.strings)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "vocabulary"}

    def names(self) -> list[str]:
        """Return the terms in the order of their columns."""
        if self.strings is None:
            return [f"hash {column}" for column in range(self.idf.size)]
        return unpacked(self.strings)

    def rows(self, texts: list[str] | list[list[str]], factor: float, stop: StopByte) -> Block:
        """Return the TF-IDF of texts, each row as long as `factor`."""
        return self._weighed(self.cut.count_known(texts, self.vocabulary, stop), factor)

    def rows_of(self, counted: Counted, columns: NDArray[np.int32], factor: float) -> Block:
        """Return the TF-IDF of counted texts, given the columns of their terms; -1 for those that are left out."""
        return self._weighed(renumber_rows(counted.ptr, counted.entries, columns), factor)

    def _weighed(self, counts: Block, factor: float) -> Block:
        ptr, indices, values = counts
        if self.sublinear_tf:  # By NumPy, as scikit-learn does, to the bit.
            np.log(values, values)
            values += 1
        weigh_rows(ptr=ptr, terms=indices, values=values, weights=self.idf, factor=factor)
        return ptr, indices, values


def stored_terms(arrays: Arrays, number: str, *, hashed: bool) -> tuple[NDArray[np.float32], Strings | None]:
    """Return the weights and terms of a block of a model after all checks."""
    name = f"terms{number}"
    idf = stored_array(arrays, f"idf{number}", np.float32, (None,), IDF)
    if hashed:
        return idf, None
    characters = stored_array(arrays, name, np.uint8, (None,))
    ends = stored_array(arrays, f"{name}.ends", np.int64, (idf.size + 1,))
    if ends[0] != 0 or ends[-1] != characters.size or (ends[1:] < ends[:-1]).any():
        raise ModelFileError(f"The string ends of {name} in the model are out of order.")
    at = first_unsorted(characters, ends)
    if at >= 0:
        raise ModelFileError(f"Term {at} of {name} in the model is not above the one before it.")
    starts = ends[:-1][ends[:-1] < characters.size]
    try:
        characters.tobytes().decode(errors="surrogatepass")
    except UnicodeDecodeError as error:
        raise ModelFileError(f"The terms of {name} in the model are no UTF-8: {error}.") from error
    if (characters[starts] & 0xC0 == 0x80).any():
        raise ModelFileError(f"A term of {name} in the model begins within a character.")
    return idf, (characters, ends)
