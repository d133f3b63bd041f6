"""Hyperbolic vectors: exact distances, the maps at 0, the steps against a slow twin, trees that fit, the boundary."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.sparse import csr_array
from sklearn.exceptions import NotFittedError

from tests.helpers.naive import hyperbolic as naive
from xclassic import LabelTree, PrefixTree
from xclassic.datasets import load_bibtex
from xclassic.features import PoincareEmbedding
from xclassic.features.poincare import ancestors
from xclassic.features.poincare_steps import descend
from xclassic.linalg.hyperbolic import MOST, exponential_map, logarithm_map, poincare_distances


def binary_tree(depth):
    n = 2 ** (depth + 1) - 1
    return LabelTree.from_parents([(node - 1) // 2 if node else -1 for node in range(n)])


def points_of(norms, d=3, seed=0):
    directions = np.random.default_rng(seed).standard_normal((len(norms), d))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True) * np.array(norms)[:, None]


def mean_reciprocal_rank(distances, related):
    """Return the mean of 1 / the rank of a related node among the nodes that are not related."""
    found = []
    for u, row in enumerate(related):
        others = np.delete(distances[u], [u, *np.flatnonzero(row)])
        found += [1 / (1 + (others < distances[u, v]).sum()) for v in np.flatnonzero(row)]
    return np.mean(found)


NORMS = [0, 1e-12, 1e-3, 0.1, 0.5, 0.9, 0.999, MOST, MOST]


def test_distances_have_the_digits_of_exact_ones():
    points = points_of(NORMS)
    points = np.concatenate([points, points[5:] * (1 - 1e-9)])
    found = poincare_distances(points[:, None], points[None])
    exact = [[naive.exact_distance(u, v) for v in points] for u in points]
    # At norms near 1 an input of float64 itself has few digits of the room that is left.
    np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-15)
    np.testing.assert_array_equal(found, found.T)
    assert (found[:, :, None] <= (found[:, None, :] + found.T[None, :, :]) + 1e-9).all()


def test_maps_at_0_are_inverse_and_keep_distances_from_0():
    points = points_of(NORMS)
    vectors = logarithm_map(points)
    np.testing.assert_allclose(exponential_map(vectors), points, rtol=1e-12)
    np.testing.assert_allclose(
        2 * np.linalg.norm(vectors, axis=1), poincare_distances(points, np.zeros(3)), rtol=1e-9, atol=1e-15
    )
    assert np.linalg.norm(exponential_map(np.full((1, 3), 1e6))) <= MOST


@pytest.mark.parametrize("spread", [0.01, 0.4, 0.9])
def test_steps_equal_those_of_the_slow_twin(spread):
    random = np.random.default_rng(1)
    graph = ancestors(binary_tree(3))
    points = exponential_map(random.uniform(-spread, spread, (15, 4)))
    pairs = random.permutation(np.argwhere(graph.toarray()))
    drawn = random.integers(0, 15, (len(pairs), 6))
    expected = naive.descend(graph.toarray(), pairs, drawn, points, 0.3)
    stop = np.zeros(1, np.uint8)
    for steps in (descend, descend.python):
        found = points.copy()
        steps(graph.indptr.astype(np.int64), graph.indices.astype(np.int32), pairs, drawn, found, 0.3, stop)
        np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_pairs_of_a_tree_are_nodes_and_their_ancestors():
    tree = LabelTree.from_codes([(0, 0), (0, 1), (1,)])
    found = ancestors(tree).toarray()
    expected = np.zeros_like(found)
    for node in range(tree.n_nodes):
        above = tree.parent[node]
        while above >= 0:
            expected[node, above] = 1
            above = tree.parent[above]
    np.testing.assert_array_equal(found, expected)


def test_binary_tree_of_depth_6_fits_into_five_dimensions_and_into_flat_ones_does_not():
    tree = binary_tree(6)
    related = ancestors(tree).toarray()
    for seed in range(3):
        points = PoincareEmbedding(5, random_state=seed).fit(tree).embedding_
        assert mean_reciprocal_rank(poincare_distances(points[:, None], points[None]), related) > 0.98
    flat = flat_embedding(related, 5)
    assert mean_reciprocal_rank(np.linalg.norm(flat[:, None] - flat[None], axis=2), related) < 0.8


def flat_embedding(related, d):
    """Minimize the loss with Euclidean distances, over all nodes that are not related instead of random ones."""
    n = len(related)
    u, v = np.nonzero(related)
    others = 1 - related - np.eye(n)

    def loss(flat):
        points = flat.reshape(n, d)
        apart = points[:, None] - points[None]
        distances = np.sqrt((apart**2).sum(axis=2) + 1e-12)
        grown = np.exp(-distances)
        against = (grown * others).sum(axis=1)[u]
        total = grown[u, v] + against
        slopes = np.zeros((n, n))
        np.add.at(slopes, (u, v), 1 - grown[u, v] / total)
        slopes -= others * grown * np.bincount(u, 1 / total, n)[:, None]
        slopes /= distances
        gradient = slopes[:, :, None] * apart
        return np.sum(distances[u, v] + np.log(total)), (gradient.sum(axis=1) - gradient.sum(axis=0)).ravel()

    start = np.random.default_rng(0).uniform(-1, 1, n * d)
    return minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 300}).x.reshape(n, d)


def test_nothing_is_nan_at_the_boundary():
    clf = PoincareEmbedding(2, epochs=60, burn_in=0, learning_rate=50.0).fit(binary_tree(4))
    norms = np.linalg.norm(clf.embedding_, axis=1)
    assert norms.max() > 0.999
    assert norms.max() <= MOST * (1 + 1e-12)
    assert np.isfinite(clf.tangent_).all()


def test_labels_that_share_rows_come_close():
    Y = csr_array(np.kron(np.eye(3), np.ones((6, 4))))
    points = PoincareEmbedding(3).fit_transform(Y.T @ Y)
    distances = poincare_distances(points[:, None], points[None])
    groups = np.arange(12) // 4
    same = groups[:, None] == groups[None]
    assert distances[same].max() < distances[~same].min()


def test_weights_of_a_graph_are_how_often_its_pairs_are_taken():
    graph = np.array([[9.0, 3.0, 0.1], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    points = PoincareEmbedding(2, n_negatives=2).fit_transform(graph)
    assert poincare_distances(points[0], points[1]) < poincare_distances(points[0], points[2])


def test_same_seed_gives_the_same_points():
    tree = binary_tree(3)
    first, second, other = (PoincareEmbedding(3, random_state=s).fit_transform(tree) for s in (5, 5, 6))
    np.testing.assert_array_equal(first, second)
    assert (first != other).any()


@pytest.mark.parametrize("name", ["n_components", "epochs", "burn_in", "learning_rate", "n_negatives", "random_state"])
@pytest.mark.parametrize("value", [-1, 0.5, "many", float("nan"), [1]])
def test_parameters_take_a_value_or_name_themselves(name, value):
    if (name, value) == ("learning_rate", 0.5):
        PoincareEmbedding(**{name: value}).fit(binary_tree(2))
        return
    with pytest.raises((ValueError, TypeError), match=name):
        PoincareEmbedding(**{name: value}).fit(binary_tree(2))


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 3\); pass a LabelTree, or a square matrix"):
        PoincareEmbedding().fit(np.ones((2, 3)))
    with pytest.raises(ValueError, match="relates no two nodes"):
        PoincareEmbedding().fit(np.eye(3))
    with pytest.raises(ValueError, match="below zero"):
        PoincareEmbedding().fit(csr_array(np.array([[0.0, -1.0], [1.0, 0.0]])))
    with pytest.raises(NotFittedError):
        _ = PoincareEmbedding().tangent_


def test_points_group_labels_of_a_prefix_tree():
    data = load_bibtex()
    points = PoincareEmbedding(8, epochs=20).fit(data.Y.T @ data.Y)
    clf = PrefixTree(view="embeddings", embeddings=points.tangent_).fit(data.X, data.Y)
    assert clf.score(data.X_test, data.Y_test) > 0.55
