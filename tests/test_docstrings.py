"""Docstrings: complete in numpydoc's terms for every public name, and their examples run."""

import dataclasses
import doctest
import importlib
import inspect
import operator
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from numpydoc.validate import validate

import xclassic
from xclassic import datasets, distributed, features, label_tree, metrics

# What numpydoc may ask for and we do not, with the reason.
NOT_ASKED = {
    "GL01": "a summary starts right behind the opening quotes",
    "SS06": "a summary may take two lines",
    "ES01": "a summary may say it all",
    "SA01": "See Also is for what is easily confused",
    "EX01": "one example per class is enough",
    "PR04": "parameters may refer to another function, which says their types",
    "PR07": "a name, a type and a default may say it all",
    "RT02": "results of one type may share a line",
    "RT03": "the type of a result may say it all",
}


def public_names() -> Iterator[str]:
    for module in (xclassic, datasets, distributed, features, label_tree, metrics):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                yield f"{module.__name__}.{name}"
            if inspect.isclass(value):
                for method, function in inspect.getmembers(value, inspect.isroutine):
                    if not method.startswith("_") and getattr(function, "__module__", "").startswith("xclassic"):
                        yield f"{module.__name__}.{name}.{method}"


def is_record(name: str) -> bool:
    """Tell whether this is a class of fields, which are documented as attributes."""
    value = operator.attrgetter(name.removeprefix("xclassic."))(xclassic)
    return hasattr(value, "_fields") or dataclasses.is_dataclass(value)


def module_names() -> list[str]:
    found = pkgutil.walk_packages(xclassic.__path__, "xclassic.")
    return ["xclassic", *(module.name for module in found if not module.name.endswith("__main__"))]


NEURAL = ("torch", "transformers", "safetensors", "tokenizers")  # of the extra


@pytest.mark.parametrize("name", sorted(public_names()))
def test_docstring_is_complete(name: str) -> None:
    report = validate(name)
    assert report["docstring"].strip(), f"{name} has no docstring"
    problems = [f"{code}: {text}" for code, text in report["errors"] if code not in NOT_ASKED]
    if is_record(name):
        problems = [problem for problem in problems if not problem.startswith("PR01")]
    assert not problems, f"{report['file']}:{report['file_line']} {name}\n" + "\n".join(problems)


@pytest.mark.parametrize("name", module_names())
def test_docstring_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name not in NEURAL:
            raise
        pytest.skip(f"needs {error.name}")
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
