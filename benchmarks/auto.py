"""AutoXMC beside each of its members fitted alone with its defaults, on matrices or from texts.

    python benchmarks/auto.py --data-dir data --data bibtex delicious bigbasket --time-limit 600

With `--held-out` a fifth of the training rows are judged, for decisions; without it the test part.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import presets
import problems
from scipy.sparse import csr_array

import xclassic
from xclassic import AutoXMC, datasets, metrics
from xclassic.ensemble.portfolio import first_members
from xclassic.features import TextFeatures


def of_texts(name, options):
    X, y, X_test, truth = presets.parts_of(name, SimpleNamespace(**vars(options), rows=None))
    Y, names = xclassic.encode_labels(y)
    places = {str(label): i for i, label in enumerate(names)}
    rows = [[places.setdefault(str(label), len(places)) for label in row] for row in truth]
    ends = np.cumsum([0, *map(len, rows)])
    truth = csr_array((np.ones(ends[-1], np.float32), np.concatenate(rows).astype(int), ends), (len(rows), len(places)))
    return X, Y, X_test, truth


def of_matrices(name, options):
    problem = problems.prepare(name, options.data_dir)
    if not options.held_out:
        return problem.X, problem.Y, problem.X_test, problem.truth
    train, held_out = datasets.stratified_split(problem.Y, test_size=0.2, random_state=options.seed)
    return problem.X[train], problem.Y[train], problem.X[held_out], csr_array(problem.Y[held_out])


def told(Y, truth, top):
    """Return P@1/3/5 and PSP@1/3/5 in percent."""
    counts = np.zeros(truth.shape[1])
    counts[: Y.shape[1]] = Y.sum(axis=0)
    propensities = metrics.propensity(counts, Y.shape[0])
    precision = [100 * metrics.precision_at_k(truth, top, k) for k in (1, 3, 5)]
    scored = [100 * metrics.psp_at_k(truth, top, k, propensities) for k in (1, 3, 5)]
    return " | ".join("/".join(f"{value:.1f}" for value in values) for values in (precision, scored))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["bibtex"])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--time-limit", type=float)
    parser.add_argument("--n-trials", type=int)
    parser.add_argument("--target", default="mean")
    parser.add_argument("--alone", nargs="*", help="members that are fitted alone, by default all; none for none")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.data:
        X, Y, X_test, truth = (of_texts if name in presets.DATA else of_matrices)(name, options)
        auto = AutoXMC(time_limit=options.time_limit, n_trials=options.n_trials, target=options.target, n_jobs=2)
        auto.fit(X, Y)
        print(f"\n{name}\n\n{auto.report_}\n\n| model | P@1/3/5 | PSP@1/3/5 | seconds |\n| --- | --- | --- | --- |")
        print(f"| AutoXMC | {told(Y, truth, auto.predict_topk(X_test, 5))} | {auto.seconds_:.1f} |", flush=True)
        if isinstance(X, list):
            features = TextFeatures(n_jobs=2)
            X, X_test = features.fit_transform(X, Y), features.transform(X_test)
        for member, clf in first_members():
            if options.alone is None or member in options.alone:
                began = time.perf_counter()
                top = clf.set_params(n_jobs=2).fit(X, Y).predict_topk(X_test, 5)
                seconds = time.perf_counter() - began
                print(f"| {type(clf).__name__} | {told(Y, truth, top)} | {seconds:.1f} |", flush=True)


if __name__ == "__main__":
    main()
