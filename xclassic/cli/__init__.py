"""The command line: ``xclassic describe | audit | tune | train | join | predict | evaluate | report | explain | info``.

`commands` says what each command does, and reads like a script of the Python interface. Beside it, `parameters` turns
the constructor of an estimator into options, `data` reads points, `models` keeps with a fitted estimator what a script
needs later (the vectorizer of raw text, label counts, label names), `measure` evaluates, `outputs` writes, and
`printing` spells what a terminal would obey.

A command is made for scripts. Results go to standard output, everything else to standard error. The exit code is 0, or
1 for a failure, 2 for wrong usage, 130 after Ctrl-C, 141 where the reader of a pipe goes away; an error is one line.
What is written appears under its name when it is complete, and replaces nothing without ``--force``.

Nothing heavy is imported before a command runs, so that ``--help`` and wrong usage respond at once.
"""

from __future__ import annotations

import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any, NoReturn, TextIO

FAILED = 1
INTERRUPTED = 130  # Exit code by which shells report a program that Ctrl-C ended.
BROKEN_PIPE = 141  # Exit code by which shells report a program that wrote to a closed pipe.

given: ContextVar[list[str]] = ContextVar("given")  # The arguments of the command that runs.


def app(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the name of the program. Default: those of the process.
    """
    _fill_closed_streams()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments  # It counts at any place, because it is added to a command that failed.
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning  # type: ignore[assignment]
            code = run([argument for argument in arguments if argument != "--debug"])
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        if debug:
            traceback.print_exc()
        code = _report(error)
    if code == INTERRUPTED:
        _say("interrupted")
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run a command and return its exit code; what it raises is not reported yet."""
    import typer

    from xclassic.cli.commands import commands

    given.set(arguments)
    try:
        return typer.main.get_command(commands)(arguments, prog_name="xclassic", standalone_mode=False) or 0
    except typer.Abort:  # Typer turns Ctrl-C into this.
        return INTERRUPTED
    except SystemExit:  # Typer and rich exit so, and for no other reason, when the reader of a help page goes away.
        return BROKEN_PIPE


def _fill_closed_streams() -> None:
    """Occupy the numbers of closed standard streams, since a file opened next would get what is meant for them."""
    for name, mode in (("stdin", os.O_RDONLY), ("stdout", os.O_WRONLY), ("stderr", os.O_WRONLY)):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, mode)
            if name == "stderr":
                sys.stderr = open(number, "w", encoding="utf-8")  # noqa: SIM115


def _report(error: Exception) -> int:
    """Say what failed in one line; return the exit code."""
    if hasattr(error, "format_message"):  # Wrong usage, found by typer or reported in its terms.
        return _report_usage(error)
    if isinstance(error, OSError) and error.strerror:
        _say(f"error: {error.strerror}{f': {error.filename}' if error.filename else ''}")
    elif isinstance(error, MemoryError):
        _say(f"error: out of memory ({error})")
    else:
        _say(f"error: {error}" if str(error) else f"error: {type(error).__name__}")
    return FAILED


def _report_usage(error: Any) -> int:
    context = getattr(error, "ctx", None)  # Not every error knows the command it is about.
    message = error.format_message().removeprefix("Invalid value: ")
    if context and hasattr(error, "possibilities"):
        message = f"{error.message}; accepted are {', '.join(_options(context.command)) or '--help'}"
    if message:  # The message is empty where typer has shown the help instead.
        _say(f"error: {message.rstrip('.')}", context.command_path if context else "xclassic")
    return int(error.exit_code)


def _options(command: Any) -> list[str]:
    spellings = [max(parameter.opts, key=len) for parameter in command.params]
    return [option for option in spellings if option.startswith("-")]


def _show_warning(message: Warning | str, *details: Any) -> None:
    _say(f"warning: {message}")


def _say(message: str, speaker: str = "xclassic") -> None:
    from xclassic.cli.printing import printable

    line = printable(" ".join(message.split()))
    try:
        print(f"{speaker}: {line}", file=sys.stderr, flush=True)  # noqa: T201
    except OSError:  # Where nobody can be told, the exit code remains.
        discard(sys.stderr)


def discard(stream: TextIO) -> None:
    """Let a stream that cannot be written to lead nowhere: the interpreter flushes once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
