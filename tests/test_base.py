"""The estimator contract, seen through a small estimator."""

import io
import os
import subprocess
import sys

import joblib
import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix
from sklearn.ensemble import StackingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import accuracy_score, average_precision_score, roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MaxAbsScaler
from sklearn.utils import get_tags

import xclassic
from tests.helpers.centroid import Centroid, ProbabilisticCentroid
from tests.helpers.contract import Contract, assert_same_arrays, assert_same_predictions, block_diagonal, noisy
from tests.helpers.interrupts import HANG
from xclassic import KNN, DiSMEC, ModelFileError, SwiftXML, TopK, load, predict_topk
from xclassic.storage import registry
from xclassic.storage.folder import load_model, save_model


@pytest.fixture(autouse=True)
def _known_classes(monkeypatch):
    """Let `load` find the estimators of the tests."""
    for cls in (Centroid, ProbabilisticCentroid):
        register(cls, monkeypatch)


def register(cls, monkeypatch):
    monkeypatch.setattr(registry, "ESTIMATORS", (*registry.ESTIMATORS, cls.__name__))
    monkeypatch.setattr(xclassic, cls.__name__, cls, raising=False)


class TestCentroid(Contract):
    estimator = Centroid()


class TestProbabilisticCentroid(Contract):
    estimator = ProbabilisticCentroid()


# Containers of the predictions


@pytest.fixture
def problem():
    return noisy(n_labels=12)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, bool])
@pytest.mark.parametrize("container", [csr_array, csr_matrix])
def test_predict_returns_sparse_for_sparse(problem, container, dtype):
    X, Y = problem
    model = Centroid().fit(X, container(Y.astype(dtype)))
    prediction = model.predict(X)
    assert isinstance(prediction, csr_array)
    assert prediction.dtype == dtype
    assert prediction.shape == Y.shape
    np.testing.assert_array_equal(prediction.sum(axis=1), round(Y.nnz / Y.shape[0]))
    np.testing.assert_array_equal(prediction.toarray() > 0, model.predict_topk(X, 1).to_csr(12).toarray() != 0)
    np.testing.assert_array_equal(model.classes_, np.arange(12))


@pytest.mark.parametrize("dtype", [np.int64, np.float32, bool])
def test_predict_returns_dense_for_dense(problem, dtype):
    X, Y = problem
    model = Centroid().fit(X, Y.toarray().astype(dtype))
    prediction = model.predict(X)
    assert type(prediction) is np.ndarray
    assert prediction.dtype == dtype
    np.testing.assert_array_equal(prediction, Centroid().fit(X, Y).predict(X).toarray())


@pytest.mark.parametrize("labels", [["b", "a", "c"], [30, 10, 20], [True, False, True], [1.0, 2.0, 3.0]])
def test_predict_returns_classes_for_classes(labels):
    y = np.repeat(labels, 5)
    X = np.repeat(np.eye(3), 5, axis=0)
    model = Centroid().fit(X, y)
    assert model.predict(X).dtype == np.asarray(labels).dtype
    assert model.score(X, y) == accuracy_score(y, model.predict(X))
    if len(set(labels)) == 3:
        np.testing.assert_array_equal(model.predict(X), y)
    with pytest.raises(ValueError, match="class vector"):
        model.predict(X, threshold=0.5)


def test_predict_returns_sparse_for_label_lists():
    X = np.repeat(np.eye(3), 2, axis=0)
    model = Centroid().fit(X, [["b"], ["b"], ["a"], ["a"], ["c"], ["c"]])
    np.testing.assert_array_equal(model.classes_[model.predict(X).indices], ["b", "b", "a", "a", "c", "c"])
    assert model.score(X, [["b"], ["b", "z"], ["a", "c"], ["c"], ["z"], []]) == 3 / 6


def test_score_is_the_weighted_precision_at_1(problem):
    X, Y = problem
    model = Centroid().fit(X, Y)
    hits = Y.toarray()[np.arange(X.shape[0]), model.predict_topk(X, 1).ids[:, 0]]
    weights = np.linspace(0, 1, X.shape[0])
    assert model.score(X, Y) == pytest.approx(hits.mean())
    assert model.score(X, Y.toarray(), sample_weight=weights) == pytest.approx((hits * weights).sum() / weights.sum())
    with pytest.raises(ValueError, match="150 rows but y has 149"):
        model.score(X, Y[:-1])


