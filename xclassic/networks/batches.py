"""Mini-batches of rows or of pairs of a row and a label, with texts of similar length."""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.datasets.split import stratified_split

Ints = NDArray[np.int64]

POOL = 50  # Batches whose pairs are sorted by length together. This needs little padding and keeps batches random.


class RowBatch(NamedTuple):
    """The rows of one training step, whose labels all count.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
    """

    rows: Ints


class Batch(NamedTuple):
    """The pairs of one training step.

    Attributes
    ----------
    rows, labels : ndarray of int64, shape (n,)
        Each label is one of the labels of its row.
    """

    rows: Ints
    labels: Ints


class Sampler(Protocol):
    """What cuts each epoch into batches, which are named tuples of arrays of one length, among them ``rows``."""

    n_batches: int

    def epoch(self, number: int) -> list[Any]:
        """Return the ``n_batches`` batches of an epoch; they depend on nothing else."""
        ...


class RowSampler:
    """A sampler of batches of rows; each row is in one batch of an epoch.

    Parameters
    ----------
    rows : ndarray of int64
        The rows to draw, at least one.
    lengths : ndarray of int, shape (n_rows,), or None
        Number of tokens of each text, whose batches are then of similar length.
    batch_size : int
        Rows in a batch; the last may have fewer.
    seed : int
    """

    def __init__(self, rows: Ints, lengths: NDArray[np.integer] | None, batch_size: int, seed: int) -> None:
        self.rows, self.lengths, self.batch_size, self.seed = rows, lengths, batch_size, seed
        self.n_batches = -(-rows.size // batch_size)

    def epoch(self, number: int) -> list[RowBatch]:
        """Return the batches of an epoch."""
        rng = np.random.default_rng([self.seed, number])
        rows = rng.permutation(self.rows)
        if self.lengths is None:
            return [RowBatch(part) for part in cut(rows, self.batch_size)]
        batches = similar(rows, self.lengths[rows], self.batch_size)
        return [RowBatch(batches[i]) for i in rng.permutation(len(batches))]


class BatchSampler:
    """A sampler of the mini-batches of each epoch.

    Parameters
    ----------
    Y : csr_array, shape (n_rows, n_labels)
        Labels of the training rows.
    lengths : ndarray of int, shape (n_rows,)
        Number of tokens of each text.
    rows : ndarray of int64
        The rows to draw, each with at least one label.
    batch_size : int
        Pairs in a batch; the last of an epoch may have fewer.
    positives : {"one", "all"}
        Labels of a row that an epoch takes: one, drawn again in each epoch, or all.
    tail_share : float or None
        Share of each batch that is drawn from pairs with a tail label, in [0, 1); None takes pairs as they come.
    tail_max : int
        Labels with at most this many rows are tail labels.
    seed : int
        Seed. The batches of an epoch depend only on it and on the number of the epoch.

    Notes
    -----
    An epoch has as many batches with `tail_share` as without. Pairs of the smaller kind are repeated, each only after
    all others of that kind.
    """

    def __init__(
        self,
        Y: csr_array,
        lengths: NDArray[np.integer],
        *,
        rows: Ints,
        batch_size: int,
        positives: str,
        tail_share: float | None,
        tail_max: int,
        seed: int,
    ) -> None:
        self.lengths, self.batch_size, self.positives, self.seed = lengths, batch_size, positives, seed
        drawn = Y[rows]
        self.n_labels_of_row = np.diff(drawn.indptr).astype(np.int64)
        self.first_pair = drawn.indptr[:-1].astype(np.int64)
        self.row_of_pair = np.repeat(rows, self.n_labels_of_row)
        self.label_of_pair = drawn.indices.astype(np.int64)
        counts = np.bincount(self.label_of_pair, minlength=Y.shape[1])
        self.is_tail = counts[self.label_of_pair] <= tail_max
        self.n_tail = 0 if tail_share is None else round(tail_share * batch_size)
        if not self.is_tail.any() or self.is_tail.all():  # There is nothing to balance.
            self.n_tail = 0
        self.n_batches = -(-(rows.size if positives == "one" else drawn.nnz) // batch_size)

    def epoch(self, number: int) -> list[Batch]:
        """Return the batches of an epoch.

        Parameters
        ----------
        number : int
            At least 0.

        Returns
        -------
        list of Batch
            Its ``n_batches`` batches.
        """
        rng = np.random.default_rng([self.seed, number])
        pairs = self._pairs(rng)
        if self.n_tail == 0:
            batches = self._batches(rng.permutation(pairs), self.batch_size)
        else:
            tail = np.flatnonzero(self.is_tail)
            rest = pairs[~self.is_tail[pairs]]
            drawn = _cycled(tail, self.n_batches * self.n_tail, rng)
            others = _cycled(rest, self.n_batches * (self.batch_size - self.n_tail), rng)
            parts = (
                self._batches(drawn, self.n_tail),
                self._batches(others, self.batch_size - self.n_tail),
            )
            batches = [np.concatenate(pair) for pair in zip(*parts, strict=True)]
        order = rng.permutation(len(batches))
        return [Batch(self.row_of_pair[batches[i]], self.label_of_pair[batches[i]]) for i in order]

    def _pairs(self, rng: np.random.Generator) -> Ints:
        """Return the numbers of the pairs of an epoch."""
        if self.positives == "all":
            return np.arange(self.label_of_pair.size)
        return self.first_pair + rng.integers(self.n_labels_of_row)

    def _batches(self, pairs: Ints, size: int) -> list[Ints]:
        return similar(pairs, self.lengths[self.row_of_pair[pairs]], size)


def similar(items: Ints, lengths: NDArray[np.integer], size: int) -> list[Ints]:
    """Cut items into batches of similar length, with the shortest of each pool of batches first."""
    pool = np.arange(items.size) // (size * POOL)
    return cut(items[np.lexsort((lengths, pool))], size)


def cut(items: Ints, size: int) -> list[Ints]:
    """Cut items into parts of `size`; the last may have fewer."""
    return [items[start : start + size] for start in range(0, items.size, size)]


def pieces(batch: Any, n: int) -> list[Any]:
    """Cut a batch into at most `n` batches of almost the same size."""
    n = min(n, len(batch.rows))
    return [type(batch)(*arrays) for arrays in zip(*(np.array_split(array, n) for array in batch), strict=True)]


def split_rows(Y: csr_array, validation: float, seed: int) -> tuple[Ints, Ints]:
    """Divide the rows with labels into rows to train on and rows that choose the best epoch.

    Parameters
    ----------
    Y : csr_array, shape (n_rows, n_labels)
    validation : float
        Share of the latter, which are empty if no row can be spared: every label keeps a row in training.
    seed : int

    Raises
    ------
    ValueError
        If no row has a label.
    """
    rows = np.flatnonzero(np.diff(Y.indptr))
    if rows.size == 0:
        raise ValueError("No row has a label, so there is nothing to learn.")
    if validation == 0 or rows.size < 2:
        return rows, rows[:0]
    with warnings.catch_warnings(action="ignore", category=UserWarning):  # The split warns of many labels with one row.
        try:
            trained, held = stratified_split(Y[rows], test_size=validation, random_state=seed)
        except ValueError:  # No row can be spared.
            return rows, rows[:0]
    return rows[trained], rows[held]


def _cycled(items: Ints, n: int, rng: np.random.Generator) -> Ints:
    """Return `n` items in rounds of random order, so that the counts of items differ by at most one."""
    rounds = [rng.permutation(items) for _ in range(-(-n // items.size))]
    return np.concatenate(rounds)[:n]
