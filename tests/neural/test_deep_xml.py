"""DeepXML: clusters, shortlists, the loss of the transfer layer, classifiers, resuming, model folders."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone

from tests.helpers.contract import assert_same_arrays, noisy
from tests.helpers.naive import deep_xml as naive
from xclassic import DeepXML, DiSMEC, ModelFileError, load
from xclassic.rows import unit_rows

torch = pytest.importorskip("torch")

SMALL = {"width": 16, "epochs": 3, "batch_size": 32, "device": "cpu"}


@pytest.fixture(scope="module")
def problem():
    return noisy(n_rows=120, n_features=40, n_labels=15)


@pytest.fixture(scope="module")
def fitted(problem):
    return DeepXML(**SMALL, shortlist=4, n_neighbors=6).fit(*problem)


def learned(clf, X):
    return unit_rows(clf._hidden(X))


def dense(clf):
    """The classifier of every label, its last weight that of the constant feature."""
    models = np.vstack([clf.output_.to_csc(clf.classes_.size).toarray(), np.zeros(clf.classes_.size)])
    used = clf.output_.labels >= 0
    models[-1, clf.output_.labels[used]] = clf.output_.bias[used]
    return models.T


@pytest.mark.parametrize("form", ["sparse", "dense"])
def test_learned_rows_equal_those_of_the_slow_twin(problem, form):
    X = problem[0] if form == "sparse" else problem[0].toarray()
    clf = DeepXML(**SMALL).fit(X, problem[1])
    weights = {name: tensor.numpy().astype(float) for name, tensor in clf._body.state_dict().items()}
    assert ("encoder.words.weight" in weights) == (form == "sparse")
    expected = [naive.learned(weights, row) for row in unit_rows(problem[0]).toarray()]
    np.testing.assert_allclose(learned(clf, X), expected, atol=1e-5)


@pytest.mark.parametrize("allowed", [None, [1, 5, 7, 9]])
def test_scores_equal_those_of_the_slow_twin(problem, fitted, allowed):
    X, Y = problem
    Z, queries = learned(fitted, X), learned(fitted, noisy(n_rows=30, n_features=40, n_labels=15, seed=1)[0])
    top = fitted.predict_topk(noisy(n_rows=30, n_features=40, n_labels=15, seed=1)[0], 15, labels=allowed)
    for row, ids, scores, count in zip(queries, *top, strict=True):
        expected = naive.probabilities(Z, Y.toarray(), dense(fitted), fitted.mix_, row, 4, 6, allowed)
        assert set(ids[:count].tolist()) == set(expected)
        np.testing.assert_allclose(scores[:count], [expected[label] for label in ids[:count]], atol=1e-5)


def test_shortlists_equal_a_search_of_all_labels_and_rows(problem, fitted):
    X, Y = problem
    Z = learned(fitted, X)
    found = fitted._lister.matrix(Z, 4, 6).toarray() > 0
    for row, labels in zip(Z, found, strict=True):
        assert set(np.flatnonzero(labels)) == set(naive.listed(Z, Y.toarray(), row, 4, 6))


def test_search_by_a_graph_finds_most_of_what_an_exact_one_does(problem, fitted):
    pytest.importorskip("usearch")
    X, Y = problem
    graph = clone(fitted).set_params(search="graph").fit(X, Y)
    exact, found = (clf._lister.matrix(learned(fitted, X), 4, 6) for clf in (fitted, graph))
    assert exact.multiply(found).nnz > 0.95 * exact.nnz


def test_recall_of_shortlists_is_that_of_held_out_rows(problem):
    assert DeepXML(**SMALL, shortlist=15).fit(*problem).shortlist_recall_ == 1
    few = DeepXML(**SMALL, shortlist=1, n_neighbors=1, validation=0.3).fit(*problem).shortlist_recall_
    assert 0 < few < 0.9
    assert DeepXML(**SMALL, validation=0).fit(*problem).shortlist_recall_ is None


@pytest.mark.parametrize("n_clusters", [1, 4, 14, 15, 1000])
def test_clusters_of_the_surrogate_task_partition_the_labels(problem, n_clusters):
    X, Y = problem
    alone = csr_array(np.eye(15, dtype=np.float32))  # a row for each label, which shows its cluster
    rows, labels = csr_array(unit_rows(X)[:15]), alone
    clustered = DeepXML(n_clusters=n_clusters)._clustered(rows, labels)
    np.testing.assert_array_equal(clustered.sum(axis=1), 1)
    sizes = clustered.sum(axis=0)
    assert clustered.shape[1] <= n_clusters
    assert sizes.min() >= 1
    assert sizes.max() - sizes.min() <= 1
    both = DeepXML(n_clusters=n_clusters)._clustered(unit_rows(X), Y)
    assert set(both.data.tolist()) == {1}
    np.testing.assert_array_equal(np.diff(both.indptr) > 0, np.diff(Y.indptr) > 0)


@pytest.mark.parametrize("shortlist", [0, 3, 15])
def test_loss_of_the_transfer_layer_equals_that_of_the_slow_twin(shortlist):
    from xclassic.neural.astec import Residual, ShortlistNetwork
    from xclassic.neural.label_network import LabelNetwork

    random = np.random.default_rng(0)
    Z = random.standard_normal((40, 8)).astype(np.float32)
    Y = csr_array((random.random((40, 15)) < 0.2).astype(np.float32))
    Y = Y[np.diff(Y.indptr) > 0]
    ranks = random.random(Y.shape).argsort(axis=1)
    shortlists = csr_array((ranks < shortlist).astype(np.float32))
    network = ShortlistNetwork(Residual(8, 0.0), Y, shortlists).eval()
    rows = np.array([3, 1, 20])
    judged = network.scores_of(Z, rows).isfinite().numpy()
    np.testing.assert_array_equal(judged, (Y + shortlists)[rows].toarray() > 0)
    found = network.loss_of(Z, Y, rows)
    with torch.no_grad():
        scores = network.output(network.body(torch.from_numpy(Z[rows]))).numpy().astype(float)
    expected = naive.loss(scores, Y[rows].toarray(), shortlists[rows].toarray())
    np.testing.assert_allclose(float(found.detach()), expected, rtol=1e-5)
    if shortlist == 15:
        np.testing.assert_allclose(
            float(found.detach()), float(LabelNetwork.loss_of(network, Z, Y, rows).detach()), rtol=1e-5
        )


def test_all_labels_on_the_shortlist_make_one_vs_rest(problem, monkeypatch):
    X, Y = problem
    monkeypatch.setattr("xclassic.neural.deep_xml.EPS", 1e-6)
    monkeypatch.setattr("xclassic.neural.deep_xml.MAX_PASSES", 3000)
    clf = DeepXML(**SMALL, shortlist=15, C=0.7).fit(X, Y)
    full = DiSMEC(C=0.7, eps=1e-6, max_passes=3000, prune=0.0).fit(learned(clf, X), Y)
    expected = np.vstack([full.weights_.to_csc(15).toarray(), np.zeros(15)])
    expected[-1, full.weights_.labels[full.weights_.labels >= 0]] = full.weights_.bias[full.weights_.labels >= 0]
    np.testing.assert_allclose(dense(clf), expected.T, atol=2e-3)
    np.testing.assert_array_equal(clf.predict_topk(X, 15).counts, 15)


def test_positives_are_always_among_the_training_rows(monkeypatch):
    """With a shortlist of one label most positives are not on it, and every classifier still learns its rows."""
    monkeypatch.setattr("xclassic.neural.deep_xml.MAX_PASSES", 500)
    X, Y = noisy(n_rows=200)
    clf = DeepXML(**{**SMALL, "width": 128}, shortlist=1, n_neighbors=1, C=100.0).fit(X, Y)
    Z = learned(clf, X)
    nearest = clf._lister.centroids.ranked(Z, 1).to_csr(37)
    nearest.data[:] = 1
    assert nearest.multiply(Y).nnz < 0.5 * Y.nnz
    margins = Z @ dense(clf)[:, :-1].T + dense(clf)[:, -1]
    assert (margins[Y.toarray() > 0] > 0).mean() > 0.95


@pytest.mark.parametrize("stage", ["surrogate", "transfer"])
def test_interrupted_training_continues_to_the_same_model(problem, tmp_path, monkeypatch, stage):
    clf = DeepXML(**SMALL, checkpoint=tmp_path)
    whole = clone(clf).set_params(checkpoint=None).fit(*problem)
    steps, original, calls = whole.epochs * 4, torch.nn.utils.clip_grad_norm_, []

    def interrupted(*args, **options):
        calls.append(1)
        if len(calls) == (2 if stage == "surrogate" else steps + 2):
            raise KeyboardInterrupt
        return original(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(torch.nn.utils, "clip_grad_norm_", interrupted)
        with pytest.raises(KeyboardInterrupt):
            clf.fit(*problem)
    assert (tmp_path / "transfer").exists() == (stage == "transfer")
    resumed = clf.fit(*problem)
    assert_same_arrays(resumed, whole)
    with pytest.raises(ValueError, match=r"checkpoint in .* was made with other data or other parameters"):
        clf.set_params(dropout=0.1).fit(*problem)


def test_models_depend_on_the_seed_alone(problem, fitted):
    assert_same_arrays(clone(fitted).fit(*problem), fitted)
    other = clone(fitted).set_params(random_state=1).fit(*problem)
    assert not np.array_equal(other.output_.values, fitted.output_.values)


def test_dense_rows_of_a_fit_may_be_sparse_in_a_prediction(problem):
    X, Y = problem
    clf = DeepXML(**SMALL).fit(X.toarray(), Y)
    sparse, dense = clf.predict_topk(X, 5), clf.predict_topk(X.toarray(), 5)
    np.testing.assert_array_equal(sparse.ids, dense.ids)
    np.testing.assert_allclose(sparse.scores, dense.scores, rtol=1e-5)


def test_labels_and_rows_without_each_other():
    X, Y = noisy(n_rows=60)
    Y = csr_array((Y.data, Y.indices, Y.indptr), shape=(60, 200))
    top = DeepXML(**SMALL).fit(X, Y).predict_topk(X, 200)
    assert set(top.ids[top.filled()]) <= set(Y.indices)
    empty = DeepXML(**SMALL).fit(X, csr_array((60, 5), dtype=np.float32))
    assert not empty.predict_topk(X, 3).counts.any()


def test_rows_without_features_are_predicted(problem, fitted):
    top = fitted.predict_topk(csr_array((1, 40), dtype=np.float32), 5)
    assert np.isfinite(top.scores[top.filled()]).all()


def test_learned_rows_know_more_than_the_rows():
    """Pairs of features matter that no linear model of the rows can tell apart."""
    random = np.random.default_rng(0)
    signs = random.choice([-1.0, 1.0], (1200, 12))
    label = (signs[:, 0] * signs[:, 1] > 0) * 2 + (signs[:, 2] * signs[:, 3] > 0)
    X = signs + 0.1 * random.standard_normal(signs.shape)
    plain = DiSMEC().fit(X[:1000], label[:1000]).score(X[1000:], label[1000:])
    clf = DeepXML(epochs=40, learning_rate=0.01, dropout=0.1, device="cpu").fit(X[:1000], label[:1000])
    assert plain < 0.5
    assert clf.score(X[1000:], label[1000:]) > 0.9


@pytest.mark.parametrize(
    "name", ["mix", "shortlist.labels.indices", "body.transfer.inner.weight", "shortlist.index.blocks.labels"]
)
def test_damaged_folders_are_refused(fitted, tmp_path, name):
    from tests.helpers.folders import replace_array

    fitted.save(tmp_path / "m")
    assert_same_arrays(load(tmp_path / "m", verify="full"), fitted)
    array = fitted._get_arrays()[0][name].copy()
    array[..., 0] = np.nan if array.dtype.kind == "f" else 10**6
    replace_array(tmp_path / "m", name, array)
    with pytest.raises(ModelFileError):
        load(tmp_path / "m", verify="full")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"width": 0}, "width is 0"),
        ({"n_clusters": 0}, "n_clusters is 0"),
        ({"shortlist": 2.5}, r"shortlist is 2\.5"),
        ({"n_neighbors": None}, "n_neighbors is None"),
        ({"search": "both"}, "search is 'both'"),
        ({"C": 0}, "C is 0; it must be above 0"),
        ({"dropout": 1}, "dropout is 1; it must be below 1"),
    ],
)
def test_deep_xml_rejects_bad_parameters(parameters, message):
    with pytest.raises((ValueError, TypeError), match=message):
        DeepXML(**parameters).fit(np.eye(3), np.eye(3))
