"""Weights of rows and of labels in `fit`: what they mean, who takes them, and what the others say."""

import inspect

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn import config_context
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler

import xclassic
from tests.helpers.contract import ESTIMATORS, assert_same_arrays, noisy, quick
from xclassic import KNN, Blend, DiSMEC, OneVsRestLeastSquares, Parabel, PPDSparse, datasets, label_tree
from xclassic.storage import registry

X, Y = noisy()
RANDOM = np.random.default_rng(1)
WEIGHTS = RANDOM.uniform(0.2, 3, X.shape[0])
COUNTS = RANDOM.integers(0, 4, X.shape[0])  # whole weights, some of them 0
TREE = label_tree.random_tree(Y.shape[1], branching=4, max_leaf=4, random_state=0)
# Estimators that take weights of rows, solved so closely that what is left of an error does not show.
EXACT = {
    "DiSMEC": DiSMEC(eps=1e-6, max_passes=2000, prune=0),
    "DiSMEC, logistic": DiSMEC(loss="logistic", eps=1e-6, max_passes=2000, prune=0),
    "DiSMEC, propensity": DiSMEC(propensity="default", eps=1e-6, max_passes=2000, prune=0),
    "PPDSparse": PPDSparse(0.01, eps=1e-6, max_passes=2000),
}
for name in ("exact", "cg"):
    EXACT[f"OneVsRestLeastSquares, {name}"] = OneVsRestLeastSquares(
        propensity_power=0.5, solver=name, tol=1e-6, max_sweeps=500, prune=0
    )
for name in ("Parabel", "Bonsai", "PLT", "XRLinear", "XReg", "HierarchicalXC", "PrefixTree"):
    EXACT[name] = getattr(xclassic, name)(tree=TREE, beam=1000, eps=1e-6, max_passes=2000, prune=0)
EXACT["Parabel, least squares"] = Parabel(
    tree=TREE, beam=1000, loss="least_squares", eps=1e-6, max_passes=2000, prune=0
)
EXACT["XRLinear, matcher"] = clone(EXACT["XRLinear"]).set_params(matcher_negatives=True)
EXACT["PrefixTree, softmax"] = clone(EXACT["PrefixTree"]).set_params(loss="softmax")
EXACT["KNN"] = KNN(1000)
BOTH = ("DiSMEC", "PPDSparse")


def takers(name):
    return [known for known in ESTIMATORS if name in inspect.signature(getattr(xclassic, known).fit).parameters]


def scores(model, X=X):
    return np.asarray(model.predict_topk(X, Y.shape[1]).to_csr(Y.shape[1]).toarray())


def repeated(counts):
    rows = np.repeat(np.arange(X.shape[0]), counts)
    return csr_array(X[rows]), csr_array(Y[rows])


def test_who_takes_weights():
    assert {name.split(",")[0] for name in EXACT} == set(takers("sample_weight"))
    assert takers("label_weight") == list(BOTH)


@pytest.mark.parametrize("name", takers("sample_weight"))
@pytest.mark.parametrize("ones", [1, np.ones(X.shape[0]), [1] * X.shape[0], None])
def test_weights_of_one_change_nothing(name, ones):
    model = quick(name).fit(X, Y, sample_weight=ones)
    assert_same_arrays(model, quick(name).fit(X, Y))
    assert not model._weighed_fit


@pytest.mark.parametrize("name", takers("sample_weight"))
def test_rows_of_weight_zero_are_left_out(name):
    kept = COUNTS > 0
    assert_same_arrays(quick(name).fit(X, Y, sample_weight=kept), quick(name).fit(X[kept], Y[kept]))
    weighed = quick(name).fit(X, Y, sample_weight=WEIGHTS * kept)
    assert_same_arrays(weighed, quick(name).fit(X[kept], Y[kept], sample_weight=WEIGHTS[kept]))


@pytest.mark.parametrize("name", takers("sample_weight"))
def test_labels_of_rows_left_out_stay_known(name):
    names = [["a"], ["b"], ["c"], ["c", "a"]]
    model = quick(name).fit(X[:4], names, sample_weight=[1, 0, 1, 1])
    assert model.classes_.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize("name", EXACT)
def test_a_weight_counts_as_so_many_rows(name):
    model = clone(EXACT[name])
    more = scores(clone(model).fit(*repeated(COUNTS)))
    np.testing.assert_allclose(scores(model.fit(X, Y, sample_weight=COUNTS)), more, rtol=2e-3, atol=2e-3)
    assert np.abs(scores(clone(model).fit(X, Y)) - more).max() > 0.05


