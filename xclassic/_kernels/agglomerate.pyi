import numpy as np
from numpy.typing import NDArray

LINKAGES: tuple[str, ...]

def agglomerate(
    *,
    indptr: NDArray[np.int64],  # (n_items + 1,)
    indices: NDArray[np.int32],
    similarities: NDArray[np.float64],
    linkage: int,
    stop: NDArray[np.uint8],  # (1,)
) -> tuple[NDArray[np.int64], NDArray[np.float64]]: ...
def number_clusters(
    items: NDArray[np.int64],  # (n_items - 1, 2)
) -> tuple[NDArray[np.int64], NDArray[np.int64]]: ...
