"""Docstrings filled in from parameters that many methods share."""

import inspect

import pytest

from xclassic import DiSMEC
from xclassic.shared_docs import complete


class Example:
    """An example.

    Parameters
    ----------
    own : str
        Its own entry.
    {prune} And more.
    {shared}

    Notes
    -----
    {notes}
    """

    def __init__(self, C: float = 2.0, own: str = "a", prune: float = 0.5, n_jobs: int | None = None) -> None:
        pass


def test_marks_are_filled_in_the_order_of_the_signature():
    complete(
        Example, {"C": "float, default={}\n    A cost.", "prune": "float, default={}\n    A threshold."}, "Some notes."
    )
    expected = """An example.

Parameters
----------
C : float, default=2.0
    A cost.
own : str
    Its own entry.
prune : float, default=0.5
    A threshold. And more.

Notes
-----
Some notes."""
    assert inspect.getdoc(Example) == expected


def test_docstrings_without_marks_stay_as_they_are():
    class Plain(DiSMEC):
        """A docstring with {braces}."""

    assert Plain.__doc__ == "A docstring with {braces}."


@pytest.mark.parametrize("name", inspect.signature(DiSMEC).parameters)
def test_help_describes_every_parameter(name):
    assert f"\n{name} : " in inspect.getdoc(DiSMEC)
