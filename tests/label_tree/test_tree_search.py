"""Tree search against slow twins, to the last id, and what it makes of damaged models."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

import xclassic
from tests.helpers.interrupts import HANG
from tests.helpers.naive import trees as naive_trees
from tests.helpers.trees import random_shape
from xclassic import LabelTree, XRLinear
from xclassic._kernels.arguments import LANES
from xclassic.blocks.weights import BlockWeights
from xclassic.label_tree.search import PATH_SCORES, TreeModel, search
from xclassic.weighted_ranking import ScoreWeights

D = 12


def model_of(tree, W, bias):
    """The model whose node n has the weights W[:, n] and bias[n]."""
    children = [np.arange(tree.child_ptr[node], tree.child_ptr[node + 1]) for node in tree.inner]
    parts = [BlockWeights.from_dense(W[:, nodes], bias[nodes], nodes, 0.0).arrays() for nodes in children]

    def joined(name):
        return np.concatenate([part[name] for part in parts])

    def starts(name):
        return np.cumsum([0, *(len(part[name]) for part in parts)])

    def lows(name, counted):
        return np.append(
            np.concatenate([part[name][:-1] + start for part, start in zip(parts, starts(counted), strict=False)]),
            starts(counted)[-1],
        ).astype(np.uint32)

    values = np.concatenate([*(part["values"][:-LANES] for part in parts), np.zeros(LANES, np.float32)])
    sizes = np.cumsum([0, *(len(part["values"]) - LANES for part in parts)])
    for part in parts:
        part["packed"] = part["values"][:-LANES]
    weights = BlockWeights(
        chunk_group_ptr=starts("labels") // LANES,
        chunk_feature_ptr=starts("features"),
        labels=joined("labels"),
        bias=joined("bias"),
        features=joined("features"),
        chunk_cell_ptr=starts("cell_masks"),
        chunk_value_ptr=sizes,
        feature_cell_ptr=lows("row_cells", "cell_masks"),
        feature_value_ptr=lows("row_values", "packed"),
        cell_groups=joined("cell_groups"),
        cell_masks=joined("cell_masks"),
        values=values,
        chunk_scales=np.ones(len(parts), np.float32),
        n_features=W.shape[0],
    )
    model = TreeModel(tree, weights)
    model.verify()
    return model


def random_problem(seed, n_labels=30, n=20, coarse=True, spread=1.0):
    """A tree, its model and rows. Coarse margins are exact in float32, and tie now and then."""
    random = np.random.default_rng(seed)
    tree = random_shape(n_labels, seed)
    W, bias = random.normal(0, spread, (D, tree.n_nodes)), random.normal(0.5, spread, tree.n_nodes)
    W *= random.random(W.shape) < 0.3
    X = random.normal(size=(n, D)) * (random.random((n, D)) < 0.4)
    if coarse:
        W, bias, X = np.rint(4 * W) / 4, np.rint(4 * bias) / 4, np.rint(2 * X) / 4
    W, bias, X = W.astype(np.float32), bias.astype(np.float32), X.astype(np.float32)
    return model_of(tree, W, bias), csr_array(X), X.astype(np.float64) @ W + bias


def twin(model, margins, score, beam, allowed=None):
    tree = model.tree
    return naive_trees.beam_search(tree.child_ptr.tolist(), tree.label.tolist(), margins, score, beam, allowed)


def predictions(top, row):
    return list(zip(top.ids[row, : top.counts[row]].tolist(), top.scores[row, : top.counts[row]].tolist(), strict=True))


def check(top, models, margins, score, beam, allowed=None, ids=True):
    for row in range(len(top.ids)):
        found = predictions(top, row)
        means = naive_trees.mean_scores(
            [twin(m, x[row], score, beam, allowed) for m, x in zip(models, margins, strict=True)]
        )
        ranked = sorted(means, key=lambda label: (-means[label], label))[: top.ids.shape[1]]
        assert len(found) == len(ranked)
        if ids:
            assert [label for label, _ in found] == ranked
        np.testing.assert_allclose([p for _, p in found], [means[label] for label in ranked], rtol=3e-5, atol=1e-37)
        np.testing.assert_allclose([p for _, p in found], [means[label] for label, _ in found], rtol=3e-5, atol=1e-37)


# Against the slow twin


@pytest.mark.parametrize("score", ["hinge2", "hinge3"])
@pytest.mark.parametrize("beam", [1, 2, 5, 1000, None])
@pytest.mark.parametrize("k", [1, 4, 30])
def test_search_finds_the_ids_of_the_twin(score, beam, k, level):
    for seed in range(4):
        model, X, margins = random_problem(seed)
        for rows in (X, X.toarray()):
            check(search([model], rows, k, score=score, beam=beam), [model], [margins], score, beam)


@given(st.integers(0, 10**6), st.integers(1, 60), st.sampled_from([1, 3, None]), st.integers(1, 70), st.booleans())
@settings(max_examples=80)
def test_search_of_random_trees_is_that_of_the_twin(seed, n_labels, beam, k, restricted):
    model, X, margins = random_problem(seed, n_labels, n=6)
    allowed = (
        np.flatnonzero(np.random.default_rng(seed).random(n_labels) < 0.3).astype(np.int32) if restricted else None
    )
    top = search([model], X, k, score="hinge2", beam=beam, labels=allowed)
    check(top, [model], [margins], "hinge2", beam, None if allowed is None else set(allowed.tolist()))


@pytest.mark.parametrize("score", PATH_SCORES)
@pytest.mark.parametrize("spread", [0.1, 1.0, 30.0])
def test_scores_of_every_kind_and_size(score, spread, level):
    for seed in range(3):
        model, X, margins = random_problem(seed, coarse=False, spread=spread)
        for beam in (1000, None):
            top = search([model], X, 30, score=score, beam=beam)
            for row in range(len(top.ids)):
                expected = twin(model, margins[row], score, None)
                found = dict(predictions(top, row))
                assert found.keys() == expected.keys()
                # Rounding of a margin of 100 is squared and cubed before it comes into the exponent.
                np.testing.assert_allclose(
                    [found[label] for label in expected],
                    list(expected.values()),
                    rtol=1e-4 * max(1, spread**2),
                    atol=1e-5,
                )
                assert all(a >= b for a, b in zip(top.scores[row], top.scores[row, 1:], strict=False))


@pytest.mark.parametrize("n_trees", [2, 3, 5])
@pytest.mark.parametrize("beam", [1, 4, None])
def test_ensembles_rank_by_the_mean_of_what_each_tree_scored(n_trees, beam):
    problems = [random_problem(seed) for seed in range(n_trees)]
    models, X = [model for model, _, _ in problems], problems[0][1]
    margins = []
    for model in models:
        W = model.weights.to_csc(model.tree.n_nodes).toarray().astype(np.float64)
        bias = np.zeros(model.tree.n_nodes)
        used = model.weights.labels >= 0
        bias[model.weights.labels[used]] = model.weights.bias[used]
        margins.append(X.toarray() @ W + bias)
    for allowed in (None, {1, 5, 6, 7, 20}):
        labels = None if allowed is None else np.array(sorted(allowed), np.int32)
        top = search(models, X, 30, score="hinge2", beam=beam, labels=labels)
        check(top, models, margins, "hinge2", beam, allowed, ids=False)


def test_trees_that_lack_labels_count_zero_for_them():
    trees = [LabelTree.flat([0, 1], n_labels=4), LabelTree.flat([1, 3], n_labels=4)]
    models = [model_of(tree, np.zeros((D, 3), np.float32), np.array([0, 2, 2], np.float32)) for tree in trees]
    X = csr_array((1, D), dtype=np.float32)
    for beam in (1, None):
        top = search(models, X, 4, score="hinge2", beam=beam)
        assert predictions(top, 0) == [(1, 1.0), (0, 0.5), (3, 0.5)]
        assert predictions(search(models[:1], X, 4, score="hinge2", beam=beam), 0) == [(0, 1.0), (1, 1.0)]
        none = search(models, X, 4, score="hinge2", beam=beam, labels=np.array([2], np.int32))
        assert none.counts.tolist() == [0]


# Exact search


@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from(PATH_SCORES))
@settings(max_examples=60)
def test_exact_search_is_a_beam_as_wide_as_the_tree(seed, k, score):
    model, X, _ = random_problem(seed, 40, coarse=False, spread=3.0)
    for labels in (None, np.arange(0, 40, 3, dtype=np.int32)):
        exact = search([model], X, k, score=score, beam=None, labels=labels)
        wide = search([model], X, k, score=score, beam=1000, labels=labels)
        assert all(predictions(exact, row) == predictions(wide, row) for row in range(X.shape[0]))


@pytest.mark.parametrize("beam", [10**9, 2**62, 2**63 - 1])
def test_beam_wider_than_any_tree_takes_no_memory(beam):
    model, X, _ = random_problem(0)
    wide, exact = (search([model], X, 5, score="hinge2", beam=width) for width in (beam, None))
    np.testing.assert_array_equal(wide.ids, exact.ids)
    np.testing.assert_array_equal(search([model] * 2, X, 5, score="hinge2", beam=beam).ids, exact.ids)


# Weights of labels


def random_weights(seed, n_labels, spread=2.0):
    weights = np.exp(np.random.default_rng(seed).normal(0, spread, n_labels)).astype(np.float32)
    return ScoreWeights(weights, added=False)


def best_weighed(top, weights, k):
    """Weigh all labels of a ranking one by one; the best k of each row."""
    rows = []
    for row in range(len(top.ids)):
        weighed = [(np.float32(score) * weights.values[label], label) for label, score in predictions(top, row)]
        rows.append(
            [(label, float(score)) for score, label in sorted(weighed, key=lambda pair: (-pair[0], pair[1]))[:k]]
        )
    return rows


@given(st.integers(0, 10**6), st.integers(1, 40), st.sampled_from([1, 3, 40]), st.sampled_from(PATH_SCORES))
@settings(max_examples=60)
def test_wide_beams_and_exact_search_weigh_every_label(seed, n_labels, k, score):
    model, X, _ = random_problem(seed, n_labels, n=6, coarse=seed % 2 == 0)
    weights = random_weights(seed, n_labels)
    for labels in (None, np.arange(0, n_labels, 3, dtype=np.int32)):
        full = search([model], X, n_labels, score=score, beam=None, labels=labels)
        expected = best_weighed(full, weights, k)
        for beam in (1000, None):
            top = search([model], X, k, score=score, beam=beam, labels=labels, weights=weights)
            assert [predictions(top, row) for row in range(6)] == expected


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5]), st.sampled_from([1, 4]))
@settings(max_examples=60)
def test_weights_lose_no_label_of_the_same_beam(seed, beam, k):
    model, X, _ = random_problem(seed, 60, n=6)
    weights = random_weights(seed, 60)
    plain = search([model], X, 60, score="hinge2", beam=beam)
    everything = search([model], X, 60, score="hinge2", beam=None)
    top = search([model], X, k, score="hinge2", beam=beam, weights=weights)
    for row, of_plain in enumerate(best_weighed(plain, weights, k)):
        scores = dict(predictions(everything, row))
        found = predictions(top, row)
        assert all(value == np.float32(scores[label]) * weights.values[label] for label, value in found)
        assert len(found) >= len(of_plain)
        assert all(
            (-value, label) <= (-other[1], other[0]) for (label, value), other in zip(found, of_plain, strict=False)
        )


def test_a_heavy_label_is_found_behind_a_node_that_the_plain_beam_drops():
    # Four nodes of two labels each; the beam keeps two of the nodes.
    tree = LabelTree.from_codes([(node, leaf) for node in range(4) for leaf in range(2)])
    bias = np.array([0, 0.9, 0.8, 0.7, 0.1, *[1.0] * 8], np.float32)
    model = model_of(tree, np.zeros((D, tree.n_nodes), np.float32), bias)
    X = csr_array((1, D), dtype=np.float32)
    heavy = ScoreWeights(np.where(np.arange(8) == 7, np.float32(100), np.float32(1)), added=False)
    assert 7 not in search([model], X, 8, score="hinge2", beam=2).ids
    assert search([model], X, 3, score="hinge2", beam=2, weights=heavy).ids[0].tolist() == [7, 0, 1]
    assert search([model] * 2, X, 3, score="hinge2", beam=2, weights=heavy).ids[0].tolist() == [7, 0, 1]


@pytest.mark.parametrize("beam", [2, None])
def test_ensembles_weigh_the_mean(beam):
    models, X = [random_problem(seed)[0] for seed in range(3)], random_problem(0)[1]
    weights = random_weights(0, 30)
    for labels in (None, np.array([1, 5, 6, 7, 20], np.int32)):
        full = search(models, X, 30, score="hinge2", beam=None, labels=labels)
        top = search(models, X, 4, score="hinge2", beam=beam, labels=labels, weights=weights)
        for row, expected in enumerate(best_weighed(full, weights, 4)):
            if beam is None:
                assert predictions(top, row) == expected
            else:
                assert all(a[1] <= b[1] for a, b in zip(predictions(top, row), expected, strict=False))


def test_equal_weights_rank_as_none():
    model, X, _ = random_problem(3)
    plain = search([model], X, 9, score="hinge2", beam=3)
    twice = search([model], X, 9, score="hinge2", beam=3, weights=ScoreWeights(np.full(30, 2, np.float32), added=False))
    np.testing.assert_array_equal(twice.ids, plain.ids)
    np.testing.assert_array_equal(twice.scores, 2 * plain.scores)


# Batches, ties, long paths


@pytest.mark.parametrize("n", [1, 4, 31, 33, 200])
def test_batches_equal_single_rows(n, level):
    model, X, _ = random_problem(3, n=200, coarse=False)
    top = search([model, model], X, 5, score="sigmoid", beam=3)
    for start in range(0, 200, n):
        part = search([model, model], X[start : start + n], 5, score="sigmoid", beam=3)
        for array, whole in zip(part, top, strict=True):
            np.testing.assert_array_equal(array, whole[start : start + n])


@pytest.mark.parametrize("score", PATH_SCORES)
@pytest.mark.parametrize("beam", [64, None])
def test_ties_go_to_the_smaller_label(score, beam):
    random = np.random.default_rng(0)
    labels = random.permutation(64)
    tree = LabelTree.from_codes([(place // 8, place % 8) for place in np.argsort(labels)])
    model = model_of(tree, np.zeros((D, tree.n_nodes), np.float32), np.full(tree.n_nodes, 0.3, np.float32))
    for models in ([model], [model, model]):
        top = search(models, csr_array((3, D), dtype=np.float32), 10, score=score, beam=beam)
        assert top.ids.tolist() == [list(range(10))] * 3


@pytest.mark.parametrize("score", ["hinge2", "hinge3", "sigmoid"])
@pytest.mark.parametrize("beam", [2, None])
def test_best_path_is_found_where_all_probabilities_underflow(score, beam):
    depth = 300
    codes = [(0,) * i + (1,) for i in range(depth)] + [(0,) * depth]
    tree = LabelTree.from_codes(codes)
    bias = np.where(tree.label >= 0, -3, -2).astype(np.float32)
    bias[tree.leaves[0]] = -9  # the other labels are worse still, all at the floor
    model = model_of(tree, np.zeros((D, tree.n_nodes), np.float32), bias)
    top = search([model], csr_array((1, D), dtype=np.float32), depth + 1, score=score, beam=beam)
    expected = twin(model, bias.astype(float), score, None)
    ranked = sorted(expected, key=lambda label: (-np.float32(expected[label]), label))
    assert top.ids[0].tolist() == ranked
    assert (top.scores[0] > 0).all()


def test_search_with_a_large_k_and_zero_rows():
    model, X, _ = random_problem(0)
    top = search([model], X, 500, score="hinge2", beam=None)
    assert top.ids.shape == (20, 500)
    assert (top.counts == 30).all()
    for beam in (3, None):
        assert search([model], X[:0], 5, score="hinge2", beam=beam).ids.shape == (0, 5)
        assert search([model], X, 0, score="hinge2", beam=beam).ids.shape == (20, 0)


def test_tree_of_one_label():
    model = model_of(LabelTree.flat([7], n_labels=9), np.zeros((D, 2), np.float32), np.array([0, 1], np.float32))
    for models in ([model], [model] * 3):
        for beam in (1, None):
            top = search(models, csr_array((2, D), dtype=np.float32), 3, score="hinge3", beam=beam)
            assert predictions(top, 1) == [(7, 1.0)]


# Damaged models

DAMAGE = """
import sys
from pathlib import Path
import numpy as np
import xclassic
from xclassic.storage.folder import ModelFileError

