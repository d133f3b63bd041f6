"""Labeled texts from JSON lines and CSV."""

from __future__ import annotations

import ast
import csv
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from itertools import islice
from math import isfinite
from pathlib import Path
from tokenize import STRING, TokenError, generate_tokens
from typing import Any

from xclassic.datasets._files import COMPRESSED_SUFFIXES, DataFileError, read_lines

_Path = str | os.PathLike[str]
_Record = tuple[int, Mapping[str, Any]]
RECORDS = 1024  # Rows that are read at a time where a file need not fit into memory.


def read_texts(
    path: _Path,
    *,
    text: str | Sequence[str] = "text",
    labels: str | None = "labels",
    label_delimiter: str | None = ",",
    format: str | None = None,
) -> tuple[list[str], list[list[str | int]] | None]:
    """Read texts and their labels from a JSON lines, CSV or TSV file in UTF-8.

    Parameters
    ----------
    path : path
        The file: JSON lines (an object per line), CSV or TSV (the first line names the columns), each plain or
        compressed with gzip, xz or bzip2. In CSV, cells may be quoted; in TSV, quotes are ordinary characters. Empty
        lines are skipped.
    text : str or sequence of str, default="text"
        Field that holds the text; null is an empty one. Several fields are joined by a space.
    labels : str or None, default="labels"
        Field that holds the labels: in JSON a list of strings or integers, one integer, a string or null; in CSV and
        TSV a string. With None only the texts are read.
    label_delimiter : str or None, default=","
        Separator of the labels in a string. Blanks around a label are stripped, and an empty one is no label. A string
        that is a JSON array, or a list, tuple or set as Python prints it, is read as such; ``nan``, which pandas writes
        for a missing value, is no label. With None the whole string is one label, whatever it looks like.
    format : {"jsonl", "csv", "tsv"}, optional
        By default the suffix tells the format (``.jsonl``, ``.ndjson``, ``.json``, ``.csv``, ``.tsv``, in upper or
        lower case, before ``.gz``, ``.xz`` or ``.bz2``). Under another name it is JSON lines if the file begins with a
        brace, TSV if its first line has a tab, and else CSV.

    Returns
    -------
    texts : list of str
    labels : list of list of (str or int), or None
        Labels of each text, as ``fit`` and `xclassic.encode_labels` take them.

    Raises
    ------
    DataFileError
        A ValueError that names file and line: malformed JSON or CSV, a missing field, a text that is not a string, a
        label that is neither string nor integer, a list that numpy printed, bytes that are not UTF-8, an empty file
        whose name tells no format.
    ValueError
        If there is no such format.

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
    for line, record in numbered_records(path, format):
        texts.append(" ".join(_text(path, line, record, field) for field in fields))
        if labels is not None:
            label_lists.append(_labels(path, line, _field(path, line, record, labels), label_delimiter))
    return texts, None if labels is None else label_lists


def read_records(path: _Path, *, format: str | None = None) -> list[dict[str, Any]]:
    """Read all fields of a JSON lines, CSV or TSV file in UTF-8.

    Parameters
    ----------
    path : path
    format : {"jsonl", "csv", "tsv"}, optional
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
    return [dict(record) for _, record in numbered_records(path, format)]


def record_pieces(
    path: _Path, *, fields: Sequence[str] = (), format: str | None = None
) -> Iterator[list[Mapping[str, Any]]]:
    """Yield what `read_records` reads, some at a time, once each record has text or null in the fields."""
    records = numbered_records(path, format)
    while piece := list(islice(records, RECORDS)):
        for line, record in piece:
            for field in fields:
                _text(path, line, record, field)
        yield [record for _, record in piece]


def labeled_pieces(
    path: _Path, labels: str | None, label_delimiter: str | None, *, format: str | None = None
) -> Iterator[tuple[list[Mapping[str, Any]], list[list[str | int]] | None]]:
    """Yield records, some at a time, and the labels of each, None if `labels` names no field."""
    records = numbered_records(path, format)
    while piece := list(islice(records, RECORDS)):
        lists = None
        if labels is not None:
            lists = [_labels(path, line, _field(path, line, record, labels), label_delimiter) for line, record in piece]
        yield [record for _, record in piece], lists


def read_ids(path: _Path, field: str, *, format: str | None = None) -> list[str | int | float]:
    """Read what names the rows: strings as they stand and finite numbers; null is an empty string."""
    ids: list[str | int | float] = []
    for line, record in numbered_records(path, format):
        value = _field(path, line, record, field)
        is_name = isinstance(value, (str, int, type(None))) and not isinstance(value, bool)
        if not is_name and not (isinstance(value, float) and isfinite(value)):
            raise DataFileError(path, f"field {field!r} must be a string or a number, found {_shown(value)}", line)
        ids.append("" if value is None else value)
    return ids


def products_file() -> str:
    """Return the path of a CSV file of 293 invented products, for examples.

    Returns
    -------
    str
        Its columns are title, price, brand, category, sub_category and type; some prices and brands are empty.
    """
    return str(Path(__file__).parent / "products" / "products.csv")


