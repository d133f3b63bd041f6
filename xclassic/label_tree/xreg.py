"""XReg: label trees for graded relevance (Prabhu et al., WSDM 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.label_tree.base import LabelTreeClassifier
from xclassic.label_tree.tree import LabelTree
from xclassic.metrics.propensity import check_constants, inverse_propensities
from xclassic.rows import TrainingRows
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number


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
    with ``loss="logistic"``. Those that ``fit`` gets as ``relevance`` are divided by the largest.

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
        negative_cost: float = 1.0,
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
            negative_cost=negative_cost,
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

    def _fit(self, X: Features, Y: csr_array, *, relevance: csr_array | None = None, **weights: Any) -> None:
        if relevance is not None:
            shares = relevance.data / relevance.data.max(initial=1e-30)
            relevance = csr_array((shares, Y.indices, Y.indptr), shape=Y.shape)
        elif self.propensity is not None and Y.nnz:
            shares = inverse_propensities(self.propensity, Y, weights.get("sample_weight"))[Y.indices]
            relevance = csr_array(((shares / shares.max()).astype(np.float32), Y.indices, Y.indptr), shape=Y.shape)
        super()._fit(X, Y, relevance=relevance, **weights)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("max_leaf", self.max_leaf, minimum=1, integer=True)

        if self.propensity is not None:
            check_constants("propensity", self.propensity)

    def _partition(self, X: TrainingRows, Y: csr_array, labels: NDArray[np.int64], seeds: NDArray[np.uint64]) -> Any:
        return self._kmeans_trees(X, Y, labels, seeds, branching=2, max_leaf=self.max_leaf)
