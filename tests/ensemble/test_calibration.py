"""Calibrated: the contract, scikit-learn's checks, the maps against plain twins, and probabilities that come true."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import xclassic
from tests.helpers.centroid import Centroid
from tests.helpers.contract import (
    EXPECTED_FAILURES,
    WEIGHED,
    Contract,
    assert_same_arrays,
    assert_same_predictions,
    noisy,
)
from tests.helpers.folders import edit_header, replace_array
from xclassic import Calibrated, DiSMEC, ModelFileError, OneVsRestLeastSquares, datasets, metrics
from xclassic.ensemble import probability_maps
from xclassic.ensemble.cross_fitting import choose_folds
from xclassic.ensemble.probability_maps import fit_isotonic, fit_logistic, fit_maps, unfitted_map
from xclassic.features import TextFeatures

TITLES = ["star planet", "moon star", "bread butter", "butter jam", "planet moon", "jam bread"] * 6
LABELS = [["sky"] if title.split()[0] in ("star", "moon", "planet") else ["food", title[0]] for title in TITLES]


class TestContract(Contract):
    estimator = Calibrated(DiSMEC(), cv=2)


@parametrize_with_checks(
    [Calibrated(DiSMEC(), cv=2)], expected_failed_checks=lambda estimator: EXPECTED_FAILURES | WEIGHED
)
def test_calibrated_passes_scikit_learn_check(estimator, check):
    check(estimator)


# The maps


def facts_and_hits(n_pairs=4000, n_ranks=30, seed=0):
    """Pairs whose scores mean more for frequent labels and at high ranks, with ties among the scores."""
    rng = np.random.default_rng(seed)
    scores, ranks = rng.normal(size=n_pairs).round(2), rng.integers(1, n_ranks + 1, n_pairs)
    counts = rng.integers(0, 60, n_pairs)
    log_odds = (0.5 + np.log1p(counts) / 2) * scores - np.log(ranks)
    return np.stack([scores, np.log(ranks), np.log1p(counts)], axis=1), rng.random(n_pairs) < 1 / (
        1 + np.exp(-log_odds)
    )


def test_logistic_map_equals_scikit_learns_regression():
    facts, hits = facts_and_hits()
    fitted = fit_logistic(facts, hits)
    scores, share = (facts[:, 0] - facts[:, 0].mean()) / facts[:, 0].std(), facts[:, 2] / facts[:, 2].max()
    columns = np.stack([scores * (1 - share), scores * share, share, -facts[:, 1]], axis=1)
    twin = LogisticRegression(tol=1e-8, max_iter=1000).fit(columns, hits)
    np.testing.assert_allclose(fitted.probabilities(facts), twin.predict_proba(columns)[:, 1], atol=2e-3)


def test_logistic_map_rises_also_where_scores_mislead():
    facts, hits = facts_and_hits()
    facts[:, 0] *= -1
    fitted = fit_logistic(facts, hits)
    assert (fitted.coefficients[1:3] > 0).all()


def naive_line(scores, hits, wanted):
    """Return the line through the means of the steps of scikit-learn's isotonic regression at the scores wanted."""
    scores = np.concatenate([scores, [scores.min(), scores.max()]])
    hits = np.concatenate([hits, [True, False]])
    values = IsotonicRegression().fit_transform(scores, hits.astype(float))
    steps = np.unique(values.round(12))
    return np.interp(wanted, [scores[values.round(12) == step].mean() for step in steps], steps)


