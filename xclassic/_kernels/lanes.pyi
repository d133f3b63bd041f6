from typing import Any

import numpy as np
from numpy.typing import NDArray

def moved_lanes(
    sources: list[tuple[NDArray[Any], ...]],
    *,
    n_chunks: int,
    width: int,
    stop: NDArray[np.uint8],  # (1,)
) -> tuple[
    NDArray[np.int64],  # (n_chunks,)
    NDArray[np.int64],  # (n_chunks,)
    NDArray[np.int64],  # (n_chunks,)
    NDArray[np.uint32],  # (n_rows,)
    NDArray[np.uint32],  # (n_rows,)
    NDArray[np.int32],  # (n_rows,)
    NDArray[np.uint16],  # (n_cells,)
    NDArray[np.uint16],  # (n_cells,)
    NDArray[np.uint8],  # (n_values * width,)
]: ...
