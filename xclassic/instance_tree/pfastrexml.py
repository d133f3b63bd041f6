"""PfastreXML: FastXML for labels that annotators miss (Jain, Prabhu and Varma, KDD 2016)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.base import Arrays, Metadata, Verify
from xclassic.changing import moved_rows, only_columns
from xclassic.instance_tree.fastxml import FastXML
from xclassic.instance_tree.reranking import TailReranker
from xclassic.metrics.propensity import check_constants, inverse_propensities
from xclassic.parallel import StopByte
from xclassic.storage.arrays import stored_array, with_prefix, without_prefix
from xclassic.storage.folder import ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number


class PfastreXML(FastXML):
    r"""FastXML that weighs labels by one over their propensity, and re-ranks by the means of the labels' rows.

    A rare label that is true is often not annotated. Weighing each label by one over the probability that it is
    annotated makes the training loss an unbiased estimate of the loss on complete labels, and moves rare labels up; so
    does the re-ranker. It is better than `FastXML` on propensity-scored metrics (PSP@k), and usually worse on P@k.

    Parameters
    ----------
    n_trees : int, default=50
        Trees, whose leaves are averaged.
    max_leaf : int, default=10
        Nodes of at most this many points are not split.
    max_depth : int, optional
        At most this many edges from the root to a leaf; no limit by default.
    propensity : str, (float, float) or None, default="default"
        A preset of `metrics.propensity` or its constants (A, B); None gives all labels the same weight.
    normalized_gain : bool, default=False
        Divide the gain of a row by the best that its labels can have, as `FastXML` does. The paper does not, since the
        best is unknown when labels are missing.
    alpha : float, default=0.9
        Weight of the forest in the final score, in [0, 1]; 1 is the forest alone ("PfastXML").
    gamma : float, default=30.0
        Rate at which the tail score falls with the squared distance: see `TailReranker`.
    candidates : int, default=1000
        Labels of the forest that are re-ranked, or as many as are to be predicted if that is more.
    C : float, default=4.0
        Cost of a point on the wrong side of a hyperplane, above 0: see `FastXML`.
    eps : float, default=0.1
        Residual at which a hyperplane is done: see `FastXML`.
    max_steps : int, default=3
        Newton steps after which a hyperplane is done in any case.
    leaf_labels : int, default=100
        Labels kept in a leaf, namely those of the largest weight.
    bias : float, default=1.0
        Value of a constant feature, in mean lengths of a row; 0 for none.
    normalize : bool, default=False
        Scale every row to unit length first. The re-ranker always does.
    n_jobs : int, optional
        Workers, as joblib counts them. The model does not depend on it.
    random_state : int or None, default=0
        Seed of the first sides; None takes a new one each time.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Attributes
    ----------
    trees_ : list of InstanceTree
    label_weights_ : ndarray of float32, shape (n_labels,)
        One over the propensity of each label.
    reranker_ : TailReranker

    See Also
    --------
    FastXML : The forest without weights and re-ranking.
    TailReranker : The re-ranker, for use with any other method.

    Notes
    -----
    Scores are above 0 and are not probabilities. A label that no leaf of a row has kept is not predicted, however near
    its mean is. Propensities and the means of the re-ranker come from the rows of ``fit``; ``partial_fit`` only fills
    leaves.

    ``fit`` takes weights as that of `FastXML`; propensities count rows by their weights,
    and means count each row once.

    Cost and memory: as for `FastXML`, and the means of the labels' rows.

    References
    ----------
    .. [1] H. Jain, Y. Prabhu and M. Varma, "Extreme multi-label loss functions for recommendation, tagging, ranking &
       other missing label applications", KDD 2016.

    Examples
    --------
    >>> from xclassic import PfastreXML, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = PfastreXML(n_trees=5).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    _probabilistic = False
    label_weights_: NDArray[np.float32]
    reranker_: TailReranker

    def __init__(
        self,
        n_trees: int = 50,
        *,
        max_leaf: int = 10,
        max_depth: int | None = None,
        propensity: str | tuple[float, float] | None = "default",
        normalized_gain: bool = False,
        alpha: float = 0.9,
        gamma: float = 30.0,
        candidates: int = 1000,
        C: float = 4.0,
        eps: float = 0.1,
        max_steps: int = 3,
        leaf_labels: int = 100,
        bias: float = 1.0,
        normalize: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.propensity = propensity
        self.normalized_gain = normalized_gain
        self.alpha = alpha
        self.gamma = gamma
        self.candidates = candidates
        super().__init__(
            n_trees,
            max_leaf=max_leaf,
            max_depth=max_depth,
            C=C,
            eps=eps,
            max_steps=max_steps,
            leaf_labels=leaf_labels,
            bias=bias,
            normalize=normalize,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("alpha", self.alpha, minimum=0, maximum=1)
        check_number("gamma", self.gamma, minimum=0)
        check_number("candidates", self.candidates, minimum=1, integer=True)
        if self.propensity is not None:
            check_constants("propensity", self.propensity)

    def _fit(self, X: Features, Y: csr_array, **options: Any) -> None:
        constants, sample_weight = self.propensity, options.get("sample_weight")
        weights = np.ones(Y.shape[1]) if constants is None else inverse_propensities(constants, Y, sample_weight)
        self.label_weights_ = weights.astype(np.float32)
        super()._fit(X, Y, **options)
        self.reranker_ = TailReranker(self.alpha, self.gamma)._average(X, Y)

    def _normalizers(self, Y: csr_array) -> NDArray[np.float32]:
        return super()._normalizers(Y) if self.normalized_gain else np.ones(Y.shape[0], np.float32)

    def _label_weights(self, Y: csr_array) -> NDArray[np.float32]:
        return self.label_weights_

    def _leaf_labels(self, Y: csr_array) -> csr_array:
        return csr_array((self.label_weights_[Y.indices], Y.indices, Y.indptr), shape=Y.shape)

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        n_labels = self.classes_.size
        if self.alpha == 1:
            return super()._topk(X, k, labels, stop)
        found = self._ensemble.rank(self._prepare(X), min(max(k, self.candidates), n_labels), labels, stop)
        return self.reranker_._reranked(X, found, stop).head(k)

    def _renumber(self, ids: NDArray[np.int32], n_labels: int) -> None:
        super()._renumber(ids, n_labels)
        rarest = self.label_weights_.max()
        self.label_weights_ = moved_rows(self.label_weights_, ids, n_labels, rarest)
        self.reranker_ = self.reranker_._renumbered(ids, n_labels)

    def _learn_labels(self, X: Features, Y: csr_array, new: NDArray[np.int32]) -> None:
        if self.propensity is not None:
            self.label_weights_[new] = inverse_propensities(self.propensity, Y)[new]
        super()._learn_labels(X, Y, new)
        self.reranker_ = self.reranker_._with_labels(X, only_columns(Y, new))

    def _add_rows(self, X: Features, Y: csr_array, known: tuple[Features, csr_array] | None) -> None:
        super()._add_rows(X, Y, known)
        without_mean = np.flatnonzero(~self.reranker_._trained).astype(np.int32)
        self.reranker_ = self.reranker_._with_labels(X, only_columns(Y, without_mean))

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays, metadata = super()._get_arrays()
        tail = with_prefix("tail.", self.reranker_._arrays())
        return arrays | tail | {"label_weights": self.label_weights_}, metadata

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        super()._set_arrays(arrays, metadata, verify)
        weights = stored_array(arrays, "label_weights", np.float32, (self.classes_.size,))
        if not (np.isfinite(weights) & (weights > 0)).all():
            raise ModelFileError("label_weights must be above 0 and finite.")
        self.label_weights_ = weights
        self.reranker_ = TailReranker(self.alpha, self.gamma)
        self.reranker_._take(without_prefix("tail.", arrays), self.n_features_in_, self.classes_.size)