def suffix_of(path: _Path) -> str:
    """Return the suffix that tells what a file is, in lower case: the last one that is not of a compression."""
    *_, last, suffix = ["", "", *(part.lower() for part in Path(path).suffixes)]
    return last if suffix in COMPRESSED_SUFFIXES else suffix


def format_of_content(first_line: str) -> str:
    """Return the format that a first line is of."""
    if first_line.lstrip().startswith("{"):
        return "jsonl"
    return "tsv" if "\t" in first_line else "csv"


def first_line(path: _Path) -> str:
    """Return the first line that is not empty, an empty string if there is none."""
    return next((line for line in read_lines(path) if not line.isspace()), "")


def numbered_records(path: _Path, format: str | None) -> Iterator[_Record]:
    """Yield the records of a file, each with the number of its line."""
    format = format or FORMATS_BY_SUFFIX.get(suffix_of(path))
    if format is None:
        line = first_line(path)
        if not line:
            raise DataFileError(path, "the file is empty; expected JSON lines, CSV or TSV")
        format = format_of_content(line)
    if format not in _READERS:
        raise ValueError(f"there is no format {format!r} of texts; accepted are {', '.join(_READERS)}")
    return _READERS[format](path)


def _read_jsonl(path: _Path) -> Iterator[_Record]:
    for number, line in enumerate(read_lines(path), 1):
        if line.isspace():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _no_object(path, line.strip(), number, f" ({error})") from error
        if not isinstance(record, dict):
            raise _no_object(path, record, number)
        yield number, record


def _no_object(path: _Path, found: Any, line: int, reason: str = "") -> DataFileError:
    hint = ". Write a list of objects as one object per line" if str(found).startswith("[") else ""
    return DataFileError(path, f"expected a JSON object in each line, found {_shown(found)}{reason}{hint}", line)


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


_READERS: dict[str, Callable[[_Path], Iterator[_Record]]] = {"jsonl": _read_jsonl, "csv": _read_csv, "tsv": _read_tsv}
FORMATS_BY_SUFFIX = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",  # The raw texts of the Extreme Classification Repository are JSON lines under this name.
    ".csv": "csv",
    ".tsv": "tsv",
}


def _field(path: _Path, line: int, record: Mapping[str, Any], field: str) -> Any:
    if field not in record:
        raise DataFileError(path, f"there is no field {field!r}; found are {', '.join(map(repr, record))}", line)
    return record[field]


def _text(path: _Path, line: int, record: Mapping[str, Any], field: str) -> str:
    value = _field(path, line, record, field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataFileError(path, f"field {field!r} must be a string, found {_shown(value)}", line)
    return value


def _labels(path: _Path, line: int, value: Any, delimiter: str | None) -> list[str | int]:
    found = _split(path, line, value, delimiter) if isinstance(value, str) else value
    if not isinstance(found, list):
        found = [] if found is None else [found]
    for label in found:
        if not isinstance(label, (str, int)) or isinstance(label, bool):
            raise DataFileError(path, f"labels must be strings or integers, found {_shown(value)}", line)
    labels = [label.strip() if isinstance(label, str) else label for label in found]
    return [label for label in labels if label != ""]


def _split(path: _Path, line: int, text: str, delimiter: str | None) -> list[Any]:
    """Return the labels that one string holds."""
    text = text.strip()
    if delimiter is None:
        return [text]
    if text in _MISSING:
        return []
    if printed := _PRINTED.fullmatch(text):
        content = printed["content"]
        labels = [] if content == "" else _printed_list(text if content is None else content)
        if labels is None:
            raise DataFileError(
                path,
                f"the labels {_shown(text)} look like a list but cannot be read as one (numpy prints arrays so). Write "
                f"a JSON array, or join the labels by {delimiter!r}; if this is one label, read it without a delimiter",
                line,
            )
        return labels
    return text.split(delimiter)


_MISSING = ("nan", "NaN", "<NA>")  # as pandas writes missing cells
_PRINTED = re.compile(
    r"""\[.*\]|\(\)|\(\s*['"].*\)|{\s*['"].*}|(?:frozenset|set)\((?P<content>|[\[{].*[\]}])\)|array\(.*\)""", re.DOTALL
)


def _printed_list(text: str) -> list[Any] | None:
    """Return the items of a JSON array, or of a list, tuple or set as Python prints it; None for anything else."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return _literal_items(text)
    return found if isinstance(found, list) else None


def _literal_items(text: str) -> list[Any] | None:
    try:
        tree = ast.parse(text, mode="eval").body
        items = [ast.literal_eval(item) for item in getattr(tree, "elts", ())]
        n_strings = sum(token.type == STRING for token in generate_tokens(StringIO(text).readline))
    except (ValueError, SyntaxError, TokenError, RecursionError, MemoryError):
        return None
    # Strings side by side, as numpy prints them, are one to Python.
    as_listed = n_strings == sum(isinstance(item, str) for item in items)
    return items if isinstance(tree, (ast.List, ast.Tuple, ast.Set)) and as_listed else None


def _shown(value: Any) -> str:
    """Return the start of a value for a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
