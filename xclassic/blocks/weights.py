"""Sparse linear models of many labels, stored for prediction."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

import xclassic._kernels.blocks as kernels
from xclassic._kernels.arguments import LANES, VALUE_TYPES, StoredWeights
from xclassic.parallel import RUNNING, StopByte
from xclassic.rows import kernel_rows
from xclassic.storage.arrays import Table, stored_table
from xclassic.storage.folder import Arrays, ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features, canonical, check_rows
from xclassic.validation.parameters import check_k
from xclassic.weighted_ranking import ScoreWeights

CHUNK_GROUPS = 256  # Groups of a chunk. The scores of its 4,096 labels stay in the first-level cache.


@dataclass
class BlockWeights:
    """Sparse linear models of many labels, stored for prediction.

    Labels form groups of 16 lanes, and groups form chunks. Within a chunk each feature that carries a weight has a row
    of cells. A cell is a group, a 16-bit mask of the lanes that carry a weight, and their values, packed.

    Attributes
    ----------
    chunk_group_ptr, chunk_feature_ptr : ndarray of int64, shape (n_chunks + 1,)
        First group and first feature row of each chunk.
    labels : ndarray of int32, shape (16 n_groups,)
        Label id of each lane; -1 for a lane without a label.
    bias : ndarray of float32, shape (16 n_groups,)
        Score of each lane before any feature is read.
    features : ndarray of int32, shape (n_rows,)
        Feature of each row, ascending within a chunk.
    chunk_cell_ptr, chunk_value_ptr : ndarray of int64, shape (n_chunks + 1,)
        First cell and first value of each chunk.
    feature_cell_ptr, feature_value_ptr : ndarray of uint32, shape (n_rows + 1,)
        First cell and first value of each row, modulo 2**32.
    cell_groups, cell_masks : ndarray of uint16, shape (n_cells,)
        Group within the chunk, and lanes, of each cell.
    values : ndarray of float32, float16 or int8, shape (n_values + 16,)
        The last 16 are zeros that let a kernel load a whole register at the last cell.
    chunk_scales : ndarray of float32, shape (n_chunks,)
        The values of a chunk are multiples of its scale.
    n_features : int

    Notes
    -----
    Bytes: 1, 2 or 4 per weight, 4 per cell, 12 per feature row of a chunk, 8 per label.
    """

    chunk_group_ptr: NDArray[np.int64]
    chunk_feature_ptr: NDArray[np.int64]
    labels: NDArray[np.int32]
    bias: NDArray[np.float32]
    features: NDArray[np.int32]
    chunk_cell_ptr: NDArray[np.int64]
    chunk_value_ptr: NDArray[np.int64]
    feature_cell_ptr: NDArray[np.uint32]
    feature_value_ptr: NDArray[np.uint32]
    cell_groups: NDArray[np.uint16]
    cell_masks: NDArray[np.uint16]
    values: NDArray[Any]
    chunk_scales: NDArray[np.float32]
    n_features: int
    verified: bool = True

    @classmethod
    def from_cells(
        cls,
        parts: list[Any],
        bias: NDArray[np.float32],
        labels: NDArray[Any],
        n_features: int,
        chunk_groups: int = CHUNK_GROUPS,
    ) -> BlockWeights:
        """Merge trained blocks, one group each, into chunks. `parts` is emptied meanwhile, to hold one copy only."""
        n_groups = -(-len(labels) // LANES)
        n_chunks = max(1, -(-n_groups // chunk_groups))
        blocks: list[Any] = [
            block for cells in parts for block in zip(cells.features, cells.masks, cells.values, strict=True)
        ]
        parts.clear()
        chunks = []
        for chunk in range(n_chunks):
            first = chunk * chunk_groups
            group = blocks[first : first + chunk_groups]
            blocks[first : first + chunk_groups] = [None] * len(group)
            features, masks, values = ([block[i] for block in group] for i in range(3))
            chunks.append(kernels.merge_cells(features, masks, values, n_features=n_features))
            del group
        rows, feature_cell_ptr, feature_value_ptr, cell_groups, cell_masks, packed = zip(*chunks, strict=True)
        lanes = np.full(n_groups * LANES, -1, np.int32)
        lanes[: len(labels)] = labels
        lane_bias = np.zeros(n_groups * LANES, np.float32)
        lane_bias[: len(labels)] = bias
        return cls(
            chunk_group_ptr=np.minimum(np.arange(n_chunks + 1) * chunk_groups, n_groups),
            chunk_feature_ptr=np.cumsum([0, *(len(part) for part in rows)]),
            labels=lanes,
            bias=lane_bias,
            features=np.concatenate(rows),
            chunk_cell_ptr=np.cumsum([0, *(len(part) for part in cell_groups)]),
            chunk_value_ptr=np.cumsum([0, *(len(part) for part in packed)]),
            feature_cell_ptr=_chained(feature_cell_ptr),
            feature_value_ptr=_chained(feature_value_ptr),
            cell_groups=np.concatenate(cell_groups),
            cell_masks=np.concatenate(cell_masks),
            values=np.concatenate([*packed, np.zeros(LANES, np.float32)]),
            chunk_scales=np.ones(n_chunks, np.float32),
            n_features=n_features,
        )

    @classmethod
    def from_dense(
        cls, weights: NDArray[np.float32], bias: NDArray[np.float32], labels: NDArray[Any], prune: float
    ) -> BlockWeights:
        """Store dense weights of shape (n_features, len(labels)), without weights of at most `prune`."""
        cells = kernels.dense_cells(np.ascontiguousarray(weights, np.float32), prune=prune)
        return cls.from_cells([cells], bias.astype(np.float32), labels, weights.shape[0])

    @classmethod
    def from_csc(
        cls,
        weights: csc_array,
        bias: NDArray[np.float32],
        labels: NDArray[Any],
        chunk_groups: int = CHUNK_GROUPS,
    ) -> BlockWeights:
        """Store sparse weights of shape (n_features, len(labels)); bias holds a score for each of them."""
        return cls.from_cells([sparse_cells(weights)], bias.astype(np.float32), labels, weights.shape[0], chunk_groups)

    @classmethod
    def concatenated(cls, parts: list[Self]) -> Self:
        """Return the float32 models of several parts, which share no label, as one."""

        def joined(name: str) -> NDArray[Any]:
            return np.concatenate([getattr(part, name) for part in parts])

        def pointers(name: str) -> NDArray[np.int64]:
            return np.cumsum(np.concatenate([[0], *(np.diff(getattr(part, name)) for part in parts)]))

        return cls(
            chunk_group_ptr=pointers("chunk_group_ptr"),
            chunk_feature_ptr=pointers("chunk_feature_ptr"),
            labels=joined("labels"),
            bias=joined("bias"),
            features=joined("features"),
            chunk_cell_ptr=pointers("chunk_cell_ptr"),
            chunk_value_ptr=pointers("chunk_value_ptr"),
            feature_cell_ptr=_chained(tuple(part.feature_cell_ptr for part in parts)),
            feature_value_ptr=_chained(tuple(part.feature_value_ptr for part in parts)),
            cell_groups=joined("cell_groups"),
            cell_masks=joined("cell_masks"),
            values=np.concatenate([*(part.values[:-LANES] for part in parts), np.zeros(LANES, np.float32)]),
            chunk_scales=joined("chunk_scales"),
            n_features=parts[0].n_features,
        )

    @property
    def n_values(self) -> int:
        """Number of weights, without the constant feature."""
        return len(self.values) - LANES

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in self.arrays().values())

    def topk(self, X: Any, k: int, labels: NDArray[np.int32] | None = None) -> TopK:
        """Return the `k` labels with the highest scores ``w.x + bias`` of each row.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        k : int
            At least 1.
        labels : ndarray of int32, optional
            The only labels to predict; groups that contain none of them are not scored.

        Returns
        -------
        TopK

        Raises
        ------
        ValueError, TypeError
            If `X` has another number of features or is no matrix of finite numbers, or `k` is below 1.
        """
        return self.ranked(check_rows(X, "X", self.n_features), check_k(k), labels)

    def ranked(
        self,
        X: Features,
        k: int,
        labels: NDArray[np.int32] | None = None,
        *,
        weights: ScoreWeights | None = None,
        stop: StopByte = RUNNING,
    ) -> TopK:
        """Return what `topk` returns for rows that are checked already.

        Parameters
        ----------
        X : csr_array or ndarray of float32, shape (n_rows, n_features)
            Canonical or C-contiguous, and finite.
        k, labels
            As for `topk`.
        weights : ScoreWeights, optional
            Scores are weighed before the best are taken.
        stop : ndarray of uint8, shape (1,), optional
            Set by `run_tasks` to end the work; the result is then unfinished.

        Returns
        -------
        TopK
        """
        found = kernels.predict_topk(
            self.stored,
            kernel_rows(X),
            allowed=self._allowed(labels),
            lane_weights=None if weights is None else weights.values[self.labels],
            added=weights is not None and weights.added,
            k=k,
            stop=stop,
        )
        return TopK(*found)

    def lane_scores(self, X: Features, *, stop: StopByte = RUNNING) -> NDArray[np.float32]:
        """Return the scores of all lanes for rows that are checked already.

        Parameters
        ----------
        X, stop
            As for `ranked`.

        Returns
        -------
        ndarray of float32, shape (n_rows, 16 n_groups)
            Column j is that of ``labels[j]``; a lane without a label scores 0.
        """
        return kernels.predict_all(self.stored, kernel_rows(X), n_lanes=len(self.labels), stop=stop)

    @cached_property
    def stored(self) -> StoredWeights:
        """The weights as kernels read them, checked before they are first used."""
        if not self.verified:
            self.verify()
        return StoredWeights(
            chunk_group_ptr=self.chunk_group_ptr,
            chunk_feature_ptr=self.chunk_feature_ptr,
            labels=self.labels,
            bias=self.bias,
            features=self.features,
            chunk_cell_ptr=self.chunk_cell_ptr,
            chunk_value_ptr=self.chunk_value_ptr,
            feature_cell_ptr=self.feature_cell_ptr,
            feature_value_ptr=self.feature_value_ptr,
            cell_groups=self.cell_groups,
            cell_masks=self.cell_masks,
            values=self.values,
            chunk_scales=self.chunk_scales,
        )

    @cached_property
    def _lane_of_label(self) -> NDArray[np.int64]:
        """The lane of each label up to the largest that has one; for others the one past the last."""
        used = np.flatnonzero(self.labels >= 0)
        lane_of = np.full(int(self.labels.max(initial=-1)) + 1, len(self.labels))
        lane_of[self.labels[used]] = used
        return lane_of

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name not in ("stored", "_lane_of_label")}

    def _allowed(self, labels: NDArray[np.int32] | None) -> NDArray[np.uint16]:
        """Return for each group the lanes that may be predicted."""
        if labels is None:
            allowed = self.labels >= 0
        else:
            allowed = np.zeros(len(self.labels) + 1, np.bool_)
            places = self._lane_of_label
            allowed[places[labels[labels < len(places)]]] = True
            allowed = allowed[:-1]  # The last one is that of labels without a lane.
        return np.packbits(allowed.reshape(-1, LANES), axis=1, bitorder="little").view("<u2").ravel().astype(np.uint16)

    def to_csc(self, n_labels: int) -> csc_array:
        """Return the weights as a matrix of shape (n_features, n_labels), without the bias."""
        columns = self.labels[self._lanes_of_values()]
        return csc_array((self._floats(), (self._features_of_values(), columns)), shape=(self.n_features, n_labels))

    def weights_at(
        self, chunk: int, features: NDArray[np.int32]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        """Return the weights that some features have in one chunk, of a model that was verified.

        Parameters
        ----------
        chunk : int
        features : ndarray of int32, shape (n,)

        Returns
        -------
        position, lane : ndarray of int64, shape (n_found,)
            Place of the feature in `features`, and of the label in the chunk.
        weight : ndarray of float32, shape (n_found,)

        Notes
        -----
        Cost: a binary search for each feature, and the cells of the features found.
        """
        first, last = self.chunk_feature_ptr[chunk : chunk + 2]
        at = first + np.searchsorted(self.features[first:last], features)
        found = np.flatnonzero(at < last)
        found = found[self.features[at[found]] == features[found]]
        rows = at[found]
        cells, _ = _row_entries(rows, self.feature_cell_ptr, self.chunk_cell_ptr[chunk])
        places, n_values = _row_entries(rows, self.feature_value_ptr, self.chunk_value_ptr[chunk])
        cell, lane = np.nonzero(_lanes_of(self.cell_masks[cells]))
        lane += LANES * self.cell_groups[cells][cell].astype(np.int64)
        return np.repeat(found, n_values), lane, self.values[places].astype(np.float32) * self.chunk_scales[chunk]

    def pruned(self, threshold: float) -> BlockWeights:
        """Return the weights whose absolute value exceeds `threshold`, in the same chunks."""
        return self._with_values(np.abs(self._floats()) > threshold)

    def relabeled(self, ids: NDArray[np.int32]) -> BlockWeights:
        """Return the models under other label ids, in the same lanes.

        Parameters
        ----------
        ids : ndarray of int32, shape (n_labels,)
            What the id of each label becomes; -1 drops its model.

        Returns
        -------
        BlockWeights
        """
        if not self.verified:
            self.verify()
        used = self.labels >= 0
        labels = np.where(used, ids[self.labels], np.int32(-1))
        bias = np.where(labels >= 0, self.bias, np.float32(0))
        weights = replace(self, labels=labels, bias=bias)
        return weights if (used == (labels >= 0)).all() else weights._with_values(labels[self._lanes_of_values()] >= 0)

    def _with_values(self, wanted: NDArray[np.bool_]) -> BlockWeights:
        """Return the weights with only those values that are wanted, in the same chunks."""
        lanes = self._lanes()
        lanes[lanes] = wanted
        masks = np.packbits(lanes, axis=1, bitorder="little").view("<u2").ravel().astype(np.uint16)
        kept = masks > 0
        row = np.repeat(np.arange(len(self.features)), np.diff(self.feature_cell_ptr))
        weights_of_cell = np.bitwise_count(masks).astype(np.int64)
        cells = np.bincount(row[kept], minlength=len(self.features))
        weights = np.bincount(row, weights=weights_of_cell, minlength=len(self.features)).astype(np.int64)
        filled = cells > 0
        rows_before = np.concatenate([[0], np.cumsum(filled)])
        cells_before, weights_before = (np.concatenate([[0], np.cumsum(count)]) for count in (cells, weights))
        return replace(
            self,
            chunk_feature_ptr=rows_before[self.chunk_feature_ptr],
            chunk_cell_ptr=cells_before[self.chunk_feature_ptr],
            chunk_value_ptr=weights_before[self.chunk_feature_ptr],
            features=self.features[filled],
            feature_cell_ptr=np.append(cells_before[:-1][filled], cells_before[-1]).astype(np.uint32),
            feature_value_ptr=np.append(weights_before[:-1][filled], weights_before[-1]).astype(np.uint32),
            cell_groups=self.cell_groups[kept],
            cell_masks=masks[kept],
            values=np.concatenate([self.values[:-LANES][wanted], np.zeros(LANES, self.values.dtype)]),
        )

    def astype(self, dtype: str) -> BlockWeights:
        """Return the weights stored in fewer bytes.

        Parameters
        ----------
        dtype : {"float32", "float16", "int8"}
            "int8" stores multiples of the 127th part of the largest weight of the chunk.
        """
        if dtype == self.values.dtype.name:
            return self
        floats: NDArray[Any] = self._floats()
        scales = np.ones(len(self.chunk_scales), np.float32)
        if dtype == "int8":
            chunk = self._chunk_of_values()
            np.maximum.at(largest := np.zeros(len(scales), np.float32), chunk, np.abs(floats))
            scales = np.where(largest > 0, largest / 127, 1).astype(np.float32)
            floats = np.rint(floats / scales[chunk])
        elif dtype == "float16":
            floats = half_precision(floats)
        values = np.concatenate([floats, np.zeros(LANES)]).astype(dtype)
        return replace(self, values=values, chunk_scales=scales)

    def _floats(self) -> NDArray[np.float32]:
        """Return the weights as the scores use them."""
        values = self.values[:-LANES].astype(np.float32)
        return values if self.values.dtype.kind == "f" else values * self.chunk_scales[self._chunk_of_values()]

    def _chunk_of_values(self) -> NDArray[np.int64]:
        return np.repeat(np.arange(len(self.chunk_scales)), np.diff(self.chunk_value_ptr))

    def _lanes(self) -> NDArray[np.bool_]:
        """Return which lanes carry a weight, for each cell; shape (n_cells, 16)."""
        return _lanes_of(self.cell_masks)

    def _lanes_of_values(self) -> NDArray[np.int64]:
        """Return the lane of each weight, counted over all groups."""
        cells_of_chunk = np.diff(self.chunk_cell_ptr)
        group = self.cell_groups + np.repeat(self.chunk_group_ptr[:-1], cells_of_chunk)
        cell, lane = np.nonzero(self._lanes())
        return group[cell] * LANES + lane

    def _features_of_values(self) -> NDArray[np.int32]:
        """Return the feature of each weight."""
        n_values = np.diff(self.feature_value_ptr).astype(np.int64)  # Differences wrap modulo 2**32, as pointers do.
        return np.repeat(self.features, n_values)

    # Persistence

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays under their names in model files."""
        return {name: getattr(self, _ATTRIBUTES.get(name, name)) for name in _TABLE}

    @classmethod
    def from_arrays(cls, arrays: Arrays, n_features: int, n_labels: int, *, full: bool) -> Self:
        """Take over stored arrays.

        Shapes and dtypes are checked now; pointers and indices now if `full`, else before the first prediction.

        Raises
        ------
        ModelFileError
            If an array is missing, or does not fit the others.
        """
        found = stored_table(arrays, _TABLE, "the weights")
        if len(found["labels"]) % LANES or len(found["values"]) < LANES:
            raise ModelFileError(
                f"The groups of the weights are not of {LANES} lanes, or the zeros at the end are missing."
            )
        named = {_ATTRIBUTES.get(name, name): array for name, array in found.items()}
        weights = cls(**named, n_features=n_features, verified=False)
        weights._n_labels = n_labels
        if full:
            weights.verify()
        return weights

    def verify(self) -> None:
        """Check every pointer and index that a kernel follows. Cost: one pass over all arrays but the values.

        Raises
        ------
        ModelFileError
        """
        n_groups, n_rows = len(self.labels) // LANES, len(self.features)
        _check_offsets("chunk_group_ptr", self.chunk_group_ptr, n_groups)
        _check_offsets("chunk_feature_ptr", self.chunk_feature_ptr, n_rows)
        _check_offsets("chunk_cell_ptr", self.chunk_cell_ptr, len(self.cell_masks))
        _check_offsets("chunk_value_ptr", self.chunk_value_ptr, self.n_values)
        feature_cell_ptr = self._row_offsets("feature_cell_ptr", self.feature_cell_ptr, self.chunk_cell_ptr)
        feature_value_ptr = self._row_offsets("feature_value_ptr", self.feature_value_ptr, self.chunk_value_ptr)
        _check_range("features", self.features, 0, self.n_features)
        _check_range("labels", self.labels, -1, self._n_labels)
        chunk = np.repeat(np.arange(len(self.chunk_feature_ptr) - 1), np.diff(self.chunk_feature_ptr))
        ascending = (np.diff(self.features) > 0) | (np.diff(chunk) > 0)
        used = self.labels[self.labels >= 0]
        widths = np.diff(self.chunk_group_ptr)
        cell_chunk = np.repeat(chunk, np.diff(feature_cell_ptr))
        lanes = np.concatenate(([0], np.cumsum(np.bitwise_count(self.cell_masks), dtype=np.int64)))
        if not ascending.all():
            raise ModelFileError("The features of a chunk do not ascend.")
        if len(np.unique(used)) != len(used):
            raise ModelFileError("A label has weights in two places.")
        if (self.cell_groups >= widths[cell_chunk]).any():
            raise ModelFileError("A cell lies outside the groups of its chunk.")
        if not np.array_equal(lanes[feature_cell_ptr], feature_value_ptr):
            raise ModelFileError("The masks of the cells do not match the offsets of their values.")
        if not all(np.isfinite(array).all() for array in (self.bias, self.chunk_scales, self.values)):
            raise ModelFileError("A weight is not finite.")
        self.verified = True

    def _row_offsets(self, name: str, low: NDArray[np.uint32], chunks: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the pointers of rows in full; raise for rows that do not begin and end with their chunk."""
        offsets = np.concatenate([[0], np.cumsum(np.diff(low), dtype=np.int64)])
        if low[0] != 0 or not np.array_equal(offsets[self.chunk_feature_ptr], chunks):
            raise ModelFileError(f"Array {name} of the weights does not fit the chunks.")
        return offsets

    _n_labels = np.iinfo(np.int32).max


# The arrays of a model file, and the attributes that have other names there.
_TABLE: Table = {
    "chunk_groups": (np.int64, "chunks + 1"),
    "chunk_rows": (np.int64, "chunks + 1"),
    "labels": (np.int32, "lanes"),
    "bias": (np.float32, "lanes"),
    "features": (np.int32, "features"),
    "chunk_cells": (np.int64, "chunks + 1"),
    "chunk_values": (np.int64, "chunks + 1"),
    "row_cells": (np.uint32, "features + 1"),
    "row_values": (np.uint32, "features + 1"),
    "cell_groups": (np.uint16, "cells"),
    "cell_masks": (np.uint16, "cells"),
    "chunk_scales": (np.float32, "chunks"),
    "values": (VALUE_TYPES, "values"),
}
_ATTRIBUTES = {
    "chunk_groups": "chunk_group_ptr",
    "chunk_rows": "chunk_feature_ptr",
    "chunk_cells": "chunk_cell_ptr",
    "chunk_values": "chunk_value_ptr",
    "row_cells": "feature_cell_ptr",
    "row_values": "feature_value_ptr",
}


def _lanes_of(masks: NDArray[np.uint16]) -> NDArray[np.bool_]:
    pairs = masks.astype("<u2").view(np.uint8).reshape(-1, 2)
    return np.unpackbits(pairs, axis=1, bitorder="little").astype(np.bool_)


def _row_entries(
    rows: NDArray[np.int64], low: NDArray[np.uint32], first_of_chunk: np.int64
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the cells or values of feature rows of a chunk, row by row, and the number that each row has."""
    counts = (low[rows + 1] - low[rows]).astype(np.int64)
    starts = first_of_chunk + (low[rows] - first_of_chunk.astype(np.uint32)).astype(np.int64)
    ends = np.cumsum(counts)
    return np.repeat(starts - ends + counts, counts) + np.arange(counts.sum()), counts


def half_precision(weights: NDArray[Any]) -> NDArray[np.float16]:
    """Return weights as float16; weights beyond its range become its largest numbers."""
    return np.clip(weights, -65504, 65504).astype(np.float16)


def sparse_cells(weights: csc_array) -> kernels.Cells:
    """Return the cells of sparse weights, 16 labels a block."""
    cells = kernels.Cells()
    columns = canonical(weights.T, "weights")
    for first in range(0, weights.shape[1], LANES):
        block = columns[first : first + LANES].tocoo()
        block.eliminate_zeros()
        by_feature = np.lexsort((block.row, block.col))
        features, at = np.unique(block.col[by_feature], return_index=True)
        lanes = np.left_shift(1, block.row[by_feature]).astype(np.uint16)
        cells.features.append(features.astype(np.int32))
        cells.masks.append(np.bitwise_or.reduceat(lanes, at) if len(at) else lanes)
        cells.values.append(block.data[by_feature].astype(np.float32))
    return cells


def _chained(offsets: tuple[NDArray[np.uint32], ...]) -> NDArray[np.uint32]:
    """Join pointer arrays that each start at 0 into one, modulo 2**32."""
    starts = np.cumsum([0, *(part[-1] for part in offsets)], dtype=np.uint32)
    joined = [part[1:] + start for part, start in zip(offsets, starts, strict=False)]
    return np.concatenate([np.zeros(1, np.uint32), *joined])


def _check_offsets(name: str, offsets: NDArray[np.int64], end: int) -> None:
    if offsets[0] != 0 or offsets[-1] != end or (np.diff(offsets) < 0).any():
        raise ModelFileError(f"Array {name} of the weights is not an ascending list of offsets from 0 to {end}.")


def _check_range(name: str, values: NDArray[np.int32], low: int, high: int) -> None:
    if len(values) and (values.min() < low or values.max() >= high):
        raise ModelFileError(
            f"Array {name} of the weights holds {values.min()} to {values.max()}; {low} to {high - 1} are valid."
        )
