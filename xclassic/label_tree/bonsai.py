"""Bonsai: shallow label trees whose nodes have many children (Khandagale et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.label_tree.base import LabelTreeClassifier
from xclassic.label_tree.tree import LabelTree
from xclassic.linalg.label_vectors import VIEWS
from xclassic.rows import TrainingRows
from xclassic.validation.parameters import check_choice, check_number


class Bonsai(LabelTreeClassifier):
    r"""Shallow label trees: up to a hundred children per node, of any size.

    Labels are grouped by spherical k-means without regard to the size of the clusters, so that rare labels stay with
    similar ones, and at most `max_depth` - 1 times. Fewer levels than in `Parabel` lose fewer labels on the way, which
    helps mostly the rare ones, at a longer training time.

    Parameters
    ----------
    {n_trees}
    branching : int, default=100
        Clusters that a node is split into.
    max_leaf : int, default=100
        At most this many labels in a node that is not split further.
    max_depth : int, default=3
        At most this many edges from the root to a label, at least 1.
    max_share : float, default=1.0
        The largest share of the labels of a node that one of its children may take.
    view : {"pifa", "labels", "both"}, default="pifa"
        Basis of the grouping of labels: the rows that carry them, the labels they co-occur with, or both.
    {shared}

    Attributes
    ----------
    models_ : list of TreeModel
        The trees with their weights.

    See Also
    --------
    Parabel : Balanced binary trees.
    XRLinear : One balanced tree with many children per node.

    Notes
    -----
    {notes}

    References
    ----------
    .. [1] S. Khandagale, H. Xiao and R. Babbar, "Bonsai: diverse and shallow trees for extreme multi-label
       classification", Machine Learning 2020.

    Examples
    --------
    >>> from xclassic import Bonsai, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = Bonsai(n_trees=1, branching=10, max_leaf=20).fit(bibtex.X, bibtex.Y)
    >>> clf.trees_[0].depth
    3
    """

    def __init__(
        self,
        n_trees: int = 3,
        *,
        branching: int = 100,
        max_leaf: int = 100,
        max_depth: int = 3,
        max_share: float = 1.0,
        view: str = "pifa",
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
        self.max_depth = max_depth
        self.max_share = max_share
        self.view = view
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
        check_number("max_depth", self.max_depth, minimum=1, integer=True)
        check_number("max_share", self.max_share, minimum=0, inclusive=False, maximum=1)
        check_choice("view", self.view, VIEWS)

    def _partition(self, X: TrainingRows, Y: csr_array, labels: NDArray[np.int64], seeds: NDArray[np.uint64]) -> Any:
        return self._kmeans_trees(
            X,
            Y,
            labels,
            seeds,
            view=self.view,
            branching=self.branching,
            max_leaf=self.max_leaf,
            balanced=False,
            max_share=self.max_share,
            max_depth=self.max_depth - 1,
        )
