"""Checks of hyper-parameters, and of numbers that functions take."""

from __future__ import annotations

from collections.abc import Collection
from inspect import signature
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

INT32_MAX = 2**31 - 1
MOST = {  # Counts that memory grows with, however small the data.
    "n_trees": 1_000_000, "n_learners": 1_000_000, "n_components": 1_000_000, "oversampling": 1_000_000,
    "n_bins": 1_000_000,
}  # fmt: skip


def check_number(
    name: str,
    value: Any,
    *,
    minimum: float = -np.inf,
    maximum: float | None = None,
    inclusive: bool = True,
    integer: bool = False,
) -> None:
    """Raise unless `value` is a finite number in [minimum, maximum], or in (minimum, maximum] if not `inclusive`.

    Integers have at most 32 bits if no maximum is given.

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
    least = max(minimum, -INT32_MAX) if integer else minimum
    most = maximum if maximum is not None else MOST.get(name, INT32_MAX) if integer else np.inf
    number: Any = value if integer else _as_float(value)
    if not least <= number <= most or (number == minimum and not inclusive) or abs(number) == np.inf:
        bounds = {"at least" if inclusive else "above": least, "at most": most}
        wanted = " and ".join(f"{words} {bound:.10g}" for words, bound in bounds.items() if np.isfinite(bound))
        raise ValueError(f"{name} is {_shown(value)}; it must be {wanted or 'finite'}.")


def check_share(name: str, value: Any, *, inclusive: bool = True) -> None:
    """Raise unless `value` is a number in [0, 1), or in (0, 1) if not `inclusive`."""
    check_number(name, value, minimum=0, inclusive=inclusive)
    if value >= 1:
        raise ValueError(f"{name} is {_shown(value)}; it must be below 1.")


def check_numbers(name: str, value: Any, **limits: Any) -> None:
    """Raise unless `value` is a number that `check_number` takes, or a list or tuple of at least one of them."""
    if isinstance(value, (list, tuple)):
        if not value:
            raise ValueError(f"{name} is empty; it must hold a number, or be one.")
        for number in value:
            check_number(name, number, **limits)
    else:
        check_number(name, value, **limits)


def _as_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # of integers
        return float(np.copysign(np.inf, -1 if value < 0 else 1))


def _shown(value: Any) -> str:
    bits = value.bit_length() if isinstance(value, int) else 0
    return repr(value) if bits <= 64 else f"an integer of {bits} bits"


def check_choice(name: str, value: Any, choices: Collection[Any]) -> None:
    """Raise ValueError unless `value` is one of `choices`."""
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, choices))}.")


def check_type(name: str, value: Any, kinds: tuple[type, ...], wanted: str) -> None:
    """Raise TypeError unless `value` is None or of one of the types."""
    if value is not None and not isinstance(value, kinds):
        raise TypeError(f"{name} is {value!r} of type {type(value).__name__}; it must be {wanted}.")


def check_k(k: Any) -> int:
    """Return `k`, the number of predictions for each row, as an int.

    Raises
    ------
    TypeError, ValueError
        If `k` is not an integer, or is below 1.
    """
    check_number("k", k, minimum=1, maximum=np.inf, integer=True)
    return int(k)


def check_n_jobs(n_jobs: Any) -> None:
    """Raise unless `n_jobs` is None or an integer other than 0, as joblib reads it."""
    if n_jobs is None:
        return
    check_number("n_jobs", n_jobs, integer=True)
    if n_jobs == 0:
        raise ValueError("n_jobs is 0; use None or 1 for one worker, -1 for one per CPU, or a positive number.")


def check_seed(name: str, value: Any) -> None:
    """Raise unless `value` can seed random numbers as in scikit-learn."""
    if value is not None and not isinstance(value, np.random.RandomState):
        check_number(name, value, minimum=0, maximum=2**32 - 1, integer=True)


def check_common(estimator: BaseEstimator) -> None:
    """Check the parameters that mean the same everywhere, and turn scalars of NumPy into Python's.

    A scalar of NumPy raises the precision of the arrays that it meets, and a model folder holds only Python's, so that
    a loaded model would predict other scores.
    """
    defaults = signature(type(estimator)).parameters
    for name, value in estimator.get_params(deep=False).items():
        if isinstance(value, (np.bool_, np.number, np.str_)):
            value = value.item()
            setattr(estimator, name, value)
        if isinstance(defaults[name].default, bool):
            check_choice(name, value, (True, False))
        elif name == "random_state":
            check_seed(name, value)


def check_counts(counts: ArrayLike) -> NDArray[np.float64]:
    """Return counts of training points, at least 0, as a vector of float64."""
    given = np.asarray(counts)
    if given.dtype.kind not in "biufO":
        raise TypeError(f"Label counts are of dtype {given.dtype}; pass one number per label, Y.sum(axis=0).")
    values = np.asarray(counts, np.float64)
    if values.ndim == 2 and 1 in values.shape:  # Column sums of a scipy sparse matrix are a 1 x n_labels matrix.
        values = values.ravel()
    if values.ndim != 1:
        raise ValueError(f"Label counts have {values.ndim} dimensions; pass one count per label, Y.sum(axis=0).")
    valid = (values >= 0) & np.isfinite(values)
    if not valid.all():
        i = int(np.argmin(valid))
        raise ValueError(f"The count of label {i} is {values[i]}; counts of training points are at least 0.")
    return values
