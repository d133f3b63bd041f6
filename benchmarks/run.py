"""Measure methods of this package: quality, time, model size and memory.

    python benchmarks/run.py --data bibtex --method dismec --param C=0.5
    python benchmarks/run.py --data delicious citeulike_t --data-dir data --method dismec least_squares --json out.jsonl
    python benchmarks/run.py --data bibtex --method parabel --param agglomeration__max_leaf=8 agglomeration__seeds=3

The last one measures on features that `FeatureAgglomeration` groups, whose time counts as training, and blends three
seeds. Each measurement runs in a fresh process on the given number of threads. Baselines come first, unless
--no-baselines is given. Needs Linux.
"""

from __future__ import annotations

import argparse
import ast
from typing import Any

from measure import common_options, measure, prepared
from report import setting, table

from xclassic.storage import registry

BASELINES = ("RandomOrder", "Popularity", "NearestCentroid")


def estimator_name(method: str) -> str:
    """Return the estimator whose name ends so, whatever the case and without ``_`` and ``-``."""
    wanted = method.lower().replace("_", "").replace("-", "")
    names = (*registry.ESTIMATORS, *registry.NEURAL_ESTIMATORS)
    exact = [name for name in names if name.lower() == wanted]
    found = exact or [name for name in names if name.lower().endswith(wanted)]
    if len(found) != 1:
        raise argparse.ArgumentTypeError(f"{method!r} names no one method; there are {', '.join(names)}")
    return found[0]


def parameter(text: str) -> tuple[str, Any]:
    """Read ``name=value``: a Python literal, or a string as it is."""
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def main() -> None:
    parser = common_options(__doc__)
    parser.add_argument("--method", nargs="+", type=estimator_name, required=True, help="estimators, by name")
    parser.add_argument(
        "--param",
        nargs="+",
        action="extend",
        default=[],
        type=parameter,
        metavar="NAME=VALUE",
        help="of the estimators",
    )
    parser.add_argument("--no-baselines", action="store_true", help="measure nothing but the methods")
    options = parser.parse_args()
    calls = {} if options.no_baselines else {name: {} for name in BASELINES}
    calls |= {name: dict(options.param) for name in options.method}
    measurements = []
    for name in options.data:
        with prepared(name, options) as (problem, files):
            measurements += [
                measure(problem, files, "xclassic", method, options, params) for method, params in calls.items()
            ]
    print(table(measurements), setting(measurements), sep="\n\n")


if __name__ == "__main__":
    main()
