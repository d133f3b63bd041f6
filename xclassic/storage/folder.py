"""Models as folders: one ``.npy`` file per array, and ``model.json``, which names them and holds the rest.

Arrays of bytes whose name ends in ``.safetensors`` or ``.json`` are files of that kind, which other programs can read.

Nothing in a folder is executed or unpickled. Saving is atomic, even over an existing model: the arrays are written
under fresh names, and one rename of ``model.json`` makes them the model. A reader sees the old model or the new one,
never a mixture, and keeps what it has mapped. This module knows nothing of estimators.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import secrets
import stat
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from filelock import FileLock
from numpy.lib import format as npy
from numpy.typing import NDArray

FORMAT = 2
HEADER = "model.json"
LOCK = ".lock"
PIECES = "unfinished.pieces"  # Folder of the pieces of a model in the making: see `xclassic.storage.pieces`.
MARKS = (".DS_Store", ".gitkeep", ".keep", "Thumbs.db", "desktop.ini")  # left in folders that count as empty
HEADER_LIMIT = 1 << 23  # At most this many bytes of JSON are parsed; they may take 25 times as much memory.
RESERVED = ("format", "arrays", "crc32")  # Keys of the header that are not the caller's.
ARRAY_LIMIT = 10_000
RETRIES = 50  # Attempts of a reader whose model is replaced while it reads.
KINDS = "biufSU"  # Kinds of dtypes without references: bool, integers, floats, bytes, text.
FILE_KINDS = (".safetensors", ".json")  # Name endings of arrays that are stored without the header of numpy.
OUR_FILES = re.compile(r"[\w.-]+\.[0-9a-f]{16}\.(npy|safetensors|json)|model\.json\.[0-9a-f]{16}", re.ASCII)
ARRAY_NAME = re.compile(r"\w[\w.-]{0,150}", re.ASCII)

Arrays = dict[str, NDArray[Any]]
Verify = Literal["lazy", "full"]


class ModelFileError(ValueError):
    """Error for a folder that does not hold a model, or holds one that is damaged or too new."""


# Saving


def save_model(
    path: str | os.PathLike[str],
    header: Mapping[str, Any],
    arrays: Mapping[str, NDArray[Any]],
    check: Callable[[dict[str, Any], Arrays], Any] | None = None,
) -> None:
    """Write a model folder, or replace the model in it.

    Parameters
    ----------
    path : str or path
        The folder; it is created if it does not exist.
    header : mapping
        Values that JSON can hold, without NaN and infinities. The keys ``format``, ``arrays`` and ``crc32`` are
        reserved.
    arrays : mapping of str to ndarray
        Arrays of bools, integers, floats, bytes or text. Names consist of letters, digits, ``_``, ``-`` and dots.
    check : function, optional
        It gets header and arrays as `load_model` will return them, read back from the disk, and raises `ModelFileError`
        if they make no model; an earlier model then stays.

    Raises
    ------
    TypeError, ValueError
        If the header or an array cannot be stored, or `check` refuses what was written.
    FileExistsError
        If the path is a file, or a folder that holds anything but a model.
    OSError
        If writing fails, for instance because the disk is full. An earlier model stays unchanged.

    Notes
    -----
    The disk needs room for the old model and the new one. Savers of the same folder take turns by a lock that the
    operating system releases when its holder dies. The next saver removes what a killed one left.
    """
    folder = Path(os.path.expanduser(path))
    checked = {name: _storable(name, array) for name, array in arrays.items()}
    token = secrets.token_hex(8)
    entries = {name: _entry(_file_name(name, token), array) for name, array in checked.items()}
    content = _to_json(header, entries, folder)
    _make_folder(folder)
    with locked(folder):
        _sweep(folder)
        state = "what was there is unchanged"
        try:
            for name, array in checked.items():
                _write_array(folder / entries[name]["file"], array)
            write_file(folder / f"{HEADER}.{token}", content)
            sync_folder(folder)
            if check is not None:
                check(*_read_model(content, folder, True, "full"))
            os.replace(folder / f"{HEADER}.{token}", folder / HEADER)
            state = "it is in place, but a power failure might bring the old one back"
            sync_folder(folder)
        except ModelFileError as error:
            raise ValueError(
                f"This model could not be loaded again, so it is not saved, and {state} ({folder}): {error}"
            ) from error
        except OSError as error:
            what = f"could not save the model ({error.strerror or error}); {state}"
            raise OSError(error.errno or errno.EIO, what, str(folder)) from error
        finally:
            _sweep(folder)


def _storable(name: str, array: NDArray[Any]) -> NDArray[Any]:
    if not isinstance(name, str) or not ARRAY_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot name an array; use letters, digits, '_', '-' and dots.")
    array = np.asarray(array)
    if name.endswith(FILE_KINDS) and (array.dtype != np.uint8 or array.ndim != 1):
        raise TypeError(f"Array {name} is to be a file of its own; it must be a row of bytes (uint8).")
    if array.dtype.kind not in KINDS:
        raise TypeError(f"Array {name} has dtype {array.dtype}; a model folder holds bools, numbers, bytes and text.")
    return array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)


def _file_name(name: str, token: str) -> str:
    stem, dot, kind = name.rpartition(".")
    return f"{stem}.{token}.{kind}" if stem and dot + kind in FILE_KINDS else f"{name}.{token}.npy"


def _entry(file: str, array: NDArray[Any]) -> dict[str, Any]:
    return {"file": file, "dtype": array.dtype.str, "shape": list(array.shape), "crc32": _checksum(array)}


def _to_json(header: Mapping[str, Any], entries: dict[str, Any], folder: Path) -> bytes:
    if taken := set(RESERVED) & header.keys():
        raise ValueError(f"The header has the key {min(taken)!r}, which a model folder uses itself; rename it.")
    try:
        plain = from_json(json.dumps({**header, "format": FORMAT, "arrays": entries}, allow_nan=False))
        content = json.dumps({**plain, "crc32": header_checksum(plain)}, indent=1).encode()
    except (TypeError, ValueError, RecursionError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"The header of a model must be plain JSON: {error}.") from error
    try:
        _parse(content, folder)  # A model that no reader accepts must not replace one.
    except ModelFileError as error:
        raise ValueError(f"This model could not be loaded again, so it is not saved: {error}") from error
    return content


def _make_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise FileExistsError(errno.EEXIST, "is a file; a model is saved as a folder", str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    if foreign := foreign_files(folder):
        raise FileExistsError(
            errno.EEXIST, f"holds {foreign[0]!r} and no model; save to a new or empty folder", str(folder)
        )


def foreign_files(folder: Path) -> list[str]:
    """Return the sorted names of what makes a folder without a model one of something else."""
    names = {entry.name for entry in os.scandir(folder)}
    if HEADER in names:
        return []
    return sorted(name for name in names - {LOCK, PIECES, *MARKS} if not OUR_FILES.fullmatch(name))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, so that its writers take turns."""
    lock = folder / LOCK
    if lock.is_symlink():  # The library refuses it too, in words that name no way out.
        raise FileExistsError(errno.EEXIST, "is a link, which cannot be a lock; remove it and save again", str(lock))
    with FileLock(lock):
        yield


