"""Points whose features are written to a folder and read from there, for data larger than memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import typer

from xclassic import datasets
from xclassic.cli.data import TEXTS, Points, Source, check_options, errors_of_options, form_of, regular, split_weights
from xclassic.datasets.texts import record_pieces
from xclassic.features import TextFeatures


class _FileOfTexts(NamedTuple):
    """The texts or records of a file, some at a time, as often as they are asked for."""

    path: Path
    form: str
    source: Source

    def __iter__(self) -> Iterator[Any]:
        fields = self.source.fields
        for records in record_pieces(self.path, fields=() if self.source.as_records else fields, format=self.form):
            yield (
                records
                if self.source.as_records
                else [
                    " ".join("" if record[field] is None else record[field] for field in fields) for record in records
                ]
            )


def read_on_disk(source: Source, encoder: TextFeatures, folder: str) -> Points:
    """Write the features of points to a folder, and return them as maps with the labels in memory."""
    with regular(source.path) as path, errors_of_options(source, path):
        form = form_of(source, path)
        check_options(source, form)
        relevance = None
        if form in TEXTS:
            delimiter = "," if source.label_delimiter is None else source.label_delimiter or None
            _, Y = datasets.read_texts(
                path, text=(), labels=source.label_field or "labels", label_delimiter=delimiter, format=form
            )
            Y, relevance = split_weights(source, path, Y)
            encoder.fit_to_matrix(_FileOfTexts(path, form, source), folder, Y)
        elif form == "xmc":
            Y = datasets.write_matrix(folder, path, format="xmc", zero_based=source.zero_based)
        else:
            raise typer.BadParameter(
                "--on-disk is for JSON lines, CSV, TSV and the text format of the field, but "
                f"{source.path} is {'a folder of points' if form == 'folder' else 'a matrix in memory'}; leave it out"
            )
        X = datasets.open_matrix(folder)
        if not X.shape[0]:
            raise datasets.DataFileError(path, "there are no rows in it")
    return Points(X, Y, range(X.shape[0]), of_text=form in TEXTS, relevance=relevance)
