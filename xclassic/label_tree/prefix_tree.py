"""The prefix tree of label codes, by recursive k-means with few children per node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from xclassic.label_tree.base import LabelTreeClassifier
from xclassic.label_tree.nodes import LOSSES
from xclassic.label_tree.partition import kmeans_tree
from xclassic.label_tree.tree import LabelTree
from xclassic.linalg.label_vectors import label_vectors
from xclassic.rows import TrainingRows, unit_rows
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number


class PrefixTree(LabelTreeClassifier):
    r"""A tree with few children per node, in which every label has a short code.

    Labels are grouped by recursive k-means until at most `branching` are left. The code of a label is the numbers of
    the children along its path, for instance 1, 4, 0, 2: similar labels share the beginning of their codes. A model in
    each node estimates which number comes next, so a code is scored by the product over its numbers, and the search
    follows existing codes only. `LabelTree.codes`, ``encode`` and ``decode`` of ``trees_[0]`` translate.

    Parameters
    ----------
    {n_trees}
    branching : int, default=6
        At most this many children per node.
    view : {"pifa", "embeddings", "both"}, default="pifa"
        Basis of the grouping of labels: the sums of their rows, the `embeddings`, or both.
    embeddings : ndarray, shape (n_labels, d), optional
        A vector for each label in the order of ``classes_``, such as an encoding of its name. A saved model keeps the
        tree, not this parameter.
    loss : {"squared_hinge", "logistic", "least_squares", "softmax"}, default="logistic"
        Loss that is fitted for the children of a node. "softmax" is one multinomial model: exactly one number comes
        next, so that the scores of all labels sum to one; the others are a model for each child, which suits rows with
        several labels.
    {shared}

    Attributes
    ----------
    models_ : list of TreeModel
        The trees with their weights.

    See Also
    --------
    PLT : Probabilities of labels in a binary tree.

    Notes
    -----
    {notes}

    Two labels with the same vector still get different codes.

    References
    ----------
    .. [1] Y. Tay et al., "Transformer memory as a differentiable search index", NeurIPS 2022 (codes by hierarchical
       k-means).

    Examples
    --------
    >>> from xclassic import PrefixTree, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> tree = PrefixTree().fit(bibtex.X, bibtex.Y).trees_[0]
    >>> tree.decode(tree.encode(42))
    42
    """

    def __init__(
        self,
        n_trees: int = 1,
        *,
        branching: int = 6,
        view: str = "pifa",
        embeddings: NDArray[Any] | None = None,
        loss: str = "logistic",
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
        self.branching = branching
        self.view = view
        self.embeddings = embeddings
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

    _probabilistic = True
    _losses = LOSSES
    _not_saved = ("tree", "embeddings")

    def _check_parameters(self) -> None:
        super()._check_parameters()
        most = 16 if self.loss == "softmax" else None
        check_number("branching", self.branching, minimum=2, maximum=most, integer=True)
        check_choice("view", self.view, VIEWS)
        if self.embeddings is not None:
            found = np.asarray(self.embeddings)
            if found.ndim != 2 or found.dtype.kind not in "biuf":
                raise TypeError(
                    f"embeddings has shape {found.shape} and dtype {found.dtype}; pass numbers, a row for each label."
                )

    def _partition(self, X: TrainingRows, Y: csr_array, labels: NDArray[np.int64], seeds: NDArray[np.uint64]) -> Any:
        vectors = self._vectors(X, Y)[labels]
        return [
            kmeans_tree(
                vectors,
                branching=self.branching,
                max_leaf=self.branching,
                balanced=False,
                labels=labels,
                n_labels=Y.shape[1],
                random_state=int(seed % 2**32),
                n_jobs=self.n_jobs,
                verbose=self.verbose,
            )
            for seed in seeds
        ]

    def _vectors(self, X: TrainingRows, Y: csr_array) -> Features:
        """Return the vectors that labels are grouped by."""
        if self.view == "pifa":
            return label_vectors(X, Y, n_jobs=self.n_jobs)
        if self.embeddings is None:
            raise ValueError(f"view={self.view!r} groups labels by embeddings; pass embeddings, a row for each label.")
        embeddings = np.array(self.embeddings, np.float32)
        if len(embeddings) != Y.shape[1]:
            raise ValueError(
                f"embeddings has shape {embeddings.shape}; there must be a row for each of {Y.shape[1]} labels."
            )
        if not np.isfinite(embeddings).all():
            raise ValueError("embeddings holds NaN or infinite entries; replace them, zeros for labels without any.")
        embeddings = unit_rows(embeddings)
        if self.view == "embeddings":
            return embeddings
        return unit_rows(
            csr_array(hstack([csr_array(label_vectors(X, Y, n_jobs=self.n_jobs)), csr_array(embeddings)], format="csr"))
        )


VIEWS = ("pifa", "embeddings", "both")
