"""Explanations: what they say adds up to the scores, agrees with a naive search, and reads well."""

import json
import math
import re

import numpy as np
import pytest
from scipy.sparse import csr_array, csr_matrix
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import SelectKBest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler

import xclassic
from tests.helpers.contract import noisy
from tests.helpers.folders import file_of, read_header, replace_array
from xclassic import (
    KNN,
    PLT,
    Bonsai,
    DiSMEC,
    Explanation,
    HierarchicalXC,
    LabelTree,
    ModelFileError,
    OneVsRestLeastSquares,
    Parabel,
    PrefixTree,
    XRLinear,
    datasets,
    explain,
)
from xclassic.blocks.weights import _row_entries
from xclassic.explanation import FeatureEffect, Step
from xclassic.label_tree.search import PATH_SCORES, contributions
from xclassic.storage import registry

ALL = 10**6
TEXTS = ["stars and planets", "bread and butter", "planets and moons", "rye bread", "moons of stars", "butter"]
TOPICS = [["sky"], ["food"], ["sky"], ["food", "grain"], ["sky"], ["food"]]


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


@pytest.fixture(scope="module")
def pipe():
    return make_pipeline(TfidfVectorizer(), Parabel(max_leaf=2)).fit(TEXTS, TOPICS)


def total(step):
    return step.bias + sum(effect.contribution for effect in step.features)


def check_sums(clf, X, labels):
    """Check that explanations sum to the scores of an unrestricted search; return them."""
    scores = clf.predict_topk(X, ALL).to_csr(clf.classes_.size).toarray()
    explanations = []
    for i, label in enumerate(labels):
        explanation = clf.explain(X[[i]], clf.classes_[label], n_features=ALL)
        by_tree = [0.0] * max(explanation.n_trees, 1)
        for step in explanation.steps:
            assert total(step) == pytest.approx(step.margin, abs=1e-5)
            by_tree[step.tree] += step.contribution
        lost = {step.tree for step in explanation.steps if not step.kept}
        if explanation.n_trees:
            by_tree = [0 if tree in lost else math.exp(log_score) for tree, log_score in enumerate(by_tree)]
        assert np.mean(by_tree) == pytest.approx(explanation.score, abs=1e-5)
        assert explanation.score == pytest.approx(scores[i, label], abs=1e-5)
        assert explanation.best_score == scores[i].max()
        assert explanation.best_label == clf.classes_[clf.predict_topk(X[[i]], 1).ids[0, 0]]
        explanations.append(explanation)
    return explanations


@pytest.mark.parametrize("name", [name for name in registry.ESTIMATORS if hasattr(getattr(xclassic, name), "explain")])
def test_explanation_sums_to_the_score(bibtex, name):
    clf = getattr(xclassic, name)().fit(bibtex.X[:1000], bibtex.Y[:1000])
    best = clf.predict_topk(bibtex.X_test[:15], 1).ids[:, 0].tolist()
    for explanation in check_sums(clf, bibtex.X_test[:15], best):
        assert explanation.label == explanation.best_label
    check_sums(clf, bibtex.X_test[:30], range(5, 155, 5))


@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
@pytest.mark.parametrize("loss", ["squared_hinge", "logistic", "least_squares"])
def test_explanation_of_every_loss_and_dtype(bibtex, dtype, loss):
    clf = Bonsai(n_trees=2, loss=loss, weight_dtype=dtype, beam=2).fit(bibtex.X[:1000], bibtex.Y[:1000])
    explanations = check_sums(clf, bibtex.X_test[:30], range(0, 150, 5))
    assert any(not step.kept for explanation in explanations for step in explanation.steps)


# What the steps say, against all margins of the tree


def all_margins(model, x):
    """Return the margins of all nodes for one dense row."""
    n_nodes = model.tree.n_nodes
    bias = np.zeros(n_nodes)
    used = model.weights.labels >= 0
    bias[model.weights.labels[used]] = model.weights.bias[used]
    return x @ model.weights.to_csc(n_nodes).astype(np.float64) + bias


