import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.arguments import FeatureRows

def fit_remainders(
    rows: FeatureRows,
    *,
    square_norms: NDArray[np.float32],  # (n_rows,)
    targets: NDArray[np.float32],  # (n_rows, n_labels), at most 16 labels
    alpha: float,
    l1: float,
    sweeps: int,
    eps: float,
    seed: int,
    stop: NDArray[np.uint8],  # (1,)
) -> NDArray[np.float32]: ...
