"""PLST: principal label space transformation (Tai and Lin, Neural Computation 2012)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from xclassic.compression.base import CenteredLabels, LinearCompression
from xclassic.linalg.eigen import top_eigenvectors
from xclassic.linalg.ridge import RidgeSolver


class PLST(LinearCompression):
    r"""Principal components of the label vectors, predicted by ridge regression.

    The codes of label vectors are their products with the leading right singular vectors V of the centered label
    matrix. Of all linear codes of that length, label vectors are recovered best from these. A row has the scores
    :math:`x W V^\top + \bar y`. The method is quick, and its models are small where labels are many, but rare labels
    are lost, since few components hold them.

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
    CPLST : Codes that the features can predict, which are mostly better.
    OneVsRestLeastSquares : The same regression without compression.

    Notes
    -----
    Scores are regression values, not probabilities. Labels without a training row are never predicted.

    With as many components as labels the scores are those of one-vs-rest ridge regression on centered labels [1]_.

    Cost: the components, ``nnz(Y) n_labels`` for some thousand labels; ``m^3 / 3`` with m the smaller of rows and
    features (beyond 15,000 conjugate gradients), and ``nnz(X) n_components``. A prediction costs
    ``n_labels n_components``. Memory: ``4 m^2`` bytes, and ``4 n_components`` for each row, feature and label.

    References
    ----------
    .. [1] F. Tai and H.-T. Lin, "Multilabel classification with principal label space transformation", Neural
       Computation, 2012.

    Examples
    --------
    >>> from xclassic import PLST, datasets
    >>> bibtex = datasets.load_bibtex()
    >>> clf = PLST(n_components=80).fit(bibtex.X, bibtex.Y)
    >>> clf.predict_topk(bibtex.X_test[:1], k=3).ids.shape
    (1, 3)
    """

    def _directions(
        self, labels: CenteredLabels, solver: RidgeSolver, k: int, random: np.random.Generator
    ) -> NDArray[np.float32]:
        return top_eigenvectors(
            lambda V: labels.transposed_times(labels.times(V)), labels.Y.shape[1], k, random, solver.stop
        )
