"""Propensities: against a plain twin and published values; presets; bad input."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array, csr_matrix

from tests.helpers.naive import metrics as naive
from xclassic import metrics

# Frequencies of labels among the 15,539 training points of EURLex-4K (Extreme Classification Repository), and their
# inverse propensities in inv_prop.txt, which is distributed with that data set for the code of Parabel.
EURLEX = [
    (0, 12.457),
    (1, 9.6511),
    (2, 8.1895),
    (3, 7.2614),
    (5, 6.1149),
    (10, 4.7373),
    (25, 3.3613),
    (100, 2.1282),
    (514, 1.4615),
    (1006, 1.3193),
]


@pytest.mark.parametrize(("count", "inverse"), EURLEX)
def test_propensity_equals_published_values(count, inverse):
    assert 1 / metrics.propensity([count], 15_539)[0] == pytest.approx(inverse, abs=5e-4)


@pytest.mark.parametrize(
    ("preset", "A", "B"), [("default", 0.55, 1.5), (None, 0.55, 1.5), ("wikipedia", 0.5, 0.4), ("amazon", 0.6, 2.6)]
)
def test_propensity_presets(preset, A, B):
    counts = [0, 1, 17, 1000]
    expected = [naive.propensity(count, 1000, A, B) for count in counts]
    assert metrics.propensity(counts, 1000, preset=preset) == pytest.approx(expected)
    assert metrics.propensity(counts, 1000, A=A, B=B) == pytest.approx(expected)


@given(st.integers(3, 10**7), st.floats(0, 2), st.floats(0.01, 10))
def test_propensity_lies_in_the_unit_interval_and_ascends(n_samples, A, B):
    counts = np.unique(np.geomspace(1, n_samples, 9).astype(int))
    p = metrics.propensity([0, *counts], n_samples, A=A, B=B)
    assert ((p > 0) & (p <= 1)).all()
    assert (np.diff(p) >= 0).all()


def test_propensity_takes_column_sums_of_sparse_matrices():
    Y = csr_array(np.array([[1, 0], [1, 1], [0, 1], [1, 0]], dtype=np.float32))
    expected = metrics.propensity([3, 2], 4)
    assert metrics.propensity(Y.sum(axis=0), 4) == pytest.approx(expected)
    assert metrics.propensity(csr_matrix(Y).sum(axis=0), 4) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"label_counts": [1, -2]}, ValueError, "label 1 is -2"),
        ({"label_counts": [np.nan]}, ValueError, "label 0 is nan"),
        ({"label_counts": [[1, 2], [3, 4]]}, ValueError, "2 dimensions"),
        ({"label_counts": [1, 101]}, ValueError, "Label 1 has 101 training points but n_samples is 100"),
        ({"n_samples": 2}, ValueError, "at least 3"),
        ({"n_samples": 3.5}, TypeError, "integer"),
        ({"preset": "wiki"}, ValueError, "'default', 'wikipedia', 'amazon'"),
        ({"A": 0.5}, ValueError, "both A and B"),
        ({"A": 0.5, "B": 0.5, "preset": "amazon"}, ValueError, "no preset"),
        ({"A": -0.1, "B": 1.0}, ValueError, "A is -0.1"),
        ({"A": 0.5, "B": 0.0}, ValueError, "B is 0.0"),
    ],
)
def test_propensity_rejects_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        metrics.propensity(**{"label_counts": [1, 2], "n_samples": 100, **arguments})
