"""Fits on a matrix larger than the memory of the process: what they hold in memory beside what they may.

    python benchmarks/beyond_memory.py --rows 200000 --features 100000 --per-row 100 600

A first process writes a random matrix in pieces. Then one process for each method sets the limit of its private memory
(``ulimit -d``, which leaves read-only maps out) below the size of the matrix, fits from the map, and reports the
largest ``RssAnon`` above that before the fit, beside the labels, the model, and 64 bytes for each row and feature.
Needs Linux.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic import KNN, DiSMEC, XRLinear
from xclassic.datasets import open_matrix, write_matrix

MIB = 1 << 20
PIECE_ROWS = 2000
METHODS = ("XRLinear", "DiSMEC", "KNN")


def status(name: str) -> int:
    """Return a number of bytes from ``/proc/self/status``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


class PeakOfMemory:
    """The largest ``RssAnon`` inside a ``with`` block, looked at every hundredth of a second."""

    def __enter__(self) -> PeakOfMemory:
        self.before = self.largest = status("RssAnon")
        self._done = threading.Event()
        self._watch = threading.Thread(target=self._look)
        self._watch.start()
        return self

    def _look(self) -> None:
        while not self._done.wait(0.01):
            self.largest = max(self.largest, status("RssAnon"))

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watch.join()


def pieces(n_rows: int, n_features: int, per_row: int, n_labels: int) -> Iterator[tuple[csr_array, NDArray[np.int32]]]:
    """Yield random rows, a third of whose features depend on their label, and the labels."""
    random = np.random.default_rng(0)
    for start in range(0, n_rows, PIECE_ROWS):
        n = min(PIECE_ROWS, n_rows - start)
        labels = random.integers(n_labels, size=n).astype(np.int32)
        own = (labels[:, None] * 7919 + random.integers(3 * per_row, size=(n, per_row // 3)) * 104729) % n_features
        features = np.concatenate([own, random.integers(n_features, size=(n, per_row - per_row // 3))], axis=1)
        values = random.random(features.size, np.float32) + np.float32(0.1)
        rows = csr_array((values, features.ravel(), np.arange(0, features.size + 1, per_row)), shape=(n, n_features))
        yield rows, labels


def write(folder: Path, sizes: list[int]) -> None:
    """Write the matrix and its labels."""
    labels = []

    def rows() -> Iterator[csr_array]:
        for piece, labels_of_piece in pieces(*sizes):
            labels.append(labels_of_piece)
            yield piece

    write_matrix(folder / "X", rows())
    np.save(folder / "labels.npy", np.concatenate(labels))


def estimator(method: str, folder: Path) -> Any:
    """Return the method, with few passes: memory is the same in each."""
    if method == "KNN":
        return KNN(index_folder=folder / "index", n_jobs=1)
    return {"XRLinear": XRLinear, "DiSMEC": DiSMEC}[method](max_passes=2, n_jobs=1)


def fit(folder: Path, method: str, allowed: int) -> dict[str, Any]:
    """Fit with private memory limited to `allowed` bytes more than is in use, and return what was measured."""
    X, labels = open_matrix(folder / "X"), np.load(folder / "labels.npy")
    n, d = X.shape
    Y = csr_array((np.ones(n, np.float32), labels, np.arange(n + 1)), shape=(n, int(labels.max()) + 1))
    clf = estimator(method, folder)
    limit = status("VmData") + allowed
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    with PeakOfMemory() as peak:
        clf.fit(X, Y)
    model = sum(array.nbytes for array in clf._get_arrays()[0].values()) if method != "KNN" else 0
    return {
        "matrix": X.data.nbytes + X.indices.nbytes,
        "limit": limit,
        "RssAnon": peak.largest - peak.before,
        "bound": Y.data.nbytes + Y.indices.nbytes + Y.indptr.nbytes + model + 64 * (n + d),
    }


def in_process(*arguments: Any) -> str:
    """Run a step in a process of its own, and return what it prints."""
    command = [sys.executable, __file__, "--step", *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    """Measure, or run a step of the measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--features", type=int, default=100_000)
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--per-row", type=int, nargs="+", default=[100, 600], help="entries of a row")
    parser.add_argument("--allowed", type=int, default=300, help="MiB of private memory for the fit")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        name, folder, *rest = options.step
        if name == "write":
            write(Path(folder), [int(size) for size in rest])
        else:
            sys.stdout.write(json.dumps(fit(Path(folder), rest[0], int(rest[1]))))
        return
    print("matrix MiB  limit MiB  method    RssAnon MiB  bound MiB")
    for per_row in options.per_row:
        with tempfile.TemporaryDirectory() as folder:
            in_process("write", folder, options.rows, options.features, per_row, options.labels)
            for method in METHODS:
                found = json.loads(in_process("fit", folder, method, options.allowed * MIB))
                size = {name: value / MIB for name, value in found.items()}
                print(
                    f"{size['matrix']:10.0f} {size['limit']:10.0f}  {method:8s} {size['RssAnon']:12.1f} "
                    f"{size['bound']:10.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
