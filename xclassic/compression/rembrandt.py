"""Rembrandt: response embedding via randomized techniques (Mineiro and Karampatziakis, ECML 2015)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xclassic.compression.base import CenteredLabels, LinearCompression, predictable
from xclassic.linalg.eigen import subspace_iteration
from xclassic.linalg.ridge import RidgeSolver
from xclassic.validation.parameters import check_number


class Rembrandt(LinearCompression):
    r"""Components of the label vectors that the features can predict, found by a few regressions of random codes.

    Random codes of the labels are regressed on the features, and the fitted values, brought back to the labels, are the
    next codes. A few rounds find the leading eigenvectors V of :math:`Y^\top H Y`, H being the hat matrix of the
    regression, without a matrix of labels by labels. A row has the scores :math:`x W V^\top`.

    Parameters
    ----------
    n_components : int, default=200
        Length of the codes; at most the number of labels and of rows.
    power_steps : int, default=2
        Rounds, at least 0.
    oversampling : int, default=20
        Codes beyond `n_components` that take part in the rounds.
    alpha : float, default=1.0
        Ridge penalty of the regression, at least 0; the constant feature is penalized too.
    bias : float, default=1.0
        Value of a constant feature; 0 for none.
    normalize : bool, default=True
        Scale rows to unit length first.
    n_jobs : int, optional
        Workers of predictions, as joblib counts them.
    random_state : int or None, default=0
        Seed of the first codes; None takes a new one each time.
    verbose : int, default=0
        Above 0, show progress.

    Attributes
    ----------
    map_ : ndarray of float32, shape (n_features + 1, n_components)
        From features to codes; the last row is that of the constant feature.
    decoder_ : BlockWeights
        From codes to labels.

    See Also
    --------
    CPLST : The same on centered labels, with more exact eigenvectors.

    Notes
    -----
    Scores are regression values, not probabilities. Labels without a training row are never predicted.

    Cost: ``power_steps + 2`` regressions of the codes [1]_; ``m^3 / 3`` with m the smaller of rows and
    features (beyond 15,000 conjugate gradients), and ``nnz(X) n_components``. A prediction costs
    ``n_labels n_components``. Memory: ``4 m^2`` bytes, and ``4 n_components`` for each row, feature and label.

    References
    ----------
    .. [1] P. Mineiro and N. Karampatziakis, "Fast label embeddings via randomized linear algebra", ECML 2015.

    Examples
    --------
    >>> from xclassic import Rembrandt, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = Rembrandt(n_components=80).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    _centered = False

    def __init__(
        self,
        n_components: int = 200,
        *,
        power_steps: int = 2,
        oversampling: int = 20,
        alpha: float = 1.0,
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
        self.power_steps = power_steps
        self.oversampling = oversampling

    def _check_parameters(self) -> None:
        super()._check_parameters()
        check_number("power_steps", self.power_steps, minimum=0, integer=True)
        check_number("oversampling", self.oversampling, minimum=0, integer=True)

    def _directions(
        self, labels: CenteredLabels, solver: RidgeSolver, k: int, random: np.random.Generator
    ) -> NDArray[np.float32]:
        return subspace_iteration(
            lambda V: predictable(labels, solver, V),
            labels.Y.shape[1],
            k,
            random,
            solver.stop,
            self.power_steps,
            self.oversampling,
        )
