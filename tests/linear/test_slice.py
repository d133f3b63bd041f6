"""Slice against a slow twin and against one-vs-rest, what is on its shortlists, and its contract with short ones."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from tests.helpers.contract import Contract, noisy
from tests.helpers.naive import slice as naive
from xclassic import DiSMEC, NearestCentroid, Slice, datasets, metrics
from xclassic.rows import unit_rows

EXACT = {"eps": 1e-6, "max_passes": 3000, "prune": 0.0}


@pytest.mark.long
class TestShortLists(Contract):
    estimator = Slice(8)


def dense(clf):
    """The classifier of every label, its last weight that of the constant feature."""
    weights = clf.weights_
    models = np.vstack([weights.to_csc(clf.classes_.size).toarray(), np.zeros(clf.classes_.size)])
    used = weights.labels >= 0
    models[-1, weights.labels[used]] = weights.bias[used] / (clf.bias or 1)
    return models.T


@pytest.fixture(scope="module")
def problem():
    X, Y = noisy(n_rows=120, n_features=40, n_labels=15)
    return X, Y, noisy(n_rows=30, n_features=40, n_labels=15, seed=1)[0]


@pytest.mark.parametrize("form", ["sparse", "dense"])
@pytest.mark.parametrize(
    ("shortlist", "prior", "alpha"), [(4, 0.0, 0.5), (4, 0.05, 0.3), (1, 0.02, 1.0), (15, 0.1, 0.0)]
)
def test_slice_equals_its_slow_twin(problem, form, shortlist, prior, alpha):
    X, Y, queries = problem
    given = [part if form == "sparse" else part.toarray() for part in (X, queries)]
    clf = Slice(shortlist, prior=prior, alpha=alpha, C=0.7, bias=0.8, **EXACT).fit(given[0], Y)
    rows, truth = unit_rows(X).toarray().astype(float), Y.toarray()
    expected = naive.scores(rows, truth, unit_rows(queries).toarray().astype(float), shortlist, prior, 0.7, 0.8, alpha)
    np.testing.assert_allclose(dense(clf), naive.classifiers(rows, truth, shortlist, prior, 0.7, 0.8), atol=2e-3)
    top = clf.predict_topk(given[1], 15)
    np.testing.assert_array_equal(top.counts, min(shortlist, 15))
    found = np.full(expected.shape, -np.inf)
    filled = top.filled()
    found[np.nonzero(filled)[0], top.ids[filled]] = top.scores[filled]
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("shortlist", [159, 10**9])
def test_all_labels_on_the_shortlist_make_one_vs_rest(shortlist):
    data = datasets.load_bibtex()
    X, Y = data.X[:400], data.Y[:400]
    parameters = {"C": 1.0, "eps": 1e-5, "max_passes": 500, "prune": 0.0}
    full, listed = DiSMEC(**parameters).fit(X, Y), Slice(shortlist, alpha=1.0, **parameters).fit(X, Y)
    np.testing.assert_allclose(dense(listed), dense(full), atol=2e-3)
    expected, found = (clf.predict_topk(data.X_test[:50], 5).scores for clf in (full, listed))
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_classifiers_alone_and_centroids_alone_are_the_ends_of_alpha(problem):
    X, Y, queries = problem
    centroid = NearestCentroid().fit(X, Y).predict_topk(queries, 15)
    own = Slice(15, prior=0.0, alpha=0.0).fit(X, Y).predict_topk(queries, 15)
    np.testing.assert_array_equal(own.ids, centroid.ids)
    np.testing.assert_allclose(own.scores, centroid.scores, rtol=1e-6)


def test_positives_are_always_among_the_training_rows():
    """With a shortlist of one label most positives are not on it, and every label still learns its rows."""
    X, Y = noisy(n_rows=400)
    seen = np.unique(Y.indices)
    clf = Slice(1, alpha=1.0, C=100.0, prune=0.0, max_passes=500).fit(X, Y)
    on_list = clf._shortlists(unit_rows(X), Y.shape[1])
    assert on_list.multiply(Y).nnz < 0.5 * Y.nnz
    margins = unit_rows(X) @ dense(clf)[:, :-1].T + dense(clf)[:, -1]
    positive = margins[Y.toarray() > 0]
    assert (positive > 0).mean() > 0.95
    assert len(seen) == np.count_nonzero(clf.weights_.labels >= 0)


@pytest.mark.parametrize("dense_rows", [False, True])
def test_shortlists_hold_the_nearest_centroids(problem, dense_rows):
    X, Y, _ = problem
    clf = Slice(4, prior=0.03).fit(X.toarray() if dense_rows else X, Y)
    rows = unit_rows(X)
    listed = clf._shortlists(rows.toarray() if dense_rows else rows, Y.shape[1]).toarray() > 0
    scores = naive.generative(rows.toarray().astype(float), Y.toarray(), rows.toarray().astype(float), 0.03)
    for row, found in zip(scores, listed, strict=True):
        assert set(np.flatnonzero(found)) == set(naive.rank(row)[:4])


def test_longer_shortlists_lose_fewer_labels():
    data = datasets.load_bibtex()
    recalls = []
    for shortlist in (10, 40, 80):
        clf = Slice(shortlist, alpha=0.0).fit(data.X[:1500], data.Y[:1500])
        recalls.append(metrics.recall_at_k(data.Y_test, clf.predict_topk(data.X_test, shortlist), shortlist))
    assert 0.6 < recalls[0] < recalls[1] - 0.1 < recalls[2] - 0.13


def test_prior_of_slice_is_what_finds_most_labels():
    """Rows that say nothing of their labels leave shortlists to the frequency; rows that say all need none."""
    random = np.random.default_rng(0)
    n, d, L = 600, 60, 40
    frequent = (random.random((n, L)) < np.where(np.arange(L) < 8, 0.4, 0.02)).astype(np.float32)
    noise = Slice(8).fit(random.random((n, d)).astype(np.float32), csr_array(frequent))
    label = np.arange(n) % L
    telling = Slice(8).fit(csr_array(np.eye(L, dtype=np.float32)[label]), label)
    assert noise.prior_ > 0
    assert telling.prior_ == 0
    assert Slice(L).fit(random.random((n, d)), csr_array(frequent)).prior_ == 0  # all labels are on all lists


def test_rows_without_features_get_the_most_frequent_labels():
    X, Y = noisy(n_rows=300)
    top = Slice(5, prior=0.02, alpha=0.0).fit(X, Y).predict_topk(csr_array((1, X.shape[1]), dtype=np.float32), 5)
    counts = Y.sum(axis=0)
    np.testing.assert_array_equal(counts[top.ids[0]], np.sort(counts)[::-1][:5])


def test_labels_without_rows_are_never_listed():
    X, Y = noisy()
    Y = csr_array((Y.data, Y.indices, Y.indptr), shape=(Y.shape[0], 200))
    top = Slice(100).fit(X, Y).predict_topk(X, 200)
    assert set(top.ids[top.filled()]) <= set(Y.indices)


def test_restricted_shortlists_hold_allowed_labels_alone(problem):
    X, Y, queries = problem
    clf = Slice(3).fit(X, Y)
    top = clf.predict_topk(queries, 15, labels=[1, 5, 7, 9])
    np.testing.assert_array_equal(top.counts, 3)
    assert set(top.ids[top.filled()]) <= {1, 5, 7, 9}


def test_explanation_of_slice_adds_up_and_names_what_is_not_listed():
    data = datasets.load_bibtex()
    clf = Slice(20).fit(data.X, data.Y)
    row, top = data.X_test[:1], clf.predict_topk(data.X_test[:1], 20)
    listed = clf.explain(row, int(top.ids[0, 2]))
    np.testing.assert_allclose(listed.score, top.scores[0, 2], rtol=1e-4)
    np.testing.assert_allclose(sum(step.contribution for step in listed.steps), listed.score)
    assert [step.kept for step in listed.steps] == [True, True]
    lost = clf.explain(row, int(np.setdiff1d(np.arange(159), top.ids[0])[0]))
    assert [step.kept for step in lost.steps] == [False, False]
    assert lost.steps[0].rank > 20
    assert str(lost).count("not on the shortlist") == 2
    assert "not on the shortlist" not in str(listed)


@pytest.mark.long
def test_slice_is_as_accurate_as_dismec_and_far_above_its_centroids():
    data = datasets.load_bibtex()
    full, listed, centroid = (clf.fit(data.X, data.Y) for clf in (DiSMEC(C=0.3), Slice(100), NearestCentroid()))
    values = [clf.score(data.X_test, data.Y_test) for clf in (full, listed, centroid)]
    assert values[1] > values[0] - 0.01
    assert values[1] > values[2] + 0.05


def test_centroids_of_other_labels_are_refused(tmp_path):
    X, Y = noisy()
    clf = Slice(8).fit(X, Y)
    clf.centroids_ = NearestCentroid().fit(X[:40], Y[:40]).weights_
    with pytest.raises(ValueError, match="not of the labels that have classifiers"):
        clf.save(tmp_path / "model")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"shortlist": 0}, "shortlist is 0"),
        ({"shortlist": 2.5}, "shortlist is 2.5"),
        ({"C": 0}, "C is 0; it must be above 0"),
        ({"alpha": 1.1}, r"alpha is 1\.1"),
        ({"prior": -1}, "prior is -1"),
        ({"prior": "best"}, "prior is 'best'"),
        ({"max_entries": 0}, "max_entries is 0"),
        ({"eps": 0}, "eps is 0"),
        ({"max_passes": 0}, "max_passes is 0"),
        ({"bias": -1}, "bias is -1"),
    ],
)
def test_slice_rejects_bad_parameters(parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        Slice(**parameters).fit(np.eye(3), np.eye(3))
