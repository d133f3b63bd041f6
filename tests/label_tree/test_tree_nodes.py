"""Node training at its edges: any number of children, rows and labels that lack each other, relevances, subsets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tests.helpers.blocks import dense_weights, problem_data, train
from tests.helpers.naive import linear as naive
from tests.helpers.naive import trees as naive_trees
from tests.helpers.trees import random_shape, weights_of_node
from xclassic import LabelTree
from xclassic.blocks.problem import BlockProblem
from xclassic.blocks.weights import BlockWeights
from xclassic.label_tree import nodes as nodes_module
from xclassic.label_tree.nodes import MAX_CHILDREN, Matcher, NodeSolver, train_tree
from xclassic.label_tree.search import TreeModel, search
from xclassic.parallel import run_tasks

EXACT = {"eps": 1e-5, "max_passes": 2000, "prune": 0.0}
LOSSES = ("squared_hinge", "logistic", "least_squares")


def fit(X, Y, tree, loss="squared_hinge", cost=1.0, bias=1.0, solver=None, **options):
    problem = BlockProblem(X, bias=bias)
    return TreeModel(tree, train_tree(problem, Y, tree, NodeSolver(loss, cost, **(solver or EXACT)), **options).weights)


def node_weights(model, node):
    return np.append(*weights_of_node(model, node))


def nested(tree):
    return naive_trees.unfold(tree.child_ptr, tree.label)


def targets_of(tree, Y):
    return np.array(naive_trees.node_targets(nested(tree), [set(row.nonzero()[0].tolist()) for row in Y]))


def check_node(model, node, rows, own, loss, cost):
    """Compare a node's weights with the optimum over some rows."""
    found = node_weights(model, node)
    if loss == "least_squares":
        np.testing.assert_allclose(found, naive.ridge(rows, own.astype(float), cost), atol=2e-3)
        return
    costs = np.full(len(rows), cost)
    best = naive.train_linear(rows, own, costs, loss)
    optimum, _ = naive.linear_objective(best, rows, own, costs, loss)
    assert naive.linear_objective(found, rows, own, costs, loss)[0] <= optimum * (1 + 1e-4) + 1e-6
    np.testing.assert_allclose(found, best, atol=2e-2)


# The problem of a node


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("seed", range(3))
def test_nodes_of_uneven_trees_solve_the_problem_of_their_rows(loss, dense, seed, level):
    X, Y = problem_data(n=80, d=25, seed=seed)
    tree = random_shape(20, seed)
    model = fit(X.toarray() if dense else X, Y, tree, loss, 1.5)
    rows, targets = naive.with_bias(X, 1), targets_of(tree, Y.toarray())
    for node in range(1, tree.n_nodes):
        reach = targets[:, tree.parent[node]]
        if reach.any():
            check_node(model, node, rows[reach], targets[reach, node], loss, 1.5)
        else:
            assert not node_weights(model, node).any()


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss != "least_squares"])
def test_constant_feature_may_be_larger(loss):
    X, Y = problem_data(n=60, d=25)
    tree = random_shape(20, 4)
    model = fit(X, csr_array(Y), tree, loss, bias=2.0)
    root = naive.with_bias(X, 2.0)
    targets = targets_of(tree, Y.toarray())
    reach = targets[:, 0]
    for child in range(1, tree.child_ptr[1]):
        found = node_weights(model, child)
        found[-1] /= 2  # stored: what it adds to the margin
        best = naive.train_linear(root[reach], targets[reach, child], np.ones(reach.sum()), loss)
        np.testing.assert_allclose(found, best, atol=1e-2)


def dense(model):
    return np.array([node_weights(model, node) for node in range(1, model.tree.n_nodes)])


