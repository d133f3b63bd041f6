"""Blend with members that are pipelines: each with features of its own, of matrices, texts or records."""

from typing import ClassVar

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import xclassic
from tests.golden import write
from tests.helpers.contract import EXPECTED_FAILURES, WEIGHED, Contract, assert_same_predictions, noisy
from tests.helpers.folders import edit_header
from xclassic import KNN, Blend, DiSMEC, ModelFileError, OneVsRestLeastSquares, Parabel, blend_topk, datasets, metrics
from xclassic.features import FeatureAgglomeration, FourierFeatures, TextFeatures

TITLES = ["star planet", "moon star", "bread butter", "butter jam", "planet moon", "jam bread"] * 6
RECORDS = [{"title": title, "price": float(len(title)), "note": title[::-1]} for title in TITLES]
LABELS = [["sky"] if title.split()[0] in ("star", "moon", "planet") else ["food", title[0]] for title in TITLES]


def agglomerated(**params):
    members = [(f"seed{seed}", make_pipeline(FeatureAgglomeration(3, random_state=seed), DiSMEC())) for seed in (0, 1)]
    return Blend(members, **{"cv": 2, **params})


def of_texts(**params):
    words, characters = TextFeatures(char_ngrams=()), TextFeatures(ngram_range=(), char_ngrams=(2, 3))
    members = [("words", make_pipeline(words, DiSMEC())), ("characters", make_pipeline(characters, KNN()))]
    return Blend(members, **{"cv": 2, **params})


def of_records(**params):
    members = [
        ("title", make_pipeline(TextFeatures("title", numeric="price"), DiSMEC())),
        ("both", make_pipeline(TextFeatures(["title", "note"]), OneVsRestLeastSquares())),
    ]
    return Blend(members, **{"cv": 2, **params})


class TestContractOfPipelines(Contract):
    estimator = agglomerated()

    def test_estimate_memory(self):
        with pytest.raises(ValueError, match=r"Member 'seed0' is a Pipeline with features of its own.*last step"):
            self.make().estimate_memory(*noisy())


# The rows of these checks have few features, the sum of which says little.
@parametrize_with_checks(
    [Blend([("a", make_pipeline(FeatureAgglomeration(1), DiSMEC())), ("b", make_pipeline(KNN()))], weights=None)],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES | WEIGHED,
)
def test_blend_of_pipelines_passes_scikit_learn_check(estimator, check):
    check(estimator)


class Witness(TransformerMixin, BaseEstimator):
    """It passes on the second column of what it gets, and notes the first."""

    seen: ClassVar[list] = []

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        Witness.seen.append([name for name, _ in X])
        return np.array([[value] for _, value in X])


# What the members get


def test_members_have_features_of_their_own():
    X, Y = noisy()
    blend = agglomerated(normalization="rank", weights=[1, 3]).fit(X, Y)
    tops = []
    for seed in (0, 1):
        agglomeration = FeatureAgglomeration(3, random_state=seed).fit(X, Y)
        top = DiSMEC().fit(agglomeration.transform(X), Y).predict_topk(agglomeration.transform(X), 37)
        tops.append(top._replace(scores=np.broadcast_to(1 / (2 + np.arange(37, dtype=np.float32)), top.scores.shape)))
    assert_same_predictions(blend.predict_topk(X, 9), blend_topk(tops, [1, 3], 9, 37))
    assert (blend.estimators_[0][0].groups_ != blend.estimators_[1][0].groups_).any()


@pytest.mark.parametrize("form", [csr_array, csr_array.toarray, lambda X: X.toarray().tolist()])
def test_a_pipeline_without_steps_before_is_the_estimator(form):
    X, Y = noisy()
    members = [("a", DiSMEC()), ("b", OneVsRestLeastSquares())]
    plain = Blend(members).fit(form(X), Y)
    wrapped = [("a", make_pipeline(DiSMEC())), ("b", make_pipeline("passthrough", OneVsRestLeastSquares()))]
    piped = Blend(wrapped).fit(form(X), Y)
    np.testing.assert_array_equal(piped.weights_, plain.weights_)
    np.testing.assert_array_equal(piped.maps_, plain.maps_)
    assert_same_predictions(piped.predict_topk(form(X), 37), plain.predict_topk(form(X), 37))
    assert piped.n_features_in_ == 60


def test_members_are_fitted_on_rows_taken_from_any_list():
    rows = [(f"row {i}", float(i % 3)) for i in range(40)]
    y = np.arange(40) % 3
    Witness.seen.clear()
    blend = Blend([("one", make_pipeline(Witness(), KNN(n_neighbors=3)))], cv=2).fit(rows, y)
    everything, *folds = Witness.seen
    assert [len(part) for part in folds] == [20] * 4
    for train, held_out in (folds[:2], folds[2:]):
        assert {*train, *held_out} == {*everything} == {name for name, _ in rows}
    blend.predict_topk(rows[:7], 2)
    assert Witness.seen[-1] == [name for name, _ in rows[:7]]  # once, and not for each chunk and each candidate


