"""Leading eigenvectors, their bases by slabs of rows, and how soon they stop."""

import numpy as np
import pytest

from xclassic.linalg import eigen
from xclassic.parallel import RUNNING


@pytest.mark.parametrize("rows", [7, 16, 30, 100])
def test_basis_by_slabs_of_rows_is_orthonormal_and_spans_the_columns(rows, monkeypatch):
    monkeypatch.setattr(eigen, "ROWS", rows)
    matrix = np.random.default_rng(0).standard_normal((64, 9)).astype(np.float32)
    basis = eigen.orthonormal(matrix, RUNNING)
    np.testing.assert_allclose(basis.T @ basis, np.eye(9), atol=1e-5)
    np.testing.assert_allclose(basis @ (basis.T @ matrix), matrix, atol=1e-5)


@pytest.mark.parametrize("columns", [1, 4, 100])
def test_product_by_columns(columns, monkeypatch):
    monkeypatch.setattr(eigen, "COLUMNS", columns)
    A, V = np.arange(12.0).reshape(4, 3), np.arange(21.0).reshape(3, 7)
    np.testing.assert_array_equal(eigen.by_columns(A.dot, V, RUNNING), A @ V)
    assert eigen.by_columns(A.dot, V[:, :0], RUNNING).shape == (4, 0)


@pytest.mark.parametrize("order", [300, 1500])  # dense, and by subspace iteration
@pytest.mark.parametrize("moment", [1, 2, 5])
def test_eigenvectors_stop_between_two_slabs_of_columns(order, moment):
    stop, made = np.zeros(1, np.uint8), []

    def product(V):
        made.append(V.shape[1])
        if len(made) == moment:
            stop[0] = 1
        return 2 * V

    found = eigen.top_eigenvectors(product, order, 200, np.random.default_rng(0), stop)
    assert found.shape == (order, 200)
    assert len(made) == moment
