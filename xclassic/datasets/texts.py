"""Labeled texts from JSON lines and CSV."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from xclassic.datasets._files import COMPRESSED_SUFFIXES, DataFileError, read_lines

_Path = str | os.PathLike[str]
_Record = tuple[int, Mapping[str, Any]]


def read_texts(
    path: _Path, *, text: str | Sequence[str] = "text", labels: str | None = "labels", label_delimiter: str | None = ","
) -> tuple[list[str], list[list[str | int]] | None]:
    """Read texts and their labels from a JSON lines, CSV or TSV file in UTF-8.

    Parameters
    ----------
    path : path
        The file: ``.jsonl``, ``.ndjson`` or ``.json`` (a JSON object per line), ``.csv`` or ``.tsv`` (the first line
        names the columns), each plain or followed by ``.gz``, ``.xz`` or ``.bz2``. In CSV, cells may be quoted; in TSV,
        quotes are ordinary characters. Empty lines are skipped.
    text : str or sequence of str, default="text"
        Field that holds the text. Several fields are joined by a space.
    labels : str or None, default="labels"
        Field that holds the labels: in JSON a list of strings or integers, one integer, or a string; in CSV and TSV a
        string. With None only the texts are read.
    label_delimiter : str or None, default=","
        Separator of the labels in a string. Blanks around a label are stripped, and the empty string means no label.
        With None the whole string is one label.

    Returns
    -------
    texts : list of str
    labels : list of list of (str or int), or None
        Labels of each text, as ``fit`` and `xclassic.encode_labels` take them.

    Raises
    ------
    DataFileError
        A ValueError that names file and line: malformed JSON or CSV, a missing field, a text that is not a string, a
        label that is neither string nor integer or is empty, bytes that are not UTF-8.
    ValueError
        If the suffix names no known format.

    Notes
    -----
    The raw texts of the Extreme Classification Repository are read by
    ``read_texts("trn.json.gz", text=["title", "content"], labels="target_ind")``.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from xclassic.datasets import read_texts
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder, "books.csv")
    ...     _ = file.write_text('title,subjects\\nDune,"novel, desert"\\nBread,\\n')
    ...     read_texts(file, text="title", labels="subjects")
    (['Dune', 'Bread'], [['novel', 'desert'], []])
    """
    fields = [text] if isinstance(text, str) else list(text)
    texts: list[str] = []
    label_lists: list[list[str | int]] = []
    for line, record in _reader(path)(path):
        parts = [_field(path, line, record, field) for field in fields]
        for field, part in zip(fields, parts, strict=True):
            if not isinstance(part, str):
                raise DataFileError(path, f"field {field!r} must be a string, found {_shown(part)}", line)
        texts.append(" ".join(parts))
        if labels is not None:
            label_lists.append(_labels(path, line, _field(path, line, record, labels), label_delimiter))
    return texts, None if labels is None else label_lists


def read_records(path: _Path) -> list[dict[str, Any]]:
    """Read all fields of a JSON lines, CSV or TSV file in UTF-8.

    Parameters
    ----------
    path : path
        As for `read_texts`.

    Returns
    -------
    list of dict
        One dict per line. Cells of CSV and TSV are strings.

    Raises
    ------
    DataFileError, ValueError
        As `read_texts`.

    Examples
    --------
    >>> from xclassic import datasets
    >>> datasets.read_records(datasets.products_file())[0]["title"]
    'Fern Knitted Midi Dress - Green'
    """
    return [dict(record) for _, record in _reader(path)(path)]


def products_file() -> str:
    """Return the path of a CSV file of 293 invented products, for examples.

    Returns
    -------
    str
        Its columns are title, price, brand, category, sub_category and type; some prices and brands are empty.
    """
    return str(Path(__file__).parent / "products" / "products.csv")


def _reader(path: _Path) -> Callable[[_Path], Iterator[_Record]]:
    name = Path(path)
    suffix = name.with_suffix("").suffix if name.suffix in COMPRESSED_SUFFIXES else name.suffix
    try:
        return _READERS[suffix]
    except KeyError:
        raise ValueError(
            f"{name}: the suffix tells the format of texts; accepted are {', '.join(_READERS)}, plain or followed by "
            f"{', '.join(COMPRESSED_SUFFIXES)}"
        ) from None


def _read_jsonl(path: _Path) -> Iterator[_Record]:
    for number, line in enumerate(read_lines(path), 1):
        if line.isspace():
            continue
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise DataFileError(
                path, f"expected a JSON object in each line, found {_shown(line.strip())} ({error})", number
            ) from error
        if not isinstance(record, dict):
            raise DataFileError(path, f"expected a JSON object in each line, found {_shown(record)}", number)
        yield number, record


def _read_csv(path: _Path, **dialect: Any) -> Iterator[_Record]:
    csv.field_size_limit(max(csv.field_size_limit(), 1 << 30))  # Documents can be longer than the default of 128 KiB.
    rows = csv.reader(read_lines(path), strict=True, **dialect)
    names: list[str] = []
    while True:
        line = rows.line_num + 1
        try:
            row = next(rows)
        except StopIteration:
            break
        except csv.Error as error:
            raise DataFileError(path, f"the row is not well-formed ({error})", line) from error
        if not row:
            continue
        if not names:
            names = row
            if len(set(names)) < len(names):
                raise DataFileError(path, f"two columns have the same name: {names}", line)
        elif len(row) != len(names):
            raise DataFileError(path, f"expected {len(names)} cells as in the first line, found {len(row)}", line)
        else:
            yield line, dict(zip(names, row, strict=True))


def _read_tsv(path: _Path) -> Iterator[_Record]:
    return _read_csv(path, delimiter="\t", quoting=csv.QUOTE_NONE)


_READERS: dict[str, Callable[[_Path], Iterator[_Record]]] = {
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_jsonl,  # The raw texts of the Extreme Classification Repository are JSON lines under this name.
    ".csv": _read_csv,
    ".tsv": _read_tsv,
}


def _field(path: _Path, line: int, record: Mapping[str, Any], field: str) -> Any:
    if field not in record:
        raise DataFileError(path, f"there is no field {field!r}; found are {', '.join(map(repr, record))}", line)
    return record[field]


def _labels(path: _Path, line: int, value: Any, delimiter: str | None) -> list[str | int]:
    if isinstance(value, str):
        pieces = [value] if delimiter is None else value.split(delimiter)
        labels: list[Any] = [piece.strip() for piece in pieces] if value.strip() else []
    else:
        labels = value if isinstance(value, list) else [value]
    for label in labels:
        if not isinstance(label, (str, int)) or isinstance(label, bool) or label == "":
            raise DataFileError(path, f"labels must be strings (not empty) or integers, found {_shown(value)}", line)
    return labels


def _shown(value: Any) -> str:
    """Return the start of a value for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
