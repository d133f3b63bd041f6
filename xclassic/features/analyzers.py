"""Analyzers: what cuts a text into words in place of the compiled counter, for languages that need lemmas or stems."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeAlias

from xclassic.features.terms import WORDS
from xclassic.parallel import fork_safe_lock

Analyzer: TypeAlias = Callable[[str], Iterable[str]]

_WORD = re.compile(WORDS["whole"])
LONGEST_STEM = 64  # Characters. Longer words are no words of a language, and stemmers take long for them.
_NAME = re.compile(r"([^()]+)(?:\(([^()]+)\))?")
_registered: dict[str, Analyzer] = {}
_of_thread = threading.local()
_spacy_lock = fork_safe_lock()


def register_analyzer(name: str, function: Analyzer) -> None:
    """Give an analyzer a name, so that models fitted with it can be saved.

    A model folder holds the name alone and no code. Register the same function before you load the model.

    Parameters
    ----------
    name : str
        Without parentheses, and none of the names ``"simple"``, ``"snowball"`` and ``"spacy"``, which are built in. A
        name that is registered already gets the new function.
    function : callable
        Takes a text and returns its words, a list of str. With ``n_jobs`` it is called from several threads.

    Raises
    ------
    ValueError
        If the name is taken or has parentheses.
    TypeError
        If `name` is not a string or `function` not callable.

    See Also
    --------
    TextFeatures : Takes the name as `analyzer`.

    Examples
    --------
    >>> from xclassic.features import TextFeatures, register_analyzer
    >>> register_analyzer("letters", lambda text: [c for c in text if c.isalpha()])
    >>> TextFeatures(analyzer="letters", preset="abstract", min_df=1).fit(["a-b", "c"]).get_feature_names_out().tolist()
    ['a', 'b', 'c']
    """
    if not isinstance(name, str):
        raise TypeError(f"name is {name!r}, a {type(name).__name__}; the name of an analyzer is a string.")
    if name in _BUILT_IN or not name or set(name) & set("()"):
        raise ValueError(
            f"name is {name!r}; pass one without parentheses, and none of {', '.join(_BUILT_IN)}, which are built in."
        )
    if not callable(function):
        raise TypeError(f"function is {function!r}; pass what takes a text and returns a list of words.")
    _registered[name] = function


class UnknownAnalyzerError(ValueError):
    """The name of an analyzer that is neither built in nor registered."""


def analyzer_of(analyzer: str | Analyzer) -> Analyzer:
    """Return the function of a parameter, which is a function or a name.

    Raises
    ------
    UnknownAnalyzerError
        If the name is neither built in nor registered.
    ValueError
        If an analyzer has no such language or model.
    ImportError
        If the package of an analyzer is not installed.
    """
    if not isinstance(analyzer, str):
        return analyzer
    if analyzer in _registered:
        return _registered[analyzer]
    parts = _NAME.fullmatch(analyzer)
    if parts is None or parts[1] not in _BUILT_IN:
        raise UnknownAnalyzerError(
            f"The analyzer {analyzer!r} is not registered; call xclassic.features.register_analyzer({analyzer!r}, "
            f"function) first. Registered: {', '.join(_registered) or 'none'}; built in: simple, snowball(language), "
            "spacy(model)."
        )
    return _BUILT_IN[parts[1]](parts[2])


def check_storable(analyzer: str | Analyzer | None) -> None:
    """Raise TypeError if an analyzer is code, which a model folder cannot hold."""
    if analyzer is not None and not isinstance(analyzer, str):
        raise TypeError(
            f"analyzer is {analyzer!r}, and a model folder holds no code. Give it a name by "
            "xclassic.features.register_analyzer(name, function), here and before loading, and set it by "
            "set_params(analyzer=name)."
        )


def tokens_of(analyzer: Analyzer, texts: list[str]) -> list[list[str]]:
    """Return the words of texts, after a check that they are strings.

    Raises
    ------
    ValueError
        If the analyzer raises an exception, which is the cause of this one.
    TypeError
        If it returns anything but words.
    """
    found = []
    for text in texts:
        try:
            words = analyzer(text)
        except Exception as error:
            raise ValueError(
                f"The analyzer {analyzer!r} fails on the text {text[:60]!r}: {type(error).__name__}: {error}."
            ) from error
        if isinstance(words, str) or not isinstance(words, Iterable):
            raise TypeError(
                f"The analyzer returned {words!r} for the text {text[:60]!r}; it must return a list of str."
            )
        tokens = list(words)
        for token in tokens:
            if not isinstance(token, str):
                raise TypeError(
                    f"The analyzer returned a list with {token!r} for the text {text[:60]!r}; words are strings."
                )
        found.append([str(token) for token in tokens])
    return found


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, as the compiled counter cuts them."""
    return _WORD.findall(text.lower())


def _simple(argument: str | None) -> Analyzer:
    if argument is not None:
        raise ValueError(f"The analyzer 'simple' takes no argument; found {argument!r}.")
    return words_of


@dataclass(frozen=True)
class _Snowball:
    """Stems of words by the Snowball algorithm of a language."""

    language: str

    def __call__(self, text: str) -> list[str]:
        stemmers = vars(_of_thread).setdefault("stemmers", {})  # A stemmer works on one word at a time.
        if self.language not in stemmers:
            stemmers[self.language] = _snowball_package().stemmer(self.language)
        stem = stemmers[self.language].stemWord
        return [word if len(word) > LONGEST_STEM else stem(word) for word in words_of(text)]


def _snowball_package() -> Any:
    try:
        import snowballstemmer
    except ImportError as error:
        raise ImportError(
            "The analyzer 'snowball' needs the package snowballstemmer: pip install 'xclassic[text]'."
        ) from error
    return snowballstemmer


def _snowball(language: str | None) -> Analyzer:
    known = _snowball_package().algorithms()
    if language is None or language not in known:
        raise ValueError(
            f"The analyzer 'snowball' has no language {language!r}; pass one as in 'snowball(english)'. It knows "
            f"{', '.join(known)}."
        )
    return _Snowball(language)


@dataclass(frozen=True)
class _Spacy:
    """Lemmas of words by a pipeline of spaCy, in lower case."""

    model: str

    def __call__(self, text: str) -> list[str]:
        with _spacy_lock:  # Its pipelines are not made for several threads.
            words = _spacy_pipeline(self.model)(text)
        return [word.lemma_.lower() for word in words if not (word.is_punct or word.is_space)]


@cache
def _spacy_pipeline(model: str) -> Any:
    try:
        import spacy
    except ImportError as error:
        raise ImportError("The analyzer 'spacy' needs the package spacy: pip install spacy.") from error
    try:
        return spacy.load(model, disable=["ner", "parser"])
    except OSError as error:
        raise ImportError(
            f"The analyzer 'spacy' finds no pipeline {model!r}: python -m spacy download {model}."
        ) from error


def _spacy(model: str | None) -> Analyzer:
    if model is None:
        raise ValueError("The analyzer 'spacy' needs a pipeline, as in 'spacy(en_core_web_sm)'.")
    _spacy_pipeline(model)
    return _Spacy(model)


_BUILT_IN: dict[str, Callable[[str | None], Analyzer]] = {"simple": _simple, "snowball": _snowball, "spacy": _spacy}
