"""M3L: one-vs-rest machines that share what they learn along correlations of labels (Hariharan et al., ICML 2010)."""

from __future__ import annotations

import warnings
from operator import itemgetter
from typing import Any, Self

import numpy as np
from joblib import effective_n_jobs
from scipy.sparse import csc_array, csr_array, eye_array
from sklearn.base import clone

from xclassic.blocks.problem import by_descending_count
from xclassic.datasets import stratified_split
from xclassic.linear.correlation import checked_correlation, cooccurrence
from xclassic.linear.coupled_duals import solve_duals, weights_of_duals
from xclassic.linear.one_vs_rest import OneVsRestLinear, memory_of_blocks
from xclassic.metrics import precision_at_k
from xclassic.parallel import blas_threads, spawn_seeds
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice, check_number
from xclassic.weighing import refusing_weights
from xclassic.weighted_ranking import LOG_ODDS

CORRELATIONS = ("cooccurrence", "identity")
TRIED = ((1.0, 1.0), (1.0, 2.0), (0.3, 5.0))  # Factors of C, and the weights of positives, that "auto" tries.
FEWEST_TRIED, MOST_TRIED = 10, 5000  # Rows that it tries them on; with fewer it takes the first.
HELD_OUT = 0.2  # Share of these rows that it measures.


