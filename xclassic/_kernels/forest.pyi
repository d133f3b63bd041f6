import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.arguments import FeatureRows

class KernelTree:
    def __init__(
        self,
        *,
        child_ptr: NDArray[np.int64],  # (n_nodes + 1,)
        router_ptr: NDArray[np.int64],  # (n_nodes + 1,)
        features: NDArray[np.int32],
        weights: NDArray[np.float32],
        bias: NDArray[np.float32],  # (n_nodes,)
        label_ptr: NDArray[np.int64],  # (n_nodes + 1,)
        labels: NDArray[np.int32],
        shares: NDArray[np.float32],
    ) -> None: ...

class KernelForest:
    def __init__(self, trees: list[KernelTree], d: int) -> None: ...

def route(
    tree: KernelTree,
    rows: FeatureRows,
    *,
    stop: NDArray[np.uint8],  # (1,)
) -> NDArray[np.int64]: ...
def rank_labels(
    forest: KernelForest,
    rows: FeatureRows,
    *,
    n_labels: int,
    allowed: NDArray[np.uint8] | None,  # (n_labels,)
    k: int,
    stop: NDArray[np.uint8],  # (1,)
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]: ...
def average_labels(
    *,
    indptr: NDArray[np.int64],  # (n_rows + 1,)
    indices: NDArray[np.int32],
    weights: NDArray[np.float32],
    n_labels: int,
    point_ptr: NDArray[np.int64],  # (n_leaves + 1,)
    points: NDArray[np.int32],
    max_labels: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]: ...
