import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.arguments import FeatureRows

def train_planes(
    rows: FeatureRows,
    *,
    point_ptr: NDArray[np.int64],  # (n_nodes + 1,)
    points: NDArray[np.int32],  # (n_points,)
    sides: NDArray[np.uint8],  # (n_points,)
    scale: float,
    cost: float,
    eps: float,
    max_rounds: int,
    max_sweeps: int,
    seeds: NDArray[np.uint64],  # (n_nodes,)
    stop: NDArray[np.uint8],  # (1,)
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32], NDArray[np.float32], NDArray[np.uint8]]: ...
