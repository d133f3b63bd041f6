"""P@1 against bytes: `MACH` of several sizes beside `DiSMEC`, both pruned to ever smaller models.

    python benchmarks/mach_bytes.py --data tibkat_en --data-dir data

It fits each size once and then prunes it, so its times are not worth printing. A row of `MACH` says how much P@1 it is
ahead of the best `DiSMEC` of at most its bytes, where sizes between two thresholds are interpolated.
"""

import argparse
from pathlib import Path

import numpy as np
from problems import DEPTHS, prepare

from xclassic import MACH, DiSMEC

THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.5)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="bibtex")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--labels", type=int, help="train on that many random labels only")
    parser.add_argument("--sizes", nargs="+", default=["2x250", "8x250", "2x1000", "4x1000", "8x1000"], help="RxB")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    problem = prepare(options.data, options.data_dir, options.labels)
    print("| method | prune | MB | P@1/3/5 | P@1 ahead of DiSMEC of as many bytes |\n| --- | --- | --- | --- | --- |")
    rivals = list(sized(DiSMEC(n_jobs=options.threads), problem))
    for threshold, size, precisions in rivals:
        print(row("DiSMEC", threshold, size, precisions, ""), flush=True)
    for name in options.sizes:
        R, B = map(int, name.split("x"))
        for threshold, size, precisions in sized(MACH(R, B, n_jobs=options.threads), problem):
            print(row(f"MACH {name}", threshold, size, precisions, ahead(size, precisions, rivals)), flush=True)


def sized(model, problem):
    """Yield threshold, megabytes and precisions of ever smaller models."""
    model.set_params(prune=THRESHOLDS[0]).fit(problem.X, problem.Y)
    for threshold in THRESHOLDS:
        model.prune_weights(threshold)
        scores = problem.scores(model.predict_topk(problem.X_test, max(DEPTHS)).ids)
        yield threshold, model.weights_.nbytes / 1e6, np.array([scores[f"P@{k}"] for k in DEPTHS])


def ahead(size, precisions, rivals):
    sizes, best = zip(*[(other, found[0]) for _, other, found in reversed(rivals)], strict=True)
    if size < sizes[0]:
        return "none is as small"
    return f"{precisions[0] - np.interp(np.log(size), np.log(sizes), np.maximum.accumulate(best)):+.1f}"


def row(name, threshold, size, precisions, ahead):
    return f"| {name} | {threshold} | {size:.2f} | {'/'.join(f'{p:.1f}' for p in precisions)} | {ahead} |"


if __name__ == "__main__":
    main()
