"""Nearest neighbors: a row gets the labels of the training rows most similar to it."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

from xclassic.base import Arrays, Metadata, Verify, XMCClassifier
from xclassic.changing import moved_columns, moved_rows
from xclassic.neighbors.graph import check_search
from xclassic.neighbors.index import (
    InvertedIndex,
    NeighborIndex,
    build_index,
    label_shares,
    stored_index,
    stored_row_weights,
    vote,
    vote_factors,
    vote_weights,
    weighted_votes,
    with_columns,
    with_rows,
)
from xclassic.parallel import StopByte
from xclassic.rows import ScaledRows
from xclassic.storage.arrays import matrix_arrays, stored_array, stored_matrix, verify_matrix
from xclassic.storage.folder import ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number
from xclassic.weighing import TakesWeights


class KNN(TakesWeights, XMCClassifier):
    r"""Votes of the training rows most similar to a row, by cosine.

    With :math:`N(x)` the nearest training rows, all with a cosine above 0, the score of a label is

    .. math:: s_l(x) = \sum_{i \in N(x)} y_{il} \cos(x, x_i)^p \Big/ \sum_{i \in N(x)} \cos(x, x_i)^p

    Training costs next to nothing. The method is hard to beat where labels have few rows and many words tell them
    apart, as in citeulike_t. Its errors differ from those of linear methods, which makes it a good member of a `Blend`.

    Parameters
    ----------
    n_neighbors : int, default=40
        At most this many training rows vote.
    power : float, default=3.0
        Power p of the cosine in the votes, at least 0; 0 counts all neighbors the same.
    search : {"exact", "graph"}, default="exact"
        How neighbors are found among dense training rows. "graph" is approximate, for more than some 200,000 rows, and
        needs USearch (``pip install "xclassic[graph]"``); sparse rows are always searched exactly.
    normalize : bool, default=True
        Scale rows to unit length. Otherwise neighbors are the rows with the largest inner product, and votes are powers
        of it.
    index_folder : str or path, optional
        Write the index of sparse rows to this folder, some rows at a time, and read it from there, for training rows
        larger than memory (`datasets.open_matrix`). The folder must be empty or hold an index or matrix, which is
        replaced, and must stay as long as the model is used; ``save`` writes the model with its index to a folder of
        its own. By default the index is in memory.
    n_jobs : int, optional
        Workers, as joblib counts them. The predictions do not depend on it.
    verbose : int, default=0
        Above 0, show the progress of predictions.

    Attributes
    ----------
    index_ : InvertedIndex, DenseIndex, GraphIndex or JoinedIndex
        The training rows.
    labels_ : csr_array, shape (n_rows, n_labels)
        Their labels.
    label_shares_ : ndarray of float32, shape (n_labels,)
        Share of the training rows with each label.
    row_weights_ : ndarray of float32, shape (n_rows,), or None
        Weights of the training rows as shares of the largest; None if all are one.

    See Also
    --------
    TailReranker : Compares rows with the mean row of each label.

    Notes
    -----
    The vote of a training row is multiplied by its `sample_weight`, and ``label_shares_`` are shares of the weights;
    which rows are neighbors does not depend on weights, except that those of weight 0 are left out.

    Scores are in [0, 1]. Only labels of neighbors are predicted; a row without neighbors, such as one without known
    features, gets ``label_shares_``. Rows without labels are neighbors as others are and lower the shares of all
    labels. Exact neighbors are found among sparse training rows by an inverted index, among dense ones by products with
    all rows, 16 at a time. Equally near rows rank by their number. The graph is made at the first prediction, in
    some 200 microseconds a row, and searches of several workers take turns.

    In ``fit``, ``sample_weight`` multiplies the vote of a row, and its part in ``label_shares_``. `n_neighbors` counts
    each row once, so that a weight of two is two rows only where all of them are neighbors.

    Cost of a row: sparse, for each of its features the number of training rows with that feature; dense,
    ``n_rows n_features``; and a pass over all rows. With the graph, products with some thousand rows. Memory: 8 bytes
    for each entry of `X` (dense: 4; none with `index_folder`) and of `Y`, and per worker 4 for each row; for the graph,
    256 for each row.

    References
    ----------
    .. [1] T. M. Cover and P. E. Hart, "Nearest neighbor pattern classification", IEEE Transactions on Information
       Theory, 1967.

    Examples
    --------
    >>> from xclassic import KNN, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = KNN(n_neighbors=20).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    _probabilistic = True
    _scale_free = True
    _not_saved: ClassVar[tuple[str, ...]] = ("index_folder",)

    index_: NeighborIndex
    labels_: csr_array
    label_shares_: NDArray[np.float32]
    row_weights_: NDArray[np.float32] | None

    def __init__(
        self,
        n_neighbors: int = 40,
        *,
        power: float = 3.0,
        search: str = "exact",
        normalize: bool = True,
        index_folder: str | os.PathLike[str] | None = None,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.power = power
        self.search = search
        self.normalize = normalize
        self.index_folder = index_folder
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("n_neighbors", self.n_neighbors, minimum=1, integer=True)
        check_number("power", self.power, minimum=0)
        check_search(self.search)
        if not isinstance(self.index_folder, (str, os.PathLike, type(None))):
            raise TypeError(f"index_folder is {self.index_folder!r}; pass the path of a folder, or None.")
        if self.index_folder == "":
            raise ValueError("index_folder is an empty text; pass the path of a folder, or None for no folder.")

    def _weights_taken(self) -> tuple[str, ...]:
        return ("sample_weight",)

    def _fit(self, X: Features, Y: csr_array, *, sample_weight: NDArray[np.float32] | None = None) -> None:
        if self.index_folder is None:
            self.index_ = build_index(self._prepare(X), self.search)
        elif isinstance(X, np.ndarray):
            raise ValueError("index_folder is for sparse rows, but X is dense; leave it None.")
        else:
            self.index_ = InvertedIndex.write(ScaledRows.of(X, normalize=self.normalize), self.index_folder)
        self.labels_ = Y
        self._labels_verified = True
        self.row_weights_ = vote_factors(sample_weight)
        self.label_shares_ = label_shares(Y, sample_weight)

    def _renumber(self, ids: NDArray[np.int32], n_labels: int) -> None:
        self.labels_ = moved_columns(self._verified_labels(), ids, n_labels)
        self.label_shares_ = moved_rows(self.label_shares_, ids, n_labels)

    def _learn_labels(self, X: Features, Y: csr_array, new: NDArray[np.int32]) -> None:
        self.labels_ = with_columns(self.labels_, Y, new)
        self.label_shares_ = label_shares(self.labels_)

    def _add_rows(self, X: Features, Y: csr_array, known: Any) -> None:
        self.index_ = with_rows(self.index_, self._prepare(X), self.search)
        self.labels_ = csr_array(vstack([self._verified_labels(), Y]))
        self.label_shares_ = label_shares(self.labels_)

    def _verified_labels(self) -> csr_array:
        if not self._labels_verified:
            verify_matrix("labels", self.labels_)
            self._labels_verified = True
        return self.labels_

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        labels_of_rows = self._verified_labels()
        neighbors = self.index_.nearest(self._prepare(X), min(self.n_neighbors, self.labels_.shape[0]), stop)
        weights = weighted_votes(vote_weights(neighbors.scores, self.power), neighbors.ids, self.row_weights_)
        return vote(neighbors.ids, weights, labels_of_rows, self.label_shares_, k, labels)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        graph = 16 * 2 * 8 * n if self.search == "graph" else 0
        index = 3 * 8 * nnz_x if self.index_folder is None else 16 * (n + d)
        return graph + index + 4 * L + effective_n_jobs(self.n_jobs) * 4 * n

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays = self.index_.arrays() | matrix_arrays("labels", self.labels_)
        if self.row_weights_ is not None:
            arrays |= {"row_weights": self.row_weights_}
        return arrays | {"label_shares": self.label_shares_}, {"n_rows": self.labels_.shape[0]}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        n_rows, n_labels = metadata.get("n_rows"), self.classes_.size
        if not isinstance(n_rows, int) or n_rows < 1:
            raise ModelFileError(f"n_rows is {n_rows!r}; the number of training rows belongs there.")
        self.labels_ = stored_matrix(arrays, "labels", (n_rows, n_labels))
        self.index_ = stored_index(arrays, n_rows, self.n_features_in_)
        self._labels_verified = False
        self.row_weights_ = stored_row_weights(arrays, n_rows)
        self.label_shares_ = stored_array(arrays, "label_shares", np.float32, (n_labels,), (0, 1))
        if verify == "full":
            self.index_.verify()
            verify_matrix("labels", self.labels_)
