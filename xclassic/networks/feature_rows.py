"""Rows of features, sparse or dense, as the first layer of a network reads them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from xclassic.networks.torch_support import to_device


class SparseRows(NamedTuple):
    """Sparse rows, as ``torch.nn.functional.embedding_bag`` reads them.

    Attributes
    ----------
    indices : Tensor of int32, shape (nnz,)
    starts : Tensor of int32, shape (n_rows,)
    values : Tensor of float32, shape (nnz,)
    """

    indices: Tensor
    starts: Tensor
    values: Tensor


def feature_rows(X: csr_array | NDArray[np.float32], rows: NDArray[np.int64], device: Any) -> Tensor | SparseRows:
    """Return some rows of a canonical float32 matrix as tensors on a device."""
    part = X[rows]
    if isinstance(part, np.ndarray):
        return to_device(part, device)
    arrays = part.indices.astype(np.int32), part.indptr[:-1].astype(np.int32), part.data
    return SparseRows(*(to_device(array, device) for array in arrays))


def products(rows: Tensor | SparseRows, weight: Tensor) -> Tensor:
    """Return the products of the result of `feature_rows` with a matrix of shape (n_features, width)."""
    if isinstance(rows, Tensor):
        return rows @ weight
    return torch.nn.functional.embedding_bag(
        rows.indices, weight, rows.starts, mode="sum", per_sample_weights=rows.values
    )


def arrays_of(X: csr_array | NDArray[np.float32]) -> list[NDArray[Any]]:
    """Return the arrays that tell a matrix from others of its shape."""
    return [X] if isinstance(X, np.ndarray) else [X.indptr, X.indices, X.data]


class FeatureLinear(torch.nn.Module):
    """A linear layer that takes the result of `feature_rows`; its cost goes by the nonzero entries.

    Attributes
    ----------
    weight : Parameter, shape (n_features, width)
    bias : Parameter, shape (width,)
    """

    def __init__(self, n_features: int, width: int) -> None:
        super().__init__()
        bound = math.sqrt(3 / n_features)
        self.weight = torch.nn.Parameter(torch.empty(n_features, width).uniform_(-bound, bound))
        self.bias = torch.nn.Parameter(torch.zeros(width))

    def forward(self, rows: Tensor | SparseRows) -> Tensor:
        """Return the output for each row, shape (n_rows, width)."""
        return products(rows, self.weight) + self.bias
