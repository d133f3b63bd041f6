"""Rows as a blend hands them to its members: estimators, and pipelines with features of their own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import _num_samples

from xclassic.base import XMCClassifier
from xclassic.validation.features import Features
from xclassic.validation.records import check_columns, check_texts, column_names


class RawRows:
    """Texts, records or a table as they came, in any container, with as much of an array as a fit needs.

    Parameters
    ----------
    X : list, array, DataFrame, dict of columns, or iterator
    """

    dtype = np.dtype(object)

    def __init__(self, X: Any) -> None:
        if isinstance(X, (str, bytes)):
            check_texts(X)  # It says what is wrong.
        if isinstance(X, Mapping):
            X = check_columns(X, list(X))
        self.raw = list(X) if isinstance(X, Iterator) else X
        first = next(iter(self.raw.values()), []) if isinstance(self.raw, Mapping) else self.raw
        self.shape = (_num_samples(first),)

    def __getitem__(self, rows: NDArray[np.int64]) -> RawRows:
        if isinstance(self.raw, Mapping):
            return RawRows({name: _safe_indexing(column, rows) for name, column in self.raw.items()})
        return RawRows(_safe_indexing(self.raw, rows))


class MemberRows:
    """Rows to predict, as the estimator of each member reads them.

    Parameters
    ----------
    parts : list
        Checked rows for each member, None for those that are not queried.
    n_rows : int
    """

    def __init__(self, parts: list[Any], n_rows: int) -> None:
        self.parts = parts
        self.shape = (n_rows,)

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> MemberRows:
        n_rows = len(range(*rows.indices(self.shape[0])) if isinstance(rows, slice) else rows)
        return MemberRows([None if part is None else part[rows] for part in self.parts], n_rows)


def raw_rows(X: Features | RawRows) -> Any:
    """Return rows as the ``fit`` of a member takes them."""
    return X.raw if isinstance(X, RawRows) else X


def is_matrix(X: Any) -> bool:
    """Tell whether `X` is a matrix of numbers, which all members read alike, and no table, whose columns have names."""
    if isinstance(X, Sequence) and len(X) and isinstance(X[0], (list, tuple, np.ndarray)):
        return np.asarray(X[0]).dtype.kind in "biufc"
    if issparse(X) or not hasattr(X, "__array__") or column_names(X) is not None:
        return issparse(X)
    array = np.asarray(X)
    return array.ndim == 2 or array.dtype.kind in "biufc"


def path_to_last_step(member: Any) -> str:
    """Return what comes before the name of an argument for the last step in the ``fit`` of a pipeline."""
    path = ""
    while isinstance(member, Pipeline):
        path += f"{member.steps[-1][0]}__"
        member = member[-1]
    return path


def last_step(member: Any) -> Any:
    """Return the estimator that ranks the labels."""
    while isinstance(member, Pipeline):
        member = member[-1]
    return member


def with_choices(member: Any) -> Any:
    """Return an unfitted copy of a fitted member, with what it has chosen where a parameter is "auto"."""
    new, fitted = clone(member), last_step(member)
    auto = [name for name, value in fitted.get_params(deep=False).items() if isinstance(value, str) and value == "auto"]
    chosen = {name: getattr(fitted, f"{name}_", None) for name in auto}
    last_step(new).set_params(**{name: value for name, value in chosen.items() if isinstance(value, (int, float, str))})
    return new


def reads_features(member: Any) -> bool:
    """Tell whether a member reads matrices of numbers and nothing else."""
    return _checks_features(member) or getattr(member, "_reads_features", False)


def _checks_features(member: Any) -> bool:
    return isinstance(member, XMCClassifier) and type(member)._check_input is XMCClassifier._check_input


def prepared(member: Any, X: Features | RawRows) -> Any:
    """Return rows as the estimator of a fitted member reads them."""
    if not isinstance(X, RawRows) and _checks_features(member):
        return X  # It is checked already.
    rows = raw_rows(X)
    while isinstance(member, Pipeline):
        rows = member[:-1].transform(rows) if len(member) > 1 else rows
        member = member[-1]
    return member._check_input(rows, reset=False)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Name the member in what it raises."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"Member {name!r}: {error}") from error