def test_a_weight_counts_beside_relevances():
    relevance = csr_array((RANDOM.uniform(0.2, 1, Y.nnz).astype(np.float32), Y.indices, Y.indptr), shape=Y.shape)
    rows = np.repeat(np.arange(X.shape[0]), COUNTS)
    more = scores(clone(EXACT["XReg"]).fit(X[rows], Y[rows], relevance[rows]))
    found = scores(clone(EXACT["XReg"]).fit(X, Y, relevance, sample_weight=COUNTS))
    np.testing.assert_allclose(found, more, rtol=5e-3, atol=2e-3)
    assert np.abs(found - scores(clone(EXACT["XReg"]).fit(X, Y, sample_weight=COUNTS))).max() > 0.05


@pytest.mark.parametrize("name", ["DiSMEC", "Parabel"])
@pytest.mark.parametrize("weights", [WEIGHTS, COUNTS], ids=["above 0", "some 0"])
def test_rows_of_a_map_have_weights_too(name, weights, tmp_path):
    datasets.write_matrix(tmp_path / "X", X)
    mapped = datasets.open_matrix(tmp_path / "X")
    model = quick(name).fit(mapped, Y, sample_weight=weights)
    assert_same_arrays(model, quick(name).fit(X, Y, sample_weight=weights))


def test_labels_are_grouped_by_weighted_rows():
    tree = Parabel(max_leaf=4).fit(X, Y, sample_weight=np.geomspace(1e-3, 1e3, X.shape[0])).trees_[0]
    plain = Parabel(max_leaf=4).fit(X, Y).trees_[0]
    assert not np.array_equal(tree.codes(), plain.codes())


@pytest.mark.parametrize("name", BOTH)
def test_a_weight_of_all_rows_is_one_of_the_cost(name):
    weighed = quick(name).set_params(C=0.5).fit(X, Y, sample_weight=4)
    np.testing.assert_allclose(scores(weighed), scores(quick(name).set_params(C=2.0).fit(X, Y)), rtol=0.1, atol=0.05)


@pytest.mark.parametrize("name", BOTH)
def test_a_weight_of_a_label_is_a_cost_of_its_own(name):
    weights = np.where(np.arange(Y.shape[1]) % 2, 4.0, 1.0)
    model = quick(name).fit(X, Y, label_weight=weights)
    assert_same_arrays(model, quick(name).fit(X, Y, label_weight=dict.fromkeys(range(1, Y.shape[1], 2), 4)))
    options = {"eps": 1e-6, "max_passes": 2000}
    found = scores(quick(name).set_params(**options).fit(X, Y, label_weight=weights))
    plain, costly = (scores(quick(name).set_params(C=C, **options).fit(X, Y)) for C in (1.0, 4.0))
    np.testing.assert_allclose(found, np.where(weights == 4, costly, plain), rtol=2e-3, atol=2e-3)
    assert np.abs(costly - plain).max() > 0.05


def test_negatives_that_count_less_give_higher_scores():
    assert_same_arrays(DiSMEC(negative_weight=1.0).fit(X, Y), DiSMEC().fit(X, Y))
    less, plain = (scores(DiSMEC(negative_weight=weight).fit(X, Y)) for weight in (0.2, 1.0))
    assert less.mean() > plain.mean() + 0.1
    options = {"eps": 1e-6, "max_passes": 2000}
    more = DiSMEC(0.5, negative_weight=2.0, **options).fit(X, Y)
    weights = np.where(Y.toarray()[:, 0] > 0, 0.5, 1.0)  # The same for one label.
    same = DiSMEC(**options).fit(X, csr_array(Y[:, :1]), sample_weight=weights)
    np.testing.assert_allclose(scores(more)[:, 0], same.decision_function(X).toarray()[:, 0], atol=2e-3)


@pytest.mark.parametrize("name", takers("sample_weight"))
def test_model_with_weights_does_not_depend_on_n_jobs(name):
    one, two = (quick(name).set_params(n_jobs=n).fit(X, Y, sample_weight=WEIGHTS) for n in (1, 2))
    assert_same_arrays(one, two)


@pytest.mark.parametrize("name", takers("sample_weight"))
def test_model_with_weights_is_saved_and_remembers_them(name, tmp_path):
    model = quick(name).fit(X, Y, sample_weight=WEIGHTS)
    model.save(tmp_path / "model")
    loaded = xclassic.load(tmp_path / "model")
    np.testing.assert_array_equal(scores(loaded), scores(model))
    assert loaded._weighed_fit