def test_decision_function_of_a_sparse_fit_has_the_best_of_each_row(problem):
    X, Y = problem
    model = Centroid().fit(X, Y)
    scores = model.decision_function(X, max_scores=4)
    assert isinstance(scores, csr_array)
    assert scores.dtype == np.float32
    assert scores.has_canonical_format
    assert_same_predictions(TopK.from_csr(scores, 4), model.predict_topk(X, 4))
    assert model.decision_function(X).nnz == 12 * X.shape[0]
    many = Centroid().fit(X, noisy(n_labels=300)[1])
    assert many.decision_function(X).nnz == 100 * X.shape[0]
    with pytest.raises(ValueError, match="max_scores is 0"):
        model.decision_function(X, max_scores=0)


def test_decision_function_stores_a_score_of_zero():
    model = Centroid(noise=0).fit(csr_array(np.eye(2)), csr_array(np.eye(2)))
    model.centroids_[:] = 0
    scores = model.decision_function(np.eye(2))
    assert scores.nnz == 4
    assert not scores.data.any()


def test_decision_function_of_a_dense_fit_is_an_array(problem):
    X, Y = problem
    model = Centroid().fit(X, Y.toarray())
    scores = model.decision_function(X)
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, Centroid().fit(X, Y).decision_function(X).toarray())


class Silent(Centroid):
    """Scores the first label only."""

    def _topk(self, X, k, labels, stop):
        top = TopK.empty(X.shape[0], k)
        top.ids[:, 0], top.scores[:, 0], top.counts[:] = 0, 0.25, 1
        return top


def test_labels_without_a_score():
    X = np.eye(3)
    dense = Silent().fit(X, np.eye(3, dtype=int)).decision_function(X)
    np.testing.assert_array_equal(dense, [[0.25, -1000, -1000]] * 3)
    assert Silent().fit(X, csr_array(np.eye(3))).decision_function(X).nnz == 3
    assert Silent().fit(X, csr_array(np.eye(3))).predict(X, k_predict=2).nnz == 3


@pytest.mark.parametrize(("score", "floor"), [(-400, -1000), (-600, -1200), (1e30, -1000), (-3e38, -3.4028235e38)])
def test_labels_without_a_score_rank_below_all_others(score, floor):
    class Distant(Silent):
        def _topk(self, X, k, labels, stop):
            top = super()._topk(X, k, labels, stop)
            top.scores[:1, 0] = score
            return top

    scores = Distant().fit(np.eye(3), np.eye(3, dtype=int)).decision_function(np.eye(3))
    np.testing.assert_array_equal(scores[:, 1], np.array([floor, -1000, -1000], np.float32))


def test_scikit_learn_takes_scores_of_labels_without_rows():
    rng = np.random.default_rng(0)
    Y = rng.random((80, 5)) < 0.4
    X, Y[:40, 4] = Y + rng.random((80, 5)), False
    scores = DiSMEC().fit(X[:40], Y[:40].astype(int)).decision_function(X[40:])
    assert average_precision_score(Y[40:], scores, average="micro") > 0.5
    assert 0.5 < roc_auc_score(Y[40:], scores) < 1
    classes = np.arange(80) % 3
    stack = StackingClassifier([("first", DiSMEC()), ("second", KNN())], stack_method="decision_function", cv=3)
    assert stack.fit(X + 3 * np.eye(5)[classes], classes).score(X + 3 * np.eye(5)[classes], classes) > 0.9


def test_two_classes_without_a_score_are_equal():
    class Mute(Centroid):
        def _topk(self, X, k, labels, stop):
            return TopK.empty(X.shape[0], k)

    np.testing.assert_array_equal(Mute().fit(np.eye(2), ["a", "b"]).decision_function(np.eye(2)), [0, 0])


def test_two_classes_have_one_score_and_one_class_is_always_right():
    X = np.eye(4)
    model = Centroid().fit(X, ["no", "yes", "no", "yes"])
    scores = model.decision_function(X)
    assert scores.shape == (4,)
    np.testing.assert_array_equal(model.classes_[(scores > 0).astype(int)], model.predict(X))
    np.testing.assert_array_equal(Centroid().fit(X, ["yes"] * 4).predict(X), ["yes"] * 4)


