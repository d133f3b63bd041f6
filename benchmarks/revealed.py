"""What known labels are worth: SwiftXML beside PfastreXML on the labels that are left.

    python benchmarks/revealed.py --data bibtex delicious --data-dir DATA

At each share the same labels of the test points are revealed to both: SwiftXML is told them, and from the ranking of
PfastreXML they are dropped. Rows without a label that is left do not count.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import problems
from scipy.sparse import csr_array

from xclassic import PfastreXML, SwiftXML, TopK, datasets, metrics


def measured(truth: csr_array, revealed: csr_array, top: TopK, problem: problems.Problem) -> dict[str, float]:
    """Return the metrics of the rows of which a label is left, in percent."""
    metrics.check_held_out(truth, revealed, top)
    rows = np.flatnonzero(np.diff(truth.indptr) > 0)
    best = TopK(*(array[rows] for array in top))
    propensities = problem.propensities[: truth.shape[1]]
    found = metrics.evaluate(truth[rows], best, ks=problems.DEPTHS, propensities=propensities)
    return {f"{name}@{k}": round(100 * found[f"{name}@{k}"], 1) for name in ("P", "PSP") for k in problems.DEPTHS}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["bibtex"])
    parser.add_argument("--data-dir", type=Path, help="folder with the data sets that are not bundled")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.0, 0.2, 0.4, 0.6, 0.8])
    parser.add_argument("--trees", type=int, default=50)
    parser.add_argument("--unscaled", action="store_true", help="leave rows at the length they have")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    for name in options.data:
        problem = problems.prepare(name, options.data_dir, scaled=not options.unscaled)
        X_test, truth = problem.X_test, csr_array(problem.truth[:, : problem.Y.shape[1]])
        for method in (PfastreXML, SwiftXML):
            start = time.perf_counter()
            model: Any = method(options.trees, n_jobs=options.threads).fit(problem.X, problem.Y)
            row = {"data": name, "method": method.__name__, "train_seconds": round(time.perf_counter() - start, 2)}
            for share in options.shares:
                revealed, rest = datasets.reveal_labels(truth, share, random_state=0)
                if method is SwiftXML:
                    top = model.predict_topk(X_test, 5, revealed=revealed)
                else:
                    most = int(np.diff(revealed.indptr).max(initial=0))
                    top = model.predict_topk(X_test, 5 + most).without(revealed).head(5)
                print(json.dumps(row | {"revealed": share} | measured(rest, revealed, top, problem)), flush=True)


if __name__ == "__main__":
    main()
