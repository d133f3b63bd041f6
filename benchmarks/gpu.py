"""Check on a GPU what only a GPU shows: right predictions, speed beside other programs, behavior short of memory.

    make gpu OUT=folder                            # all of it, in ten minutes
    python benchmarks/gpu.py --steps training --minutes 3
    python benchmarks/gpu.py --small               # the miniature, on a CPU

Each step runs in a process of its own with a time limit of its own; what it finds is in OUT/gpu.json and OUT/gpu.md as
soon as it ends. A step that fails or hangs costs itself alone. The package is built first if this Python has none.
No network is needed, and no data but those of the repository; weights are random. Only the standard library is needed
here, so that a report is written whatever else is broken.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpu_steps import BUDGET, STEPS

ROOT = Path(__file__).resolve().parents[1]
HEAD = ("step", "check", "found", "bar", "met", "s")
LOG_TAIL = 6000  # characters kept of what a failed step printed

Step = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--out", type=Path, default=ROOT / "benchmarks" / "results" / "gpu", help="folder of the report"
    )
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS), help="by default all")
    parser.add_argument("--minutes", type=float, default=BUDGET, help=f"for all steps; sizes go by it (now {BUDGET})")
    parser.add_argument(
        "--small", action="store_true", help="the miniature: tiny models, no bars for speed, any device"
    )
    parser.add_argument("--device", help="by default the GPU")
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    device = options.device or found_device()
    small = options.small or device == "cpu"
    if small and not options.small:
        print("There is no GPU here, so this is the miniature, on the CPU; its figures say nothing about speed.")
    options.out.mkdir(parents=True, exist_ok=True)
    setting = {"device": device, "small": small, "scale": options.minutes / BUDGET}
    report = Report(options.out, setting)
    with tempfile.TemporaryDirectory(prefix="xclassic-gpu-") as folder:
        paths = [str(Path(folder) / "package"), str(ROOT / "benchmarks"), os.environ.get("PYTHONPATH", "")]
        # A safe path keeps the sources, which have no kernels here, from standing before the package that was built.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths).rstrip(os.pathsep), "PYTHONSAFEPATH": "1"}
        if small:
            environment["OMP_NUM_THREADS"] = "1"  # threads that share so little work wait for each other
        if not has_package(environment):
            build = [sys.executable, "-m", "pip", "install", "--no-build-isolation", "--no-deps", "--quiet"]
            report.add(run("build", [*build, "--target", paths[0], str(ROOT)], environment, end - time.monotonic()))
        for name in options.steps:
            results = Path(folder) / f"{name}.jsonl"
            limit = min(STEPS[name] * max(1.0, setting["scale"]), end - time.monotonic())
            task = json.dumps(setting | {"seconds": limit})
            command = [sys.executable, "-m", "gpu_steps", name, task, str(results)]
            report.add(run(name, command, environment, limit, results))
    print(f"\n{report.summary}. Whole report: {options.out / 'gpu.json'}")
    sys.exit(report.failed)


def found_device() -> str:
    """Return "cuda" or "cpu", or end if PyTorch is missing."""
    code = "import torch; print('cuda' if torch.cuda.is_available() else 'cpu')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        sys.exit(
            f"{sys.executable} has no PyTorch ({done.stderr.strip().splitlines()[-1]}). Install xclassic[neural], or "
            "name a Python that has it: make gpu PYTHON=/path/to/python"
        )
    return done.stdout.strip()


def has_package(environment: dict[str, str]) -> bool:
    """Tell whether the compiled package can be imported."""
    command = [sys.executable, "-c", "import xclassic._kernels.blocks"]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True).returncode == 0


def run(
    name: str, command: Sequence[str], environment: dict[str, str], limit: float, results: Path | None = None
) -> Step:
    """Run one step; return what it found, its seconds, and what went wrong."""
    step: Step = {"step": name, "results": []}
    started = time.monotonic()
    if limit <= 0:
        return step | {"seconds": 0.0, "error": "no time was left"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip
        try:
            process.wait(limit)
            error = None if process.returncode == 0 else f"exit code {process.returncode}"
        except subprocess.TimeoutExpired:
            error = f"not done after {limit:.0f} s"
        finally:
            if process.poll() is None:  # with its workers, also if we are interrupted ourselves
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if error is not None:
            log.seek(max(0, log.seek(0, os.SEEK_END) - LOG_TAIL))
            step["error"] = f"{error}\n{log.read().decode(errors='replace')}"
    step["seconds"] = round(time.monotonic() - started, 1)
    if results is not None and results.exists():
        step["results"] = [json.loads(line) for line in results.read_text().splitlines()]
    return step


class Report:
    """What was found so far, in two files that are always whole."""

    def __init__(self, folder: Path, setting: dict[str, Any]) -> None:
        self.folder = folder
        self.steps: list[Step] = []
        date = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
        self.content: dict[str, Any] = {"date": date, **setting, "steps": self.steps}
        print("| " + " | ".join(HEAD) + " |\n|" + " --- |" * len(HEAD), flush=True)

    def add(self, step: Step) -> None:
        """Take the outcome of a step, and write it down."""
        self.steps.append(step)
        print("\n".join(rows(step)), flush=True)
        lines = [*self.title(), "", "| " + " | ".join(HEAD) + " |", "|" + " --- |" * len(HEAD)]
        lines += [row for step in self.steps for row in rows(step)]
        for name, text in (("gpu.json", json.dumps(self.content, indent=1)), ("gpu.md", "\n".join(lines) + "\n")):
            partial = self.folder / f"{name}.partial"
            partial.write_text(text)
            partial.replace(self.folder / name)

    def title(self) -> list[str]:
        """Return what a table must say of where it was made."""
        facts = {
            name: value for step in self.steps for r in step["results"] for name, value in r.get("facts", {}).items()
        }
        return [", ".join([self.content["date"], *(f"{name} {value}" for name, value in facts.items())])]

    @property
    def failed(self) -> bool:
        """Whether a step broke or a bar was missed."""
        return any("error" in step or any(r["met"] is False for r in step["results"]) for step in self.steps)

    @property
    def summary(self) -> str:
        judged = [r["met"] for step in self.steps for r in step["results"] if r["met"] is not None]
        broken = [step["step"] for step in self.steps if "error" in step]
        return f"{sum(judged)} of {len(judged)} bars met; steps that failed: {', '.join(broken) or 'none'}"


def rows(step: Step) -> list[str]:
    """Return the rows of a step in the table."""
    met = {True: "yes", False: "NO", None: ""}
    cells = [(step["step"], r["check"], r["found"], r["bar"], met[r["met"]], "") for r in step["results"]]
    if "error" in step:
        lines = step["error"].strip().splitlines()
        cells.append((step["step"], "whole step", f"{lines[0]}: {lines[-1]}"[:200], "", "NO", ""))
    elif not cells:
        cells.append((step["step"], "done", "", "", "yes", ""))
    cells[-1] = (*cells[-1][:-1], f"{step['seconds']:.0f}")
    return ["| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in cells]


if __name__ == "__main__":
    main()
