"""Matrices and labels of all kinds at the methods of every estimator."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.helpers.contract import ESTIMATORS, assert_well_formed, block_diagonal, quick
from tests.helpers.odd_inputs import fuzz, is_refusal, label_lists, matrices, outcome
from tests.helpers.odd_matrices import BROKEN, FORMS, ODD
from xclassic import encode_labels, predict_topk

pytestmark = pytest.mark.long
X, Y = block_diagonal(40)
SOUND_K = (1, 5, 20, 21, 10**9)


@cache
def fitted(name):
    return quick(name).fit(X, Y)


@pytest.mark.parametrize("name", ESTIMATORS)
@fuzz(20)
@given(drawn=matrices(X), k=st.sampled_from([*SOUND_K, 0, -1, 2.5, "3", None, False]))
def test_predict(name, drawn, k):
    model, (change, changed) = fitted(name), drawn
    found = outcome(predict_topk, model, changed, k)
    if is_refusal(found):
        assert change not in FORMS or k not in SOUND_K
        return
    n_rows = changed.shape[0] if hasattr(changed, "shape") else len(changed)
    assert_well_formed(found, n_rows, found.k, len(model.classes_))
    if change in FORMS:
        expected = predict_topk(model, X, k)
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ESTIMATORS)
@fuzz(6)
@given(drawn_X=matrices(X, BROKEN | ODD), drawn_Y=matrices(Y), which=st.booleans())
def test_fit(name, drawn_X, drawn_Y, which):
    changed_X, changed_Y = (drawn_X[1], Y) if which else (X, drawn_Y[1])
    model = outcome(quick(name).fit, changed_X, changed_Y)
    if not is_refusal(model):
        top = outcome(predict_topk, model, X, 3)
        assert is_refusal(top) or np.isfinite(top.scores[top.filled()]).all()


@fuzz(200)
@given(rows=label_lists(6))
def test_labels(rows):
    found = outcome(encode_labels, rows)
    if is_refusal(found):
        return
    matrix, classes = found
    assert matrix.shape == (len(rows), classes.size)
    assert np.unique(classes).size == classes.size
    for i, row in enumerate(rows):
        named = {str(label).strip() for label in classes[matrix.indices[matrix.indptr[i] : matrix.indptr[i + 1]]]}
        assert named <= {str(label).strip() for label in row}


@fuzz(60)
@given(rows=label_lists(40))
def test_labels_of_fit(rows):
    model = outcome(quick("OneVsRestLeastSquares").fit, X, rows)
    if not is_refusal(model):
        top = predict_topk(model, X, 2)
        assert_well_formed(top, 40, top.k, len(model.classes_))
