"""TopK: ranking score matrices, and going back and forth between its forms."""

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array, csr_array, csr_matrix

from tests.helpers.naive import metrics as naive
from xclassic import TopK

NOT_SCORED = -np.inf


def assert_same(a, b):
    for name, left, right in zip(TopK._fields, a, b, strict=True):
        assert left.dtype == right.dtype, name
        np.testing.assert_array_equal(left, right, err_msg=name)


def assert_keeps_promises(top):
    filled = np.arange(top.k) < top.counts[:, None]
    assert top.ids.dtype == np.int32
    assert top.scores.dtype == np.float32
    assert top.counts.dtype == np.int32
    assert (top.ids[~filled] == -1).all()
    assert (top.scores[~filled] == -np.inf).all()
    assert (top.ids[filled] >= 0).all()


# Few distinct scores, so that most rows have ties.
SCORES = st.integers(1, 9).flatmap(
    lambda n_labels: st.lists(
        st.lists(st.sampled_from([NOT_SCORED, -1.5, 0.0, 0.25, 2.0]), min_size=n_labels, max_size=n_labels),
        min_size=1,
        max_size=6,
    )
)


@given(SCORES, st.integers(1, 12))
def test_ranking_is_the_plain_one_from_dense_and_from_csr(scores, k):
    scores = np.array(scores)
    n_rows, n_labels = scores.shape
    expected = [naive.rank([None if s == NOT_SCORED else s for s in row], min(k, n_labels)) for row in scores.tolist()]
    dense = TopK.from_dense(scores, k)
    rows, columns = np.nonzero(scores != NOT_SCORED)
    sparse = TopK.from_csr(csr_array((scores[rows, columns], (rows, columns)), shape=scores.shape), k)
    assert dense.k == min(k, n_labels)
    assert dense.n_rows == n_rows
    assert [ids[:count].tolist() for ids, count in zip(dense.ids, dense.counts, strict=True)] == expected
    assert_keeps_promises(dense)
    assert_same(dense, sparse)


@given(SCORES, st.integers(1, 12))
def test_topk_to_csr_and_back(scores, k):
    top = TopK.from_dense(np.array(scores), k)
    matrix = top.to_csr(len(scores[0]))
    assert matrix.has_canonical_format
    assert matrix.nnz == top.counts.sum()  # zeros are scores
    assert_same(TopK.from_csr(matrix, top.k), top)


def test_topk_ties_go_to_the_smaller_id_also_where_selection_cuts_through_them():
    scores = np.full((1, 1000), 0.5)
    scores[0, 700] = 0.75
    assert TopK.from_dense(scores, 4).ids.tolist() == [[700, 0, 1, 2]]


def test_topk_ties_are_scores_that_are_equal_in_float32():
    scores = np.array([[1.0, 1.0 + 1e-12]])
    assert TopK.from_dense(scores, 2).ids.tolist() == [[0, 1]]
    assert TopK.from_csr(csr_array(scores), 2).ids.tolist() == [[0, 1]]


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float64])
def test_topk_takes_any_numeric_type(dtype):
    scores = np.array([[0, 1, 0, 1]], dtype=dtype)
    assert TopK.from_dense(scores, 3).ids.tolist() == [[1, 3, 0]]
    assert TopK.from_csr(csr_array(scores), 3).ids.tolist() == [[1, 3, -1]]


def test_from_csr_leaves_unsorted_and_doubled_entries_as_they_were():
    scores = csr_matrix((np.array([1.0, 3.0, 2.5]), np.array([2, 1, 2]), np.array([0, 3])), shape=(1, 4))
    before = scores.indices.copy(), scores.data.copy()
    assert TopK.from_csr(scores, 2).ids.tolist() == [[2, 1]]  # 1.0 + 2.5 against 3.0
    np.testing.assert_array_equal(scores.indices, before[0])
    np.testing.assert_array_equal(scores.data, before[1])


def test_from_csr_takes_other_sparse_formats_and_empty_matrices():
    assert TopK.from_csr(coo_array(np.array([[0.0, 2.0]])), 1).ids.tolist() == [[1]]
    assert_same(TopK.from_csr(csr_array((2, 3)), 2), TopK.empty(2, 2))
    assert_same(TopK.from_csr(csr_array((0, 3)), 2), TopK.empty(0, 2))
    assert_same(TopK.from_dense(np.empty((0, 3)), 2), TopK.empty(0, 2))


@pytest.mark.parametrize("k", [1, 2, 3])
def test_topk_rejects_nan(k):
    scores = np.array([[0.0, 1.0, 2.0], [3.0, np.nan, 4.0]])
    with pytest.raises(ValueError, match="row 1, label 1 is NaN"):
        TopK.from_dense(scores, k)
    with pytest.raises(ValueError, match="row 1, label 1 is NaN"):
        TopK.from_csr(csr_array(scores), k)


@pytest.mark.parametrize("k", [0, -1])
def test_topk_rejects_k_below_one(k):
    with pytest.raises(ValueError, match="at least 1"):
        TopK.from_dense(np.zeros((1, 2)), k)
    with pytest.raises(ValueError, match="at least 1"):
        TopK.from_csr(csr_array((1, 2)), k)


