import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.arguments import FeatureRows, MappedRows

def label_vectors(
    rows: FeatureRows | MappedRows,
    *,
    label_ptr: NDArray[np.int64],  # (n_labels + 1,)
    label_rows: NDArray[np.int32],  # (nnz,)
    weights: NDArray[np.float32],  # (nnz,)
    max_entries: int,
    stop: NDArray[np.uint8],  # (1,)
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]: ...
def split_nodes(
    rows: FeatureRows,
    *,
    item_ptr: NDArray[np.int64],  # (n_nodes + 1,)
    items: NDArray[np.int32],
    n_clusters: NDArray[np.int32],  # (n_nodes,)
    seeds: NDArray[np.uint64],  # (n_nodes,)
    room: float,
    tolerance: float,
    max_rounds: int,
    stop: NDArray[np.uint8],  # (1,)
) -> NDArray[np.int32]: ...
