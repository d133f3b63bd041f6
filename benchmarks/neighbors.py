"""How fast KNN finds neighbors, next to the brute-force search of scikit-learn on the same rows.

    python benchmarks/neighbors.py --data citeulike_t tibkat_en --data-dir data

Both search for the same number of neighbors of every test row by cosine; KNN lets them vote too.
Rounds are run in turn.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import problems
from scipy.sparse import csr_matrix
from sklearn.neighbors import NearestNeighbors

from xclassic import KNN


def seconds(function: Callable[..., Any], *arguments: Any) -> float:
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", default=["bibtex"])
    parser.add_argument("--data-dir", type=Path, help="folder with the data sets that are not bundled")
    parser.add_argument("--neighbors", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print("| data | P@1/3/5 | KNN, µs per row | scikit-learn, µs per row | times as fast |")
    print("| --- | --- | --- | --- | --- |")
    for name in options.data:
        problem = problems.prepare(name, options.data_dir)
        rows, queries = csr_matrix(problem.X), csr_matrix(problem.X_test)
        ours = KNN(options.neighbors, n_jobs=options.threads).fit(problem.X, problem.Y)
        peers = [  # with several jobs it copies the rows for each, which may cost more than it gains
            NearestNeighbors(n_neighbors=options.neighbors, algorithm="brute", metric="cosine", n_jobs=n).fit(rows)
            for n in {1, options.threads}
        ]
        mine, theirs = [], []
        for _ in range(options.rounds):
            mine.append(seconds(ours.predict_topk, problem.X_test))
            theirs.append(min(seconds(peer.kneighbors, queries) for peer in peers))
        scores = problem.scores(ours.predict_topk(problem.X_test).ids)
        quality = "/".join(f"{scores[f'P@{k}']:.1f}" for k in (1, 3, 5))
        scale = 1e6 / queries.shape[0]
        print(
            f"| {name} | {quality} | {median(mine) * scale:.0f} | {median(theirs) * scale:.0f} | "
            f"{median(theirs) / median(mine):.1f} |"
        )


if __name__ == "__main__":
    main()
