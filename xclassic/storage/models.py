"""Saving and loading of fitted models: estimators, transformers, and pipelines of them."""

from __future__ import annotations

import sys
from functools import partial
from itertools import pairwise
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.validation import check_is_fitted

from xclassic._version import __version__
from xclassic.storage.arrays import narrowed, stored_count, widened, with_prefix, without_prefix
from xclassic.storage.folder import Arrays, ModelFileError, Verify, load_model, save_model
from xclassic.storage.registry import COMPOSITES, RECORD_MODELS, TRANSFORMERS, find_class, known_names

Metadata: TypeAlias = dict[str, Any]

PARAMETER = "params."  # Prefix of the names of arrays that are parameters.
CONTAINERS = {"Pipeline": Pipeline, "FeatureUnion": FeatureUnion}
PLACEHOLDERS = {"Pipeline": ("passthrough",), "FeatureUnion": ("passthrough", "drop")}
MAX_STEPS = 100  # At most this many steps per pipeline or union.


def save(model: Any, path: str | PathLike[str]) -> None:
    """Write a fitted model to a folder, which `load` reads.

    An earlier model in the folder is replaced as a whole or, on any failure, not at all.

    Parameters
    ----------
    model : XMCClassifier, transformer of `xclassic.features`, Pipeline or FeatureUnion
        Fitted. The steps of pipelines and unions are any of these, or ``"passthrough"`` and ``"drop"``.
    path : str or path
        The folder.

    Raises
    ------
    TypeError
        If a step is something else, or a parameter is neither None, a bool, a number, a string, an array, nor a list
        or tuple of plain values.
    ValueError
        If `load` would refuse what was written, for instance because a parameter was changed after ``fit``. It is read
        back in full before it replaces an earlier model.
    sklearn.exceptions.NotFittedError
        If ``fit`` was not called.
    OSError
        If the folder cannot be written, for instance because the disk is full.

    Notes
    -----
    Settings of how to run are not stored: ``memory``, ``verbose`` and ``n_jobs`` of pipelines and unions.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from xclassic import DiSMEC, load, predict_topk, save
    >>> from xclassic.features import TextFeatures
    >>> texts = ["stars and planets", "bread and butter", "planets and moons"]
    >>> pipe = make_pipeline(TextFeatures(), DiSMEC()).fit(texts, [["astronomy"], ["food"], ["astronomy"]])
    >>> save(pipe, "tagger.model")
    >>> predict_topk(load("tagger.model"), ["a planet of bread"], k=1).named(pipe.classes_)[0][0][0]
    'food'
    """
    save_packed(path, *packed(model))


def save_packed(path: str | PathLike[str], header: Metadata, arrays: Arrays) -> None:
    """Write the folder of a model from what `packed` returned, to which more may have been added."""
    save_model(path, header, narrowed(arrays), check=partial(_restored, path=path, verify="full"))


def packed(model: Any, place: str = "The model") -> tuple[Metadata, Arrays]:
    """Return header and arrays of a fitted model, the inverse of `unpacked`; `place` is its name in messages."""
    cls = type(model)
    if cls in CONTAINERS.values():
        return _packed_steps(model)
    if find_class(cls.__name__) is not cls:  # load constructs the class of this name.
        raise TypeError(
            f"{place} is a {cls.__name__}, which a model folder cannot hold; it holds {', '.join(TRANSFORMERS)} of "
            f"xclassic.features, the estimators of xclassic, and {' and '.join(CONTAINERS)} of these. Instead of "
            "scikit-learn's vectorizers of text use TextFeatures; other models can be pickled."
        )
    check_is_fitted(model)
    own_arrays, metadata = model._get_arrays()
    not_saved = getattr(model, "_not_saved", ())
    params = {name: value for name, value in model.get_params(deep=False).items() if name not in not_saved}
    arrays = {PARAMETER + name: value for name, value in params.items() if isinstance(value, np.ndarray)}
    header = {
        "class": cls.__name__,
        "version": __version__,
        "params": {
            name: plain_value(name, value) for name, value in params.items() if not isinstance(value, np.ndarray)
        },
        "facts": metadata,
    }
    if hasattr(model, "n_features_in_"):
        header["n_features"] = int(model.n_features_in_)
    if hasattr(model, "feature_names_in_"):
        arrays["feature_names_in_"] = np.asarray(model.feature_names_in_, dtype=np.str_)
    if hasattr(model, "_get_target"):
        header["target"], arrays["classes_"] = model._get_target()
    return header, {**own_arrays, **arrays}


