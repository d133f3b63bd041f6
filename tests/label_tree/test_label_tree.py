"""LabelTree: builders, what follows from the arrays, bad input, storage and drawings."""

import copy
import pickle
import re
import sys

import matplotlib as mpl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.cluster.hierarchy import leaves_list, linkage, to_tree
from scipy.sparse import coo_array, csr_array, csr_matrix

from tests.helpers.folders import edit_header
from tests.helpers.naive import trees as naive
from xclassic import LabelTree, ModelFileError

mpl.use("Agg")


def unfold(tree):
    return naive.unfold(tree.child_ptr, tree.label)


def padded(rows, width):
    return [[*row, *[-1] * (width - len(row))] for row in rows]


@st.composite
def hierarchies(draw):
    """Parents, labels and n_labels of a forest: shuffled numbers, ids with gaps, some inner nodes that are labels."""
    n = draw(st.integers(1, 14))
    over = [draw(st.integers(max(-1, i - draw(st.sampled_from([2, 20]))), i - 1)) for i in range(n)]
    number = draw(st.permutations(range(n)))
    parents = [0] * n
    for i, above in enumerate(over):
        parents[number[i]] = -1 if above < 0 else number[above]
    ids = draw(st.permutations(range(n + draw(st.integers(0, 3)))))
    labels = [ids[node] if node not in parents or draw(st.integers(0, 3)) == 0 else -1 for node in range(n)]
    return parents, labels, len(ids)


@st.composite
def trees(draw):
    parents, labels, n_labels = draw(hierarchies())
    return LabelTree.from_parents(parents, labels, n_labels=n_labels)


# Builders


@given(hierarchies())
def test_from_parents_grows_the_plain_tree(hierarchy):
    parents, labels, n_labels = hierarchy
    tree = LabelTree.from_parents(parents, labels, n_labels=n_labels)
    assert unfold(tree) == naive.grow(parents, labels)
    assert tree.n_labels == n_labels
    assert LabelTree.from_parents(np.array(parents), np.array(labels, np.int16)).n_labels == max(labels) + 1


@given(hierarchies())
def test_nodes_keep_their_names(hierarchy):
    parents, labels, n_labels = hierarchy
    tree = LabelTree.from_parents(parents, labels, [f"n{i}" for i in range(len(parents))], n_labels)
    for node in range(tree.n_nodes):
        if tree.names[node] == "":
            assert node == 0  # a root that was not there
            continue
        number = int(tree.names[node][1:])
        above = tree.parent[node]
        if tree.label[node] >= 0:
            assert tree.label[node] == labels[number]
        if above >= 0 and tree.names[above] != tree.names[node]:
            assert tree.names[above] == ("" if parents[number] < 0 else f"n{parents[number]}")


def test_labels_are_the_nodes_without_children_by_default():
    tree = LabelTree.from_parents([2, 2, 4, 4, -1])
    assert unfold(tree) == [[0, 1], 2]
    assert tree == LabelTree.from_parents([2, 2, 4, 4, -1], [0, 1, -1, 2, -1])


def test_single_label_has_a_root_above_it():
    tree = LabelTree.from_parents([-1], names=["only"])
    assert unfold(tree) == [0]
    assert tree.names.tolist() == ["", "only"]
    assert tree == LabelTree.from_parents([-1, 0], [-1, 0], ["", "only"])


@given(hierarchies())
def test_from_edges_is_from_parents_by_name(hierarchy):
    parents, labels, _ = hierarchy
    names = [f"n{i}" for i in range(len(parents))]
    ids = [names[labels.index(label)] for label in sorted(set(labels) - {-1})]
    edges = [(name, names[parent] if parent >= 0 else None) for name, parent in zip(names, parents, strict=True)]
    dense = {label: i for i, label in enumerate(sorted(set(labels) - {-1}))}
    tree = LabelTree.from_edges(edges + edges[:2], ids)
    assert tree == LabelTree.from_parents(parents, [dense.get(label, -1) for label in labels], names)
    assert tree == LabelTree.from_edges(edges, np.array(ids))


def test_from_edges_omits_branches_without_labels():
    edges = [("a", "A"), ("b", "A"), ("c", "B"), ("d", "c"), ("A", "top"), ("B", "top"), ("e", "E"), ("E", "top")]
    tree = LabelTree.from_edges(edges, ["c", "a"])
    assert unfold(tree) == [[1], [0]]
    assert tree.names.tolist() == ["top", "A", "B", "a", "c"]
    assert sorted(LabelTree.from_edges(edges).names[4:].tolist()) == ["a", "b", "c", "d", "e"]


