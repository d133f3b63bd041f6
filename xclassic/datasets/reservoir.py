"""A bounded sample of the rows that came so far, for models that learn from further rows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse, vstack

from xclassic.changing import stacked
from xclassic.validation.features import Features, check_rows
from xclassic.validation.labels import check_target, renumber
from xclassic.validation.parameters import check_number


class Reservoir:
    """A sample of the rows that came so far, in which each label keeps a bounded number of its rows.

    It stands in for all rows of earlier calls as ``X_known`` and ``y_known`` of ``partial_fit``. A uniform sample would
    lose the few rows of rare labels; here a row stays as long as it is among the sample of one of its labels.

    Parameters
    ----------
    per_label : int, default=100
        Rows that a label keeps, drawn at random; all rows of labels that have no more. At least 1.
    random_state : int, default=0
        Seed of the draw. The sample does not depend on the sizes of the batches that rows come in.

    Attributes
    ----------
    X : csr_array or ndarray of float32, shape (n_kept, n_features)
        The rows kept, in the order in which they came.
    y : csr_array of float32, shape (n_kept, n_labels), or list of lists of labels
        Their labels, as a matrix if they were given as one.
    n_seen : int
        Number of rows that came.

    Notes
    -----
    Rows without labels are not kept. At most ``per_label`` rows for each label, so at most ``per_label n_labels`` in
    all, and often far fewer, since a row counts for all of its labels.

    Cost of `add`: a sort of the labels of the rows kept and added.

    Examples
    --------
    >>> from xclassic import DiSMEC, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> old, new = slice(0, 4000), slice(4000, None)
    >>> reservoir = datasets.Reservoir(per_label=50).add(bibtex.X[old], bibtex.Y[old])
    >>> reservoir.X.shape[0] < 4000
    True
    >>> clf = DiSMEC().fit(bibtex.X[old], bibtex.Y[old])
    >>> clf = clf.partial_fit(bibtex.X[new], bibtex.Y[new], X_known=reservoir.X, y_known=reservoir.y)
    """

    X: Features

    def __init__(self, per_label: int = 100, *, random_state: int = 0) -> None:
        check_number("per_label", per_label, minimum=1, integer=True)
        check_number("random_state", random_state, minimum=0, integer=True)
        self.per_label = per_label
        self.random_state = random_state
        self.n_seen = 0
        self._classes: NDArray[Any] | None = None  # None for a matrix.
        self._places = np.zeros(0)  # One random number for each row kept.
        self._Y = csr_array((0, 1), dtype=np.float32)

    @property
    def y(self) -> Any:
        """The labels of the rows kept."""
        if self._classes is None:
            return self._Y
        names = self._classes[self._Y.indices].tolist()
        return [names[start:end] for start, end in pairwise(self._Y.indptr.tolist())]

    def add(self, X: Any, y: Any) -> Self:
        """Take further rows, and drop those that are no longer in the sample.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
            A matrix may have more columns than those before. Of lists and vectors, labels may be new.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            If `X` has another number of features than before, if `y` is a matrix where it was none before or the
            reverse, or as for ``fit``.
        """
        rows = check_rows(X, "X", self.X.shape[1] if self.n_seen else None)
        Y, classes = self._encoded(y, rows.shape[0])
        stream = np.random.Generator(np.random.PCG64(self.random_state).advance(self.n_seen))
        places = np.concatenate([self._places, stream.random(rows.shape[0])])
        known = csr_array(self._Y, copy=True)
        known.resize((known.shape[0], Y.shape[1]))
        everything = csr_array(vstack([known, Y]))
        kept = self._sampled(everything, places)
        rows = stacked(self.X, rows) if self.n_seen else rows
        self.X, self._Y, self._places, self._classes = rows[kept], csr_array(everything[kept]), places[kept], classes
        self.n_seen += Y.shape[0]
        return self

    def _encoded(self, y: Any, n_rows: int) -> tuple[csr_array, NDArray[Any] | None]:
        """Return labels with a column for each one that came so far, and their names, None if `y` is a matrix."""
        target = check_target(y, n_rows)
        is_matrix = issparse(y) or target.kind == "dense"
        if self.n_seen and is_matrix != (self._classes is None):
            before, now = ("a matrix", "lists") if self._classes is None else ("lists", "a matrix")
            raise ValueError(f"y was {before} before and is {now} now; pass one kind throughout.")
        if not is_matrix:
            known = target.classes[:0] if self._classes is None else self._classes
            return renumber(target.Y, target.classes, known, "y")
        if target.Y.shape[1] < self._Y.shape[1]:
            raise ValueError(f"y has {target.Y.shape[1]} columns, but {self._Y.shape[1]} before.")
        return target.Y, None

    def _sampled(self, Y: csr_array, places: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the rows that are among the first `per_label` rows of one of their labels, by their places."""
        row = np.repeat(np.arange(Y.shape[0]), np.diff(Y.indptr))
        order = np.lexsort((places[row], Y.indices))
        counts = np.bincount(Y.indices, minlength=Y.shape[1])
        rank = np.arange(Y.nnz) - np.repeat(np.cumsum(counts) - counts, counts)
        return np.unique(row[order][rank < self.per_label])
