"""Extreme multi-label classification with compiled kernels and a scikit-learn interface.

Public names are imported when they are first used, so that ``import xclassic`` costs next to nothing.
"""

import importlib
from typing import Any

from xclassic._version import __version__

# Estimators by module; the only classes that a saved model may name.
ESTIMATORS = {
    "DiSMEC": "xclassic.linear.dismec",
    "OneVsRestLeastSquares": "xclassic.linear.least_squares",
}

_NAMES = {
    **ESTIMATORS,
    "ModelFileError": "xclassic.model_io",
    "TopK": "xclassic.topk",
    "XMCClassifier": "xclassic.base",
    "encode_labels": "xclassic.validation",
    "load": "xclassic.base",
    "predict_topk": "xclassic.base",
    "show_versions": "xclassic._versions",
}
_MODULES = ("datasets", "metrics")

__all__ = [
    "__version__",
    *_NAMES,
    *_MODULES,
]


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        value = getattr(importlib.import_module(_NAMES[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
