import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.arguments import FeatureRows, StoredWeights

class SearchTree:
    def __init__(
        self,
        weights: StoredWeights,
        *,
        child_ptr: NDArray[np.int64],  # (n_nodes + 1,)
        label: NDArray[np.int32],  # (n_nodes,)
        chunk_of: NDArray[np.int32],  # (n_nodes,)
    ) -> None: ...

def search(
    trees: list[SearchTree],
    rows: FeatureRows,
    *,
    allowed: list[NDArray[np.uint8] | None],  # for each tree (n_nodes,)
    label_weights: NDArray[np.float32] | None,  # (n_labels,)
    all_kept: bool,
    n_labels: int,
    score: int,
    beam: int,
    k: int,
    stop: NDArray[np.uint8],  # (1,)
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]: ...