def test_from_edges_labels_are_the_sorted_names_without_children_by_default():
    tree = LabelTree.from_edges([("pear", "fruit"), ("apple", "fruit"), ("chair", "furniture"), ("fruit", None)])
    assert unfold(tree) == [[2, 0], [1]]
    assert tree.names.tolist() == ["", "fruit", "furniture", "pear", "apple", "chair"]


def test_from_edges_takes_any_hashable_name():
    tree = LabelTree.from_edges([(1, ("group", 7)), (2, ("group", 7))], [2, 1])
    assert unfold(tree) == [1, 0]
    assert tree.names.tolist() == ["('group', 7)", "1", "2"]


def begins_another(codes):
    return any(i != j and code == other[: len(code)] for i, code in enumerate(codes) for j, other in enumerate(codes))


CODES = st.lists(st.lists(st.integers(0, 4), max_size=3).map(tuple), min_size=1, max_size=8)


@given(CODES.filter(lambda codes: any(codes) and not begins_another([code for code in codes if code])))
def test_from_codes_grows_the_plain_prefix_tree(codes):
    tree = LabelTree.from_codes(codes)
    assert unfold(tree) == naive.grow_codes({label: code for label, code in enumerate(codes) if code})
    assert tree.n_labels == len(codes)
    assert tree == LabelTree.from_codes(np.array(padded(codes, 5), np.int8))
    assert LabelTree.from_codes(iter(codes), n_labels=20).n_labels == 20


@given(CODES.filter(begins_another))
def test_from_codes_rejects_codes_that_begin_others(codes):
    named = re.compile(
        r"Labels (\d+) and (\d+) both|of label (\d+) begins that of label (\d+),|no code that is not empty"
    )
    if any(codes) and not begins_another([code for code in codes if code]):
        return  # only empty codes begin others, and these are not labels
    with pytest.raises(ValueError, match=named) as error:
        LabelTree.from_codes(codes)
    labels = [int(label) for label in named.search(str(error.value)).groups() if label]
    if labels:
        shorter, longer = (codes[label] for label in labels)
        assert longer[: len(shorter)] == shorter != ()
        assert labels[0] != labels[1]
    else:
        assert not any(codes)


@given(trees())
def test_codes_make_the_tree_again(tree):
    assert LabelTree.from_codes(tree.codes()) == tree
    assert LabelTree.from_codes([[n for n in code if n >= 0] for code in tree.codes().tolist()]) == tree


@given(st.integers(1, 12), st.sampled_from(["average", "complete", "single"]), st.integers(0, 100))
def test_from_linkage_is_the_tree_of_scipy(m, method, seed):
    points = np.random.default_rng(seed).normal(size=(m, 2))
    Z = linkage(points, method) if m > 1 else np.empty((0, 4))

    def scipy_tree(node):
        return int(node.id) if node.is_leaf() else [scipy_tree(node.get_left()), scipy_tree(node.get_right())]

    tree = LabelTree.from_linkage(Z)
    assert unfold(tree) == (scipy_tree(to_tree(Z)) if m > 1 else [0])
    assert naive.labels_under(unfold(tree)) == (leaves_list(Z).tolist() if m > 1 else [0])
    ids = np.arange(m)[::-1] * 3
    named = LabelTree.from_linkage(Z, labels=ids, n_labels=50)
    assert naive.labels_under(unfold(named)) == ids[naive.labels_under(unfold(tree))].tolist()
    assert named.n_labels == 50


def test_from_linkage_does_not_read_heights():
    assert unfold(LabelTree.from_linkage([[0, 1, -5.0, 2], [2, 3, -np.inf, 3]])) == [2, [0, 1]]


def test_flat():
    tree = LabelTree.flat([3, 0, 2], 7)
    assert unfold(tree) == [3, 0, 2]
    assert tree.n_labels == 7
    assert LabelTree.flat(np.array([3, 0, 2], np.int32)) == LabelTree.flat([3, 0, 2], 4)


def test_deep_chain():
    n = 500
    tree = LabelTree.from_linkage([[i + n - 1 if i else n - 1, n - 1 - i - 1, i, i + 2] for i in range(n - 1)])
    assert tree.depth == n - 1
    assert tree.encode(n - 1) == (1,) * (n - 1)
    assert [tree.decode(tree.encode(label)) for label in range(n)] == list(range(n))
    assert len(tree.draw(max_depth=n).splitlines()) == tree.n_nodes == 2 * n - 1


