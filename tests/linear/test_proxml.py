"""ProXML against scikit-learn, the conditions of its optimum, and plain proximal gradient."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.svm import LinearSVC

from tests.helpers.naive import linear as naive
from tests.helpers.naive.sparse_machines import l1_objective, proximal_gradient
from xclassic import ProXML, datasets, metrics
from xclassic.rows import unit_rows


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


def weights_with_bias(clf):
    """The weights of every label in columns, those of the constant feature of value 1 last."""
    weights, n_labels = clf.weights_, clf.classes_.size
    bias = np.zeros(n_labels)
    used = weights.labels >= 0
    bias[weights.labels[used]] = weights.bias[used]
    return np.vstack([weights.to_csc(n_labels).toarray(), bias]).astype(np.float64)


@pytest.mark.long
@pytest.mark.parametrize("C", [0.3, 3.0])
def test_objective_is_that_of_liblinear(bibtex, C):
    """LinearSVC penalizes its intercept as we do the constant feature."""
    Y = bibtex.Y[:1000, :8]
    W = weights_with_bias(ProXML(C, eps=1e-4, max_passes=10_000).fit(bibtex.X[:1000], Y))
    X, rows = naive.with_bias(unit_rows(bibtex.X[:1000]), 1), unit_rows(bibtex.X[:1000])
    for label in np.flatnonzero(Y.sum(axis=0)):
        positive = Y[:, [label]].toarray().ravel() > 0
        reference = LinearSVC(penalty="l1", dual=False, C=C, tol=1e-8, max_iter=20_000, random_state=0)
        reference.fit(rows, positive)
        w = np.append(reference.coef_, reference.intercept_)
        expected = l1_objective(w, X, positive, C)[0]
        assert l1_objective(W[:, label], X, positive, C)[0] == pytest.approx(expected, rel=1e-3)


def test_optimum_satisfies_its_conditions(bibtex):
    """On the support the gradient is one against the sign of the weight, elsewhere at most one."""
    X, Y = bibtex.X[:500], bibtex.Y[:500, :20]
    W = weights_with_bias(ProXML(2.0, eps=1e-7, max_passes=10_000).fit(X, Y))
    X = naive.with_bias(unit_rows(X), 1)
    for label in range(20):
        w = W[:, label]
        gradient = l1_objective(w, X, Y[:, [label]].toarray().ravel() > 0, 2.0)[1]
        assert (np.abs(gradient) <= 1 + 1e-2).all()
        np.testing.assert_allclose(gradient[w != 0], -np.sign(w[w != 0]), atol=1e-2)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([0.05, 1.0, 20.0]), st.sampled_from([0.0, 1.0, 3.0]), st.booleans())
def test_proxml_equals_plain_proximal_gradient(seed, C, bias, dense):
    random = np.random.default_rng(seed)
    X = (random.standard_normal((12, 7)) * (random.random((12, 7)) < 0.6)).astype(np.float32)
    Y = (random.random((12, 3)) < random.random(3)).astype(np.float32)
    Y[0, 0] = 1
    clf = ProXML(C, eps=1e-6, max_passes=10_000, bias=bias, normalize=False)
    clf.fit(X if dense else csr_array(X), csr_array(Y))
    W, X = weights_with_bias(clf), naive.with_bias(X, bias)
    W[-1] /= bias or 1
    for label in np.flatnonzero(Y.any(axis=0)):
        twin = proximal_gradient(X, Y[:, label] > 0, C, 2000)
        bound = l1_objective(twin, X, Y[:, label] > 0, C)[0]
        assert l1_objective(W[:, label], X, Y[:, label] > 0, C)[0] <= bound * (1 + 1e-4)


def test_gap_is_reported_and_kept(bibtex):
    clf = ProXML(eps=0.003).fit(bibtex.X[:500], bibtex.Y[:500])
    assert -1e-9 < clf.gaps_.min() <= clf.gaps_.max() <= 0.003
    assert ProXML(eps=0.003, max_passes=1).fit(bibtex.X[:500], bibtex.Y[:500]).gaps_.max() > 0.003


def test_without_weights_labels_rank_by_frequency(bibtex):
    X, Y = bibtex.X[:500], bibtex.Y[:500]
    clf = ProXML(0.01).fit(X, Y)
    assert clf.weights_.n_values == 0
    counts = Y.sum(axis=0)
    ranked = counts[clf.predict_topk(X[:1], 5).ids[0]]
    np.testing.assert_array_equal(ranked, np.sort(counts)[::-1][:5])


def test_a_penalty_of_all_costs_leaves_scores_of_zero(bibtex):
    clf = ProXML(1 / (2 * 500)).fit(bibtex.X[:500], bibtex.Y[:500])
    assert (clf.predict_topk(bibtex.X[:3], 5).scores == 0).all()
    assert np.abs(clf.gaps_).max() < 1e-9


def test_labels_of_all_rows_and_of_none():
    X = np.eye(6, dtype=np.float32)
    Y = np.zeros((6, 3))
    Y[:, 1] = 1
    Y[:2, 2] = 1
    clf = ProXML(10).fit(X, Y)
    assert clf.predict_topk(X[3:4], 3).ids[0].tolist() == [1, 2, -1]
    assert (clf.decision_function(X)[:, 1] > 0.9).all()


@pytest.mark.long
def test_proxml_on_bibtex(bibtex):
    """The paper's figures on bibtex are 64.6, 39.0 and 28.2, and 50.1 for PSP@1."""
    top = ProXML().fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    propensities = metrics.propensity(bibtex.Y.sum(axis=0), bibtex.Y.shape[0])
    found = metrics.evaluate(bibtex.Y_test, top, propensities=propensities)
    assert found["P@1"] > 0.646
    assert found["P@3"] > 0.390
    assert found["P@5"] > 0.282
    assert found["PSP@1"] > 0.501


@pytest.mark.parametrize(("parameters", "message"), [({"C": 0}, "C is 0"), ({"eps": 0}, "eps is 0")])
def test_proxml_rejects(parameters, message):
    with pytest.raises(ValueError, match=message):
        ProXML(**parameters).fit(np.eye(2), [[1, 0], [0, 1]])