def test_probabilities(problem):
    X, Y = problem
    assert not hasattr(Centroid(), "predict_proba")
    with pytest.raises(AttributeError, match="predict_proba") as caught:
        Centroid().predict_proba(X)
    assert "not probabilities; use decision_function" in str(caught.value.__cause__)
    sparse = ProbabilisticCentroid().fit(X, Y).predict_proba(X)
    dense = ProbabilisticCentroid().fit(X, Y.toarray()).predict_proba(X)
    np.testing.assert_array_equal(sparse.toarray(), dense)
    assert ((dense > 0) & (dense < 1)).all()
    for n_classes in (2, 3):
        y = np.arange(X.shape[0]) % n_classes
        model = ProbabilisticCentroid().fit(X, y)
        proba = model.predict_proba(X)
        assert proba.shape == (X.shape[0], n_classes)
        np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-6)
        np.testing.assert_array_equal(proba.argmax(axis=1), model.predict(X))


def test_predict_takes_half_as_the_threshold_of_probabilities(problem):
    X, Y = problem
    model = ProbabilisticCentroid().fit(X, Y)
    proba = model.predict_proba(X).toarray()
    np.testing.assert_array_equal(model.predict(X).toarray() > 0, proba >= 0.5)
    np.testing.assert_array_equal(model.predict(X, threshold=0.6).toarray() > 0, proba >= 0.6)
    assert 0 < model.predict(X).nnz < proba.size


def test_predict_finds_every_label_above_the_threshold():
    X, Y = noisy(n_labels=900)
    model = ProbabilisticCentroid().fit(X, Y)
    proba = model.predict_proba(X, max_scores=900).toarray()
    threshold = np.quantile(proba, 0.4)
    np.testing.assert_array_equal(model.predict(X, threshold=threshold).toarray() > 0, proba >= threshold)


def test_predict_takes_the_best_k(problem):
    X, Y = problem
    model = Centroid().fit(X, Y)
    top = model.predict_topk(X, 3)
    np.testing.assert_array_equal(np.sort(top.ids, axis=1).ravel(), model.predict(X, k_predict=3).indices)
    threshold = float(np.median(top.scores))
    both = model.predict(X, k_predict=3, threshold=threshold)
    np.testing.assert_array_equal(both.sum(axis=1), (top.scores >= threshold).sum(axis=1))
    with pytest.raises(ValueError, match="k is 0"):
        model.predict(X, k_predict=0)
    with pytest.raises(TypeError, match="threshold is"):
        model.predict(X, threshold="high")


def test_predict_takes_the_rounded_mean_number_of_labels_by_default():
    X = np.eye(4)
    Y = csr_array(np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]]))
    np.testing.assert_array_equal(Centroid().fit(X, Y).predict(X).sum(axis=1), round(10 / 4))
    few = csr_array(np.eye(4)[:, :1])
    np.testing.assert_array_equal(Centroid().fit(X, few).predict(X).sum(axis=1), 1)


def test_restrictions_are_given_in_the_users_labels():
    X = np.eye(4)
    model = Centroid().fit(X, [["d"], ["c"], ["b"], ["a"]])
    top = model.predict_topk(X, 2, labels=["a", "c", "d"], exclude={"c"})
    assert model.classes_[top.ids[0]].tolist() == ["d", "a"]
    assert set(model.classes_[top.ids.ravel()]) == {"a", "d"}
    ids = Centroid().fit(X, [[40], [30], [20], [10]])
    assert set(ids.classes_[ids.predict_topk(X, 4, labels=[10, 30]).ids[:, :2].ravel()]) == {10, 30}


def test_tags():
    tags = get_tags(Centroid())
    assert tags.input_tags.sparse
    assert tags.classifier_tags.multi_label
    assert tags.estimator_type == "classifier"


def test_progress(capsys):
    X, Y = block_diagonal()
    Centroid(verbose=1).fit(X, Y)
    assert "centroids" in capsys.readouterr().err
    Centroid().fit(X, Y)
    assert capsys.readouterr() == ("", "")


# Pipelines

TEXTS = ["stars and planets", "bread and butter", "planets and moons", "butter and cheese"]
TOPICS = [["astronomy"], ["food"], ["astronomy", "moon"], ["food"]]


def test_text_pipeline():
    pipe = make_pipeline(TfidfVectorizer(), Centroid()).fit(TEXTS, TOPICS)
    top = predict_topk(pipe, ["a planet with moons", "cheese"], k=2)
    assert [pipe.classes_[ids[0]] for ids in top.ids] == ["moon", "food"]
    food = predict_topk(pipe, TEXTS, 1, labels=["food"])
    assert_same_predictions(food, predict_topk(pipe, TEXTS, 1, exclude=["astronomy", "moon"]))
    assert predict_topk(pipe, TEXTS).k == 3


