"""Names of labels in texts: word sequences by an Aho-Corasick automaton, and words in any order near each other."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, lru_cache
from itertools import chain, pairwise
from typing import Any, NamedTuple
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

INSTALL = 'pip install "xclassic[text]"'
WORD = re.compile(r"\w+[+#]*")  # C++ and C# are words.
QUALIFIED = re.compile(r"(.*\w.*?)\s*\([^()]*\)\s*")  # As in "bank (finance)", where texts have the first word alone.
LONGEST_STEM = 64  # Characters. Longer words are no words of a language, and stemmers take long for them.
PREFERRED, OTHER, BARE = range(3)  # Roles of a name: the preferred one, others, and either without its qualifier.
SURROGATES = 0xD800, 0x800  # Code points that are no characters: the first, and how many.


class Entries(NamedTuple):
    """Names, one entry for each name of each label; arrays of shape (n_entries,), int32.

    Attributes
    ----------
    label : label id
    role : PREFERRED, OTHER or BARE
    form : id of the sequence of stems, which several names may share
    start : where the words of the name begin among `words`
    n_characters : of the words of the name, with one for each gap
    words : ids of the words of all names, one after the other; shape (n_words,)
    """

    label: NDArray[np.int32]
    role: NDArray[np.int32]
    form: NDArray[np.int32]
    start: NDArray[np.int32]
    n_characters: NDArray[np.int32]
    words: NDArray[np.int32]


class Tokens(NamedTuple):
    """Texts as words and stems; 0 for those of no name.

    Attributes
    ----------
    words, stems : ndarray of int32, shape (n_tokens,)
    ends : ndarray of int64, shape (n_texts + 1,)
        Text i has the tokens from ``ends[i]`` to ``ends[i + 1]``.
    """

    words: NDArray[np.int32]
    stems: NDArray[np.int32]
    ends: NDArray[np.int64]


class Occurrences(NamedTuple):
    """Forms found in texts; arrays of shape (n_found,).

    Attributes
    ----------
    row : int64, the text
    form : int64
    start : int64, the first token, counted from the beginning of all texts
    span : int64, tokens from the first to the last one
    is_set : bool, whether the words stand in another order or apart
    """

    row: NDArray[np.int64]
    form: NDArray[np.int64]
    start: NDArray[np.int64]
    span: NDArray[np.int64]
    is_set: NDArray[np.bool_]


class NameFinder:
    """Finder of names of labels.

    Parameters
    ----------
    names : sequence of sequences of str
        For each label its preferred name, which may be empty, and its other names.
    language : str or None
        Of the Snowball stemmer; None leaves words as they are.
    window : int
        Tokens from the first to the last word of a name whose words stand in any order.

    Attributes
    ----------
    entries : Entries
    forms : list of tuple of int
        Distinct sequences of stems.
    lengths, n_labels : ndarray of int64, shape (n_forms,)
        Number of stems of each form, and of labels.
    by_form, first : ndarray of int64, shapes (n_entries,) and (n_forms + 1,)
        The entries of form i are ``by_form[first[i] : first[i + 1]]``.
    n_stems : int
        Stems are numbered from 1 to `n_stems`.
    """

    def __init__(self, names: Sequence[Sequence[str]], language: str | None, window: int) -> None:
        self.language, self.window = language, window
        self._word_ids: dict[str, int] = {}
        self._stem_ids: dict[str, int] = {}
        form_ids: dict[tuple[int, ...], int] = {}
        rows: list[tuple[int, ...]] = []
        words: list[int] = []
        for of_label, role_of_name, tokens in _entries_of(names):
            ids = [self._word_ids.setdefault(token, len(self._word_ids) + 1) for token in tokens]
            stems = (self._stem_ids.setdefault(self._stem(token), len(self._stem_ids) + 1) for token in tokens)
            number = form_ids.setdefault(tuple(stems), len(form_ids))
            rows.append((of_label, role_of_name, number, len(words), sum(map(len, tokens)) + len(tokens) - 1))
            words += ids
        columns = np.array(rows, np.int32).reshape(-1, 5).T
        label, role, form, start, n_characters = map(np.ascontiguousarray, columns)
        self.entries = Entries(label, role, form, start, n_characters, np.array(words, np.int32))
        self.forms = list(form_ids)
        self.lengths = np.array([len(form) for form in self.forms], np.int64)
        self.by_form = np.argsort(self.entries.form, kind="stable")
        self.first = np.searchsorted(self.entries.form[self.by_form], np.arange(len(self.forms) + 1))
        pairs = np.unique(self.entries.form.astype(np.int64) * len(names) + self.entries.label)
        self.n_labels = np.bincount(pairs // max(1, len(names)), minlength=len(self.forms))
        self.n_stems = len(self._stem_ids)
        self._anchored = _anchored(self.forms)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_automaton"}  # It cannot be pickled.

    @cached_property
    def _automaton(self) -> Any:
        return aho_corasick()([_characters(np.array(form, np.int64)) for form in self.forms])

    def _stem(self, word: str) -> str:
        return word if self.language is None or len(word) > LONGEST_STEM else stemmed(self.language, word)

    def tokens(self, texts: Iterable[str]) -> Tokens:
        """Return the words and stems of texts."""
        found = [words_of(text) for text in texts]
        flat = list(chain.from_iterable(found))
        words = np.array([self._word_ids.get(word, 0) for word in flat], np.int32)
        stems = np.array([self._stem_ids.get(self._stem(word), 0) for word in flat], np.int32)
        return Tokens(words, stems, np.cumsum([0, *map(len, found)], dtype=np.int64))

    def find(self, tokens: Tokens) -> Occurrences:
        """Return all sequences, and each further name at the first of its narrowest places."""
        found: list[tuple[int, int, int, int, bool]] = []
        for row, (begin, end) in enumerate(pairwise(tokens.ends.tolist())):
            stems = tokens.stems[begin:end]
            here = self._sequences(stems)
            found += [(row, form, begin + start, len(self.forms[form]), False) for form, start in here]
            known = {form for form, _ in here}
            if self.window:
                places = _narrowest(stems.tolist(), self._anchored, known, self.window)
                found += [(row, form, begin + start, span, True) for form, start, span in places]
        at, form, first, width, is_set = np.array(found, np.int64).reshape(-1, 5).T
        return Occurrences(at, form, first, width, is_set.astype(np.bool_))

    def words_of_entry(self, entry: int) -> str:
        """Return the words of a name."""
        start, length = self.entries.start[entry], len(self.forms[self.entries.form[entry]])
        return " ".join(self._words[i - 1] for i in self.entries.words[start : start + length].tolist())

    @cached_property
    def _words(self) -> list[str]:
        return list(self._word_ids)

    def _sequences(self, stems: NDArray[np.int32]) -> list[tuple[int, int]]:
        """Return the forms that stand in a text as a sequence, and where."""
        if not self.forms or not stems.any():
            return []
        matches = self._automaton.find_matches_as_indexes(_characters(stems), overlapping=True)
        return [(form, start) for form, start, _ in matches]


def words_of(text: str) -> list[str]:
    """Return the words of a text, without regard to case and to the forms that Unicode has for one character."""
    return WORD.findall(normalize("NFKC", text).casefold())


def _entries_of(names: Sequence[Sequence[str]]) -> Iterable[tuple[int, int, tuple[str, ...]]]:
    """Yield label, role and words of each name; of names of one label with the same words only the first."""
    for label, of_label in enumerate(names):
        seen = set()
        for role, name in chain(
            ((OTHER if number else PREFERRED, name) for number, name in enumerate(of_label)),
            ((BARE, qualified[1]) for name in of_label if (qualified := QUALIFIED.fullmatch(name))),
        ):
            words = tuple(words_of(name))
            if words and words not in seen:
                seen.add(words)
                yield label, role, words


# Sequences


def aho_corasick() -> Any:
    """Return the class of the automaton, or raise an ImportError that says what to install."""
    try:
        from ahocorasick_rs import AhoCorasick
    except ImportError as error:
        raise ImportError(
            f"Names are found in texts by the package ahocorasick-rs, which is not installed: {INSTALL}."
        ) from error
    return AhoCorasick


def _characters(ids: NDArray[Any]) -> str:
    """Return a text with one character for each id, since automata search for texts."""
    first, count = SURROGATES
    codes = ids.astype("<u4") + 1
    return np.where(codes < first, codes, codes + count).astype("<u4").tobytes().decode("utf-32-le")


# Words in any order


def _anchored(forms: Sequence[tuple[int, ...]]) -> dict[int, list[tuple[int, frozenset[int]]]]:
    """Return the forms of several words by the one of their stems that is in the fewest forms."""
    counts = Counter(chain.from_iterable(set(form) for form in forms))
    anchored: dict[int, list[tuple[int, frozenset[int]]]] = {}
    for number, form in enumerate(forms):
        stems = frozenset(form)
        if len(stems) > 1:
            anchored.setdefault(min(stems, key=lambda stem: (counts[stem], stem)), []).append((number, stems))
    return anchored


def _narrowest(
    stems: list[int], anchored: dict[int, list[tuple[int, frozenset[int]]]], known: set[int], window: int
) -> list[tuple[int, int, int]]:
    """Return forms that are not `known` and whose stems are within a window, with start and span of the narrowest."""
    places: dict[int, list[int]] = {}
    for position, stem in enumerate(stems):
        if stem:
            places.setdefault(stem, []).append(position)
    found = []
    for anchor in sorted(places.keys() & anchored.keys()):
        for form, wanted in anchored[anchor]:
            if wanted <= places.keys() and form not in known:
                span, start = _narrowest_place({stem: places[stem] for stem in wanted})
                if span <= window:
                    found.append((form, start, span))
    return found


def _narrowest_place(places: dict[int, list[int]]) -> tuple[int, int]:
    """Return span and start of the narrowest stretch with each of these stems, the first of the narrowest."""
    last: dict[int, int] = {}
    spans = []
    for position, stem in sorted((position, stem) for stem, own in places.items() for position in own):
        last[stem] = position
        if len(last) == len(places):
            start = min(last.values())
            spans.append((position - start + 1, start))
    return min(spans)


# Stems


_local = threading.local()  # Stemmers keep the word that they work on, so threads cannot share one.


@lru_cache(maxsize=1 << 17)
def stemmed(language: str, word: str) -> str:
    """Return the stem of a word."""
    if not hasattr(_local, "stemmers"):
        _local.stemmers = {}
    if language not in _local.stemmers:
        _local.stemmers[language] = _stemmer(language)
    return str(_local.stemmers[language](word))


def _stemmer(language: str) -> Callable[[str], str]:
    return _snowball().stemmer(language).stemWord  # type: ignore[no-any-return]


def languages() -> list[str]:
    """Return the languages that have a stemmer."""
    return sorted(_snowball().algorithms())


def _snowball() -> Any:
    try:
        import snowballstemmer
    except ImportError as error:
        raise ImportError(
            f"Words are reduced to stems by the package snowballstemmer, which is not installed: {INSTALL}. With "
            "language=None words count as they are."
        ) from error
    return snowballstemmer
