"""Reading of binary files piece by piece, with errors that say where a file ends too early."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO

from xclassic.datasets._files import DataFileError

CHUNK = 1 << 20
LONGEST_NAME = 10_000  # Bytes up to a mark, such as the end of a word.


class ByteReader:
    """A stream of bytes that is read in pieces, for formats that mix lines, names and numbers.

    Parameters
    ----------
    path : path
        For messages, and for the size of a file that is not compressed.
    stream : binary stream
        At its beginning.
    """

    def __init__(self, path: str | os.PathLike[str], stream: IO[bytes]) -> None:
        self.path = path
        self._stream = stream
        self._buffer, self._at = b"", 0
        self._passed = 0  # Bytes before the buffer.

    @property
    def position(self) -> int:
        """Number of bytes read."""
        return self._passed + self._at

    def peek(self, size: int) -> bytes:
        """Return the next bytes, fewer at the end, without reading them."""
        self._fill(size)
        return self._buffer[self._at : self._at + size]

    def line(self, most: int) -> bytes:
        """Return the next line with its end, cut at `most` bytes; empty at the end of the file."""
        size = min(CHUNK, most)
        while (end := self._buffer.find(b"\n", self._at)) < 0:
            if self._fill(size) < size or size == most:
                end = self._buffer.find(b"\n", self._at)
                break
            size = min(2 * size, most)
        return self._take(min(len(self._buffer) if end < 0 else end + 1, self._at + most))

    def until(self, mark: bytes, what: str) -> bytes:
        """Return the bytes before a mark, which is read too."""
        if (end := self._buffer.find(mark, self._at, self._at + LONGEST_NAME)) < 0:
            self._fill(LONGEST_NAME)
            end = self._buffer.find(mark, self._at, self._at + LONGEST_NAME)
        if end < 0:
            if len(self._buffer) - self._at < LONGEST_NAME:
                raise self._too_short(what)
            raise DataFileError(
                self.path,
                f"{what} at byte {self.position} does not end within {LONGEST_NAME} bytes; the file is damaged",
            )
        found = self._take(end)
        self._at += len(mark)
        return found

    def exactly(self, size: int, what: str) -> bytes:
        """Return as many bytes."""
        if self._fill(size) < size:
            raise self._too_short(what)
        return self._take(self._at + size)

    def check_room(self, size: int, said: str) -> None:
        """Raise an error if a file that is not compressed cannot hold so many further bytes."""
        room = self.room
        if room is not None and size > room:
            raise DataFileError(
                self.path,
                f"{said}, which take at least {size} bytes, but {room} follow; the file is damaged or cut short",
            )

    @property
    def room(self) -> int | None:
        """Number of bytes that follow; None if the file is compressed or a pipe."""
        path = Path(os.path.expanduser(self.path))
        return path.stat().st_size - self.position if getattr(self._stream, "raw", None) and path.is_file() else None

    def _fill(self, size: int) -> int:
        """Read on until `size` bytes are in the buffer, and return how many there are, at most `size`."""
        parts = [self._buffer[self._at :]] if len(self._buffer) - self._at < size else None
        if parts is None:
            return size
        held = len(parts[0])
        while held < size and (piece := self._stream.read(CHUNK)):
            parts.append(piece)
            held += len(piece)
        self._passed += self._at
        self._buffer, self._at = b"".join(parts), 0
        return min(size, held)

    def _take(self, stop: int) -> bytes:
        found, self._at = self._buffer[self._at : stop], stop
        return found

    def _too_short(self, what: str) -> DataFileError:
        end = self._passed + len(self._buffer)
        return DataFileError(self.path, f"the file ends at byte {end}, within {what}; it is cut short")
