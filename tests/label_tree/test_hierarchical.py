"""HierarchicalXC: the defects of its first publication stay away, and what surrounds the trees."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.decomposition import TruncatedSVD
from sklearn.preprocessing import StandardScaler

import xclassic
from xclassic import HierarchicalXC, LabelTree, datasets
from xclassic.label_tree.nodes import rows_by_level
from xclassic.metrics import precision_at_k


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


@pytest.fixture(scope="module")
def fitted(bibtex):
    return HierarchicalXC().fit(bibtex.X, bibtex.Y)


@pytest.fixture(scope="module")
def encoded(small):
    return HierarchicalXC(encoder="autoencoder").fit(*small)


@pytest.fixture(scope="module")
def small(bibtex):
    """Some rows of the training part with the features and labels as they are."""
    return csr_array(bibtex.X[:800]), csr_array(bibtex.Y[:800])


def p_at(clf, data, k=1):
    return 100 * precision_at_k(data.Y_test, clf.predict_topk(data.X_test, k=5), k=k)


def popularity(data):
    return 100 * np.asarray(data.Y_test.mean(axis=0)).ravel()[np.asarray(data.Y.sum(axis=0)).argmax()]


def test_precision_on_bibtex(bibtex, fitted):
    # Ranked by path scores (defect 6), and printable at each k (defect 9).
    assert p_at(fitted, bibtex) >= 61
    assert p_at(fitted, bibtex, 3) >= 37.5
    assert p_at(fitted, bibtex, 5) >= 27.5


def test_trees_are_better_by_three_than_alone(bibtex, fitted):
    three = HierarchicalXC(n_trees=3).fit(bibtex.X, bibtex.Y)
    assert len(three.trees_) == 3
    assert p_at(three, bibtex) > p_at(fitted, bibtex)
    assert p_at(three, bibtex, 5) > p_at(fitted, bibtex, 5)


@pytest.mark.parametrize("encoder", [None, "autoencoder"])
def test_rows_and_labels_stay_paired(bibtex, encoder):
    # Defect 1: codes came shuffled, labels in file order.
    order = np.random.default_rng(0).permutation(bibtex.X.shape[0])
    paired = HierarchicalXC(encoder=encoder).fit(bibtex.X, bibtex.Y)
    parted = HierarchicalXC(encoder=encoder).fit(bibtex.X[order], bibtex.Y)
    assert p_at(paired, bibtex) > 57
    assert p_at(parted, bibtex) < 1.5 * popularity(bibtex) < 30


def test_rows_and_labels_may_be_moved_together(bibtex, fitted):
    order = np.random.default_rng(0).permutation(bibtex.X.shape[0])
    moved = HierarchicalXC().fit(bibtex.X[order], bibtex.Y[order])
    assert moved.trees_[0] == fitted.trees_[0]
    assert abs(p_at(moved, bibtex) - p_at(fitted, bibtex)) < 1


def test_models_see_the_code_not_the_reconstruction(small, encoded):
    # Defect 2: what came out of the decoder was used.
    X, clf = small[0], encoded
    assert clf.models_[0].weights.n_features == clf.encoder_.n_components == 256
    codes = clf._prepare(X)
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(clf._prepare(X[3:4]), codes[3:4], atol=1e-5)  # row by row as in bulk


def test_targets_are_any_label_under_the_node(bibtex, fitted):
    # Defects 3 and 4: slices at wrong bounds, sets of rows with repeats.
    tree = fitted.trees_[0]
    Y = bibtex.Y.toarray() > 0
    under = [{int(label)} if label >= 0 else set() for label in tree.label]
    for node in range(tree.n_nodes - 1, 0, -1):
        under[tree.parent[node]] |= under[node]
    expected = np.column_stack([Y[:, sorted(labels)].any(axis=1) for labels in under])
    np.testing.assert_array_equal(tree.node_targets(bibtex.Y).toarray() > 0, expected)
    trained_on = rows_by_level(csr_array(bibtex.Y), tree)
    for depth, level in enumerate(trained_on):
        for i, node in enumerate(range(tree.level_ptr[depth], tree.level_ptr[depth + 1])):
            rows = level.rows[level.ptr[i] : level.ptr[i + 1]]
            np.testing.assert_array_equal(rows, np.flatnonzero(expected[:, node]))


def test_rows_get_predictions_of_their_own(bibtex, fitted):
    # Defect 5: the same labels for every row.
    ids = fitted.predict_topk(bibtex.X_test, k=5).ids
    assert len({tuple(sorted(row)) for row in ids.tolist()}) > 0.5 * len(ids)
    assert len(np.unique(ids[:, 0])) > 80


def test_ties_fall_to_the_smaller_label():
    # Defect 6: an unstable sort. Labels 1 and 4 are identical, so are 0 and 5.
    rng = np.random.default_rng(0)
    Y = (rng.random((60, 6)) < 0.3).astype(np.float32)
    Y[:, 4], Y[:, 5] = Y[:, 1], Y[:, 0]
    X = np.abs(rng.normal(size=(60, 5))).astype(np.float32)
    top = HierarchicalXC(beam=None).fit(X, csr_array(Y)).predict_topk(X, k=6)
    for ids, scores in zip(top.ids, top.scores, strict=True):
        np.testing.assert_array_equal(ids, ids[np.lexsort((ids, -scores))])
        assert scores[ids == 1] == scores[ids == 4]
        assert scores[ids == 0] == scores[ids == 5]


def test_depth_is_logarithmic(bibtex, fitted):
    # Defect 7: up to 45 hard decisions in a row.
    assert fitted.trees_[0].depth <= round(2 * np.log2(bibtex.Y.shape[1]))


@pytest.mark.parametrize("n_trees", [1, 3])
def test_search_without_a_beam_is_full_traversal(bibtex, n_trees):
    # Defect 8: one wrong decision high up lost all labels below. Scores here are products over whole paths.
    X, Y = csr_array(bibtex.X[:800]), csr_array(bibtex.Y[:800])
    clf = HierarchicalXC(n_trees, beam=None, weight_dtype="float32").fit(X, Y)
    n_labels = Y.shape[1]
    rows = clf._prepare(csr_array(bibtex.X_test[:50]))
    expected = np.zeros((50, n_labels))
    for model in clf.models_:
        tree, w = model.tree, dense_weights(model, X.shape[1])
        margins = rows @ w[:, :-1].T + w[:, -1]
        logs = -(np.maximum(0, 1 - margins) ** 2)
        logs[:, 0] = 0
        for node in range(1, tree.n_nodes):
            logs[:, node] += logs[:, tree.parent[node]]
        leaves = np.flatnonzero(tree.label >= 0)
        expected[:, tree.label[leaves]] += np.exp(logs[:, leaves]) / n_trees
    found = clf.predict_topk(bibtex.X_test[:50], k=n_labels).to_csr(n_labels).toarray()
    np.testing.assert_allclose(found, expected, atol=2e-5)


def dense_weights(model, n_features):
    """Return the weights of every node, the last column its bias."""
    w = model.weights
    bias = np.zeros(model.tree.n_nodes)
    bias[w.labels[w.labels >= 0]] = w.bias[w.labels >= 0]
    return np.column_stack([w.to_csc(model.tree.n_nodes).toarray()[:n_features].T, bias])


@pytest.mark.parametrize("encoder", [TruncatedSVD(20, random_state=0), StandardScaler(with_mean=False)])
def test_encoder_may_be_any_transformer(small, encoder):
    X, Y = small
    clf = HierarchicalXC(encoder=encoder).fit(X, Y)
    assert not hasattr(encoder, "n_features_in_")  # the parameter stays unfitted
    truth = Y.toarray()
    first = clf.predict_topk(X, k=1).ids[:, 0]
    assert truth[np.arange(len(first)), first].mean() > 0.4


def test_encoder_must_be_a_transformer(small):
    with pytest.raises(TypeError, match="encoder"):
        HierarchicalXC(encoder=3).fit(*small)
    with pytest.raises(ValueError, match="encoder"):
        HierarchicalXC(encoder="pca").fit(*small)


@pytest.mark.parametrize("encoder", [None, "autoencoder"])
def test_saved_and_loaded_models_agree(small, encoded, encoder, tmp_path):
    X, Y = small
    clf = HierarchicalXC().fit(X, Y) if encoder is None else encoded
    clf.save(tmp_path / "model")
    loaded = xclassic.load(tmp_path / "model")
    for a, b in zip(clf.predict_topk(X, k=5), loaded.predict_topk(X, k=5), strict=True):
        np.testing.assert_array_equal(a, b)


def test_encoders_of_others_cannot_be_saved(small, tmp_path):
    clf = HierarchicalXC(encoder=TruncatedSVD(5)).fit(*small)
    with pytest.raises(TypeError, match="TruncatedSVD"):
        clf.save(tmp_path / "model")


def test_clone_keeps_parameters():
    clf = HierarchicalXC(2, distance="pifa", linkage="complete", encoder="autoencoder", max_leaf=7)
    assert clone(clf).get_params() == clf.get_params()


def test_given_tree_is_used(small):
    X, Y = small
    tree = LabelTree.flat(np.arange(Y.shape[1]), Y.shape[1])
    assert HierarchicalXC(tree=tree).fit(X, Y).trees_[0] == tree
    with pytest.raises(ValueError, match="labels"):
        HierarchicalXC(tree=LabelTree.flat(np.arange(3), 3)).fit(X, Y)


def test_trees_are_as_many_as_given_or_an_error(small):
    with pytest.raises(ValueError, match="n_trees"):
        HierarchicalXC(4).fit(*small)
    assert len(HierarchicalXC(4, distance="count").fit(*small).trees_) == 4


def test_rows_without_labels_are_legal(small):
    X, Y = small
    dense = Y.toarray()
    dense[:10] = 0
    clf = HierarchicalXC().fit(X, csr_array(dense))
    assert np.isfinite(clf.predict_topk(X, k=3).scores).all()
