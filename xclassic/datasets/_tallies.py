"""Counts that are kept while rows pass by: their memory grows with what differs, not with how long a text is."""

from __future__ import annotations

import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from math import ceil, isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST_VALUES = 100_000  # Different values whose frequencies are counted; a field with more is a text.
LONGEST_VALUE = 100  # Characters of a value that is counted and shown.
SHOWN = 5  # Most frequent values.
ENDS = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000)  # Last sizes of the bins, but for the last bin.


class Spread:
    """How often each size occurs."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()

    def add(self, sizes: Iterable[int]) -> None:
        self.counts.update(sizes)

    def above(self, limit: int) -> int:
        """Return how many sizes are above a limit."""
        return sum(count for size, count in self.counts.items() if size > limit)

    def summary(self) -> dict[str, Any] | None:
        """Return the mean, sizes that shares of all do not exceed, and counts in bins; None without sizes."""
        if not self.counts:
            return None
        sizes = sorted(self.counts)
        reached = np.cumsum([self.counts[size] for size in sizes])
        n = int(reached[-1])
        at = {share: sizes[int(np.searchsorted(reached, max(ceil(share * n), 1)))] for share in (0.5, 0.9, 0.99)}
        mean = sum(size * count for size, count in self.counts.items()) / n
        return {
            "mean": mean, "smallest": sizes[0], "median": at[0.5], "90 %": at[0.9], "99 %": at[0.99],
            "largest": sizes[-1], "bins": self._bins(),
        }  # fmt: skip

    def _bins(self) -> list[tuple[str, int]]:
        """Return how many sizes are in each bin, without the empty bins at both ends."""
        places = np.searchsorted(ENDS, sorted(self.counts))
        counts = np.bincount(places, weights=[self.counts[size] for size in sorted(self.counts)]).astype(np.int64)
        first = int(places[0])
        return [
            (in_words(*bounds), n)
            for bounds, n in zip(_bounds(first, len(counts)), counts[first:].tolist(), strict=True)
        ]


def in_words(first: int, last: int | None) -> str:
    """Return the words for a range of sizes."""
    if last is None:
        return f"over {first - 1:,}"
    return f"{first:,}" if first == last else f"{first:,} to {last:,}"


def _bounds(start: int, stop: int) -> Iterator[tuple[int, int | None]]:
    for place in range(start, stop):
        yield ENDS[place - 1] + 1 if place else 0, ENDS[place] if place < len(ENDS) else None


class Fingerprints:
    """A number of 64 bits for each row, by which equal rows are found."""

    def __init__(self) -> None:
        self._found = array("Q")

    def add(self, value: Any) -> None:
        self._found.append(fingerprint(value))

    def all(self) -> NDArray[np.uint64]:
        return np.frombuffer(self._found, np.uint64) if self._found else np.zeros(0, np.uint64)

    def n_distinct(self) -> int:
        return int(np.unique(self.all()).size)


def fingerprint(value: Any) -> int:
    """Return a number of 64 bits that equal values share, and hardly any others; another one in each process."""
    if not isinstance(value, (str, bytes)):
        value = json.dumps(value, sort_keys=True, default=str)
    return hash(value) % 2**64


class Field:
    """The values of one field of records, or of texts."""

    def __init__(self) -> None:
        self.n_present = 0
        self.kinds: Counter[str] = Counter()
        self.values: Counter[str] | None = Counter()
        self.characters, self.words, self.sizes = Spread(), Spread(), Spread()
        self.smallest, self.largest = np.inf, -np.inf
        self._distinct = Fingerprints()

    def add(self, value: Any) -> None:
        """Take a value; None, NaN, and texts and lists that hold nothing are missing."""
        if value is None or value != value or (isinstance(value, (str, list, tuple)) and not _filled(value)):
            return
        self.n_present += 1
        if isinstance(value, (list, tuple)):
            self.kinds["several values"] += 1
            self.sizes.counts[len(value)] += 1
            for part in value:
                self._count(str(part))
            return
        text = str(value)
        self._count(text)
        if isinstance(value, str):
            self.characters.counts[len(text)] += 1
            self.words.counts[len(text.split())] += 1
        number = _number(value)
        self.kinds["text" if number is None else "number"] += 1
        if number is not None:
            self.smallest, self.largest = min(self.smallest, number), max(self.largest, number)

    def _count(self, text: str) -> None:
        self._distinct.add(text)
        if self.values is not None:
            self.values[text[:LONGEST_VALUE]] += 1
            if len(self.values) > MOST_VALUES:
                self.values = None

    def kind(self) -> str:
        """Return what the field is: the values decide, and no language."""
        if not self.n_present:
            return "always missing"
        if self.kinds["several values"]:
            return "several values"
        if self.kinds["number"] == self.n_present:
            return "number"
        short = self.characters.above(LONGEST_VALUE) <= self.n_present / 100
        return "category" if short and 2 * self.n_distinct() <= self.n_present else "text"

    def n_distinct(self) -> int:
        return self._distinct.n_distinct()

    def summary(self, n_rows: int) -> dict[str, Any]:
        kind = self.kind()
        found: dict[str, Any] = {
            "kind": kind,
            "missing": 1 - self.n_present / n_rows if n_rows else 0.0,
            "distinct": self.n_distinct(),
        }
        if kind in ("category", "several values") and self.values is not None:
            found["most frequent"] = most_frequent(self.values)
        if kind == "number":
            found |= {"smallest": self.smallest, "largest": self.largest}
        spreads = {"values per row": self.sizes, "words": self.words, "characters": self.characters}
        if kind != "number":
            found |= {name: spread.summary() for name, spread in spreads.items() if spread.counts}
        return found


def most_frequent(counts: Counter[Any]) -> list[tuple[Any, int]]:
    """Return the most frequent values, of equal ones the first as text."""
    return sorted(counts.items(), key=lambda item: (-item[1], str(item[0])))[:SHOWN]


def _filled(value: Any) -> bool:
    return bool(value.strip()) if isinstance(value, str) else len(value) > 0


def _number(value: Any) -> float | None:
    """Return a number, also one that stands in a text; None for anything else."""
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if isfinite(number) else None