@pytest.mark.parametrize("n_children", [1, 2, 3, 15, 16, 17, 100])
@pytest.mark.parametrize("loss", LOSSES)
def test_lower_node_may_have_any_number_of_children(n_children, loss):
    X, Y = problem_data(n=100, d=20, n_labels=n_children + 2, seed=n_children)
    codes = [(0, label) for label in range(n_children)] + [(1, 0), (1, 1)]
    tree = LabelTree.from_codes(codes)
    model = fit(X, Y, tree, loss)
    rows, targets = naive.with_bias(X, 1), targets_of(tree, Y.toarray())
    for label in {0, n_children // 2, n_children - 1}:
        node = int(tree.leaves[label])
        reach = targets[:, tree.parent[node]]
        check_node(model, node, rows[reach], targets[reach, node], loss, 1.0)


def test_flat_tree_has_the_weights_of_one_vs_rest():
    X, Y = problem_data(n_labels=40)
    Y = Y.toarray()
    Y[Y.sum(axis=1) == 0, 0] = 1  # a row without labels reaches no node
    Y[0, -1] = 1
    tree = LabelTree.flat(np.arange(40))
    model = fit(X, csr_array(Y), tree)
    flat = dense_weights(train(X, csr_array(Y), np.arange(40), eps=1e-5, max_passes=2000).weights, 40)
    np.testing.assert_allclose(dense(model), flat.T, atol=5e-3)


def test_children_beyond_what_cells_can_number_are_rejected():
    tree = LabelTree.flat(np.arange(MAX_CHILDREN + 1))
    X, Y = csr_array(np.eye(3, dtype=np.float32)), csr_array((3, MAX_CHILDREN + 1), dtype=np.float32)
    with pytest.raises(ValueError, match="1048576 is the most"):
        fit(X, Y, tree)


# Labels and rows that lack each other


@pytest.mark.parametrize("loss", LOSSES)
def test_labels_on_every_row_or_without_rows_or_equal(loss, level):
    X, Y = problem_data(n=60, d=20, n_labels=8)
    Y = Y.toarray()
    Y[:, 0], Y[:, 1], Y[:, 2] = 1, 0, Y[:, 3]
    tree = LabelTree.from_codes([(0, 0), (0, 1), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)])
    model = fit(X, csr_array(Y), tree, loss)
    rows, targets = naive.with_bias(X, 1), targets_of(tree, Y)
    for node in range(1, tree.n_nodes):
        reach = targets[:, tree.parent[node]]
        check_node(model, node, rows[reach], targets[reach, node], loss, 1.0)
    np.testing.assert_allclose(node_weights(model, tree.leaves[2]), node_weights(model, tree.leaves[3]), atol=2e-3)


@pytest.mark.parametrize("loss", [*LOSSES, "softmax"])
@pytest.mark.parametrize("graded", [False, True])
def test_branches_without_rows(loss, graded):
    tree = LabelTree.from_codes([(0, 0), (0, 1), (1, 0), (1, 1)])
    X, Y = problem_data(n=30, d=10, n_labels=4)
    for truth in (Y.toarray() * [1, 1, 0, 0], np.zeros((30, 4))):
        if graded and loss in ("least_squares", "softmax"):
            continue
        model = fit(X, csr_array(truth, dtype=np.float32), tree, loss, graded=graded)
        assert np.isfinite(dense(model)).all()
        assert not dense(model)[tree.leaves[2:] - 1].any()
        assert np.isfinite(search([model], X, 4, score="hinge2", beam=None).scores).all()


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_and_features_of_zeros(loss):
    X, Y = problem_data(n=50, d=15, n_labels=6)
    X = X.toarray()
    X[::3], X[:, 4] = 0, 0
    tree = random_shape(6, 1)
    models = [fit(rows, Y, tree, loss) for rows in (X, csr_array(X))]
    np.testing.assert_allclose(dense(models[0]), dense(models[1]), atol=2e-3)
    assert not dense(models[0])[:, 4].any()
    empty = fit(csr_array(X.shape, dtype=np.float32), Y, tree, loss)
    assert not dense(empty)[:, :-1].any()


# Rows that a node gets besides its own


def test_root_alone_has_all_rows_as_negatives():
    X, Y = problem_data(n=80, d=20)
    Y = csr_array(Y.toarray() * (np.arange(80) % 3 > 0)[:, None])
    tree = random_shape(20, 2)
    own, every = fit(X, Y, tree), fit(X, Y, tree, all_rows=True)
    rows, targets = naive.with_bias(X, 1), targets_of(tree, Y.toarray())
    first = int(tree.child_ptr[1])
    for child in range(1, first):
        check_node(every, child, rows, targets[:, child], "squared_hinge", 1.0)
    assert not np.allclose(dense(own)[: first - 1], dense(every)[: first - 1], atol=1e-2)
    np.testing.assert_allclose(dense(own)[first - 1 :], dense(every)[first - 1 :], atol=1e-6)


