import numpy as np
from numpy.typing import NDArray

def stratify(
    *,
    labels: NDArray[np.int32],  # (nnz,)
    label_ptr: NDArray[np.int64],  # (n_rows + 1,)
    rows: NDArray[np.int32],  # (nnz,)
    row_ptr: NDArray[np.int64],  # (n_labels + 1,)
    coins: NDArray[np.uint8],  # (n_rows,)
    n_test: int,
) -> NDArray[np.bool_]: ...
def move_rows(
    *,
    labels: NDArray[np.int32],  # (nnz,)
    label_ptr: NDArray[np.int64],  # (n_rows + 1,)
    order: NDArray[np.int64],  # (n_rows,)
    train_counts: NDArray[np.int64],  # (n_labels,), overwritten
    in_test: NDArray[np.uint8],  # (n_rows,), overwritten
    surplus: int,
) -> None: ...
