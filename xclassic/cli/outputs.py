"""Where results go: a file that appears when it is complete, or standard output."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import typer
from numpy.typing import NDArray

from xclassic.cli import BROKEN_PIPE, discard
from xclassic.cli.printing import CONTROLS, printable, spelled, to_json
from xclassic.datasets._files import write_atomically
from xclassic.datasets.texts import suffix_of
from xclassic.topk import TopK

STDOUT = "-"
FORMATS = ("text", "jsonl", "npz")
UNSAFE = re.compile(
    rf"[\\{CONTROLS}]"
)  # What is spelled in cells of text; with the backslash, so that it can be undone.
OTHER_FORMATS = (
    *(".csv", ".json", ".parquet", ".feather", ".arrow", ".xls", ".xlsx", ".ods", ".npy", ".pkl"),
    *(".html", ".xml", ".pdf"),
)
FORMULA = ("=", "+", "-", "@")  # What a cell begins with that a spreadsheet computes.


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
        discard(sys.stdout)
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(BROKEN_PIPE) from None
        raise


def write_line(text: str) -> None:
    """Write a result to standard output, one line or several."""
    lines = "\n".join(map(printable, text.split("\n")))
    with _standard_output() as stream:
        stream.write(f"{lines}\n".encode())


def check_output(path: str, force: bool) -> None:
    """Refuse, before the work, to replace a file or to write where there is no folder."""
    if path != STDOUT and Path(path).is_file() and not force:
        raise typer.BadParameter(f"{path} exists; remove it, choose another name, or pass --force to replace it")
    if Path(path).is_dir() and path != STDOUT:
        raise typer.BadParameter(f"{path or repr(path)} is a folder; name a file")
    if not Path(path).absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {Path(path).absolute().parent}")


def choose_format(path: str, chosen: str | None) -> str:
    """Return the format asked for, or the one that the suffix tells; a suffix of what is not written is refused."""
    if chosen is not None and chosen not in FORMATS:
        raise typer.BadParameter(f"there is no format {chosen!r}; there are {', '.join(FORMATS)}")
    suffix = suffix_of(path)
    form = chosen or {".jsonl": "jsonl", ".ndjson": "jsonl", ".npz": "npz"}.get(suffix, "text")
    if suffix in OTHER_FORMATS and (form, suffix) != ("jsonl", ".json"):
        raise typer.BadParameter(
            f"{path} would hold {form} and be no {suffix} file; name it .txt or .tsv (tabs part cells), .jsonl or .npz"
        )
    return form


def write_predictions(path: str, form: str, top: TopK, labels: NDArray[Any], ids: Sequence[str | int | float]) -> None:
    """Write ranked labels.

    Parameters
    ----------
    path : str
        See `open_output`.
    form : {"text", "jsonl", "npz"}
        A line ``id<TAB>label:score<TAB>label:score...`` for each row, a JSON object for each row, or arrays. In text,
        backslashes, control characters and halves of characters are spelled as in JSON, and in a file ``.tsv``, which
        spreadsheets open, so is what begins a formula.
    top : TopK
    labels : ndarray, shape (n_labels,)
        How label ids are written.
    ids : sequence of str, int or float, length n_rows
        How rows are written.
    """
    with open_output(path) as stream:
        if form == "npz":
            stream.write(_npz_bytes(top, labels, ids))
            return
        for_spreadsheets = suffix_of(path) == ".tsv"
        for i, row in enumerate(ids):
            count = top.counts[i]
            predictions, scores = labels[top.ids[i, :count]].tolist(), top.scores[i, :count].tolist()
            if form == "text":
                line = _text_line(row, predictions, scores, for_spreadsheets)
            else:
                line = _json_line(row, predictions, scores)
            stream.write(line.encode())


def write_table(path: str, form: str, rows: Sequence[dict[str, Any]]) -> None:
    """Write rows of the same fields, as text with tabs below a line of their names, or as JSON lines."""
    with open_output(path) as stream:
        if form == "text" and rows:
            stream.write(("\t".join(rows[0]) + "\n").encode())
        for row in rows:
            cells = "\t".join(_cell(value, for_spreadsheets=True) for value in row.values())
            stream.write((cells + "\n" if form == "text" else to_json(row) + "\n").encode())


def _text_line(row: str | int | float, labels: list[Any], scores: list[float], for_spreadsheets: bool) -> str:
    cells = [f"{_cell(label, for_spreadsheets)}:{score:.6g}" for label, score in zip(labels, scores, strict=True)]
    return "\t".join([_cell(row, for_spreadsheets), *cells]) + "\n"


def _cell(value: Any, for_spreadsheets: bool) -> str:
    text = UNSAFE.sub(spelled, str(value))
    if for_spreadsheets and isinstance(value, str) and text.startswith(FORMULA):
        return f"\\u{ord(text[0]):04x}{text[1:]}"
    return text


def _json_line(row: str | int | float, labels: list[Any], scores: list[float]) -> str:
    return to_json({"id": row, "labels": labels, "scores": [float(f"{score:.6g}") for score in scores]}) + "\n"


def _npz_bytes(top: TopK, labels: NDArray[Any], ids: Sequence[str | int | float]) -> bytes:
    row_ids = np.asarray(ids)
    if row_ids.dtype == object:  # Of integers beyond 64 bits; an array of objects would be pickled.
        row_ids = np.asarray([str(row) for row in ids])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, ids=top.ids, scores=top.scores, counts=top.counts, labels=labels, row_ids=row_ids)
    return buffer.getvalue()
