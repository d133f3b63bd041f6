"""The text format of the Extreme Classification Repository, and LIBSVM's variant of it without a header."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic._kernels.xmc_text import Problem, count_marks, format_points, parse_points
from xclassic.datasets._files import BYTE_ORDER_MARK, DataFileError, open_data, read_lines, write_atomically
from xclassic.datasets._points import check_features, check_labels
from xclassic.validation.pieces import PIECE

_Path = str | os.PathLike[str]

BLOCK_BYTES = 1 << 20
BLOCK_ROWS = 4096
MAX_IDS = 2**31 - 1


class Header(NamedTuple):
    """The first line of a file: ``n_points n_features n_labels``."""

    n_points: int
    n_features: int
    n_labels: int


def read_xmc(
    path: _Path,
    *,
    n_features: int | None = None,
    n_labels: int | None = None,
    zero_based: bool | None = None,
    split: _Path | None = None,
    split_column: int = 0,
) -> tuple[csr_array, csr_array]:
    """Read points from a file in the text format of the Extreme Classification Repository.

    The first line is ``n_points n_features n_labels``, then comes one line per point::

        3,17,42 0:0.5 12:1 733:0.25

    The same format without the first line, as in LIBSVM's multi-label files, is read too. Plain, gzip, xz and bzip2
    files are recognized by their content.

    Parameters
    ----------
    path : path
        The file.
    n_features, n_labels : int, optional
        Numbers of columns of ``X`` and ``Y``. By default they come from the header, or without a header from the
        largest id read, plus one. Read a test file with the numbers of its training file: ids are never renumbered.
    zero_based : bool, optional
        Whether feature ids start at 0 (True) or 1 (False). The default is True for files with a header. It must be
        given for files without one: both kinds exist, and their content does not tell them apart for sure. Label ids
        always start at 0.
    split : path, optional
        A file of row numbers, starting at 1, as the repository gives for data sets that come as one file (such as
        ``bibtex_trSplit.txt``): only these rows are returned, in this order. See `read_split`.
    split_column : int, default=0
        Column of ``split`` to use; each is another random split.

    Returns
    -------
    X : csr_array of float32, shape (n_points, n_features)
        Feature values; stored zeros are kept.
    Y : csr_array of float32, shape (n_points, n_labels)
        Ones where a point has a label. Both matrices are canonical: sorted rows without duplicates.

    Raises
    ------
    DataFileError
        A ValueError that names the file, the line, what was read and what is accepted. Nothing is skipped or repaired.
    OSError
        If the file cannot be opened.

    Warns
    -----
    UserWarning
        If rows name a label more than once (some official files do); it counts once.

    See Also
    --------
    write_xmc : The inverse.
    load : Reads the files of a folder together.

    Notes
    -----
    The grammar: lines end with LF or CR LF, and the last one may lack its end; a UTF-8 byte order mark at the start is
    skipped. A line starts with label ids joined by commas, which blanks (spaces, tabs) may follow. Then come pairs
    ``feature:value``, each after a blank, in any order, no feature twice. A point without labels starts with a
    blank or with its first feature. Ids are digits only. Values are decimal numbers with optional sign, point and
    exponent, finite in float32, rounded to the nearest. A line that starts with ``#`` is a comment. An empty line is a
    point without labels and features if there is a header, whose ``n_points`` guards the count (empty lines after the
    last point are not points); without a header it is an error, and such a point is a line of one blank.

    The file is parsed in blocks of 1 MiB. Peak memory is the result plus an eighth and a few MiB; time is about 2 ns
    per byte of text in addition to the decompression.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from xclassic.datasets import read_xmc
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "tiny.txt")
    ...     _ = file.write_text("2 4 3\\n0,2 1:0.5 3:2\\n 0:1\\n")
    ...     X, Y = read_xmc(file)
    >>> X.toarray()
    array([[0. , 0.5, 0. , 2. ],
           [1. , 0. , 0. , 0. ]], dtype=float32)
    >>> Y.toarray()
    array([[1., 0., 1.],
           [0., 0., 0.]], dtype=float32)
    """
    X, Y, _ = read_points(path, n_features, n_labels, zero_based)
    if split is None:
        return X, Y
    rows = read_split(split, split_column, n_points=X.shape[0])
    return X[rows], Y[rows]


def write_xmc(path: _Path, X: Any, Y: Any) -> None:
    """Write points to a file in the text format of the Extreme Classification Repository.

    `read_xmc` returns bitwise equal matrices (``X`` in float32).

    Parameters
    ----------
    path : path
        The file. A suffix ``.gz``, ``.xz`` or ``.bz2`` compresses it. It appears under this name, replacing an older
        file, only when it is complete: no failure leaves half a file.
    X : sparse matrix or array, shape (n_points, n_features)
        Finite feature values. Stored zeros of a sparse matrix are written, zeros of an array are not.
    Y : sparse matrix or array of 0 and 1, shape (n_points, n_labels)
        Labels of the points.

    Raises
    ------
    ValueError
        If ``X`` is not finite in float32, ``Y`` holds values other than 0 and 1, or their numbers of rows differ.
    OSError
        If the file cannot be written.
    """
    X = check_features(csr_array(X))
    Y = check_labels(Y, X.shape[0])
    with write_atomically(path) as stream:
        stream.write(b"%d %d %d\n" % (*X.shape, Y.shape[1]))
        for start in range(0, X.shape[0], BLOCK_ROWS):
            labels, _, label_ptr = _block(Y, start)
            features, values, feature_ptr = _block(X, start)
            stream.write(
                format_points(
                    labels=labels, label_ptr=label_ptr, features=features, values=values, feature_ptr=feature_ptr
                )
            )


def _block(matrix: csr_array, start: int) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int64]]:
    """Return indices, data and row pointers of `BLOCK_ROWS` rows from ``start`` on."""
    indptr = matrix.indptr[start : start + BLOCK_ROWS + 1].astype(np.int64)
    cells = slice(indptr[0], indptr[-1])
    return matrix.indices[cells].astype(np.int32, copy=False), matrix.data[cells], indptr - indptr[0]


def read_points(
    path: _Path, n_features: int | None = None, n_labels: int | None = None, zero_based: bool | None = None
) -> tuple[csr_array, csr_array, Header | None]:
    """Return X and Y as `read_xmc` does, and the header if there is one."""
    *_, points = _parsed(path, n_features, n_labels, zero_based)
    X, Y = points.finish(stacklevel=4)
    return X, Y, points.header


def point_pieces(
    path: _Path, n_features: int | None = None, n_labels: int | None = None, zero_based: bool | None = None
) -> Iterator[tuple[csr_array, csr_array]]:
    """Yield X and Y of consecutive points; widths that neither a header nor a number gives grow from piece to piece."""
    for points in _parsed(path, n_features, n_labels, zero_based):
        if points.feature_ptr[points.row] >= PIECE:
            yield points.take()
    yield points.finish(stacklevel=5)


def read_header(path: _Path) -> Header | None:
    """Return the header of a file, if it has one."""
    with open_data(path) as stream:
        lines_before, first = _first_line(stream)
        return _parse_header(path, lines_before + 1, first)


def _parsed(path: _Path, n_features: int | None, n_labels: int | None, zero_based: bool | None) -> Iterator[_Points]:
    """Parse a file, and yield its points after each block of text."""
    with open_data(path) as stream:
        lines_before, first = _first_line(stream)
        header = _parse_header(path, lines_before + 1, first)
        if header is None and zero_based is None:
            raise DataFileError(
                path,
                f"there is no header 'n_points n_features n_labels' but {_quote(first)}. Files without a header start "
                "their feature ids at 0 or at 1: pass zero_based=True or zero_based=False",
                lines_before + 1,
            )
        widths = {
            "features": _width(path, "features", header and header.n_features, n_features),
            "labels": _width(path, "labels", header and header.n_labels, n_labels),
        }
        points = _Points(path, header, widths, first_feature=int(zero_based is False))
        points.line = lines_before + (header is not None)
        pieces = [first] if header is None else []  # of a line that goes on in the next block
        while block := stream.read(BLOCK_BYTES):
            cut = block.rfind(b"\n") + 1
            if cut:
                points.parse(b"".join([*pieces, block[:cut]]))
                pieces = []
                yield points
            pieces.append(block[cut:])
        points.parse(b"".join(pieces))
    yield points


class _Points:
    """The arrays of X and Y, which grow while a file is parsed."""

    def __init__(self, path: _Path, header: Header | None, widths: dict[str, int | None], first_feature: int) -> None:
        self.path = path
        self.header = header
        self.widths = widths
        self.first_feature = first_feature
        self.row = 0
        self.taken = 0
        self.line = 0
        self.repeated = 0
        self.repeated_line = 0
        self._clear()

    def _clear(self) -> None:
        self.labels = np.empty(1, np.int32)
        self.features = np.empty(1, np.int32)
        self.values = np.empty(1, np.float32)
        self.label_ptr = np.zeros(2, np.int64)
        self.feature_ptr = np.zeros(2, np.int64)

    def parse(self, text: bytes) -> None:
        """Append the points of whole lines."""
        ends, commas, colons = count_marks(text)
        self.label_ptr = _room(self.label_ptr, self.row + ends + 2)
        self.feature_ptr = _room(self.feature_ptr, self.row + ends + 2)
        self.labels = _room(self.labels, self.label_ptr[self.row] + commas + ends + 1)
        self.features = _room(self.features, self.feature_ptr[self.row] + colons)
        self.values = _room(self.values, self.feature_ptr[self.row] + colons)
        self.row, lines, repeated, repeated_line, problem, at = parse_points(
            text,
            row=self.row,
            n_points=-1 if self.header is None else self.header.n_points - self.taken,
            n_labels=self._limit("labels"),
            n_features=self._limit("features"),
            first_feature=self.first_feature,
            labels=self.labels,
            label_ptr=self.label_ptr,
            features=self.features,
            values=self.values,
            feature_ptr=self.feature_ptr,
        )
        if repeated and not self.repeated:
            self.repeated_line = self.line + repeated_line + 1
        self.repeated += repeated
        self.line += lines
        if problem:
            raise DataFileError(self.path, self._explain(Problem(problem), text[at : at + 64]), self.line + 1)

    def take(self) -> tuple[csr_array, csr_array]:
        """Return X and Y of the points since the last call."""
        X = self._matrix(self.values, self.features, self.feature_ptr, self.widths["features"])
        ones = np.ones(self.label_ptr[self.row], np.float32)
        Y = self._matrix(ones, self.labels, self.label_ptr, self.widths["labels"])
        self.taken += self.row
        self.row = 0
        self._clear()
        return X, Y

    def finish(self, *, stacklevel: int) -> tuple[csr_array, csr_array]:
        """Return what `take` returns, at the end of the file."""
        n_points = self.taken + self.row
        if self.header is not None and n_points < self.header.n_points:
            raise DataFileError(
                self.path,
                f"the file ends after {n_points} points (line {self.line}), but its header announces "
                f"{self.header.n_points}; it may be cut short",
            )
        if self.repeated:
            warnings.warn(
                f"{self.path}: {self.repeated} labels are repeated within their row (first in line "
                f"{self.repeated_line}); each counts once",
                stacklevel=stacklevel,
            )
        return self.take()

    def _matrix(self, data: NDArray[Any], indices: NDArray[Any], indptr: NDArray[Any], width: int | None) -> csr_array:
        nnz = indptr[self.row]
        for array, size in ((data, nnz), (indices, nnz), (indptr, self.row + 1)):
            array.resize(size, refcheck=False)
        if nnz <= MAX_IDS:
            indptr = indptr.astype(np.int32)
        if width is None:
            width = int(indices.max()) + 1 if nnz else 0
        matrix = csr_array((data, indices, indptr), shape=(self.row, width))
        matrix.has_canonical_format = True
        return matrix

    def _limit(self, what: str) -> int:
        width = self.widths[what]
        return MAX_IDS if width is None else width

    def _explain(self, problem: Problem, text: bytes) -> str:
        found = _quote(re.split(rb"[ \t\r\n]", text, maxsplit=1)[0])
        first, last = self.first_feature, self._limit("features") - 1 + self.first_feature
        match problem:
            case Problem.BAD_LABEL:
                return f"expected a label id (digits; ids are joined by commas), found {found}"
            case Problem.LABEL_RANGE:
                return f"label {found} is out of range: accepted are 0 to {self._limit('labels') - 1}"
            case Problem.BAD_FEATURE:
                return f"expected feature:value, found {found}"
            case Problem.FEATURE_RANGE:
                return f"the feature of {found} is out of range: accepted are {first} to {last}"
            case Problem.BAD_VALUE:
                return f"the value of {found} is not a decimal number that is finite in float32"
            case Problem.REPEATED_FEATURE:
                return "the row names a feature more than once; give each feature one value"
            case Problem.EMPTY_LINE:
                return (
                    "the line is empty. In a file without a header, a point without labels and features is a line "
                    "with one space; remove the line if it is not a point"
                )
            case _:
                return (
                    f"found {found} after the {self.header and self.header.n_points} points that the header announces"
                )


def _room(array: NDArray[Any], size: int) -> NDArray[Any]:
    """Grow ``array``, if it is too short for ``size`` elements, by at least an eighth, in place where possible."""
    if size > array.size:
        array.resize(max(size, array.size + array.size // 8), refcheck=False)
    return array


def _first_line(stream: IO[bytes]) -> tuple[int, bytes]:
    """Return the number of comment lines at the start, and the line after them."""
    lines = 0
    line = stream.readline().removeprefix(BYTE_ORDER_MARK)
    while line.startswith(b"#"):
        lines += 1
        line = stream.readline()
    return lines, line


def _parse_header(path: _Path, line: int, text: bytes) -> Header | None:
    if not text:
        raise DataFileError(path, "the file is empty; expected a header 'n_points n_features n_labels' or points")
    if not re.fullmatch(rb"[ \t]*\d+([ \t]+\d+)+[ \t]*\r?\n?", text):
        return None
    counts = [_number(word) for word in text.split()]
    if len(counts) != 3 or max(counts) > MAX_IDS:
        raise DataFileError(
            path, f"expected 'n_points n_features n_labels', each at most {MAX_IDS}, found {_quote(text)}", line
        )
    return Header(*counts)


def _number(digits: bytes | str) -> int:
    """Return the number of some digits; too many for Python to convert give a number beyond every limit."""
    return int(digits) if len(digits) < 20 else 10**20


def _width(path: _Path, what: str, announced: int | None, given: int | None) -> int | None:
    if given is not None and not 0 <= given <= MAX_IDS:
        raise ValueError(f"n_{what} must be between 0 and {MAX_IDS}, not {given}")
    if announced is not None and given is not None and given < announced:
        raise DataFileError(
            path, f"the header announces {announced} {what}, more than n_{what}={given}; pass {announced} or more"
        )
    return announced if given is None else given


def _quote(text: bytes) -> str:
    """Return the start of a line for a message."""
    line = text.splitlines()[0] if text else text
    return repr(line[:40].decode("utf-8", "backslashreplace")) + ("..." if len(line) > 40 else "")


def read_filter(path: _Path, n_points: int, n_labels: int) -> csr_array:
    """Read the pairs of a point and a label that do not count, as ``filter_labels_test.txt`` lists them.

    In data sets of the Extreme Classification Repository whose labels are points too, such as products, a point may be
    its own label; these files name such pairs.

    Parameters
    ----------
    path : path
        The file, plain or compressed: each line has the number of a point and a label id, both counted from 0,
        separated by blanks.
    n_points, n_labels : int
        Shape of the label matrix.

    Returns
    -------
    csr_array of float32, shape (n_points, n_labels)
        Ones, for ``exclude=`` of predictions and metrics.

    Raises
    ------
    DataFileError
        If a line is not two numbers, or one is out of range.
    """
    pairs: tuple[list[int], list[int]] = [], []
    for number, line in enumerate(read_lines(path), 1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != 2 or not all(cell.isascii() and cell.isdigit() for cell in cells):
            raise DataFileError(path, f"expected a point and a label, found {_quote(line.encode())}", number)
        for what, cell, size, found in zip(("point", "label"), cells, (n_points, n_labels), pairs, strict=True):
            if _number(cell) >= size:
                raise DataFileError(path, f"{what} {cell[:20]} is out of range: there are {size}", number)
            found.append(_number(cell))
    matrix = csr_array((np.ones(len(pairs[0]), np.float32), pairs), shape=(n_points, n_labels))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def read_split(path: _Path, column: int = 0, *, n_points: int | None = None) -> NDArray[np.int64]:
    """Read the rows of one side of a train/test split from a file of row numbers.

    The Extreme Classification Repository gives some data sets as one file of points and two such files, for train and
    for test. Each column is one random split, and each number is a row of the data file, counted from 1.

    Parameters
    ----------
    path : path
        The file, plain or compressed: each line has one number per split, separated by blanks.
    column : int, default=0
        Number of the split.
    n_points : int, optional
        Number of rows of the data file; row numbers are checked against it.

    Returns
    -------
    ndarray of int64
        The rows, counted from 0, in the order of the file.

    Raises
    ------
    DataFileError
        If a line is not a list of row numbers as long as the first, or a number is out of range or repeated in the
        column.
    ValueError
        If there is no such column.
    """
    rows: dict[int, None] = {}
    width = 0
    for number, line in enumerate(read_lines(path), 1):
        cells = line.split()
        if number == 1:
            width = len(cells)
        if not cells or len(cells) != width or not all(cell.isascii() and cell.isdigit() for cell in cells):
            expected = f"{width or 'some'} row numbers"
            raise DataFileError(path, f"expected {expected}, found {_quote(line.encode())}", number)
        if not 0 <= column < width:
            raise ValueError(f"{os.fspath(path)} has {width} columns, 0 to {width - 1}; there is no column {column}")
        row = _number(cells[column]) - 1
        if row < 0 or row >= (MAX_IDS if n_points is None else n_points):
            accepted = f"1 to {MAX_IDS if n_points is None else n_points}"
            raise DataFileError(path, f"row {cells[column][:20]} is out of range: accepted are {accepted}", number)
        if row in rows:
            raise DataFileError(path, f"row {row + 1} comes a second time in column {column}", number)
        rows[row] = None
    if not rows:
        raise DataFileError(path, "the file is empty; expected a row number in each line")
    return np.fromiter(rows, np.int64, len(rows))
