"""Options for what is learned of scores on held-out rows: probabilities, and thresholds for sets of labels."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import typer

from xclassic.cli.parameters import usage_errors

LEARNED_PANEL = "What is learned on held-out rows, in up to five further fits"

Calibrate = Annotated[
    bool, typer.Option("--calibrate", help="Make scores probabilities.", rich_help_panel=LEARNED_PANEL)
]
SetAim = Annotated[
    str | None,
    typer.Option(
        "--aim",
        help="Choose the sets of labels for predict --sets: micro_f1, macro_f1, example_f1, or precision@0.8 for the "
        "best precision at a recall of 0.8.",
        rich_help_panel=LEARNED_PANEL,
        show_default="none",
    ),
]


def with_learned(estimator: Any, calibrate: bool, aim: str | None) -> Any:
    """Return the estimator with what the options ask for around it, which takes its workers and its progress."""
    from xclassic import Calibrated, ThresholdedClassifier

    wrappers: list[Any] = [Calibrated] if calibrate else []
    if aim is not None:
        wrappers.append(partial(ThresholdedClassifier, aim=_aim(aim)))
    for wrapper in wrappers:
        how = {"n_jobs": estimator.n_jobs, "verbose": estimator.verbose}
        estimator = wrapper(estimator.set_params(n_jobs=None, verbose=0), **how)
    with usage_errors():
        estimator._check_parameters()
    return estimator


def _aim(text: str) -> str | tuple[str, float]:
    name, at, recall = text.partition("@")
    if not at:
        return text
    try:
        return name, float(recall)
    except ValueError:
        raise typer.BadParameter(f"--aim is {text!r}; after @ comes a recall, as in precision@0.8") from None