def _sweep(folder: Path) -> None:
    """Remove the files of a replaced model and of killed or failed saves, or nothing if the header cannot be read."""
    try:
        with opened(folder / HEADER) as stream:
            header = _parse(stream.read(HEADER_LIMIT), folder)
        current = {entry["file"] for entry in header["arrays"].values()}
    except FileNotFoundError:
        current = set()
    except (OSError, ModelFileError):
        return
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if entry.name not in current and OUR_FILES.fullmatch(entry.name):
                with suppress(OSError):  # Windows does not remove a mapped file; a later save will.
                    os.unlink(entry)


def _write_array(file: Path, array: NDArray[Any]) -> None:
    with open(file, "xb") as stream:
        if file.suffix == ".npy":
            npy.write_array_header_1_0(stream, npy.header_data_from_array_1_0(array))
        stream.write(_bytes(array))  # ndarray.tofile would not report a full disk.
        flush(stream)


def _checksum(array: NDArray[Any]) -> int:
    return zlib.crc32(_bytes(array))


def _bytes(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data if array.nbytes else memoryview(b"")


def write_file(file: Path, content: bytes) -> None:
    """Write a new file to the disk."""
    with open(file, "xb") as stream:
        stream.write(content)
        flush(stream)


def flush(stream: BinaryIO) -> None:
    """Bring to the disk what was written to a file."""
    stream.flush()
    os.fsync(stream.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names of the files of a folder to the disk."""
    if os.name != "posix":  # Other systems cannot open a folder.
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


# Loading


def load_model(
    path: str | os.PathLike[str], *, mmap: bool = True, verify: Verify = "lazy"
) -> tuple[dict[str, Any], Arrays]:
    """Read a model folder.

    Parameters
    ----------
    path : str or path
        The folder.
    mmap : bool, default=True
        Map the arrays, read-only, instead of reading them. Another program that truncates a mapped file can crash this
        one; the operating system offers no protection.
    verify : {"lazy", "full"}, default="lazy"
        Check names, sizes, dtypes, shapes and the checksums of the header and of ``.json`` files, or also the checksum
        of every array.

    Returns
    -------
    header : dict
        The header given to `save_model`.
    arrays : dict of str to ndarray

    Raises
    ------
    ModelFileError
        If the folder has no model, or one that is damaged or of a newer format.

    Notes
    -----
    Cost with ``verify="lazy"``: two reads per array of any size.
    """
    folder = Path(os.path.expanduser(path))
    before = b""
    for _ in range(RETRIES):
        content = _read_header(folder)
        try:
            return _read_model(content, folder, mmap, verify)
        except FileNotFoundError as error:  # A saver may have replaced the model meanwhile.
            if content == before:
                raise ModelFileError(
                    f"The model in {folder} is incomplete: {_missing(Path(error.filename))}."
                ) from error
            before = content
            time.sleep(0.005)
    raise ModelFileError(f"The model in {folder} was replaced {RETRIES} times while it was read; try again.")


def _read_model(content: bytes, folder: Path, mmap: bool, verify: Verify) -> tuple[dict[str, Any], Arrays]:
    header = _parse(content, folder)
    arrays = {name: _read_array(folder, entry, mmap, verify) for name, entry in header["arrays"].items()}
    return {key: value for key, value in header.items() if key not in RESERVED}, arrays


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a regular file, also one behind a link; touch no device and wait for no pipe."""
    _check_regular(file, os.stat(file))  # Opening a device may already do something.
    with open(file, "rb", opener=_open_at_once) as stream:
        _check_regular(file, os.fstat(stream.fileno()))
        yield stream


def _check_regular(file: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "is not a regular file", str(file))


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # Some systems lack this flag.


def _missing(file: Path) -> str:
    """Return what to say of a file that is not there, or of a link that leads nowhere."""
    if not file.is_symlink():
        return f"{file.name} is missing"
    return f"{file.name} is a link to {os.readlink(file)}, which is not there; fetch what it stands for"


def _read_header(folder: Path) -> bytes:
    try:
        with opened(folder / HEADER) as stream:
            content = stream.read(HEADER_LIMIT + 1)
    except (FileNotFoundError, NotADirectoryError) as error:
        pieces = f" There are pieces of one: see xclassic join {folder}." if (folder / PIECES).is_dir() else ""
        raise ModelFileError(f"There is no model in {folder}: {_missing(folder / HEADER)}.{pieces}") from error
    except (OSError, ValueError) as error:
        raise ModelFileError(f"{folder / HEADER} cannot be read: {error}.") from error
    return content


def _parse(content: bytes, folder: Path) -> dict[str, Any]:
    """Return the header with checked entries."""
    if len(content) > HEADER_LIMIT:
        raise ModelFileError(f"{folder / HEADER} is larger than {HEADER_LIMIT} bytes; no model has such a header.")
    try:
        header = from_json(content.decode("utf-8"))
        found = header_checksum(header)  # This raises for lone surrogates.
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{folder / HEADER} is not valid JSON: {error}.") from error
    if not isinstance(header, dict) or type(header.get("format")) is not int or header["format"] < 1:
        raise ModelFileError(f"{folder / HEADER} is not the header of a model.")
    if header["format"] > FORMAT:
        raise ModelFileError(
            f"The model in {folder} has format {header['format']}; this version reads up to {FORMAT}. Upgrade xclassic."
        )
    if header["format"] > 1 and header.get("crc32") != found:
        raise ModelFileError(
            f"{folder / HEADER} is damaged: its checksum is {found}, and it says {header.get('crc32')!r}. A header "
            "that was edited by hand is refused too; change the model and save it instead."
        )
    entries = header.get("arrays")
    if not isinstance(entries, dict) or len(entries) > ARRAY_LIMIT:
        raise ModelFileError(f"{folder / HEADER} has no list of arrays.")
    for name, entry in entries.items():
        _check_entry(name, entry, folder)
    return header


def from_json(text: str) -> Any:
    """Return what JSON says, without numbers that are not finite and without repeated keys."""
    return json.loads(text, object_pairs_hook=_no_duplicates, parse_float=_finite, parse_constant=_finite)


def header_checksum(header: Any) -> int:
    """Return the checksum of a header, of its values and not of how they are written."""
    values = {key: value for key, value in header.items() if key != "crc32"} if isinstance(header, dict) else header
    return zlib.crc32(json.dumps(values, ensure_ascii=False, sort_keys=True).encode())


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object names a key twice")
    return found


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def _check_entry(name: str, entry: Any, folder: Path) -> None:
    """Raise unless the entry describes an array file of this name, inside the folder."""
    where = f"The entry of array {name!r} in {folder / HEADER}"
    if not ARRAY_NAME.fullmatch(name) or not isinstance(entry, dict):
        raise ModelFileError(f"{where} is not valid.")
    file, dtype, shape, crc32 = (entry.get(key) for key in ("file", "dtype", "shape", "crc32"))
    token = re.search(r"\.([0-9a-f]{16})\.\w+\Z", file, re.ASCII) if isinstance(file, str) else None
    if token is None or file != _file_name(name, token[1]):
        raise ModelFileError(f"{where} names the file {file!r}.")
    if not isinstance(dtype, str) or not re.fullmatch(r"[<|][biufSU][1-9]\d{0,8}", dtype, re.ASCII):
        raise ModelFileError(f"{where} has dtype {dtype!r}.")
    if not isinstance(shape, list) or len(shape) > 8 or any(type(n) is not int or not 0 <= n < 2**62 for n in shape):
        raise ModelFileError(f"{where} has shape {shape!r}.")
    if type(crc32) is not int or not 0 <= crc32 < 2**32:
        raise ModelFileError(f"{where} has checksum {crc32!r}.")


def _read_array(folder: Path, entry: dict[str, Any], mmap: bool, verify: Verify) -> NDArray[Any]:
    file = folder / entry["file"]
    try:
        with opened(file) as stream:
            array = _map_or_read(stream, entry, mmap)
    except FileNotFoundError:
        raise
    except Exception as error:  # numpy's reader of headers raises errors of many kinds.
        raise ModelFileError(f"{file} is damaged: {error}.") from error
    # Libraries parse such files, and a changed letter may mean anything to them.
    parsed = entry["file"].endswith(".json")
    if (parsed or verify == "full") and _checksum(array) != entry["crc32"]:
        raise ModelFileError(f"{file} is damaged: its checksum differs from the one in {HEADER}.")
    return array


def _check_npy(stream: BinaryIO, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise unless the header of an ``.npy`` file has this shape and dtype."""
    if npy.read_magic(stream) != (1, 0):
        raise ValueError("it is of another version of the npy format")
    found = npy.read_array_header_1_0(stream, max_header_size=4096)
    if found != (shape, False, dtype):
        raise ValueError(f"its header says {found}, {HEADER} says {(shape, False, dtype)}")


def _map_or_read(stream: BinaryIO, entry: dict[str, Any], mmap: bool) -> NDArray[Any]:
    shape, dtype = tuple(entry["shape"]), np.dtype(entry["dtype"])
    if entry["file"].endswith(".npy"):
        _check_npy(stream, shape, dtype)
    elif dtype != np.uint8 or len(shape) != 1:
        raise ValueError(f"{HEADER} says it has dtype {dtype} and shape {shape}; it is a file of bytes")
    n_items = 1
    for n in shape:
        n_items *= n
    offset, size = stream.tell(), os.fstat(stream.fileno()).st_size
    if size != offset + n_items * dtype.itemsize:
        raise ValueError(f"it has {size} bytes, not {offset + n_items * dtype.itemsize}")
    if n_items * dtype.itemsize == 0:  # An empty array cannot be mapped.
        return np.empty(shape, dtype)
    if mmap:
        return np.memmap(stream, dtype, "r", offset, shape).view(np.ndarray)
    return np.fromfile(stream, dtype, n_items).reshape(shape)
