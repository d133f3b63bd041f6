"""What ``xclassic tune`` does."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

import typer

from xclassic.cli.options import (
    Data,
    DataFormat,
    LabelDelimiter,
    LabelField,
    LabelMatrix,
    Quiet,
    ZeroBased,
    in_home,
    shows_progress,
)
from xclassic.cli.parameters import spell, usage_errors
from xclassic.cli.text_pipeline import TextFields, TextPreset, read_for

OWN = ("estimator", "data", "metric", "trials", "splits", "out", "seed", "quiet")  # What `train` does not take.


def tune(
    estimator: Any,
    context: typer.Context,
    data: Data,
    metric: Annotated[
        str, typer.Option("--for", help="Metric to aim at, such as nDCG@3, PSP@5 or 'tail R@5'.")
    ] = "P@5",
    trials: Annotated[int, typer.Option(min=1, help="Number of trials, with those of --out.")] = 20,
    splits: Annotated[
        int | None,
        typer.Option(min=1, help="Folds; 1 holds out a fifth of the rows.", show_default="3, of 5,000 rows or more 1"),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", "-o", metavar="FILE", help="Keep the trials as JSON lines, and go on from there.", callback=in_home
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search and of the held-out rows.")] = 0,
    quiet: Quiet = False,
    text_field: TextFields = None,
    label_field: LabelField = None,
    label_delimiter: LabelDelimiter = None,
    label_matrix: LabelMatrix = None,
    zero_based: ZeroBased = None,
    data_format: DataFormat = None,
    preset: TextPreset = None,
) -> None:
    """Search for the parameters of an estimator that rank held-out rows best."""
    from xclassic import tune as search
    from xclassic.cli.outputs import write_line
    from xclassic.ensemble.search_space import search_space
    from xclassic.ensemble.tuning import check_metric

    with usage_errors():
        check_metric(metric)
        search_space(estimator)
    points, model = read_for(
        estimator, data, text_field, preset, quiet, label_field=label_field, label_delimiter=label_delimiter,
        label_matrix=label_matrix, zero_based=zero_based, data_format=data_format,
    )  # fmt: skip
    tuning = search(
        model,
        points.X,
        points.Y,
        metric,
        n_trials=trials,
        n_splits=splits,
        trial_file=out,
        random_state=seed,
        verbose=int(shows_progress(quiet)),
    )
    write_line(str(tuning))
    write_line("")
    write_line(_train_command(context, type(estimator).__name__, data, tuning.best_params))


def _train_command(context: typer.Context, name: str, data: str, params: dict[str, Any]) -> str:
    """Return the command that trains with these parameters, and else with the options of this one."""
    options: list[str] = []
    for parameter in context.command.params:
        key = parameter.name or ""
        source = context.get_parameter_source(key)
        if source is not None and source.name == "COMMANDLINE" and key not in (*OWN, *params):
            options += _given(parameter, context.params[key])
    for key, value in params.items():
        options += [f"--{key.replace('_', '-')}", spell(value)]
    return shlex.join(["xclassic", "train", name, data, *options, "--model", f"{name.lower()}.model"])


def _given(parameter: Any, value: Any) -> list[str]:
    """Return an option as it was given."""
    name = max(parameter.opts, key=len)
    if isinstance(value, bool):
        return [name if value else parameter.secondary_opts[0]]
    return [part for one in (value if isinstance(value, (list, tuple)) else [value]) for part in (name, str(one))]
