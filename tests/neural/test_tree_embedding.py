"""TreeEmbedding under squared loss: half-steps against a dense twin, limits that are other models, planted data."""

from copy import copy
from itertools import pairwise

import numpy as np
import pytest
from scipy.sparse import csr_array

from tests.helpers.naive.tree_embedding import SlowTree
from xclassic import LEML, DiSMEC, LabelTree, ModelFileError, TreeEmbedding, datasets, load
from xclassic.features import PoincareEmbedding
from xclassic.linalg.low_rank import alternate, random_map
from xclassic.metrics import precision_at_k
from xclassic.neural import tree_embedding
from xclassic.neural.tree_levels import (
    HYPERBOLIC,
    PASSES,
    even_tree,
    hyperbolic_start,
    level_weights,
    level_widths,
    new_levels,
    random_start,
)
from xclassic.neural.tree_squares import coupling, fit_encoder, fit_nodes, fit_projections
from xclassic.parallel import RUNNING, spawn_seeds

# Leaves at depths 1 to 3, and a node with a single child.
UNEVEN = [(0, 0, 0), (0, 0, 1), (0, 1), (1, 0, 0), (2,), (3, 0), (3, 1), (3, 2)]
MU, RHO, NU = 3.0, 2.0, 0.5


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


def problem(n_rows=40, n_features=7, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n_rows, n_features)).astype(np.float32)
    Y = csr_array((rng.random((n_rows, len(UNEVEN))) < 0.25).astype(np.float32))
    return X, Y


def levels_of(X, Y, n_components, tree=None, weights=0.5):
    tree = even_tree(LabelTree.from_codes(UNEVEN) if tree is None else tree, np.unique(Y.indices))
    widths = level_widths(tree, n_components)
    levels = new_levels(tree, Y, level_weights(tree, weights))
    random_start(levels, widths, X.shape[1], 0)
    return tree, levels


def started(X, Y, n_components):
    """Return levels with vectors, and a slow twin in the same state."""
    tree, levels = levels_of(X, Y, n_components)
    paths = tree.paths()[:, 1:] - tree.level_ptr[1:-1]
    slow = SlowTree(X.astype(float), Y.toarray(), paths, [level.weight for level in levels], MU, RHO, NU)
    for depth in range(len(levels)):
        fit_nodes(X, levels, depth, 0.0, NU, RUNNING)
    for above, level in pairwise(levels):
        level.shift, level.slope = np.zeros((len(above.nodes), level.nodes.shape[1])), above.nodes.astype(float)
    slow.start([level.encoder for level in levels], [level.nodes for level in levels])
    return levels, slow


def projections(level):
    return level.shift[:, :, None] * level.slope[:, None, :] + np.eye(level.shift.shape[1], level.slope.shape[1])


@pytest.mark.parametrize("n_components", [[2, 3, 5], [4, 4, 4], [1, 2, 8]])
def test_half_steps_equal_a_dense_twin_and_lower_the_objective(n_components):
    X, Y = problem()
    levels, slow = started(X, Y, n_components)
    kappa = coupling(MU, RHO)
    objective = slow.objective()

    def falls():
        nonlocal objective
        before, objective = objective, slow.objective()
        assert objective <= before * (1 + 1e-9)

    for _ in range(3):
        for h in range(1, len(levels)):
            fit_projections(levels[h - 1], levels[h], kappa, NU)
            slow.fit_projections(h)
            falls()
            np.testing.assert_allclose(projections(levels[h]), slow.P[h], atol=2e-3)
        for h, level in enumerate(levels):
            for _ in range(30):  # Conjugate gradients lower the objective; the twin minimizes it.
                fit_encoder(X, level, NU, RUNNING)
            slow.fit_encoder(h)
            falls()
            np.testing.assert_allclose(level.encoder.T, slow.A[h], atol=2e-3)
        for h, level in enumerate(levels):
            fit_nodes(X, levels, h, kappa, NU, RUNNING)
            slow.fit_nodes(h)
            falls()
            np.testing.assert_allclose(level.nodes, slow.e[h], atol=2e-3)


def test_conjugate_gradients_lower_the_objective():
    X, Y = problem(n_rows=200, n_features=60)
    levels, slow = started(X, Y, [2, 4, 8])
    for h, level in enumerate(levels):
        before = slow.objective()
        fit_encoder(X, level, NU, RUNNING)
        slow.A[h] = level.encoder.T.astype(float)
        assert slow.objective() < before


