"""What data looks like before anyone trains: rows, labels, features and fields, in one pass."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import csr_array, issparse

from xclassic.datasets._advice import warnings_of
from xclassic.datasets._points import check_features, check_labels
from xclassic.datasets._tallies import Field, Fingerprints, Spread, fingerprint, in_words, most_frequent
from xclassic.validation.records import NA, is_missing

BANDS = ((0, 0), (1, 1), (2, 5), (6, 20), (21, 100), (101, 1000), (1001, None))  # Rows of a label.
LABEL = (str, int, np.integer)
TEXT = "text"  # The name of the field where rows are texts.
SEP = " > "


def describe(
    pieces: Iterable[tuple[Any, Any]],
    test: Iterable[tuple[Any, Any]] | None = None,
    *,
    label_names: Sequence[str] | None = None,
    text: Sequence[str] = (),
    path: Sequence[str] = (),
    sep: str = SEP,
) -> dict[str, Any]:
    """Describe rows and labels in one pass, and say what one should look at before anyone trains.

    Parameters
    ----------
    pieces : iterable of (rows, labels) pairs
        Consecutive rows, ``[(X, Y)]`` for data in memory. Rows are texts, of which some may be None, records (dicts),
        or a matrix of features. Labels are a list of labels or one label for each row, a 0-1 matrix, or None.
    test : iterable of (rows, labels) pairs, optional
        Rows of a test part, which are compared with the others.
    label_names : sequence of str, optional
        Names of the columns of label matrices.
    text : sequence of str, optional
        Fields of records by which rows are equal, such as those of the text; by default all.
    path : sequence of str, optional
        Fields of records that are levels, from the top down, as for `FieldsClassifier`.
    sep : str, default=" > "
        Separator of names in labels that are paths; they are taken for paths where most labels hold it.

    Returns
    -------
    dict
        Plain data, which ``json`` writes. ``"rows"`` and ``"warnings"`` (sentences) are always there; the others where
        they apply: ``"labels"`` (numbers of labels and pairs, labels per row, rows per label in bands, the most
        frequent), ``"levels"``, ``"features"`` (columns, entries per row, density), ``"fields"`` (of each its kind, the
        share of rows without it, distinct values, lengths in words and characters) and ``"duplicates"``. ``"test"``
        holds the same of the test part, ``"overlap"`` what both share. A spread of sizes has its mean, its smallest,
        median and largest size, sizes that 90 and 99 percent of all do not exceed, and counts in bins.

    Raises
    ------
    ValueError
        If rows and labels of a piece differ in number, a matrix is none, no record has a field of `text` or `path`, or
        there are fewer names than columns of a label matrix.
    TypeError
        If a piece is no pair, rows are neither texts, records nor a matrix, or of different kinds, or the labels of a
        row are no list of strings or integers.

    Notes
    -----
    Nothing depends on a language: words are what blanks separate, which says little where a script has none.

    Memory: 16 bytes a row to find equal rows, 8 bytes a value of each field, and counters of labels, of lengths, and of
    the 100,000 first values of a field. Rows that share a number of 64 bits count as equal.

    Examples
    --------
    >>> from xclassic import datasets
    >>> found = datasets.describe([(["rye bread", "plum jam", "rye bread"], [["food", "bread"], [], ["food"]])])
    >>> found["labels"]["distinct"], found["labels"]["rows without labels"], found["duplicates"]
    (2, 1, {'rows': 1, 'of them with other labels': 1})
    """
    parts = [_Summary(tuple(text), tuple(path)) for _ in range(1 if test is None else 2)]
    if not sep:
        raise ValueError("sep is empty; pass what stands between the names of a path, such as ' > '.")
    for part, given in zip(parts, (pieces, test), strict=False):
        for number, piece in enumerate(given or ()):
            if not isinstance(piece, (tuple, list)) or len(piece) != 2:
                raise TypeError(
                    f"Piece {number} is a {type(piece).__name__}, not a pair of rows and labels; pass [(rows, labels)] "
                    "for data in memory, and None for labels that are not there."
                )
            part.add(*piece)
    for field in (*text, *path):
        if parts[0].n_rows and field not in parts[0].fields:
            raise ValueError(f"No record has the field {field!r}; found are {', '.join(sorted(parts[0].fields))}.")
    found = parts[0].result(label_names, sep)
    if test is not None:
        found["test"] = parts[1].result(label_names, sep)
        found["overlap"] = _overlap(*parts)
    found["warnings"] = warnings_of(found)
    return found


class _Summary:
    """What is counted of one part of the data."""

    def __init__(self, text: tuple[str, ...], path: tuple[str, ...]) -> None:
        self.text_fields, self.path_fields = text, path
        self.n_rows = 0
        self.kinds: set[str] = set()
        self.labeled = False
        self.label_counts: Counter[Any] = Counter()
        self.labels_per_row = Spread()
        self.n_label_columns = 0
        self.fields: defaultdict[str, Field] = defaultdict(Field)
        self.paths: Counter[tuple[str, ...]] = Counter()
        self.entries_per_row = Spread()
        self.column_counts = np.zeros(0, np.int64)
        self.smallest, self.largest = np.inf, -np.inf
        self.rows, self.labels_of_rows = Fingerprints(), array("Q")

    def add(self, rows: Any, labels: Any) -> None:
        """Take a piece."""
        kind, taken = _kind_of(rows)
        self.kinds.add(kind)
        if len(self.kinds) > 1:
            raise TypeError(f"Pieces hold {' and '.join(sorted(self.kinds))}; rows of one kind are described.")
        n_rows = taken.shape[0] if kind == "features" else len(taken)
        lists = self._take_labels(labels, n_rows)
        if kind == "features":
            self._take_features(taken)
        elif kind == "texts":
            field = self.fields[TEXT]
            for text in taken:
                field.add(text)
                self.rows.add(text)
        else:
            self._take_records(taken)
        self.n_rows += n_rows
        self.labels_of_rows.extend(lists)

    def _take_labels(self, labels: Any, n_rows: int) -> list[int]:
        """Count labels, and return a fingerprint of those of each row."""
        if labels is None:
            return [0] * n_rows
        self.labeled = True
        if hasattr(labels, "shape") and len(labels.shape) == 2:
            Y = check_labels(labels, n_rows)
            self.n_label_columns = max(self.n_label_columns, Y.shape[1])
            lists: list[Any] = np.split(Y.indices, Y.indptr[1:-1]) if n_rows else []
            lists = [ids.tolist() for ids in lists]
        else:
            lists = [_labels_of(row, number) for number, row in enumerate(labels)]
            if len(lists) != n_rows:
                raise ValueError(
                    f"There are {n_rows} rows and {len(lists)} lists of labels; they must be of equal number."
                )
        for row in lists:
            self.label_counts.update(row)
        self.labels_per_row.add(map(len, lists))
        return [fingerprint(sorted(map(str, row))) for row in lists]

    def _take_features(self, X: csr_array) -> None:
        if X.shape[1] > self.column_counts.size:
            self.column_counts = np.pad(self.column_counts, (0, X.shape[1] - self.column_counts.size))
        stored = X.data != 0
        self.column_counts += np.bincount(X.indices[stored], minlength=self.column_counts.size)
        sums = np.concatenate([[0], np.cumsum(stored)])
        self.entries_per_row.add((sums[X.indptr[1:]] - sums[X.indptr[:-1]]).tolist())
        if X.data.size:
            self.smallest = min(self.smallest, float(X.data.min()))
            self.largest = max(self.largest, float(X.data.max()))
        for start, end in zip(X.indptr[:-1].tolist(), X.indptr[1:].tolist(), strict=True):
            self.rows.add(X.indices[start:end].tobytes() + X.data[start:end].tobytes())

    def _take_records(self, records: Sequence[Mapping[str, Any]]) -> None:
        for record in records:
            for name, value in record.items():
                self.fields[name].add(value)
            self.rows.add([record.get(name) for name in self.text_fields] if self.text_fields else dict(record))
            if self.path_fields:
                self.paths[tuple(_name(record.get(field)) for field in self.path_fields)] += 1

    # Results

    def result(self, label_names: Sequence[str] | None, sep: str) -> dict[str, Any]:
        found: dict[str, Any] = {"rows": self.n_rows}
        if self.labeled:
            found["labels"] = self._labels(label_names)
            if levels := self._levels_of_labels(label_names, sep):
                found["levels"] = levels
        if self.path_fields:
            found["levels"] = _levels(self.paths, self.path_fields)
        if self.kinds == {"features"}:
            found["features"] = self._features()
        elif self.fields:
            found["fields"] = {name: field.summary(self.n_rows) for name, field in self.fields.items()}
        n_distinct = self.rows.n_distinct()
        found["duplicates"] = {"rows": self.n_rows - n_distinct}
        if self.labeled:
            pairs = np.stack([self.rows.all(), np.frombuffer(self.labels_of_rows, np.uint64)]) if self.n_rows else None
            n_pairs = 0 if pairs is None else np.unique(pairs, axis=1).shape[1]
            found["duplicates"]["of them with other labels"] = n_pairs - n_distinct
        return found

    def _labels(self, names: Sequence[str] | None) -> dict[str, Any]:
        if names is not None and len(names) < self.n_label_columns:
            raise ValueError(f"label_names has {len(names)} names for {self.n_label_columns} columns of labels.")
        counts = np.array(list(self.label_counts.values()), np.int64)
        n_unseen = max(self.n_label_columns - counts.size, 0)
        n_labels, n_pairs = counts.size + n_unseen, int(counts.sum())
        bands = []
        for first, last in BANDS:
            inside = (counts >= first) & (counts <= (last or np.inf)) if first else np.zeros(counts.size, bool)
            n = n_unseen if first == 0 else int(inside.sum())
            if n:
                bands.append({"rows": in_words(first, last), "labels": n, "pairs": int(counts[inside].sum())})
        frequent = most_frequent(self.label_counts)
        cases: Counter[str] = Counter(" ".join(str(label).split()).casefold() for label in self.label_counts)
        return {
            "distinct": n_labels,
            "pairs": n_pairs,
            "without rows": n_unseen,
            "rows without labels": self.labels_per_row.counts[0],
            "per row": self.labels_per_row.summary(),
            "bands": bands,
            "most frequent": [
                (names[label] if names and isinstance(label, int) else label, n) for label, n in frequent
            ],
            "differ in case alone": len(self.label_counts) - len(cases),
            "hold separators": {
                mark: n for mark in (";", "|", ",") if (n := sum(mark in str(label) for label in self.label_counts))
            },
        }

    def _levels_of_labels(self, names: Sequence[str] | None, sep: str) -> list[dict[str, Any]]:
        paths: Counter[tuple[str, ...]] = Counter()
        for label, n in self.label_counts.items():
            paths[tuple(str(names[label] if names and isinstance(label, int) else label).split(sep))] += n
        if 2 * sum(len(path) > 1 for path in paths) <= len(paths):
            return []
        return _levels(paths, [f"L{i}" for i in range(max(map(len, paths)))])

    def _features(self) -> dict[str, Any]:
        n_entries, n_columns = int(self.column_counts.sum()), self.column_counts.size
        return {
            "columns": n_columns,
            "used columns": int((self.column_counts > 0).sum()),
            "columns in one row": int((self.column_counts == 1).sum()),
            "entries": n_entries,
            "density": n_entries / (self.n_rows * n_columns) if self.n_rows and n_columns else 0.0,
            "per row": self.entries_per_row.summary(),
            "rows without entries": self.entries_per_row.counts[0],
            "smallest": self.smallest if n_entries else None,
            "largest": self.largest if n_entries else None,
        }


def _kind_of(rows: Any) -> tuple[str, Any]:
    """Return what rows are, and the rows as they are read."""
    if issparse(rows) or len(getattr(rows, "shape", ())) == 2:
        return "features", csr_array(check_features(rows))
    taken = list(rows)
    if all(isinstance(row, str) or is_missing(row) for row in taken):
        return "texts", taken
    if all(isinstance(row, Mapping) for row in taken):
        return "records", taken
    raise TypeError("Rows are neither texts, records (dicts) nor a matrix of features.")


def _labels_of(row: Any, number: int) -> list[Any]:
    """Return the different labels of a row."""
    labels = [row] if isinstance(row, LABEL) or not isinstance(row, Iterable) else list(row)
    if not all(isinstance(label, LABEL) for label in labels):
        raise TypeError(
            f"The labels of row {number} of a piece are {row!r}; pass a list of strings or integers, [] for a row "
            "without labels."
        )
    return list(dict.fromkeys(int(label) if isinstance(label, np.integer) else label for label in labels))


def _levels(paths: Counter[tuple[str, ...]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the nodes of each level, the rows that end there, and names that lie below several nodes."""
    found = []
    for level, name in enumerate(names):
        nodes: Counter[tuple[str, ...]] = Counter()
        ending = 0
        for path, n in paths.items():
            if len(path) > level and path[level]:
                nodes[path[: level + 1]] += n
                ending += n if not any(path[level + 1 :]) else 0
        parents = Counter(node[-1] for node in nodes)
        found.append({
            "level": name,
            "nodes": len(nodes),
            "rows that end here": ending,
            "names with several parents": sum(n > 1 for n in parents.values()),
            "most frequent": most_frequent(Counter({SEP.join(node): n for node, n in nodes.items()})),
        })  # fmt: skip
    return found


def _overlap(train: _Summary, test: _Summary) -> dict[str, Any]:
    """Return what the test part shares with the training part, and what is in it alone."""
    known = test.rows.all()
    strange = [label for label in test.label_counts if label not in train.label_counts]
    found: dict[str, Any] = {"test rows that are in training": int(np.isin(known, train.rows.all()).sum())}
    if test.labeled and train.labeled:
        found["labels of test rows alone"] = len(strange)
        found["pairs with such labels"] = sum(test.label_counts[label] for label in strange)
    lost = [name for name, field in train.fields.items() if field.n_present and not _present(test.fields.get(name))]
    found["fields missing in test"] = lost
    return found


def _name(value: Any) -> str:
    """Return a name on a path, an empty string for a missing one."""
    text = "" if value is None else str(value).strip()
    return "" if text in NA else text


def _present(field: Field | None) -> bool:
    return field is not None and field.n_present > 0
