"""What ``xclassic train`` does."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer

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
from xclassic.cli.in_pieces import Cluster, InPieces, Resume, Shard
from xclassic.cli.options import (
    Data,
    DataFormat,
    Force,
    LabelDelimiter,
    LabelField,
    LabelMatrix,
    LabelWeights,
    Quiet,
    ZeroBased,
    in_home,
    read,
    shows_progress,
    step,
    whole_numbers,
)
from xclassic.cli.parameters import usage_errors
from xclassic.cli.printing import printable
from xclassic.cli.set_options import Calibrate, SetAim, with_learned
from xclassic.cli.vocabulary_options import (
    VocabularyFile,
    VocabularyLanguage,
    VocabularyTree,
    with_vocabulary,
)
from xclassic.cli.word_options import Words, WordsWeight, beside_words

BY_PRESET = "by the preset"


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
    calibrate: Calibrate = False,
    aim: SetAim = None,
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

    from xclassic import AutoXMC
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
    if written and (calibrate or aim is not None):
        raise typer.BadParameter("--calibrate and --aim are for labels, but --fields names columns to predict")
    estimator = with_learned(estimator, calibrate, aim)
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
    if isinstance(estimator, AutoXMC):
        for line in ["", *estimator.report_.splitlines()]:
            write_line(printable(line))


def _lengths(option: str, text: str | None) -> tuple[int, ...] | None:
    """Return the shortest and the longest length, nothing for none, None where the preset chooses."""
    if text is None or text == "none":
        return None if text is None else ()
    numbers = whole_numbers(option, text, "the shortest and the longest length, as in 1,3, or none")
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
