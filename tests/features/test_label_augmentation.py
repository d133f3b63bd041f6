"""Labels as further rows: the soft targets against a loop, and how methods take them."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests.helpers.contract import noisy
from xclassic import (
    KNN,
    PLT,
    Blend,
    DiSMEC,
    FastXML,
    LabelAugmentation,
    LabelTree,
    Parabel,
    PPDSparse,
    TopK,
    XRLinear,
    load,
    predict_topk,
)
from xclassic.changing import only_columns
from xclassic.features import augment_with_labels
from xclassic.features.unseen_labels import fit_map, probabilities
from xclassic.metrics import precision_at_k, recall_at_k


def shares_by_loop(Y, threshold):
    n_labels = Y.shape[1]
    shares = np.zeros((n_labels, n_labels))
    for own in range(n_labels):
        rows = Y[Y[:, own] > 0]
        for other in range(n_labels):
            share = rows[:, other].sum() / max(1, len(rows))
            if own == other:
                shares[own, other] = 1
            elif share >= threshold:
                shares[own, other] = share
    return shares


@pytest.mark.parametrize("threshold", [0.05, 0.1, 0.5, 1.0, 1.5])
def test_shares_equal_those_of_a_loop(threshold):
    X, Y = noisy()
    features = np.eye(Y.shape[1], X.shape[1]) + 0.1
    rows, targets, shares = augment_with_labels(X, Y, features, threshold=threshold)
    expected = shares_by_loop(Y.toarray(), threshold)
    np.testing.assert_allclose(shares.toarray()[X.shape[0] :], expected, rtol=1e-6)
    np.testing.assert_array_equal(shares.toarray()[: X.shape[0]], Y.toarray())
    np.testing.assert_array_equal(targets.toarray(), shares.toarray() > 0)
    np.testing.assert_allclose(rows.toarray(), np.vstack([X.toarray(), features]), rtol=1e-6)


def test_shares_are_not_symmetric_and_their_largest_is_one():
    X, Y = noisy()
    _, _, shares = augment_with_labels(X, Y)
    of_labels = shares.toarray()[X.shape[0] :]
    used = np.flatnonzero(np.asarray(Y.sum(axis=0)))
    square = of_labels[:, used]
    assert (square != square.T).any()
    np.testing.assert_array_equal(of_labels.max(axis=1), 1)


def test_label_threshold_above_one_leaves_the_label_alone():
    X, Y = noisy()
    _, _, shares = augment_with_labels(X, Y, np.ones((Y.shape[1], X.shape[1])), threshold=1.01)
    np.testing.assert_array_equal(shares.toarray()[X.shape[0] :], np.eye(Y.shape[1]))


def test_labels_without_features_get_no_row():
    X, Y = noisy()
    features = np.ones((Y.shape[1], X.shape[1])) * (np.arange(Y.shape[1]) != 3)[:, None]
    rows, targets, _ = augment_with_labels(X, Y, features)
    assert rows.shape[0] == targets.shape[0] == X.shape[0] + Y.shape[1] - 1
    used = np.delete(np.arange(Y.shape[1]), 3)
    np.testing.assert_array_equal(targets.toarray()[X.shape[0] :, used].diagonal(), 1)


def test_centroids_of_no_row_or_one_are_left_out():
    X, Y = noisy()
    dense = Y.toarray()
    dense[:, 3] = 0
    dense[1:, 4] = 0
    dense[0, 4] = 1
    rows, targets, _ = augment_with_labels(X, csr_array(dense))
    used = np.flatnonzero(dense.sum(axis=0) > 1)
    assert rows.shape[0] == targets.shape[0] == X.shape[0] + len(used) < X.shape[0] + Y.shape[1] - 1
    np.testing.assert_array_equal(targets.toarray()[X.shape[0] :, used].diagonal(), 1)


@pytest.mark.parametrize(
    "method", [DiSMEC(prune=0.0, eps=1e-6, max_passes=200), PPDSparse(), Parabel(1, loss="logistic", C=1.0), PLT(1)]
)
def test_shares_reach_methods_that_take_them(method):
    X, Y = noisy()
    rows, targets, shares = augment_with_labels(X, Y)
    wrapped = LabelAugmentation(method).fit(X, Y).predict_topk(X, 5)
    soft = type(method)(**method.get_params())._fit_checked(rows, targets, relevance=shares).predict_topk(X, 5)
    hard = type(method)(**method.get_params()).fit(rows, targets).predict_topk(X, 5)
    np.testing.assert_array_equal(wrapped.scores, soft.scores)
    assert (wrapped.scores != hard.scores).any()


def test_soft_targets_of_dismec_are_weights_of_positives():
    random = np.random.default_rng(0)
    X, Y = random.random((40, 6)), csr_array((random.random((40, 3)) < 0.4).astype(np.float32))
    clf = DiSMEC(prune=0.0, eps=1e-8, max_passes=2000)
    halves = csr_array((np.where(Y.indices == 1, 0.5, 1).astype(np.float32), Y.indices, Y.indptr), shape=Y.shape)
    soft = clf._fit_checked(X, Y, relevance=halves).predict_topk(X, 3).to_csr(3).toarray()
    plain = DiSMEC(prune=0.0, eps=1e-8, max_passes=2000).fit(X, Y).predict_topk(X, 3).to_csr(3).toarray()
    np.testing.assert_allclose(soft[:, [0, 2]], plain[:, [0, 2]], atol=1e-5)
    assert soft[:, 1].mean() < plain[:, 1].mean() - 0.05


@pytest.mark.filterwarnings("ignore:.*takes no shares")
@pytest.mark.parametrize("method", [KNN(n_neighbors=3), XRLinear(1, loss="least_squares")])
def test_other_methods_get_the_likely_labels(method):
    X, Y = noisy()
    rows, _, shares = augment_with_labels(X, Y)
    hard = csr_array((shares.toarray() >= 0.5).astype(np.float32))
    with pytest.warns(UserWarning, match=f"{type(method).__name__} takes no shares"):
        wrapped = LabelAugmentation(method).fit(X, Y)
    expected = type(method)(**method.get_params()).fit(rows, hard).predict_topk(X, 5)
    np.testing.assert_array_equal(wrapped.predict_topk(X, 5).scores, expected.scores)


def test_labels_without_rows_are_found_by_their_features():
    X = np.eye(4)[[0, 1, 2] * 5]
    Y = csr_array(np.eye(4, dtype=np.float32)[[0, 1, 2] * 5])
    clf = LabelAugmentation().fit(X, Y, label_features=np.eye(4))
    assert clf.predict_topk(np.eye(4)[[3]], 1).ids.tolist() == [[3]]
    assert DiSMEC().fit(X, Y).predict_topk(np.eye(4)[[3]], 4).ids.tolist()[0].count(3) == 0


@pytest.mark.filterwarnings("ignore:.*takes no shares")
def test_label_augmentation_takes_a_blend():
    X, Y = noisy()
    blend = Blend([("one", DiSMEC()), ("other", KNN(n_neighbors=3))])
    clf = LabelAugmentation(blend).fit(X, Y)
    top = clf.predict_topk(X, 5)
    assert top.counts.min() == 5
    np.testing.assert_array_equal(clf.predict_topk(X[:1], 5).ids, top.ids[:1])


def test_label_augmentation_follows_a_given_tree():
    X, Y = noisy()
    tree = LabelTree.flat(np.arange(Y.shape[1]), Y.shape[1])
    clf = LabelAugmentation(Parabel(tree=tree)).fit(X, Y)
    assert clf.estimator_.trees_ == [tree]


def test_label_augmentation_saves_its_method(tmp_path):
    X, Y = noisy()
    names = [[f"label {label}" for label in Y[[i]].indices] for i in range(Y.shape[0])]
    clf = LabelAugmentation(Parabel(2), threshold=0.3).fit(X, names)
    clf.save(tmp_path / "model")
    loaded = load(tmp_path / "model")
    assert loaded.threshold == 0.3
    assert isinstance(loaded.estimator, Parabel)
    np.testing.assert_array_equal(loaded.predict_topk(X, 5).scores, clf.predict_topk(X, 5).scores)


def test_label_augmentation_rejects_features_that_do_not_fit():
    X, Y = noisy()
    with pytest.raises(ValueError, match=r"label_features has 5 rows but there are 37 labels"):
        LabelAugmentation().fit(X, Y, label_features=np.ones((5, X.shape[1])))
    with pytest.raises(ValueError, match="label_features"):
        LabelAugmentation().fit(X, Y, label_features=np.ones((37, 3)))
    with pytest.raises(ValueError, match="NaN"):
        LabelAugmentation().fit(X, Y, label_features=np.full((37, X.shape[1]), np.nan))
    with pytest.raises(TypeError, match="estimator is a int"):
        LabelAugmentation(3).fit(X, Y)
    with pytest.raises(ValueError, match="estimator"):
        LabelAugmentation("SVM").fit(X, Y)
    with pytest.raises(ValueError, match="threshold"):
        augment_with_labels(X, Y, threshold=0)
    with pytest.raises(ValueError, match="label_features holds text; pass the rows that"):
        LabelAugmentation().fit(X, Y, label_features=["name"] * 37)
    with pytest.raises(ValueError, match=r"Y\[0, .*\] is 2; a label matrix holds only 0 and 1"):
        augment_with_labels(X, 2 * Y)
    with pytest.raises(ValueError, match="150 rows but Y has 149"):
        augment_with_labels(X, Y[:149])


# Labels without rows, by the similarity of their features


def named_problem(n_labels=30, n_rows=600, seed=0):
    """Return rows near the features of their labels, the labels, and the features; the last three have no rows."""
    rng = np.random.default_rng(seed)
    F = csr_array((rng.random((n_labels, 40)) < 0.15).astype(np.float32) + np.eye(n_labels, 40, dtype=np.float32))
    Y = csr_array((rng.random((n_rows, n_labels)) < 0.06).astype(np.float32))
    noise = csr_array((rng.random((n_rows, 40)) < 0.1).astype(np.float32))
    return csr_array(Y @ F + noise), only_columns(Y, np.arange(n_labels - 3)), F, Y


@pytest.mark.parametrize("threshold", [None, 0.1])
@pytest.mark.parametrize("method", [DiSMEC(), Parabel(1)])
def test_unseen_labels_are_ranked_beside_the_others(method, threshold):
    X, Y, F, truth = named_problem()
    clf = LabelAugmentation(method, threshold=threshold).fit(X, Y, label_features=F)
    assert clf.unseen_.ids.tolist() == [27, 28, 29]
    rows = np.flatnonzero(truth[:, [27, 28, 29]].sum(axis=1))
    held_out = csr_array(truth[rows].toarray() * (np.arange(30) >= 27))
    alone = clf.predict_topk(X[rows], 10, unseen=True, labels=[27, 28, 29])
    assert recall_at_k(held_out, alone, 1) > 0.7
    top, usual = clf.predict_topk(X, 30, unseen=True), clf.predict_topk(X, 30, labels=np.arange(27))
    assert ((top.scores[top.filled()] > 0) & (top.scores[top.filled()] < 1)).all()
    for row in range(20):  # The order of the others is that of the method.
        others = [label for label in top.ids[row].tolist() if 0 <= label < 27]
        assert sorted_by(usual, row, others) == others
    assert recall_at_k(held_out, take(top, rows), 5) > 0.5


def sorted_by(top, row, labels):
    """Return labels in the order of a ranking."""
    place = {label: i for i, label in enumerate(top.ids[row].tolist())}
    return sorted(labels, key=lambda label: place[label])


def take(top, rows):
    return TopK(top.ids[rows], top.scores[rows], top.counts[rows])


def test_unseen_probabilities_are_those_of_the_obvious_formula():
    X, Y, F, _ = named_problem()
    clf = LabelAugmentation(DiSMEC(), threshold=None).fit(X, Y, label_features=F)
    top = clf.predict_topk(X[:5], 30, unseen=True).to_csr(30).toarray()
    margins = DiSMEC().fit(X, Y).predict_topk(X[:5], 30).to_csr(30).toarray()
    rows, names = X[:5].toarray(), F.toarray()
    cosine = rows @ names.T / np.outer(np.linalg.norm(rows, axis=1), np.linalg.norm(names, axis=1))
    for scores, (a, b, c), labels in zip((margins, cosine), clf.unseen_.maps, (slice(27), slice(27, 30)), strict=True):
        s = scores[:, labels].astype(np.float64)
        expected = 1 / (1 + np.exp(-(a * s + b * np.log(np.maximum(s, 1e-12)) + c)))
        filled = s != 0
        np.testing.assert_allclose(top[:, labels][filled], expected[filled], rtol=1e-4)


@pytest.mark.parametrize("positive", [True, False])
def test_maps_are_increasing_and_calibrated(positive):
    rng = np.random.default_rng(0)
    scores = np.sort(rng.random((4000, 5)) - (0 if positive else 0.5), axis=1)[:, ::-1].astype(np.float32)
    chance = 1 / (1 + np.exp(-4 * (scores - 0.3)))
    truth = csr_array((rng.random((4000, 5)) < chance).astype(np.float32))
    top = TopK(np.tile(np.arange(5, dtype=np.int32), (4000, 1)), scores, np.full(4000, 5, np.int32))
    found = fit_map(top, truth)
    assert (found[:2] >= 0).all()
    assert abs(probabilities(scores.ravel(), found) - chance.ravel()).max() < 0.1
    reversed_truth = csr_array((rng.random((4000, 5)) < 1 - chance).astype(np.float32))
    assert fit_map(top, reversed_truth)[:2].tolist() == [0, 0]
    for constant in (csr_array((4000, 5), dtype=np.float32), csr_array(np.ones((4000, 5), np.float32))):
        assert np.isfinite(fit_map(top, constant)).all()


def test_labels_of_features_are_classes(tmp_path):
    X, Y, F, _ = named_problem()
    lists = [[f"{label:02}" for label in Y[[row]].indices] for row in range(Y.shape[0])]
    labels = [f"{label:02}" for label in range(30)]
    order = np.random.default_rng(0).permutation(30)[:29]
    clf = LabelAugmentation().fit(X, lists, label_features=([labels[i] for i in order], F[order]))
    assert clf.classes_.tolist() == sorted({*np.concatenate(lists).tolist(), *(labels[i] for i in order)})
    given = F.toarray()
    given[np.setdiff1d(np.arange(30), order)] = 0
    same = LabelAugmentation().fit(X, Y, label_features=csr_array(given))
    assert_same = np.testing.assert_array_equal
    assert_same(clf.predict_topk(X, 9, unseen=True).scores, same.predict_topk(X, 9, unseen=True).scores)
    clf.save(tmp_path / "model")
    loaded = load(tmp_path / "model", verify="full")
    assert_same(loaded.predict_topk(X, 9, unseen=True).ids, clf.predict_topk(X, 9, unseen=True).ids)
    pipe = make_pipeline(FunctionTransformer(), clf)
    assert_same(predict_topk(pipe, X, 9, unseen=True).ids, clf.predict_topk(X, 9, unseen=True).ids)


def test_unseen_labels_are_refused_elsewhere():
    X, Y, F, _ = named_problem()
    with pytest.raises(TypeError, match=r"DiSMEC.fit takes no label_features; LabelAugmentation\(DiSMEC\(...\)\)"):
        DiSMEC().fit(X, Y, label_features=F)
    with pytest.raises(TypeError, match=r"FastXML.fit takes no label_features; LabelAugmentation\(FastXML\(...\)\)"):
        FastXML().fit(X, Y, label_features=F)
    with pytest.raises(TypeError, match="DiSMEC knows no features of labels without training rows"):
        predict_topk(DiSMEC().fit(X, Y), X, unseen=True)
    with pytest.raises(ValueError, match="unseen=True ranks labels that have features and no training row"):
        LabelAugmentation().fit(X, Y).predict_topk(X, unseen=True)
    with pytest.raises(TypeError, match="label_features is a dict"):
        LabelAugmentation().fit(X, Y, label_features={0: F[[0]]})
    with pytest.raises(ValueError, match="label_features has 2 labels but 30 rows"):
        LabelAugmentation().fit(X, Y, label_features=([0, 1], F))
    with pytest.raises(ValueError, match="label_features names the label 1 twice"):
        LabelAugmentation().fit(X, Y, label_features=([0, 1, 1], F[:3]))
    with pytest.raises(ValueError, match="label_features has the label 30, which is not among the labels"):
        LabelAugmentation().fit(X, Y, label_features=(np.arange(1, 31), F))


@pytest.mark.parametrize("misleading", [False, True])
def test_unseen_labels_leave_the_others_where_they_are(misleading):
    X, Y, F, _ = named_problem(n_rows=1500)
    if misleading:  # What unseen labels share with rows then says nothing.
        F = csr_array(np.random.default_rng(3).permutation(F.toarray()))
    clf = LabelAugmentation(DiSMEC(), threshold=None).fit(X, Y, label_features=F)
    usual, top = (precision_at_k(Y, clf.predict_topk(X, 5, unseen=unseen), 5) for unseen in (False, True))
    assert usual - top < 0.02
