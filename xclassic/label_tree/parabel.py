"""Parabel: balanced binary label trees of linear classifiers (Prabhu et al., WWW 2018)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.label_tree.base import LabelTreeClassifier
from xclassic.label_tree.tree import LabelTree
from xclassic.rows import TrainingRows
from xclassic.validation.parameters import check_number


class Parabel(LabelTreeClassifier):
    r"""Balanced binary label trees with a linear classifier for every child of every node.

    Labels are split into two halves of equal size, again and again, by spherical k-means of their vectors (the sum of
    the rows of a label, scaled to unit length), until at most `max_leaf` are left. A child of a node is one binary
    problem over the rows that have a label under the node: does the row have a label under the child? A label's score
    multiplies :math:`e^{-\max(0, 1 - m)^2}` of the margins m along its path (the sigmoid of m for ``loss="logistic"``).

    The training time grows with the logarithm of the number of labels, and three trees are nearly as accurate as
    one-vs-rest. A single tree with more children per node (`XRLinear`, `Bonsai`) loses less by errors near the root
    and is faster to search.

    Parameters
    ----------
    {n_trees}
    max_leaf : int, default=100
        At most this many labels in a node that is not split further.
    {shared}

    Attributes
    ----------
    models_ : list of TreeModel
        The trees with their weights.

    See Also
    --------
    XRLinear : One tree with more children per node.
    Bonsai : Shallow trees, not balanced.

    Notes
    -----
    {notes}

    References
    ----------
    .. [1] Y. Prabhu, A. Kag, S. Harsola, R. Agrawal and M. Varma, "Parabel: Partitioned label trees for extreme
       classification with application to dynamic search advertising", WWW 2018.

    Examples
    --------
    >>> from xclassic import Parabel, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = Parabel().fit(bibtex.X, bibtex.Y)
    >>> clf.trees_[0]
    LabelTree(159 labels, 3 inner nodes, depth 2)
    """

    def __init__(
        self,
        n_trees: int = 3,
        *,
        max_leaf: int = 100,
        tree: LabelTree | Sequence[LabelTree] | None = None,
        beam: int | None = 10,
        loss: str = "squared_hinge",
        C: float = 1.0,
        negative_cost: float = 1.0,
        eps: float = 0.1,
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

    def _partition(self, X: TrainingRows, Y: csr_array, labels: NDArray[np.int64], seeds: NDArray[np.uint64]) -> Any:
        return self._kmeans_trees(X, Y, labels, seeds, branching=2, max_leaf=self.max_leaf)
