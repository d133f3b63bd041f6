"""Arrays, sparse matrices and strings in model folders: named when written, checked when read."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.storage.folder import Arrays, ModelFileError
from xclassic.validation.pieces import first_not_finite

FINITE = (-float(np.finfo(np.float32).max), float(np.finfo(np.float32).max))  # The range of float32.

Table = dict[str, tuple[Any, str]]

WIDE = 16  # Arrays of strings are packed if they are this many times larger; mapped arrays of names load at once.
PACKED = ".packed"

_DTYPES: dict[str, type[np.generic]] = {"indptr": np.int64, "indices": np.int32, "data": np.float32}


def stored_array(
    arrays: Arrays,
    name: str,
    dtype: type[np.generic],
    shape: tuple[int | None, ...],
    within: tuple[float, float] | None = None,
) -> NDArray[Any]:
    """Return an array of a model after a check of its type and shape, where None means any length.

    With `within`, all values are read and must be between these two.

    Raises
    ------
    ModelFileError
        If the array is missing, of another type or shape, or has values out of range.
    """
    found = arrays.get(name)
    if (
        found is None
        or found.dtype != dtype
        or found.ndim != len(shape)
        or any(wanted not in (None, size) for size, wanted in zip(found.shape, shape, strict=True))
    ):
        raise ModelFileError(f"Array {name} is missing or no {np.dtype(dtype)} of shape {shape}.")
    if within is not None:
        check_within(name, found, *within)
    return found


def check_within(name: str, array: NDArray[Any], low: float, high: float) -> None:
    """Raise ModelFileError if a value of a stored array is NaN or out of range."""
    if array.size and not low <= array.min() <= array.max() <= high:
        raise ModelFileError(f"A value of {name} in the model is not finite, or not between {low:g} and {high:g}.")


def stored_table(arrays: Arrays, table: Table, owner: str) -> Arrays:
    """Return the 1-dimensional arrays that a table declares, after a check of their types and lengths.

    Parameters
    ----------
    arrays : dict of str to ndarray
        Arrays that the table does not declare are ignored.
    table : dict of str to (dtype or tuple of dtypes, length)
        A length is the name of a number, or a name plus an integer: of arrays with the lengths "nodes" and "nodes + 1"
        the second is longer by one.
    owner : str
        The object that the arrays belong to, for messages.

    Raises
    ------
    ModelFileError
        If an array is missing, of another type, or its length contradicts the arrays before it.
    """
    numbers: dict[str, int] = {}
    for name, (dtype, length) in table.items():
        found, wanted = arrays.get(name), dtype if isinstance(dtype, tuple) else (dtype,)
        if found is None:
            raise ModelFileError(f"Array {name} of {owner} is missing.")
        if found.ndim != 1 or not any(found.dtype == kind or found.dtype.kind == "U" == kind for kind in wanted):
            kinds = " or ".join("text" if kind == "U" else np.dtype(kind).name for kind in wanted)
            raise ModelFileError(
                f"Array {name} of {owner} has shape {found.shape} and dtype {found.dtype}; it must be flat and of "
                f"{kinds}."
            )
        number, _, more = length.partition(" + ")
        expected = numbers.setdefault(number, len(found) - int(more or 0)) + int(more or 0)
        if len(found) != expected or numbers[number] < 0:
            raise ModelFileError(f"Array {name} of {owner} has {len(found)} entries; {expected} would fit the others.")
    return {name: arrays[name] for name in table}


def stored_count(metadata: dict[str, Any], name: str) -> int:
    """Return a count from the metadata of a model, a positive integer of 32 bits.

    Raises
    ------
    ModelFileError
        If the value is anything else.
    """
    value = metadata[name]
    if type(value) is not int or not 0 < value < 2**31:
        raise ModelFileError(f"{name} is {value!r} in the model file; a positive 32-bit integer belongs there.")
    return value


def with_prefix(prefix: str, arrays: Arrays) -> Arrays:
    """Return arrays with a prefix before their names, which says what part of a model they are."""
    return {prefix + name: array for name, array in arrays.items()}


def without_prefix(prefix: str, arrays: Arrays) -> Arrays:
    """Return the arrays whose names begin with a prefix, keyed by the rest of their names."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def matrix_arrays(name: str, matrix: csr_array) -> Arrays:
    """Return the arrays of a CSR matrix, named ``name.indptr`` and so on."""
    return {f"{name}.{part}": getattr(matrix, part).astype(dtype, copy=False) for part, dtype in _DTYPES.items()}


