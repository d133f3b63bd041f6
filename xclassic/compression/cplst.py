"""CPLST: conditional principal label space transformation (Chen and Lin, NIPS 2012)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xclassic.compression.base import CenteredLabels, LinearCompression, predictable
from xclassic.linalg.eigen import top_eigenvectors
from xclassic.linalg.ridge import RidgeSolver


class CPLST(LinearCompression):
    r"""Components of the label vectors that the features can predict, and their ridge regression.

    With centered label vectors Z and the hat matrix :math:`H = X (X^\top X + \alpha I)^{-1} X^\top` of the regression,
    the codes are products with the leading eigenvectors V of :math:`Z^\top H Z`: a compromise between large variance
    and predictability. A row has the scores :math:`x W V^\top + \bar y`.

    Parameters
    ----------
    n_components : int, default=200
        Length of the codes; at most the number of labels and of rows.
    alpha : float, default=1.0
        Ridge penalty of the regression, at least 0; the constant feature is penalized too.
    bias : float, default=1.0
        Value of a constant feature; 0 for none.
    normalize : bool, default=True
        Scale rows to unit length first.
    n_jobs : int, optional
        Workers of predictions, as joblib counts them.
    random_state : int or None, default=0
        Seed of the eigensolver, which uses it beyond 1,000 labels only.
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
    PLST : Codes that do not look at the features.
    Rembrandt : The same without centering, by two rounds of randomized iteration.

    Notes
    -----
    Scores are regression values, not probabilities. Labels without a training row are never predicted.

    The penalized training loss is the squared norm of Z minus the sum of the eigenvalues kept [1]_.

    Cost: the components, a regression of all labels for some thousand labels; ``m^3 / 3`` with m the smaller of rows
    and features (beyond 15,000 conjugate gradients), and ``nnz(X) n_components``. A prediction costs
    ``n_labels n_components``. Memory: ``4 m^2`` bytes, and ``4 n_components`` for each row, feature and label.

    References
    ----------
    .. [1] Y.-N. Chen and H.-T. Lin, "Feature-aware label space dimension reduction for multi-label classification",
       NIPS 2012.

    Examples
    --------
    >>> from xclassic import CPLST, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = CPLST(n_components=80).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    def _directions(
        self, labels: CenteredLabels, solver: RidgeSolver, k: int, random: np.random.Generator
    ) -> NDArray[np.float32]:
        return top_eigenvectors(lambda V: predictable(labels, solver, V), labels.Y.shape[1], k, random, solver.stop)
