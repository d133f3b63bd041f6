from itertools import chain, combinations
from math import comb, exp

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.special import expit

from tests.helpers.contract import Contract, block_diagonal
from tests.helpers.naive import codes as naive
from xclassic import BloomFilter, DiSMEC, ModelFileError, TopK, datasets
from xclassic.coding.bloom_codes import bits_of_rows, distinct_numbers, plain_codes, robust_codes, room
from xclassic.coding.bloom_decoding import decode
from xclassic.parallel import RUNNING

SURE = 30.0  # Log-odds of a bit that is right.


class TestBloomFilterOfFewBits(Contract):
    """The contract has few labels, which all get bits of their own by default."""

    estimator = BloomFilter(n_bits=16)


@pytest.fixture(scope="module")
def bibtex():
    return datasets.load_bibtex()


def by_frequency(Y):
    return np.argsort(-Y.sum(axis=0), kind="stable")


def communities(n_communities=12, size=5, n_rows=600, seed=0):
    """Label sets that are drawn within communities."""
    rng = np.random.default_rng(seed)
    Y = np.zeros((n_rows, n_communities * size), np.float32)
    for i in range(n_rows):
        Y[i, size * (i % n_communities) + np.flatnonzero(rng.random(size) < 0.5)] = 1
    return csr_array(Y[:, rng.permutation(Y.shape[1])])


def scrambled(n_rows=200, n_labels=40, seed=0):
    """Label sets that are drawn from all labels, some much more frequent than others, and one never."""
    rng = np.random.default_rng(seed)
    Y = rng.random((n_rows, n_labels)) < np.linspace(0.3, 0.02, n_labels)
    Y[:, 7] = False
    return csr_array(Y.astype(np.float32))


def robust(Y, n_bits, length=2, n_hubs=None):
    return robust_codes(Y, by_frequency(Y)[: (Y.sum(axis=0) > 0).sum()], n_bits, length, n_hubs, seed=0)


def scores_of(codes, margins, by_group=False):
    """Return the probabilities of all labels as an array."""
    owners, n_labels = codes.groups if by_group else codes.blocks, len(codes.bits)
    n_owners, allowed = int(owners.max()) + 1, codes.bits[:, 0] >= 0
    found = decode(margins.astype(np.float32), codes.bits, owners, n_owners, by_group, allowed, n_labels, RUNNING)
    return TopK(*found).to_csr(n_labels).toarray()


def sure_margins(rows, codes):
    """Return margins that are right about the bits of some label sets."""
    margins = np.full((len(rows), codes.n_bits), -SURE)
    for margin, row in zip(margins, rows, strict=True):
        margin[sorted(naive.row_bits(row, codes.bits))] = SURE
    return margins


def sets_within_groups(codes):
    """Return all label sets of one group and no hub, the empty one once."""
    members = [np.flatnonzero(codes.groups == group).tolist() for group in range(codes.groups.max() + 1)]
    sizes = [(group, size) for group in members for size in range(1, len(group) + 1)]
    return [set(), *map(set, chain.from_iterable(combinations(group, size) for group, size in sizes))]


# Codes


def test_bits_of_a_row_are_those_of_its_labels():
    Y = scrambled()
    for codes in (robust(Y, 24), plain_codes(40, by_frequency(Y)[:39], 24, 3, seed=0)):
        Z = bits_of_rows(Y, codes)
        assert Z.has_canonical_format
        assert set(Z.data.tolist()) == {1}
        for i in range(Y.shape[0]):
            assert set(Z[[i]].indices.tolist()) == naive.row_bits(Y[[i]].indices, codes.bits)


@given(st.integers(1, 60), st.integers(1, 40), st.integers(1, 5), st.integers(0, 9))
def test_plain_codes_have_distinct_bits_and_even_loads(n_labels, n_bits, length, seed):
    if n_bits < length:
        return
    codes = plain_codes(n_labels + 1, np.arange(n_labels), n_bits, length, seed)
    assert all(len(set(code)) == length for code in codes.bits[:-1].tolist())
    assert (codes.bits[-1] == -1).all()
    starts = np.bincount(codes.bits[:-1, 0], minlength=n_bits)
    assert starts.max() - starts.min() <= 1


