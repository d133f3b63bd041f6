"""LabelHierarchy: how it is made, what it refuses, and its levels beside loops over labels and rows."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from xclassic import LabelTree, OneVsRestLeastSquares, TopK, XRLinear
from xclassic.taxonomy.hierarchy import LabelHierarchy

LEVELS = ("group", "shelf", "type")
# "Shorts" under two parents, and a path that ends where another one goes on.
PATHS = [
    ("Women", "Sport", "Shorts"),
    ("Men", "Sport", "Shorts"),
    ("Women", "Sport", "Socks"),
    ("Women",),
    ("Men", "Office"),
]


def clothes():
    return LabelHierarchy(PATHS, LEVELS)


# Builders


def test_hierarchy_from_texts_and_from_sequences_is_the_same():
    texts = [" > ".join(path) for path in PATHS]
    for paths in (texts, PATHS, [list(path) for path in PATHS], [np.array(path) for path in PATHS], iter(texts)):
        assert LabelHierarchy.from_paths(paths, LEVELS) == clothes()
    assert LabelHierarchy.from_paths(["a/b", "a/c"], sep="/").paths == (("a", "b"), ("a", "c"))
    assert LabelHierarchy.from_paths(["a/b"], sep="/").labels.tolist() == ["a/b"]
    assert LabelHierarchy.from_paths(PATHS).levels == ("L0", "L1", "L2")


@pytest.mark.parametrize("missing", [None, float("nan"), "", "na", "NA", "n/a"])
def test_path_ends_at_missing_names(missing):
    assert LabelHierarchy.from_paths([["a", "b", missing], ["a", missing, missing]]).paths == (("a", "b"), ("a",))
    table = {"x": ["a", "a", missing], "y": [missing, "b", missing]}
    assert LabelHierarchy.from_table(table, ["x", "y"]).paths == (("a",), ("a", "b"))


def test_na_is_what_the_caller_says():
    assert LabelHierarchy.from_paths([["a", "na"], ["a", "-"]], na=["-"]).paths == (("a", "na"), ("a",))
    assert LabelHierarchy.from_table({"x": ["na"]}, ["x"], na=()).paths == (("na",),)


def test_hierarchy_from_tables_of_every_kind_is_the_same():
    pandas = pytest.importorskip("pandas")
    columns = clothes().to_table() | {"price": [1.0, 2.0, 3.0, 4.0, 5.0]}
    records = [{key: columns[key][i] for key in columns} for i in range(5)]
    short = [{key: value for key, value in record.items() if value is not None} for record in records]
    for table in (columns, records, short, records + records[::-1], pandas.DataFrame(columns)):
        assert set(LabelHierarchy.from_table(table, LEVELS).paths) == set(PATHS)
    assert LabelHierarchy.from_table(records, LEVELS).labels.tolist() == sorted(" > ".join(path) for path in PATHS)
    assert LabelHierarchy.from_table(pandas.DataFrame(records), list(LEVELS), sep="|").sep == "|"


def test_gap_is_rejected_with_its_row():
    table = {"x": ["a", "a"], "y": ["b", None], "z": [None, "c"]}
    with pytest.raises(ValueError, match="Row 1 of the table has z 'c' but no y; fill the gap"):
        LabelHierarchy.from_table(table, ["x", "y", "z"])
    with pytest.raises(ValueError, match=r"paths\[1\] has L2 'c' but no L1"):
        LabelHierarchy.from_paths(["a > b", "a >  > c"])
    with pytest.raises(ValueError, match=r"paths\[0\] has level 2 'c' but no level 1"):
        LabelHierarchy.from_paths([["a", None, "c"]], ["x"])


def test_contradictions_are_rejected_where_names_identify_nodes():
    table = {
        "category": ["Beauty", "Beauty", "Baby", "Baby"],
        "sub_category": ["Hair Care", "Skin Care", "Hair Care", "Toys"],
    }
    with pytest.raises(
        ValueError,
        match=r"parents \(1\): sub_category 'Hair Care' lies under both 'Beauty' \(row 0\) and 'Baby' \(row 2\)",
    ):
        LabelHierarchy.from_table(table, list(table), unique=True)
    assert len(LabelHierarchy.from_table(table, list(table)).labels) == 4
    table["category"][2] = "Beauty"
    assert len(LabelHierarchy.from_table(table, list(table), unique=True).labels) == 3


def test_contradictions_of_upper_levels_come_first():
    table = {"x": list("abababab"), "y": list("ccccdddd"), "z": list("eefgijkk")}
    with pytest.raises(
        ValueError,
        match=r"parents \(4\): y 'c' lies .*; y 'd' lies .*; z 'e' lies under both 'a > c' \(row 0\).*; \.\.\.",
    ):
        LabelHierarchy.from_table(table, list(table), unique=True)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: LabelHierarchy.from_paths([]), ValueError, "There is no path"),
        (lambda: LabelHierarchy.from_table([], ["x"]), ValueError, "There is no path"),
        (lambda: LabelHierarchy.from_table({"x": [None, "na"]}, ["x"]), ValueError, "There is no path"),
        (lambda: LabelHierarchy.from_paths(["a"], []), ValueError, "levels is empty"),
        (lambda: LabelHierarchy.from_paths(["a", "na"]), ValueError, r"The path \(\) has 0 names; it may have 1 to 1"),
        (lambda: LabelHierarchy.from_paths(["a > b"], ["x"]), ValueError, "has 2 names; it may have 1 to 1"),
        (lambda: LabelHierarchy([("a", "")], ["x", "y"]), ValueError, "none of them empty"),
        (lambda: LabelHierarchy([("a", 3)], ["x", "y"]), TypeError, "holds something that is not a string"),
        (lambda: LabelHierarchy.from_paths(["a", "b", "a"]), ValueError, "Labels 0 and 2 both have the path 'a'"),
        (lambda: LabelHierarchy.from_paths([["a > b"]]), ValueError, "cannot be written with ' > '"),
        (lambda: LabelHierarchy.from_paths([["a >", "b"]]), ValueError, "cannot be written with ' > '"),
        (lambda: LabelHierarchy.from_paths(["a\0"]), ValueError, "null character"),
        (lambda: LabelHierarchy([("a",)], ["x"], ""), ValueError, "sep is ''"),
        (lambda: LabelHierarchy.from_paths([7]), TypeError, r"paths\[0\] is 7; pass text, or a list"),
        (lambda: LabelHierarchy.from_paths([["a", 7]]), TypeError, r"paths\[0\] is 7 of type int; names are strings"),
        (lambda: LabelHierarchy.from_paths(["a"], na="na"), TypeError, "na is 'na'; pass a list"),
        (lambda: LabelHierarchy.from_table({"x": ["a", 7]}, ["x"]), TypeError, r"table\['x'\]\[1\] is 7 of type int"),
        (lambda: LabelHierarchy.from_table({"x": ["a"]}, "x"), TypeError, r"levels is 'x'; pass a list"),
        (lambda: LabelHierarchy.from_table({"x": ["a"]}, ["x", "x"]), ValueError, "levels names 'x' twice"),
        (lambda: LabelHierarchy.from_table({"x": ["a"]}, ["y"]), ValueError, "no field 'y'; found are x"),
        (lambda: LabelHierarchy.from_table({"x": ["a"], "y": []}, ["x", "y"]), ValueError, "rows"),
        (lambda: LabelHierarchy.from_table([["a"]], ["x"]), TypeError, r"table\[0\] is a list"),
    ],
)
def test_hierarchy_rejects_bad_input(build, error, message):
    with pytest.raises(error, match=message):
        build()


# Labels and nodes, by hand


def test_levels_of_a_small_hierarchy():
    hierarchy = clothes()
    assert hierarchy.nodes("group").tolist() == ["Men", "Women"]
    assert hierarchy.nodes(1).tolist() == ["Men > Office", "Men > Sport", "Women", "Women > Sport"]
    assert hierarchy.node_ids(0).tolist() == [1, 0, 1, 1, 0]
    assert hierarchy.node_ids("shelf").tolist() == [3, 1, 3, 2, 0]
    assert hierarchy.parents("shelf").tolist() == [0, 0, 1, 1]
    assert hierarchy.nodes("type")[hierarchy.node_ids("type")].tolist() == hierarchy.labels.tolist()
    assert hierarchy.path(2) == ("Women", "Sport", "Socks")
    assert hierarchy.ancestors(2) == ("Women", "Women > Sport")
    assert hierarchy.ancestors(3) == ()
    assert repr(hierarchy) == "LabelHierarchy(5 labels; group: 2, shelf: 4, type: 5)"


@pytest.mark.parametrize("level", ["color", 3, -1])
def test_level_must_be_known(level):
    top = TopK.empty(1, 1)
    for query in (clothes().nodes, clothes().parents, lambda level: clothes().expand(top, level)):
        with pytest.raises(ValueError, match=r"no level .*; levels are 'group', 'shelf', 'type', or 0 to 2"):
            query(level)


def test_labels_must_be_known_and_have_parents():
    for query in (clothes().path, clothes().ancestors):
        with pytest.raises(ValueError, match="no label 5; ids are 0 to 4"):
            query(5)
        with pytest.raises(ValueError, match="no label -1"):
            query(-1)
    with pytest.raises(ValueError, match="'group' is the top"):
        clothes().parents("group")


def test_alignment():
    hierarchy = clothes()
    wanted = np.array(["Women", "Men > Sport > Shorts"])
    assert hierarchy.aligned(wanted).labels.tolist() == wanted.tolist()
    assert hierarchy.aligned(wanted).nodes("shelf").tolist() == ["Men > Sport", "Women"]
    assert hierarchy.aligned(["Socks", "Office"]).paths == (PATHS[2], PATHS[4])
    with pytest.raises(ValueError, match="'Shorts' ends several paths, 'Women > Sport > Shorts' and 'Men > Sport"):
        hierarchy.aligned(["Shorts", "Socks"])
    with pytest.raises(ValueError, match=r"1 of 2 classes have no path \(first: \['Hats'\]\)"):
        hierarchy.aligned(["Hats", "Socks"])
    with pytest.raises(ValueError, match="After a fit on a matrix label ids are its columns"):
        hierarchy.aligned([0, 1])
    with pytest.raises(ValueError, match="both have the path"):
        hierarchy.aligned(["Socks", "Socks"])


def test_alignment_to_the_classes_of_an_estimator():
    hierarchy = clothes()
    X = np.eye(5, dtype=np.float32)
    clf = OneVsRestLeastSquares().fit(X, hierarchy.labels)
    aligned = hierarchy.aligned(clf.classes_)
    best = aligned.expand(clf.predict_topk(X, 5), "group").ids[:, 0]
    assert aligned.nodes("group")[best].tolist() == [path[0] for path in PATHS]


def test_hierarchy_tree():
    tree = clothes().tree
    assert isinstance(tree, LabelTree)
    assert (tree.n_labels, tree.depth) == (5, 3)
    for label, path in enumerate(PATHS):
        names = [str(tree.names[node]) for node in tree.paths()[label] if node >= 0]
        assert tuple(names[1 : 1 + len(path)]) == path  # what follows is the label's own leaf in its inner node
    assert LabelHierarchy.from_paths(["only"]).tree.n_labels == 1
    X = np.eye(5, dtype=np.float32)
    Y = csr_array(np.eye(5, dtype=np.float32))
    assert XRLinear(tree=tree).fit(X, Y).predict_topk(X, 1).ids[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_hierarchy_pickle_and_equality():
    hierarchy = clothes()
    hierarchy.nodes("group")
    assert pickle.loads(pickle.dumps(hierarchy)) == hierarchy
    assert hierarchy != LabelHierarchy(PATHS[::-1], LEVELS)
    assert hierarchy != "clothes"


# From labels to levels


def test_expanding_by_hand():
    hierarchy = clothes()
    top = TopK.from_dense([[0.3, 0.35, 0.2, 0.1, 0.05], [-1.0, -2.0, -np.inf, -np.inf, -3.0]], k=5)
    by_sum = hierarchy.expand(top, "group", how="sum")
    assert by_sum.ids.tolist() == [[1, 0], [1, 0]]
    np.testing.assert_allclose(by_sum.scores, [[0.6, 0.4], [-1, -5]], rtol=1e-6)
    by_max = hierarchy.expand(top, "group")
    assert by_max.ids.tolist() == [[0, 1], [1, 0]]
    np.testing.assert_allclose(by_max.scores, [[0.35, 0.3], [-1, -2]], rtol=1e-6)
    assert hierarchy.expand(top, "shelf").counts.tolist() == [4, 3]
    assert hierarchy.expand(top.head(1), "shelf").ids.shape == (2, 1)


def test_expanding_nothing():
    assert clothes().expand(TopK.empty(0, 3), "shelf", how="sum").ids.shape == (0, 3)
    top = clothes().expand(TopK.empty(2, 3), "group")
    assert top.ids.tolist() == [[-1, -1], [-1, -1]]


def test_expanding_rejects_bad_rankings_and_truths():
    hierarchy = clothes()
    with pytest.raises(ValueError, match="label ids from 0 to 6; there are 5"):
        hierarchy.expand(TopK.from_dense(np.ones((1, 7)), 7), "group")
    with pytest.raises(ValueError, match="how is 'mean'; it must be one of 'sum', 'max'"):
        hierarchy.expand(TopK.empty(1, 1), "group", how="mean")
    with pytest.raises(ValueError, match="Y has 4 columns; the hierarchy has 5 labels"):
        hierarchy.truth(np.ones((2, 4)), "group")
    with pytest.raises(TypeError, match="Y is not a matrix of numbers"):
        hierarchy.truth([1, 0, 0, 0, 0], "group")
    with pytest.raises(ValueError, match="train_counts has 3 entries; the hierarchy has 5 labels"):
        hierarchy.evaluate_levels(np.ones((1, 5)), TopK.empty(1, 1), train_counts=[1, 2, 3])


def test_targets():
    table = [
        {"group": "Women", "shelf": "Sport", "type": "Socks"},
        {"group": "Women", "shelf": "na"},
        {"group": "Women", "shelf": "Home"},
        {"group": None},
    ]
    Y = clothes().targets(table)
    assert Y.shape == (4, 5)
    assert [row.nonzero()[0].tolist() for row in Y.toarray()] == [[2], [3], [], []]
    with pytest.raises(ValueError, match="Row 0 of the table has shelf 'Sport' but no group"):
        clothes().targets([{"group": None, "shelf": "Sport", "type": None}])


# Beside loops

NAMES = st.sampled_from(["a", "b", "a b", "A"])
SEVERAL_PATHS = st.lists(st.lists(NAMES, min_size=1, max_size=3).map(tuple), min_size=1, max_size=10, unique=True)


def naive_node(path, level):
    """A label above the level is carried down as itself."""
    return " > ".join(path[: level + 1])


@given(SEVERAL_PATHS)
def test_nodes_are_those_of_a_loop(paths):
    hierarchy = LabelHierarchy(paths, ["x", "y", "z"])
    for level in range(3):
        nodes = hierarchy.nodes(level).tolist()
        assert nodes == sorted({naive_node(path, level) for path in paths})
        assert [nodes[i] for i in hierarchy.node_ids(level)] == [naive_node(path, level) for path in paths]
        if level:
            above = [str(hierarchy.nodes(level - 1)[i]) for i in hierarchy.parents(level)]
            assert above == [naive_node(node.split(" > "), level - 1) for node in nodes]
    for label, path in enumerate(paths):
        assert list(hierarchy.ancestors(label)) == [naive_node(path, level) for level in range(len(path) - 1)]
    assert LabelHierarchy.from_table(hierarchy.to_table(), ["x", "y", "z"]) == hierarchy.aligned(
        sorted(hierarchy.labels)
    )
    assert pickle.loads(pickle.dumps(hierarchy)) == hierarchy
    assert hierarchy.tree.labels.tolist() == list(range(len(paths)))


@given(SEVERAL_PATHS, st.integers(0, 2**32 - 1), st.integers(1, 10), st.sampled_from(["sum", "max"]))
def test_expanding_is_that_of_a_loop(paths, seed, k, how):
    hierarchy = LabelHierarchy(paths, ["x", "y", "z"])
    rng = np.random.default_rng(seed)
    scores = rng.integers(-3, 4, (4, len(paths))) / 4
    scores[rng.random(scores.shape) < 0.4] = -np.inf
    top = TopK.from_dense(scores, k)
    for level in range(3):
        nodes = hierarchy.nodes(level).tolist()
        expanded = hierarchy.expand(top, level, how=how)
        assert expanded.k == min(top.k, len(nodes))
        for i in range(4):
            found = {}
            for label, score in zip(top.ids[i, : top.counts[i]], top.scores[i], strict=False):
                found.setdefault(nodes.index(naive_node(paths[label], level)), []).append(float(score))
            merged = {node: sum(values) if how == "sum" else max(values) for node, values in found.items()}
            ranked = sorted(merged.items(), key=lambda pair: (-pair[1], pair[0]))
            count = expanded.counts[i]
            assert count == len(ranked)
            assert (
                list(zip(expanded.ids[i, :count].tolist(), expanded.scores[i, :count].tolist(), strict=True)) == ranked
            )


@given(SEVERAL_PATHS, st.integers(0, 2**32 - 1), st.booleans())
def test_truth_is_that_of_a_loop(paths, seed, sparse):
    hierarchy = LabelHierarchy(paths, ["x", "y", "z"])
    Y = (np.random.default_rng(seed).random((5, len(paths))) < 0.3).astype(np.float32)
    for level in range(3):
        nodes = hierarchy.nodes(level).tolist()
        truth = hierarchy.truth(csr_array(Y) if sparse else Y, level)
        expected = np.zeros((5, len(nodes)))
        for i, label in np.argwhere(Y):
            expected[i, nodes.index(naive_node(paths[label], level))] = 1
        assert truth.has_canonical_format
        assert truth.dtype == np.float32
        np.testing.assert_array_equal(truth.toarray(), expected)


@given(SEVERAL_PATHS, st.integers(0, 2**32 - 1))
def test_best_node_lies_above_the_best_label(paths, seed):
    hierarchy = LabelHierarchy(paths, ["x", "y", "z"])
    scores = np.random.default_rng(seed).permutation(len(paths) * 3).reshape(3, -1)  # without ties
    top = TopK.from_dense(scores, len(paths))
    for level in range(3):
        best = hierarchy.expand(top, level).ids[:, 0]
        np.testing.assert_array_equal(best, hierarchy.node_ids(level)[top.ids[:, 0]])
    for level in (1, 2):
        parents = hierarchy.parents(level)[hierarchy.expand(top, level).ids[:, 0]]
        np.testing.assert_array_equal(parents, hierarchy.expand(top, level - 1).ids[:, 0])


# Metrics


@given(SEVERAL_PATHS, st.integers(0, 2**32 - 1))
def test_metrics_of_levels_are_those_of_scikit_learn(paths, seed):
    hierarchy = LabelHierarchy(paths, ["x", "y", "z"])
    rng = np.random.default_rng(seed)
    true, predicted = rng.integers(len(paths), size=(2, 8))
    Y = np.eye(len(paths))[true]
    counts = rng.integers(0, 60, len(paths))
    results = hierarchy.evaluate_levels(Y, TopK.from_dense(np.eye(len(paths))[predicted], 1), train_counts=counts)
    assert list(results) == ["x", "y", "z"]
    for level, found in results.items():
        ids = hierarchy.node_ids(level)
        y, z = ids[true], ids[predicted]
        assert found["accuracy"] == pytest.approx(accuracy_score(y, z))
        expected = precision_recall_fscore_support(y, z, average="macro", zero_division=0)[:3]
        assert [found[f"macro {name}"] for name in ("precision", "recall", "F1")] == pytest.approx(expected)
        of_nodes = np.bincount(ids, counts)
        tail = of_nodes[y] <= 25
        if tail.any():
            assert found["tail accuracy"] == pytest.approx((y == z)[tail].mean())
        else:
            assert "tail accuracy" not in found


def test_sums_may_choose_another_node_than_the_best_label_has():
    hierarchy = clothes()
    top = TopK.from_dense([[0.3, 0.35, 0.2, 0.1, 0.05]], k=5)
    Y = [[1, 0, 0, 0, 0]]
    assert hierarchy.evaluate_levels(Y, top)["group"]["accuracy"] == 0
    assert hierarchy.evaluate_levels(Y, top, how="sum")["group"]["accuracy"] == 1


def test_the_deepest_node_that_is_probable_enough_equals_a_loop():
    hierarchy = LabelHierarchy.from_paths(["a", "a > b", "a > b > c", "a > b > d", "a > e > f", "g > h > i"])
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(6, 0.4), size=60)
    top = TopK.from_dense(probabilities, 6)
    for least in (0.0, 0.3, 0.5, 0.9, 1.0):
        for row, found in zip(probabilities, hierarchy.deepest(top, least), strict=True):
            expected = None
            for depth in (1, 2, 3):
                sums = {}
                for label, share in zip(hierarchy.paths, row, strict=True):
                    sums[label[:depth]] = sums.get(label[:depth], 0) + share
                best = max(sums, key=sums.get)
                expected = " > ".join(best) if sums[best] >= least else expected
            assert found == expected
    assert hierarchy.deepest(TopK.empty(2, 3)).tolist() == [None, None]
    with pytest.raises(ValueError, match="min_probability is 2"):
        hierarchy.deepest(top, 2)
