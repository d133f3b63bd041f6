"""Ridge regression of many targets: the factor of its slabs, and conjugate gradients."""

import numpy as np
from scipy.sparse import csr_array

from xclassic.linalg import ridge
from xclassic.linalg.ridge import RidgeSolver
from xclassic.parallel import RUNNING


def test_factorization_by_slabs(monkeypatch):
    monkeypatch.setattr(ridge, "SLAB", 4)
    A = np.random.default_rng(0).standard_normal((11, 30)).astype(np.float32)
    factor, lower = ridge.factorize(A @ A.T)
    assert lower
    np.testing.assert_allclose(np.tril(factor), np.linalg.cholesky(A @ A.T), atol=1e-4)


def test_conjugate_gradients_end_where_the_factor_does(monkeypatch):
    random = np.random.default_rng(0)
    X, Y = csr_array(random.standard_normal((200, 30)).astype(np.float32)), random.random((200, 12)).astype(np.float32)
    expected = RidgeSolver(X, 1.0, RUNNING).solve(Y)
    monkeypatch.setattr(ridge, "LIMIT", 5)
    found = RidgeSolver(X, 1.0, RUNNING).solve(Y)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    assert not RidgeSolver(X, 1.0, RUNNING).solve(np.zeros((200, 2), np.float32)).any()