# What follows from the arrays


@given(trees())
def test_shape(tree):
    plain = unfold(tree)
    nodes = naive.breadth_first(plain)
    assert tree.n_nodes == len(nodes)
    assert tree.depth == naive.depth(plain)
    assert tree.labels.tolist() == sorted(naive.labels_under(plain))
    assert tree.inner.tolist() == [i for i, node in enumerate(nodes) if isinstance(node, list)]
    assert tree.leaves.tolist() == [nodes.index(i) if i in tree.labels else -1 for i in range(tree.n_labels)]
    assert tree.parent[0] == -1
    for node in range(tree.n_nodes):
        children = np.flatnonzero(tree.parent == node)
        assert children.tolist() == list(range(tree.child_ptr[node], tree.child_ptr[node + 1]))
    steps = [0]
    for node in range(1, tree.n_nodes):
        steps.append(steps[tree.parent[node]] + 1)
    expected = [*np.searchsorted(steps, range(tree.depth + 1)), tree.n_nodes]
    assert tree.level_ptr.tolist() == expected
    dtypes = {"child_ptr": "i8", "label": "i4", "level_ptr": "i8", "parent": "i8", "inner": "i8", "labels": "i4"}
    assert {name: getattr(tree, name).dtype.str[1:] for name in dtypes} == dtypes
    assert repr(tree) == f"LabelTree({len(tree.labels)} labels, {len(tree.inner)} inner nodes, depth {tree.depth})"


@given(trees())
def test_codes_and_paths(tree):
    codes = naive.codes(unfold(tree))
    assert tree.codes().dtype == np.int32
    assert tree.codes().tolist() == padded([codes.get(label, ()) for label in range(tree.n_labels)], tree.depth)
    assert tree.paths().dtype == np.int64
    for label, path in enumerate(tree.paths().tolist()):
        used = [node for node in path if node >= 0]
        assert path == [*used, *[-1] * (tree.depth + 1 - len(used))]
        assert bool(used) == (label in codes)
        if used:
            assert used[0] == 0
            assert used[-1] == tree.leaves[label]
            assert used[:-1] == tree.parent[used[1:]].tolist()
    for label, code in codes.items():
        assert tree.encode(label) == code
        assert tree.decode(code) == label
        assert tree.decode(tree.codes()[label]) == label


@given(trees(), st.data())
def test_node_targets_are_any_over_the_labels_under_a_node(tree, data):
    rows = data.draw(st.lists(st.sets(st.integers(0, tree.n_labels - 1)), max_size=5))
    Y = np.array([[label in row for label in range(tree.n_labels)] for row in rows], np.float32)
    Y = Y.reshape(len(rows), tree.n_labels)
    expected = np.array(naive.node_targets(unfold(tree), rows)).reshape(len(rows), tree.n_nodes)
    for form in (csr_array, csr_matrix, coo_array, np.asarray):
        targets = tree.node_targets(form(Y))
        assert isinstance(targets, csr_array)
        assert targets.dtype == np.float32
        assert targets.has_canonical_format
        assert (targets.data == 1).all()
        np.testing.assert_array_equal(targets.toarray(), expected)


def test_node_targets_ignore_stored_zeros_and_leave_the_input_alone():
    tree = LabelTree.from_codes([(0, 0), (0, 1), (1,)])
    Y = csr_array((np.array([0.0, 1, 1, -1, 2]), np.array([2, 0, 1, 1, 1]), np.array([0, 2, 5])), shape=(2, 3))
    before = Y.copy()
    np.testing.assert_array_equal(tree.node_targets(Y).toarray(), [[1, 1, 0, 1, 0], [1, 1, 0, 0, 1]])
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(Y, name), getattr(before, name))


