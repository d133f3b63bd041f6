"""ProXML: one-vs-rest with an L1 penalty, for labels of few rows (Babbar and Schölkopf, Machine Learning 2019)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from joblib import effective_n_jobs
from scipy.sparse import csc_array, csr_array

from xclassic.blocks.problem import by_descending_count, label_ranges
from xclassic.blocks.weights import BlockWeights
from xclassic.linear.one_vs_rest import IndependentLabels
from xclassic.parallel import StopByte, run_tasks
from xclassic.rows import compressed_arrays
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_number
from xclassic.weighted_ranking import LOG_ODDS


class ProXML(IndependentLabels):
    r"""One-vs-rest linear classifiers with an L1 penalty, robust where the rows of a label shift between fit and use.

    For each label, with :math:`t_i = 1` on its rows and :math:`-1` on all others,

    .. math:: \min_w \; \|w\|_1 + C \sum_i \max(0, 1 - t_i\, w \cdot x_i)^2

    An adversary who may change every feature of a row by a little turns into this penalty [1]_ (section 3). Rare labels
    meet such shifts, since their few rows do not show which words they have. Models are small without any pruning.

    Parameters
    ----------
    C : float, default=1.0
        Cost of an error, above 0: one over the :math:`\lambda` of the paper. A larger cost fits the training rows more
        closely, with more weights. A small one leaves no weights but the constant ones, so that labels rank by
        frequency, and finally, at one over twice the number of rows, no weights at all: all labels then score 0.
    eps : float, default=0.05
        Duality gap at which the training of a label ends, as a share of its objective. The objective is then at most
        that far from the least one, and usually far closer: on bibtex by 0.01 percent, 0.2 at most.
    max_passes : int, default=200
        Passes over the features of a label after which its training ends in any case.
    bias : float, default=1.0
        Value of a constant feature, which is penalized as the others are; 0 for none.
    normalize : bool, default=True
        Scale rows to unit length first, as the default of `C` expects.
    {shared}

    Attributes
    ----------
    weights_ : BlockWeights
        The fitted models; ``weights_.to_csc(n_labels)`` gives them as a sparse matrix.
    gaps_ : ndarray of float64, shape (n_trained_labels,)
        Duality gap of each label that has a model as a share of its objective, most frequent label first.

    See Also
    --------
    DiSMEC : The same loss with an L2 penalty, which trains faster.

    Notes
    -----
    Scores are margins :math:`w \cdot x`, not probabilities. Labels without a training row are never predicted. Rows
    without labels are negatives of every label; rows without features see only the bias. A label that all rows have
    gets a constant model.

    Each label is solved by proximal Newton steps [2]_, one feature after the other, on a set of features that grows by
    those whose gradients exceed the penalty. All negatives without such a feature have the same margin and count as one
    row, so a rare label costs a few passes over the rows that share its words, and not over all rows. Memory: two
    copies of `X` (dense rows are stored as sparse ones), the finished model, and per worker the columns of the features
    of one label.

    References
    ----------
    .. [1] R. Babbar and B. Schölkopf, "Data scarcity, robustness and extreme multi-label classification", Machine
       Learning 108, 2019.
    .. [2] G.-X. Yuan, K.-W. Chang, C.-J. Hsieh and C.-J. Lin, "A comparison of optimization methods and software for
       large-scale L1-regularized linear classification", Journal of Machine Learning Research 11, 2010; section 4.

    Examples
    --------
    >>> from xclassic import ProXML, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = ProXML().fit(bibtex.X[:300], bibtex.Y[:300])
    >>> clf.weights_.n_values < 2_000
    True
    """

    _of_fit = ("gaps_",)

    def __init__(
        self,
        C: float = 1.0,
        *,
        prune: float = 0.0,
        eps: float = 0.05,
        max_passes: int = 200,
        bias: float = 1.0,
        normalize: bool = True,
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        self.C = C
        self.prune = prune
        self.eps = eps
        self.max_passes = max_passes
        self.bias = bias
        self.normalize = normalize
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _log_odds(self) -> float | None:
        return LOG_ODDS["squared_hinge"]

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("C", self.C, minimum=0, inclusive=False)
        check_number("eps", self.eps, minimum=0, inclusive=False)
        check_number("max_passes", self.max_passes, minimum=1, integer=True)

    def _fit(self, X: Features, Y: csr_array) -> None:
        rows = csr_array(self._prepare(X))
        columns = csc_array(rows)
        labels = by_descending_count(Y)
        positives = csc_array(Y)[:, labels]
        positives.sort_indices()
        squares = np.append(
            columns.astype(np.float64).power(2).sum(axis=0), rows.shape[0] * float(self.bias) * float(self.bias)
        )
        statistics = columns.sum(axis=0, dtype=np.float64), squares
        options = float(self.C), float(self.eps), self.max_passes
        train = partial(
            _train_task, (*compressed_arrays(rows), *compressed_arrays(columns), *statistics, float(self.bias)), options
        )
        tasks = [compressed_arrays(positives[:, a:b])[:2] for a, b in label_ranges(len(labels))]
        parts = run_tasks(train, tasks, n_jobs=self.n_jobs, description="training", verbose=self.verbose, pieces=True)
        ends = np.cumsum(np.concatenate([np.zeros(1, np.int64), *(np.diff(part[0]) for part in parts)]))
        features, weights, biases, self.gaps_ = (
            np.concatenate([np.zeros(0, dtype), *(part[i] for part in parts)])
            for i, dtype in enumerate((np.int32, np.float32, np.float32, np.float64), start=1)
        )
        models = csc_array((weights, features, ends), shape=(X.shape[1], len(labels)))
        self.weights_ = BlockWeights.from_csc(models, biases, labels)
        if self.prune > 0:
            self._prune(self.prune)

    def _estimate_memory(self, n: int, d: int, L: int, nnz_x: int, nnz_y: int) -> int:
        scratch = effective_n_jobs(self.n_jobs) * (12 * nnz_x + 48 * (n + d))
        weights = min(50 * L, nnz_y * nnz_x // max(n, 1))  # A guess; rare labels have the words of their rows at most.
        return int(24 * nnz_x + 24 * (n + d) + scratch + 20 * weights)


def _train_task(problem: Any, options: Any, positives: Any, stop: StopByte) -> Any:
    from xclassic.linear.proximal import train_l1  # The first call loads Numba.

    return train_l1(*problem, *positives, *options, stop)
