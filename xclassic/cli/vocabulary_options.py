"""Options of ``xclassic train`` for a vocabulary that the labels are from, and what becomes of the labels."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xclassic.cli.options import in_home
from xclassic.cli.parameters import usage_errors

if TYPE_CHECKING:
    from xclassic import Vocabulary
    from xclassic.cli.data import Points
    from xclassic.cli.models import TrainedModel

PANEL = "Vocabulary of the labels"

VocabularyFile = Annotated[
    str | None,
    typer.Option(
        "--vocabulary",
        metavar="FILE",
        help="Concepts that the labels are, by id or by name: SKOS, TSV or CSV. Deprecated ones are replaced, the "
        "model writes names in place of ids, and LabelMatcher looks for all names.",
        show_default="none",
        rich_help_panel=PANEL,
        callback=in_home,
    ),
]
MeasuredVocabulary = Annotated[
    str | None,
    typer.Option(
        "--vocabulary",
        metavar="FILE",
        help="Concepts that the labels are: SKOS, TSV or CSV. Deprecated ones are replaced, and the best node of each "
        "level is measured.",
        show_default="none",
        rich_help_panel=PANEL,
        callback=in_home,
    ),
]
VocabularyLanguage = Annotated[
    str | None,
    typer.Option(
        metavar="CODE", help="Language of the names, such as en.", show_default="the only one", rich_help_panel=PANEL
    ),
]
VocabularyTree = Annotated[
    bool,
    typer.Option(
        "--vocabulary-tree", help="Search along its hierarchy: for methods that take --tree.", rich_help_panel=PANEL
    ),
]


def with_vocabulary(points: Points, estimator: Any, path: str | None, language: str | None, as_tree: bool) -> Points:
    """Return points with the labels and names of a vocabulary, and give the estimator what it takes of it.

    Raises
    ------
    typer.BadParameter
        If options do not fit each other, the estimator or the data.
    DataFileError
        If the file is no vocabulary.
    """
    if path is None:
        if language is not None or as_tree:
            option = "--vocabulary-tree" if as_tree else "--vocabulary-language"
            raise typer.BadParameter(f"{option} needs a --vocabulary")
        return points
    from xclassic import encode_labels, read_vocabulary

    if as_tree and estimator.get_params(deep=False).get("tree", estimator) is not None:
        raise typer.BadParameter(
            f"--vocabulary-tree is for methods that take --tree, where it is not given; {type(estimator).__name__} "
            "does not fit"
        )
    vocabulary = read_vocabulary(path)
    with usage_errors():
        names = vocabulary.names(language)
        labels = _labels(points)
        called = _called(vocabulary, labels, language)
    _tell_strangers(labels, called, language, path)
    if isinstance(points.Y, list):
        Y = called.replace_deprecated(points.Y)
        if points.relevance is not None and [set(row) for row in Y] != [set(row) for row in points.Y]:
            raise typer.BadParameter("--label-weights speaks of deprecated concepts; replace them in the data")
        points = replace(points, Y=Y)
        classes = [str(label) for label in encode_labels(Y)[1].tolist()]
    else:
        classes = points.label_names or [str(label) for label in range(points.Y.shape[1])]
    if _takes_names(estimator):
        with usage_errors():
            named = called.names(language)
            estimator.set_params(names=named, synonyms=called.synonyms(language))
        classes = sorted({*classes, *named})  # Labels that have a name are labels of the model, with rows or without.
    if as_tree:
        with usage_errors():
            estimator.set_params(tree=called.graph(classes).tree)
    by_id = called is vocabulary
    return replace(points, label_names=_told_apart(classes, names)) if by_id else points


def _told_apart(classes: list[str], names: dict[str, str]) -> list[str]:
    """Return the names of labels, and the ids of those that share one."""
    called = [names.get(label, label) for label in classes]
    counts = Counter(called)
    shared = [(label, name) for label, name in zip(classes, called, strict=True) if counts[name] > 1]
    if shared:
        warnings.warn(
            f"{len(shared)} labels have a name that another one has (first: {shared[0][0]!r}, "
            f"{shared[0][1]!r}); predictions show their ids",
            stacklevel=3,
        )
    return [name if counts[name] == 1 else label for label, name in zip(classes, called, strict=True)]


def concepts_of(classes: Any, path: str | None, language: str | None) -> Vocabulary | None:
    """Return a vocabulary under the names that the classes of a model have; None without a path."""
    from xclassic import read_vocabulary

    if path is None:
        if language is not None:
            raise typer.BadParameter("--vocabulary-language needs a --vocabulary")
        return None
    labels = set(map(str, classes.tolist()))
    with usage_errors():
        called = _called(read_vocabulary(path), labels, language)
    _tell_strangers(labels, called, language, path)
    return called


def current(points: Points, concepts: Vocabulary | None) -> Points:
    """Return points without labels that a vocabulary has given up."""
    if concepts is None or not isinstance(points.Y, list):
        return points
    return replace(points, Y=concepts.replace_deprecated(points.Y))


def measure_levels(
    trained: TrainedModel, points: Points, truth: Any, concepts: Vocabulary, known: Any, weights: Any
) -> dict[str, dict[str, float]]:
    """Return the metrics of the best node of each level, which is above the best label."""
    from xclassic import ConceptGraph

    classes = [str(label) for label in trained.estimator.classes_.tolist()]
    strangers = {label: () for label in classes if label not in concepts.preferred}  # They are at the top.
    above = {concept: concepts.broader.get(concept, ()) for concept in concepts.ids} | strangers
    graph = ConceptGraph(above, classes)
    return graph.evaluate_levels(truth[:, : len(classes)], trained.predict_topk(points.X, 1, known, weights))


def _called(vocabulary: Vocabulary, labels: set[str], language: str | None) -> Vocabulary:
    """Return the vocabulary by ids or by names, whichever more labels are."""
    n_ids = sum(label in vocabulary.preferred for label in labels)
    if n_ids == len(labels):
        return vocabulary
    n_names = len(labels.intersection(vocabulary.names(language).values()))
    return vocabulary if n_ids >= n_names else vocabulary.by_name(language, shared="keep")


def _takes_names(estimator: Any) -> bool:
    """Tell whether the names of labels are parameters of an estimator that nobody has set."""
    given = estimator.get_params(deep=False)
    return all(given.get(name, estimator) is None for name in ("names", "synonyms"))


def _labels(points: Points) -> set[str]:
    if isinstance(points.Y, list):
        return {str(label) for row in points.Y for label in row}
    return set(points.label_names or map(str, range(points.Y.shape[1])))


def _tell_strangers(labels: set[str], vocabulary: Vocabulary, language: str | None, path: str) -> None:
    strangers = sorted(labels.difference(vocabulary.preferred))
    if not strangers:
        return
    names = vocabulary.names(language)
    shared = next((label for label in strangers if label in names.values()), None)
    ambiguous = ""
    if shared is not None:
        concepts = [concept for concept, name in names.items() if name == shared]
        ambiguous = f"; {shared!r} is the name of several, {', '.join(concepts[:3])}: write ids for such labels"
    warnings.warn(
        f"{len(strangers)} of {len(labels)} labels are no concepts of {path}, by id or by name (first: "
        f"{', '.join(map(repr, strangers[:3]))}); they stay as they are{ambiguous}",
        stacklevel=2,
    )
