"""Weights put together from the lanes of others."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import xclassic._kernels.lanes as kernels
from xclassic._kernels.arguments import LANES
from xclassic.blocks.weights import BlockWeights
from xclassic.parallel import RUNNING


def move_lanes(
    parts: list[tuple[BlockWeights, NDArray[np.int64]]],
    *,
    labels: NDArray[np.int32],
    chunk_group_ptr: NDArray[np.int64],
) -> BlockWeights:
    """Return weights whose lanes come from one or several others.

    Parameters
    ----------
    parts : list of (BlockWeights, ndarray of int64)
        Weights that are verified, and the new lane of each of their lanes, counted over all groups, or -1. Those of a
        chunk go to one new chunk, and no two to the same lane. Values of several parts have one dtype, float32 or
        float16.
    labels, chunk_group_ptr
        Attributes of the result.

    Returns
    -------
    BlockWeights

    Notes
    -----
    Cost: one pass over the weights of all parts, some nanoseconds for each.
    """
    n_chunks = len(chunk_group_ptr) - 1
    chunk_of_lane = np.repeat(np.arange(n_chunks), LANES * np.diff(chunk_group_ptr))
    bias, scales = np.zeros(len(labels), np.float32), np.ones(n_chunks, np.float32)
    sources = []
    for weights, lanes in parts:
        used = np.flatnonzero(lanes >= 0)
        to, within = chunk_of_lane[lanes[used]], np.full(len(lanes), -1, np.int32)
        own = np.repeat(np.arange(len(weights.chunk_scales)), LANES * np.diff(weights.chunk_group_ptr))[used]
        within[used] = lanes[used] - LANES * chunk_group_ptr[to]
        comes_from = np.full(n_chunks, -1)
        comes_from[to] = own
        bias[lanes[used]], scales[to] = weights.bias[used], weights.chunk_scales[own]
        sources.append((*_arrays(weights), within, comes_from))
    dtype = parts[0][0].values.dtype
    chunk_rows, chunk_cells, chunk_values, row_cells, row_values, features, groups, masks, values = kernels.moved_lanes(
        sources, n_chunks=n_chunks, width=dtype.itemsize, stop=RUNNING
    )
    return BlockWeights(
        chunk_group_ptr=chunk_group_ptr,
        chunk_feature_ptr=_starts(chunk_rows),
        labels=labels,
        bias=bias,
        features=features,
        chunk_cell_ptr=_starts(chunk_cells),
        chunk_value_ptr=_starts(chunk_values),
        feature_cell_ptr=_starts(row_cells).astype(np.uint32),
        feature_value_ptr=_starts(row_values).astype(np.uint32),
        cell_groups=groups,
        cell_masks=masks,
        values=np.concatenate([values.view(dtype), np.zeros(LANES, dtype)]),
        chunk_scales=scales,
        n_features=parts[0][0].n_features,
    )


def _arrays(weights: BlockWeights) -> tuple[NDArray[Any], ...]:
    """Return the arrays that lanes are taken from."""
    pointers = (weights.chunk_group_ptr, weights.chunk_feature_ptr, weights.chunk_cell_ptr, weights.chunk_value_ptr)
    cells = (weights.features, weights.feature_cell_ptr, weights.cell_groups, weights.cell_masks)
    return (*pointers, *cells, weights.values.view(np.uint8))


def _starts(counts: NDArray[Any]) -> NDArray[np.int64]:
    """Return where each of consecutive ranges of these sizes begins, and where the last one ends."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
