"""Values that a text contains and that no training row has, such as a new brand: copied where it pays."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xclassic.storage.arrays import pack_strings, stored_count, unpack_strings
from xclassic.storage.folder import Arrays, ModelFileError
from xclassic.storage.models import Metadata
from xclassic.taxonomy.match_features import fit_logistic, probabilities
from xclassic.taxonomy.name_finding import WORD, words_of

MOST_STARTS, MOST_WORDS = 30, 4  # Words of a text at which a value may begin, and words of a value.
SEPARATOR = re.compile(r"\s*(?:[-\u2013,:(|/]|$)")  # What may follow a value, in addition to a word.
N_FEATURES = 9
NEVER = 2.0  # A probability that no value has.


class Span(NamedTuple):
    """Words of a text that may be a value: as they stand there, as they compare, and what is known of them."""

    text: str
    words: tuple[str, ...]
    features: tuple[float, ...]


class ValueCopier:
    """Finder of the words of a text that are most likely the value of a field.

    Parameters
    ----------
    weights : ndarray of float64, shape (N_FEATURES + 1,)
        Of the log-odds that words are the value.
    counts : dict of str to int
        Training texts with each word.
    n_texts : int
    threshold : float
        Lowest probability of words that are copied.
    """

    def __init__(self, weights: NDArray[np.float64], counts: dict[str, int], n_texts: int, threshold: float) -> None:
        self.weights, self.counts, self.n_texts, self.threshold = weights, counts, n_texts, threshold

    @classmethod
    def fit(cls, texts: Sequence[str], values: Sequence[str | None]) -> ValueCopier:
        """Learn where values stand, whatever they are, from texts that contain theirs; it copies nothing yet."""
        counts = Counter(word for text in texts for word in set(words_of(text)))
        copier = cls(np.zeros(N_FEATURES + 1), dict(counts), len(texts), NEVER)
        table, hits = [], []
        for text, value in zip(texts, values, strict=True):
            wanted = tuple(words_of(value or ""))
            for span in copier._spans(text):
                table.append(span.features)
                hits.append(span.words == wanted)
        if any(hits):
            copier.weights = fit_logistic(np.array(table), np.array(hits))
        return copier

    def best(self, texts: Sequence[str], known: Collection[tuple[str, ...]]) -> list[tuple[float, str]]:
        """Return of each text the words that are most likely a value and are not `known`, and their probability."""
        found = []
        for text in texts:
            spans = [span for span in self._spans(text) if span.words not in known]
            chances = probabilities(np.array([span.features for span in spans]).reshape(-1, N_FEATURES), self.weights)
            at = int(np.argmax(chances)) if spans else -1
            found.append((float(chances[at]), spans[at].text) if spans else (0.0, ""))
        return found

    def tuned(
        self,
        texts: Sequence[str],
        values: Sequence[str | None],
        predicted: Sequence[str | None],
        known: Collection[tuple[str, ...]],
    ) -> ValueCopier:
        """Return a copier whose threshold gains most on rows that neither it nor what predicts has learned from.

        The rows that get right must be more than those that get wrong by the root of the number of rows that change,
        or nothing is ever copied.
        """
        best = self.best(texts, known)
        wanted = [tuple(words_of(value or "")) for value in values]
        copied = np.array(
            [tuple(words_of(text)) == value and value != () for (_, text), value in zip(best, wanted, strict=True)]
        )
        right = np.array([value == other for value, other in zip(values, predicted, strict=True)])
        chances = np.array([chance for chance, _ in best])
        order = np.argsort(-chances, kind="stable")
        gains = np.cumsum(copied[order].astype(np.int64) - right[order]) - np.sqrt(np.arange(1, order.size + 1))
        at = int(np.argmax(gains)) if gains.size else -1
        threshold = float(chances[order[at]]) if gains.size and gains[at] > 0 else NEVER
        return ValueCopier(self.weights, self.counts, self.n_texts, threshold)

    def _spans(self, text: str) -> list[Span]:
        places = [match.span() for match, _ in zip(WORD.finditer(text), range(MOST_STARTS + MOST_WORDS), strict=False)]
        words = [tuple(words_of(text[start:end])) for start, end in places]
        rarity = [np.log((self.n_texts + 1) / (1 + min(self._count(own), self.n_texts))) for own in words]
        spans = []
        for first in range(min(len(places), MOST_STARTS)):
            for last in range(first, min(first + MOST_WORDS, len(places))):
                start, end = places[first][0], places[last][1]
                of_span = text[start:end]
                features = (
                    float(first == 0),
                    np.log1p(first),
                    np.log1p(len(places) - last - 1),
                    np.log1p(last - first),
                    float(SEPARATOR.match(text, end) is not None),
                    float(all(part[:1].isupper() for part in of_span.split())),
                    float(any(character.isdigit() for character in of_span)),
                    min(rarity[first : last + 1]),
                    max(rarity[first : last + 1]),
                )
                spans.append(Span(of_span, sum(words[first : last + 1], ()), features))
        return spans

    def _count(self, words: tuple[str, ...]) -> int:
        return min((self.counts.get(word, 0) for word in words), default=0)

    # Persistence

    def arrays(self) -> tuple[Arrays, Metadata]:
        counts = np.array(list(self.counts.values()), np.int64)
        arrays = {"weights": self.weights, "counts": counts, **pack_strings("words", self.counts)}
        return arrays, {"n_texts": self.n_texts, "threshold": self.threshold}

    @classmethod
    def from_arrays(cls, arrays: Arrays, metadata: Metadata) -> ValueCopier:
        weights, counts = np.asarray(arrays["weights"]), np.asarray(arrays["counts"])
        if (
            weights.shape != (N_FEATURES + 1,)
            or not np.isfinite(weights).all()
            or counts.ndim != 1
            or (counts < 0).any()
        ):
            raise ModelFileError("What the model copies values by is damaged.")
        words = unpack_strings(arrays, "words", counts.size)
        n_texts, threshold = stored_count(metadata, "n_texts"), float(metadata["threshold"])
        return cls(weights, dict(zip(words, counts.tolist(), strict=True)), n_texts, threshold)
