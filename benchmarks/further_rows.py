"""Models that grow by `partial_fit` beside a fit on all rows: accuracy, and the time of a batch.

    python benchmarks/further_rows.py --data citeulike_t tibkat_en --data-dir data

A model begins with half of the training rows, in random order, and gets the others in ten batches. Seconds are those of
processors, for one worker: of the last batch, and of a fit on all rows right after it.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import problems
from scipy.sparse import csr_array

from xclassic import CRAFTML, KNN, Bonsai, DiSMEC, FastXML, OneVsRestLeastSquares, Parabel, XRLinear

METHODS = {
    "DiSMEC": DiSMEC,
    "OneVsRestLeastSquares": OneVsRestLeastSquares,
    "Parabel": Parabel,
    "Bonsai": Bonsai,
    "XRLinear": XRLinear,
    "FastXML": lambda: FastXML(n_trees=20),
    "CRAFTML": lambda: CRAFTML(n_trees=20),
    "KNN": KNN,
}


def judged(problem, clf):
    scores = problem.scores(clf.predict_topk(problem.X_test, 5).ids)
    return "/".join(f"{scores[f'P@{k}']:.1f}" for k in (1, 3, 5))


def timed(call):
    started = time.process_time()
    result = call()
    return result, time.process_time() - started


def grown(method, X, Y, n_batches):
    """Return a model that has got its rows in batches, what half of them had made of it, and the time of each batch."""
    cuts = np.linspace(X.shape[0] // 2, X.shape[0], n_batches + 1).astype(int)
    half, clf = (method().fit(X[: cuts[0]], Y[: cuts[0]]) for _ in range(2))
    seconds = []
    for start, end in pairwise(cuts):
        old, new = (X[:start], Y[:start]), (X[start:end], Y[start:end])
        _, taken = timed(partial(clf.partial_fit, *new, X_known=old[0], y_known=old[1]))
        seconds.append(taken)
    return clf, half, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["bibtex"])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--batches", type=int, default=10)
    options = parser.parse_args()
    print(
        "| data | method | half of the rows | in batches | all rows | last batch, s | fit, s | ratio |\n"
        + "|---" * 8
        + "|"
    )
    for name in options.data:
        problem = problems.prepare(name, options.data_dir)
        order = np.random.default_rng(0).permutation(problem.X.shape[0])
        X, Y = csr_array(problem.X)[order], csr_array(problem.Y)[order]
        for method in options.method:
            clf, half, seconds = grown(METHODS[method], X, Y, options.batches)
            whole, taken = timed(partial(METHODS[method]().fit, X, Y))
            figures = " | ".join(judged(problem, model) for model in (half, clf, whole))
            print(
                f"| {name} | {method} | {figures} | {seconds[-1]:.3f} | {taken:.3f} | {seconds[-1] / taken:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