def test_residuals_are_eliminated():
    X, Y = problem()
    _, slow = started(X, Y, [2, 3, 5])
    slow.fit_projections(1)
    slow.fit_projections(2)
    with_residuals = slow.objective()
    slow.r = [None, *(np.zeros_like(r) for r in slow.r[1:])]
    slow.mu, slow.rho = coupling(MU, RHO), 0
    assert slow.objective() == pytest.approx(with_residuals)


def test_even_tree_puts_all_leaves_on_the_lowest_level():
    tree = LabelTree.from_codes(UNEVEN)
    even = even_tree(tree, np.arange(len(UNEVEN)))
    assert np.diff(even.level_ptr).tolist() == [1, 4, 7, 8]
    assert (even.paths() >= 0).all()
    for label, code in enumerate(UNEVEN):
        assert even.encode(label)[: len(code)] == code
        assert even.encode(label)[len(code) :] == (0,) * (even.depth - len(code))


def test_even_tree_keeps_the_part_above_some_labels_and_its_names():
    edges = [("apple", "fruit"), ("pear", "fruit"), ("oak", "tree"), ("tree", "plant"), ("chair", "furniture")]
    tree = LabelTree.from_edges(edges, labels=["apple", "chair", "oak", "pear"])
    even = even_tree(tree, np.array([0, 3]))
    assert even.names.tolist() == ["", "fruit", "apple", "pear"]
    assert (even.n_labels, even.labels.tolist()) == (4, [0, 3])


@pytest.mark.parametrize("mu", [0.0, 5.0])
def test_one_level_equals_leml(mu, bibtex):
    X, Y = bibtex.X[:600], csr_array(bibtex.Y[:600])
    flat = LabelTree.flat(np.arange(Y.shape[1]))
    tree = TreeEmbedding(10, tree=flat, mu=mu, beam=None).fit(X, Y)
    leml = LEML(10).fit(X, Y)
    queries = bibtex.X_test[:50]
    scores = leml.decision_function(queries, max_scores=Y.shape[1]).toarray()
    found = tree.decision_function(queries, max_scores=Y.shape[1]).toarray()
    seen = np.unique(Y.indices)
    np.testing.assert_allclose(found[:, seen], np.exp(-(np.maximum(0, 1 - scores[:, seen]) ** 2)), atol=2e-3)


@pytest.mark.parametrize("options", [{"rho": 0.0}, {"rho": 1e-9}, {"mu": 0.0}])
def test_levels_without_coupling_are_independent(options):
    X, Y = problem(n_rows=120, n_features=15)
    tree = LabelTree.from_codes(UNEVEN)
    clf = TreeEmbedding([2, 3, 5], tree=tree, bias=0, normalize=False, nu=NU, path=1.0, **options).fit(X, Y)
    _, levels = levels_of(X, Y, [2, 3, 5])
    seed = spawn_seeds(0, 1).tolist()[0]
    first = 0
    stored = clf.model_.weights.to_csc(clf.model_.tree.n_nodes).toarray()
    for depth, level in enumerate(levels, 1):
        start = random_map(X.shape[1], 5, seed)[:, : level.encoder.shape[1]]
        encoder, vectors = alternate(X, level.targets, NU / level.weight, 5, start, RUNNING)
        last = first + encoder.shape[1]
        np.testing.assert_allclose(clf.map_[:-1, first:last], encoder, atol=1e-4)
        nodes = slice(*clf.model_.tree.level_ptr[depth : depth + 2])
        np.testing.assert_allclose(np.sqrt(1 / level.weight) * stored[first:last, nodes], vectors.T, atol=1e-4)
        first = last


@pytest.fixture(scope="module")
def planted():
    """Labels with the vectors of their parents and something of their own, whose probabilities are linear."""
    rng = np.random.default_rng(0)
    vectors = np.repeat(rng.standard_normal((6, 6)), 8, axis=0) + 0.2 * rng.standard_normal((48, 6))
    encoder = rng.standard_normal((20, 6)) / np.sqrt(20)
    X = rng.standard_normal((6000, 20)).astype(np.float32)
    chances = 0.15 + 0.06 * X @ encoder @ vectors.T
    return X, csr_array((rng.random(chances.shape) < chances).astype(np.float32)), chances


def correlation(planted, n_rows, mu):
    """Return the correlation of fitted and planted scores of further rows."""
    X, Y, chances = planted
    tree = LabelTree.from_codes([(group, i) for group in range(6) for i in range(8)])
    clf = TreeEmbedding([6, 12], tree=tree, mu=mu, rho=mu, path=0, beam=None, normalize=False).fit(
        X[:n_rows], Y[:n_rows]
    )
    scores = 1 - np.sqrt(-np.log(clf.decision_function(X[-500:]).toarray()))
    return np.corrcoef(scores.ravel(), chances[-500:].ravel())[0, 1]


