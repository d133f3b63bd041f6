"""DiSMEC: one-vs-rest linear classifiers with small weights dropped (Babbar and Schölkopf, WSDM 2017)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.blocks.problem import BlockProblem, by_descending_count
from xclassic.blocks.training import LOSSES, train_blocks
from xclassic.linear.one_vs_rest import IndependentLabels, costs_of_labels, memory_of_blocks
from xclassic.metrics.propensity import check_constants, inverse_propensities
from xclassic.parallel import spawn_seeds
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number
from xclassic.validation.weights import graded
from xclassic.weighing import WEIGHTS, TakesWeights
from xclassic.weighted_ranking import LOG_ODDS


class DiSMEC(TakesWeights, IndependentLabels):
    r"""One-vs-rest linear classifiers, L2-regularized, with small weights dropped after training.

    For each label, with :math:`t_i = 1` on its rows and :math:`-1` on all others,

    .. math:: \min_w \; \tfrac12 \|w\|^2 + C \sum_i c_i \max(0, 1 - t_i\, w \cdot x_i)^2

    with :math:`c_i = 1` unless rows, labels or signs have weights, or, for ``loss="logistic"``, with
    :math:`\log(1 + e^{-t_i w \cdot x_i})` as the loss. The accuracy of one-vs-rest is
    hard to beat on sparse text with up to some hundred thousand labels; label trees train faster beyond.

    Parameters
    ----------
    loss : {"squared_hinge", "logistic"}, default="squared_hinge"
    {prune} A larger value means a smaller
        model and faster prediction. The paper has 0.01, label trees usually 0.1. On held-out training rows of four data
        sets the two are equally accurate; on the long-tailed ones 0.1 keeps a seventh of the weights.
    {eps} The weights then differ
        from the optimal ones, in squared length, by at most this share. Usually they are far closer.
    propensity : {"default", "wikipedia", "amazon"}, tuple of (A, B), or None, default=None
        Weigh the positives of label l by :math:`c_i = 2/p_l - 1` with p_l its propensity under the preset or the
        constants. This favors rare labels (higher PSP@k), often at some cost in P@k. Since it raises the cost of
        errors, try a smaller `C` with it. Rows count as their `sample_weight`.
    {shared}

    Attributes
    ----------
    weights_ : BlockWeights
        The fitted models; ``weights_.to_csc(n_labels)`` gives them as a sparse matrix.
    gaps_ : ndarray of float64, shape (n_trained_labels,)
        Duality gap of each label that has a model as a share of :math:`\|w\|^2 / 2`, when last measured, most frequent
        label first.

    See Also
    --------
    OneVsRestLeastSquares : The same with squared loss, which is better on some data, and faster.

    Notes
    -----
    Scores are margins :math:`w \cdot x`, not probabilities. Labels without a training row are never predicted. Rows
    without labels are negatives of every label; rows without features see only the bias.

    In ``fit``, ``sample_weight`` multiplies the cost of a row, ``label_weight`` the cost of all rows in the model of a
    label, as a C of its own would, and ``relevance`` the cost of a positive.

    Cost: a few passes over the rows for every 16 labels. Memory: a copy of `X`, unless it is a map of
    `datasets.open_matrix`, from which rows are read; the finished sparse model; and
    ``64 (n_rows + n_features)`` bytes per worker.

    Training is dual coordinate descent on 16 labels at a time [2]_; see ``docs/design.md``.

    References
    ----------
    .. [1] R. Babbar and B. Schölkopf, "DiSMEC: Distributed sparse machines for extreme multi-label classification",
       WSDM 2017.
    .. [2] C.-J. Hsieh, K.-W. Chang, C.-J. Lin, S. S. Keerthi and S. Sundararajan, "A dual coordinate descent method for
       large-scale linear SVM", ICML 2008.
    .. [3] M. Qaraei, E. Schultheis, P. Gupta and R. Babbar, "Convex surrogates for unbiased loss functions in extreme
       classification with missing labels", WWW 2021 (the weights of `propensity`).

    Examples
    --------
    >>> from xclassic import DiSMEC, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = DiSMEC().fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    _of_fit = ("gaps_",)

    def __init__(
        self,
        C: float = 1.0,
        *,
        negative_cost: float = 1.0,
        loss: str = "squared_hinge",
        prune: float = 0.1,
        eps: float = 0.01,
        max_passes: int = 20,
        propensity: str | tuple[float, float] | None = None,
        bias: float = 1.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.C = C
        self.negative_cost = negative_cost
        self.loss = loss
        self.prune = prune
        self.eps = eps
        self.max_passes = max_passes
        self.propensity = propensity
        self.bias = bias
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    _reads_maps = True

    def _log_odds(self) -> float | None:
        return LOG_ODDS[self.loss]

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("C", self.C, minimum=0, inclusive=False)
        check_number("negative_cost", self.negative_cost, minimum=0, inclusive=False)
        check_choice("loss", self.loss, LOSSES)
        check_number("eps", self.eps, minimum=0, inclusive=False)
        check_number("max_passes", self.max_passes, minimum=1, integer=True)
        if self.propensity is not None:
            check_constants("propensity", self.propensity)

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
        labels = by_descending_count(Y)
        costs = costs_of_labels(self.C, labels, label_weight)
        weights = np.ones(len(labels))
        if self.propensity is not None:
            weights = 2 * inverse_propensities(self.propensity, Y, sample_weight)[labels] - 1
        trained = train_blocks(
            BlockProblem(self._rows_to_fit(X), bias=self.bias),
            Y,
            labels,
            loss=self.loss,
            eps=self.eps,
            max_passes=self.max_passes,
            prune=self.prune,
            positive_costs=(costs * weights).astype(np.float32),
            negative_costs=(costs * self.negative_cost).astype(np.float32),
            row_weights=sample_weight,
            pair_costs=graded(relevance),
            seed=int(spawn_seeds(self.random_state, 1)[0]),
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        self.weights_ = trained.weights
        self.gaps_ = trained.residuals

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        return memory_of_blocks(n, d, L, nnz_x, self.n_jobs, arrays_per_feature=1)
