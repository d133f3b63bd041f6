"""Checks of hyper-parameters."""

from __future__ import annotations

from collections.abc import Collection
from numbers import Integral, Real
from typing import Any

import numpy as np


def check_number(
    name: str,
    value: Any,
    *,
    minimum: float = -np.inf,
    maximum: float = np.inf,
    inclusive: bool = True,
    integer: bool = False,
) -> None:
    """Raise unless `value` is a finite number in [minimum, maximum], or in (minimum, maximum] if not `inclusive`.

    Raises
    ------
    TypeError
        If `value` is not a number, is a bool, or is not an integer but must be.
    ValueError
        If `value` is out of range or not finite.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, Integral if integer else Real):
        kind = "an integer" if integer else "a number"
        raise TypeError(f"{name} is {value!r} of type {type(value).__name__}; it must be {kind}.")
    number = float(value)
    if not np.isfinite(number) or number < minimum or number > maximum or (number == minimum and not inclusive):
        bounds = {"at least" if inclusive else "above": minimum, "at most": maximum}
        wanted = " and ".join(f"{words} {bound:g}" for words, bound in bounds.items() if np.isfinite(bound))
        raise ValueError(f"{name} is {value!r}; it must be {wanted or 'finite'}.")


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, choices))}.")


def check_k(k: Any) -> int:
    """Return `k`, the number of predictions for each row, as an int.

    Raises
    ------
    TypeError, ValueError
        If `k` is not an integer, or is below 1.
    """
    check_number("k", k, minimum=1, integer=True)
    return int(k)


def check_n_jobs(n_jobs: Any) -> None:
    """Raise unless `n_jobs` is None or an integer other than 0, as joblib reads it."""
    if n_jobs is None:
        return
    check_number("n_jobs", n_jobs, integer=True)
    if n_jobs == 0:
        raise ValueError("n_jobs is 0; use None or 1 for one worker, -1 for one per CPU, or a positive number.")
