"""Measure what labels as further training rows change: with centroids, and with the names of the labels.

    python benchmarks/augmentation.py --data-dir data --data tibkat_en bigbasket yso_titles_en

Texts are encoded by `TextFeatures`, fitted on the training texts alone. No time is measured.
"""

from __future__ import annotations

import argparse
import json
import lzma
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from report import markdown

from xclassic import DiSMEC, LabelAugmentation, Parabel, XMCClassifier, encode_labels, metrics
from xclassic.features import TextFeatures
from xclassic.validation.labels import align_labels

METRICS = ("P@1", "P@5", "PSP@1", "PSP@5", "tail P@5")
MOST_ROWS = 60_000  # Training rows of the largest set that are used.


class Texts(NamedTuple):
    """A data set of texts."""

    texts: list[str]
    labels: list[list[str]]
    texts_test: list[str]
    labels_test: list[list[str]]
    names: dict[str, str]
    preset: str = "title"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=sorted(READERS), required=True)
    parser.add_argument("--data-dir", type=Path, required=True)
    options = parser.parse_args()
    print(markdown([["data", "method", "further rows", *METRICS]]))
    for name in options.data:
        for row in measured(READERS[name](options.data_dir / name)):
            print(f"| {name} | {' | '.join(row)} |", flush=True)


def measured(data: Texts) -> Iterator[list[str]]:
    """Yield a row of the table for each method and kind of further rows."""
    vectorizer = TextFeatures(preset=data.preset).fit(data.texts)
    X, X_test = vectorizer.transform(data.texts), vectorizer.transform(data.texts_test)
    Y, classes = encode_labels(data.labels)
    truth = align_labels(data.labels_test, classes)
    of_names = vectorizer.transform([data.names[label] for label in classes])
    counts = np.bincount(Y.indices, minlength=truth.shape[1])
    propensities = metrics.propensity(counts, Y.shape[0])
    methods: list[XMCClassifier] = [DiSMEC(), DiSMEC(propensity="default"), Parabel()]
    for method in methods:
        augmented = LabelAugmentation(method)
        tops = {
            "none": lambda method=method: method.fit(X, Y),
            "centroids": lambda augmented=augmented: augmented.fit(X, Y),
            "names": lambda augmented=augmented: augmented.fit(X, Y, label_features=of_names),
        }
        for kind, fitted in tops.items():
            top = fitted().predict_topk(X_test, 5)
            found = metrics.evaluate(truth, top, ks=(1, 5), propensities=propensities, train_counts=counts)
            yield [repr(method), kind, *(f"{100 * found[name]:.1f}" for name in METRICS)]


def tibkat(folder: Path) -> Texts:
    """Library records with the names of GND subjects, which are German while the texts are English."""
    train, test = (json_lines(folder / f"{part}.jsonl.xz") for part in ("train", "dev"))
    parts: list[Any] = []
    for records in (train, test):
        parts += [[f"{one['title']} {one['abstract']}" for one in records], [one["subjects"] for one in records]]
    return Texts(*parts, names=table(folder / "labels.tsv.xz"), preset="abstract")


def bigbasket(folder: Path) -> Texts:
    """Titles of products with their sub-category, type and brand."""
    parts: list[Any] = []
    names = {}
    for part in ("train", "test"):
        records = json_lines(folder / f"{part}.jsonl.xz")
        labels = [[f"{key}: {one[key]}" for key in ("sub_category", "type", "brand") if one[key]] for one in records]
        parts += [[one["title"] for one in records], labels]
        names |= {label: label.partition(": ")[2] for row in labels for label in row}
    return Texts(*parts, names=names)


def yso(folder: Path) -> Texts:
    """Titles of a library catalog with YSO concepts; a sample of the training titles."""
    names = table(folder / "labels.tsv.xz")
    ids = list(names)
    parts: list[Any] = []
    for part in ("train", "test"):
        rows = [line.split("\t", 1) for line in lines(folder / f"{part}.tsv.xz")]
        if len(rows) > MOST_ROWS:
            chosen = np.random.default_rng(0).choice(len(rows), MOST_ROWS, replace=False)
            rows = [rows[i] for i in np.sort(chosen)]
        parts += [[text for _, text in rows], [[ids[int(i)] for i in labels.split(",")] for labels, _ in rows]]
    return Texts(*parts, names=names)


def lines(path: Path) -> list[str]:
    with lzma.open(path, "rt", encoding="utf8") as stream:
        return [line.rstrip("\n") for line in stream]


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(path)]


def table(path: Path) -> dict[str, str]:
    return dict(line.split("\t", 1) for line in lines(path))


READERS = {"tibkat_en": tibkat, "bigbasket": bigbasket, "yso_titles_en": yso}

if __name__ == "__main__":
    main()