def test_planted_data_are_recovered(planted):
    assert correlation(planted, 5000, mu=10.0) > 0.97


def test_coupling_recovers_planted_data_from_few_rows(planted):
    assert correlation(planted, 100, mu=400.0) > correlation(planted, 100, mu=0.0) + 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": [3, 2]}, r"n_components is \[3, 2\]"),
        ({"n_components": [2, 3]}, "n_components has 2 widths, and the tree 3 levels"),
        ({"n_components": []}, "n_components is empty"),
        ({"level_weights": [1.0]}, "level_weights has 1 entries, and the tree 3 levels"),
        ({"level_weights": 2.0}, "level_weights is 2.0"),
        ({"nu": 0}, "nu is 0"),
        ({"tree": LabelTree.flat([0, 1], n_labels=8)}, "6 labels with training rows are not in the tree"),
        ({"tree": LabelTree.flat([0, 1])}, "The tree is over 2 labels, but Y has 8"),
    ],
)
def test_tree_embedding_rejects_what_does_not_fit(options, message):
    X, Y = problem()
    with pytest.raises(ValueError, match=message):
        TreeEmbedding(**{"tree": LabelTree.from_codes(UNEVEN), **options}).fit(X, Y)


def test_tree_embedding_takes_a_tree_with_labels_without_rows():
    X, Y = problem()
    Y = csr_array(Y.toarray() * (np.arange(len(UNEVEN)) != 2))
    clf = TreeEmbedding(tree=LabelTree.from_codes(UNEVEN)).fit(X, Y)
    top = clf.predict_topk(X, len(UNEVEN))
    assert (top.counts == len(UNEVEN) - 1).all()
    assert not (top.ids == 2).any()


def test_path_and_beam(bibtex):
    clf = TreeEmbedding(40, mu=2.0, rounds=2).fit(bibtex.X, bibtex.Y)
    narrow, exact = (clf.set_params(beam=beam).predict_topk(bibtex.X_test[:300], 5) for beam in (1, None))
    assert (exact.scores[:, 0] >= narrow.scores[:, 0]).all()
    assert (exact.scores[:, 0] > narrow.scores[:, 0]).any()
    wide = clf.set_params(beam=1000).predict_topk(bibtex.X_test[:300], 5)
    np.testing.assert_array_equal(wide.ids, exact.ids)


def test_explain_adds_up_by_levels(bibtex):
    clf = TreeEmbedding(40, mu=2.0, rounds=2).fit(bibtex.X, bibtex.Y)
    row = bibtex.X_test[:1]
    top = clf.predict_topk(row, 1)
    explanation = clf.explain(row, int(top.ids[0, 0]), n_features=10_000)
    assert explanation.score == pytest.approx(float(top.scores[0, 0]), rel=1e-4)
    assert len(explanation.steps) == clf.model_.tree.depth
    for step in explanation.steps:
        effects = sum(effect.contribution for effect in step.features)
        assert step.bias + effects == pytest.approx(step.margin, abs=1e-5)


