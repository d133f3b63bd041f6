"""Rankings that hold anything, at all that take a ranking."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tests.helpers.contract import block_diagonal, random_sparse
from tests.helpers.odd_inputs import fuzz, is_refusal, matrices, outcome
from xclassic import TopK, blend_topk, metrics
from xclassic.metrics import propensity

pytestmark = pytest.mark.long
N_ROWS, K, N_LABELS = 40, 4, 20
_, Y = block_diagonal(N_ROWS)
SCORES = random_sparse((N_ROWS, N_LABELS), 0.4, np.random.default_rng(0))
SOUND = TopK.from_csr(SCORES, K)
CHANGES = [
    lambda array, at, value: _with(array, at, value),
    lambda array, at, value: array[: at % (len(array) + 1)],
    lambda array, at, value: array.astype([np.int64, np.float64, np.float16, object, np.uint8, bool][at % 6]),
    lambda array, at, value: array[:, None],
    lambda array, at, value: np.asfortranarray(array),
    lambda array, at, value: array[::-1],
    lambda array, at, value: array.tolist(),
    lambda array, at, value: np.full_like(array, value),
    lambda array, at, value: None,
]
USERS = {
    "precision": lambda top: metrics.precision_at_k(Y, top, 3),
    "ndcg": lambda top: metrics.ndcg_at_k(Y, top, 3),
    "r-precision": lambda top: metrics.r_precision(Y, top),
    "coverage": lambda top: metrics.coverage_at_k(Y, top, 3),
    "psp": lambda top: metrics.psp_at_k(Y, top, 3, propensity(np.asarray(Y.sum(axis=0)), N_ROWS)),
    "evaluate": lambda top: metrics.evaluate(Y, top, ks=(1, 3)),
    "blend": lambda top: blend_topk([top, SOUND], [0.5, 0.5], k=3),
    "to_csr": lambda top: top.to_csr(N_LABELS),
    "head": lambda top: top.head(2),
    "above": lambda top: top.above(0.5),
    "named": lambda top: top.named([f"label {i}" for i in range(N_LABELS)]),
    "concat": lambda top: TopK.concat([top, SOUND]),
}


def _with(array, at, value):
    changed = array.copy()
    changed.ravel()[at % changed.size] = value
    return changed


@pytest.mark.parametrize("user", USERS)
@fuzz(60)
@given(
    field=st.sampled_from(["ids", "scores", "counts"]),
    change=st.sampled_from(CHANGES),
    at=st.integers(0, 10**6),
    value=st.sampled_from([-1, -5, 0, 3, 5, 20, 10**6, 2**31 - 1, -(2**31)]),
)
def test_rankings(user, field, change, at, value):
    changed = outcome(change, getattr(SOUND, field), at, value)
    if is_refusal(changed):
        return
    found = outcome(lambda: USERS[user](SOUND._replace(**{field: changed})))
    if isinstance(found, float):
        assert 0 <= found <= 1
    if isinstance(found, csr_array):
        found.check_format(full_check=True)


@fuzz(100)
@given(drawn=matrices(SCORES), k=st.sampled_from([0, 1, 4, 20, 50, -1, 2**40, 1.5]))
def test_scores(drawn, k):
    for make in (TopK.from_csr, TopK.from_dense, partial(metrics.precision_at_k, Y)):
        outcome(make, drawn[1], k)
