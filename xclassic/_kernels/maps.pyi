import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.arguments import FeatureRows

def map_rows(
    rows: FeatureRows,
    *,
    features: NDArray[np.int32],  # (n_features,)
    weights: NDArray[np.uint16],  # (n_features, n_components), the bits of float16
) -> NDArray[np.float32]: ...
