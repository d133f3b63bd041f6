"""What an encoder that learns from labels is worth: linear methods on words, on frozen and learned rows, and on both.

    python benchmarks/tuning.py --data-dir DATA --encoder FOLDER --data bigbasket --setting '{"epochs": 10}'
    python benchmarks/tuning.py --data-dir DATA --encoder FOLDER --data tibkat_en --minutes 90
    python benchmarks/tuning.py --data-dir DATA --encoder FOLDER --rows 2000 --held-out 0.25 --views "words and learned"

Each `--setting` holds parameters of `LabelTuning` as JSON and is tuned by itself. With `--minutes` an encoder is tuned
on a few batches first, and the epochs are as many as the time is then enough for; if it is not enough for one, the
encoder learns from so many rows drawn at random, and the methods from all. With `--held-out` all is judged on rows held
out from training; without it on the test rows (of tibkat_en on its development part). Rows of an encoder weigh
`--weight` beside TF-IDF. Beside the package, only PyTorch and transformers are needed.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
from ecommerce import TASKS, align, judge
from scipy.sparse import csr_array, hstack

import xclassic
from xclassic import DiSMEC, Parabel, datasets, metrics
from xclassic.features import BertEncoder, ContrastiveTuning, LabelTuning, TextFeatures

METHODS = {"DiSMEC": DiSMEC, "Parabel": Parabel}
VIEWS = ("words", "frozen", "words and frozen", "learned", "words and learned")
SHOWN = ("P@1", "P@3", "P@5", "nDCG@5", "macro F1", "tail accuracy")
TRIED = 12  # batches that a rate is measured on, and as many before them that warm up


def read(options):
    """Return a task, cut to some rows, or to held-out ones as its test rows."""
    task = TASKS[options.data](options.data_dir / options.data)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(len(task.records))[: options.rows or None])
    records, labels = [task.records[i] for i in rows], [task.labels[i] for i in rows]
    if options.held_out:
        Y, _ = xclassic.encode_labels(lists(labels))
        with warnings.catch_warnings(action="ignore"):  # Many labels have a single row, which stays in training.
            rows, held = datasets.stratified_split(Y, test_size=options.held_out, random_state=0)
        task.test_records, task.test_labels = [records[i] for i in held], [labels[i] for i in held]
        records, labels = [records[i] for i in rows], [labels[i] for i in rows]
    task.records, task.labels = records, labels
    return task


def lists(labels):
    return [[label] if isinstance(label, str) else label for label in labels]


def tuned(task, options, setting):
    """Return a fitted encoder that has learned, and what it took."""
    kind = {"labels": LabelTuning, "names": ContrastiveTuning}[options.tuning]
    tuning = kind(**setting)
    rows = np.arange(len(task.records))
    if options.minutes:
        seen, seconds = measured(task, options, tuning)
        passes = 60 * options.minutes * seen / seconds / rows.size
        print(
            f"# {seen / seconds:.1f} rows/s: {options.minutes} minutes are enough for {passes:.2f} epochs", flush=True
        )
        tuning.set_params(epochs=max(1, int(passes)))
        rows = np.random.default_rng(1).permutation(rows)[: int(rows.size * min(1, passes))]
    started = time.perf_counter()
    encoder = fit(task, options, tuning, rows)
    seconds = time.perf_counter() - started
    rate = rows.size * len(encoder.curve_) / seconds
    curve = {key: " ".join(f"{entry[key]:.3f}" for entry in encoder.curve_) for key in encoder.curve_[0]}
    del curve["epoch"]
    print(f"# {tuning}: {rows.size} rows, {seconds:.0f} s, {rate:.1f} rows/s, {curve}", flush=True)
    return encoder


def measured(task, options, tuning):
    """Return how many rows an encoder learns from in how many seconds, loading not included."""
    taken = []
    for n_batches in (TRIED, 2 * TRIED):
        rows = np.random.default_rng(0).permutation(len(task.records))[: n_batches * tuning.batch_size]
        started = time.perf_counter()
        fit(task, options, type(tuning)(**{**tuning.get_params(deep=False), "epochs": 1}), rows)
        taken.append((rows.size, time.perf_counter() - started))
    (fewer, before), (more, after) = taken
    return more - fewer, max(after - before, after / 4)  # A short fit that was held up must not pass for a fast one.


def fit(task, options, tuning, rows):
    labels = lists([task.labels[i] for i in rows])
    return encoder(task, options, tuning).fit([task.records[i] for i in rows], labels)


def encoder(task, options, tuning=None):
    return BertEncoder(
        options.encoder, template=task.prompt, max_length=options.max_length, tuning=tuning, device=options.device,
        cache=None if tuning else options.cache, verbose=options.verbose,
    )  # fmt: skip


def side_by_side(words, rows, weight):
    return csr_array(hstack([words, weight * rows], format="csr"), dtype=np.float32)


def results(task, classes, top):
    """Return the metrics of a ranking in percent, those that weigh rare labels among them."""
    found = judge(task.labels, task.test_labels, classes, top)
    truth = align(task.test_labels, classes)
    counts = np.zeros(truth.shape[1], np.int64)
    trained = align(task.labels, classes).sum(axis=0)
    counts[: trained.size] = trained
    propensities = metrics.propensity(counts, len(task.labels))
    weighted = metrics.evaluate(truth, top, ks=(1, 3, 5), propensities=propensities)
    return {name: found[name] for name in SHOWN} | {f"PSP@{k}": 100 * weighted[f"PSP@{k}"] for k in (1, 3, 5)}


def report(task, options, view, X, X_test):
    y = np.array(task.labels) if isinstance(task.labels[0], str) else task.labels
    for name in options.method:
        started = time.perf_counter()
        clf = METHODS[name](n_jobs=options.jobs).fit(X, y)
        fitted = time.perf_counter() - started
        cells = results(task, clf.classes_, clf.predict_topk(X_test)).values()
        print(f"| {name} | {view} | {fitted:.0f} | " + " | ".join(f"{v:.1f}" for v in cells) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True, help="folder that holds bigbasket/ and the others")
    parser.add_argument("--data", choices=TASKS, default="bigbasket")
    parser.add_argument("--encoder", default="sentence-transformers/all-MiniLM-L6-v2", help="id or folder")
    parser.add_argument("--device", help="by default the GPU if there is one")
    parser.add_argument("--threads", type=int, help="of PyTorch")
    parser.add_argument("--jobs", type=int, default=2, help="workers of the linear methods")
    parser.add_argument("--max-length", type=int, default=128, help="most tokens of a text")
    parser.add_argument("--tuning", choices=["labels", "names"], default="labels")
    parser.add_argument("--setting", nargs="+", type=json.loads, default=[{}], help="parameters of the tuning, as JSON")
    parser.add_argument("--minutes", type=float, help="of tuning; by default as many epochs as the settings say")
    parser.add_argument("--limit", type=float, default=np.inf, help="seconds after which no further setting is begun")
    parser.add_argument("--views", nargs="+", choices=VIEWS, default=list(VIEWS))
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--weight", type=float, nargs="+", default=[0.5], help="of rows of an encoder beside TF-IDF")
    parser.add_argument("--rows", type=int, help="use so many training rows only, drawn at random")
    parser.add_argument("--held-out", type=float, help="share of the training rows to judge on")
    parser.add_argument("--cache", type=Path, help="folder to keep frozen rows in")
    parser.add_argument("--verbose", type=int, default=0)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*more than .* tokens")
    if options.threads:
        import torch

        torch.set_num_threads(options.threads)
    started = time.perf_counter()
    task = read(options)
    print(f"# {options.data}: {len(task.records)} training rows, {len(task.test_records)} test rows", flush=True)
    print("| method | features | fit, s | " + " | ".join([*SHOWN, "PSP@1", "PSP@3", "PSP@5"]) + " |", flush=True)
    print("|" + "---|" * (6 + len(SHOWN)), flush=True)
    vectorizer = TextFeatures(task.text, numeric=task.numeric, preset=task.preset)
    words, words_test = vectorizer.fit_transform(task.records), vectorizer.transform(task.test_records)
    if "words" in options.views:
        report(task, options, "words", words, words_test)
    if {"frozen", "words and frozen"} & set(options.views):
        views(task, options, encoder(task, options).fit(task.records), words, words_test, "frozen", "words and frozen")
    if {"learned", "words and learned"} & set(options.views):
        for setting in options.setting:
            if time.perf_counter() - started > options.limit:
                print(f"# {setting} is left out: {options.limit:.0f} s are over", flush=True)
                continue
            views(task, options, tuned(task, options, setting), words, words_test, "learned", "words and learned")


def views(task, options, fitted, words, words_test, alone, both):
    """Report the rows of an encoder by themselves and beside words."""
    started = time.perf_counter()
    rows, rows_test = fitted.transform(task.records), fitted.transform(task.test_records)
    print(f"# {rows.shape[0] + rows_test.shape[0]} texts encoded in {time.perf_counter() - started:.0f} s", flush=True)
    if alone in options.views:
        report(task, options, alone, rows, rows_test)
    for weight in options.weight if both in options.views else ():
        pair = side_by_side(words, rows, weight), side_by_side(words_test, rows_test, weight)
        report(task, options, f"words and {weight} {alone}", *pair)


if __name__ == "__main__":
    main()
