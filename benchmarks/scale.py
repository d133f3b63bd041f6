"""What a problem far larger than this machine takes: measured costs, projected, scheduled on simulated clusters.

    python benchmarks/scale.py --methods XRLinear --labels 30000 100000 300000 --json scale.jsonl
    python benchmarks/scale.py --read scale.jsonl --target-labels 3000000 --machines 1 8 64

A fit on the rows of ``growth.py`` runs its tasks one after another, as a cluster would be given them, and notes for
each call of `run_tasks` the processor seconds of every task, the bytes that it shares with the others, its own, and
those of its result; what happens between the calls runs in one process. There are as many rows for each label as at the
target. Each of these figures grows by the power of the number of labels that its two largest sizes show, and is assumed
to grow no faster than the square. Then the tasks of the target are given to the cores of some machines, each the next
one when it is free, while data and results pass the network of the calling machine. ``--check N`` compares the
simulation with real fits in threads. Needs Linux.
"""

from __future__ import annotations

import argparse
import heapq
import io
import json
import pickle
import time
from pathlib import Path
from typing import Any

import numpy as np
from growth import TEST_ROWS, in_own_process, synthetic
from worker import memory, reset_peak

import xclassic
from xclassic.blocks.problem import label_ranges
from xclassic.cluster import _in_two_tasks, _Pickler
from xclassic.parallel import RUNNING, on_cluster

ROWS_PER_LABEL = 10 / 3
# Forests and learners are measured on a few members, which are alike, and projected to as many as the defaults have.
MEMBERS = {
    "FastXML": "n_trees",
    "PfastreXML": "n_trees",
    "CRAFTML": "n_trees",
    "SLEEC": "n_learners",
    "AnnexML": "n_learners",
}
FEW = 2
SECONDS_OF_NODES = 4.0  # Tasks of the nodes of a tree are cut to about this size where a tree is large.
COUNTED = ("seconds", "shared", "sent", "returned")


