"""Checks of texts and records in all their containers: lists and columns of strings, tables, lists of dicts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from math import isnan
from string import Formatter
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from sklearn.utils import Tags

MOST_LETTERS = 100  # Of a field in a template, which takes memory for them.
NA = ("na", "NA", "n/a", "N/A")  # Strings that mark a missing value in tables.

Path: TypeAlias = tuple[str, ...]
Names: TypeAlias = list[str | None]


def check_texts(X: Any, name: str = "X") -> NDArray[np.object_]:
    """Return texts as an object array of str.

    Parameters
    ----------
    X : sequence, array or column of str
        Missing texts (None, NaN) become empty texts.
    name : str, default="X"
        What to call it in messages.

    Returns
    -------
    ndarray of object, shape (n_rows,)

    Raises
    ------
    TypeError
        If `X` is one string, or a row is not a string.
    ValueError
        If `X` is not one-dimensional.
    """
    if isinstance(X, (str, bytes)) or column_names(X) is not None:
        raise TypeError(
            f"{name} is one {type(X).__name__}; pass a list of texts, [text] for a single one, or a column of a table."
        )
    values = _as_list(X, name)
    if any(isinstance(value, Mapping) for value in values):
        raise TypeError(f"{name} holds records (dicts), not texts; name the fields to read.")
    texts = np.empty(len(values), object)
    for i, value in enumerate(values):
        if isinstance(value, str):
            texts[i] = str(value)
        elif is_missing(value):
            texts[i] = ""
        else:
            raise TypeError(f"{name}[{i}] is {value!r}, a {type(value).__name__}; texts are strings.")
    return texts


def check_columns(X: Any, fields: Sequence[str], name: str = "X", *, fitted: bool = False) -> dict[str, list[Any]]:
    """Return the columns of a table.

    Parameters
    ----------
    X : DataFrame, list of dicts, or dict of columns
        A record without a field has a missing value there.
    fields : sequence of str
        The columns wanted.
    name : str, default="X"
        What to call it in messages.
    fitted : bool, default=False
        Whether the fields are those of a fitted model. A field that not one of the records has is missing then, so that
        what is predicted for a record does not depend on the records beside it. A table must have all columns.

    Returns
    -------
    dict of str to list
        The values of each field, None where they are missing.

    Raises
    ------
    TypeError
        If `X` holds no records.
    ValueError
        If a table lacks a column or, unless `fitted`, not one record has a field, or columns differ in length.
    """
    found = column_names(X)
    if found is not None:
        columns = {field: _column(X[field], f"{name}[{field!r}]") for field in fields if field in found}
        if len({len(column) for column in columns.values()}) > 1:
            raise ValueError(f"The columns of {name} have { {f: len(c) for f, c in columns.items()} } rows.")
    else:
        records = _as_list(X, name)
        for i, record in enumerate(records):
            if not isinstance(record, Mapping):
                raise TypeError(
                    f"{name}[{i}] is a {type(record).__name__}, but the fields {', '.join(fields)} are to be read; "
                    "pass a DataFrame or a list of dicts."
                )
        found = sorted({str(key) for record in records for key in record})
        columns = {
            field: [record.get(field) for record in records]
            for field in fields
            if field in found or fitted or not records
        }
    for field in fields:
        if field not in columns:
            raise ValueError(f"{name} has no field {field!r}; found are {', '.join(map(str, found)) or 'none'}.")
    return {field: [None if is_missing(value) else value for value in columns[field]] for field in fields}


def read_text_fields(
    X: Any, fields: Sequence[str] | None, others: Sequence[str] = (), *, fitted: bool, reader: str
) -> tuple[list[NDArray[np.object_]], dict[str, list[Any]]]:
    """Return the texts of each text field of records, and their columns; or rows that are texts, and no column.

    Parameters
    ----------
    X : sequence of str, or DataFrame, list of dicts or dict of columns
    fields : sequence of str or None
        Text fields; None where rows are texts.
    others : sequence of str
        Further fields.
    fitted : bool
        See `check_columns`.
    reader : str
        Name of the class, for messages.

    Raises
    ------
    TypeError, ValueError
        If `X` cannot be read so.
    """
    if fields is None:
        if is_records(X):
            raise TypeError(f"X holds records, not texts; name the fields to read, as in {reader}('title').")
        return [check_texts(X)], {}
    if isinstance(X, Mapping) and any(isinstance(X.get(field), str) for field in fields):
        raise TypeError("X is one record; pass a list of records, [record] for a single one.")
    columns = check_columns(X, [*fields, *others], fitted=fitted)
    return [check_texts(columns[field], f"X[{field!r}]") for field in fields], columns


class ReadsTexts:
    """Tells scikit-learn that rows are texts or records, and no matrix."""

    def __sklearn_tags__(self) -> Tags:
        tags: Tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.string = True
        tags.input_tags.two_d_array = tags.input_tags.sparse = False
        if tags.transformer_tags is not None:
            tags.transformer_tags.preserves_dtype = []
        return tags


def is_records(X: Any) -> bool:
    """Tell whether `X` is a table or a list of dicts rather than texts."""
    if column_names(X) is not None:
        return True
    try:
        return not isinstance(X, Iterator) and isinstance(next(iter(X), None), Mapping)
    except TypeError:
        return False


def column_names(X: Any) -> list[Any] | None:
    """Return the names of the columns of a table or a dict of columns, None if `X` is neither."""
    for name in ("column_names", "columns"):  # pyarrow and datasets; pandas and polars
        if hasattr(X, name):
            return list(getattr(X, name))
    return list(X) if isinstance(X, Mapping) else None


def is_missing(value: Any) -> bool:
    """Tell whether a cell is missing: None, NaN or the NA of pandas."""
    if isinstance(value, float):
        return isnan(value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def template_fields(template: str, name: str = "template") -> list[str]:
    """Return the fields that a template such as ``"Price: {price} Description: {text}"`` names, in their order.

    Parameters
    ----------
    template : str
    name : str, default="template"
        What messages call it.

    Raises
    ------
    ValueError
        If it is malformed, names no field, contains more than fields (``{text.upper}``, ``{0}``), or asks for more than
        `MOST_LETTERS` letters or digits of a field (``{price:>1000}``).
    TypeError
        If it is not a string.
    """
    if not isinstance(template, str):
        raise TypeError(f"The {name} is {template!r} of type {type(template).__name__}; it must be a string.")
    try:
        parts = [(field, spec or "") for _, field, spec, _ in Formatter().parse(template) if field is not None]
    except ValueError as error:
        raise ValueError(f"The {name} {template!r} is malformed: {error}. Write fields as {{name}}.") from error
    fields = [field for field, _ in parts]
    wrong = [field for field in fields if not field or not field.replace(" ", "_").isidentifier()]
    if wrong or not fields:
        raise ValueError(
            f"The {name} {template!r} must name fields as in {{title}}; found "
            f"{'none' if not fields else repr(wrong[0])}."
        )
    for field, spec in parts:
        if any(len(number) > 3 or int(number) > MOST_LETTERS for number in re.findall(r"\d+", spec)):
            raise ValueError(
                f"The {name} has {{{field}:{spec[:40]}}}; a field can be padded to at most {MOST_LETTERS} letters or "
                "digits."
            )
    return list(dict.fromkeys(fields))


def fill_template(template: str, X: Any, name: str = "X", *, fitted: bool = False) -> NDArray[np.object_]:
    """Return a text for each record.

    Parameters
    ----------
    template : str
        Text with fields in braces; a missing value becomes an empty string.
    X : DataFrame, list of dicts, or dict of columns
    name : str, default="X"
    fitted : bool, default=False
        See `check_columns`.

    Returns
    -------
    ndarray of object, shape (n_rows,)

    Raises
    ------
    TypeError, ValueError
        As `check_columns` and `template_fields`.
    """
    columns = check_columns(X, template_fields(template), name, fitted=fitted)
    parts = list(Formatter().parse(template))
    n_rows = len(next(iter(columns.values())))
    texts = np.empty(n_rows, object)
    for i in range(n_rows):
        texts[i] = "".join(
            literal + ("" if field is None else _shown(columns[field][i], spec or "", f"{name}[{field!r}][{i}]"))
            for literal, field, spec, _ in parts
        )
    return texts


def _shown(value: Any, spec: str, where: str) -> str:
    try:
        return "" if value is None else format(value, spec)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{where} is {value!r}, a {type(value).__name__}, which the template cannot write as {spec!r} ({error}). "
            "Convert the values, for instance by float, or leave out the colon and what follows it."
        ) from error


def check_encodable(texts: Iterable[str], name: str = "X") -> None:
    """Raise a ValueError if a text has half a surrogate pair, which tokenizers cannot read."""
    for i, text in enumerate(texts):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"{name}[{i}] has half a surrogate pair at position {error.start}, which is not a character; read it "
                "with the right encoding, or text.encode(errors='replace').decode() drops it."
            ) from error


def _column(values: Any, name: str) -> list[Any]:
    if isinstance(values, str):
        raise TypeError(f"{name} is one string, not a column; pass a list of records, [record] for a single one.")
    return _as_list(values, name)


def _as_list(X: Any, name: str) -> list[Any]:
    if isinstance(X, np.ndarray) and X.ndim != 1:
        raise ValueError(f"{name} has {X.ndim} dimensions; pass one text or record for each row.")
    found = list(X) if isinstance(X, Iterator) else items_of(X)
    if found is None:
        raise TypeError(f"{name} is a {type(X).__name__}; pass a list of texts or records.")
    return found


def items_of(X: Any) -> list[Any] | None:
    """Return the items of a list, column, array or other one-dimensional collection, None for anything else."""
    if isinstance(X, (str, int, float, bytes, bytearray, Mapping, Iterator)):
        return None
    for name in ("to_pylist", "to_list", "tolist"):  # pyarrow; pandas and polars; NumPy
        if hasattr(X, name):
            items = getattr(X, name)()
            return items if isinstance(items, list) else None
    try:
        return list(X)
    except TypeError:
        return None


# Names in tables


def check_names(what: str, names: Any) -> tuple[str, ...]:
    """Return different names as a tuple.

    Raises
    ------
    TypeError
        If `names` is one string, or holds anything but strings.
    ValueError
        If a name occurs twice.
    """
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{what} is {names!r}; pass a list of names, [name] for one.")
    found = tuple(names)
    twice = [name for i, name in enumerate(found) if name in found[:i]]
    if twice:
        raise ValueError(f"{what} names {twice[0]!r} twice; once is enough.")
    return found


def read_names(table: Any, fields: Sequence[str], na: Collection[str], name: str = "table") -> dict[str, Names]:
    """Return columns of names without the blanks around them, None where one is missing.

    None, NaN, the empty string and the strings in `na` count as missing.

    Raises
    ------
    TypeError
        If a value is not a string.
    ValueError
        If a column is missing, or columns differ in length.
    """
    columns = check_columns(table, fields, name)
    return {
        field: [check_name(value, na, f"{name}[{field!r}][{row}]") for row, value in enumerate(column)]
        for field, column in columns.items()
    }


def check_name(value: Any, na: Collection[str], where: str) -> str | None:
    """Return a name without the blanks around it, None if it is missing; raise a TypeError for all but strings."""
    if is_missing(value):
        return None
    if not isinstance(value, str):
        raise TypeError(f"{where} is {value!r} of type {type(value).__name__}; names are strings. Convert it with str.")
    name = str(value).strip()
    return None if name == "" or name in na else name


def paths_of(columns: Mapping[str, Names]) -> list[Path]:
    """Return the path of each row, from the columns of the levels.

    Raises
    ------
    ValueError
        If a row has a name below a missing one.
    """
    rows = zip(*columns.values(), strict=True)
    return [ended(row, list(columns), f"Row {i} of the table") for i, row in enumerate(rows)]


def ended(row: tuple[str | None, ...], levels: Sequence[str], where: str) -> Path:
    """Return the names before the first missing one."""
    end = row.index(None) if None in row else len(row)
    for level, name in zip(levels[end:], row[end:], strict=False):
        if name is not None:
            raise ValueError(
                f"{where} has {level} {name!r} but no {levels[end]}; fill the gap, or leave out what lies below it."
            )
    return tuple(name for name in row[:end] if name is not None)