class M3L(OneVsRestLinear):
    r"""One-vs-rest max-margin classifiers, coupled by a correlation matrix of the labels.

    With :math:`t_{il} = 1` where row i has label l, else :math:`-1`, a score mixes those of correlated labels,

    .. math:: f_l(x) = \sum_m R_{lm}\, z_m \cdot x, \qquad
        \min_Z \; \tfrac12 \sum_{lm} R_{lm}\, z_l \cdot z_m + \sum_{il} C_{il} \max(0, 1 - t_{il} f_l(x_i))

    whose dual is that of a support vector machine over pairs of a row and a label, with the kernel
    :math:`R_{lm}\, x_i \cdot x_j`. With :math:`R = I` labels are independent machines. A label without training rows is
    scored too if R couples it with others: by attributes of labels, for instance.

    Parameters
    ----------
    positive_weight : float or "auto", default="auto"
        Factor of the cost where a row has the label, above 0. Where labels are rare a larger one helps, and where rows
        have many labels it harms. "auto" tries 1, 2, and 5 with 0.3 times `C`, on up to 5,000 rows of which a fifth is
        held out, and takes what has the highest mean of P@1, P@3 and P@5.
    correlation : {"cooccurrence", "identity"}, default="cooccurrence"
        Where R comes from if ``fit`` is not given one. "cooccurrence" has ones on the diagonal and `coupling` times the
        cosine between the rows of two labels, for each label and those it co-occurs with most. "identity" couples none.
    coupling : float, default=0.3
        Weight of the cosines, from 0 to 1. It is reduced where R would get an eigenvalue below 0.1.
    n_neighbors : int, default=10
        Labels that each label is coupled with; others may choose it too.
    tol : float, default=0.1
        Largest projected gradient of the dual at which a label is done, as that of liblinear.
    max_passes : int, default=50
        Passes over the rows after which the training of a label ends within a sweep.
    max_sweeps : int, default=10
        Sweeps over all labels after which training ends.
    {shared}

    Attributes
    ----------
    weights_ : BlockWeights
        The weights :math:`\sum_m R_{lm} z_m` of each label.
    costs_ : tuple of float
        Cost of an error where a row has the label, and where not.
    violation_ : float
        Largest projected gradient that the last sweep met, at most `tol` if training converged.

    See Also
    --------
    DiSMEC : Independent labels, squared hinge or logistic loss.

    Notes
    -----
    Scores are margins, not probabilities. A label without a training row has no part in the loss; it is predicted only
    if R couples it with a label that has one. Rows without labels are negatives of every label that has a row; rows
    without features see only the bias.

    Training is block coordinate descent: a label is solved by dual coordinate descent while the others add fixed
    margins to it. Labels that R does not couple are solved at once, so `n_jobs` helps as long as R is sparse; a dense
    R is solved one label after the other. What is kept between the labels are their dual variables, sparse, so memory
    is two copies of `X`, 12 bytes for each support vector of a label, the entries of R, and the models of a
    hundredth of the labels at a time before they are pruned; no array of all rows or features by all labels.

    References
    ----------
    .. [1] B. Hariharan, L. Zelnik-Manor, S. V. N. Vishwanathan and M. Varma, "Large scale max-margin multi-label
       classification with priors", ICML 2010; sections 4 and 5.
    .. [2] C.-J. Hsieh, K.-W. Chang, C.-J. Lin, S. S. Keerthi and S. Sundararajan, "A dual coordinate descent method for
       large-scale linear SVM", ICML 2008.

    Examples
    --------
    Whales and bats have no rows and are scored by their attributes: swims, mammal, flies.

    >>> import numpy as np
    >>> from xclassic import M3L
    >>> attributes = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1]])  # fish, dog, bird, whale, bat
    >>> clf = M3L().fit(np.eye(3), np.eye(3, 5), correlation=attributes @ attributes.T)
    >>> clf.predict_topk([[1, 1, 0], [0, 1, 1]], k=1, labels=[3, 4]).ids.tolist()
    [[3], [4]]
    """

    def __init__(
        self,
        C: float = 1.0,
        *,
        positive_weight: float | str = "auto",
        correlation: str = "cooccurrence",
        coupling: float = 0.3,
        n_neighbors: int = 10,
        prune: float = 0.1,
        tol: float = 0.1,
        max_passes: int = 50,
        max_sweeps: int = 10,
        bias: float = 1.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.C = C
        self.positive_weight = positive_weight
        self.correlation = correlation
        self.coupling = coupling
        self.n_neighbors = n_neighbors
        self.prune = prune
        self.tol = tol
        self.max_passes = max_passes
        self.max_sweeps = max_sweeps
        self.bias = bias
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.verbose = verbose

    @refusing_weights
    def fit(self, X: Any, y: Any, correlation: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        y : sparse or dense 0-1 matrix, list of label collections, or 1-D class vector
            See `XMCClassifier.fit`.
        correlation : sparse matrix or array-like, shape (n_labels, n_labels), optional
            The matrix R, symmetric and positive semidefinite, in the order of ``classes_``; all zeros may be left out.
            By default it is made as the parameter `correlation` says.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `correlation` has another shape, is not symmetric, or has an eigenvalue far below 0; a slightly negative
            one is mended by a larger diagonal, with a warning. Or as `XMCClassifier.fit`.
        """
        return self._fit_checked(X, y, correlation=correlation)

    def _log_odds(self) -> float | None:
        return LOG_ODDS["hinge"]

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("C", self.C, minimum=0, inclusive=False)
        if isinstance(self.positive_weight, str):
            check_choice("positive_weight", self.positive_weight, ("auto",))
        else:
            check_number("positive_weight", self.positive_weight, minimum=0, inclusive=False)
        check_choice("correlation", self.correlation, CORRELATIONS)
        check_number("coupling", self.coupling, minimum=0, maximum=1)
        check_number("n_neighbors", self.n_neighbors, minimum=1, integer=True)
        check_number("tol", self.tol, minimum=0, inclusive=False)
        check_number("max_passes", self.max_passes, minimum=1, integer=True)
        check_number("max_sweeps", self.max_sweeps, minimum=1, integer=True)

    def _fit(self, X: Features, Y: csr_array, correlation: Any = None) -> None:
        X = csr_array(self._prepare(X))
        seen = by_descending_count(Y)
        with blas_threads(1):  # The model must not depend on how BLAS shares its work.
            R = self._correlation(Y, correlation)
        self.costs_ = self._chosen_costs(X, Y, R)
        coupled = np.setdiff1d(np.unique(R[seen].indices), seen)
        duals, self.violation_ = solve_duals(
            X,
            csc_array(Y)[:, seen],
            R[seen][:, seen],
            costs=self.costs_,
            bias=float(self.bias),
            tol=float(self.tol),
            max_passes=self.max_passes,
            seeds=spawn_seeds(self.random_state, self.max_sweeps),
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )
        labels = np.concatenate([seen, coupled])
        self.weights_ = weights_of_duals(
            X,
            duals,
            R[seen][:, labels],
            labels,
            bias=self.bias,
            prune=self.prune,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
        )

    def _chosen_costs(self, X: csr_array, Y: csr_array, R: csr_array) -> tuple[float, float]:
        """Return the costs that the parameters say, or that rank held-out rows best."""
        C = float(self.C)
        if not isinstance(self.positive_weight, str):
            return self.positive_weight * C, C
        seed = int(spawn_seeds(self.random_state, 1)[0] % 2**32)
        rows = np.random.default_rng(seed).permutation(X.shape[0])[:MOST_TRIED]
        X, Y = X[rows], Y[rows]
        if X.shape[0] < FEWEST_TRIED:
            return C, C
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # The split warns of labels with one row.
            train, held_out = stratified_split(Y, test_size=HELD_OUT, random_state=seed)
        if not (Y[train].nnz and Y[held_out].nnz):
            return C, C
        best = -1.0, 0.0, 0.0
        for factor, weight in TRIED:
            machine = clone(self).set_params(C=factor * C, positive_weight=weight, normalize=False)
            top = machine._fit_checked(X[train], Y[train], correlation=R).predict_topk(X[held_out], 5)
            value = float(np.mean([precision_at_k(Y[held_out], top, k) for k in (1, 3, 5)]))
            best = max(best, (value, weight * factor * C, factor * C), key=itemgetter(0))
        return best[1:]

    def _correlation(self, Y: csr_array, correlation: Any) -> csr_array:
        """Return R, sparse and positive semidefinite, over all labels."""
        if correlation is not None:
            return checked_correlation(correlation, Y.shape[1])
        if self.correlation == "identity":
            return csr_array(eye_array(Y.shape[1]))
        return cooccurrence(Y, self.coupling, self.n_neighbors)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        coupling = 12 * 2 * self.n_neighbors * L
        duals = 6 * 12 * (50 * L + 10 * nnz_y)
        workers = effective_n_jobs(self.n_jobs) * (24 * (n + d) + 1000 * d)
        return 24 * nnz_x + coupling + duals + workers + memory_of_blocks(n, d, L, nnz_x, 1, arrays_per_feature=0)
