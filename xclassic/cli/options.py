"""Options that several commands have, and what becomes of them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xclassic.cli.parameters import usage_errors

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from xclassic.cli.data import Points, Source
    from xclassic.cli.models import TrainedModel


def in_home(path: str | None) -> str | None:
    """Return a path with ``~`` replaced, which a shell leaves in ``--option=~/file``."""
    return None if path is None else os.path.expanduser(path)


Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        callback=in_home,
        help="A file in the format of the Extreme Classification Repository (plain or compressed), features as .npz or "
        ".npy, texts as JSON lines, CSV or TSV, a folder with train and test files, bibtex, which is in the package, "
        "or - for standard input.",
    ),
]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="A model folder.", callback=in_home)]
TextField = Annotated[
    list[str] | None, typer.Option(help="Field that holds the text.", show_default="that of the training data")
]
LabelField = Annotated[str | None, typer.Option(help="Field that holds the labels.", show_default="labels")]
LabelDelimiter = Annotated[
    str | None, typer.Option(help="Where a string of labels is cut; '' takes it as one label.", show_default=",")
]
LabelWeights = Annotated[
    bool,
    typer.Option("--label-weights", help="Read what follows the last :: of a label as its weight, if it is a number."),
]
DataFormat = Annotated[
    str | None,
    typer.Option(
        help="What DATA is: jsonl, csv, tsv, xmc (the text format of the field) or npz (also .npy).",
        show_default="by the name, else by the content",
    ),
]
IdField = Annotated[str | None, typer.Option(help="Field that names a row of text.", show_default="row numbers from 0")]
LabelMatrix = Annotated[
    str | None, typer.Option(metavar="Y.npz", help="Labels of .npz or .npy features.", callback=in_home)
]
Train = Annotated[
    str | None,
    typer.Option(
        "--train", help="Count labels in this data.", show_default="counts stored in the model", callback=in_home
    ),
]
TrainLabelMatrix = Annotated[
    str | None, typer.Option(metavar="Y.npz", help="Labels of --train X.npz.", show_default=False, callback=in_home)
]
ZeroBased = Annotated[
    bool | None,
    typer.Option("--zero-based/--one-based", help="First feature id of a file without a header.", show_default=False),
]
Revealed = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Labels that are known of each row, which are not predicted: a file of points or texts with these as its "
        "labels, or a matrix .npz. For SwiftXML.",
        show_default="DATA with --revealed-field, else none",
        callback=in_home,
    ),
]
RevealedField = Annotated[str | None, typer.Option(help="Field that holds the known labels.", show_default="labels")]
RankingWeights = Annotated[
    str | None,
    typer.Option(
        metavar="FILE",
        help="Rank by score times the weight of the label: lines of a label, a tab and its weight; 0 leaves a label "
        "out, and others have 1.",
        show_default="none",
        callback=in_home,
    ),
]
PropensityPower = Annotated[
    float | None,
    typer.Option(
        min=0,
        help="Rank by score times a power of one over the propensity of the label, for PSP@k: 1, or less for more P@k.",
        show_default="none",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Force = Annotated[bool, typer.Option("--force", "-f", help="Replace what is there.")]
Jobs = Annotated[int, typer.Option("--n-jobs", help="Workers; -1 for all CPUs.")]


def load_trained(path: str, n_jobs: int, quiet: bool) -> TrainedModel:
    from xclassic.cli.models import read_model

    trained, _ = read_model(path)
    trained.estimator.set_params(n_jobs=n_jobs, verbose=int(shows_progress(quiet)))
    with usage_errors():
        trained.estimator._check_parameters()
    return trained


def read(source: Source, part: Any, quiet: bool, **options: Any) -> Points:
    from xclassic.cli.data import read_points

    with step(f"reading {source.path}", quiet):
        return read_points(source, part, **options)


def source_for(trained: TrainedModel, path: str, text_field: list[str] | None, **options: Any) -> Source:
    """Return where to read what a model reads: the fields of its training data unless others are named."""
    from xclassic.cli.data import Source

    as_records = trained.input == "records"
    if as_records and text_field:
        raise typer.BadParameter("the model reads records and knows its fields; leave --text-field out")
    default_fields = trained.training.get("text_fields", ["text"])
    return Source(
        path,
        text_field or None,
        default_fields=default_fields,
        as_records=as_records,
        record_fields=trained.record_fields,
        **options,
    )


def read_revealed(
    trained: TrainedModel, source: Source, path: str | None, field: str | None, quiet: bool
) -> csr_array | None:
    """Return the labels that are known of the rows of `source`, None if the command names none."""
    from xclassic.cli.data import STDIN, Source
    from xclassic.cli.measure import align_labels
    from xclassic.pipelines import takes_revealed

    if path is None and field is None:
        return None
    option = "--revealed-field" if path is None else "--revealed"
    if not takes_revealed(trained.estimator):
        raise typer.BadParameter(
            f"{type(trained.estimator).__name__} cannot be told labels that are known; {option} is for SwiftXML"
        )
    path, columns = path or source.path, [field or "labels"]
    if path == source.path == STDIN:
        raise typer.BadParameter(f"{option} needs a second look at standard input; name files")
    known_in = Source(
        path, label_field=field, label_delimiter=source.label_delimiter, label_matrix=path,
        zero_based=source.zero_based, data_format=source.data_format if path == source.path else None,
        as_records=True, record_fields=columns,
    )  # fmt: skip
    known = read(known_in, "test", quiet, n_features=trained.n_features, strict=False)
    if field is not None and not known.is_text:
        raise typer.BadParameter(f"--revealed-field is for JSON lines, CSV and TSV, which {path} is not; leave it out")
    classes = trained.estimator.classes_
    return align_labels(known.Y, classes)[:, : classes.size]


def read_weights(
    trained: TrainedModel, path: str | None, power: float | None, *, by_id: bool = False, **constants: Any
) -> NDArray[np.float64] | None:
    """Return by what the scores of labels are multiplied, None if the command names nothing."""
    from xclassic import metrics
    from xclassic.cli.label_names import ranking_weights
    from xclassic.cli.measure import MIN_POINTS

    if path is None and power is None:
        return None
    option = "--ranking-weights" if power is None else "--propensity-power"
    if path is not None and power is not None:
        raise typer.BadParameter("--ranking-weights and --propensity-power both weigh labels; leave one out")
    if trained.fields:
        raise typer.BadParameter(f"{option} is for labels, but the model predicts fields; leave it out")
    if path is not None:
        return ranking_weights(path, trained.labels(by_id=by_id))
    if trained.label_counts is None or trained.training["n_rows"] < MIN_POINTS:
        raise typer.BadParameter(
            f"the model holds no label counts of at least {MIN_POINTS} training points, from which propensities are "
            "estimated; name weights with --ranking-weights"
        )
    p = metrics.propensity(trained.label_counts, trained.training["n_rows"], **constants)
    return (1 / p) ** power  # type: ignore[no-any-return,operator]


def whole_numbers(option: str, text: str, accepted: str = "numbers of at least 1, as in 1,3,5") -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise typer.BadParameter(f"{option} is {text!r}; accepted are {accepted}")
    return numbers


def row_range(text: str, n_rows: int) -> slice:
    """Return the rows that ``A:B`` names; either may be left out, and both may be beyond the last."""
    first, colon, end = text.partition(":")
    try:
        rows = slice(int(first or 0), int(end or max(int(first or 0), n_rows)))
    except ValueError:
        rows = slice(-1, 0)
    if not colon or not 0 <= rows.start <= rows.stop:
        raise typer.BadParameter(f"--rows is {text!r}; accepted is A:B with 0 <= A <= B, such as 0:1000")
    return rows


def shows_progress(quiet: bool) -> bool:
    return not quiet and sys.stderr.isatty()


@contextmanager
def step(description: str, quiet: bool) -> Iterator[None]:
    """Show what is being done, on a terminal."""
    if not shows_progress(quiet):
        yield
        return
    from rich.console import Console
    from rich.markup import escape

    with Console(stderr=True).status(escape(description)):
        yield
