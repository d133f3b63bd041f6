"""Slice: one-vs-rest on the labels whose centroids are near (Jain, Balasubramanian, Chunduri and Varma, WSDM 2019)."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.base import Arrays, Metadata, Verify, XMCClassifier
from xclassic.blocks.explaining import Row
from xclassic.blocks.problem import BlockProblem, weighted_labels
from xclassic.blocks.shortlists import margins_of, train_on_shortlists
from xclassic.blocks.weights import BlockWeights
from xclassic.explanation import Names, Step
from xclassic.linear.nearest_centroid import centroid_weights
from xclassic.linear.one_vs_rest import OneVsRestLinear, label_steps, memory_of_blocks
from xclassic.metrics.ranking import recall_at_k
from xclassic.parallel import StopByte, run_tasks
from xclassic.storage.arrays import with_prefix, without_prefix
from xclassic.storage.folder import ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number
from xclassic.weighing import WEIGHTS, TakesWeights
from xclassic.weighted_ranking import LOG_ODDS

PRIORS = (0.0, 0.005, 0.01, 0.02, 0.05, 0.1)  # What "auto" tries; of equal ones the first, which is the paper's.
HELD_OUT = 5  # Every fifth row is held out for it,
MOST_TRIED = 1000  # and at most this many of them are searched.
ROWS = 512  # Rows of one task of the search.


class Slice(TakesWeights, OneVsRestLinear):
    r"""One-vs-rest linear classifiers, trained and asked only where the centroid of their label is near.

    With the centroid :math:`\mu_l` of the rows of a label, scaled to unit length, and their share :math:`\pi_l`, the
    generative score of a label is

    .. math:: g_l(x) = \mu_l \cdot x + \rho \log \pi_l

    and the s labels for which it is largest are the shortlist :math:`S(x)` of a row. Each label has a
    classifier that tells its rows apart from those which have it on their shortlist by mistake,

    .. math:: \min_{w_l} \; \tfrac12 \|w_l\|^2 + C \sum_{i:\, y_{il} = 1 \text{ or } l \in S(x_i)}
              \max(0, 1 - t_{il}\, w_l \cdot x_i)^2

    and the labels on the shortlist of a row are ranked by :math:`(1 - \alpha)\, g_l(x) + \alpha\, w_l \cdot x`. So the
    cost of training does not grow with the number of labels, but with the length of the shortlists.

    Parameters
    ----------
    shortlist : int, default=300
        Labels s on the shortlist of a row, at least 1. More cost more to train and lose fewer labels; with all of them
        the classifiers are those of one-vs-rest.
    alpha : float, default=0.5
        Weight of the classifiers in the scores, in [0, 1]; 0 ranks by the generative score alone.
    prior : float or "auto", default="auto"
        Weight :math:`\rho` of the frequency of a label, at least 0. A larger one brings more frequent labels to the
        shortlists; 0 is the paper's. "auto" takes what finds most labels of held-out rows.
    max_entries : int, default=1000
        The largest entries kept of each centroid of sparse rows. More make a larger model.
    max_passes : int, default=20
        Passes over the rows of a label after which its training ends in any case.
    bias : float, default=1.0
        Value of a constant feature of the classifiers, which is regularized as the others are; 0 for none.
    {shared}

    Attributes
    ----------
    centroids_ : BlockWeights
        The centroids, and the part of the prior in each score as their bias.
    weights_ : BlockWeights
        The classifiers.
    prior_ : float
        The prior that was used.

    See Also
    --------
    DiSMEC : Trains on all rows and scores all labels.
    NearestCentroid : The generative score alone, without prior.

    Notes
    -----
    Labels without a training row are never predicted. Rows without labels are negatives of the labels on their
    shortlist. Rows without features have the most frequent labels on theirs if the prior is above 0, and see only
    biases. No more than `shortlist` labels are predicted for a row; where predictions are restricted to some labels,
    the shortlist holds these alone.

    In ``fit``, ``sample_weight`` and ``relevance`` weigh the rows of the centroids, and with ``label_weight`` the costs
    of the classifiers as in `DiSMEC`. The prior, the choice of `prior` and shortlists count each row once.

    The search is exact, and margins are taken of all labels 16 side by side before those of the shortlist are picked,
    which for sparse rows reads less than the weights of 300 labels would. So prediction takes longer than that of
    one-vs-rest, whose weights are fewer than the entries of the centroids.

    Cost: products of all rows with the centroids, and a few passes over the rows of each label, ``shortlist n_rows`` in
    all. Memory: a copy of `X`, 30 bytes for each row and label on its shortlist, the finished model, and per worker
    the rows of the label that has most.

    References
    ----------
    .. [1] H. Jain, V. Balasubramanian, B. Chunduri and M. Varma, "Slice: Scalable linear extreme classifiers trained
       on 100 million labels for related searches", WSDM 2019.

    Examples
    --------
    >>> from xclassic import Slice, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = Slice(shortlist=50).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    centroids_: BlockWeights
    prior_: float

    def __init__(
        self,
        shortlist: int = 300,
        *,
        C: float = 0.3,
        negative_cost: float = 1.0,
        alpha: float = 0.5,
        prior: float | str = "auto",
        max_entries: int = 1000,
        prune: float = 0.1,
        eps: float = 0.01,
        max_passes: int = 20,
        bias: float = 1.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.shortlist = shortlist
        self.C = C
        self.negative_cost = negative_cost
        self.alpha = alpha
        self.prior = prior
        self.max_entries = max_entries
        self.prune = prune
        self.eps = eps
        self.max_passes = max_passes
        self.bias = bias
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _log_odds(self) -> float | None:
        return LOG_ODDS["squared_hinge"] / self.alpha if self.alpha else None  # That much of a margin is in a score.

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("shortlist", self.shortlist, minimum=1, integer=True)
        check_number("C", self.C, minimum=0, inclusive=False)
        check_number("negative_cost", self.negative_cost, minimum=0, inclusive=False)
        check_number("alpha", self.alpha, minimum=0, maximum=1)
        if isinstance(self.prior, str):
            check_choice("prior", self.prior, ("auto",))
        else:
            check_number("prior", self.prior, minimum=0)
        check_number("max_entries", self.max_entries, minimum=1, integer=True)
        check_number("eps", self.eps, minimum=0, inclusive=False)
        check_number("max_passes", self.max_passes, minimum=1, integer=True)

    def _weights_taken(self) -> tuple[str, ...]:
        return WEIGHTS

    def _fit(
        self,
        X: Features,
        Y: csr_array,
        *,
        sample_weight: NDArray[np.float32] | None = None,
        label_weight: NDArray[np.float32] | None = None,
        relevance: csr_array | None = None,
    ) -> None:
        X = self._prepare(X)
        self.prior_ = self._chosen_prior(X, Y)
        centroids = self._centroids(X, weighted_labels(Y, sample_weight, relevance))
        self.centroids_ = _with_prior(centroids, Y, self.prior_)
        self.weights_ = self._classifiers(
            X,
            Y if relevance is None else relevance,
            self._shortlists(X, Y.shape[1]),
            sample_weight=sample_weight,
            label_weight=label_weight,
        )

    # The generative model

    def _centroids(self, X: Features, Y: csr_array) -> BlockWeights:
        return centroid_weights(X, Y, max_entries=self.max_entries, n_jobs=self.n_jobs, verbose=self.verbose)

    def _chosen_prior(self, X: Features, Y: csr_array) -> float:
        """Return the parameter, or the prior by which the shortlists of held-out rows hold most of their labels."""
        if not isinstance(self.prior, str):
            return float(self.prior)
        held_out = np.arange(X.shape[0]) % HELD_OUT == HELD_OUT - 1
        Y_rest = Y[~held_out]
        if np.unique(Y_rest.indices).size <= self.shortlist:  # Then all labels are on all shortlists.
            return PRIORS[0]
        centroids = self._centroids(X[~held_out], Y_rest)
        queries = np.flatnonzero(held_out)[:MOST_TRIED]
        recall = partial(_recall, centroids, Y_rest, X[queries], Y[queries], self.shortlist)
        found = run_tasks(recall, PRIORS, n_jobs=self.n_jobs, description="choosing the prior", verbose=self.verbose)
        return PRIORS[int(np.argmax(found))]

    def _shortlists(self, X: Features, n_labels: int) -> csr_array:
        """Return the shortlist of each row as a row of ones."""
        search = partial(_search, self.centroids_, X, min(self.shortlist, n_labels))
        starts = range(0, X.shape[0], ROWS)
        parts = run_tasks(search, starts, n_jobs=self.n_jobs, description="shortlists", verbose=self.verbose)
        counts, ids = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        ends = np.concatenate([[0], np.cumsum(counts)])
        return csr_array((np.ones(len(ids), np.float32), ids, ends), shape=(X.shape[0], n_labels))

    # The classifiers

    def _classifiers(self, X: Features, Y: csr_array, shortlists: csr_array, **weights: Any) -> BlockWeights:
        """Return a classifier of each label, trained on its rows and on those that have it on their shortlist."""
        return train_on_shortlists(
            BlockProblem(X, bias=self.bias),
            Y,
            shortlists,
            C=self.C,
            negative_cost=self.negative_cost,
            **weights,
            eps=self.eps,
            max_passes=self.max_passes,
            prune=self.prune,
            random_state=self.random_state,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )

    # Prediction

    def _renumber(self, ids: NDArray[np.int32], n_labels: int) -> None:
        super()._renumber(ids, n_labels)
        self.centroids_ = self.centroids_.relabeled(ids)

    def _topk(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        X = self._prepare(X)
        listed = self.centroids_.ranked(X, min(self.shortlist, self.classes_.size), labels, stop=stop)
        if not listed.counts.any():
            return TopK.empty(X.shape[0], k)
        generative = np.where(listed.filled(), listed.scores, 0)
        scores = (1 - self.alpha) * generative + self.alpha * margins_of(self.weights_, X, listed.ids, stop=stop)
        return TopK.from_csr(TopK(listed.ids, scores, listed.counts).to_csr(self.classes_.size), k)

    _weighted_topk = XMCClassifier._weighted_topk  # Shortlists are those without weights.

    def _explained(self, row: Row, label: int, label_names: Names | None) -> tuple[float, int, list[Step]]:
        name = str((self.classes_ if label_names is None else label_names)[label])
        steps = [
            *label_steps(self.centroids_, row, label, f"{name}, centroid", 1 - self.alpha),
            *label_steps(self.weights_, row, label, f"{name}, classifier", self.alpha),
        ]
        kept = all(step.rank <= self.shortlist for step in steps[:1])
        return sum(step.contribution for step in steps), 0, [replace(step, kept=kept) for step in steps]

    # Persistence

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays, metadata = super()._get_arrays()
        return arrays | with_prefix("centroids.", self.centroids_.arrays()), metadata

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        super()._set_arrays(arrays, metadata, verify)
        parts, n_labels = without_prefix("centroids.", arrays), self.classes_.size
        self.centroids_ = BlockWeights.from_arrays(parts, self.n_features_in_, n_labels, full=verify == "full")
        if not np.array_equal(self.centroids_.labels, self.weights_.labels):
            raise ModelFileError("The centroids of the model are not of the labels that have classifiers.")

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        pairs = n * min(self.shortlist, L) + nnz_y
        centroids = 40 * min(nnz_y * max(1, nnz_x // max(1, n)), L * d, L * self.max_entries)
        return 30 * pairs + centroids + memory_of_blocks(n, d, L, nnz_x, self.n_jobs, arrays_per_feature=1)


def _with_prior(centroids: BlockWeights, Y: csr_array, prior: float) -> BlockWeights:
    """Add to the score of each label what its frequency says."""
    counts, used = np.bincount(Y.indices, minlength=Y.shape[1]), centroids.labels >= 0
    bias = np.zeros(len(centroids.labels), np.float32)
    bias[used] = prior * np.log(counts[centroids.labels[used]] / Y.shape[0])
    return replace(centroids, bias=bias)


def _recall(
    centroids: BlockWeights, Y: csr_array, X: Features, truth: csr_array, shortlist: int, prior: float, stop: StopByte
) -> float:
    return recall_at_k(truth, _with_prior(centroids, Y, prior).ranked(X, shortlist, stop=stop), shortlist)


def _search(centroids: BlockWeights, X: Features, shortlist: int, start: int, stop: StopByte) -> Any:
    found = centroids.ranked(X[start : start + ROWS], shortlist, stop=stop)
    return found.counts, found.ids[found.filled()]
