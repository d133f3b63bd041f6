"""What importing the package costs, and what it offers."""

import io
import platform
import re
import subprocess
import sys

import pytest

import xclassic
from xclassic.storage import registry


def in_a_new_process(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout


def test_importing_loads_lazy_loader_alone():
    code = "import sys; before = {*sys.modules}; import xclassic; print(*{*sys.modules} - before)"
    loaded = in_a_new_process(code).split()
    assert {name.split(".")[0] for name in loaded} - sys.stdlib_module_names == {"lazy_loader", "xclassic"}
    assert {name for name in loaded if name.startswith("xclassic")} == {"xclassic", "xclassic._version"}


def test_estimators_load_neither_numba_nor_torch():
    code = """
import sys, xclassic
from xclassic.storage import registry
[getattr(xclassic, name) for name in (*registry.ESTIMATORS, *registry.NEURAL_ESTIMATORS)]
print(*sys.modules)
"""
    assert not {"numba", "torch"} & set(in_a_new_process(code).split())


@pytest.mark.parametrize("name", xclassic.__all__)
def test_public_names_exist(name):
    assert name in dir(xclassic)
    assert getattr(xclassic, name) is getattr(xclassic, name)


def test_public_names_include_what_users_need():
    assert {
        "DiSMEC",
        "ModelFileError",
        "OneVsRestLeastSquares",
        "TopK",
        "XMCClassifier",
        "datasets",
        "encode_labels",
        "load",
        "metrics",
        "predict_topk",
        "show_versions",
    } <= set(xclassic.__all__)


def test_unknown_name_is_rejected():
    with pytest.raises(AttributeError, match="No xclassic attribute Parrot"):
        xclassic.Parrot  # noqa: B018


def test_registry_holds_public_names():
    assert set(registry.known_names()) <= {*xclassic.__all__, *xclassic.features.__all__}
    assert all(registry.find_class(name).__name__ == name for name in registry.known_names())
    assert registry.find_class("load") is None


def test_show_versions():
    shown = io.StringIO()
    xclassic.show_versions(file=shown)
    lines = dict(line.strip().split(": ", 1) for line in shown.getvalue().splitlines())
    assert lines["xclassic"] == xclassic.__version__
    assert lines["python"].startswith(platform.python_version())
    assert re.match(r"\w+ \(this CPU runs .*baseline", lines["instruction set"])
    for package in ("numpy", "scipy", "scikit-learn", "numba"):
        assert re.match(r"\d+\.\d+", lines[package])


def test_show_versions_writes_to_standard_output(capsys):
    xclassic.show_versions()
    assert "instruction set" in capsys.readouterr().out
