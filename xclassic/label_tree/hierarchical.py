"""HierarchicalXC: label trees by agglomeration of labels that co-occur."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse
from sklearn.base import TransformerMixin, clone

from xclassic.base import Arrays, Metadata, Verify
from xclassic.explanation import Names
from xclassic.label_tree.agglomeration import DISTANCES, LINKAGES, cooccurrence_tree
from xclassic.label_tree.base import LabelTreeClassifier
from xclassic.label_tree.tree import LabelTree
from xclassic.linalg.label_vectors import label_vectors
from xclassic.rows import TrainingRows
from xclassic.storage.arrays import with_prefix, without_prefix
from xclassic.storage.registry import find_class
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number


class HierarchicalXC(LabelTreeClassifier):
    r"""Label trees that merge the labels that co-occur, with linear classifiers in the nodes.

    The two closest groups of labels are merged, again and again, by a distance based on how often labels share rows. A
    node that would split off few of its labels is merged into its parent, so nodes may have more than two children.
    Every child is a binary problem over the rows with a label under the node, and a label's score multiplies
    :math:`e^{-\max(0, 1 - m)^2}` along its path, as in `Parabel`. Paths end at single labels.

    It is as accurate as one-vs-rest on small label sets, whose structure the tree also shows (``trees_[0].draw()``).

    Parameters
    ----------
    {n_trees} Grouping is not random here: further trees take other distances and linkages, in the order
        Jaccard with average linkage, PIFA with average linkage, Jaccard with complete linkage.
    distance : {"jaccard", "pifa", "iou", "count"}, default="jaccard"
        Distance of two labels: 1 minus the Jaccard index of their sets of rows; 1 minus the cosine of the sums of their
        rows; minus the Jaccard index; minus the number of rows they share.
    linkage : {"average", "complete", "single"}, default="average"
        Distance of two groups: mean, largest or smallest distance of their labels.
    max_leaf : int, default=1
        A group of at most this many labels becomes a node with these as its children; more is faster for many labels.
    encoder : None, "autoencoder" or transformer, default=None
        Train on the output of this encoder: the 256 numbers of a linear `Autoencoder`, or the output of any
        transformer of scikit-learn, which is cloned and fitted. A model with such a transformer cannot be saved to a
        folder, only pickled.
    {shared}

    Attributes
    ----------
    models_ : list of TreeModel
        The trees with their weights.
    encoder_ : transformer or None
        The fitted encoder.

    See Also
    --------
    Parabel : Balanced trees by k-means, for many labels.

    Notes
    -----
    {notes}

    References
    ----------
    .. [1] D. Müllner, "Modern hierarchical, agglomerative clustering algorithms", arXiv:1109.2378, 2011.

    Examples
    --------
    >>> from xclassic import HierarchicalXC, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = HierarchicalXC().fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    def __init__(
        self,
        n_trees: int = 1,
        *,
        distance: str = "jaccard",
        linkage: str = "average",
        max_leaf: int = 1,
        encoder: str | TransformerMixin | None = None,
        tree: LabelTree | Sequence[LabelTree] | None = None,
        beam: int | None = 20,
        loss: str = "squared_hinge",
        C: float = 1.0,
        negative_cost: float = 1.0,
        eps: float = 0.01,
        max_passes: int = 20,
        prune: float = 0.1,
        weight_dtype: str = "float16",
        bias: float = 1.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.distance = distance
        self.linkage = linkage
        self.max_leaf = max_leaf
        self.encoder = encoder
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
        check_choice("distance", self.distance, DISTANCES)
        check_choice("linkage", self.linkage, LINKAGES)
        most = len({(self.distance, self.linkage), *FURTHER})
        check_number("n_trees", self.n_trees, minimum=1, maximum=most, integer=True)
        if isinstance(self.encoder, str):
            check_choice("encoder", self.encoder, ("autoencoder",))
        elif self.encoder is not None and not hasattr(self.encoder, "transform"):
            raise TypeError(f"encoder is a {type(self.encoder).__name__}; pass a transformer, 'autoencoder' or None.")

    def _fit(self, X: Features, Y: csr_array, **weights: Any) -> None:
        self.encoder_ = None
        if self.encoder is not None:
            encoder = self.encoder
            if encoder == "autoencoder":  # It is looked up by name, since features stand above the families.
                encoder = find_class("Autoencoder")(min(256, *X.shape), random_state=self.random_state)
            self.encoder_ = clone(encoder).fit(super()._prepare(X))
        super()._fit(X, Y, **weights)

    def _prepare(self, X: Features) -> Features:
        rows = super()._prepare(X)
        if self.encoder_ is None:
            return rows
        codes = self.encoder_.transform(rows)
        sparse = issparse(codes)
        return super()._prepare(
            csr_array(codes, dtype=np.float32) if sparse else np.ascontiguousarray(codes, np.float32)
        )

    def _rows_to_fit(self, X: Features) -> TrainingRows:
        return super()._rows_to_fit(X) if self.encoder_ is None else self._prepare(X)

    def _input_names(self, names: Names | None, n_inputs: int) -> Names | None:
        return names if self.encoder_ is None else [f"code{i}" for i in range(n_inputs)]

    def _partition(self, X: TrainingRows, Y: csr_array, labels: NDArray[np.int64], seeds: NDArray[np.uint64]) -> Any:
        kinds = [(self.distance, self.linkage)]
        kinds += [kind for kind in FURTHER if kind not in kinds]
        Y = csr_array((np.ones_like(Y.data), Y.indices, Y.indptr), shape=Y.shape)
        vectors = label_vectors(X, Y, n_jobs=self.n_jobs)
        return [
            cooccurrence_tree(
                Y, vectors, distance=distance, linkage=linkage, max_leaf=self.max_leaf, n_jobs=self.n_jobs
            )
            for distance, linkage in kinds[: self.n_trees]
        ]

    # Persistence

    def _n_inputs(self) -> int:
        return self.n_features_in_ if self.encoder_ is None else self.encoder_.n_components

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays, metadata = super()._get_arrays()
        if self.encoder_ is None:
            return arrays, metadata
        if not isinstance(self.encoder_, find_class("Autoencoder")):
            raise TypeError(
                f"A model folder cannot hold the encoder, a {type(self.encoder_).__name__}; encode the rows in a "
                f"Pipeline instead, or pickle the estimator."
            )
        return arrays | with_prefix("encoder.", self.encoder_.arrays()), metadata

    def _fitted_arrays(self) -> Arrays:
        return super()._get_arrays()[0]  # A foreign encoder has none.

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        parts = without_prefix("encoder.", arrays)
        self.encoder_ = find_class("Autoencoder").from_arrays(parts) if parts else None
        super()._set_arrays(arrays, metadata, verify)


# Distance and linkage of the trees after the first.
FURTHER = (("jaccard", "average"), ("pifa", "average"), ("jaccard", "complete"))
