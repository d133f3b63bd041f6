"""Entries of docstrings for the parameters that many methods share, filled in when a class is made."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

PARAMETERS = {
    "C": """float, default={}
        Cost of an error, above 0. A larger cost fits the training rows more closely.""",
    "negative_cost": """float, default={}
        Factor of the cost of an error on a row without the label, above 0. Below 1 a label is predicted for more rows,
        which helps where many labels are missing.""",
    "eps": """float, default={}
        Duality gap at which the training of a model ends, as a share of :math:`\\|w\\|^2 / 2`.""",
    "max_passes": """int, default={}
        Passes over all rows after which the training of a model ends in any case.""",
    "prune": """float, default={}
        Weights of at most this absolute value are dropped after training; 0 keeps all.""",
    "bias": """float, default={}
        Value of a constant feature, which is regularized as the others are; 0 for none.""",
    "normalize": """bool, default={}
        Scale rows to unit length first, as the defaults of the other parameters expect.""",
    "n_jobs": """int, optional
        Workers, as joblib counts them. The model does not depend on it.""",
    "random_state": """int or None, default={}
        Seed of the order of the rows; None takes a new one each time.""",
    "verbose": """int, default={}
        Above 0, show progress with the time left.""",
}


def complete(estimator: type, parameters: Mapping[str, str] = PARAMETERS, notes: str = "") -> None:
    """Replace the marks at the starts of lines of a docstring, and sort its parameters as the signature does.

    A name of `parameters` in braces becomes the entry of that parameter, ``{shared}`` the entries of all others in the
    signature that the docstring does not describe itself, and ``{notes}`` the notes. The signature has the defaults.
    """
    text = inspect.getdoc(estimator)  # It is not indented, as Python 3.13 keeps docstrings anyway.
    if text is None or "\n{shared}\n" not in text:
        return
    signature = inspect.signature(estimator).parameters
    filled = {name: _entry(name, parameters[name], p.default) for name, p in signature.items() if name in parameters}
    shared = [filled[name] for name in filled if not re.search(rf"^({name} : |\{{{name}\}})", text, re.MULTILINE)]
    filled |= {"shared": "\n".join(shared), "notes": inspect.cleandoc(notes)}
    text = re.sub(r"^\{(\w+)\}(?= |$)", lambda mark: filled[mark[1]], text, flags=re.MULTILINE)
    before, title, after = text.partition("Parameters\n----------\n")
    entries, end, rest = after.partition("\n\n")
    places = list(signature)
    entries = "\n".join(sorted(re.split(r"\n(?=\w)", entries), key=lambda entry: places.index(entry.split(" : ")[0])))
    estimator.__doc__ = f"\n{before}{title}{entries}{end}{rest}\n"


def _entry(name: str, text: str, default: Any) -> str:
    shown = f'"{default}"' if isinstance(default, str) else repr(default)
    first, *lines = text.format(shown).splitlines()
    return "\n".join([f"{name} : {first}", *(f"    {line.strip()}" for line in lines)])