folder, seed, beam = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
random = np.random.default_rng(seed)
X = np.random.default_rng(0).random((8, 12)).astype(np.float32)
files = sorted(file for file in folder.glob("*.npy") if file.name.startswith(("tree", "weights")))
outcomes = {"refused": 0, "predicted": 0}
for _ in range(100):
    file = files[random.integers(len(files))]
    before = file.read_bytes()
    content = np.frombuffer(before, np.uint8).copy()
    for _ in range(random.integers(1, 4)):
        place = random.integers(128, len(content)) if len(content) > 128 and random.random() < 0.9 else 0
        content[place] ^= random.integers(1, 256)
    file.write_bytes(content.tobytes() if random.random() < 0.9 else before[: random.integers(len(before))])
    try:
        clf = xclassic.load(folder)
        if beam == "None":
            clf.set_params(beam=None)
        if random.random() < 0.3:
            clf.prune_weights(0.05)
        if random.random() < 0.3:
            clf.explain(X[0], 5)
        top = clf.predict_topk(X, k=4)
        outcomes["predicted"] += 1
        assert np.isfinite(top.scores[top.ids >= 0]).all()
    except ModelFileError:
        outcomes["refused"] += 1
    try:
        xclassic.load(folder, verify="full")
        raise SystemExit("a damaged folder passed the full check")
    except ModelFileError:
        pass
    file.write_bytes(before)
xclassic.load(folder, verify="full").predict_topk(X, k=4)
assert min(outcomes.values()) > 5, outcomes
"""


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("beam", ["3", "None"])
def test_damaged_folders_are_rejected_and_crash_nothing(tmp_path, dtype, beam):
    random = np.random.default_rng(0)
    X, Y = random.random((60, 12)).astype(np.float32), (random.random((60, 40)) < 0.1).astype(np.float32)
    n_trees = 2 if dtype == "int8" else 1
    XRLinear(n_trees, branching=3, max_leaf=4, weight_dtype=dtype, prune=0).fit(X, Y).save(tmp_path / "model")
    command = [sys.executable, "-c", DAMAGE, str(tmp_path / "model"), "1", beam]
    root = Path(xclassic.__file__).parents[1]
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=HANG)
    assert found.returncode == 0, found.stderr[-2000:]
