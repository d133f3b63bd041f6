"""Points for the commands, from every kind of file that `xclassic.datasets` reads."""

from __future__ import annotations

import csv
import re
import shutil
import sys
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import typer
from numpy.lib.format import MAGIC_PREFIX

from xclassic import datasets
from xclassic.datasets.texts import FORMATS_BY_SUFFIX, first_line, format_of_content, read_ids, suffix_of

STDIN = "-"
BUNDLED = "bibtex"
ZIP_PREFIX = b"PK\x03\x04"
TABLES = ("csv", "tsv")
TEXTS = ("jsonl", *TABLES)
FORMATS = (*TEXTS, "xmc", "npz")
NAMES_LENGTH = 100_000  # Characters of a first line in which names of columns are looked for; csv refuses longer cells.
# Which options speak of what, by the attributes of `Source`.
OPTIONS = (
    ("text_fields", "--text-field", "JSON lines, CSV and TSV", TEXTS),
    ("label_field", "--label-field", "JSON lines, CSV and TSV", TEXTS),
    ("label_delimiter", "--label-delimiter", "JSON lines, CSV and TSV", TEXTS),
    ("label_weights", "--label-weights", "JSON lines, CSV and TSV", TEXTS),
    ("id_field", "--id-field", "JSON lines, CSV and TSV", TEXTS),
    ("label_matrix", "--label-matrix", ".npz and .npy features", ("npz",)),
    ("zero_based", "--zero-based or --one-based", "text files of the field", ("xmc", "folder")),
)


@dataclass(frozen=True)
class Source:
    """Where points are and how to read them; an option that was not given is None.

    Attributes
    ----------
    path : str
        A text file of the Extreme Classification Repository, ``.npz`` or ``.npy`` features, JSON lines, CSV or TSV, a
        folder, the name of the bundled data set, or ``-`` for standard input.
    text_fields, label_field, label_delimiter, id_field
        Of JSON lines, CSV and TSV; see `xclassic.datasets.read_texts`.
    label_weights : True or None
        Whether labels end in weights; see `xclassic.datasets.split_weights`.
    label_matrix : str or None
        The ``.npz`` labels beside ``.npz`` or ``.npy`` features.
    zero_based : bool or None
        Of text files without a header; see `xclassic.datasets.read_xmc`.
    data_format : str or None
        One of `FORMATS`. By default the name tells it, or else the content.
    default_fields : sequence of str
        Fields of the text where `text_fields` is None.
    as_records : bool
        Whether to take whole records instead of texts.
    record_fields : sequence of str
        Columns that CSV and TSV must have where whole records are read. A record of JSON lines may lack them.
    target_fields : sequence of str
        The columns that are predicted, if these take the place of labels.
    """

    path: str
    text_fields: Sequence[str] | None = None
    label_field: str | None = None
    label_delimiter: str | None = None
    id_field: str | None = None
    label_matrix: str | None = None
    zero_based: bool | None = None
    data_format: str | None = None
    default_fields: Sequence[str] = ("text",)
    as_records: bool = False
    record_fields: Sequence[str] = ()
    target_fields: Sequence[str] = ()
    label_weights: bool | None = None

    @property
    def fields(self) -> Sequence[str]:
        """The fields that are read."""
        return self.record_fields if self.as_records else self.text_fields or self.default_fields


@dataclass(frozen=True)
class Points:
    """What was read.

    Attributes
    ----------
    X : list of str or dict, sparse matrix or array
        Texts, records or features.
    Y : list of label lists, list of records, csr_array or None
    ids : sequence of int, float or str, length n_rows
        How the rows are called.
    label_names : list of str or None
        Of the columns of `Y`, if the data names them.
    feature_names : list of str or None
        Of the columns of `X`, if the data names them.
    of_text : bool
        Whether `X` is features made of texts or records.
    relevance : csr_array or None
        The weights of the labels, if they were asked for.
    """

    X: Any
    Y: Any
    ids: Sequence[int | str | float]
    label_names: list[str] | None = None
    feature_names: list[str] | None = None
    of_text: bool = False
    relevance: Any = None

    def rows(self, part: slice) -> Points:
        """Return some of the points."""
        Y, relevance = (None if labels is None else labels[part] for labels in (self.Y, self.relevance))
        return replace(self, X=self.X[part], Y=Y, ids=self.ids[part], relevance=relevance)

    @property
    def is_text(self) -> bool:
        """Whether `X` is texts or records, or made of them."""
        return self.of_text or isinstance(self.X, list)