def test_arrays_cannot_be_changed():
    child_ptr = np.array([1, 3, 3, 3])
    tree = LabelTree(child_ptr, [-1, 0, 1], 2)
    tree.paths()
    for name in ("child_ptr", "label", "parent", "level_ptr", "inner", "labels", "leaves"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(tree, name)[0] = 5
    with pytest.raises(ValueError, match="read-only"):
        tree.paths()[0] = 5
    child_ptr += 1
    assert tree.child_ptr.tolist() == [1, 3, 3, 3]


@given(trees())
def test_tree_equality_copies_and_pickles(tree):
    tree.paths()
    for other in (copy.copy(tree), copy.deepcopy(tree), pickle.loads(pickle.dumps(tree))):
        assert other is not tree
        assert other == tree
        assert "_paths" not in vars(other)
    assert tree != LabelTree(tree.child_ptr, tree.label, tree.n_labels + 1)
    assert tree != LabelTree(tree.child_ptr, tree.label, tree.n_labels, np.full(tree.n_nodes, "x"))
    assert tree != LabelTree.flat([tree.n_labels + 1])
    assert tree != "a tree"


# Bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([],), r"parents is an array of shape \(0,\)"),
        (([[0]],), r"parents is an array of shape \(1, 1\)"),
        (([-1.0, 0.5],), "parents .* dtype float64; pass a flat list of integers"),
        (([-1, 5],), r"parents\[1\] is 5, and no such node exists; use 0 to 1, or -1 for a root"),
        (([-1, -2],), r"parents\[1\] is -2"),
        (([0],), "cycle of 1 nodes, from child to parent: node 0 -> node 0;"),
        (([-1, 0, 4, 2, 3, 2], [-1, 0, -1, -1, -1, 1]), "cycle of 3 nodes.*node 2 -> node 4 -> node 3 -> node 2;"),
        (([1, 0, 0], None, ["a", "b", "c"]), r"node 0 \('a'\) -> node 1 \('b'\) -> node 0 \('a'\)"),
        ((np.roll(np.arange(50), 1), [0, *[-1] * 49]), r"cycle of 50 nodes.*-> \.\.\. -> node 0;"),
        (([-1, 0, 0, 0], [-1, 4, -1, -1]), r"2 are not \(first: node 2, node 3\).*from_edges leaves out"),
        (([-1, 0, 0], [-1, 3, 3]), "Label 3 stands at node 1 and at node 2; keep it at one"),
        (([-1, 0, 0], [-1, 3, -4]), r"labels\[2\] is -4; use a label id from 0"),
        (([-1, 0, 0], [-1, 3]), "labels has 2 entries for 3 nodes"),
        (([-1, 0, 0], None, ["a"]), r"names has shape \(1,\); pass one name for each of the 3 nodes"),
        (([-1, 0], [-1, 3], None, 3), "has label id 3; use 0 to 2"),
        (([-1, 0], None, None, 0), "n_labels is 0; it must be at least 1"),
        (([-1, 0], [-1, 2**40]), "n_labels is 1099511627777; it must be .*at most"),
    ],
)
def test_from_parents_rejects(arguments, message):
    with pytest.raises(ValueError, match=message):
        LabelTree.from_parents(*arguments)


@pytest.mark.parametrize(
    ("edges", "labels", "message"),
    [
        ([], ["a"], "edges holds no"),
        ([("a", "A"), ("b", "A"), ("a", "B")], None, "'a' has two parents, 'A' and 'B'; a tree has room for one"),
        ([("a", "A"), ("a", None)], None, "'a' has two parents, 'A' and None"),
        ([("a", "A"), ("A", "B"), ("B", "A")], ["a"], r"cycle of 2 nodes.*\('A'\) -> .*\('B'\) -> .*\('A'\)"),
        ([("a", "A"), ("C", "B"), ("B", "C")], ["a"], r"cycle of 2 nodes.*\('C'\) -> .*\('B'\)"),
        ([("a", "A")], ["a", "b", "c"], r"2 of 3 labels are missing from the hierarchy \(first: \['b', 'c'\]\); add"),
        ([("a", "A")], ["a", "A", "a"], "labels names 'a' twice"),
        ([("a", "A")], [], "labels is empty"),
    ],
)
def test_from_edges_rejects(edges, labels, message):
    with pytest.raises(ValueError, match=message):
        LabelTree.from_edges(edges, labels)


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        ([], "codes holds no code"),
        ([(), ()], "codes holds no code that is not empty"),
        (np.zeros((3, 0), int), "codes holds no code"),
        (np.zeros(3, int), r"codes is an array of shape \(3,\)"),
        (np.zeros((3, 2)), "dtype float64"),
        ([(0, 1), (1.5,)], "codes must hold a sequence of integers for each label: 'float'"),
        ([(0, 1), 1], "codes must hold a sequence of integers for each label: object of type 'int'"),
        ([(1, 2), (0,), (1, 2)], r"Labels 0 and 2 both have the code \(1, 2\)"),
        ([(1, 2, 0), (0,), (1, 3), (1,)], r"The code \(1,\) of label 3 begins that of label 0, \(1, 2, 0\); append"),
        ([(0,), (1, -2)], "The code of label 1 has -2 at position 1"),
        (np.array([[0, -1, 1], [1, 0, 0]]), "The code of label 0 has -1 at position 1"),
        (np.array([[-1, 1], [1, 0]]), "The code of label 0 has -1 at position 0"),
    ],
)
def test_from_codes_rejects(codes, message):
    with pytest.raises(ValueError, match=message):
        LabelTree.from_codes(codes)


