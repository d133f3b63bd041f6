"""What tests of the command line share."""

import sys
from typing import NamedTuple

import pytest
from scipy.sparse import save_npz

from xclassic import datasets
from xclassic.cli import app


class Done(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(tmp_path, monkeypatch, capfdbinary):
    """Run a command in a temporary folder; `code` is the exit code that is expected of it."""
    monkeypatch.chdir(tmp_path)

    def run_command(line, code=0):
        with pytest.raises(SystemExit) as exit:
            app(line.split() if isinstance(line, str) else line)
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        done = Done(exit.value.code, out.decode("utf-8", "replace"), err.decode())
        assert done.code == code, done
        return done

    return run_command


@pytest.fixture
def points(tmp_path):
    """Write 200 points of bibtex as matrices."""
    data = datasets.load_bibtex()
    save_npz(tmp_path / "X.npz", data.X[:200])
    save_npz(tmp_path / "Y.npz", data.Y[:200])
    return data.X[:200], data.Y[:200]
