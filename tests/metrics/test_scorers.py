"""Scorers: what scikit-learn's searches get from the metrics, for every container of labels."""

import pickle

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix, random_array
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from tests.helpers.centroid import Centroid
from xclassic import encode_labels, metrics, predict_topk

RNG = np.random.default_rng(5)
X = random_array((60, 12), density=0.4, format="csr", dtype=np.float32, rng=RNG)
Y = random_array((60, 9), density=0.3, format="csr", dtype=np.float32, rng=RNG, data_sampler=lambda size: np.ones(size))
NAMES = [[f"label {j}" for j in row] for row in np.split(Y.indices, Y.indptr[1:-1])]
MODEL = Centroid().fit(X, Y)
FUNCTIONS = [("precision", metrics.precision_at_k), ("recall", metrics.recall_at_k), ("ndcg", metrics.ndcg_at_k)]


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("name", "metric"), FUNCTIONS)
def test_scorer_is_the_metric_of_the_ranking(name, metric, k):
    scorer = getattr(metrics, f"{name}_at_{k}")
    expected = metric(Y, MODEL.predict_topk(X, k), k)
    assert 0 < expected < 1
    for truth in (Y, csr_matrix(Y), Y.toarray()):
        assert scorer(MODEL, X, truth) == pytest.approx(expected)


def test_scorer_takes_depths_beyond_the_number_of_labels():
    few = Centroid().fit(X, Y[:, :3])
    assert metrics.recall_at_5(few, X, Y[:, :3]) == pytest.approx((Y[:, :3].sum(axis=1) > 0).mean())


def test_scorer_matches_names_by_classes_whatever_labels_the_test_rows_have():
    model = Centroid().fit(X, NAMES)
    part = slice(0, 3)
    assert encode_labels(NAMES[part])[1].size < 9
    expected = metrics.ndcg_at_k(encode_labels(NAMES)[0][part], model.predict_topk(X[part], 3), 3)
    assert metrics.ndcg_at_3(model, X[part], NAMES[part]) == pytest.approx(expected)


def test_scorer_counts_labels_never_seen_in_training_as_misses():
    model = Centroid().fit(X, NAMES)
    with_unseen = [[*row, "never", "a first"] for row in NAMES]
    truth = csr_array(np.hstack([Y.toarray(), np.ones((60, 2))]))
    top = model.predict_topk(X, 5)
    for scorer, metric in [
        (metrics.precision_at_5, metrics.precision_at_k),
        (metrics.recall_at_5, metrics.recall_at_k),
    ]:
        assert scorer(model, X, with_unseen) == pytest.approx(metric(truth, top, 5))
    assert metrics.recall_at_5(model, X, with_unseen) < metrics.recall_at_5(model, X, NAMES)


def test_scorer_takes_class_vectors():
    y = np.array(["ant", "bee", "cat"])[np.arange(60) % 3]
    model = Centroid().fit(X, y)
    expected = (model.predict(X) == y).mean()
    assert metrics.precision_at_1(model, X, y) == pytest.approx(expected)
    only_cats = y == "cat"
    expected = (model.predict(X[only_cats]) == "cat").mean()
    assert metrics.precision_at_1(model, X[only_cats], y[only_cats]) == pytest.approx(expected)
    assert metrics.precision_at_1(model, X, np.full(60, "dog")) == 0


def test_scorer_lets_a_pipeline_transform_before_it_ranks():
    texts = [" ".join(f"word{j}" for j in row) for row in np.split(X.indices, X.indptr[1:-1])]
    pipe = make_pipeline(CountVectorizer(), Centroid()).fit(texts, NAMES)
    expected = metrics.recall_at_k(encode_labels(NAMES)[0], predict_topk(pipe, texts, 3), 3)
    assert metrics.recall_at_3(pipe, texts, NAMES) == pytest.approx(expected)


def test_cross_validation_scores_each_fold():
    folds = KFold(3)
    found = cross_val_score(Centroid(), X, Y.toarray(), scoring=metrics.ndcg_at_5, cv=folds)  # it takes no sparse y
    expected = [
        metrics.ndcg_at_k(Y[test], Centroid().fit(X[train], Y[train]).predict_topk(X[test], 5), 5)
        for train, test in folds.split(X)
    ]
    assert found == pytest.approx(expected)


def test_cross_validation_takes_an_array_of_labels_per_row():
    names = [np.array(row) for row in NAMES]
    found = cross_val_score(Centroid(), X, names, scoring=metrics.recall_at_3, cv=2)
    by_hand = [
        metrics.recall_at_3(Centroid().fit(X[train], NAMES[train]), X[test], NAMES[test])
        for train, test in [(slice(30, 60), slice(0, 30)), (slice(0, 30), slice(30, 60))]
    ]
    assert found == pytest.approx(by_hand)


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_search_over_a_pipeline(n_jobs):
    pipe = make_pipeline(FunctionTransformer(), Centroid())
    grid = {"centroid__shrink": [0.0, 1e3]}
    search = GridSearchCV(pipe, grid, scoring=metrics.precision_at_3, cv=2, n_jobs=n_jobs).fit(X, Y)
    by_hand = [
        cross_val_score(pipe.set_params(**{name: value}), X, Y.toarray(), scoring=metrics.precision_at_3, cv=2)
        for name, values in grid.items()
        for value in values
    ]
    assert search.cv_results_["mean_test_score"] == pytest.approx(np.mean(by_hand, axis=1))
    assert metrics.precision_at_3(search, X, Y) == metrics.precision_at_3(search.best_estimator_, X, Y)


def test_scorer_options_reach_the_metric_and_survive_pickling():
    propensities = metrics.propensity(Y.sum(axis=0), 60)
    scorer = pickle.loads(pickle.dumps(metrics.TopKScorer(metrics.psp_at_k, 3, propensities=propensities)))
    expected = metrics.psp_at_k(Y, MODEL.predict_topk(X, 3), 3, propensities)
    assert scorer(MODEL, X, Y) == pytest.approx(expected)
    assert repr(scorer) == "TopKScorer(psp_at_k, k=3, propensities=...)"


def test_scorer_help_shows_how_to_call_it():
    assert "estimator : XMCClassifier" in metrics.precision_at_5.__doc__


def test_scorer_rejects_bad_input():
    with pytest.raises(ValueError, match="y has 8 columns but the estimator was fitted with 9 labels"):
        metrics.precision_at_5(MODEL, X, Y[:, :8])
    with pytest.raises(ValueError, match="60 rows but Y_true has 59"):
        metrics.precision_at_5(MODEL, X, Y[:59])
    with pytest.raises(ValueError, match="at least 1"):
        metrics.TopKScorer(metrics.precision_at_k, 0)


def test_scorers_are_pickled_and_named():
    for name in ["precision", "recall", "ndcg"]:
        for k in (1, 3, 5):
            scorer = getattr(metrics, f"{name}_at_{k}")
            assert repr(scorer) == f"TopKScorer({name}_at_k, k={k})"
            assert repr(pickle.loads(pickle.dumps(scorer))) == repr(scorer)
