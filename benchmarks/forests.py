"""How the accuracy of a forest depends on the number of its trees and on the size of its leaves.

    python benchmarks/forests.py --data bibtex --method FastXML --plot docs/images/forests.svg

Trees: the first trees of one forest. Leaves: forests of 50 trees. Training is timed in this process.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import problems

import xclassic
from xclassic import metrics


def precisions(model: Any, problem: problems.Problem) -> dict[str, float]:
    top = model.predict_topk(problem.X_test, 5)
    truth = problem.truth[:, : problem.Y.shape[1]]
    return {f"P@{k}": 100 * float(metrics.precision_at_k(truth, top, k)) for k in (1, 5)}


def by_trees(method: str, numbers: list[int], problem: problems.Problem, threads: int) -> list[dict[str, Any]]:
    """Measure the first trees of one forest."""
    start = time.perf_counter()
    model = getattr(xclassic, method)(n_trees=max(numbers), n_jobs=threads).fit(problem.X, problem.Y)
    seconds = time.perf_counter() - start
    trees, results = model.trees_, []
    for n in numbers:
        model.trees_ = trees[:n]
        results.append({"n_trees": n, "train_seconds": seconds * n / max(numbers), **precisions(model, problem)})
    return results


def by_leaves(method: str, sizes: list[int], problem: problems.Problem, threads: int) -> list[dict[str, Any]]:
    """Measure a forest for each size of leaves."""
    results = []
    for size in sizes:
        start = time.perf_counter()
        model = getattr(xclassic, method)(max_leaf=size, n_jobs=threads).fit(problem.X, problem.Y)
        seconds = time.perf_counter() - start
        results.append({"max_leaf": size, "train_seconds": seconds, **precisions(model, problem)})
    return results


def plot(results: dict[str, dict[str, list[dict[str, Any]]]], path: Path) -> None:
    """Draw P@1 against trees and against leaves, a line for each data set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained", sharey=True)
    for panel, kind in zip(axes, ("n_trees", "max_leaf"), strict=True):
        for name, own in results.items():
            panel.plot([one[kind] for one in own[kind]], [one["P@1"] for one in own[kind]], "o-", label=name)
        panel.set(xscale="log", xlabel=kind)
    axes[0].set(ylabel="P@1, %")
    axes[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["bibtex"])
    parser.add_argument("--data-dir", type=Path, help="folder with the data sets that are not bundled")
    parser.add_argument("--method", default="FastXML", help="a forest (default: FastXML)")
    parser.add_argument("--trees", type=int, nargs="+", default=[1, 2, 5, 10, 20, 50, 100])
    parser.add_argument("--leaves", type=int, nargs="+", default=[2, 5, 10, 20, 50, 100])
    parser.add_argument("--unscaled", action="store_true", help="leave rows at the length they have")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw P@1")
    options = parser.parse_args()
    results = {}
    for name in options.data:
        problem = problems.prepare(name, options.data_dir, scaled=not options.unscaled)
        results[name] = {
            "n_trees": by_trees(options.method, options.trees, problem, options.threads),
            "max_leaf": by_leaves(options.method, options.leaves, problem, options.threads),
        }
        for one in [*results[name]["n_trees"], *results[name]["max_leaf"]]:
            print(json.dumps({"data": name, "method": options.method, **one}), flush=True)
    if options.plot is not None:
        plot(results, options.plot)


if __name__ == "__main__":
    main()
