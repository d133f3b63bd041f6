"""The versions that a bug report needs."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import TextIO

from threadpoolctl import threadpool_info

from xclassic._version import __version__

DEPENDENCIES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "joblib",
    "numba",
    "threadpoolctl",
    "filelock",
    "tqdm",
    "typer",
    "rich",
    "torch",
    "distributed",
)


def show_versions(file: TextIO | None = None) -> None:
    """Write the versions of xclassic, Python and its packages, and the instruction set that the kernels use.

    Parameters
    ----------
    file : text file, optional
        Where the versions are written; standard output by default.
    """
    from xclassic._kernels import blocks  # type: ignore[attr-defined]

    metadata = {
        "xclassic": __version__,
        "instruction set": f"{blocks.simd_level()} (this CPU runs {', '.join(blocks.simd_levels())})",
        "python": sys.version.replace("\n", " "),
        "platform": platform.platform(),
        "blas": ", ".join(_blas_libraries()) or "none found",
        **{name: _version_of(name) for name in DEPENDENCIES},
    }
    width = max(map(len, metadata))
    (file or sys.stdout).writelines(f"{name:>{width}}: {value}\n" for name, value in metadata.items())


def versions_that_count() -> dict[str, str]:
    """Return the versions of what decides on the bits of a model."""
    packages = ("numpy", "scipy", "scikit-learn", "numba")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return {"xclassic": __version__, "python": python, **{name: _version_of(name) for name in packages}}


def _blas_libraries() -> list[str]:
    return [
        f"{library['internal_api']} {library['version']} on {library['num_threads']} threads"
        for library in threadpool_info()
        if library["user_api"] == "blas"
    ]


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