@pytest.mark.parametrize(
    "form", [list, tuple, iter, lambda texts: np.array(texts, object), lambda texts: np.array(texts)]
)
def test_blend_takes_texts_in_any_container(form):
    expected = of_texts().fit(TITLES, LABELS)
    found = of_texts().fit(form(TITLES), LABELS)
    assert_same_predictions(found.predict_topk(form(TITLES), 4), expected.predict_topk(TITLES, 4))
    assert expected.score(TITLES, LABELS) == 1
    assert not hasattr(expected, "n_features_in_")


def test_blend_takes_records_in_any_container():
    columns = {name: [record[name] for record in RECORDS] for name in RECORDS[0]}
    expected = of_records().fit(RECORDS, LABELS)
    top = expected.predict_topk(RECORDS, 4)
    found = of_records().fit(columns, LABELS)
    assert_same_predictions(found.predict_topk(columns, 4), top)
    assert_same_predictions(found.predict_topk(RECORDS, 4), top)
    assert_same_predictions(
        expected.predict_topk(RECORDS[:1], 4),
        top._replace(ids=top.ids[:1], scores=top.scores[:1], counts=top.counts[:1]),
    )
    pandas = pytest.importorskip("pandas")
    found = of_records().fit(pandas.DataFrame(RECORDS), LABELS)
    assert_same_predictions(found.predict_topk(pandas.DataFrame(RECORDS), 4), top)


def test_all_that_predicts_takes_texts():
    blend = of_texts().fit(TITLES, LABELS)
    names = blend.predict_topk(TITLES[:1], 1).named(blend.classes_)[0]
    assert names[0][0] == "sky"
    assert blend.predict_topk([], 3).ids.shape == (0, 3)
    assert blend.decision_function(TITLES[:5]).shape == (5, 4)
    assert blend.predict_proba(TITLES[:5]).max() <= 1
    assert blend.predict(TITLES[:5], k_predict=1).nnz == 5
    assert (blend.predict_topk(TITLES, 2, exclude=["sky"]).ids != blend.classes_.tolist().index("sky")).all()
    assert len(blend.predict_topk(TITLES * 30, 2).ids) == 30 * len(TITLES)  # several chunks


def test_members_of_weight_zero_make_no_features():
    blend = of_texts(normalization="rank", weights=[1, 0]).fit(TITLES, LABELS)
    expected = blend.predict_topk(TITLES, 4)
    blend.estimators_[1] = None
    assert_same_predictions(blend.predict_topk(TITLES, 4), expected)


def test_blends_of_pipelines_nest():
    nested = Blend([("inner", of_texts()), ("alone", make_pipeline(TextFeatures(), Parabel()))], cv=2)
    assert nested.fit(TITLES, LABELS).score(TITLES, LABELS) == 1
    piped = make_pipeline("passthrough", of_texts()).fit(TITLES, LABELS)
    assert xclassic.predict_topk(piped, TITLES, 2).ids.shape == (36, 2)


def test_a_second_fit_forgets_the_features_of_the_first():
    X, Y = noisy()
    blend = agglomerated().fit(X, Y)
    assert blend.n_features_in_ == 60
    blend.set_params(estimators=of_texts().estimators, cv=2).fit(TITLES, LABELS)
    assert not hasattr(blend, "n_features_in_")


# Parameters and errors


def test_parameters_of_steps_are_reached_by_name():
    blend = agglomerated()
    assert blend.get_params()["seed1__featureagglomeration__random_state"] == 1
    blend.set_params(seed1__featureagglomeration__max_leaf=5, seed0__dismec__C=2.0)
    copy = clone(blend).fit(*noisy())
    assert copy.named_estimators_["seed1"][0].max_leaf == 5
    assert copy.named_estimators_["seed0"][-1].C == 2.0
    assert not hasattr(copy.estimators[0][1][0], "groups_")  # the members that were passed stay unfitted


@pytest.mark.parametrize(
    ("member", "error", "message"),
    [
        (make_pipeline(TextFeatures(), LogisticRegression()), TypeError, "Member 'a' is a Pipeline that ends in a Log"),
        (make_pipeline(TextFeatures()), TypeError, "Member 'a' is a Pipeline that ends in a TextFeatures"),
        (make_pipeline(TextFeatures(), DiSMEC(C=-1)), ValueError, "Member 'a': C is -1"),
        (make_pipeline(TextFeatures(n_bins=1), DiSMEC()), ValueError, "Member 'a': n_bins is 1"),
        (make_pipeline(TextFeatures("title"), DiSMEC()), TypeError, "Member 'a': .*DataFrame or a list of dicts"),
        (make_pipeline(FourierFeatures(), DiSMEC()), ValueError, "Member 'a': X holds text"),
        (DiSMEC(), ValueError, "Member 'a': X holds text"),
    ],
)
def test_errors_name_the_member(member, error, message):
    with pytest.raises(error, match=message):
        Blend([("a", member), ("b", make_pipeline(TextFeatures(), DiSMEC()))], weights=None).fit(TITLES, LABELS)


