"""PPDSparse: one-vs-rest with sparse weights and sparse dual variables (Yen et al., KDD 2017)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array
from sklearn.utils.extmath import row_norms

from xclassic._kernels.active_set import solve_active_sets
from xclassic._kernels.arguments import FeatureRows
from xclassic.blocks.problem import BlockProblem, by_descending_count, label_ranges, positives
from xclassic.blocks.training import Trained, run_blocks, train_blocks
from xclassic.blocks.weights import BlockWeights, sparse_cells
from xclassic.linear.one_vs_rest import IndependentLabels, costs_of_labels, memory_of_blocks
from xclassic.parallel import StopByte, run_tasks, spawn_seeds
from xclassic.rows import kernel_rows
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number
from xclassic.validation.weights import graded
from xclassic.weighing import WEIGHTS, TakesWeights
from xclassic.weighted_ranking import LOG_ODDS

# A label is solved by its active set where that reads at most this share of X; a block reads X for 16 labels at once.
# It reads the columns of its weights some times, and its positives with as many violators beside them as sweeps need;
# both factors were measured on two long-tailed data sets.
SHARE = 1 / 6
COLUMN_READS, ROW_READS = 2, 1000


class PPDSparse(TakesWeights, IndependentLabels):
    r"""One-vs-rest linear classifiers whose weights are sparse by an L1 penalty.

    For each label, with :math:`t_i = 1` on its rows and :math:`-1` on all others,

    .. math:: \min_{w, b} \; \lambda \|w\|_1 + \tfrac12 \|w\|^2 + \tfrac12 b^2
              + C \sum_i \max(0, 1 - t_i (w \cdot x_i + \beta b))^2

    where :math:`\beta` is `bias`, whose weight b has no L1 penalty. The accuracy is that of `DiSMEC`; the weights that
    do not matter are zero at the optimum, rather than dropped after it.

    Parameters
    ----------
    l1 : float, default=0.1
        Weight :math:`\lambda` of the L1 penalty, at least 0. A larger one means fewer weights. If it is so large that
        all are zero, labels are ranked by their frequency.
    C : float, default=1.0
        Cost of an error, above 0. A larger cost fits the training rows more closely, with more weights.
    eps : float, default=0.01
        Duality gap at which the training of a label ends, as a share of :math:`(\|w\|^2 + b^2) / 2`. The weights then
        differ from the optimal ones, in squared length, by at most this share.
    max_passes : int, default=20
        Passes over the rows, or searches for further rows, after which the training of a label ends in any case.
    prune : float, default=0.0
        Weights of at most this absolute value are dropped after training.
    bias : float, default=1.0
        Value of a constant feature; 0 for none.
    {shared}

    Attributes
    ----------
    weights_ : BlockWeights
        The fitted models; ``weights_.to_csc(n_labels)`` gives them as a sparse matrix.
    gaps_ : ndarray of float64, shape (n_trained_labels,)
        Duality gap of each label that has a model as a share of :math:`(\|w\|^2 + b^2) / 2`, when last measured.
    gap_labels_ : ndarray of int64, shape (n_trained_labels,)
        The label of each gap.

    See Also
    --------
    DiSMEC : The same without the L1 penalty; its small weights are dropped after training.

    Notes
    -----
    Scores are margins :math:`w \cdot x + \beta b`, not probabilities. Labels without a training row are never
    predicted. Rows without labels are negatives of every label; rows without features see only the bias.

    In ``fit``, ``sample_weight`` multiplies the cost of a row, ``label_weight`` the cost of all rows in the model of a
    label, and ``relevance`` the cost of a positive. With any of them, or a `negative_cost` other than 1, all labels are
    trained on all rows.

    The dual variables :math:`\alpha_i \ge 0` give the weights as a soft threshold of
    :math:`v = \sum_i \alpha_i t_i x_i`. Two solvers find them, which one depends on the data alone:

    - Labels whose words are in many rows are trained 16 side by side on all rows, as in `DiSMEC` [2]_.
    - For the others the few rows that matter are searched. Their set begins with the positives; then rows that violate
      the margin are found by the columns of the nonzero weights and added, until the gap is small. Here
      :math:`\beta b \le -1`, so that negatives without any word in common cost nothing. What this bound costs falls as
      1 / n_rows; a label for which it and the gap together exceed `eps` is trained in the first way after all.

    With weights of rows or labels all labels are trained in the first way.

    Cost: a few passes over the rows for every 16 labels of the first kind, and a few reads of the columns of its
    weights for each of the second. Memory: two copies of `X`, twice the finished sparse model, and
    ``64 (n_rows + n_features)`` bytes per worker.

    References
    ----------
    .. [1] I. E. H. Yen, X. Huang, W. Dai, P. Ravikumar, I. Dhillon and E. Xing, "PPDsparse: A parallel primal-dual
       sparse method for extreme classification", KDD 2017, section 3.
    .. [2] C.-J. Hsieh, K.-W. Chang, C.-J. Lin, S. S. Keerthi and S. Sundararajan, "A dual coordinate descent method
       for large-scale linear SVM", ICML 2008.

    Examples
    --------
    >>> from xclassic import PPDSparse, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = PPDSparse().fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    gaps_: NDArray[np.float64]
    gap_labels_: NDArray[np.int64]

    _of_fit = ("gaps_", "gap_labels_")

    def __init__(
        self,
        l1: float = 0.1,
        *,
        C: float = 1.0,
        negative_cost: float = 1.0,
        eps: float = 0.01,
        max_passes: int = 20,
        prune: float = 0.0,
        bias: float = 1.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.l1 = l1
        self.C = C
        self.negative_cost = negative_cost
        self.eps = eps
        self.max_passes = max_passes
        self.prune = prune
        self.bias = bias
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _log_odds(self) -> float | None:
        return LOG_ODDS["squared_hinge"]

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("l1", self.l1, minimum=0)
        check_number("C", self.C, minimum=0, inclusive=False)
        check_number("negative_cost", self.negative_cost, minimum=0, inclusive=False)
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
        X, labels, relevance = self._prepare(X), by_descending_count(Y), graded(relevance)
        weighted = self.negative_cost != 1 or any(w is not None for w in (sample_weight, label_weight, relevance))
        rare = labels[:0] if weighted else self._rare(X, Y, labels)  # Active sets know one cost alone.
        found = self._solved(X, Y, rare)
        solved = found.residuals <= self.eps
        frequent = labels[~np.isin(labels, rare[solved])]
        costs = costs_of_labels(self.C, frequent, label_weight)
        trained = train_blocks(
            BlockProblem(X, bias=self.bias),
            Y,
            frequent,
            loss="squared_hinge",
            l1=self.l1,
            eps=self.eps,
            max_passes=self.max_passes,
            prune=self.prune,
            positive_costs=costs,
            negative_costs=(costs * self.negative_cost).astype(np.float32),
            row_weights=sample_weight,
            pair_costs=relevance,
            seed=int(spawn_seeds(self.random_state, 1)[0]),
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        found.weights.labels[: len(rare)][~solved] = -1  # Lanes without weights.
        self.weights_ = BlockWeights.concatenated([trained.weights, found.weights]) if len(rare) else trained.weights
        self.gaps_ = np.concatenate([trained.residuals, found.residuals[solved]])
        self.gap_labels_ = np.concatenate([frequent, rare[solved]])

    def _rare(self, X: Features, Y: csr_array, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of `labels` whose active sets are searched."""
        if isinstance(X, np.ndarray) or self.bias == 0:
            return labels[:0]
        rows_of = csr_array(Y.T)[labels]
        cost = ROW_READS * (rows_of @ np.diff(X.indptr))
        few = np.flatnonzero(cost <= SHARE * X.nnz)
        reads = partial(_column_reads, X, np.bincount(X.indices, minlength=X.shape[1]), self.l1 / min(2, 4 * self.C))
        tasks = [rows_of[few[a:b]] for a, b in label_ranges(len(few))]
        cost[few] += COLUMN_READS * np.concatenate([few[:0], *run_tasks(reads, tasks, n_jobs=self.n_jobs)])
        return labels[cost <= SHARE * X.nnz]

    def _solved(self, X: Features, Y: csr_array, labels: NDArray[np.int64]) -> Trained:
        """Return what active sets find for `labels`. Those whose residual is above `eps` have no weights."""
        if not len(labels):
            return run_blocks(_solve, [], labels, X.shape[1], self.n_jobs, self.verbose)
        pointers, label_rows, _ = positives(Y, labels)
        solve = partial(
            _solve,
            kernel_rows(X),
            kernel_rows(csc_array(X).T),
            squares=row_norms(X, squared=True).astype(np.float32),
            label_rows=label_rows,
            l1=self.l1,
            cost=self.C,
            bias=self.bias,
            eps=self.eps,
            prune=self.prune,
            max_rounds=self.max_passes,
            seed=int(spawn_seeds(self.random_state, 1)[0]),
        )
        tasks = [pointers[a : b + 1] for a, b in label_ranges(len(labels))]
        return run_blocks(solve, tasks, labels, X.shape[1], self.n_jobs, self.verbose)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        return memory_of_blocks(n, d, L, nnz_x, self.n_jobs, arrays_per_feature=1) + 12 * nnz_x


def _column_reads(
    X: csr_array, lengths: NDArray[np.int64], reach: float, rows_of: csr_array, stop: StopByte
) -> NDArray[np.int64]:
    """Return the entries of the columns in which the rows of a label sum up to more than `reach`, for each label."""
    sums = rows_of @ X
    sums.data = np.abs(sums.data) > reach
    return sums @ lengths  # type: ignore[no-any-return]


def _solve(
    rows: FeatureRows, columns: FeatureRows, label_ptr: NDArray[np.int64], stop: StopByte, **options: Any
) -> Any:
    """Return (cells, bias, gaps, work) of some labels, as `run_blocks` takes them."""
    sizes, features, weights, biases, gaps, _, _, work = solve_active_sets(
        rows, columns, label_ptr=label_ptr, stop=stop, **options
    )
    ends = np.concatenate([[0], np.cumsum(sizes)])
    W = csc_array((weights, features, ends), shape=(columns.n_rows, len(sizes)))
    return sparse_cells(W), biases, gaps, work