def naive_gain(score, margins, node):
    m = float(margins[node])
    if score == "hinge2":
        return -(max(0.0, 1 - m) ** 2)
    if score == "sigmoid":
        return -math.log1p(math.exp(-m))
    raise NotImplementedError(score)


def naive_levels(tree, gains, beam):
    """Return for each level the inner nodes that a beam search scores there, best first."""
    reached, levels = [0], [[0]]
    log_score = {0: 0.0}
    while reached:
        scored = []
        for parent in reached:
            for child in range(tree.child_ptr[parent], tree.child_ptr[parent + 1]):
                log_score[child] = log_score[parent] + gains[child]
                if tree.label[child] < 0:
                    scored.append(child)
        levels.append(sorted(scored, key=lambda node: -log_score[node]))
        reached = levels[-1][:beam]
    return levels


@pytest.mark.parametrize(("method", "score"), [(Parabel, "hinge2"), (PLT, "sigmoid")])
def test_ranks_and_beam_agree_with_a_naive_search(method, score):
    X, Y = noisy(n_rows=400, n_labels=60, seed=3)
    clf = method(n_trees=2, max_leaf=2, beam=2, normalize=False).fit(X, Y)
    n_lost = 0
    for i, label in enumerate(range(0, 60, 3)):
        explanation = clf.explain(X[[i]], label)
        for number, model in enumerate(clf.models_):
            tree, margins = model.tree, all_margins(model, X[[i]].toarray()[0])
            levels = naive_levels(tree, {n: naive_gain(score, margins, n) for n in range(1, tree.n_nodes)}, 2)
            path = [int(node) for node in tree.paths()[label] if node > 0]
            steps = [step for step in explanation.steps if step.tree == number]
            assert [step.node for step in steps] == path
            kept = True
            for level, step in enumerate(steps, start=1):
                siblings = margins[slice(*tree.child_ptr[tree.parent[step.node] :][:2])]
                assert step.margin == pytest.approx(margins[step.node], abs=1e-5)
                assert step.contribution == pytest.approx(naive_gain(score, margins, step.node), abs=1e-5)
                assert step.n_siblings == len(siblings)
                assert step.rank == 1 + (siblings > siblings[step.node - tree.child_ptr[tree.parent[step.node]]]).sum()
                if tree.label[step.node] >= 0:
                    assert step.level_rank is None
                else:
                    kept = kept and step.node in levels[level][:2]
                    if step.node in levels[level]:
                        assert step.level_rank == 1 + levels[level].index(step.node)
                assert step.kept == kept
            n_lost += not kept
    assert 5 < n_lost < 40


def test_search_without_a_beam_loses_nothing():
    X, Y = noisy()
    clf = Parabel(n_trees=2, max_leaf=2, beam=None).fit(X, Y)
    for explanation in check_sums(clf, X, range(37)):
        assert all(step.kept and step.level_rank is None for step in explanation.steps)


def test_lost_label_has_the_score_zero_and_its_path():
    X, Y = noisy()
    clf = Parabel(n_trees=1, max_leaf=2, beam=1).fit(X, Y)
    label = next(label for label in range(37) if label not in clf.predict_topk(X[:1], ALL).ids)
    explanation = clf.explain(X[:1], label)
    assert explanation.score == 0
    assert not explanation.steps[-1].kept
    alone = clf.predict_topk(X[:1], 1, labels=[label]).scores[0, 0]  # nothing competes for the beam
    assert math.exp(sum(step.contribution for step in explanation.steps)) == pytest.approx(alone, rel=1e-5)


