"""Metrics: against plain twins, scikit-learn and figures worked out by hand; bounds; bad input; size."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.sparse import coo_array, csc_matrix, csr_array, csr_matrix, lil_array, random_array
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    label_ranking_average_precision_score,
    ndcg_score,
    precision_score,
    recall_score,
)

from tests.helpers.naive import metrics as naive
from xclassic import TopK, metrics

AT_K = ["precision_at_k", "recall_at_k", "ndcg_at_k", "hit_at_k", "coverage_at_k"]
SCORED = ["psp_at_k", "psndcg_at_k"]
SETS = ["precision", "recall", "f1", "accuracy"]
AVERAGES = ["micro", "macro", "weighted"]


@st.composite
def problems(draw):
    """Draw a truth and scores: rows without labels, labels without rows, ties and unscored labels among them."""
    n_rows, n_labels = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    truth = draw(arrays(np.int8, (n_rows, n_labels), elements=st.sampled_from([0, 0, 1])))
    scores = draw(arrays(np.float64, (n_rows, n_labels), elements=st.sampled_from([-np.inf, 0.0, 0.5, 1.0, 2.0])))
    propensities = draw(arrays(np.float64, n_labels, elements=st.floats(0.01, 1.0)))
    labels = draw(st.none() | st.lists(st.integers(0, n_labels - 1), unique=True))
    return truth, scores, propensities, labels


def as_sets(matrix):
    return [set(np.flatnonzero(row).tolist()) for row in matrix]


def ranked(scores):
    return [naive.rank([None if s == -np.inf else s for s in row], len(row)) for row in scores.tolist()]


DEPTHS = st.integers(1, 10)


@given(problems(), DEPTHS)
def test_ranking_metrics_equal_their_plain_twins(problem, k):
    truth, scores, propensities, labels = problem
    sets, ranks = as_sets(truth), ranked(scores)
    top = TopK.from_dense(scores, k)
    for name in AT_K:
        expected = getattr(naive, name)(sets, ranks, k, labels)
        assert getattr(metrics, name)(csr_array(truth), top, k, labels=labels) == pytest.approx(expected), name
    for name in SCORED:
        expected = getattr(naive, name)(sets, ranks, k, propensities, labels)
        found = getattr(metrics, name)(csr_array(truth), top, k, propensities, labels=labels)
        assert found == pytest.approx(expected), name
    assert metrics.r_precision(truth, scores, labels=labels) == pytest.approx(naive.r_precision(sets, ranks, labels))


@given(problems(), st.integers(1, 4), st.sampled_from(AVERAGES))
def test_set_metrics_equal_their_plain_twins(problem, k, average):
    truth, scores, _, labels = problem
    top = TopK.from_dense(scores, k)
    predicted = [ids[:count].tolist() for ids, count in zip(top.ids, top.counts, strict=True)]
    expected = naive.sets(as_sets(truth), predicted, truth.shape[1], average, labels)
    found = [getattr(metrics, name)(truth, top, average=average, labels=labels) for name in SETS]
    assert found == pytest.approx(list(expected))
    chosen = set(range(truth.shape[1]) if labels is None else labels)
    exact = [
        row & chosen == set(prediction) & chosen for row, prediction in zip(as_sets(truth), predicted, strict=True)
    ]
    assert metrics.subset_accuracy(truth, top, labels=labels) == pytest.approx(np.mean(exact))


@given(problems(), DEPTHS)
def test_ranking_metrics_have_bounds_and_grow_with_k(problem, k):
    truth, scores, propensities, labels = problem
    values = [getattr(metrics, name)(truth, scores, k, labels=labels) for name in AT_K]
    values += [getattr(metrics, name)(truth, scores, k, propensities, labels=labels) for name in SCORED]
    assert all(0 <= value <= 1 + 1e-12 for value in values)
    for name in ["recall_at_k", "hit_at_k", "coverage_at_k"]:
        deeper = getattr(metrics, name)(truth, scores, k + 1, labels=labels)
        assert getattr(metrics, name)(truth, scores, k, labels=labels) <= deeper + 1e-12


@given(problems(), DEPTHS)
def test_ranking_metrics_of_a_perfect_ranking_are_one(problem, k):
    truth, _, propensities, _ = problem
    labeled = truth[truth.any(axis=1)]
    if labeled.size == 0:
        return
    perfect = labeled / propensities  # true labels first, those that weigh most before the others
    for name in ["ndcg_at_k", "hit_at_k"]:
        assert getattr(metrics, name)(labeled, perfect, k) == pytest.approx(1), name
    for name in SCORED:
        assert getattr(metrics, name)(labeled, perfect, k, propensities) == pytest.approx(1), name
    assert metrics.r_precision(labeled, perfect) == pytest.approx(1)
    n_labels = truth.shape[1]
    assert metrics.recall_at_k(labeled, perfect, n_labels) == pytest.approx(1)
    assert metrics.coverage_at_k(labeled, perfect, n_labels) == pytest.approx(1)
    best = np.minimum(labeled.sum(axis=1), k).mean() / k
    assert metrics.precision_at_k(labeled, perfect, k) == pytest.approx(best)


@given(problems(), DEPTHS, st.randoms(use_true_random=False))
def test_ranking_metrics_do_not_depend_on_label_numbers_without_ties(problem, k, random):
    truth, _, propensities, labels = problem
    n_rows, n_labels = truth.shape
    scores = np.array([random.sample(range(n_labels), n_labels) for _ in range(n_rows)])
    order = np.array(random.sample(range(n_labels), n_labels))
    moved = None if labels is None else np.argsort(order)[labels].tolist()
    for name in AT_K:
        metric = getattr(metrics, name)
        found = metric(truth[:, order], scores[:, order], k, labels=moved)
        assert found == pytest.approx(metric(truth, scores, k, labels=labels)), name
    for name in SCORED:
        metric = getattr(metrics, name)
        found = metric(truth[:, order], scores[:, order], k, propensities[order], labels=moved)
        assert found == pytest.approx(metric(truth, scores, k, propensities, labels=labels)), name


@given(problems(), DEPTHS)
def test_precision_of_disjoint_groups_adds_up(problem, k):
    truth, scores, _, labels = problem
    inside = np.isin(np.arange(truth.shape[1]), labels or [])
    parts = [metrics.precision_at_k(truth, scores, k, labels=mask) for mask in (inside, ~inside)]
    assert sum(parts) == pytest.approx(metrics.precision_at_k(truth, scores, k))


@st.composite
def codes_of(draw, n_labels):
    """Draw a list of digits for each label: equal ones, prefixes of others and empty ones among them."""
    return draw(st.lists(st.lists(st.integers(0, 2), max_size=4), min_size=n_labels, max_size=n_labels))


def padded(codes, depth=4):
    return np.array([[*code, *[-1] * (depth - len(code))] for code in codes])


@given(st.data(), problems(), DEPTHS)
def test_prefix_credit_equals_its_plain_twin(data, problem, k):
    truth, scores, _, labels = problem
    codes = data.draw(codes_of(truth.shape[1]))
    expected = naive.prefix_credit(as_sets(truth), ranked(scores), codes, k, labels)
    found = metrics.prefix_credit(csr_array(truth), TopK.from_dense(scores, k), padded(codes), k=k, labels=labels)
    assert found == pytest.approx(expected)
    assert metrics.precision_at_k(truth, scores, k, labels=labels) - 1e-12 <= found <= 1 + 1e-12


@given(problems(), DEPTHS)
def test_prefix_credit_is_precision_where_only_whole_matches_count(problem, k):
    truth, scores, _, labels = problem
    expected = metrics.precision_at_k(truth, scores, k, labels=labels)
    one_digit, no_codes = np.arange(truth.shape[1])[:, None], np.full((truth.shape[1], 2), -1)
    for codes in (one_digit, no_codes, no_codes[:, :0]):
        assert metrics.prefix_credit(truth, scores, codes, k=k, labels=labels) == pytest.approx(expected)


# Two rows of four labels, worked out by hand.
TRUTH = csr_array(np.array([[1, 0, 1, 0], [0, 1, 0, 0]], dtype=np.float32))
TOP = TopK.from_dense(np.array([[0.9, 0.8, 0.7, 0.1], [0.9, 0.2, 0.1, 0.0]]), 3)  # predictions 0 1 2 and 0 1 2
LOG3 = np.log2(3)


@pytest.mark.parametrize(
    ("metric", "k", "expected"),
    [
        (metrics.precision_at_k, 1, 1 / 2),
        (metrics.precision_at_k, 2, 2 / 4),
        (metrics.precision_at_k, 3, 3 / 6),
        (metrics.recall_at_k, 1, (1 / 2 + 0) / 2),
        (metrics.recall_at_k, 3, 1),
        (metrics.ndcg_at_k, 1, 1 / 2),
        (metrics.ndcg_at_k, 2, (1 / (1 + 1 / LOG3) + 1 / LOG3) / 2),
        (metrics.ndcg_at_k, 3, ((1 + 1 / 2) / (1 + 1 / LOG3) + 1 / LOG3) / 2),
        (metrics.hit_at_k, 1, 1 / 2),
        (metrics.hit_at_k, 2, 1),
        (metrics.coverage_at_k, 1, 1 / 3),
        (metrics.coverage_at_k, 2, 2 / 3),
    ],
)
def test_ranking_metrics_by_hand(metric, k, expected):
    assert metric(TRUTH, TOP, k) == pytest.approx(expected)


def test_r_precision_by_hand():
    assert metrics.r_precision(TRUTH, TOP) == pytest.approx((1 / 2 + 0) / 2)


def test_prefix_credit_by_hand():
    codes = [[0, 0, 0], [0, 0, 1], [0, 1, -1], [1, -1, -1]]
    # Row 0, true 0 and 2: predictions 0 (right), 1 (two of three digits of label 0), 2 (right).
    # Row 1, true 1: predictions 0 (two of three), 1 (right), 2 (one of three).
    assert metrics.prefix_credit(TRUTH, TOP, codes) == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.prefix_credit(TRUTH, TOP, codes, k=3) == pytest.approx((1 + 2 / 3 + 1 + 2 / 3 + 1 + 1 / 3) / 6)
    assert metrics.prefix_credit(TRUTH, TOP, codes, k=2, labels=[2]) == pytest.approx((1 / 2 + 1 / 2) / 4)


@pytest.mark.parametrize(
    ("codes", "error", "message"),
    [
        ([[0], [1], [2]], ValueError, "each of the 4 labels"),
        ([0, 1, 2, 3], ValueError, "each of the 4 labels"),
        ([[0], [1], [2], [3, 0]], ValueError, "different lengths"),
        ([[0, 1], [0, 2], [-1, 3], [1, -1]], ValueError, r"code of label 2 is \[-1, 3\]"),
        ([[0], [1], [2], [-2]], ValueError, "code of label 3"),
        ([[0.5], [1], [2], [3]], TypeError, "float64"),
    ],
)
def test_prefix_credit_rejects_bad_codes(codes, error, message):
    with pytest.raises(error, match=message):
        metrics.prefix_credit(TRUTH, TOP, codes)


def test_psp_by_hand():
    propensities = [1 / 2, 1 / 3, 1 / 4, 1]  # weights 2, 3, 4, 1
    assert metrics.psp_at_k(TRUTH, TOP, 1, propensities) == pytest.approx(2 / (4 + 3))
    assert metrics.psp_at_k(TRUTH, TOP, 2, propensities) == pytest.approx((2 + 3) / (4 + 2 + 3))
    assert metrics.psp_at_k(TRUTH, TOP, 3, propensities) == pytest.approx(1)
    found, best = (2 + 4 / 2) + 3 / LOG3, (4 + 2 / LOG3) + 3
    assert metrics.psndcg_at_k(TRUTH, TOP, 3, propensities) == pytest.approx(found / best)


def test_psp_is_a_ratio_of_sums_not_a_mean_of_ratios():
    # Weights 10 and 1; the first row is right and the second wrong.
    truth, top = np.eye(2), TopK.from_dense(np.array([[1.0, 0.0], [1.0, 0.0]]), 1)
    assert metrics.psp_at_k(truth, top, 1, [0.1, 1.0]) == pytest.approx(10 / 11)


def test_psp_of_equal_propensities_is_precision_over_its_ceiling():
    expected = metrics.precision_at_k(TRUTH, TOP, 2) / (3 / 4)
    assert metrics.psp_at_k(TRUTH, TOP, 2, np.full(4, 0.3)) == pytest.approx(expected)


def test_rows_without_labels_count_zero_and_stay():
    truth = csr_array(np.array([[1, 0], [0, 0]]))
    scores = np.array([[1.0, 0.0], [1.0, 0.0]])
    for name in ["precision_at_k", "recall_at_k", "ndcg_at_k", "hit_at_k"]:
        assert getattr(metrics, name)(truth, scores, 1) == 0.5, name
    assert metrics.r_precision(truth, scores) == 0.5
    for name in SCORED:
        assert getattr(metrics, name)(truth, scores, 1, [0.5, 0.5]) == 1, name


def test_truth_without_any_label_scores_zero():
    truth = csr_array((2, 3))
    assert set(metrics.evaluate(truth, np.eye(2, 3), propensities=np.ones(3)).values()) == {0.0}


def test_short_rankings_lose_what_they_leave_open():
    top = TopK(
        np.array([[2, -1, -1]], np.int32), np.array([[1, -np.inf, -np.inf]], np.float32), np.array([1], np.int32)
    )
    truth = np.array([[0, 0, 1, 1]])
    assert metrics.precision_at_k(truth, top, 3) == pytest.approx(1 / 3)
    assert metrics.recall_at_k(truth, top, 3) == pytest.approx(1 / 2)
    garbage = TopK(
        np.array([[2, 9, 9]], np.int32), top.scores, top.counts
    )  # slots beyond the count are not predictions
    assert metrics.recall_at_k(truth, garbage, 3) == pytest.approx(1 / 2)
    assert metrics.recall_at_k(truth, garbage, 3, labels=[2]) == 1


def test_k_beyond_the_number_of_labels_is_accepted():
    scores = np.array([[0.9, 0.1]])
    assert metrics.precision_at_k([[1, 1]], scores, 5) == pytest.approx(2 / 5)
    assert metrics.precision_at_k([[1, 1]], TopK.from_dense(scores, 5), 5) == pytest.approx(2 / 5)
    assert metrics.ndcg_at_k([[1, 1]], scores, 5) == pytest.approx(1)


# Against scikit-learn


@pytest.fixture(scope="module")
def random_problem():
    rng = np.random.default_rng(3)
    truth = (rng.random((60, 30)) < 0.15).astype(int)
    truth[:, 7] = 0
    truth[truth.sum(axis=1) == 0, 2] = 1
    return truth, rng.permuted(np.tile(np.arange(30.0), (60, 1)), axis=1)


@pytest.mark.parametrize("k", [1, 3, 10, 30])
def test_ndcg_equals_scikit_learn(random_problem, k):
    truth, scores = random_problem
    assert metrics.ndcg_at_k(truth, scores, k) == pytest.approx(ndcg_score(truth, scores, k=k))


def test_precision_and_recall_at_k_equal_those_of_the_sets(random_problem):
    truth, scores = random_problem
    predicted = (scores >= 25).astype(int)  # the best five
    expected = precision_score(truth, predicted, average="samples")
    assert metrics.precision_at_k(truth, scores, 5) == pytest.approx(expected)
    assert metrics.recall_at_k(truth, scores, 5) == pytest.approx(recall_score(truth, predicted, average="samples"))


def test_reciprocal_rank_of_a_single_true_label_equals_scikit_learn(random_problem):
    _, scores = random_problem
    truth = np.eye(30, dtype=int)[np.arange(60) % 30]
    ranks = [1 / k for k in range(1, 31)]
    hits = [metrics.hit_at_k(truth, scores, k) for k in range(0 + 1, 31)]
    mean_reciprocal_rank = np.diff([0, *hits]) @ ranks
    assert mean_reciprocal_rank == pytest.approx(label_ranking_average_precision_score(truth, scores))


@pytest.mark.parametrize("average", AVERAGES)
def test_set_metrics_equal_scikit_learn(random_problem, average):
    truth, scores = random_problem
    predicted = (scores >= 26).astype(int)
    predicted[:, 7] = 0
    shown = np.flatnonzero(truth.any(axis=0) | predicted.any(axis=0))
    assert shown.size == 29
    for ours, theirs in [("precision", precision_score), ("recall", recall_score), ("f1", f1_score)]:
        expected = theirs(truth, predicted, average=average, labels=shown, zero_division=0)
        assert getattr(metrics, ours)(truth, csr_array(predicted), average=average) == pytest.approx(expected), ours
    assert metrics.subset_accuracy(truth, predicted) == accuracy_score(truth, predicted)
    expected = [accuracy_score(truth[:, j], predicted[:, j]) for j in range(30)]
    weights = truth.sum(axis=0) if average == "weighted" else None
    assert metrics.accuracy(truth, predicted, average=average) == pytest.approx(np.average(expected, weights=weights))


# Predicted sets


def test_macro_leaves_out_labels_with_nothing_to_judge():
    truth, predicted = np.array([[1, 0, 1, 0]]), np.array([[1, 1, 0, 0]])  # right, only predicted, only true, neither
    for name in ["precision", "recall", "f1"]:
        assert getattr(metrics, name)(truth, predicted, average="macro") == pytest.approx(1 / 3), name
    assert metrics.accuracy(truth, predicted, average="macro") == pytest.approx(2 / 4)


def test_set_metrics_with_nothing_true_and_nothing_predicted():
    empty = csr_array((3, 4))
    for average in AVERAGES:
        for name in ["precision", "recall", "f1"]:
            assert getattr(metrics, name)(empty, empty, average=average) == 0, name
    assert metrics.accuracy(empty, empty) == 1
    assert metrics.subset_accuracy(empty, empty) == 1


def test_set_metrics_count_scores_of_zero_in_a_topk_but_not_in_a_matrix():
    truth = np.array([[1, 1]])
    zeros = csr_array((np.array([1.0, 0.0]), np.array([0, 1]), np.array([0, 2])), shape=(1, 2))
    assert metrics.recall(truth, zeros) == 0.5
    assert metrics.recall(truth, TopK.from_csr(zeros, 2)) == 1


def test_evaluate_sets():
    truth, predicted = np.array([[1, 0, 1, 0], [1, 1, 0, 0]]), np.array([[1, 1, 0, 0], [1, 0, 0, 0]])
    results = metrics.evaluate_sets(truth, predicted, train_counts=[500, 30, 2, 0])
    assert results["micro precision"] == metrics.precision(truth, predicted)
    assert results["macro F1"] == metrics.f1(truth, predicted, average="macro")
    assert results["subset accuracy"] == 0
    for group, labels in [("head", [0]), ("torso", [1]), ("tail", [2, 3])]:
        for average in AVERAGES:
            expected = metrics.recall(truth, predicted, average=average, labels=labels)
            assert results[f"{group} {average} recall"] == expected
    assert len(results) == 4 * 3 * 4 + 1


def test_set_metrics_name_the_known_averages():
    with pytest.raises(ValueError, match=r"'samples'.*'micro', 'macro', 'weighted'"):
        metrics.f1(TRUTH, TRUTH, average="samples")


# Input


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("container", [csr_array, csr_matrix, csc_matrix, coo_array, lil_array, np.array])
def test_truth_of_any_type_and_container(dtype, container):
    truth = container(TRUTH.toarray().astype(dtype))
    assert metrics.ndcg_at_k(truth, TOP, 3) == metrics.ndcg_at_k(TRUTH, TOP, 3)


def test_truth_with_stored_zeros_unsorted_and_doubled_entries_and_int64_indices():
    data = np.array([1.0, 0.0, 0.5, 1.0, 1.0])
    truth = csr_array((data, np.array([2, 3, 0, 2, 1]), np.array([0, 4, 5])), shape=(2, 4))
    truth.indices, truth.indptr = truth.indices.astype(np.int64), truth.indptr.astype(np.int64)
    for array in (truth.data, truth.indices, truth.indptr):
        array.flags.writeable = False
    for name in AT_K:
        metric = getattr(metrics, name)
        assert metric(truth, TOP, 2) == metric(TRUTH, TOP, 2), name
    assert metrics.f1(truth, TOP) == metrics.f1(TRUTH, TOP)


def test_truth_in_half_precision():
    assert metrics.recall_at_k(TRUTH.toarray().astype(np.float16), TOP, 3) == 1


def test_rankings_of_any_kind_agree():
    scores = np.array([[0.9, 0.8, 0.7, 0.1], [0.9, 0.2, 0.1, 0.0]])
    for ranking in (scores, csr_array(scores), csr_matrix(scores), csc_matrix(scores), scores.tolist()):
        for name in AT_K:
            assert getattr(metrics, name)(TRUTH, ranking, 3) == getattr(metrics, name)(TRUTH, TOP, 3), name


@pytest.mark.parametrize("name", AT_K)
@pytest.mark.parametrize(
    ("truth", "top", "k", "error", "message"),
    [
        (TRUTH, TOP, 4, ValueError, r"holds 3 labels per row; ask for more with predict_topk\(X, k=4\)"),
        (TRUTH, TOP, 0, ValueError, "at least 1"),
        (TRUTH, TOP, 2.0, TypeError, "integer"),
        (TRUTH[:1], TOP, 1, ValueError, "ranking has 2 rows but Y_true has 1"),
        (TRUTH[:, :2], TOP, 1, ValueError, "label id 2 in row 0, which is not a column of Y_true; it has 2"),
        (TRUTH, TOP._replace(ids=np.array([[0, 1, 2], [3, 0, 3]], np.int32)), 1, ValueError, r"Row 1 .* twice"),
        (TRUTH, TOP._replace(ids=np.array([[0, 1, 2], [0, -1, 3]], np.int32)), 1, ValueError, "label id -1 in row 1"),
        (TRUTH, np.zeros((2, 3)), 1, ValueError, r"shape \(2, 3\) but Y_true has \(2, 4\)"),
        (TRUTH, csr_array((3, 4)), 1, ValueError, r"shape \(3, 4\) but Y_true has \(2, 4\)"),
        (TRUTH, np.full((2, 4), np.nan), 1, ValueError, "NaN"),
        (TRUTH, "abc", 1, TypeError, "score matrix"),
        (-TRUTH, TOP, 1, ValueError, r"Y_true\[0, 0\] is -1.0"),
        (TRUTH * np.nan, TOP, 1, ValueError, r"Y_true\[0, 0\] is nan"),
        ([["cat"], ["dog", "pet"]], TOP, 1, TypeError, "add classes="),
        ([0, 1], TOP, 1, TypeError, "not a matrix of numbers"),
        (csr_array((0, 4)), TopK.empty(0, 3), 1, ValueError, r"shape \(0, 4\)"),
        (csr_array((2, 0)), TopK.empty(2, 3), 1, ValueError, r"shape \(2, 0\)"),
    ],
)
def test_ranking_metrics_reject_bad_input(name, truth, top, k, error, message):
    with pytest.raises(error, match=message):
        getattr(metrics, name)(truth, top, k)


def test_r_precision_needs_a_ranking_as_deep_as_the_fullest_row():
    with pytest.raises(ValueError, match=r"Row 0 has 2 true labels but the ranking holds 1 .* k=2"):
        metrics.r_precision(TRUTH, TOP.head(1))


@pytest.mark.parametrize(
    ("labels", "error", "message"),
    [
        ([0, 4], ValueError, "from 0 to 4; Y_true has 4"),
        ([-1], ValueError, "from -1 to -1"),
        (["cat"], TypeError, "label ids"),
        ([0.5], TypeError, "label ids"),
        ([[0, 1]], TypeError, "2 dimensions"),
        ([True, False], ValueError, r"mask of shape \(2,\)"),
    ],
)
def test_ranking_metrics_reject_bad_labels(labels, error, message):
    with pytest.raises(error, match=message):
        metrics.recall_at_k(TRUTH, TOP, 1, labels=labels)
    with pytest.raises(error, match=message):
        metrics.recall(TRUTH, TOP, labels=labels)


@pytest.mark.parametrize(
    ("propensities", "message"),
    [
        ([0.5] * 3, r"shape \(3,\)"),
        ([0.5, 0.5, 2.0, 0.5], "label 2 is 2.0.*inverse"),
        ([0.5, 0, 1, 1], "label 1 is 0.0"),
    ],
)
def test_psp_rejects_bad_propensities(propensities, message):
    for name in SCORED:
        with pytest.raises(ValueError, match=message):
            getattr(metrics, name)(TRUTH, TOP, 1, propensities)


def test_set_metrics_reject_another_shape():
    with pytest.raises(ValueError, match=r"Y_pred has shape \(2, 3\) but Y_true has \(2, 4\)"):
        metrics.f1(TRUTH, TRUTH[:, :3])


# Groups of labels and the report


def test_label_groups():
    groups = metrics.label_groups([0, 25, 26, 100, 101, 5000])
    assert {name: ids.tolist() for name, ids in groups.items()} == {"head": [4, 5], "torso": [2, 3], "tail": [0, 1]}
    groups = metrics.label_groups([0, 1, 2], tail_max=0, head_min=1)
    assert [ids.tolist() for ids in groups.values()] == [[1, 2], [], [0]]
    with pytest.raises(ValueError, match="head_min is 25"):
        metrics.label_groups([1], head_min=25)


def test_evaluate_gathers_the_single_metrics():
    rng = np.random.default_rng(0)
    truth = random_array((40, 20), density=0.2, rng=rng, format="csr")
    scores, counts = rng.random((40, 20)), rng.integers(0, 200, 20)
    p = metrics.propensity(counts, 300)
    results = metrics.evaluate(truth, TopK.from_dense(scores, 6), ks=[5, 1], propensities=p, train_counts=counts)
    names = dict(zip(["P", "R", "nDCG", "hit", "coverage"], AT_K, strict=True))
    groups = {"": None} | {f"{name} ": ids for name, ids in metrics.label_groups(counts).items()}
    assert len(results) == 7 * 2 * 4
    for prefix, labels in groups.items():
        for k in (1, 5):
            for shown, name in names.items():
                expected = getattr(metrics, name)(truth, scores, k, labels=labels)
                assert results[f"{prefix}{shown}@{k}"] == pytest.approx(expected)
            for shown, name in {"PSP": "psp_at_k", "PSnDCG": "psndcg_at_k"}.items():
                expected = getattr(metrics, name)(truth, scores, k, p, labels=labels)
                assert results[f"{prefix}{shown}@{k}"] == pytest.approx(expected)
    assert all(type(value) is float for value in results.values())


def test_evaluate_sorts_depths_and_drops_repeated_ones():
    scores = TRUTH.toarray() + 1
    results = metrics.evaluate(TRUTH, scores, ks=[8, 1, 8])
    assert [key for key in results if key.startswith("P@")] == ["P@1", "P@8"]
    assert results["P@8"] == metrics.precision_at_k(TRUTH, scores, 8)


def test_evaluate_omits_groups_without_truth():
    results = metrics.evaluate(TRUTH, TOP, ks=[1], train_counts=[500, 500, 500, 3])
    assert {key.split()[0] for key in results if " " in key} == {"head"}


def test_evaluate_rejects_bad_arguments():
    with pytest.raises(ValueError, match="ks is empty"):
        metrics.evaluate(TRUTH, TOP, ks=[])
    with pytest.raises(ValueError, match="train_counts has 3 entries but Y_true has 4"):
        metrics.evaluate(TRUTH, TOP, ks=[1], train_counts=[1, 2, 3])


def test_format_table():
    results = metrics.evaluate(TRUTH, TOP, ks=(1, 3), train_counts=[500, 2, 2, 2])
    lines = metrics.format_table(results).splitlines()
    assert lines[0].split() == ["@1", "@3"]
    assert lines[1].split() == ["P", "50.00", "50.00"]
    assert [line.split()[:-2] for line in lines[6:8]] == [["head", "P"], ["head", "R"]]
    assert len({len(line) for line in lines}) == 1
    sets = metrics.format_table(metrics.evaluate_sets(TRUTH, TRUTH)).splitlines()
    assert sets[0].split() == ["precision", "recall", "F1", "accuracy"]
    assert sets[1].split() == ["micro", *["100.00"] * 4]
    assert sets[-1].split() == ["subset", "100.00"]
    assert metrics.format_table({}) == ""


# Size


def test_evaluate_takes_half_a_million_labels():
    """Where a matrix of rows and labels would fill sixty gigabytes."""
    n, L, k = 30_000, 500_000, 5
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, L // k, (n, k)) + np.arange(k) * (L // k) for _ in range(2)]  # distinct in each row
    truth = csr_array((np.ones(n * k), drawn[0].ravel(), np.arange(0, n * k + 1, k)), shape=(n, L))
    ids = np.where(rng.random((n, k)) < 0.5, *drawn).astype(np.int32)
    top = TopK(ids, np.tile(np.arange(k, 0, -1, dtype=np.float32), (n, 1)), np.full(n, k, np.int32))
    counts = np.bincount(truth.indices, minlength=L)
    found = metrics.evaluate(truth, top, propensities=metrics.propensity(counts, n), train_counts=counts)
    assert found["P@5"] == pytest.approx((ids == drawn[0]).mean())
