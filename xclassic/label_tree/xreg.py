"""XReg: label trees for graded relevance (Prabhu et al., WSDM 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.label_tree.base import LabelTreeClassifier
from xclassic.label_tree.tree import LabelTree
from xclassic.metrics.propensity import check_constants, inverse_propensities
from xclassic.rows import TrainingRows
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number
from xclassic.weighing import refusing_weights


class XReg(LabelTreeClassifier):
    r"""Label trees that estimate how relevant a label is, not only whether it is relevant.

    Relevances are in (0, 1]. The relevance of a node for a row is the largest under it; a child's model estimates its
    share of the relevance of the parent, by logistic regression on fractional targets, weighted by the parent's
    relevance. The product along a path estimates the relevance of the label, and the losses of the nodes bound the
    divergence from the true relevances. Without relevances of your own the inverse propensities of the labels are
    taken, which favors rare labels as PSP@k does.

    Parameters
    ----------
    {n_trees}
    max_leaf : int, default=100
        At most this many labels in a node that is not split further.
    propensity : {"default", "wikipedia", "amazon"}, tuple of (A, B), or None, default="default"
        If ``fit`` gets no relevances, that of a label is its inverse propensity under this preset or these constants,
        divided by the largest; with None all relevances are one.
    {shared}

    Attributes
    ----------
    models_ : list of TreeModel
        The trees with their weights.

    See Also
    --------
    PLT : Probabilities of labels, all equally relevant.

    Notes
    -----
    {notes}

    If a child has only a share of the relevance of a row, the row enters the problem of its node twice, once as a
    positive and once as a negative, with that share and the rest as costs. If all relevances are one this is `Parabel`
    with ``loss="logistic"``.

    References
    ----------
    .. [1] Y. Prabhu, A. Kusupati, N. Gupta and M. Varma, "Extreme regression for dynamic search advertising", WSDM
       2020.

    Examples
    --------
    >>> from xclassic import XReg, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = XReg(n_trees=1).fit(bibtex.X, bibtex.Y)
    >>> bool(clf.predict_topk(bibtex.X_test[:1], k=1).scores[0, 0] <= 1)
    True
    """

    def __init__(
        self,
        n_trees: int = 3,
        *,
        max_leaf: int = 100,
        propensity: str | tuple[float, float] | None = "default",
        tree: LabelTree | Sequence[LabelTree] | None = None,
        beam: int | None = 10,
        C: float = 10.0,
        eps: float = 0.05,
        max_passes: int = 20,
        prune: float = 0.1,
        weight_dtype: str = "float16",
        bias: float = 1.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.max_leaf = max_leaf
        self.propensity = propensity
        super().__init__(
            n_trees=n_trees,
            tree=tree,
            beam=beam,
            loss="logistic",
            C=C,
            eps=eps,
            max_passes=max_passes,
            prune=prune,
            weight_dtype=weight_dtype,
            bias=bias,
            normalize=normalize,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )

    @refusing_weights
    def fit(  # type: ignore[override]
        self, X: Any, y: Any, relevance: Any = None, *, sample_weight: Any = None
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
            See `XMCClassifier.fit`.
        relevance : sparse matrix, shape (n_rows, n_labels), optional
            Relevances of the labels of a matrix `y`, above 0 exactly where `y` is 1. They are divided by the largest.
        sample_weight : float or array-like, shape (n_rows,), optional
            Weight of each row: see the other label trees. Those above 0 are from 1e-20 to 1e20.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `relevance` does not fit `y`, a weight is negative or not finite, there is not one for each row, or all
            are 0. Or as `XMCClassifier.fit`.
        TypeError
            If `relevance` is not a sparse matrix, or weights are not numbers.
        """
        return self._fit_checked(X, y, relevance=relevance, sample_weight=sample_weight)

    def _fit(self, X: Features, Y: csr_array, relevance: csr_array | None = None, **options: Any) -> None:
        if relevance is None and self.propensity is not None and Y.nnz:
            weights = inverse_propensities(self.propensity, Y, options.get("row_weights"))[Y.indices]
            relevance = csr_array(((weights / weights.max()).astype(np.float32), Y.indices, Y.indptr), shape=Y.shape)
        super()._fit(X, Y, relevance, **options)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("max_leaf", self.max_leaf, minimum=1, integer=True)

        if self.propensity is not None:
            check_constants("propensity", self.propensity)

    def _partition(self, X: TrainingRows, Y: csr_array, labels: NDArray[np.int64], seeds: NDArray[np.uint64]) -> Any:
        return self._kmeans_trees(X, Y, labels, seeds, branching=2, max_leaf=self.max_leaf)