def test_topk_rejects_a_vector_of_scores():
    with pytest.raises(ValueError, match="1 dimensions"):
        TopK.from_dense(np.zeros(3), 1)


TOP = TopK.from_dense(np.array([[0.9, 0.1, 0.5], [NOT_SCORED, 0.2, NOT_SCORED], [NOT_SCORED] * 3]), 3)


def test_topk_head():
    head = TOP.head(2)
    assert head.ids.tolist() == [[0, 2], [1, -1], [-1, -1]]
    assert head.counts.tolist() == [2, 1, 0]
    assert_same(TOP.head(7), TOP)


def test_topk_above_keeps_scores_at_the_threshold():
    kept = TOP.above(0.5)
    assert kept.ids.tolist() == [[0, 2, -1], [-1, -1, -1], [-1, -1, -1]]
    assert kept.counts.tolist() == [2, 0, 0]
    assert_keeps_promises(kept)
    assert_same(TOP.above(-np.inf), TOP)


def test_topk_concat():
    both = TopK.concat([TOP, TopK.empty(2, 3)])
    assert both.ids.tolist() == [*TOP.ids.tolist(), [-1] * 3, [-1] * 3]
    assert both.counts.tolist() == [3, 1, 0, 0, 0]
    assert_keeps_promises(both)
    with pytest.raises(ValueError, match=r"\[2, 3\] slots"):
        TopK.concat([TOP, TOP.head(2)])
    with pytest.raises(ValueError, match="at least one"):
        TopK.concat([])


def test_topk_named():
    names = np.array(["ant", "bee", "cat"])
    assert [[name for name, _ in row] for row in TOP.named(names)] == [["ant", "cat", "bee"], ["bee"], []]
    assert TOP.named(["ant", "bee", "cat"])[1] == [("bee", pytest.approx(0.2))]


@pytest.mark.parametrize("classes", [np.array(["a", "b", "c"]), np.array([10, 20, 30]), ["a", "b", "c"], range(3)])
def test_topk_named_is_what_json_takes(classes):
    named = TopK.from_dense(np.array([[0.25, 0.5, 0.0]]), 2).named(classes)
    assert json.loads(json.dumps(named)) == [[[classes[1], 0.5], [classes[0], 0.25]]]
    assert type(named[0][0][0]) in (str, int)


def test_topk_to_csr_rejects_too_few_columns():
    with pytest.raises(ValueError, match="from 0 to 2; there are 2 labels"):
        TOP.to_csr(2)


def test_topk_above_needs_descending_scores():
    with pytest.raises(ValueError, match="scores of row 0 do not descend"):
        TOP._replace(scores=TOP.scores[:, ::-1]).above(0.5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"counts": np.array([10**9, 2 - 10**9, 2], np.int32)},
            r"counts\[0\] of the ranking is 10+; a row has 3 slots",
        ),
        ({"counts": np.array([3, -1, 0], np.int32)}, r"counts\[1\] of the ranking is -1"),
        ({"counts": np.array([3, 1], np.int32)}, r"counts of \(2,\)"),
        ({"ids": TOP.ids.astype(np.float32)}, "ids of float32"),
        ({"ids": np.where(TOP.ids == 1, 0, TOP.ids)}, "Row 0 names label 0 twice"),
        ({"ids": np.where(TOP.ids == 1, -7, TOP.ids)}, "label ids from -7 to 2; there are 3 labels"),
    ],
)
def test_topk_made_by_hand_is_checked(fields, message):
    with pytest.raises((ValueError, TypeError), match=message):
        TOP._replace(**fields).to_csr(3)


def test_topk_pickle():
    assert_same(pickle.loads(pickle.dumps(TOP)), TOP)


def test_head_takes_any_number_of_slots():
    top = TopK.from_dense([[3.0, 1.0, 2.0]], 2)
    for k in (2, 2**40):
        assert top.head(k).ids.tolist() == [[0, 2]]
    for k, error in ((0, ValueError), (-1, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="k is"):
            top.head(k)


def test_without_drops_the_labels_of_each_row_and_the_others_move_up():
    top = TopK.from_dense([[3.0, 1.0, 2.0], [1.0, 2.0, 3.0], [-np.inf, 5.0, -np.inf]], 3)
    left = top.without(csr_array(np.array([[1, 0, 0], [0, 0, 0], [1, 1, 1]])))
    assert left.ids.tolist() == [[2, 1, -1], [2, 1, 0], [-1, -1, -1]]
    assert left.scores.tolist() == [[2, 1, -np.inf], [3, 2, 1], [-np.inf] * 3]
    assert left.counts.tolist() == [2, 3, 0]
    assert (left.ids.dtype, left.scores.dtype, left.counts.dtype) == (np.int32, np.float32, np.int32)
    assert_same(top.without(np.zeros((3, 2))), top)  # labels beyond the matrix are not dropped
    assert top.without(np.array([[0, 0], [0, 1], [0, 0]])).ids.tolist() == [[0, 2, 1], [2, 0, -1], [1, -1, -1]]
    with pytest.raises(ValueError, match="labels has 2 rows and the ranking 3"):
        top.without(np.zeros((2, 3)))
