import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.arguments import FeatureRows

def split_by_clusters(
    rows: FeatureRows,
    labels: FeatureRows,
    *,
    slots: NDArray[np.int32],  # (n_features,)
    signs: NDArray[np.float32],  # (n_features,)
    n_slots: int,
    point_ptr: NDArray[np.int64],  # (n_nodes + 1,)
    points: NDArray[np.int32],  # (n_points,)
    n_clusters: int,
    rounds: int,
    max_sample: int,
    kept_share: float,
    kept_least: int,
    kept_most: int,
    seeds: NDArray[np.uint64],  # (n_nodes,)
    stop: NDArray[np.uint8],  # (1,)
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]: ...
