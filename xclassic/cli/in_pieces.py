"""Training in pieces: shards, what goes on after a failure, and clusters."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, chdir, nullcontext
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from xclassic import cli
from xclassic.cli.options import Model

Shard = Annotated[
    str | None,
    typer.Option(
        metavar="I/N", help="Train only part I of N; xclassic join makes the model of all parts.", show_default="all"
    ),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Keep finished pieces in the model folder, and go on from those that are there."),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Use the workers of a Dask scheduler, such as tcp://10.0.0.1:8786, or local for processes of this "
        "machine. With --resume they write pieces into the model folder, which all must see.",
        show_default="none",
    ),
]
JOINS = "all"  # What --shard is for a join.


class InPieces(NamedTuple):
    """How a fit is taken apart.

    Attributes
    ----------
    folder : Path
        Where pieces are kept.
    keeps : bool
        Whether they are.
    shard, n_shards : int
        The part to train; None for all.
    joins : bool
    cluster : str or None
    """

    folder: Path
    keeps: bool
    shard: int | None
    n_shards: int
    joins: bool
    cluster: str | None

    @classmethod
    def of_options(cls, model: str, data: str, shard: str | None, resume: bool, cluster: str | None) -> InPieces:
        folder = _pieces_of(model)
        if shard == JOINS:
            from xclassic.storage.pieces import read_plan

            return cls(folder, True, None, read_plan(folder).get("shards", 1), True, None)
        if shard is None:
            return cls(folder, resume, None, 1, False, cluster)
        if resume:
            raise typer.BadParameter("--resume is for a whole training; a shard that is run again goes on by itself")
        if data == "-":
            raise typer.BadParameter("--shard needs the same data for each part, and standard input comes once")
        return cls(folder, True, *_shard(shard), False, cluster)

    def fit(self, estimator: Any, X: Any, Y: Any, **weights: Any) -> list[int] | None:
        """Fit, and return None; or train the part and return the parts that are missing."""
        from xclassic.distributed.pieces import fit_pieces, shards_in_words

        with self._workers():
            if not self.keeps:
                estimator.fit(X, Y, **weights)
                return None
            missing = fit_pieces(
                estimator, X, Y, self.folder, weights, n_shards=self.n_shards, shard=self.shard, joins=self.joins
            )
        if self.joins and missing:
            raise ValueError(f"in {self.folder} {shards_in_words(missing, self.n_shards)} not complete; train it first")
        if self.shard is not None:
            self._keep_command()
        return None if self.shard is None else missing

    def _workers(self) -> AbstractContextManager[Any]:
        if self.cluster is None:
            return nullcontext()
        from xclassic.distributed import use_cluster

        address = None if self.cluster == "local" else self.cluster
        return use_cluster(address, shared_folder=self.folder if self.keeps else None)

    def _keep_command(self) -> None:
        """Keep beside the pieces by which command they are trained, for the join."""
        from xclassic.storage.pieces import COMMAND, write_text

        kept = {"folder": os.getcwd(), "arguments": cli.given.get()}
        write_text(self.folder / COMMAND, json.dumps(kept, indent=1))

    def remove(self) -> None:
        """Remove the pieces of a model that is saved."""
        from xclassic.storage.pieces import remove_pieces

        if self.keeps:
            remove_pieces(self.folder)


def _pieces_of(model: str) -> Path:
    from xclassic.storage.folder import PIECES  # A mere --help must not wait for this import.

    return Path(model) / PIECES


def _shard(text: str) -> tuple[int, int]:
    """Return the part and the number of parts that ``I/N`` names."""
    first, _, last = text.partition("/")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise typer.BadParameter(f"--shard is {text!r}; accepted is I/N with I from 1 to N, such as 2/8")
    return int(first), int(last)


def join(model: Model) -> None:
    """Make the model of the parts that train --shard wrote."""
    folder, arguments = _kept_command(_pieces_of(model))
    target = str(Path(model).absolute())
    with chdir(folder) if Path(folder).is_dir() else nullcontext():
        cli.run([*arguments, "--model", target, "--shard", JOINS, "--force"])


def _kept_command(pieces: Path) -> tuple[str, Sequence[str]]:
    from xclassic.storage.folder import ModelFileError
    from xclassic.storage.pieces import COMMAND

    file = pieces / COMMAND
    try:
        kept = json.loads(file.read_text())
        folder, arguments = kept["folder"], kept["arguments"]
    except FileNotFoundError as error:
        raise ModelFileError(f"There are no parts of a model in {pieces.parent}: {file} is missing.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{file} is damaged: {error}. Train one of the parts again.") from error
    texts = isinstance(folder, str) and isinstance(arguments, list) and all(isinstance(a, str) for a in arguments)
    if not texts or arguments[:1] != ["train"]:
        raise ModelFileError(f"{file} holds no command of training. Train one of the parts again.")
    return folder, arguments
