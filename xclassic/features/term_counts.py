"""Vocabularies of texts: from all texts at once, or counted piece by piece."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer


class TermCounts:
    """Counts the terms of texts that come in pieces.

    Parameters
    ----------
    vectorizer : TfidfVectorizer
        Says what a term is, and which are kept.
    """

    def __init__(self, vectorizer: TfidfVectorizer) -> None:
        self.vectorizer = vectorizer
        self.n_texts = 0
        self._texts_with: Counter[str] = Counter()
        self._times: Counter[str] = Counter()
        self._analyze = vectorizer.build_analyzer()

    def add(self, texts: Iterable[str]) -> None:
        """Count the terms of further texts."""
        for text in texts:
            terms = self._analyze(text)
            self.n_texts += 1
            self._texts_with.update(set(terms))
            if self.vectorizer.max_features is not None:
                self._times.update(terms)

    def finish(self, field: str) -> TfidfVectorizer:
        """Return the vectorizer with the terms and weights that its ``fit`` finds in all texts, bit for bit."""
        if not self._texts_with:
            raise ValueError(
                f"Not one of the {self.n_texts} texts of the field {field!r} has a term for ngram_range="
                f"{self.vectorizer.ngram_range} that is not in stop_words. Name the field that holds the text, leave "
                "this one out, or choose shorter sequences."
            )
        terms = sorted(self._texts_with)
        n_texts_with = np.array([self._texts_with[term] for term in terms], np.int64)
        kept = self._kept(terms, n_texts_with)
        if not kept.size:
            raise _all_too_rare(self.vectorizer, self.n_texts, field)
        self.vectorizer.vocabulary_ = {terms[place]: number for number, place in enumerate(kept.tolist())}
        # The operations of TfidfTransformer, in its precision.
        idf = np.full(kept.size, self.n_texts + 1, np.float32)
        idf /= n_texts_with[kept].astype(np.float32) + 1
        self.vectorizer.idf_ = np.log(idf) + 1
        return self.vectorizer

    def _kept(self, terms: list[str], n_texts_with: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the places of the terms that are kept."""
        least, most = self.vectorizer.min_df, self.vectorizer.max_features
        kept = np.flatnonzero(n_texts_with >= (least if isinstance(least, Integral) else least * self.n_texts))
        if most is None or kept.size <= most:
            return kept
        times = np.array([self._times[terms[place]] for place in kept.tolist()], np.float32)
        return np.sort(kept[np.argsort(-times)[:most]])  # Ties as scikit-learn breaks them.


def fit_terms(vectorizer: TfidfVectorizer, texts: NDArray[np.object_], field: str) -> Any:
    """Fit a vectorizer on all texts of a field, and return their features."""
    try:
        return vectorizer.fit_transform(texts)
    except ValueError as error:
        if not any(text.strip() for text in texts):
            raise ValueError(
                f"All {texts.size} texts of the field {field!r} are empty. Name the field that holds the text or leave "
                "this one out."
            ) from error
        if not any(map(vectorizer.build_analyzer(), texts)):  # A text has n-grams of characters unless it is empty.
            raise ValueError(
                f"Not one of the {texts.size} texts of the field {field!r} has words for ngram_range="
                f"{vectorizer.ngram_range} that are not in stop_words; the first is {texts[0][:60]!r}. Choose shorter "
                "sequences, or ngram_range=() for no words."
            ) from error
        raise _all_too_rare(vectorizer, texts.size, field) from error


def _all_too_rare(vectorizer: TfidfVectorizer, n_texts: int, field: str) -> ValueError:
    what, name = ("words", "ngram_range") if vectorizer.analyzer == "word" else ("character n-grams", "char_ngrams")
    return ValueError(
        f"No {what} are in min_df={vectorizer.min_df} of the {n_texts} texts of the field {field!r}. Lower min_df (1 "
        f"keeps all), or leave them out by {name}=()."
    )
