"""Memory that fitting takes, beside the estimate."""

import subprocess
import sys
from pathlib import Path

import pytest

import xclassic

MEASURE = r"""
import re, sys
from pathlib import Path
import numpy as np
import xclassic
from scipy.sparse import csr_array, random_array

def memory(key):
    return 1024 * int(re.search(key + r":\s+(\d+)", Path("/proc/self/status").read_text())[1])

random = np.random.default_rng(0)
X = csr_array(random_array((5_000, 3_000), density=0.01, rng=random, dtype=np.float32))
Y = csr_array(random_array((5_000, 2_000), density=0.003, rng=random, dtype=np.float32))
Y.data[:] = 1
clf = getattr(xclassic, sys.argv[1])(max_passes=5, n_jobs=1)
clf.fit(X[:50], Y[:50])  # Numba compiles here.
Path("/proc/self/clear_refs").write_text("5")  # The peak starts anew from here.
before = memory("VmRSS")
clf.fit(X, Y)
print((memory("VmHWM") - before) / clf.estimate_memory(X, Y))
"""


@pytest.mark.long
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("name", ["BloomFilter", "PDSparse", "ProXML"])
def test_memory_is_near_the_estimate(name):
    root = Path(xclassic.__file__).parents[1]
    command = [sys.executable, "-c", MEASURE, name]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stderr[-2000:]
    assert 0.3 < float(found.stdout) < 1.5
