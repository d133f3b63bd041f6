"""Vocabularies of texts, from texts all at once or piece by piece, counted in parallel."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.terms import merge_strings, sort_strings, take_strings
from xclassic.features.terms import Counted, Cut, Strings, Terms
from xclassic.parallel import StopByte, run_tasks


@dataclass(frozen=True)
class Known:
    """Different terms, ascending, with the number of texts that have each and how often they do.

    Attributes
    ----------
    strings : tuple
    n_texts_with, times : ndarray of int64, shape (n_terms,)
    numbers : list of ndarray of int32
        For each chunk of texts whose rows are kept, the numbers here of the terms as it counted them.
    """

    strings: Strings
    n_texts_with: NDArray[np.int64]
    times: NDArray[np.int64]
    numbers: list[NDArray[np.int32]]


def known_of(counted: Counted, *, keep: bool) -> Known:
    """Return the terms of counted texts; `keep` says whether their rows will be wanted."""
    order = sort_strings(*counted.strings)
    numbers = np.empty_like(order)
    numbers[order] = np.arange(order.size, dtype=np.int32)
    n_texts_with = np.bincount(counted.terms, minlength=order.size)
    times = np.bincount(counted.terms, counted.counts, order.size).astype(np.int64)
    return Known(take_strings(*counted.strings, order), n_texts_with[order], times[order], [numbers] if keep else [])


def _merged(pair: tuple[Known, Known], stop: StopByte) -> Known:
    first, second = pair
    strings, of_first, of_second = merge_strings(first.strings, second.strings)
    n_texts_with, times = np.zeros((2, strings[1].size - 1), np.int64)
    for known, numbers in ((first, of_first), (second, of_second)):
        n_texts_with[numbers] += known.n_texts_with
        times[numbers] += known.times
    kept = [of_first[numbers] for numbers in first.numbers] + [of_second[numbers] for numbers in second.numbers]
    return Known(strings, n_texts_with, times, kept)


class TermCounts:
    """Counts the terms of one kind in the texts of a field, which may come in pieces.

    Parameters
    ----------
    cut : Cut
        What a term is.
    n_jobs : int, optional
        Workers, as joblib counts them.
    """

    def __init__(self, cut: Cut, n_jobs: int | None) -> None:
        self.cut = cut
        self.n_jobs = n_jobs
        self.n_texts = 0
        self._first = ""  # The first text that is not blank.
        self._known: list[Known] = []  # Each at least twice as long as the next, so that few are long.

    def add(self, texts: NDArray[np.object_], parts: list[Known]) -> None:
        """Add the terms of further texts, as their chunks have them."""
        self.n_texts += texts.size
        self._first = self._first or next((text for text in texts if text.strip()), "")
        self._known.append(self._union(parts))
        while len(self._known) > 1 and _size(self._known[-2]) < 2 * _size(self._known[-1]):
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
        """Return the terms that are kept, with their weights, and their numbers for the terms of each kept chunk."""
        if not self._first:
            raise ValueError(
                f"All {self.n_texts} texts of the field {field!r} are empty. Name the field that holds the text or "
                "leave this one out."
            )
        known = self._union(self._known)
        if not _size(known):  # A text has n-grams of characters unless it is empty.
            raise ValueError(
                f"Not one of the {self.n_texts} texts of the field {field!r} has words for ngram_range="
                f"{self.cut.lengths} that are not in stop_words; the first is {self._first[:60]!r}. Choose shorter "
                "sequences, or ngram_range=() for no words."
            )
        kept = self._kept(known, min_df, max_features)
        if not kept.size:
            raise self._all_too_rare(field, min_df)
        # The operations of scikit-learn's TfidfTransformer, in its precision.
        idf = np.full(kept.size, self.n_texts + 1, np.float32)
        idf /= known.n_texts_with[kept].astype(np.float32) + 1
        places = np.full(_size(known), -1, np.int32)
        places[kept] = np.arange(kept.size, dtype=np.int32)
        terms = Terms(self.cut, sublinear_tf, take_strings(*known.strings, kept), np.log(idf) + 1)
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


def _size(known: Known) -> Any:
    return known.n_texts_with.size
