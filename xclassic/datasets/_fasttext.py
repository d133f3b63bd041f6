"""Models of fastText, whose words and sequences of characters have vectors.

The format is that of `FastText::loadModel` in https://github.com/facebookresearch/fastText (version 12), and words are
cut and hashed as in its ``dictionary.cc``.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xclassic.datasets._bytes import ByteReader
from xclassic.datasets._files import DataFileError

Vectors = NDArray[np.float32]

MAGIC = (793_712_314).to_bytes(4, "little")
VERSION = 12
END = "</s>"  # The end of a line counts as a word, which is not cut.
LONGEST_WORD = 255  # Characters of a word that is cut into sequences.
LONGEST_SEQUENCE = 100
SETTINGS = (
    "dim",
    "ws",
    "epoch",
    "minCount",
    "neg",
    "wordNgrams",
    "loss",
    "model",
    "bucket",
    "minn",
    "maxn",
    "lrUpdateRate",
)


class Subwords(NamedTuple):
    """Vectors of sequences of characters.

    Attributes
    ----------
    buckets : ndarray of float32, shape (n_buckets, n_dimensions)
        Sequences with the same hash share a vector.
    shortest, longest : int
        Lengths of the sequences.
    """

    buckets: Vectors
    shortest: int
    longest: int

    @classmethod
    def checked(cls, buckets: Vectors, shortest: Any, longest: Any) -> Subwords:
        """Return subwords, or raise a ValueError if the lengths are none."""
        if type(shortest) is not int or type(longest) is not int or shortest < 0 or longest > LONGEST_SEQUENCE:
            raise ValueError(f"sequences of {shortest!r} to {longest!r} characters are none")
        return cls(buckets, max(shortest, 1), longest)

    def numbers(self, word: str) -> list[int]:
        """Return the buckets of a word."""
        if word == END or len(word) > LONGEST_WORD or not len(self.buckets):
            return []
        return [value % len(self.buckets) for value in hashes(word, self.shortest, self.longest)]

    def vectors(self, words: Collection[str]) -> tuple[list[str], Vectors]:
        """Return the words that have sequences, and their vectors."""
        found = {word: self.buckets[numbers].mean(axis=0) for word in words if (numbers := self.numbers(word))}
        return list(found), _stacked(found.values(), self.buckets.shape[1])


def hashes(word: str, shortest: int, longest: int) -> Iterator[int]:
    """Yield the hashes (FNV-1a of 32 bits) of the sequences of characters in ``<word>``.

    Bytes above 127 are extended by their sign, as fastText does.
    """
    letters = [letter.encode(errors="surrogatepass") for letter in f"<{word}>"]
    for start in range(len(letters)):
        value = 2_166_136_261
        for length, letter in enumerate(letters[start : start + longest], 1):
            for byte in letter:
                value = ((value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16_777_619) & 0xFFFFFFFF
            at_edge = start == 0 or start + length == len(letters)
            if length >= shortest and not (length == 1 and at_edge):
                yield value


def read_model(reader: ByteReader, words: Collection[str] | None) -> tuple[list[str], Vectors, Subwords]:
    """Return the words of a model, or those wanted that can have a vector, their vectors, and the subwords."""
    path = reader.path
    reader.exactly(4, "the first bytes")
    version = _int(reader, 4, "the version")
    if version != VERSION:
        raise DataFileError(
            path,
            f"it is a model of fastText of version {version}; accepted is {VERSION}, of fastText 0.2 and later. "
            f"{_WAY_OUT}",
        )
    settings = {name: _int(reader, 4, f"the setting {name}") for name in SETTINGS}
    reader.exactly(8, "the settings")
    known = _dictionary(reader)
    if reader.exactly(1, "the settings") != b"\0":
        raise DataFileError(
            path, f"it is a quantized model of fastText (.ftz), whose vectors are coarse codes. {_WAY_OUT}"
        )
    rows = _matrix(reader, settings["dim"])
    n_buckets = len(rows) - len(known)
    if n_buckets < 0:
        raise DataFileError(path, f"it has {len(rows)} vectors for {len(known)} words; the file is damaged")
    try:
        subwords = Subwords.checked(rows[len(known) :], settings["minn"], settings["maxn"])
    except ValueError as error:
        raise DataFileError(path, f"its settings are damaged: {error}") from error
    return _vectors(reader, rows, known, subwords, words)


_WAY_OUT = "Write its vectors as text, by 'fasttext print-word-vectors' or model.get_word_vector, and pass that file"


def _int(reader: ByteReader, size: int, what: str) -> int:
    return int.from_bytes(reader.exactly(size, what), "little", signed=True)


def _dictionary(reader: ByteReader) -> dict[bytes, int]:
    """Return the rows of the words; labels of a classifier are skipped."""
    size, n_words = _int(reader, 4, "the dictionary"), _int(reader, 4, "the dictionary")
    reader.exactly(12, "the dictionary")  # Numbers of labels and of tokens.
    n_pruned = _int(reader, 8, "the dictionary")
    if not 0 <= n_words <= size:
        raise DataFileError(reader.path, f"its dictionary has {n_words} words of {size} entries; the file is damaged")
    reader.check_room(10 * size, f"its dictionary has {size} entries")
    known: dict[bytes, int] = {}
    for number in range(size):
        word = reader.until(b"\0", f"entry {number + 1} of {size} of the dictionary")
        reader.exactly(8, "the dictionary")
        if reader.exactly(1, "the dictionary") == b"\0":
            known.setdefault(word, len(known))
    if len(known) != n_words:
        raise DataFileError(
            reader.path, f"its dictionary says {n_words} words, and {len(known)} different ones follow; it is damaged"
        )
    for _ in range(n_pruned):
        reader.exactly(8, "the dictionary")
    return known


def _matrix(reader: ByteReader, width: int) -> Vectors:
    """Return the vectors, in the file itself unless it is compressed."""
    n_rows, n_columns = _int(reader, 8, "the vectors"), _int(reader, 8, "the vectors")
    said = f"its vectors are said to be {n_rows} of {n_columns} numbers"
    if n_rows < 0 or n_columns != width or width < 1:
        raise DataFileError(reader.path, f"{said}, and the settings say {width}; the file is damaged")
    size = 4 * n_rows * n_columns
    reader.check_room(size, said)
    if reader.room is None:
        return np.frombuffer(reader.exactly(size, "the vectors"), "<f4").reshape(n_rows, n_columns)
    path = os.path.expanduser(reader.path)
    if not size:
        return np.empty((0, n_columns), np.float32)
    return np.memmap(path, "<f4", "r", reader.position, (n_rows, n_columns))


def _vectors(
    reader: ByteReader, rows: Vectors, known: dict[bytes, int], subwords: Subwords, words: Collection[str] | None
) -> tuple[list[str], Vectors, Subwords]:
    named: dict[str, int] = {}
    for encoded, number in known.items():
        named.setdefault(encoded.decode(errors="replace"), number)
    if words is None:
        wanted = {name: (name, number) for name, number in named.items()}
    else:
        similar: dict[str, tuple[str, int]] = {}
        for name, number in named.items():
            similar.setdefault(name.lower(), (name, number))
        wanted = {w: (w, named[w]) if w in named else similar.get(w, (w, -1)) for w in words}
    found: dict[str, Vectors] = {}
    for word, (name, number) in wanted.items():
        own = [] if number < 0 else [number]
        places = own + [len(known) + bucket for bucket in subwords.numbers(name)]
        if places:
            found[word] = rows[places].mean(axis=0)
            if not np.isfinite(found[word]).all():
                raise DataFileError(reader.path, f"the vector of {name[:40]!r} has NaN or infinite numbers")
    return list(found), _stacked(found.values(), rows.shape[1]), subwords


def _stacked(vectors: Collection[Vectors], width: int) -> Vectors:
    return np.array(list(vectors), np.float32).reshape(len(vectors), width)
