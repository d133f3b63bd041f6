"""The search for parameters: what is searched, what it finds, how it goes on, and what it refuses."""

import json
from inspect import signature

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import xclassic
from xclassic import KNN, DiSMEC, Parabel, Popularity, datasets, metrics, tune
from xclassic.ensemble.search_space import TUNED, Among, Between, propose
from xclassic.features import TextFeatures
from xclassic.storage.registry import ESTIMATORS, NEURAL_ESTIMATORS, TEXT_ESTIMATORS

WITHOUT = {"RandomOrder", "Popularity", "NearestCentroid", "T5Classifier", "LabelMatcher"}  # Nothing to tune quickly.


@pytest.fixture(scope="module")
def data():
    bibtex = datasets.load_bibtex()
    return bibtex.X[:300], bibtex.Y[:300]


def facts(tuning):
    return [(trial.number, trial.params, trial.score, trial.error) for trial in tuning.trials]


def test_every_estimator_lists_its_parameters_or_has_none():
    assert TUNED.keys() == {*ESTIMATORS, *NEURAL_ESTIMATORS, *TEXT_ESTIMATORS} - WITHOUT


@pytest.mark.parametrize("name", TUNED)
def test_tuned_parameters_exist_and_take_their_whole_range(name):
    cls = getattr(xclassic, name)
    for key, kind in TUNED[name].items():
        default = signature(cls).parameters[key].default
        if isinstance(default, (int, float)):
            assert kind.at(kind.position(default)) == pytest.approx(default, rel=0.05), "the default is out of range"
        for position in (0, 0.3, 0.7, 1):
            value = kind.at(position)
            assert isinstance(default, (str, type(None))) or type(value) is type(default)
            cls(**{key: value})._check_parameters()


def test_ranges_reach_their_ends_and_keep_two_digits():
    assert [Between(0.1, 10.0).at(u) for u in (0, 0.5, 0.73, 1)] == [0.1, 1.0, 2.9, 10.0]
    assert [Between(1, 100).at(u) for u in (0, 0.5, 1)] == [1, 10, 100]
    assert [Between(0.0, 1.0, log=False).at(u) for u in (0, 0.3, 1)] == [0.0, 0.3, 1.0]
    assert [Among("abc").at(u) for u in (0, 0.4, 1)] == ["a", "b", "c"]
    for kind in (Between(0.1, 10.0), Between(2, 300), Between(0.0, 1.0, log=False), Among((1, None, "x"))):
        for u in (0, 0.2, 0.6, 1):
            assert kind.at(kind.position(kind.at(u))) == kind.at(u)


def test_proposals_begin_at_the_start_see_everything_and_end_when_all_is_tried():
    space = {"C": Between(0.1, 10.0), "kind": Among(("a", "b", "c"))}
    tried, start = [], {"C": 7.0, "kind": "b"}
    for _ in range(12):
        tried.append(propose(space, start, tried, start, seed=0))
    assert tried[0] == start
    assert {params["kind"] for params in tried} == {"a", "b", "c"}
    near = [params["C"] for params in tried[2::2]]
    spread = sorted(params["C"] for params in tried[1::2])
    assert min(near) > 1
    assert spread[0] < 0.5
    assert spread[-1] > 3
    small = {"n": Between(1, 2), "kind": Among(("a", "b"))}
    tried = []
    while (params := propose(small, {"n": 1, "kind": "a"}, tried, None, seed=0)) is not None:
        assert params not in tried
        tried.append(params)
    assert len(tried) == 4


def test_scores_are_those_of_the_folds(data):
    X, Y = data
    tuning = tune(KNN(), X, Y, "nDCG@3", n_trials=6, n_splits=2, random_state=1)
    folds = datasets.stratified_kfold(Y, 2, random_state=1)
    for trial in tuning.trials:
        by_hand = [
            metrics.ndcg_at_k(Y[test], KNN(**trial.params).fit(X[train], Y[train]).predict_topk(X[test], 3), 3)
            for train, test in folds
        ]
        assert trial.score == pytest.approx(np.mean(by_hand))
    assert tuning.trials[0].params == {"n_neighbors": 40, "power": 3.0}
    assert tuning.best_score == max(trial.score for trial in tuning.trials)
    assert tuning.estimator.get_params() == KNN(**tuning.best_params).get_params()
    assert not hasattr(tuning.estimator, "classes_")
    lines = str(tuning).splitlines()
    assert lines[0].split() == ["nDCG@3", "n_neighbors", "power", "seconds"]
    assert [float(line.split()[0]) for line in lines[1:]] == sorted(
        (round(100 * trial.score, 2) for trial in tuning.trials), reverse=True
    )


