"""Rows scaled to unit length, and their lengths, at the ends of what float32 can hold."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from xclassic.rows import row_lengths, rows_in_range, unit_rows

LARGEST = np.finfo(np.float32).max
ROWS = np.array([[3, 4, 0], [3e25, 4e25, 0], [3e-30, 4e-30, 0], [0, 0, 0], [LARGEST] * 3, [1e-45, 0, 0], [0, 1e20, 1]])
UNIT = [[0.6, 0.8, 0]] * 3 + [[0, 0, 0], [3**-0.5] * 3, [1, 0, 0], [0, 1, 1e-20]]


@pytest.mark.parametrize("form", [np.array, csr_array])
def test_rows_of_any_length_get_length_one(form):
    X = form(ROWS.astype(np.float32))
    scaled = unit_rows(X)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaled if form is np.array else scaled.toarray(), UNIT, rtol=1e-6)
    np.testing.assert_array_equal(X if form is np.array else X.toarray(), ROWS.astype(np.float32))


@pytest.mark.parametrize("form", [np.array, csr_array])
def test_row_lengths_may_be_beyond_float32(form):
    X = ROWS.astype(np.float32)
    np.testing.assert_allclose(row_lengths(form(X)), np.linalg.norm(X.astype(np.float64), axis=1), rtol=1e-6)


@pytest.mark.parametrize("form", [np.array, csr_array])
@pytest.mark.parametrize("row", [1, 2, 4])
def test_rows_whose_products_leave_float32_are_refused(form, row):
    with pytest.raises(ValueError, match=r"Row 1 of X has length .*Scale the features"):
        rows_in_range(form(ROWS[[0, row]].astype(np.float32)))
    usual = form(ROWS[[0, 3]].astype(np.float32))
    assert rows_in_range(usual) is usual
