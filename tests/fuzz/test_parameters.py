"""Values of all kinds for the parameters of every estimator."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.contract import ESTIMATORS, block_diagonal, quick
from tests.helpers.odd_inputs import fuzz, is_refusal, outcome, values
from xclassic import predict_topk

pytestmark = pytest.mark.long
X, Y = block_diagonal(30)
LARGE = 1000  # Numbers above would be right and take long.


def is_quick(value):
    try:
        return not (1 < abs(value) <= 1e15 and abs(value) > LARGE)
    except (TypeError, ValueError):
        return True


@pytest.mark.parametrize("name", ESTIMATORS)
@fuzz(25)
@given(data=st.data())
def test_parameters(name, data):
    model = quick(name)
    parameters = sorted(set(model.get_params()) - {"n_jobs", "checkpoint", "index_folder"})  # no files anywhere
    chosen = data.draw(st.dictionaries(st.sampled_from(parameters), values.filter(is_quick), min_size=1, max_size=2))
    found = outcome(lambda: model.set_params(**chosen).fit(X, Y))
    if is_refusal(found):
        assert any(parameter in str(found) for parameter in model.get_params())
    else:
        top = predict_topk(found, X, 3)
        assert np.isfinite(top.scores[top.filled()]).all()
