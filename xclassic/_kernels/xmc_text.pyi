from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

class Problem(IntEnum):
    NONE = 0
    BAD_LABEL = 1
    LABEL_RANGE = 2
    BAD_FEATURE = 3
    FEATURE_RANGE = 4
    BAD_VALUE = 5
    REPEATED_FEATURE = 6
    EMPTY_LINE = 7
    TOO_MANY_POINTS = 8

def count_marks(text: bytes | memoryview | NDArray[np.uint8]) -> tuple[int, int, int]: ...
def parse_points(
    text: bytes | memoryview | NDArray[np.uint8],
    *,
    row: int,
    n_points: int,
    n_labels: int,
    n_features: int,
    first_feature: int,
    labels: NDArray[np.int32],  # room for the labels; overwritten, as are all later arguments
    label_ptr: NDArray[np.int64],
    features: NDArray[np.int32],
    values: NDArray[np.float32],
    feature_ptr: NDArray[np.int64],
) -> tuple[int, int, int, int, int, int]: ...
def format_points(
    *,
    labels: NDArray[np.int32],
    label_ptr: NDArray[np.int64],  # (n_rows + 1,)
    features: NDArray[np.int32],
    values: NDArray[np.float32],
    feature_ptr: NDArray[np.int64],  # (n_rows + 1,)
) -> bytes: ...
