"""What ``xclassic report`` does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xclassic.cli.options import (
    Data,
    DataFormat,
    Force,
    IdField,
    Jobs,
    LabelDelimiter,
    LabelField,
    LabelMatrix,
    Model,
    Quiet,
    TextField,
    Train,
    TrainLabelMatrix,
    ZeroBased,
    in_home,
    load_trained,
    read,
    source_for,
    whole_numbers,
)
from xclassic.cli.parameters import usage_errors

if TYPE_CHECKING:
    from xclassic.cli.models import TrainedModel

LONGEST_VALUE = 60  # Characters of a parameter's value on the page, at most.


def report(
    model: Model,
    data: Data,
    output: Annotated[
        str, typer.Option("--output", "-o", help="HTML file to write. A suffix .gz compresses.", callback=in_home)
    ],
    k: Annotated[str, typer.Option("-k", help="Depths of the ranking.")] = "1,3,5",
    samples: Annotated[int, typer.Option(min=0, help="Sample predictions shown.")] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Draws the samples.")] = 0,
    title: Annotated[str | None, typer.Option(help="Heading.", show_default="names model and data")] = None,
    label_ids: Annotated[bool, typer.Option("--label-ids", help="Show ids of labels that have names.")] = False,
    id_field: IdField = None,
    preset: Annotated[
        str | None,
        typer.Option(help="Constants of the propensities: default, wikipedia or amazon.", show_default="default"),
    ] = None,
    train_data: Train = None,
    train_label_matrix: TrainLabelMatrix = None,
    force: Force = False,
    quiet: Quiet = False,
    n_jobs: Jobs = -1,
    text_field: TextField = None,
    label_field: LabelField = None,
    label_delimiter: LabelDelimiter = None,
    label_matrix: LabelMatrix = None,
    zero_based: ZeroBased = None,
    data_format: DataFormat = None,
) -> None:
    """Write an HTML page about a model on labeled data (of a folder: on its test points)."""
    import numpy as np

    from xclassic.cli.measure import MIN_POINTS, align_labels, count_labels, widen
    from xclassic.html_report import write_report
    from xclassic.html_report.figures import check_matplotlib
    from xclassic.metrics import propensity

    check_matplotlib()
    depths = whole_numbers("-k", k)
    with usage_errors():
        propensity([1], MIN_POINTS, preset=preset)
    _check_page(output, force)
    trained = load_trained(model, n_jobs, quiet)
    n_features, classes = trained.n_features, trained.estimator.classes_
    source = source_for(
        trained, data, text_field, label_field=label_field, label_delimiter=label_delimiter, id_field=id_field,
        label_matrix=label_matrix, zero_based=zero_based, data_format=data_format,
    )  # fmt: skip
    alone = train_data is None  # Else options may speak of either file.
    if train_data is not None:
        labeled = replace(source, path=train_data, label_matrix=train_label_matrix, data_format=None)
        training = read(labeled, "train", quiet, n_features=n_features, strict=False)
        counts, stored = count_labels(training.Y, classes), {"data": train_data, "n_rows": len(training.ids)}
        trained = replace(trained, label_counts=counts, training=stored)
    points = read(source, "test", quiet, n_features=n_features, strict=alone)
    truth = align_labels(points.Y, classes)
    depth = min(max(depths), truth.shape[1])
    top = widen(trained.predict_topk(points.X, depth), depth)
    if trained.estimator._log_scores:
        top = top._replace(scores=np.exp(top.scores))
    write_report(
        output,
        truth,
        top,
        label_names=trained.labels(by_id=label_ids),
        train_counts=trained.label_counts,
        n_train=trained.training.get("n_rows"),
        preset=preset,
        codes=_codes(trained),
        probabilities=hasattr(trained.estimator, "predict_proba"),
        texts=points.X if points.is_text else None,
        row_names=points.ids,
        ks=depths,
        samples=samples,
        seed=seed,
        title=title or f"{type(trained.estimator).__name__} on {Path(data).name}",
        facts=_facts(trained, model, data),
    )


def _check_page(path: str, force: bool) -> None:
    """Refuse, before the work, to write where no page can be."""
    from xclassic.cli.outputs import STDOUT, check_output

    if path == STDOUT or (Path(path).exists() and not Path(path).is_file()):
        raise typer.BadParameter(f"--output is {path!r}, which is not a file; name one, as in report.html")
    check_output(path, force)


def _codes(trained: TrainedModel) -> Any:
    """Return the codes of the labels, if the model writes codes or searches label trees: then those of the first."""
    from xclassic import LabelTree

    if hasattr(trained.estimator, "codes_"):
        return trained.estimator.codes_
    trees = getattr(trained.estimator, "trees_", [])
    return trees[0].codes() if trees and isinstance(trees[0], LabelTree) else None


def _facts(trained: TrainedModel, model: str, data: str) -> dict[str, str]:
    """Return what the page says of the model and of the data."""
    params = trained.estimator.get_params(deep=False)
    shown = {name: value for name, value in params.items() if name not in ("n_jobs", "verbose")}
    training = trained.training
    facts = {
        "Model": f"{type(trained.estimator).__name__} ({model})",
        "Parameters": ", ".join(f"{name}={_value(value)}" for name, value in shown.items()),
        "Reads": trained.input,
        "Data": data,
        "Training data": training.get("data"),
        "Training rows": f"{training['n_rows']:,}" if "n_rows" in training else None,
    }
    return {name: value for name, value in facts.items() if value}


def _value(value: Any) -> str:
    """Return a parameter in short; of an object the type, because it may be large or say where it lies in memory."""
    plain = value is None or isinstance(value, (bool, int, float, str, tuple))
    text = repr(value) if plain else type(value).__name__
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