@pytest.mark.parametrize("score", PATH_SCORES)
def test_contributions_are_those_of_the_search(score):
    margins = np.array([-3.0, -0.2, 0.00001, 0.4, 1.0, 7.0])
    found = contributions(score, margins)
    formula = {
        "hinge2": -(np.maximum(0, 1 - margins) ** 2),
        "hinge3": -(np.maximum(0, 1 - margins) ** 3),
        "sigmoid": np.log(1 / (1 + np.exp(-margins))),
        "clipped": np.log([1e-4, 1e-4, 1e-4, 0.4, 1, 1]),
        "share": np.log(np.exp(margins) / np.exp(margins).sum()),
    }
    np.testing.assert_allclose(found, formula[score], atol=1e-12)


def test_softmax_nodes(bibtex):
    clf = PrefixTree(loss="softmax").fit(bibtex.X[:1000], bibtex.Y[:1000])
    check_sums(clf, bibtex.X_test[:10], range(0, 100, 10))


@pytest.mark.parametrize("method", [DiSMEC, OneVsRestLeastSquares])
def test_one_vs_rest_step(bibtex, method):
    clf = method().fit(bibtex.X, bibtex.Y)
    weights = clf.weights_.to_csc(159).toarray()
    x = bibtex.X_test[[7]].toarray()[0]
    x /= np.linalg.norm(x)
    effects = x * weights[:, 88]
    scores = clf.predict_topk(bibtex.X_test[[7]], 159).to_csr(159).toarray()[0]
    explanation = clf.explain(bibtex.X_test[[7]], 88, n_features=5)
    assert explanation.n_trees == 0
    (step,) = explanation.steps
    assert (step.node, step.name, step.n_siblings, step.kept) == (88, "88", 159, True)
    assert step.rank == 1 + (scores > scores[88]).sum()
    assert step.n_active == np.count_nonzero(effects)
    sizes = sorted(np.abs(effects), reverse=True)[:5]
    np.testing.assert_allclose([abs(effect.contribution) for effect in step.features], sizes, rtol=1e-5)
    for effect in step.features:
        assert (effect.value, effect.weight) == pytest.approx((x[effect.name], weights[effect.name, 88]))
        assert effect.contribution == effect.value * effect.weight


def test_labels_in_several_chunks_are_explained():
    rng = np.random.default_rng(0)
    labels = rng.permutation(5000)
    Y = csr_array((np.ones(5000), (np.arange(5000) % 300, labels)), shape=(300, 5000))
    X = csr_array(rng.random((300, 6)) * (rng.random((300, 6)) < 0.6))
    clf = OneVsRestLeastSquares(propensity_power=0).fit(X, Y)
    assert len(clf.weights_.chunk_group_ptr) > 2
    check_sums(clf, X, range(0, 5000, 50))


def test_offsets_beyond_32_bits():
    first = np.int64(2**32 - 3)
    low = np.array([2**32 - 3, 2**32 - 1, 3, 3, 4], np.uint64).astype(np.uint32)
    places, counts = _row_entries(np.array([0, 1, 3]), low, first)
    assert counts.tolist() == [2, 4, 1]
    assert (places - first).tolist() == [0, 1, 2, 3, 4, 5, 6]


# Rows, names, pipelines


def test_row_may_have_any_form(bibtex):
    clf = XRLinear().fit(bibtex.X, bibtex.Y)
    row = bibtex.X_test[[3]]
    expected = clf.explain(row, 5)
    vector = row.toarray()[0]
    for form in [bibtex.X_test[3], csr_matrix(row), vector, vector.tolist(), vector[None], vector.astype(np.float64)]:
        found = clf.explain(form, np.int64(5))
        assert found.score == pytest.approx(expected.score, abs=1e-6)
        assert [s.n_active for s in found.steps] == [s.n_active for s in expected.steps]
        assert found.label == expected.label


def test_pipeline_names_its_features(pipe):
    explanation = explain(pipe, "planets made of bread", "sky")
    assert explanation == explain(pipe, ["planets made of bread"], "sky")
    assert {effect.name for step in explanation.steps for effect in step.features} == {"planets", "bread", "of"}
    effects = {effect.name: effect.contribution for effect in explanation.steps[0].features}
    assert effects["planets"] > 0 > effects["bread"]
    prediction = dict(xclassic.predict_topk(pipe, ["planets made of bread"], 3).named(pipe.classes_)[0])
    assert explanation.score == pytest.approx(prediction["sky"], abs=1e-6)
    assert pipe[-1].explain(pipe[0].transform(["planets"]), "sky").steps[-1].features[0].name == 5


