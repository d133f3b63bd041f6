"""Options of word vectors, which stand beside the TF-IDF of texts."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer

from xclassic.cli.field_options import TEXT_PANEL

WEIGHT = 0.5

Words = Annotated[
    str | None,
    typer.Option(
        "--word-vectors",
        metavar="FILE|learned",
        help="Also take means of word vectors, from a file of word2vec, GloVe or fastText, or learned from the texts.",
        rich_help_panel=TEXT_PANEL,
        show_default="none",
    ),
]
WordsWeight = Annotated[
    float | None,
    typer.Option(help="Weight of the means beside TF-IDF.", rich_help_panel=TEXT_PANEL, show_default=str(WEIGHT)),
]


def beside_words(
    encoder: Any, vectors: str | None, weight: float | None, on_disk: str | None, n_jobs: int | None, verbose: int
) -> Any:
    """Return the features of texts, with means of word vectors beside them if there are vectors.

    Raises
    ------
    typer.BadParameter
        If the options contradict each other.
    """
    if vectors is None:
        if weight is not None:
            raise typer.BadParameter("--word-vectors-weight is for --word-vectors, which is missing")
        return encoder
    if on_disk is not None:
        raise typer.BadParameter("--word-vectors makes dense rows, which --on-disk cannot hold; leave one of them out")
    from sklearn.pipeline import FeatureUnion

    from xclassic.features import WordVectors

    given = vectors if vectors == "learned" else os.path.expanduser(vectors)
    words = WordVectors(encoder.text, vectors=given, n_jobs=n_jobs, verbose=verbose)
    weights = {"terms": 1.0, "words": WEIGHT if weight is None else weight}
    return FeatureUnion([("terms", encoder), ("words", words)], transformer_weights=weights)
