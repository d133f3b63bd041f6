"""Predictions for training rows by models that were fitted without them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.model_selection import KFold

from xclassic.datasets import stratified_kfold
from xclassic.ensemble.members import raw_rows
from xclassic.pipelines import predict_topk
from xclassic.topk import TopK
from xclassic.validation.parameters import check_choice, check_number

N_FOLDS = 5  # So that models are judged that had four fifths of the rows, as many as the final one nearly.
JUDGED = 10_000  # Rows, at most. All models are compared on the same rows, so more would hardly change a choice.

Split = tuple[NDArray[np.int64], NDArray[np.int64]]


class Folds:
    """Training rows that are held out in turn, and what the models know that judge them.

    Parameters
    ----------
    Y : csr_array, shape (n_rows, n_labels)
        Checked labels.
    splits : list of (train_rows, test_rows)
        No row is in two test sides.

    Attributes
    ----------
    splits : list of (train_rows, test_rows)
    rows : ndarray of int64
        All rows that are held out once, ascending.
    fold : ndarray of int64, shape (n_held_out,)
        The split that holds out each of them.
    truth : csr_array, shape (n_held_out, n_labels)
    """

    def __init__(self, Y: csr_array, splits: list[Split]) -> None:
        self.splits = splits
        held_out = np.concatenate([test for _, test in splits]) if splits else np.arange(0)
        order = np.argsort(held_out, kind="stable")
        self.rows = held_out[order]
        self.fold = np.repeat(np.arange(len(splits)), [test.size for _, test in splits])[order]
        self.truth = csr_array(Y[self.rows])
        counts = [np.bincount(Y[train].indices, minlength=Y.shape[1]) for train, _ in splits]
        self._counts = np.stack(counts) if counts else np.empty((0, Y.shape[1]), np.int64)

    def counts(self, rows: NDArray[Any], labels: NDArray[Any]) -> NDArray[np.int64]:
        """Return how many training rows each label had in the model that judged a held-out row.

        Parameters
        ----------
        rows : ndarray of int
            Positions in ``self.rows``.
        labels : ndarray of int, as many

        Returns
        -------
        ndarray of int64
        """
        return self._counts[self.fold[rows], labels]

    def predictions(self, fit: Callable[[NDArray[np.int64]], Any], X: Any, depth: int) -> TopK:
        """Return what a method predicts for every held-out row without having seen it.

        Parameters
        ----------
        fit : callable
            From training rows to a fitted model.
        X : Features or RawRows
            All rows.
        depth : int
            Labels for each row.

        Returns
        -------
        TopK
            In the order of ``self.rows``.
        """
        return self.in_order([predict_topk(fit(train), raw_rows(X[test]), depth) for train, test in self.splits])

    def in_order(self, tops: Sequence[TopK]) -> TopK:
        """Return the predictions for the test side of each split in the order of ``self.rows``."""
        order = np.argsort(np.concatenate([test for _, test in self.splits]), kind="stable")
        top = TopK.concat(tops)
        return TopK(top.ids[order], top.scores[order], top.counts[order])


def weights_of_rows(weights: Mapping[str, Any], rows: NDArray[np.int64]) -> dict[str, Any]:
    """Return the weights that a fit on some rows is given; those of labels stay."""
    return {weight: value if weight == "label_weight" else value[rows] for weight, value in weights.items()}


def choose_folds(Y: csr_array, cv: Any, random_state: Any, *, stratified: bool = True) -> Folds:
    """Return the rows that are held out.

    Parameters
    ----------
    Y : csr_array, shape (n_rows, n_labels)
        Checked labels.
    cv : "auto" or int
        ``"auto"`` holds out a fifth of the rows, at most 10,000, five times or until 10,000 rows were held out.
    random_state : int, RandomState instance or None
    stratified : bool, default=True
        Hold out equal shares of each label's rows, and never all of several. That is a little easier than rows to come,
        which serves to compare models, and not to say how often one is right. A label that one row has counts as missed
        where it is held out.

    Returns
    -------
    Folds
        Without any, if there is a single row.
    """
    n_rows = Y.shape[0]
    if n_rows < 2:
        return Folds(Y, [])
    n_folds = min(n_rows, max(N_FOLDS, -(-n_rows // JUDGED)) if cv == "auto" else cv)
    if stratified:
        splits = stratified_kfold(_of_several_rows(Y), n_folds, random_state=random_state)
    else:
        splits = list(KFold(n_folds, shuffle=True, random_state=random_state).split(np.empty(n_rows)))
    if cv == "auto":
        enough = np.searchsorted(np.cumsum([test.size for _, test in splits]), JUDGED)
        splits = splits[: int(enough) + 1]
    return Folds(Y, splits)


def _of_several_rows(Y: csr_array) -> csr_array:
    """Return the labels that at least two rows have, or one that all rows have if there are none."""
    several = np.bincount(Y.indices, minlength=Y.shape[1]) > 1
    return csr_array(Y[:, several]) if several.any() else csr_array(np.ones((Y.shape[0], 1), np.float32))


def check_cv(cv: Any) -> None:
    """Raise unless `cv` is what `choose_folds` takes."""
    if isinstance(cv, str):
        check_choice("cv", cv, ("auto",))
    else:
        check_number("cv", cv, minimum=2, integer=True)
