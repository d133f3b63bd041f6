"""Partitions of labels at their edges: balance, caps, single labels, vectors that cannot be compared."""

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tests.helpers.naive import trees as naive_trees
from tests.helpers.trees import unit_random
from xclassic import LabelTree
from xclassic.label_tree.partition import huffman_tree, kmeans_tree, random_tree
from xclassic.linalg.label_vectors import label_vectors

TREES = ("balanced", "free", "random")


def grouped(kind, n, branching, max_leaf, seed=0, **options):
    if kind == "random":
        return random_tree(n, branching=branching, max_leaf=max_leaf, random_state=seed, **options)
    options |= {"balanced": kind == "balanced", "random_state": seed}
    return kmeans_tree(unit_random(n, 12, seed), branching=branching, max_leaf=max_leaf, **options)


def shape(tree):
    return naive_trees.unfold(tree.child_ptr, tree.label)


def best_split(vectors):
    """The largest sum of cosines with the centers, over all bipartitions of equal size."""
    items = range(len(vectors))
    return max(
        naive_trees.cohesion(vectors, group) + naive_trees.cohesion(vectors, sorted({*items} - {*group}))
        for group in combinations(items, len(vectors) // 2)
    )


@given(st.sampled_from(TREES), st.integers(1, 60), st.integers(2, 20), st.integers(1, 15), st.integers(0, 5))
@settings(max_examples=150)
def test_partition_holds_every_label_once_in_nodes_of_bounded_width(kind, n, branching, max_leaf, seed):
    tree = grouped(kind, n, branching, max_leaf, seed)
    widest = 2 if branching == 2 else 2 * branching
    assert sorted(naive_trees.labels_under(shape(tree))) == list(range(n))
    for node in naive_trees.breadth_first(shape(tree)):
        if not isinstance(node, list):
            continue
        inner = [child for child in node if isinstance(child, list)]
        assert not inner or len(inner) == len(node) > 1  # labels and clusters do not mix, and a split splits
        assert len(node) <= (widest if inner else max_leaf)
        assert bool(inner) == (len(naive_trees.labels_under(node)) > max_leaf)
        sizes = [len(naive_trees.labels_under(child)) for child in inner]
        assert kind == "free" or not sizes or max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("kind", TREES)
def test_partition_of_one_label_and_of_fewer_than_a_node_holds(kind):
    assert shape(grouped(kind, 1, 2, 100)) == [0]
    assert shape(grouped(kind, 5, 16, 100)) == [0, 1, 2, 3, 4]
    assert shape(grouped(kind, 2, 16, 1)) in ([[0], [1]], [[1], [0]])


@pytest.mark.parametrize("kind", TREES)
def test_label_ids_are_those_given(kind):
    ids = np.array([4, 9, 11, 30, 31, 32])
    tree = grouped(kind, 6, 2, 2, labels=ids, n_labels=40)
    assert tree.n_labels == 40
    assert tree.labels.tolist() == ids.tolist()
    plain = grouped(kind, 6, 2, 2)
    assert np.array_equal(tree.label[tree.label >= 0], ids[plain.label[plain.label >= 0]])


@pytest.mark.parametrize("data", range(4))
@pytest.mark.parametrize("n", [6, 9, 12])
def test_halves_are_near_the_best_halves(n, data):
    vectors = unit_random(n, 6, seed=data, density=0.5)
    dense = vectors.toarray().astype(np.float64)
    best = best_split(dense)
    found, dealt = [], []
    for seed in range(10):
        options = {"branching": 2, "max_leaf": n - 1, "random_state": seed}
        for tree, to in ((kmeans_tree(vectors, tolerance=0, **options), found), (random_tree(n, **options), dealt)):
            to.append(sum(naive_trees.cohesion(dense, naive_trees.labels_under(half)) for half in shape(tree)))
    assert max(found) >= 0.95 * best
    assert np.mean(found) >= np.mean(dealt)
    assert max(found) <= best + 1e-6


@pytest.mark.parametrize("branching", [2, 5, 17])
def test_rounds_without_caps_never_lose(branching):
    vectors = unit_random(200, 30, seed=branching)
    dense = vectors.toarray().astype(np.float64)

    def cohesion(rounds):
        tree = kmeans_tree(
            vectors, branching=branching, max_leaf=199, balanced=False, max_depth=1, max_rounds=rounds, tolerance=0
        )
        return sum(naive_trees.cohesion(dense, naive_trees.labels_under(part)) for part in shape(tree))

    gained = [cohesion(rounds) for rounds in (1, 2, 3, 5, 8, 13)]
    assert all(later >= earlier - 1e-4 for earlier, later in pairwise(gained))
    assert gained[-1] > gained[0] + 0.1


@pytest.mark.parametrize("max_depth", [0, 1, 2])
def test_depth_is_limited(max_depth):
    tree = kmeans_tree(unit_random(300, 12), branching=2, max_leaf=3, max_depth=max_depth)
    assert tree.depth == max_depth + 1


@pytest.mark.parametrize("max_share", [0.3, 0.5, 0.9])
def test_clusters_take_at_most_their_share(max_share):
    vectors = unit_random(400, 12)
    vectors[:350] = vectors[[0] * 350]  # one dense crowd
    tree = kmeans_tree(csr_array(vectors), branching=4, max_leaf=20, balanced=False, max_share=max_share)
    for node in naive_trees.breadth_first(shape(tree)):
        if isinstance(node, list) and isinstance(node[0], list):
            n = len(naive_trees.labels_under(node))
            largest = max(len(naive_trees.labels_under(child)) for child in node)
            assert largest <= max(int(max_share * n), -(-n // len(node)))


@pytest.mark.parametrize("balanced", [True, False])
@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("value", [3e38, 1e-38, 1e20])
def test_vectors_at_the_ends_of_the_range_are_grouped_all_the_same(value, dense, balanced):
    random = np.random.default_rng(0)
    vectors = (np.float32(value) * random.choice([-1, 0, 1], (3000, 7))).astype(np.float32)
    vectors = vectors if dense else csr_array(vectors)
    tree = kmeans_tree(vectors, branching=7, max_leaf=4, balanced=balanced)
    assert tree.labels.tolist() == list(range(3000))


def test_label_vectors_stay_finite_where_their_sums_do_not():
    X = csr_array(np.full((40, 6), 3e38, np.float32))
    Y = csr_array(np.eye(4, dtype=np.float32)[np.arange(40) % 4])
    for max_entries in (2, 200):
        assert np.isfinite(label_vectors(X, Y, max_entries=max_entries).data).all()


@given(st.lists(st.integers(0, 30), min_size=1, max_size=12), st.integers(2, 4))
def test_huffman_codes_are_as_short_as_the_naive_ones(counts, branching):
    tree = huffman_tree(np.array(counts), branching=branching)
    lengths = {label: len(code) for label, code in naive_trees.codes(shape(tree)).items()}
    cost = sum(count * lengths[label] for label, count in enumerate(counts))
    assert cost == naive_trees.shortest_code_cost(counts, branching)
    assert np.diff(tree.child_ptr).max() <= branching


def test_huffman_codes_of_frequent_labels_are_never_longer():
    counts = np.random.default_rng(0).zipf(1.5, 500)
    tree = huffman_tree(counts, labels=np.arange(500) * 2, n_labels=1000)
    lengths = (tree.codes()[::2] >= 0).sum(axis=1)
    order = np.argsort(-counts, kind="stable")
    assert all(lengths[a] <= lengths[b] for a, b in pairwise(order) if counts[a] > counts[b])


@given(st.integers(0, 200), st.sampled_from(["pifa", "labels", "both"]), st.booleans())
@settings(max_examples=60)
def test_label_vectors_are_the_naive_ones(seed, view, weighted):
    random = np.random.default_rng(seed)
    n, d, n_labels = random.integers(1, 30, 3)
    X = (random.normal(size=(n, d)) * (random.random((n, d)) < 0.4)).astype(np.float32)
    Y = ((random.random((n, n_labels)) if weighted else 1.0) * (random.random((n, n_labels)) < 0.3)).astype(np.float32)
    expected = naive_trees.label_vectors(X.tolist(), Y.tolist(), view)
    for rows in (csr_array(X), X):
        found = label_vectors(rows, csr_array(Y), view)
        found = found if isinstance(found, np.ndarray) else found.toarray()
        assert found.dtype == np.float32
        # Sums that should cancel to nothing keep the rounding of their parts, which unit length enlarges.
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_seeds_matter_and_repeat():
    for kind in TREES:
        first, again, other = (grouped(kind, 300, 4, 10, **seed) for seed in ({}, {}, {}))
        assert first == again == other
    vectors = unit_random(300, 12)
    trees = [kmeans_tree(vectors, branching=4, max_leaf=10, random_state=seed) for seed in (0, 1)]
    assert trees[0] != trees[1]
    assert isinstance(trees[0], LabelTree)
