import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.arguments import FeatureRows

def find_thresholds(
    rows: FeatureRows,
    *,
    label_ptr: NDArray[np.int64],  # (n_rows + 1,)
    labels: NDArray[np.int32],
    n_labels: int,
    point_ptr: NDArray[np.int64],  # (n_nodes + 1,)
    points: NDArray[np.int32],  # (n_points,)
    max_features: int,
    min_leaf: int,
    min_share: float,
    seeds: NDArray[np.uint64],  # (n_nodes,)
    stop: NDArray[np.uint8],  # (1,)
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.uint8]]: ...
