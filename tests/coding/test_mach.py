"""MACH: its hashes, its estimates and its search against plain loops and what its papers promise."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array

from tests.helpers.naive import linear
from tests.helpers.naive import mach as naive
from xclassic import MACH, DiSMEC, ModelFileError, TopK, datasets, load, metrics
from xclassic.coding.bucket_search import _insert, _total, best_labels
from xclassic.coding.label_hashes import LabelHashes, smallest_prime
from xclassic.coding.mach import AGGREGATES
from xclassic.parallel import RUNNING


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


def drawn(n_tables, n_labels, n_buckets, seed=0):
    return LabelHashes.draw(n_tables, n_labels, n_buckets, np.random.default_rng(seed))


def random_labels(n, n_labels, seed=0, density=0.2):
    random = np.random.default_rng(seed)
    X = random.random((n, 15)).astype(np.float32)
    return csr_array(X), csr_array((random.random((n, n_labels)) < density).astype(np.float32))


def ranked(values, hashes, k, how="geometric", allowed=None, stop=RUNNING):
    """The search over values of buckets, an array for each table and row: shape (n_rows, n_tables, n_buckets)."""
    n = len(values)
    R, q = len(hashes.factors), hashes.collision_probability if how == "unbiased" else 0.0
    top = TopK.empty(n, k)
    best_labels(
        values.reshape(n, -1).astype(np.float32),
        hashes.n_buckets,
        hashes.prime,
        hashes.factors,
        hashes.inverses(),
        hashes.shifts,
        np.ones(hashes.n_labels, bool) if allowed is None else allowed,
        how == "min",
        1.0 if how == "min" else 1 / (R * (1 - q)),
        -q / (1 - q) * values.sum(axis=(1, 2), dtype=np.float64) / R,
        *top,
        stop,
    )
    return top


# Hashes


@pytest.mark.parametrize(
    ("n_labels", "n_buckets"), [(1, 2), (2, 2), (3, 2), (10, 3), (97, 10), (200, 199), (9, 9), (9, 50)]
)
def test_hashes_equal_the_loop(n_labels, n_buckets):
    hashes = drawn(4, n_labels, n_buckets)
    B = min(n_buckets, n_labels)
    expected = [
        [r * B + naive.bucket(label, hashes.factors[r], hashes.shifts[r], n_labels, B) for r in range(4)]
        for label in range(n_labels)
    ]
    np.testing.assert_array_equal(hashes.places(np.arange(n_labels)), expected)
    assert hashes.prime == smallest_prime(n_labels) == naive.prime_from(n_labels)
    np.testing.assert_array_equal(hashes.factors * hashes.inverses() % hashes.prime, 1)


def test_hashes_fill_their_buckets_evenly():
    hashes = drawn(6, 1000, 64)
    sizes = np.bincount(hashes.places(np.arange(1000)).ravel(), minlength=6 * 64)
    assert sizes.max() <= -(-hashes.prime // 64)
    assert sizes.min() >= hashes.prime // 64 - (hashes.prime - 1000)


def test_as_many_buckets_as_labels_are_the_identity():
    np.testing.assert_array_equal(drawn(2, 30, 1000).places(np.arange(30)), np.arange(30)[:, None] + [0, 30])


@pytest.mark.parametrize("n_tables", [1, 2])
def test_two_labels_collide_in_all_tables_with_the_probability_of_universal_hashes(n_tables):
    n_labels, n_buckets, draws = 1009, 20, 300
    pairs = [drawn(n_tables, n_labels, n_buckets, seed).undecidable_pairs(np.arange(n_labels)) for seed in range(draws)]
    found = np.array(pairs) / (n_labels * (n_labels - 1) / 2)
    error = found.std() / np.sqrt(draws)
    probability = drawn(1, n_labels, n_buckets).collision_probability
    assert abs(found.mean() - probability**n_tables) < max(4 * error, 0.01 * probability)
    assert error < 0.05 * probability**n_tables
    assert drawn(1, 101, 10).collision_probability == pytest.approx(naive.collision_probability(101, 10))
    assert 0.9 / n_buckets < probability <= 1 / n_buckets


def test_undecidable_pairs_are_those_of_equal_rows():
    hashes, labels = drawn(2, 60, 5), np.arange(0, 60, 2)
    rows = hashes.places(labels).tolist()
    expected = sum(one == other for one, other in combinations(rows, 2))
    assert hashes.undecidable_pairs(labels) == expected > 0
    assert hashes.undecidable_pairs(labels[:0]) == 0


def test_targets_say_which_rows_have_a_label_in_a_bucket():
    _, Y = random_labels(40, 23)
    hashes = drawn(3, 23, 4)
    expected = np.hstack(naive.bucket_truth(Y.toarray(), hashes))
    np.testing.assert_array_equal(hashes.targets(Y).toarray(), expected)


# Estimates


@pytest.mark.parametrize("how", AGGREGATES)
def test_labels_are_recovered_from_perfect_buckets(how):
    hashes = drawn(6, 500, 20)
    assert hashes.undecidable_pairs(np.arange(500)) == 0
    tables = np.stack(naive.bucket_truth(np.eye(500), hashes), axis=1).astype(np.float32)
    values = np.log(np.maximum(tables, np.float32(1e-6))) if how == "geometric" else tables
    top = ranked(values, hashes, 1, how)
    np.testing.assert_array_equal(top.ids[:, 0], np.arange(500))
    np.testing.assert_allclose(top.scores[:, 0], 0 if how == "geometric" else 1, atol=1e-5)


def test_unbiased_estimates_are_right_on_average():
    """Over draws of the hashes, with the exact probabilities of the buckets of a class."""
    random = np.random.default_rng(0)
    p = random.dirichlet(np.full(53, 0.3))
    estimates, means = [], []
    for seed in range(3000):
        hashes = drawn(2, 53, 6, seed)
        tables = np.bincount(hashes.places(np.arange(53)).ravel(), np.repeat(p, 2)).reshape(1, 2, 6)
        top = ranked(tables, hashes, 53, "unbiased")
        estimates.append(top.scores[0][np.argsort(top.ids[0])])
        means.append(tables.ravel()[hashes.places(np.arange(53))].mean(axis=1))
    error = np.std(estimates, axis=0) / np.sqrt(len(estimates))
    assert (np.abs(np.mean(estimates, axis=0) - p) < 4.5 * error).all()
    assert (np.mean(means, axis=0) - p > 4.5 * error).all()  # What is corrected for.


# The search


@given(st.integers(2, 60), st.integers(1, 5), st.integers(2, 70), st.integers(0, 2**32), st.sampled_from(AGGREGATES))
@settings(max_examples=40)
def test_search_equals_scoring_all_labels(n_labels, n_tables, n_buckets, seed, how):
    random = np.random.default_rng(seed)
    hashes = drawn(n_tables, n_labels, n_buckets, seed)
    probabilities = np.round(random.random((3, n_tables, hashes.n_buckets)), 1).clip(0.1).astype(np.float32)
    probabilities[0] **= 8  # Few buckets stand out, so that the search ends early.
    allowed = random.random(n_labels) < 0.7
    allowed[0] = True
    values = np.log(probabilities) if how == "geometric" else probabilities
    k = int(random.integers(1, n_labels + 1))
    top = ranked(values, hashes, k, how, allowed)
    for i, tables in enumerate(probabilities.astype(np.float64)):
        expected = naive.label_scores(tables, hashes, how)[allowed]
        count = min(k, int(allowed.sum()))
        assert top.counts[i] == count
        assert allowed[top.ids[i, :count]].all()
        assert len(set(top.ids[i, :count].tolist())) == count
        np.testing.assert_allclose(top.scores[i, :count], -np.sort(-expected)[:count], atol=1e-5)
        found = dict(zip(np.flatnonzero(allowed).tolist(), expected, strict=True))
        np.testing.assert_allclose(
            [found[label] for label in top.ids[i, :count].tolist()], top.scores[i, :count], atol=1e-5
        )
        ties = np.diff(top.scores[i, :count]) == 0
        assert (np.diff(top.ids[i, :count])[ties] > 0).all()


def test_search_visits_few_labels_where_few_buckets_stand_out(monkeypatch):
    """The loop in Python, whose indices numpy checks."""
    hashes = drawn(4, 400, 40)
    calls: list[int] = []
    tables = np.random.default_rng(0).random((1, 4, 40), np.float32) / 100
    for label in (3, 77):
        tables[0, np.arange(4), hashes.places(np.array([label]))[0] % 40] = 0.9
    monkeypatch.setattr("xclassic.coding.bucket_search._insert", _insert.python)
    monkeypatch.setattr("xclassic.coding.bucket_search._total", lambda *a: calls.append(a[1]) or _total.python(*a))
    monkeypatch.setattr("tests.coding.test_mach.best_labels", best_labels.python)
    assert ranked(tables, hashes, 2, "mean").ids.tolist() == [[3, 77]]
    assert len(calls) < 400
    calls.clear()
    assert ranked(tables, hashes, 400, "mean").counts.tolist() == [400]
    assert len(calls) == 4 * 400


def test_search_ends_at_the_stop_byte():
    hashes = drawn(2, 30, 5)
    values = np.random.default_rng(0).random((3, 2, 5))
    assert ranked(values, hashes, 3, stop=np.ones(1, np.uint8)).counts.tolist() == [0, 0, 0]


# The method


@pytest.mark.parametrize("loss", ["squared_hinge", "logistic"])
@pytest.mark.parametrize("n_buckets", [159, 1000])
def test_one_table_of_all_labels_is_one_vs_rest(bibtex, loss, n_buckets):
    rival = DiSMEC(loss=loss).fit(bibtex.X[:1000], bibtex.Y[:1000])
    clf = MACH(1, n_buckets, loss=loss).fit(bibtex.X[:1000], bibtex.Y[:1000])
    for name, array in rival.weights_.arrays().items():
        np.testing.assert_array_equal(clf.weights_.arrays()[name], array, err_msg=name)
    top, expected = clf.predict_topk(bibtex.X_test, 5), rival.predict_topk(bibtex.X_test, 5)
    np.testing.assert_array_equal(top.ids, expected.ids)
    slope = 3 if loss == "squared_hinge" else 1
    np.testing.assert_allclose(top.scores, -np.logaddexp(0, -slope * expected.scores), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("how", AGGREGATES)
def test_scores_are_those_of_the_loop(how):
    X, Y = random_labels(80, 25)
    clf = MACH(3, 6, aggregate=how).fit(X, Y)
    dense = clf.weights_.to_csc(18).toarray()
    bias = np.zeros(18)
    used = clf.weights_.labels >= 0
    bias[clf.weights_.labels[used]] = clf.weights_.bias[used]
    rows = X.toarray() / np.linalg.norm(X.toarray(), axis=1, keepdims=True)
    p = (1 / (1 + np.exp(-3 * (rows @ dense + bias)))).reshape(-1, 3, 6)
    scores = clf.predict_topk(X, 25).to_csr(25).toarray()
    for row, tables in zip(scores, p, strict=True):
        np.testing.assert_allclose(row, naive.label_scores(tables, clf.hashes_, how), atol=1e-5)
    explained = clf.explain(X[[4]], 7)
    assert sum(step.contribution for step in explained.steps) == pytest.approx(scores[4, 7], abs=1e-5)
    assert [step.name.split(",")[0] for step in explained.steps] == ["table 1", "table 2", "table 3"]


def test_as_accurate_as_one_vs_rest_on_bibtex(bibtex):
    top = MACH().fit(bibtex.X, bibtex.Y).predict_topk(bibtex.X_test, 5)
    found = [100 * metrics.precision_at_k(bibtex.Y_test, top, k) for k in (1, 3, 5)]
    assert (np.array(found) > [63.0, 38.0, 27.5]).all()  # DiSMEC has 63.6, 38.8 and 27.9.


def test_labels_that_nothing_tells_apart_are_counted(bibtex, tmp_path):
    with pytest.warns(UserWarning, match=r"pairs of labels .* Raise n_tables above 1 or n_buckets above 40"):
        clf = MACH(1, 40).fit(bibtex.X[:600], bibtex.Y[:600])
    same = clf.hashes_.places(np.arange(159))[:, 0]
    seen = np.unique(bibtex.Y[:600].indices)
    assert clf.n_undecidable_pairs_ == sum(same[a] == same[b] for a, b in combinations(seen, 2))
    scores = clf.predict_topk(bibtex.X_test[:5], 159).to_csr(159).toarray()
    one, other = next((a, b) for a, b in combinations(seen, 2) if same[a] == same[b])
    np.testing.assert_array_equal(scores[:, one], scores[:, other])
    clf.save(tmp_path / "model")
    assert load(tmp_path / "model").n_undecidable_pairs_ == clf.n_undecidable_pairs_


def test_labels_without_rows_are_never_predicted():
    X, Y = random_labels(50, 40)
    Y = csr_array(Y.toarray() * (np.arange(40) % 3 > 0))
    top = MACH(2, 9).fit(X, Y).predict_topk(X, 40)
    assert (top.ids[top.filled()] % 3 > 0).all()
    assert (top.counts == np.unique(Y.indices).size).all()


@pytest.mark.parametrize(("n_labels", "n_buckets"), [(1, 1), (5, 5), (16, 16), (17, 17), (100, 40), (10_000, 400)])
def test_usual_number_of_buckets_grows_with_the_root_of_the_labels(n_labels, n_buckets):
    Y = csr_array((np.ones(2, np.float32), ([0, 1], [0, n_labels - 1])), shape=(2, n_labels))
    clf = MACH(1).fit(np.eye(2), Y) if n_buckets == n_labels else MACH().fit(np.eye(2), Y)
    assert clf.hashes_.n_buckets == n_buckets


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_tables": 0}, "n_tables is 0; it must be at least 1 and at most 256"),
        ({"n_buckets": 1}, "n_buckets is 1; it must be at least 2"),
        ({"aggregate": "median"}, "'geometric', 'mean', 'unbiased', 'min'"),
        ({"loss": "hinge"}, "'squared_hinge', 'logistic'"),
        ({"C": 0}, "C is 0; it must be above 0"),
    ],
)
def test_mach_rejects_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        MACH(**parameters).fit(np.eye(2), [["a"], ["b"]])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("factors", np.zeros(8, np.int64), "factors"),
        ("factors", np.ones(3, np.int64), "factors"),
        ("shifts", np.full(8, 41), "shifts"),
        ("trained", np.ones(4, np.uint8), "trained"),
        ("n_buckets", 41, "41 buckets in a table, but 40 labels"),
        ("n_buckets", 0, "n_buckets is 0"),
        ("n_undecidable_pairs", -1, "n_undecidable_pairs is -1"),
        ("n_buckets", 2, "labels of the weights holds"),
    ],
)
def test_damaged_models_are_rejected(name, value, message):
    clf = MACH().fit(*random_labels(30, 40))
    arrays, metadata = clf._get_arrays()
    changed = arrays | {name: value} if name in arrays else arrays
    with pytest.raises(ModelFileError, match=message):
        clf._set_arrays(changed, metadata if name in arrays else metadata | {name: value}, "full")


def test_linear_twin_orders_labels_as_the_search_does():
    scores = np.array([0.5, 0.25, 0.5, 1.0])
    hashes = drawn(1, 4, 4)
    assert ranked(scores.reshape(1, 1, 4), hashes, 4, "mean").ids[0].tolist() == linear.rank(scores)