def test_errors_of_predictions_name_the_member():
    X, Y = noisy()
    blend = agglomerated(weights=None).fit(X, Y)
    with pytest.raises(ValueError, match="X has 59 features, but Blend is expecting 60"):
        blend.predict_topk(X[:, :59])
    with pytest.raises(ValueError, match="Member 'seed0': X holds text"):
        blend.predict_topk(["a text"])
    with pytest.raises(TypeError, match="Member 'words': X"):
        of_texts().fit(TITLES, LABELS).predict_topk(X)


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([], ValueError, "X has no rows"),
        ("a text", TypeError, "X is one str"),
        ({"title": "a text"}, TypeError, "is one string, not a column"),
        ({"title": ["a"], "note": ["a", "b"]}, ValueError, "columns of X have"),
        (7, TypeError, "got <class 'int'>"),
        (TITLES[:5], ValueError, "rows"),
    ],
)
def test_blend_rejects_rows_that_are_none(X, error, message):
    with pytest.raises(error, match=message):
        of_texts().fit(X, LABELS)


# Model folders


@pytest.mark.parametrize("case", ["matrix", "texts", "records", "nested"])
def test_blends_of_pipelines_come_back(case, tmp_path):
    X, Y = noisy()
    blend, rows, labels = {
        "matrix": (agglomerated(), X, Y),
        "texts": (of_texts(), TITLES, LABELS),
        "records": (of_records(), RECORDS, LABELS),
        "nested": (Blend([("inner", of_texts())], cv=2), TITLES, LABELS),
    }[case]
    blend.fit(rows, labels).save(tmp_path / "model")
    for verify in ("lazy", "full"):
        copy = xclassic.load(tmp_path / "model", verify=verify)
        assert_same_predictions(copy.predict_topk(rows, 4), blend.predict_topk(rows, 4))
        assert copy.get_params().keys() == blend.get_params().keys()
        assert getattr(copy, "n_features_in_", None) == getattr(blend, "n_features_in_", None)
    assert_same_predictions(clone(copy).fit(rows, labels).predict_topk(rows, 4), blend.predict_topk(rows, 4))


def test_steps_that_no_folder_holds_are_named(tmp_path):
    blend = Blend([("a", make_pipeline(CountVectorizer(), DiSMEC()))], normalization="rank").fit(TITLES, LABELS)
    assert blend.predict_topk(TITLES, 2).ids.shape == (36, 2)
    with pytest.raises(
        TypeError, match="Step 'countvectorizer' is a CountVectorizer, which a model folder cannot hold"
    ):
        blend.save(tmp_path / "model")


def damage(header, case):
    members = header["facts"]["members"]
    if case == "no estimator at the end":
        del members[0]["steps"][-1]
    elif case == "no steps":
        members[0]["steps"] = []
    elif case == "another number of features":
        header["n_features"] = 61
    elif case == "an estimator alone":
        members[0] = {"name": "seed0", **members[0]["steps"][-1]}
    elif case == "no labels":
        del members[0]["steps"][-1]["target"]


@pytest.mark.parametrize(
    "case",
    [
        "no estimator at the end",
        "no steps",
        "another number of features",
        "an estimator alone",
        "no labels",
    ],
)
def test_damaged_pipelines_are_refused(case, tmp_path):
    agglomerated().fit(*noisy()).save(tmp_path / "model")
    edit_header(tmp_path / "model", lambda header: damage(header, case))
    with pytest.raises(ModelFileError):
        xclassic.load(tmp_path / "model")


def test_plain_members_need_the_number_of_features(tmp_path):
    Blend([("a", DiSMEC())]).fit(*noisy()).save(tmp_path / "model")
    edit_header(tmp_path / "model", lambda header: header.pop("n_features"))
    with pytest.raises(ModelFileError, match="other labels or features"):
        xclassic.load(tmp_path / "model")


# On real data


def test_agglomerations_by_seed_are_better_together():
    bibtex = datasets.load_bibtex()
    members = [(f"s{s}", make_pipeline(FeatureAgglomeration(random_state=s), Parabel(n_trees=1))) for s in range(3)]
    blend = Blend(members, weights=None, normalization="rank").fit(bibtex.X, bibtex.Y)
    alone = [xclassic.predict_topk(member, bibtex.X_test) for member in blend.estimators_]
    best = max(metrics.precision_at_k(bibtex.Y_test, top, 1) for top in alone)
    assert metrics.precision_at_k(bibtex.Y_test, blend.predict_topk(bibtex.X_test), 1) > best + 0.02


@pytest.mark.long
def test_methods_that_read_texts_are_members_beside_pipelines(tmp_path):
    pytest.importorskip("transformers")
    texts, classes = write.text_problem()
    names = sorted(set(classes.tolist()))  # Members see the ids of labels.
    members = [
        ("t5", write.t5(tmp_path / "tokenizer", label_names=names)),
        ("words", make_pipeline(TextFeatures(), DiSMEC())),
    ]
    blend = Blend(members, weights=[1, 1]).fit(texts, classes)
    assert blend.score(texts, classes) > 0.9
    blend.save(tmp_path / "model")
    copy = xclassic.load(tmp_path / "model", verify="full")
    np.testing.assert_array_equal(copy.predict_topk(texts, 3).ids, blend.predict_topk(texts, 3).ids)
