import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.arguments import FeatureRows

def squared_distances(
    queries: FeatureRows,
    *,
    ids: NDArray[np.int32],  # (n_rows, k)
    counts: NDArray[np.int32],  # (n_rows,)
    centroid_ptr: NDArray[np.int64],  # (n_labels + 1,)
    features: NDArray[np.int32],  # (nnz,)
    means: NDArray[np.float32],  # (nnz,)
    square_norms: NDArray[np.float32],  # (n_labels,)
    stop: NDArray[np.uint8],  # (1,)
) -> NDArray[np.float32]: ...
