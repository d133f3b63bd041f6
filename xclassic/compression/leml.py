"""LEML: low-rank empirical risk minimization for multi-label learning (Yu, Jain, Kar and Dhillon, ICML 2014)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from joblib import effective_n_jobs
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_array
from scipy.special import expit

from xclassic.blocks.weights import BlockWeights
from xclassic.compression.base import LinearCompression
from xclassic.linalg.low_rank import Array, alternate, random_map
from xclassic.linalg.products import products_at
from xclassic.linalg.ridge import with_bias
from xclassic.parallel import StopByte, blas_threads, run_tasks, spawn_seeds
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number
from xclassic.weighted_ranking import LOG_ODDS

N_CHUNKS = 16  # Chunks of the rows. Their number is fixed, so that sums do not depend on the number of workers.
MOST_SCORES = 2**24  # At most this many scores are held at a time, which bounds the memory.


class Loss(NamedTuple):
    """A loss as a function of a label's score, and its slope, both for arrays; `sign` is 1 for positives, else -1."""

    value: Callable[[Any, Any], Any]
    slope: Callable[[Any, Any], Any]


LOSSES = {
    "squared": Loss(lambda m, sign: (m - (sign > 0)) ** 2 / 2, lambda m, sign: m - (sign > 0)),
    "logistic": Loss(lambda m, sign: np.logaddexp(0, -sign * m), lambda m, sign: -sign * expit(-sign * m)),
    "squared_hinge": Loss(
        lambda m, sign: np.maximum(0, 1 - sign * m) ** 2 / 2, lambda m, sign: -sign * np.maximum(0, 1 - sign * m)
    ),
}


