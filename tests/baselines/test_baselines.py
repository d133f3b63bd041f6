"""Popularity and random order, against what probability says of them."""

import numpy as np
from scipy.sparse import csr_array

from tests.helpers.contract import noisy
from xclassic import Popularity, RandomOrder


def test_popularity_ranks_by_shares_of_the_rows():
    X, Y = noisy()
    model = Popularity().fit(X, Y)
    top = model.predict_topk(X[:3], 5)
    shares = Y.toarray().mean(axis=0)
    best = np.lexsort((np.arange(len(shares)), -shares))[:5]
    np.testing.assert_array_equal(top.ids, np.tile(best, (3, 1)))
    np.testing.assert_allclose(top.scores, np.tile(shares[best], (3, 1)), rtol=1e-6)
    allowed = np.sort(best[1:])
    np.testing.assert_array_equal(model.predict_topk(X[:1], 4, labels=allowed).ids[0], best[1:])


def test_popularity_never_predicts_a_label_without_rows():
    Y = csr_array(np.array([[1, 0, 0], [1, 0, 1]], np.float32))
    top = Popularity().fit(np.eye(2), Y).predict_topk(np.eye(2), 3)
    assert top.ids.tolist() == [[0, 2, -1], [0, 2, -1]]


def test_random_order_puts_every_label_first_equally_often():
    random = np.random.default_rng(0)
    X, Y = random.random((4000, 6)), csr_array(np.eye(8, dtype=np.float32)[np.arange(4000) % 8])
    ids = RandomOrder().fit(X, Y).predict_topk(X, 8).ids
    assert (np.sort(ids, axis=1) == np.arange(8)).all()
    for rank in range(8):
        counts = np.bincount(ids[:, rank], minlength=8)
        assert ((counts - 500) ** 2 / 500).sum() < 24.3  # chi squared of 7 degrees of freedom, at 0.001


def test_random_order_depends_on_the_seed_and_the_row_alone():
    X, Y = noisy()
    model, other = (RandomOrder(random_state=seed).fit(X, Y) for seed in (0, 1))
    top = model.predict_topk(X, 10)
    assert (top.ids != other.predict_topk(X, 10).ids).any(axis=1).mean() > 0.9
    np.testing.assert_array_equal(model.predict_topk(X[::-1], 10).ids, top.ids[::-1])
    zeros = csr_array(X[:1].toarray())
    zeros = csr_array((np.append(zeros.data, 0), np.append(zeros.indices, 0), [0, zeros.nnz + 1]), shape=zeros.shape)
    np.testing.assert_array_equal(model.predict_topk(zeros, 10).ids[0], top.ids[0])


def test_random_order_ranks_some_labels_as_it_ranks_all():
    X, Y = noisy()
    model = RandomOrder().fit(X, Y)
    allowed = np.arange(0, Y.shape[1], 3)
    full, some = model.predict_topk(X, Y.shape[1]), model.predict_topk(X, len(allowed), labels=allowed)
    for row, kept in zip(full.ids, some.ids, strict=True):
        assert row[np.isin(row, allowed)].tolist() == kept[kept >= 0].tolist()
