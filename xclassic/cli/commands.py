"""What each command does."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from xclassic._version import __version__
from xclassic.cli.describe_command import describe
from xclassic.cli.field_options import (
    TEXT_PANEL,
    CategoryField,
    CategoryWeight,
    CrossedFields,
    MinRows,
    Separator,
    SeveralField,
    crossed_pairs,
    judge_for,
    settings_of,
)
from xclassic.cli.in_pieces import Cluster, InPieces, Resume, Shard, join
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
    Quiet,
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
    row_range,
    shows_progress,
    source_for,
    step,
    whole_numbers,
)
from xclassic.cli.parameters import EstimatorGroup, usage_errors
from xclassic.cli.printing import printable, to_json
from xclassic.cli.report_command import report
from xclassic.cli.vocabulary_options import (
    MeasuredVocabulary,
    VocabularyFile,
    VocabularyLanguage,
    VocabularyTree,
    concepts_of,
    current,
    measure_levels,
    with_vocabulary,
)
from xclassic.cli.word_options import Words, WordsWeight, beside_words

BY_PRESET = "by the preset"


def _with_hyphens(name: str) -> str:
    return name.replace("_", "-")


class _InOrder(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(
            self.commands, key=["describe", "train", "join", "predict", "evaluate", "report", "explain", "info"].index
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


def train(
    estimator: Any,
    data: Data,
    model: Annotated[str, typer.Option("--model", "-m", help="Folder to write.", callback=in_home)],
    force: Force = False,
    quiet: Quiet = False,
    shard: Shard = None,
    resume: Resume = False,
    cluster: Cluster = None,
    text_field: Annotated[
        list[str] | None,
        typer.Option(help="Field that holds the text; several have vocabularies of their own.", show_default="text"),
    ] = None,
    label_field: LabelField = None,
    label_delimiter: LabelDelimiter = None,
    label_weights: LabelWeights = False,
    label_matrix: LabelMatrix = None,
    zero_based: ZeroBased = None,
    data_format: DataFormat = None,
    on_disk: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Write features to this folder, some rows at a time, and train from there: for data beyond memory.",
            callback=in_home,
        ),
    ] = None,
    vocabulary: VocabularyFile = None,
    vocabulary_language: VocabularyLanguage = None,
    vocabulary_tree: VocabularyTree = False,
    numeric_field: Annotated[
        list[str], typer.Option(help="Field that holds a number, such as a price.", rich_help_panel=TEXT_PANEL)
    ] = [],  # noqa: B006
    category_field: CategoryField = [],  # noqa: B006
    several_field: SeveralField = [],  # noqa: B006
    crossed_fields: CrossedFields = [],  # noqa: B006
    separator: Separator = None,
    min_rows: MinRows = None,
    category_weight: CategoryWeight = None,
    preset: Annotated[
        list[str] | None,
        typer.Option(
            help="auto (chosen on the rows), title or abstract; several are for one text field each.",
            rich_help_panel=TEXT_PANEL,
            show_default="auto",
        ),
    ] = None,
    ngram_range: Annotated[
        str | None,
        typer.Option(
            help="Shortest and longest sequence of words, or none.", rich_help_panel=TEXT_PANEL, show_default=BY_PRESET
        ),
    ] = None,
    char_ngrams: Annotated[
        str | None,
        typer.Option(
            help="Shortest and longest sequence of characters within words, or none.",
            rich_help_panel=TEXT_PANEL,
            show_default=BY_PRESET,
        ),
    ] = None,
    min_df: Annotated[
        int | None,
        typer.Option(help="Fewest texts with a term.", rich_help_panel=TEXT_PANEL, show_default=BY_PRESET),
    ] = None,
    max_features: Annotated[
        int | None, typer.Option(help="Most terms.", rich_help_panel=TEXT_PANEL, show_default="no limit")
    ] = None,
    stop_words: Annotated[
        str | None, typer.Option(help="english, or none.", rich_help_panel=TEXT_PANEL, show_default="none")
    ] = None,
    sublinear_tf: Annotated[
        bool | None,
        typer.Option(
            "--sublinear-tf/--no-sublinear-tf",
            help="Count a repeated term by 1 + log(count).",
            rich_help_panel=TEXT_PANEL,
            show_default=BY_PRESET,
        ),
    ] = None,
    word_vectors: Words = None,
    word_vectors_weight: WordsWeight = None,
    analyzer: Annotated[
        str | None,
        typer.Option(
            help="What words are: simple, snowball(english) or spacy(en_core_web_sm).",
            rich_help_panel=TEXT_PANEL,
            show_default="simple",
        ),
    ] = None,
    n_hashed: Annotated[
        int | None,
        typer.Option(
            help="Hash terms into so many columns, without a vocabulary.",
            rich_help_panel=TEXT_PANEL,
            show_default="a column for each term",
        ),
    ] = None,
) -> None:
    """Fit an estimator and write its model folder."""
    from sklearn.pipeline import make_pipeline
    from sklearn.utils import get_tags

    from xclassic.cli.data import Source
    from xclassic.cli.measure import count_labels, labels_of
    from xclassic.cli.models import TrainedModel
    from xclassic.cli.on_disk import read_on_disk
    from xclassic.cli.outputs import write_line
    from xclassic.features import TextFeatures
    from xclassic.features.analyzers import analyzer_of
    from xclassic.validation.records import template_fields
    from xclassic.weighing import refuse_not_taken

    _check_model_folder(model, force)
    in_pieces = InPieces.of_options(model, data, shard, resume, cluster)
    reads_text = get_tags(estimator).input_tags.string
    fields, presets = text_field or ["text"], preset or ["auto"]
    prompt = getattr(estimator, "prompt", None)
    written = list(estimator.fields) if getattr(estimator, "target", None) == "fields" else []
    if label_weights:
        with usage_errors():
            refuse_not_taken(estimator, {"relevance": label_weights})
    for option, given in {"--label-field": label_field, "--label-delimiter": label_delimiter}.items():
        if written and given is not None:
            raise typer.BadParameter(f"{option} is for labels in one field, but --fields names several; leave it out")
    if written and vocabulary is not None:
        raise typer.BadParameter("--vocabulary is for labels, but --fields names columns to predict; leave it out")
    pairs = crossed_pairs(crossed_fields)
    has_others = any((numeric_field, category_field, several_field, pairs))
    is_record = len(fields) > 1 or has_others or prompt is not None
    encoder = TextFeatures(
        fields if is_record else None,
        numeric=tuple(numeric_field),
        category=tuple(category_field),
        several=tuple(several_field),
        crossed=tuple(pairs),
        preset=presets[0] if len(presets) == 1 else presets,
        choose_for=judge_for(estimator),
        ngram_range=_lengths("--ngram-range", ngram_range),
        char_ngrams=_lengths("--char-ngrams", char_ngrams),
        min_df=min_df,
        max_features=max_features,
        stop_words=None if stop_words == "none" else stop_words,
        sublinear_tf=sublinear_tf,
        analyzer=analyzer,
        n_hashed=n_hashed,
        n_jobs=getattr(estimator, "n_jobs", None),
        **settings_of(separator=separator, min_rows=min_rows, category_weight=category_weight),
    )
    weighing = {
        "--numeric-field": numeric_field,
        "--category-field": category_field,
        "--several-field": several_field,
        "--crossed-fields": crossed_fields,
        "--separator": separator,
        "--min-rows": min_rows,
        "--category-weight": category_weight,
        "--preset": preset,
        "--ngram-range": ngram_range,
        "--char-ngrams": char_ngrams,
        "--min-df": min_df,
        "--max-features": max_features,
        "--stop-words": stop_words,
        "--sublinear-tf": sublinear_tf,
        "--word-vectors": word_vectors,
        "--analyzer": analyzer,
        "--n-hashed": n_hashed,
    }
    with usage_errors():
        encoder._check_parameters()
        if analyzer is not None:
            analyzer_of(analyzer)
    source = Source(
        data, text_field or None, label_field, label_delimiter, label_matrix=label_matrix, zero_based=zero_based,
        data_format=data_format, as_records=is_record,
        record_fields=encoder.fields if prompt is None else template_fields(prompt), target_fields=written,
        label_weights=label_weights or None,
    )  # fmt: skip
    if on_disk is not None and reads_text:
        raise typer.BadParameter(f"--on-disk is for features, but {type(estimator).__name__} reads texts; leave it out")
    if on_disk is None:
        points = read(source, "train", quiet)
    else:
        with step(f"writing {on_disk}", quiet):
            points = read_on_disk(source, encoder, on_disk)
    features = beside_words(
        encoder,
        word_vectors,
        word_vectors_weight,
        on_disk,
        getattr(estimator, "n_jobs", None),
        int(shows_progress(quiet)),
    )
    points = with_vocabulary(points, estimator, vocabulary, vocabulary_language, vocabulary_tree)
    X, training = points.X, {"data": printable(data), "n_rows": len(points.ids)}
    size = f"{len(points.ids):,} points"
    if points.is_text:
        training["text_fields"] = fields
    elif reads_text:
        raise typer.BadParameter(f"{type(estimator).__name__} reads texts; pass JSON lines, CSV or TSV")
    weighs_terms = points.is_text and not reads_text
    for option, value in weighing.items():
        if value is not None and value != [] and not weighs_terms:
            raise typer.BadParameter(f"{option} is for TF-IDF of texts, which has no part in this; leave it out")
    if not reads_text:
        if isinstance(X, list):
            with step("weighing terms", quiet):
                X = features.fit_transform(points.X, points.Y)
        size += f", {X.shape[1]:,} features"
    shown = shows_progress(quiet)
    estimator.set_params(verbose=max(int(estimator.verbose), int(shown)))
    if shown:
        mebibytes = estimator.estimate_memory(X, points.Y) / 2**20
        typer.echo(f"{size}; needs about {mebibytes:,.0f} MiB more", err=True)
    start = time.perf_counter()
    weights = {} if points.relevance is None else {"relevance": points.relevance}
    missing = in_pieces.fit(estimator, X, points.Y, **weights)
    training["seconds"] = time.perf_counter() - start
    if missing is not None:
        rest = f"missing are {', '.join(map(str, missing))}" if missing else f"xclassic join {model} makes the model"
        write_line(f"{model}: part {shard} of {type(estimator).__name__}, {training['seconds']:.1f} s; {rest}")
        return
    # Whoever loads the model chooses how to run it.
    estimator.set_params(n_jobs=None, verbose=0)
    encoder.set_params(n_jobs=None)
    if word_vectors is not None:
        features.set_params(words__n_jobs=None, words__verbose=0)
    whole = make_pipeline(features, estimator) if points.is_text and not reads_text else estimator
    counts = count_labels(labels_of(estimator, points.Y), estimator.classes_)
    with step(f"writing {model}", quiet):
        TrainedModel(whole, counts, points.label_names, training).save(model)
        in_pieces.remove()
    write_line(
        f"{model}: {type(estimator).__name__}, {size}, "
        f"{estimator.classes_.size:,} labels, trained in {training['seconds']:.1f} s"
    )


class _Estimators(EstimatorGroup):
    train = staticmethod(train)


commands.add_typer(
    typer.Typer(no_args_is_help=True, help="Train a model: xclassic train ESTIMATOR DATA --model FOLDER."),
    name="train",
    cls=_Estimators,
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
    source = source_for(trained, data, text_field, id_field=id_field, zero_based=zero_based, data_format=data_format)
    known = read_revealed(trained, source, revealed, revealed_field, quiet)
    points = read(source, "test", quiet, n_features=trained.n_features, labels=False)
    if rows is not None:
        part = row_range(rows, len(points.ids))
        points, known = points.rows(part), None if known is None else known[part]
    if trained.fields:
        top, labels = trained.rank_fields(points.X, k, as_text=form != "jsonl")
    else:
        top, labels = trained.predict_topk(points.X, k, known), trained.labels(by_id=label_ids)
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
    results, truth = measure(trained, points, depths, constants, by_frequency, known)
    levels = {} if concepts is None else measure_levels(trained, points, truth, concepts, known)
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


def _lengths(option: str, text: str | None) -> tuple[int, ...] | None:
    """Return the shortest and the longest length, nothing for none, None where the preset chooses."""
    if text is None or text == "none":
        return None if text is None else ()
    numbers = whole_numbers(option, text)
    return numbers[0], numbers[-1]


def _check_model_folder(path: str, force: bool) -> None:
    """Refuse before hours of training what could not be written after them."""
    from xclassic.storage.folder import HEADER, foreign_files

    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise typer.BadParameter(f"{path} is a file; a model is a folder")
    if os.path.lexists(folder / HEADER) and not force:
        raise typer.BadParameter(f"{path} holds a model; choose another name, or pass --force to replace it")
    if folder.exists() and (foreign := foreign_files(folder)):
        raise typer.BadParameter(f"{path} is a folder of something else, such as {foreign[0]}; choose another name")
    if not folder.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {folder.absolute().parent}")