def test_hyperbolic_start_fits_encoders_to_points_of_the_tree():
    X, Y = problem()
    tree = LabelTree.from_codes([(i // 4, i // 2 % 2, i % 2) for i in range(Y.shape[1])])
    levels = new_levels(tree, Y, [0.25, 0.5, 1.0])
    random_start(levels, [2, 4, 12], X.shape[1], 0)
    rest = [level.encoder[:, HYPERBOLIC:].copy() for level in levels]
    hyperbolic_start(X, levels, tree, 0.5, 3)
    points = PoincareEmbedding(HYPERBOLIC, epochs=PASSES, random_state=3).fit(tree).tangent_
    axes = np.linalg.svd(points, full_matrices=False)[2]
    for depth, level in enumerate(levels, 1):
        width = min(HYPERBOLIC, level.encoder.shape[1])
        vectors = (points[tree.level_ptr[depth] : tree.level_ptr[depth + 1]] @ axes.T)[:, :width]
        codes = np.asarray(X @ level.encoder[:, :width], np.float64)
        errors = level.weight * (level.targets @ vectors - codes @ (vectors.T @ vectors))
        slopes = 0.5 * level.encoder[:, :width] - X.T @ errors
        assert np.abs(slopes).max() < 1e-3 * np.abs(X.T @ (level.targets @ vectors)).max()
        np.testing.assert_array_equal(level.encoder[:, HYPERBOLIC:], rest[depth - 1])


def test_hyperbolic_start_leads_to_the_same_precision(bibtex):
    X, Y, X_test, Y_test = bibtex.X, bibtex.Y, bibtex.X_test, bibtex.Y_test
    found = []
    for geometry in ("flat", "hyperbolic"):
        clf = TreeEmbedding(mu=2.0, geometry=geometry).fit(X, Y)
        found.append(precision_at_k(Y_test, clf.predict_topk(X_test, 1), 1))
    assert abs(found[0] - found[1]) < 0.01


def test_auto_takes_what_ranks_held_out_rows_best(bibtex, monkeypatch):
    X, Y = bibtex.X[:500], csr_array(bibtex.Y[:500])
    monkeypatch.setattr(tree_embedding, "MU", (1e6, 2.0))  # The first makes all labels of a node alike.
    chosen = TreeEmbedding(10).fit(X, Y)
    assert chosen.mu_ == 2
    fixed = TreeEmbedding(10, mu=2.0).fit(X, Y)
    np.testing.assert_array_equal(fixed.predict_topk(X, 5).scores, chosen.predict_topk(X, 5).scores)
    monkeypatch.setattr(tree_embedding, "split_rows", lambda Y, *_: (np.arange(Y.shape[0]), np.arange(0)))
    assert TreeEmbedding(10).fit(X, Y).mu_ == 1e6  # No row could be held out.


@pytest.mark.parametrize("container", [csr_array, csr_array.toarray])
@pytest.mark.parametrize("bias", [0.0, 2.0])
def test_sparse_models_have_their_share_in_the_scores_of_labels(container, bias, bibtex):
    X, Y, queries = container(bibtex.X[:500]), csr_array(bibtex.Y[:500]), container(bibtex.X_test[:40])
    flat = LabelTree.flat(np.arange(Y.shape[1]))
    options = {"tree": flat, "mu": 0.0, "beam": None, "bias": bias}
    alone, mixed = (TreeEmbedding(10, sparse=share, **options).fit(X, Y) for share in (0.0, 0.25))
    seen = np.unique(Y.indices)
    scores = [
        1 - np.sqrt(-np.log(clf.decision_function(queries, max_scores=Y.shape[1]).toarray()[:, seen]))
        for clf in (alone, mixed)
    ]
    one_vs_rest = DiSMEC(bias=bias).fit(X, Y).decision_function(queries, max_scores=Y.shape[1]).toarray()[:, seen]
    expected = np.minimum(0.75 * scores[0] + 0.25 * (one_vs_rest + 1) / 2, 1)
    np.testing.assert_allclose(scores[1], expected, atol=2e-3)


@pytest.mark.parametrize("container", [csr_array, csr_array.toarray])
def test_a_mixed_model_explains_itself_and_survives_a_folder(container, bibtex, tmp_path):
    X, Y = container(bibtex.X[:500]), csr_array(bibtex.Y[:500])
    clf = TreeEmbedding(20, mu=2.0, sparse="auto").fit(X, Y)
    assert clf.sparse_ > 0
    row = container(bibtex.X_test[:1])
    top = clf.predict_topk(row, 3)
    explanation = clf.explain(row, int(top.ids[0, 1]), n_features=10_000)
    assert explanation.score == pytest.approx(float(top.scores[0, 1]), rel=1e-4)
    step = explanation.steps[-1]
    assert step.bias + sum(effect.contribution for effect in step.features) == pytest.approx(step.margin, abs=1e-5)
    clf.save(tmp_path / "model")
    loaded = load(tmp_path / "model", verify="full")
    assert (loaded.mu_, loaded.sparse_) == (clf.mu_, clf.sparse_)
    np.testing.assert_array_equal(loaded.predict_topk(row, 3).scores, top.scores)


def test_damaged_models_are_refused(bibtex):
    clf = TreeEmbedding(20, mu=2.0, sparse=0.5).fit(bibtex.X[:300], csr_array(bibtex.Y[:300]))
    arrays, metadata = clf._get_arrays()
    damage = {"map": arrays["map"][:, :-1], "tree.label": arrays["tree.label"][:-1], "weights.bias": arrays["map"][0]}
    for name, array in damage.items():
        with pytest.raises(ModelFileError):
            copy(clf)._set_arrays(arrays | {name: array}, metadata, "full")


@pytest.mark.long
def test_accuracy_on_bibtex(bibtex):
    top = TreeEmbedding().fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    assert precision_at_k(bibtex.Y_test, top, 1) > 0.635
    assert precision_at_k(bibtex.Y_test, top, 3) > 0.39
    assert precision_at_k(bibtex.Y_test, top, 5) > 0.284
