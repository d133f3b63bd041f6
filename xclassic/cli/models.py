"""A fitted estimator together with what scripts need later, in one model folder.

The arrays and facts of the estimator are joined by those of the vectorizer of raw text and of the training data, so
that all of it is replaced at once. `xclassic.load` reads the same folder and returns the estimator alone.
"""

from __future__ import annotations

import re
from copy import copy
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer

from xclassic import ModelFileError, TopK, XMCClassifier, load
from xclassic.model_io import Verify, load_model
from xclassic.persistence import Arrays, Facts

# What decides how a text becomes terms; the vocabulary and the weights are arrays.
VECTORIZER_PARAMETERS = (
    "analyzer",
    "lowercase",
    "max_df",
    "max_features",
    "min_df",
    "ngram_range",
    "norm",
    "smooth_idf",
    "stop_words",
    "strip_accents",
    "sublinear_tf",
    "token_pattern",
)


@dataclass(frozen=True)
class TrainedModel:
    """What ``xclassic train`` writes.

    Attributes
    ----------
    estimator : XMCClassifier
        Fitted.
    vectorizer : TfidfVectorizer or None
        Fitted, if the model was trained on raw text.
    label_counts : ndarray of int64, shape (n_labels,), or None
        Training points of each label; None for a model that was not trained by this command.
    label_names : list of str or None
        If the training data named its label ids.
    training : dict
        ``data`` (where the points came from), ``n_rows`` and ``seconds``.
    """

    estimator: XMCClassifier
    vectorizer: TfidfVectorizer | None = None
    label_counts: NDArray[np.int64] | None = None
    label_names: list[str] | None = None
    training: Facts = field(default_factory=dict)

    def features(self, X: Any) -> Any:
        """Return the rows as the estimator takes them, from what the model was trained on, texts or features.

        Raises
        ------
        ValueError
            If it is the other of the two.
        """
        is_text = isinstance(X, list)
        if is_text and self.vectorizer is None:
            raise ValueError("the model was trained on features, but the data is text")
        if not is_text and self.vectorizer is not None:
            raise ValueError("the model was trained on text; pass JSON lines, CSV or TSV")
        return self.vectorizer.transform(X) if self.vectorizer is not None else X

    def predict_topk(self, X: Any, k: int) -> TopK:
        """Return the best `k` labels of each row of what the model was trained on, texts or features.

        Raises
        ------
        ValueError
            If it is the other of the two, or has another number of features.
        """
        return self.estimator.predict_topk(self.features(X), k)

    def labels(self, *, by_id: bool) -> NDArray[Any]:
        """Return what stands for each label id in the output."""
        if self.label_names is None or by_id:
            return self.estimator.classes_
        return np.asarray(self.label_names)

    def save(self, path: str) -> None:
        """Write the model folder, replacing one that is there as a whole or not at all."""
        arrays, facts = self.estimator._get_arrays()
        arrays, facts = dict(arrays), {**facts, "training": self.training}
        if self.label_counts is not None:
            arrays["training.label_counts"] = self.label_counts
        if self.label_names is not None:
            arrays |= pack_strings("training.label_names", self.label_names)
        if self.vectorizer is not None:
            params = self.vectorizer.get_params()
            facts["text"] = {name: params[name] for name in VECTORIZER_PARAMETERS}
            arrays |= pack_strings("text.terms", self.vectorizer.get_feature_names_out().tolist())
            arrays["text.idf"] = np.asarray(self.vectorizer.idf_)
        # The base class asks the estimator for its state; a copy answers with all of it.
        whole = copy(self.estimator)
        whole._get_arrays = lambda: (arrays, facts)  # type: ignore[method-assign]
        whole.save(path)


def read_model(path: str, verify: Verify = "lazy") -> tuple[TrainedModel, Facts]:
    """Read a model folder and what its JSON file says.

    Raises
    ------
    ModelFileError
        See `xclassic.load`.
    """
    header: Facts | None = None
    while header is None or header != load_model(path)[0]:  # somebody replaced the model in between
        header, arrays = load_model(path, verify=verify)
        estimator = load(path, verify=verify)
    try:
        facts = header["facts"]
        training = dict(facts.get("training", {}))
        counts, names = arrays.get("training.label_counts"), None
        if counts is not None:
            _check_counts(counts, training["n_rows"], estimator.classes_.size)
        if "training.label_names" in arrays:
            names = unpack_strings(arrays, "training.label_names", estimator.classes_.size)
        vectorizer = _restore_vectorizer(facts["text"], arrays, estimator.n_features_in_) if "text" in facts else None
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, re.error) as error:
        raise ModelFileError(f"The model in {path} is damaged: {type(error).__name__}: {error}.") from error
    return TrainedModel(estimator, vectorizer, counts, names, training), header


def _check_counts(counts: NDArray[Any], n_rows: Any, n_labels: int) -> None:
    valid = counts.shape == (n_labels,) and counts.dtype == np.int64 and isinstance(n_rows, int)
    if not valid or counts.min() < 0 or counts.max() > n_rows:
        raise ValueError(f"the label counts do not fit {n_labels} labels and {n_rows} training points")


def _restore_vectorizer(params: Facts, arrays: Arrays, n_features: int) -> TfidfVectorizer:
    if sorted(params) != sorted(VECTORIZER_PARAMETERS):
        raise ValueError(f"the parameters of the vectorizer are {sorted(params)}")
    terms = unpack_strings(arrays, "text.terms", n_features)
    idf = np.array(arrays["text.idf"])
    if idf.shape != (n_features,) or idf.dtype not in (np.float32, np.float64) or not np.isfinite(idf).all():
        raise ValueError(f"the term weights do not fit {n_features} terms")
    shortest, longest = params["ngram_range"]
    params = {**params, "ngram_range": (shortest, longest)}
    vectorizer = TfidfVectorizer(**params, vocabulary=terms, dtype=np.float32)
    vectorizer._validate_params()
    vectorizer.idf_ = idf  # which also makes the index of the vocabulary and refuses repeated terms
    vectorizer.transform(["some words on trial"])  # some parameters are looked at only here
    return vectorizer


def pack_strings(name: str, strings: list[str]) -> Arrays:
    """Return strings as two arrays: their UTF-8 bytes, and where each begins and ends."""
    encoded = [string.encode() for string in strings]
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    return {name: np.frombuffer(b"".join(encoded), np.uint8), f"{name}.ends": ends}


def unpack_strings(arrays: Arrays, name: str, count: int) -> list[str]:
    """Return what `pack_strings` packed, checked."""
    characters, ends = arrays[name], arrays[f"{name}.ends"]
    if characters.dtype != np.uint8 or ends.dtype != np.int64 or characters.ndim != 1 or ends.shape != (count + 1,):
        raise ValueError(f"{name} does not hold {count} strings")
    if ends[0] != 0 or ends[-1] != characters.size or (ends[1:] < ends[:-1]).any():
        raise ValueError(f"the string ends of {name} are out of order")
    whole, cuts = characters.tobytes(), ends.tolist()
    return [whole[start:end].decode() for start, end in pairwise(cuts)]
