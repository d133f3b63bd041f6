"""Agglomeration against scipy's linkage on dense distances, and the trees cut from it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import cophenet, linkage
from scipy.sparse import csr_array
from scipy.spatial.distance import squareform

import xclassic.label_tree.agglomeration as module
from xclassic.label_tree.agglomeration import LINKAGES, agglomerate, cooccurrence_tree, label_similarity
from xclassic.linalg.label_vectors import label_vectors


def random_similarity(n, seed, density=0.5, levels=None):
    rng = np.random.default_rng(seed)
    full = rng.random((n, n)) if levels is None else rng.integers(1, levels + 1, (n, n)) / levels
    upper = np.triu(full * (rng.random((n, n)) < density), 1)
    return upper + upper.T


def dense_linkage(similarity, method, farthest=1.0):
    distances = farthest - similarity
    np.fill_diagonal(distances, 0)
    return linkage(squareform(distances, checks=False), method)


def random_labels(n_rows=80, n_labels=20, seed=0, density=0.15):
    rng = np.random.default_rng(seed)
    Y = (rng.random((n_rows, n_labels)) < density).astype(np.float32)
    Y[rng.integers(n_rows, size=n_labels), np.arange(n_labels)] = 1
    return csr_array(Y)


@pytest.mark.parametrize("method", LINKAGES)
@settings(max_examples=40)
@given(n=st.integers(2, 25), seed=st.integers(0, 10**6), density=st.sampled_from([0.1, 0.5, 1.0]))
def test_heights_and_merges_without_ties_are_those_of_scipy(method, n, seed, density):
    similarity = random_similarity(n, seed, density)
    ours = agglomerate(csr_array(similarity), method, 1.0)
    theirs = dense_linkage(similarity, method)
    np.testing.assert_allclose(ours[:, 2], theirs[:, 2], atol=1e-12)
    if density == 1.0:  # zero similarities tie
        np.testing.assert_allclose(cophenet(ours), cophenet(theirs), atol=1e-12)


@settings(max_examples=40)
@given(n=st.integers(2, 20), seed=st.integers(0, 10**6), levels=st.integers(1, 4))
def test_single_linkage_with_ties_has_the_heights_of_scipy(n, seed, levels):
    # Only for single linkage do heights not depend on which of several equally near pairs is merged first.
    similarity = random_similarity(n, seed, 0.6, levels)
    ours = agglomerate(csr_array(similarity), "single", 1.0)
    np.testing.assert_allclose(ours[:, 2], dense_linkage(similarity, "single")[:, 2], atol=1e-12)


@pytest.mark.parametrize("method", LINKAGES)
def test_merges_have_the_similarity_of_their_groups(method):
    similarity = random_similarity(24, 3, 0.4, levels=3)
    of_pairs = {"average": np.mean, "complete": np.min, "single": np.max}[method]
    groups = [[i] for i in range(24)]
    for first, second, distance, size in agglomerate(csr_array(similarity), method, 1.0):
        left, right = groups[int(first)], groups[int(second)]
        assert distance == pytest.approx(1 - of_pairs(similarity[np.ix_(left, right)]))
        groups.append(left + right)
        assert size == len(groups[-1])
    assert sorted(groups[-1]) == list(range(24))


@pytest.mark.parametrize("method", LINKAGES)
def test_items_that_share_nothing_form_a_balanced_tree(method):
    merges = agglomerate(csr_array((64, 64), dtype=np.float64), method, 1.0)
    np.testing.assert_array_equal(merges[:, 2], 1)
    depth = np.zeros(127, int)
    for i, (first, second, _, _) in enumerate(merges):
        depth[64 + i] = 1 + max(depth[int(first)], depth[int(second)])
    assert depth[-1] == 6


def test_agglomerate_one_and_two_items():
    assert agglomerate(csr_array((1, 1), dtype=np.float64)).shape == (0, 4)
    np.testing.assert_allclose(agglomerate(csr_array([[0, 0.25], [0.25, 0]]), farthest=1.0), [[0, 1, 0.75, 2]])


@pytest.mark.parametrize("distance", ["jaccard", "iou", "count"])
def test_label_similarity_is_that_of_sets_of_rows(distance):
    Y = random_labels()
    sets = [set(Y.toarray()[:, label].nonzero()[0]) for label in range(Y.shape[1])]
    expected = np.array([[len(a & b) / (1 if distance == "count" else len(a | b)) for b in sets] for a in sets])
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(label_similarity(Y, None, distance).toarray(), expected)


def test_labels_beyond_exact_keep_their_nearest(monkeypatch):
    monkeypatch.setattr(module, "EXACT", 10)
    monkeypatch.setattr(module, "NEIGHBORS", 4)
    rng = np.random.default_rng(0)
    vectors = rng.random((30, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, 0)
    near = cosines >= np.sort(cosines, axis=1)[:, -4, None]
    expected = np.where(near | near.T, cosines, 0)
    found = label_similarity(random_labels(n_labels=30), csr_array(vectors), "pifa").toarray()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def leaves_under(tree, node):
    children = range(tree.child_ptr[node], tree.child_ptr[node + 1])
    return [tree.label[node]] if not children else [leaf for child in children for leaf in leaves_under(tree, child)]


@pytest.mark.parametrize("distance", ["jaccard", "iou", "count", "pifa"])
@pytest.mark.parametrize("method", LINKAGES)
def test_tree_holds_every_label_with_a_row_once(distance, method):
    Y = random_labels().toarray()
    Y[:, [3, 7]] = 0
    Y = csr_array(Y)
    X = csr_array(np.random.default_rng(1).random((80, 9)).astype(np.float32))
    tree = cooccurrence_tree(Y, label_vectors(X, Y), distance=distance, linkage=method)
    assert sorted(leaves_under(tree, 0)) == [label for label in range(20) if label not in (3, 7)]
    assert tree.n_labels == 20


@pytest.mark.parametrize("max_share", [0.5, 0.7, 0.9])
def test_tree_has_no_chains_below_the_root(max_share):
    tree = cooccurrence_tree(random_labels(300, 60, density=0.05), max_share=max_share, max_depth=100)
    sizes = [len(leaves_under(tree, node)) for node in range(tree.n_nodes)]
    for node in tree.inner[1:]:
        children = range(tree.child_ptr[node], tree.child_ptr[node + 1])
        assert max(sizes[child] for child in children) <= max_share * sizes[node]


def test_groups_that_are_small_have_labels_alone():
    tree = cooccurrence_tree(random_labels(300, 60, density=0.05), max_leaf=8)
    for node in tree.inner[1:]:
        if len(leaves_under(tree, node)) <= 8:
            assert (tree.label[tree.child_ptr[node] : tree.child_ptr[node + 1]] >= 0).all()
            assert len(leaves_under(tree, tree.parent[node])) > 8


@pytest.mark.parametrize("max_depth", [1, 2, 4])
def test_depth_is_capped(max_depth):
    Y = random_labels(300, 60, density=0.05)
    assert cooccurrence_tree(Y, max_share=1.0, max_depth=100).depth > 4
    assert cooccurrence_tree(Y, max_share=1.0, max_depth=max_depth).depth == max_depth


def test_depth_cap_by_default_holds_for_a_chain():
    # Label j is on rows 0 .. j only: single linkage splits off one label after another.
    Y = csr_array(np.triu(np.ones((64, 64), np.float32)))
    assert cooccurrence_tree(Y, linkage="single", max_share=1.0, max_depth=100).depth > 12
    assert cooccurrence_tree(Y, linkage="single", max_share=1.0).depth <= 12


def test_identical_columns_and_a_label_on_every_row():
    Y = random_labels().toarray()
    Y[:, 5] = Y[:, 11]
    Y[:, 0] = 1
    tree = cooccurrence_tree(csr_array(Y), max_share=1.0, max_depth=100)
    assert tree.parent[np.flatnonzero(tree.label == 5)[0]] == tree.parent[np.flatnonzero(tree.label == 11)[0]]
    assert sorted(leaves_under(tree, 0)) == list(range(20))


@pytest.mark.parametrize("n_labels", [1, 2])
def test_tree_of_one_and_two_labels(n_labels):
    tree = cooccurrence_tree(csr_array(np.eye(2, n_labels, dtype=np.float32)))
    assert (tree.depth, tree.n_nodes) == (1, 1 + n_labels)


def test_tree_does_not_depend_on_the_number_of_workers(monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 7)
    Y = random_labels(300, 60)
    vectors = label_vectors(csr_array(np.random.default_rng(1).random((300, 9)).astype(np.float32)), Y)
    trees = [cooccurrence_tree(Y, vectors, distance="pifa", n_jobs=n_jobs) for n_jobs in (1, 2)]
    assert trees[0] == trees[1]


@pytest.mark.parametrize("max_share", [0.5, 1.0])
def test_identical_vectors_beyond_exact_do_not_fill_the_matrix(monkeypatch, max_share):
    monkeypatch.setattr(module, "EXACT", 10)
    monkeypatch.setattr(module, "NEIGHBORS", 4)
    vectors = csr_array(np.ones((200, 1), np.float32))
    Y = csr_array(np.eye(200, dtype=np.float32))
    similarity = label_similarity(Y, vectors, "pifa")
    assert similarity.nnz <= 2 * 5 * 200
    assert sorted(similarity[[199]].indices) == [0, 1, 2, 3, 4]
    assert len(cooccurrence_tree(Y, vectors, distance="pifa", max_share=max_share).labels) == 200


@pytest.mark.parametrize(
    ("similarity", "message"),
    [
        (np.triu(np.ones((3, 3)), 1), r"similarity\[0, 1\] is 1 and similarity\[1, 0\] is 0"),
        (np.array([[0, np.nan], [np.nan, 0]]), "NaN"),
        (np.ones((2, 3)), r"shape \(2, 3\)"),
    ],
)
def test_similarities_that_are_unusable_are_rejected(similarity, message):
    with pytest.raises(ValueError, match=message):
        agglomerate(csr_array(similarity))


def test_entries_given_twice_are_summed_and_the_argument_stays():
    twice = csr_array((np.array([0.5, 0.25, 0.75]), np.array([1, 1, 0]), np.array([0, 2, 3])), shape=(2, 2))
    np.testing.assert_array_equal(agglomerate(twice, farthest=1.0), [[0, 1, 0.25, 2]])
    assert twice.nnz == 3


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"distance": "cosine"}, "distance is 'cosine'"),
        ({"linkage": "ward"}, "linkage is 'ward'"),
        ({"max_leaf": 0}, "max_leaf is 0"),
        ({"max_share": 0}, "max_share is 0"),
        ({"max_depth": 0}, "max_depth is 0"),
        ({"distance": "pifa"}, "vectors is None"),
        ({"distance": "pifa", "vectors": np.ones((5, 2), np.float32)}, r"vectors is of shape \(5, 2\)"),
    ],
)
def test_parameters_that_are_unusable_are_rejected(parameters, message):
    with pytest.raises(ValueError, match=message):
        cooccurrence_tree(random_labels(), **parameters)


@pytest.mark.parametrize("Y", [csr_array((4, 3), dtype=np.float32), csr_array(np.full((2, 2), 2.0))])
def test_targets_must_be_ones(Y):
    with pytest.raises(ValueError, match="matrix of ones"):
        cooccurrence_tree(Y)


def test_tree_does_not_depend_on_the_sparse_format():
    Y = random_labels()
    assert cooccurrence_tree(Y.tocsc()) == cooccurrence_tree(Y)
