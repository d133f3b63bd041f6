"""Options of records whose fields are more than texts, and what `TextFeatures` gets of them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

TEXT_PANEL = "Features of texts and records (TF-IDF)"

CategoryField = Annotated[
    list[str], typer.Option(help="Field that holds one value, such as a shop or a brand.", rich_help_panel=TEXT_PANEL)
]
SeveralField = Annotated[
    list[str],
    typer.Option(
        help="Field that holds several values: a list, or a text with --separator.", rich_help_panel=TEXT_PANEL
    ),
]
CrossedFields = Annotated[
    list[str],
    typer.Option(
        metavar="FIELD,FIELD", help="Two fields of one value whose pairs are features.", rich_help_panel=TEXT_PANEL
    ),
]
Separator = Annotated[
    str | None,
    typer.Option(help="What stands between several values.", rich_help_panel=TEXT_PANEL, show_default=","),
]
MinRows = Annotated[
    int | None,
    typer.Option(
        help="Fewest rows of a value with a feature of its own; all rarer ones share one.",
        rich_help_panel=TEXT_PANEL,
        show_default="2",
    ),
]
CategoryWeight = Annotated[
    float | None,
    typer.Option(
        help="Weight of each of these fields; that of a text is 1.", rich_help_panel=TEXT_PANEL, show_default="0.7"
    ),
]


def crossed_pairs(crossed: list[str]) -> tuple[tuple[str, ...], ...]:
    """Return the pairs of fields that an option names.

    Raises
    ------
    typer.BadParameter
        If an entry does not name two.
    """
    pairs = tuple(tuple(entry.split(",")) for entry in crossed)
    for entry, pair in zip(crossed, pairs, strict=True):
        if len(pair) != 2 or not all(pair):
            raise typer.BadParameter(f"--crossed-fields is {entry!r}; name two fields with a comma between them")
    return pairs


def judge_for(estimator: Any) -> str:
    """Return the kind of model that chooses features for a method, as `TextFeatures` calls it."""
    from xclassic.label_tree.base import LabelTreeClassifier

    return "tree" if isinstance(estimator, LabelTreeClassifier) else "both"


def settings_of(**given: Any) -> dict[str, Any]:
    """Return the options that were given; the defaults of the others are those of `TextFeatures`."""
    return {name: value for name, value in given.items() if value is not None}
