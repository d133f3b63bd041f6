"""Standard streams that are closed, full, or read by nobody."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xclassic
from tests.helpers.interrupts import HANG
from xclassic import DiSMEC

PACKAGE = str(Path(xclassic.__file__).parents[1])
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), PACKAGE]))}
CLOSED = "standard output is closed"


@pytest.fixture(autouse=True)
def model(tmp_path):
    """Save a model of two features as `m`, and `x.svm`, two rows for it."""
    DiSMEC().fit(np.eye(2), [["a"], ["b"]]).save(tmp_path / "m")
    (tmp_path / "x.svm").write_text("0 0:1\n0 1:1\n")


@pytest.fixture
def shell(tmp_path):
    """Run the program by a shell, which redirects streams; return the exit code and what came out."""

    def run(line, code):
        program = f"'{sys.executable}' -m xclassic"
        done = subprocess.run(
            ["sh", "-c", line.replace("xclassic", program)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=ENVIRONMENT,
            timeout=HANG,
        )
        assert done.returncode == code, done
        return done

    return run


PREDICT = "xclassic predict m x.svm --zero-based -k 1"


@pytest.mark.skipif(os.name != "posix", reason="redirections of a POSIX shell")
def test_closed_streams(shell, tmp_path):
    expected = shell(PREDICT, 0).stdout
    assert shell(f"{PREDICT} 2>&-", 0).stdout == expected
    shell(f"{PREDICT} -o top.txt <&- >&- 2>&-", 0)
    assert (tmp_path / "top.txt").read_text() == expected
    for line in ("xclassic info m", PREDICT, f"{PREDICT} --format npz"):
        failed = shell(f"{line} >&-", 1)
        assert CLOSED in failed.stderr
        assert failed.stderr.count("\n") == 1
    silent = shell("xclassic info none 2>&-", 1)
    assert silent.stdout == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_streams(shell, unbuffered):
    buffering = f"PYTHONUNBUFFERED={unbuffered}"
    assert "No space left" in shell(f"{buffering} xclassic info m >/dev/full", 1).stderr
    shell(f"{buffering} xclassic info none 2>/dev/full", 1)


@pytest.mark.parametrize("arguments", ["--help", "train DiSMEC --help", "--version", "info m"])
def test_reader_that_goes_away(tmp_path, arguments):
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "xclassic", *arguments.split()],
        stdout=write,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=ENVIRONMENT,
        timeout=HANG,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")
