"""Build of the compiled kernels; everything else about the package is declared in ``pyproject.toml``."""

import os
import sys
from pathlib import Path

import numpy as np
from Cython.Build import cythonize
from setuptools import Extension, setup

KERNELS = Path("xclassic/_kernels")
CHECKED = os.environ.get("XCLASSIC_BOUNDSCHECK") == "1"  # a slow build whose kernels check every index
MEMORYVIEWS = "xclassic._kernels._memoryviews"

WINDOWS = sys.platform == "win32"
# Debugging information would be a fifth of the compiler's work and nine tenths of the files.
CFLAGS = ["/O2"] if WINDOWS else ["-O1" if CHECKED else "-O3", "-g0", "-Wno-unused-function"]
CXXFLAGS = CFLAGS if WINDOWS else [*CFLAGS, "-std=c++17", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi"]
# Sources besides the .pyx itself. The block engine holds all its instruction-set levels in one file.
EXTRA_SOURCES = {"blocks": [str(KERNELS / "block_levels.cpp")]}


def kernel(path: Path) -> Extension:
    return Extension(
        f"xclassic._kernels.{path.stem}",
        [str(path), *EXTRA_SOURCES.get(path.stem, [])],
        include_dirs=[np.get_include(), str(KERNELS)],
        depends=[str(header) for header in KERNELS.glob("*.h")],
        define_macros=[
            ("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION"),
            *([("XCLASSIC_BOUNDSCHECK", "1"), ("_GLIBCXX_ASSERTIONS", "1")] * CHECKED),
        ],
        extra_compile_args=CXXFLAGS,
        language="c++",
    )


def memoryviews() -> Extension:
    """Return the module of what Cython needs for memoryviews; each kernel would hold a copy otherwise."""
    return Extension(
        MEMORYVIEWS,
        [str(KERNELS / "_memoryviews.c")],
        define_macros=[("CYTHON_FREETHREADING_COMPATIBLE", "1")],  # no directive reaches it
        extra_compile_args=CFLAGS,
    )


setup(
    options={"build_ext": {"parallel": os.cpu_count() or 1}},
    ext_modules=cythonize(
        [*map(kernel, sorted(KERNELS.glob("*.pyx"))), memoryviews()],
        shared_utility_qualified_name=MEMORYVIEWS,
        force=CHECKED,  # dates of files do not tell for which of the two builds they were generated
        compiler_directives={
            "language_level": 3,
            "boundscheck": CHECKED,
            "wraparound": False,
            "initializedcheck": False,
            "cdivision": True,
            "freethreading_compatible": True,
        },
    ),
)
