"""Feature agglomeration (DEFRAG): similar features become one, their sum."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import _check_feature_names_in, check_is_fitted

from xclassic.label_tree.partition import kmeans_tree
from xclassic.linalg.label_vectors import label_vectors
from xclassic.rows import unit_rows
from xclassic.storage.arrays import stored_array
from xclassic.storage.folder import Arrays, ModelFileError, Verify
from xclassic.storage.models import Metadata
from xclassic.validation.features import Features, check_features
from xclassic.validation.labels import check_target
from xclassic.validation.parameters import check_choice, check_common, check_n_jobs, check_number

VIEWS = ("labels", "columns")
NAMED = 3  # Features of a group that its name lists.


class FeatureAgglomeration(TransformerMixin, BaseEstimator):
    r"""Groups of similar features, each replaced by the sum of its features (DEFRAG).

    The features :math:`1, \dots, D` are cut into disjoint groups :math:`F_1, \dots, F_K` of at most `max_leaf`, and a
    row becomes

    .. math:: \hat x_k = \sum_{j \in F_k} x_j, \qquad \hat X = X A, \quad A \in \{0, 1\}^{D \times K}

    with a single one in each row of A. A linear method on :math:`\hat X` is one on `X` whose weights are equal within a
    group. Rows stay sparse, entries that were at least 0 stay so, and so does their sum in each row. The groups are the
    leaves of a tree of balanced spherical 2-means over a vector of each feature.

    Parameters
    ----------
    max_leaf : int, default=8
        At most this many features in a group, at least 1. Groups are halved until they are that small, so most have
        between half of it and all of it. 1 leaves the features as they are; more makes fewer columns, at a higher cost
        in accuracy.
    by : {"labels", "columns"}, default="labels"
        The vector of feature j: its row of :math:`X^T Y`, the labels that it occurs with, of which the 200 largest
        entries count; or its column of `X`, the rows that it occurs in, which takes no labels.
    random_state : int or None, default=0
        Seed of the first centers; None takes a new one each time. Agglomerations of different seeds make different
        groups, so a `Blend` of pipelines with one each is more accurate than each of them.
    n_jobs : int, optional
        Workers, as joblib counts them. The groups do not depend on it.
    verbose : int, default=0
        Above 0, show progress.

    Attributes
    ----------
    groups_ : ndarray of int32, shape (n_features,)
        The group of each feature. Groups are numbered by the first feature in them.

    See Also
    --------
    sklearn.cluster.FeatureAgglomeration : Agglomerative clusters of few dense features, and means in place of sums.
    TailReranker : Re-ranking by the mean row of each label, in agglomerated features cheaper (REFRAG).
    Blend : Several pipelines together, each with its own features.

    Notes
    -----
    A feature without a vector, because it is 0 in all rows or, with ``by="labels"``, in all rows with labels, would be
    noise in the group of another. Such features make groups among themselves, in the order of their numbers. Rows
    without labels and labels without rows add nothing to the vectors by labels.

    Entries may be negative: columns of opposite sign have vectors of opposite sign, which are far apart. But what
    cancels in a sum is lost, and only of entries of one sign is the sum of a row kept.

    The authors draw 20 % of the rows, or 5 % of the labels, for the vectors. Here all rows and labels are read, since
    rare features vanish in a sample: on citeulike_t 5 % of the labels leave a quarter of the features without a vector,
    and `Parabel` five points of P@1 lower.

    Cost: with ``by="labels"`` one addition for each pair of an entry of `X` and a label of its row; then some ten
    passes over the vectors for each of ``log2(n_features / max_leaf)`` levels. Transforming costs one pass over the
    entries. Memory: 8 bytes for each entry of the vectors, twice, at most 200 entries for each feature by labels and
    ``nnz(X)`` in all by columns.

    References
    ----------
    .. [1] A. Jalan and P. Kar, "Accelerating extreme classification via adaptive feature agglomeration", IJCAI 2019.
       Section 3 is the method, section 4 its use with other methods, in ensembles and for re-ranking.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from xclassic import Parabel, datasets
    >>> from xclassic.features import FeatureAgglomeration
    >>> bibtex = datasets.load_bibtex()
    >>> model = make_pipeline(FeatureAgglomeration(), Parabel()).fit(bibtex.X, bibtex.Y)
    >>> model[0].transform(bibtex.X).shape
    (4880, 256)
    """

    groups_: NDArray[np.int32]
    n_features_in_: int

    def __init__(
        self,
        max_leaf: int = 8,
        *,
        by: str = "labels",
        random_state: int | np.random.RandomState | None = 0,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.max_leaf = max_leaf
        self.by = by
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.required = self.by == "labels"
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def _n_features_out(self) -> int:
        return int(self.groups_.max()) + 1

    def _check_parameters(self) -> None:
        check_common(self)
        check_number("max_leaf", self.max_leaf, minimum=1, integer=True)
        check_choice("by", self.by, VIEWS)
        check_n_jobs(self.n_jobs)
        if not isinstance(self.verbose, bool):
            check_number("verbose", self.verbose, minimum=0, integer=True)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Group the features.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        y : labels, optional
            As for ``fit`` of any estimator of xclassic. Needed, and read, only with ``by="labels"``.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `X` and `y` are not training data, `y` is missing but needed, or a parameter is out of range.
        """
        self._check_parameters()
        X = check_features(self, X, reset=True)
        vectors = self._label_sums(X, y) if self.by == "labels" else unit_rows(csr_array(csr_array(X).T))
        self.groups_ = self._leaves(csr_array(vectors))
        return self

    def _label_sums(self, X: Features, y: Any) -> Features:
        """Return the rows of ``X^T Y``, scaled to unit length."""
        if y is None:
            raise ValueError(
                "FeatureAgglomeration requires y to be passed, but the target y is None: with by='labels' features are "
                "grouped by the labels that they occur with. by='columns' takes no labels."
            )
        Y = check_target(y, X.shape[0]).Y
        return label_vectors(Y, X, n_jobs=self.n_jobs, verbose=self.verbose)

    def _leaves(self, vectors: csr_array) -> NDArray[np.int32]:
        """Return the leaf of each feature in a balanced tree, and groups of their own for those without a vector."""
        vectors.eliminate_zeros()  # Zeros that are stored, or cancelled, say no more than those that are not.
        alive = np.diff(vectors.indptr) > 0
        leaves = np.empty(alive.size, np.int64)
        leaves[~alive] = -1 - np.arange((~alive).sum()) // self.max_leaf
        if alive.any():
            tree = kmeans_tree(
                vectors[alive],
                branching=2,
                max_leaf=self.max_leaf,
                random_state=self.random_state,
                n_jobs=self.n_jobs,
                verbose=self.verbose,
            )
            leaves[alive] = tree.parent[tree.leaves]
        _, first, leaves = np.unique(leaves, return_index=True, return_inverse=True)
        return np.argsort(np.argsort(first))[leaves].astype(np.int32)

    def transform(self, X: Any) -> Features:
        """Return the sum of the features in each group.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)

        Returns
        -------
        csr_array or ndarray of float32, shape (n_rows, n_groups)
            Sparse if `X` is.
        """
        check_is_fitted(self)
        X = check_features(self, X, reset=False)
        A = csr_array((np.ones(X.shape[1], np.float32), self.groups_, np.arange(X.shape[1] + 1)))
        sums = X @ A
        if not issparse(sums):
            return np.ascontiguousarray(sums)
        sums.sort_indices()
        return sums

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return the names of the groups.

        Parameters
        ----------
        input_features : sequence of str, optional
            Names of the features; by default those that ``fit`` saw, or ``x0``, ``x1``, ...

        Returns
        -------
        ndarray of object, shape (n_groups,)
            The first features of each group, and how many follow, as in ``bread + butter + jam + 5 more``.
        """
        check_is_fitted(self)
        names = _check_feature_names_in(self, input_features)
        order = np.argsort(self.groups_, kind="stable")
        members = np.split(names[order], np.cumsum(np.bincount(self.groups_))[:-1])
        return np.array([_joined(group.tolist()) for group in members], object)

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        return {"groups": self.groups_}, {}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        groups = stored_array(arrays, "groups", np.int32, (self.n_features_in_,), (0, self.n_features_in_ - 1))
        if not np.bincount(groups).all():
            raise ModelFileError("A group of the model has no features.")
        self.groups_ = groups


def _joined(names: list[str]) -> str:
    more = [f"{len(names) - NAMED} more"] if len(names) > NAMED else []
    return " + ".join([*names[:NAMED], *more])
