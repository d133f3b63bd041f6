"""PfastreXML and the re-ranker that can be laid over any method."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import expit

from xclassic import DiSMEC, FastXML, PfastreXML, TailReranker, TopK, datasets
from xclassic.metrics import precision_at_k, propensity, psp_at_k
from xclassic.parallel import RUNNING
from xclassic.storage.folder import ModelFileError

X3 = np.array([[1, 0], [0.6, 0.8], [0, 2]], np.float32)
Y3 = csr_array(np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32))


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


def top_of(scores):
    return TopK.from_dense(np.array(scores, np.float32), 3)


def test_tail_scores_by_hand():
    tail = TailReranker(alpha=0.5, gamma=2.0).fit(X3, Y3)
    np.testing.assert_allclose(tail.centroids_.toarray(), [[0.8, 0.4], [0.3, 0.9], [0, 0]], rtol=1e-6)
    top = tail.rerank(X3[[0]], top_of([[0.2, 0.9, -np.inf]]))
    squares = {0: 0.2**2 + 0.4**2, 1: 0.7**2 + 0.9**2}
    expected = {label: np.sqrt(score / (1 + np.exp(2 * squares[label]))) for label, score in ((0, 0.2), (1, 0.9))}
    assert top.ids.tolist() == [[0, 1, -1]]
    np.testing.assert_allclose(top.scores[0, :2], [expected[0], expected[1]], rtol=1e-3)
    kept = TailReranker(alpha=0.95, gamma=2.0).fit(X3, Y3).rerank(X3[[0]], top_of([[0.2, 0.9, -np.inf]]))
    assert kept.ids.tolist() == [[1, 0, -1]]


def test_alpha_one_keeps_scores_and_labels_without_rows_are_left_out():
    tail = TailReranker(alpha=1.0).fit(X3, Y3)
    top = tail.rerank(csr_array(X3), top_of([[0.5, 0.25, 0.75]] * 3))
    assert top.ids.tolist() == [[0, 1, -1]] * 3
    np.testing.assert_allclose(top.scores[:, :2], [[0.5, 0.25]] * 3, rtol=1e-6)


def test_scores_far_apart_keep_their_order():
    tail = TailReranker(alpha=0.0, gamma=1000.0).fit(np.eye(3), np.eye(3))
    assert tail.rerank(np.array([[0, 0.9, 0.1]]), top_of([[1, 1, 1]])).ids.tolist() == [[1, 2, 0]]


def test_reranker_rejects_margins_other_rows_and_other_labels():
    tail = TailReranker().fit(X3, Y3)
    with pytest.raises(ValueError, match="expit"):
        tail.rerank(X3, top_of([[-1, 1, 1]] * 3))
    with pytest.raises(ValueError, match="1 rows"):
        tail.rerank(X3, top_of([[1, 1, 1]]))
    with pytest.raises(ValueError, match="3 labels"):
        tail.rerank(X3[:1], TopK.from_dense(np.ones((1, 5)), 5))
    with pytest.raises(ValueError, match="alpha"):
        TailReranker(alpha=1.5).fit(X3, Y3)
    with pytest.raises(ValueError, match="gamma"):
        TailReranker(gamma=-1).fit(X3, Y3)


def test_reranking_lifts_rare_labels_of_a_linear_method(bibtex):
    clf = DiSMEC().fit(bibtex.X, bibtex.Y)
    top = clf.predict_topk(bibtex.X_test, 50)
    top = TopK(top.ids, np.where(top.filled(), expit(4 * top.scores), -np.inf).astype(np.float32), top.counts)
    p = propensity(np.bincount(bibtex.Y.indices, minlength=159), bibtex.X.shape[0])
    reranked = TailReranker(alpha=0.7, gamma=10).fit(bibtex.X, bibtex.Y).rerank(bibtex.X_test, top)
    before, after = (psp_at_k(bibtex.Y_test, predictions.head(5), 5, p) for predictions in (top, reranked))
    assert after > before + 0.005


# The forest


def test_alpha_one_is_the_forest_alone(bibtex):
    X, Y = bibtex.X[:800], bibtex.Y[:800]
    both, alone = PfastreXML(n_trees=3).fit(X, Y), PfastreXML(n_trees=3, alpha=1.0).fit(X, Y)
    for one, other in zip(both.trees_, alone.trees_, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)
    top = alone.predict_topk(bibtex.X_test[:50], 5)
    forest = FastXML._topk(alone, bibtex.X_test[:50], 5, None, RUNNING)
    np.testing.assert_array_equal(top.scores, forest.scores)
    np.testing.assert_array_equal(top.ids, forest.ids)


def test_pfastrexml_with_equal_weights_and_the_normalizer_is_fastxml(bibtex):
    X, Y = bibtex.X[:800], bibtex.Y[:800]
    clf = PfastreXML(n_trees=3, propensity=None, normalized_gain=True, alpha=1.0, random_state=5).fit(X, Y)
    fast = FastXML(n_trees=3, random_state=5).fit(X, Y)
    for one, other in zip(clf.trees_, fast.trees_, strict=True):
        for name, array in one.arrays().items():
            np.testing.assert_array_equal(array, other.arrays()[name])


def test_leaves_hold_weighted_means(bibtex):
    X, Y = bibtex.X[:300], bibtex.Y[:300]
    clf = PfastreXML(n_trees=1, leaf_labels=159).fit(X, Y)
    expected = 1 / propensity(np.bincount(Y.indices, minlength=159), 300)
    np.testing.assert_allclose(clf.label_weights_, expected, rtol=1e-6)
    tree = clf.trees_[0]
    leaves = tree.leaf_of(clf._prepare(X))
    leaf = leaves[0]
    mean = Y[np.flatnonzero(leaves == leaf)].mean(axis=0) * expected
    entries = slice(tree.label_ptr[leaf], tree.label_ptr[leaf + 1])
    np.testing.assert_allclose(tree.shares[entries], mean[tree.labels[entries]], rtol=1e-3)


def test_pfastrexml_gain_on_rare_labels_and_accuracy_on_bibtex(bibtex):
    p = propensity(np.bincount(bibtex.Y.indices, minlength=159), bibtex.X.shape[0])
    fast = FastXML(n_trees=20).fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    pfast = PfastreXML(n_trees=20).fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    assert psp_at_k(bibtex.Y_test, pfast, 5, p) > 0.57 > psp_at_k(bibtex.Y_test, fast, 5, p)
    assert precision_at_k(bibtex.Y_test, pfast, 1) > 0.61


@pytest.mark.parametrize("propensity", ["unknown", (0.5, -1.0), (float("nan"), 1.0)])
def test_propensities_that_are_bad_are_rejected(propensity):
    with pytest.raises(ValueError, match="propensity is"):
        PfastreXML(propensity=propensity).fit(X3, Y3)


def test_damaged_reranker_is_rejected(bibtex):
    clf = PfastreXML(n_trees=1).fit(bibtex.X[:50], bibtex.Y[:50])
    arrays, metadata = clf._get_arrays()
    for name, bad in {
        "tail.centroids.indptr": arrays["tail.centroids.indptr"][:-1],
        "tail.centroids.indices": arrays["tail.centroids.indices"] + np.int32(5000),
        "tail.centroids.data": np.full_like(arrays["tail.centroids.data"], np.nan),
        "tail.trained": arrays["tail.trained"].astype(np.int8),
        "label_weights": -arrays["label_weights"],
    }.items():
        loaded = PfastreXML()
        loaded.n_features_in_, loaded.classes_ = clf.n_features_in_, clf.classes_
        with pytest.raises(ModelFileError):
            loaded._set_arrays(arrays | {name: bad}, metadata, "lazy")
