"""What SLEEC and AnnexML share: the label graph, maps in half precision, clusters and votes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_array, random_array
from sklearn.base import clone

from tests.helpers.naive import embeddings as naive
from tests.helpers.naive.embeddings import random_labels
from xclassic import SLEEC, AnnexML, datasets
from xclassic.neighbors.feature_map import FeatureMap, used_columns
from xclassic.neighbors.label_graph import label_neighbors, label_similarities, thinned
from xclassic.parallel import RUNNING
from xclassic.rows import unit_rows
from xclassic.storage.folder import ModelFileError

STOP = np.zeros(1, np.uint8)
# Set so that all rows of a data set of 50 are in one cluster, and told apart there.
every_method = pytest.mark.parametrize(
    "method",
    [SLEEC(sample_share=1.0, n_components=50, alpha=0.01), AnnexML(n_components=50, epochs=3)],
    ids=lambda method: type(method).__name__,
)


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


def new(method, **parameters):
    return clone(method).set_params(**parameters)


# The label graph


@pytest.mark.parametrize("seed", range(3))
def test_similarities_are_those_of_the_nearest_label_vectors(seed):
    Y = random_labels(40, 12, seed)
    vectors = unit_rows(Y).toarray()
    found = label_similarities(Y, 5, np.random.default_rng(0), STOP).toarray()
    expected = np.zeros((40, 40))
    for i, vector in enumerate(vectors):
        for cosine, j in naive.nearest(vectors, vector, 5):
            expected[i, j] = expected[j, i] = cosine
    kept = found != 0
    np.testing.assert_allclose(found[kept], (vectors @ vectors.T)[kept], rtol=1e-5)
    assert abs(int(kept.sum()) - int((expected != 0).sum())) <= 8  # equal cosines may round differently
    np.testing.assert_array_equal(found, found.T)
    np.testing.assert_allclose(np.diag(found), 1, rtol=1e-5)


def test_neighbors_of_a_row_leave_out_itself():
    Y = csr_array(np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 0]], np.float32))
    graph = label_neighbors(Y, 3, 0, STOP)
    np.testing.assert_array_equal(graph.toarray() > 0, np.eye(4)[[1, 0]].tolist() + [[0] * 4] * 2)


@pytest.mark.parametrize("most", [1, 7, 40])
def test_thinned_labels_have_the_most_rows_allowed(most):
    Y = random_array((100, 9), density=0.4, rng=1, format="csr", dtype=np.float32)
    found = csr_array(thinned(Y, most, np.random.default_rng(0)))
    found.sort_indices()
    rows, columns = found.nonzero()
    np.testing.assert_array_equal(found.toarray()[rows, columns], Y.toarray()[rows, columns])
    full = np.bincount(Y.indices, minlength=9)
    assert np.bincount(columns, minlength=9).tolist() == np.minimum(full, most).tolist()


# Maps


@pytest.mark.parametrize("form", [csr_array, np.asarray])
def test_images_are_products_at_unit_length(form):
    random = np.random.default_rng(0)
    X = random_array((30, 40), density=0.2, rng=2, dtype=np.float32).toarray()
    X[3] = 0
    V = random.standard_normal((40, 19)).astype(np.float32) * 1000
    features = np.sort(random.choice(40, 25, replace=False)).astype(np.int32)
    found = FeatureMap.build(features, V[features]).images(form(X))
    expected = X[:, features] @ V[features]
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected / np.where(lengths == 0, 1, lengths), atol=2e-3)
    assert not found[3].any()


def test_weights_in_half_precision_are_all_read():
    patterns = np.arange(2**16, dtype=np.uint16).view(np.float16)
    weights = patterns[np.isfinite(patterns) & (patterns != 0)][:, None]
    one_by_one = csr_array(np.eye(2, dtype=np.float32))
    for pair in np.split(weights[: len(weights) // 512 * 512], 256):
        pair = np.repeat(pair[::2], 2, axis=0)[:2]
        images = FeatureMap(np.array([0, 1], np.int32), np.ascontiguousarray(pair)).images(one_by_one)
        np.testing.assert_array_equal(images, np.sign(pair.astype(np.float32)))


@pytest.mark.parametrize("form", [csr_array, np.asarray])
def test_columns_without_rows_are_omitted(form):
    X = np.array([[0, 2, 0, 1], [0, 0, 0, 3]], np.float32)
    own, features = used_columns(form(X))
    assert features.tolist() == [1, 3]
    np.testing.assert_array_equal(own if isinstance(own, np.ndarray) else own.toarray(), X[:, [1, 3]])


# The methods


@every_method
def test_rows_of_their_own_features_give_back_their_labels(method):
    Y = random_labels(50, 10, 3)
    clf = new(method, n_learners=2, n_neighbors=1).fit(csr_array(np.eye(50, dtype=np.float32)), Y)
    np.testing.assert_allclose(np.maximum(clf.decision_function(np.eye(50)).toarray(), 0), Y.toarray(), atol=1e-5)


@every_method
def test_scores_are_the_mean_votes_of_plain_loops(method, bibtex):
    X, Y = bibtex.X[:300], bibtex.Y[:300]
    size = {"cluster_size": 100} if isinstance(method, SLEEC) else {"part_size": 100}
    clf = new(method, n_learners=2, n_neighbors=7, power=3.0, **size).fit(X, Y)
    top = clf.predict_topk(bibtex.X_test[:20], 5)
    dense, truth = unit_rows(bibtex.X_test[:20]).toarray(), Y.toarray()
    for i, row in enumerate(dense):
        scores = 0
        for learner in clf.learners_:
            cluster = learner.clusters[int(np.argmax(learner.scorers @ row))]
            image = row[cluster.map.features] @ cluster.map.weights.astype(np.float64)
            vectors = cluster.vectors.astype(np.float64)
            scores = scores + naive.votes(vectors, truth[cluster.rows], image / np.linalg.norm(image), 7, 3.0)
        np.testing.assert_allclose(
            top.scores[i, : top.counts[i]], np.sort(scores / 2)[::-1][: top.counts[i]], atol=2e-3
        )


@every_method
def test_clusters_may_be_small_and_rows_few(method, bibtex):
    X, Y = bibtex.X[:60], bibtex.Y[:60]
    size = {"cluster_size": 5} if isinstance(method, SLEEC) else {"part_size": 5}
    clf = new(method, n_learners=3, n_neighbors=30, label_neighbors=50, **size).fit(X, Y)
    assert min(len(cluster.rows) for learner in clf.learners_ for cluster in learner.clusters) < 5
    top = clf.predict_topk(bibtex.X_test[:50], 5)
    assert (top.counts > 0).all()
    one = new(method, n_learners=2).fit(X[:1], [["only"]])
    assert one.predict_topk(X[:1], 1).named(one.classes_)[0] == [("only", pytest.approx(1.0))]


@every_method
def test_rows_without_labels_are_omitted(method, bibtex):
    X, Y = bibtex.X[:80], bibtex.Y[:80].tolil()
    Y[[3, 7]] = 0
    clf = new(method, n_learners=2).fit(X, csr_array(Y))
    for learner in clf.learners_:
        rows = np.concatenate([cluster.rows for cluster in learner.clusters])
        assert sorted(rows.tolist()) == [i for i in range(80) if i not in (3, 7)]
    none = new(method).fit(X, csr_array((80, 3), dtype=np.float32))
    assert not none.predict_topk(X[:2], 2).counts.any()


@every_method
def test_rows_without_known_features_get_the_most_frequent_labels(method, bibtex):
    clf = new(method, n_learners=1).fit(bibtex.X[:200], bibtex.Y[:200])
    top = clf.predict_topk(csr_array((1, 1836), dtype=np.float32), 3)
    assert top.ids[0].tolist() == np.argsort(-clf.label_shares_, kind="stable")[:3].tolist()


@every_method
@pytest.mark.parametrize("name", ["n_learners", "n_components", "n_neighbors", "label_neighbors"])
def test_local_embeddings_reject_zero_parameters(method, name):
    with pytest.raises(ValueError, match=name):
        new(method, **{name: 0}).fit(np.eye(2), [["a"], ["b"]])


@every_method
@pytest.mark.parametrize("verify", ["lazy", "full"])
def test_local_embeddings_reject_damaged_arrays(method, verify, bibtex):
    X = bibtex.X[:90]
    size = {"cluster_size": 30} if isinstance(method, SLEEC) else {"part_size": 30}
    clf = new(method, n_learners=2, n_components=4, **size).fit(X, bibtex.Y[:90])
    arrays, metadata = clf._get_arrays()

    def load(changed, metadata=metadata):
        loaded = new(method, n_learners=2, n_components=4)
        loaded.n_features_in_, loaded.classes_ = clf.n_features_in_, clf.classes_
        loaded._set_arrays(changed, metadata, verify)
        return loaded._topk(X, 2, None, RUNNING)

    np.testing.assert_array_equal(load(arrays).ids, clf._topk(X, 2, None, RUNNING).ids)
    for name, array in arrays.items():
        with pytest.raises(ModelFileError):
            load({other: a for other, a in arrays.items() if other != name})
        with pytest.raises(ModelFileError):
            load(arrays | {name: array[:-1]})
        with pytest.raises(ModelFileError):
            load(arrays | {name: array.astype(np.complex64)})
    for name in ("rows", "features", "labels.indices", "n_rows", "n_used"):
        with pytest.raises(ModelFileError):
            load(arrays | {name: arrays[name][::-1] + arrays[name].dtype.type(2000)})
    for name in ("vectors", "weights"):
        with pytest.raises(ModelFileError):
            load(arrays | {name: np.full_like(arrays[name], np.nan)})
    for name in ("n_parts", "n_rows", "n_used"):
        with pytest.raises(ModelFileError):
            load(arrays | {name: -arrays[name]})
    with pytest.raises(ModelFileError, match="n_training_rows"):
        load(arrays, {"n_training_rows": 0})
