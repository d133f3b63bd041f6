"""XR-Linear: one label tree with many children per node (Yu et al., PECOS, JMLR 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.label_tree.base import LabelTreeClassifier
from xclassic.label_tree.nodes import Matcher
from xclassic.label_tree.tree import LabelTree
from xclassic.rows import TrainingRows
from xclassic.validation.parameters import check_number


class XRLinear(LabelTreeClassifier):
    r"""One balanced label tree with many children per node, and linear classifiers in its nodes.

    Labels are split into about `branching` clusters of equal size by spherical k-means of their vectors (see
    `Parabel`), until at most `max_leaf` are left. It is the first method to try on many labels: many children per node
    mean few levels to lose a label on, and they are trained and searched 16 at a time. Scores multiply
    :math:`e^{-\max(0, 1 - m)^3}` of the margins m along a path.

    Parameters
    ----------
    {n_trees}
    branching : int, default=16
        Clusters that a node is split into. Their actual number makes the levels below split the same way. It is up to
        twice this where that saves a level.
    max_leaf : int, default=100
        At most this many labels in a node that is not split further. More is a little more accurate and slower.
    matcher_negatives : bool, default=False
        Train a node also on the rows that the levels above it would send there by mistake. It is slower; it helps where
        the search is misled by rows that a node has never seen.
    {shared}

    Attributes
    ----------
    models_ : list of TreeModel
        The trees with their weights.

    See Also
    --------
    Parabel : Binary trees.
    Bonsai : Shallow trees, not balanced.

    Notes
    -----
    {notes}

    With ``loss="least_squares"`` C is the ridge penalty, and the estimate itself, clipped to [0.0001, 1], is the factor
    of a path.

    References
    ----------
    .. [1] H.-F. Yu, K. Zhong, J. Zhang, W.-C. Chang and I. S. Dhillon, "PECOS: Prediction for enormous and correlated
       output spaces", JMLR 2022.

    Examples
    --------
    >>> from xclassic import XRLinear, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = XRLinear().fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    def __init__(
        self,
        n_trees: int = 1,
        *,
        branching: int = 16,
        max_leaf: int = 100,
        matcher_negatives: bool = False,
        tree: LabelTree | Sequence[LabelTree] | None = None,
        beam: int | None = 10,
        loss: str = "squared_hinge",
        C: float = 1.0,
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
        self.branching = branching
        self.max_leaf = max_leaf
        self.matcher_negatives = matcher_negatives
        super().__init__(
            n_trees=n_trees,
            tree=tree,
            beam=beam,
            loss=loss,
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

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("max_leaf", self.max_leaf, minimum=1, integer=True)
        check_number("branching", self.branching, minimum=2, integer=True)

    def _matcher(self, X: TrainingRows) -> Matcher | None:
        return Matcher(X, self._path_score(), self.beam or 10) if self.matcher_negatives else None

    def _path_score(self) -> str:
        return "hinge3" if self.loss == "squared_hinge" else super()._path_score()

    def _partition(self, X: TrainingRows, Y: csr_array, labels: NDArray[np.int64], seeds: NDArray[np.uint64]) -> Any:
        return self._kmeans_trees(X, Y, labels, seeds, branching=self.branching, max_leaf=self.max_leaf)
