"""Training rows and what is fitted on them, for commands that fit an estimator many times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from xclassic.cli.field_options import TEXT_PANEL, judge_for
from xclassic.cli.options import read
from xclassic.cli.parameters import usage_errors

if TYPE_CHECKING:
    from xclassic.cli.data import Points

TextFields = Annotated[
    list[str] | None,
    typer.Option(help="Field that holds the text; several have vocabularies of their own.", show_default="text"),
]
TextPreset = Annotated[
    str | None,
    typer.Option(help="auto (chosen on the rows), title or abstract.", rich_help_panel=TEXT_PANEL, show_default="auto"),
]


def read_for(
    estimator: Any, data: str, text_field: list[str] | None, preset: str | None, quiet: bool, **options: Any
) -> tuple[Points, Any]:
    """Return training rows and the estimator for them: after features of its own if rows are texts.

    Parameters
    ----------
    estimator : XMCClassifier
    data : str
    text_field, preset
        Options of the command.
    quiet : bool
    **options : object
        Further arguments of `Source` by name.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.utils import get_tags

    from xclassic.cli.data import Source
    from xclassic.features import TextFeatures

    fields = text_field or ["text"]
    is_record = len(fields) > 1
    named = fields if is_record else ()
    points = read(
        Source(data, text_field or None, as_records=is_record, record_fields=named, **options), "train", quiet
    )
    reads_text = get_tags(estimator).input_tags.string
    if reads_text and not points.is_text:
        raise typer.BadParameter(f"{type(estimator).__name__} reads texts; pass JSON lines, CSV or TSV")
    if preset is not None and (reads_text or not points.is_text):
        raise typer.BadParameter("--preset is for TF-IDF of texts, which has no part in this; leave it out")
    if reads_text or not points.is_text:
        return points, estimator
    encoder = TextFeatures(
        fields if is_record else None,
        preset=preset or "auto",
        choose_for=judge_for(estimator),
        n_jobs=estimator.n_jobs,
    )
    with usage_errors():
        encoder._check_parameters()
    return points, make_pipeline(encoder, estimator)