def read_points(
    source: Source,
    part: Literal["train", "test"],
    *,
    n_features: int | None = None,
    labels: bool = True,
    strict: bool = True,
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
    strict : bool, default=True
        Whether to refuse options that do not speak of this kind of data.
    """
    with regular(source.path) as path, errors_of_options(source, path):
        form = form_of(source, path)
        if strict:
            check_options(source, form)
        if form == "folder":
            points = _read_folder(source, part)
        elif form in TEXTS:
            points = _read_texts(source, path, form, labels)
        elif form == "npz":
            points = _read_matrices(source, path, labels)
        else:
            columns = n_features if source.zero_based is not None else None
            X, Y = datasets.read_xmc(path, n_features=columns, zero_based=source.zero_based)
            points = Points(X, Y, range(X.shape[0]))
        if not len(points.ids):
            problem = "there are no rows in it"
            if labels:
                raise datasets.DataFileError(path, problem)
            warnings.warn(f"{source.path}: {problem}", stacklevel=2)
    return points


@contextmanager
def regular(path: str) -> Iterator[Path]:
    """Yield a path that can be read more than once: what a pipe delivers is stored meanwhile."""
    given = Path(path)
    if path != STDIN and (given.is_file() or given.is_dir() or not given.exists()):
        yield given
        return
    if path == STDIN and sys.stdin is None:
        raise OSError("standard input is closed; name a file")
    with TemporaryDirectory(prefix="xclassic-") as folder:
        stored = Path(folder, "standard input" if path == STDIN else given.name)
        with (
            nullcontext(sys.stdin.buffer) if path == STDIN else open(given, "rb") as stream,
            open(stored, "wb") as copy,
        ):
            shutil.copyfileobj(stream, copy)
        yield stored


@contextmanager
def errors_of_options(source: Source, stored: Path) -> Iterator[None]:
    """Say of errors what was named on the command line, and advise options rather than arguments."""
    try:
        yield
    except datasets.DataFileError as error:
        name = error.path
        if name == stored:
            name = Path("standard input" if source.path == STDIN else source.path)
        problem = error.problem.replace("zero_based=True or zero_based=False", "--zero-based or --one-based")
        raise datasets.DataFileError(name, problem, error.line) from error


def form_of(source: Source, path: Path) -> str:
    """Return "folder" or one of `FORMATS`."""
    if source.data_format is not None:
        if source.data_format not in FORMATS:
            raise typer.BadParameter(f"there is no data format {source.data_format!r}; there are {', '.join(FORMATS)}")
        return source.data_format
    if source.path == BUNDLED or path.is_dir():
        return "folder"
    suffix = suffix_of(source.path)
    if suffix in (".npz", ".npy"):
        return "npz"
    return FORMATS_BY_SUFFIX.get(suffix) or _form_of_content(source, path)


def _form_of_content(source: Source, path: Path) -> str:
    with open(path, "rb") as stream:
        if stream.read(len(MAGIC_PREFIX)).startswith((MAGIC_PREFIX, ZIP_PREFIX)):
            return "npz"
    line = first_line(path)
    if not line:
        raise datasets.DataFileError(path, "it is empty")
    form = format_of_content(line)
    columns = next(csv.reader([line[:NAMES_LENGTH]], delimiter="\t" if form == "tsv" else ","), [])
    if form == "jsonl" or not {column.strip() for column in columns}.isdisjoint(source.fields):
        return form
    if re.match(r"\s*(#|\d[\d,]*(\s|:|$))", line):
        return "xmc"
    raise datasets.DataFileError(
        path,
        f"neither its name nor its first line tells what it is, which begins with {line[:40].strip()!r}. Accepted are "
        f"JSON lines, CSV or TSV with a column {' or '.join(map(repr, source.fields))} in the first line, the format "
        "of the Extreme Classification Repository, and .npz or .npy; --data-format names one",
    )


def check_options(source: Source, form: str) -> None:
    for attribute, option, speaks_of, forms in OPTIONS:
        if getattr(source, attribute) is not None and form not in forms:
            found = "a folder of points" if form == "folder" else f"read as {form}"
            raise typer.BadParameter(f"{option} is for {speaks_of}, but {source.path} is {found}; leave it out")


def _read_folder(source: Source, part: str) -> Points:
    data = datasets.load(source.path, zero_based=source.zero_based)
    X, Y = (data.X, data.Y) if part == "train" else (data.X_test, data.Y_test)
    if X is None:
        raise datasets.DataFileError(source.path, "the folder has no test points; name the file itself")
    return Points(X, Y, range(X.shape[0]), data.label_names, data.feature_names)


def _read_texts(source: Source, path: Path, form: str, labels: bool) -> Points:
    texts: list[Any]
    named = labels and not source.target_fields
    texts, lists = datasets.read_texts(
        path,
        text=() if source.as_records else source.fields,
        labels=(source.label_field or "labels") if named else None,
        label_delimiter="," if source.label_delimiter is None else source.label_delimiter or None,
        format=form,
    )
    records: list[Any] = []
    if source.as_records or (labels and source.target_fields):
        records = datasets.read_records(path, format=form)
        if records and form in TABLES:
            _check_columns(path, records[0], source.record_fields if source.as_records else (), "reads")
    if labels and source.target_fields:
        if records:
            _check_columns(path, {key: None for record in records for key in record}, source.target_fields, "predicts")
        lists = records
    if source.as_records:
        texts = records
    ids = range(len(texts)) if source.id_field is None else read_ids(path, source.id_field, format=form)
    lists, relevance = split_weights(source, path, lists)
    return Points(texts, lists, ids, relevance=relevance)


def split_weights(source: Source, path: Path, lists: Any) -> tuple[Any, Any]:
    """Return labels and their weights, if these were asked for."""
    if not source.label_weights or lists is None:
        return lists, None
    try:
        return datasets.split_weights(lists)
    except ValueError as error:
        raise datasets.DataFileError(path, str(error)) from error


def _check_columns(path: Path, found: Collection[str], wanted: Sequence[str], verb: str) -> None:
    for field in wanted:
        if field not in found:
            raise datasets.DataFileError(
                path, f"the model {verb} a field {field!r}; found are {', '.join(sorted(found))}"
            )


def _read_matrices(source: Source, path: Path, labels: bool) -> Points:
    if labels and source.label_matrix is None:
        raise typer.BadParameter(f"{source.path} holds features only; pass the labels with --label-matrix")
    X, Y = datasets.read_npz(path, source.label_matrix)
    return Points(X, Y, range(X.shape[0]))
