"""The constructor parameters of an estimator as options of ``xclassic train``."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import xclassic
from xclassic.cli.label_names import label_names, label_synonyms
from xclassic.storage.registry import ESTIMATORS, NEURAL_ESTIMATORS, TEXT_ESTIMATORS

DEFAULTS = {"n_jobs": -1}  # Defaults that differ from the constructor's: a program may use all CPUs.
OPTIONS = {"model": "base_model", "estimator": "method"}  # Names of the constructor that `train` uses for others.
NO_OPTIONS = {"AutoXMC": ("trials", "members", "features")}  # Of the constructor: what a text cannot spell.
# How the help spells types.
SPELLINGS = {
    "none": "none", "labeltree": "FOLDER", "ndarray": "FILE.npy", "tuple": "A,B", "str": "TEXT",
    "pairs": "NAME=TEXT,NAME=TEXT", "names": "NAME,NAME", "label_names": "FILE.tsv", "label_synonyms": "FILE.tsv",
}  # fmt: skip
ANNOTATIONS = {
    "pairs": r"\bMapping\[str, str\]",
    "names": r"^(?!.*Mapping\[Any).*(?:^|\| )(?:[\w.]*\.)?Sequence\[str\]",  # not that of a tuple, nor of labels
    "label_names": r"\bMapping\[Any, str\]",
    "label_synonyms": r"\bMapping\[Any, Sequence\[str\]\]",
}  # Where the outer type tells too little.


class EstimatorGroup(TyperGroup):
    """Has a command for each estimator, made when it is asked for."""

    train: Callable[..., None]  # Its first parameter is the estimator; the others are options of every command.

    def list_commands(self, ctx: Any) -> list[str]:
        return [*ESTIMATORS, *NEURAL_ESTIMATORS, *TEXT_ESTIMATORS, "AutoXMC"]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        names = self.list_commands(ctx)
        name = {"auto": "AutoXMC", **{name.lower(): name for name in names}}.get(cmd_name.lower())
        if name is None:
            raise typer.BadParameter(f"there is no estimator {cmd_name!r}; there are {', '.join(names)}")
        return estimator_command(getattr(xclassic, name), type(self).train)


def estimator_command(estimator_class: type, train: Callable[..., None]) -> Any:
    """Return the command that trains one class: the options of `train` and the parameters of the constructor."""
    unspelled = NO_OPTIONS.get(estimator_class.__name__, ())
    signature = inspect.signature(estimator_class).parameters
    parameters = {name: parameter for name, parameter in signature.items() if name not in unspelled}
    common = list(inspect.signature(train, eval_str=True).parameters.values())[1:]
    described = descriptions(inspect.getdoc(estimator_class) or "")
    own = [option(parameter, described.get(name, "")) for name, parameter in parameters.items()]

    def command(**values: Any) -> None:
        estimator = estimator_class(
            **{name: parse(parameters[name], values.pop(OPTIONS.get(name, name))) for name in parameters}
        )
        with usage_errors():
            estimator._check_parameters()
        train(estimator, **values)

    # Typer takes the options of a function from its signature.
    options = inspect.Signature([*common, *own])
    command.__signature__ = options  # type: ignore[attr-defined]
    command.__annotations__ = {name: parameter.annotation for name, parameter in options.parameters.items()}
    single = typer.Typer(add_completion=False)
    single.command(estimator_class.__name__, help=summary(estimator_class))(command)
    return typer.main.get_command(single)


@contextmanager
def usage_errors() -> Iterator[None]:
    """Report what a check of parameters raises as wrong usage."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error


def option(parameter: inspect.Parameter, description: str) -> inspect.Parameter:
    """Return a constructor parameter as typer wants an option: a switch, or a text that `parse` reads."""
    default = DEFAULTS.get(parameter.name, parameter.default)
    name = option_name(parameter)
    is_switch = isinstance(default, bool)
    info = typer.Option(
        f"{name}/--no-{name[2:]}" if is_switch else name,
        help=description,
        metavar=None if is_switch else "|".join(SPELLINGS.get(kind, kind.upper()) for kind in accepted(parameter)),
        rich_help_panel="Parameters of the method",
    )
    return inspect.Parameter(
        OPTIONS.get(parameter.name, parameter.name),
        inspect.Parameter.KEYWORD_ONLY,
        default=default if is_switch else spell(default),
        annotation=Annotated[bool if is_switch else str, info],
    )


