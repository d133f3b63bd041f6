"""FourierFeatures: the kernel that they stand for, its width, and scikit-learn's checks."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from xclassic import OneVsRestLeastSquares
from xclassic.features import FourierFeatures


@parametrize_with_checks([FourierFeatures(3)])
def test_fourier_passes_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.mark.parametrize("form", [csr_array, np.asarray])
@pytest.mark.parametrize("gamma", [0.05, None])
def test_fourier_products_are_those_of_the_kernel(form, gamma):
    X = np.random.default_rng(0).standard_normal((40, 6)).astype(np.float32)
    encoder = FourierFeatures(20_000, gamma=gamma).fit(form(X))
    Z = encoder.transform(form(X))
    assert Z.dtype == np.float32
    np.testing.assert_allclose(Z @ Z.T, rbf_kernel(X, gamma=encoder.gamma_), atol=0.05)


def test_fourier_width_follows_the_scale_of_the_rows():
    X = np.random.default_rng(0).standard_normal((700, 5))
    narrow, wide = FourierFeatures(10).fit(X), FourierFeatures(10).fit(10 * X)
    assert narrow.gamma_ == pytest.approx(100 * wide.gamma_, rel=1e-4)
    np.testing.assert_allclose(narrow.transform(X), wide.transform(10 * X), atol=1e-4)
    assert FourierFeatures(10).fit(np.ones((3, 2))).gamma_ == 0.25


def test_fourier_lets_a_linear_method_learn_a_circle():
    X = np.random.default_rng(0).uniform(-1, 1, (600, 2))
    Y = ((X**2).sum(axis=1) < 0.5).astype(int)
    plain = OneVsRestLeastSquares(normalize=False).fit(X[:400], Y[:400]).score(X[400:], Y[400:])
    pipe = make_pipeline(FourierFeatures(300, gamma=2.0), OneVsRestLeastSquares(alpha=0.1, normalize=False))
    assert pipe.fit(X[:400], Y[:400]).score(X[400:], Y[400:]) > max(0.93, plain + 0.1)


@pytest.mark.parametrize("params", [{"n_components": 0}, {"gamma": 0}, {"gamma": -1.0}])
def test_fourier_rejects_bad_parameters(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        FourierFeatures(**params).fit(np.eye(3))


def test_fourier_rows_do_not_depend_on_the_rows_beside():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        X, order = rng.standard_normal((40, 15)), rng.permutation(40)
        fourier = FourierFeatures(n_components=3, random_state=0).fit(X)
        found = fourier.transform(X)
        np.testing.assert_array_equal(fourier.transform(X[order]), found[order])
        np.testing.assert_array_equal(np.vstack([fourier.transform(X[[i]]) for i in range(40)]), found)
        np.testing.assert_allclose(found, fourier.sampler_.transform(X), atol=1e-5)
