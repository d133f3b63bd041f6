"""Node training with weights of rows and labels, relevances and a cost of negatives, on given trees."""

import numpy as np
import pytest
from scipy.sparse import csr_array, vstack

from tests.helpers.blocks import problem_data
from tests.helpers.naive import linear as naive
from tests.helpers.trees import random_shape, weights_of_node
from xclassic import LabelTree
from xclassic.blocks.problem import BlockProblem
from xclassic.label_tree.nodes import Matcher, NodeSolver, train_tree
from xclassic.label_tree.search import TreeModel

LOSSES = ("squared_hinge", "logistic", "least_squares", "softmax")
RANDOM = np.random.default_rng(0)
COUNTS = RANDOM.integers(1, 4, 60)  # how often each row is there


def fit(X, Y, tree, loss="squared_hinge", cost=1.0, negative_cost=1.0, **options):
    solver = NodeSolver(loss, cost, 1e-5, 2000, 0.0, negative_cost=negative_cost)
    return TreeModel(tree, train_tree(BlockProblem(X, bias=1.0), Y, tree, solver, **options).weights)


def all_weights(model):
    return np.array([np.append(*weights_of_node(model, node)) for node in range(1, model.tree.n_nodes)])


def assert_optimal(model, node, rows, own, costs, loss="squared_hinge"):
    found = np.append(*weights_of_node(model, node))
    best = naive.train_linear(rows, own, costs, loss)
    optimum, _ = naive.linear_objective(best, rows, own, costs, loss)
    assert naive.linear_objective(found, rows, own, costs, loss)[0] <= optimum * (1 + 1e-3) + 1e-6


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("loss", LOSSES)
def test_weight_of_a_row_equals_as_many_rows(loss, dense, level):
    X, Y = problem_data(n=60, d=25)
    X = X.toarray() if dense else X
    tree = random_shape(20, 1)
    repeated = np.repeat(np.arange(60), COUNTS)
    weighted = all_weights(fit(X, Y, tree, loss, row_weights=COUNTS.astype(np.float32)))
    np.testing.assert_allclose(weighted, all_weights(fit(X[repeated], csr_array(Y[repeated]), tree, loss)), atol=2e-2)
    assert not np.allclose(weighted, all_weights(fit(X, Y, tree, loss)), atol=0.1)


@pytest.mark.parametrize("options", [{}, {"graded": True}, {"all_rows": True}, {"graded": True, "all_rows": True}])
@pytest.mark.parametrize("loss", ["squared_hinge", "logistic"])
def test_weight_of_a_row_equals_as_many_rows_also_with_relevances(loss, options):
    X, Y = problem_data(n=60, d=25)
    Y.data = RANDOM.uniform(0.1, 1.5, Y.nnz).astype(np.float32)
    Y = csr_array(vstack([Y[:50], csr_array((10, 20), dtype=np.float32)]))  # Some rows have no label.
    tree = random_shape(20, 1)
    repeated = np.repeat(np.arange(60), COUNTS)
    weighted = all_weights(fit(X, Y, tree, loss, row_weights=COUNTS.astype(np.float32), **options))
    twice = all_weights(fit(X[repeated], csr_array(Y[repeated]), tree, loss, **options))
    np.testing.assert_allclose(weighted, twice, atol=2e-2)


@pytest.mark.parametrize("graded", [False, True])
def test_weight_of_a_row_holds_for_those_that_a_matcher_adds(graded):
    X, Y = problem_data(n=60, d=25)
    if graded:
        Y.data = RANDOM.uniform(0.3, 1, Y.nnz).astype(np.float32)
    tree = LabelTree.from_codes([(0, label) for label in range(10)] + [(1, label) for label in range(10)])
    weights = COUNTS.astype(np.float32)
    model = fit(X, Y, tree, matcher=Matcher(X, "hinge2", 2), row_weights=weights, graded=graded)  # It finds all rows.
    rows, relevance = naive.with_bias(X, 1), Y.toarray()
    for labels in (range(10), range(10, 20)):
        mass = relevance[:, labels].max(axis=1)
        mass[mass == 0] = 1
        for label in labels:
            costs = np.concatenate([relevance[:, label], mass - relevance[:, label]]) * np.tile(weights, 2)
            assert_optimal(model, int(tree.leaves[label]), np.vstack([rows, rows]), np.repeat([True, False], 60), costs)


def test_rows_without_labels_count_as_negatives_beside_relevances():
    X, Y = problem_data(n=60, d=25)
    Y.data = RANDOM.uniform(0.1, 1.5, Y.nnz).astype(np.float32)
    tree = LabelTree.from_codes([(label,) for label in range(20)])
    model = fit(X, Y, tree, "logistic", graded=True, all_rows=True)
    rows, relevance = naive.with_bias(X, 1), Y.toarray()
    mass = np.maximum(relevance.max(axis=1), 1)
    for label in range(19):
        costs = np.concatenate([relevance[:, label], mass - relevance[:, label]])
        node = int(tree.leaves[label])
        assert_optimal(model, node, np.vstack([rows, rows]), np.repeat([True, False], 60), costs, "logistic")


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("loss", ["squared_hinge", "logistic"])
def test_costs_of_negatives_and_of_labels(loss, graded):
    X, Y = problem_data(n=60, d=25)
    if graded:
        Y.data = RANDOM.uniform(0.1, 1, Y.nnz).astype(np.float32)
    tree = LabelTree.from_codes([(0, label) for label in range(10)] + [(1, label) for label in range(10)])
    label_weight = RANDOM.uniform(0.5, 2, 20).astype(np.float32)
    model = fit(X, Y, tree, loss, 1.5, 0.25, graded=graded, label_weight=label_weight)
    rows, relevance = naive.with_bias(X, 1), Y.toarray()
    for child, labels in enumerate([range(10), range(10, 20)]):
        mass = relevance[:, labels].max(axis=1)
        nodes = [(1 + child, mass, relevance.max(axis=1), 1.0)]
        nodes += [(int(tree.leaves[label]), relevance[:, label], mass, label_weight[label]) for label in labels]
        for node, share, whole, weight in nodes:
            costs = 1.5 * weight * np.concatenate([share, 0.25 * (whole - share)])
            assert_optimal(model, node, np.vstack([rows, rows]), np.repeat([True, False], 60), costs, loss)


@pytest.mark.parametrize("weight", [None, 1.5, 30.0])
def test_gap_of_softmax_is_never_below_zero(weight, level):
    """Rounding must not end a training early where the gap is far below the divergences that it is summed from."""
    X, Y = problem_data(n=60, d=25)
    row_weights = None if weight is None else (COUNTS * weight).astype(np.float32)
    solver = NodeSolver("softmax", 1.0, 1e-6, 2000, 0.0)
    trained = train_tree(BlockProblem(X, bias=1.0), Y, random_shape(20, 1), solver, row_weights=row_weights)
    assert trained.residuals.min() >= 0
    assert 0 < trained.residuals.max() <= 1e-6


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_of_one_change_no_bit(loss):
    X, Y = problem_data(n=60, d=25)
    tree, ones = random_shape(20, 1), np.ones(60, np.float32)
    plain = fit(X, Y, tree, loss).weights
    options = {"label_weight": np.ones(20, np.float32)} if loss in ("squared_hinge", "logistic") else {}
    assert fit(X, Y, tree, loss, row_weights=ones, **options).weights.values.tobytes() == plain.values.tobytes()
