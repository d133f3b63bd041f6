"""How training time and memory grow with the number of labels, on synthetic data with a long tail.

    python benchmarks/growth.py --labels 1000 10000 100000 1000000 --json growth.jsonl --plot docs/images/growth.svg

A label is a bag of twelve words out of 100,000; frequencies of labels and words follow a power law. A row has one to
three labels, a quarter of the words of each, and twelve words at random. There are two rows for each label, and at
least 50,000. Each size runs in a fresh process. Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array
from shapes import power_law
from worker import memory, reset_peak

import xclassic
from xclassic import metrics

WORDS, WORDS_OF_LABEL, NOISE = 100_000, 12, 12
LEAST_ROWS, TEST_ROWS, BLOCK = 50_000, 5_000, 200_000


def synthetic(n_labels: int, n_rows: int, seed: int) -> tuple[csr_array, csr_array]:
    """Return rows of unit length and their labels, made block by block."""
    words = power_law(np.random.default_rng(0), WORDS, (n_labels, WORDS_OF_LABEL), 0.6)
    every = np.random.default_rng(seed).permutation(n_labels)
    parts = []
    for start in range(0, n_rows, BLOCK):
        random = np.random.default_rng([seed, start])
        n = min(BLOCK, n_rows - start)
        labels = power_law(random, n_labels, (n, 3), 0.8)
        labels[random.random((n, 3)) < [0, 0.3, 0.7]] = -1  # one to three labels
        own = every[start : start + n]  # so that each label has a row
        labels[: len(own), 0] = own
        drawn = words[labels]
        drawn[(random.random(drawn.shape) < 0.75) | (labels < 0)[:, :, None]] = -1
        noise = power_law(random, WORDS, (n, NOISE), 0.6)
        parts.append((_matrix(np.hstack([drawn.reshape(n, -1), noise]), WORDS), _matrix(labels, n_labels)))
    X, Y = (_stacked([part[i] for part in parts]) for i in range(2))
    Y.data[:] = 1
    X.data /= np.repeat(np.sqrt(np.add.reduceat(X.data**2, X.indptr[:-1])), np.diff(X.indptr))
    return X, Y


def _matrix(columns: Any, n_columns: int) -> csr_array:
    """Count the non-negative columns of each row."""
    used = columns >= 0
    indptr = np.concatenate([[0], np.cumsum(used.sum(axis=1))])
    matrix = csr_array((np.ones(indptr[-1], np.float32), columns[used], indptr), shape=(len(columns), n_columns))
    matrix.sum_duplicates()
    return matrix


def _stacked(parts: list[csr_array]) -> csr_array:
    data, indices = (np.concatenate([getattr(part, name) for part in parts]) for name in ("data", "indices"))
    lengths = np.concatenate([np.diff(part.indptr) for part in parts])
    shape = (len(lengths), parts[0].shape[1])
    return csr_array((data, indices, np.concatenate([[0], np.cumsum(lengths)])), shape=shape)


def measure(method: str, n_labels: int, threads: int) -> dict[str, Any]:
    """Train and predict once, in this process."""
    n_rows = max(2 * n_labels, LEAST_ROWS)
    X, Y = synthetic(n_labels, n_rows, seed=1)
    X_test, Y_test = synthetic(n_labels, TEST_ROWS, seed=2)
    model = getattr(xclassic, method)(n_trees=1, n_jobs=threads)
    before = memory("VmRSS")
    reset_peak()
    start = time.perf_counter()
    model.fit(X, Y)
    seconds = time.perf_counter() - start
    peak = memory("VmHWM")
    model.predict_topk(X_test[:100], 5)
    start = time.perf_counter()
    top = model.predict_topk(X_test, 5)
    return {
        "method": method,
        "labels": n_labels,
        "labels_in_tree": model.trees_[0].labels.size,
        "rows": n_rows,
        "train_seconds": seconds,
        "train_us_per_row": 1e6 * seconds / n_rows,
        "predict_us_per_row": 1e6 * (time.perf_counter() - start) / TEST_ROWS,
        "growth_mb": (peak - before) / 1e6,
        "peak_mb": peak / 1e6,
        "P@1": 100 * float(metrics.precision_at_k(Y_test, top, 1)),
    }


def in_own_process(program: str, method: str, n_labels: int, arguments: list[str], file: Path | None) -> dict[str, Any]:
    """Return one measurement of a program, made by its ``--here`` in a fresh process, and append it to a file."""
    command = [sys.executable, program, "--here", "--methods", method, "--labels", str(n_labels), *arguments]
    line = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    if file:
        with open(file, "a", encoding="utf-8") as stream:
            stream.write(line)
    measured: dict[str, Any] = json.loads(line)
    return measured


def plot(results: list[dict[str, Any]], path: Path) -> None:
    """Draw training time per row against the number of labels, beside what the logarithm would give."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4), layout="constrained")
    for method in dict.fromkeys(one["method"] for one in results):
        own = [one for one in results if one["method"] == method]
        labels = np.array([one["labels"] for one in own])
        times = np.array([one["train_us_per_row"] for one in own])
        (line,) = axes.plot(labels, times, "o-", label=method)
        expected = times[0] * np.log(labels) / np.log(labels[0])
        axes.plot(labels, expected, ":", color=line.get_color(), label=f"{method}: log L from the first point")
    axes.set(xscale="log", ylim=(0, None), xlabel="labels", ylabel="training, microseconds per row and tree")
    axes.legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--methods", nargs="+", default=["XRLinear"], help="label trees (default: XRLinear)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE", help="append the measurements to this file, one a line")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the measurements of this run")
    parser.add_argument("--here", action="store_true", help="measure in this process, one size and method")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure(options.methods[0], options.labels[0], options.threads)))
        return
    results = []
    for method in options.methods:
        for n_labels in options.labels:
            result = in_own_process(__file__, method, n_labels, ["--threads", str(options.threads)], options.json)
            print(json.dumps(result), flush=True)
            results.append(result)
    if options.plot:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
