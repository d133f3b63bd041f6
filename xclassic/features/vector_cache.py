"""A cache on disk of rows that are expensive to compute, keyed by their texts."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

ASKED_AT_ONCE = 500  # Texts per query; SQLite accepts at least 999.
PATIENCE = 60.0  # Seconds to wait until another process has written.


class VectorCache:
    """An SQLite file of vectors, each with a flag, keyed by text; a context manager.

    Several processes and threads may use one file at the same time, each with its own object.

    Parameters
    ----------
    folder : path
        Folder of the file, made if it does not exist.
    name : str
        Name of the source of the vectors, in letters and digits. Each name has its own file.
    width : int
        Length of a vector.

    Raises
    ------
    OSError
        If the file is damaged, or locked for a minute, or the disk is full. The methods raise it too.

    Notes
    -----
    A row ends in a checksum of text, vector and flag, so no damage can pass off one row as another: a row that fails
    the check counts as missing. Nothing waits for the disk; after a power failure the file may be damaged.
    """

    def __init__(self, folder: Path, name: str, width: int) -> None:
        self.file = folder / f"{name}.sqlite"
        self._width = width
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"The cache folder {folder} cannot be made: {error}.") from error
        with self._errors():
            self._connection = sqlite3.connect(self.file, timeout=PATIENCE, isolation_level=None)
            try:
                self._connection.execute("PRAGMA synchronous = OFF")
                self._connection.execute("CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, value BLOB)")
            except sqlite3.Error:
                self._connection.close()
                raise

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def read(self, texts: NDArray[np.object_]) -> tuple[NDArray[np.bool_], Vectors, NDArray[np.bool_]]:
        """Look up texts.

        Parameters
        ----------
        texts : ndarray of str, shape (n_texts,)
            Distinct texts.

        Returns
        -------
        found : ndarray of bool, shape (n_texts,)
        vectors : ndarray of float32, shape (n_texts, width)
            Undefined where nothing was found.
        flags : ndarray of bool, shape (n_texts,)
            False where nothing was found.
        """
        found, flags = np.zeros(texts.size, np.bool_), np.zeros(texts.size, np.bool_)
        vectors = np.empty((texts.size, self._width), np.float32)
        for start in range(0, texts.size, ASKED_AT_ONCE):
            places = {_key(text): i for i, text in enumerate(texts[start : start + ASKED_AT_ONCE], start)}
            marks = ",".join("?" * len(places))
            with self._errors():
                query = f"SELECT key, value FROM vectors WHERE key IN ({marks})"
                pairs = self._connection.execute(query, list(places)).fetchall()
            for key, value in pairs:
                if key in places and self._is_sound(key, value):
                    i = places[key]
                    found[i], flags[i] = True, value[-5]
                    vectors[i] = np.frombuffer(value, "<f4", self._width)
        return found, vectors, flags

    def write(self, texts: NDArray[np.object_], vectors: Vectors, flags: NDArray[np.bool_]) -> None:
        """Store vectors and flags of texts, and replace what was stored for them.

        Parameters
        ----------
        texts : ndarray of str, shape (n_texts,)
        vectors : ndarray of float32, shape (n_texts, width)
        flags : ndarray of bool, shape (n_texts,)
        """
        pairs = []
        for text, vector, flag in zip(texts, vectors, flags, strict=True):
            key, value = _key(text), vector.astype("<f4").tobytes() + bytes([bool(flag)])
            pairs.append((key, value + _checksum(key, value)))
        with self._errors():
            self._connection.execute(
                "BEGIN IMMEDIATE"
            )  # It takes the lock for writing at once, since two readers could not both continue to write.
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", pairs)

    def _is_sound(self, key: bytes, value: object) -> bool:
        return (
            isinstance(value, bytes) and len(value) == 4 * self._width + 5 and _checksum(key, value[:-4]) == value[-4:]
        )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise OSError(
                f"The cache {self.file} cannot be used: {error}. If it is damaged, delete it: its rows are computed "
                "anew. Or pass another folder as cache, None for no cache."
            ) from error


def _key(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def _checksum(key: bytes, value: bytes) -> bytes:
    return zlib.crc32(value, zlib.crc32(key)).to_bytes(4, "little")