def test_search_explains_by_its_best_estimator():
    search = GridSearchCV(make_pipeline(TfidfVectorizer(), DiSMEC()), {"dismec__C": [0.1, 1.0]}, cv=2)
    search.fit(TEXTS, [topics[0] for topics in TOPICS])
    explanation = explain(search, "bread and planets", "food")
    assert explanation == explain(search.best_estimator_, "bread and planets", "food")
    assert {"bread", "planets"} <= {effect.name for effect in explanation.steps[0].features}


def test_names_pass_through_selection_and_stop_at_nameless_steps():
    y = [topics[0] for topics in TOPICS]
    chosen = make_pipeline(TfidfVectorizer(), SelectKBest(k=4), DiSMEC()).fit(TEXTS, y)
    names = {effect.name for effect in explain(chosen, "bread planets moons butter", "sky").steps[0].features}
    assert names <= {"bread", "planets", "moons", "butter", "stars", "rye", "and", "of"}
    nameless = make_pipeline(TfidfVectorizer(), FunctionTransformer(abs), DiSMEC()).fit(TEXTS, y)
    assert all(isinstance(effect.name, int) for effect in explain(nameless, "bread", "food").steps[0].features)
    own = [f"f{i}" for i in range(len(nameless[0].vocabulary_))]
    explanation = explain(nameless, "bread", "food", feature_names=own)
    assert explanation.steps[0].features[0].name == f"f{nameless[0].vocabulary_['bread']}"


def test_pipeline_of_vectors_takes_one_vector():
    X, Y = noisy()
    pipe = make_pipeline(MaxAbsScaler(), DiSMEC()).fit(X, Y)
    assert explain(pipe, X[[4]].toarray()[0], 3).score == pytest.approx(explain(pipe, X[[4]], 3).score, abs=1e-6)
    assert explain(make_pipeline(DiSMEC()).fit(X, Y), X[[4]], 3).label == 3


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")  # as scipy's matrices never have
def test_names_seen_in_fit():
    X, Y = noisy()
    clf = DiSMEC().fit(X, Y)
    clf.feature_names_in_ = np.array([f"word{i}" for i in range(60)], object)
    assert {effect.name for effect in clf.explain(X[:1], 3, n_features=ALL).steps[0].features} <= {
        f"word{i}" for i in X[:1].indices
    }


def test_names_of_labels_and_nodes(bibtex):
    clf = XRLinear().fit(bibtex.X, bibtex.Y)
    named = clf.explain(bibtex.X_test[:1], 17, label_names=bibtex.label_names)
    assert (named.label, named.name, named.best_name) == (
        17,
        bibtex.label_names[17],
        bibtex.label_names[named.best_label],
    )
    assert re.fullmatch(r"\d+ labels: TAG_\w+, TAG_\w+, TAG_\w+, \.\.\.", named.steps[0].name)
    assert named.steps[-1].name == bibtex.label_names[17]
    assert clf.explain(bibtex.X_test[:1], 17).steps[-1].name == "17"


def test_names_of_a_catalog():
    tree = LabelTree.from_edges([("sky", "nature"), ("grain", "plants"), ("plants", "nature"), ("food", "home")])
    clf = Parabel(tree=tree, n_trees=1).fit(TfidfVectorizer().fit_transform(TEXTS), TOPICS)
    names = [step.name for step in clf.explain(np.eye(8)[0], "grain").steps]
    assert names == ["nature (2 labels)", "plants (1 label)", "grain"]