def test_isotonic_map_equals_a_loop_over_bands_and_zones():
    facts, hits = facts_and_hits()
    logistic = fit_logistic(facts, hits)
    fitted = fit_isotonic(facts, hits, 4, logistic)
    assert fitted.edges.size == 3
    assert min(np.bincount(np.searchsorted(fitted.edges, facts[hits, 2], side="right"))) >= 100
    new, _ = facts_and_hits(seed=1)
    ranks, new_ranks = np.exp(facts[:, 1]).round(), np.exp(new[:, 1]).round()
    expected = 0.01 * logistic.probabilities(new)
    for low, high in zip([-np.inf, *fitted.edges], [*fitted.edges, np.inf], strict=True):
        band, new_band = ((of[:, 2] >= low) & (of[:, 2] < high) for of in (facts, new))
        lines = []
        for above, last in ((0, 5), (5, 20), (20, 30)):
            own = band & (ranks > above) & (ranks <= last)
            lines.append(naive_line(facts[own, 0], hits[own], new[:, 0]))
            wanted = new_band & (new_ranks > above) & (new_ranks <= last)
            expected[wanted] += 0.99 * np.min(lines, axis=0)[wanted]
    np.testing.assert_allclose(fitted.probabilities(new), expected, atol=1e-9)


@pytest.mark.parametrize("method", ["logistic", "isotonic"])
def test_maps_keep_the_order_of_labels_of_one_frequency(method):
    facts, hits = facts_and_hits()
    ordered = np.stack([np.linspace(4, -4, 40), np.log(np.arange(1, 41)), np.full(40, np.log(21))], axis=1)
    for fitted in fit_maps(method, facts, hits):
        assert (np.diff(fitted.probabilities(ordered)) < 0).all()


@pytest.mark.parametrize("right", [True, False])
def test_maps_of_pairs_that_are_all_alike(right):
    facts, _ = facts_and_hits(50)
    for fitted in fit_maps("auto", facts, np.full(50, right)):
        found = fitted.probabilities(facts)
        assert ((found > 0) & (found < 1)).all()
        assert ((found > 0.5) == right).all()
        one = fit_maps("auto", facts[:1], np.array([right]))[0].probabilities(facts[:1])
        assert ((one > 0) & (one < 1)).all()


# What is learned from


def test_random_folds_hold_every_row_out_once():
    _, Y = noisy()
    folds = choose_folds(Y, 4, 0, stratified=False)
    np.testing.assert_array_equal(folds.rows, np.arange(150))
    alone = csr_array(np.eye(20, dtype=np.float32))  # Each row alone carries its label.
    assert choose_folds(alone, 4, 0, stratified=False).rows.size == 20


def test_probabilities_come_true():
    bibtex = datasets.load_bibtex()
    plain = DiSMEC().fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test)
    clf = Calibrated(DiSMEC()).fit(bibtex.X, bibtex.Y)
    top = clf.predict_topk(bibtex.X_test)
    assert metrics.expected_calibration_error(bibtex.Y_test, top) < 0.02
    assert clf.calibration_error_ < 0.02
    rate = metrics.precision_at_k(bibtex.Y_test, top, 5)
    assert metrics.brier_score(bibtex.Y_test, top) < 0.8 * rate * (1 - rate)
    assert rate == pytest.approx(
        metrics.precision_at_k(bibtex.Y_test, plain, 5), abs=2e-3
    )  # Bands may change it a little.


def test_few_candidates_are_all_that_is_predicted():
    X, Y = noisy()
    clf = Calibrated(Centroid(), n_candidates=4, cv=3).fit(X, Y)
    top = clf.predict_topk(X, 10)
    assert (top.counts == 4).all()
    best = clf.estimator_.predict_topk(X, 4)
    np.testing.assert_array_equal(np.sort(top.ids[:, :4], axis=1), np.sort(best.ids, axis=1))


def test_probabilities_do_not_depend_on_what_is_allowed():
    X, Y = noisy()
    clf = Calibrated(Centroid(), n_candidates=37, cv=3).fit(X, Y)
    full, part = clf.predict_topk(X, 37).to_csr(37), clf.predict_topk(X, 37, labels=np.arange(20)).to_csr(37)
    np.testing.assert_array_equal(part.toarray()[:, :20], full.toarray()[:, :20])


def test_method_chosen_is_among_those_asked_for():
    X, Y = noisy()
    assert Calibrated(Centroid(), method="logistic", cv=2).fit(X, Y).method_ == "logistic"
    assert Calibrated(Centroid(), method="isotonic", cv=2).fit(X, Y).method_ == "isotonic"


