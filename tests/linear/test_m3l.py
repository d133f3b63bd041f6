"""M3L against liblinear, a general solver of its dual, and labels without rows."""

import warnings

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.svm import LinearSVC

from tests.helpers.naive import linear as naive
from tests.helpers.naive.sparse_machines import coupled_duals, coupled_objective
from xclassic import M3L, datasets, metrics
from xclassic.linear.correlation import checked_correlation, cooccurrence, independent_groups, least_eigenvalue
from xclassic.parallel import spawn_seeds

EXACT = {
    "positive_weight": 1.0,
    "tol": 1e-6,
    "max_passes": 100_000,
    "max_sweeps": 200,
    "prune": 0.0,
    "normalize": False,
}


def problem(n_labels, seed=0):
    random = np.random.default_rng(seed)
    X = random.standard_normal((14, 5)).astype(np.float32)
    Y = (random.random((14, n_labels)) < 0.4).astype(np.float32)
    Y[0] = 1
    return X, Y


def weights_with_bias(clf, n_labels):
    bias = np.zeros(n_labels)
    used = clf.weights_.labels >= 0
    bias[clf.weights_.labels[used]] = clf.weights_.bias[used]
    return np.vstack([clf.weights_.to_csc(n_labels).toarray(), bias]).astype(np.float64)


def test_identity_gives_independent_machines():
    X, Y = problem(4)
    W = weights_with_bias(M3L(correlation="identity", **EXACT).fit(X, Y), 4)
    for label in range(4):
        reference = LinearSVC(loss="hinge", tol=1e-9, max_iter=1_000_000).fit(X, Y[:, label])
        expected = np.append(reference.coef_, reference.intercept_)
        np.testing.assert_allclose(W[:, label], expected, atol=1e-3)


@pytest.mark.parametrize("rho", [-0.6, 0.0, 0.5, 1.0])
@pytest.mark.parametrize("positive_weight", [1.0, 3.0])
def test_two_labels_reach_the_optimum_of_the_quadratic_program(rho, positive_weight):
    X, Y = problem(2)
    R = np.array([[1, rho], [rho, 1]])
    clf = M3L(**EXACT | {"positive_weight": positive_weight}).fit(X, Y, correlation=R)
    A = naive.with_bias(X, 1)
    expected = A.T @ coupled_duals(A, Y, R, np.where(Y > 0, positive_weight, 1.0)) @ R
    np.testing.assert_allclose(weights_with_bias(clf, 2), expected, atol=2e-3)


def test_weights_have_no_duality_gap():
    X, Y = problem(3, seed=1)
    R = np.array([[1, 0.4, 0], [0.4, 1, -0.3], [0, -0.3, 1]])
    W = weights_with_bias(M3L(**EXACT).fit(X, Y, correlation=csr_array(R)), 3)
    A = naive.with_bias(X, 1)
    duals = coupled_duals(A, Y, R, np.ones(Y.shape))
    dual = np.abs(duals).sum() - np.trace(R @ duals.T @ A @ A.T @ duals) / 2
    assert coupled_objective(W @ np.linalg.inv(R), A, Y, R, 1.0) == pytest.approx(dual, rel=1e-3)


def test_a_matrix_of_ones_gives_all_labels_the_same_scores():
    X, Y = problem(3)
    scores = M3L(**EXACT).fit(X, Y, correlation=np.ones((3, 3))).decision_function(X)
    np.testing.assert_allclose(scores, scores[:, [0]].repeat(3, axis=1), atol=1e-5)


def test_labels_without_rows_are_scored_by_their_attributes():
    random = np.random.default_rng(0)
    attributes = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [0, 1, 1]], float)
    words = random.standard_normal((3, 20))
    label = np.repeat(np.arange(3), 20)
    X = attributes[label] @ words + 0.1 * random.standard_normal((60, 20))
    Y = np.eye(5)[label]
    clf = M3L(C=10).fit(X, Y, correlation=attributes @ attributes.T)
    top = clf.predict_topk(attributes[3:] @ words, k=3, labels=[3, 4])
    assert top.ids[:, 0].tolist() == [3, 4]
    assert 3 not in M3L().fit(X, Y).predict_topk(X[:1], 5).ids  # Co-occurrence says nothing of such labels.


