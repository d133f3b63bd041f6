"""Fits whose pieces are kept on disk: parts that run apart and are joined, and fits that go on after a failure."""

from __future__ import annotations

from os import PathLike
from typing import Any, TypeVar

import joblib
import numpy as np
from scipy.sparse import issparse
from sklearn.base import clone

from xclassic._kernels import blocks as kernels  # type: ignore[attr-defined]
from xclassic._versions import versions_that_count
from xclassic.base import XMCClassifier
from xclassic.parallel import keeping
from xclassic.storage.models import packed, unpacked
from xclassic.storage.pieces import MissingPieces, PieceFolder, read_plan, remove_pieces
from xclassic.validation.parameters import check_number

Estimator = TypeVar("Estimator", bound=XMCClassifier)
HOW_TO_RUN = ("n_jobs", "verbose")  # Parameters that say how to run, which no model depends on.


def fit_shard(
    estimator: XMCClassifier,
    X: Any,
    y: Any,
    folder: str | PathLike[str],
    *,
    shard: int,
    n_shards: int,
    **fit_params: Any,
) -> list[int]:
    """Compute one of several parts of a fit, and keep its pieces in a folder.

    The parts run in any order, on any machines that see the same folder, or whose folders are copied into one later.
    `join_shards` makes the model of them, which is the one of a plain ``fit``, bit for bit. A part that was killed is
    run again; what it had finished is not computed anew.

    Parameters
    ----------
    estimator : XMCClassifier
        Unfitted; it stays so. Its `random_state` is an int.
    X, y
        See ``fit``. All parts get the same data.
    folder : str or path
        Folder for the pieces.
    shard : int
        The part, from 1 to `n_shards`.
    n_shards : int
        Number of parts.
    **fit_params
        Passed to ``fit``.

    Returns
    -------
    list of int
        The parts that are not complete yet.

    Raises
    ------
    ValueError
        If the folder holds pieces of other data, parameters, versions or instruction sets; if the fit has no pieces
        that are independent of each other; or as ``fit`` does.
    ModelFileError
        If a file of the folder is damaged.

    Notes
    -----
    What the pieces share is computed for each part again: the groups of label trees, the columns of a normalized `X`.
    The pieces themselves are ranges of labels, nodes of label trees, trees of a forest, or learners of an ensemble.
    """
    check_number("n_shards", n_shards, minimum=1, integer=True)
    check_number("shard", shard, minimum=1, maximum=n_shards, integer=True)
    return fit_pieces(clone(estimator), X, y, folder, fit_params, n_shards=n_shards, shard=shard)


def join_shards(estimator: Estimator, X: Any, y: Any, folder: str | PathLike[str], **fit_params: Any) -> Estimator:
    """Fit an estimator from the pieces of `fit_shard`.

    The pieces stay, so that a model which could not be saved is joined again.

    Parameters
    ----------
    estimator : XMCClassifier
        Unfitted, with the parameters of the parts.
    X, y
        The data of the parts.
    folder : str or path
        Folder with the pieces of all parts.
    **fit_params
        Passed to ``fit``.

    Returns
    -------
    estimator

    Raises
    ------
    ValueError
        If parts are missing, which the message names, or the pieces are of another fit.
    ModelFileError
        If there are no pieces, or one is damaged.
    """
    n_shards = read_plan(folder).get("shards", 1)
    if missing := fit_pieces(estimator, X, y, folder, fit_params, n_shards=n_shards, joins=True):
        raise ValueError(
            f"In {folder} {shards_in_words(missing, n_shards)} not complete; run what is missing, and join again."
        )
    return estimator


def resume(estimator: Estimator, X: Any, y: Any, folder: str | PathLike[str], **fit_params: Any) -> Estimator:
    """Fit an estimator, keeping its pieces in a folder, and go on from those that are there.

    After a fit that was killed, the same call continues with what is missing. The model is that of a plain ``fit``, bit
    for bit. The pieces are removed when the fit is complete.

    Parameters
    ----------
    estimator : XMCClassifier
        Its `random_state` is an int.
    X, y
        See ``fit``.
    folder : str or path
        Folder for the pieces.
    **fit_params
        Passed to ``fit``.

    Returns
    -------
    estimator
        Fitted.

    Raises
    ------
    ValueError
        If the folder holds pieces of another fit, or as ``fit`` does.
    ModelFileError
        If a piece is damaged.
    """
    fit_pieces(estimator, X, y, folder, fit_params)
    remove_pieces(folder)
    return estimator


def fit_pieces(
    estimator: XMCClassifier,
    X: Any,
    y: Any,
    folder: str | PathLike[str],
    fit_params: dict[str, Any],
    *,
    n_shards: int = 1,
    shard: int | None = None,
    joins: bool = False,
) -> list[int]:
    """Fit on pieces that are kept in a folder; return the shards that are missing, without which nothing is fitted.

    All that is missing is computed, or with `shard` what belongs to this one, or with `joins` nothing.
    """
    keeper = PieceFolder(
        folder, _plan(estimator, X, y, fit_params), n_shards, None if shard is None else shard - 1, joins
    )
    try:
        with keeping(keeper):
            estimator.fit(X, y, **fit_params)
    except MissingPieces as error:
        return error.shards
    if shard is not None and not keeper.n_calls:
        remove_pieces(folder)
        raise ValueError(
            f"A fit of {type(estimator).__name__} has no pieces that are independent of each other; fit it as a whole."
        )
    unpacked(*packed(estimator), "full")  # Pieces come from files, so what they make is checked as a loaded model is.
    return []


def shards_in_words(shards: list[int], n_shards: int) -> str:
    """Return a subject and its verb for a sentence."""
    if len(shards) == 1:
        return f"shard {shards[0]} of {n_shards} is"
    return f"shards {', '.join(map(str, shards))} of {n_shards} are"


def _plan(estimator: XMCClassifier, X: Any, y: Any, fit_params: dict[str, Any]) -> dict[str, Any]:
    """Return what the pieces of a fit depend on."""
    parameters = {name: value for name, value in estimator.get_params(deep=False).items() if name not in HOW_TO_RUN}
    seed = parameters.get("random_state", 0)
    if not isinstance(seed, (int, np.integer)):
        raise ValueError(
            f"random_state is {seed!r}, but pieces of one model that are made apart share their seed; pass an int."
        )
    return {
        "estimator": type(estimator).__name__,
        "data": _digest([_content(value) for value in (X, y, *(fit_params[name] for name in sorted(fit_params)))]),
        "fit parameters": sorted(fit_params),
        "instruction set": kernels.simd_level(),
        **{f"version of {name}": version for name, version in versions_that_count().items()},
        **{f"parameter {name}": _shown(value) for name, value in parameters.items()},
    }


def _content(value: Any) -> Any:
    """Return what a matrix holds, without what it remembers of itself."""
    if not issparse(value):
        return value
    if value.format == "coo":  # Its numbers are not checked yet, and a conversion would follow them.
        return ["coo", value.shape, value.row, value.col, value.data]
    compressed = value if value.format in ("csr", "csc") else value.tocsr()
    return [compressed.format, value.shape, compressed.indptr, compressed.indices, compressed.data]


def _digest(value: Any) -> str:
    return str(joblib.hash(value, hash_name="sha1", coerce_mmap=True))


def _shown(value: Any) -> Any:
    """Return a parameter as JSON can hold it."""
    if isinstance(value, np.generic):
        value = value.item()
    return value if value is None or isinstance(value, (bool, int, float, str)) else _digest(value)
