"""Selected entries of a product of two matrices."""

from __future__ import annotations

import numpy as np

from xclassic._kernels.jit import Jitted


@Jitted
def products_at(indptr, indices, A, B, products):  # type: ignore[no-untyped-def]
    """Write ``A[i] . B[j]`` to `products` for each entry (i, j) of a CSR matrix with these arrays."""
    for i in range(len(indptr) - 1):
        for p in range(indptr[i], indptr[i + 1]):
            j = indices[p]
            product = np.float32(0)
            for c in range(A.shape[1]):
                product += A[i, c] * B[j, c]
            products[p] = product
