"""What ``xclassic describe`` does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xclassic.cli.options import (
    Data,
    DataFormat,
    Force,
    LabelDelimiter,
    LabelField,
    LabelMatrix,
    LabelWeights,
    Quiet,
    TextField,
    ZeroBased,
    in_home,
    step,
)

if TYPE_CHECKING:
    from xclassic.cli.data import Source

FIGURES = (".png", ".svg", ".pdf")
SIZES = ("mean", "median", "90 %", "99 %", "largest")
Pieces = Iterator[tuple[Any, Any]]


def describe(
    data: Data,
    test: Annotated[
        str | None,
        typer.Option(
            help="Data of the same kind that is kept for tests, to be compared.",
            show_default="that of a folder, else none",
            callback=in_home,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of text.")] = False,
    plot: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Draw to this .png, .svg or .pdf.", show_default="none", callback=in_home),
    ] = None,
    path: Annotated[
        str | None, typer.Option(metavar="A,B,...", help="Fields that are levels, from the top.", show_default="none")
    ] = None,
    sep: Annotated[str, typer.Option(help="Separator of names in labels that are paths.")] = " > ",
    force: Force = False,
    quiet: Quiet = False,
    text_field: TextField = None,
    label_field: LabelField = None,
    label_delimiter: LabelDelimiter = None,
    label_weights: LabelWeights = False,
    label_matrix: LabelMatrix = None,
    test_label_matrix: Annotated[
        str | None, typer.Option(metavar="Y.npz", help="Labels of --test X.npz.", show_default=False, callback=in_home)
    ] = None,
    zero_based: ZeroBased = None,
    data_format: DataFormat = None,
) -> None:
    """Print what data looks like before anyone trains: rows, labels, features, fields, and what to look at."""
    from xclassic import datasets
    from xclassic.cli.data import Source
    from xclassic.cli.outputs import check_output, open_output, write_line
    from xclassic.cli.printing import to_json

    if plot is not None:
        from xclassic.html_report.figures import check_matplotlib

        check_matplotlib()
        if Path(plot).suffix.lower() not in FIGURES:
            raise typer.BadParameter(f"--plot is {plot!r}; accepted are names that end in {', '.join(FIGURES)}")
        check_output(plot, force)
    source = Source(
        data, text_field or None, label_field, label_delimiter, label_matrix=label_matrix, zero_based=zero_based,
        data_format=data_format, label_weights=label_weights or None,
    )  # fmt: skip
    other = None if test is None else replace(source, path=test, label_matrix=test_label_matrix)
    levels = [] if path is None else path.split(",")
    with ExitStack() as opened, step(f"reading {data}", quiet):
        pieces, of_folder, found = _pieces(source, levels, opened)
        compared = of_folder if other is None else _pieces(other, levels, opened)[0]
        description = datasets.describe(pieces, compared, path=levels, sep=sep, **found)
    if plot is not None:
        from xclassic.html_report.data_figure import draw_description

        with open_output(plot) as stream:
            stream.write(draw_description(description, Path(plot).suffix.lower()[1:]))
    write_line(to_json({"data": data, **description}) if as_json else "\n".join(lines(description)))


def _pieces(source: Source, levels: list[str], opened: ExitStack) -> tuple[Pieces, Pieces | None, dict[str, Any]]:
    """Return the pieces of data, those of its test part if it is a folder with one, and options that it tells."""
    from xclassic.cli.data import TEXTS, check_options, errors_of_options, form_of, regular
    from xclassic.datasets._matrix_pieces import matrix_pieces
    from xclassic.datasets.folders import folder_pieces
    from xclassic.datasets.xmc import point_pieces

    stored = opened.enter_context(regular(source.path))
    opened.enter_context(errors_of_options(source, stored))
    form = form_of(source, stored)
    check_options(source, form)
    if levels and form not in TEXTS:
        raise typer.BadParameter(f"--path is for JSON lines, CSV and TSV, which {source.path} is not; leave it out")
    if form == "folder":
        train, tested, names = folder_pieces(source.path, zero_based=source.zero_based)
        return train, tested, {"label_names": names}
    if form in TEXTS:
        return _text_pieces(source, levels, stored, form)
    if form == "npz":
        return matrix_pieces(stored, source.label_matrix), None, {}
    return point_pieces(stored, zero_based=source.zero_based), None, {}


def _text_pieces(source: Source, levels: list[str], stored: Path, form: str) -> tuple[Pieces, None, dict[str, Any]]:
    """Return records and labels. Fields that were not named may be missing, for who describes data looks for them."""
    from xclassic.cli.data import split_weights
    from xclassic.datasets.texts import labeled_pieces, record_pieces

    first = next(record_pieces(stored, fields=source.text_fields or (), format=form), [{}])[0]
    labels = source.label_field or ("labels" if "labels" in first else None)
    delimiter = "," if source.label_delimiter is None else source.label_delimiter or None
    text = source.text_fields or [field for field in source.default_fields if field in first]
    hidden = {labels} - set(levels)  # Labels are described as such, and as a field only where they are a level.
    pieces = (
        (
            [{name: value for name, value in record.items() if name not in hidden} for record in records],
            split_weights(source, stored, lists)[0],
        )
        for records, lists in labeled_pieces(stored, labels, delimiter, format=form)
    )
    return pieces, None, {"text": text}


# As text


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of a description."""
    yield from _part(found)
    if "test" in found:
        yield from ("", "TEST", *_part(found["test"]))
        yield from ("", "overlap", *_table([[name, _shown(value)] for name, value in found["overlap"].items()]))
    if found["warnings"]:
        yield from ("", "look at", *(f"* {sentence}" for sentence in found["warnings"]))


