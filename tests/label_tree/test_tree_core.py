"""Label trees below the estimators: partitions, node training and search, against slow twins."""

import math
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.sparse import csr_array, csr_matrix

from tests.helpers.blocks import problem_data
from tests.helpers.naive import linear as naive
from tests.helpers.trees import random_shape, unit_random, weights_of_node
from xclassic import LabelTree
from xclassic.blocks.problem import BlockProblem
from xclassic.label_tree.nodes import Matcher, NodeSolver, _truncated, _united, rows_by_level, train_tree
from xclassic.label_tree.partition import huffman_tree, kmeans_tree, random_tree
from xclassic.label_tree.search import PATH_SCORES, TreeModel, search
from xclassic.linalg.label_vectors import label_vectors
from xclassic.storage.folder import ModelFileError

EXACT = {"eps": 1e-5, "max_passes": 1000, "prune": 0.0}


def node_margins(model, X):
    """Margins of all rows in all nodes."""
    W = model.weights.to_csc(model.tree.n_nodes).toarray().astype(np.float64)
    bias = np.zeros(model.tree.n_nodes)
    used = model.weights.labels >= 0
    bias[model.weights.labels[used]] = model.weights.bias[used]
    return X.toarray() @ W + bias


def contributions(margins, tree, score):
    if score == "hinge2":
        return -(np.maximum(0, 1 - margins) ** 2)
    if score == "hinge3":
        return -(np.maximum(0, 1 - margins) ** 3)
    if score == "sigmoid":
        return -np.logaddexp(0, -margins)
    if score == "clipped":
        return np.log(np.clip(margins, 1e-4, 1))
    shares = np.zeros_like(margins)
    for node in tree.inner:
        children = slice(tree.child_ptr[node], tree.child_ptr[node + 1])
        shares[:, children] = margins[:, children] - np.logaddexp.reduce(margins[:, children], axis=1)[:, None]
    return shares


def exhaustive(models, X, score):
    """Mean over the trees of exp(sum of contributions along the path) of every label."""
    total = np.zeros((X.shape[0], models[0].tree.n_labels))
    for model in models:
        logs = contributions(node_margins(model, X), model.tree, score)
        for label, path in enumerate(model.tree.paths()):
            if path[0] >= 0:
                total[:, label] += np.exp(np.maximum(logs[:, path[path > 0]].sum(axis=1), -87))
    return total / len(models)


# Partitions


@pytest.mark.parametrize("branching", [2, 3, 6, 16, 40])
@pytest.mark.parametrize("n", [1, 2, 5, 97, 500])
def test_balanced_groups_hold_every_label_once_and_differ_by_one(n, branching):
    tree = kmeans_tree(unit_random(n, 30), branching=branching, max_leaf=10)
    assert tree.labels.tolist() == list(range(n))
    assert np.diff(tree.child_ptr)[tree.inner].max() <= max(10, 2 * branching)
    sizes = np.bincount(tree.paths()[:, 1 if tree.depth > 1 else 0])
    sizes = sizes[sizes > 0]
    assert sizes.max() - sizes.min() <= 1


def test_balanced_split_is_near_the_best_bipartition():
    vectors = unit_random(10, 8, seed=3)
    dense = vectors.toarray().astype(np.float64)

    def quality(groups):
        return sum(np.linalg.norm(dense[list(group)].sum(axis=0)) for group in groups)

    every = [
        quality((group, sorted(set(range(10)) - set(group)))) for group in combinations(range(10), 5) if 0 in group
    ]
    found = []
    for seed in range(10):
        tree = kmeans_tree(vectors, branching=2, max_leaf=5, random_state=seed, tolerance=0)
        first = tree.paths()[:, 1] == 1
        found.append(quality((np.flatnonzero(first), np.flatnonzero(~first))))
    assert max(found) >= 0.95 * max(every)
    assert np.mean(found) > np.mean(every)


