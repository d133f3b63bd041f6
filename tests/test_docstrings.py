"""Docstrings: complete in numpydoc's terms for every public name, and their examples run."""

import doctest
import importlib
import inspect
import pkgutil
from collections.abc import Iterator

import pytest
from numpydoc.validate import validate

import xclassic
from xclassic import datasets, metrics

# What numpydoc may ask for and we do not, with the reason.
NOT_ASKED = {
    "GL01": "a summary starts right behind the quotes, as ruff format leaves it",
    "GL08": "a property or method that inherits its docstring has one",
    "SS06": "a summary may take two lines",
    "ES01": "a summary may say it all",
    "SA01": "See Also is for what is easily confused",
    "EX01": "one example per class is enough",
    "RT03": "the type of a result may say it all",
    "PR07": "a name, a type and a default may say it all",
}


def public_names() -> Iterator[str]:
    for module in (xclassic, datasets, metrics):
        for name in module.__all__:
            value = getattr(module, name)
            if inspect.ismodule(value) or isinstance(value, str):
                continue
            full_name = f"{module.__name__}.{name}"
            yield full_name
            if inspect.isclass(value):
                for method, function in inspect.getmembers(value, inspect.isroutine):
                    if not method.startswith("_") and getattr(function, "__module__", "").startswith("xclassic"):
                        yield f"{full_name}.{method}"


def module_names() -> list[str]:
    found = pkgutil.walk_packages(xclassic.__path__, "xclassic.")
    return ["xclassic", *(module.name for module in found)]


@pytest.mark.parametrize("name", sorted(public_names()))
def test_docstring_is_complete(name: str) -> None:
    report = validate(name)
    assert report["docstring"].strip(), f"{name} has no docstring"
    problems = [f"{code}: {text}" for code, text in report["errors"] if code not in NOT_ASKED]
    assert not problems, f"{report['file']}:{report['file_line']} {name}\n" + "\n".join(problems)


@pytest.mark.parametrize("name", module_names())
def test_examples_run(name: str, tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0
