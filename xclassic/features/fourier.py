"""Random Fourier features: a kernel machine from a linear method."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.kernel_approximation import RBFSampler
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from xclassic.rows import row_products
from xclassic.storage.arrays import FINITE, stored_array
from xclassic.storage.folder import Arrays, Verify
from xclassic.storage.models import Metadata
from xclassic.validation.features import check_features
from xclassic.validation.parameters import check_common, check_number

SAMPLE_ROWS = 500  # Rows whose distances give the width of the kernel.
WIDTH = 4.0  # Width of the kernel in median squared distances.


class FourierFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    r"""Features whose products approximate a Gaussian kernel, for dense rows of few dimensions.

    Linear methods on :math:`\sqrt{2/m} \cos(\omega_j x + b_j)`, with random frequencies, approximate kernel methods at
    the cost of linear ones. They are worth a try where features are few and dense; sparse text does not need them.

    Parameters
    ----------
    n_components : int, default=2000
        Number of features; more approximate the kernel better.
    gamma : float, optional
        The kernel is :math:`e^{-\gamma \|x - x'\|^2}`. By default a quarter of one over the median squared distance of
        500 rows.
    random_state : int or None, default=0
        Seed of the frequencies; None takes a new one each time.

    Attributes
    ----------
    gamma_ : float
        The value used.
    sampler_ : sklearn.kernel_approximation.RBFSampler

    See Also
    --------
    OneVsRestLeastSquares : On these features, kernel ridge regression.

    Notes
    -----
    Cost of a row: ``n_features n_components``. Memory: ``8 n_features n_components`` bytes, and 8 for each entry of the
    result while it is made.

    References
    ----------
    .. [1] A. Rahimi and B. Recht, "Random features for large-scale kernel machines", NIPS 2007.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from xclassic import OneVsRestLeastSquares, datasets
    >>> from xclassic.features import FourierFeatures
    >>> bibtex = datasets.load_bibtex()
    >>> model = make_pipeline(FourierFeatures(500), OneVsRestLeastSquares(alpha=0.3)).fit(bibtex.X, bibtex.Y)
    >>> model.predict(bibtex.X_test[:2]).shape
    (2, 159)
    """

    gamma_: float
    sampler_: RBFSampler
    n_features_in_: int

    def __init__(
        self,
        n_components: int = 2000,
        *,
        gamma: float | None = None,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.n_components = n_components
        self.gamma = gamma
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = []
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.n_components

    def _check_parameters(self) -> None:
        check_common(self)
        check_number("n_components", self.n_components, minimum=1, integer=True)
        if self.gamma is not None:
            check_number("gamma", self.gamma, minimum=0, inclusive=False)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Draw the frequencies.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)
        y : object, optional
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If `X` has NaN, infinite or too large entries, or a parameter is out of range.
        """
        self._check_parameters()
        X = check_features(self, X, reset=True)
        random = check_random_state(self.random_state)
        rows = random.permutation(X.shape[0])[:SAMPLE_ROWS]
        self.gamma_ = self.gamma if self.gamma is not None else 1 / (WIDTH * _median_square_distance(X[rows]))
        self.sampler_ = RBFSampler(gamma=self.gamma_, n_components=self.n_components, random_state=random).fit(X)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the features.

        Parameters
        ----------
        X : sparse matrix or array-like, shape (n_rows, n_features)

        Returns
        -------
        ndarray of float32, shape (n_rows, n_components)
        """
        check_is_fitted(self)
        # This is `RBFSampler.transform`, except that a row does not depend on the other rows.
        phases = row_products(check_features(self, X, reset=False), self.sampler_.random_weights_)
        phases += self.sampler_.random_offset_
        return np.cos(phases, phases) * np.float32(np.sqrt(2 / self.n_components))

    def _get_arrays(self) -> tuple[Arrays, Metadata]:
        arrays = {"weights": self.sampler_.random_weights_, "offset": self.sampler_.random_offset_}
        return arrays, {"gamma": float(self.gamma_)}

    def _set_arrays(self, arrays: Arrays, metadata: Metadata, verify: Verify) -> None:
        weights = stored_array(arrays, "weights", np.float32, (self.n_features_in_, self.n_components), FINITE)
        offset = stored_array(arrays, "offset", np.float32, (self.n_components,), FINITE)
        self.gamma_ = float(metadata["gamma"])
        self.sampler_ = RBFSampler(gamma=self.gamma_, n_components=self.n_components)
        self.sampler_.random_weights_, self.sampler_.random_offset_ = weights, offset
        self.sampler_.n_features_in_ = self.n_features_in_


def _median_square_distance(X: Any) -> float:
    """Return the median squared distance over the pairs of different rows; 1 if all rows are the same."""
    squares = euclidean_distances(X, squared=True)[np.triu_indices(X.shape[0], 1)]
    apart = squares[squares > 0]
    return float(np.median(apart)) if apart.size else 1.0
