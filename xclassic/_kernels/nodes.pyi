from typing import Any

import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.arguments import FeatureRows, MappedRows

def train_nodes(
    rows: FeatureRows | MappedRows,
    *,
    square_norms: NDArray[np.float32],  # (n_rows,)
    feature_of: NDArray[np.int32],  # (n_used_features,)
    n_features: int,
    row_ptr: NDArray[np.int64],  # (n_nodes + 1,)
    node_rows: NDArray[np.int32],
    row_mass: NDArray[np.float32] | None,  # like node_rows
    child_ptr: NDArray[np.int64],  # (n_nodes + 1,)
    positive_ptr: NDArray[np.int64],  # (n_children + 1,)
    positives: NDArray[np.int32],
    positive_mass: NDArray[np.float32] | None,  # like positives
    seeds: NDArray[np.uint64],  # (n_nodes,)
    loss: int,
    cost: float,
    negative_cost: float,
    child_costs: NDArray[np.float32] | None,  # (n_children,)
    eps: float,
    max_passes: int,
    prune: float,
    stop: NDArray[np.uint8],  # (1,)
) -> dict[str, NDArray[Any]]: ...
