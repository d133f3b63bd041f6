"""The target that writes several fields of a record: one after the other, in combinations that are free or known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xclassic.neural.choices import Choices
from xclassic.neural.targets import NameTarget, name_sequences
from xclassic.neural.trie import TokenTrie
from xclassic.storage.arrays import with_prefix, without_prefix
from xclassic.storage.folder import Arrays, ModelFileError
from xclassic.storage.models import Metadata
from xclassic.taxonomy.field_text import MISSING, format_fields, parse_fields
from xclassic.validation.records import check_columns, check_names, is_missing

FIELDS_INSTRUCTION = "Name the {fields} of this product. "
SEPARATOR = "; "  # Between the values of one field.

Ints = NDArray[np.int64]
Record = dict[str, Any]


class FieldsTarget(NameTarget):
    """The target that writes several fields of a record, which together name a label.

    Fields are grouped into units. Every combination of known units can be written, and a unit is one that occurred.

    Parameters
    ----------
    fields : sequence of str, mapping of str to str, or None
        The fields, with the prefixes of their values; None if they will be restored from a model folder.
    path : sequence of str or None
        The fields that are a unit, while each other field is one of its own; None makes one unit of all.

    Attributes
    ----------
    units : list of list of str
        The fields of each unit, in the order in which they are written.
    several : list of str or None
        Fields with several values, which are lists; None before the first call of `encode`.
    values : list of list of str
        The texts of each unit that are known, sorted.
    parts : ndarray of int64, shape (n_labels, n_units)
        The position in `values` of each unit of a label.
    """

    values: list[list[str]]
    parts: Ints

    def __init__(
        self, fields: Sequence[str] | Mapping[str, str] | None = None, path: Sequence[str] | None = None
    ) -> None:
        pairs = fields.items() if isinstance(fields, Mapping) else [(field, field) for field in fields or ()]
        prefixes = {str(field): str(prefix) for field, prefix in pairs}
        together = list(prefixes if path is None else check_names("path", path))
        if fields is not None and (unknown := [field for field in together if field not in prefixes]):
            raise ValueError(f"path names {unknown[0]!r}, which is not one of fields: {', '.join(prefixes)}.")
        first = next((field for field in prefixes if field in together), None)
        self.units = [
            together if field == first else [field] for field in prefixes if field == first or field not in together
        ]
        self.prefixes = [(field, prefixes[field]) for unit in self.units for field in unit]
        self.several: list[str] | None = None
        self.tries: list[TokenTrie] = []

    @property
    def instruction(self) -> str:  # type: ignore[override]
        """A sentence that lists the fields."""
        return FIELDS_INSTRUCTION.format(fields=", ".join(prefix for _, prefix in self.prefixes))

    @property
    def is_product(self) -> bool:
        """Whether combinations that did not occur can be written."""
        return len(self.units) > 1

    # Records and texts

    def encode(self, y: Any) -> Any:
        """Return the records of a table as one text each."""
        return np.array(format_fields(self.columns(y), dict(self.prefixes)))

    def columns(self, y: Any) -> dict[str, list[Any]]:
        """Return the fields of a table, with several values joined to one text."""
        columns = check_columns(y, [field for field, _ in self.prefixes], "table")
        if self.several is None:
            self.several = [field for field, column in columns.items() if any(map(_is_several, column))]
        for field in self.several:
            columns[field] = [_joined(value, f"table[{field!r}][{i}]") for i, value in enumerate(columns[field])]
        return columns

    def decode(self, label: str) -> Record:
        """Return the record of a text."""
        record: Record = dict(parse_fields(label, dict(self.prefixes)))
        for field in self.several or ():
            record[field] = record[field].split(SEPARATOR) if record[field] else []
        return record

    def texts(self, numbers: Ints) -> list[str]:
        """Return the texts of combinations, by their numbers in `choices`."""
        parts = np.unravel_index(numbers, [len(values) for values in self.values])
        return [
            " ".join(values[i] for values, i in zip(self.values, row, strict=True)) for row in zip(*parts, strict=True)
        ]

    # Tries

    def trie(self, network: Any, classes: NDArray[Any], label_names: Sequence[str] | None) -> TokenTrie:
        """Return the sequences of the combinations that occurred; those of single units are kept."""
        self._set_values(classes)
        if self.is_product:
            tokenizer = network.tokenizer
            for i, values in enumerate(self.values):
                prefix = f"{self._prefix_of(i)}: "
                written = values if i == 0 else [value.removeprefix(prefix) for value in values]
                last = i + 1 == len(self.units)
                # The next prefix ends a value, as in the text of a whole record.
                end = None if last else tokenizer(f"{self._prefix_of(i + 1)}:", add_special_tokens=False)["input_ids"]
                self.tries.append(TokenTrie(name_sequences(written, tokenizer, end)))
        return super().trie(network, classes, None)

    def choices(self, trie: TokenTrie) -> Choices:
        """Return the choices of all combinations that can be written."""
        return Choices(self.tries) if self.is_product else super().choices(trie)

    def classes_of(self, numbers: Ints) -> Ints:
        """Return the labels of combinations by their numbers in `choices`; -1 where one did not occur."""
        known = np.ravel_multi_index(tuple(self.parts.T), [len(values) for values in self.values])
        order = np.argsort(known)
        at = np.minimum(np.searchsorted(known, numbers, sorter=order), known.size - 1)
        return np.where(known[order[at]] == numbers, order[at], -1)

    def _prefix_of(self, unit: int) -> str:
        return dict(self.prefixes)[self.units[unit][0]]

    def _set_values(self, classes: NDArray[Any]) -> None:
        """Cut the texts of the labels into units."""
        prefixes = dict(self.prefixes)
        records = [parse_fields(str(label), prefixes) for label in classes.tolist()]
        self.values, parts = [], []
        for unit in self.units:
            texts = [" ".join(f"{prefixes[field]}: {record[field] or MISSING}" for field in unit) for record in records]
            values, ids = np.unique(np.array(texts, object), return_inverse=True)
            self.values.append(values.tolist())
            parts.append(ids)
        self.parts = np.stack(parts, axis=1)

    # Persistence

    def arrays(self) -> Arrays:
        """Return the tries of the units."""
        return {
            name: array
            for i, trie in enumerate(self.tries)
            for name, array in with_prefix(f"unit.{i}.", trie.arrays()).items()
        }

    def metadata(self) -> Metadata:
        """Return what else a model folder holds."""
        return {**super().metadata(), "units": self.units, "several": self.several}

    def restore(self, arrays: Arrays, metadata: Metadata, classes: NDArray[Any]) -> None:
        """Restore the target; a folder of earlier versions names no units and has one."""
        super().restore(arrays, metadata, classes)
        fields = [field for field, _ in self.prefixes]
        self.units = [[str(field) for field in unit] for unit in metadata.get("units", [fields])]
        self.several = [str(field) for field in metadata.get("several", [])]
        if [field for unit in self.units for field in unit] != fields or not {*self.several} <= {*fields}:
            raise ModelFileError(f"The units {self.units} of the model do not have the fields {fields}.")
        if len({*fields}) < len(fields) or not fields:
            raise ModelFileError(f"The model has the fields {fields}.")
        self._set_values(classes)
        self.tries = []
        if self.is_product:
            for i, values in enumerate(self.values):
                self.tries.append(TokenTrie.restored(without_prefix(f"unit.{i}.", arrays), len(values)))


def _is_several(value: Any) -> bool:
    return isinstance(value, (list, tuple, set, frozenset, np.ndarray))


def _joined(value: Any, where: str) -> str | None:
    """Return several values as one text, the same whatever their order; None if there is none."""
    if is_missing(value):
        return None
    found = set()
    for item in value if _is_several(value) else [value]:
        if not isinstance(item, str):
            raise TypeError(f"{where} holds {item!r} of type {type(item).__name__}; values are strings.")
        if SEPARATOR.strip() in item:
            raise ValueError(f"{where} holds {item!r}, but a semicolon parts the values of a list; replace it.")
        found.add(" ".join(item.split()))
    return SEPARATOR.join(sorted(found - {"", MISSING})) or None
