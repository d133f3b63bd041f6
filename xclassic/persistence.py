"""Fitted estimators in and out of model folders."""

from __future__ import annotations

import importlib
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from xclassic import COMPOSITES, ESTIMATORS
from xclassic._version import __version__
from xclassic.model_io import Arrays, ModelFileError, Verify, load_model, save_model

if TYPE_CHECKING:
    from xclassic.base import XMCClassifier

Facts: TypeAlias = dict[str, Any]

PARAMETER = "params."  # begins the names of arrays that are parameters


def save_estimator(estimator: XMCClassifier, path: str | PathLike[str]) -> None:
    """Write a fitted estimator to a folder; see `XMCClassifier.save`."""
    save_model(path, *packed(estimator))


def packed(estimator: XMCClassifier) -> tuple[Facts, Arrays]:
    """Return header and arrays of a fitted estimator, the inverse of `unpacked`."""
    check_is_fitted(estimator)
    method_arrays, facts = estimator._get_arrays()
    params = {
        name: value for name, value in estimator.get_params(deep=False).items() if name not in estimator._not_saved
    }
    arrays = {PARAMETER + name: value for name, value in params.items() if isinstance(value, np.ndarray)}
    arrays["classes_"] = estimator.classes_
    if hasattr(estimator, "feature_names_in_"):
        arrays["feature_names_in_"] = np.asarray(estimator.feature_names_in_, dtype=np.str_)
    header = {
        "class": type(estimator).__name__,
        "version": __version__,
        "params": {name: _plain(name, value) for name, value in params.items() if not isinstance(value, np.ndarray)},
        "n_features": int(estimator.n_features_in_),
        "target": {
            "kind": estimator._target_kind,
            "dtype": estimator._target_dtype.str,
            "labels_per_row": int(estimator._labels_per_row),
        },
        "facts": facts,
    }
    return header, {**method_arrays, **arrays}


def _plain(name: str, value: Any) -> Any:
    """Return a parameter as what JSON can hold."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [_plain(name, item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [_plain(name, item) for item in value]}
    raise TypeError(
        f"Parameter {name} is a {type(value).__name__}, which a model folder cannot hold; set it to a plain value "
        f"first, for instance with set_params({name}=None)."
    )


def _from_plain(value: Any) -> Any:
    """Return the parameter that `_plain` wrote."""
    if isinstance(value, list):
        return [_from_plain(item) for item in value]
    return tuple(_from_plain(value["tuple"])) if isinstance(value, dict) else value


def load(path: str | PathLike[str], mmap: bool = True, verify: Verify = "lazy") -> XMCClassifier:
    """Read a model folder that ``save`` wrote.

    Parameters
    ----------
    path : str or path
        The folder.
    mmap : bool, default=True
        Map the arrays into memory, read-only, instead of reading them: loading is instant at any size, and
        processes that load the same model share it.
    verify : {"lazy", "full"}, default="lazy"
        Check headers and sizes now and contents before their first use, or everything now.

    Returns
    -------
    XMCClassifier
        The fitted estimator.

    Raises
    ------
    ModelFileError
        If there is no model, or it is damaged, or of a newer format or an unknown class. Nothing in the folder is
        executed or unpickled.
    """
    if verify not in ("lazy", "full"):
        raise ValueError(f"verify is {verify!r}; it must be 'lazy' or 'full'.")
    header, arrays = load_model(path, mmap=mmap, verify=verify)
    try:
        return unpacked(header, arrays, verify)
    except ModelFileError:
        raise
    except (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ModelFileError(f"The model in {path} is damaged: {type(error).__name__}: {error}.") from error


def unpacked(header: Facts, arrays: Arrays, verify: Verify) -> XMCClassifier:
    """Return the fitted estimator of a header and its arrays; whatever is wrong with them raises an error."""
    estimator = _construct(header, arrays)
    _restore(estimator, header, arrays, verify)
    return estimator


def _construct(header: Facts, arrays: Arrays) -> XMCClassifier:
    """Return the unfitted estimator that the header names, from the classes of this package only."""
    name, known = header["class"], {**ESTIMATORS, **COMPOSITES}
    if not isinstance(name, str) or name not in known:
        raise ModelFileError(
            f"The model, written by xclassic {header.get('version')}, is of class {name!r}; version {__version__} "
            f"knows only {', '.join(known)}."
        )
    in_arrays = {key.removeprefix(PARAMETER): arrays.pop(key) for key in list(arrays) if key.startswith(PARAMETER)}
    params = {key: _from_plain(value) for key, value in header["params"].items()}
    cls = getattr(importlib.import_module(known[name]), name)
    estimator = cls(**params, **in_arrays, **dict.fromkeys(cls._not_saved))
    estimator._check_parameters()
    return estimator


def _restore(estimator: XMCClassifier, header: Facts, arrays: Arrays, verify: Verify) -> None:
    """Set the fitted attributes."""
    target = header["target"]
    kind, dtype = target["kind"], np.dtype(target["dtype"])
    if kind not in ("vector", "dense", "sparse") or dtype.kind not in ("biufUS" if kind == "vector" else "biuf"):
        raise ModelFileError(f"The model was fitted on labels of unknown kind: {target!r}.")
    estimator._target_kind = kind
    estimator._target_dtype = dtype
    estimator._labels_per_row = _count(target, "labels_per_row")
    estimator.n_features_in_ = _count(header, "n_features")
    estimator.classes_ = _names(arrays, "classes_")
    if verify == "full" and not (estimator.classes_[:-1] < estimator.classes_[1:]).all():
        raise ModelFileError("The classes of the model are not in increasing order.")
    if "feature_names_in_" in arrays:
        names = _names(arrays, "feature_names_in_").astype(object)
        if names.size != estimator.n_features_in_:
            raise ModelFileError(f"The model has {estimator.n_features_in_} features but {names.size} feature names.")
        estimator.feature_names_in_ = names
    estimator._set_arrays(arrays, header["facts"], verify)
    estimator._fitted = True


def _count(facts: Facts, name: str) -> int:
    value = facts[name]
    if type(value) is not int or not 0 < value < 2**31:
        raise ModelFileError(f"{name} is {value!r} in the model file; a positive 32-bit integer belongs there.")
    return value


def _names(arrays: Arrays, name: str) -> NDArray[Any]:
    """Take an array of labels or feature names out of `arrays`."""
    names = arrays.pop(name)
    if names.ndim != 1 or names.size == 0 or names.dtype.kind not in "biufUS":
        raise ModelFileError(f"Array {name} of the model has shape {names.shape} and dtype {names.dtype}.")
    return names