@pytest.mark.parametrize("metric", ["PSP@3", "torso R@5", "coverage@1", "PSnDCG@1"])
def test_any_metric_of_a_report_can_be_aimed_at(data, metric):
    X, Y = data
    (trial,) = tune(KNN(), X, Y, metric, n_trials=1, n_splits=1).trials
    train, test = datasets.stratified_split(Y, test_size=60, random_state=0)
    counts = np.asarray(Y.sum(axis=0)).astype(int)
    top = KNN().fit(X[train], Y[train]).predict_topk(X[test], 5)
    expected = metrics.evaluate(
        Y[test], top, ks=(1, 3, 5), propensities=metrics.propensity(counts, 300), train_counts=counts
    )
    assert trial.score == pytest.approx(expected[metric])


def test_trials_depend_on_the_seed_and_not_on_the_workers(data):
    one, two, other = (
        tune(DiSMEC(n_jobs=n_jobs), *data, n_trials=3, n_splits=2, random_state=seed)
        for n_jobs, seed in ((1, 0), (2, 0), (1, 1))
    )
    assert facts(one) == facts(two)
    assert facts(one)[1:] != facts(other)[1:]


def test_what_is_set_stays_as_it_is(data):
    tuning = tune(KNN(power=0.7, normalize=False), *data, n_trials=3, n_splits=1)
    assert [list(trial.params) for trial in tuning.trials] == [["n_neighbors"]] * 3
    assert tuning.estimator.power == 0.7
    assert not tuning.estimator.normalize


def test_a_tree_serves_all_values_of_C(data, monkeypatch):
    X, Y = data
    built = []
    partition = Parabel._partition
    monkeypatch.setattr(
        Parabel, "_partition", lambda self, *given: built.append(self.max_leaf) or partition(self, *given)
    )
    tuning = tune(Parabel(2, max_leaf=30), X, Y, n_trials=4, n_splits=2)
    assert len(built) == 2  # one for each fold
    folds = datasets.stratified_kfold(Y, 2, random_state=0)
    for trial in tuning.trials:
        alone = [
            metrics.precision_at_k(
                Y[test], Parabel(2, max_leaf=30, **trial.params).fit(X[train], Y[train]).predict_topk(X[test]), 5
            )
            for train, test in folds
        ]
        assert trial.score == np.mean(alone)
    assert tuning.estimator.tree is None
    del built[:]
    shapes = {
        (trial.params["n_trees"], trial.params["max_leaf"])
        for trial in tune(Parabel(), X, Y, n_trials=5, n_splits=1).trials
    }
    assert len(built) == len(shapes)


def test_features_of_a_pipeline_are_fitted_once_for_each_fold(data):
    words = datasets.load_bibtex().feature_names
    texts = [" ".join(words[i] for i in row) for row in data[0].tolil().rows]
    seen = []
    counting = FunctionTransformer(lambda rows: seen.append(rows.shape[0]) or rows, accept_sparse=True)
    tuning = tune(make_pipeline(TextFeatures(preset="title"), counting, KNN()), texts, data[1], n_trials=3, n_splits=2)
    assert len(seen) == 4  # training and held-out rows of each fold
    assert sum(seen) == 600
    assert isinstance(tuning.estimator[-1], KNN)
    assert tuning.estimator[-1].get_params() == KNN(**tuning.best_params).get_params()
    assert tuning.estimator.fit(texts, data[1]).predict(texts[:2]).shape[0] == 2


def test_a_search_goes_on_where_it_was(data, tmp_path):
    options = {"n_splits": 1, "random_state": 5}
    whole = tune(KNN(), *data, n_trials=6, **options)
    path = str(tmp_path / "trials.jsonl")
    tune(KNN(), *data, n_trials=3, trial_file=path, **options)
    with open(path, "ab") as file:
        file.write(b'{"number": 3, "par')  # of a program that was ended
    before = (tmp_path / "trials.jsonl").read_bytes()
    resumed = tune(KNN(n_jobs=2), *data, n_trials=6, trial_file=path, **options)
    assert facts(resumed) == facts(whole)
    after = (tmp_path / "trials.jsonl").read_bytes()
    assert after.startswith(before[: before.rfind(b"\n") + 1])
    assert [json.loads(line).get("number") for line in after.splitlines()] == [None, *range(6)]
    again = tune(KNN(), *data, n_trials=4, trial_file=path, **options)
    assert again.trials == resumed.trials[:4]
    assert (tmp_path / "trials.jsonl").read_bytes() == after


