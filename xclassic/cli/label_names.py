"""Names of labels from a file."""

from __future__ import annotations

import os
from pathlib import Path

import typer


def label_names(path: str) -> dict[str, str]:
    """Return the names in the second column of a file of ``label<TAB>name<TAB>other name ...``."""
    return {label: names[0] for label, names in _read(path).items()}


def label_synonyms(path: str) -> dict[str, list[str]]:
    """Return the names in the further columns of such a file."""
    return {label: names[1:] for label, names in _read(path).items()}


def _read(path: str) -> dict[str, list[str]]:
    try:
        lines = Path(os.path.expanduser(path)).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{path!r} is no text file of names of labels: {error}") from error
    names: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        label, *of_label = (part.strip() for part in line.split("\t"))
        if not of_label:
            raise typer.BadParameter(
                f"{path}, line {number}: {line[:60]!r} has no tab; a line is a label, its name, and its other names, "
                "with tabs between them"
            )
        if label in names:
            raise typer.BadParameter(f"{path}, line {number}: the label {label!r} is in an earlier line too")
        names[label] = of_label
    if not names:
        raise typer.BadParameter(f"{path} is empty; a line is a label, its name, and its other names")
    return names
