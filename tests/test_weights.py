"""Weights of rows, labels and pairs in `fit`: what holds for all methods that take them, and what the others say."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

import xclassic
from tests.helpers.contract import ESTIMATORS, assert_same_arrays, noisy, quick
from tests.helpers.weights import TAKEN_BY, weights_of
from xclassic import KNN, Blend, DiSMEC, OneVsRestLeastSquares, Parabel, metrics
from xclassic.storage import registry
from xclassic.weighing import takers

X, Y = noisy(n_rows=90)
N, L = Y.shape
RANDOM = np.random.default_rng(1)
COUNTS = RANDOM.integers(0, 4, N)  # whole weights, some of them 0
WEIGHTS = RANDOM.uniform(0.2, 3, N)
RELEVANCE = csr_array((RANDOM.uniform(0.2, 2, Y.nnz).astype(np.float32), Y.indices, Y.indptr), shape=Y.shape)
ONES = {"sample_weight": np.ones(N), "label_weight": np.ones(L), "relevance": Y}
UNEVEN = {"sample_weight": WEIGHTS, "label_weight": RANDOM.uniform(0.3, 3, L), "relevance": RELEVANCE}
METHODS = TAKEN_BY["sample_weight"]


def scores(model):
    return np.asarray(model.predict_topk(X, L).to_csr(L).toarray())


# What holds for every method


def test_who_takes_weights():
    for weight, methods in TAKEN_BY.items():
        assert set(takers(weight)) == set(methods)


@pytest.mark.parametrize("name", METHODS)
def test_weights_of_one_change_nothing(name):
    ones = weights_of(name, ONES)
    if name == "XReg":  # Without relevances it takes inverse propensities for them.
        ones.pop("relevance")
    plain = quick(name).fit(X, Y)
    for weights in (ones, {"sample_weight": 1}, {"sample_weight": [1] * N, "label_weight": None}):
        model = quick(name).fit(X, Y, **weights)
        assert_same_arrays(model, plain)
        assert not model._weighed_fit


@pytest.mark.parametrize("name", METHODS)
def test_rows_of_weight_zero_are_left_out(name):
    kept = COUNTS > 0
    rows, labels = X[kept], csr_array(Y[kept])
    assert_same_arrays(quick(name).fit(X, Y, sample_weight=kept), quick(name).fit(rows, labels))
    weighed = quick(name).fit(X, Y, **weights_of(name, UNEVEN | {"sample_weight": COUNTS}))
    of_kept = UNEVEN | {"sample_weight": COUNTS[kept], "relevance": csr_array(RELEVANCE[kept])}
    assert_same_arrays(weighed, quick(name).fit(rows, labels, **weights_of(name, of_kept)))


@pytest.mark.parametrize("name", METHODS)
def test_labels_of_rows_left_out_stay_known(name):
    names = [["a"], ["b"], ["c"], ["c", "a"]]
    model = quick(name).fit(X[:4], names, sample_weight=[1, 0, 1, 1])
    assert model.classes_.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("name", TAKEN_BY["label_weight"])
def test_labels_of_weight_zero_are_left_out(name):
    without = Y.toarray()
    without[:, [2, 7]] = 0
    model = quick(name).fit(X, Y, label_weight={2: 0, 7: 0.0})
    assert_same_arrays(model, quick(name).fit(X, without))
    assert not np.isin(model.predict_topk(X, L).ids, [2, 7]).any()
    weights = UNEVEN["label_weight"].copy()
    weights[[2, 7]] = 0
    assert not np.isin(quick(name).fit(X, Y, label_weight=weights).predict_topk(X, L).ids, [2, 7]).any()


@pytest.mark.parametrize("name", METHODS)
def test_weights_change_the_model_alike_for_every_number_of_workers(name, tmp_path):
    weights = weights_of(name, UNEVEN)
    model = quick(name).fit(X, Y, **weights)
    assert_same_arrays(model, quick(name).set_params(n_jobs=2).fit(X, Y, **weights))
    assert not np.array_equal(scores(model), scores(quick(name).fit(X, Y)))
    model.save(tmp_path / "model")
    loaded = xclassic.load(tmp_path / "model", verify="full")
    np.testing.assert_array_equal(scores(loaded), scores(model))
    assert loaded._weighed_fit


@pytest.mark.parametrize("weight", TAKEN_BY)
@pytest.mark.parametrize("name", METHODS)
def test_each_weight_changes_the_model(name, weight):
    if name not in TAKEN_BY[weight]:
        pytest.skip("does not take it")
    changed = quick(name).fit(X, Y, **{weight: UNEVEN[weight]})
    assert not np.array_equal(scores(changed), scores(quick(name).fit(X, Y)))


@pytest.mark.parametrize("name", METHODS)
def test_model_with_weights_learns_nothing_further(name):
    model = quick(name).fit(X, Y, sample_weight=WEIGHTS)
    calls = {
        "partial_fit": lambda: model.partial_fit(X, Y, X_known=X, y_known=Y),
        "add_labels": lambda: model.add_labels(X, Y[:, :2], ["x", "y"]),
        "add_trees": lambda: model.add_trees(1, X, Y),
    }
    for call in (known for known in calls if hasattr(model, known)):
        with pytest.raises(ValueError, match=f"fitted with weights of rows or labels, which {call} does not take"):
            calls[call]()
    assert model.remove_labels([0]).classes_.size == L - 1
    model.fit(X, Y)
    assert not model._weighed_fit


@pytest.mark.parametrize("weights", [{"relevance": RELEVANCE}, {"label_weight": {3: 2}}], ids=["relevance", "label"])
def test_every_weight_counts_as_one(weights):
    with pytest.raises(ValueError, match="fitted with weights"):
        DiSMEC().fit(X, Y, **weights).add_labels(X, Y[:, :1], ["x"])


# Refusals


REFUSED = {
    "negative": (np.r_[1, -2, np.ones(88)], r"sample_weight of row 1 is -2.0; a weight is 0, which leaves the row out"),
    "not finite": (np.r_[np.ones(89), np.nan], "sample_weight of row 89 is nan"),
    "infinite": (np.inf, "sample_weight of row 0 is inf"),
    "tiny": (1e-30, r"or from 1e-09 to 1e\+09"),
    "all zero": (0, "sample_weight is zero for all rows"),
    "too few": (np.ones(89), r"has shape \(89,\); pass one weight for each of the 90 rows of X"),
    "a column": (np.ones((90, 1)), r"has shape \(90, 1\)"),
    "texts": (["a"] * 90, "pass numbers"),
    "a text": ("balanced", "pass numbers"),
    "complex": (np.ones(90) * 1j, "pass numbers"),
    "missing": ([None] * 90, "pass numbers"),
    "sparse": (X, "pass numbers"),
    "ragged": ([[1], [1, 2]], "no array of numbers"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_bad_weights_of_rows_are_refused(fault):
    weights, message = REFUSED[fault]
    model = DiSMEC().fit(X, Y)
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit(X, Y, sample_weight=weights)
    assert not model._fitted


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(37), "label_weight is zero for all labels"),
        ({5: -1}, "label_weight of label 5 is -1.0"),
        ({5: np.nan}, "label_weight of label 5 is nan"),
        ({99: 1}, "label_weight names 99, which is no label of y"),
        ({"5": 1}, "label_weight names '5'"),
        ({5: [1, 2], 6: [1, 2]}, "label_weight is a dict of labels to lists"),
        ({5: "a"}, "pass numbers"),
        (np.ones(36), r"has shape \(36,\); pass one weight for each of the 37 labels in the order of classes_"),
        (2.0, r"has shape \(\)"),
        ("balanced", "pass numbers"),
    ],
)
def test_bad_weights_of_labels_are_refused(weights, message):
    with pytest.raises((ValueError, TypeError), match=message):
        DiSMEC().fit(X, Y, label_weight=weights)


@pytest.mark.parametrize(
    ("relevance", "message"),
    [
        (Y.toarray(), "relevance is a ndarray; pass a sparse matrix"),
        (Y[:, :5], r"relevance has shape \(90, 5\), but y has \(90, 37\)"),
        (csr_array(1 - Y.toarray()), "above 0 exactly where y is 1"),
        (-Y, "relevance holds -1.0; relevances are finite and above 0"),
        (Y * np.float32(np.nan), "relevance holds nan"),
        (Y * np.float32(1e20), r"from 1e-09 to 1e\+09"),
    ],
)
def test_bad_relevances_are_refused(relevance, message):
    with pytest.raises((ValueError, TypeError), match=message):
        DiSMEC().fit(X, Y, relevance=relevance)


def test_weights_that_no_solver_takes_are_named():
    with pytest.raises(ValueError, match=r"The fit failed .*, probably because of weights of rows up to 1e\+09"):
        OneVsRestLeastSquares(solver="exact").fit(X, Y, sample_weight=np.geomspace(1e-9, 1e9, N))


def test_weights_of_labels_by_name():
    names = [["pear"], ["apple"], ["pear", "apple"], ["plum"]]
    by_name = DiSMEC().fit(X[:4], names, label_weight={"plum": 3.0})
    assert_same_arrays(by_name, DiSMEC().fit(X[:4], names, label_weight=[1, 1, 3]))
    assert by_name._weighed_fit
    assert_same_arrays(DiSMEC().fit(X[:4], names, label_weight={}), DiSMEC().fit(X[:4], names))


@pytest.mark.parametrize("weight", TAKEN_BY)
@pytest.mark.parametrize("name", [*ESTIMATORS, *registry.TEXT_ESTIMATORS])
def test_other_methods_name_those_that_take_weights(name, weight):
    if name in TAKEN_BY[weight]:
        pytest.skip("takes it")
    with pytest.raises(TypeError, match=rf"{name}\.fit takes no {weight}\. These methods take it: .*DiSMEC, "):
        getattr(xclassic, name)().fit(X, Y, **{weight: ONES[weight]})


def test_weights_that_are_none_are_not_given():
    model = quick("MACH").fit(X, Y, sample_weight=None, label_weight=None, relevance=None)
    assert_same_arrays(model, quick("MACH").fit(X, Y))


@pytest.mark.parametrize("weight", ["relevance", "label_weight"])
def test_losses_without_costs_of_pairs_take_weights_of_rows_alone(weight):
    with pytest.raises(ValueError, match=f"Parabel takes no {weight} with these parameters"):
        Parabel(loss="least_squares").fit(X, Y, **{weight: ONES[weight]})


# Metadata routing


def test_weights_are_routed_through_pipelines_and_searches():
    scaled = MaxAbsScaler().fit_transform(X)
    weights = {"sample_weight": COUNTS, "relevance": RELEVANCE}
    with config_context(enable_metadata_routing=True):
        method = DiSMEC().set_fit_request(sample_weight=True, relevance=True)
        pipeline = make_pipeline(MaxAbsScaler(), method).fit(X, Y, **weights)
        assert_same_arrays(pipeline[-1], DiSMEC().fit(scaled, Y, **weights))
        search = GridSearchCV(pipeline, {"dismec__C": [0.1, 1]}, scoring=metrics.precision_at_1, cv=3)
        search.fit(X, Y, **weights)
        best = DiSMEC(search.best_params_["dismec__C"]).fit(scaled, Y, **weights)
        assert_same_arrays(search.best_estimator_[-1], best)
        assert np.isfinite(search.cv_results_["mean_test_score"]).all()
        method = DiSMEC().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(method, {"C": [0.1, 1.0]}, cv=2).fit(X, Y, sample_weight=WEIGHTS)
        best = DiSMEC(**search.best_params_).fit(X, Y, sample_weight=WEIGHTS)
        assert_same_arrays(search.best_estimator_, best)
        with config_context(skip_parameter_validation=True):
            method = DiSMEC().set_fit_request(sample_weight=True)
            options = {"scoring": metrics.precision_at_1, "cv": 3, "params": {"sample_weight": COUNTS}}
            assert np.isfinite(cross_val_score(method, X, Y, **options)).all()
    pipeline = make_pipeline(MaxAbsScaler(), DiSMEC()).fit(X, Y, dismec__sample_weight=COUNTS)
    assert_same_arrays(pipeline[-1], DiSMEC().fit(scaled, Y, sample_weight=COUNTS))
    with pytest.raises(TypeError, match=r"PLST\.fit takes no sample_weight"):
        make_pipeline(MaxAbsScaler(), xclassic.PLST()).fit(X, Y, plst__sample_weight=COUNTS)


# Estimators made of others


def test_blend_hands_weights_on():
    weights = {"sample_weight": COUNTS + 1, "relevance": RELEVANCE}
    members = [("one", DiSMEC()), ("other", make_pipeline(MaxAbsScaler(), Parabel(1)))]
    blend = Blend(members, weights=None, normalization="rank").fit(X, Y, **weights)
    own = {f"parabel__{name}": value for name, value in weights.items()}
    assert_same_arrays(blend.estimators_[0], DiSMEC().fit(X, Y, **weights))
    assert_same_arrays(blend.estimators_[1][-1], members[1][1].fit(X, Y, **own)[-1])
    learned = Blend(members).fit(X, Y, **weights)
    assert_same_arrays(learned.estimators_[0], blend.estimators_[0])
    with config_context(enable_metadata_routing=True):
        routed = Blend(members, weights=None, normalization="rank").fit(X, Y, **weights)
    assert_same_arrays(routed.estimators_[1][-1], blend.estimators_[1][-1])


def test_blend_refuses_weights_that_a_member_does_not_take():
    blend = Blend([("one", DiSMEC()), ("other", KNN())])
    blend.fit(X, Y, sample_weight=COUNTS)
    with pytest.raises(TypeError, match=r"Member 'other': KNN\.fit takes no relevance\. .*DiSMEC"):
        blend.fit(X, Y, relevance=RELEVANCE)
    assert not blend.__sklearn_is_fitted__()
