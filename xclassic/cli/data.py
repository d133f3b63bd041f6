"""Points for the commands, from every kind of file that `xclassic.datasets` reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import typer

from xclassic import datasets

MATRIX_SUFFIXES = (".npz", ".npy")
TABLE_SUFFIXES = {".csv", ".tsv"}
TEXT_SUFFIXES = {".jsonl", ".ndjson"} | TABLE_SUFFIXES
BUNDLED = "bibtex"


@dataclass(frozen=True)
class Source:
    """Where points are and how to read them.

    Attributes
    ----------
    path : str
        A text file of the Extreme Classification Repository, ``.npz`` or ``.npy`` features, JSON lines, CSV or TSV, a
        folder, or the name of the bundled data set.
    text_fields, label_field, label_delimiter, id_field
        Of JSON lines, CSV and TSV; see `xclassic.datasets.read_texts`. None takes whole records instead of texts.
    record_fields : sequence of str
        Columns that CSV and TSV must have where whole records are read. A record of JSON lines may lack them.
    label_matrix : str or None
        The ``.npz`` labels beside ``.npz`` or ``.npy`` features.
    zero_based : bool or None
        Of text files without a header; see `xclassic.datasets.read_xmc`.
    """

    path: str
    text_fields: Sequence[str] | None = ("text",)
    label_field: str = "labels"
    label_delimiter: str = ","
    id_field: str | None = None
    label_matrix: str | None = None
    zero_based: bool | None = None
    record_fields: Sequence[str] = ()


@dataclass(frozen=True)
class Points:
    """What was read.

    Attributes
    ----------
    X : list of str or dict, sparse matrix or array
        Texts, records or features.
    Y : list of label lists, csr_array or None
    ids : sequence of int or str, length n_rows
        How the rows are called.
    label_names : list of str or None
        Of the columns of `Y`, if the data names them.
    feature_names : list of str or None
        Of the columns of `X`, if the data names them.
    """

    X: Any
    Y: Any
    ids: Sequence[int | str]
    label_names: list[str] | None = None
    feature_names: list[str] | None = None

    @property
    def is_text(self) -> bool:
        """Whether `X` is texts or records."""
        return isinstance(self.X, list)


def read_points(
    source: Source, part: Literal["train", "test"], *, n_features: int | None = None, labels: bool = True
) -> Points:
    """Read points.

    Parameters
    ----------
    source : Source
    part : {"train", "test"}
        Which points of a folder.
    n_features : int, optional
        Number of features of a text file that has no header.
    labels : bool, default=True
        Whether labels are needed.
    """
    path = Path(source.path)
    if source.path == BUNDLED or path.is_dir():
        return _read_folder(source, part)
    if TEXT_SUFFIXES.intersection(path.suffixes[-2:]):
        return _read_texts(source, labels)
    if path.suffix in MATRIX_SUFFIXES:
        return _read_matrices(source, labels)
    columns = n_features if source.zero_based is not None else None
    X, Y = datasets.read_xmc(path, n_features=columns, zero_based=source.zero_based)
    return Points(X, Y, range(X.shape[0]))


def _read_folder(source: Source, part: str) -> Points:
    data = datasets.load(source.path, zero_based=source.zero_based)
    X, Y = (data.X, data.Y) if part == "train" else (data.X_test, data.Y_test)
    if X is None:
        raise datasets.DataFileError(source.path, "the folder has no test points; name the file itself")
    return Points(X, Y, range(X.shape[0]), data.label_names, data.feature_names)


def _read_texts(source: Source, labels: bool) -> Points:
    delimiter = source.label_delimiter or None
    label_field = source.label_field if labels else None
    texts: list[Any]
    texts, lists = datasets.read_texts(
        source.path, text=source.text_fields or [], labels=label_field, label_delimiter=delimiter
    )
    if source.text_fields is None:
        texts = datasets.read_records(source.path)
        if texts and TABLE_SUFFIXES.intersection(Path(source.path).suffixes[-2:]):
            for field in source.record_fields:
                if field not in texts[0]:
                    found = ", ".join(sorted(texts[0]))
                    raise datasets.DataFileError(source.path, f"the model reads a field {field!r}; found are {found}")
    ids: Sequence[Any] = range(len(texts))
    if source.id_field is not None:  # Ids are strings or integers, as labels are, so they are read as labels.
        _, cells = datasets.read_texts(source.path, text=[], labels=source.id_field, label_delimiter=None)
        ids = [cell[0] if cell else "" for cell in cells or ()]
    return Points(texts, lists, ids)


def _read_matrices(source: Source, labels: bool) -> Points:
    if labels and source.label_matrix is None:
        raise typer.BadParameter(f"{source.path} holds features only; pass the labels with --label-matrix")
    X, Y = datasets.read_npz(source.path, source.label_matrix)
    return Points(X, Y, range(X.shape[0]))
