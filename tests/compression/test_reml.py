"""REML: the sparse part against a plain minimizer, the limits of both parts, and recovery of what was planted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

import xclassic._kernels.remainders as kernels
from tests.helpers.naive import embeddings as naive
from xclassic import LEML, REML, datasets
from xclassic.metrics import precision_at_k
from xclassic.rows import kernel_rows
from xclassic.storage.folder import ModelFileError

STOP = np.zeros(1, np.uint8)


@pytest.fixture(autouse=True)
def to_the_end(monkeypatch):
    monkeypatch.setattr("xclassic.compression.reml.EPS", 1e-6)


def problem(n=60, d=8, L=20, seed=0):
    random = np.random.default_rng(seed)
    X = random.standard_normal((n, d))
    Y = (X @ random.standard_normal((d, L)) + random.standard_normal((n, L)) > 0.8).astype(np.float64)
    Y[np.arange(L), np.arange(L)] = 1  # no label without rows
    return X, Y, random.standard_normal((10, d))


def fitted(X, Y, k, **parameters):
    return REML(k, **{"bias": 0, "normalize": False, "prune": 0, "sweeps": 500, **parameters}).fit(X, Y)


def parts(clf, L):
    """W, V and S."""
    decoder = clf.decoder_.to_csc(L).toarray().astype(np.float64)
    return clf.map_[:-1].astype(np.float64), decoder[: clf.n_components].T, decoder[clf.n_components : -1]


def objective(clf, X, Y):
    W, V, S = parts(clf, Y.shape[1])
    squares = clf.alpha * ((W**2).sum() + (V**2).sum()) + clf.sparse_alpha * (S**2).sum()
    return ((Y - X @ W @ V.T - X @ S) ** 2).sum() / 2 + squares / 2 + clf.l1 * np.abs(X @ S).sum()


# The sparse part


@pytest.mark.parametrize("l1", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("form", [csr_array, np.asarray])
def test_kernel_finds_the_least_objective(l1, form):
    random = np.random.default_rng(0)
    X, T = (random.standard_normal((25, width)).astype(np.float32) for width in (6, 5))
    X[4] = 0
    X[:, 2][random.random(25) < 0.5] = 0
    squares = (X**2).sum(axis=1)
    found = kernels.fit_remainders(
        kernel_rows(form(X)),
        square_norms=squares,
        targets=T,
        alpha=0.5,
        l1=l1,
        sweeps=2000,
        eps=1e-6,
        seed=1,
        stop=STOP,
    )
    best = naive.smooth_map(X, T, 0.5, 2 * l1)  # whose objective is twice this one
    assert naive.map_objective(X, T, found, 0.5, 2 * l1) <= 1.001 * naive.map_objective(X, T, best, 0.5, 2 * l1)
    if l1 == 0:
        np.testing.assert_allclose(found, np.linalg.solve(X.T @ X + 0.5 * np.eye(6), X.T @ T), atol=1e-4)


def test_seventeen_labels_are_two_blocks():
    X, Y, queries = problem()
    together = fitted(X, Y[:, :17], 0).decision_function(queries)
    for labels in ([0, 16], [3]):
        alone = fitted(X, Y[:, labels], 0).decision_function(queries)
        np.testing.assert_allclose(together[:, labels], alone, atol=1e-3)


# Limits


def test_reml_without_the_first_part_and_l1_is_ridge_regression():
    X, Y, queries = problem()
    clf = fitted(X, Y, 0, l1=0, sparse_alpha=0.5)
    ridge = queries @ np.linalg.solve(X.T @ X + 0.5 * np.eye(8), X.T @ Y)
    np.testing.assert_allclose(clf.decision_function(queries), ridge, atol=5e-3)


def test_reml_with_a_large_l1_is_leml():
    X, Y, queries = problem()
    clf = fitted(X, Y, 4, alpha=1.0, l1=1e4, rounds=60)
    assert not parts(clf, 20)[2].any()
    alone = LEML(4, alpha=1.0, bias=0, normalize=False, rounds=180).fit(X, Y)
    np.testing.assert_allclose(clf.decision_function(queries), alone.decision_function(queries), atol=1e-3)


@pytest.mark.parametrize("l1", [0.01, 0.3])
def test_reml_rounds_never_raise_the_objective(l1):
    X, Y, _ = problem()
    values = [objective(fitted(X, Y, 4, l1=l1, rounds=rounds), X, Y) for rounds in (1, 2, 3, 6)]
    assert (np.diff(values) <= 1e-3).all()
    assert values[-1] < values[0]


@pytest.mark.parametrize("seed", range(3))
def test_planted_outliers_are_found(seed):
    random = np.random.default_rng(seed)
    group = np.arange(120) % 4
    Y = (group[:, None] == np.arange(60) % 4).astype(np.float64)  # of rank 4
    rows, columns = random.integers(0, 120, 150), random.integers(0, 60, 150)
    planted = np.zeros(Y.shape, bool)
    planted[rows, columns] = Y[rows, columns] == 0
    clf = fitted(np.eye(120), np.where(planted, 1, Y), 4, alpha=0.5, sparse_alpha=0.1, l1=0.4, rounds=5)
    found = np.abs(parts(clf, 60)[2]) > 0.1
    hits = (found & planted).sum()
    assert 2 * hits / (found.sum() + planted.sum()) > 0.9  # F1


# What users may come upon


def test_reml_rank_above_that_of_the_labels():
    X, Y, queries = problem()
    Y[:, [0, 5]] = 0
    clf = fitted(X, csr_array(Y), 50)
    assert clf.map_.shape == (9, 50)
    assert not np.isin(clf.predict_topk(queries, 20).ids, [0, 5]).any()
    none = fitted(X, csr_array(Y.shape), 5)
    assert not none.predict_topk(queries, 3).counts.any()


def test_small_weights_are_dropped():
    X, Y, _ = problem()
    full, few = (parts(fitted(X, Y, 2, rounds=1, prune=prune), 20) for prune in (0, 0.05))
    np.testing.assert_array_equal(few[2], np.where(np.abs(full[2]) > 0.05, full[2], 0))
    np.testing.assert_array_equal(few[1], full[1])


@pytest.mark.parametrize(("name", "value"), [("alpha", 0), ("sparse_alpha", 0), ("l1", -1), ("sweeps", 0)])
def test_reml_rejects_bad_parameters(name, value):
    with pytest.raises(ValueError, match=name):
        REML(**{name: value}).fit(np.eye(2), [["a"], ["b"]])


def test_reml_rejects_damaged_arrays():
    X, Y, _ = problem()
    clf = REML(3).fit(X, Y)
    arrays, metadata = clf._get_arrays()
    for name, array in arrays.items():
        for changed in (array[:-1], array.astype(np.complex64)):
            loaded = REML(3)
            loaded.n_features_in_, loaded.classes_ = 8, clf.classes_
            with pytest.raises(ModelFileError):
                loaded._set_arrays(arrays | {name: changed}, metadata, "full")


@pytest.mark.parametrize(("k", "least"), [(0, 0.63), (100, 0.63)])
def test_reml_accuracy_on_bibtex(k, least):
    bibtex = datasets.load_bibtex()
    top = REML(k).fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    assert precision_at_k(bibtex.Y_test, top, 1) > least
    assert precision_at_k(bibtex.Y_test, top, 5) > 0.28