def test_rounds_bring_labels_nearer_to_their_centers():
    vectors = unit_random(300, 40, seed=1)
    dense = vectors.toarray()

    def mean_cosine(rounds):
        tree = kmeans_tree(vectors, branching=4, max_leaf=75, max_rounds=rounds, tolerance=0)
        group = tree.paths()[:, 1]
        centers = np.array([dense[group == g].sum(axis=0) for g in np.unique(group)])
        centers /= np.linalg.norm(centers, axis=1, keepdims=True)
        return np.mean([dense[i] @ centers[np.flatnonzero(np.unique(group) == group[i])[0]] for i in range(300)])

    quality = [mean_cosine(rounds) for rounds in (1, 2, 4, 8, 16)]
    assert all(later >= earlier - 1e-3 for earlier, later in pairwise(quality))
    assert quality[-1] > quality[0]


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("vectors", [np.ones((200, 3), np.float32) / np.sqrt(3), np.zeros((200, 3), np.float32)])
def test_labels_that_cannot_be_told_apart_are_split_all_the_same(vectors, balanced):
    tree = kmeans_tree(vectors.astype(np.float32), branching=6, max_leaf=6, balanced=balanced)
    assert tree.labels.tolist() == list(range(200))
    assert tree.depth <= 5


def test_blobs_are_found_and_a_cap_on_shares_holds():
    random = np.random.default_rng(0)
    vectors = random.normal(0, 0.05, (100, 5))
    vectors[:90, 0] += 1
    vectors[90:, 1] += 1
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    free = kmeans_tree(vectors, branching=2, max_leaf=90, balanced=False, random_state=1).paths()[:, 1]
    assert {tuple(np.unique(free[:90])), tuple(np.unique(free[90:]))} == {(1,), (2,)}
    capped = kmeans_tree(vectors, branching=2, max_leaf=90, balanced=False, max_share=0.6, random_state=1).paths()[:, 1]
    assert np.bincount(capped)[1:].max() == 60


def test_trees_do_not_depend_on_workers_and_dense_equals_sparse(level):
    vectors = unit_random(400, 50)
    one = kmeans_tree(vectors, branching=4, max_leaf=9, n_jobs=1)
    assert one == kmeans_tree(vectors, branching=4, max_leaf=9, n_jobs=3)
    assert one.labels.tolist() == kmeans_tree(vectors.toarray(), branching=4, max_leaf=9).labels.tolist()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(2, 5))
def test_huffman_codes_are_the_shortest(counts, branching):
    tree = huffman_tree(np.array(counts), branching=branching)
    lengths = (tree.codes() >= 0).sum(axis=1)
    fill = (1 - len(counts)) % (branching - 1)  # labels that never occur make every merge full
    heap, cost = sorted(counts + [0] * fill), 0
    while len(heap) > 1:
        merged = sum(heap[:branching])
        cost += merged
        heap = sorted([*heap[branching:], merged])
    assert (lengths * np.array(counts)).sum() == (cost if len(counts) > 1 else counts[0])


def test_random_trees_are_balanced_and_differ():
    first, second = (random_tree(300, branching=8, max_leaf=10, random_state=seed) for seed in (0, 1))
    assert first != second
    assert first.labels.tolist() == list(range(300))
    assert np.ptp(np.bincount(first.paths()[:, 1])[1:]) <= 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: kmeans_tree(np.empty((0, 3))), "number of labels is 0"),
        (lambda: kmeans_tree([1.0, 2.0]), "vectors has shape"),
        (lambda: kmeans_tree([[1.0], [np.nan]]), "vectors contains NaN"),
        (lambda: kmeans_tree(csr_array([[1.0], [np.inf]])), r"vectors contains infinity \(first: vectors\[1, 0\]"),
        (lambda: kmeans_tree(np.eye(3), branching=1), "branching is 1"),
        (lambda: kmeans_tree(np.eye(3), max_share=0), "max_share is 0"),
        (lambda: kmeans_tree(np.eye(3), labels=np.arange(2)), "labels has 2 entries; .* 3 labels"),
        (lambda: random_tree(3, max_leaf=0), "max_leaf is 0"),
        (lambda: huffman_tree([]), "counts is empty"),
        (lambda: huffman_tree([1, np.nan]), "count of label 1 is nan"),
        (lambda: huffman_tree([1, 2], branching=1), "branching is 1"),
        (lambda: label_vectors(np.eye(3), np.eye(2)), r"X has shape \(3, 3\) and Y \(2, 2\)"),
        (lambda: label_vectors(np.eye(2), np.eye(2), view="rows"), "view is 'rows'"),
    ],
)
def test_groupings_reject_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_groupings_take_any_dtype_and_format():
    vectors = unit_random(40, 20)
    tree = kmeans_tree(vectors, branching=2, max_leaf=5)
    assert kmeans_tree(csr_matrix(vectors, dtype=np.float64), branching=2, max_leaf=5) == tree
    assert kmeans_tree(vectors.toarray().astype(np.float64).tolist(), branching=2, max_leaf=5).n_labels == 40
    assert huffman_tree([3], n_labels=5, labels=np.array([4])).encode(4) == (0,)


