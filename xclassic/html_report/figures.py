"""Figures as SVG elements that take fonts and colors from the page around them."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from xclassic.html_report.analysis import FrequencyBins, ScoreBins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH, HEIGHT = 5.4, 3.0  # Inches. They are small, so that text stays readable where a phone shrinks the figure.
INK, GRID, FIRST, SECOND = "#000001", "#000002", "#000003", "#000004"  # Placeholders for the colors of the page.
COLORS = {INK: "var(--muted)", GRID: "var(--rule)", FIRST: "var(--first)", SECOND: "var(--second)"}
STYLE = {
    "svg.fonttype": "none",  # Text stays text, in the font of the page.
    "svg.hashsalt": "xclassic",  # Without it the ids would be random.
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GRID,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": GRID,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 5.5,
}
PERCENT = np.arange(0, 101, 20)
NONE = 0.35  # Position on the logarithmic axis of the labels without training rows.


def check_matplotlib() -> None:
    """Raise an error if no figure could be drawn.

    Raises
    ------
    ModuleNotFoundError
        If matplotlib is missing.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a report needs matplotlib for its figures; install it with: pip install 'xclassic[report]'.",
            name=error.name,
        ) from error


def frequency_figure(bins: FrequencyBins, description: str) -> str:
    """Draw precision and recall against the number of training rows."""
    middles = np.where(bins.fewest > 0, np.sqrt(np.maximum(bins.fewest, 1) * (bins.most + 1.0)), NONE)
    with _drawing() as (figure, axes):
        for values, color, marker, line, name in (
            (bins.precision, FIRST, "o", "-", "precision"),
            (bins.recall, SECOND, "s", "--", "recall"),
        ):
            seen = (bins.fewest > 0) & np.isfinite(values)
            axes.plot(middles[seen], 100 * values[seen], marker + line, color=color, label=name)
            # No line leads to labels without rows, since their place on the axis is not a number of rows.
            axes.plot(middles[bins.fewest == 0], 100 * values[bins.fewest == 0], marker, color=color)
        axes.set(xscale="log", xlabel="training rows of the label", ylabel="percent")
        _frequency_ticks(axes, bins)
        _percent(axes)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0, borderaxespad=0.4)
        return _svg(figure, "frequency", description)


def _frequency_ticks(axes: Axes, bins: FrequencyBins) -> None:
    """Mark the ends of the bins, or every third one if there are many."""
    ends = np.unique(np.concatenate([bins.fewest, bins.most + 1]))
    positive = ends[ends > 0]
    if positive.size > 7:
        positive = positive[[str(end)[0] == "1" for end in positive]]
    has_none = bool((bins.fewest == 0).any())
    ticks = [NONE, *positive] if has_none else list(positive)
    axes.set_xticks(ticks, labels=[*(["none"] if has_none else []), *(f"{end:,}" for end in positive)])
    axes.set_xticks([], minor=True)
    least = NONE / 1.5 if has_none else ends[0] / 1.1
    axes.set_xlim(least, ends[-1] * 1.1)


def reliability_figure(bins: ScoreBins, description: str) -> str:
    """Draw the share of right predictions against the mean score, with the diagonal."""
    with _drawing() as (figure, axes):
        axes.plot([0, 100], [0, 100], ":", color=INK, lw=1.2, label="calibrated")
        axes.plot(100 * bins.mean, 100 * bins.share, "o-", color=FIRST, label="this model")
        axes.set(xlabel="mean score, percent", ylabel="right, percent", xlim=(-2, 102))
        axes.set_xticks(PERCENT)
        _percent(axes)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderpad=0, borderaxespad=0.4)
        return _svg(figure, "calibration", description)


def quantile_figure(bins: ScoreBins, description: str) -> str:
    """Draw the share of right predictions of each bin, as wide as its share of all predictions."""
    ends = 100 * np.cumsum(bins.size) / bins.size.sum()
    widths = np.diff(ends, prepend=0)
    with _drawing() as (figure, axes):
        axes.bar(ends - widths / 2, 100 * bins.share, 0.86 * widths, color=FIRST)
        axes.set(
            xlabel="predictions from the lowest to the highest score, percent", ylabel="right, percent", xlim=(0, 100)
        )
        axes.set_xticks(PERCENT)
        _percent(axes)
        return _svg(figure, "calibration", description)


def _percent(axes: Axes) -> None:
    axes.set_ylim(-2, 102)
    axes.set_yticks(PERCENT)
    axes.spines["left"].set_visible(False)


@contextmanager
def _drawing() -> Iterator[tuple[Figure, Axes]]:
    """Provide a new figure in our style, independent of the user's settings."""
    check_matplotlib()
    from matplotlib import style
    from matplotlib.figure import Figure

    sheets: Sequence[Any] = ["default", STYLE]
    with style.context(sheets):
        figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
        yield figure, figure.add_subplot()


def _svg(figure: Figure, name: str, description: str) -> str:
    """Return a figure as an element; `name` makes its ids differ from the ids of other figures."""
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    body = text[text.index(">", text.index("<svg")) + 1 :]
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    body = body.replace("xlink:href", "href")
    body = re.sub(r'( id="|href="#|url\(#)', rf"\g<1>{name}-", body)
    for stand_in, color in COLORS.items():
        body = body.replace(stand_in, color)
    body = "\n".join(line.strip() for line in body.splitlines() if line.strip())
    size = f"0 0 {72 * WIDTH:g} {72 * HEIGHT:g}"
    return f'<svg viewBox="{size}" role="img" aria-label="{escape(description)}">{body}'
