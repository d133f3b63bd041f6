import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.arguments import FeatureRows, MappedRows, StoredWeights

class Cells:
    features: list[NDArray[np.int32]]  # of each block, ascending
    masks: list[NDArray[np.uint16]]
    values: list[NDArray[np.float32]]

def simd_levels() -> list[str]: ...
def simd_level() -> str: ...
def use_simd_level(name: str) -> None: ...
def lane_width(n_labels: int) -> int: ...
def train_labels(
    rows: FeatureRows | MappedRows,
    *,
    square_norms: NDArray[np.float32],  # (n_rows,)
    reading_order: NDArray[np.int32] | None,  # (n_rows,)
    feature_of: NDArray[np.int32],  # (n_features,)
    row_weights: NDArray[np.float32] | None,  # (n_rows,)
    label_ptr: NDArray[np.int64],  # (n_labels + 1,)
    label_rows: NDArray[np.int32],
    label_shares: NDArray[np.float32] | None,  # (len(label_rows),)
    positive_costs: NDArray[np.float32],  # (n_labels,)
    negative_costs: NDArray[np.float32],  # (n_labels,)
    width: int,
    loss: int,
    l1: float,
    eps: float,
    max_passes: int,
    prune: float,
    seed: int,
    stop: NDArray[np.uint8],  # (1,)
) -> tuple[Cells, NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]: ...
def ridge_labels(
    rows: FeatureRows | MappedRows,
    *,
    diagonal: NDArray[np.float32],  # (n_features + 1,)
    feature_of: NDArray[np.int32],  # (n_features,)
    row_weights: NDArray[np.float32] | None,  # (n_rows,), or None for ones
    label_ptr: NDArray[np.int64],  # (n_labels + 1,)
    label_rows: NDArray[np.int32],
    target_values: NDArray[np.float32],  # (n_labels,)
    ridge: float,
    width: int,
    tolerance: float,
    max_sweeps: int,
    prune: float,
    stop: NDArray[np.uint8],  # (1,)
) -> tuple[Cells, NDArray[np.float32], NDArray[np.float64], int]: ...
def dense_cells(
    weights: NDArray[np.float32],  # (n_features, n_labels)
    *,
    prune: float,
) -> Cells: ...
def merge_cells(
    features: list[NDArray[np.int32]],  # of each group
    masks: list[NDArray[np.uint16]],
    values: list[NDArray[np.float32]],
    *,
    n_features: int,
) -> tuple[
    NDArray[np.int32],
    NDArray[np.uint32],
    NDArray[np.uint32],
    NDArray[np.uint16],
    NDArray[np.uint16],
    NDArray[np.float32],
]: ...
def predict_topk(
    weights: StoredWeights,
    rows: FeatureRows,
    *,
    allowed: NDArray[np.uint16],  # (n_groups,)
    lane_weights: NDArray[np.float32] | None,  # (16 n_groups,)
    added: bool,
    k: int,
    stop: NDArray[np.uint8],  # (1,)
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]: ...
def predict_all(
    weights: StoredWeights,
    rows: FeatureRows,
    *,
    n_lanes: int,
    stop: NDArray[np.uint8],  # (1,)
) -> NDArray[np.float32]: ...  # (n_rows, n_lanes)
