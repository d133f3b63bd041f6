"""Ridge regression of many targets: the factor of its slabs, and conjugate gradients."""

import numpy as np
from scipy.sparse import csr_array

from xclassic.linalg import eigen, ridge
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


def stopped_after(calls, function, stop):
    """Return a function that sets `stop` at the call of this number, and the list of its calls."""
    made = []

    def call(*args, **options):
        made.append(args)
        if len(made) == calls:
            stop[0] = 1
        return function(*args, **options)

    return call, made


def test_factorization_stops_between_two_slabs(monkeypatch):
    stop = np.zeros(1, np.uint8)
    monkeypatch.setattr(ridge, "SLAB", 4)
    solve, made = stopped_after(2, ridge.solve_triangular, stop)
    monkeypatch.setattr(ridge, "solve_triangular", solve)
    ridge.factorize(np.eye(40, dtype=np.float32), stop)
    assert len(made) == 2


def test_regression_stops_between_two_slabs_of_columns(monkeypatch):
    stop = np.zeros(1, np.uint8)
    solver = RidgeSolver(np.eye(5, dtype=np.float32), 1.0, stop)
    solve, made = stopped_after(2, ridge.cho_solve, stop)
    monkeypatch.setattr(ridge, "cho_solve", solve)
    assert solver.solve(np.ones((5, 10 * eigen.COLUMNS), np.float32)).shape == (5, 10 * eigen.COLUMNS)
    assert len(made) == 2
