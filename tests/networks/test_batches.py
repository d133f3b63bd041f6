"""Batches of (row, label) pairs: every row in turn, the share of tail labels, similar lengths, one seed."""

import numpy as np
import pytest
from scipy.sparse import csr_array

from xclassic.networks.batches import Batch, BatchSampler, RowSampler, pieces


def sampler(Y, tail_share=None, positives="one", batch_size=8, seed=0, tail_max=2, lengths=None):
    lengths = np.arange(Y.shape[0]) % 7 + 1 if lengths is None else lengths
    rows = np.flatnonzero(np.diff(Y.indptr))
    return BatchSampler(
        Y, lengths, rows=rows, batch_size=batch_size, positives=positives, tail_share=tail_share, tail_max=tail_max,
        seed=seed,
    )  # fmt: skip


def some_labels(n_rows=203, n_labels=30, seed=0):
    rng = np.random.default_rng(seed)
    Y = csr_array((rng.random((n_rows, n_labels)) < 0.6 ** np.arange(1, n_labels + 1)).astype(np.float32))
    return Y


@pytest.mark.parametrize("positives", ["one", "all"])
def test_epoch_takes_each_row_or_each_pair_once(positives):
    Y = some_labels()
    drawn = sampler(Y, positives=positives)
    batches = drawn.epoch(0)
    rows, labels = (np.concatenate([batch[i] for batch in batches]) for i in (0, 1))
    assert len(batches) == drawn.n_batches
    assert (Y.toarray()[rows, labels] == 1).all()
    if positives == "one":
        assert sorted(rows) == np.flatnonzero(np.diff(Y.indptr)).tolist()
    else:
        assert sorted(zip(rows, labels, strict=True)) == sorted(zip(*Y.nonzero(), strict=True))


def test_labels_of_a_row_have_a_turn_each():
    Y = csr_array(np.array([[1, 1, 0, 1]], np.float32))
    drawn = [sampler(Y).epoch(i)[0].labels[0] for i in range(100)]
    assert set(drawn) == {0, 1, 3}


def test_batches_have_their_share_of_tail_labels():
    Y = some_labels()
    counts = np.bincount(Y.indices, minlength=30)
    tail = np.flatnonzero((counts > 0) & (counts <= 2))
    assert tail.size
    batches = sampler(Y, tail_share=0.25).epoch(3)
    assert {np.isin(batch.labels, tail).sum() for batch in batches} == {2}
    assert len(batches) == sampler(Y).n_batches
    shown = np.bincount(np.concatenate([batch.labels for batch in batches]), minlength=30)[tail] / counts[tail]
    assert shown.max() - shown.min() <= 1  # each tail pair comes as often as any other, but for one round


def test_batches_are_of_similar_lengths_and_depend_on_seed_and_epoch_alone():
    Y = csr_array(np.ones((400, 1), np.float32))
    lengths = np.random.default_rng(0).integers(1, 100, 400)
    one = sampler(Y, lengths=lengths)
    spread = [np.ptp(lengths[batch.rows]) for batch in one.epoch(0)]
    assert np.mean(spread) < 5
    for a, b in zip(one.epoch(1), sampler(Y, lengths=lengths).epoch(1), strict=True):
        np.testing.assert_array_equal(a.rows, b.rows)
    assert any((a.rows != b.rows).any() for a, b in zip(one.epoch(0), one.epoch(1), strict=True))


@pytest.mark.parametrize("lengths", [None, np.arange(50) % 7])
def test_epoch_of_rows_takes_each_row_once(lengths):
    rows = np.arange(3, 50)
    drawn = RowSampler(rows, lengths, batch_size=10, seed=0)
    first, second = drawn.epoch(0), drawn.epoch(1)
    assert len(first) == drawn.n_batches == 5
    assert sorted(np.concatenate([batch.rows for batch in first])) == rows.tolist()
    assert all((a.rows == b.rows).all() for a, b in zip(first, drawn.epoch(0), strict=True))
    assert any(a.rows.tolist() != b.rows.tolist() for a, b in zip(first, second, strict=True))


def test_rows_of_a_batch_are_of_similar_length():
    lengths = np.random.default_rng(0).integers(1, 100, 200)
    batches = RowSampler(np.arange(200), lengths, batch_size=20, seed=0).epoch(0)
    assert max(np.ptp(lengths[batch.rows]) for batch in batches) < 30


def test_pieces_are_of_almost_the_same_size_and_none_is_empty():
    batch = Batch(np.arange(5), np.arange(5, 10))
    assert [piece.labels.tolist() for piece in pieces(batch, 2)] == [[5, 6, 7], [8, 9]]
    assert len(pieces(batch, 9)) == 5
