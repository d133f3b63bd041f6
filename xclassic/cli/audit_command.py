"""What ``xclassic audit`` does."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from xclassic.cli.options import (
    Data,
    DataFormat,
    Force,
    LabelDelimiter,
    LabelField,
    LabelMatrix,
    Quiet,
    ZeroBased,
    in_home,
)
from xclassic.cli.text_pipeline import TextFields, TextPreset, read_for


def audit(
    estimator: Any,
    data: Data,
    n: Annotated[int, typer.Option("--number", "-n", min=1, help="Labels of each kind, at most.")] = 100,
    folds: Annotated[int, typer.Option(min=2, help="Parts of the rows, each predicted by a fit on the others.")] = 5,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", help="File to write: .jsonl, or else text with tabs.", callback=in_home, show_default="-"
        ),
    ] = "-",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the folds.")] = 0,
    force: Force = False,
    quiet: Quiet = False,
    text_field: TextFields = None,
    label_field: LabelField = None,
    label_delimiter: LabelDelimiter = None,
    label_matrix: LabelMatrix = None,
    zero_based: ZeroBased = None,
    data_format: DataFormat = None,
    preset: TextPreset = None,
) -> None:
    """List the labels of the rows that are most likely missing, and those most likely wrong."""
    from xclassic import audit_labels
    from xclassic.cli.outputs import check_output, choose_format, write_table

    form = choose_format(output, None)
    if form == "npz":
        raise typer.BadParameter(f"{output} would hold arrays; name it .tsv or .jsonl")
    check_output(output, force)
    points, model = read_for(
        estimator, data, text_field, preset, quiet, label_field=label_field, label_delimiter=label_delimiter,
        label_matrix=label_matrix, zero_based=zero_based, data_format=data_format,
    )  # fmt: skip
    doubts = audit_labels(model, points.X, points.Y, n=n, cv=folds, n_jobs=estimator.n_jobs, random_state=seed)
    names = points.label_names
    rows = [
        {
            "kind": doubt.kind,
            "id": points.ids[doubt.row],
            "label": doubt.label if names is None else names[doubt.label],
            "probability": float(f"{doubt.probability:.4g}"),
            "usual": float(f"{doubt.usual:.4g}"),
        }
        for doubt in doubts
    ]
    write_table(output, form, rows)
