"""SwiftXML: the forest over rows and their revealed labels."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csr_array, hstack
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

import xclassic
from tests.helpers.naive import forests as naive
from xclassic import PfastreXML, SwiftXML, TopK, datasets
from xclassic.instance_tree import swiftxml, two_views
from xclassic.instance_tree.two_views import TwoViewSplitter
from xclassic.metrics import check_held_out, precision_at_k
from xclassic.parallel import RUNNING
from xclassic.rows import compressed_arrays
from xclassic.storage.folder import ModelFileError


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


@pytest.fixture(scope="module")
def small(bibtex):
    return bibtex.X[:600], bibtex.Y[:600]


@pytest.fixture(scope="module")
def fitted(small):
    return SwiftXML(n_trees=3, leaf_labels=159).fit(*small)


@pytest.fixture(scope="module")
def parts(bibtex):
    return datasets.reveal_labels(bibtex.Y_test[:80], 0.5, random_state=0)


def groups(n_rows=400, n_groups=12, seed=0):
    """Rows of noise whose labels are four of the five of a group: only the labels tell of each other."""
    random = np.random.default_rng(seed)
    Y = np.zeros((n_rows, 5 * n_groups), np.float32)
    for row, group in zip(Y, random.integers(n_groups, size=n_rows), strict=True):
        row[5 * group + random.choice(5, 4, replace=False)] = 1
    return random.random((n_rows, 8)).astype(np.float32), csr_array(Y)


def empty(Y):
    return csr_array(Y.shape, dtype=np.float32)


def lists(Y):
    return [Y.indices[start:end].tolist() for start, end in pairwise(Y.indptr)]


def assert_same(top, other):
    for array, expected in zip(top, other, strict=True):
        np.testing.assert_array_equal(array, expected)


# Without revealed labels


@pytest.mark.parametrize("form", [csr_array, csr_array.toarray])
@pytest.mark.parametrize("options", [{}, {"alpha": 1.0}, {"normalize": True, "random_state": 7}])
def test_nothing_revealed_is_pfastrexml_bit_for_bit(form, options, small, bibtex):
    X, Y = small
    two = SwiftXML(n_trees=3, **options).fit(form(X), Y, revealed=empty(Y))
    one = PfastreXML(n_trees=3, **options).fit(form(X), Y)
    arrays = two._get_arrays()[0]
    for name, expected in one._get_arrays()[0].items():
        assert arrays[name].dtype == expected.dtype
        assert arrays[name].tobytes() == expected.tobytes(), name
    rows = form(bibtex.X_test[:100])
    for revealed in (None, empty(bibtex.Y_test[:100]), [[]] * 100):
        assert_same(two.predict_topk(rows, 10, revealed=revealed), one.predict_topk(rows, 10))


def test_rows_with_nothing_revealed_do_not_depend_on_the_others(fitted, bibtex, parts):
    revealed, _ = parts
    none = np.diff(revealed.indptr) == 0
    assert 0 < none.sum() < 80
    X = bibtex.X_test[:80]
    together, alone = fitted.predict_topk(X, 5, revealed=revealed), fitted.predict_topk(X, 5)
    assert_same(TopK(*(array[none] for array in together)), TopK(*(array[none] for array in alone)))
    for row in range(80):
        own = fitted.predict_topk(X[row : row + 1], 5, revealed=revealed[row : row + 1])
        assert_same(own, TopK(*(array[row : row + 1] for array in together)))


# Against plain loops


def test_predictions_equal_plain_loops(fitted, small, bibtex, parts):
    X, Y = (matrix.toarray() for matrix in small)
    revealed, rows = parts[0], lists(small[1])
    unit = X / np.maximum(np.linalg.norm(X, axis=1, keepdims=True), 1e-9)
    top = fitted.predict_topk(bibtex.X_test[:15], 159, revealed=revealed[:15])
    mean_sets = [naive.mean_set(rows, label, 159) for label in range(159)]
    for row, x in enumerate(bibtex.X_test[:15].toarray()):
        known = lists(revealed)[row]
        z = naive.item_set(known, 159) * fitted._view.length
        shares = naive.forest_scores(fitted.trees_, np.concatenate([x, z]), 159)
        scores = {
            label: naive.swift_score(
                shares[label],
                x / np.linalg.norm(x),
                known,
                unit[Y[:, label] > 0].mean(axis=0),
                mean_sets[label],
                0.9,
                30,
            )
            for label in np.flatnonzero(shares)
            if label not in known
        }
        found = dict(zip(top.ids[row, : top.counts[row]].tolist(), top.scores[row].tolist(), strict=False))
        assert found == pytest.approx(scores, rel=2e-3)


def test_training_rows_take_the_way_that_they_took_in_training(small):
    X, Y = small
    revealed, _ = datasets.reveal_labels(Y, random_state=3)
    model = SwiftXML(n_trees=3).fit(X, Y, revealed)
    for tree in model.trees_:
        both = [tree.leaf_of(model._view.beside(X, known)) for known in (revealed, empty(Y))]
        leaves = np.bincount(np.concatenate(both), minlength=tree.n_nodes)
        assert leaves[tree.leaves].tolist() == tree.n_points[tree.leaves].tolist()
        assert (tree.features >= X.shape[1]).any()
        assert (tree.features < X.shape[1]).any()


def test_send_points_adds_the_margins_of_both_views():
    random = np.random.default_rng(0)
    X, Z = (csr_array(np.round(random.random((9, d)) * (random.random((9, d)) < 0.5), 2)) for d in (4, 3))
    X, Z = X.astype(np.float32), Z.astype(np.float32)
    point_ptr, points = np.array([0, 5, 9]), random.permutation(9).astype(np.int32)
    planes = np.zeros((2, 7), np.float32)
    planes[0, [1, 3, 4]], planes[1, [0, 6]] = [1, -2, 0.5], [-1, 1]
    plane_ptr, features = np.array([0, 3, 5]), np.array([1, 3, 4, 0, 6], np.int32)
    bias = np.array([0.25, 0], np.float32)
    went, room = np.zeros(9, np.uint8), np.zeros(7, np.float32)
    arguments = (point_ptr, points, plane_ptr, features, planes[planes != 0], bias, compressed_arrays(X))
    arguments = (*arguments, compressed_arrays(Z), room, 4)
    both = np.hstack([X.toarray(), Z.toarray()])
    margins = np.concatenate([both[points[:5]] @ planes[0] + 0.25, both[points[5:]] @ planes[1]])
    for function in (two_views.send_points, two_views.send_points.python):
        went[:] = 9
        function(*arguments, went, RUNNING)
        assert went.tolist() == (margins < 0).tolist()
        assert not room.any()


def test_hyperplanes_of_either_view_are_fitted_to_the_sides_alone(small):
    X, Y = small
    revealed, _ = datasets.reveal_labels(Y, 0.9, random_state=3)
    model = SwiftXML().fit(X, Y, revealed)
    Z, nodes = (
        model._view.rows(revealed),
        (np.array([0, 600]), np.arange(600, dtype=np.int32), np.array([5], np.uint64)),
    )
    ranking = model._splitter(X, Y, 0)
    split = TwoViewSplitter(ranking, X, Z, 1 / model._view.length, 2.0)(*nodes, RUNNING)
    alone = ranking(*nodes, RUNNING)
    is_x = split.features < X.shape[1]
    np.testing.assert_array_equal(split.features[is_x], alone.features)
    np.testing.assert_array_equal(split.weights[is_x], alone.weights)
    np.testing.assert_array_equal(split.bias, alone.bias)
    sides = ranking.sides(*nodes, RUNNING)
    costs = 2.0 * 600 / np.bincount(sides)[sides]
    w, t, z = np.zeros(159), np.where(sides, -1, 1), Z.toarray() / model._view.length
    before = naive.l1_objective(z, t, costs, w, 0.0)
    w[split.features[~is_x] - X.shape[1]] = split.weights[~is_x]
    assert naive.l1_objective(z, t, costs, w, 0.0) < 0.9 * before


# What is revealed


def test_labels_that_tell_of_each_other():
    X, Y = groups()
    X_test, Y_test = groups(seed=1)
    revealed, rest = datasets.reveal_labels(Y_test, 0.5, random_state=0)
    two, one = SwiftXML(n_trees=10).fit(X, Y), PfastreXML(n_trees=10).fit(X, Y)
    top = two.predict_topk(X_test, 3, revealed=revealed)
    check_held_out(rest, revealed, top)
    assert precision_at_k(rest, top, 1) > 0.6  # Two of the three others of a group are right.
    assert precision_at_k(rest, one.predict_topk(X_test, 60).without(revealed), 1) < 0.2
    assert np.mean(top.ids // 5 == (Y_test @ (np.arange(60) // 5) / 4)[:, None]) > 0.95


@pytest.mark.long
def test_revealed_labels_help_on_bibtex(bibtex):
    two, one = (method(n_trees=10).fit(bibtex.X, bibtex.Y) for method in (SwiftXML, PfastreXML))
    wide = one.predict_topk(bibtex.X_test, 60)
    for share in (0.2, 0.4, 0.6, 0.8):
        revealed, rest = datasets.reveal_labels(bibtex.Y_test, share, random_state=0)
        top = two.predict_topk(bibtex.X_test, 5, revealed=revealed)
        check_held_out(rest, revealed, top)
        assert precision_at_k(rest, top, 1) > precision_at_k(rest, wide.without(revealed), 1)


@pytest.mark.parametrize("candidates", [1, 5, 1000])
@pytest.mark.parametrize("alpha", [0.9, 1.0])
def test_revealed_labels_are_never_predicted_and_others_take_their_slots(alpha, candidates, small):
    X, Y = small
    model = SwiftXML(n_trees=3, alpha=alpha, candidates=candidates).fit(X, Y)
    available = model.predict_topk(X[:50], 159).without(Y[:50]).counts
    top = model.predict_topk(X[:50], 3, revealed=Y[:50])
    check_held_out(empty(Y[:50]), Y[:50], top)
    assert top.counts.tolist() == np.minimum(available, 3).tolist()
    allowed = model.predict_topk(X[:50], 3, labels=range(40), exclude=range(10), revealed=Y[:50])
    check_held_out(empty(Y[:50]), Y[:50], allowed)
    assert ((allowed.ids >= 10) & (allowed.ids < 40))[allowed.filled()].all()


def test_other_predictions_leave_out_revealed_labels(small):
    X, Y = small
    model = SwiftXML(n_trees=3).fit(X, Y.toarray())
    sets = model.predict(X[:50], revealed=Y[:50])
    assert not (sets * Y[:50].toarray()).any()
    assert (sets.sum(axis=1) == 2).all()
    scores = model.decision_function(X[:50], revealed=Y[:50])
    assert (scores[Y[:50].toarray() > 0] <= -1000).all()
    top = model.predict_topk(X[:50], 1, revealed=Y[:50])
    np.testing.assert_array_equal(scores.argmax(axis=1), top.ids[:, 0])


def test_score_refuses_labels_that_were_revealed(fitted, bibtex, parts):
    revealed, rest = parts
    X = bibtex.X_test[:80]
    top = fitted.predict_topk(X, 1, revealed=revealed)
    assert fitted.score(X, rest, revealed=revealed) == precision_at_k(rest, top, 1)
    with pytest.raises(ValueError, match=r"labels that were revealed, the first in row \d+"):
        fitted.score(X, bibtex.Y_test[:80], revealed=revealed)
    with pytest.raises(ValueError, match="labels that were revealed"):
        fitted.score(X, rest, revealed=rest)


def test_fit_refuses_that_everything_is_revealed(small):
    X, Y = small
    with pytest.raises(ValueError, match="every label of y, so that nothing is left to predict"):
        SwiftXML(n_trees=1).fit(X, Y, revealed=Y)


@pytest.mark.parametrize(
    ("revealed", "message"),
    [
        ([[1, 2]], "revealed has 1 rows but X has 3"),
        (np.zeros((3, 7)), "revealed has 7 columns but the estimator was fitted with 159 labels"),
        (np.full((3, 159), 0.5), "only 0 and 1"),
        ([["a"], [], []], "revealed has labels such as 'a'"),
    ],
)
def test_revealed_labels_that_do_not_fit_are_refused(revealed, message, fitted, bibtex):
    with pytest.raises(ValueError, match=message):
        fitted.predict_topk(bibtex.X_test[:3], revealed=revealed)


def test_labels_by_name_are_those_of_the_matrix(small, bibtex):
    X, Y = small
    seen = np.unique(Y.indices)
    names = np.array([f"label {label:03d}" for label in range(159)])
    by_name = SwiftXML(n_trees=2).fit(X, [names[row] for row in lists(Y)])
    by_matrix = SwiftXML(n_trees=2).fit(X, csr_array(Y[:, seen]))
    revealed, _ = datasets.reveal_labels(csr_array(bibtex.Y_test[:50][:, seen]), random_state=0)
    listed = [[*names[seen][row], "a label that no row has"] for row in lists(revealed)]
    found = by_name.predict_topk(bibtex.X_test[:50], 5, revealed=listed)
    assert_same(found, by_matrix.predict_topk(bibtex.X_test[:50], 5, revealed=revealed))


def test_a_label_without_training_rows_tells_nothing(small, bibtex):
    X, Y = small
    wide = csr_array((Y.data, Y.indices, Y.indptr), shape=(600, 161))
    model = SwiftXML(n_trees=2).fit(X, wide)
    revealed = csr_array(bibtex.Y_test[:50] * 0)
    revealed, strange = datasets.reveal_labels(bibtex.Y_test[:50], random_state=0)[0], np.zeros((50, 2))
    strange[:, 1] = 1
    none, some = (csr_array(hstack([revealed, csr_array(columns)])) for columns in (0 * strange, strange))
    rows = bibtex.X_test[:50]
    assert_same(model.predict_topk(rows, 5, revealed=some), model.predict_topk(rows, 5, revealed=none))
    known = csr_array(hstack([datasets.reveal_labels(Y, random_state=1)[0], csr_array(X.sum(axis=1)[:, None] > 5)]))
    learned = SwiftXML(n_trees=2).fit(X, wide[:, :160], revealed=known)  # revealed in training, though never predicted
    assert learned._view.seen[159]


# Training


def test_every_tree_draws_labels_of_its_own(small, monkeypatch):
    X, Y = small
    drawn = []

    def watched(*arguments, **options):
        drawn.append(datasets.reveal_labels(*arguments, **options))
        return drawn[-1]

    monkeypatch.setattr(swiftxml, "reveal_labels", watched)
    SwiftXML(n_trees=3).fit(X, Y)
    assert len(drawn) == 6  # those that a tree grows on, and others that fill its leaves
    assert all((one[0] != other[0]).nnz for one, other in pairwise(drawn))
    SwiftXML(n_trees=3).fit(X, Y, revealed=drawn[0][0])
    assert len(drawn) == 6


def test_ways_of_rows_to_leaves_are_with_and_without_revealed_labels(small):
    _, Y = small
    random = np.random.RandomState(0)
    many = csr_array(np.ones((2000, 20), np.float32))
    known, nothing, others = swiftxml._ways(many, None, random)
    assert nothing.nnz == 0
    assert np.mean(np.diff(known.indptr) == 0) == pytest.approx(0.2, abs=0.03)
    assert np.mean(np.diff(others.indptr) == 0) == pytest.approx(0.05, abs=0.03)
    assert np.bincount(np.diff(known.indptr), minlength=20)[1:].min() > 50  # Every number of labels occurs.
    assert (np.diff(known.indptr) < 20).all()
    pairs = csr_array(np.ones((2000, 2), np.float32))
    assert np.mean(np.diff(swiftxml._ways(pairs, None, random)[0].indptr) == 0) == pytest.approx(0.5, abs=0.05)
    assert [way.nnz for way in swiftxml._ways(Y, Y, random)] == [Y.nnz, 0]
    assert [way.nnz for way in swiftxml._ways(Y, empty(Y), random)] == [0]
    assert [way.nnz for way in swiftxml._ways(csr_array(np.eye(4, dtype=np.float32)), None, random)] == [0]


def test_leaves_average_the_rows_of_every_way():
    X, Y = groups(40, 3)
    revealed, _ = datasets.reveal_labels(Y, 0.5, random_state=0)
    model = SwiftXML(n_trees=2, propensity=None).fit(X, Y, revealed)
    rows = csr_array(X)
    for tree in model.trees_:
        both = np.concatenate([tree.leaf_of(model._view.beside(rows, known)) for known in (revealed, empty(Y))])
        for leaf in np.unique(both):
            entries = slice(tree.label_ptr[leaf], tree.label_ptr[leaf + 1])
            shares = np.zeros(15)
            shares[tree.labels[entries]] = tree.shares[entries]
            expected = np.vstack([Y.toarray()] * 2)[both == leaf].mean(axis=0)
            np.testing.assert_allclose(shares, expected, atol=1e-3)


@pytest.mark.parametrize("given", [False, True])
def test_added_trees_are_those_of_one_fit(given, small):
    X, Y = small
    revealed = datasets.reveal_labels(Y, random_state=2)[0] if given else None
    whole = SwiftXML(n_trees=4).fit(X, Y, revealed)
    grown = SwiftXML(n_trees=1).fit(X, Y, revealed).add_trees(3, X, Y, revealed)
    for name, expected in whole._get_arrays()[0].items():
        np.testing.assert_array_equal(grown._get_arrays()[0][name], expected)


def test_partial_fit_fills_the_leaves_that_rows_reach_with_their_revealed_labels(small, bibtex):
    X, Y = small
    revealed, _ = datasets.reveal_labels(bibtex.Y[600:900], random_state=2)
    model = SwiftXML(n_trees=2).partial_fit(X, Y)
    before = [tree.n_points.copy() for tree in model.trees_]
    model.partial_fit(bibtex.X[600:900], bibtex.Y[600:900], revealed=revealed)
    for tree, old in zip(model.trees_, before, strict=True):
        views = [model._view.beside(bibtex.X[600:900], known) for known in (revealed, empty(revealed))]
        leaves = np.concatenate([tree.leaf_of(view) for view in views])
        np.testing.assert_array_equal(tree.n_points - old, np.bincount(leaves, minlength=tree.n_nodes))
    model.partial_fit(bibtex.X[600:900], bibtex.Y[600:900])
    assert all(tree.n_points.sum() == 3 * 600 + 2 * 300 + 3 * 300 for tree in model.trees_)


@pytest.mark.parametrize("exponent", [-60, 60])
def test_the_scale_of_features_does_not_change_what_revealed_labels_say(exponent, fitted, small, bibtex, parts):
    factor = np.float32(2.0**exponent)
    scaled = SwiftXML(n_trees=3, leaf_labels=159).fit(small[0] * factor, small[1])
    found = scaled.predict_topk(bibtex.X_test[:80] * factor, 5, revealed=parts[0])
    assert_same(found, fitted.predict_topk(bibtex.X_test[:80], 5, revealed=parts[0]))


def test_workers_do_not_change_the_model_of_given_labels(small):
    X, Y = small
    revealed, _ = datasets.reveal_labels(Y, random_state=2)
    one, two = (SwiftXML(n_trees=3, n_jobs=n).fit(X, Y, revealed)._get_arrays()[0] for n in (1, 2))
    assert all(one[name].tobytes() == two[name].tobytes() for name in one)


def test_pipelines_pass_revealed_labels_to_the_fit(small):
    X, Y = small
    revealed, _ = datasets.reveal_labels(Y, random_state=2)
    pipe = make_pipeline(MaxAbsScaler(), SwiftXML(n_trees=1)).fit(X, Y, swiftxml__revealed=revealed)
    direct = SwiftXML(n_trees=1).fit(MaxAbsScaler().fit_transform(X), Y, revealed)
    np.testing.assert_array_equal(pipe[-1].trees_[0].weights, direct.trees_[0].weights)


# Storage


def test_saved_models_know_revealed_labels(fitted, bibtex, parts, tmp_path):
    fitted.save(tmp_path / "model")
    copy = xclassic.load(tmp_path / "model", verify="full")
    found = copy.predict_topk(bibtex.X_test[:80], 5, revealed=parts[0])
    assert_same(found, fitted.predict_topk(bibtex.X_test[:80], 5, revealed=parts[0]))


@pytest.mark.parametrize("name", ["seen", "sets.trained", "sets.centroids.indices", "sets.centroids.data", "features"])
def test_damaged_arrays_are_rejected(name, fitted):
    arrays, metadata = fitted._get_arrays()
    bad = arrays[name].astype(np.int64) + 10**6 if arrays[name].dtype.kind != "f" else arrays[name] * np.nan
    loaded = SwiftXML()
    loaded.n_features_in_, loaded.classes_ = fitted.n_features_in_, fitted.classes_
    with pytest.raises(ModelFileError):
        loaded._set_arrays(arrays | {name: bad}, metadata, "full")


@pytest.mark.parametrize("length", [None, 0.0, float("nan"), float("inf"), -1.0, "1", True, 3])
def test_damaged_lengths_are_rejected(length, fitted):
    arrays, metadata = fitted._get_arrays()
    loaded = SwiftXML()
    loaded.n_features_in_, loaded.classes_ = fitted.n_features_in_, fitted.classes_
    with pytest.raises(ModelFileError, match="length of the second view"):
        loaded._set_arrays(arrays, metadata | {"length": length}, "full")


def test_costs_that_are_bad_are_rejected(small):
    with pytest.raises(ValueError, match="C_revealed is 0"):
        SwiftXML(C_revealed=0).fit(*small)


def test_revealed_labels_are_named_in_messages():
    clf = SwiftXML(1).fit(np.eye(3), np.eye(3))
    with pytest.raises(ValueError, match=r"^revealed\[0, 0\] is 2"):
        clf.predict_topk(np.eye(3), 1, revealed=2 * np.eye(3))