def test_predict_topk_of_estimators_and_searches():
    X, Y = block_diagonal()
    model = Centroid().fit(X, Y)
    expected = model.predict_topk(X, 3)
    assert_same_predictions(predict_topk(model, X, 3), expected)
    assert_same_predictions(predict_topk(Pipeline([("model", model)]), X, 3), expected)
    search = GridSearchCV(make_pipeline(MaxAbsScaler(), Centroid()), {"centroid__shrink": [0, 100]}, cv=3, n_jobs=2)
    search.fit(X, Y)
    assert_same_predictions(predict_topk(search, X, 3), predict_topk(search.best_estimator_, X, 3))
    nested = make_pipeline(MaxAbsScaler(), search).fit(X, Y)
    assert predict_topk(nested, X, 1).n_rows == X.shape[0]
    with pytest.raises(TypeError, match="MaxAbsScaler ranks no labels"):
        predict_topk(make_pipeline(MaxAbsScaler()).fit(X), X)


def test_predict_topk_tells_known_labels_only_to_models_that_take_them():
    X, Y = block_diagonal()
    pipe = make_pipeline(MaxAbsScaler(), SwiftXML(n_trees=2)).fit(X, Y)
    told = predict_topk(pipe, X, 3, revealed=Y)
    assert_same_predictions(told, pipe[-1].predict_topk(pipe[:-1].transform(X), 3, revealed=Y))
    assert not told.to_csr(Y.shape[1]).multiply(Y).nnz
    with pytest.raises(TypeError, match=r"Centroid cannot be told labels that are known; SwiftXML can"):
        predict_topk(make_pipeline(MaxAbsScaler(), Centroid()).fit(X, Y), X, 3, revealed=Y)


# Persistence


def saved(model, path):
    model.save(path)
    return load(path)


@pytest.mark.parametrize(
    "y",
    [
        ["b", "ä", "b"],
        [30, 10, 30],
        [True, False, True],
        [1.5e3, 2.0, 2.0],
        [["b", "c"], [], ["ä"]],
        [[7], [5, 6], []],
        np.eye(3, dtype=np.int8),
        csr_array(np.eye(3)),
    ],
)
@pytest.mark.parametrize("mmap", [True, False])
def test_labels_of_every_kind_come_back(y, mmap, tmp_path):
    X = np.eye(3)
    model = Centroid().fit(X, y)
    model.save(tmp_path / "model")
    copy = load(tmp_path / "model", mmap=mmap, verify="full")
    np.testing.assert_array_equal(copy.classes_, model.classes_)
    assert copy.classes_.dtype == model.classes_.dtype
    prediction, expected = copy.predict(X), model.predict(X)
    assert type(prediction) is type(expected)
    assert prediction.dtype == expected.dtype
    np.testing.assert_array_equal(*(a.toarray() if isinstance(a, csr_array) else a for a in (prediction, expected)))


class WithParameter(Centroid):
    def __init__(self, extra=None, n_jobs=None, verbose=0):
        super().__init__(n_jobs=n_jobs, verbose=verbose)
        self.extra = extra


@pytest.mark.parametrize(
    "extra", [None, True, 3, 0.1, "text", [1, [2.5, "x"]], (0.5, (1, 2)), np.float32(0.5), np.int64(7)]
)
def test_parameters_come_back(extra, tmp_path, monkeypatch):
    register(WithParameter, monkeypatch)
    copy = saved(WithParameter(extra=extra).fit(np.eye(2), [0, 1]), tmp_path / "model")
    assert copy.extra == extra
    assert type(copy.extra) is type(extra.item() if isinstance(extra, np.generic) else extra)


def test_array_parameters_come_back(tmp_path, monkeypatch):
    register(WithParameter, monkeypatch)
    copy = saved(WithParameter(extra=np.arange(6.0)).fit(np.eye(2), [0, 1]), tmp_path / "model")
    np.testing.assert_array_equal(copy.extra, np.arange(6.0))


