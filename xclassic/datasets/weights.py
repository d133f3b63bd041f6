"""Weights that labels carry in text files, as ``label::weight``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import numpy as np
from scipy.sparse import csr_array

from xclassic.validation.labels import encode_labels
from xclassic.validation.weights import LEAST, MOST

_WEIGHTED = re.compile(r"\s*(?P<name>.*\S)\s*::\s*(?P<weight>-?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?)\s*", re.DOTALL)


def split_weights(labels: Iterable[Sequence[str | int]]) -> tuple[list[list[str | int]], csr_array]:
    """Split labels of the form ``label::weight`` into labels and weights.

    Parameters
    ----------
    labels : iterable of sequences of str or int
        The labels of each row, as `read_texts` returns them. What follows the last ``::`` is a weight if it is a
        number; any other label, such as ``std::vector``, is a name of weight 1. So a name that ends in ``::`` and a
        number is written with a weight behind it: ``C::2::1``.

    Returns
    -------
    names : list of list of (str or int)
        The labels of each row, as ``fit`` and `xclassic.encode_labels` take them.
    relevance : csr_array of float32, shape (n_rows, n_labels)
        Their weights, in the columns that ``fit`` gives these labels: what its ``relevance`` takes.

    Raises
    ------
    ValueError
        If a weight is not between 1e-9 and 1e9, or a row has a label twice, with other weights.
    TypeError
        As `xclassic.encode_labels`.

    Examples
    --------
    >>> from xclassic.datasets import split_weights
    >>> names, relevance = split_weights([["cat::0.5", "std::vector"], ["cat"]])
    >>> names
    [['cat', 'std::vector'], ['cat']]
    >>> relevance.toarray()
    array([[0.5, 1. ],
           [1. , 0. ]], dtype=float32)
    """
    found: list[dict[str | int, float]] = []
    for row, listed in enumerate(labels):
        found.append({})
        for label in listed:
            name, weight = _split(label, row)
            if found[-1].setdefault(name, weight) != weight:
                raise ValueError(
                    f"Row {row} has the label {name!r} with the weights {found[-1][name]:g} and {weight:g}."
                )
    names = [list(weights) for weights in found]
    relevance, classes = encode_labels(names)
    for row, weights in enumerate(found):
        own = slice(relevance.indptr[row], relevance.indptr[row + 1])
        relevance.data[own] = [weights[label] for label in classes[relevance.indices[own]].tolist()]
    return names, csr_array(relevance, dtype=np.float32)


def _split(label: str | int, row: int) -> tuple[str | int, float]:
    match = _WEIGHTED.fullmatch(label) if isinstance(label, str) else None
    if match is None:
        return label.strip() if isinstance(label, str) else label, 1.0
    weight = float(match["weight"])
    if not LEAST <= weight <= MOST:
        raise ValueError(
            f"Row {row} has the label {match['name']!r} with the weight {match['weight']}; weights are between "
            f"{LEAST:g} and {MOST:g}. Leave a label out that should not count."
        )
    return match["name"], weight
