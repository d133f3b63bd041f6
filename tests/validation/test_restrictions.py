"""Labels that predictions are restricted to, for all rows or for each."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from xclassic import DiSMEC, TopK, datasets, metrics
from xclassic.validation.restrictions import check_restrictions, is_by_row

NAMES = np.array(["a", "b", "c", "d"])
ROWS = csr_array([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]])


def parts(rows=slice(0, 3), **given):
    restriction = check_restrictions(given.get("labels"), given.get("exclude"), given.get("candidates"), 3, NAMES)
    return [(part.start, part.stop, ids.tolist()) for part, ids in restriction.parts(rows)]


@pytest.mark.parametrize(
    "given",
    [
        ROWS,
        ROWS.tocsc(),
        ROWS.toarray(),
        ROWS.toarray() > 0,
        [["c", "a"], [], {"b"}],
        [("a", "c"), np.array([]), ["b"]],
    ],
)
def test_each_row_has_its_own(given):
    assert parts(candidates=given) == [(0, 1, [0, 2]), (1, 2, []), (2, 3, [1])]
    assert parts(exclude=given) == [(0, 1, [1, 3]), (1, 2, [0, 1, 2, 3]), (2, 3, [0, 2, 3])]
    assert parts(candidates=given, labels=["b", "c"]) == [(0, 1, [2]), (1, 2, []), (2, 3, [1])]
    assert parts(candidates=given, exclude=["c"]) == [(0, 1, [0]), (1, 2, []), (2, 3, [1])]
    assert parts(candidates=given, exclude=given) == [(0, 3, [])]
    assert parts(slice(1, 3), candidates=given) == [(1, 2, []), (2, 3, [1])]


def test_neighbors_with_the_same_labels_are_one_part():
    assert parts(candidates=[["b"], ["b"], ["a"]]) == [(0, 2, [1]), (2, 3, [0])]


def test_stored_zeros_are_no_candidates():
    stored = csr_array((np.array([1.0, 0.0]), ([0, 1], [1, 2])), shape=(3, 4))
    assert parts(candidates=stored) == [(0, 1, [1]), (1, 3, [])]


@pytest.mark.parametrize("flat", [["a", "b"], "ab", [], None, {"a"}, np.array(["a"]), [1, 2]])
def test_one_list_is_for_all_rows(flat):
    assert not is_by_row(flat)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"candidates": ["a", "b", "c"]}, TypeError, "candidates is a list"),
        ({"candidates": "abc"}, TypeError, "candidates is a str"),
        ({"candidates": np.ones((3, 4), np.float32).tolist()}, TypeError, "not a label|integers"),
        ({"candidates": ROWS[:2]}, ValueError, r"candidates has shape \(2, 4\)"),
        ({"exclude": ROWS[:, :2]}, ValueError, r"exclude has shape \(3, 2\)"),
        ({"exclude": [["a"], ["b"]]}, ValueError, "exclude has lists for 2 rows, but X has 3"),
        ({"candidates": [["a"], ["x"], []]}, ValueError, "'x'"),
        ({"candidates": [[1], [2], []]}, ValueError, "such as 1"),
        ({"candidates": [["a"], None, []]}, TypeError, r"candidates\[1\] is None, not a collection .* write \[\]"),
        ({"exclude": [["a"], [], [None]]}, TypeError, r"exclude\[2\] holds None"),
        ({"candidates": TopK.from_dense(np.eye(4)[:3], 2)}, TypeError, r"candidates\[0\] holds something"),
        ({"candidates": np.array([[2, 0], [1, 3], [0, 1]])}, ValueError, r"for the ids of labels pass .*tolist\(\)"),
        ({"exclude": np.ones((2, 4))}, ValueError, r"exclude has shape \(2, 4\)"),
    ],
)
def test_what_fits_no_row_is_refused(given, error, message):
    with pytest.raises(error, match=message):
        parts(**given)


def test_a_row_without_candidates_has_no_prediction():
    clf = DiSMEC().fit(np.eye(4), [["a"], ["b"], ["c"], ["d"]])
    top = clf.predict_topk(np.eye(4)[:3], 2, candidates=ROWS)
    assert top.counts.tolist() == [2, 0, 1]
    for nothing in (csr_array((0, 4)), []):
        assert clf.predict_topk(np.zeros((0, 4)), 2, candidates=nothing).n_rows == 0
    with pytest.raises(ValueError, match="pairs has shape"):
        clf.decision_function(np.eye(4), pairs=ROWS)


TRUTH = csr_array([[1, 0, 1, 0], [0, 1, 0, 1]])
TOP = TopK.from_dense([[4, 3, 2, 1], [4, 3, 2, 1]], 4)


def test_pairs_that_are_excluded_count_neither_as_true_nor_as_predicted():
    exclude = csr_array([[1, 0, 0, 0], [1, 0, 0, 0]])
    rest = TopK.from_dense([[-np.inf, 3, 2, 1], [-np.inf, 3, 2, 1]], 4)
    left = csr_array([[0, 0, 1, 0], [0, 1, 0, 1]])
    for name in ("precision_at_k", "recall_at_k", "ndcg_at_k", "hit_at_k", "coverage_at_k"):
        metric = getattr(metrics, name)
        assert metric(TRUTH, TOP, 2, exclude=exclude) == metric(left, rest, 2), name
    weights = [0.1, 0.2, 0.3, 0.4]
    for name in ("psp_at_k", "psndcg_at_k"):
        metric = getattr(metrics, name)
        assert metric(TRUTH, TOP, 2, weights, exclude=exclude) == metric(left, rest, 2, weights), name
    assert metrics.r_precision(TRUTH, TOP, exclude=exclude) == metrics.r_precision(left, rest)
    codes = [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert metrics.prefix_credit(TRUTH, TOP, codes, exclude=exclude) == metrics.prefix_credit(left, rest, codes)
    found = metrics.evaluate(TRUTH, TOP, ks=(1, 2), exclude=exclude, train_counts=[1, 500, 50, 500])
    assert found == metrics.evaluate(left, rest, ks=(1, 2), train_counts=[1, 500, 50, 500])
    assert found["P@1"] == 0.5


def test_excluded_pairs_may_have_names():
    truth, exclude = [["a", "c"], ["b", "unknown"]], [["a"], []]
    assert metrics.precision_at_k(truth, TOP, 1, classes=NAMES, exclude=exclude) == 0
    assert metrics.precision_at_k(truth, TOP, 1, classes=NAMES) == 0.5


def test_excluded_pairs_of_other_rows_are_refused():
    with pytest.raises(ValueError, match=r"exclude has shape \(1, 4\)"):
        metrics.evaluate(TRUTH, TOP, ks=(1,), exclude=TRUTH[:1])


def test_filter_files_of_the_repository_are_read(tmp_path):
    datasets.write_xmc(tmp_path / "train.txt", csr_array(np.eye(3)), csr_array(np.eye(3)))
    datasets.write_xmc(tmp_path / "test.txt", csr_array(np.eye(3)), csr_array(np.eye(3)))
    (tmp_path / "filter_labels_test.txt").write_text("0 2\n2 1\n2 1\n\n")
    data = datasets.load(tmp_path)
    assert data.exclude is None
    assert data.exclude_test.toarray().tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [("0 1\n0\n", "expected a point and a label, found '0'"), ("3 0\n", "point 3 is out of range: there are 3"),
     ("0 9999999999999999999999\n", "label 99999999999999999999 is out of range"), ("0 -1\n", "expected a point"),
     ("a b\n", "expected a point")],
)  # fmt: skip
def test_damaged_filter_files_are_refused(text, message, tmp_path):
    (tmp_path / "filter.txt").write_text(text)
    with pytest.raises(datasets.DataFileError, match=message):
        datasets.read_filter(tmp_path / "filter.txt", 3, 4)


def test_errors_name_what_was_excluded():
    with pytest.raises(ValueError, match="exclude is a nested list"):
        metrics.evaluate(TRUTH, TOP, ks=(1,), exclude=[[1], [0]], classes=range(4))
