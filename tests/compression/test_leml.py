"""LEML: limits that have solutions of their own, gradients, and objectives that fall."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array

from tests.helpers.naive import embeddings as naive
from xclassic import LEML, REML, datasets
from xclassic.compression.leml import LOSSES, Pairs, with_negatives
from xclassic.metrics import precision_at_k

every_loss = pytest.mark.parametrize("loss", LOSSES)


def problem(n=60, d=8, L=12, seed=0):
    random = np.random.default_rng(seed)
    X = random.standard_normal((n, d))
    Y = (X @ random.standard_normal((d, L)) + random.standard_normal((n, L)) > 0.8).astype(np.float64)
    Y[np.arange(L), np.arange(L)] = 1  # no label without rows
    return X, Y, random.standard_normal((10, d))


def fitted(X, Y, k, **parameters):
    return LEML(k, bias=0, normalize=False, **parameters).fit(X, Y)


def factors(clf, L):
    return clf.map_[:-1].astype(np.float64), clf.decoder_.to_csc(L).toarray().T.astype(np.float64)


def objective(clf, X, Y, loss="squared"):
    W, H = factors(clf, Y.shape[1])
    return naive.pair_loss(X @ W, H, 2 * Y - 1, loss) + clf.alpha / 2 * ((W**2).sum() + (H**2).sum())


# Squared loss over all pairs


@pytest.mark.parametrize("k", [1, 3, 8])
@pytest.mark.parametrize("form", [csr_array, np.asarray])
def test_leml_without_penalty_is_reduced_rank_regression(k, form):
    X, Y, queries = problem()
    clf = fitted(form(X.astype(np.float32)), Y, k, alpha=1e-3, rounds=300)
    expected = queries @ naive.reduced_rank_regression(X, Y, k)
    np.testing.assert_allclose(clf.decision_function(form(queries.astype(np.float32))), expected, atol=5e-3)


@pytest.mark.parametrize("alpha", [0.5, 3.0])
def test_penalty_at_full_rank_is_the_nuclear_norm(alpha):
    X, Y, queries = problem()
    clf = fitted(X, Y, 12, alpha=alpha, rounds=300)
    expected = queries @ naive.nuclear_norm_regression(X, Y, alpha)
    np.testing.assert_allclose(clf.decision_function(queries), expected, atol=5e-3)


def test_leml_rounds_never_raise_the_objective():
    X, Y, _ = problem()
    values = [objective(fitted(X, Y, 4, rounds=rounds), X, Y) for rounds in (1, 2, 3, 5, 10, 30)]
    assert (np.diff(values) <= 1e-4).all()
    assert values[-1] < 0.99 * values[0]


# The other losses, and labels that are drawn


def pairs_and_factors(loss, n_negatives, seed=0):
    random = np.random.default_rng(seed)
    _, Y, _ = problem(40)
    pairs = Pairs(csr_array(Y.astype(np.float32)), LOSSES[loss], n_negatives, 5, None)
    signs = 2 * Y - 1
    if n_negatives:
        signs = np.concatenate([part.toarray() for _, _, part in pairs.chunks])
    return pairs, signs, *(random.standard_normal((n, 3)).astype(np.float32) for n in (40, 12))


@every_loss
@pytest.mark.parametrize("n_negatives", [None, 4])
def test_losses_are_those_of_plain_loops_and_slopes_their_gradient(loss, n_negatives):
    pairs, signs, Z, H = pairs_and_factors(loss, n_negatives)
    value, of_Z, of_H = pairs.value_and_slopes(Z, H)
    assert value == pytest.approx(naive.pair_loss(Z, H, signs, loss), rel=1e-5)
    both, slopes = np.concatenate([Z, H]).astype(np.float64), np.concatenate([of_Z, of_H])
    for at in list(np.ndindex(both.shape))[::5]:
        moved = [both.copy(), both.copy()]
        moved[0][at] += 1e-5
        moved[1][at] -= 1e-5
        rise = np.subtract(*(naive.pair_loss(each[:40], each[40:], signs, loss) for each in moved)) / 2e-5
        assert slopes[at] == pytest.approx(rise, abs=1e-3)


@every_loss
@pytest.mark.parametrize("n_negatives", [None, 20])
def test_leml_steps_never_raise_the_objective(loss, n_negatives):
    X, Y, _ = problem()
    values = []
    for steps in (0, 1, 3, 10, 40):
        clf = fitted(X, Y, 4, loss=loss, n_negatives=n_negatives, steps=steps)
        values.append(objective(clf, X, Y, loss))
    if n_negatives is None:
        assert (np.diff(values) <= 1e-3).all()
    if loss != "squared":  # which starts where it is to end
        assert values[-1] < 0.95 * values[0]


@pytest.mark.parametrize("seed", range(3))
def test_drawn_labels(seed):
    _, Y, _ = problem(seed=seed)
    signs = with_negatives(csr_array(Y.astype(np.float32)), 5, np.random.default_rng(seed)).toarray()
    np.testing.assert_array_equal(signs > 0, Y > 0)
    negatives = (signs < 0).sum(axis=1)
    assert set(signs[signs > 0]) == {1}
    assert 1 <= negatives.max() <= 5
    drawn = negatives > 0
    np.testing.assert_allclose(np.minimum(signs, 0).sum(axis=1)[drawn], -(Y == 0).sum(axis=1)[drawn], rtol=1e-6)
    full = with_negatives(csr_array(Y.astype(np.float32)), 500, np.random.default_rng(seed)).toarray()
    np.testing.assert_array_equal(full, 2 * Y - 1)


def test_squared_loss_ends_at_the_same_with_either_method():
    X, Y, queries = problem()
    exact, stepwise = fitted(X, Y, 3, rounds=300), fitted(X, Y, 3, rounds=1, n_negatives=500, steps=500)
    np.testing.assert_allclose(stepwise.decision_function(queries), exact.decision_function(queries), atol=2e-2)


# What users may come upon


def test_leml_rank_above_that_of_the_labels():
    X, Y, queries = problem()
    Y[:, [0, 5]] = 0
    clf = fitted(X, csr_array(Y), 50)
    assert clf.map_.shape == (9, 50)
    assert not np.isin(clf.predict_topk(queries, 12).ids, [0, 5]).any()
    none = fitted(X, csr_array(Y.shape), 5, loss="logistic")
    assert not none.predict_topk(queries, 3).counts.any()


@pytest.mark.parametrize(("name", "value"), [("alpha", 0), ("rounds", 0), ("n_negatives", 0), ("loss", "hinge")])
def test_leml_rejects_bad_parameters(name, value):
    with pytest.raises(ValueError, match=name):
        LEML(**{name: value}).fit(np.eye(2), [["a"], ["b"]])


@pytest.mark.parametrize(
    ("parameters", "least"),
    [
        ({}, 0.63),
        ({"loss": "squared_hinge", "alpha": 3.0}, 0.61),
        ({"loss": "logistic", "alpha": 3.0, "steps": 50}, 0.6),
    ],
)
def test_leml_accuracy_on_bibtex(parameters, least):
    bibtex = datasets.load_bibtex()
    top = LEML(**parameters).fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    assert precision_at_k(bibtex.Y_test, top, 1) > least
    assert precision_at_k(bibtex.Y_test, top, 5) > 0.27


@pytest.mark.parametrize("estimator", [LEML, REML])
@pytest.mark.parametrize("alpha", [1e3, 1e9, 1e30])
def test_a_large_alpha_leaves_no_factors(estimator, alpha):
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((30, 12)), np.eye(6)[rng.integers(6, size=30)]
    scores = estimator(3, alpha=alpha, normalize=False).fit(X, Y).decision_function(X)
    assert np.abs(scores).max() < 1e-3 if estimator is LEML else np.isfinite(scores).all()