@pytest.mark.parametrize("name", takers("sample_weight"))
def test_model_with_weights_learns_nothing_further(name):
    model = quick(name).fit(X, Y, sample_weight=WEIGHTS)
    with pytest.raises(ValueError, match="fitted with weights of rows or labels, which partial_fit does not take"):
        model.partial_fit(X, Y, X_known=X, y_known=Y)
    with pytest.raises(ValueError, match="which add_labels does not take"):
        model.add_labels(X, Y[:, :2], ["x", "y"])
    assert model.remove_labels([0]).classes_.size == Y.shape[1] - 1
    model.fit(X, Y)
    assert not model._weighed_fit


REFUSED = {
    "negative": (np.r_[1, -2, np.ones(148)], r"sample_weight\[1\] is -2.0; weights are at least 0 and finite"),
    "not finite": (np.r_[np.ones(149), np.nan], r"sample_weight\[149\] is nan"),
    "infinite": (np.inf, r"sample_weight\[0\] is inf"),
    "tiny": (1e-30, r"those above 0 from 1e-20 to 1e\+20"),
    "all zero": (0, "sample_weight is zero for all rows"),
    "too few": (np.ones(149), r"has shape \(149,\); pass one weight for each of the 150 rows of X"),
    "a column": (np.ones((150, 1)), r"has shape \(150, 1\)"),
    "texts": (["a"] * 150, "pass numbers"),
    "a text": ("balanced", "pass numbers"),
    "complex": (np.ones(150) * 1j, "pass numbers"),
    "missing": ([None] * 150, "pass numbers"),
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


def test_weights_that_no_solver_takes_are_named():
    with pytest.raises(ValueError, match=r"The fit failed .*, probably because of weights of rows up to 1e\+20"):
        OneVsRestLeastSquares(solver="exact").fit(X, Y, sample_weight=np.geomspace(1e-20, 1e20, X.shape[0]))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.zeros(37), "The weight of label 0 is 0.0"),
        ({5: -1}, "The weight of label 5 is -1.0"),
        ({5: np.nan}, "The weight of label 5 is nan"),
        ({99: 1}, "label_weight names 99, which is no label of y"),
        ({"5": 1}, "label_weight names '5'"),
        ({5: "a"}, "pass numbers"),
        (np.ones(36), r"has shape \(36,\); pass one weight for each of the 37 labels in the order of classes_"),
        (2.0, r"has shape \(\)"),
        ("balanced", "pass numbers"),
    ],
)
def test_bad_weights_of_labels_are_refused(weights, message):
    with pytest.raises((ValueError, TypeError), match=message):
        DiSMEC().fit(X, Y, label_weight=weights)


def test_weights_of_labels_by_name():
    names = [["pear"], ["apple"], ["pear", "apple"], ["plum"]]
    by_name = DiSMEC().fit(X[:4], names, label_weight={"plum": 3.0})
    assert_same_arrays(by_name, DiSMEC().fit(X[:4], names, label_weight=[1, 1, 3]))
    assert by_name._weighed_fit
    assert_same_arrays(DiSMEC().fit(X[:4], names, label_weight={}), DiSMEC().fit(X[:4], names))


@pytest.mark.parametrize("weight", ["sample_weight", "label_weight"])
@pytest.mark.parametrize("name", [*ESTIMATORS, *registry.TEXT_ESTIMATORS])
def test_other_methods_name_those_that_take_weights(name, weight):
    if name in takers(weight):
        pytest.skip("takes it")
    with pytest.raises(TypeError, match=rf"{name}\.fit takes no {weight}\. These methods take it: DiSMEC, "):
        getattr(xclassic, name)().fit(X, Y, **{weight: np.ones(X.shape[0])})


def test_blend_takes_no_weights():
    with pytest.raises(TypeError, match=r"Blend\.fit takes no sample_weight"):
        Blend([("one", DiSMEC())]).fit(X, Y, sample_weight=WEIGHTS)


def test_weights_are_routed_through_pipelines_and_searches():
    with config_context(enable_metadata_routing=True):
        scaled = MaxAbsScaler().fit_transform(X)
        pipeline = make_pipeline(MaxAbsScaler(), DiSMEC().set_fit_request(sample_weight=True))
        pipeline.fit(X, Y, sample_weight=WEIGHTS)
        assert_same_arrays(pipeline[-1], DiSMEC().fit(scaled, Y, sample_weight=WEIGHTS))
        method = DiSMEC().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(method, {"C": [0.1, 1.0]}, cv=2).fit(X, Y, sample_weight=WEIGHTS)
        best = DiSMEC(**search.best_params_).fit(X, Y, sample_weight=WEIGHTS)
        assert_same_arrays(search.best_estimator_, best)