def test_cooccurrence_is_positive_definite_and_sparse():
    random = np.random.default_rng(0)
    Y = csr_array((random.random((60, 40)) < 0.2).astype(np.float32))
    R = cooccurrence(Y, 1.0, 3)
    assert least_eigenvalue(R) > 0.1 - 1e-9
    assert R.nnz <= 40 + 2 * 3 * 40
    np.testing.assert_array_equal(R.toarray(), R.T.toarray())
    whole = cooccurrence(Y, 0.5, 40).toarray()
    scaled = Y.toarray() / np.sqrt(Y.toarray().sum(axis=0))
    np.testing.assert_allclose(whole, 0.5 * np.eye(40) + 0.5 * scaled.T @ scaled, atol=1e-6)


def test_costs_are_chosen_on_held_out_rows():
    bibtex = datasets.load_bibtex()
    X, Y = bibtex.X[:600], bibtex.Y[:600]
    clf = M3L(random_state=1).fit(X, Y)
    seed = int(spawn_seeds(1, 1)[0] % 2**32)
    rows = np.random.default_rng(seed).permutation(600)
    train, held_out = (rows[part] for part in datasets.stratified_split(Y[rows], test_size=0.2, random_state=seed))
    values = {}
    for C, weight in ((1.0, 1.0), (1.0, 2.0), (0.3, 5.0)):
        R = cooccurrence(Y, 0.3, 10)
        top = M3L(C, positive_weight=weight, random_state=1).fit(X[train], Y[train], correlation=R)
        top = top.predict_topk(X[held_out], 5)
        values[C * weight, C] = np.mean([metrics.precision_at_k(Y[held_out], top, k) for k in (1, 3, 5)])
    assert clf.costs_ == max(values, key=values.get)
    assert M3L(2.0, positive_weight=3.0).fit(X[:50], Y[:50]).costs_ == (6.0, 2.0)


def test_costs_are_the_given_ones_where_no_row_can_be_held_out():
    with warnings.catch_warnings(action="error"):
        assert M3L(2.0).fit(np.eye(50), np.eye(50)).costs_ == (2.0, 2.0)


def test_groups_hold_no_coupled_labels():
    random = np.random.default_rng(0)
    R = csr_array((random.random((30, 30)) < 0.1).astype(float))
    R = csr_array(R + R.T)
    groups = independent_groups(R)
    np.testing.assert_array_equal(np.sort(np.concatenate(groups)), np.arange(30))
    for group in groups:
        block = R[group][:, group].toarray()
        np.testing.assert_array_equal(block, np.diag(np.diag(block)))


@pytest.mark.parametrize(
    ("R", "message"),
    [
        (np.eye(3), r"shape \(3, 3\); pass \(2, 2\)"),
        ([[1, 0], [0.5, 1]], "not symmetric"),
        ([[1, 0], [0, 0]], r"correlation\[1, 1\] is 0; the diagonal must be above 0"),
        ([[1, 2], [2, 1]], r"eigenvalue -1, .* R \+ 1 \* I"),
        ([[1, np.nan], [np.nan, 1]], "correlation has entries that are NaN"),
    ],
)
def test_m3l_rejects_matrices_that_are_no_correlations(R, message):
    X, Y = problem(2)
    with pytest.raises(ValueError, match=message):
        M3L().fit(X, Y, correlation=np.asarray(R, float))


def test_a_slightly_negative_eigenvalue_is_mended():
    R = np.array([[1, 1.05], [1.05, 1]])
    with pytest.warns(UserWarning, match="is added to its diagonal"):
        mended = checked_correlation(R, 2)
    np.testing.assert_allclose(mended.toarray(), R + 0.05 * np.eye(2), atol=1e-6)
