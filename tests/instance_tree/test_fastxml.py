"""FastXML: the ranking split, the hyperplane, and the forest."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array
from sklearn.linear_model import LogisticRegression

import xclassic._kernels.hyperplanes as kernels
from tests.helpers.naive import forests as naive
from xclassic import FastXML, datasets
from xclassic.instance_tree import ndcg
from xclassic.instance_tree.fastxml import SWEEPS, discounts
from xclassic.instance_tree.ndcg import split_by_ranking
from xclassic.metrics import precision_at_k
from xclassic.rows import kernel_rows, unit_rows

STOP = np.zeros(1, np.uint8)


def label_rows(random, n, n_labels, least=1):
    return [
        np.sort(random.choice(n_labels, random.integers(least, n_labels), replace=False)).tolist() for _ in range(n)
    ]


def split(rows, sides, n_labels, rounds=50, function=split_by_ranking, weights=None):
    """Run the kernel on one node of all rows."""
    Y = csr_array(
        ([1] * sum(map(len, rows)), [label for row in rows for label in row], np.cumsum([0, *map(len, rows)])),
        shape=(len(rows), n_labels),
    )
    clf = FastXML()
    sides = np.array(sides, np.uint8)
    function(
        Y.indptr.astype(np.int64),
        Y.indices.astype(np.int32),
        clf._normalizers(Y),
        clf._label_weights(Y) if weights is None else weights,
        np.array([0, len(rows)]),
        np.arange(len(rows), dtype=np.int32),
        sides,
        discounts(n_labels),
        rounds,
        1e-6,
        STOP,
    )
    return sides


@pytest.mark.parametrize("seed", range(10))
def test_ranking_by_gain_is_the_best_permutation(seed):
    random = np.random.default_rng(seed)
    n_labels = int(random.integers(2, 7))
    rows = label_rows(random, 5, n_labels, least=0)
    ranking = naive.rank_by_gain(rows, n_labels)
    value = sum(naive.gain(ranking, row) for row in rows)
    assert value == pytest.approx(naive.best_ranking(rows, n_labels))


@pytest.mark.parametrize("seed", range(20))
def test_assignment_is_the_best_of_all_sides(seed):
    random = np.random.default_rng(seed)
    n, n_labels = int(random.integers(2, 9)), int(random.integers(2, 7))
    rows = label_rows(random, n, n_labels)
    sides = random.integers(0, 2, n)
    rankings = [
        naive.rank_by_gain([row for row, s in zip(rows, sides, strict=True) if s == side], n_labels) for side in (0, 1)
    ]
    found = split(rows, sides, n_labels, rounds=1)
    value = sum(naive.gain(rankings[side], row) for row, side in zip(rows, found, strict=True))
    assert value == pytest.approx(naive.best_sides(rows, rankings), abs=1e-6)


@pytest.mark.parametrize("seed", range(20))
def test_objective_increases_round_by_round_to_that_of_the_plain_loops(seed):
    random = np.random.default_rng(seed)
    n, n_labels = int(random.integers(2, 60)), int(random.integers(2, 30))
    rows = label_rows(random, n, n_labels, least=0)
    sides = random.integers(0, 2, n)
    values = [naive.objective(rows, sides, n_labels)]
    values += [naive.objective(rows, split(rows, sides, n_labels, rounds), n_labels) for rounds in range(1, 12)]
    assert (np.diff(values) > -1e-5).all()
    expected = naive.objective(rows, naive.split(rows, sides, n_labels)[0], n_labels)
    assert naive.objective(rows, split(rows, sides, n_labels), n_labels) > 0.97 * expected


def test_loops_stay_in_bounds_and_compile_to_the_same(monkeypatch):
    random = np.random.default_rng(0)
    rows = label_rows(random, 25, 9, least=0)
    sides = random.integers(0, 2, 25)
    compiled = split(rows, sides, 9)
    for name in ("_sum_by_label", "_rank", "_sort", "_assign"):
        monkeypatch.setattr(ndcg, name, getattr(ndcg, name).python)
    python = split(rows, sides, 9, function=split_by_ranking.python)  # in Python, where every index is checked
    np.testing.assert_array_equal(python, compiled)


@pytest.mark.parametrize("scale", [1e-6, 1, 1e12])
def test_labels_of_any_weight_are_ranked(scale):
    random = np.random.default_rng(1)
    n, n_labels = 300, 700
    Y = random.random((n, n_labels)) < 0.02
    rows = [np.flatnonzero(row).tolist() for row in Y]
    sides = random.integers(0, 2, n)
    weights = (scale * random.random(n_labels) ** 8).astype(np.float32)
    normalizers = [1 / discounts(len(row)).sum() if row else 0 for row in rows]
    worth = np.zeros((2, n_labels))
    for side in range(2):
        gains = weights * (Y * np.multiply(normalizers, sides == side)[:, None]).sum(axis=0)
        worth[side, np.lexsort((np.arange(n_labels), -gains))] = discounts(n_labels)
    better = Y @ (weights * (worth[0] - worth[1]))
    clear = np.abs(better) > 1e-5 * scale
    assert clear.sum() > 200
    np.testing.assert_array_equal(split(rows, sides, n_labels, rounds=1, weights=weights)[clear], (better < 0)[clear])


# The hyperplane


def train_plane(X, sides, cost=1.0, eps=1e-6, rounds=200, bias=1.0):
    n = X.shape[0]
    sizes, features, weights, biases, went = kernels.train_planes(
        kernel_rows(X, bias=bias),
        point_ptr=np.array([0, n]),
        points=np.arange(n, dtype=np.int32),
        sides=np.asarray(sides, np.uint8),
        scale=1.0,
        cost=cost,
        eps=eps,
        max_rounds=rounds,
        max_sweeps=1000 if eps < 1e-3 else SWEEPS,
        seeds=np.array([1], np.uint64),
        stop=STOP,
    )
    assert sizes.tolist() == [len(features)]
    w = np.zeros(X.shape[1])
    w[features] = weights
    return w, float(biases[0]) / bias if bias else 0.0, went


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("cost", [0.3, 3.0])
def test_hyperplane_reaches_the_objective_of_liblinear(cost, dense):
    random = np.random.default_rng(0)
    X = csr_array(random_array((300, 40), density=0.2, rng=random, dtype=np.float32))
    sides = (X @ random.standard_normal(40) + 0.3 * random.standard_normal(300) < 0.2).astype(np.uint8)
    w, b, went = train_plane(X.toarray() if dense else X, sides, cost)
    t = 1.0 - 2.0 * sides
    costs = cost * np.where(sides == 0, 300 / (300 - sides.sum()), 300 / sides.sum())
    reference = LogisticRegression(
        l1_ratio=1, solver="liblinear", C=1.0, intercept_scaling=1.0, tol=1e-8, max_iter=10_000
    ).fit(X, t, sample_weight=costs)
    best = naive.l1_objective(X, t, costs, reference.coef_[0], reference.intercept_[0])
    assert naive.l1_objective(X, t, costs, w, b) < 1.0005 * best
    np.testing.assert_array_equal(went, X @ w + b < 0)


def test_hyperplane_at_a_loose_tolerance_is_near_the_best():
    bibtex = datasets.load_bibtex()
    X = unit_rows(bibtex.X)
    sides = (bibtex.Y[:, [3, 8, 50]].sum(axis=1) == 0).astype(np.uint8)
    t, n = 1.0 - 2.0 * sides, len(sides)
    costs = 3 * np.where(sides == 0, n / (n - sides.sum()), n / sides.sum())
    values = [naive.l1_objective(X, t, costs, *train_plane(X, sides, 3.0, eps, 50)[:2]) for eps in (1e-4, 0.01)]
    assert values[1] < 1.12 * values[0]


def test_hyperplane_without_use_is_empty():
    w, b, went = train_plane(csr_array(np.ones((6, 2), np.float32)), [0, 1, 0, 1, 0, 1])
    assert not w.any()
    assert b == 0
    assert not went.any()
    w, b, went = train_plane(csr_array((6, 2), dtype=np.float32), [0, 1, 0, 1, 0, 0], bias=0.0)
    assert not w.any()


# The forest


def test_clusters_with_labels_of_their_own_are_one_split():
    random = np.random.default_rng(0)
    X = random.random((80, 6)).astype(np.float32)
    X[:40, :3] = 0
    X[40:, 3:] = 0
    Y = np.zeros((80, 4))
    Y[:40, :2] = random.random((40, 2)) < 0.7
    Y[40:, 2:] = random.random((40, 2)) < 0.7
    Y[:40, 0] = Y[40:, 2] = 1
    clf = FastXML(n_trees=5, max_leaf=45).fit(X, Y)
    assert [tree.depth for tree in clf.trees_] == [1] * 5
    assert clf.score(X, csr_array(Y)) == 1


def test_fastxml_accuracy_on_bibtex():
    bibtex = datasets.load_bibtex()
    top = FastXML(n_trees=25).fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    assert precision_at_k(bibtex.Y_test, top, 1) > 0.61
    assert precision_at_k(bibtex.Y_test, top, 5) > 0.27


def test_scale_of_the_features_changes_nothing():
    bibtex = datasets.load_bibtex()
    X, Y = bibtex.X[:500], bibtex.Y[:500]
    one, other = FastXML(n_trees=2).fit(X, Y), FastXML(n_trees=2).fit(4 * X, Y)
    np.testing.assert_allclose(
        one.predict_topk(bibtex.X_test, 3).scores, other.predict_topk(4 * bibtex.X_test, 3).scores, rtol=1e-6
    )
