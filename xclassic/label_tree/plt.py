"""Probabilistic label trees (Jasinska et al., ICML 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.label_tree.base import LabelTreeClassifier
from xclassic.label_tree.partition import huffman_tree, random_tree
from xclassic.label_tree.tree import LabelTree
from xclassic.rows import TrainingRows
from xclassic.validation.parameters import check_choice, check_number


class PLT(LabelTreeClassifier):
    r"""Probabilistic label trees: logistic regression in the nodes, label probabilities as scores.

    A node's model estimates the probability that a row has a label under the node, given that it has one under the
    parent. The nodes below the root learn from all rows, so that rows without labels count. The product along a path is
    the probability of the label, so scores can be read, compared with a threshold (``predict`` takes 0.5) and
    multiplied by costs. With ``beam=None`` a best-first search finds the most probable labels exactly.

    Parameters
    ----------
    {n_trees}
    partition : {"kmeans", "huffman", "random"}, default="kmeans"
        How labels are grouped: balanced spherical k-means of their vectors (see `Parabel`), by frequency, so that
        frequent labels have short paths, or at random.
    branching : int, default=2
        Children of a node.
    max_leaf : int, default=100
        At most this many labels in a node that is not split further (not for "huffman").
    {shared}

    Attributes
    ----------
    models_ : list of TreeModel
        The trees with their weights.

    See Also
    --------
    Parabel : The same tree with squared hinge, usually more precise at the top.
    XReg : Graded relevance.

    Notes
    -----
    {notes}
    Unlike in other methods, rows without labels are negatives of the children of the root.

    References
    ----------
    .. [1] K. Jasinska, K. Dembczynski, R. Busa-Fekete, K. Pfannschmidt, T. Klerx and E. Hullermeier, "Extreme F-measure
       maximization using sparse probability estimates", ICML 2016.

    Examples
    --------
    >>> from xclassic import PLT, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = PLT().fit(bibtex.X, bibtex.Y)
    >>> bool(clf.predict_proba(bibtex.X_test[:1]).max() <= 1)
    True
    """

    def __init__(
        self,
        n_trees: int = 1,
        *,
        partition: str = "kmeans",
        branching: int = 2,
        max_leaf: int = 100,
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
        self.partition = partition
        self.branching = branching
        self.max_leaf = max_leaf
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

    _probabilistic = True
    _all_rows = True

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("max_leaf", self.max_leaf, minimum=1, integer=True)
        check_choice("partition", self.partition, ("kmeans", "huffman", "random"))
        check_number("branching", self.branching, minimum=2, integer=True)

    def _partition(self, X: TrainingRows, Y: csr_array, labels: NDArray[np.int64], seeds: NDArray[np.uint64]) -> Any:
        ids: dict[str, Any] = {"branching": self.branching, "labels": labels, "n_labels": Y.shape[1]}
        if self.partition == "huffman":
            counts = np.bincount(Y.indices, minlength=Y.shape[1])[labels]
            return [huffman_tree(counts, **ids)] * len(seeds)
        ids["max_leaf"] = self.max_leaf
        if self.partition == "random":
            return [random_tree(len(labels), random_state=int(seed % 2**32), **ids) for seed in seeds]
        return self._kmeans_trees(X, Y, labels, seeds, branching=self.branching, max_leaf=self.max_leaf)