def _packed_steps(model: Pipeline | FeatureUnion) -> tuple[Metadata, Arrays]:
    """Return header and arrays of a pipeline or union, which combine those of its steps."""
    header: Metadata = {"class": type(model).__name__, "version": __version__, "steps": []}
    if isinstance(model, FeatureUnion):
        weights = model.transformer_weights
        header["weights"] = None if weights is None else {name: float(weight) for name, weight in weights.items()}
        header["prefixed_names"] = bool(model.verbose_feature_names_out)
    arrays: Arrays = {}
    for i, (name, step) in enumerate(model.steps if isinstance(model, Pipeline) else model.transformer_list):
        if isinstance(step, FunctionTransformer) and step.func is None:  # fit turns "passthrough" into it.
            step = "passthrough"
        part, part_arrays = ({"class": step}, {}) if isinstance(step, str) else packed(step, f"Step {name!r}")
        header["steps"].append({"name": name, **part})
        arrays |= with_prefix(f"step{i}.", part_arrays)
    return header, arrays


def plain_value(name: str, value: Any) -> Any:
    """Return a parameter as a value that JSON can hold."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [plain_value(name, item) for item in value]
    if isinstance(value, tuple):
        return {"tuple": [plain_value(name, item) for item in value]}
    raise TypeError(
        f"Parameter {name} is a {type(value).__name__}, which a model folder cannot hold; set it to a plain value "
        f"first, for instance with set_params({name}=None)."
    )


def value_of_plain(value: Any) -> Any:
    """Return the parameter that `plain_value` wrote."""
    if isinstance(value, list):
        return [value_of_plain(item) for item in value]
    return tuple(value_of_plain(value["tuple"])) if isinstance(value, dict) else value


def load(path: str | PathLike[str], mmap: bool = True, verify: Verify = "lazy") -> Any:
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
    XMCClassifier, Pipeline, FeatureUnion or transformer
        The fitted model that was saved.

    Raises
    ------
    ModelFileError
        If the folder has no model, or one that is damaged, of a newer format or of an unknown class. Nothing in it is
        executed or unpickled.
    """
    return read(path, mmap, verify)[0]


def read(path: str | PathLike[str], mmap: bool = True, verify: Verify = "lazy") -> tuple[Any, Metadata, Arrays]:
    """Return the model that `load` returns, and the header and arrays that it was made of."""
    if verify not in ("lazy", "full"):
        raise ValueError(f"verify is {verify!r}; it must be 'lazy' or 'full'.")
    header, arrays = load_model(path, mmap=mmap, verify=verify)
    return _restored(header, arrays, path, verify), header, arrays


def _restored(header: Metadata, arrays: Arrays, path: str | PathLike[str], verify: Verify) -> Any:
    """Return the model of `unpacked`, or raise ModelFileError for whatever is wrong."""
    try:
        return unpacked(header, widened(arrays), verify)
    except (ModelFileError, ImportError, MemoryError):
        raise
    except Exception as error:  # What a damaged header makes numpy and others raise has no common class.
        raise ModelFileError(f"The model in {path} is damaged: {type(error).__name__}: {error}.") from error


