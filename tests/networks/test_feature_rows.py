"""The first layer of networks: sparse rows give what dense ones give, also in its gradient."""

import numpy as np
import pytest
from scipy.sparse import random_array

torch = pytest.importorskip("torch")

from xclassic.networks.feature_rows import FeatureLinear, feature_rows  # noqa: E402


def test_sparse_rows_give_what_dense_rows_give():
    X = random_array((9, 30), density=0.2, rng=0, dtype=np.float32).tocsr()
    rows = np.array([4, 0, 8, 4])
    layer = FeatureLinear(30, 5)
    results = []
    for matrix in (X, X.toarray()):
        layer.zero_grad()
        output = layer(feature_rows(matrix, rows, torch.device("cpu")))
        output.square().sum().backward()
        results.append((output.detach(), layer.weight.grad.clone()))
    (sparse, sparse_gradient), (dense, dense_gradient) = results
    assert sparse.shape == (4, 5)
    torch.testing.assert_close(sparse, dense)
    torch.testing.assert_close(sparse_gradient, dense_gradient)
