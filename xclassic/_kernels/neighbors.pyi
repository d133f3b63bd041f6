import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.arguments import FeatureRows

def find_nearest(
    queries: FeatureRows,
    *,
    posting_ptr: NDArray[np.int64],  # (n_features + 1,)
    posting_rows: NDArray[np.int32],  # (nnz,)
    posting_values: NDArray[np.float32],  # (nnz,)
    n_rows: int,
    k: int,
    stop: NDArray[np.uint8],  # (1,)
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]: ...
def vote(
    *,
    neighbors: NDArray[np.int32],  # (n_rows, n_neighbors)
    weights: NDArray[np.float32],  # (n_rows, n_neighbors)
    label_ptr: NDArray[np.int64],  # (n_neighbor_rows + 1,)
    labels: NDArray[np.int32],
    n_labels: int,
    allowed: NDArray[np.uint8] | None,  # (n_labels,)
    k: int,
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]: ...