def unpacked(header: Metadata, arrays: Arrays, verify: Verify) -> Any:
    """Return the fitted model of a header and its arrays, or raise if anything is wrong with them."""
    name = header["class"]
    if not isinstance(name, str) or name not in [*known_names(), *CONTAINERS]:
        raise ModelFileError(
            f"The model, written by xclassic {header.get('version')}, is of class {name!r}; version {__version__} "
            f"knows only {', '.join([*known_names(), *CONTAINERS])}."
        )
    if name in CONTAINERS:
        return _unpacked_steps(header, arrays, verify)
    model = _construct(find_class(name), header, arrays)
    if "n_features" in header or name not in (*TRANSFORMERS, *RECORD_MODELS, *COMPOSITES):
        _restore_features(model, header, arrays)
    if name not in (*TRANSFORMERS, *RECORD_MODELS):
        model._set_target(header["target"], _names(arrays, "classes_"))
    model._set_arrays(arrays, header["facts"], verify)
    return model


def _construct(cls: type, header: Metadata, arrays: Arrays) -> Any:
    """Return the unfitted model with the parameters of the header."""
    in_arrays = {key.removeprefix(PARAMETER): arrays.pop(key) for key in list(arrays) if key.startswith(PARAMETER)}
    former = getattr(cls, "_former_parameters", ())
    params = {key: value_of_plain(value) for key, value in header["params"].items() if key not in former}
    model = cls(**params, **in_arrays, **dict.fromkeys(getattr(cls, "_not_saved", ())))
    if hasattr(model, "_check_parameters"):
        model._check_parameters()
    return model


def _restore_features(model: Any, header: Metadata, arrays: Arrays) -> None:
    """Set the number of features that ``fit`` saw, and their names."""
    model.n_features_in_ = stored_count(header, "n_features")
    if "feature_names_in_" in arrays:
        names = _names(arrays, "feature_names_in_").astype(object)
        if names.size != model.n_features_in_:
            raise ModelFileError(f"The model has {model.n_features_in_} features but {names.size} feature names.")
        model.feature_names_in_ = names


def _unpacked_steps(header: Metadata, arrays: Arrays, verify: Verify) -> Pipeline | FeatureUnion:
    """Return the fitted pipeline or union of the steps that the header lists."""
    kind, parts = header["class"], header["steps"]
    if not isinstance(parts, list) or not 0 < len(parts) <= MAX_STEPS:
        raise ModelFileError(f"A {kind} of the model has no list of 1 to {MAX_STEPS} steps.")
    steps = []
    for i, part in enumerate(parts):
        if part["class"] in PLACEHOLDERS[kind]:
            step = part["class"]
        else:
            step = unpacked(part, without_prefix(f"step{i}.", arrays), verify)
            if not hasattr(step, "transform") and (kind == "FeatureUnion" or i < len(parts) - 1):
                raise ModelFileError(f"Step {part['name']!r} of the model transforms nothing.")
        steps.append((part["name"], step))
    _check_widths(steps if kind == "Pipeline" else [])
    whole = Pipeline(steps) if kind == "Pipeline" else _union(steps, header)
    whole._validate_names([name for name, _ in steps])
    return whole


def _union(steps: list[tuple[str, Any]], header: Metadata) -> FeatureUnion:
    weights = header["weights"]
    if weights is not None:
        weights = {name: float(weight) for name, weight in weights.items()}
    return FeatureUnion(steps, transformer_weights=weights, verbose_feature_names_out=header["prefixed_names"] is True)


def _check_widths(steps: list[tuple[str, Any]]) -> None:
    """Raise if a step takes another number of features than the one before it returns, where both are known."""
    for (_, before), (name, after) in pairwise(steps):
        made, taken = getattr(before, "_n_features_out", None), getattr(after, "n_features_in_", None)
        if None not in (made, taken) and made != taken:
            raise ModelFileError(f"Step {name!r} of the model takes {taken} features, the one before it makes {made}.")


def _names(arrays: Arrays, name: str) -> NDArray[Any]:
    """Return an array of labels or feature names, removed from `arrays`."""
    names = arrays.pop(name)
    if names.ndim != 1 or names.size == 0 or names.dtype.kind not in "biufUS":
        raise ModelFileError(f"Array {name} of the model has shape {names.shape} and dtype {names.dtype}.")
    if names.dtype.kind == "U" and names.view(np.uint32).max() > sys.maxunicode:
        raise ModelFileError(f"Array {name} of the model has text that is no text.")
    return names
