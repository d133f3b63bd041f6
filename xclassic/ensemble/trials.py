"""Trials of a search for parameters: their table, and the file in which they are kept."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Trial(NamedTuple):
    """One setting of parameters and what it gave.

    Attributes
    ----------
    number : int
        From 0.
    params : dict
    score : float or None
        The metric on held-out rows, None if the trial failed.
    seconds : float
    error : str or None
        Why it failed.
    """

    number: int
    params: dict[str, Any]
    score: float | None
    seconds: float
    error: str | None


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """Return the first of the trials with the best score, None if all failed."""
    scored = [trial for trial in trials if trial.score is not None]
    return max(scored, key=lambda trial: trial.score or 0.0, default=None)


def trial_table(trials: Sequence[Trial], metric: str) -> str:
    """Return the trials as a table, best first, with scores in percent."""
    ordered = sorted(trials, key=lambda trial: -1.0 if trial.score is None else trial.score, reverse=True)
    names = list(trials[0].params)
    rows = [[metric, *names, "seconds"], *(_cells(trial, names) for trial in ordered)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(names) + 2)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    errors = ["", *("" if trial.error is None else f"  {trial.error}" for trial in ordered)]
    return "\n".join(line + error for line, error in zip(lines, errors, strict=True))


def _cells(trial: Trial, names: Sequence[str]) -> list[str]:
    score = "failed" if trial.score is None else f"{100 * trial.score:.2f}"
    return [score, *(str(trial.params[name]) for name in names), f"{trial.seconds:.1f}"]


class TrialFile:
    """A file of JSON lines: what the trials are of, and then the trials.

    Parameters
    ----------
    path : str or None
        None keeps nothing.
    identity : dict
        What must be the same for trials to be comparable.
    """

    def __init__(self, path: str | None, identity: dict[str, Any]) -> None:
        self._path = None if path is None else Path(os.path.expanduser(path))
        self._identity: dict[str, Any] = json.loads(_line(identity))

    def read(self) -> list[Trial]:
        """Return the trials of the file, which is made if it is not there.

        Raises
        ------
        ValueError
            If it holds something else, or trials of something else.
        """
        if self._path is None:
            return []
        content = self._path.read_bytes() if self._path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]  # An interruption may have left half a line.
        if not whole:
            if content:
                raise ValueError(self._refusal("is not a file of trials"))
            self._write(_line(self._identity))
            return []
        try:
            head, *lines = [json.loads(line) for line in whole.splitlines()]
            trials = [Trial(**line) for line in lines]
        except (ValueError, TypeError) as error:
            raise ValueError(self._refusal("is not a file of trials")) from error
        self._check(head)
        if len(whole) < len(content):
            os.truncate(self._path, len(whole))
        return trials

    def append(self, trial: Trial) -> None:
        """Write a trial to the end of the file."""
        if self._path is not None:
            self._write(_line(trial._asdict()))

    def _check(self, head: Any) -> None:
        if not isinstance(head, dict) or head.keys() != self._identity.keys():
            raise ValueError(self._refusal("is not a file of trials"))
        for name, value in self._identity.items():
            if head[name] != value:
                raise ValueError(self._refusal(f"holds trials with {name} {head[name]!r}, but these have {value!r}"))

    def _refusal(self, reason: str) -> str:
        return f"{self._path} {reason}; name another file, or one that is not there yet."

    def _write(self, line: str) -> None:
        assert self._path is not None
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(line + "\n")


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, default=lambda number: number.item() if hasattr(number, "item") else repr(number))
