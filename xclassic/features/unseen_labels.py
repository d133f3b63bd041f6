"""Labels that are known by their features alone, ranked beside those that have training rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from xclassic.metrics._inputs import read_pairs
from xclassic.neighbors.index import NeighborIndex, build_index, stored_index
from xclassic.parallel import RUNNING, StopByte, blas_threads
from xclassic.rows import unit_rows
from xclassic.storage.arrays import with_prefix, without_prefix
from xclassic.storage.folder import Arrays, ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features

N_SIMILAR = 20  # Labels for each held-out row that the map of similarities is learned from.
STEPS = np.arange(0, 8.1, 0.25)  # What may be taken off the log-odds of labels without rows.
GAINS = np.array([sum(1 / k for k in (1, 3, 5) if slot < k) / 3 for slot in range(5)])  # Of a hit in each slot.
SMALLEST = 1e-12  # Scores below it count as this one.


class UnseenLabels:
    """Labels without training rows, found by the cosine of their features and those of a row.

    Parameters
    ----------
    ids : ndarray of int32, shape (n_unseen,)
        Their label ids, sorted.
    index : NeighborIndex
        Their features, of unit length.
    maps : ndarray of float64, shape (2, 3)
        How probabilities follow from scores of the other labels, and from similarities: see `fit_map`.
    """

    def __init__(self, ids: NDArray[np.int32], index: NeighborIndex, maps: NDArray[np.float64]) -> None:
        self.ids, self.index, self.maps = ids, index, maps

    @classmethod
    def of(cls, ids: NDArray[np.int32], features: Features, maps: NDArray[np.float64]) -> UnseenLabels:
        return cls(ids, index_of(features, ids), maps)

    def merged(
        self, seen: TopK, X: Features, k: int, n_labels: int, labels: NDArray[np.int32] | None, stop: StopByte
    ) -> TopK:
        """Return the best labels of rows, by probability, among those of `seen` and these ones that are allowed."""
        depth = min(k, self.ids.size) if labels is None else self.ids.size
        similar = similar_labels(X, self.index, self.ids, depth, stop)
        allowed = None if labels is None else np.isin(np.arange(n_labels), labels)
        return _merged([seen, similar], self.maps, k, n_labels, allowed)

    def arrays(self) -> Arrays:
        return {"ids": self.ids, "maps": self.maps, **with_prefix("index.", self.index.arrays())}

    @classmethod
    def from_arrays(cls, arrays: Arrays, n_labels: int, n_features: int) -> UnseenLabels:
        ids, maps = np.asarray(arrays["ids"]), np.asarray(arrays["maps"])
        if ids.ndim != 1 or ids.dtype != np.int32 or not (np.diff(ids, prepend=-1) > 0).all() or ids[-1] >= n_labels:
            raise ModelFileError("The labels without rows of the model are no labels of it.")
        if maps.shape != (2, 3) or not np.isfinite(maps).all() or (maps[:, :2] < 0).any():
            raise ModelFileError("The maps of the model to probabilities are not increasing.")
        return cls(ids, stored_index(without_prefix("index.", arrays), ids.size, n_features), maps)


def similar_labels(
    X: Features, index: NeighborIndex, ids: NDArray[np.int32], k: int = N_SIMILAR, stop: StopByte = RUNNING
) -> TopK:
    """Return the labels, whose ids are `ids`, that are most similar to each row by an index of their features."""
    top = index.nearest(unit_rows(X), min(k, ids.size), stop)
    return top._replace(ids=np.where(top.filled(), ids[top.ids], -1).astype(np.int32))


def index_of(features: Features, ids: NDArray[np.int32]) -> NeighborIndex:
    """Return an index of the features of some labels."""
    return build_index(unit_rows(features[ids]))


def _merged(
    tops: list[TopK], maps: NDArray[np.float64], k: int, n_labels: int, allowed: NDArray[np.bool_] | None = None
) -> TopK:
    """Return the best labels of rankings of different labels, by probability."""
    parts = []
    for top, of_map in zip(tops, maps, strict=True):
        rows, slots = np.nonzero(top.filled() if allowed is None else top.filled() & allowed[top.ids])
        parts.append((probabilities(top.scores[rows, slots], of_map), rows, top.ids[rows, slots]))
    scores, rows, ids = map(np.concatenate, zip(*parts, strict=True))
    return TopK.from_csr(csr_array((scores, (rows, ids)), shape=(tops[0].n_rows, n_labels)), k)


def fit_maps(ranked: TopK, X: Features, features: Features, truth: csr_array, share: float) -> NDArray[np.float64]:
    """Return the maps of scores and of similarities, from a ranking of held-out rows by a fit without them.

    Some of the labels of the ranking, this share of them, play those that are unseen: they are left out of it and
    found by their features. So much is taken off the log-odds of all such labels that the mean of P@1, P@3 and P@5 of
    the other labels falls by no more than its standard error.
    """
    n_labels = truth.shape[1]
    seen = np.unique(ranked.ids[ranked.filled()])
    maps = np.stack([fit_map(ranked, truth), fit_map(similar_labels(X, index_of(features, seen), seen), truth)])
    hidden = np.zeros(n_labels, np.bool_)
    hidden[seen] = np.random.default_rng(0).random(seen.size) < share
    if not hidden.any() or hidden[seen].all():
        return maps
    ids = np.flatnonzero(hidden).astype(np.int32)
    similar, rest = similar_labels(X, index_of(features, ids), ids), ~hidden
    shown = TopK.from_csr(_only(ranked, rest, n_labels), ranked.k)
    usual = _gains(shown.head(GAINS.size), truth, rest)
    least = usual.mean() - usual.std() / np.sqrt(usual.size)
    for lower in STEPS:
        trial = maps - [[0, 0, 0], [0, 0, lower]]
        if _gains(_merged([shown, similar], trial, GAINS.size, n_labels), truth, rest).mean() >= least:
            return trial
    return trial


def _only(top: TopK, labels: NDArray[np.bool_], n_labels: int) -> csr_array:
    """Return the scores of some labels."""
    rows, slots = np.nonzero(top.filled() & labels[top.ids])
    return csr_array((top.scores[rows, slots], (rows, top.ids[rows, slots])), shape=(top.n_rows, n_labels))


def _gains(top: TopK, truth: csr_array, counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean of P@1, P@3 and P@5 of each row, in which some labels count."""
    hits = _hits(top, truth) & counted[np.maximum(top.ids, 0)]
    return np.asarray(hits @ GAINS[: top.k])


