"""PD-Sparse: one max-margin problem over all labels, sparse in both primal and dual (Yen et al., ICML 2016)."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from xclassic.blocks.problem import by_descending_count
from xclassic.blocks.weights import BlockWeights
from xclassic.linalg.ridge import with_bias
from xclassic.linear.frank_wolfe import half_square, improve_rows, keep_weights, weights_of
from xclassic.linear.one_vs_rest import OneVsRestLinear
from xclassic.parallel import StopByte, run_tasks, spawn_seeds
from xclassic.rows import spans
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number
from xclassic.weighted_ranking import LOG_ODDS


class PDSparse(OneVsRestLinear):
    r"""Max-margin ranking of all labels at once, with an L1 penalty: sparse in the weights and in the dual variables.

    With :math:`z_{il} = w_l \cdot x_i`, :math:`P_i` the labels of row i and :math:`N_i` all others,

    .. math:: \min_W \; \sum_l \left(\lambda \|w_l\|_1 + \tfrac12 \|w_l\|^2\right)
        + \sum_i \max_{a, b} \Big(\sum_{n \in N_i} b_n (1 + z_{in}) - \sum_{p \in P_i} a_p z_{ip}
        - \tfrac\mu2 (\|a\|^2 + \|b\|^2)\Big)

    where :math:`a, b \ge 0` have the same sum, at most C. For :math:`\mu = 0`, the loss of the paper, the maximum over
    them is :math:`C \max_{n, p} (1 + z_{in} - z_{ip})_+`: of all labels only the worst pair counts. For
    :math:`\mu > 0` the loss is smooth and several labels share it, which ranks far better where rows have many labels.

    Parameters
    ----------
    C : float, default=10.0
        Cost of a wrong order, above 0: the most that a row can weigh.
    l1 : float, default=0.03
        Penalty :math:`\lambda`, at least 0. A larger one gives fewer weights, first of all to rare labels; from some
        value on there are none.
    smoothing : float, default=1.0
        :math:`\mu`, at least 0: the larger it is, the more labels beside the worst pair share the loss of a row; 0 is
        the loss of the paper.
    refit : bool, default=False
        Continue without the L1 penalty on the weights that it has left, for twice the time.
    eps : float, default=0.01
        Duality gap, as a share of the objective, at which training ends. It is summed up during a pass, each row when
        it is visited.
    max_passes : int, default=20
        Passes over the rows after which training, and likewise refitting, ends in any case.
    bias : float, default=1.0
        Value of a constant feature, which is penalized as the others are; 0 for none.
    n_jobs : int, optional
        Workers of predictions, as joblib counts them. Training visits one row after the other, in one worker.
    {shared}

    Attributes
    ----------
    weights_ : BlockWeights
        The fitted models; ``weights_.to_csc(n_labels)`` gives them as a sparse matrix.
    gap_ : float
        Duality gap as a share of the objective, when last measured.
    n_passes_ : int

    See Also
    --------
    DiSMEC : One-vs-rest, whose labels are trained apart from each other.

    Notes
    -----
    Scores are comparable within a row; they are not margins against 0. Labels without a training row take no part and
    are never predicted. Rows without labels, or with all of them, order nothing and are passed over, in contrast to
    one-vs-rest, where they are negatives or positives of every label. With a single label all weights are 0.

    Dual [1]_ (sections 3 and 4): with :math:`v_l = \sum_i \alpha_{il} x_i`, where :math:`\alpha_{ip} = a_p` and
    :math:`\alpha_{in} = -b_n`, the weights are :math:`w_l = \mathrm{sign}(v_l) \max(|v_l| - \lambda, 0)`. A pass visits
    each row: of the labels that are not active yet and would take a share of its loss it adds those with the highest
    scores, as many as the row has labels, and minimizes over the active labels the bound of the dual that has
    :math:`\|x_i\|^2` as its curvature. That is the projection of a gradient step onto vectors with equal sums:
    :math:`\max(a - s, 0)` and :math:`\max(b + s, 0)`, with s where the sums are equal or, if they exceed C, onto each
    simplex by itself.

    Cost of a pass: for each row all labels, the weights of its features, and its features times its active labels.
    Memory: a copy of `X`, 45 bytes for each active label of each row, 8 to 50 for each feature and label that some
    row makes active together (20 at most where that is nearly all of them), and the finished model.

    References
    ----------
    .. [1] I. E. H. Yen, X. Huang, K. Zhong, P. Ravikumar and I. S. Dhillon, "PD-Sparse: A primal and dual sparse
       approach to extreme multiclass and multilabel classification", ICML 2016.

    Examples
    --------
    >>> from xclassic import PDSparse, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = PDSparse(max_passes=2).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    prune = 0.0  # The L1 penalty leaves no small weights to drop.

    def __init__(
        self,
        C: float = 10.0,
        *,
        l1: float = 0.03,
        smoothing: float = 1.0,
        refit: bool = False,
        eps: float = 0.01,
        max_passes: int = 20,
        bias: float = 1.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.C = C
        self.l1 = l1
        self.smoothing = smoothing
        self.refit = refit
        self.eps = eps
        self.max_passes = max_passes
        self.bias = bias
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    def _log_odds(self) -> float | None:
        loss = "squared_hinge" if self.smoothing else "hinge"
        return 2 * LOG_ODDS[loss]  # Labels of a row shall score 1 more than others, where margins are 1 and -1.

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("C", self.C, minimum=0, inclusive=False)
        check_number("l1", self.l1, minimum=0)
        check_number("smoothing", self.smoothing, minimum=0)
        check_choice("refit", self.refit, (True, False))
        check_number("eps", self.eps, minimum=0, inclusive=False)
        check_number("max_passes", self.max_passes, minimum=1, integer=True)

    def _fit(self, X: Features, Y: csr_array) -> None:
        labels = by_descending_count(Y)
        X = csr_array(with_bias(self._prepare(X), self.bias))
        solve = partial(self._solve, X, Y[:, labels])
        seed = int(spawn_seeds(self.random_state, 1)[0])
        ((weights, self.gap_, self.n_passes_),) = run_tasks(
            solve, [seed], n_jobs=self.n_jobs, description="training", verbose=self.verbose
        )
        bias = self.bias * weights[[-1]].toarray().ravel()
        self.weights_ = BlockWeights.from_csc(csc_array(weights[:-1]), bias, labels)

    def _solve(self, X: csr_array, Y: csr_array, seed: int, stop: StopByte) -> tuple[csr_array, float, int]:
        """Return the weights, the duality gap and the number of passes."""
        random = np.random.default_rng(seed)
        problem = Problem(X, Y, self.C, self.smoothing, self.l1)
        n_passes = 0
        for refit in (False, True) if self.refit else (False,):
            if refit:
                problem.drop_penalty()
            for _ in range(self.max_passes):
                gap = problem.improve(random, stop)
                n_passes += 1
                if stop[0] or gap <= self.eps:
                    break
        return problem.weights(), gap, n_passes

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        rivals = n * min(L, self.max_passes * nnz_y / max(n, 1))  # As if every visit found as many as it may.
        tables = min(36 * (nnz_x + n) * (rivals + nnz_y) / max(n, 1), 20 * (d + 1) * L)
        return int(12 * nnz_x + 24 * nnz_y + 200 * n + 40 * d + 45 * rivals + tables)


class Problem:
    """The dual problem: the variables of each row, and the sums that they add up to, by feature.

    Parameters
    ----------
    X, Y : csr_array of float32
    cost, smoothing, l1 : float
    """

    def __init__(self, X: csr_array, Y: csr_array, cost: float, smoothing: float, l1: float) -> None:
        n_rows, n_features = X.shape
        self.cost, self.smoothing, self.l1, self.fixed = float(cost), float(smoothing), float(l1), False
        self.X = X.indptr.astype(np.int64), X.indices.astype(np.int32, copy=False), X.data
        self.square_norms = np.add.reduceat(np.append(X.data, 0).astype(np.float64) ** 2, X.indptr[:-1])
        self.square_norms[np.diff(X.indptr) == 0] = 0
        self.Y = Y.indptr.astype(np.int64), Y.indices.astype(np.int32, copy=False)
        self.n_labels = Y.shape[1]
        self.shares = np.zeros(Y.nnz, np.float32)
        self.rival_ptr = np.zeros(n_rows + 1, np.int64)
        self.n_rivals = np.zeros(n_rows, np.int32)
        self.rivals, self.burdens = np.zeros(0, np.int32), np.zeros(0, np.float32)
        self.table = np.zeros((n_features + 1, 3), np.int64)
        self.sums = np.zeros(0, np.int32), np.zeros(0, np.float32)

    def improve(self, random: np.random.Generator, stop: StopByte) -> float:
        """Visit every row once, in random order; return the duality gap as a share of the objective."""
        self._make_room()
        order, start = random.permutation(len(self.n_rivals)), int(random.integers(max(1, self.n_labels)))
        gap, *sums = improve_rows(
            order, *self.X, self.square_norms, *self.Y, self.shares, self.rival_ptr, self.n_rivals, self.rivals,
            self.burdens, self.n_labels, self.cost, self.smoothing, self.l1, self.fixed, start, self.table, *self.sums,
            stop,
        )  # fmt: skip
        self.sums = tuple(sums)
        objective = self.dual() + gap
        return float(gap / objective) if objective > 0 else 0.0

    def dual(self) -> float:
        """Return the dual objective."""
        active = np.concatenate([self.shares, self.burdens[self._places_of_rivals()]]).astype(np.float64)
        penalties = half_square(self.table, self.sums[1], self.l1) + self.smoothing * (active @ active) / 2
        return float(self.shares.sum(dtype=np.float64) - penalties)

    def weights(self) -> csr_array:
        """Return the weights, shape (n_features, n_labels)."""
        pointers, labels, values = weights_of(self.table, *self.sums, self.l1)
        return csr_array((values, labels, pointers), shape=(len(self.table) - 1, self.n_labels))

    def drop_penalty(self) -> None:
        """Keep to the weights that there are, from here on without the L1 penalty."""
        keep_weights(self.table, *self.sums, self.l1)
        self.l1, self.fixed = 0.0, True

    def _make_room(self) -> None:
        """Give each row room for as many more rivals as it has labels, which a visit may find."""
        places = self._places_of_rivals()
        pointers = np.concatenate([[0], np.cumsum(self.n_rivals + np.diff(self.Y[0]))])
        rivals, burdens = np.zeros(pointers[-1], np.int32), np.zeros(pointers[-1], np.float32)
        new = spans(pointers[:-1], self.n_rivals)
        rivals[new], burdens[new] = self.rivals[places], self.burdens[places]
        self.rival_ptr, self.rivals, self.burdens = pointers, rivals, burdens

    def _places_of_rivals(self) -> NDArray[np.int64]:
        return spans(self.rival_ptr[:-1], self.n_rivals)
