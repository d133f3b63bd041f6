"""Compressed sensing: codes, recovery, and the method."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import hadamard
from scipy.sparse import csr_array

from tests.helpers.naive import embeddings as naive
from xclassic import CompressedSensing, datasets
from xclassic.compression.compressed_sensing import RECOVERIES, random_codes
from xclassic.compression.recovery import fitted_weights, orthogonal_matching_pursuit
from xclassic.metrics import precision_at_k
from xclassic.topk import TopK

CODES = ["gaussian", "sign", "hadamard"]
every_recovery = pytest.mark.parametrize("recovery", RECOVERIES.values(), ids=RECOVERIES)


def ranked_by(codes):
    return lambda residuals, k: TopK.from_dense(residuals @ codes.T, min(k, len(codes)))


def recovered(recovery, targets, codes, s):
    """Weights of all labels, shape (n_rows, n_labels)."""
    labels, weights = recovery(targets, codes, ranked_by(codes), s)
    found = np.zeros((len(targets), len(codes)))
    np.add.at(found, (np.arange(len(targets))[:, None], labels), weights)
    return found


def sparse_rows(n, n_labels, s, random):
    Y = np.zeros((n, n_labels), np.float32)
    for row in Y:
        row[random.choice(n_labels, s, replace=False)] = 1
    return Y


# Codes


@pytest.mark.parametrize("code", CODES)
def test_codes_have_about_unit_length(code):
    codes = random_codes(code, 300, 100, np.random.default_rng(0))
    assert codes.shape == (300, 100)
    assert codes.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(codes, axis=1), 1, atol=0.35 if code == "gaussian" else 1e-5)
    products = codes @ codes.T - np.diag(np.diag(codes @ codes.T))
    assert np.abs(products).mean() < 0.1


@pytest.mark.parametrize("n", [1, 5, 16])
def test_hadamard_codes_are_columns_of_that_matrix(n):
    order = max(1, 1 << (n - 1).bit_length())
    codes = random_codes("hadamard", n, order, np.random.default_rng(0)) * np.sqrt(order)
    columns = hadamard(order)[:, :n].T
    found, expected = (np.unique(each, axis=1) for each in (codes, columns))  # the rows are in another order
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(codes @ codes.T, order * np.eye(n), atol=1e-4)


# Recovery


@every_recovery
@pytest.mark.parametrize("code", CODES)
def test_recovery_finds_three_of_200_labels_from_60_numbers(code, recovery):
    exact = 0
    for seed in range(20):
        random = np.random.default_rng(seed)
        codes, Y = random_codes(code, 200, 60, random), sparse_rows(50, 200, 3, random)
        found = recovered(recovery, Y @ codes, codes, 3)
        exact += int((np.abs(found - Y).max(axis=1) < 1e-3).sum())
    assert exact >= 990  # of 1,000


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("s", [1, 4, 30])
def test_matching_pursuit_is_that_of_plain_loops(seed, s):
    random = np.random.default_rng(seed)
    codes = random_codes("gaussian", 25, 12, random)
    targets = random.standard_normal((20, 12)).astype(np.float32)
    labels, weights = orthogonal_matching_pursuit(targets, codes, ranked_by(codes), s)
    for i, target in enumerate(targets):
        expected = naive.matching_pursuit(target.astype(np.float64), codes.astype(np.float64), min(s, 8))
        if s == 30:  # where codes are almost used up, rounding decides
            assert set(expected) <= set(labels[i].tolist())
            continue
        assert labels[i, : len(expected)].tolist() == list(expected)
        np.testing.assert_allclose(weights[i, : len(expected)], np.maximum(list(expected.values()), 0), atol=1e-3)


@every_recovery
@pytest.mark.parametrize("s", [1, 2, 3])
def test_orthogonal_codes_give_the_best_subset(recovery, s):
    random = np.random.default_rng(s)
    codes = random_codes("hadamard", 8, 8, random)
    for Y in sparse_rows(20, 8, s, random)[:, None]:
        target = Y * random.uniform(0.5, 1.5, (1, 8)).astype(np.float32) @ codes
        found = np.flatnonzero(recovered(recovery, target, codes, s)[0])
        assert set(found.tolist()) == naive.best_subset(target[0], codes, s)


@every_recovery
def test_recovery_does_not_depend_on_neighboring_rows(recovery):
    random = np.random.default_rng(0)
    codes, targets = random_codes("sign", 40, 15, random), random.standard_normal((30, 15)).astype(np.float32)
    together = recovered(recovery, targets, codes, 4)
    alone = np.concatenate([recovered(recovery, row[None], codes, 4) for row in targets])
    np.testing.assert_array_equal(together, alone)


@every_recovery
def test_recovery_of_zeros_is_empty_and_equal_codes_share(recovery):
    codes = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    found = recovered(recovery, np.array([[0, 0, 0], [1, 0, 2]], np.float32), codes, 3)
    assert not found[0].any()
    np.testing.assert_allclose([found[1, :2].sum(), *found[1, 2:]], [1, 0, 2], atol=1e-4)


def test_weights_are_those_of_least_squares():
    random = np.random.default_rng(0)
    codes, targets = random.standard_normal((5, 3, 9)), random.standard_normal((5, 9))
    codes[2, 1] = 0
    found = fitted_weights(targets, codes)
    for i in range(5):
        np.testing.assert_allclose(found[i], np.linalg.lstsq(codes[i].T, targets[i], rcond=None)[0], atol=1e-5)


# The method


def problem(n=60, d=8, L=16, seed=0):
    random = np.random.default_rng(seed)
    X = random.standard_normal((n, d))
    Y = (X @ random.standard_normal((d, L)) + random.standard_normal((n, L)) > 0.8).astype(np.float64)
    Y[np.arange(L), np.arange(L)] = 1  # no label without rows
    return X, Y, random.standard_normal((10, d))


def test_orthonormal_codes_of_full_length_give_one_vs_rest_ridge_regression():
    X, Y, queries = problem()
    clf = CompressedSensing(16, code="hadamard", decoder="correlation", alpha=0.5, bias=0, normalize=False).fit(X, Y)
    ridge = queries @ np.linalg.solve(X.T @ X + 0.5 * np.eye(8), X.T @ Y)
    np.testing.assert_allclose(clf.decision_function(queries), ridge, atol=1e-5)
    recovered = clf.set_params(decoder="omp", n_positives=16).predict_topk(queries, 3)
    np.testing.assert_allclose(recovered.scores, np.sort(ridge, axis=1)[:, :-4:-1], atol=1e-4)


@pytest.mark.parametrize("decoder", RECOVERIES)
def test_predictions_are_at_most_k_labels_and_leave_out_those_without_rows(decoder):
    X, Y, queries = problem()
    Y[:, [0, 5]] = 0
    clf = CompressedSensing(14, decoder=decoder, n_positives=4).fit(X, csr_array(Y))
    assert not clf.codes_[[0, 5]].any()
    top = clf.predict_topk(queries, 10)
    assert 1 <= top.counts.max() <= 4
    assert not np.isin(top.ids, [0, 5]).any()
    few = clf.predict_topk(queries, 10, labels=[1, 2, 3])
    assert set(np.unique(few.ids)) <= {-1, 1, 2, 3}


@pytest.mark.parametrize("name", ["n_positives", "code", "decoder"])
def test_compressed_sensing_rejects_bad_parameters(name):
    with pytest.raises(ValueError, match=name):
        CompressedSensing(**{name: 0}).fit(np.eye(2), [["a"], ["b"]])


@pytest.mark.parametrize(("decoder", "least"), [("correlation", 0.57), ("omp", 0.59), ("cosamp", 0.59)])
def test_compressed_sensing_accuracy_on_bibtex(decoder, least):
    bibtex = datasets.load_bibtex()
    top = CompressedSensing(decoder=decoder).fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    assert precision_at_k(bibtex.Y_test, top, 1) > least