@pytest.mark.parametrize("beam", [1, 3])
def test_hard_negatives_join_and_positives_stay(beam):
    X, Y = problem_data(n=80, d=20)
    tree = LabelTree.from_codes([(label // 5, label % 5) for label in range(20)])
    model = fit(X, Y, tree, matcher=Matcher(X, "hinge2", beam))
    rows, targets = naive.with_bias(X, 1), targets_of(tree, Y.toarray())
    margins = np.array([rows @ node_weights(model, node) for node in range(1, 5)]).T
    ranks = np.argsort(np.argsort(-np.minimum(margins, 1), axis=1, kind="stable"), axis=1, kind="stable")
    for node in range(5, tree.n_nodes):
        parent = int(tree.parent[node])
        reach = targets[:, parent] | (ranks[:, parent - 1] < beam)
        check_node(model, node, rows[reach], targets[reach, node], "squared_hinge", 1.0)


# Relevance


@pytest.mark.parametrize("loss", ["squared_hinge", "logistic"])
@pytest.mark.parametrize("n_children", [2, 5, 20])
def test_shares_of_relevance_are_costs(loss, n_children, level):
    X, Y = problem_data(n=60, d=15, n_labels=n_children + 1)
    random = np.random.default_rng(n_children)
    relevance = Y.toarray() * random.uniform(0.05, 1, Y.shape).astype(np.float32)
    tree = LabelTree.from_codes([(0, label) for label in range(n_children)] + [(1,)])
    model = fit(X, csr_array(relevance), tree, loss, 2.0, graded=True)
    inner = relevance[:, :n_children]
    mass = inner.max(axis=1)
    reach = mass > 0
    rows = naive.with_bias(X, 1)[reach]
    for label in range(n_children):
        share = inner[reach, label]
        twice = np.vstack([rows, rows])  # the share of the child as a positive, the rest as a negative
        own = np.repeat([True, False], len(rows))
        costs = 2.0 * np.concatenate([share, mass[reach] - share])
        best = naive.train_linear(twice, own, costs, loss)
        found = node_weights(model, int(tree.leaves[label]))
        optimum, _ = naive.linear_objective(best, twice, own, costs, loss)
        assert naive.linear_objective(found, twice, own, costs, loss)[0] <= optimum * (1 + 1e-3) + 1e-6


@pytest.mark.parametrize("loss", ["squared_hinge", "logistic"])
def test_relevances_of_any_size_leave_finite_weights(loss):
    X, Y = problem_data(n=60, d=15)
    relevance = Y.copy()
    relevance.data = (10.0 ** np.random.default_rng(0).uniform(-44, 0, Y.nnz)).astype(np.float32)
    model = fit(X, relevance, random_shape(20, 0), loss, 10.0, graded=True)
    assert np.isfinite(dense(model)).all()


# Determinism and storage


@pytest.mark.parametrize("loss", [*LOSSES, "softmax"])
@pytest.mark.parametrize("rows", ["sparse", "dense"])
def test_weights_do_not_depend_on_workers(loss, rows):
    X, Y = problem_data(n=150, d=30, n_labels=60)
    tree = LabelTree.from_codes([(label % 6, label // 6) for label in range(60)])
    X = X.toarray() if rows == "dense" else X
    options = {"solver": {"eps": 0.05, "max_passes": 20, "prune": 0.01}, "seed": 5}
    models = [fit(X, Y, tree, loss, n_jobs=n_jobs, **options).weights.arrays() for n_jobs in (1, 2, 4)]
    for other in models[1:]:
        assert all(array.tobytes() == other[name].tobytes() for name, array in models[0].items())


def test_large_tasks_are_cut_without_changing_the_model(monkeypatch):
    X, Y = problem_data(n=150, d=30, n_labels=60)
    tree = LabelTree.from_codes([(label % 6, label // 6) for label in range(60)])
    tasks = []

    def run(*args, **options):
        tasks.append(len(args[1]))
        return run_tasks(*args, **options)

    monkeypatch.setattr(nodes_module, "run_tasks", run)
    monkeypatch.setattr(nodes_module, "TASKS", 1)
    expected = fit(X, Y, tree).weights.arrays()
    monkeypatch.setattr(nodes_module, "LARGE", 100)
    found = fit(X, Y, tree).weights.arrays()
    assert tasks == [2, 6]
    assert all(array.tobytes() == expected[name].tobytes() for name, array in found.items())


def test_pruning_while_training_is_pruning_afterwards():
    X, Y = problem_data()
    tree = random_shape(20, 1)
    full, pruned = (fit(X, Y, tree, solver=EXACT | {"prune": prune}) for prune in (0.0, 0.1))
    pruned.weights.verify()
    for name, array in full.weights.pruned(0.1).arrays().items():
        np.testing.assert_array_equal(array, pruned.weights.arrays()[name])


@given(
    st.integers(1, 12),
    st.integers(1, 40),
    st.integers(0, 2**31),
    st.sampled_from([0.0, 0.1, 0.9]),
    st.sampled_from(["float32", "float16", "int8"]),
    st.floats(0, 2),
)
@settings(max_examples=100)
def test_weights_are_stored_as_trained_but_for_their_precision(d, n_labels, seed, density, dtype, threshold):
    random = np.random.default_rng(seed)
    W = (random.normal(size=(d, n_labels)) * (random.random((d, n_labels)) < density)).astype(np.float32)
    weights = BlockWeights.from_dense(W, random.normal(size=n_labels), np.arange(n_labels), 0.0).astype(dtype)
    weights.verify()
    stored = weights.to_csc(n_labels).toarray()
    if dtype == "int8":  # one chunk: multiples of the 127th part of the largest
        scale = np.abs(W).max() / 127 if W.any() else 1
        np.testing.assert_allclose(stored, np.rint(W / scale) * scale, atol=scale * 1e-3)
    else:
        np.testing.assert_array_equal(stored, W.astype(dtype))
    pruned = weights.pruned(threshold)
    pruned.verify()
    np.testing.assert_array_equal(
        pruned.to_csc(n_labels).toarray(), np.where(np.abs(stored) > np.float32(threshold), stored, 0)
    )