def test_encoded_rows_are_explained_by_their_code(bibtex):
    X, Y = bibtex.X[:800], bibtex.Y[:800]
    clf = HierarchicalXC(encoder="autoencoder").fit(X, Y)
    names = [f"word{i}" for i in range(X.shape[1])]
    explanation = clf.explain(bibtex.X_test[:1], 17, n_features=ALL, feature_names=names)
    shown = {effect.name for step in explanation.steps for effect in step.features}
    assert shown <= {f"code{i}" for i in range(256)}
    assert "code0" in shown
    check_sums(clf, bibtex.X_test[:10], range(10, 110, 10))
    plain = HierarchicalXC().fit(X, Y).explain(bibtex.X_test[:1], 17, feature_names=names)
    assert all(effect.name.startswith("word") for step in plain.steps for effect in step.features)


# As data and as text


STEPS = [
    Step(
        0, 1, "3 labels: rye, wheat, oats", 0.5, -0.25, 1, 2, 1, True, -0.1, 2, [FeatureEffect("bread", 0.6, 1.0, 0.6)]
    ),
    Step(0, 4, "rye", 1.5, 0.0, 2, 3, None, True, 1.5, 0, []),
    Step(1, 2, "food", -1.0, -4.0, 12, 12, 11, False, -1.0, 0, []),
    Step(1, 9, "rye", 1.0, -0.00001, 1, 1, None, False, 0.2, 1, [FeatureEffect(7, 0.8, 1.0, 0.8)]),
]
TREES_AS_TEXT = """\
rye: score 0.3894 (best: wheat, 0.7)

Tree 1 of 2: exp(-0.2500) = 0.7788

3 labels: rye, wheat, oats: log-score -0.2500, rank 1 of 2, on its level 1
  feature    value  weight  value x weight
  bread     0.6000  1.0000         +0.6000
  (1 more)                         +0.0000
  (bias)                           -0.1000
  margin                           +0.5000

rye: log-score 0.0000, rank 2 of 3
  feature  value  weight  value x weight
  (bias)                         +1.5000
  margin                         +1.5000

Tree 2 of 2: exp(-4.0000) = 0.01832; counts 0, since the search loses the path

food: log-score -4.0000, rank 12 of 12, on its level 11, lost to the beam
  feature  value  weight  value x weight
  (bias)                         -1.0000
  margin                         -1.0000

rye: log-score 0.0000, rank 1 of 1, lost to the beam
  feature   value  weight  value x weight
  7        0.8000  1.0000         +0.8000
  (bias)                          +0.2000
  margin                          +1.0000"""
LABEL_AS_TEXT = """\
sky: score -1.25 (the best)

sky: rank 1 of 3
  feature   value   weight  value x weight
  moon     0.6000  -2.0000         -1.2000
  (bias)                           -0.0500
  margin                           -1.2500"""


def test_text_of_trees():
    assert str(Explanation("rye", "rye", math.exp(-0.25) / 2, "wheat", "wheat", 0.7, 2, STEPS)) == TREES_AS_TEXT


def test_text_without_trees():
    effects = [FeatureEffect("moon", 0.6, -2.0, -1.2)]
    step = Step(0, 5, "sky", -1.25, -1.25, 1, 3, None, True, -0.05, 1, effects)
    assert str(Explanation(5, "sky", -1.25, 5, "sky", -1.25, 0, [step])) == LABEL_AS_TEXT


def test_text_adds_up(pipe):
    text = str(explain(pipe, "planets made of bread", "sky", n_features=1))
    assert text.startswith("sky: score 0.")
    tables = [block.split("\n  ")[1:] for block in text.split("\n\n") if "\n  margin" in block]
    assert len(tables) == len(explain(pipe, "planets", "sky").steps)
    for _, *lines in tables:
        *parts, margin = (float(line.split()[-1]) for line in lines)
        assert sum(parts) == pytest.approx(margin, abs=5e-4)
        assert len(set(map(len, lines))) == 1


