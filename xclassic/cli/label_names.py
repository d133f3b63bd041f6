"""Names and weights of labels from files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

NAMES = "a label, its name, and its other names"
WEIGHTS = "a label and its weight"


def label_names(path: str) -> dict[str, str]:
    """Return the names in the second column of a file of ``label<TAB>name<TAB>other name ...``."""
    return {label: names[0] for label, names in _read(path, "names", NAMES).items()}


def label_synonyms(path: str) -> dict[str, list[str]]:
    """Return the names in the further columns of such a file."""
    return {label: names[1:] for label, names in _read(path, "names", NAMES).items()}


def ranking_weights(path: str, shown: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return the weights in a file of ``label<TAB>weight``, in the order of labels as they are shown; others have 1."""
    import numpy as np

    positions: dict[str, list[int]] = {}
    for position, label in enumerate(map(str, shown.tolist())):
        positions.setdefault(label, []).append(position)
    weights = np.ones(shown.size)
    for label, (weight, *further) in _read(path, "weights", WEIGHTS).items():
        at = positions.get(label, [])
        if len(at) != 1:
            found = f"{len(at)} labels called" if at else "no label"
            raise typer.BadParameter(
                f"{path}: the model has {found} {label!r}; labels are written as predict writes them, such as "
                f"{', '.join(map(str, shown[:3]))}, with --label-ids by their ids"
            )
        try:
            weights[at[0]] = float("".join([weight, *further]))
        except ValueError:
            raise typer.BadParameter(f"{path}: the weight of {label!r} is {weight!r}; it is a number") from None
    return weights


def _read(path: str, what: str, line_is: str) -> dict[str, list[str]]:
    try:
        lines = Path(os.path.expanduser(path)).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path!r} is no text file of {what} of labels: {error}") from error
    names: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        label, *of_label = (part.strip() for part in line.split("\t"))
        if not of_label:
            raise typer.BadParameter(
                f"{path}, line {number}: {line[:60]!r} has no tab; a line is {line_is}, with tabs between them"
            )
        if label in names:
            raise typer.BadParameter(f"{path}, line {number}: the label {label!r} is in an earlier line too")
        names[label] = of_label
    if not names:
        raise typer.BadParameter(f"{path} is empty; a line is {line_is}")
    return names
