"""The one-vs-rest estimators on real data, against scikit-learn and slow twins."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC

from tests.helpers.blocks import problem_data
from tests.helpers.naive import linear as naive
from xclassic import DiSMEC, NearestCentroid, OneVsRestLeastSquares, PPDSparse, datasets, metrics
from xclassic.linalg import ridge
from xclassic.linear import exact_ridge
from xclassic.rows import unit_rows


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


def percent(clf, data, **options):
    """P@1, P@3, P@5 and PSP@5 on the test part."""
    propensities = metrics.propensity(data.Y.sum(axis=0), data.Y.shape[0])
    found = metrics.evaluate(data.Y_test, clf.predict_topk(data.X_test, 5, **options), propensities=propensities)
    return np.array([found[name] for name in ("P@1", "P@3", "P@5", "PSP@5")]) * 100


def bias_of(clf):
    weights = clf.weights_
    bias = np.zeros(clf.classes_.size)
    used = weights.labels >= 0
    bias[weights.labels[used]] = weights.bias[used]
    return bias


def objectives(clf, data):
    """Squared-hinge objective of every label, with C = 1."""
    X, W, bias = unit_rows(data.X), clf.weights_.to_csc(clf.classes_.size).toarray(), bias_of(clf)
    t = np.where(data.Y.toarray() > 0, 1, -1)
    room = np.maximum(0, 1 - t * (X @ W + bias))
    return 0.5 * ((W**2).sum(axis=0) + bias**2) + (room**2).sum(axis=0)


def test_dismec_defaults_are_near_the_optimum(bibtex):
    optimum = objectives(DiSMEC(eps=1e-4, max_passes=300, prune=0).fit(bibtex.X, bibtex.Y), bibtex)
    excess = objectives(DiSMEC(prune=0).fit(bibtex.X, bibtex.Y), bibtex) / optimum - 1
    assert np.median(excess) < 1e-3
    assert excess.max() < 1e-2


def test_dismec_is_as_accurate_as_converged_liblinear(bibtex):
    reference = OneVsRestClassifier(LinearSVC(tol=1e-6, max_iter=10_000))
    reference.fit(unit_rows(bibtex.X), bibtex.Y.astype(np.int64))
    scores = reference.decision_function(unit_rows(bibtex.X_test))
    truth = bibtex.Y_test.toarray()
    expected = [100 * naive.precision_at(scores, truth, k) for k in (1, 3, 5)]
    found = percent(DiSMEC().fit(bibtex.X, bibtex.Y), bibtex)[:3]
    np.testing.assert_allclose(found, expected, atol=0.2)


def test_logistic_loss_on_bibtex(bibtex):
    found = percent(DiSMEC(C=10, loss="logistic").fit(bibtex.X, bibtex.Y), bibtex)
    assert (found[:3] > [63.0, 38.5, 27.8]).all()


def test_pruning_shrinks_the_model_and_hardly_costs_accuracy(bibtex):
    whole = DiSMEC(prune=0).fit(bibtex.X, bibtex.Y)
    accuracy, size = percent(whole, bibtex), whole.weights_.n_values
    whole.prune_weights(0.1)
    assert whole.weights_.n_values < 0.7 * size
    np.testing.assert_allclose(percent(whole, bibtex)[:3], accuracy[:3], atol=0.5)


@pytest.mark.parametrize("propensity", ["default", (0.55, 1.5)])
def test_propensity_favors_rare_labels(bibtex, propensity):
    plain = percent(DiSMEC(0.3).fit(bibtex.X, bibtex.Y), bibtex)
    weighted = percent(DiSMEC(0.3, propensity=propensity).fit(bibtex.X, bibtex.Y), bibtex)
    assert weighted[3] > plain[3] + 0.3


def test_least_squares_on_bibtex(bibtex):
    clf = OneVsRestLeastSquares().fit(bibtex.X, bibtex.Y)
    assert (percent(clf, bibtex)[:3] > [66.3, 40.9, 29.8]).all()
    assert clf.solver_ == "exact"


def test_solvers_agree(bibtex):
    options = {"propensity_power": 0.5, "prune": 0.0}
    exact = OneVsRestLeastSquares(solver="exact", **options).fit(bibtex.X, bibtex.Y)
    iterated = OneVsRestLeastSquares(solver="cg", tol=1e-4, max_sweeps=100, **options).fit(bibtex.X, bibtex.Y)
    L = bibtex.Y.shape[1]
    difference = exact.weights_.to_csc(L).toarray() - iterated.weights_.to_csc(L).toarray()
    assert np.abs(difference).max() < 5e-3 * np.abs(exact.weights_.to_csc(L).toarray()).max()
    assert iterated.residuals_.max() <= 1e-4


@pytest.mark.parametrize(("n", "d"), [(30, 12), (12, 30)], ids=["features", "rows"])
@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
def test_exact_solver_weights(n, d, dense):
    """Both sides of the factorization, against the normal equations."""
    random = np.random.default_rng(0)
    X = random.standard_normal((n, d)).astype(np.float32)
    Y = (random.random((n, 5)) < 0.3).astype(np.float32)
    Y[0] = 1
    clf = OneVsRestLeastSquares(0.5, propensity_power=1.0, prune=0.0, normalize=False, solver="exact")
    clf.fit(X if dense else csr_array(X), csr_array(Y))
    inverse = 1 / metrics.propensity(Y.sum(axis=0), n)
    expected = naive.ridge(naive.with_bias(X, 1), Y * inverse, 0.5)
    found = np.vstack([clf.weights_.to_csc(5).toarray(), bias_of(clf)])
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("d", [6, 40], ids=["features", "rows"])
def test_leave_one_out_equals_refitting(d, monkeypatch):
    monkeypatch.setattr(exact_ridge, "SAMPLE_ROWS", 20)  # so that 40 features are too many, and 20 rows just enough
    random = np.random.default_rng(1)
    X = random.standard_normal((20, d)).astype(np.float32)
    Y = (random.random((20, 7)) < 0.4).astype(np.float32)
    inverse = np.linspace(1, 4, 7)
    alphas, powers = (0.5, 2.0), (0.0, 1.0)
    found = exact_ridge.leave_one_out(
        csr_array(X), csr_array(Y), inverse, bias=0.5, alphas=alphas, powers=powers, seed=0
    )
    for alpha in alphas:
        scores = naive.leave_one_out_scores(naive.with_bias(X, 0.5), Y, alpha)
        for power in powers:
            expected = np.mean([naive.precision_at(scores * inverse**power, Y, k) for k in (1, 3, 5)])
            assert found[alpha, power] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("d", [6, 40], ids=["features", "rows"])
def test_leave_one_out_with_weights_equals_refitting(d, monkeypatch):
    monkeypatch.setattr(exact_ridge, "SAMPLE_ROWS", 20)
    random = np.random.default_rng(2)
    X = random.standard_normal((20, d)).astype(np.float32)
    Y = (random.random((20, 7)) < 0.4).astype(np.float32)
    weights = random.uniform(0.1, 5, 20).astype(np.float32)
    options = {"bias": 0.5, "alphas": (2.0,), "powers": (0.0,), "seed": 0}
    found = exact_ridge.leave_one_out(csr_array(X), csr_array(Y), np.ones(7), row_weights=weights, **options)
    rows, roots = naive.with_bias(X, 0.5), np.sqrt(weights)[:, None]
    precisions = []
    for i in range(20):
        others = np.arange(20) != i
        W = naive.ridge((rows * roots)[others], (Y * roots)[others], 2.0)
        precisions.append(np.mean([naive.precision_at(rows[i : i + 1] @ W, Y[i : i + 1], k) for k in (1, 3, 5)]))
    assert found[2.0, 0.0] == pytest.approx(np.average(precisions, weights=weights), abs=1e-6)
    assert abs(np.mean(precisions) - found[2.0, 0.0]) > 1e-3


def test_alpha_is_chosen_by_leave_one_out(bibtex):
    clf = OneVsRestLeastSquares("auto").fit(bibtex.X, bibtex.Y)
    assert clf.alpha_ in (0.3, 1.0, 3.0)
    fixed = OneVsRestLeastSquares(clf.alpha_, propensity_power=clf.propensity_power_).fit(bibtex.X, bibtex.Y)
    np.testing.assert_array_equal(clf.weights_.values, fixed.weights_.values)


def test_exact_solver_rejects_what_is_too_large(monkeypatch):
    monkeypatch.setattr(ridge, "LIMIT", 2)
    X = np.eye(3, dtype=np.float32)
    with pytest.raises(ValueError, match=r"3 rows and 3 features; .* Use solver='cg'"):
        OneVsRestLeastSquares(solver="exact", propensity_power=0.0).fit(X, np.eye(3))
    assert OneVsRestLeastSquares(propensity_power=0.0).fit(X, np.eye(3)).solver_ == "cg"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"C": 0}, "C is 0; it must be above 0"),
        ({"loss": "hinge"}, "'squared_hinge', 'logistic'"),
        ({"eps": -1}, "eps is -1"),
        ({"max_passes": 0}, "max_passes is 0"),
        ({"prune": -0.1}, "prune is -0.1"),
        ({"bias": np.nan}, "bias is nan"),
        ({"propensity": "amazn"}, "amazn"),
    ],
)
def test_dismec_rejects_bad_parameters(parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        DiSMEC(**parameters).fit(np.eye(3), np.eye(3))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": 0}, "alpha is 0"),
        ({"alpha": "best"}, "alpha"),
        ({"propensity_power": 1.5}, "propensity_power is 1.5"),
        ({"solver": "lsqr"}, "'auto', 'exact', 'cg'"),
        ({"tol": -1}, "tol is -1"),
        ({"max_sweeps": 1.5}, "max_sweeps is 1.5"),
    ],
)
def test_least_squares_rejects_bad_parameters(parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        OneVsRestLeastSquares(**parameters).fit(np.eye(3), np.eye(3))


@pytest.mark.parametrize(
    "clf",
    [
        DiSMEC(), DiSMEC(loss="logistic", propensity=(0.55, 1.5)), PPDSparse(), NearestCentroid(),
        OneVsRestLeastSquares(alpha=1.0, propensity_power=0.0, solver="exact"),
        OneVsRestLeastSquares(alpha=1.0, propensity_power=0.0, solver="cg"),
    ],
    ids=str,
)  # fmt: skip
def test_half_of_the_labels_get_the_weights_that_all_give_them(clf, bibtex):
    """Bit for bit: so labels can be fitted in shards, and added later."""
    X, Y = bibtex.X[:1500], bibtex.Y[:1500]
    half = np.sort(np.random.default_rng(0).permutation(Y.shape[1])[: Y.shape[1] // 2])
    whole = clf.fit(X, Y)
    expected, scores = (
        whole.weights_.to_csc(Y.shape[1]).toarray()[:, half],
        whole.predict_topk(bibtex.X_test, 5, labels=half),
    )
    part = clf.fit(X, Y[:, half])
    np.testing.assert_array_equal(part.weights_.to_csc(half.size).toarray(), expected)
    found = part.predict_topk(bibtex.X_test, 5)
    np.testing.assert_array_equal(half[found.ids], scores.ids)
    np.testing.assert_array_equal(found.scores, scores.scores)


def test_unseen_labels_are_never_predicted():
    Y = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 1]])
    for clf in (DiSMEC(), OneVsRestLeastSquares()):
        top = clf.fit(np.eye(3), csr_array(Y)).predict_topk(np.eye(3), 3)
        assert (top.counts == 2).all()
        assert 1 not in top.ids


@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
def test_normalize_makes_the_length_of_rows_irrelevant(bibtex, scale):
    expected = DiSMEC().fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    found = DiSMEC().fit(bibtex.X * scale, bibtex.Y).predict_topk(bibtex.X_test * (1 / scale), 5)
    assert (expected.ids == found.ids).mean() > 0.99


# Nearest centroid


@pytest.mark.parametrize("container", [csr_array, np.asarray])
def test_nearest_centroid_scores_are_cosines(container):
    X, Y = problem_data()
    top = NearestCentroid().fit(container(X.toarray()), Y).predict_topk(X, 19)
    rows = X.toarray() / np.maximum(np.linalg.norm(X.toarray(), axis=1, keepdims=True), 1e-12)
    sums = Y.toarray().T @ rows
    cosines = rows @ (sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)).T
    np.testing.assert_allclose(top.scores, np.take_along_axis(cosines, top.ids, axis=1), atol=1e-6)
    np.testing.assert_allclose(top.scores, -np.sort(-cosines[:, :19], axis=1), atol=1e-6)


def test_nearest_centroid_keeps_the_largest_entries():
    X, Y = problem_data()
    full, cut = (NearestCentroid(n).fit(X, Y).weights_.to_csc(20).toarray() for n in (1000, 5))
    assert ((cut != 0).sum(axis=0) <= 5).all()
    for label in range(19):
        kept = np.argsort(-full[:, label])[:5]
        assert set(np.flatnonzero(cut[:, label])) == set(kept)
