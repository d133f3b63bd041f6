"""Measure what names of labels add: a matcher alone and in a blend, and labels without training rows.

    python benchmarks/label_names.py --data data/yso_titles_en --rows 40000

A tenth of the concepts is held out: no training row has them. Rankings are of all labels; of the held-out ones, recall
is among their test rows. No time is measured.
"""

from __future__ import annotations

import argparse
import lzma
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from report import markdown
from scipy.sparse import csr_array
from sklearn.pipeline import make_pipeline

from xclassic import Blend, Bonsai, DiSMEC, LabelAugmentation, LabelMatcher, TopK, metrics, predict_topk
from xclassic.features import TextFeatures

METRICS = ("P@1", "P@3", "P@5", "PSP@5")
METHODS: dict[str, Any] = {"Bonsai": Bonsai(), "DiSMEC": DiSMEC()}
N_TEST = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=40_000)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)  # It names those that several labels share.
    names = [line.split("\t")[1] for line in lines(options.data / "labels.tsv.xz")]
    texts, Y = read(options.data / "train.tsv.xz", len(names), options.rows)
    texts_test, truth = read(options.data / "test.tsv.xz", len(names), N_TEST)
    held_out = np.random.default_rng(0).random(len(names)) < 0.1
    print(markdown([["labels", "method", *METRICS, "P@1 of the others", "P@5 of the others", "R@10 of held-out"]]))
    for labels, known in (("all", np.ones(len(names), np.bool_)), ("nine tenths", ~held_out)):
        Y_train = only(Y, known)
        propensities = metrics.propensity(np.bincount(Y_train.indices, minlength=len(names)), len(texts))
        for name, top in rankings(names, options.methods, texts, Y_train, texts_test):
            table = metrics.evaluate(truth, top, ks=(1, 3, 5), propensities=propensities)
            of_others = metrics.evaluate(only(truth, ~held_out), top, ks=(1, 5))
            found = [*(table[metric] for metric in METRICS), of_others["P@1"], of_others["P@5"]]
            cells = [f"{100 * value:.1f}" for value in (*found, recall(only(truth, held_out), top))]
            print(f"| {labels} | {name} | {' | '.join(cells)} |", flush=True)


def rankings(
    names: list[str], methods: list[str], texts: list[str], Y: csr_array, texts_test: list[str]
) -> Iterator[tuple[str, TopK]]:
    """Yield the ranking of each method with its name."""
    for name, model in models(names, methods):
        yield name, predict_topk(model.fit(texts, Y), texts_test, 10)
    features = TextFeatures().fit([*texts, *names])
    X, X_test, of_names = (features.transform(part) for part in (texts, texts_test, names))
    for name in methods:
        model = LabelAugmentation(METHODS[name]).fit(X, Y, label_features=of_names)
        yield f"LabelAugmentation of {name}", model.predict_topk(X_test, 10)
        if model.unseen_ is not None:
            yield "the same, unseen=True", model.predict_topk(X_test, 10, unseen=True)


def models(names: list[str], methods: list[str]) -> Iterator[tuple[str, Any]]:
    """Yield each model with its name."""
    yield "LabelMatcher", LabelMatcher(names)
    for name in methods:
        pipe = make_pipeline(TextFeatures(), METHODS[name])
        yield name, pipe
        yield f"Blend of {name} and LabelMatcher", Blend([("rows", pipe), ("names", LabelMatcher(names))])


def recall(truth: csr_array, top: TopK) -> float:
    rows = np.flatnonzero(np.diff(truth.indptr))
    return metrics.recall_at_k(csr_array(truth[rows]), TopK(top.ids[rows], top.scores[rows], top.counts[rows]), 10)


def only(Y: csr_array, labels: np.ndarray) -> csr_array:
    """Return the labels of rows without all others, in the same columns."""
    kept = csr_array((Y.data * labels[Y.indices], Y.indices, Y.indptr), shape=Y.shape, copy=True)
    kept.eliminate_zeros()
    return kept


def read(path: Path, n_labels: int, most: int) -> tuple[list[str], csr_array]:
    """Return random rows of a file: texts and labels."""
    found = lines(path)
    chosen = [found[i].split("\t", 1) for i in np.random.default_rng(0).permutation(len(found))[:most]]
    labels = [np.array(ids.split(","), np.int32) for ids, _ in chosen]
    ends = np.cumsum([0, *map(len, labels)])
    Y = csr_array((np.ones(ends[-1], np.float32), np.concatenate(labels), ends), shape=(len(chosen), n_labels))
    return [text for _, text in chosen], Y


def lines(path: Path) -> list[str]:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        return [line.rstrip("\n") for line in file]


if __name__ == "__main__":
    main()
