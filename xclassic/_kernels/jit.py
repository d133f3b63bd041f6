"""A decorator that loads Numba, and compiles, only when a loop is first called."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


class Jitted:
    """A function that Numba compiles on its first call, without the GIL, and keeps on disk where it can.

    It is used as a decorator. Loops that call each other share a file: what is kept on disk is compiled anew when that
    file changes, but not when another one does.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self.__module__ = function.__module__

    @property
    def python(self) -> Callable[..., Any]:
        """The original function, for tests that check every index."""
        return self._function

    @property
    def _numba_type_(self) -> Any:
        """The Numba type of the function, for another compiled loop that calls it."""
        return _compiled(self._function)._numba_type_  # type: ignore[attr-defined]

    def __call__(self, *arguments: Any) -> Any:
        return _compiled(self._function)(*arguments)


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    import numba

    try:
        return numba.njit(nogil=True, cache=True, error_model="numpy")(function)  # type: ignore[no-any-return]
    except RuntimeError:  # No folder can hold the cache.
        return numba.njit(nogil=True, error_model="numpy")(function)  # type: ignore[no-any-return]