def test_fits_without_held_out_rows_take_what_the_estimator_has_chosen(monkeypatch):
    fitted = []
    fit = OneVsRestLeastSquares.fit
    monkeypatch.setattr(OneVsRestLeastSquares, "fit", lambda *args, **own: fitted.append(args[0]) or fit(*args, **own))
    clf = Calibrated(OneVsRestLeastSquares(), cv=3).fit(*noisy())
    powers = [one.propensity_power for one in fitted]
    assert powers == ["auto", *[clf.estimator_.propensity_power_] * 3]


def test_weights_go_to_the_estimator():
    X, Y = noisy()
    weights = {"sample_weight": np.arange(1, 151), "label_weight": np.linspace(0.5, 2, 37)}
    clf = Calibrated(DiSMEC(), cv=2).fit(X, Y, **weights)
    assert_same_arrays(clf.estimator_, DiSMEC().fit(X, Y, **weights))


def test_pipelines_read_texts(tmp_path):
    clf = Calibrated(make_pipeline(TextFeatures(), DiSMEC()), cv=3).fit(TITLES, LABELS)
    top = clf.predict_topk(["star", "jam"], 2)
    assert [row[0][0] for row in top.named(clf.classes_)] == ["sky", "food"]
    clf.save(tmp_path / "model")
    assert_same_predictions(xclassic.load(tmp_path / "model").predict_topk(["star", "jam"], 2), top)


# Too little to learn from, and bad input


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (np.eye(1, 3), [["a"]]),
        (np.eye(2, 3), [["a"], []]),
        (np.eye(3), [["a"], ["b"], ["c"]]),
        (np.eye(6, 3), [["a"]] * 6),
        (np.ones((6, 3)), [["a"], [], [], [], [], []]),
    ],
)
def test_little_data_gives_probabilities_all_the_same(X, y):
    clf = Calibrated(DiSMEC()).fit(X, y)
    found = clf.predict_proba(X)
    assert ((found.data > 0) & (found.data < 1)).all()


def test_a_single_row_gives_the_logistic_function_of_the_score():
    clf = Calibrated(DiSMEC()).fit(np.eye(1, 3), [["a"]])
    score = clf.estimator_.predict_topk(np.eye(1, 3)).scores
    np.testing.assert_allclose(clf.predict_topk(np.eye(1, 3)).scores, 1 / (1 + np.exp(-score)), rtol=1e-6)
    assert np.isnan(clf.calibration_error_)
    assert unfitted_map().probabilities(np.array([[0.0, 1.0, 2.0]])) == 0.5


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"method": "platt"}, "method is 'platt'"),
        ({"cv": 1}, "cv is 1"),
        ({"n_candidates": 0}, "n_candidates is 0"),
        ({"estimator": LogisticRegression()}, "a LogisticRegression"),
        ({"estimator": DiSMEC(C=-1)}, "Member 'estimator': C is -1"),
    ],
)
def test_bad_parameters_are_refused(params, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Calibrated(DiSMEC()).set_params(**params).fit(*noisy())


def test_damaged_folders_are_refused(tmp_path):
    X, Y = noisy()
    clf = Calibrated(DiSMEC(), method="isotonic", cv=2).fit(X, Y)
    damages = {
        "log_counts": np.zeros(3),
        "coefficients": np.full(5, np.nan),
        "scale": np.zeros(3),
        "starts": np.zeros_like(clf._map.starts),
        "values": clf._map.values + 2,
        "scores": clf._map.scores.astype(np.float32),
    }
    for name, array in damages.items():
        clf.save(tmp_path / name)
        replace_array(tmp_path / name, name, array)
        with pytest.raises(ModelFileError):
            xclassic.load(tmp_path / name)
    clf.save(tmp_path / "header")
    edit_header(tmp_path / "header", lambda header: header["facts"].update(calibration_error="x"))
    with pytest.raises(ModelFileError, match="damaged"):
        xclassic.load(tmp_path / "header")


def test_zones_cut_between_ranks():
    assert np.searchsorted(probability_maps.ZONES, np.log([1, 5, 6, 20, 21, 100])).tolist() == [0, 0, 1, 1, 2, 2]