@pytest.mark.parametrize("view", ["pifa", "labels", "both"])
def test_label_vectors(view):
    X, Y = problem_data()
    dense_X, dense_Y = X.toarray().astype(np.float64), Y.toarray().astype(np.float64)

    def unit(rows):
        return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)

    views = {"pifa": dense_Y.T @ dense_X, "labels": dense_Y.T @ dense_Y}
    expected = unit(np.hstack([unit(part) for part in views.values()])) if view == "both" else unit(views[view])
    found = label_vectors(X, Y, view, n_jobs=2)
    np.testing.assert_allclose(found.toarray(), expected, atol=1e-6)
    if view == "pifa":
        np.testing.assert_allclose(label_vectors(X.toarray(), Y), expected, atol=1e-6)
        kept = label_vectors(X, Y, max_entries=3)
        assert np.diff(kept.indptr).max() == 3
        for row, full in zip(kept.toarray(), expected, strict=True):
            assert set(np.flatnonzero(row)) <= set(np.flatnonzero(full >= np.sort(full)[-3] - 1e-7))


# Node training


@pytest.mark.parametrize("loss", ["squared_hinge", "logistic", "least_squares"])
@pytest.mark.parametrize("dense", [False, True])
def test_nodes_are_trained_on_the_rows_that_have_a_label_under_them(loss, dense, level):
    X, Y = problem_data()
    tree = kmeans_tree(label_vectors(X, Y), branching=3, max_leaf=4)
    solver = NodeSolver(loss, 2.0, **EXACT)
    rows = X.toarray() if dense else X
    model = TreeModel(tree, train_tree(BlockProblem(rows, bias=1.0), Y, tree, solver).weights)
    with_bias, targets = naive.with_bias(X, 1.0), tree.node_targets(Y).toarray() > 0
    for node in range(1, tree.n_nodes):
        reach = targets[:, tree.parent[node]]
        own = targets[reach, node]
        found = np.append(*weights_of_node(model, node))
        if loss == "least_squares":
            expected = naive.ridge(with_bias[reach], own.astype(float), 2.0) if reach.any() else np.zeros(len(found))
            np.testing.assert_allclose(found, expected, atol=2e-3)
            continue
        costs = np.full(reach.sum(), 2.0)
        best = naive.linear_objective(
            naive.train_linear(with_bias[reach], own, costs, loss), with_bias[reach], own, costs, loss
        )
        ours = naive.linear_objective(found, with_bias[reach], own, costs, loss)
        assert ours[0] <= best[0] * 1.001 + 1e-6


@pytest.mark.parametrize("n_labels", [1, 2, 3, 15, 16, 17, 100])
def test_flat_trees_of_any_width_are_one_against_the_rest(n_labels):
    X, Y = problem_data(n_labels=n_labels)
    tree = LabelTree.flat(np.arange(n_labels), n_labels)
    model = TreeModel(
        tree, train_tree(BlockProblem(X, bias=1.0), Y, tree, NodeSolver("squared_hinge", 1.0, **EXACT)).weights
    )
    kept = np.diff(Y.indptr) > 0  # rows without labels reach no node
    with_bias, own = naive.with_bias(X, 1.0)[kept], Y.toarray()[kept] > 0
    for label in range(0, n_labels, 7):
        expected = naive.train_linear(with_bias, own[:, label], np.ones(kept.sum()), "squared_hinge")
        found = np.append(*weights_of_node(model, 1 + label))
        np.testing.assert_allclose(found, expected, atol=5e-3)


def test_relevances_of_one_train_the_same_model():
    X, Y = problem_data()
    tree = kmeans_tree(label_vectors(X, Y), branching=2, max_leaf=4)
    problem, solver = BlockProblem(X, bias=1.0), NodeSolver("logistic", 3.0, **EXACT)
    plain, graded = (train_tree(problem, Y, tree, solver, graded=graded).weights for graded in (False, True))
    np.testing.assert_allclose(plain.values, graded.values, atol=1e-6)


