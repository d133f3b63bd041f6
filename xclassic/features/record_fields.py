"""Fields of records that are not texts: numbers, categories, several values, and pairs of categories."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.features.number_bins import bin_names, find_edges, one_hot, read_numbers
from xclassic.features.text_parameters import fields_of
from xclassic.features.value_columns import (
    Rows,
    cross,
    indicators,
    is_pair,
    kept_values,
    pair_names,
    read_several,
    read_value,
    value_names,
)
from xclassic.storage.arrays import pack_strings, stored_array, unpack_strings
from xclassic.storage.folder import Arrays, ModelFileError
from xclassic.validation.parameters import check_number

Field = str | tuple[str, str]  # The name of a field, or of two that are crossed.


class Values(NamedTuple):
    """What rows have in the fields that are not texts.

    Attributes
    ----------
    numbers : dict of str to ndarray of float64, shape (n_rows,)
    categories : dict of str, or of tuple of two str, to list of list of str
        The different values of each row.
    """

    numbers: dict[str, NDArray[np.float64]]
    categories: dict[Field, Rows]


class ValueCounts:
    """Collects the values of rows that come in pieces."""

    def __init__(self) -> None:
        self.n_rows: Counter[Field] = Counter()
        self.numbers: dict[str, list[NDArray[np.float64]]] = {}
        self.categories: dict[Field, Counter[str]] = {}

    def add(self, values: Values) -> None:
        """Count the values of further rows."""
        for name, numbers in values.numbers.items():
            self.numbers.setdefault(name, []).append(numbers)
        for field, rows in values.categories.items():
            self.n_rows[field] += len(rows)
            self.categories.setdefault(field, Counter()).update(value for row in rows for value in row)


class RecordFields:
    """The part of `TextFeatures` that reads all fields but texts."""

    text: Any
    numeric: Any
    category: Any
    several: Any
    crossed: Any
    separator: str
    min_rows: int
    n_bins: int
    numeric_weight: float
    category_weight: float
    edges_: dict[str, NDArray[np.float64]]
    categories_: dict[Field, list[str]]

    # Parameters

    @property
    def fields(self) -> list[str]:
        """The fields of records that are read, each once; none where rows are texts."""
        return list(dict.fromkeys([*fields_of("text", self.text), *self._other_fields()]))

    def _check_fields(self, text: Sequence[str]) -> None:
        """Raise unless the names and settings of these fields are sound and no field is a text as well."""
        kinds = {"text": text} | {
            name: fields_of(name, getattr(self, name)) for name in ("numeric", "category", "several")
        }
        named: dict[str, str] = {}
        for kind, fields in kinds.items():
            for field in fields:
                if field in named:
                    raise ValueError(
                        f"The field {field!r} is in {named[field]} and in {kind}; it can be in one of them."
                    )
                named[field] = kind
        pairs = _pairs(self.crossed)
        if self.text is None:
            for name, fields in [*kinds.items(), ("crossed", [field for pair in pairs for field in pair])]:
                if fields:
                    raise ValueError(f"{name} names {', '.join(fields)}, but text none; name the text fields as well.")
        for field in (field for pair in pairs for field in pair):
            if named.get(field, "category") != "category":
                raise ValueError(
                    f"crossed has {field!r}, which is in {named[field]}; only fields of one value can be crossed, in "
                    "category or not."
                )
        if not isinstance(self.separator, str) or not self.separator:
            raise ValueError(f"separator is {self.separator!r}; pass the text between two values, such as ',' or '|'.")
        check_number("min_rows", self.min_rows, minimum=1, integer=True)
        check_number("n_bins", self.n_bins, minimum=2, integer=True)
        check_number("numeric_weight", self.numeric_weight, minimum=0, inclusive=False, maximum=1e6)
        check_number("category_weight", self.category_weight, minimum=0, inclusive=False, maximum=1e6)

    def _category_fields(self) -> list[Field]:
        return [*fields_of("category", self.category), *fields_of("several", self.several), *_pairs(self.crossed)]

    def _other_fields(self) -> list[str]:
        """Return the columns to read for all fields but texts."""
        crossed = [field for pair in _pairs(self.crossed) for field in pair]
        one_value = dict.fromkeys([*fields_of("category", self.category), *crossed])
        return [*fields_of("numeric", self.numeric), *one_value, *fields_of("several", self.several)]

    def _weight_of_others(self) -> float:
        """Return the sum of the squared weights of these fields, which are fitted."""
        return float(len(self.edges_) * self.numeric_weight**2 + len(self.categories_) * self.category_weight**2)

    # Reading, fitting, transforming

    def _read_others(self, columns: dict[str, list[Any]]) -> Values:
        numbers = {name: read_numbers(columns[name], f"X[{name!r}]") for name in fields_of("numeric", self.numeric)}
        pairs = _pairs(self.crossed)
        one_value = [*fields_of("category", self.category), *(field for pair in pairs for field in pair)]
        read: dict[str, Rows] = {
            name: [read_value(value, f"X[{name!r}][{i}]") for i, value in enumerate(columns[name])]
            for name in dict.fromkeys(one_value)
        }
        for name in fields_of("several", self.several):
            read[name] = [
                read_several(value, self.separator, f"X[{name!r}][{i}]") for i, value in enumerate(columns[name])
            ]
        categories: dict[Field, Rows] = {}
        for field in self._category_fields():
            categories[field] = read[field] if isinstance(field, str) else cross(read[field[0]], read[field[1]])
        return Values(numbers, categories)

    def _learn_others(self, counts: ValueCounts) -> None:
        """Set the edges of bins and the values that have columns, from counts of all rows."""
        edges = {
            field: find_edges(np.concatenate(pieces), self.n_bins, field) for field, pieces in counts.numbers.items()
        }
        self.categories_ = {
            field: kept_values(found, counts.n_rows[field], self.min_rows, _said(field))
            for field, found in counts.categories.items()
        }
        self.edges_ = edges

    def _blocks_of_others(self, values: Values, scale: float) -> list[csr_array]:
        """Return the features of these fields, whose weights are multiplied by `scale`."""
        weight = np.float32(self.numeric_weight * scale)
        bins = [one_hot(numbers, self.edges_[field], weight) for field, numbers in values.numbers.items()]
        return bins + [
            indicators(rows, self.categories_[field], self.category_weight * scale)
            for field, rows in values.categories.items()
        ]

    def _n_other_columns(self) -> int:
        n_bins = sum(edges.size + 2 for edges in self.edges_.values())
        return n_bins + sum(len(kept) + 2 for kept in self.categories_.values())

    def _names_of_others(self) -> list[str]:
        names = [name for field, edges in self.edges_.items() for name in bin_names(field, edges.tolist())]
        for field, kept in self.categories_.items():
            names += value_names(field, kept) if isinstance(field, str) else pair_names(field, kept)
        return names

    # Persistence

    def _arrays_of_others(self) -> Arrays:
        arrays: Arrays = {f"edges{i}": edges for i, edges in enumerate(self.edges_.values())}
        for i, kept in enumerate(self.categories_.values()):
            arrays |= pack_strings(f"values{i}", kept)
        return arrays

    def _set_arrays_of_others(self, arrays: Arrays) -> None:
        self.edges_ = {}
        for i, field in enumerate(fields_of("numeric", self.numeric)):
            self.edges_[field] = edges = stored_array(arrays, f"edges{i}", np.float64, (None,))
            if not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
                raise ModelFileError(f"The edges of the bins of {field!r} in the model do not ascend.")
        self.categories_ = {}
        for i, name in enumerate(self._category_fields()):
            ends = stored_array(arrays, f"values{i}.ends", np.int64, (None,))
            self.categories_[name] = kept = unpack_strings(arrays, f"values{i}", ends.size - 1)
            if kept != sorted(set(kept)) or not (isinstance(name, str) or all(map(is_pair, kept))):
                raise ModelFileError(
                    f"The values of {_said(name)} in the model repeat, or are out of order or no pairs."
                )


def _pairs(crossed: Any) -> list[tuple[str, str]]:
    """Return a parameter that names pairs of fields as a list."""
    if not isinstance(crossed, Sequence) or isinstance(crossed, str):
        raise TypeError(f"crossed is {crossed!r}; pass a list of pairs of fields, such as [('shop', 'brand')].")
    if len(crossed) == 2 and all(isinstance(field, str) for field in crossed):
        crossed = [crossed]
    pairs = []
    for pair in crossed:
        named = fields_of("crossed", pair)
        if len(named) != 2:
            raise ValueError(f"crossed has {pair!r}; each entry names two fields, such as ('shop', 'brand').")
        pairs.append((named[0], named[1]))
    if len({frozenset(pair) for pair in pairs}) < len(pairs):
        raise ValueError(f"crossed is {crossed!r}; name each pair once.")
    return pairs


def _said(field: Field) -> str:
    return f"the field {field!r}" if isinstance(field, str) else f"the crossed fields {field[0]!r} and {field[1]!r}"
