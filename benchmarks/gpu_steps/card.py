"""What the card is, which versions run on it, and whether it does what it is sold for."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import torch

import xclassic
from gpu_steps.common import Result, Setting, alternate, peak_rate, product_rate, result

PACKAGES = (
    "torch",
    "transformers",
    "sentence-transformers",
    "accelerate",
    "peft",
    "numpy",
    "scikit-learn",
    "numba",
    "Cython",
)


def run(setting: Setting) -> Iterator[Result]:
    """Yield the facts, a product of matrices, and a copy."""
    device = setting.device
    facts = {"card": card(device), "cores": os.cpu_count(), "Python": platform.python_version()}
    facts |= {name: installed(name) for name in PACKAGES} | {"xclassic": xclassic.__version__}
    yield result("card", facts["card"], facts=facts)
    rate, peak = product_rate(device, setting.pick(8192, 256)), peak_rate(device)
    share = rate / peak
    yield setting.bar("bf16 product, share of the peak", share, 0.5, "", tera_operations=rate / 1e12, peak=peak / 1e12)
    source = torch.randn(setting.pick(2**28, 2**20), device=device)
    target = torch.empty_like(source)

    def copy() -> float:
        target.copy_(source)
        return 2.0 * source.nbytes

    rates = alternate({"copy": copy}, device, 0.2)["copy"]
    yield result("copy on the device", f"{max(rates) / 1e9:.0f} GB/s")


def card(device: str) -> str:
    """Return the name of the card, its memory and its driver."""
    if torch.device(device).type != "cuda":
        return f"no GPU ({platform.machine()})"
    driver = ""
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        driver = ", driver " + subprocess.run(query, capture_output=True, text=True).stdout.strip().split("\n")[0]
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return f"{torch.cuda.get_device_name()}, {memory:.0f} GiB, CUDA {torch.version.cuda}{driver}"


def installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
