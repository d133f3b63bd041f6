"""The tests of the neural methods and of the encoder, with all tensors on the device."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec

from gpu_steps.common import ROOT, Result, Setting, result

FILES = ("tests/neural", "tests/features/test_bert.py")
WORKERS = 12  # a context on a card takes half a gibibyte each


def run(setting: Setting) -> Iterator[Result]:
    """Yield how many tests passed, and the end of what they printed."""
    # The package that was built comes before the sources, which have no kernels.
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", "--import-mode=append"]
    command += setting.pick(list(FILES), ["tests/neural/test_decoding.py", "-k", "single_label"])
    if not setting.small and find_spec("xdist") is not None:
        command += ["--numprocesses", str(WORKERS)]
    environment = os.environ | {"XCLASSIC_TEST_DEVICE": setting.device}
    done = subprocess.run(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    print(done.stdout)  # for the report of a step that breaks
    counts = re.findall(r"\d+ (?:passed|failed|skipped|errors?)", done.stdout.strip().splitlines()[-1])
    yield result(
        f"tests on {setting.device}", ", ".join(counts), "all pass", done.returncode == 0, tail=done.stdout[-8000:]
    )