def test_graded_relevance_is_the_weighted_mean_of_equal_rows():
    X = csr_array(np.ones((40, 1), np.float32))
    random = np.random.default_rng(0)
    relevance = csr_array(random.uniform(0.1, 1, (40, 3)).astype(np.float32))
    tree = LabelTree.flat([0, 1, 2])
    solver = NodeSolver("logistic", 1e4, eps=1e-6, max_passes=20_000, prune=0.0)
    model = TreeModel(tree, train_tree(BlockProblem(X, bias=0.0), relevance, tree, solver, graded=True).weights)
    top = search([model], X[:1], 3, score="sigmoid", beam=1)
    dense = relevance.toarray()
    mass = dense.max(axis=1)
    expected = dense.sum(axis=0) / mass.sum()
    np.testing.assert_allclose(top.scores[0][np.argsort(top.ids[0])], expected, atol=2e-3)


def test_multinomial_nodes_are_softmax_regressions(level):
    X, _ = problem_data(n=150, d=20)
    random = np.random.default_rng(0)
    classes = np.argmax(X.toarray() @ random.normal(size=(20, 5)) + random.gumbel(size=(150, 5)) * 0.2, axis=1)
    Y = csr_array(np.eye(5, dtype=np.float32)[classes])
    tree = LabelTree.flat(np.arange(5))
    solver = NodeSolver("softmax", 2.0, eps=1e-5, max_passes=3000, prune=0.0)
    model = TreeModel(tree, train_tree(BlockProblem(X, bias=1.0), Y, tree, solver).weights)
    W = np.vstack([np.append(*weights_of_node(model, 1 + k)) for k in range(5)])

    def objective(W):
        margins = naive.with_bias(X, 1.0) @ W.T
        return (
            0.5 * (W**2).sum() + 2.0 * (np.logaddexp.reduce(margins, axis=1) - margins[np.arange(150), classes]).sum()
        )

    best = minimize(
        lambda w: objective(w.reshape(5, -1)), np.zeros(W.size), method="L-BFGS-B", options={"maxiter": 3000}
    )
    assert objective(W) <= best.fun * 1.001
    top = search([model], X, 5, score="share", beam=1)
    np.testing.assert_allclose(top.scores.sum(axis=1), 1, atol=1e-5)
    wide = LabelTree.flat(np.arange(17))
    with pytest.raises(ValueError, match="takes 16 at most"):
        train_tree(BlockProblem(X, bias=1.0), csr_array((150, 17), dtype=np.float32), wide, solver)


def test_rows_of_nodes_are_those_with_a_label_under_them():
    _, Y = problem_data()
    tree = random_shape(20, 3)
    targets = tree.node_targets(Y).toarray()
    for depth, level_rows in enumerate(rows_by_level(Y, tree)):
        for place, node in enumerate(range(tree.level_ptr[depth], tree.level_ptr[depth + 1])):
            found = level_rows.rows[level_rows.ptr[place] : level_rows.ptr[place + 1]]
            assert found.tolist() == np.flatnonzero(targets[:, node]).tolist()


def test_relevance_of_a_node_is_the_largest_under_it():
    random = np.random.default_rng(0)
    relevance = csr_array((random.random((30, 20)) * (random.random((30, 20)) < 0.3)).astype(np.float32))
    tree = random_shape(20, 3)
    dense, paths = relevance.toarray(), tree.paths()
    for depth, level_rows in enumerate(rows_by_level(relevance, tree, graded=True)):
        for place, node in enumerate(range(tree.level_ptr[depth], tree.level_ptr[depth + 1])):
            under = (paths == node).any(axis=1)
            expected = dense[:, under].max(axis=1)
            found = slice(level_rows.ptr[place], level_rows.ptr[place + 1])
            assert level_rows.rows[found].tolist() == np.flatnonzero(expected).tolist()
            np.testing.assert_array_equal(level_rows.mass[found], expected[expected > 0])


