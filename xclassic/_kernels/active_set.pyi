import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.arguments import FeatureRows

def solve_active_sets(
    rows: FeatureRows,
    columns: FeatureRows,  # the transpose
    *,
    squares: NDArray[np.float32],  # (n_rows,)
    label_ptr: NDArray[np.int64],  # (n_labels + 1,)
    label_rows: NDArray[np.int32],
    l1: float,
    cost: float,
    bias: float,
    eps: float,
    prune: float,
    max_rounds: int,
    seed: int,
    stop: NDArray[np.uint8],  # (1,)
) -> tuple[
    NDArray[np.int64],
    NDArray[np.int32],
    NDArray[np.float32],
    NDArray[np.float32],
    NDArray[np.float64],
    NDArray[np.int64],
    NDArray[np.int32],
    NDArray[np.int64],
]: ...
