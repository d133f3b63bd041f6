import numpy as np
from numpy.typing import NDArray

def stratify(
    *,
    labels: NDArray[np.int32],  # (nnz,)
    label_ptr: NDArray[np.int64],  # (n_rows + 1,)
    rows: NDArray[np.int32],  # (nnz,)
    row_ptr: NDArray[np.int64],  # (n_labels + 1,)
    coins: NDArray[np.int32],  # (n_rows,)
    shares: NDArray[np.float64],  # (n_sides,)
    room: NDArray[np.int64],  # (n_sides,), overwritten
    counts: NDArray[np.int32],  # (n_labels, n_sides), overwritten
) -> NDArray[np.int32]: ...
def move_rows(
    *,
    labels: NDArray[np.int32],  # (nnz,)
    label_ptr: NDArray[np.int64],  # (n_rows + 1,)
    order: NDArray[np.int64],  # (n_moving,)
    totals: NDArray[np.int64],  # (n_labels,)
    counts: NDArray[np.int32],  # (n_labels, n_sides), overwritten
    sides: NDArray[np.int32],  # (n_rows,), overwritten
    target: int,
    moves: int,
) -> None: ...