def test_matcher_adds_rows_and_keeps_the_others():
    X, Y = problem_data()
    tree = kmeans_tree(label_vectors(X, Y), branching=3, max_leaf=4)
    problem, solver = BlockProblem(X, bias=1.0), NodeSolver("squared_hinge", 1.0, **EXACT)
    plain = train_tree(problem, Y, tree, solver).weights
    top = _truncated(tree, 1)
    assert top.n_labels == len(top.labels) == np.diff(tree.level_ptr)[1]
    own = rows_by_level(Y, tree)[1]
    shallow = TreeModel(
        top, train_tree(problem, csr_array(tree.node_targets(Y)[:, 1 : 1 + top.n_labels]), top, solver).weights
    )
    reached = Matcher(X, "hinge2", 2).reached(shallow, None)
    assert np.diff(reached.ptr).sum() == 2 * X.shape[0]
    both = _united(own, reached, None)
    for node in range(len(own.ptr) - 1):
        rows = [set(part.rows[part.ptr[node] : part.ptr[node + 1]].tolist()) for part in (own, reached, both)]
        assert rows[2] == rows[0] | rows[1]
    negatives = train_tree(problem, Y, tree, solver, matcher=Matcher(X, "hinge2", 2)).weights
    assert not np.array_equal(negatives.values, plain.values)
    everywhere = train_tree(problem, Y, tree, solver, matcher=Matcher(X, "hinge2", 20)).weights
    flat_rows = naive.with_bias(X, 1.0)  # every row now reaches every node
    node = int(np.flatnonzero(tree.label >= 0)[0])
    own_rows = tree.node_targets(Y).toarray()[:, node] > 0
    expected = naive.train_linear(flat_rows, own_rows, np.ones(len(flat_rows)), "squared_hinge")
    np.testing.assert_allclose(np.append(*weights_of_node(TreeModel(tree, everywhere), node)), expected, atol=5e-3)


@pytest.mark.parametrize("loss", ["squared_hinge", "least_squares", "logistic"])
def test_model_does_not_depend_on_workers(loss):
    X, Y = problem_data(n=400, n_labels=150, density=0.1)
    tree = kmeans_tree(label_vectors(X, Y), branching=3, max_leaf=6)
    solver = NodeSolver(loss, 1.0, 0.05, 20, 0.01)
    models = [train_tree(BlockProblem(X, bias=1.0), Y, tree, solver, seed=4, n_jobs=n).weights for n in (1, 2, 4)]
    for other in models[1:]:
        for name, array in models[0].arrays().items():
            assert array.tobytes() == other.arrays()[name].tobytes(), name


def test_labels_without_rows_and_rows_without_labels():
    X, Y = problem_data(n_labels=20)
    Y = csr_array(Y.toarray() * (np.arange(20) % 3 > 0) * (np.arange(Y.shape[0]) % 4 > 0)[:, None])
    tree = kmeans_tree(label_vectors(X, Y), branching=2, max_leaf=3)
    model = TreeModel(
        tree, train_tree(BlockProblem(X, bias=1.0), Y, tree, NodeSolver("squared_hinge", 1.0, 0.01, 20, 0.0)).weights
    )
    assert all(np.isfinite(array).all() for array in (model.weights.values, model.weights.bias))
    top = search([model], X, 20, score="hinge2", beam=None)
    assert np.isfinite(top.scores).all()


# Stored weights


def trained_model(seed=0, n_labels=40, dtype="float32"):
    X, Y = problem_data(n_labels=n_labels, seed=seed)
    tree = random_shape(n_labels, seed)
    weights = train_tree(BlockProblem(X, bias=1.0), Y, tree, NodeSolver("squared_hinge", 1.0, 0.05, 20, 0.01)).weights
    return TreeModel(tree, weights.astype(dtype)), X


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_pruning_and_fewer_bytes_keep_what_they_should(dtype):
    model, _ = trained_model()
    full, n_nodes = model.weights.to_csc(model.tree.n_nodes).toarray(), model.tree.n_nodes
    stored = model.weights.astype(dtype)
    stored.verify()
    near = {"float32": 0, "float16": 1e-3 * np.abs(full).max(), "int8": np.abs(full).max() / 127}[dtype]
    np.testing.assert_allclose(stored.to_csc(n_nodes).toarray(), full, atol=near)
    pruned = stored.pruned(0.1)
    pruned.verify()
    values = stored.to_csc(n_nodes).toarray()
    np.testing.assert_array_equal(pruned.to_csc(n_nodes).toarray(), np.where(np.abs(values) > 0.1, values, 0))
    assert pruned.values.dtype == dtype
    assert stored.pruned(100).n_values == 0


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_scores_are_those_of_the_stored_weights(dtype, level):
    model, X = trained_model(dtype=dtype)
    top = search([model], X, 40, score="hinge2", beam=None)
    expected = exhaustive([model], X, "hinge2")
    np.testing.assert_allclose(top.scores, np.take_along_axis(expected, top.ids, axis=1), rtol=2e-4, atol=1e-6)


# Search


