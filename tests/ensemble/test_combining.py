"""How a blend learns: held-out predictions, targets, and the choice of members and of their combination."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import expit

from tests.helpers.centroid import Centroid
from tests.helpers.contract import assert_same_predictions, noisy
from xclassic import Blend, TopK, datasets, metrics
from xclassic.ensemble.combining import choose, evidence, fit_map
from xclassic.ensemble.cross_fitting import Folds, choose_folds
from xclassic.ensemble.pairs import Pairs
from xclassic.ensemble.targets import read_target


def random_truth(n_rows=400, n_labels=30, seed=0):
    return csr_array((np.random.default_rng(seed).random((n_rows, n_labels)) < 0.1).astype(np.float32))


def views(truth, noises, seed=1, depth=20):
    """Rankings of the truth under noise of its own for each member."""
    rng = np.random.default_rng(seed)
    return [TopK.from_dense(truth.toarray() + noise * rng.standard_normal(truth.shape), depth) for noise in noises]


def held_out(truth):
    everything = np.arange(truth.shape[0])
    return Folds(truth, [(everything, everything)])  # Only counts of labels depend on the rows to train on.


def by_pair(pairs):
    """Scores of the only member in the order of the pairs."""
    scores = np.zeros(pairs.rows.size)
    scores[pairs.said[0].at] = pairs.said[0].scores
    return scores


def chosen(truth, tops, name="mean", *, logistic=True):
    pairs = Pairs(tops, held_out(truth), 20)
    maps = [fit_map(said, pairs) for said in pairs.said]
    log_odds = [
        np.column_stack([np.ones(said.at.size), said.scores, said.log_ranks, pairs.log_counts[said.at]]) @ own
        for said, own in zip(pairs.said, maps, strict=True)
    ]
    return choose(pairs, log_odds if logistic else [], [expit(odds) for odds in log_odds], read_target(name, truth))


def test_every_row_is_predicted_by_a_model_without_it():
    X, Y = noisy()
    folds = choose_folds(Y, 3, 0)
    top = folds.predictions(lambda rows: Centroid().fit(X[rows], csr_array(Y[rows])), X, 7)
    for train, test in datasets.stratified_kfold(Y, 3, random_state=0):
        expected = Centroid().fit(X[train], csr_array(Y[train])).predict_topk(X[test], 7)
        at = np.searchsorted(folds.rows, test)
        assert_same_predictions(TopK(top.ids[at], top.scores[at], top.counts[at]), expected)
        counts = np.asarray(Y[train].sum(axis=0)).ravel()
        assert (folds.counts(at, top.ids[at][:, 0]) == counts[top.ids[at][:, 0]]).all()


@pytest.mark.parametrize(("n_rows", "n_folds"), [(1, 0), (3, 3), (40, 5), (14_000, 4), (60_000, 1)])
def test_folds_end_with_ten_thousand_rows(n_rows, n_folds):
    Y = csr_array(np.ones((n_rows, 1), np.float32))
    splits = choose_folds(Y, "auto", 0).splits
    assert len(splits) == n_folds
    assert all(len(test) <= 10_000 for _, test in splits)


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("P@3", lambda Y, top: metrics.precision_at_k(Y, top, 3)),
        ("R@4", lambda Y, top: metrics.recall_at_k(Y, top, 4)),
        ("nDCG@5", lambda Y, top: metrics.ndcg_at_k(Y, top, 5)),
        ("mean", lambda Y, top: np.mean([metrics.precision_at_k(Y, top, k) for k in (1, 3, 5)])),
    ],
)
def test_targets_are_the_metrics(name, metric):
    truth = random_truth()
    truth = truth[np.diff(truth.indptr) > 0]  # The metrics leave out rows without labels where they divide.
    (top,) = views(truth, [0.5])
    pairs = Pairs([top], held_out(truth), 20)
    found = read_target(name, truth).of_rows(pairs, by_pair(pairs))
    assert found.mean() == pytest.approx(metric(truth, top))


def test_targets_for_rare_labels_are_the_metrics_up_to_a_factor():
    truth = random_truth()
    propensity = metrics.propensity(truth.sum(axis=0), truth.shape[0])
    found, expected = [], []
    for top in views(truth, [0.3, 0.6]):
        pairs = Pairs([top], held_out(truth), 20)
        found.append(read_target("PSP@5", truth).of_rows(pairs, by_pair(pairs)).mean())
        expected.append(metrics.psp_at_k(truth, top, 5, propensity))
    assert found[0] / found[1] == pytest.approx(expected[0] / expected[1])


def test_members_that_say_nothing_are_left_out():
    truth = random_truth()
    found = chosen(truth, views(truth, [9.0, 0.3, 9.0]))
    assert found.weights.tolist() == [0, 1, 0]
    assert found.base.size == 0


def test_members_that_err_on_different_rows_are_combined():
    truth = random_truth()
    found = chosen(truth, views(truth, [0.5, 0.5, 0.5, 9.0]))
    assert (found.weights[:3] > 0.2).all()
    assert found.weights[3] == 0


def test_a_model_is_learned_where_members_know_labels_of_different_frequency():
    rng = np.random.default_rng(0)
    shares = np.where(np.arange(30) < 10, 0.3, 0.02)
    truth = csr_array((rng.random((1500, 30)) < shares).astype(np.float32))
    frequent, rare = views(truth, [0.2, 0.2])
    blurred = rng.standard_normal((1500, 30)) * 2
    tops = [
        TopK.from_dense(np.where(shares > 0.1, frequent.to_csr(30).toarray(), blurred), 20),
        TopK.from_dense(np.where(shares < 0.1, rare.to_csr(30).toarray(), blurred), 20),
    ]
    assert chosen(truth, tops).base.size == 2
    assert chosen(truth, tops, logistic=False).base.size == 0


def test_without_hits_weights_are_equal():
    truth = csr_array(np.zeros((20, 30), np.float32))
    assert chosen(truth, views(truth, [1.0, 1.0])).weights.tolist() == [0.5, 0.5]


def of_frequencies():
    """Members that are right on labels of different frequency, as estimators."""
    X, Y = noisy()
    return X, Y, Blend([("near", Centroid()), ("shrunk", Centroid(shrink=3.0)), ("noise", Centroid(noise=1.0))], cv=3)


def test_scores_are_the_model_of_what_members_say():
    X, Y, blend = of_frequencies()
    blend.fit(X, Y)
    terms = np.arange(18).reshape(3, 6) / 40 - 0.2
    blend._combine(blend._combination._replace(base=np.array([-2.0, 0.3]), terms=terms, weights=np.ones(3) / 3))
    counts = np.log1p(np.asarray(Y.sum(axis=0)).ravel())
    log_odds = np.full((150, 37), np.nan)
    log_odds[:] = -2.0 + 0.3 * counts
    named = np.zeros((150, 37), bool)
    blend.n_candidates = 9
    for (constant, of_score, of_rank, of_count), own, member in zip(blend.maps_, terms, blend.estimators_, strict=True):
        top = member.predict_topk(X, 9)
        for i in range(150):
            for slot, (label, score) in enumerate(zip(top.ids[i], top.scores[i], strict=True)):
                odds = constant + of_score * score + of_rank * np.log(slot + 1) + of_count * counts[label]
                odds = min(max(odds, -12), 12)
                said = [1, odds, 1 / (1 + np.exp(-odds))]
                log_odds[i, label] += np.dot(own, [*said, *(counts[label] * value for value in said)])
                named[i, label] = True
    expected = TopK.from_dense(np.where(named, expit(log_odds), -np.inf), 6)
    top = blend.predict_topk(X, 6)
    np.testing.assert_allclose(top.scores, expected.scores, rtol=1e-4)
    assert blend.combination_ == "logistic"
    assert evidence(np.array([30.0]), np.array([2.0])).tolist()[0][1] == 12


def test_for_rare_labels_scores_are_divided_by_propensities():
    X, Y, _ = of_frequencies()
    members = [("near", Centroid())]
    plain, rare = (Blend(members, cv=3, target=name).fit(X, Y) for name in ("mean", "tail"))
    ratio = rare.decision_function(X, max_scores=37).toarray() / plain.decision_function(X, max_scores=37).toarray()
    inverse = 1 / metrics.propensity(Y.sum(axis=0), 150)
    np.testing.assert_allclose(ratio, np.tile(inverse / inverse.max(), (150, 1)), rtol=1e-4)
    assert hasattr(plain, "predict_proba")
    assert not hasattr(rare, "predict_proba")