class LEML(LinearCompression):
    r"""Linear model of low rank for all labels, under a choice of losses.

    The scores :math:`x W H^\top` have weights of rank `n_components`, found as

    .. math:: \min_{W, H} \sum_{(i, j) \in \Omega} \ell(y_{ij},\, x_i W h_j) + \frac{\alpha}{2} (\|W\|^2 + \|H\|^2),

    over all pairs of rows and labels, or over the positives and some random labels of each row. The model is small and
    predicts quickly, but rare labels are lost, since few components hold them.

    Parameters
    ----------
    n_components : int, default=200
        Rank; at most the number of labels.
    loss : {"squared", "logistic", "squared_hinge"}, default="squared"
        Squared loss compares scores with 1 and 0 and is by far the quickest. The others push positives above 0 and the
        rest below, squared hinge by 1 at least. With squared hinge and an `alpha` of 3, P@3 and P@5 are half a point
        higher on held-out rows of bibtex and delicious.
    n_negatives : int, optional
        Labels that are drawn for each row; those that the row does not have represent all its negatives. This is less
        work where labels are many, at a cost in accuracy. None, the default, counts all labels, as the first rounds
        always do.
    alpha : float, default=1.0
        Penalty, above 0. On both factors together it amounts to a penalty on the nuclear norm of their product.
    rounds : int, default=5
        Alternations of fitting H and W by least squares, at least 1.
    steps : int, default=25
        Steps of L-BFGS on both factors. They follow for other losses and with `n_negatives`.
    bias : float, default=1.0
        Value of a constant feature; 0 for none.
    normalize : bool, default=True
        Scale rows to unit length first.
    n_jobs : int, optional
        Workers, as joblib counts them. The model does not depend on it.
    random_state : int or None, default=0
        Seed of the start and of the labels drawn; None takes a new one each time.
    verbose : int, default=0
        Above 0, show progress.

    Attributes
    ----------
    map_ : ndarray of float32, shape (n_features + 1, n_components)
        W; the last row is that of the constant feature.
    decoder_ : BlockWeights
        H.

    See Also
    --------
    CPLST : The same rank under squared loss with another penalty, in closed form.

    Notes
    -----
    Scores are values of the model, not probabilities. Labels without a training row are never predicted.

    Squared loss over all pairs needs no matrix of rows by labels [1]_: H has the closed form
    :math:`Y^\top Z (Z^\top Z + \alpha I)^{-1}` with Z = XW, and in the basis of the eigenvectors of :math:`H^\top H`
    the columns of W are ridge regressions, solved by conjugate gradients. Other losses start from there, with scores s
    moved to 2s - 1. Unlike in the paper, both factors then move together, by a quasi-Newton method.

    Cost: for each round, ``20 nnz(X) n_components``. For each step, ``3 n_components`` for each pair of row and label
    that counts, and ``2 nnz(X) n_components``. Memory: ``40 n_components`` bytes for each row and label and
    ``16 n_components`` for each feature; for each step, in double precision, ten times both factors, 200 MB for each
    worker, and 12 bytes for each label drawn.

    References
    ----------
    .. [1] H.-F. Yu, P. Jain, P. Kar and I. S. Dhillon, "Large-scale multi-label learning with missing labels",
       ICML 2014.

    Examples
    --------
    >>> from xclassic import LEML, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = LEML(n_components=80).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    def __init__(
        self,
        n_components: int = 200,
        *,
        loss: str = "squared",
        n_negatives: int | None = None,
        alpha: float = 1.0,
        rounds: int = 5,
        steps: int = 25,
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
        self.loss = loss
        self.n_negatives = n_negatives
        self.rounds = rounds
        self.steps = steps

    def _log_odds(self) -> float | None:
        return LOG_ODDS.get(self.loss)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_choice("loss", self.loss, tuple(LOSSES))
        check_number("alpha", self.alpha, minimum=0, inclusive=False)
        check_number("rounds", self.rounds, minimum=1, integer=True)
        check_number("steps", self.steps, minimum=0, integer=True)
        if self.n_negatives is not None:
            check_number("n_negatives", self.n_negatives, minimum=1, integer=True)

    def _fit(self, X: Features, Y: csr_array) -> None:
        X = with_bias(self._prepare(X), self.bias)
        seen = np.flatnonzero(np.bincount(Y.indices, minlength=Y.shape[1]))
        own = csr_array(Y[:, seen])
        rank = min(self.n_components, len(seen))
        seeds = spawn_seeds(self.random_state, 2).tolist()
        with blas_threads(1):  # The model must not depend on how BLAS shares its work.
            task = partial(alternate, X, own, self.alpha, self.rounds)
            start = random_map(X.shape[1], rank, seeds[0])
            ((W, H),) = run_tasks(task, [start], description="least squares", verbose=self.verbose)
            if rank > 0 and (self.loss != "squared" or self.n_negatives is not None):
                W, H = self._descend(X, own, W, H, seeds[1])
        W, H = (np.pad(matrix, ((0, 0), (0, self.n_components - rank))) for matrix in (W, H))
        self.map_ = W
        self.decoder_ = BlockWeights.from_dense(H.T, np.zeros(len(seen), np.float32), seen, prune=0)

    def _descend(self, X: Features, Y: csr_array, W: Array, H: Array, seed: int) -> tuple[Array, Array]:
        """Lower the objective further, starting at the least-squares solution."""
        if self.loss != "squared":
            W, H = self._signed(W, H)
        pairs = Pairs(Y, LOSSES[self.loss], self.n_negatives, seed, self.n_jobs)

        def objective(factors: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            W, H = np.split(factors.astype(np.float32).reshape(-1, rank), [d])
            value, slopes_of_Z, slopes_of_H = pairs.value_and_slopes(np.asarray(X @ W), H)
            gradient = np.concatenate([np.asarray(X.T @ slopes_of_Z), slopes_of_H]).ravel() + self.alpha * factors
            return value + self.alpha / 2 * float(factors @ factors), gradient

        d, rank = W.shape
        start = np.concatenate([W, H]).ravel().astype(np.float64)
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": self.steps}).x
        W, H = np.split(found.astype(np.float32).reshape(-1, rank), [d])
        return W, H

    def _signed(self, W: Array, H: Array) -> tuple[Array, Array]:
        """Turn scores s into 2s - 1, for which the last component becomes the constant feature, if there is one."""
        H = 2 * H
        if self.bias:
            W[:, -1], H[:, -1] = 0, -1
            W[-1, -1] = 1 / self.bias
        return W, H

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        factors = 4 * self.n_components * (10 * (n + L) + 4 * d)
        descent = 8 * self.n_components * (d + L) * 24 + effective_n_jobs(self.n_jobs) * 12 * min(MOST_SCORES, n * L)
        drawn = 0 if self.n_negatives is None else 16 * (n * min(L, self.n_negatives) + nnz_y)
        plain = self.loss == "squared" and self.n_negatives is None
        return int(12 * nnz_x + factors + (0 if plain else descent + drawn))


class Pairs:
    """The pairs of rows and labels that the loss counts, in chunks of rows."""

    def __init__(self, Y: csr_array, loss: Loss, n_negatives: int | None, seed: int, n_jobs: int | None) -> None:
        self.loss = loss
        self.n_jobs = n_jobs
        n = Y.shape[0]
        size = max(1, -(-n // N_CHUNKS))
        bounds = [(start, min(start + size, n)) for start in range(0, n, size)]
        self.chunks = [(start, end, Y[start:end]) for start, end in bounds]
        self.part = _all_labels
        if n_negatives is not None:
            random = np.random.default_rng(seed)
            self.chunks = [(start, end, with_negatives(part, n_negatives, random)) for start, end, part in self.chunks]
            self.part = _stored_labels

    def value_and_slopes(self, Z: Array, H: Array) -> tuple[float, Array, Array]:
        """Return the loss of the scores ``Z H^T`` and its gradient in Z and H."""
        parts = run_tasks(partial(self.part, self.loss, Z, H), self.chunks, n_jobs=self.n_jobs)
        values, of_Z, of_H = zip(*parts, strict=True)
        return sum(values), np.concatenate(of_Z), sum(of_H[1:], start=of_H[0])


def with_negatives(Y: csr_array, n: int, random: np.random.Generator) -> csr_array:
    """Return a matrix of the positives, each 1, and of sampled negatives among n labels drawn for each row.

    The entry of a negative is minus the number of the row's negatives that it represents.
    """
    drawn = random.integers(0, Y.shape[1], (Y.shape[0], n))
    rows = np.repeat(np.arange(Y.shape[0]), n)
    either = csr_array((np.ones(drawn.size, np.float32), (rows, drawn.ravel())), shape=Y.shape) + Y
    either.data[:] = 1
    pairs = csr_array(2 * Y - either)
    row_of = np.repeat(np.arange(Y.shape[0]), np.diff(pairs.indptr))
    negative = pairs.data < 0
    n_drawn, n_all = np.bincount(row_of[negative], minlength=Y.shape[0]), Y.shape[1] - np.diff(Y.indptr)
    pairs.data[negative] *= (n_all / np.maximum(n_drawn, 1))[row_of[negative]]
    return pairs


def _all_labels(
    loss: Loss, Z: Array, H: Array, chunk: tuple[int, int, csr_array], stop: StopByte
) -> tuple[float, Array, Array]:
    """Return the loss of all labels for a chunk of rows, and its gradient."""
    start, end, Y = chunk
    size = max(1, MOST_SCORES // len(H))
    value, of_Z, of_H = 0.0, np.zeros((end - start, H.shape[1]), np.float32), np.zeros_like(H)
    for first in range(0, end - start, size):
        if stop[0]:
            break
        part = Y[first : first + size]
        own = Z[start + first : start + first + part.shape[0]]
        scores, sign = own @ H.T, 2 * part.toarray() - 1
        value += float(loss.value(scores, sign).sum(dtype=np.float64))
        slopes = loss.slope(scores, sign)
        of_Z[first : first + size] = slopes @ H
        of_H += slopes.T @ own
    return value, of_Z, of_H


def _stored_labels(
    loss: Loss, Z: Array, H: Array, chunk: tuple[int, int, csr_array], stop: StopByte
) -> tuple[float, Array, Array]:
    """Return the loss, and its gradient, of a chunk's entries, with sign and weight from `with_negatives`."""
    start, end, pairs = chunk
    own, scores = Z[start:end], np.empty_like(pairs.data)
    products_at(pairs.indptr, pairs.indices, own, H, scores)
    sign, weights = np.sign(pairs.data), np.abs(pairs.data)
    slopes = csr_array((weights * loss.slope(scores, sign), pairs.indices, pairs.indptr), shape=pairs.shape)
    value = float((weights * loss.value(scores, sign)).sum(dtype=np.float64))
    return value, np.asarray(slopes @ H), np.asarray(slopes.T @ own)