def option_name(parameter: inspect.Parameter) -> str:
    """Return the option of a constructor parameter."""
    return "--" + OPTIONS.get(parameter.name, parameter.name).replace("_", "-")


def spell(value: Any) -> str:
    """Return the text that `parse` reads as this value."""
    if value is None:
        return "none"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def parse(parameter: inspect.Parameter, value: str | bool) -> Any:
    """Return the value of an option in the first type that the constructor takes and the text spells."""
    if isinstance(value, bool):
        return value
    types = accepted(parameter)
    for name in types:
        try:
            return READ[name](value)
        except ValueError:
            continue
    raise typer.BadParameter(f"{option_name(parameter)} is {value!r}; accepted is {' or '.join(types)}")


def accepted(parameter: inspect.Parameter) -> list[str]:
    """Return the names of the types that a parameter takes, strictest first, by its annotation or its default."""
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty:
        annotation = "None | int | float | str" if parameter.default is None else type(parameter.default).__name__
    outer = re.sub(r"\[.*?\]", "", str(annotation))
    return [
        name
        for name in READ
        if (
            re.search(ANNOTATIONS[name], str(annotation))
            if name in ANNOTATIONS
            else re.search(rf"\b{name}\b", outer, re.IGNORECASE)
        )
    ]


def _none(text: str) -> None:
    if text.lower() != "none":
        raise ValueError


def _numbers(text: str) -> tuple[float, ...]:
    if "," not in text:
        raise ValueError
    return tuple(int(part) if part.strip().isdecimal() else float(part) for part in text.split(","))


def _array(path: str) -> Any:
    import numpy as np  # A mere --help must not wait for this import.

    try:
        return np.load(os.path.expanduser(path), allow_pickle=False)
    except OSError as error:
        raise ValueError from error


def _pairs(text: str) -> dict[str, str]:
    parts = [part.split("=", 1) for part in text.split(",")]
    if any(len(part) < 2 for part in parts):
        raise ValueError
    return dict(parts)


def _names(text: str) -> list[str]:
    return text.split(",") if text else []


READ: dict[str, Callable[[str], Any]] = {
    "none": _none,
    "label_names": label_names,
    "label_synonyms": label_synonyms,
    "labeltree": lambda path: xclassic.LabelTree.load(path),
    "ndarray": _array,
    "int": int,
    "float": float,
    "tuple": _numbers,
    "pairs": _pairs,
    "names": _names,
    "str": str,
}


def summary(estimator_class: type) -> str:
    """Return the first line of a docstring."""
    return (inspect.getdoc(estimator_class) or "").partition("\n")[0]


def descriptions(docstring: str) -> dict[str, str]:
    """Return what the section "Parameters" of a numpydoc docstring says of each parameter, as plain text."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\S[^\n]*\n---|\Z)", docstring, re.MULTILINE | re.DOTALL)
    if section is None:
        return {}
    entries = re.findall(r"^(\w+) : ([^\n]*)\n((?:[ \t]+[^\n]*\n?|\n)*)", section[1], re.MULTILINE)
    return {name: plain(f"{_choices(kind)} {' '.join(body.split())}".strip()) for name, kind, body in entries}


def _choices(kind: str) -> str:
    """Return the words that a numpydoc type such as ``{"a", "b"}`` lists."""
    listed = re.match(r"{(.*?)}", kind)
    return " or ".join(listed[1].replace('"', "").split(", ")) + "." if listed else ""


def plain(text: str) -> str:
    """Return reStructuredText without its marks."""
    return re.sub(r":\w+:`(.*?)`|``?(.*?)``?", lambda match: match[1] or match[2] or "", text)
