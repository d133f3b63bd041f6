from typing import Self

import numpy as np
from numpy.typing import NDArray

Strings = tuple[NDArray[np.uint8], NDArray[np.int64]]  # UTF-8 bytes, and where each begins and ends: (n + 1,)
Block = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]  # a CSR matrix

CUTS: tuple[str, ...]

class Vocabulary:
    characters: NDArray[np.uint8]
    ends: NDArray[np.int64]
    def __init__(self, characters: NDArray[np.uint8], ends: NDArray[np.int64]) -> None: ...
    def __reduce__(self) -> tuple[type[Self], Strings]: ...

def count_terms(
    texts: list[str] | list[list[str]],
    *,
    cut: int,
    shortest: int,
    longest: int,
    stop_words: Vocabulary,
    stop: NDArray[np.uint8],
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int64], NDArray[np.int32]]: ...  # entries (n, 2) last
def count_known(
    texts: list[str] | list[list[str]],
    *,
    cut: int,
    shortest: int,
    longest: int,
    stop_words: Vocabulary,
    vocabulary: Vocabulary | None,
    n_hashed: int,
    stop: NDArray[np.uint8],
) -> Block: ...
def sort_strings(characters: NDArray[np.uint8], ends: NDArray[np.int64]) -> NDArray[np.int32]: ...
def take_strings(characters: NDArray[np.uint8], ends: NDArray[np.int64], taken: NDArray[np.int32]) -> Strings: ...
def merge_strings(first: Strings, second: Strings) -> tuple[Strings, NDArray[np.int32], NDArray[np.int32]]: ...
def first_unsorted(characters: NDArray[np.uint8], ends: NDArray[np.int64]) -> int: ...
def hash_strings(characters: NDArray[np.uint8], ends: NDArray[np.int64], n: int) -> NDArray[np.int32]: ...
def renumber_rows(ptr: NDArray[np.int64], entries: NDArray[np.int32], numbers: NDArray[np.int32]) -> Block: ...
def weigh_rows(
    *,
    ptr: NDArray[np.int64],  # (n_rows + 1,)
    terms: NDArray[np.int32],
    values: NDArray[np.float32],  # overwritten
    weights: NDArray[np.float32],  # (n_terms,)
    factor: float,
) -> None: ...
def join_rows(blocks: list[Block], widths: NDArray[np.int64]) -> Block: ...
