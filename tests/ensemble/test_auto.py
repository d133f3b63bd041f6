"""AutoXMC: the contract, what is tried and told, replays, limits of time and memory, and failures."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.utils.estimator_checks import parametrize_with_checks

import xclassic
from tests.helpers.centroid import Centroid
from tests.helpers.contract import EXPECTED_FAILURES, WEIGHED, Contract, assert_same_predictions, noisy
from xclassic import KNN, AutoXMC, Bonsai, DiSMEC, FastXML, OneVsRestLeastSquares, metrics
from xclassic.ensemble.search import Clock
from xclassic.features import TextFeatures

MEMBERS = [("neighbors", KNN()), ("hinge", DiSMEC())]
TITLES = ["star planet", "moon star", "bread butter", "butter jam", "planet moon", "jam bread"] * 12
LABELS = [["sky"] if title.split()[0] in ("star", "moon", "planet") else ["food", title[0]] for title in TITLES]


def auto(**params):
    return AutoXMC(**{"members": MEMBERS, "n_trials": 2, **params})


class TestContract(Contract):
    estimator = auto()


@parametrize_with_checks([auto()], expected_failed_checks=lambda estimator: EXPECTED_FAILURES | WEIGHED)
def test_auto_passes_scikit_learn_check(estimator, check):
    check(estimator)


def stages(model, stage):
    return [trial["name"] for trial in model.trials_ if trial["stage"] == stage]


def test_members_are_tried_then_others_near_the_best():
    X, Y = noisy()
    model = auto(n_trials=5).fit(X, Y)
    assert stages(model, "screened")[:2] == ["neighbors", "hinge"]
    assert len(stages(model, "screened")) == 5
    varied = [trial for trial in model.trials_ if trial["stage"] == "screened"][2:]
    assert all(trial["params"] for trial in varied)
    assert len({str((trial["estimator"], trial["params"])) for trial in varied}) == 3
    assert len(stages(model, "cross-fitted")) <= 3
    for trial in model.trials_:
        assert trial["name"] in model.report_
        assert trial["seconds"] >= 0
    assert set(model.blend_.named_estimators_) <= set(stages(model, "cross-fitted"))


def test_the_better_of_two_is_chosen():
    X, Y = noisy()
    Y = csr_array(np.eye(37, dtype=np.float32)[np.asarray(X.toarray()[:, :37].argmax(axis=1))])
    members = [("noise", KNN(n_neighbors=1, power=0.1)), ("squares", OneVsRestLeastSquares())]
    model = auto(members=members).fit(X, Y)
    assert list(model.blend_.named_estimators_) == ["squares"]
    assert model.trials_[-1]["value"] == max(trial["value"] for trial in model.trials_)


def test_values_are_those_of_the_metric():
    X, Y = noisy()
    model = auto(members=[("hinge", DiSMEC())], n_trials=1, target="P@3").fit(X, Y)
    value = next(trial["value"] for trial in model.trials_ if trial["stage"] == "cross-fitted")
    hits = n = 0
    for train, test in xclassic.datasets.stratified_kfold(Y, 5, random_state=0):
        top = DiSMEC().fit(X[train], csr_array(Y[train])).predict_topk(X[test], 3)
        hits, n = hits + metrics.precision_at_k(csr_array(Y[test]), top, 3) * len(test), n + len(test)
    assert value == pytest.approx(hits / n)


def test_trials_of_a_fit_make_the_same_model_again(tmp_path):
    X, Y = noisy()
    first = auto(n_trials=4, time_limit=1000).fit(X, Y)
    first.save(tmp_path / "model")
    kept = xclassic.load(tmp_path / "model")
    assert kept.trials_ == first.trials_
    assert kept.report_ == first.report_
    again = AutoXMC(trials=kept.trials_).fit(X, Y)
    assert stages(again, "screened") == []
    assert_same_predictions(again.predict_topk(X, 9), first.predict_topk(X, 9))
    np.testing.assert_array_equal(again.blend_.maps_, first.blend_.maps_)


def test_texts_become_features_in_every_split():
    model = auto(features=TextFeatures(preset="title")).fit(TITLES, LABELS)
    assert model.classes_.tolist() == ["b", "food", "j", "sky"]
    assert model.predict_topk(["a star and the moon"], 1).named(model.classes_)[0][0][0] == "sky"
    by_default = auto(n_trials=1).fit(TITLES, LABELS)
    assert type(by_default.estimator_[0]) is TextFeatures
    records = [{"title": title} for title in TITLES]
    of_records = auto(features=TextFeatures("title", preset="title")).fit(records, LABELS)
    assert_same_predictions(of_records.predict_topk(records, 2), model.predict_topk(TITLES, 2))
    with pytest.raises((TypeError, ValueError), match="text"):
        auto().fit(records, LABELS)


def test_too_little_time_fits_the_cheapest():
    X, Y = noisy()
    with pytest.warns(UserWarning, match="leaves no time.*the cheapest"):
        model = auto(time_limit=1e-9).fit(X, Y)
    assert model.predict_topk(X, 1).counts.all()
    assert stages(model, "cross-fitted") == []


def test_nothing_begins_that_would_pass_the_limit():
    clock = Clock(1000)
    assert clock.has(500)
    assert not clock.has(500, 0.4)
    assert not clock.has(1001)
    assert Clock(None).has(1e9)


def test_members_beyond_the_memory_are_skipped():
    X, Y = noisy()
    model = auto(members=[("hinge", DiSMEC()), ("forest", FastXML())], max_memory=DiSMEC().estimate_memory(X, Y) * 1.2)
    found = model.fit(X, Y)
    assert stages(found, "skipped") == ["forest"]
    assert "max_memory" in found.report_


class Failing(DiSMEC):
    def _fit(self, X, Y, **weights):
        raise ValueError("it always does")


def test_members_that_fail_are_reported(monkeypatch):
    X, Y = noisy()
    monkeypatch.setattr(KNN, "_fit", Failing._fit)
    model = auto().fit(X, Y)
    assert stages(model, "failed") == ["neighbors"]
    assert "it always does" in model.report_
    monkeypatch.setattr(DiSMEC, "_fit", Failing._fit)
    with pytest.raises(ValueError, match=r"All models failed. neighbors: .*always.*hinge: "):
        auto().fit(X, Y)


def test_a_single_row_and_labels_of_one_row():
    X, Y = noisy()
    assert auto().fit(X[:1], Y[:1]).predict_topk(X[:1], 3).counts[0] > 0
    once = csr_array(np.eye(37, dtype=np.float32)[:20])  # No fold can hold out any row.
    model = auto().fit(X[:20], once)
    assert model.predict_topk(X[:20], 1).counts.all()


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({"time_limit": 0}, ValueError, "time_limit is 0"),
        ({"n_trials": 0}, ValueError, "n_trials is 0"),
        ({"target": "best"}, ValueError, "target is 'best'"),
        ({"members": "all"}, ValueError, "members is 'all'"),
        ({"members": []}, ValueError, "members is empty"),
        ({"members": [("a", KNN()), ("a", KNN())]}, ValueError, "occurs twice"),
        ({"members": [KNN()]}, TypeError, "must be a list of"),
        ({"members": [("a", Centroid)]}, TypeError, "Member 'a' is"),
        ({"members": [("a", DiSMEC(C=-1))]}, ValueError, "C is -1"),
        ({"trials": [1]}, ValueError, "no list of trials"),
        ({"trials": [{"stage": "cross-fitted", "name": "a", "estimator": "X", "params": {}}]}, ValueError, "not known"),
        ({"max_memory": -1}, ValueError, "max_memory is -1"),
    ],
)
def test_bad_parameters(params, error, message):
    with pytest.raises(error, match=message):
        auto(**params).fit(*noisy())


def test_explanations_are_those_of_the_member_that_counts():
    X, Y = noisy()
    names = [f"label {i:02}" for i in range(37)]
    named = [[names[j] for j in Y.indices[Y.indptr[i] : Y.indptr[i + 1]]] for i in range(150)]
    model = auto(members=[("hinge", DiSMEC())], n_trials=1).fit(X, named)
    label = model.classes_[3]
    found = xclassic.explain(model, X[:1], label)
    member = model.blend_.estimators_[0]
    expected = member.explain(X[:1], 3, label_names=model.classes_)
    assert found.steps == expected.steps
    assert (found.label, found.name, found.score) == (label, label, expected.score)
    assert found.best_label == model.classes_[expected.best_label]
    of_texts = auto(n_trials=2, members=[("hinge", DiSMEC())]).fit(TITLES, LABELS)
    assert "star" in str(xclassic.explain(of_texts, "a star", "sky"))
    with pytest.raises(ValueError, match="does not know the label 'x'"):
        model.explain(X[:1], "x")
    with pytest.raises(TypeError, match="none of these explains: KNN"):
        auto(members=[("neighbors", KNN())], n_trials=1).fit(X, Y).explain(X[:1], 3)


def test_for_rare_labels():
    X, Y = noisy()
    model = auto(target="tail", members=[("tree", Bonsai(n_trees=1)), ("hinge", DiSMEC())]).fit(X, Y)
    assert not hasattr(model, "predict_proba")
    assert hasattr(auto().fit(X, Y), "predict_proba")
    assert model.blend_.target == "tail"