def test_trials_of_something_else_are_refused(data, tmp_path):
    X, Y = data
    path = str(tmp_path / "trials.jsonl")
    tune(KNN(), X, Y, n_trials=1, n_splits=1, trial_file=path)
    others = {
        "metric": lambda: tune(KNN(), X, Y, "P@1", n_splits=1, trial_file=path),
        "estimator": lambda: tune(DiSMEC(), X, Y, n_splits=1, trial_file=path),
        "settings": lambda: tune(KNN(normalize=False), X, Y, n_splits=1, trial_file=path),
        "tuned": lambda: tune(KNN(power=2.0), X, Y, n_splits=1, trial_file=path),
        "random_state": lambda: tune(KNN(), X, Y, n_splits=1, trial_file=path, random_state=1),
        "n_splits": lambda: tune(KNN(), X, Y, n_splits=2, trial_file=path),
        "data": lambda: tune(KNN(), X, Y[::-1], n_splits=1, trial_file=path),
    }
    for name, call in others.items():
        with pytest.raises(ValueError, match=f"holds trials with {name} .*, but these have .*; name another file"):
            call()
    for content in ("x", "x\n", "[1]\n", '{"number": 0}\n', '{"C": 1}\n{"D": 2}\n'):
        (tmp_path / "other").write_text(content)
        with pytest.raises(ValueError, match="is not a file of trials; name another file"):
            tune(KNN(), X, Y, trial_file=str(tmp_path / "other"))
        assert (tmp_path / "other").read_text() == content


def test_trials_that_fail_are_listed(data, monkeypatch):
    def fit(self, X, Y):
        if self.n_neighbors != 40:
            raise MemoryError("too many\nneighbors")
        return plain_fit(self, X, Y)

    plain_fit = KNN.fit
    monkeypatch.setattr(KNN, "fit", fit)
    tuning = tune(KNN(power=2.0), *data, n_trials=3, n_splits=1)
    assert [trial.error for trial in tuning.trials] == [None, *["MemoryError: too many neighbors"] * 2]
    assert tuning.best_params == {"n_neighbors": 40}
    assert [line.split()[0] for line in str(tuning).splitlines()[2:]] == ["failed", "failed"]
    with pytest.raises(ValueError, match="All 2 trials failed, the first one with MemoryError: too many neighbors"):
        tune(KNN(n_neighbors=3), *data, n_trials=2, n_splits=1)


def test_bad_input_is_refused_before_a_trial(data):
    X, Y = data
    for metric in ("P", "P@0", "F1@5", "big P@5", "p@5", 5, None):
        with pytest.raises(ValueError, match=r"metric is .*; it must be one of P, R, nDCG, hit, coverage, PSP, PSnDCG"):
            tune(KNN(), X, Y, metric)
    with pytest.raises(ValueError, match="No held-out row has a label that tail P@5 counts; aim at another metric"):
        tune(KNN(), X, [["frequent"]] * 300, "tail P@5")
    with pytest.raises(
        ValueError, match="Popularity has no parameters that are tuned; those that have some are DiSMEC"
    ):
        tune(Popularity(), X, Y)
    with pytest.raises(
        ValueError, match=r"All parameters of KNN that are tuned \(n_neighbors, power\) are set already"
    ):
        tune(KNN(n_neighbors=3, power=1.0), X, Y)
    with pytest.raises(TypeError, match="FunctionTransformer cannot be tuned; pass an estimator of xclassic"):
        tune(FunctionTransformer(), X, Y)
    with pytest.raises(ValueError, match="X has 300 rows but Y has 299"):
        tune(KNN(), X, Y[1:])
    with pytest.raises(ValueError, match="folds would have no row to test"):
        tune(KNN(), X[:3], ["a", "b", "c"])
    for name, value in {"n_trials": 0, "n_splits": 0, "random_state": -1, "trial_file": 3}.items():
        with pytest.raises((TypeError, ValueError), match=f"{name} is {value}"):
            tune(KNN(), X, Y, **{name: value})
