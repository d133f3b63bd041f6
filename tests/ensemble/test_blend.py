"""Blend: the contract, scikit-learn's checks, what it computes, and a gain on real data."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

import xclassic
from tests.helpers.centroid import Centroid, ProbabilisticCentroid
from tests.helpers.contract import (
    EXPECTED_FAILURES,
    WEIGHED,
    Contract,
    assert_same_predictions,
    assert_well_formed,
    noisy,
)
from tests.helpers.folders import edit_header, replace_array
from xclassic import Blend, DiSMEC, ModelFileError, OneVsRestLeastSquares, TopK, blend_topk, datasets, metrics


def two(**params):
    return Blend([("margins", DiSMEC()), ("squares", OneVsRestLeastSquares())], **{"cv": 2, **params})


def centroids(**params):
    return Blend([("near", Centroid()), ("shrunk", Centroid(shrink=3.0))], **{"cv": 2, **params})


class TestContract(Contract):
    estimator = two()


class TestContractOfRanks(Contract):
    estimator = two(normalization="rank")


@parametrize_with_checks(
    [two(), two(normalization="none")], expected_failed_checks=lambda estimator: EXPECTED_FAILURES | WEIGHED
)
def test_blend_passes_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


def precisions(top, Y):
    return np.array([100 * metrics.precision_at_k(Y, top, k) for k in (1, 3, 5)])


# The weighted mean


def naive_blend(tops, weights, k):
    """Return the blended (label, score) pairs of each row."""
    predictions = []
    for i in range(tops[0].n_rows):
        total = {}
        for top, weight in zip(tops, weights, strict=True):
            for label, score in zip(top.ids[i, : top.counts[i]], top.scores[i, : top.counts[i]], strict=True):
                total[label] = total.get(label, 0) + weight / sum(weights) * float(score)
        ranked = sorted(total.items(), key=lambda pair: (-np.float32(pair[1]), pair[0]))
        predictions.append(ranked[:k])
    return predictions


def random_tops(n_tops, rng, n_rows=20, n_labels=12, k=5):
    """Predictions with ties and rows of fewer predictions, or none."""
    tops = []
    for _ in range(n_tops):
        scores = rng.integers(0, 4, (n_rows, n_labels)) / 4
        scores[rng.random(scores.shape) < 0.7] = -np.inf
        tops.append(TopK.from_dense(scores, k))
    return tops


@pytest.mark.parametrize("weights", [[1, 1, 1], [0.5, 0.25, 0.25], [4, 0, 1]])
def test_blend_topk_equals_a_loop_over_dictionaries(weights):
    tops = random_tops(3, np.random.default_rng(0))
    for k in (1, 4, 12, 50):
        top = blend_topk(tops, weights, k, 12)
        assert_well_formed(top, 20, min(k, 12), 12)
        for (ids, scores, count), expected in zip(zip(*top, strict=True), naive_blend(tops, weights, k), strict=True):
            assert ids[:count].tolist() == [label for label, _ in expected]
            np.testing.assert_allclose(scores[:count], [score for _, score in expected], rtol=1e-6)


def test_blend_topk_of_one_ranking_is_that_ranking():
    (top,) = random_tops(1, np.random.default_rng(1))
    assert_same_predictions(blend_topk([top], [3.0], 5, 12), top)


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, np.nan], [1, np.inf], ["a", "b"], 1.0])
def test_blend_topk_rejects_bad_weights(weights):
    tops = random_tops(2, np.random.default_rng(0))
    with pytest.raises(ValueError, match="weights is"):
        blend_topk(tops, weights, 5, 12)
    if weights != 1.0:
        with pytest.raises(ValueError, match="weights is"):
            two(weights=weights).fit(*noisy())


def test_blend_topk_rejects_rankings_that_do_not_fit():
    one, other = random_tops(2, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"have \[19, 20\] rows"):
        blend_topk([one, TopK(*(array[1:] for array in other))], [1, 1], 5, 12)
    with pytest.raises(ValueError, match="label ids from 0 to 11; there are 11"):
        blend_topk([one, other], [1, 1], 5, 11)


# Normalization


def test_blend_averages_ranks():
    X, Y = noisy()
    blend = centroids(normalization="rank", weights=[3, 1], n_candidates=10).fit(X, Y)
    expected = np.zeros((150, 37))
    for share, member in zip((0.75, 0.25), blend.estimators_, strict=True):
        top = member.predict_topk(X, 10)
        np.add.at(expected, (np.arange(150)[:, None], top.ids), share / (1 + np.arange(1, 11)))
    top = blend.predict_topk(X, 20)
    expected[expected == 0] = -np.inf
    np.testing.assert_allclose(top.scores, TopK.from_dense(expected, 20).scores, rtol=1e-6)
    assert set(blend.predict_topk(X, 37).counts) <= set(range(10, 21))  # no labels but the candidates


def test_blend_averages_scores_as_they_are():
    X, Y = noisy()
    blend = centroids(normalization="none", weights=None).fit(X, Y)
    expected = np.mean([member.predict_topk(X, 37).to_csr(37).toarray() for member in blend.estimators_], axis=0)
    np.testing.assert_allclose(blend.predict_topk(X, 37).to_csr(37).toarray(), expected, rtol=1e-5, atol=1e-6)


def test_blend_calibrates_probabilities(bibtex):
    blend = two(weights=None, cv=3).fit(bibtex.X, bibtex.Y)
    found = blend.predict_proba(bibtex.X_test)
    assert (found.data >= 0).all()
    assert (found.data <= 1).all()
    hits = np.asarray(bibtex.Y_test.toarray()[found.nonzero()])
    values = found.toarray()[found.nonzero()]
    for low, high in ((0.01, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 1.0)):
        within = (values >= low) & (values < high)
        assert values[within].mean() == pytest.approx(hits[within].mean(), abs=0.06)


def test_blend_maps_equal_a_regression_on_the_held_out_rows(bibtex):
    X, Y = bibtex.X[:1000], csr_array(bibtex.Y[:1000])
    blend = Blend([("margins", DiSMEC())], cv=2, n_candidates=20).fit(X, Y)
    columns, hits = [], []
    for train, held_out in datasets.stratified_kfold(Y, 2, random_state=0):
        top = DiSMEC().fit(X[train], Y[train]).predict_topk(X[held_out], 20)
        counts = np.log1p(Y[train].sum(axis=0))
        ranks = np.log(np.arange(1, 21))
        for ids, scores, true in zip(top.ids, top.scores, Y[held_out].toarray(), strict=True):
            columns.append(np.stack([scores, ranks, counts[ids]], axis=1))
            hits.append(true[ids])
    exact = LogisticRegression(C=1e6, tol=1e-8, max_iter=1000).fit(np.vstack(columns), np.concatenate(hits))
    np.testing.assert_allclose(
        np.vstack(columns) @ blend.maps_[0, 1:] + blend.maps_[0, 0],
        np.vstack(columns) @ exact.coef_[0] + exact.intercept_[0],
        atol=0.1,
    )


def test_blend_has_probabilities_if_calibrated():
    assert not hasattr(two(normalization="rank"), "predict_proba")
    assert not hasattr(two(normalization="none"), "predict_proba")
    assert hasattr(two(), "predict_proba")
    assert hasattr(Blend([("a", ProbabilisticCentroid())], normalization="none"), "predict_proba")


# Restrictions


@pytest.mark.parametrize("normalization", ["rank", "probability", "none"])
def test_restriction_reaches_labels_beyond_the_candidates(normalization):
    X, Y = noisy()
    blend = centroids(normalization=normalization, n_candidates=5).fit(X, Y)
    wanted = [1, 8, 30]
    assert (blend.predict_topk(X, 3).counts == 3).all()
    assert not np.isin(blend.predict_topk(X, 10).ids, wanted).any(axis=1).all()
    top = blend.predict_topk(X, 3, labels=wanted)
    assert_well_formed(top, 150, 3, 37)
    assert (top.counts == 3).all()
    assert (np.sort(top.ids, axis=1) == wanted).all()


def test_restriction_ranks_go_on_after_the_last_candidate():
    X, Y = noisy()
    blend = Blend([("only", Centroid())], normalization="rank", n_candidates=5).fit(X, Y)
    wanted = list(range(0, 37, 2))
    full = blend.estimators_[0].predict_topk(X, 37).ids
    top = blend.predict_topk(X, 37, labels=wanted)
    for i in range(150):
        candidates = full[i, :5].tolist()
        allowed = [label for label in full[i] if label in wanted][:5]
        beyond = [label for label in allowed if label not in candidates]
        ranks = [candidates.index(x) + 1 if x in candidates else 6 + beyond.index(x) for x in allowed]
        assert top.ids[i, :5].tolist() == allowed
        np.testing.assert_allclose(top.scores[i, :5], 1 / (1 + np.array(ranks)), rtol=1e-6)


# Weights


def test_blend_weights_find_the_member_that_is_right():
    X, Y = noisy()
    blend = Blend([("noise", Centroid(noise=10.0)), ("signal", OneVsRestLeastSquares())], normalization="rank")
    Y = csr_array(np.eye(37, dtype=np.float32)[np.asarray(X.toarray()[:, :37].argmax(axis=1))])
    assert blend.fit(X, Y).weights_[1] > 0.5


def test_given_weights_need_only_the_training_rows(monkeypatch):
    fits = []
    fit = Centroid._fit
    monkeypatch.setattr(Centroid, "_fit", lambda self, X, Y: (fits.append(X.shape[0]), fit(self, X, Y))[1])
    X, Y = noisy()
    centroids(normalization="rank", weights=[1, 2]).fit(X, Y)
    assert fits == [150, 150]
    fits.clear()
    blend = centroids(cv=3).fit(X, Y)
    assert fits[:2] == [150, 150]
    assert len(fits) == 8
    assert max(fits[2:]) < 150
    assert blend.weights_.sum() == pytest.approx(1)


def test_members_of_weight_zero_are_not_queried():
    X, Y = noisy()
    blend = centroids(normalization="rank", weights=[0, 1]).fit(X, Y)
    blend.estimators_[0] = None
    assert_same_predictions(
        blend.predict_topk(X, 37),
        Blend([("b", Centroid(shrink=3.0))], normalization="rank").fit(X, Y).predict_topk(X, 37),
    )


@pytest.mark.parametrize("normalization", ["probability", "rank"])
def test_blend_reaches_its_best_member_on_bibtex(bibtex, normalization):
    members = [DiSMEC(), OneVsRestLeastSquares()]
    alone = [precisions(m.fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5), bibtex.Y_test) for m in members]
    blend = two(normalization=normalization, cv=3).fit(bibtex.X, bibtex.Y)
    found = precisions(blend.predict_topk(bibtex.X_test, 5), bibtex.Y_test)
    assert (found >= np.max(alone, axis=0) - 0.1).all()  # a tenth of a point is two to three of 2,515 rows


# Members


def test_members_are_reached_by_name():
    blend = two()
    assert blend.get_params()["margins__C"] == 1.0
    blend.set_params(margins__C=2.0, squares=Centroid(shrink=2.0), weights=None)
    assert [type(member) for _, member in blend.estimators] == [DiSMEC, Centroid]
    copy = clone(blend)
    assert copy.get_params()["margins__C"] == 2.0
    assert copy.get_params()["squares__shrink"] == 2.0
    fitted = copy.fit(*noisy())
    assert fitted.named_estimators_["margins"] is fitted.estimators_[0]
    assert fitted.estimators_[0].C == 2.0
    assert not hasattr(copy.estimators[0][1], "weights_")  # the members that were passed stay unfitted


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"estimators": []}, ValueError, "estimators is empty"),
        ({"estimators": None}, TypeError, "must be a list of"),
        ({"estimators": [DiSMEC()]}, TypeError, "must be a list of"),
        ({"estimators": [("a", LogisticRegression())]}, TypeError, "Member 'a' is a LogisticRegression"),
        ({"estimators": [("a", DiSMEC), ("b", DiSMEC())]}, TypeError, "Member 'a' is a"),
        ({"estimators": [("a", DiSMEC()), ("a", DiSMEC())]}, ValueError, "not unique"),
        ({"estimators": [("weights", DiSMEC())]}, ValueError, "conflict"),
        ({"estimators": [("a", DiSMEC(C=-1))]}, ValueError, "C is -1"),
        ({"weights": "best"}, ValueError, "weights is 'best'"),
        ({"normalization": "softmax"}, ValueError, "normalization is 'softmax'"),
        ({"n_candidates": 0}, ValueError, "n_candidates is 0"),
        ({"cv": 1}, ValueError, "cv is 1"),
        ({"cv": "loo"}, ValueError, "cv is 'loo'"),
        ({"cv": None}, TypeError, "cv is None"),
        ({"target": "P"}, ValueError, "target is 'P'"),
        ({"target": "PSP@0"}, ValueError, "k is 0"),
        ({"target": 5}, ValueError, "target is 5"),
    ],
)
def test_blend_rejects_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        Blend(**{"estimators": [("a", DiSMEC())], **params}).fit(*noisy())


# Model folders


def saved(tmp_path, **params):
    inner = Blend([("a", DiSMEC(propensity=(0.5, 1.0))), ("b", OneVsRestLeastSquares())], normalization="rank", cv=2)
    X, Y = noisy()
    model = Blend([("inner", inner), ("c", DiSMEC(C=0.5))], **{"cv": 2, **params}).fit(X, Y)
    model.save(tmp_path / "model")
    return model


def test_nested_blends_come_back(tmp_path):
    model = saved(tmp_path, weights=np.array([0.25, 0.75]))
    copy = xclassic.load(tmp_path / "model", verify="full")
    X, _ = noisy()
    assert_same_predictions(copy.predict_topk(X, 37), model.predict_topk(X, 37))
    assert copy.get_params()["inner__a__propensity"] == (0.5, 1.0)
    np.testing.assert_array_equal(copy.weights, [0.25, 0.75])
    assert_same_predictions(copy.fit(*noisy()).predict_topk(X, 37), model.predict_topk(X, 37))


def damage(header, case):
    members = header["facts"]["members"]
    if case == "another class":
        members[0]["class"] = "Pipeline"
    elif case == "no class":
        del members[1]["class"]
    elif case == "other features":
        members[1]["n_features"] = 59
    elif case == "a member less":
        del members[1]
    elif case == "no members":
        members.clear()
    elif case == "members of another kind":
        header["facts"]["members"] = {"a": 1}
    elif case == "a name twice":
        members[1]["name"] = members[0]["name"]
    elif case == "a name that is not one":
        members[1]["name"] = ["c"]
    elif case == "bad parameter":
        members[1]["params"]["C"] = "high"
    elif case == "endless nesting":
        for _ in range(300):
            header["facts"]["members"] = [{**members[0], "facts": {"members": header["facts"]["members"]}}]


@pytest.mark.parametrize("verify", ["lazy", "full"])
@pytest.mark.parametrize(
    "case",
    [
        "another class",
        "no class",
        "other features",
        "a member less",
        "no members",
        "members of another kind",
        "a name twice",
        "a name that is not one",
        "bad parameter",
        "endless nesting",
    ],
)
def test_blend_rejects_damaged_headers(case, verify, tmp_path):
    saved(tmp_path)
    edit_header(tmp_path / "model", lambda header: damage(header, case))
    with pytest.raises(ModelFileError):
        xclassic.load(tmp_path / "model", verify=verify)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("weights", [0.5, np.nan]),
        ("weights", [-1.0, 2.0]),
        ("weights", [1.0]),
        ("maps", [[0.0, 1.0, 0.0, 0.0], [0.0, np.inf, 0.0, 0.0]]),
        ("maps", [[0.0, 1.0, 0.0, 0.0]]),
        ("log_counts", [1.0]),
        ("base", [1.0]),
        ("terms", [[1.0] * 6]),
        ("values", [1.0]),
    ],
)
def test_blend_rejects_damaged_arrays(name, array, tmp_path):
    saved(tmp_path)
    replace_array(tmp_path / "model", name, np.array(array))
    with pytest.raises(ModelFileError):
        xclassic.load(tmp_path / "model")
