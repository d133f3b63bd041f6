"""Values of records as features: a column for each frequent value, one for all others, and one for missing values."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import isfinite
from numbers import Integral, Real
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from xclassic.validation.records import is_missing, items_of

Rows = list[list[str]]  # The different values of each row; none where they are missing.


def read_value(value: Any, where: str) -> list[str]:
    """Return a value as text, without the blanks around it, in a list that is empty if it is missing."""
    if is_missing(value):
        return []
    if isinstance(value, str):
        text = str(value).strip()
        return [text] if text else []
    if isinstance(value, (bool, np.bool_)):
        return [str(bool(value))]
    if isinstance(value, Integral):
        return [str(int(value))]
    if isinstance(value, Real) and isfinite(value):
        number = float(value)  # Tables make floats of a column of integers that has gaps.
        return [str(int(number)) if number.is_integer() else str(number)]
    raise TypeError(
        f"{where} is {value!r}, a {type(value).__name__}; a category is a string, a finite number or a bool. Name a "
        "field of several values in several."
    )


def read_several(value: Any, separator: str, where: str) -> list[str]:
    """Return the different values of a list, or of a text that holds them between separators."""
    items = value.split(separator) if isinstance(value, str) else items_of(value)
    if items is None:
        items = [value]
    found = [text for i, item in enumerate(items) for text in read_value(item, f"{where}[{i}]")]
    return list(dict.fromkeys(found))


def cross(first: Rows, second: Rows) -> Rows:
    """Return the pair of the values of two categories, none where one of them is missing."""
    return [
        [json.dumps([*one, *other], ensure_ascii=False)] if one and other else []
        for one, other in zip(first, second, strict=True)
    ]


def kept_values(counts: dict[str, int], n_rows: int, min_rows: int, field: str) -> list[str]:
    """Return the values that have a column of their own, those of at least `min_rows` rows, in ascending order."""
    if not counts:
        raise ValueError(f"All {n_rows} values of {field} are missing; leave it out.")
    kept = sorted(value for value, count in counts.items() if count >= min_rows)
    if not kept:
        raise ValueError(
            f"Not one of the {len(counts)} values of {field} is in min_rows={min_rows} of the {n_rows} rows, so it "
            "tells nothing about other rows. Leave it out, or lower min_rows (1 keeps all)."
        )
    return kept


def indicators(rows: Rows, kept: list[str], weight: float) -> csr_array:
    """Return rows of length `weight`: their values, with all that are not kept as one, or a last column for missing."""
    places = {value: number for number, value in enumerate(kept)}
    other, missing = len(kept), len(kept) + 1
    columns = [sorted({places.get(value, other) for value in row}) or [missing] for row in rows]
    sizes = np.fromiter(map(len, columns), np.int32, len(columns))
    indices = np.fromiter((column for row in columns for column in row), np.int32, int(sizes.sum()))
    data = np.repeat((weight / np.sqrt(sizes)).astype(np.float32), sizes)
    indptr = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    return csr_array((data, indices, indptr), shape=(len(rows), len(kept) + 2))


def value_names(field: str, kept: Iterable[str]) -> list[str]:
    """Return the names of the columns of a category or a field of several values."""
    return [*(f"{field} = {value}" for value in kept), f"{field} other", f"{field} missing"]


def pair_names(fields: tuple[str, str], kept: Iterable[str]) -> list[str]:
    """Return the names of the columns of two crossed fields."""
    first, second = fields
    pairs = [json.loads(pair) for pair in kept]
    named = [f"{first} = {one} & {second} = {other}" for one, other in pairs]
    return [*named, f"{first} & {second} other", f"{first} & {second} missing"]


def is_pair(value: str) -> bool:
    """Return whether a stored value is one of `cross`."""
    try:
        pair = json.loads(value)
    except ValueError:
        return False
    return isinstance(pair, list) and len(pair) == 2 and all(isinstance(part, str) for part in pair)
