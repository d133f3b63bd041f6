"""LTLS: the trellis, its best paths, and the models of its edges."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from tests.helpers.naive import coding as naive
from xclassic import LTLS, DiSMEC, ModelFileError, TopK, datasets, load
from xclassic.coding.assignment import order_by_similarity
from xclassic.coding.trellis import Trellis
from xclassic.coding.viterbi import best_labels, best_paths
from xclassic.metrics import precision_at_k

WIDTHS = [2, 3, 5, 16, 300]


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


def random_scores(trellis, seed, *, ties, n_rows=1):
    rng = np.random.default_rng(seed)
    shape = (n_rows, trellis.n_edges)
    return (rng.integers(-1, 2, shape) if ties else rng.normal(size=shape)).astype(np.float32)


def edge_lists(trellis):
    """The edges of every path."""
    incidence = trellis.incidence()
    return [edges.tolist() for edges in np.split(incidence.indices, incidence.indptr[1:-1])]


def all_sums(trellis, scores):
    """The sum of the scores of each path, edge by edge."""
    scores = scores.tolist()
    return np.array([sum(scores[edge] for edge in edges) for edges in edge_lists(trellis)]).astype(np.float32)


# The trellis


@pytest.mark.long
@pytest.mark.parametrize("width", WIDTHS)
def test_trellis_has_as_many_paths_as_labels(width):
    for n_labels in range(1, 301):
        trellis, paths = Trellis.of(n_labels, width), naive.trellis(n_labels, width)
        n_layers = len(trellis.sizes)
        edge_of = {}
        for path, numbers in zip(paths, edge_lists(trellis), strict=True):
            for edge, number in zip(naive.edges(path, n_layers), numbers, strict=True):
                assert edge_of.setdefault(edge, number) == number
        assert len(paths) == len(set(paths)) == n_labels
        assert sorted(edge_of.values()) == list(range(trellis.n_edges))


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("n_labels", [1, 2, 8, 31, 1000, 26983, 10**6])
def test_trellis_is_of_logarithmic_size(n_labels, width):
    trellis = Trellis.of(n_labels, width)
    n_layers = len(trellis.sizes)
    assert width ** (n_layers - 1) < max(n_labels, 2)
    assert trellis.n_edges <= width**2 * (n_layers - 1) + width * n_layers


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("n_labels", [0, 1, 2, 3, 16, 63, 64, 159])
def test_incidence_and_names_are_those_of_the_edges(n_labels, width):
    trellis = Trellis.of(n_labels, width)
    incidence = trellis.incidence()
    assert incidence.shape == (n_labels, trellis.n_edges)
    if n_labels:
        assert edge_lists(trellis) == [trellis.edges(path) for path in range(n_labels)]
    names = [trellis.name(edge) for edge in range(trellis.n_edges)]
    assert len(set(names)) == len(names)


def test_names_say_where_an_edge_leads():
    trellis = Trellis.of(11, 3)  # 11 = 2 + 0 * 3 + 1 * 9
    assert [trellis.name(edge) for edge in trellis.edges(10)] == ["layer 1, state 2", "exit from layer 1, state 2"]
    assert [trellis.name(edge) for edge in trellis.edges(7)] == [
        "layer 1, state 2",
        "layer 2, state 3, from state 2",
        "layer 3, state 1, from state 3",
    ]


# The best paths


@pytest.mark.parametrize("function", [best_paths, best_paths.python])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("ties", [False, True])
def test_best_paths_are_those_of_enumeration(ties, width, function):
    for n_labels in range(1, 65) if function is best_paths else (1, 2, 31, 32, 64):
        trellis = Trellis.of(n_labels, width)
        scores = random_scores(trellis, n_labels, ties=ties)[0]
        expected = all_sums(trellis, scores)
        for k in {1, min(5, n_labels), n_labels}:
            sums, paths = function(scores, trellis, k)
            order = np.lexsort((np.arange(n_labels), -expected))[:k]
            np.testing.assert_array_equal(sums, expected[order])
            assert len(set(paths.tolist())) == k
            np.testing.assert_array_equal(expected[paths], sums)
            if ties:  # Else sums that differ in float64 may be equal in float32.
                np.testing.assert_array_equal(paths, order)


@pytest.mark.parametrize("function", [best_labels, best_labels.python])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.99, 1])
@pytest.mark.parametrize(("n_labels", "width"), [(1, 2), (37, 4), (64, 64), (1000, 2), (1000, 7)])
@pytest.mark.parametrize("ties", [False, True])
def test_best_labels_are_those_of_enumeration(ties, n_labels, width, share, function):
    trellis, rng = Trellis.of(n_labels, width), np.random.default_rng(0)
    labels = rng.permutation(n_labels).astype(np.int32)
    labels[rng.random(n_labels) >= share] = -1
    scores = random_scores(trellis, 0, ties=ties, n_rows=3)
    sums = [all_sums(trellis, of_row) for of_row in scores]
    path_of = {label: path for path, label in enumerate(labels.tolist())}
    for k in {1, min(6, n_labels), n_labels}:
        top = TopK.empty(3, k)
        function(scores, trellis, labels, k, *top, np.zeros(1, np.uint8))
        for row in range(3):
            expected = naive.ranked(sums[row].tolist(), labels.tolist(), k)
            assert top.ids[row, : top.counts[row]].tolist() == expected
            assert top.scores[row, : top.counts[row]].tolist() == [sums[row][path_of[label]] for label in expected]


def test_best_labels_stop():
    trellis, top = Trellis.of(37, 4), TopK.empty(3, 5)
    scores = random_scores(trellis, 0, ties=False, n_rows=3)
    best_labels(scores, trellis, np.arange(37, dtype=np.int32), 5, *top, np.ones(1, np.uint8))
    assert top.counts.tolist() == [0, 0, 0]


# The method


@pytest.mark.parametrize("loss", ["logistic", "squared_hinge"])
@pytest.mark.parametrize("width", [2, 3, 16, 200])
def test_scores_are_losses_of_paths(bibtex, width, loss):
    clf = LTLS(width=width, loss=loss).fit(bibtex.X[:1000], bibtex.Y[:1000])
    X = bibtex.X_test[:20].toarray()
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    weights = clf.weights_.to_csc(clf.trellis_.n_edges).toarray()
    bias = np.zeros(clf.trellis_.n_edges)
    bias[clf.weights_.labels[clf.weights_.labels >= 0]] = clf.weights_.bias[clf.weights_.labels >= 0]
    margins = X @ weights + bias
    losses = np.log(1 + np.exp(-margins)) if loss == "logistic" else np.maximum(0, 1 - margins) ** 2
    expected = np.full((20, 159), -np.inf)
    expected[:, clf.labels_] = np.stack([-losses[:, clf.trellis_.edges(path)].sum(1) for path in range(159)], axis=1)
    top = clf.predict_topk(bibtex.X_test[:20], 159)
    np.testing.assert_allclose(top.scores, np.take_along_axis(expected, top.ids.astype(int), axis=1), atol=1e-4)
    np.testing.assert_allclose(top.scores, -np.sort(-expected, axis=1), atol=1e-4)


@pytest.mark.parametrize("n_labels", [1, 2, 7, 8, 64])
def test_one_hot_features_reproduce_the_training_labels(n_labels):
    labels = np.random.default_rng(0).permutation(np.arange(4 * n_labels) % n_labels)
    X = csr_array(np.eye(n_labels, dtype=np.float32)[labels])
    clf = LTLS(width=max(2, n_labels)).fit(X, csr_array(np.eye(n_labels)[labels]))
    np.testing.assert_array_equal(clf.predict_topk(X, 1).ids[:, 0], labels)
    assert clf.trellis_.n_edges == n_labels


@pytest.mark.parametrize("n_labels", [3, 8, 15, 16, 31])
def test_narrow_trellis_separates_few_labels(n_labels):
    labels = np.arange(5 * n_labels) % n_labels
    X = np.eye(n_labels, dtype=np.float32)[labels]
    clf = LTLS(width=2, C=100).fit(X, csr_array(np.eye(n_labels)[labels]))
    assert clf.score(X, csr_array(np.eye(n_labels)[labels])) == 1


def test_single_layer_is_one_vs_rest(bibtex):
    options = {"C": 1.0, "loss": "logistic", "eps": 1e-6, "max_passes": 500, "prune": 0}
    X, Y = bibtex.X[:1000], bibtex.Y[:1000]
    ours, theirs = (clf.fit(X, Y).predict_topk(bibtex.X_test, 159) for clf in (LTLS(159, **options), DiSMEC(**options)))
    np.testing.assert_allclose(ours.scores, -np.log(1 + np.exp(-theirs.scores)), atol=0.01)
    np.testing.assert_array_equal(ours.counts, theirs.counts)


def test_similar_labels_are_neighbors():
    rng = np.random.default_rng(0)
    group = rng.permutation(np.arange(32) % 4)
    X = np.eye(4, dtype=np.float32)[group] + 0.1 * rng.random((32, 4), dtype=np.float32)
    Y = csr_array(np.eye(32, dtype=np.float32))
    order = order_by_similarity(X, Y, 0, None, 0)
    assert sorted(order.tolist()) == list(range(32))
    assert len(set(group[order].reshape(4, 8).ravel()[::8])) == 4
    assert (np.diff(group[order]) != 0).sum() == 3
    np.testing.assert_array_equal(order, order_by_similarity(csr_array(X), Y, 0, 2, 0))


@pytest.mark.long
def test_accuracy_grows_with_width_and_with_similar_neighbors(bibtex):
    def precision(**params):
        top = LTLS(**params).fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 3)
        return 100 * np.array([precision_at_k(bibtex.Y_test, top, k) for k in (1, 3)])

    narrow, default, random = (
        precision(**params) for params in ({"width": 2}, {}, {"width": 2, "assignment": "random"})
    )
    assert (narrow - random > [1.5, 3]).all()
    assert (default > narrow + 5).all()
    assert (default > [60.5, 36]).all()


def test_labels_without_rows_have_no_path(bibtex):
    Y = csr_array(bibtex.Y[:300, :40])
    seen = np.unique(Y.indices)
    clf = LTLS(width=3).fit(bibtex.X[:300], Y)
    assert clf.trellis_.n_paths == len(seen) < 40
    assert sorted(clf.labels_.tolist()) == seen.tolist()
    top = clf.predict_topk(bibtex.X_test[:5], 40)
    assert top.counts.tolist() == [len(seen)] * 5


@pytest.mark.parametrize("params", [{"width": 1}, {"width": 2.5}, {"assignment": "greedy"}, {"loss": "hinge"}])
def test_ltls_rejects_bad_parameters(bibtex, params):
    with pytest.raises((TypeError, ValueError), match=f"{next(iter(params))} is"):
        LTLS(**params).fit(bibtex.X, bibtex.Y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", "labels"),
        ("twice", "two paths"),
        ("beyond", "labels"),
        ("negative", "labels"),
        ("fewer", "have a model each|labels of the weights"),
        ("width", "have a model each|labels of the weights"),
    ],
)
@pytest.mark.parametrize("verify", ["lazy", "full"])
def test_ltls_refuses_arrays_that_do_not_fit(bibtex, change, message, verify):
    clf = LTLS(width=3).fit(bibtex.X[:300], bibtex.Y[:300])
    arrays, metadata = clf._get_arrays()
    labels = arrays.pop("labels").copy()
    if change == "twice":
        labels[0] = labels[1]
    elif change == "beyond":
        labels[0] = 159
    elif change == "negative":
        labels[0] = -1
    elif change == "fewer":
        labels = labels[:20]
    elif change == "width":
        clf.set_params(width=4)
    if change != "missing":
        arrays["labels"] = labels
    with pytest.raises(ModelFileError, match=message):
        clf._set_arrays(arrays, metadata, verify)


def test_explanation_is_the_path(bibtex, tmp_path):
    LTLS(width=4).fit(bibtex.X, bibtex.Y).save(tmp_path / "model")
    clf = load(tmp_path / "model")
    label = int(clf.labels_[70])
    explanation = clf.explain(bibtex.X_test[:1], label, n_features=3)
    assert [step.node for step in explanation.steps] == clf.trellis_.edges(70)
    assert [step.name for step in explanation.steps] == [clf.trellis_.name(edge) for edge in clf.trellis_.edges(70)]
    score = clf.predict_topk(bibtex.X_test[:1], 1, labels=[label]).scores[0, 0]
    assert explanation.score == pytest.approx(score, abs=1e-5)
