"""What is known of a label whose name a text contains, and the probability that it is relevant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from xclassic.metrics._inputs import read_pairs
from xclassic.parallel import blas_threads
from xclassic.taxonomy.name_finding import BARE, OTHER, NameFinder, Occurrences, Tokens

# What a match says of any label, and what only training rows of the label can say.
GENERAL = (
    "exact words",
    "words in any order",
    "gap",
    "other name",
    "without qualifier",
    "place",
    "words of the text",
    "occurrences",
    "words of the name",
    "characters of the name",
    "mean rarity",
    "highest rarity",
    "labels of the name",
    "within a longer name",
    "labels found",
)
OF_LABEL = ("share of matches that were right", "training rows", "training matches")
PRIOR = 5.0  # Matches that the overall share counts for, beside those of a label.
FOLDS = 5


class Matches(NamedTuple):
    """Labels found in texts, one entry for each text and label, sorted by both; arrays of shape (n_matches,).

    Attributes
    ----------
    row, label : int64
    entry : int64
        The name, by the kind of its place: exact words before stems before any order, longer names before shorter
        ones, preferred names before others.
    start, span : int64
        Where that name begins among all tokens, and how many it spans.
    is_exact, is_set : bool
    features : float64, shape (n_matches, len(GENERAL))
    """

    row: NDArray[np.int64]
    label: NDArray[np.int64]
    entry: NDArray[np.int64]
    start: NDArray[np.int64]
    span: NDArray[np.int64]
    is_exact: NDArray[np.bool_]
    is_set: NDArray[np.bool_]
    features: NDArray[np.float64]


def find_matches(finder: NameFinder, tokens: Tokens, rarity: NDArray[np.float64]) -> Matches:
    """Return the labels whose names are in texts; `rarity` is that of each stem, shape (n_stems + 1,)."""
    found = finder.find(tokens)
    entries = finder.entries
    copies = np.diff(finder.first)[found.form]
    at = np.repeat(np.arange(found.row.size), copies)
    entry = finder.by_form[_ranges(finder.first[found.form], copies)]
    row, start, span, is_set = found.row[at], found.start[at], found.span[at], found.is_set[at]
    label, length = entries.label[entry].astype(np.int64), finder.lengths[found.form][at]
    is_exact = ~is_set & _same_words(tokens.words, start, entries.words, entries.start[entry], length)
    inside = _within_longer(found)[at]
    order = np.lexsort((start, entries.role[entry], -length, is_set, ~is_exact, label, row))
    begins = _first_of_each(row[order], label[order])
    best = order[begins]
    n_tokens = np.diff(tokens.ends)[row[best]]
    mean_rarity, highest_rarity = _rarity(finder, rarity)
    form = entries.form[entry[best]]
    features = (
        is_exact[best],
        is_set[best],
        np.log(span[best] / length[best]),
        entries.role[entry[best]] == OTHER,
        entries.role[entry[best]] == BARE,
        np.log1p(_reduced(np.minimum, start[order] - tokens.ends[row[order]], begins)),
        np.log1p(n_tokens),
        np.log(_occurrences(row, label, start, order, begins)),
        np.log(length[best]),
        np.log(entries.n_characters[entry[best]]),
        mean_rarity[form],
        highest_rarity[form],
        np.log(finder.n_labels[form]),
        _reduced(np.minimum, inside[order], begins),
        np.log(np.bincount(row[best], minlength=tokens.ends.size)[row[best]]),
    )
    table = np.column_stack([np.asarray(column, np.float64) for column in features])
    return Matches(row[best], label[best], entry[best], start[best], span[best], is_exact[best], is_set[best], table)


def joined(parts: Sequence[Matches], first_rows: Sequence[int]) -> Matches:
    """Return the matches of consecutive texts as those of all."""
    moved = [part._replace(row=part.row + first) for part, first in zip(parts, first_rows, strict=True)]
    return Matches(*map(np.concatenate, zip(*moved, strict=True)))


def _ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``starts[i], starts[i] + 1, ...``, `counts` numbers for each i."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if ends.size else 0) + np.repeat(starts - ends + counts, counts)


def _same_words(
    of_text: NDArray[np.int32],
    start: NDArray[np.int64],
    of_names: NDArray[np.int32],
    first: NDArray[np.int32],
    length: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Return whether texts have the very words of names, where they have as many from each start."""
    same = np.ones(start.size, np.bool_)
    for offset in range(int(length.max(initial=0))):
        further = np.flatnonzero((length > offset) & same & (start + offset < of_text.size))
        same[further] = of_text[start[further] + offset] == of_names[first[further] + offset]
    return same


def _within_longer(found: Occurrences) -> NDArray[np.bool_]:
    """Return which occurrences lie within a longer sequence."""
    within = np.zeros(found.row.size, np.bool_)
    whole = np.flatnonzero(~found.is_set)
    order = whole[np.lexsort((-found.span[whole], found.start[whole]))]
    end = found.start[order] + found.span[order]
    furthest = np.maximum.accumulate(end) if end.size else end  # Of those that start no later; texts do not overlap.
    before = np.concatenate([[-1], furthest[:-1]])
    within[order] = end <= before
    return within


