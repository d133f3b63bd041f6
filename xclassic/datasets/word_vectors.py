"""Vectors of words from files: text and binary files of word2vec, GloVe and fastText, and models of fastText."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Collection, Iterator
from functools import partial
from itertools import count
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xclassic.datasets._bytes import ByteReader
from xclassic.datasets._fasttext import MAGIC, Subwords, read_model
from xclassic.datasets._files import BYTE_ORDER_MARK, DataFileError, open_data

_Path = str | os.PathLike[str]
Vectors = NDArray[np.float32]
Entries = Iterator[tuple[str | None, Callable[[], Vectors]]]

WIDEST = 65_536  # Numbers of a vector. Headers of damaged files may say anything.
LONGEST_LINE = 1 << 22  # Bytes of a line of text.
UTF16 = (b"\xff\xfe", b"\xfe\xff")


class WordTable(NamedTuple):
    """Vectors of words.

    Attributes
    ----------
    words : list of str
    vectors : ndarray of float32, shape (n_words, n_dimensions)
    subwords : Subwords or None
        What gives vectors to all other words, in a model of fastText.
    """

    words: list[str]
    vectors: Vectors
    subwords: Subwords | None


def read_word_vectors(path: _Path, words: Collection[str] | None = None) -> tuple[list[str], Vectors]:
    r"""Read vectors of words from a file of word2vec, GloVe or fastText.

    Parameters
    ----------
    path : path
        What it is, its first bytes tell, and not its name; it may be compressed by gzip, xz or bzip2:

        * text: a line for each word, followed by its numbers, in UTF-8. The first line may say how many words and how
          many numbers there are, as in ``.vec`` files of fastText and word2vec; those of GloVe have none.
        * binary word2vec: a first line as above, then for each word its bytes, a blank, and numbers of 4 bytes.
        * a model of fastText, not quantized (``.bin``, not ``.ftz``): the vector of a word is the mean over the word
          and the sequences of characters in it, so that words it never saw have one too.
    words : collection of str, optional
        Read the vectors of these words only. A word that the file has only in other case takes the vector of the first
        that is equal but for case. By default all words of the file are read.

    Returns
    -------
    words : list of str
        In the order of the file, or of `words`, which are left out where there is no vector.
    vectors : ndarray of float32, shape (n_words, n_dimensions)

    Raises
    ------
    DataFileError
        A ValueError that names file and line or byte: an empty file, lines of other widths than the first, numbers that
        are none, NaN or infinite, a file that ends too early, a header that says more than the file can hold, or a
        model of fastText that is quantized or of another version.
    TypeError
        If `words` is no collection.

    Warns
    -----
    UserWarning
        If text has fewer or more words than its first line says, or words are not UTF-8, which are left out.

    Notes
    -----
    Of a word that occurs twice the first vector counts. In text, the numbers of words that are not read are counted,
    but not looked at. Memory: that of the vectors read, twice, and some 100 bytes for each of their words; of a model
    of fastText also 100 bytes for each of its words, and all of it if it is compressed.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from xclassic.datasets import read_word_vectors
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "small.vec")
    ...     _ = file.write_text("2 3\nbread 0.5 0 0.25\nMoon 0 1 0\n")
    ...     read_word_vectors(file, ["moon", "sun"])
    (['moon'], array([[0., 1., 0.]], dtype=float32))
    """
    if isinstance(words, str) or not isinstance(words, (Collection, type(None))):
        raise TypeError(f"words is {words!r}; pass a list of words, [word] for one, or None for all of the file.")
    table = read_table(path, words)
    return table.words, table.vectors


def read_table(path: _Path, words: Collection[str] | None = None) -> WordTable:
    """Return what `read_word_vectors` does, and what gives vectors to further words."""
    with open_data(path) as stream:
        reader = ByteReader(path, stream)
        start = reader.peek(4)
        if not start:
            raise DataFileError(path, "the file is empty; a line for each word is accepted, or a binary file")
        if start == MAGIC:
            found = read_model(reader, words)
            _check_width(path, found[1].shape[1])
            return WordTable(*found)
        if start.startswith(UTF16):
            raise DataFileError(path, "it is UTF-16; save it in UTF-8")
        return WordTable(*_selected(path, words, *_entries(reader)), None)


def _selected(path: _Path, words: Collection[str] | None, width: int, entries: Entries) -> tuple[list[str], Vectors]:
    """Return the words that are wanted and their vectors."""
    wanted = None if words is None else dict.fromkeys(words)
    found: dict[str, Vectors] = {}
    similar: dict[str, Vectors] = {}  # Vectors of words in other case.
    n_not_utf8 = 0
    for word, vector in entries:
        if word is None:
            n_not_utf8 += 1
        elif wanted is None or word in wanted:
            if word not in found:
                found[word] = vector()
        elif (lower := word.lower()) in wanted and lower not in similar:
            similar[lower] = vector()
    if n_not_utf8:
        warnings.warn(
            f"{path}: {n_not_utf8} words are not UTF-8 and were left out; if they are many, convert the file.",
            stacklevel=4,
        )
    if wanted is not None:
        similar |= found
        found = {word: similar[word] for word in wanted if word in similar}
    vectors = np.array(list(found.values()), np.float32).reshape(len(found), width)
    return list(found), vectors


def _entries(reader: ByteReader) -> tuple[int, Entries]:
    """Return the number of dimensions, and an iterator over words and functions that read their vectors."""
    first = _line(reader, 1).removeprefix(BYTE_ORDER_MARK)
    fields = first.split()
    if len(fields) == 2 and all(field.isdigit() for field in fields):
        n_words, width = (int(field[:19]) for field in fields)
        _check_width(reader.path, width)
        if _is_binary(reader.peek(1024)):
            reader.check_room(n_words * (4 * width + 1), f"the first line says {n_words} words of {width} numbers")
            return width, _binary(reader, n_words, width)
        reader.check_room(n_words * 2 * width, f"the first line says {n_words} words of {width} numbers")
        return width, _text(reader, b"", width, n_words)
    width = len(fields) - 1
    if width < 1:
        raise DataFileError(
            reader.path,
            f"the first line is {_shown(first)}; accepted are the numbers of words and of dimensions, or a word and "
            "its numbers",
            1,
        )
    _check_width(reader.path, width)
    return width, _text(reader, first, width, None)


def _is_binary(start: bytes) -> bool:
    """Tell whether the bytes behind the first line are a word and binary numbers."""
    number = start.partition(b" ")[2].lstrip(b" ").split(b" ")[0].split(b"\n")[0].rstrip(b"\r\t")[:64]
    return not all(33 <= byte <= 126 for byte in number)


def _check_width(path: _Path, width: int) -> None:
    if not 1 <= width <= WIDEST:
        raise DataFileError(path, f"vectors are said to have {width} numbers; accepted are 1 to {WIDEST}")


def _line(reader: ByteReader, number: int) -> bytes:
    line = reader.line(LONGEST_LINE)
    if len(line) == LONGEST_LINE:
        raise DataFileError(
            reader.path, f"the line has more than {LONGEST_LINE} bytes; expected a word and its numbers", number
        )
    return line


def _text(reader: ByteReader, first: bytes, width: int, n_words: int | None) -> Entries:
    """Yield the words of lines; `first` is one that was read."""
    n_found = 0
    for number in count(1 if first else 2):
        line = first if first and number == 1 else _line(reader, number)
        if not line:
            break
        if line.isspace():
            continue
        word, *numbers = line.rsplit(None, width)
        last = word.rpartition(b" ")[2]
        if len(numbers) < width or (last != word and _is_number(last)):
            n_numbers = len(line.split()) - 1
            raise DataFileError(
                reader.path,
                f"found {n_numbers} numbers behind the word {_shown(line.split()[0])}, where the first line says "
                f"{width}",
                number,
            )
        n_found += 1
        yield _decoded(word), partial(_numbers, reader.path, numbers, number)
    if n_words is not None and n_words != n_found:
        warnings.warn(
            f"{reader.path}: the first line says {n_words} words, and there are {n_found}; these were used.",
            stacklevel=5,
        )


def _numbers(path: _Path, fields: list[bytes], line: int) -> Vectors:
    for field in fields:
        if not _is_number(field):
            raise DataFileError(path, f"{_shown(field)} is not a number", line)
    with np.errstate(over="ignore"):
        vector = np.array([float(field) for field in fields]).astype(np.float32)
    if not np.isfinite(vector).all():
        bad = fields[int(np.argmin(np.isfinite(vector)))]
        raise DataFileError(
            path, f"{_shown(bad)} is not a finite number of 4 bytes; replace it, or drop the line", line
        )
    return vector


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _binary(reader: ByteReader, n_words: int, width: int) -> Entries:
    """Yield the words of a binary file of word2vec."""
    for number in range(n_words):
        word = reader.until(b" ", f"word {number + 1} of {n_words}")
        numbers = reader.exactly(4 * width, f"the vector of word {number + 1} of {n_words}")
        word = word.lstrip(b"\n")
        yield _decoded(word), partial(_of_bytes, reader.path, word, numbers)


def _of_bytes(path: _Path, word: bytes, numbers: bytes) -> Vectors:
    vector = np.frombuffer(numbers, "<f4")
    if not np.isfinite(vector).all():
        raise DataFileError(path, f"the vector of {_shown(word)} has NaN or infinite numbers")
    return vector


def _decoded(word: bytes) -> str | None:
    try:
        return word.decode()
    except UnicodeDecodeError:
        return None


def _shown(found: bytes) -> str:
    return repr(found[:40].decode(errors="replace"))