@pytest.mark.parametrize("score", PATH_SCORES)
@pytest.mark.parametrize("n_trees", [1, 3])
def test_beam_as_wide_as_the_tree_finds_what_exhaustive_search_finds(score, n_trees, level):
    models, X = [], None
    for seed in range(n_trees):
        model, _ = trained_model(seed)
        models.append(model)
    _, X = trained_model(0)
    expected = exhaustive(models, X, score)
    wide = search(models, X, 40, score=score, beam=1000)
    exact = search(models, X, 40, score=score, beam=None)
    for top in (wide, exact):
        found = np.take_along_axis(expected, top.ids, axis=1)
        np.testing.assert_allclose(top.scores, found, rtol=2e-4, atol=1e-6)
        np.testing.assert_allclose(found, np.sort(expected, axis=1)[:, ::-1], rtol=3e-4, atol=2e-6)
    for wide_array, exact_array in zip(wide, exact, strict=True):
        np.testing.assert_array_equal(wide_array, exact_array)


@given(st.integers(0, 30), st.integers(1, 8), st.integers(1, 45), st.sampled_from(PATH_SCORES))
@settings(max_examples=60)
def test_searches_agree_with_each_other(seed, beam, k, score):
    model, X = trained_model(seed % 5)
    X = X[:30]
    top = search([model], X, min(k, 40), score=score, beam=beam)
    for i in range(0, 30, 7):  # a row alone
        alone = search([model], X[i : i + 1], min(k, 40), score=score, beam=beam)
        for array, single in zip(top, alone, strict=True):
            np.testing.assert_array_equal(array[i], single[0])
    twice = search([model, model], X, min(k, 40), score=score, beam=beam)  # does not stop early
    for array, other in zip(top, twice, strict=True):
        np.testing.assert_array_equal(array, other)
    allowed = np.unique(np.random.default_rng(seed).integers(0, 40, 12)).astype(np.int32)
    restricted = search([model], X, 40, score=score, beam=1000, labels=allowed)
    full = search([model], X, 40, score=score, beam=1000)
    exact = search([model], X, 40, score=score, beam=None, labels=allowed)
    for i in range(30):
        inside = np.isin(full.ids[i], allowed)
        assert restricted.ids[i, : restricted.counts[i]].tolist() == full.ids[i, inside].tolist()
        assert exact.ids[i].tolist() == restricted.ids[i].tolist()


def test_paths_that_are_very_deep_have_an_order_and_finite_scores():
    n_labels = 120
    tree = LabelTree.from_codes([(0,) * i + (1,) for i in range(n_labels)])
    random = np.random.default_rng(0)
    X = unit_random(50, 30)
    Y = csr_array((random.random((50, n_labels)) < 0.1).astype(np.float32))
    weights = train_tree(BlockProblem(X, bias=1.0), Y, tree, NodeSolver("squared_hinge", 1.0, 0.01, 20, 0.0)).weights
    wide, exact = (search([TreeModel(tree, weights)], X, n_labels, score="hinge3", beam=b) for b in (50, None))
    assert np.isfinite(wide.scores).all()
    assert (wide.scores > 0).all()
    np.testing.assert_array_equal(wide.ids, exact.ids)
    ties = wide.scores[:, 1:] == wide.scores[:, :-1]
    assert (wide.ids[:, 1:] > wide.ids[:, :-1])[ties].all()


@given(st.data())
@settings(max_examples=150)
def test_damaged_models_are_rejected(data):
    model, X = trained_model(n_labels=20)
    trees = {name: array.copy() for name, array in model.tree.arrays().items()}
    weights = {name: array.copy() for name, array in model.weights.arrays().items()}
    part = data.draw(st.sampled_from([trees, weights]))
    name = data.draw(st.sampled_from(sorted(part)))
    array = part[name]
    if data.draw(st.booleans()):
        part[name] = array[: data.draw(st.integers(0, len(array)))]
    else:
        place = data.draw(st.integers(0, len(array) - 1))
        bits = array.view(np.uint8)
        width = array.dtype.itemsize
        bits[place * width + data.draw(st.integers(0, width - 1))] ^= data.draw(st.integers(1, 255))
    try:
        damaged = TreeModel.from_arrays(trees, weights, 20, X.shape[1])
        top = search([damaged], X, 5, score="hinge2", beam=3)
    except ModelFileError:
        return
    assert math.isfinite(top.scores[top.filled()].sum())