def test_parameters_that_cannot_be_saved_are_named(tmp_path):
    model = Centroid(random_state=np.random.RandomState(0)).fit(np.eye(2), [0, 1])
    with pytest.raises(TypeError, match=r"Parameter random_state is a RandomState.*set_params\(random_state=None\)"):
        model.save(tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_feature_names_come_back(tmp_path):
    model = Centroid().fit(np.eye(2), [0, 1])
    model.feature_names_in_ = np.array(["width", "height"], dtype=object)
    names = saved(model, tmp_path / "model").feature_names_in_
    assert names.dtype == object
    assert names.tolist() == ["width", "height"]


def damage(header, arrays, case):
    """Change one thing in a model."""
    if case.startswith("without "):
        del header[case.removeprefix("without ")]
    elif case == "foreign class":
        header["class"] = "os.system"
    elif case == "class that is not a string":
        header["class"] = ["Centroid"]
    elif case == "unknown parameter":
        header["params"]["color"] = "red"
    elif case == "bad parameter":
        header["params"]["n_jobs"] = 0
    elif case == "parameters in a list":
        header["params"] = [1]
    elif case == "odd tuple":
        header["params"]["shrink"] = {"set": []}
    elif case == "array for a parameter":
        arrays["params.shrink"] = np.zeros(3)
        del header["params"]["shrink"]
    elif case == "kind":
        header["target"]["kind"] = "heap"
    elif case == "dtype":
        header["target"]["dtype"] = "O"
    elif case == "dtype that is not one":
        header["target"]["dtype"] = "no dtype"
    elif case == "dtype that is a number":
        header["target"]["dtype"] = 5.5
    elif case == "labels per row":
        header["target"]["labels_per_row"] = 0
    elif case == "features":
        header["n_features"] = 2.0
    elif case == "more features":
        header["n_features"] = 2**40
    elif case == "no classes":
        del arrays["classes_"]
    elif case == "fewer classes":
        arrays["classes_"] = arrays["classes_"][:-1]
    elif case == "square classes":
        arrays["classes_"] = np.eye(3)
    elif case == "unordered classes":
        arrays["classes_"] = arrays["classes_"][::-1].copy()
    elif case == "feature names":
        arrays["feature_names_in_"] = np.array(["one"])
    elif case == "no method arrays":
        arrays.pop("centroids")


@pytest.mark.parametrize(
    "case",
    [
        *(f"without {key}" for key in ("class", "params", "n_features", "target", "facts")),
        "foreign class",
        "class that is not a string",
        "unknown parameter",
        "bad parameter",
        "parameters in a list",
        "odd tuple",
        "array for a parameter",
        "kind",
        "dtype",
        "dtype that is not one",
        "dtype that is a number",
        "labels per row",
        "features",
        "more features",
        "no classes",
        "fewer classes",
        "square classes",
        "unordered classes",
        "feature names",
        "no method arrays",
    ],
)
def test_load_rejects_damaged_models(case, tmp_path):
    Centroid().fit(np.eye(3), csr_array(np.eye(3))).save(tmp_path / "model")
    header, arrays = load_model(tmp_path / "model", mmap=False)
    save_model(tmp_path / "same", header, arrays)
    load(tmp_path / "same", verify="full")
    damage(header, arrays, case)
    save_model(tmp_path / "damaged", header, arrays)
    with pytest.raises(ModelFileError):
        load(tmp_path / "damaged", verify="full")


def test_load_checks_its_arguments(tmp_path):
    Centroid().fit(np.eye(3), csr_array(np.eye(3))).save(tmp_path / "model")
    with pytest.raises(ValueError, match="verify is 'some'"):
        load(tmp_path / "model", verify="some")
    with pytest.raises(ModelFileError):
        load(tmp_path / "absent")


# Stopping and workers


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("backend", ["loky", "multiprocessing"])
def test_ctrl_c_stops_processes(backend, tmp_path):
    code = f"""
import os, signal, sys, threading
import joblib, numpy as np
from tests.helpers.centroid import Endless

def interrupt():
    open(sys.argv[1], "rb").read(1)  # comes when a task has begun
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt).start()
try:
    with joblib.parallel_config("{backend}", n_jobs=2):
        Endless(sys.argv[1]).fit(np.eye(8), np.eye(8, dtype=int))
except KeyboardInterrupt:
    print("interrupted")
"""
    os.mkfifo(tmp_path / "started")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "started")],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        timeout=HANG,
        check=True,
        text=True,
    )
    assert done.stdout == "interrupted\n"


def test_searches_in_processes_find_the_same(tmp_path):
    X, Y = block_diagonal()
    grid = {"shrink": [0, 1, 100]}
    here = GridSearchCV(Centroid(), grid, cv=3).fit(X, Y)
    with joblib.parallel_config("loky", n_jobs=2):
        there = GridSearchCV(Centroid(), grid, cv=3).fit(X, Y)
    np.testing.assert_array_equal(here.cv_results_["mean_test_score"], there.cv_results_["mean_test_score"])
    assert_same_arrays(here.best_estimator_, there.best_estimator_)
    dumped = io.BytesIO()
    joblib.dump(here.best_estimator_, dumped)
    dumped.seek(0)
    assert_same_arrays(joblib.load(dumped), here.best_estimator_)
