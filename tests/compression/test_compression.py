"""PLST, CPLST and Rembrandt against dense algebra in float64."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from scipy.sparse import csr_array

from tests.helpers.naive import embeddings as naive
from xclassic import CPLST, LEML, PLST, CompressedSensing, Rembrandt, datasets
from xclassic.linalg import eigen
from xclassic.metrics import precision_at_k
from xclassic.storage.folder import ModelFileError

STOP = np.zeros(1, np.uint8)
METHODS = [PLST, CPLST, Rembrandt]
STORED_ALIKE = [*METHODS, LEML, CompressedSensing]


def problem(n=60, d=8, L=12, seed=0):
    random = np.random.default_rng(seed)
    X = random.standard_normal((n, d))
    Y = (X @ random.standard_normal((d, L)) + random.standard_normal((n, L)) > 0.8).astype(np.float64)
    Y[np.arange(L), np.arange(L)] = 1  # no label without rows
    return X, Y, random.standard_normal((10, d))


def directions(clf, L):
    """The columns of V, read from the decoder."""
    return clf.decoder_.to_csc(L).toarray().T


def centered(method, Y):
    return Y - (0 if method is Rembrandt else Y.mean(axis=0))


def criterion(method, X, Y, alpha):
    Z = centered(method, Y)
    return Z.T @ Z if method is PLST else Z.T @ naive.hat_matrix(X, alpha) @ Z


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("k", [1, 4, 12])
@pytest.mark.parametrize("form", [csr_array, np.asarray])
def test_scores_are_those_of_dense_algebra(method, k, form):
    X, Y, queries = problem()
    clf = method(k, alpha=0.5, bias=0, normalize=False).fit(form(X.astype(np.float32)), Y)
    V = naive.top_directions(criterion(method, X, Y, 0.5), k)
    mean = 0 if method is Rembrandt else Y.mean(axis=0)
    expected = naive.compressed_scores(X, Y, queries, V, 0.5, mean)
    np.testing.assert_allclose(clf.decision_function(form(queries.astype(np.float32))), expected, atol=1e-3)


def test_full_codes_give_one_vs_rest_ridge_regression():
    X, Y, queries = problem()
    mean = Y.mean(axis=0)
    ridge = queries @ np.linalg.solve(X.T @ X + 0.5 * np.eye(8), X.T @ (Y - mean)) + mean
    V = naive.top_directions((Y - mean).T @ (Y - mean), 12)
    np.testing.assert_allclose(naive.compressed_scores(X, Y, queries, V, 0.5, mean), ridge, atol=1e-8)
    for method in (PLST, CPLST):
        clf = method(100, alpha=0.5, bias=0, normalize=False).fit(X, Y)  # more than there are labels
        np.testing.assert_allclose(clf.decision_function(queries), ridge, atol=1e-5)


@pytest.mark.parametrize("k", [1, 5, 11])
def test_plst_loses_the_tail_of_the_spectrum(k):
    X, Y, _ = problem()
    Z = Y - Y.mean(axis=0)
    V = directions(PLST(k).fit(X, Y), 12)
    np.testing.assert_allclose(V.T @ V, np.eye(k), atol=1e-5)
    lost = ((Z - Z @ V @ V.T) ** 2).sum()
    assert lost == pytest.approx((np.linalg.svd(Z)[1][k:] ** 2).sum(), rel=1e-4)


def test_cplst_is_plst_where_features_can_predict_everything():
    random = np.random.default_rng(0)
    X, Y = random.standard_normal((20, 60)), problem(20)[1]
    first, second = (method(4, alpha=0, bias=0, normalize=False).fit(X, Y) for method in (PLST, CPLST))
    assert subspace_angles(directions(first, 12), directions(second, 12)).max() < 1e-3
    queries = random.standard_normal((5, 60))
    np.testing.assert_allclose(first.decision_function(queries), second.decision_function(queries), atol=1e-3)


@pytest.mark.parametrize("k", [1, 3, 6])
def test_cplst_training_loss(k):
    X, Y, _ = problem()
    Z, alpha = Y - Y.mean(axis=0), 0.5
    losses = {}
    for method in (PLST, CPLST):
        clf = method(k, alpha=alpha, bias=0, normalize=False).fit(X, Y)
        W, V = clf.map_[:-1].astype(np.float64), directions(clf, 12)
        losses[method] = ((Z - X @ W @ V.T) ** 2).sum() + alpha * (W**2).sum()
    kept = np.sort(np.linalg.eigvalsh(criterion(CPLST, X, Y, alpha)))[::-1][:k]
    assert losses[CPLST] == pytest.approx((Z**2).sum() - kept.sum(), rel=1e-4)
    assert losses[CPLST] <= losses[PLST] + 1e-6


@pytest.mark.parametrize("method", METHODS)
def test_iterated_subspaces_are_those_of_the_eigenvectors(method, monkeypatch):
    monkeypatch.setattr(eigen, "DENSE_LIMIT", 5)
    X, Y, _ = problem(300, 20, 50)
    clf = method(3, bias=0, normalize=False).fit(X, Y)
    exact = naive.top_directions(criterion(method, X, Y, 1.0), 3)
    assert subspace_angles(directions(clf, 50), exact).max() < 1e-3


@pytest.mark.parametrize("method", METHODS)
def test_singular_regression_names_the_remedy(method):
    X = np.ones((6, 3))
    with pytest.raises(ValueError, match="Set it higher"):
        method(2, alpha=0, normalize=False).fit(X, np.eye(6, 4))
    method(2, alpha=1).fit(X, np.eye(6, 4))


@pytest.mark.parametrize("method", METHODS)
def test_labels_without_rows_are_never_predicted(method):
    X, Y, queries = problem()
    Y[:, [0, 5]] = 0
    assert not np.isin(method(3).fit(X, csr_array(Y)).predict_topk(queries, 12).ids, [0, 5]).any()


@pytest.mark.parametrize("method", STORED_ALIKE)
def test_compression_rejects_damaged_arrays(method):
    X, Y, _ = problem()
    clf = method(3).fit(X, Y)
    arrays, metadata = clf._get_arrays()
    for name, array in arrays.items():
        for changed in (array[:-1], array.astype(np.complex64)):
            loaded = method(3)
            loaded.n_features_in_, loaded.classes_ = 8, clf.classes_
            with pytest.raises(ModelFileError):
                loaded._set_arrays(arrays | {name: changed}, metadata, "full")
    loaded = method(3)
    loaded.n_features_in_, loaded.classes_ = 8, clf.classes_
    with pytest.raises(ModelFileError, match="finite"):
        loaded._set_arrays(arrays | {"map": np.full_like(arrays["map"], np.inf)}, metadata, "lazy")


@pytest.mark.parametrize(("method", "least"), [(PLST, 0.605), (CPLST, 0.615), (Rembrandt, 0.615)])
def test_compression_accuracy_on_bibtex(method, least):
    bibtex = datasets.load_bibtex()
    top = method().fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    assert precision_at_k(bibtex.Y_test, top, 1) > least