class Recorder:
    """A cluster of one core that notes what its tasks take."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.overhead = 0.0
        self._seen: set[str] = set()

    def run(self, function: Any, tasks: Any, progress: Any) -> list[Any]:
        """Run tasks one after another."""
        start = time.process_time()
        shared = self._size(function, None)[1]
        both = _in_two_tasks(tasks)
        sizes = [self._size(task, both) for task in tasks]
        self.overhead += time.process_time() - start
        results, seconds = [], []
        for task in tasks:
            start = time.process_time()
            results.append(function(task, RUNNING))
            seconds.append(time.process_time() - start)
        start = time.process_time()
        returned = sum(len(pickle.dumps(result, 5)) for result in results)
        self.overhead += time.process_time() - start
        call = getattr(function, "func", function)
        self.calls.append(
            {
                "name": f"{call.__module__.removeprefix('xclassic.')}.{call.__name__}",
                "seconds": seconds,
                "shared": shared + sum(size[1] for size in sizes),
                "sent": sum(size[0] for size in sizes),
                "returned": returned,
            }
        )
        return results

    def _size(self, value: Any, only: set[int] | None) -> tuple[int, int]:
        """Return the bytes of a value without its large arrays, and those of the arrays that were not seen before."""
        found: dict[str, Any] = {}
        _Pickler(stream := io.BytesIO(), found, only).dump(value)
        new = found.keys() - self._seen
        self._seen |= new
        return len(stream.getvalue()), sum(found[key].nbytes for key in new)


def made(method: str, **options: Any) -> Any:
    model = getattr(xclassic, method)(**options)
    return model.set_params(**{MEMBERS[method]: FEW}) if method in MEMBERS else model


def measure(method: str, n_labels: int, rows_per_label: float) -> dict[str, Any]:
    """Fit once, in this process."""
    X, Y = synthetic(n_labels, int(n_labels * rows_per_label), seed=1)
    model, recorder = made(method), Recorder()
    before = memory("VmRSS")
    reset_peak()
    start = time.process_time()
    with on_cluster(recorder):
        model.fit(X, Y)
    total = time.process_time() - start - recorder.overhead
    calls: dict[str, dict[str, Any]] = {}
    for call in recorder.calls:
        known = calls.setdefault(call.pop("name"), {"seconds": [], "shared": 0, "sent": 0, "returned": 0, "n_calls": 0})
        known["n_calls"] += 1
        for key, value in call.items():
            known[key] += value
    peak = memory("VmHWM") - before
    X_test = synthetic(n_labels, TEST_ROWS, seed=2)[0]
    model.predict_topk(X_test[:100], 5)
    start = time.process_time()
    model.predict_topk(X_test, 5)
    return {
        "method": method,
        "labels": n_labels,
        "rows": X.shape[0],
        "predict": (time.process_time() - start) / TEST_ROWS,
        "data": sum(part.nbytes for matrix in (X, Y) for part in (matrix.data, matrix.indices, matrix.indptr)),
        "serial": total - sum(sum(call["seconds"]) for call in calls.values()),
        "peak": peak,
        "model": sum(array.nbytes for array in model._get_arrays()[0].values()),
        "calls": calls,
    }


def power(sizes: list[int], values: list[float], target: int) -> float:
    """Return the value at the target, by the power of the size that the last two measurements show, 2 at most."""
    if min(values[-2:]) <= 0:
        return values[-1] * target / sizes[-1]
    exponent = min(np.log(values[-1] / values[-2]) / np.log(sizes[-1] / sizes[-2]), 2)
    return float(values[-1] * (target / sizes[-1]) ** exponent)


def project(results: list[dict[str, Any]], target: int) -> dict[str, Any]:
    """Return the result of a method at the target size, with the seconds of all its tasks."""
    results = sorted({one["labels"]: one for one in results}.values(), key=lambda one: one["labels"])
    sizes, last = [one["labels"] for one in results], results[-1]
    if len(sizes) < 2:
        raise SystemExit(f"{last['method']} was measured at {sizes[0]:,} labels alone; a projection needs two sizes")
    method = last["method"]
    factor = getattr(xclassic, method)().get_params()[MEMBERS[method]] / FEW if method in MEMBERS else 1.0
    projected = {"method": method, "labels": target, "measured": sizes[-1], "calls": {}}
    for key in ("data", "serial", "peak", "model", "predict"):
        projected[key] = power(sizes, [one[key] for one in results], target)
    projected["model"] *= factor
    projected["predict"] *= factor
    projected["caller"] = projected["data"] + max(projected.pop("peak"), projected["model"])
    for name, call in last["calls"].items():
        history = [one for one in results if name in one["calls"]]
        at = [one["labels"] for one in history]
        own = {
            key: power(at, [float(np.sum(one["calls"][name][key])) for one in history], target)
            if len(history) > 1
            else float(np.sum(call[key])) * target / last["labels"]
            for key in COUNTED
        }
        for key in ("seconds", "sent", "returned"):
            own[key] *= factor
        n_tasks = tasks_at(name, target, len(call["seconds"]) * factor, own["seconds"])
        shares = np.interp(
            np.linspace(0, 1, n_tasks), np.linspace(0, 1, len(call["seconds"])), np.sort(call["seconds"])
        )
        projected["calls"][name] = own | {"seconds": (own["seconds"] * shares / shares.sum()).tolist()}
    return projected


def tasks_at(name: str, n_labels: int, n_measured: float, seconds: float) -> int:
    """Return the number of tasks of a call at the target, by the rules that cut them."""
    if name == "label_tree.nodes._train_task":
        return int(max(n_measured, seconds / SECONDS_OF_NODES))
    return (
        max(round(n_measured), len(label_ranges(n_labels)))
        if name.startswith(("blocks.", "linear."))
        else round(n_measured)
    )


def simulate(result: dict[str, Any], machines: int, cores: int, bandwidth: float) -> dict[str, float]:
    """Return hours and traffic of a fit on some machines; one of them is alone with what is in one process."""
    seconds, traffic = result["serial"], 0.0
    for call in result["calls"].values():
        remote = machines > 1
        to_send = remote * (call["shared"] * machines + 2 * call["sent"])
        computed = schedule(call["seconds"], machines * cores)
        seconds += to_send / bandwidth + max(computed, remote * call["returned"] / bandwidth)
        traffic += to_send + remote * call["returned"]
    return {"hours": seconds / 3600, "traffic": traffic}


def schedule(durations: list[float], workers: int) -> float:
    """Return when the last task ends if each worker takes the next task when it is free."""
    random = np.random.default_rng(0)
    free = [0.0] * min(workers, len(durations))
    for duration in random.permutation(durations).tolist():
        heapq.heapreplace(free, free[0] + duration)
    return max(free)


def check(method: str, n_labels: int, rows_per_label: float) -> str:
    """Compare simulated workers with threads of this machine."""
    result = measure(method, n_labels, rows_per_label)
    X, Y = synthetic(n_labels, int(n_labels * rows_per_label), seed=1)
    text = f"{method}, {n_labels:,} labels:"
    for workers in (1, 2):
        start = time.perf_counter()
        made(method, n_jobs=workers).fit(X, Y)
        real, simulated = time.perf_counter() - start, 3600 * simulate(result, 1, workers, 1.0)["hours"]
        text += f" {workers} threads simulated {simulated:.1f} s, real {real:.1f} s;"
    return text


def table(results: list[dict[str, Any]], options: argparse.Namespace) -> str:
    heads = ["method", "labels measured", "core hours", "longest task, h", "one process, h", "model, GB", "caller, GB"]
    heads.append("predict, ms per row")
    for machines in options.machines:
        heads += [f"{machines} machines, h", "traffic, GB"] if machines > 1 else ["1 machine, h"]
    lines = ["| " + " | ".join(heads) + " |"]
    lines.append("|" + " --- |" * (lines[0].count("|") - 1))
    for method in dict.fromkeys(one["method"] for one in results):
        one = project([result for result in results if result["method"] == method], options.target_labels)
        tasks = [second for call in one["calls"].values() for second in call["seconds"]]
        cells = [
            method,
            f"{one['measured']:,}",
            _short((sum(tasks) + one["serial"]) / 3600),
            _short(max(tasks, default=0) / 3600),
            _short(one["serial"] / 3600),
            *(_short(one[key] / 1e9) for key in ("model", "caller")),
        ]
        cells.append(_short(1e3 * one["predict"]))
        for machines in options.machines:
            run = simulate(one, machines, options.cores, options.bandwidth * 1e9 / 8)
            cells += [_short(run["hours"])] + ([_short(run["traffic"] / 1e9)] if machines > 1 else [])
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 99.5 else f"{value:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=["XRLinear"])
    parser.add_argument("--labels", type=int, nargs="+", default=[1_000, 3_000])
    parser.add_argument("--rows-per-label", type=float, default=ROWS_PER_LABEL)
    parser.add_argument("--json", type=Path, metavar="FILE", help="append the measurements to this file, one a line")
    parser.add_argument(
        "--read", type=Path, metavar="FILE", help="project the measurements of this file, and measure none"
    )
    parser.add_argument("--target-labels", type=int, default=3_000_000)
    parser.add_argument("--machines", type=int, nargs="+", default=[1, 8, 64])
    parser.add_argument("--cores", type=int, default=16)
    parser.add_argument("--bandwidth", type=float, default=10.0, help="of the network of a machine, in Gbit/s")
    parser.add_argument("--check", type=int, metavar="N", help="compare simulated and real threads at N labels")
    parser.add_argument("--here", action="store_true", help="measure in this process, one size and method")
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure(options.methods[0], options.labels[0], options.rows_per_label)))
        return
    if options.check:
        for method in options.methods:
            print(check(method, options.check, options.rows_per_label), flush=True)
        return
    results = [json.loads(line) for line in options.read.read_text().splitlines()] if options.read else []
    for method in [] if options.read else options.methods:
        for n_labels in options.labels:
            arguments = ["--rows-per-label", str(options.rows_per_label)]
            results.append(in_own_process(__file__, method, n_labels, arguments, options.json))
    print(table(results, options))


if __name__ == "__main__":
    main()
