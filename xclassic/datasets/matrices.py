"""Matrices larger than memory: written to a folder piece by piece, and opened as maps of its files."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.sparse import csr_array, vstack

from xclassic.datasets._files import DataFileError, read_lines
from xclassic.datasets._matrix_folder import HEADER, Stored, read_header, read_matrix, writing
from xclassic.datasets._matrix_folder import verify as verify_entries
from xclassic.datasets._points import check_features
from xclassic.datasets.texts import RECORDS, suffix_of
from xclassic.datasets.xmc import MAX_IDS, point_pieces

_Path = str | os.PathLike[str]
_Piece = tuple[csr_array, Any]
FORMATS = ("xmc", "jsonl", "parquet")
SUFFIXES = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".parquet": "parquet", ".pq": "parquet"}
RETRIES = 50  # Attempts of a reader whose matrix is replaced while it is opened.


def open_matrix(folder: _Path, *, verify: Literal["lazy", "full"] = "lazy") -> csr_array:
    """Open a matrix that `write_matrix` wrote, without reading it into memory.

    Its entries lie in read-only maps of the files, which the operating system reads when they are used and drops when
    memory is short. ``fit`` of `XRLinear`, `DiSMEC` and the other label trees reads rows from the maps: what it needs
    in memory does not grow with the number of entries.

    Parameters
    ----------
    folder : path
        The folder.
    verify : {"lazy", "full"}, default="lazy"
        Check the header and the sizes and types of the files, or also the checksum, place and value of every entry,
        some at a time. ``fit`` looks at all places and values in any case.

    Returns
    -------
    csr_array of float32, shape (n_rows, n_columns)
        With more than 2**31 entries its pointers have 64 bits and its indices 32, which most of scipy would convert.

    Raises
    ------
    FileNotFoundError
        If the folder holds no matrix.
    DataFileError
        If the matrix is damaged or of a newer format.
    ValueError
        If `verify` is neither of the two.

    See Also
    --------
    write_matrix : Writes the folder.

    Notes
    -----
    Memory: 4 bytes for each row, 8 with more than 2**31 entries. Rows that are appended later belong to matrices that
    are opened later. Another program that truncates a mapped file can crash this one.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from scipy.sparse import eye_array
    >>> from xclassic import datasets
    >>> with TemporaryDirectory() as folder:
    ...     datasets.write_matrix(folder, [eye_array(2), eye_array(2)])
    ...     datasets.open_matrix(folder).shape
    (4, 2)
    """
    if verify not in ("lazy", "full"):
        raise ValueError(f"verify is {verify!r}; it must be 'lazy' or 'full'.")
    path = Path(os.path.expanduser(folder))
    before: Stored | None = None
    for _ in range(RETRIES):
        try:
            stored = read_header(path)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FileNotFoundError(
                f"there is no matrix in {path}: {HEADER} is missing. write_matrix writes one"
            ) from error
        try:
            matrix = read_matrix(path, stored)
            if verify == "full":
                verify_entries(path, stored, matrix)
            return matrix
        except FileNotFoundError as error:  # A writer may have replaced the matrix meanwhile.
            if stored == before:
                raise DataFileError(
                    path, f"the matrix is incomplete: {Path(error.filename).name} is missing"
                ) from error
            before = stored
            time.sleep(0.005)
    raise DataFileError(path, f"the matrix was replaced {RETRIES} times while it was opened; try again")


def write_matrix(
    folder: _Path,
    source: Any,
    *,
    n_columns: int | None = None,
    append: bool = False,
    format: Literal["xmc", "jsonl", "parquet"] | None = None,
    zero_based: bool | None = None,
) -> Any:
    """Write a matrix to a folder, piece by piece, for `open_matrix`.

    Parameters
    ----------
    folder : path
        The folder, which is created if it does not exist. It must be empty or hold a matrix.
    source : path, or iterable of sparse matrices or array-likes
        A file of features and labels, or the rows as pieces with the same number of columns, such as a generator
        yields. A file is one of

        * the text format that `read_xmc` reads;
        * JSON lines, plain or compressed: an object for each row, with a list ``indices`` of column numbers from 0, a
          list ``values`` as long, unless they are all 1, and a list ``labels`` of strings or integers, unless no row
          has it;
        * Parquet with such columns (this needs PyArrow: ``pip install pyarrow``).
    n_columns : int, optional
        Number of columns. By default that of the matrix that rows are appended to, of the first piece, or of the header
        of a file; and without these one more than the largest column number of a file.
    append : bool, default=False
        Append the rows to the matrix in the folder, if there is one. Otherwise it is replaced.
    format : {"xmc", "jsonl", "parquet"}, optional
        Format of a file. By default the suffix tells it: ``.jsonl``, ``.ndjson`` or ``.json``, ``.parquet`` or ``.pq``;
        all others are text.
    zero_based : bool, optional
        As for `read_xmc`, for text files without a header.

    Returns
    -------
    csr_array, list or None
        The labels of the rows of a file, as ``fit`` takes them: a matrix for the text format, a list of label lists
        for the other two; None for pieces and for files without labels.

    Raises
    ------
    DataFileError
        If a file breaks the rules of its format, or the matrix to append to is damaged.
    ValueError
        If a piece is no matrix of finite numbers in float32, or has another number of columns; or if an option is out
        of range.
    ImportError
        If a Parquet file is to be read without PyArrow.
    FileExistsError
        If the folder is a file or holds anything but a matrix.
    OSError
        If writing fails, for instance because the disk is full, or a file cannot be read.
    TypeError
        If `source` is neither a path nor iterable.

    Warns
    -----
    UserWarning
        If rows of a text file name a label more than once; it counts once.

    See Also
    --------
    open_matrix : Opens the folder.
    xclassic.features.TextFeatures.fit_to_matrix : Writes the features of texts.

    Notes
    -----
    The folder becomes the matrix at once, when all rows are on the disk. A writer that fails or is killed leaves what
    was there; the next writer removes what it left. Writers of one folder take turns.

    Memory: one piece, and the labels of a file. The matrix takes 8 bytes for each entry and 8 for each row, in three
    ``.npy`` files that numpy can read.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from xclassic import datasets
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "rows.jsonl")
    ...     _ = file.write_text('{"indices": [0, 3], "values": [0.5, 2], "labels": ["a"]}\\n{"indices": []}')
    ...     labels = datasets.write_matrix(Path(folder, "X"), file)
    ...     datasets.open_matrix(Path(folder, "X")).toarray(), labels
    (array([[0.5, 0. , 0. , 2. ],
           [0. , 0. , 0. , 0. ]], dtype=float32), [['a'], []])
    """
    if n_columns is not None and not 0 <= n_columns <= MAX_IDS:
        raise ValueError(f"n_columns is {n_columns}; it must be from 0 to {MAX_IDS}.")
    is_file = isinstance(source, (str, os.PathLike))
    if is_file:
        os.stat(os.path.expanduser(source))  # A file that is missing is no failure of the writer.
    elif not isinstance(source, Iterable):
        raise TypeError(f"source is a {type(source).__name__}; pass the path of a file, or rows as matrices.")
    with writing(Path(os.path.expanduser(folder)), append=append) as writer:
        known = writer.n_columns
        if known is not None and n_columns not in (None, known):
            raise ValueError(f"n_columns is {n_columns}, but the matrix in the folder has {known} columns.")
        wanted = n_columns if known is None else known
        pieces = _file_pieces(source, format, wanted, zero_based) if is_file else _checked_pieces(source, wanted)
        labels = []
        width = wanted or 0
        for rows, labels_of_rows in pieces:
            writer.append(rows)
            labels.append(labels_of_rows)
            width = max(width, rows.shape[1])
        writer.n_columns = width
    return _joined(labels)


def _checked_pieces(source: Iterable[Any], n_columns: int | None) -> Iterator[_Piece]:
    """Yield pieces in canonical form, once they have the same number of columns."""
    if hasattr(source, "shape"):
        source = [source]
    for number, piece in enumerate(source):
        try:
            rows = csr_array(check_features(piece))
        except (TypeError, ValueError) as error:
            raise type(error)(f"Piece {number}: {error}") from error
        n_columns = rows.shape[1] if n_columns is None else n_columns
        if rows.shape[1] != n_columns:
            raise ValueError(f"Piece {number} has {rows.shape[1]} columns; {n_columns} would fit the rows before it.")
        yield rows, None


def _joined(labels: list[Any]) -> Any:
    """Return the labels of all pieces as one."""
    if not labels or labels[0] is None:
        return None
    if isinstance(labels[0], list):
        return list(chain.from_iterable(labels))
    width = max(part.shape[1] for part in labels)
    for part in labels:
        part.resize(part.shape[0], width)
    return csr_array(vstack(labels, format="csr"))


def _file_pieces(path: _Path, format: str | None, n_columns: int | None, zero_based: bool | None) -> Iterator[_Piece]:
    """Yield the rows of a file and their labels."""
    format = format or SUFFIXES.get(suffix_of(path), "xmc")
    if format not in FORMATS:
        raise ValueError(f"there is no format {format!r} of matrices; accepted are {', '.join(FORMATS)}")
    if format == "xmc":
        yield from point_pieces(path, n_columns, zero_based=zero_based)
        return
    records = _json_records(path) if format == "jsonl" else _parquet_records(path)
    labeled = None
    while piece := list(islice(records, RECORDS)):
        labeled = "labels" in piece[0][1] if labeled is None else labeled
        yield _rows_of_records(path, piece, n_columns), _labels_of_records(path, piece) if labeled else None


def _json_records(path: _Path) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(read_lines(path), 1):
        if line.isspace():
            continue
        try:
            yield number, json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataFileError(path, f"expected a JSON object in each line ({error})", number) from error


def _parquet_records(path: _Path) -> Iterator[tuple[int, Any]]:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ImportError("A Parquet file is read by PyArrow, which is not installed: pip install pyarrow") from error
    number = 1
    with ParquetFile(os.path.expanduser(path)) as file:
        columns = [name for name in ("indices", "values", "labels") if name in file.schema_arrow.names]
        for batch in file.iter_batches(batch_size=RECORDS, columns=columns):
            for record in batch.to_pylist():
                yield number, record
                number += 1


def _rows_of_records(path: _Path, records: Sequence[tuple[int, Any]], n_columns: int | None) -> csr_array:
    """Return the rows of some records, as wide as their largest column number if no width is given."""
    lists = [_entries(path, number, record, n_columns) for number, record in records]
    indices = np.array(list(chain.from_iterable(columns for columns, _ in lists)), np.int64)
    values = np.array(list(chain.from_iterable(values for _, values in lists)), np.float64)
    indptr = np.cumsum([0, *(len(columns) for columns, _ in lists)])
    width = int(indices.max(initial=-1)) + 1 if n_columns is None else n_columns
    try:
        return check_features(csr_array((values, indices, indptr), shape=(len(lists), width)))
    except ValueError as error:
        raise DataFileError(path, f"rows from here on: {error}", records[0][0]) from error


def _entries(path: _Path, number: int, record: Any, n_columns: int | None) -> tuple[list[Any], list[Any]]:
    """Return the column numbers and values of a record."""
    if not isinstance(record, Mapping) or not isinstance(record.get("indices"), list):
        raise DataFileError(path, "expected an object with a list 'indices' of column numbers", number)
    columns = record["indices"]
    values = record.get("values")
    values = [1.0] * len(columns) if values is None else values
    last = MAX_IDS if n_columns is None else n_columns
    wrong = [column for column in columns if type(column) is not int or not 0 <= column < last]
    if wrong:
        raise DataFileError(path, f"indices holds {wrong[0]!r}; accepted are integers from 0 to {last - 1}", number)
    numbers = isinstance(values, list) and all(type(value) in (int, float) for value in values)
    if not numbers or len(values) != len(columns):
        raise DataFileError(path, f"values must be a list of {len(columns)} numbers, one for each of indices", number)
    return columns, values


def _labels_of_records(path: _Path, records: Sequence[tuple[int, Any]]) -> list[list[str | int]]:
    lists = []
    for number, record in records:
        labels = record.get("labels")
        labels = [] if labels is None else labels
        if not isinstance(labels, list) or not all(type(label) in (str, int) for label in labels):
            raise DataFileError(path, "labels must be a list of strings or integers", number)
        lists.append(labels)
    return lists
