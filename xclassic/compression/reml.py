"""REML: robust extreme multi-label learning (Xu, Tao and Xu, KDD 2016)."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array, hstack
from scipy.sparse.linalg import aslinearoperator

import xclassic._kernels.blocks as block_kernels
import xclassic._kernels.remainders as kernels
from xclassic._kernels.arguments import LANES, FeatureRows
from xclassic.blocks.problem import BlockProblem, by_descending_count, label_ranges
from xclassic.blocks.training import run_blocks
from xclassic.blocks.weights import BlockWeights
from xclassic.compression.base import LinearCompression
from xclassic.linalg.low_rank import Array, alternate, random_map
from xclassic.linalg.ridge import with_bias
from xclassic.parallel import StopByte, blas_threads, run_tasks, spawn_seeds
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number

ALTERNATIONS = 3  # Times that the two factors are fitted in each round.
EPS = 1e-3


class REML(LinearCompression):
    r"""Linear model of low rank for what labels have in common, and a sparse one for what they do not.

    Frequent labels that co-occur are well described by few components; rare ones are not, and in a model of low
    rank they are outliers that disturb the rest. The scores :math:`x (W V^\top + S)` have a part for each, found as

    .. math::

        \min_{W, V, S} \tfrac12 \|Y - X W V^\top - X S\|^2 + \tfrac{\alpha}{2} (\|W\|^2 + \|V\|^2)
        + \tfrac{\beta}{2} \|S\|^2 + \lambda \|X S\|_1 ,

    alternating between W and V, and S.

    Parameters
    ----------
    n_components : int, default=100
        Rank of the first part; 0 leaves it out.
    alpha : float, default=3.0
        Penalty of its factors, above 0.
    sparse_alpha : float, default=1.0
        Ridge penalty :math:`\beta` of the second part, above 0.
    l1 : float, default=0.01
        Weight :math:`\lambda` of the absolute predictions of the second part, at least 0. The larger it is, the fewer
        rows that part predicts for.
    rounds : int, default=2
        Alternations of fitting both parts, at least 1.
    sweeps : int, default=10
        At most this many sweeps over the rows in fitting the second part.
    prune : float, default=0.01
        Weights of the second part of at most this absolute value are dropped.
    bias : float, default=1.0
        Value of a constant feature; 0 for none.
    normalize : bool, default=True
        Scale rows to unit length first.
    n_jobs : int, optional
        Workers, as joblib counts them. The model does not depend on it.
    random_state : int or None, default=0
        Seed of the start and of the order of rows; None takes a new one each time.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Attributes
    ----------
    map_ : ndarray of float32, shape (n_features + 1, n_components)
        W; the last row is that of the constant feature.
    decoder_ : BlockWeights
        V and below it S, from codes, features and the constant feature to labels.

    See Also
    --------
    LEML : The first part alone.
    OneVsRestLeastSquares : The second part alone, without its penalty on predictions.

    Notes
    -----
    Scores are regression values, not probabilities. Labels without a training row are never predicted.

    The factors are those of `LEML` under squared loss. Labels are independent in S, which is found by dual coordinate
    descent, 16 labels at a time; the paper [1]_ uses the alternating direction method.

    Cost, for each round: three of those of `LEML`, and ``2 nnz(X) n_labels`` for each sweep. Memory:
    ``40 n_components`` bytes for each row and label; per worker, 192 bytes for each row, and for a 128th of the labels
    ``4 n_features`` each; 10 bytes for each weight kept, twice.

    References
    ----------
    .. [1] C. Xu, D. Tao and C. Xu, "Robust extreme multi-label learning", KDD 2016.

    Examples
    --------
    >>> from xclassic import REML, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = REML(n_components=40).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    _fewest_components = 0

    def __init__(
        self,
        n_components: int = 100,
        *,
        alpha: float = 3.0,
        sparse_alpha: float = 1.0,
        l1: float = 0.01,
        rounds: int = 2,
        sweeps: int = 10,
        prune: float = 0.01,
        bias: float = 1.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            n_components,
            alpha=alpha,
            bias=bias,
            normalize=normalize,
            n_jobs=n_jobs,
            random_state=random_state,
            verbose=verbose,
        )
        self.sparse_alpha = sparse_alpha
        self.l1 = l1
        self.rounds = rounds
        self.sweeps = sweeps
        self.prune = prune

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name in ("alpha", "sparse_alpha"):
            check_number(name, getattr(self, name), minimum=0, inclusive=False)
        for name in ("l1", "prune"):
            check_number(name, getattr(self, name), minimum=0)
        for name in ("rounds", "sweeps"):
            check_number(name, getattr(self, name), minimum=1, integer=True)

    @property
    def _decoder_inputs(self) -> int:
        return self.n_components + self.n_features_in_ + 1

    def _fit(self, X: Features, Y: csr_array) -> None:
        X = with_bias(self._prepare(X), self.bias)
        labels = by_descending_count(Y)
        own = csr_array(Y[:, labels])
        rank = min(self.n_components, len(labels))
        seeds = spawn_seeds(self.random_state, 2).tolist()
        W = random_map(X.shape[1], rank, seeds[0])
        remaining: Any = own
        with blas_threads(1):  # The model must not depend on how BLAS shares its work.
            for number in range(self.rounds):
                if number > 0:
                    S = csr_array(self.decoder_.to_csc(Y.shape[1])[self.n_components :, labels])
                    remaining = aslinearoperator(own) - aslinearoperator(X) @ aslinearoperator(S)
                factors = partial(alternate, X, remaining, self.alpha, ALTERNATIONS)
                ((W, V),) = run_tasks(factors, [W], description="low rank", verbose=self.verbose)
                self.decoder_ = self._fit_remainders(X, own, labels, W, V, seeds[1])
        self.map_ = np.pad(W, ((0, 0), (0, self.n_components - rank)))

    def _fit_remainders(
        self, X: Features, Y: csr_array, labels: NDArray[np.int64], W: Array, V: Array, seed: int
    ) -> BlockWeights:
        """Return V and the sparse part fitted to what V leaves."""
        V = np.pad(V, ((0, 0), (0, self.n_components - V.shape[1])))
        codes = np.pad(np.asarray(X @ W), ((0, 0), (0, self.n_components - W.shape[1])))
        task = partial(self._remainders, BlockProblem(X, bias=0), csc_array(Y), codes, V, seed)
        n_inputs = self.n_components + X.shape[1]
        return run_blocks(task, label_ranges(len(labels)), labels, n_inputs, self.n_jobs, self.verbose).weights

    def _remainders(
        self,
        problem: BlockProblem,
        Y: csc_array,
        codes: Array,
        V: Array,
        seed: int,
        labels: tuple[int, int],
        stop: StopByte,
    ) -> Any:
        """Fit the sparse part of a range of labels."""
        weights = np.zeros((V.shape[1] + problem.n_features, labels[1] - labels[0]), np.float32)
        for first in range(*labels, LANES):
            some = slice(first, min(first + LANES, labels[1]))
            within = slice(some.start - labels[0], some.stop - labels[0])
            S = kernels.fit_remainders(
                cast(FeatureRows, problem.rows),
                square_norms=problem.square_norms,
                targets=np.ascontiguousarray(Y[:, some].toarray() - codes @ V[some].T),
                alpha=self.sparse_alpha,
                l1=self.l1,
                sweeps=self.sweeps,
                eps=EPS,
                seed=seed,
                stop=stop,
            )
            weights[: V.shape[1], within] = V[some].T
            weights[V.shape[1] + problem.feature_of, within] = np.where(np.abs(S) > self.prune, S, 0)
        cells = block_kernels.dense_cells(weights, prune=0)
        n = weights.shape[1]
        return cells, np.zeros(n, np.float32), np.zeros(n), np.zeros(1, np.int64)

    def _inputs(self, X: Features) -> Features:
        rows = csr_array(with_bias(self._prepare(X), self.bias))
        return csr_array(hstack([csr_array(np.asarray(rows @ self.map_)), rows]))

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        factors = 4 * self.n_components * (10 * (n + L) + 4 * d)
        worker = 192 * n + 8 * (self.n_components + d) * max(LANES, L / 128)
        model = 2 * 10 * L * (150 + self.n_components)
        return int(16 * nnz_x + factors + effective_n_jobs(self.n_jobs) * worker + model)
