"""Linear maps from features to short vectors, of which only the direction counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

import xclassic._kernels.maps as kernels
from xclassic.rows import kernel_rows, unit_rows
from xclassic.validation.features import Features

LEAST_WEIGHT = 6.104e-5  # Smallest weight kept, as a share of the largest. Half precision loses digits below it.


@dataclass
class FeatureMap:
    """A map in half precision, scaled so that its largest weight is 1.

    Attributes
    ----------
    features : ndarray of int32, shape (n_used,)
        Features in use, ascending; the others are mapped to 0.
    weights : ndarray of float16, shape (n_used, n_components)
    """

    features: NDArray[np.int32]
    weights: NDArray[np.float16]

    @classmethod
    def build(cls, features: NDArray[np.int32], weights: NDArray[np.float32]) -> FeatureMap:
        scaled = weights / (np.abs(weights).max(initial=0) or 1)
        return cls(features, np.ascontiguousarray(np.where(np.abs(scaled) < LEAST_WEIGHT, 0, scaled), np.float16))

    def images(self, X: Features) -> NDArray[np.float32]:
        """Return the images of the rows, of unit length or all zeros, shape (n_rows, n_components)."""
        weights = self.weights.view(np.uint16)
        return np.asarray(unit_rows(kernels.map_rows(kernel_rows(X), features=self.features, weights=weights)))


def used_columns(X: Features) -> tuple[Features, NDArray[np.int32]]:
    """Return the rows without the features that are 0 in all of them, and the numbers of the features that remain."""
    if isinstance(X, np.ndarray):
        features = np.flatnonzero(X.any(axis=0)).astype(np.int32)
        return np.ascontiguousarray(X[:, features]), features
    features, columns = np.unique(X.indices, return_inverse=True)
    return csr_array((X.data, columns, X.indptr), shape=(X.shape[0], len(features))), features.astype(np.int32)
