"""Matrices as folders: CSR as three ``.npy`` files that grow, and ``matrix.json``, which says how much of them counts.

The rename of ``matrix.json`` makes what was written the matrix. Until then a reader sees the old one: rows are appended
behind its end, and a new matrix has files of new names. Nothing in a folder is executed or unpickled.
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.datasets._files import DataFileError
from xclassic.storage.folder import (
    HEADER_LIMIT,
    LOCK,
    MARKS,
    flush,
    from_json,
    header_checksum,
    locked,
    opened,
    sync_folder,
    write_file,
)
from xclassic.validation.pieces import PIECE, csr_over, first_not_finite, pieces_of

HEADER = "matrix.json"
FORMAT = 1
PARTS: dict[str, np.dtype[Any]] = {"data": np.dtype("<f4"), "indices": np.dtype("<i4"), "indptr": np.dtype("<i8")}
OUR_FILES = re.compile(r"(data|indices|indptr)\.[0-9a-f]{16}\.npy|matrix\.json\.[0-9a-f]{16}", re.ASCII)
NPY_BYTES = 128  # Of the header of an array of one dimension, which numpy leaves room to grow in place.
MAX_ROWS = 2**31 - 1


class Stored(NamedTuple):
    """What ``matrix.json`` says.

    Attributes
    ----------
    n_rows, n_columns, n_entries : int
    token : str
        Of the names of the files.
    checksums : dict of str to int
    """

    n_rows: int
    n_columns: int
    n_entries: int
    token: str
    checksums: dict[str, int]

    def counts(self) -> dict[str, int]:
        """Return the number of items of each file that count."""
        return {"data": self.n_entries, "indices": self.n_entries, "indptr": self.n_rows + 1}


def file_of(folder: Path, part: str, token: str) -> Path:
    """Return the file of a part of the matrix."""
    return folder / f"{part}.{token}.npy"


# Reading


def read_header(folder: Path) -> Stored:
    """Return what ``matrix.json`` says.

    Raises
    ------
    FileNotFoundError
        If there is none.
    DataFileError
        If it is damaged or of a newer format.
    """
    file = folder / HEADER
    with opened(file) as stream:
        content = stream.read(HEADER_LIMIT)
    try:
        header = from_json(content.decode("utf-8"))
        newer = isinstance(header, dict) and type(header.get("format")) is int and header["format"] > FORMAT
        if newer:
            raise DataFileError(file, f"the matrix has format {header['format']}; this version reads up to {FORMAT}")
        sizes = [header[name] for name in ("n_rows", "n_columns", "n_entries")]
        token, checksums = header["token"], header["checksums"]
        sound = (
            header["crc32"] == header_checksum(header)
            and all(type(size) is int and 0 <= size < 2**62 for size in (*sizes, *checksums.values()))
            and max(sizes[:2]) <= MAX_ROWS
            and re.fullmatch("[0-9a-f]{16}", token, re.ASCII)
            and checksums.keys() == PARTS.keys()
        )
    except DataFileError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataFileError(file, f"is no header of a matrix ({error})") from error
    if not sound:
        raise DataFileError(file, "is damaged: its checksum or an entry is wrong; write the matrix anew")
    n_rows, n_columns, n_entries = sizes
    return Stored(n_rows, n_columns, n_entries, token, checksums)


def read_matrix(folder: Path, stored: Stored) -> csr_array:
    """Return a matrix over maps of its files, after the checks that read no entry."""
    counts = stored.counts()
    arrays = {part: _mapped(file_of(folder, part, stored.token), part, counts[part]) for part in PARTS}
    indptr = arrays["indptr"]
    if indptr[0] != 0 or indptr[-1] != stored.n_entries:
        raise DataFileError(folder, f"the pointers of the rows do not run from 0 to {stored.n_entries}")
    return csr_over(arrays["data"], arrays["indices"], indptr, (stored.n_rows, stored.n_columns))


def _mapped(file: Path, part: str, count: int) -> NDArray[Any]:
    """Map the items of a file that count; there are more after a writer was killed."""
    dtype = PARTS[part]
    try:
        with opened(file) as stream:
            if npy.read_magic(stream) != (1, 0):
                raise ValueError("it is of another version of the npy format")
            shape, fortran, found = npy.read_array_header_1_0(stream, max_header_size=4096)
            size = os.fstat(stream.fileno()).st_size
            if fortran or found != dtype or len(shape) != 1 or stream.tell() != NPY_BYTES:
                raise ValueError(f"it holds {found} of shape {shape}, not a row of {dtype}")
            if size < NPY_BYTES + count * dtype.itemsize or shape[0] < count:
                raise ValueError(f"it has {size} bytes, too few for {count} items")
            if not count:  # An empty array cannot be mapped.
                return np.empty(0, dtype)
            return np.memmap(stream, dtype, "r", NPY_BYTES, (count,)).view(np.ndarray)
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:
        raise DataFileError(file, f"is damaged: {error}") from error


def verify(folder: Path, stored: Stored, matrix: csr_array) -> None:
    """Raise DataFileError unless every entry is as it was written, piece by piece."""
    for part in PARTS:
        array = _mapped(file_of(folder, part, stored.token), part, stored.counts()[part])
        if checksum(array) != stored.checksums[part]:
            raise DataFileError(file_of(folder, part, stored.token), "is damaged: its checksum is another")
    if (np.diff(matrix.indptr) < 0).any():
        raise DataFileError(folder, "the pointers of the rows decrease")
    for piece in pieces_of(matrix):
        outside = piece.nnz and not 0 <= piece.indices.min() <= piece.indices.max() < stored.n_columns
        if outside or not piece.has_canonical_format or first_not_finite(piece.data) is not None:
            raise DataFileError(folder, "an entry is out of place or not finite")


def checksum(array: NDArray[Any], start: int = 0) -> int:
    """Return the checksum of an array that is read piece by piece, as a continuation of another."""
    for first in range(0, len(array), PIECE):
        start = zlib.crc32(_bytes(array[first : first + PIECE]), start)
    return start


def _bytes(array: NDArray[Any]) -> memoryview:
    return array.view(np.uint8).data


# Writing


class MatrixWriter:
    """Writes the rows of a matrix into its files; `writing` makes one.

    Attributes
    ----------
    n_rows, n_entries : int
        What has been written, with what was there before.
    n_columns : int or None
        Set by the caller, at the latest before the end.
    """

    def __init__(self, folder: Path, known: Stored | None) -> None:
        self.folder, self.known = folder, known
        self.token = secrets.token_hex(8) if known is None else known.token
        self.n_rows, self.n_entries = (0, 0) if known is None else (known.n_rows, known.n_entries)
        self.n_columns = None if known is None else known.n_columns
        self._checksums = dict.fromkeys(PARTS, 0) if known is None else dict(known.checksums)
        self._streams: dict[str, BinaryIO] = {}

    def open(self) -> None:
        """Open the files, and cut off what a killed writer has left behind the matrix."""
        for part, dtype in PARTS.items():
            file = file_of(self.folder, part, self.token)
            self._streams[part] = open(file, "xb+" if self.known is None else "rb+")  # noqa: SIM115 - closed by close
            if self.known is not None:
                self._streams[part].truncate(NPY_BYTES + self.known.counts()[part] * dtype.itemsize)
                self._streams[part].seek(0, os.SEEK_END)
            else:
                self._streams[part].write(_npy_header(part, 0))
        if self.known is None:
            self._put("indptr", np.zeros(1, np.int64))

    def append(self, rows: csr_array) -> None:
        """Append rows in canonical form, of float32."""
        if self.n_rows + rows.shape[0] > MAX_ROWS:
            raise ValueError(f"The matrix would have more than {MAX_ROWS} rows; write a second one.")
        self._put("data", rows.data)
        self._put("indices", rows.indices)
        self._put("indptr", rows.indptr[1:].astype(np.int64) + self.n_entries)
        self.n_rows += rows.shape[0]
        self.n_entries += rows.nnz

    def scatter(self, indptr: NDArray[np.int64], parts: Iterable[tuple[NDArray[Any], ...]]) -> None:
        """Write all rows of a new matrix, whose entries come in any order.

        Parameters
        ----------
        indptr : ndarray of int64, shape (n_rows + 1,)
        parts : iterable of (ndarray, ndarray, ndarray)
            Places, indices and values of some entries.
        """
        self.n_rows, self.n_entries = len(indptr) - 1, int(indptr[-1])
        self._put("indptr", indptr[1:])
        if not self.n_entries:
            return
        maps = {}
        for part in ("indices", "data"):
            self._streams[part].truncate(NPY_BYTES + self.n_entries * PARTS[part].itemsize)
            maps[part] = np.memmap(self._streams[part], PARTS[part], "r+", NPY_BYTES, (self.n_entries,))
        for places, indices, values in parts:
            maps["indices"][places] = indices
            maps["data"][places] = values
        for part, array in maps.items():
            array.flush()
            self._checksums[part] = checksum(array.view(np.ndarray))

    def _put(self, part: str, array: NDArray[Any]) -> None:
        content = _bytes(np.ascontiguousarray(array, PARTS[part]))
        self._streams[part].write(content)
        self._checksums[part] = zlib.crc32(content, self._checksums[part])

    def commit(self) -> None:
        """Make what was written the matrix."""
        stored = Stored(self.n_rows, self.n_columns or 0, self.n_entries, self.token, self._checksums)
        for part, stream in self._streams.items():
            flush(stream)
            stream.seek(0)
            stream.write(_npy_header(part, stored.counts()[part]))
            flush(stream)
        header = {**stored._asdict(), "format": FORMAT}
        content = json.dumps({**header, "crc32": header_checksum(header)}, indent=1).encode()
        unfinished = self.folder / f"{HEADER}.{secrets.token_hex(8)}"
        write_file(unfinished, content)
        sync_folder(self.folder)
        os.replace(unfinished, self.folder / HEADER)
        sync_folder(self.folder)

    def close(self) -> None:
        """Close the files."""
        for stream in self._streams.values():
            with suppress(OSError):  # A full disk, which has been reported.
                stream.close()


def _npy_header(part: str, count: int) -> bytes:
    header = {"descr": PARTS[part].str, "fortran_order": False, "shape": (count,)}
    text = repr(header).encode()
    body = text + b" " * (NPY_BYTES - 11 - len(text)) + b"\n"
    return npy.magic(1, 0) + len(body).to_bytes(2, "little") + body


@contextmanager
def writing(folder: Path, *, append: bool) -> Iterator[MatrixWriter]:
    """Open a folder for writing; what was written becomes the matrix if nothing fails inside the context.

    Raises
    ------
    FileExistsError
        If the folder is a file or holds anything but a matrix.
    DataFileError
        If rows are to be appended to a matrix that is damaged.
    OSError
        If writing fails.
    """
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(errno.EEXIST, "is a file; a matrix is written to a folder", str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    foreign = sorted(name for name in os.listdir(folder) if not _is_ours(name))
    if foreign:
        what = f"holds {foreign[0]!r}, which is no part of a matrix; write to a new or empty folder"
        raise FileExistsError(errno.EEXIST, what, str(folder))
    with locked(folder):
        _sweep(folder)
        known = read_header(folder) if append and (folder / HEADER).exists() else None
        writer = MatrixWriter(folder, known)
        try:
            writer.open()
            yield writer
            writer.commit()
        except OSError as error:
            what = f"could not write the matrix ({error.strerror or error}); what was there is unchanged"
            raise OSError(error.errno or errno.EIO, what, str(error.filename or folder)) from error
        finally:
            writer.close()
            _sweep(folder)


def _is_ours(name: str) -> bool:
    return name in (HEADER, LOCK, *MARKS) or OUR_FILES.fullmatch(name) is not None


def _sweep(folder: Path) -> None:
    """Remove the files of a replaced matrix and of killed or failed writers, or nothing if the header is unreadable."""
    try:
        token = read_header(folder).token
    except FileNotFoundError:
        token = ""
    except (OSError, DataFileError):
        return
    with suppress(OSError):
        for name in os.listdir(folder):
            if OUR_FILES.fullmatch(name) and not (token and name.endswith(f".{token}.npy")):
                with suppress(OSError):  # Windows does not remove a mapped file; a later writer will.
                    os.unlink(folder / name)
