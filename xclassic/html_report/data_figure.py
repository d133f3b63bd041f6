"""A figure of a description of data: how often labels occur, and how long rows are."""

from __future__ import annotations

import io
from typing import Any

from xclassic.html_report.figures import FIRST, GRID, INK, STYLE, WIDTH

HEIGHT = 1.9  # Inches of a panel.
COLORS = {INK: "#59626d", GRID: "#d5d9de", FIRST: "#1f5fa8"}  # As on a light page of a report.
DOTS = 150  # Per inch.

Panel = tuple[str, str, list[tuple[str, int]]]


def draw_description(description: dict[str, Any], form: str) -> bytes:
    """Draw what `xclassic.datasets.describe` found.

    Parameters
    ----------
    description : dict
    form : {"png", "svg", "pdf"}

    Returns
    -------
    bytes
        The same for the same description.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is missing.
    """
    from matplotlib import style
    from matplotlib.figure import Figure

    drawn = panels(description)
    colored = {key: COLORS.get(value, value) if isinstance(value, str) else value for key, value in STYLE.items()}
    with style.context(["default", colored]):
        figure = Figure(figsize=(WIDTH, HEIGHT * max(len(drawn), 1)), layout="constrained")
        for place, (title, what, bars) in enumerate(drawn, 1):
            axes = figure.add_subplot(len(drawn), 1, place)
            axes.bar(range(len(bars)), [n for _, n in bars], color=COLORS[FIRST])
            axes.set_xticks(range(len(bars)), labels=[name for name, _ in bars], fontsize=7)
            axes.set_title(title, loc="left", fontsize=10)
            axes.set_ylabel(what)
        written = io.BytesIO()
        figure.savefig(written, format=form, dpi=DOTS, metadata={} if form == "png" else {_DATE[form]: None})
    return written.getvalue()


_DATE = {"svg": "Date", "pdf": "CreationDate"}


def panels(description: dict[str, Any]) -> list[Panel]:
    """Return the bars of each panel, with a title and what is counted."""
    found: list[Panel] = []
    labels = description.get("labels")
    if labels and labels["bands"]:
        found.append(("Rows of a label", "labels", [(band["rows"], band["labels"]) for band in labels["bands"]]))
    spreads = {
        "Labels of a row": labels and labels["per row"],
        "Features of a row": description.get("features", {}).get("per row"),
    }
    for name, field in description.get("fields", {}).items():
        if field["kind"] == "text":
            spreads[f"Words of {name}"] = field.get("words")
    found += [(title, "rows", spread["bins"]) for title, spread in spreads.items() if spread]
    return found