@pytest.mark.parametrize(
    ("Z", "labels", "message"),
    [
        ([[0, 1, 0.5]], None, r"Z has shape \(1, 3\)"),
        ([[0, 1, 1, 2], [2, 2, 1, 3]], None, "Z merges cluster 2 2 times"),
        ([[0, 3, 1, 2], [1, 2, 1, 3]], None, r"Z\[0, 1\] is 3.0; row 0 merges two of the clusters 0 to 2"),
        ([[0, 1.5, 1, 2]], None, r"Z\[0, 1\] is 1.5"),
        ([[0, np.nan, 1, 2]], None, r"Z\[0, 1\] is nan"),
        ([[-1, 1, 1, 2]], None, r"Z\[0, 0\] is -1"),
        ([[0, 1, 1, 2]], [1, 2, 3], "labels has 3 entries; Z is a linkage of 2 labels"),
        ([[0, 1, 1, 2]], [1, 1], "Label 1 stands at node 0 and at node 1"),
    ],
)
def test_from_linkage_rejects(Z, labels, message):
    with pytest.raises(ValueError, match=message):
        LabelTree.from_linkage(np.array(Z, np.float64), labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 3, 3], [-1, 0, 1], 2), "child_ptr has 3 entries, from 1 to 3; for 3 nodes it has 4, from 1 to 3"),
        (([0, 3, 3, 3], [-1, 0, 1], 2), "child_ptr has 4 entries, from 0 to 3"),
        (([1, 3, 2, 3], [-1, 0, 1], 2), "child_ptr gives node 1 the children 3 to 1"),
        (([1, 2, 2, 4, 4], [-1, 0, -1, 1], 2), "child_ptr gives node 2 the children 2 to 3"),
        (([1, 1], [0], 1), "Node 0 has 0 children and label 0; .* the root is an inner node"),
        (([1, 3, 3, 3], [-1, 0, -1], 2), "Node 2 has 0 children and label -1"),
        (([1, 3, 3, 3], [1, 0, 2], 3), "Node 0 has 2 children and label 1"),
        (([1, 3, 3, 3], [-1, 0, 2], 2), "Node 2 has label id 2; use 0 to 1"),
        (([1, 3, 3, 3], [-1, 0, -2], 2), "Node 2 has label id -2"),
        (([1, 3, 3, 3], [-1, 0, 0], 2), "Label 0 stands at nodes 1 and 2"),
        (([1, 3, 3, 3], [-1, 0, 1], 2, ["a"]), r"names has shape \(1,\)"),
        (([1, 3, 3, 3], [-1, 0, 1], True), "n_labels is True of type bool"),
    ],
)
def test_arrays_that_make_no_tree_are_rejected(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        LabelTree(*arguments)


@given(st.lists(st.integers(-1, 6), min_size=1, max_size=6), st.lists(st.integers(-2, 4), min_size=1, max_size=5))
def test_arrays_that_are_accepted_make_a_tree(child_ptr, label):
    """From the root of an accepted tree each node is reached once, in order."""
    try:
        tree = LabelTree(child_ptr, label, 4)
    except ValueError:
        return
    reached = [0]
    for node in reached:
        reached.extend(range(child_ptr[node], child_ptr[node + 1]))
    assert reached == list(range(len(label)))
    assert tree.labels.tolist() == sorted(naive.labels_under(unfold(tree)))


def test_node_targets_reject_another_number_of_labels():
    with pytest.raises(ValueError, match="Y has 3 columns; it must have 2"):
        LabelTree.flat([0, 1]).node_targets(np.ones((1, 3)))


def test_labels_and_codes_must_be_known():
    tree = LabelTree.from_codes([(0, 0), (0, 1), (1,), ()])
    for label in (-1, 3, 4):
        with pytest.raises(ValueError, match=f"Label {label} is not in the tree"):
            tree.encode(label)
    with pytest.raises(ValueError, match=r"No label has the code \(0, 2\): at position 1 there are 2 children"):
        tree.decode((0, 2))
    with pytest.raises(ValueError, match=r"No label has the code \(1, 0\): at position 1 there are 0 children"):
        tree.decode((1, 0))
    with pytest.raises(ValueError, match=r"No label has the code \(-1, 0\)"):
        tree.decode((-1, 0))
    for code in ((), (0,), (-1, -1)):
        with pytest.raises(ValueError, match=re.escape(f"No label has the code {code}: it ends at an inner node")):
            tree.decode(code)


# Storage


@given(tree=trees(), named=st.booleans())
def test_save_and_load(tmp_path_factory, tree, named):
    if named:
        tree = LabelTree(tree.child_ptr, tree.label, tree.n_labels, [f"Knoten {i} ü" for i in range(tree.n_nodes)])
    folder = tmp_path_factory.mktemp("tree")
    tree.save(folder)
    loaded = LabelTree.load(folder)
    assert loaded == tree
    assert (loaded.names is not None) == named
    assert LabelTree.from_arrays(tree.arrays(), tree.n_labels) == tree


DAMAGES = {
    "missing": (lambda a: a.pop("label"), "Array label of a label tree is missing"),
    "dtype": (lambda a: a.update(child_ptr=a["child_ptr"].astype(np.int32)), "child_ptr .* dtype int32"),
    "unsigned": (lambda a: a.update(label=a["label"].astype(np.uint32)), "label .* dtype uint32"),
    "flat": (lambda a: a.update(label=a["label"][None]), r"label .* shape \(1, 5\)"),
    "names": (lambda a: a.update(names=np.zeros(5)), "names .* must be flat and of text"),
    "number of names": (lambda a: a.update(names=a["names"][:2]), "names .* has 2 entries; 5 would fit"),
    "short": (lambda a: a.update(child_ptr=a["child_ptr"][:-1]), "child_ptr .* has 5 entries; 6 would fit"),
    "empty": (lambda a: a.update(child_ptr=a["child_ptr"][:0]), "child_ptr .* has 0 entries; 6 would fit"),
    "nothing": (
        lambda a: a.update({name: array[:0] for name, array in a.items()}),
        "child_ptr .* has 0 entries; 1 would fit",
    ),
    "label": (
        lambda a: a.update(label=np.where(a["label"] == 2, np.int32(11), a["label"])),
        "label id 11, but .* 3 labels",
    ),
    "twice": (lambda a: a.update(label=np.minimum(a["label"], 1)), "Label 1 stands at nodes"),
    "order": (lambda a: a.update(child_ptr=np.sort(a["child_ptr"])[::-1].copy()), "child_ptr"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_load_rejects_damaged_arrays(damage):
    change, message = DAMAGES[damage]
    arrays = dict(LabelTree.from_edges([("a", "A"), ("b", "A"), ("A", "top"), ("c", "top")]).arrays())
    change(arrays)
    with pytest.raises(ModelFileError, match=message):
        LabelTree.from_arrays(arrays, 3)


@pytest.mark.parametrize("n_labels", [0, -3, 2.0, "3", None, True, 2**31, 2])
def test_load_rejects_a_damaged_number_of_labels(n_labels):
    with pytest.raises(ModelFileError, match="labels"):
        LabelTree.from_arrays(LabelTree.flat([0, 1, 2]).arrays(), n_labels)


def test_load_checks_contents_later_on_demand():
    arrays = LabelTree.flat([0, 1, 2]).arrays()
    assert LabelTree.from_arrays(arrays, 3, verify=False) == LabelTree.flat([0, 1, 2])
    damaged = LabelTree.from_arrays({**arrays, "label": np.array([-1, 0, 0, 2], np.int32)}, 3, verify=False)
    with pytest.raises(ValueError, match="Label 0 stands at nodes 1 and 2"):
        damaged.verify()
    with pytest.raises(ModelFileError, match="dtype int64"):
        LabelTree.from_arrays({**arrays, "label": np.array([-1, 0, 0, 2])}, 3, verify=False)


def test_load_rejects_a_changed_file_and_another_class(tmp_path):
    LabelTree.flat([0, 1]).save(tmp_path / "tree")
    edit_header(tmp_path / "tree", lambda header: header.update({"class": "DiSMEC"}))
    with pytest.raises(ModelFileError, match="holds no label tree but a model of class 'DiSMEC'"):
        LabelTree.load(tmp_path / "tree")
    edit_header(tmp_path / "tree", lambda header: header.update({"class": "LabelTree"}))
    file = next((tmp_path / "tree").glob("label.*.npy"))
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ModelFileError, match="checksum"):
        LabelTree.load(tmp_path / "tree")
    with pytest.raises(ModelFileError, match="no model"):
        LabelTree.load(tmp_path / "nowhere")


# Drawings

CATALOG = LabelTree.from_edges(
    [("fruit", "goods"), ("seats", "goods"), *((name, "fruit") for name in "abcd"), ('x"\\', "seats")]
)


def test_tree_as_text():
    drawn = CATALOG.draw(max_children=3)
    assert drawn.splitlines() == [
        "goods (5 labels)",
        "├── fruit (4 labels)",
        "│   ├── a",
        "│   ├── b",
        "│   ├── c",
        "│   └── ... 1 more",
        "└── seats (1 label)",
        '    └── x"\\',
    ]
    assert CATALOG.draw(max_depth=1) == "goods (5 labels)\n├── fruit (4 labels)\n└── seats (1 label)"
    assert CATALOG.draw(max_depth=0) == "goods (5 labels)"
    assert CATALOG.draw(["A", "B", "C", "D", "stool"]).splitlines()[-1] == "    └── stool"


def test_tree_as_text_without_names():
    tree = LabelTree.from_codes([(0, 0), (0, 1), (1, 0), (1, 1, 0), (1, 1, 1)])
    assert tree.draw(np.array(["a", "b", "c", "d", "e"]), max_depth=1).splitlines() == [
        "5 labels: a, b, c, ...",
        "├── 2 labels: a, b",
        "└── 3 labels: c, d, e",
    ]
    assert tree.draw(max_depth=0) == "5 labels: 0, 1, 2, ..."


@given(trees(), st.integers(0, 4), st.integers(1, 4))
def test_drawings_show_the_same_boxes(tree, max_depth, max_children):
    text = tree.draw(max_depth=max_depth, max_children=max_children)
    captions = [re.sub(r"^[│├└─ ]*", "", line) for line in text.splitlines()]
    graph = tree.to_graphviz(max_depth=max_depth, max_children=max_children)
    assert re.findall(r'label="([^"]*)"', graph) == captions
    assert graph.count("->") == len(captions) - 1
    wide = tree.draw(max_depth=tree.depth, max_children=tree.n_nodes).splitlines()
    assert len(wide) == tree.n_nodes


def test_graphviz_escapes_names():
    assert 'label="x\\"\\\\"' in CATALOG.to_graphviz()
    assert 'label="two\\nlines"' in LabelTree.flat([0]).to_graphviz(["two\nlines"])


def test_plot():
    from matplotlib import pyplot

    ax = CATALOG.plot(["$a$", "b", "c", "d", "n" * 90], max_children=2)
    captions = [text.get_text() for text in ax.texts]
    assert captions == [
        "goods (5 labels)",
        "fruit (4 labels)",
        "$a$",
        "b",
        "... 2 more",
        "seats (1 label)",
        "n" * 37 + "...",
    ]
    assert len(ax.lines) == len(captions) - 1
    heights = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert heights["fruit (4 labels)"] == heights["b"] == 1
    assert heights["... 2 more"] < heights["seats (1 label)"]
    ax.figure.canvas.draw()
    pyplot.close(ax.figure)
    figure, axes = pyplot.subplots(1, 2)
    assert LabelTree.flat([0, 1]).plot(ax=axes[1]) is axes[1]
    assert not axes[0].texts
    pyplot.close(figure)


def test_plot_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'xclassic\[report\]'"):
        CATALOG.plot()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"label_names": ["a"]}, "label_names has 1 entries; the tree is made for 5 labels"),
        ({"max_depth": -1}, "max_depth is -1; it must be at least 0"),
        ({"max_children": 0}, "max_children is 0; it must be at least 1"),
    ],
)
def test_drawings_reject_bad_arguments(arguments, message):
    for draw in (CATALOG.draw, CATALOG.to_graphviz, CATALOG.plot):
        with pytest.raises(ValueError, match=message):
            draw(**arguments)
