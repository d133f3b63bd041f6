"""Products of two factors at the entries of a sparse matrix."""

import numpy as np
from scipy.sparse import random_array

from xclassic.linalg.products import products_at


def test_products_at_entries_stay_in_bounds_and_compile_to_the_same():
    random = np.random.default_rng(0)
    S = random_array((20, 20), density=0.2, format="csr", dtype=np.float32, rng=0)
    A, B = (random.standard_normal((20, 3)).astype(np.float32) for _ in range(2))
    for function in (products_at, products_at.python):
        found = np.empty_like(S.data)
        function(S.indptr.astype(np.int64), S.indices.astype(np.int64), A, B, found)
        np.testing.assert_allclose(found, (A @ B.T)[S.nonzero()], atol=1e-5)
