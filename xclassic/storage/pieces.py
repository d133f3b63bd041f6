"""Pieces of a model that is in the making: one file each, and a plan that says of which fit they are.

A piece is what one task of a fit returns: arrays, numbers and text in tuples, lists and dicts. Its file is an ``.npz``
archive of one array for each dtype, so that thousands of small arrays cost no more than a large one, and a description
of how they belong together. It repeats the plan, since folders that are copied into one keep the plan of one of them.
Archives carry checksums, nothing in them is executed, and a file gets its name when it is complete.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xclassic._kernels.blocks import Cells
from xclassic.storage.folder import ModelFileError

PLAN = "plan.json"
COMMAND = "command.json"  # What the command line keeps beside them.
STRUCTURE = "structure"
DAMAGE = (  # What a damaged archive makes the standard library and numpy raise.
    OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile,
    zlib.error,
)  # fmt: skip
REMEDY = "Remove it, and run the shard again or resume the training."
OUR_FILES = re.compile(r"(\d{3}-\d{5}\.npz|plan\.json|command\.json)(\.[0-9a-f]{16})?|[0-9a-f]{32}\.(npy|[0-9a-f]{16})")


class MissingPieces(Exception):
    """What ends a fit that needs pieces of other shards.

    Attributes
    ----------
    shards : list of int
        The shards, counted from 1, whose pieces are missing.
    """

    def __init__(self, shards: list[int]) -> None:
        super().__init__(f"The pieces of shards {shards} are missing.")
        self.shards = shards


class PieceFolder:
    """Pieces on disk: a `Keeper` for `run_tasks`.

    Parameters
    ----------
    path : str or path
        Folder of the plan and the pieces; it is made if it is not there.
    plan : dict
        What the pieces depend on, as JSON can hold it. The first who writes a piece writes it; others must agree.
    n_shards : int
        Parts that the pieces of each call are divided into, task by task in turn.
    shard : int or None
        The part to compute, from 0; None computes all.
    joins : bool
        Compute nothing, and read what all shards wrote.

    Raises
    ------
    ModelFileError
        If the folder has a plan that cannot be read.
    ValueError
        If it is the plan of another fit; the message names what differs.
    """

    def __init__(
        self, path: str | os.PathLike[str], plan: dict[str, Any], n_shards: int, shard: int | None, joins: bool = False
    ) -> None:
        self.path = Path(path)
        self.n_shards, self.shard, self.joins = n_shards, shard, joins
        self.n_calls = 0
        self.plan = {**plan, "shards": n_shards}
        self._agree()

    def run(self, run: Callable[..., list[Any]], function: Callable[..., Any], tasks: Sequence[Any]) -> list[Any]:
        """Compute the tasks of this shard that are not kept yet, and return the results of all.

        Raises
        ------
        MissingPieces
            If tasks of other shards are not kept yet.
        ValueError
            If a piece is of another fit; the message names what differs.
        ModelFileError
            If a piece is damaged.
        """
        files = [self.path / f"{self.n_calls:03d}-{number:05d}.npz" for number in range(len(tasks))]
        self.n_calls += 1
        missing = {number for number, file in enumerate(files) if not file.exists()}
        own = [n for n in sorted(missing) if not self.joins and self.shard in (None, n % self.n_shards)]
        run(partial(_keep, function, self.plan), [(str(files[number]), tasks[number]) for number in own])
        if missing := missing.difference(own):
            raise MissingPieces(sorted({number % self.n_shards + 1 for number in missing}))
        return [read_piece(file, self.plan) for file in files]

    def _agree(self) -> None:
        """Write the plan, or compare it with the one that is there."""
        self.path.mkdir(parents=True, exist_ok=True)
        content = json.dumps(self.plan, indent=1, sort_keys=True)
        draft = self.path / f"{PLAN}.{secrets.token_hex(8)}"
        if not self.joins:
            _write(draft, lambda stream: stream.write(content.encode()))
            with suppress(FileExistsError):  # Of several shards that begin together one is first.
                os.link(draft, self.path / PLAN)
            draft.unlink()
        if differs := _difference(read_plan(self.path), self.plan):
            raise ValueError(
                f"The pieces in {self.path} are of another fit: their {differs}. Use the same data, parameters and "
                "versions for all, or another folder."
            )


def _difference(there: dict[str, Any], here: dict[str, Any]) -> str:
    """Return the first thing in which two plans differ, for a sentence."""
    for name in sorted(here.keys() | there.keys()):
        if here.get(name) != there.get(name):
            return f"{name} is {there.get(name)}, here it is {here.get(name)}"
    return ""


def read_plan(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the plan of a folder of pieces.

    Raises
    ------
    ModelFileError
        If there is none, or it cannot be read.
    """
    file = Path(path) / PLAN
    try:
        plan = json.loads(file.read_text())
    except FileNotFoundError as error:
        raise ModelFileError(f"There are no pieces of a model in {path}: {PLAN} is missing.") from error
    except ValueError as error:
        raise ModelFileError(f"{file} is damaged: {error}. Remove {path} and train again.") from error
    if not isinstance(plan, dict):
        raise ModelFileError(f"{file} is no plan. Remove {path} and train again.")
    return plan


