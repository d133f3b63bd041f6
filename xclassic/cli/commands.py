"""What each command does."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from xclassic._version import __version__
from xclassic.cli.audit_command import audit
from xclassic.cli.describe_command import describe
from xclassic.cli.in_pieces import join
from xclassic.cli.options import (
    Data,
    DataFormat,
    Force,
    IdField,
    Jobs,
    LabelDelimiter,
    LabelField,
    LabelMatrix,
    LabelWeights,
    Model,
    PropensityPower,
    Quiet,
    RankingWeights,
    Revealed,
    RevealedField,
    TextField,
    Train,
    TrainLabelMatrix,
    ZeroBased,
    in_home,
    load_trained,
    read,
    read_revealed,
    read_weights,
    row_range,
    source_for,
    whole_numbers,
)
from xclassic.cli.parameters import EstimatorGroup, usage_errors
from xclassic.cli.printing import printable, to_json
from xclassic.cli.report_command import report
from xclassic.cli.train_command import train
from xclassic.cli.tune_command import tune
from xclassic.cli.vocabulary_options import (
    MeasuredVocabulary,
    VocabularyLanguage,
    concepts_of,
    current,
    measure_levels,
)


def _with_hyphens(name: str) -> str:
    return name.replace("_", "-")


class _InOrder(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(
            self.commands,
            key=[
                "describe",
                "audit",
                "tune",
                "train",
                "join",
                "predict",
                "evaluate",
                "report",
                "explain",
                "info",
            ].index,
        )


commands = typer.Typer(
    cls=_InOrder,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": _with_hyphens},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from xclassic.cli.outputs import write_line

        write_line(f"xclassic {__version__}")
        raise typer.Exit


@commands.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of a failure.")] = False,
) -> None:
    """Extreme multi-label classification: train, predict, evaluate."""


class _Estimators(EstimatorGroup):
    train = staticmethod(train)


commands.add_typer(
    typer.Typer(no_args_is_help=True, help="Train a model: xclassic train ESTIMATOR DATA --model FOLDER."),
    name="train",
    cls=_Estimators,
)


class _AuditingEstimators(EstimatorGroup):
    train = staticmethod(audit)


commands.add_typer(
    typer.Typer(no_args_is_help=True, help="List labels that look missing or wrong: xclassic audit ESTIMATOR DATA."),
    name="audit",
    cls=_AuditingEstimators,
)


class _TunedEstimators(EstimatorGroup):
    train = staticmethod(tune)


commands.add_typer(
    typer.Typer(no_args_is_help=True, help="Choose parameters: xclassic tune ESTIMATOR DATA --for P@5 --trials 20."),
    name="tune",
    cls=_TunedEstimators,
)


@commands.command()
def predict(
    model: Model,
    data: Data,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", help="File to write; - is standard output. A suffix .gz compresses.", callback=in_home
        ),
    ] = "-",
    k: Annotated[int, typer.Option("-k", min=1, help="Labels per row.")] = 5,
    threshold: Annotated[
        float | None, typer.Option(help="Only labels with at least this score.", show_default="none")
    ] = None,
    sets: Annotated[
        bool,
        typer.Option("--sets", help="As many labels as the model chooses for the row: see --aim of train."),
    ] = False,
    format: Annotated[
        str | None, typer.Option(help="text, jsonl or npz.", show_default="by the suffix of the output, else text")
    ] = None,
    label_ids: Annotated[bool, typer.Option("--label-ids", help="Write ids of labels that have names.")] = False,
    id_field: IdField = None,
    rows: Annotated[
        str | None,
        typer.Option(metavar="A:B", help="Only rows A to B - 1, counted from 0.", show_default="all"),
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
    n_jobs: Jobs = -1,
    revealed: Revealed = None,
    revealed_field: RevealedField = None,
    ranking_weights: RankingWeights = None,
    propensity_power: PropensityPower = None,
    text_field: TextField = None,
    zero_based: ZeroBased = None,
    data_format: DataFormat = None,
) -> None:
    """Write the best labels of each row (of a folder: of its test points)."""
    from xclassic.cli.outputs import check_output, choose_format, write_predictions

    if threshold is not None and math.isnan(threshold):
        raise typer.BadParameter("--threshold is nan, which no score reaches; pass a number")
    form = choose_format(output, format)
    if form == "npz" and output == "-" and sys.stdout and sys.stdout.isatty():
        raise typer.BadParameter("npz is not text for a terminal; name a file with --output")
    check_output(output, force)
    trained = load_trained(model, n_jobs, quiet)
    weights = read_weights(trained, ranking_weights, propensity_power, by_id=label_ids)
    source = source_for(trained, data, text_field, id_field=id_field, zero_based=zero_based, data_format=data_format)
    known = read_revealed(trained, source, revealed, revealed_field, quiet)
    points = read(source, "test", quiet, n_features=trained.n_features, labels=False)
    if rows is not None:
        part = row_range(rows, len(points.ids))
        points, known = points.rows(part), None if known is None else known[part]
    if sets and (trained.fields or known is not None or weights is not None or threshold is not None):
        raise typer.BadParameter(
            "--sets is what the model chooses by its own scores; leave out --threshold, --revealed, weights and fields"
        )
    if sets:
        top, labels = trained.predict_sets(points.X), trained.labels(by_id=label_ids)
    elif trained.fields:
        top, labels = trained.rank_fields(points.X, k, as_text=form != "jsonl")
    else:
        top, labels = trained.predict_topk(points.X, k, known, weights), trained.labels(by_id=label_ids)
    if threshold is not None:
        top = top.above(threshold)
    write_predictions(output, form, top, labels, points.ids)


@commands.command()
def evaluate(
    model: Model,
    data: Data,
    k: Annotated[str, typer.Option("-k", help="Depths of the ranking.")] = "1,3,5",
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of a table.")] = False,
    by_frequency: Annotated[bool, typer.Option("--by-frequency", help="Also for head, torso and tail labels.")] = False,
    preset: Annotated[
        str | None,
        typer.Option(help="Constants of the propensities: default, wikipedia or amazon.", show_default="default"),
    ] = None,
    a: Annotated[float | None, typer.Option("--A", help="With --B, instead of a preset.", show_default=False)] = None,
    b: Annotated[float | None, typer.Option("--B", help="With --A, instead of a preset.", show_default=False)] = None,
    train_data: Train = None,
    train_label_matrix: TrainLabelMatrix = None,
    vocabulary: MeasuredVocabulary = None,
    vocabulary_language: VocabularyLanguage = None,
    quiet: Quiet = False,
    n_jobs: Jobs = -1,
    revealed: Revealed = None,
    revealed_field: RevealedField = None,
    ranking_weights: RankingWeights = None,
    propensity_power: PropensityPower = None,
    text_field: TextField = None,
    label_field: LabelField = None,
    label_delimiter: LabelDelimiter = None,
    label_weights: LabelWeights = False,
    label_matrix: LabelMatrix = None,
    zero_based: ZeroBased = None,
    data_format: DataFormat = None,
) -> None:
    """Print the metrics of a model on labeled data (of a folder: on its test points)."""
    from dataclasses import replace

    from xclassic import metrics
    from xclassic.cli.measure import MIN_POINTS, count_labels, labels_of, measure, measure_fields
    from xclassic.cli.outputs import write_line

    depths = whole_numbers("-k", k)
    constants: dict[str, Any] = {"preset": preset, "A": a, "B": b}
    with usage_errors():
        metrics.propensity([1], MIN_POINTS, **constants)
    trained = load_trained(model, n_jobs, quiet)
    n_features, classes = trained.n_features, trained.estimator.classes_
    if trained.fields and vocabulary is not None:
        raise typer.BadParameter("--vocabulary is for labels, but the model predicts fields; leave it out")
    concepts = concepts_of(classes, vocabulary, vocabulary_language)
    source = source_for(
        trained, data, text_field, label_field=label_field, label_delimiter=label_delimiter, label_matrix=label_matrix,
        zero_based=zero_based, data_format=data_format, target_fields=trained.fields,
        label_weights=label_weights or None,
    )  # fmt: skip
    alone = train_data is None  # Else options may speak of either file.
    if train_data is not None:
        labeled = replace(source, path=train_data, label_matrix=train_label_matrix, data_format=None)
        training = current(read(labeled, "train", quiet, n_features=n_features, strict=False), concepts)
        counts = count_labels(labels_of(trained.estimator, training.Y), classes)
        trained = replace(trained, label_counts=counts, training={"n_rows": len(training.ids)})
    weights = read_weights(trained, ranking_weights, propensity_power, **constants)
    known = read_revealed(trained, source, revealed, revealed_field, quiet)
    points = current(read(source, "test", quiet, n_features=n_features, strict=alone), concepts)
    if trained.fields:
        report = measure_fields(trained, points)
        if as_json:
            write_line(to_json({"model": model, "data": data, "n_rows": len(points.ids), "metrics": report}))
        else:
            flat = {f"{field} {name}": value for field, values in report.items() for name, value in values.items()}
            write_line(metrics.format_table(flat))
        return
    results, truth = measure(trained, points, depths, constants, by_frequency, known, weights)
    levels = {} if concepts is None else measure_levels(trained, points, truth, concepts, known, weights)
    if not as_json:
        write_line(metrics.format_table(results))
        if levels:
            write_line(
                metrics.format_table({f"{level} {name}": n for level, of in levels.items() for name, n in of.items()})
            )
        return
    n_unknown = truth.shape[1] - classes.size
    summary = {"model": model, "data": data, "n_rows": truth.shape[0], "n_unknown_labels": n_unknown}
    write_line(to_json({**summary, "metrics": results} | ({"levels": levels} if levels else {})))


commands.command()(describe)
commands.command()(join)
commands.command()(report)


@commands.command()
def explain(
    model: Model,
    data: Data,
    row: Annotated[int, typer.Option(min=0, help="Number of the row, from 0.")] = 0,
    label: Annotated[str | None, typer.Option(help="Name or id of the label.", show_default="the best")] = None,
    n_features: Annotated[int, typer.Option(min=1, help="Features shown for each node.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of text.")] = False,
    label_ids: Annotated[
        bool, typer.Option("--label-ids", help="Take and show ids of labels that have names.")
    ] = False,
    quiet: Quiet = False,
    text_field: TextField = None,
    zero_based: ZeroBased = None,
    data_format: DataFormat = None,
) -> None:
    """Tell why a label has its score for one row (of a folder: of its test points)."""
    from sklearn.pipeline import Pipeline

    from xclassic import explain as explain_score
    from xclassic.cli.outputs import write_line

    trained = load_trained(model, 1, quiet)
    source = source_for(trained, data, text_field, zero_based=zero_based, data_format=data_format)
    points = read(source, "test", quiet, n_features=trained.n_features, labels=False)
    if row >= len(points.ids):
        raise typer.BadParameter(f"there is no row {row}; {data} has {len(points.ids)} rows, counted from 0")
    X = points.X[row : row + 1]
    shown = trained.labels(by_id=label_ids)
    best = trained.predict_topk(X, 1)
    chosen = best.ids[0, 0] if label is None else _position(label, shown)
    explanation = explain_score(
        trained.model,
        X,
        trained.estimator.classes_[chosen],
        n_features=n_features,
        label_names=shown if as_json else [printable(str(name)) for name in shown.tolist()],
        feature_names=None if isinstance(trained.model, Pipeline) else points.feature_names,
    )
    write_line(to_json(explanation.to_dict()) if as_json else str(explanation))


def _position(label: str, shown: Any) -> int:
    """Return the id of a label that is given as it is shown."""
    found = [i for i, name in enumerate(shown.tolist()) if str(name) == label]
    if len(found) > 1:
        raise typer.BadParameter(f"{len(found)} labels are called {label!r}; name one by its id, with --label-ids")
    if not found:
        raise typer.BadParameter(
            f"the model has no label {label!r}; some of its labels: {', '.join(map(str, shown[:3]))}"
        )
    return found[0]


@commands.command()
def info(
    model: Model,
    full: Annotated[bool, typer.Option("--full", help="Check every byte that is used, not only the sizes.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of a table.")] = False,
) -> None:
    """Say what a model folder holds, and check it."""
    from xclassic.cli.models import read_model
    from xclassic.cli.outputs import write_line

    trained, header = read_model(model, verify="full" if full else "lazy")
    estimator, steps = trained.estimator, getattr(trained.model, "steps", [])[:-1]
    metadata = {
        "class": type(estimator).__name__,
        "version": header.get("version"),
        "instruction_set": estimator.instruction_set_,
        "bytes": sum(file.stat().st_size for file in Path(model).iterdir() if file.is_file()),
        "n_features": getattr(estimator, "n_features_in_", None),  # Members of a blend may each have their own.
        "n_labels": int(estimator.classes_.size),
        "input": trained.input,
        "steps": {name: " ".join(repr(step).split()) for name, step in steps},
        "params": estimator.get_params(deep=False),
        "training": trained.training,
        "checked": "everything" if full else "sizes",
    }
    write_line(to_json(metadata) if as_json else _table(metadata))


def _table(metadata: dict[str, Any]) -> str:
    """Return metadata as two columns, those of a nested dict indented."""
    lines: list[tuple[str, str]] = []
    for name, value in metadata.items():
        if isinstance(value, dict):
            if value:
                lines += [(name, ""), *((f"  {key}", _cell(item)) for key, item in value.items())]
        else:
            lines.append((name, _cell(value)))
    width = max(len(name) for name, _ in lines)
    return "\n".join(f"{name:{width}}  {value}".rstrip() for name, value in lines)


def _cell(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, float):
        return str(float(f"{value:.6g}"))
    return "none" if value is None else printable(str(value))
