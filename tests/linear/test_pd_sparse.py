"""PD-Sparse against general optimizers, special cases, and its figures."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.svm import LinearSVC

from tests.helpers.naive import pd_sparse as naive
from xclassic import PDSparse, datasets, metrics
from xclassic.linear import frank_wolfe
from xclassic.linear.pd_sparse import Problem

EXACT = {"l1": 0.1, "bias": 0.0, "normalize": False, "eps": 1e-5, "max_passes": 3000}


def small_problem(seed, n_rows=12, n_features=6, n_labels=5, multi_class=False):
    rng = np.random.default_rng(seed)
    X = (rng.standard_normal((n_rows, n_features)) * (rng.random((n_rows, n_features)) < 0.7)).astype(np.float32)
    if multi_class:
        return X, np.eye(n_labels, dtype=np.float32)[np.arange(n_rows) % n_labels]
    Y = (rng.random((n_rows, n_labels)) < 0.35).astype(np.float32)
    Y[:3, 0], Y[:3, 1] = 1, 0
    return X, Y


def weights(clf):
    return clf.weights_.to_csc(clf.classes_.size).toarray().astype(np.float64)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("cost", "l1"), [(1.0, 0.1), (0.3, 0.0), (3.0, 0.5)])
def test_objective_equals_that_of_a_general_optimizer(seed, cost, l1):
    X, Y = small_problem(seed)
    best = naive.dual_objective(naive.solve(X, Y, cost, 0, l1), X, Y, 0, l1)
    clf = PDSparse(cost, smoothing=0.0, **EXACT | {"l1": l1}).fit(X, csr_array(Y))
    assert naive.objective(weights(clf), X, Y, cost, l1) == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize("cost", [0.1, 10.0])
@pytest.mark.parametrize("seed", range(3))
def test_smooth_loss_equals_that_of_a_general_optimizer(seed, cost):
    X, Y = small_problem(seed)
    alpha = naive.solve(X, Y, cost, 0.5, 0.1)
    clf = PDSparse(cost, smoothing=0.5, **EXACT).fit(X, csr_array(Y))
    np.testing.assert_allclose(weights(clf), naive.weights_of(alpha, X, 0.1), atol=2e-3)
    assert clf.gap_ <= 1e-5


@pytest.mark.parametrize("l1", [0.0, 0.2])
def test_one_label_a_row_is_crammer_singer_with_a_penalty(l1):
    X, Y = small_problem(0, n_rows=20, n_labels=4, multi_class=True)
    clf = PDSparse(0.5, smoothing=0.0, **EXACT | {"l1": l1}).fit(X, csr_array(Y))
    if l1 == 0:
        svm = LinearSVC(C=0.5, multi_class="crammer_singer", fit_intercept=False, tol=1e-8, max_iter=100_000)
        expected = svm.fit(X, Y.argmax(axis=1)).coef_.T
    else:
        expected = naive.weights_of(naive.solve(X, Y, 0.5, 0, l1), X, l1)
    best = naive.objective(expected, X, Y, 0.5, l1)
    assert naive.objective(weights(clf), X, Y, 0.5, l1) == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_no_weight_is_left_above_the_largest_penalty(seed):
    X, Y = small_problem(seed, multi_class=True)
    largest = naive.largest_penalty(X, Y, 1.0)
    above, below = (
        PDSparse(1.0, smoothing=0.0, **EXACT | {"eps": 1e-9, "l1": factor * largest}).fit(X, csr_array(Y))
        for factor in (1.05, 0.9)
    )
    assert np.abs(weights(above)).max() < 1e-3 < 1e-2 < np.abs(weights(below)).max()


def vectors(low):
    return st.lists(st.floats(-3, 3, width=32), min_size=low, max_size=6).map(lambda values: np.array(values, float))


@settings(max_examples=60)
@given(vectors(1), vectors(1), st.sampled_from([0.1, 1.0, 100.0]))
def test_projection_is_the_nearest_point(own, others, cost):
    found = own.copy(), others.copy()
    frank_wolfe.project(*found, cost)
    assert min(vector.min() for vector in found) >= 0
    assert found[0].sum() == pytest.approx(found[1].sum(), abs=1e-9)
    assert found[0].sum() <= cost + 1e-9
    distance = sum(((a - b) ** 2).sum() for a, b in zip(found, (own, others), strict=True))
    nearest = naive.nearest_shares(own, others, cost)
    assert distance <= sum(((a - b) ** 2).sum() for a, b in zip(nearest, (own, others), strict=True)) + 1e-6


def trained(l1=0.1, n_passes=3):
    """A problem in the midst of training, with its features and labels."""
    rng = np.random.default_rng(0)
    X = csr_array((rng.random((60, 30)) * (rng.random((60, 30)) < 0.2)).astype(np.float32))
    Y = csr_array((rng.random((60, 50)) < 0.05).astype(np.float32))
    problem = Problem(X, Y, 1.0, 0.5, l1)
    for _ in range(n_passes):
        problem.improve(rng, np.zeros(1, np.uint8))
    return problem, X, Y


def test_scores_are_the_products_with_the_weights():
    problem, X, _ = trained()
    for i, expected in enumerate(X.toarray() @ problem.weights().toarray().astype(np.float64)):
        row, scores = slice(*X.indptr[i : i + 2]), np.zeros(50, np.float32)
        frank_wolfe.add_scores(X.indices[row], X.data[row], 0.1, 50, problem.table, *problem.sums, scores)
        np.testing.assert_allclose(scores, expected, atol=1e-5)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=8), st.integers(-4, 4), st.integers(0, 7), st.integers(1, 8))
def test_search_finds_the_labels_with_the_highest_scores(scores, bound, start, n):
    scores, start = np.array(scores, np.float32), start % len(scores)
    order = np.roll(np.arange(len(scores)), -start)
    expected = [label for label in order[np.argsort(-scores[order], kind="stable")] if scores[label] > bound][:n]
    found, found_scores = frank_wolfe.violating(scores, bound, start)
    if n < len(found):
        found, found_scores = frank_wolfe.highest(found, found_scores, n)
    np.testing.assert_array_equal(np.sort(found), np.sort(expected))
    np.testing.assert_array_equal(found_scores, scores[found])


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 5), st.sampled_from([0.1, 1.0, 100.0]))
def test_gap_of_a_row_is_at_least_what_any_step_gains(seed, n_own, n_others, cost):
    """With a label that is not active yet, whose variable may grow too."""
    rng = np.random.default_rng(seed)
    scores, masses = rng.standard_normal(n_own + n_others + 1), rng.random(n_own + n_others)
    own, others = masses[:n_own], masses[n_own:]
    total = min(cost, own.sum())
    own, others = own * (total / own.sum()), others * (total / others.sum())

    def slopes(own, others):
        return scores[:n_own] + 0.5 * own, 0.5 * others - 1 - scores[n_own : n_own + len(others)]

    def dual(own, others):
        a, b = slopes(own / 2, others / 2)
        return -(a @ own) - b @ others

    own_slope, other_slope = slopes(own, others)
    low, high = frank_wolfe.project(own - own_slope, others - other_slope, cost)
    new = scores[-1:].astype(np.float32)
    gap = frank_wolfe.row_gap(own_slope, own, other_slope, others, new[-1 - new < high], low, high, cost, 0.5)
    best = dual(*naive.nearest_shares(-scores[:n_own] / 0.5, (1 + scores[n_own:]) / 0.5, cost))
    assert gap >= best - dual(own, others) - 1e-5


@pytest.mark.parametrize("l1", [0.0, 0.1, 1.0])
def test_stored_sums_are_those_of_the_dual_variables(l1):
    """Through every growth and move of the tables."""
    problem, X, Y = trained(l1)
    alpha = csr_array((problem.shares, Y.indices, Y.indptr), shape=Y.shape).toarray().astype(np.float64)
    for i, n in enumerate(problem.n_rivals):
        active = slice(problem.rival_ptr[i], problem.rival_ptr[i] + n)
        alpha[i, problem.rivals[active]] -= problem.burdens[active]
    np.testing.assert_allclose(problem.weights().toarray(), naive.weights_of(alpha, X.toarray(), l1), atol=1e-5)
    np.testing.assert_allclose(alpha.sum(axis=1), 0, atol=1e-5)
    assert problem.dual() == pytest.approx(naive.dual_objective(alpha, X.toarray(), Y.toarray(), 0.5, l1), rel=1e-4)


def test_refit_keeps_to_the_support():
    X, Y = datasets.load_bibtex().X[:300], datasets.load_bibtex().Y[:300]
    sparse = PDSparse(max_passes=5).fit(X, Y).weights_.to_csc(159)
    refitted = PDSparse(max_passes=5, refit=True).fit(X, Y).weights_.to_csc(159)
    assert refitted.nnz > 0
    assert (abs(refitted) > abs(sparse).max()).nnz > 0
    assert csr_array((refitted != 0).astype(int) > (sparse != 0).astype(int)).nnz == 0


def test_rows_with_no_or_all_labels_are_passed_over():
    X, Y = small_problem(0)
    X, Y = X[Y.any(axis=1)], Y[Y.any(axis=1)]
    more = np.vstack([X, X[:2]]), np.vstack([Y, np.zeros(5), np.ones(5)])
    expected, found = (PDSparse(**EXACT).fit(a, csr_array(b)) for a, b in ((X, Y), more))
    np.testing.assert_allclose(weights(found), weights(expected), atol=1e-3)


def test_a_single_label_is_predicted_with_score_0():
    top = PDSparse().fit(np.eye(3), csr_array(np.ones((3, 1)))).predict_topk(np.eye(3), 1)
    np.testing.assert_array_equal(top.ids, 0)
    np.testing.assert_array_equal(top.scores, 0)


@pytest.mark.long
def test_accuracy_on_bibtex():
    """The published figures are 61.3/35.8/25.7."""
    data = datasets.load_bibtex()
    clf = PDSparse().fit(data.X, data.Y)
    top = clf.predict_topk(data.X_test, 5)
    found = [100 * metrics.precision_at_k(data.Y_test, top, k) for k in (1, 3, 5)]
    assert (np.array(found) > [63, 38.5, 28]).all()
    assert clf.weights_.n_values < 250_000
    assert clf.gap_ <= 0.01
    assert clf.n_passes_ < 20


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"C": 0}, "C is 0; it must be above 0"),
        ({"l1": -1}, "l1 is -1"),
        ({"smoothing": -1}, "smoothing is -1"),
        ({"refit": 2}, "refit is 2"),
        ({"eps": 0}, "eps is 0"),
        ({"max_passes": 0}, "max_passes is 0"),
    ],
)
def test_pd_sparse_rejects_bad_parameters(parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        PDSparse(**parameters).fit(np.eye(3), np.eye(3))
