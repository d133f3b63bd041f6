"""Measure methods of this package and of other libraries, side by side.

    python benchmarks/compare.py --setup
    python benchmarks/compare.py --data bibtex delicious --data-dir ~/data --rounds 3 --json compare.jsonl

Each library has a virtual environment of its own under ``benchmarks/.envs``, made by ``--setup``. In each round every
method is measured once, in a fresh process, on the same prepared files and number of threads; every second round
goes in reverse order. The tables show medians and ranges over the rounds. Needs Linux.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

from measure import Measurement, common_options, environment, measure, prepared, python_of
from report import against_rivals, setting, table
from run import estimator_name

# What pip installs, step by step. libpecos needs numpy 1 and torch, of which a build without CUDA is enough and spares
# gigabytes: let PIP_FIND_LINKS or PIP_EXTRA_INDEX_URL name a place that has one.
ENVIRONMENTS = {
    "libmultilabel": [["libmultilabel==0.10.0"]],
    "napkinxc": [["napkinxc==0.7.2"]],
    "omikuji": [["omikuji==0.5.2", "scipy"]],
    "pecos": [["torch==2.13.0"], ["libpecos==1.2.8", "numpy==1.26.4"]],
    "sklearn": [["scikit-learn==1.9.1"]],
}
# A method of a peer begins with the name of its library.
SQUARED_HINGE = ["pecos-ovr", "libmultilabel-1vsrest", "sklearn-ovr"]
ONE_VS_REST = [*SQUARED_HINGE, "napkinxc-br"]  # which has the logistic loss
TREES = ["pecos-xr", "omikuji", "omikuji-bonsai", "napkinxc-plt", "libmultilabel-tree"]
OURS = ["DiSMEC", "OneVsRestLeastSquares"]
# What each estimator is held against: the methods of its kind with its loss.
RIVALS = {
    "DiSMEC": SQUARED_HINGE,
    "OneVsRestLeastSquares": ONE_VS_REST,
    "Parabel": ["omikuji"],
    "XRLinear": ["pecos-xr"],
    "Bonsai": ["omikuji-bonsai"],
    "PLT": ["napkinxc-plt"],
}


def method_name(method: str) -> str:
    """Return the name of a peer's method, or the estimator that is meant."""
    return method if method in ONE_VS_REST + TREES else estimator_name(method)


def library_of(method: str) -> str:
    return method.partition("-")[0] if method in ONE_VS_REST + TREES else "xclassic"


def set_up(python: str) -> None:
    """Make the environments that are missing, and install into each."""
    for library, steps in ENVIRONMENTS.items():
        print(f"Setting up {environment(library)}")
        if not environment(library).exists():
            subprocess.run([python, "-m", "venv", str(environment(library))], check=True)
        for packages in steps:
            pip = [python_of(library), "-m", "pip", "--disable-pip-version-check", "--quiet", "install", *packages]
            subprocess.run(pip, check=True)


def main() -> None:
    parser = common_options(__doc__)
    parser.add_argument("--setup", action="store_true", help="make the environments of the other libraries, and stop")
    parser.add_argument(
        "--python", default=sys.executable, help="Python of those environments; all of them support 3.11"
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        type=method_name,
        default=OURS + ONE_VS_REST,
        help=f"estimators of xclassic and {', '.join(ONE_VS_REST + TREES)} (default: xclassic's and the first four)",
    )
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="measurements of each method (default: 3)")
    options = parser.parse_args()
    if options.setup:
        set_up(options.python)
        return
    measurements, failures = compare(options)
    if measurements:
        print(table(measurements), end="\n\n")
        print("Against the best in each column of the methods of its kind:", end="\n\n")
        print(against_rivals(measurements, RIVALS), setting(measurements), sep="\n\n")
    if failures:
        sys.exit("\n\n".join(failures))


def compare(options: argparse.Namespace) -> tuple[list[Measurement], list[str]]:
    """Return the measurements, and why others failed."""
    measurements, failures = [], []
    for name in options.data:
        with prepared(name, options) as (problem, files):
            for round_number in range(options.rounds):
                order = options.methods if round_number % 2 == 0 else options.methods[::-1]
                for method in order:
                    print(f"{problem.name}, round {round_number + 1}: {method}", file=sys.stderr)
                    try:
                        measurements.append(measure(problem, files, library_of(method), method, options, {}))
                    except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
                        failures.append(f"{problem.name}, round {round_number + 1}: {error}")
    return measurements, failures


if __name__ == "__main__":
    main()
