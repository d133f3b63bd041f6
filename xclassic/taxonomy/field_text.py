"""Records of several fields as one text, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from xclassic.validation.records import check_names, read_names

MISSING = "na"  # The text of a missing value, and the class of rows without a value.


def format_fields(table: Any, fields: Mapping[str, str] | Sequence[str | tuple[str, str]]) -> list[str]:
    """Write each record as one text, such as "brand: Leaf category: Food".

    Parameters
    ----------
    table : DataFrame, list of dicts, or dict of columns
        Strings, or missing values (None, NaN, "" and "na"), which are written "na".
    fields : mapping of str to str, or sequence of str or (str, str) pairs
        The fields in their order, each with the prefix written before its value; the name itself by default.

    Returns
    -------
    list of str
        One per row: ``prefix: value`` for each field, joined by spaces.

    Raises
    ------
    ValueError
        If `parse_fields` would read a row differently, because a value holds the prefix of a field and a colon as a
        word; or if fields are missing from the table, or share a name or a prefix.
    TypeError
        If a value is not a string.

    Examples
    --------
    >>> from xclassic import format_fields
    >>> rows = [{"brand": "Wella", "category": "Beauty"}, {"brand": None, "category": "Food"}]
    >>> format_fields(rows, {"brand": "details_Brand", "category": "L0_category"})
    ['details_Brand: Wella L0_category: Beauty', 'details_Brand: na L0_category: Food']
    """
    prefixes = _prefixes(fields)
    columns = read_names(table, list(prefixes), {MISSING})
    texts = []
    for i, row in enumerate(zip(*columns.values(), strict=True)):
        record = dict(zip(columns, row, strict=True))
        text = " ".join(f"{prefixes[field]}: {value or MISSING}" for field, value in record.items())
        parsed = parse_fields(text, fields)
        if parsed != record:
            field = next(field for field in record if parsed[field] != record[field])
            raise ValueError(
                f"Row {i} of the table has the {field} {record[field]!r}, which would be read back as "
                f"{parsed[field]!r} from {text!r}: a value holds a prefix and its colon. Choose other prefixes, or "
                "change the value."
            )
        texts.append(text)
    return texts


def parse_fields(text: str, fields: Mapping[str, str] | Sequence[str | tuple[str, str]]) -> dict[str, str | None]:
    """Read a record from one text, the inverse of `format_fields`.

    Parameters
    ----------
    text : str
        The text, possibly one that a model wrote: fields may be in any order, missing, or named twice, in which case
        the first counts. Text before the first field is not read.
    fields : mapping of str to str, or sequence of str or (str, str) pairs
        As for `format_fields`.

    Returns
    -------
    dict of str to str or None
        A value for each field, in their order, without the blanks around it; None for "na", for an empty value, and for
        a field not in the text.

    Raises
    ------
    TypeError
        If `text` is not a string.
    ValueError
        If fields share a name or a prefix.

    Examples
    --------
    >>> from xclassic import parse_fields
    >>> parse_fields("brand: Dr. A: B category: na", ["brand", "category", "type"])
    {'brand': 'Dr. A: B', 'category': None, 'type': None}
    """
    if not isinstance(text, str):
        raise TypeError(f"text is a {type(text).__name__}; pass one text at a time.")
    prefixes = _prefixes(fields)
    field_of = {prefix: field for field, prefix in prefixes.items()}
    longest_first = sorted(field_of, key=len, reverse=True)
    marks = list(re.finditer(rf"(?<!\S)({'|'.join(map(re.escape, longest_first))}):(?: |\Z)", text))
    record: dict[str, str | None] = dict.fromkeys(prefixes)
    found: set[str] = set()
    ends = [*(following.start() - 1 for _, following in pairwise(marks)), len(text)]
    for mark, end in zip(marks, ends, strict=False):
        field, value = field_of[mark[1]], text[mark.end() : end].strip()
        if field not in found:
            record[field] = None if value in ("", MISSING) else value
            found.add(field)
    return record


def _prefixes(fields: Mapping[str, str] | Sequence[str | tuple[str, str]]) -> dict[str, str]:
    """Return the prefix of each field."""
    if isinstance(fields, str):
        raise TypeError(f"fields is the string {fields!r}; pass a list of names or a dict from names to prefixes.")
    pairs = fields.items() if isinstance(fields, Mapping) else [(f, f) if isinstance(f, str) else f for f in fields]
    names = check_names("fields", [name for name, _ in pairs])
    prefixes = check_names("The prefixes of fields", [prefix for _, prefix in pairs])
    if not names or "" in prefixes:
        raise ValueError(f"fields is {fields!r}; name at least one field, and a prefix that is not empty for each.")
    return dict(zip(names, prefixes, strict=True))