def _first_of_each(row: NDArray[np.int64], label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where each pair begins in sorted pairs."""
    changes = (np.diff(row) != 0) | (np.diff(label) != 0)
    return np.flatnonzero(np.concatenate([[True], changes])) if row.size else np.arange(0)


def _reduced(function: np.ufunc, values: NDArray[Any], begins: NDArray[np.int64]) -> NDArray[Any]:
    return function.reduceat(values, begins) if begins.size else values[:0]


def _occurrences(
    row: NDArray[np.int64],
    label: NDArray[np.int64],
    start: NDArray[np.int64],
    order: NDArray[np.int64],
    begins: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return at how many places each pair occurs."""
    by_place = np.lexsort((start, label, row))
    same = _first_of_each(row[by_place], label[by_place])
    new = np.concatenate([[True], np.diff(start[by_place]) != 0]) if start.size else np.zeros(0, np.bool_)
    new[same] = True
    return np.asarray(_reduced(np.add, new.astype(np.int64), same))


def _rarity(finder: NameFinder, rarity: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the highest rarity of the stems of each form."""
    flat = rarity[np.concatenate([[], *finder.forms]).astype(np.int64)]
    begins = np.concatenate([[0], np.cumsum(finder.lengths)[:-1]]).astype(np.int64)
    if not finder.lengths.size:
        return np.empty(0), np.empty(0)
    return np.add.reduceat(flat, begins) / finder.lengths, np.maximum.reduceat(flat, begins)


def rarity_of_stems(parts: Sequence[Tokens], n_stems: int) -> NDArray[np.float64]:
    """Return the logarithm of the inverse share of texts that have each stem; the first one stands for no stem."""
    n_texts, counts = 0, np.zeros(n_stems + 1, np.int64)
    for tokens in parts:
        n_rows = tokens.ends.size - 1
        rows = np.repeat(np.arange(n_rows), np.diff(tokens.ends))
        pairs = np.unique(rows * (n_stems + 1) + tokens.stems)
        counts += np.bincount(pairs % (n_stems + 1), minlength=n_stems + 1)
        n_texts += n_rows
    return np.log((n_texts + 1) / (counts + 1))


# Probabilities


class LabelCounts(NamedTuple):
    """Rows, matches and right matches of each label in training; arrays of float64, shape (n_labels,)."""

    rows: NDArray[np.float64]
    found: NDArray[np.float64]
    right: NDArray[np.float64]

    @classmethod
    def of(cls, matches: Matches, hits: NDArray[np.bool_], Y: csr_array, rows: NDArray[np.int64]) -> LabelCounts:
        """Count in some rows, as many as there would be in all of them."""
        counted, share = np.isin(matches.row, rows), rows.size / Y.shape[0]
        labels = (Y[rows].indices, matches.label[counted], matches.label[counted & hits])
        return cls(*(np.bincount(found, minlength=Y.shape[1]) / share for found in labels))

    def features(self, label: NDArray[np.int64], share: float) -> NDArray[np.float64]:
        """Return what training rows say of labels; `share` is that of all matches that were right."""
        shares = (self.right[label] + PRIOR * share) / (self.found[label] + PRIOR)
        return np.column_stack([np.log(shares / (1 - shares)), np.log1p(self.rows[label]), np.log1p(self.found[label])])


def features_of_labels(
    matches: Matches, hits: NDArray[np.bool_], Y: csr_array, share: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return for each match what rows other than a fifth with its own say of the label, and whether they have it.

    The counts of rows that count themselves would say which matches are right.
    """
    features, known = np.empty((hits.size, len(OF_LABEL))), np.empty(hits.size, np.bool_)
    numbers = np.arange(Y.shape[0])
    for fold in range(FOLDS):
        counts = LabelCounts.of(matches, hits, Y, numbers[numbers % FOLDS != fold])
        own = matches.row % FOLDS == fold
        features[own] = counts.features(matches.label[own], share)
        known[own] = counts.rows[matches.label[own]] > 0
    return features, known


def hits_of(matches: Matches, Y: csr_array) -> NDArray[np.bool_]:
    """Return which matches are right."""
    return np.asarray(read_pairs(Y, "Y").contain(matches.row * Y.shape[1] + matches.label))


def fit_logistic(features: NDArray[np.float64], hits: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return weights of the features, and a constant as the last: the log-odds that a match is right."""
    share = (hits.sum() + 1) / (hits.size + 2)  # What is known where a slope cannot be.
    constant = np.concatenate([np.zeros(features.shape[1]), [np.log(share / (1 - share))]])
    if hits.all() or not hits.any():
        return constant
    center, scale = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)
    with blas_threads(1):  # The model must not depend on how BLAS shares its work.
        model = LogisticRegression(max_iter=1000).fit((features - center) / scale, hits)
    weights = model.coef_[0] / scale
    return np.concatenate([weights, [model.intercept_[0] - weights @ center]])


def probabilities(features: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    # A sum of products by rows, since BLAS rounds by the number of rows.
    return np.asarray(expit((features * weights[:-1]).sum(axis=1) + weights[-1]))
