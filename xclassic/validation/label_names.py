"""Checks of names of labels: the preferred one of each label, and others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xclassic.validation.labels import class_array, find_labels, label_array
from xclassic.validation.records import check_encodable, is_missing, items_of

LONGEST = 1000  # Characters of a name. Anything longer is a text about a label, which no text contains.


def named_labels(given: Any) -> list[Any]:
    """Return the labels that a mapping names; none for a sequence, which is in the order of labels known already."""
    return list(given) if isinstance(given, Mapping) else []


def check_label_names(names: Any, synonyms: Any, labels: NDArray[Any]) -> list[tuple[str, ...]]:
    """Return the names of each label: the preferred one, "" if there is none, and then the others.

    Parameters
    ----------
    names : mapping of labels to str, sequence of str in the order of `labels`, or None
        A missing name (None, NaN or an empty string) is a label without one. None means that labels are their names.
    synonyms : mapping of labels to lists of str, sequence of such lists in the order of `labels`, or None
    labels : ndarray, shape (n_labels,)
        Sorted, or the column numbers of a matrix.

    Raises
    ------
    TypeError
        If a name is no string, or the names of a label are no list.
    ValueError
        If a label is unknown, a sequence has another length, a name is longer than 1,000 characters or no Unicode, or
        labels that are numbers come without names.
    """
    if names is None:
        if labels.dtype.kind not in "US":
            raise ValueError(
                f"Labels are numbers such as {labels[:1].tolist()[0]!r}, and names is None; pass names, a dict of "
                "labels to names or a list in the order of classes_."
            )
        preferred: list[Any] = labels.tolist()
    else:
        preferred = _by_label("names", names, labels)
    others: list[Any] = [None] * labels.size if synonyms is None else _by_label("synonyms", synonyms, labels)
    return [
        (_checked(name, "names", label), *_listed(further, label))
        for name, further, label in zip(preferred, others, labels.tolist(), strict=True)
    ]


def _by_label(what: str, given: Any, labels: NDArray[Any]) -> list[Any]:
    """Return what is given for each label, None for labels that a mapping does not hold."""
    if isinstance(given, Mapping):
        return _from_mapping(what, given, labels)
    values = None if isinstance(given, (str, bytes)) else items_of(given)
    if values is None:
        raise TypeError(
            f"{what} is a {type(given).__name__}; pass a dict with labels as keys, or a list in the order of classes_."
        )
    if len(values) != labels.size:
        raise ValueError(
            f"{what} has {len(values)} entries, but there are {labels.size} labels; a list has one for each, in the "
            f"order of classes_ ({labels[:3].tolist()} ...). A dict may name any labels."
        )
    return values


def _from_mapping(what: str, given: Mapping[Any, Any], labels: NDArray[Any]) -> list[Any]:
    values: list[Any] = [None] * labels.size
    if not given:
        return values
    keys = class_array(label_array(list(given)))
    ids = find_labels(keys, labels)
    if (ids < 0).any():
        unknown = keys[int(np.argmin(ids))].item()
        raise ValueError(
            f"{what} has the label {unknown!r}, which is not among the {labels.size} labels "
            f"({labels[:3].tolist()} ...). Keys are labels as in classes_: for a matrix its column numbers."
        )
    for i, value in zip(ids.tolist(), given.values(), strict=True):
        values[i] = value
    return values


def _listed(further: Any, label: Any) -> list[str]:
    if is_missing(further):
        return []
    found = items_of(further)
    if found is None:
        raise TypeError(
            f"synonyms of the label {label!r} are {further!r}, a {type(further).__name__}; pass a list of names, "
            "[name] for one."
        )
    return [_checked(name, "synonyms", label) for name in found]


def _checked(name: Any, what: str, label: Any) -> str:
    if is_missing(name):
        return ""
    if not isinstance(name, str):
        raise TypeError(
            f"{what} has {name!r}, a {type(name).__name__}, for the label {label!r}; names are strings, and None or an "
            "empty string stands for a label without a name."
        )
    if len(name) > LONGEST:
        raise ValueError(
            f"{what} has a name of {len(name)} characters for the label {label!r} ({name[:40]!r} ...); names have at "
            f"most {LONGEST}. Descriptions of labels are texts: see label_features of LabelAugmentation."
        )
    check_encodable([name], f"{what}, label {label!r}: ")
    return str(name).strip()
