"""ConceptGraph: its levels and its tree beside loops over concepts, and what it refuses."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from xclassic import ConceptGraph, LabelHierarchy, LabelTree, OneVsRestLeastSquares, TopK, XRLinear

# "fish farming" has two parents, of which one is a step further from the top; "animals" is a label with children.
PARENTS = {
    "economy": (),
    "animals": ("economy",),
    "husbandry": ("animals",),
    "fisheries": ("economy",),
    "fish farming": ("husbandry", "fisheries"),
    "cows": ("husbandry",),
    "whales": ("animals", "fisheries"),
    "art": (),
}
LABELS = ["art", "cows", "fish farming", "animals", "whales"]


def farms():
    return ConceptGraph(PARENTS, LABELS)


# Loops that say the same


def all_above(parents, concept):
    return {concept}.union(*(all_above(parents, name) for name in parents[concept]))


def longest(parents, concept):
    return max((1 + longest(parents, name) for name in parents[concept]), default=0)


def shortest(parents, concept):
    return min((1 + shortest(parents, name) for name in parents[concept]), default=0)


def nodes_of(parents, label, level):
    at = {name for name in all_above(parents, label) if longest(parents, name) == level}
    return at | ({label} if longest(parents, label) < level else set())


def chosen_parent(parents, labels, concept):
    def rank(name):
        return shortest(parents, name), -sum(name in all_above(parents, label) for label in labels), name

    return min(parents[concept], key=rank, default=None)


@st.composite
def graphs(draw):
    """Return parents and labels of a graph; concepts come in any order."""
    n = draw(st.integers(1, 8))
    parents = {f"c{i}": draw(st.sets(st.integers(0, i - 1))) if i else set() for i in range(n)}
    order = draw(st.permutations(list(parents)))
    labels = draw(st.permutations(order))[: draw(st.integers(1, n))]
    return {name: [f"c{i}" for i in sorted(parents[name])] for name in order}, labels


# Levels


def test_graph_of_farms_by_hand():
    graph = farms()
    assert repr(graph) == "ConceptGraph(5 labels, 8 concepts; L0: 2, L1: 3, L2: 4, L3: 5)"
    assert graph.depths.tolist() == [0, 1, 2, 1, 3, 3, 2, 0]
    assert graph.ancestors(2) == ("economy", "animals", "fisheries", "husbandry")
    assert graph.ancestors(0) == ()
    assert graph.parents("whales") == ("animals", "fisheries")
    assert graph.nodes("L1").tolist() == ["animals", "art", "fisheries"]
    top = TopK.from_dense([[0, 0.5, 0.25, 0, 0.125]], k=5)
    assert graph.expand(top, "L1", how="sum").named(graph.nodes(1)) == [
        [("animals", 0.875), ("fisheries", 0.375), ("art", 0.0)]
    ]
    assert graph.expand(top, "L0", how="sum").named(graph.nodes(0))[0][0] == ("economy", 0.875)  # each label once


@given(graphs(), st.data())
def test_levels_are_those_of_loops(graph_and_labels, data):
    parents, labels = graph_and_labels
    graph = ConceptGraph(parents, labels)
    n_rows = 3
    Y = np.array(data.draw(st.lists(st.lists(st.booleans(), min_size=len(labels), max_size=len(labels)),
                                    min_size=n_rows, max_size=n_rows)), float)  # fmt: skip
    scores = np.array(data.draw(st.lists(st.permutations(range(1, len(labels) + 1)), min_size=n_rows, max_size=n_rows)))
    top = TopK.from_dense(scores / 8, k=len(labels))
    for i, label in enumerate(labels):
        assert set(graph.ancestors(i)) == all_above(parents, label) - {label}
        assert [longest(parents, name) for name in graph.ancestors(i)] == sorted(
            longest(parents, name) for name in graph.ancestors(i)
        )
    for number, level in enumerate(graph.levels):
        below = [nodes_of(parents, label, number) for label in labels]
        names = sorted(set().union(*below))
        assert graph.nodes(level).tolist() == names
        member = np.array([[name in nodes for name in names] for nodes in below], float)
        np.testing.assert_array_equal(graph.membership(level).toarray(), member)
        assert (member.sum(axis=1) >= 1).all()
        np.testing.assert_array_equal(graph.truth(Y, level).toarray(), Y @ member > 0)
        wide = top._replace(ids=np.pad(top.ids, [(0, 0), (0, 9)], constant_values=-1),
                            scores=np.pad(top.scores, [(0, 0), (0, 9)], constant_values=-np.inf))  # fmt: skip
        summed = graph.expand(wide, level, how="sum").to_csr(len(names)).toarray()
        np.testing.assert_array_equal(summed, scores / 8 @ member)
        highest = graph.expand(wide, level, how="max").to_csr(len(names)).toarray()
        np.testing.assert_array_equal(highest, (scores[:, :, None] / 8 * member).max(axis=1))


def test_graph_of_one_parent_each_has_the_levels_of_a_hierarchy():
    hierarchy = LabelHierarchy.from_paths(["a > b > c", "a > d", "e > f > g", "e > f > h"])
    parents = {"a": [], "e": [], "b": ["a"], "d": ["a"], "f": ["e"], "c": ["b"], "g": ["f"], "h": ["f"]}
    graph = ConceptGraph(parents, labels=["c", "d", "g", "h"])
    Y = csr_array(np.eye(4))
    top = TopK.from_dense([[1, 2, 3, 4], [4, 3, 2, 1], [2, 1, 4, 3], [1, 3, 2, 4]], k=3)
    assert graph.levels == hierarchy.levels
    assert graph.evaluate_levels(Y, top, train_counts=[1, 2, 3, 99]) == hierarchy.evaluate_levels(
        Y, top, train_counts=[1, 2, 3, 99]
    )
    assert graph.tree.n_nodes == hierarchy.tree.n_nodes


def test_levels_of_training_points_count_a_label_in_each_node():
    graph = ConceptGraph({"a": [], "b": [], "c": ["a", "b"], "d": ["b"]}, labels=["c", "d"])
    found = graph.evaluate_levels([[1, 0], [0, 1]], TopK.from_dense([[2, 1], [2, 1]], k=2))
    assert found["L0"]["accuracy"] == 0.5  # "a" comes before "b" where scores are equal, and is wrong of the second row
    assert found["L1"]["accuracy"] == 0.5


# The tree


@given(graphs())
def test_tree_keeps_the_parent_that_the_rule_names(graph_and_labels):
    parents, labels = graph_and_labels
    tree = ConceptGraph(parents, labels).tree
    assert tree.labels.tolist() == list(range(len(labels)))
    for i, label in enumerate(labels):
        way, concept = [], label
        while concept is not None:
            way.append(concept)
            concept = chosen_parent(parents, labels, concept)
        names = [str(tree.names[node]) for node in tree.paths()[i] if node >= 0]
        assert list(dict.fromkeys(name for name in names if name)) == way[::-1]
    by_hand = [(name, chosen_parent(parents, labels, name)) for name in parents]
    assert tree == LabelTree.from_edges(by_hand, labels=labels)


def test_tree_of_farms_by_hand():
    parent_of = {}
    tree = farms().tree
    for node in range(1, tree.n_nodes):
        parent_of[str(tree.names[node])] = str(tree.names[tree.parent[node]])
    assert parent_of["fish farming"] == "fisheries"  # Its way to the top is shorter than that of husbandry.
    assert parent_of["whales"] == "animals"  # Three other labels are below it, and one below fisheries.


def test_methods_search_along_the_tree():
    graph = farms()
    Y = np.vstack([np.eye(5), np.eye(5)])
    X = csr_array(np.hstack([Y, np.ones((10, 1))]))
    model = XRLinear(tree=graph.tree).fit(X, Y)
    assert model.score(X, Y) == 1
    assert graph.evaluate_levels(Y, model.predict_topk(X, 5))["L1"]["accuracy"] == 1
    named = OneVsRestLeastSquares().fit(X, np.array(LABELS * 2))
    aligned = graph.aligned(named.classes_)
    assert aligned.labels.tolist() == sorted(LABELS)
    assert aligned.nodes("L1").tolist() == graph.nodes("L1").tolist()


# How graphs are made


def test_edges_and_mappings_make_the_same_graph():
    edges = [(child, parent) for child, names in PARENTS.items() for parent in names or [None]]
    graph = ConceptGraph.from_edges(edges, LABELS)
    assert set(graph.concepts.tolist()) == set(PARENTS)
    assert graph.tree == farms().tree
    assert ConceptGraph.from_edges(edges + edges, LABELS) == graph
    assert ConceptGraph.from_edges(edges) != graph
    assert ConceptGraph(PARENTS, LABELS) == farms() != "farms"


@pytest.mark.parametrize(
    ("parents", "labels", "message"),
    [
        ({}, None, "parents is empty"),
        ({"a": ["b"]}, None, r"1 parents are no concepts \(first: 'b', of 'a'\)"),
        ({"a": ["a"]}, None, "cycle of 1, from child to parent: 'a' -> 'a'"),
        ({"t": [], "a": ["c", "t"], "b": ["a"], "c": ["b"], "d": ["a"]}, None, "cycle of 3.*'a' -> 'c' -> 'b' -> 'a'"),
        ({f"c{i}": [f"c{(i + 1) % 50}"] for i in range(50)}, None, r"cycle of 50.*'c9' -> ... -> 'c0'"),
        ({"a": []}, ["a", "b"], r"1 of 2 labels are no concepts \(first: \['b'\]\)"),
        ({"a": []}, ["a", "a"], "labels names 'a' twice"),
        ({"a": []}, [], "labels is empty"),
        ({"a": [], "b": ["a\0"]}, None, "no concepts"),
        ({"a": [], "b\0": ["a"]}, None, "null character"),
    ],
)  # fmt: skip
def test_what_is_no_graph_is_refused(parents, labels, message):
    with pytest.raises(ValueError, match=message):
        ConceptGraph(parents, labels)


@pytest.mark.parametrize("parents", [{"a": "b", "b": []}, {"a": [1]}, {1: []}])
def test_what_is_no_text_is_refused(parents):
    with pytest.raises(TypeError):
        ConceptGraph(parents)
    with pytest.raises(TypeError, match="pass a list of names"):
        ConceptGraph({"a": "b", "b": []})


def test_unknown_labels_and_levels_are_refused():
    with pytest.raises(ValueError, match="There is no label 5; ids are 0 to 4"):
        farms().ancestors(5)
    with pytest.raises(ValueError, match="There is no level 'L4'; levels are 'L0', 'L1', 'L2', 'L3', or 0 to 3"):
        farms().nodes("L4")
    with pytest.raises(ValueError, match="1 of 1 labels are no concepts"):
        farms().parents("horses")
    with pytest.raises(ValueError, match="pass concepts"):
        farms().aligned(np.arange(3))


def test_trees_point_to_the_rule():
    with pytest.raises(ValueError, match=r"two parents.*ConceptGraph.from_edges\(edges\).tree"):
        LabelTree.from_edges([("a", "b"), ("a", "c")])
    with pytest.raises(ValueError, match="a ConceptGraph holds one node with several parents"):
        LabelHierarchy.from_table({"x": ["a", "b"], "y": ["c", "c"]}, ["x", "y"], unique=True)


def test_deep_chains_have_no_recursion():
    n = 3000
    graph = ConceptGraph({f"c{i}": [f"c{i - 1}"] if i else [] for i in range(n)}, labels=[f"c{n - 1}"])
    assert len(graph.ancestors(0)) == n - 1
    assert graph.tree.depth == n - 1
