"""Prediction of the fields of records by a `T5Classifier`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from xclassic.neural.fields import FieldsTarget, Record
from xclassic.topk import TopK
from xclassic.validation.parameters import check_k
from xclassic.validation.records import is_records


class FieldPrediction:
    """The part of `T5Classifier` that predicts records, after a fit with ``target="fields"``."""

    target: str
    classes_: NDArray[Any]
    _target: Any
    _written: Any
    _search: Any
    _tokens: Any
    _check_input: Any

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the share of rows whose best label is right; with fields, all of them must be right.

        Parameters
        ----------
        X : texts or records
        y : as for ``fit``
        sample_weight : array-like, shape (n_rows,), optional

        Returns
        -------
        float
            In [0, 1].
        """
        check_is_fitted(self)
        if self.target != "fields":
            return super().score(X, y, sample_weight)  # type: ignore[misc, no-any-return]
        truth = self._target.encode(y) if is_records(y) else np.asarray(y)
        top, records = self.rank_fields(X, 1)
        if len(truth) != top.n_rows:
            raise ValueError(f"X has {top.n_rows} rows but y has {len(truth)}.")
        best = self._target.encode([records[i] for i in top.ids[:, 0]]) if records else truth
        return float(np.average(best == truth, weights=None if sample_weight is None else np.asarray(sample_weight)))

    def rank_fields(self, X: Any, k: int = 5) -> tuple[TopK, list[Record]]:
        """Return the best records for each row, after a fit with ``target="fields"``.

        Parameters
        ----------
        X : texts or records
        k : int, default=5
            Records per row, at least 1.

        Returns
        -------
        top : TopK
            Its ids are positions in `records`; scores are logarithms of probabilities, which sum to 1 over all
            combinations that can be written. With `path` these are more than ``classes_``, which `predict_topk` ranks
            by the same network, as if there were no others.
        records : list of dict
            Each record that is predicted for a row: values by the columns of `fields`, None where one is missing, and
            lists where there are several.
        """
        if self.target != "fields":
            raise AttributeError(f"fields are predicted by target='fields'; this model has target={self.target!r}.")
        check_is_fitted(self)
        k = min(check_k(k), math.prod(self._written.sizes))
        numbers, scores = self._search(self._written, self._tokens(self._check_input(X, reset=False)), k)
        found, inverse = np.unique(numbers, return_inverse=True)
        ids: NDArray[np.int32] = inverse.reshape(numbers.shape).astype(np.int32)
        if found.size and found[0] < 0:  # Slots that nothing fills.
            found, ids = found[1:], ids - np.int32(1)
        texts = self._target.texts(found) if self._is_product() else self.classes_[found].tolist()
        top = TopK(ids, scores, (ids >= 0).sum(axis=1, dtype=np.int32))
        return top, [self._target.decode(str(text)) for text in texts]

    def predict_fields(self, X: Any) -> list[Record]:
        """Return the fields of the best prediction for each row, after a fit with ``target="fields"``.

        Parameters
        ----------
        X : texts or records

        Returns
        -------
        list of dict
            Values by the columns of `fields`, as those of `rank_fields`.
        """
        top, records = self.rank_fields(X, 1)
        return [dict(records[i]) for i in top.ids[:, 0]]

    @property
    def fields_(self) -> list[str]:
        """The fields in the order in which they are written, after a fit with ``target="fields"``; else none."""
        return [field for field, _ in self._target.prefixes]

    def _is_product(self) -> bool:
        return isinstance(self._target, FieldsTarget) and self._target.is_product
