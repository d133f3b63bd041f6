"""XReg: relevances as shares along the path."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csr_array

from xclassic import LabelTree, Parabel, XReg, datasets
from xclassic.metrics import propensity, psp_at_k

EXACT = {"beam": None, "prune": 0.0, "weight_dtype": "float32"}


def problem(n=120, d=8, n_labels=10, seed=0):
    rng = np.random.default_rng(seed)
    Y = csr_array((rng.random((n, n_labels)) < 0.25).astype(np.float32))
    relevance = csr_array((rng.uniform(0.05, 1, Y.nnz).astype(np.float32), Y.indices, Y.indptr), shape=Y.shape)
    return csr_array(rng.random((n, d)).astype(np.float32)), Y, relevance


def scores(clf, X, n_labels):
    return clf.predict_topk(X, k=n_labels).to_csr(n_labels).toarray()


@pytest.mark.parametrize("value", [1.0, 0.25])
def test_xreg_with_equal_relevances_is_parabel_with_logistic_loss(value):
    X, Y, _ = problem()
    ours = XReg(2, max_leaf=3, random_state=5, **EXACT).fit(X, Y, relevance=Y * value)
    parabel = Parabel(2, max_leaf=3, random_state=5, loss="logistic", C=10.0, eps=ours.eps, **EXACT).fit(X, Y)
    assert ours.trees_ == parabel.trees_
    np.testing.assert_allclose(scores(ours, X, 10), scores(parabel, X, 10), atol=1e-6)


def test_scores_are_relevances():
    X, Y, relevance = problem()
    found = scores(XReg(max_leaf=3, **EXACT).fit(X, Y, relevance=relevance), X, 10)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("flat", [True, False])
def test_scores_of_constant_rows_are_the_weighted_mean_share(flat):
    # Without features that differ the best estimate of a child's share is the mean weighted by the parent's mass.
    _, Y, relevance = problem()
    X = np.ones((120, 1), np.float32)
    tree = LabelTree.flat(np.arange(10), 10) if flat else LabelTree.from_codes([(i // 3, i % 3) for i in range(10)])
    clf = XReg(1, tree=tree, C=20, eps=1e-5, max_passes=2000, **EXACT).fit(X, Y, relevance=relevance)
    dense = relevance.toarray() / relevance.data.max()
    expected = np.ones(10)
    for label in range(10):
        path = tree.paths()[label]
        for parent, child in pairwise(path):
            if child >= 0:
                above, own = (
                    dense[:, (tree.paths() == node).any(axis=1)].max(axis=1).sum() for node in (parent, child)
                )
                expected[label] *= own / above
    np.testing.assert_allclose(scores(clf, X[:1], 10)[0], expected, rtol=0.02)


def test_relevances_count_by_their_ratios_alone():
    X, Y, relevance = problem()
    a, b = (scores(XReg(1, max_leaf=3, **EXACT).fit(X, Y, relevance=relevance * factor), X, 10) for factor in (1, 8))
    np.testing.assert_allclose(a, b, atol=1e-6)


def test_relevances_that_do_not_fit_are_rejected():
    X, Y, relevance = problem()
    clf = XReg(1)
    with pytest.raises(ValueError, match="shape"):
        clf.fit(X, Y, relevance=relevance[:, :5])
    with pytest.raises(TypeError, match="sparse"):
        clf.fit(X, Y, relevance=relevance.toarray())
    for bad in (np.nan, np.inf, -1.0):
        broken = relevance.copy()
        broken.data[3] = bad
        with pytest.raises(ValueError, match="finite and above 0"):
            clf.fit(X, Y, relevance=broken)
    broken = relevance.copy()
    broken.data[3] = 0
    with pytest.raises(ValueError, match="exactly where"):
        clf.fit(X, Y, relevance=broken)
    with pytest.raises(ValueError, match="exactly where"):
        clf.fit(X, Y, relevance=csr_array(1 - Y.toarray()))


def test_relevances_stay_as_they_were():
    X, Y, relevance = problem()
    before = relevance.copy()
    XReg(1).fit(X, Y, relevance=relevance)
    np.testing.assert_array_equal(relevance.toarray(), before.toarray())


def test_rows_without_labels_are_legal():
    X, Y, relevance = problem()
    keep = csr_array((np.arange(120) >= 10).astype(np.float32)[:, None] * Y.toarray())
    graded = csr_array(keep.toarray() * relevance.toarray())
    assert np.isfinite(scores(XReg(1).fit(X, keep, relevance=graded), X, 10)).all()


def test_xreg_propensity_scored_precision_on_bibtex():
    data = datasets.load_bibtex()
    top = XReg().fit(data.X, data.Y).predict_topk(data.X_test, k=5)
    assert 100 * psp_at_k(data.Y_test, top, 5, propensity(data.Y.sum(axis=0), data.Y.shape[0])) >= 58
