"""What a description of data says one should look at before anyone trains."""

from __future__ import annotations

from typing import Any

READ_BY_ENCODERS = 512  # Word pieces that most encoders read; a word is at least one.


def warnings_of(found: dict[str, Any]) -> list[str]:
    """Return sentences, each with what was found and what to do."""
    sentences = []
    if not found["rows"]:
        sentences.append("There are no rows.")
    for part in (found, found.get("test", {})):
        where = "" if part is found else "Test: "
        for of in (_of_labels, _of_rows, _of_fields):
            sentences += [where + sentence for sentence in of(part)]
    return sentences + _of_overlap(found)


def _of_labels(part: dict[str, Any]) -> list[str]:
    labels, n_rows = part.get("labels"), part.get("rows", 0)
    if not labels:
        return []
    sentences = []
    if not labels["distinct"]:
        sentences.append("No row has a label. Name the field that holds them.")
        return sentences
    if n := labels["rows without labels"]:
        sentences.append(f"{_share(n, n_rows, 'rows')} have no labels. If they were never labeled, leave them out.")
    if n := labels["without rows"]:
        sentences.append(
            f"{_share(n, labels['distinct'], 'labels')} have no rows here. Most methods never predict them; those that "
            "use names or a hierarchy of labels can."
        )
    n = next((band["labels"] for band in labels["bands"] if band["rows"] == "1"), 0)
    if 2 * n > labels["distinct"]:
        sentences.append(
            f"{_share(n, labels['distinct'], 'labels')} have a single row. Measure them by themselves (evaluate "
            "--by-frequency), and try methods for rare labels: propensities, LabelAugmentation, KNN."
        )
    if n := labels["differ in case alone"]:
        sentences.append(f"{n:,} labels differ from another one in upper and lower case or blanks alone. Join them.")
    for mark, n in labels["hold separators"].items():
        if 5 * n > labels["distinct"] and labels["per row"]["largest"] == 1:
            sentences.append(
                f"{_share(n, labels['distinct'], 'labels')} hold {mark!r}, and no row has two labels. If it separates "
                "labels, name it as the delimiter."
            )
    return sentences


def _of_rows(part: dict[str, Any]) -> list[str]:
    sentences = []
    duplicates, n_rows = part.get("duplicates", {}), part.get("rows", 0)
    if n := duplicates.get("rows"):
        others = duplicates.get("of them with other labels", 0)
        sentences.append(
            f"{_share(n, n_rows, 'rows')} repeat an earlier row"
            + (f", {others:,} of them with other labels" if others else "")
            + ". Join equal rows before a split, or a test row may be learned by heart."
        )
    features = part.get("features")
    if features and (n := features["rows without entries"]):
        sentences.append(f"{_share(n, n_rows, 'rows')} have no features. All of them get the same ranking.")
    if features and (n := features["columns"] - features["used columns"]):
        sentences.append(f"{_share(n, features['columns'], 'columns')} of the features have no entries.")
    return sentences


def _of_fields(part: dict[str, Any]) -> list[str]:
    sentences = []
    for name, field in part.get("fields", {}).items():
        if field["kind"] == "always missing":
            sentences.append(f"The field {name!r} is always missing. Leave it out.")
        elif field["distinct"] == 1 and part["rows"] > 1 and not field["missing"]:
            sentences.append(f"The field {name!r} has one value in all rows, which tells nothing.")
        elif field["kind"] == "text" and field["missing"] >= 0.5:
            sentences.append(f"The text {name!r} is missing in {100 * field['missing']:.0f} % of the rows.")
        words = field.get("words")
        if field["kind"] == "text" and words and words["99 %"] > READ_BY_ENCODERS:
            much = (
                "half" if words["median"] > READ_BY_ENCODERS else "10 %" if words["90 %"] > READ_BY_ENCODERS else "1 %"
            )
            sentences.append(
                f"More than {much} of the texts {name!r} have over {READ_BY_ENCODERS} words, and most encoders read "
                f"{READ_BY_ENCODERS} word pieces. Give them the part that matters, or windows; TF-IDF reads all."
            )
    return sentences


def _of_overlap(found: dict[str, Any]) -> list[str]:
    overlap = found.get("overlap")
    if not overlap:
        return []
    sentences, test = [], found["test"]
    if n := overlap["test rows that are in training"]:
        sentences.append(
            f"{_share(n, test['rows'], 'test rows')} are training rows too. Measures on them say too much."
        )
    if n := overlap.get("labels of test rows alone"):
        pairs = _share(overlap["pairs with such labels"], test["labels"]["pairs"], "true labels of test rows")
        sentences.append(f"{n:,} labels occur in test rows alone: {pairs} cannot be found by most methods.")
    sentences += [
        f"The field {name!r} is always missing in test rows. Do not train on it."
        for name in overlap["fields missing in test"]
    ]
    return sentences


def _share(n: int, total: int, what: str) -> str:
    return f"{n:,} of {total:,} {what} ({100 * n / total:.1f} %)"
