"""Run one step: ``python -m gpu_steps NAME SETTING RESULTS``, a setting in JSON, a file for results."""

import json
import sys
from importlib import import_module
from pathlib import Path

from gpu_steps.common import Setting

name, setting, results = sys.argv[1:]
with Path(results).open("a") as lines:
    for result in import_module(f"gpu_steps.{name}").run(Setting(**json.loads(setting))):
        lines.write(json.dumps(result) + "\n")
        lines.flush()
