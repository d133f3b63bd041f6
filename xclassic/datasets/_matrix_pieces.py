"""Matrices of binary files: whole, or as pieces of rows, so that a look at them takes little memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse, load_npz

from xclassic.datasets._files import DataFileError
from xclassic.datasets._points import check_features, check_labels

_Path = str | os.PathLike[str]
PIECE_ROWS, PIECE_ENTRIES = 1 << 16, 1 << 20
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def load_stored(path: _Path, *, mapped: bool = False) -> Any:
    """Return a matrix as it is stored, unchecked; an array in a map if `mapped`.

    Raises
    ------
    DataFileError
        If the file is of another kind, or damaged. Nothing is unpickled.
    """
    path = os.path.expanduser(path)
    dense = _is_array(path)
    try:
        if dense:
            return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
        with open(path, "rb") as stream:
            return load_npz(stream)
    except Exception as error:  # The loaders and zipfile raise errors of almost any kind for a damaged file.
        kinds = "a matrix as scipy.sparse.save_npz writes it, or an array as numpy.save writes it"
        raise DataFileError(path, f"expected {kinds} ({error})") from error


def matrix_pieces(X_path: _Path, Y_path: _Path | None = None) -> Iterator[tuple[Any, csr_array | None]]:
    """Yield consecutive rows of what `read_npz` reads, as it returns them.

    Parameters
    ----------
    X_path, Y_path
        As for `read_npz`, which raises the same errors; rows in them are counted within a piece. Compressed sparse rows
        and arrays are read piece by piece, other sparse matrices at once.
    """
    with ExitStack() as opened:
        X = _open_rows(X_path, opened)
        Y = None if Y_path is None else _open_rows(Y_path, opened)
        n_rows = X.ptr.size - 1
        if Y is not None and Y.ptr.size != X.ptr.size:
            raise DataFileError(
                Y.path, f"X has {n_rows} rows and Y has {Y.ptr.size - 1}; they must describe the same points"
            )
        for start, stop in pairwise(_cuts(X.ptr)):
            rows = checked(X_path, check_features, X.take(start, stop))
            yield rows, None if Y is None else checked(Y.path, check_labels, Y.take(start, stop), stop - start)


def _cuts(ptr: NDArray[np.int64]) -> list[int]:
    """Return where pieces of rows begin and end; there is one piece at least."""
    cuts, n_rows = [0], ptr.size - 1
    while cuts[-1] < n_rows or len(cuts) == 1:
        fitting = int(np.searchsorted(ptr, ptr[cuts[-1]] + PIECE_ENTRIES, side="right")) - 1
        cuts.append(min(max(fitting, cuts[-1] + 1), cuts[-1] + PIECE_ROWS, n_rows))
    return cuts


def checked(path: _Path, check: Callable[..., Any], matrix: Any, *further: Any) -> Any:
    """Return what a check returns, and name the file if it fails."""
    try:
        return check(matrix, *further)
    except (TypeError, ValueError) as error:
        raise DataFileError(path, str(error)) from error


class _HeldRows:
    """Rows of a matrix in memory or in a map, and sums of their entries."""

    def __init__(self, path: _Path, matrix: Any, ptr: NDArray[np.int64]) -> None:
        self.path, self.matrix, self.ptr = path, matrix, ptr

    def take(self, start: int, stop: int) -> Any:
        return self.matrix[start:stop]


class _StreamedRows:
    """Compressed sparse rows in an archive, which are read in their order."""

    def __init__(self, path: _Path, archive: ZipFile, opened: ExitStack) -> None:
        self.path = path
        self.n_rows, self.n_columns = _part(archive, "shape").tolist()
        self.ptr = _part(archive, "indptr").astype(np.int64)
        self.data, self.indices = (
            _Numbers(opened.enter_context(archive.open(f"{name}.npy"))) for name in ("data", "indices")
        )
        n_entries = int(self.ptr[-1])
        if (
            self.ptr.shape != (self.n_rows + 1,) or self.ptr[0] != 0 or (np.diff(self.ptr) < 0).any()
            or self.data.size != n_entries or self.indices.size != n_entries
        ):  # fmt: skip
            raise ValueError("its parts do not fit each other")

    def take(self, start: int, stop: int) -> Any:
        """Return the next rows, unchecked."""
        ptr = self.ptr[start : stop + 1] - self.ptr[start]
        try:
            data, indices = (part.take(int(ptr[-1])) for part in (self.data, self.indices))
        except Exception as error:  # zipfile and zlib raise errors of almost any kind for a damaged file.
            raise DataFileError(
                self.path, f"the file is damaged or cut short, in row {start} or later ({error})"
            ) from error
        return csr_array((data, indices, ptr), shape=(stop - start, self.n_columns))


class _Numbers:
    """The numbers of a flat array in the format of NumPy, which are read in their order."""

    def __init__(self, stream: IO[bytes]) -> None:
        (self.size,), _, self.dtype = HEADERS[npy.read_magic(stream)](stream)
        if self.dtype.hasobject:
            raise ValueError("it holds objects")
        self.stream = stream

    def take(self, n: int) -> NDArray[Any]:
        found = self.stream.read(n * self.dtype.itemsize)
        if len(found) < n * self.dtype.itemsize:
            raise ValueError(f"{n} numbers were expected, and {len(found) // self.dtype.itemsize} are there")
        return np.frombuffer(found, self.dtype)


def _open_rows(path: _Path, opened: ExitStack) -> _HeldRows | _StreamedRows:
    path = os.path.expanduser(path)
    if not _is_array(path):
        try:
            archive = opened.enter_context(ZipFile(path))
            if _part(archive, "format").item() in ("csr", b"csr"):
                return _StreamedRows(path, archive, opened)
        except OSError:
            raise
        except Exception:  # Of almost any kind. What reads whole files says what is wrong.
            pass
    matrix = load_stored(path, mapped=True)
    if issparse(matrix):
        rows = matrix.tocsr()
        return _HeldRows(path, rows, rows.indptr.astype(np.int64))
    if matrix.ndim != 2:
        raise DataFileError(path, f"the array has shape {matrix.shape}; a matrix has rows and columns")
    return _HeldRows(path, matrix, np.arange(matrix.shape[0] + 1, dtype=np.int64) * matrix.shape[1])


def _is_array(path: _Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(len(npy.MAGIC_PREFIX)) == npy.MAGIC_PREFIX


def _part(archive: ZipFile, name: str) -> NDArray[Any]:
    with archive.open(f"{name}.npy") as stream:
        return np.asarray(npy.read_array(stream, allow_pickle=False))
