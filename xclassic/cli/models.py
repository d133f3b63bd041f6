"""A fitted model together with what scripts need later, in one model folder.

The metadata of the training data stand beside the model, so that all of it is replaced at once. `xclassic.load` reads
the same folder and returns the model alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import get_tags

from xclassic import ModelFileError, TopK, XMCClassifier, predict_topk
from xclassic.ensemble.composite import OfMembers
from xclassic.features import TextFeatures
from xclassic.storage.arrays import pack_strings, unpack_strings
from xclassic.storage.folder import Verify
from xclassic.storage.models import Metadata, packed, read, save_packed
from xclassic.validation.records import template_fields


@dataclass(frozen=True)
class TrainedModel:
    """What ``xclassic train`` writes.

    Attributes
    ----------
    model : XMCClassifier, or Pipeline that ends in one
        Fitted.
    label_counts : ndarray of int64, shape (n_labels,), or None
        Training points of each label; None for a model that was not trained by this command.
    label_names : list of str or None
        If the training data named its label ids.
    training : dict
        ``data`` (where the points came from), ``n_rows``, ``seconds`` and of texts ``text_fields``.
    """

    model: Any
    label_counts: NDArray[np.int64] | None = None
    label_names: list[str] | None = None
    training: Metadata = field(default_factory=dict)

    @property
    def estimator(self) -> XMCClassifier:
        """The last step."""
        return self.model[-1] if isinstance(self.model, Pipeline) else self.model

    @property
    def input(self) -> str:
        """What the model reads: features, texts or records."""
        readers = list(_readers(self.model))
        if not any(get_tags(reader).input_tags.string for reader in readers):
            return "features"
        by_field = [getattr(reader, name, None) for reader in readers for name in ("text", "template", "prompt")]
        return "texts" if by_field == [None] * len(by_field) else "records"

    @property
    def record_fields(self) -> list[str]:
        """The fields of records that the model reads."""
        fields: list[str] = []
        for reader in _readers(self.model):
            if isinstance(reader, TextFeatures):
                fields += reader.fields
            template = getattr(reader, "template", None) or getattr(reader, "prompt", None)
            fields += template_fields(template) if template else []
        return fields

    @property
    def n_features(self) -> int | None:
        """Features of a row, where that is what the model reads."""
        return getattr(self.model, "n_features_in_", None) if self.input == "features" else None

    def check(self, X: Any) -> Any:
        """Return `X` if it is what the model was trained on.

        Raises
        ------
        ValueError
            If it is features and not text, or the reverse.
        """
        is_text = isinstance(X, list)
        if is_text and self.input == "features":
            raise ValueError("the model was trained on features, but the data is text")
        if not is_text and self.input != "features":
            raise ValueError("the model was trained on text; pass JSON lines, CSV or TSV")
        return X

    def predict_topk(self, X: Any, k: int, revealed: Any = None, label_weights: Any = None) -> TopK:
        """Return the best `k` labels of each row of what the model was trained on, texts, records or features.

        Labels that are known of the rows are for models that take them; `label_weights` multiply scores.

        Raises
        ------
        ValueError
            If it is something else, or has another number of features.
        """
        return predict_topk(self.model, self.check(X), k, revealed=revealed, label_weights=label_weights)

    def predict_sets(self, X: Any) -> TopK:
        """Return the labels of each row that ``predict`` answers: by thresholds if the model has learned some."""
        X = self.check(X)
        rows = self.model[:-1].transform(X) if isinstance(self.model, Pipeline) and len(self.model) > 1 else X
        return self.estimator._label_sets(rows, None, None)

    @property
    def fields(self) -> list[str]:
        """The fields of records that the model predicts, none if it predicts labels."""
        return getattr(self.estimator, "fields_", [])

    def rank_fields(self, X: Any, k: int, *, as_text: bool) -> tuple[TopK, NDArray[Any]]:
        """Return the best `k` records of each row as positions among all that are predicted, and these."""
        top, records = self.estimator.rank_fields(self.check(X), k)  # type: ignore[attr-defined]
        shown = np.empty(len(records), object)
        shown[:] = self.estimator._target.encode(records) if as_text and records else records  # type: ignore[attr-defined]
        return top, shown.astype(str) if as_text else shown

    def labels(self, *, by_id: bool) -> NDArray[Any]:
        """Return what stands for each label id in the output."""
        if self.label_names is None or by_id:
            return self.estimator.classes_
        return np.asarray(self.label_names)

    def save(self, path: str) -> None:
        """Write the model folder, replacing one that is there as a whole or not at all."""
        header, arrays = packed(self.model)
        header["training"] = self.training
        if self.label_counts is not None:
            arrays["training.label_counts"] = self.label_counts
        if self.label_names is not None:
            arrays |= pack_strings("training.label_names", self.label_names)
        save_packed(path, header, arrays)


def read_model(path: str, verify: Verify = "lazy") -> tuple[TrainedModel, Metadata]:
    """Read a model folder and what its JSON file says.

    Raises
    ------
    ModelFileError
        If there is no model that ranks labels: see `xclassic.load`.
    """
    model, header, arrays = read(path, verify=verify)
    last = model[-1] if isinstance(model, Pipeline) else model
    if not isinstance(last, XMCClassifier):
        raise ModelFileError(f"The folder {path} holds a {type(last).__name__}, which ranks no labels.")
    n_labels = last.classes_.size
    counts, names = arrays.get("training.label_counts"), None
    try:
        training = dict(header.get("training", {}))
        if counts is not None:
            _check_counts(counts, training["n_rows"], n_labels)
        if "training.label_names" in arrays:
            names = unpack_strings(arrays, "training.label_names", n_labels)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelFileError(f"The model in {path} is damaged: {type(error).__name__}: {error}.") from error
    return TrainedModel(model, counts, names, training), header


def _readers(model: Any) -> Any:
    """Yield what gets the rows as they come: the first step, or the first steps of a union or of members."""
    if isinstance(model, Pipeline):
        yield from _readers(model[0])
    elif isinstance(model, FeatureUnion):
        for _, part in model.transformer_list:
            yield from _readers(part)
    elif isinstance(model, OfMembers):
        for _, member in model._members():
            yield from _readers(member)
    elif not isinstance(model, str):
        yield model


def _check_counts(counts: NDArray[Any], n_rows: Any, n_labels: int) -> None:
    valid = counts.shape == (n_labels,) and counts.dtype == np.int64 and isinstance(n_rows, int)
    if not valid or counts.min() < 0 or counts.max() > n_rows:
        raise ValueError(f"the label counts do not fit {n_labels} labels and {n_rows} training points")