def test_explanation_to_dict_is_for_json(pipe, bibtex):
    for explanation in [
        explain(pipe, "rye bread", "grain"),
        DiSMEC().fit(bibtex.X[:500], bibtex.Y[:500]).explain(bibtex.X_test[:1], 3),
    ]:
        data = json.loads(json.dumps(explanation.to_dict()))
        steps = [
            Step(**step | {"features": [FeatureEffect(**effect) for effect in step["features"]]})
            for step in data.pop("steps")
        ]
        assert Explanation(**data, steps=steps) == explanation
        assert data["label"] == explanation.label


# Models from a folder


@pytest.mark.parametrize("method", [DiSMEC, XRLinear, HierarchicalXC])
def test_loaded_model_explains_the_same(bibtex, tmp_path, method):
    clf = method().fit(bibtex.X[:800], bibtex.Y[:800])
    clf.save(tmp_path / "model")
    loaded = xclassic.load(tmp_path / "model")
    assert loaded.explain(bibtex.X_test[:1], 17) == clf.explain(bibtex.X_test[:1], 17)


@pytest.mark.parametrize("method", [DiSMEC, XRLinear])
def test_damaged_model_is_rejected_before_it_is_read(bibtex, tmp_path, method):
    clf = method().fit(bibtex.X[:500], bibtex.Y[:500])
    clf.save(tmp_path / "model")
    name = next(name for name in read_header(tmp_path / "model")["arrays"] if name.endswith(".row_values"))
    found = np.load(file_of(tmp_path / "model", name))
    found[len(found) // 2] += 2**31
    replace_array(tmp_path / "model", name, found)
    with pytest.raises(ModelFileError):
        xclassic.load(tmp_path / "model").explain(bibtex.X_test[:1], 17)


# Wrong use


@pytest.fixture(scope="module", params=[DiSMEC, Parabel])
def fitted(request):
    X, Y = noisy()
    Y = Y.tolil()
    Y[:, 5] = 0
    return request.param().fit(X, csr_array(Y)), X


@pytest.mark.parametrize("label", ["sky", 37, -1, 2.5, None, (1, 2), [3]])
def test_label_must_be_known(fitted, label):
    clf, X = fitted
    with pytest.raises(ValueError, match=r"does not know the label .*classes_ lists its 37 labels"):
        clf.explain(X[:1], label)


def test_labels_without_a_model(fitted):
    clf, X = fitted
    with pytest.raises(ValueError, match="Label 5 has no model, since no training row carries it"):
        clf.explain(X[:1], np.int64(5))
    empty = type(clf)().fit(X, csr_array((X.shape[0], 3)))
    with pytest.raises(ValueError, match="Label 2 has no model"):
        empty.explain(X[:1], 2)


@pytest.mark.parametrize("n", [0, 2])
def test_explain_needs_one_row(fitted, n):
    clf, X = fitted
    with pytest.raises(ValueError, match=f"X has {n} rows; explain takes one"):
        clf.explain(X[:n], 3)


def test_explain_rejects_bad_arguments(fitted):
    clf, X = fitted
    with pytest.raises(ValueError, match="n_features"):
        clf.explain(X[:1], 3, n_features=0)
    with pytest.raises(ValueError, match="feature_names has 2 entries; there must be 60"):
        clf.explain(X[:1], 3, feature_names=["a", "b"])
    with pytest.raises(ValueError, match="label_names has 1 entries; there must be 37"):
        clf.explain(X[:1], 3, label_names=["a"])
    with pytest.raises(ValueError, match="59 features"):
        clf.explain(X[:1, :59], 3)
    with pytest.raises(ValueError, match="X holds text"):
        clf.explain("a text", 3)
    with pytest.raises(NotFittedError):
        type(clf)().explain(X[:1], 3)
    with pytest.raises(TypeError, match="KNN explains no scores"):
        explain(KNN(), X[:1], 3)


def test_row_of_zeros_leaves_the_bias(fitted):
    clf, X = fitted
    for step in clf.explain(np.zeros(X.shape[1]), 3).steps:
        assert step.margin == step.bias
        assert (step.n_active, step.features) == (0, [])
