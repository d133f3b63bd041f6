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
        return cls(ids, build_index(unit_rows(features[ids])), maps)

    def merged(
        self, seen: TopK, X: Features, k: int, n_labels: int, labels: NDArray[np.int32] | None, stop: StopByte
    ) -> TopK:
        """Return the best labels of rows, by probability, among those of `seen` and these ones that are allowed."""
        similar = self.index.nearest(unit_rows(X), min(k, self.ids.size) if labels is None else self.ids.size, stop)
        rows, slots = np.nonzero(seen.filled())
        ids, scores = seen.ids[rows, slots], probabilities(seen.scores[rows, slots], self.maps[0])
        of_row, place = np.nonzero(similar.filled())
        found, chance = self.ids[similar.ids[of_row, place]], probabilities(similar.scores[of_row, place], self.maps[1])
        if labels is not None:
            allowed = np.isin(found, labels)
            of_row, found, chance = of_row[allowed], found[allowed], chance[allowed]
        entries = (np.concatenate([rows, of_row]), np.concatenate([ids, found]))
        shape = (seen.n_rows, n_labels)
        return TopK.from_csr(csr_array((np.concatenate([scores, chance]), entries), shape=shape), k)

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


def similar_labels(X: Features, features: Features, ids: NDArray[np.int32]) -> TopK:
    """Return the labels among `ids` whose features are most similar to each row."""
    top = build_index(unit_rows(features[ids])).nearest(unit_rows(X), min(N_SIMILAR, ids.size), RUNNING)
    return top._replace(ids=np.where(top.filled(), ids[top.ids], -1).astype(np.int32))


def fit_map(top: TopK, truth: csr_array) -> NDArray[np.float64]:
    """Return a, b and c of the probability that a prediction is right, the logistic function of a s + b log s + c.

    Neither a nor b is below 0, so that the order of predictions stays; b is 0 unless all scores are above 0.
    """
    rows, slots = np.nonzero(top.filled())
    scores = top.scores[rows, slots].astype(np.float64)
    hits = read_pairs(truth, "Y").contain(rows * truth.shape[1] + top.ids[rows, slots])
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
