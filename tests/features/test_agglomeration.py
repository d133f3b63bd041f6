"""FeatureAgglomeration: its twin, what sums keep, features that it cannot place, and the accuracy on real data."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import normalize
from sklearn.utils.estimator_checks import parametrize_with_checks

import xclassic
from tests.helpers.contract import EXPECTED_FAILURES, noisy
from tests.helpers.folders import replace_array
from tests.helpers.interrupts import count_tasks, press_ctrl_c, tasks_that_ignore_stop
from tests.helpers.naive import agglomeration as naive
from xclassic import DiSMEC, ModelFileError, Parabel, TailReranker, datasets, explain, metrics, predict_topk
from xclassic.features import FeatureAgglomeration

VIEWS = ["labels", "columns"]


@parametrize_with_checks(
    [FeatureAgglomeration(2), FeatureAgglomeration(2, by="columns")],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
def test_agglomeration_passes_scikit_learn_check(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


def one_hot(groups):
    A = np.zeros((len(groups), max(groups) + 1), np.float32)
    A[np.arange(len(groups)), groups] = 1
    return A


# What it computes


@pytest.mark.parametrize("form", [csr_array, csr_array.toarray])
@pytest.mark.parametrize("by", VIEWS)
@settings(max_examples=25)
@given(seed=st.integers(0, 10_000), max_leaf=st.integers(1, 12), density=st.sampled_from([0.02, 0.2, 0.9]))
def test_agglomeration_is_a_product_with_a_one_hot_matrix(form, by, seed, max_leaf, density):
    rng = np.random.default_rng(seed)
    X = csr_array((rng.random((15, 30)) * (rng.random((15, 30)) < density)).astype(np.float32))
    Y = csr_array(np.eye(4, dtype=np.float32)[rng.integers(4, size=15)])
    agglomeration = FeatureAgglomeration(max_leaf, by=by).fit(form(X), Y)
    groups = agglomeration.groups_
    assert (np.unique(groups) == np.arange(groups.max() + 1)).all()
    assert np.bincount(groups).max() <= max_leaf
    found = agglomeration.transform(form(X))
    assert isinstance(found, csr_array) == (form is csr_array)
    assert found.dtype == np.float32
    found = csr_array(found).toarray()
    np.testing.assert_allclose(found, X.toarray() @ one_hot(groups), rtol=1e-6)
    np.testing.assert_allclose(found, naive.agglomerate(X.toarray(), groups), rtol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), X.sum(axis=1), rtol=1e-5)  # The mass of a row is conserved.
    np.testing.assert_array_equal(FeatureAgglomeration(max_leaf, by=by).fit(X.toarray(), Y).groups_, groups)


@pytest.mark.parametrize("by", VIEWS)
def test_agglomeration_of_single_features_is_the_identity(by):
    X, Y = noisy()
    agglomeration = FeatureAgglomeration(1, by=by).fit(X, Y)
    assert agglomeration.groups_.tolist() == list(range(60))
    found = agglomeration.transform(X)
    assert found.has_canonical_format
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(found, part), getattr(X, part))
    assert agglomeration.get_feature_names_out().tolist() == [f"x{j}" for j in range(60)]


@pytest.mark.parametrize("by", VIEWS)
def test_agglomeration_groups_are_as_tight_as_those_of_the_twin(by):
    X, Y = noisy(n_rows=80)
    wanted = naive.label_sums(X.toarray(), Y.toarray()) if by == "labels" else X.T.toarray()
    vectors = normalize(wanted)
    found, expected = [], []
    for seed in range(8):
        groups = FeatureAgglomeration(4, by=by, random_state=seed).fit(X, Y).groups_
        found.append(naive.cohesion(vectors, [np.flatnonzero(groups == group) for group in range(groups.max() + 1)]))
        expected.append(naive.cohesion(vectors, naive.balanced_leaves(vectors, 4, np.random.default_rng(seed))))
    assert np.mean(found) == pytest.approx(np.mean(expected), abs=0.02)


@pytest.mark.parametrize("by", VIEWS)
def test_agglomeration_finds_copies_of_features(by):
    rng = np.random.default_rng(0)
    Y = np.eye(2, dtype=np.float32)[rng.integers(2, size=100)]
    X = np.repeat(Y, 4, axis=1) * rng.uniform(0.8, 1.2, (100, 8))
    order = rng.permutation(8)
    tries = [FeatureAgglomeration(4, by=by, random_state=seed).fit(X[:, order], Y).groups_ for seed in range(20)]
    found = [groups.tolist() == (order // 4 != order[0] // 4).tolist() for groups in tries]
    assert np.mean(found) > 0.4  # The first centers are copies of one feature in 3 of 7 tries.


def test_agglomeration_keeps_scores_of_equal_weights():
    X, _ = noisy()
    agglomeration = FeatureAgglomeration(8, by="columns").fit(X)
    weights = np.random.default_rng(0).standard_normal(agglomeration.groups_.max() + 1)
    np.testing.assert_allclose(agglomeration.transform(X) @ weights, X @ weights[agglomeration.groups_], rtol=1e-4)


def test_agglomeration_does_not_depend_on_the_workers():
    X, Y = noisy(n_features=400)
    one, two = (FeatureAgglomeration(3, n_jobs=n).fit(X, Y).groups_ for n in (1, 3))
    np.testing.assert_array_equal(one, two)
    assert (FeatureAgglomeration(3, random_state=1).fit(X, Y).groups_ != one).any()


def test_agglomeration_ends_at_ctrl_c():
    X, Y = noisy(n_features=400)
    fit = partial(FeatureAgglomeration(3).fit, X, Y)
    for moment in (0, count_tasks(fit) - 1):
        assert press_ctrl_c(fit, moment) == 1
    assert tasks_that_ignore_stop(fit) == set()


# Features that are hard to place


@pytest.mark.parametrize("by", VIEWS)
def test_features_that_never_occur_make_groups_of_their_own(by):
    X, Y = noisy()
    empty = np.zeros((150, 5), np.float32)
    wide = csr_array(np.hstack([empty, X.toarray(), empty]))
    groups = FeatureAgglomeration(4, by=by).fit(wide, Y).groups_
    alone = FeatureAgglomeration(4, by=by).fit(X, Y).groups_
    dead = np.r_[0:5, 65:70]
    assert groups[dead].tolist() == [0] * 4 + [1] + [1] * 3 + [groups.max()] * 2
    assert not np.isin(groups[5:65], groups[dead]).any()
    assert len({*zip(groups[5:65].tolist(), alone.tolist(), strict=True)}) == alone.max() + 1  # as without them


def test_features_that_occur_only_without_labels_make_groups_of_their_own():
    X = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]])
    assert FeatureAgglomeration(2).fit(X, [["a"], ["a"], []]).groups_.tolist() == [0, 0, 1, 1]


def test_stored_zeros_do_not_count():
    X, Y = noisy()
    stored = X.copy()
    stored.data[:40] = 0
    pruned = stored.copy()
    pruned.eliminate_zeros()
    for by in VIEWS:
        one, other = (FeatureAgglomeration(4, by=by).fit(rows, Y).groups_ for rows in (stored, pruned))
        np.testing.assert_array_equal(one, other)


def test_few_features_are_one_group():
    X, Y = noisy(n_features=6)
    agglomeration = FeatureAgglomeration(8).fit(X, Y)
    assert agglomeration.groups_.tolist() == [0] * 6
    np.testing.assert_allclose(agglomeration.transform(X).toarray().ravel(), X.sum(axis=1), rtol=1e-6)


def test_features_of_opposite_sign_stay_apart():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 2))
    X = np.column_stack([x, 1.1 * x, -x, -0.9 * x])
    groups = FeatureAgglomeration(2, by="columns").fit(X).groups_
    assert groups.tolist() == [0, 1, 0, 1, 2, 3, 2, 3]


def test_agglomeration_by_labels_needs_labels():
    X, _ = noisy()
    with pytest.raises(ValueError, match=r"y is None: with by='labels'.*by='columns' takes no labels"):
        FeatureAgglomeration().fit(X)


@pytest.mark.parametrize("params", [{"max_leaf": 0}, {"max_leaf": 1.5}, {"by": "rows"}, {"n_jobs": 0}])
def test_agglomeration_rejects_bad_parameters(params):
    with pytest.raises((ValueError, TypeError), match=next(iter(params))):
        FeatureAgglomeration(**params).fit(*noisy())


# In pipelines


def test_names_of_groups_list_their_features():
    frame = pytest.importorskip("pandas").DataFrame(np.eye(5), columns=["a", "b", "c", "d", "e"])
    agglomeration = FeatureAgglomeration(5, by="columns").fit(frame)
    assert agglomeration.get_feature_names_out().tolist() == ["a + b + c + 2 more"]
    assert FeatureAgglomeration(2, by="columns").fit(np.eye(3)).get_feature_names_out().size == 2


def test_explanations_name_the_features_of_a_group():
    texts = ["star planet", "moon star", "bread butter", "butter jam"] * 3
    labels = [["sky"], ["sky"], ["food"], ["food"]] * 3
    pipe = make_pipeline(xclassic.features.TextFeatures(ngram_range=(1, 1), char_ngrams=()), FeatureAgglomeration(3))
    pipe = make_pipeline(*pipe, DiSMEC()).fit(texts, labels)
    assert explain(pipe, "moon", "sky").steps[0].features[0].name == "moon + planet + star"


def test_agglomerated_pipelines_come_back(tmp_path):
    X, Y = noisy()
    pipe = make_pipeline(FeatureAgglomeration(3), DiSMEC()).fit(X, Y)
    xclassic.save(pipe, tmp_path / "model")
    copy = xclassic.load(tmp_path / "model", verify="full")
    for found, expected in zip(predict_topk(copy, X), predict_topk(pipe, X), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "groups", [[0, 1, 2], [0, 1, 2, 4], [0, 1, 1, -1], [0, 2, 2, 2], np.zeros(4, np.int64), np.zeros((4, 1), np.int32)]
)
def test_agglomeration_rejects_damaged_groups(groups, tmp_path):
    xclassic.save(FeatureAgglomeration(1, by="columns").fit(np.eye(4)), tmp_path / "model")
    damaged = groups if isinstance(groups, np.ndarray) else np.array(groups, np.int32)
    replace_array(tmp_path / "model", "groups", damaged)
    with pytest.raises(ModelFileError):
        xclassic.load(tmp_path / "model")


# On real data


@pytest.mark.parametrize("by", VIEWS)
def test_agglomeration_of_bibtex_makes_256_columns(bibtex, by):
    agglomeration = FeatureAgglomeration(by=by).fit(bibtex.X, bibtex.Y)
    assert np.unique(np.bincount(agglomeration.groups_)).tolist() == [7, 8]
    grouped = agglomeration.transform(bibtex.X)
    assert grouped.shape == (4880, 256)
    assert grouped.nnz < 0.75 * bibtex.X.nnz
    top = Parabel(n_trees=1).fit(grouped, bibtex.Y).predict_topk(agglomeration.transform(bibtex.X_test))
    assert metrics.precision_at_k(bibtex.Y_test, top, 1) > 0.51  # 0.64 without, 0.37 with groups at random


def test_tail_reranker_works_on_agglomerated_features(bibtex):
    agglomeration = FeatureAgglomeration(4).fit(bibtex.X, bibtex.Y)
    rows, test_rows = agglomeration.transform(bibtex.X), agglomeration.transform(bibtex.X_test)
    top = xclassic.PLT().fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 50)
    tail = TailReranker(alpha=0.6).fit(rows, bibtex.Y)
    assert tail.centroids_.nnz < 0.5 * TailReranker().fit(bibtex.X, bibtex.Y).centroids_.nnz
    propensities = metrics.propensity(bibtex.Y.sum(axis=0), bibtex.Y.shape[0])
    before, after = (metrics.psp_at_k(bibtex.Y_test, t, 5, propensities) for t in (top, tail.rerank(test_rows, top)))
    assert after > before