def _hits(top: TopK, truth: csr_array) -> NDArray[np.bool_]:
    hits = np.zeros(top.ids.shape, np.bool_)
    rows, slots = np.nonzero(top.filled())
    hits[rows, slots] = read_pairs(truth, "Y").contain(rows * truth.shape[1] + top.ids[rows, slots])
    return hits


def fit_map(top: TopK, truth: csr_array) -> NDArray[np.float64]:
    """Return a, b and c of the probability that a prediction is right, the logistic function of a s + b log s + c.

    Neither a nor b is below 0, so that the order of predictions stays; b is 0 unless all scores are above 0.
    """
    rows, slots = np.nonzero(top.filled())
    scores = top.scores[rows, slots].astype(np.float64)
    hits = _hits(top, truth)[rows, slots]
    share = (hits.sum() + 1) / (hits.size + 2)
    if hits.all() or not hits.any():  # A slope needs both hits and misses.
        return np.array([1.0, 0.0, np.log(share / (1 - share)) - scores.mean() if scores.size else 0.0])
    choices = [(True, True), (False, True), (True, False)] if (scores > 0).all() else [(True, False)]
    for used in choices:
        found = _logistic(scores, hits, np.array(used))
        if (found[:2] >= 0).all():
            return found
    return np.array([0.0, 0.0, np.log(share / (1 - share))])


def _logistic(scores: NDArray[np.float64], hits: NDArray[np.bool_], used: NDArray[np.bool_]) -> NDArray[np.float64]:
    table = _of_scores(scores) * used
    center, scale = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-12)
    with blas_threads(1):  # The model must not depend on how BLAS shares its work.
        model = LogisticRegression().fit((table - center) / scale, hits)
    slopes = np.where(used, model.coef_[0] / scale, 0)
    return np.array([*slopes, model.intercept_[0] - slopes @ center])


def _of_scores(scores: NDArray[Any]) -> NDArray[np.float64]:
    scores = scores.astype(np.float64)
    return np.stack([scores, np.log(np.maximum(scores, SMALLEST))], axis=1)


def probabilities(scores: NDArray[Any], of_map: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(expit((_of_scores(scores) * of_map[:2]).sum(axis=1) + of_map[2]))


def labeled_features(given: Any) -> tuple[Any, Any]:
    """Return the labels of a pair of labels and features, None where features come without labels, and the features."""
    if isinstance(given, Mapping):
        raise TypeError(
            "label_features is a dict; pass a matrix, or a pair of labels and a matrix with a row for each."
        )
    if isinstance(given, tuple) and len(given) == 2:
        return list(given[0]), given[1]
    return None, given
