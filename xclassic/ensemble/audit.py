"""Labels of training data that are most likely missing or wrong."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.pipeline import Pipeline

from xclassic.base import MAX_SCORES, XMCClassifier
from xclassic.ensemble.combining import fit_map, log_odds_of
from xclassic.ensemble.composite import OfOne
from xclassic.ensemble.cross_fitting import N_FOLDS, Folds, choose_folds
from xclassic.ensemble.members import RawRows
from xclassic.ensemble.pairs import Pairs
from xclassic.storage.folder import Arrays
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number

KINDS = ("missing", "wrong")
LEAST = 1e-3  # Added to probabilities, of which smaller ones are all alike.
ANY = 0.1  # Added to the highest probability of a row, so that rows without a sure label are doubted less, not never.
LIKE_OTHERS = 2.0  # Rows of about the same frequency that a label's own are counted with, to say what is usual for it.


class Doubt(NamedTuple):
    """A label that is doubted.

    Attributes
    ----------
    row : int
        Number of the row, from 0.
    label : str, int or float
        As in `Y`: a name, a class, or the number of a column.
    kind : {"missing", "wrong"}
        Whether the row lacks the label and should have it, or has it and should not.
    probability : float
        That the label is true, by models that were fitted without the row.
    usual : float
        Mean probability of the label in the rows that have it, drawn to that of labels of about the same frequency.
    """

    row: int
    label: Any
    kind: str
    probability: float
    usual: float


def audit_labels(
    estimator: XMCClassifier | Pipeline,
    X: Any,
    Y: Any,
    *,
    n: int = 100,
    cv: int = N_FOLDS,
    n_jobs: int | None = None,
    random_state: int | np.random.RandomState | None = 0,
    verbose: int = 0,
) -> list[Doubt]:
    r"""List the labels of training data that are most likely missing, and those most likely wrong.

    Every row is predicted by models that were fitted without it. A probable label that the row lacks is likely missing.
    One that the row has is likely wrong if it is less probable there than in other rows that have it, and more so if
    another label of the row is probable: it is ranked by :math:`\log(u / p) + \log q`, with p its probability, u what
    is usual for the label, and q the highest probability of the row, plus small constants.

    Parameters
    ----------
    estimator : XMCClassifier or Pipeline that ends in one
        What predicts. It is cloned.
    X : array-like
        Training rows, as the ``fit`` of the estimator takes them.
    Y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
        Their labels.
    n : int, default=100
        How many of each kind are listed, at most.
    cv : int, default=5
        Folds, at least 2; rows are drawn at random.
    n_jobs : int, optional
        Workers, as joblib counts them, for an estimator that has none set itself. The result does not depend on it.
    random_state : int, RandomState instance or None, default=0
        Seed of the folds.
    verbose : int, default=0
        Above 0, show the progress of predictions. The estimator has its own.

    Returns
    -------
    list of Doubt
        First those missing, then those wrong, each with the most likely first. ``Doubt._fields`` are the columns of a
        table.

    Raises
    ------
    ValueError, TypeError
        As the ``fit`` of the estimator does, or if there is a single row, or `n` or `cv` is out of range.

    Notes
    -----
    Probabilities are a logistic function of score, rank and frequency of the label, fitted on the predictions of all
    rows. Labels beyond the 100 best of a row have probability 0. A label that is missing in many rows is not found
    by this, since models learn that it is not meant.

    Cost: `cv` + 1 fits of the estimator.

    References
    ----------
    C. G. Northcutt, L. Jiang and I. L. Chuang, "Confident learning: estimating uncertainty in dataset labels", JAIR 70,
    2021, for comparing a probability with what is usual for the label.

    Examples
    --------
    >>> from xclassic import KNN, audit_labels, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> doubts = audit_labels(KNN(), bibtex.X[:400], bibtex.Y[:400], n=3)
    >>> [doubt.kind for doubt in doubts]
    ['missing', 'missing', 'missing', 'wrong', 'wrong', 'wrong']
    """
    check_number("n", n, minimum=1, integer=True)
    check_number("cv", cv, minimum=2, integer=True)
    auditor = _Auditor(estimator, cv=cv, n_jobs=n_jobs, random_state=random_state, verbose=verbose).fit(X, Y)
    return [
        Doubt(int(row), auditor.classes_[[label]].tolist()[0], kind, float(probability), float(usual))
        for kind, found in zip(KINDS, auditor.doubts(n), strict=True)
        for row, label, probability, usual in zip(*found, strict=True)
    ]


class _Auditor(OfOne):
    """Predicts each training row by models that were fitted without it."""

    def __init__(
        self,
        estimator: XMCClassifier | Pipeline,
        *,
        cv: int = N_FOLDS,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.estimator = estimator
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _fit(self, X: Features | RawRows, Y: csr_array, **weights: Any) -> None:
        if Y.shape[0] < 2:
            raise ValueError("X has a single row; an audit predicts each row by what other rows tell.")
        self.estimators_ = [self._fit_estimator(X, Y, weights)]
        folds = choose_folds(Y, self.cv, self.random_state, stratified=False)
        depth = min(MAX_SCORES, Y.shape[1])
        self._believed(folds, self._held_out(X, Y, folds, weights, depth), depth)

    def _believed(self, folds: Folds, top: TopK, depth: int) -> None:
        """Keep all pairs that are named or true, and the probability of each."""
        pairs = Pairs([top], folds, depth)
        (said,) = pairs.said
        n_labels = folds.truth.shape[1]
        odds = log_odds_of(fit_map(said, pairs), said.scores, said.log_ranks, pairs.log_counts[said.at])
        rows = np.repeat(np.arange(pairs.n_rows), pairs.n_true)
        true = rows * n_labels + folds.truth.indices
        named = pairs.rows[said.at] * n_labels + pairs.labels[said.at]
        keys = np.union1d(true, named)
        self._rows, self._labels = folds.rows[keys // n_labels], keys % n_labels
        self._probabilities = np.zeros(keys.size)
        self._probabilities[np.searchsorted(keys, named)] = expit(odds)
        self._has = np.isin(keys, true, assume_unique=True)
        self._usual = usual_probabilities(self._labels[self._has], self._probabilities[self._has], n_labels)

    def _fitted_arrays(self) -> Arrays:
        return {}  # The estimator checks its own.

    def doubts(self, n: int) -> list[tuple[NDArray[Any], ...]]:
        """Return rows, labels, probabilities and what is usual, of the labels most likely missing, and wrong."""
        n_rows = int(self._rows.max()) + 1
        surest = np.zeros(n_rows)
        np.maximum.at(surest, self._rows, self._probabilities)
        usual = self._usual[self._labels]
        missed = np.log((usual + LEAST) / (self._probabilities + LEAST)) + np.log(surest[self._rows] + ANY)
        found: list[tuple[NDArray[Any], ...]] = []
        for kind, suspicion in ((~self._has, self._probabilities), (self._has, missed)):
            at = np.flatnonzero(kind)
            at = at[np.argsort(-suspicion[at], kind="stable")][:n]
            found.append((self._rows[at], self._labels[at], self._probabilities[at], self._usual[self._labels[at]]))
        return found


def usual_probabilities(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64], n_labels: int
) -> NDArray[np.float64]:
    """Return the mean probability of each label in the rows that have it, beside some of labels like it.

    Labels are alike if their numbers of rows lie between the same powers of two.
    """
    counts = np.bincount(labels, minlength=n_labels)
    sums = np.bincount(labels, probabilities, n_labels)
    bands = np.frexp(np.maximum(counts, 1))[1]
    means = np.bincount(bands, sums) / np.maximum(np.bincount(bands, counts), 1)
    return np.asarray((sums + LIKE_OTHERS * means[bands]) / (counts + LIKE_OTHERS))
