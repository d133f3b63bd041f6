"""Numbers of records as features: one for each of some bins, and one for a missing value."""

from __future__ import annotations

from itertools import pairwise
from math import inf, isinf
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array


def read_numbers(values: list[Any], name: str) -> NDArray[np.float64]:
    """Return numbers, and NaN where they are missing."""
    numbers = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        try:
            numbers[i] = float(value)
        except (TypeError, ValueError, OverflowError):
            numbers[i] = inf
        if isinf(numbers[i]):
            raise ValueError(
                f"{name}[{i}] is {value!r}, no finite number. Write it as 1299.5, without unit or separators; leave it "
                "empty (None, NaN, '') where it is missing."
            )
    return numbers


def find_edges(values: NDArray[np.float64], n_bins: int, field: str) -> NDArray[np.float64]:
    """Return the quantiles that divide the values into bins, fewer than `n_bins` needs if many values are equal."""
    known = values[~np.isnan(values)]
    if not known.size:
        raise ValueError(f"All {values.size} values of the field {field!r} are missing; leave it out of numeric.")
    edges: NDArray[np.float64] = np.unique(np.quantile(known, np.arange(1, n_bins) / n_bins))
    return edges


def one_hot(values: NDArray[np.float64], edges: NDArray[np.float64], weight: np.float32) -> csr_array:
    """Return one entry per row, in the column of its bin, or in the last column if its value is missing."""
    columns = np.where(np.isnan(values), edges.size + 1, np.searchsorted(edges, values, side="right"))
    entries = (np.full(values.size, weight), columns.astype(np.int32), np.arange(values.size + 1, dtype=np.int32))
    return csr_array(entries, shape=(values.size, edges.size + 2))


def bin_names(field: str, edges: list[float]) -> list[str]:
    """Return the names of the columns of `one_hot`."""
    inner = [f"{low} <= {field} < {high}" for low, high in pairwise(edges)]
    return [f"{field} < {edges[0]}", *inner, f"{field} >= {edges[-1]}", f"{field} missing"]
