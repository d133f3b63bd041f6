import numpy as np
from numpy.typing import NDArray

CHECKED: bool
LANES: int
CLIP: float
LOSSES: tuple[str, ...]
PATH_SCORES: tuple[str, ...]
VALUE_TYPES: tuple[str, ...]

class FeatureRows:
    indptr: NDArray[np.int64] | None
    indices: NDArray[np.int32] | None
    values: NDArray[np.float32]
    def __init__(
        self,
        indptr: NDArray[np.int64] | None,  # (n_rows + 1,), None for dense rows
        indices: NDArray[np.int32] | None,  # (nnz,)
        values: NDArray[np.float32],  # (nnz,) or (n_rows * n_features,)
        *,
        n_rows: int,
        n_features: int,
        bias: float = 0,
    ) -> None: ...
    @property
    def n_rows(self) -> int: ...
    @property
    def n_features(self) -> int: ...
    @property
    def bias(self) -> float: ...

class MappedRows:
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32]
    numbers: NDArray[np.int32] | None
    lengths: NDArray[np.float32] | None
    exponents: NDArray[np.int32] | None
    n_rows: int
    n_features: int
    bias: float
    def __init__(
        self,
        indptr: NDArray[np.int64],  # (n_rows + 1,)
        indices: NDArray[np.int32],  # (nnz,)
        values: NDArray[np.float32],  # (nnz,)
        *,
        numbers: NDArray[np.int32] | None,  # (n_stored_features,)
        lengths: NDArray[np.float32] | None,  # (n_rows,)
        exponents: NDArray[np.int32] | None,  # (n_rows,)
        n_rows: int,
        n_features: int,
        bias: float = 0,
    ) -> None: ...

class StoredWeights:
    widest: int
    def __init__(
        self,
        *,
        chunk_group_ptr: NDArray[np.int64],  # (n_chunks + 1,)
        chunk_feature_ptr: NDArray[np.int64],  # (n_chunks + 1,)
        labels: NDArray[np.int32],  # (16 n_groups,)
        bias: NDArray[np.float32],  # (16 n_groups,)
        features: NDArray[np.int32],  # (n_features,)
        chunk_cell_ptr: NDArray[np.int64],  # (n_chunks + 1,)
        chunk_value_ptr: NDArray[np.int64],  # (n_chunks + 1,)
        feature_cell_ptr: NDArray[np.uint32],  # (n_features + 1,)
        feature_value_ptr: NDArray[np.uint32],  # (n_features + 1,)
        cell_groups: NDArray[np.uint16],  # (n_cells,)
        cell_masks: NDArray[np.uint16],  # (n_cells,)
        values: NDArray[np.float32] | NDArray[np.float16] | NDArray[np.int8],  # (n_values + 16,)
        chunk_scales: NDArray[np.float32],  # (n_chunks,)
    ) -> None: ...

class BestLabels:
    ids: NDArray[np.int32]  # (n_rows, k)
    scores: NDArray[np.float32]  # (n_rows, k)
    counts: NDArray[np.int32]  # (n_rows,)
    def __init__(self, n_rows: int, k: int) -> None: ...
    def arrays(self) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]: ...
