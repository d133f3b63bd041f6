"""Measure one method, in this process; run by ``measure.py`` with the Python of the library's environment.

Usage: ``python worker.py FOLDER``. The folder holds ``task.json``; ``X.npz``, ``Y.npz`` and ``X_test.npz`` lie in the
folder that the task names. Writes ``result.json`` and ``ids.npy``. Needs Linux: memory is read from ``/proc``.
"""

import json
import os
import sys
import time
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

import numpy as np
from scipy.sparse import load_npz

LATENCY_ROWS = 1000  # rows predicted one by one, at most for so many seconds
LATENCY_SECONDS = 5.0
BATCH_SECONDS, BATCH_REPEATS = 1.0, 7  # the batch is predicted again and again until one of them is reached


def main(folder):
    task = json.loads((folder / "task.json").read_text())
    problem, threads, k = Path(task["problem"]), task["threads"], task["k"]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    library = import_module(f"libraries.{task['library']}")
    X_test = load_npz(problem / "X_test.npz")
    data = library.load(load_npz(problem / "X.npz"), load_npz(problem / "Y.npz"), folder, threads)

    before = memory("VmRSS")
    reset_peak()
    model, train_seconds = timed(library.train, task["method"], data, folder, threads, task["params"])
    peak = memory("VmHWM")

    model = library.save(model, folder, threads)
    prediction, batch_seconds = predict_batch(library, model, X_test, k)
    np.save(folder / "ids.npy", library.ids(prediction, k))
    latencies = predict_rows(library, model, X_test, k)
    result = {
        "train_seconds": train_seconds,
        "predict_seconds": batch_seconds,
        "latency_median": float(np.median(latencies)),
        "latency_p99": float(np.quantile(latencies, 0.99)),
        "model_bytes": sum(path.stat().st_size for path in (folder / "model").rglob("*") if path.is_file()),
        "peak_bytes": peak,
        "growth_bytes": peak - before,
        "versions": versions(library.PACKAGES),
    }
    (folder / "result.json").write_text(json.dumps(result))


def timed(function, *args):
    start = time.perf_counter()
    prediction = function(*args)
    return prediction, time.perf_counter() - start


def predict_batch(library, model, X, k):
    """Return the prediction, and the median time of several predictions of all rows."""
    seconds = []
    while len(seconds) < BATCH_REPEATS and sum(seconds) < BATCH_SECONDS:
        prediction, elapsed = timed(library.predict, model, X, k)
        seconds.append(elapsed)
    return prediction, float(np.median(seconds))


def predict_rows(library, model, X, k):
    """Return the times of predictions of one row each."""
    seconds = []
    for row in range(min(LATENCY_ROWS, X.shape[0])):
        seconds.append(timed(library.predict, model, X[row : row + 1], k)[1])
        if sum(seconds) > LATENCY_SECONDS:
            break
    return seconds


def memory(field):
    """Return a size in bytes from the status of this process: VmRSS (resident now) or VmHWM (its peak)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[field].split()[0]) * 1024


def reset_peak():
    Path("/proc/self/clear_refs").write_text("5")


def versions(packages):
    found = {"python": sys.version.split()[0]}
    for package in packages:
        with suppress(ImportError):  # this package may be used from its checkout
            found[package] = version(package)
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]))
