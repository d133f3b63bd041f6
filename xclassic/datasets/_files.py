"""Reading and writing of files: the error of unreadable data, decompression by content, atomic writing."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import threading
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, Any, cast

COMPRESSED_SUFFIXES = (".gz", ".xz", ".bz2")
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class DataFileError(ValueError):
    """An error raised if a data file breaks the rules of its format.

    Parameters
    ----------
    path : path
        The file.
    problem : str
        What was found, and what is accepted.
    line : int, optional
        Number of the line, from 1.
    """

    def __init__(self, path: str | os.PathLike[str], problem: str, line: int | None = None) -> None:
        self.path = Path(path)
        self.problem = problem
        self.line = line
        super().__init__(f"{self.path}{'' if line is None else f', line {line}'}: {problem}")


@contextmanager
def open_data(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file for reading bytes; gzip, xz and bzip2 are recognized by their first bytes, not by the name.

    Raises
    ------
    DataFileError
        If the compressed data is damaged or cut short. It is also raised by reading inside the context.
    """
    with open(os.path.expanduser(path), "rb") as raw, _decompressor(raw) as stream:
        try:
            yield stream
        except (EOFError, lzma.LZMAError, zlib.error, OSError) as error:
            if stream is raw or (isinstance(error, OSError) and error.errno is not None):
                raise
            raise DataFileError(path, f"the compressed data is damaged or cut short ({error})") from error


def _decompressor(raw: io.BufferedReader) -> IO[bytes]:
    magic = raw.peek(6)[:6]
    for mark, module in ((b"\x1f\x8b", gzip), (b"\xfd7zXZ\x00", lzma), (b"BZh", bz2)):
        if magic.startswith(mark):
            return cast(IO[bytes], module.open(raw))
    return raw


def read_lines(path: str | os.PathLike[str]) -> Iterator[str]:
    """Yield the lines of a UTF-8 text file, plain or compressed, with their ends; a byte order mark is skipped."""
    with open_data(path) as stream:
        for number, line in enumerate(stream, 1):
            if number == 1:
                line = line.removeprefix(BYTE_ORDER_MARK)
            try:
                yield line.decode()
            except UnicodeDecodeError as error:
                problem = f"byte 0x{line[error.start]:02x} is not UTF-8; save the file in that encoding"
                raise DataFileError(path, problem, number) from error


@contextmanager
def write_atomically(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file for writing bytes, compressed by its suffix; it gets the name ``path`` only when it is complete."""
    path = Path(os.path.expanduser(path))
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.unfinished")
    try:
        with open(unfinished, "wb") as raw:
            with _compressor(raw, path.suffix) as stream:
                yield stream
            raw.flush()
            os.fsync(raw.fileno())
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _compressor(raw: io.BufferedWriter, suffix: str) -> AbstractContextManager[Any]:
    match suffix:
        case ".gz":  # Name and time are left out, so that equal data gives equal bytes.
            return gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0)
        case ".xz":
            return lzma.LZMAFile(raw, "wb")
        case ".bz2":
            return bz2.BZ2File(raw, "wb")
        case _:
            return nullcontext(raw)
