"""Where results go: a file that appears when it is complete, or standard output."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import typer
from numpy.typing import NDArray

from xclassic.cli import BROKEN_PIPE
from xclassic.datasets._files import COMPRESSED_SUFFIXES, write_atomically
from xclassic.topk import TopK

STDOUT = "-"
FORMATS = ("text", "jsonl", "npz")
BREAKS = re.compile("[\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


@contextmanager
def open_output(path: str) -> Iterator[IO[bytes]]:
    """Open `path` for bytes; ``-`` is standard output. Suffixes such as ``.gz`` compress."""
    target = Path(path).resolve()
    if path == STDOUT:
        with _standard_output() as stream:
            yield stream
    elif target.exists() and not target.is_file():  # Devices and pipes must not be replaced.
        with open(target, "wb") as stream:
            yield stream
    else:
        with write_atomically(target) as stream:
            yield stream


@contextmanager
def _standard_output() -> Iterator[IO[bytes]]:
    if sys.stdout is None:
        raise OSError("standard output is closed; open it, or name a file where the command takes one")
    try:
        yield sys.stdout.buffer
        sys.stdout.flush()
    except OSError as error:
        # The interpreter flushes once more when it ends, and that must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(BROKEN_PIPE) from None
        raise


def write_line(text: str) -> None:
    """Write a result to standard output."""
    with _standard_output() as stream:
        stream.write(f"{text}\n".encode())


def check_output(path: str, force: bool) -> None:
    """Refuse, before the work, to replace a file or to write where there is no folder."""
    if path != STDOUT and Path(path).is_file() and not force:
        raise typer.BadParameter(f"{path} exists; remove it, choose another name, or pass --force to replace it")
    if Path(path).is_dir() and path != STDOUT:
        raise typer.BadParameter(f"{path or repr(path)} is a folder; name a file")
    if not Path(path).absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {Path(path).absolute().parent}")


def choose_format(path: str, chosen: str | None) -> str:
    """Return the format asked for, or the one that the suffix tells."""
    if chosen is not None:
        if chosen not in FORMATS:
            raise typer.BadParameter(f"there is no format {chosen!r}; there are {', '.join(FORMATS)}")
        return chosen
    name = Path(path)
    suffix = name.with_suffix("").suffix if name.suffix in COMPRESSED_SUFFIXES else name.suffix
    return {".jsonl": "jsonl", ".ndjson": "jsonl", ".npz": "npz"}.get(suffix, "text")


def write_predictions(path: str, form: str, top: TopK, labels: NDArray[Any], ids: Sequence[str | int]) -> None:
    """Write ranked labels.

    Parameters
    ----------
    path : str
        See `open_output`.
    form : {"text", "jsonl", "npz"}
        A line ``id<TAB>label:score<TAB>label:score...`` for each row, a JSON object for each row, or arrays.
    top : TopK
    labels : ndarray, shape (n_labels,)
        How label ids are written.
    ids : sequence of str or int, length n_rows
        How rows are written.
    """
    with open_output(path) as stream:
        if form == "npz":
            stream.write(_npz_bytes(top, labels, ids))
            return
        write = _text_line if form == "text" else _json_line
        for i, row in enumerate(ids):
            count = top.counts[i]
            predictions = labels[top.ids[i, :count]].tolist()
            stream.write(write(row, predictions, top.scores[i, :count].tolist()).encode())


def _text_line(row: str | int, labels: list[Any], scores: list[float]) -> str:
    cells = [f"{_cell(label)}:{score:.6g}" for label, score in zip(labels, scores, strict=True)]
    return "\t".join([_cell(row), *cells]) + "\n"


def _cell(value: Any) -> str:
    """Return a value with the characters that would part cells or lines spelled as in JSON."""
    return BREAKS.sub(lambda found: json.dumps(found[0])[1:-1], str(value))


def _json_line(row: str | int, labels: list[Any], scores: list[float]) -> str:
    rounded = [float(f"{score:.6g}") for score in scores]
    return json.dumps({"id": row, "labels": labels, "scores": rounded}, ensure_ascii=False) + "\n"


def _npz_bytes(top: TopK, labels: NDArray[Any], ids: Sequence[str | int]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, ids=top.ids, scores=top.scores, counts=top.counts, labels=labels, row_ids=np.asarray(ids)
    )
    return buffer.getvalue()
