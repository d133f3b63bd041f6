"""Several fields of a record at once: a brand, and the levels of a catalog, which are always consistent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, clone
from sklearn.pipeline import Pipeline
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from xclassic.metrics import label_groups
from xclassic.metrics.groups import accuracy_of_groups, first_predictions, group_topk, one_group_each
from xclassic.pipelines import predict_topk
from xclassic.storage.arrays import with_prefix, without_prefix
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.storage.models import Metadata, packed, save, unpacked
from xclassic.taxonomy.copied_values import NEVER, ValueCopier
from xclassic.taxonomy.field_text import MISSING
from xclassic.taxonomy.hierarchy import SEP, LabelHierarchy
from xclassic.taxonomy.name_finding import words_of
from xclassic.topk import TopK
from xclassic.validation.labels import label_array
from xclassic.validation.parameters import check_k, check_number, check_type
from xclassic.validation.records import (
    NA,
    Names,
    check_columns,
    check_names,
    check_texts,
    column_names,
    is_records,
    paths_of,
    read_names,
)
from xclassic.weighing import refusing_weights

N_PATHS = 100  # Number of best paths that the ranking of the levels is made from.


class FieldsClassifier(BaseEstimator):
    """Classifier of several fields of a record: levels of a catalog jointly, and others such as a brand.

    One clone of `estimator` ranks whole paths, such as "Food > Drinks > Tea", among those of the training rows. The
    levels are taken from the best one, so a predicted parent is always the parent of the predicted leaf. Each other
    field has its own clone.

    Parameters
    ----------
    estimator : XMCClassifier, or Pipeline or search that ends in one
        It is cloned for the paths and for each of `fields`, and fitted on the `X` of ``fit``.
    path : sequence of str, default=("category", "sub_category", "type")
        The columns of the hierarchy, from the top level down; may be empty.
    fields : sequence of str, default=("brand",)
        The other columns; may be empty if `path` is not.
    na : sequence of str, default=("na", "NA", "n/a", "N/A")
        Values that stand for a missing one, in addition to None, NaN, "" and "na", which always do. A missing value
        ends a path; among `fields`, and for a path that is missing altogether, it is a class of its own.
    copy : dict of str to str, optional
        Fields that may have a value that no training row has, such as a new brand, and for each the field of the
        records `X` whose text the value is copied from; "text" where `X` is texts. Words are copied if they look like a
        value, by their place, their rarity and their capitals, and if that got right more of a held-out fifth of the
        rows than it got wrong; else nothing is copied.

    Attributes
    ----------
    hierarchy_ : LabelHierarchy or None
        The paths of the training rows; rows without a path have the path "na". None if `path` is empty.
    path_estimator_ : estimator or None
        The estimator of the paths; its classes are ``hierarchy_.labels``. None if `path` is empty.
    field_estimators_ : dict of str to estimator
        The estimators of the other fields.
    values_ : dict of str to ndarray of object
        The values of each field, in the order of the ids that `predict_topk` returns; None for a missing one.
    copiers_ : dict of str to object
        What finds values to copy, for the fields of `copy`.

    See Also
    --------
    LabelHierarchy : For a ranking of the nodes of a level by the sum of probabilities.

    Notes
    -----
    The best path is the one with the highest score. The score of a path comes from `estimator`: a probability, a
    margin, or the product along a tree's own path.

    Cost: a fit and a prediction of `estimator` for the paths and for each of `fields`. A vectorizer inside `estimator`
    is fitted as often. In a pipeline before this estimator, it is fitted once. A field of `copy` is fitted once more,
    without a fifth of the rows.

    `predict_topk` ranks the values of training rows alone.

    Examples
    --------
    >>> from sklearn.feature_extraction.text import TfidfVectorizer
    >>> from sklearn.pipeline import make_pipeline
    >>> from xclassic import DiSMEC, FieldsClassifier
        >>> titles = ["green tea", "black tea", "desk lamp"]
    >>> table = [
    ...     {"group": "Food", "type": "Tea", "brand": "Leaf"},
    ...     {"group": "Food", "type": "Tea", "brand": None},
    ...     {"group": "Home", "type": "Lamps", "brand": "Lux"},
    ... ]
    >>> clf = make_pipeline(TfidfVectorizer(), FieldsClassifier(DiSMEC(), path=("group", "type"), fields=("brand",)))
    >>> clf.fit(titles, table).predict(["a lamp for the desk"])
    [{'group': 'Home', 'type': 'Lamps', 'brand': 'Lux'}]
    """

    _not_saved: ClassVar[tuple[str, ...]] = ("estimator", "copy")

    hierarchy_: LabelHierarchy | None
    path_estimator_: Any
    field_estimators_: dict[str, Any]
    values_: dict[str, NDArray[np.object_]]
    copiers_: dict[str, ValueCopier]
    _level_ids: dict[str, NDArray[np.int32]]

    def __init__(
        self,
        estimator: Any,
        *,
        path: Sequence[str] = ("category", "sub_category", "type"),
        fields: Sequence[str] = ("brand",),
        na: Sequence[str] = NA,
        copy: Mapping[str, str] | None = None,
    ) -> None:
        self.estimator = estimator
        self.path = path
        self.fields = fields
        self.na = na
        self.copy = copy

    def _check_parameters(self) -> None:
        if self.estimator is not None and not hasattr(self.estimator, "fit"):
            raise TypeError(f"estimator is {self.estimator!r}; pass a classifier, or a pipeline that ends with one.")
        check_names("na", self.na)
        names = check_names("path and fields", [*check_names("path", self.path), *check_names("fields", self.fields)])
        if not names:
            raise ValueError("path and fields are both empty; name at least one column to predict.")
        if self.copy is not None:
            check_type("copy", self.copy, (Mapping,), "a dict of fields and of the fields that they are copied from")
            unknown = [field for field in self.copy if field not in self.fields]
            if unknown:
                raise ValueError(f"copy names {unknown[0]!r}, which is not among fields: {list(self.fields)}.")

    # Training

    @refusing_weights
    def fit(self, X: Any, table: Any) -> Self:
        """Fit the estimators.

        Parameters
        ----------
        X : sequence or matrix of n_rows
            Input of `estimator`: features, or texts if it is a pipeline that vectorizes them.
        table : DataFrame, list of dicts, or dict of columns
            The true values, strings or missing, one row for each of `X`.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a column is missing, the table is empty or differs from `X` in its number of rows, a row has a gap in its
            path (a name below a missing one), or a name contains " > ", which separates the names of a path.
        TypeError
            If a value is not a string.
        """
        self._check_parameters()
        columns = read_names(table, (*self.path, *self.fields), {*self.na, MISSING})
        if not next(iter(columns.values())):
            raise ValueError("table has no rows; fit needs at least one.")
        targets = [[value or MISSING for value in columns[field]] for field in self.fields]
        if self.path:
            paths = [path or (MISSING,) for path in paths_of({level: columns[level] for level in self.path})]
            LabelHierarchy(dict.fromkeys(paths), self.path)  # Bad names fail here, before time is spent on fits.
            targets.insert(0, [SEP.join(path) for path in paths])
        of_copies = {field: _texts_of(X, source) for field, source in (self.copy or {}).items()}
        self._set_members([clone(self.estimator).fit(X, np.array(target, object)) for target in targets])
        self.copiers_ = {field: self._copier(X, texts, columns[field]) for field, texts in of_copies.items()}
        return self

    def _copier(self, X: Any, texts: NDArray[np.object_], values: Names) -> ValueCopier:
        """Return what copies values of a field, as far as that is right on rows that are held out."""
        copier = ValueCopier.fit(texts.tolist(), values)
        order = np.random.default_rng(0).permutation(len(values))
        held_out, train = np.sort(order[: len(values) // 5]), np.sort(order[len(values) // 5 :])
        if not held_out.size:
            return copier
        target = np.array([values[i] or MISSING for i in train], object)
        member = clone(self.estimator).fit(_safe_indexing(X, train), target)
        best = predict_topk(member, _safe_indexing(X, held_out), 1).ids[:, 0]
        predicted = [_values(member.classes_)[i] if i >= 0 else None for i in best.tolist()]
        of_train = [values[i] for i in train]
        learned = ValueCopier.fit(texts[train].tolist(), of_train)
        tuned = learned.tuned(
            texts[held_out].tolist(), [values[i] for i in held_out], predicted, _words_of_values(of_train)
        )
        return ValueCopier(copier.weights, copier.counts, copier.n_texts, tuned.threshold)

    def _set_members(self, members: Sequence[Any]) -> None:
        """Set the fitted attributes, which all follow from the estimators."""
        plain = members[1:] if self.path else members
        self.hierarchy_ = self.path_estimator_ = None
        self.values_, self._level_ids = {}, {}
        if self.path:
            self.path_estimator_ = members[0]
            self.hierarchy_ = LabelHierarchy.from_paths(members[0].classes_.tolist(), self.path, na=())
            for level, names in self.hierarchy_.to_table().items():
                values, ids = np.unique(label_array([name or MISSING for name in names]), return_inverse=True)
                self.values_[level] = _values(values)
                self._level_ids[level] = ids.astype(np.int32)
        self.field_estimators_ = dict(zip(self.fields, plain, strict=True))
        self.values_ |= {field: _values(member.classes_) for field, member in self.field_estimators_.items()}

    # Prediction

    def predict(self, X: Any, *, min_probability: float | None = None) -> list[dict[str, str | None]]:
        """Return the best value of each field.

        Parameters
        ----------
        X : sequence or matrix of n_rows
            As in ``fit``.
        min_probability : float, optional
            Leave empty what is less probable: the levels below the deepest node whose probability, the sum over its
            paths, is at least this, and the other fields. Scores of `estimator` must be probabilities, as those of
            `Calibrated` are. By default nothing is.

        Returns
        -------
        list of dicts
            One record per row: field to value, None for a missing one. The levels come from one path that occurs in
            training. Where the estimator ranks nothing, values are None.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.
        ValueError
            If `min_probability` is given and scores are not probabilities, or it is not in [0, 1].
        """
        check_is_fitted(self)
        if min_probability is not None:
            self._check_probabilities(min_probability)
        columns = self._levels(X, min_probability) if self.path else {}
        for field, member in self.field_estimators_.items():
            top = predict_topk(member, X, 1)
            if min_probability is not None:
                top = top.above(min_probability)
            values = [*self.values_[field].tolist(), None]  # The last is read by -1, the id where nothing was ranked.
            columns[field] = self._with_copies(field, [values[i] for i in top.ids[:, 0].tolist()], X)
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def _check_probabilities(self, min_probability: float) -> None:
        check_number("min_probability", min_probability, minimum=0, maximum=1)
        for member in [self.path_estimator_] * bool(self.path) + list(self.field_estimators_.values()):
            last = getattr(member, "best_estimator_", member)
            last = last[-1] if isinstance(last, Pipeline) else last
            if not last._probabilistic:
                raise ValueError(
                    f"The scores of {type(last).__name__} are not probabilities; wrap it as "
                    f"Calibrated({type(last).__name__}(...)), or leave min_probability out."
                )

    def _levels(self, X: Any, min_probability: float | None) -> dict[str, Names]:
        """Return the values of each level of the best path, or of the deepest node that is probable enough."""
        if min_probability is None:
            label = predict_topk(self.path_estimator_, X, 1).ids[:, 0]
            found = {}
            for level, ids in self._level_ids.items():
                values = [*self.values_[level].tolist(), None]
                found[level] = [values[i] for i in np.where(label >= 0, ids[label], -1).tolist()]
            return found
        paths = predict_topk(self.path_estimator_, X, N_PATHS)
        nodes = self.hierarchy_.deepest(paths, min_probability)  # type: ignore[union-attr]
        names = [() if node is None or node == MISSING else tuple(node.split(SEP)) for node in nodes.tolist()]
        return {level: [path[i] if i < len(path) else None for path in names] for i, level in enumerate(self.path)}

    def _with_copies(self, field: str, values: Names, X: Any) -> Names:
        """Return values of a field, or what rows have in their place."""
        copier = self.copiers_.get(field)
        if copier is None or copier.threshold == NEVER or not values:
            return values
        best = copier.best(_texts_of(X, self.copy[field]).tolist(), _words_of_values(self.values_[field]))  # type: ignore[index]
        return [
            text if chance >= copier.threshold else value for (chance, text), value in zip(best, values, strict=True)
        ]

    def predict_topk(self, X: Any, k: int = 5) -> dict[str, TopK]:
        """Return the best values of each field.

        Parameters
        ----------
        X : sequence or matrix of n_rows
            As in ``fit``.
        k : int, default=5
            Predictions per field, at least 1.

        Returns
        -------
        dict of str to TopK
            For each field ids of values, in ``min(k, n_values)`` slots: ``top[field].named(clf.values_[field])`` has
            the values themselves. A value of a level has the score of its best path among the best 100 paths (or `k`);
            so a level may have fewer predictions than slots.

        Raises
        ------
        ValueError
            If `k` is below 1.
        sklearn.exceptions.NotFittedError
            If ``fit`` was not called.

        Notes
        -----
        Each level is ranked on its own: the second values of two levels need not belong to one path, nor need the first
        ones where paths have equal scores. `predict` never mixes paths.
        """
        check_is_fitted(self)
        k = check_k(k)
        predictions: dict[str, TopK] = {}
        if self.path:
            paths = predict_topk(self.path_estimator_, X, max(k, N_PATHS))
            for level, ids in self._level_ids.items():
                groups = one_group_each(ids, self.values_[level].size)
                predictions[level] = group_topk(paths, groups, "max").head(k)
        for field, member in self.field_estimators_.items():
            predictions[field] = predict_topk(member, X, k)
        return predictions

    def score(self, X: Any, table: Any) -> float:
        """Return the mean accuracy over the fields.

        Parameters
        ----------
        X : sequence or matrix of n_rows
            As in ``fit``.
        table : DataFrame, list of dicts, or dict of columns
            The true values. A missing one is right where None is predicted. A value that does not occur in training is
            never right.

        Returns
        -------
        float
            In [0, 1].

        Raises
        ------
        ValueError, TypeError
            As in `fields_report`.
        """
        report = fields_report(table, self.predict(X), na=self.na)
        return float(np.mean([report[field]["accuracy"] for field in (*self.path, *self.fields)]))

    # Persistence

    def save(self, path: str | PathLike[str]) -> None:
        """Write the fitted model to one folder, which `xclassic.load` reads.

        An existing model is replaced as a whole or, on any failure, not at all.

        Parameters
        ----------
        path : str or path
            The folder.

        Raises
        ------
        TypeError
            If `estimator` is or holds an object that a model folder cannot store.
        OSError
            If the folder cannot be written, for instance because the disk is full.
        """
        save(self, path)

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        members = list(self.field_estimators_.values())
        if self.path:
            members.insert(0, self.path_estimator_)
        arrays: Arrays = {}
        headers = []
        for i, member in enumerate(members):
            header, member_arrays = packed(member)
            headers.append(header)
            arrays |= with_prefix(f"member.{i}.", member_arrays)
        copiers = {}
        for i, (field, copier) in enumerate(self.copiers_.items()):
            own, copiers[field] = copier.arrays()
            arrays |= with_prefix(f"copier.{i}.", own)
        return arrays, {"members": headers, "copiers": copiers, "copy": dict(self.copy or {})}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        members = []
        for i, header in enumerate(metadata["members"]):
            members.append(unpacked(header, without_prefix(f"member.{i}.", arrays), verify))
        if {member.classes_.dtype.kind for member in members} != {"U"}:
            raise ModelFileError("The classes of an estimator of the model are not text.")
        if len({getattr(member, "n_features_in_", None) for member in members}) > 1:
            raise ModelFileError("The estimators of the model have different numbers of features.")
        self.estimator = clone(members[0])
        self.copy = metadata.get("copy") or None  # Earlier versions did not store it.
        self._check_parameters()
        self._set_members(members)
        self.copiers_ = {
            field: ValueCopier.from_arrays(without_prefix(f"copier.{i}.", arrays), of_copier)
            for i, (field, of_copier) in enumerate(metadata.get("copiers", {}).items())
        }
        if self.copiers_.keys() != (self.copy or {}).keys():
            raise ModelFileError("The fields that the model copies are not those of its parameter.")


def _texts_of(X: Any, source: str) -> NDArray[np.object_]:
    """Return the texts that a field is copied from."""
    if is_records(X):
        return check_texts(check_columns(X, [source])[source], f"X[{source!r}]")
    try:
        return check_texts(X)
    except (TypeError, ValueError) as error:
        raise type(error)(
            f"copy reads texts or records, so a vectorizer belongs into the estimator: FieldsClassifier(make_pipeline("
            f"TextFeatures(), ...)). {error}"
        ) from error


def _words_of_values(values: Iterable[str | None]) -> set[tuple[str, ...]]:
    return {tuple(words_of(value)) for value in values if value is not None}


def _values(classes: NDArray[np.str_]) -> NDArray[np.object_]:
    """Return classes as values, with None for a missing one."""
    return np.array([None if name == MISSING else name for name in classes.tolist()], object)


# Report


def fields_report(
    table_true: Any, predictions: Any, train_table: Any = None, *, na: Sequence[str] = NA
) -> dict[str, dict[str, float]]:
    """Return metrics of the predicted values of each field, with and without missing values.

    Parameters
    ----------
    table_true : DataFrame, list of dicts, or dict of columns
        The true values, strings or missing. Columns that are not predicted are not read.
    predictions : DataFrame, list of dicts, or dict of columns
        The predicted values, as ``FieldsClassifier.predict`` returns them; its columns are the fields.
    train_table : DataFrame, list of dicts, or dict of columns, optional
        The training rows; they add accuracies for values by their frequency in training.
    na : sequence of str, default=("na", "NA", "n/a", "N/A")
        Values that stand for a missing one, in addition to None, NaN, "" and "na", which always do.

    Returns
    -------
    dict of str to dict of str to float
        For each field metrics in [0, 1]. ``"accuracy"``: the share of rows that are right; a missing value that is
        predicted as missing counts as right, so a field that is mostly missing is mostly right. ``"macro
        precision"``, ``"macro recall"`` and ``"macro F1"``: means over the values, including the missing one, that are
        true or predicted somewhere. The same with ``" without na"`` appended: the accuracy over the rows that have a
        value, and the means over values only; left out if no row has one. With `train_table` ``"head accuracy"``,
        ``"torso accuracy"`` and ``"tail accuracy"`` over the rows whose value belongs to that group of
        `xclassic.metrics.label_groups`: tail values have 0 to 25 training rows. A group without rows is left out.

        Under ``"whole record"``, ``"accuracy"`` is the share of rows that are right in all fields.

    Raises
    ------
    ValueError
        If there are no rows, tables have different numbers of rows, or a predicted field is missing from a table.
    TypeError
        If a value is not a string.

    Notes
    -----
    Cost: Python loops over the cells, which take a few seconds for 1,000,000.

    Examples
    --------
    >>> from xclassic import fields_report
    >>> true = [{"brand": "Leaf"}, {"brand": "na"}, {"brand": "Lux"}]
    >>> report = fields_report(true, [{"brand": "Leaf"}, {"brand": None}, {"brand": None}])
    >>> round(report["brand"]["accuracy"], 3), report["brand"]["accuracy without na"]
    (0.667, 0.5)
    """
    fields = _fields_of(predictions)
    missing = {*check_names("na", na), MISSING}
    true = read_names(table_true, fields, missing, "table_true")
    predicted = read_names(predictions, fields, missing, "predictions")
    train = None if train_table is None else read_names(train_table, fields, missing, "train_table")
    n_rows = [len(columns[fields[0]]) for columns in (true, predicted)]
    if n_rows[0] != n_rows[1] or n_rows[0] == 0:
        raise ValueError(
            f"table_true has {n_rows[0]} rows and predictions have {n_rows[1]}; pass as many, at least one."
        )
    report = {
        field: _report(true[field], predicted[field], None if train is None else train[field]) for field in fields
    }
    right = [[t == p for t, p in zip(true[field], predicted[field], strict=True)] for field in fields]
    return {**report, "whole record": {"accuracy": float(np.all(right, axis=0).mean())}}


def _fields_of(predictions: Any) -> list[str]:
    found = column_names(predictions)
    if found is None:
        found = list(dict.fromkeys(field for record in predictions if isinstance(record, Mapping) for field in record))
    if not found:
        raise ValueError("predictions name no field; pass the records that predict returned, at least one.")
    return found


def _report(true: Names, predicted: Names, train: Names | None) -> dict[str, float]:
    """Return the metrics of one field."""
    values = sorted({value for column in (true, predicted, train or []) for value in column if value is not None})
    number: dict[str | None, int] = {value: i for i, value in enumerate([None, *values])}
    truth, best = (_one_hot(column, number) for column in (true, predicted))
    results = first_predictions(truth, best)
    named = np.arange(1, len(number))  # These are all values but the missing one.
    if truth[:, named].nnz:
        results |= {f"{key} without na": value for key, value in first_predictions(truth, best, named).items()}
    if train is not None:
        counts = np.bincount([number[value] for value in train], minlength=len(number))
        groups = {name: labels + 1 for name, labels in label_groups(counts[1:]).items()}
        results |= accuracy_of_groups(truth, best, groups)
    return results


def _one_hot(column: Names, number: Mapping[str | None, int]) -> csr_array:
    ids = [number[value] for value in column]
    return csr_array((np.ones(len(ids), np.float32), ids, np.arange(len(ids) + 1)), shape=(len(ids), len(number)))


# Records as one text, in the form that a text-to-text model reads and writes
