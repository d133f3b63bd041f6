"""Take one measurement in a fresh process, and the metadata of the machine it was taken on."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from problems import DEPTHS, FEATURES, Problem, prepare

import xclassic

HERE = Path(__file__).parent
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "LOKY_MAX_CPU_COUNT",
)

Measurement = dict[str, Any]


def common_options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of both benchmark programs."""
    if sys.platform != "linux":
        raise SystemExit("the benchmarks need Linux: they read the memory of a process from /proc")
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["bibtex"], help="bibtex, folders, or names in --data-dir")
    parser.add_argument("--data-dir", type=Path, help="folder that holds the folders of data sets")
    parser.add_argument(
        "--features", choices=FEATURES, help="default: tf-idf for citeulike_t and tibkat_en, else as-is"
    )
    parser.add_argument("--labels", type=int, metavar="N", help="train on N random labels only; all points stay")
    parser.add_argument("--label-seed", type=int, default=0, metavar="SEED", help="seed of that draw (default: 0)")
    parser.add_argument("--unscaled", action="store_true", help="leave rows at the length they have")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads of each method (default: 2)")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="give up a measurement after that long")
    parser.add_argument("--json", type=Path, metavar="FILE", help="append the measurements to this file, one a line")
    return parser


@contextmanager
def prepared(name: str, options: argparse.Namespace) -> Iterator[tuple[Problem, Path]]:
    """Prepare a data set, also as files in a folder that is removed at the end."""
    problem = prepare(
        name,
        options.data_dir,
        options.labels,
        options.label_seed,
        features=options.features,
        scaled=not options.unscaled,
    )
    with tempfile.TemporaryDirectory(prefix="xclassic-bench-") as folder:
        problem.save(Path(folder))
        yield problem, Path(folder)


def measure(
    problem: Problem, data: Path, library: str, method: str, options: argparse.Namespace, params: dict[str, Any]
) -> Measurement:
    """Train and predict once with the Python of the library's environment; write the result to the JSON file.

    Raises
    ------
    RuntimeError
        If the process failed; with the end of what it wrote.
    subprocess.TimeoutExpired
        If it took too long.
    """
    with tempfile.TemporaryDirectory(prefix="xclassic-bench-") as name:
        folder = Path(name)
        task = {"library": library, "method": method, "params": params, "problem": str(data), "k": max(DEPTHS)}
        (folder / "task.json").write_text(json.dumps(task | {"threads": options.threads}))
        limits = dict.fromkeys(THREAD_VARIABLES, str(options.threads))
        done = subprocess.run(
            [python_of(library), str(HERE / "worker.py"), name],
            env=os.environ | limits,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            timeout=options.timeout,
        )
        if done.returncode:
            raise RuntimeError(f"{method} ended with exit code {done.returncode}:\n{done.stderr[-2000:]}")
        result = json.loads((folder / "result.json").read_text())
        ids = np.load(folder / "ids.npy").astype(np.int32)
    if library == "xclassic":
        result["versions"]["xclassic"] = xclassic.__version__
    n_test = problem.X_test.shape[0]
    measurement = {
        "data": problem.name,
        "method": method,
        "params": params,
        **problem.scores(ids),
        **result,
        "predict_seconds_per_point": result["predict_seconds"] / n_test,
        "threads": options.threads,
        "machine": machine(),
    }
    if options.json:
        with open(options.json, "a", encoding="utf-8") as file:
            file.write(json.dumps(measurement) + "\n")
    return measurement


def python_of(library: str) -> str:
    """Return the interpreter of a library: this one for our own methods."""
    return sys.executable if library == "xclassic" else str(environment(library) / "bin" / "python")


def environment(library: str) -> Path:
    """Return the folder of the virtual environment of a peer."""
    return HERE / ".envs" / library


def machine() -> dict[str, str]:
    """Describe this machine."""
    from xclassic._kernels import blocks

    metadata = _fields(Path("/proc/cpuinfo"))
    return {
        "cpu": metadata.get("model name", platform.processor() or platform.machine()),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "simd": blocks.simd_level(),
        "system": f"{platform.system()} {platform.release()}",
    }


def _fields(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.partition(":") for line in path.read_text().splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