def test_plain_filters_have_no_bits_that_no_label_has():
    clf = BloomFilter(2**31 - 1, robust=False).fit(np.eye(3), np.eye(3, 4))
    assert clf.n_bits_ == 6  # Two for each label with a row.


def test_plain_codes_differ_if_there_are_enough():
    codes = plain_codes(900, np.arange(900), 100, 2, seed=0)
    assert len({frozenset(code) for code in codes.bits.tolist()}) == 900  # of 4,950


@pytest.mark.parametrize("below", [5, 100])
def test_distinct_numbers_are_all_possible(below):
    numbers = distinct_numbers(2000, below, 3, np.random.default_rng(0))
    assert set(numbers.ravel().tolist()) == set(range(below))
    assert all(len(set(row)) == 3 for row in numbers.tolist())


@given(st.integers(1, 200), st.integers(1, 80), st.integers(1, 4))
def test_room_is_the_most_blocks_with_codes_for_all(n_labels, n_bits, length):
    def enough(n_blocks):
        return n_blocks * comb(n_bits // n_blocks, length) >= n_labels

    found = room(n_labels, n_bits, length)
    possible = [n_blocks for n_blocks in range(1, min(n_labels, n_bits // length) + 1) if enough(n_blocks)]
    if found is None:
        assert not possible
    else:
        assert found[0] == possible[-1]
        assert found[0] * found[1] <= n_bits


@settings(max_examples=30)
@given(st.integers(0, 99), st.integers(14, 38), st.integers(2, 3))
def test_robust_codes_are_distinct_and_disjoint_within_a_group(seed, n_bits, length):
    Y = scrambled(seed=seed)
    codes = robust(Y, n_bits, length)
    coded = np.flatnonzero(codes.blocks >= 0)
    hubs = np.flatnonzero((codes.blocks < 0) & (codes.bits[:, 0] >= 0))
    assert sorted(codes.bits[hubs, 0].tolist()) == list(range(len(hubs)))
    assert (codes.bits[hubs] == codes.bits[hubs, :1]).all()
    assert codes.bits.max() < codes.n_bits <= n_bits
    bits = [frozenset(codes.bits[label].tolist()) for label in coded]
    assert all(len(code) == length for code in bits)
    assert len(set(bits)) == len(coded)
    for group in range(codes.groups.max() + 1):
        members = codes.groups == group
        assert len(set(codes.blocks[members].tolist())) == members.sum()
        assert np.unique(codes.bits[members]).size == length * members.sum()
    counts = Y.sum(axis=0)
    if len(hubs) and len(coded):
        assert counts[hubs].min() >= counts[coded].max()
    assert codes.bits[7].tolist() == [-1] * length  # It has no row.
    rows = [Y[[i]].indices.tolist() for i in range(Y.shape[0])]
    shares = naive.collisions(rows, codes.groups, codes.blocks)
    np.testing.assert_allclose((codes.spanning_share, codes.colliding_share), shares)


def test_robust_codes_find_groups_that_never_co_occur():
    Y = communities()
    codes = robust(Y, 40, n_hubs=0)
    assert (codes.spanning_share, codes.colliding_share) == (0, 0)
    shared = (Y.T @ Y).toarray() > 0
    assert (codes.groups[:, None] == codes.groups)[shared].all()


def test_robust_codes_of_one_giant_component_report_what_they_lose():
    Y = csr_array(np.ones((3, 30), np.float32))
    codes = robust(Y, 20, n_hubs=0)
    assert codes.spanning_share == codes.colliding_share == 1
    assert np.bincount(codes.groups).max() <= codes.blocks.max() + 1
    assert robust(Y, 20).colliding_share < 1  # With hubs, which get bits of their own.


# Decoding


@settings(max_examples=60)
@given(st.integers(0, 999), st.sampled_from([12, 20, 39]), st.sampled_from([1.0, 5.0, 200.0]))
def test_decode_equals_the_naive_probabilities(seed, n_bits, scale):
    codes = robust(scrambled(), n_bits)
    z = (scale * np.random.default_rng(seed).standard_normal((3, codes.n_bits))).astype(np.float32)
    seen = np.flatnonzero(codes.bits[:, 0] >= 0)
    expected = [naive.block_probabilities(row, codes.bits[seen].tolist(), codes.blocks[seen]) for row in z]
    np.testing.assert_allclose(scores_of(codes, z)[:, seen], expected, rtol=1e-4, atol=1e-37)
    if scale < 100:  # The naive sum over sets overflows beyond.
        expected = [naive.group_probabilities(row, codes.bits[seen].tolist(), codes.groups[seen]) for row in z]
        np.testing.assert_allclose(scores_of(codes, z, by_group=True)[:, seen], expected, rtol=1e-4, atol=1e-37)


@pytest.mark.parametrize("k", [1, 3, 40])
def test_decode_ranks_ties_by_the_smaller_label(k):
    codes = robust(scrambled(), 20)
    z = np.random.default_rng(0).choice([-40, -1, 0, 1, 40], (50, codes.n_bits)).astype(np.float32)
    allowed = (codes.bits[:, 0] >= 0) & (np.arange(40) % 3 > 0)
    n_blocks = int(codes.blocks.max()) + 1
    found = TopK(*decode(z, codes.bits, codes.blocks, n_blocks, False, allowed, k, RUNNING))
    scores = np.where(allowed, scores_of(codes, z), -np.inf)
    for array, expected in zip(found, TopK.from_dense(scores, k), strict=True):
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("by_group", [False, True])
@pytest.mark.parametrize("length", [2, 3])
def test_perfect_bits_decode_every_set_of_a_group(by_group, length):
    codes = robust(communities(), 40, length, n_hubs=0)
    rows = sets_within_groups(codes)
    found = scores_of(codes, sure_margins(rows, codes), by_group) >= 0.5
    assert [set(np.flatnonzero(labels).tolist()) for labels in found] == rows


@pytest.mark.parametrize("length", [2, 3])
def test_a_wrong_bit_changes_one_label_at_most(length):
    codes = robust(communities(), 40, length, n_hubs=0)
    rows = sets_within_groups(codes)
    margins, changed = sure_margins(rows, codes), set()
    truth = scores_of(codes, margins) >= 0.5
    for bit in range(0, codes.n_bits, 3):
        wrong = margins.copy()
        wrong[:, bit] *= -1
        changed |= set(((scores_of(codes, wrong) >= 0.5) != truth).sum(axis=1).tolist())
    assert changed == {0, 1}


def test_plain_filter_has_the_analytic_share_of_false_positives():
    n_labels, n_bits, length, n_positives = 3000, 200, 3, 15
    codes = plain_codes(n_labels, np.arange(n_labels), n_bits, length, seed=0)
    rng = np.random.default_rng(1)
    rows = [set(rng.choice(n_labels, n_positives, replace=False).tolist()) for _ in range(60)]
    found = [set(np.flatnonzero(p >= 0.5).tolist()) for p in scores_of(codes, sure_margins(rows, codes))]
    assert found == [naive.plain_filter(naive.row_bits(row, codes.bits), codes.bits.tolist()) for row in rows]
    assert all(row <= labels for row, labels in zip(rows, found, strict=True))
    false = np.mean([len(labels - row) / (n_labels - n_positives) for row, labels in zip(rows, found, strict=True)])
    assert false == pytest.approx((1 - exp(-length * n_positives / n_bits)) ** length, rel=0.1)


# The estimator


@pytest.mark.parametrize("params", [{"robust": True}, {"robust": False, "bits_per_label": 1}])
def test_a_bit_for_each_label_is_one_vs_rest(bibtex, params):
    X, Y = bibtex.X[:600], csr_array(bibtex.Y[:600])
    exact = {"C": 3.0, "eps": 1e-6, "max_passes": 200, "prune": 0}
    model = BloomFilter(int((Y.sum(axis=0) > 0).sum()), **params, **exact).fit(X, Y)
    rest = DiSMEC(loss="logistic", **exact).fit(X, Y)
    scores, margins = (m.predict_topk(bibtex.X_test[:300], 159).to_csr(159) for m in (model, rest))
    np.testing.assert_array_equal(scores.indices, margins.indices)
    np.testing.assert_allclose(scores.data, expit(margins.data), atol=2e-3)
    same = model.predict_topk(bibtex.X_test, 1).ids == rest.predict_topk(bibtex.X_test, 1).ids
    assert same.mean() > 0.99


def test_robust_filter_of_half_the_bits_is_nearly_one_vs_rest(bibtex):
    score = {n: BloomFilter(n).fit(bibtex.X, bibtex.Y).score(bibtex.X_test, bibtex.Y_test) for n in (80, 159)}
    plain = BloomFilter(80, robust=False).fit(bibtex.X, bibtex.Y).score(bibtex.X_test, bibtex.Y_test)
    assert score[80] > score[159] - 0.05
    assert score[80] > plain + 0.02


def test_decoders_differ_where_rows_span_groups():
    Y = communities()
    X = csr_array(Y + 0.1 * csr_array(np.random.default_rng(0).random(Y.shape, np.float32)))
    for decoder in ("blocks", "groups"):
        model = BloomFilter(40, decoder=decoder, C=100.0).fit(X, Y)
        assert model.spanning_share_ == 0
        assert (model.predict(X) != Y).nnz < 0.02 * Y.nnz
    both = csr_array(np.vstack([Y.toarray(), np.maximum(Y[:100].toarray(), Y[[3] * 100].toarray())]))
    X = csr_array(both + 0.0 * both)
    by_blocks, by_groups = (
        BloomFilter(40, decoder=decoder, n_hubs=0, C=100.0).fit(X, both).predict(X[600:]).sum()
        for decoder in ("blocks", "groups")
    )
    assert by_blocks > by_groups


@pytest.mark.parametrize("robust", [True, False])
@pytest.mark.parametrize("length", [1, 2, 32])
@pytest.mark.parametrize("n_labels", [1, 2, 3])
def test_default_bits_suffice_for_few_labels(robust, length, n_labels):
    Y = np.eye(n_labels)[np.arange(60) % n_labels]
    model = BloomFilter(robust=robust, bits_per_label=length).fit(Y, Y)
    np.testing.assert_array_equal(model.predict_topk(Y, 1).ids[:, 0], np.arange(60) % n_labels)
    assert model.n_bits_ <= max(n_labels, 2 * length)


def test_attributes_describe_the_codes(bibtex):
    model = BloomFilter().fit(bibtex.X, bibtex.Y)
    assert 100 < model.n_bits_ <= 127  # ten times the square root of 159
    assert model.n_hubs_ == ((model.blocks_ < 0) & (model.bits_[:, 0] >= 0)).sum() > 0
    assert model.n_groups_ == model.groups_.max() + 1
    assert 0 < model.colliding_share_ < model.spanning_share_ < 0.2
    assert len(model.weights_.labels[model.weights_.labels >= 0]) == model.n_bits_
    plain = BloomFilter(50, robust=False).fit(bibtex.X, bibtex.Y)
    assert (plain.n_hubs_, plain.n_groups_, plain.n_bits_) == (0, 0, 50)


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_bits": 4}, "n_bits=4, n_hubs=None and bits_per_label=2 leave too few codes for 20 labels"),
        ({"n_bits": 15, "bits_per_label": 1}, "bits_per_label=1 leave too few codes"),
        ({"n_bits": 15, "n_hubs": 14}, "n_hubs=14 .* pass more bits, of which one for each label always suffices"),
        ({"n_bits": 15, "n_hubs": 16}, "n_hubs=16"),
        ({"n_bits": 3, "bits_per_label": 4, "robust": False}, "n_bits is 3, but every label has bits_per_label=4"),
        ({"bits_per_label": 33}, "bits_per_label is 33; it must be at least 1 and at most 32"),
    ],
)
def test_bloom_rejects_bits_that_are_too_few(params, message):
    with pytest.raises(ValueError, match=message):
        BloomFilter(**params).fit(*block_diagonal())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("bits", 999, "value of bits"),
        ("bits", -1, "only some of its bits"),
        ("blocks", -1, "a group without a block"),
        ("blocks", 20, "value of blocks"),
        ("groups", -2, "value of groups"),
    ],
)
def test_bloom_refuses_stored_codes_that_do_not_fit(name, value, message):
    model = BloomFilter(16, n_hubs=0).fit(*block_diagonal())
    arrays, metadata = model._get_arrays()
    bad = arrays[name].copy()
    bad.flat[0] = value
    with pytest.raises(ModelFileError, match=message):
        model._set_arrays(arrays | {name: bad}, metadata, "lazy")
    with pytest.raises(ModelFileError, match="n_bits is 0"):
        model._set_arrays(arrays, metadata | {"n_bits": 0}, "lazy")
