"""SwiftXML: PfastreXML for rows of which some labels are known already (Prabhu et al., WSDM 2018)."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.sparse import csr_array
from sklearn.utils import check_random_state

from xclassic.base import Arrays, Metadata, Verify
from xclassic.datasets.split import reveal_labels
from xclassic.instance_tree.fastxml import mean_length, nearest_power
from xclassic.instance_tree.forest import grown_trees, refilled
from xclassic.instance_tree.growing import grow_tree
from xclassic.instance_tree.label_sets import LabelSets
from xclassic.instance_tree.pfastrexml import PfastreXML
from xclassic.instance_tree.reranking import TailReranker
from xclassic.instance_tree.revealed import RevealedLabelsForest
from xclassic.instance_tree.tree import InstanceTree
from xclassic.instance_tree.two_views import TwoViewSplitter
from xclassic.parallel import StopByte
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number

UNTOLD = 0.2  # Share of the rows of a tree that have nothing revealed, if they have many labels; of others it is more.


class SwiftXML(RevealedLabelsForest, PfastreXML):
    r"""PfastreXML with a second view of a row: those of its labels that are known already.

    Tags that a user has typed, products in a basket: where some labels of a row are revealed, the others are easier to
    predict. Each node learns a second hyperplane, over the revealed labels, and the re-ranker compares them with those
    that a label usually occurs with. Revealed labels are never predicted. Without any, at training and at prediction,
    it is `PfastreXML`.

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
        Divide the gain of a row by the best that its labels can have: see `PfastreXML`.
    alpha : float, default=0.9
        Weight of the forest in the final score, in [0, 1]; 1 is the forest alone.
    gamma : float, default=30.0
        Rate at which the tail score falls with the squared distance: see `TailReranker`.
    candidates : int, default=1000
        Labels of the forest that are re-ranked, or as many as are to be predicted if that is more.
    C : float, default=4.0
        Cost of a point on the wrong side of a hyperplane over features, above 0: see `FastXML`.
    C_revealed : float, default=2.0
        The same for the hyperplanes over revealed labels. More makes them count more in the routes.
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
        Seed of the first sides and of the labels that are revealed in training; None takes a new one each time.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Attributes
    ----------
    trees_ : list of InstanceTree
        Their features are those of `X`, followed by the labels. A row counts in them once for each way that it takes.
    label_weights_ : ndarray of float32, shape (n_labels,)
        One over the propensity of each label.
    reranker_ : TailReranker
        Compares rows with the mean row of each label.
    set_reranker_ : TailReranker
        Compares revealed labels with those that each label occurs with.

    See Also
    --------
    PfastreXML : The forest without a second view.
    datasets.reveal_labels : Splits known labels into revealed ones and the rest, to measure on.

    Notes
    -----
    With m revealed labels of a row i, its second view is the sum of their unit vectors, of length below one since few
    labels tell little: :math:`z_{il} = 1 / \sqrt{m + 1}`. The objective of a node, with sides
    :math:`\delta_i = \pm 1` and rankings :math:`r^\pm` as in `PfastreXML`, is

    .. math:: \|w_x\|_1 + \|w_z\|_1 + \sum_i c_i \left[C_x \log(1 + e^{-\delta_i w_x x_i})
       + C_z \log(1 + e^{-\delta_i w_z z_i})\right] - \sum_i \mathrm{PSDCG}(r^{\delta_i}, y_i).

    The sides are settled by the rankings, both hyperplanes are fitted to them once, and a row goes by the sign of
    :math:`w_x x + w_z z`. The second hyperplane has no constant feature, so that a row without revealed labels goes
    by its features alone. The re-ranker is that of `PfastreXML` with the squared distance
    :math:`\|x - \mu_l\|^2 + \frac{1}{2} |z|^2 \|\hat z - \mu^z_l\|^2`, where :math:`\hat z` is z at unit length and
    :math:`\mu^z_l` the mean of the sets that label l occurs in, without l.

    *Training without* ``revealed``: every tree draws for each row a number of labels, from none to all but one, and
    reveals as many at random; of rows with many labels a fifth has none revealed. The trees rank, and the leaves
    average, all labels of a row: what a row has revealed is dropped from its predictions anyway. If all were revealed
    in training, a label would tell of itself. A finished tree is passed by all rows again, without revealed labels and
    with others that are drawn, and its leaves average what they were reached by in all three ways. So rows without
    revealed labels are predicted about as well as by `PfastreXML`. Labels that are passed to ``fit`` are revealed in
    every tree, and leaves average rows with these labels and without any.

    A revealed label that no training row has, neither in `y` nor revealed, changes nothing; names that are not among
    ``classes_`` are ignored. In the paper a label is described by features of its own, such as its words; sums of the
    labels' mean rows instead of unit vectors were less accurate here, so there is no parameter for such features. Rows
    without labels and labels without rows: as for `PfastreXML`.

    Cost and memory: as for `PfastreXML`, and the sets in the same way as the rows. The means of the sets have as many
    entries as there are pairs of labels that occur together. In prediction a copy of the rows, and in training one per
    worker.

    References
    ----------
    .. [1] Y. Prabhu, A. Kag, S. Gopinath, K. Dahiya, S. Harsola, R. Agrawal and M. Varma, "Extreme multi-label learning
       with label features for warm-start tagging, ranking & recommendation", WSDM 2018.

    Examples
    --------
    >>> from xclassic import SwiftXML, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = SwiftXML(n_trees=5).fit(bibtex.X, bibtex.Y)
    >>> revealed, rest = datasets.reveal_labels(bibtex.Y_test, 0.6, random_state=0)
    >>> top = clf.predict_topk(bibtex.X_test, k=3, revealed=revealed)
    >>> int((top.to_csr(159) * revealed).nnz)
    0
    """

    _view: LabelSets

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
        C_revealed: float = 2.0,
        eps: float = 0.1,
        max_steps: int = 3,
        leaf_labels: int = 100,
        bias: float = 1.0,
        normalize: bool = False,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.C_revealed = C_revealed
        super().__init__(
            n_trees,
            max_leaf=max_leaf,
            max_depth=max_depth,
            propensity=propensity,
            normalized_gain=normalized_gain,
            alpha=alpha,
            gamma=gamma,
            candidates=candidates,
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
        check_number("C_revealed", self.C_revealed, minimum=0, inclusive=False)

    @property
    def set_reranker_(self) -> TailReranker:
        """Compares revealed labels with those that each label occurs with."""
        return self._view.reranker

    # Training

    def _fit(self, X: Features, Y: csr_array, **options: Any) -> None:
        known = self._given(options["revealed"], Y)
        means = TailReranker(self.alpha, self.gamma)
        self._view = LabelSets.of_training(nearest_power(mean_length(self._prepare(X))), known, Y, means)
        super()._fit(X, Y, revealed=known)

    def _grown(self, X: Features, Y: csr_array, seeds: NDArray[np.uint64], **options: Any) -> list[InstanceTree]:
        X = self._prepare(X)
        grow = partial(_grow, self, X, csr_array(X), Y, self._given(options["revealed"], Y))
        return grown_trees(self, grow, seeds, Y.shape[1])

    def _add_points(self, X: Features, Y: csr_array, given: csr_array | None) -> Self:
        for known in _ways(Y, given, check_random_state(self.random_state)):
            self._fill(self._view.beside(self._prepare(X), known), Y)
        return self

    def _n_columns(self) -> int:
        return self.n_features_in_ + self.classes_.size

    # Prediction

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        X, known = self._parted(X)
        n_labels = self.classes_.size
        n_ranked = min(k if self.alpha == 1 else max(k, self.candidates), n_labels)
        n_found = min(n_ranked + int(np.diff(known.indptr).max(initial=0)), n_labels)  # Some of them are revealed.
        found = self._ensemble.rank(self._view.beside(self._prepare(X), known), n_found, labels, stop)
        found = found.without(known).head(n_ranked)
        if self.alpha == 1:
            return found
        distances = self.reranker_._distances(X, found, stop) + self._view.distances(known, found, stop)
        return self.reranker_._rescored(found, distances).head(k)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        sets = effective_n_jobs(self.n_jobs) * (72 * nnz_y + 8 * L)
        means = 16 * min(nnz_y * (nnz_y // n + 1), L * L)
        return super()._estimate_memory(n, d, L, nnz_x, nnz_y) + sets + means

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays, metadata = super()._get_arrays()
        own, length = self._view.arrays()
        return arrays | own, metadata | length

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        super()._set_arrays(arrays, metadata, verify)
        means = TailReranker(self.alpha, self.gamma)
        self._view = LabelSets.from_arrays(arrays, metadata, self.classes_.size, means)


def _grow(
    forest: SwiftXML,
    X: Features,
    sparse_X: csr_array,
    Y: csr_array,
    given: csr_array | None,
    seed: int,
    stop: StopByte,
) -> Arrays:
    own = np.random.SeedSequence(seed).spawn(1)[0]  # Other numbers than those of the sides.
    known, *others = _ways(Y, given, np.random.RandomState(np.random.MT19937(own)))
    view, labels = forest._view, forest._leaf_labels(Y)
    splitter = forest._splitter(X, Y, seed)
    tree = grow_tree(
        forest._rows_of_tree(X.shape[0], seed),
        labels,
        TwoViewSplitter(splitter, sparse_X, view.rows(known), 1 / view.length, forest.C_revealed),
        seed,
        stop,
        max_leaf=forest.max_leaf,
        max_depth=forest.max_depth,
        max_labels=forest.leaf_labels,
        n_features=forest._n_columns(),
    )
    for known in others:
        tree = refilled(view.beside(sparse_X, known), labels, forest.leaf_labels, tree, stop)
    return tree.arrays()


def _ways(Y: csr_array, given: csr_array | None, random: np.random.RandomState) -> list[csr_array]:
    """Return the revealed labels with which rows go to leaves: some, none, and other ones if these are drawn."""
    known = _drawn(Y, random) if given is None else given
    if not known.nnz:
        return [known]
    others = [reveal_labels(Y, random_state=random)[0]] if given is None else []
    return [known, csr_array(Y.shape, dtype=np.float32), *others]


def _drawn(Y: csr_array, random: np.random.RandomState) -> csr_array:
    """Draw revealed labels, none for one of n rows of n labels, but for a share of `UNTOLD` at least."""
    known, _ = reveal_labels(Y, random_state=random)
    n_labels = np.maximum(np.diff(Y.indptr), 1)
    told = random.uniform(size=len(n_labels)) >= UNTOLD - 1 / n_labels
    known.data *= np.repeat(told, np.diff(known.indptr))
    known.eliminate_zeros()
    return known
