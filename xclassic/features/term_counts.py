"""Vocabularies of texts, from texts all at once or piece by piece, counted in parallel."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.terms import hash_strings, merge_strings, renumber_rows, sort_strings, take_strings
from xclassic.features.terms import Counted, Cut, Strings, Terms
from xclassic.parallel import StopByte, run_tasks


@dataclass(frozen=True)
class Known:
    """Different terms, with the number of texts that have each and how often they do.

    Attributes
    ----------
    strings : tuple
        Ascending; if terms are hashed, there are none.
    n_texts_with, times : ndarray of int64, shape (n_terms,)
    numbers : list of ndarray of int32
        For each chunk of texts whose rows are kept, the numbers here of the terms as it counted them.
    columns : ndarray of int32, shape (n_terms,), optional
        In place of terms that are hashed.
    """

    strings: Strings
    n_texts_with: NDArray[np.int64]
    times: NDArray[np.int64]
    numbers: list[NDArray[np.int32]]
    columns: NDArray[np.int32] | None = None

    @property
    def size(self) -> int:
        return self.n_texts_with.size


def known_of(counted: Counted, cut: Cut, *, keep: bool) -> Known:
    """Return the terms of counted texts; `keep` says whether their rows will be wanted."""
    return _sorted(counted, keep) if cut.n_hashed is None else _hashed(counted, cut.n_hashed, keep)


def _sorted(counted: Counted, keep: bool) -> Known:
    order = sort_strings(*counted.strings)
    numbers = np.empty_like(order)
    numbers[order] = np.arange(order.size, dtype=np.int32)
    terms, counts = counted.entries.T
    n_texts_with = np.bincount(terms, minlength=order.size)[order]
    times = np.bincount(terms, counts, order.size)[order].astype(np.int64)
    return Known(take_strings(*counted.strings, order), n_texts_with, times, [numbers] if keep else [])


def _hashed(counted: Counted, n_hashed: int, keep: bool) -> Known:
    of_terms = hash_strings(*counted.strings, n_hashed)
    _, found, _ = renumber_rows(counted.ptr, counted.entries, of_terms)
    columns, n_texts_with = np.unique(found, return_counts=True)
    empty = np.zeros(0, np.uint8), np.zeros(1, np.int64)
    return Known(empty, n_texts_with, np.zeros(0, np.int64), [of_terms] if keep else [], columns)


def _merged(pair: tuple[Known, Known], stop: StopByte) -> Known:
    first, second = pair
    strings, of_first, of_second = merge_strings(first.strings, second.strings)
    n_texts_with, times = np.zeros((2, strings[1].size - 1), np.int64)
    for known, numbers in ((first, of_first), (second, of_second)):
        n_texts_with[numbers] += known.n_texts_with
        times[numbers] += known.times
    kept = [of_first[numbers] for numbers in first.numbers] + [of_second[numbers] for numbers in second.numbers]
    return Known(strings, n_texts_with, times, kept)


class Counts(ABC):
    """Counts the terms of one kind in the texts of a field, which may come in pieces.

    Parameters
    ----------
    cut : Cut
        What a term is.
    """

    def __init__(self, cut: Cut) -> None:
        self.cut = cut
        self.n_texts = 0
        self._first = ""  # The first text that is not blank.

    def add(self, texts: NDArray[np.object_], parts: list[Known]) -> None:
        """Add the terms of further texts, as their chunks have them."""
        self.n_texts += texts.size
        self._first = self._first or next((text for text in texts if text.strip()), "")
        self._add(parts)

    @abstractmethod
    def _add(self, parts: list[Known]) -> None:
        """Add the terms of chunks."""

    @abstractmethod
    def finish(
        self, field: str, *, min_df: float, max_features: int | None, sublinear_tf: bool
    ) -> tuple[Terms, list[NDArray[np.int32]]]:
        """Return the terms that are kept, with their weights, and their columns for the terms of each kept chunk."""

    def _check_found(self, field: str, n_terms: int) -> None:
        if not self.n_texts:
            raise ValueError("X has no rows; terms are learned from texts.")
        if not self._first:
            raise ValueError(
                f"All {self.n_texts} texts of the field {field!r} are empty. Name the field that holds the text or "
                "leave this one out."
            )
        if not n_terms:  # A text has n-grams of characters unless it is empty.
            raise ValueError(
                f"Not one of the {self.n_texts} texts of the field {field!r} has words for ngram_range="
                f"{self.cut.lengths} that are not in stop_words; the first is {self._first[:60]!r}. Choose shorter "
                "sequences, or ngram_range=() for no words."
            )

    def _idf(self, n_texts_with: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return weights by the operations of scikit-learn's TfidfTransformer, in its precision."""
        idf = np.full(n_texts_with.size, self.n_texts + 1, np.float32)
        idf /= n_texts_with.astype(np.float32) + 1
        return np.log(idf) + 1


