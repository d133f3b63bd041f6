"""PrefixTree: codes of labels, and models of the next number of a code."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression

import xclassic
from xclassic import LabelTree, PrefixTree, datasets
from xclassic.metrics import precision_at_k, prefix_credit

EXACT = {"beam": None, "prune": 0.0, "weight_dtype": "float32", "eps": 1e-5, "max_passes": 2000}


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


@pytest.fixture(scope="module")
def fitted(bibtex):
    return PrefixTree().fit(bibtex.X, bibtex.Y)


def classes(n=300, d=6, n_classes=20, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d)).astype(np.float32)
    logits = X @ rng.normal(size=(d, n_classes))
    y = (logits + rng.gumbel(size=logits.shape)).argmax(axis=1)
    y[:n_classes] = np.arange(n_classes)
    return X, y


def code_list(tree):
    return [tuple(int(digit) for digit in code if digit >= 0) for code in tree.codes()]


def check_codes(tree, branching):
    codes = code_list(tree)
    assert len(set(codes)) == len(codes)
    prefixes = {code[:i] for code in codes for i in range(len(code))}
    assert not prefixes & set(codes)
    assert np.diff(tree.child_ptr).max() <= branching
    for label, code in enumerate(codes):
        assert tree.encode(label) == code
        assert tree.decode(tree.encode(label)) == label


def test_codes_on_bibtex(bibtex, fitted):
    check_codes(fitted.trees_[0], 6)
    assert 100 * precision_at_k(bibtex.Y_test, fitted.predict_topk(bibtex.X_test, k=5), k=1) > 55


@pytest.mark.parametrize("branching", [2, 3, 10])
def test_branching_bounds_the_children(bibtex, branching):
    check_codes(PrefixTree(branching=branching, max_passes=1).fit(bibtex.X, bibtex.Y).trees_[0], branching)


def test_depth_stays_small_for_identical_embeddings():
    # Recursion on equal vectors must end, and in a tree about as deep as 2000 labels need: 6**4 < 2000 < 6**5.
    n = 2000
    X = np.ones((n, 1), np.float32)
    clf = PrefixTree(view="embeddings", embeddings=np.ones((n, 4)), max_passes=1).fit(X, csr_array(np.eye(n)))
    check_codes(clf.trees_[0], 6)
    assert clf.trees_[0].depth <= 6


def test_branching_may_exceed_the_labels():
    X, y = classes(n_classes=4)
    tree = PrefixTree().fit(X, y).trees_[0]
    assert tree.depth == 1
    assert code_list(tree) == [(0,), (1,), (2,), (3,)]


def test_embeddings_decide_which_codes_share_a_prefix():
    X, y = classes(n_classes=12)
    groups = np.arange(12) % 3
    clf = PrefixTree(branching=3, view="embeddings", embeddings=np.eye(3)[groups]).fit(X, y)
    first = np.array([code[0] for code in code_list(clf.trees_[0])])
    for group in range(3):
        assert len(set(first[groups == group])) == 1
    assert len(set(first)) == 3
    both = PrefixTree(branching=3, view="both", embeddings=np.eye(3)[groups]).fit(X, y)
    check_codes(both.trees_[0], 3)


def test_embeddings_that_do_not_fit_are_rejected():
    X, y = classes()
    for view in ("embeddings", "both"):
        with pytest.raises(ValueError, match="pass embeddings"):
            PrefixTree(view=view).fit(X, y)
    with pytest.raises(ValueError, match="20 labels"):
        PrefixTree(view="embeddings", embeddings=np.ones((19, 2))).fit(X, y)
    with pytest.raises(ValueError, match="NaN"):
        PrefixTree(view="embeddings", embeddings=np.full((20, 2), np.nan)).fit(X, y)
    with pytest.raises(ValueError, match="view"):
        PrefixTree(view="names").fit(X, y)


def test_softmax_probabilities_sum_to_one():
    X, y = classes()
    clf = PrefixTree(loss="softmax", **EXACT).fit(X, y)
    assert clf.trees_[0].depth > 1
    scores = clf.predict_topk(X, k=20).to_csr(20).toarray()
    np.testing.assert_allclose(scores.sum(axis=1), 1, atol=1e-5)
    independent = PrefixTree(loss="logistic", **EXACT).fit(X, y).predict_topk(X, k=20).to_csr(20).toarray()
    assert np.abs(independent.sum(axis=1) - 1).max() > 0.01


def test_softmax_objective_is_that_of_scikit_learn():
    X, y = classes(n_classes=5)
    C = 2.0
    tree = LabelTree.flat(np.arange(5), 5)
    clf = PrefixTree(loss="softmax", tree=tree, C=C, normalize=False, **EXACT).fit(X, y)
    rows = np.column_stack([X, np.ones(len(X), np.float32)])
    w = clf.models_[0].weights
    ours = np.zeros((5, 7))
    lanes = w.labels >= 0
    ours[tree.label[w.labels[lanes]], 6] = w.bias[lanes]
    ours[tree.label[1:], :6] = w.to_csc(6).toarray()[:, 1:].T

    def objective(weights, C):
        margins = rows @ weights.T
        losses = np.logaddexp.reduce(margins, axis=1) - margins[np.arange(len(y)), y]
        return 0.5 * (weights**2).sum() + C * losses.sum()

    best = LogisticRegression(C=C, fit_intercept=False, tol=1e-8, max_iter=5000).fit(rows, y)
    assert objective(ours, C) <= 1.01 * objective(best.coef_, C)
    assert objective(np.zeros((5, 7)), C) > 1.05 * objective(best.coef_, C)


def test_softmax_takes_16_children():
    X, y = classes(n_classes=17)
    with pytest.raises(ValueError, match="17 children"):
        PrefixTree(loss="softmax", tree=LabelTree.flat(np.arange(17), 17)).fit(X, y)
    with pytest.raises(ValueError, match="branching"):
        PrefixTree(loss="softmax", branching=17).fit(X, y)
    PrefixTree(loss="softmax", branching=16).fit(X, y)


def test_predicted_labels_have_codes(bibtex, fitted):
    top = fitted.predict_topk(bibtex.X_test[:50], k=5)
    codes = set(code_list(fitted.trees_[0]))
    assert all(fitted.trees_[0].encode(int(label)) in codes for label in top.ids[top.filled()])


def test_prefix_credit_is_that_of_the_codes(bibtex, fitted):
    top, codes = fitted.predict_topk(bibtex.X_test, k=1), code_list(fitted.trees_[0])
    truth = bibtex.Y_test.toarray() > 0
    credits = []
    for row, prediction in zip(truth, top.ids[:, 0], strict=True):
        shares = [0.0]
        for label in np.flatnonzero(row):
            same = [a == b for a, b in zip(codes[label], codes[prediction], strict=False)]
            shares.append(float(np.cumprod(same).sum()) / len(codes[label]))
        credits.append(max(shares))
    assert prefix_credit(bibtex.Y_test, top, fitted.trees_[0].codes()) == pytest.approx(np.mean(credits))


@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_saved_and_loaded_models_agree(loss, tmp_path):
    X, y = classes()
    clf = PrefixTree(loss=loss, view="embeddings", embeddings=np.random.default_rng(0).random((20, 3))).fit(X, y)
    clf.save(tmp_path / "model")
    loaded = xclassic.load(tmp_path / "model")
    assert loaded.trees_ == clf.trees_
    for a, b in zip(clf.predict_topk(X, k=5), loaded.predict_topk(X, k=5), strict=True):
        np.testing.assert_array_equal(a, b)