def remove_pieces(path: str | os.PathLike[str]) -> None:
    """Remove the pieces of a folder, their plan first, and then the folder if nothing else is in it.

    What is left if the process is killed meanwhile counts as nothing.
    """
    folder = Path(path)
    (folder / PLAN).unlink(missing_ok=True)
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if OUR_FILES.fullmatch(entry.name):
                os.unlink(entry)
        folder.rmdir()


def _keep(function: Callable[..., Any], plan: dict[str, Any], task: tuple[str, Any], stop: NDArray[np.uint8]) -> None:
    """Run a task and write its piece, wherever it runs."""
    file, own = task
    result = function(own, stop)
    if not stop[0]:  # or the result is unfinished
        write_piece(file, result, plan)


def write_piece(path: str | os.PathLike[str], result: Any, plan: dict[str, Any]) -> None:
    """Write what a task returned to a file, which has its name when it is complete.

    Parameters
    ----------
    path : str or path
    result
        Arrays, numbers and text in tuples, lists and dicts.
    plan : dict
        What the piece depends on, as JSON can hold it.

    Raises
    ------
    TypeError
        If there is something in the result that a piece cannot hold.
    """
    arrays: dict[str, list[NDArray[Any]]] = {}
    sizes: dict[str, int] = {}
    structure = {"plan": _of_file(plan, path), "result": _described(result, arrays, sizes)}
    members: dict[str, Any] = {
        dtype: np.concatenate([array.ravel() for array in parts]) if parts else np.zeros(0, dtype)
        for dtype, parts in arrays.items()
    }
    members[STRUCTURE] = np.frombuffer(json.dumps(structure).encode(), np.uint8)
    draft = Path(f"{path}.{secrets.token_hex(8)}")
    try:
        _write(draft, lambda stream: np.savez(stream, **members))
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a file, or replace it, at once."""
    draft = Path(f"{path}.{secrets.token_hex(8)}")
    _write(draft, lambda stream: stream.write(text.encode()))
    os.replace(draft, path)


def _write(file: Path, write: Callable[[Any], Any]) -> None:
    with open(file, "xb") as stream:
        write(stream)
        stream.flush()
        os.fsync(stream.fileno())


def _described(value: Any, arrays: dict[str, list[NDArray[Any]]], sizes: dict[str, int]) -> Any:
    """Return JSON that stands for a value; its arrays are appended to those of their dtypes."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        dtype = value.dtype.str
        start = sizes.get(dtype, 0)
        arrays.setdefault(dtype, []).append(np.ascontiguousarray(value))
        sizes[dtype] = start + value.size
        return {"array": [dtype, start, *value.shape]}
    if isinstance(value, (tuple, list)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_described(item, arrays, sizes) for item in value]}
    if isinstance(value, dict):
        return {"dict": [[name, _described(item, arrays, sizes)] for name, item in value.items()]}
    if isinstance(value, Cells):
        return {"cells": [_described(part, arrays, sizes) for part in (value.features, value.masks, value.values)]}
    raise TypeError(f"A piece of a model cannot hold a {type(value).__name__}.")


def read_piece(path: str | os.PathLike[str], plan: dict[str, Any] | None = None) -> Any:
    """Return what `write_piece` wrote.

    Raises
    ------
    ValueError
        If it was written with another plan or name. Without a plan neither is compared.
    ModelFileError
        If the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            structure = json.loads(archive[STRUCTURE].tobytes())
            arrays = {name: archive[name] for name in archive.files if name != STRUCTURE}
        differs = "" if plan is None else _difference(structure["plan"], _of_file(plan, path))
        result = None if differs else _rebuilt(structure["result"], arrays)
    except DAMAGE as error:
        raise ModelFileError(f"{path} is damaged: {error}. {REMEDY}") from error
    if differs:
        raise ValueError(f"{path} is a piece of another fit: its {differs}. {REMEDY}")
    return result


def _of_file(plan: dict[str, Any], path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return a plan with the name of a file; one that was copied to another name holds another task."""
    return {**plan, "file": Path(path).name}


def _rebuilt(description: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Any:
    ((kind, content),) = description.items()
    if kind == "value":
        return content
    if kind == "array":
        dtype, start, *shape = content
        size = int(np.prod(shape, dtype=np.int64))
        found = arrays[dtype][start : start + size]
        return found.reshape(shape)
    if kind == "dict":
        return {name: _rebuilt(item, arrays) for name, item in content}
    items = [_rebuilt(item, arrays) for item in content]
    if kind == "cells":
        cells = Cells()
        cells.features, cells.masks, cells.values = items
        return cells
    return tuple(items) if kind == "tuple" else items