class HashedCounts(Counts):
    """Counts terms by the columns that they are hashed into, in memory for these alone."""

    def __init__(self, cut: Cut) -> None:
        super().__init__(cut)
        self._n_texts_with = np.zeros(cut.n_hashed or 0, np.int64)
        self._columns: list[NDArray[np.int32]] = []

    def _add(self, parts: list[Known]) -> None:
        for part in parts:
            self._n_texts_with[part.columns] += part.n_texts_with
            self._columns += part.numbers

    def finish(
        self, field: str, *, min_df: float, max_features: int | None, sublinear_tf: bool
    ) -> tuple[Terms, list[NDArray[np.int32]]]:
        self._check_found(field, int(self._n_texts_with.sum()))
        return Terms(self.cut, sublinear_tf, self._idf(self._n_texts_with), None), self._columns


class TermCounts(Counts):
    """Counts terms for a vocabulary.

    Parameters
    ----------
    cut : Cut
        What a term is.
    n_jobs : int, optional
        Workers, as joblib counts them.
    """

    def __init__(self, cut: Cut, n_jobs: int | None) -> None:
        super().__init__(cut)
        self.n_jobs = n_jobs
        self._known: list[Known] = []  # Each at least twice as long as the next, so that few are long.

    def _add(self, parts: list[Known]) -> None:
        self._known.append(self._union(parts))
        while len(self._known) > 1 and self._known[-2].size < 2 * self._known[-1].size:
            self._known.append(self._union([self._known.pop(-2), self._known.pop()]))

    def _union(self, parts: list[Known]) -> Known:
        """Merge terms in pairs, which are the same for any number of workers."""
        while len(parts) > 1:
            pairs = [(parts[i], parts[i + 1]) for i in range(0, len(parts) - 1, 2)]
            parts = run_tasks(_merged, pairs, n_jobs=self.n_jobs) + parts[2 * len(pairs) :]
        return parts[0]

    def finish(
        self, field: str, *, min_df: float, max_features: int | None, sublinear_tf: bool
    ) -> tuple[Terms, list[NDArray[np.int32]]]:
        self._check_found(field, sum(known.size for known in self._known))
        known = self._union(self._known)
        kept = self._kept(known, min_df, max_features)
        if not kept.size:
            raise self._all_too_rare(field, min_df)
        places = np.full(known.size, -1, np.int32)
        places[kept] = np.arange(kept.size, dtype=np.int32)
        terms = Terms(self.cut, sublinear_tf, self._idf(known.n_texts_with[kept]), take_strings(*known.strings, kept))
        return terms, [places[numbers] for numbers in known.numbers]

    def _kept(self, known: Known, least: float, most: int | None) -> NDArray[np.int32]:
        """Return the numbers of the terms that are kept."""
        kept = np.flatnonzero(known.n_texts_with >= (least if isinstance(least, Integral) else least * self.n_texts))
        if most is not None and kept.size > most:
            times = known.times[kept].astype(np.float32)
            kept = np.sort(kept[np.argsort(-times)[:most]])  # Ties as scikit-learn breaks them.
        return kept.astype(np.int32)

    def _all_too_rare(self, field: str, min_df: float) -> ValueError:
        words = self.cut.kind == "word"
        what, name = ("words", "ngram_range") if words else ("character n-grams", "char_ngrams")
        return ValueError(
            f"No {what} are in min_df={min_df} of the {self.n_texts} texts of the field {field!r}. Lower min_df (1 "
            f"keeps all), or leave them out by {name}=()."
        )