def _part(found: dict[str, Any]) -> Iterator[str]:
    top = [["rows", f"{found['rows']:,}"]]
    top += [["rows that repeat another", f"{found['duplicates']['rows']:,}"]]
    yield from _table(top)
    if labels := found.get("labels"):
        yield from ("", "labels", *_table([
            ["labels", f"{labels['distinct']:,}"],
            ["pairs of a row and a label", f"{labels['pairs']:,}"],
            ["rows without labels", f"{labels['rows without labels']:,}"],
        ]))  # fmt: skip
        yield from _spreads({"labels per row": labels["per row"]})
        yield from ("", *_table([["rows of a label", "labels", "pairs"], *(
            [band["rows"], f"{band['labels']:,}", f"{band['pairs']:,}"] for band in labels["bands"]
        )]))  # fmt: skip
        yield from _frequent(labels["most frequent"])
    if levels := found.get("levels"):
        yield from ("", *_table([["level", "nodes", "rows that end here", "names with several parents"], *(
            [level["level"], *(f"{level[name]:,}" for name in list(level)[1:4])] for level in levels
        )]))  # fmt: skip
    if features := found.get("features"):
        shown = [name for name in features if name not in ("per row", "density")]
        yield from ("", "features", *_table([[name, _shown(features[name])] for name in shown]))
        yield f"  density                     {100 * features['density']:.3g} %"
        yield from _spreads({"entries per row": features["per row"]})
    if fields := found.get("fields"):
        yield from ("", *_table([["field", "kind", "missing", "distinct"], *(
            [name, field["kind"], f"{100 * field['missing']:.1f} %", f"{field['distinct']:,}"]
            for name, field in fields.items()
        )]))  # fmt: skip
        spread = {
            f"{name}: {what}": field[what]
            for name, field in fields.items()
            for what in ("words", "characters", "values per row")
            if field.get(what) and field["kind"] in ("text", "several values")
        }
        if spread:
            yield from ("", *_spreads(spread))
        for name, field in fields.items():
            yield from _frequent(field.get("most frequent", ()), f"{name}: ")


def _spreads(spreads: dict[str, Any]) -> Iterator[str]:
    rows = [[name, *(f"{sizes[size]:,.4g}" for size in SIZES)] for name, sizes in spreads.items() if sizes]
    yield from _table([["", *SIZES], *rows]) if rows else ()


def _frequent(values: Any, of: str = "") -> Iterator[str]:
    if values:
        yield f"  {of}most frequent: {', '.join(f'{value} ({n:,})' for value, n in values)}"


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _table(rows: list[list[str]]) -> Iterator[str]:
    """Yield aligned lines: names to the left, numbers to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = [
            row[0].ljust(max(widths[0], 26)),
            *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)),
        ]
        yield f"  {'  '.join(cells)}".rstrip()