def stored_matrix(arrays: Arrays, name: str, shape: tuple[int, int]) -> csr_array:
    """Return the matrix of `matrix_arrays` after all checks that do not read every entry.

    Raises
    ------
    ModelFileError
        If an array is missing, of the wrong type, or does not fit the others or `shape`.
    """
    indptr, indices, data = (
        stored_array(arrays, f"{name}.{part}", dtype, (shape[0] + 1,) if part == "indptr" else (None,))
        for part, dtype in _DTYPES.items()
    )
    if indptr[0] != 0 or not indptr[-1] == len(indices) == len(data):
        raise ModelFileError(f"The arrays of {name} do not fit together, or not a matrix of shape {shape}.")
    matrix = csr_array(shape, dtype=np.float32)  # Given arrays, the constructor would read all entries.
    matrix.indptr, matrix.indices, matrix.data = indptr, indices, data
    return matrix


def verify_matrix(name: str, matrix: csr_array) -> None:
    """Check every pointer, index and value of a stored matrix.

    Raises
    ------
    ModelFileError
        If pointers descend, an index is out of range, or a value is not finite.
    """
    if (np.diff(matrix.indptr) < 0).any():
        raise ModelFileError(f"The offsets of {name} descend.")
    if matrix.nnz and not 0 <= matrix.indices.min() <= matrix.indices.max() < matrix.shape[1]:
        raise ModelFileError(f"An index of {name} is not below {matrix.shape[1]}.")
    if first_not_finite(matrix.data) is not None:
        raise ModelFileError(f"A value of {name} is not finite.")


def pack_strings(name: str, strings: Iterable[str]) -> Arrays:
    """Return strings as two arrays: their UTF-8 bytes, and pointers to where each begins and ends."""
    encoded = [string.encode(errors="surrogatepass") for string in strings]  # JSON may hold lone surrogates.
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return {name: np.frombuffer(b"".join(encoded), np.uint8), f"{name}.ends": ends}


def unpack_strings(arrays: Arrays, name: str, count: int) -> list[str]:
    """Return the strings that `pack_strings` packed, after a check of the arrays."""
    characters, ends = arrays[name], arrays[f"{name}.ends"]
    if characters.dtype != np.uint8 or ends.dtype != np.int64 or characters.ndim != 1 or ends.shape != (count + 1,):
        raise ValueError(f"{name} does not hold {count} strings")
    if ends[0] != 0 or ends[-1] != characters.size or (ends[1:] < ends[:-1]).any():
        raise ValueError(f"the string ends of {name} are out of order")
    whole, cuts = characters.tobytes(), ends.tolist()
    return [whole[start:end].decode(errors="surrogatepass") for start, end in pairwise(cuts)]


def narrowed(arrays: Arrays) -> Arrays:
    """Return arrays in which one long string does not make the others as long: such strings as by `pack_strings`."""
    narrow: Arrays = {}
    for name, array in arrays.items():
        packed = pack_strings(name + PACKED, array.tolist()) if array.dtype.kind == "U" and array.ndim == 1 else {}
        wide = array.nbytes > WIDE * sum(part.nbytes for part in packed.values())
        narrow |= packed if packed and wide else {name: array}
    return narrow


def widened(arrays: Arrays) -> Arrays:
    """Return the arrays that `narrowed` narrowed, and all others as they are."""
    whole = dict(arrays)
    for name in [name for name in arrays if name.endswith(PACKED)]:
        strings = unpack_strings(arrays, name, len(arrays[f"{name}.ends"]) - 1)
        del whole[name], whole[f"{name}.ends"]
        whole[name.removesuffix(PACKED)] = np.array(strings, dtype=np.str_)
    return whole
