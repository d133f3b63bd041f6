"""Fits on a matrix larger than the private memory of the process (``ulimit -d``, which leaves read-only maps out)."""

import subprocess
import sys

import numpy as np
import pytest
from scipy.sparse import csr_array

from xclassic.datasets import write_matrix

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limit leaves maps out on Linux")

MIB = 1 << 20
ALLOWED = 40 * MIB  # With two stacks of threads in it, 8 MiB each.

FIT = """
import resource, sys
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from xclassic import KNN, DiSMEC, XRLinear
from xclassic.datasets import open_matrix
from xclassic.rows import unit_rows

folder, method, allowed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
X, labels = open_matrix(folder / "X"), np.load(folder / "labels.npy")
Y = csr_array((np.ones(len(labels), np.float32), labels, np.arange(len(labels) + 1)))
methods = {
    "DiSMEC": DiSMEC(max_passes=1, n_jobs=1),
    "XRLinear": XRLinear(max_leaf=4, branching=4, max_passes=1, n_jobs=1),
    "KNN": KNN(index_folder=folder / "index", n_jobs=1),
    "KNN in memory": KNN(n_jobs=1),
}
small = csr_array(X[:50])
methods[method].fit(small, Y[:50])  # What is loaded at the first use does not count.
used = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmData:")) * 1024
resource.setrlimit(resource.RLIMIT_DATA, (used + allowed, used + allowed))
try:
    methods[method].fit(X, Y)
except MemoryError:
    sys.exit(7)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write a matrix of 12 million entries, 96 MB, and one label for each row."""
    folder = tmp_path_factory.mktemp("matrix")
    random = np.random.default_rng(0)
    rows, columns, per_row = 2000, 3000, 600

    def pieces():
        for _ in range(10):
            features = np.argsort(random.random((rows, columns), np.float32), axis=1)[:, :per_row]
            values = random.random(features.size, np.float32)
            pointers = np.arange(0, features.size + 1, per_row)
            yield csr_array((values, features.ravel(), pointers), shape=(rows, columns))

    write_matrix(folder / "X", pieces())
    np.save(folder / "labels.npy", random.integers(16, size=10 * rows).astype(np.int32))
    return folder


def run(folder, method):
    command = [sys.executable, "-c", FIT, folder, method, str(ALLOWED)]
    return subprocess.run(command, timeout=300).returncode


@pytest.mark.parametrize("method", ["DiSMEC", "XRLinear", "KNN"])
def test_a_fit_takes_less_memory_than_the_matrix(method, folder):
    assert sum(file.stat().st_size for file in (folder / "X").glob("*.npy")) > 2 * ALLOWED
    assert run(folder, method) == 0


def test_a_fit_that_copies_the_matrix_does_not_have_the_memory(folder):
    assert run(folder, "KNN in memory") == 7
