"""Parameters of texts as features: presets, and checks of fields and lengths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xclassic.features.terms import KINDS
from xclassic.validation.parameters import check_choice, check_number

LONGEST = 100  # Words or characters of a term. The terms of a text take memory of its length times this.


class Preset(NamedTuple):
    """The settings for texts of one kind.

    Attributes
    ----------
    ngram_range, char_ngrams : tuple of int
        Shortest and longest length; empty for no such terms.
    min_df : int
    sublinear_tf : bool
    char_weight : float
        Weight of the characters; the words weigh 1.
    """

    ngram_range: tuple[int, ...]
    char_ngrams: tuple[int, ...]
    min_df: int
    sublinear_tf: bool
    char_weight: float = 1.0


PRESETS = {"title": Preset((1, 2), (4, 4), 1, True), "abstract": Preset((1, 1), (), 2, False)}
LONG_TEXT = 20  # Words of the median text that is an abstract by its length.


def is_list(value: Any) -> bool:
    """Return whether a parameter holds several values."""
    return isinstance(value, (list, tuple, set, frozenset))


def fields_of(name: str, value: Any) -> list[str]:
    """Return a parameter that names fields as a list."""
    if value is None or isinstance(value, str):
        return [] if value is None else [value]
    if not isinstance(value, Sequence) or not all(isinstance(field, str) for field in value):
        raise TypeError(f"{name} is {value!r}; pass the name of a field, or a list of names.")
    if len(set(value)) < len(value):
        raise ValueError(f"{name} is {value!r}; name each field once.")
    return list(value)


def check_lengths(name: str, value: Any) -> None:
    """Raise an error unless a range is None, empty, or two lengths."""
    if value is None or (isinstance(value, Sequence) and len(value) == 0 and not isinstance(value, str)):
        return
    valid = isinstance(value, (tuple, list)) and len(value) == 2 and all(type(length) is int for length in value)
    if not valid or not 1 <= value[0] <= value[1] <= LONGEST:
        raise ValueError(
            f"{name} is {value!r}; pass the shortest and longest length, as in (1, 2), at most {LONGEST}, or () for "
            "none."
        )


def check_terms(
    min_df: Any, max_features: Any, stop_words: Any, sublinear_tf: Any, analyzer: Any, n_hashed: Any
) -> None:
    """Raise an error unless the parameters say what terms are, which are kept and how they count."""
    if isinstance(min_df, float):
        check_number("min_df", min_df, minimum=0, maximum=1)
    elif min_df is not None:
        check_number("min_df", min_df, minimum=1, integer=True)
    if max_features is not None:
        check_number("max_features", max_features, minimum=1, integer=True)
    if isinstance(stop_words, str):
        check_choice("stop_words", stop_words, ("english",))
    elif stop_words is not None and not (is_list(stop_words) and all(isinstance(word, str) for word in stop_words)):
        raise TypeError(f"stop_words is {stop_words!r}; pass 'english', a list of str, or None.")
    if not isinstance(sublinear_tf, (bool, type(None))):
        raise TypeError(f"sublinear_tf is {sublinear_tf!r}; it must be True, False or None.")
    if not (analyzer is None or isinstance(analyzer, str) or callable(analyzer)):
        raise TypeError(f"analyzer is {analyzer!r}; pass a name, a function from a text to its words, or None.")
    if n_hashed is not None:
        check_number("n_hashed", n_hashed, minimum=1, integer=True, maximum=2**31 - 1)
        for name, value in (("min_df", min_df), ("max_features", max_features)):
            if value is not None:
                raise ValueError(
                    f"{name} is {value} and n_hashed {n_hashed}, but terms that are hashed are not known one by one; "
                    f"leave out {name}, or n_hashed."
                )


def kinds_of(choices: Preset) -> list[tuple[str, Sequence[int]]]:
    """Return the analyzers that a text field needs, with the lengths of their terms."""
    lengths = (choices.ngram_range, choices.char_ngrams)
    return [(kind, pair) for kind, pair in zip(KINDS, lengths, strict=True) if len(pair)]


def by_length(texts: NDArray[np.object_]) -> tuple[str, float]:
    """Return the preset for texts of this length, and the number of words of the median one that is not empty."""
    lengths = [len(text.split()) for text in texts if text.strip()]
    median = float(np.median(lengths)) if lengths else 0.0
    return "abstract" if median >= LONG_TEXT else "title", median
