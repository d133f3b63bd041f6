"""Universal hashes of labels into buckets (Carter and Wegman 1979)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import count
from math import comb, isqrt

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array


@dataclass(frozen=True)
class LabelHashes:
    r"""Hashes :math:`h_r(l) = ((a_r l + b_r) \bmod p) \bmod B`, with p the smallest prime of at least L.

    They are 2-universal: two labels share the bucket of a table with a probability of at most 1 / B. Since p is hardly
    larger than L, the buckets of a table are of equal size, and the labels of a bucket are found by solving for l. With
    as many buckets as labels, the hash is the identity.

    Attributes
    ----------
    factors, shifts : ndarray of int64, shape (n_tables,)
        The numbers a and b of each table.
    n_labels, n_buckets : int
    """

    factors: NDArray[np.int64]
    shifts: NDArray[np.int64]
    n_labels: int
    n_buckets: int

    @classmethod
    def draw(cls, n_tables: int, n_labels: int, n_buckets: int, random: np.random.Generator) -> LabelHashes:
        """Return random hashes, or the identity if each label can have a bucket of its own."""
        if n_buckets >= n_labels:
            return cls(np.ones(n_tables, np.int64), np.zeros(n_tables, np.int64), n_labels, n_labels)
        p = smallest_prime(n_labels)
        # A factor and its negative make nearly the same buckets. Factors that differ collide a little less than B^-R.
        n_factors = (p - 1) // 2
        factors = 1 + random.choice(n_factors, n_tables, replace=n_tables > n_factors)
        return cls(factors.astype(np.int64), random.integers(p, size=n_tables), n_labels, n_buckets)

    @cached_property
    def prime(self) -> int:
        """The number p."""
        return smallest_prime(self.n_labels)

    @property
    def collision_probability(self) -> float:
        """Probability over the draw that two labels share their bucket in a table, slightly below 1 / B."""
        if self.n_buckets == self.n_labels:
            return 0.0
        p, size = self.prime, self.prime // self.n_buckets  # p mod B of the buckets have one number more.
        pairs = self.n_buckets * size * (size - 1) + 2 * size * (p % self.n_buckets)
        return pairs / (p * (p - 1))

    def inverses(self) -> NDArray[np.int64]:
        """Return the inverse of each factor modulo p."""
        return np.array([pow(factor, -1, self.prime) for factor in self.factors.tolist()], np.int64)

    @property
    def n_places(self) -> int:
        """Number of buckets of all tables."""
        return len(self.factors) * self.n_buckets

    def places(self, labels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the bucket of each label in each table, shape (len(labels), n_tables), numbered over all tables."""
        buckets = (labels[:, None] * self.factors + self.shifts) % self.prime % self.n_buckets
        return buckets + self.n_buckets * np.arange(len(self.factors))

    def targets(self, Y: csr_array) -> csr_array:
        """Return which rows have a label in which bucket, shape (n_rows, n_places)."""
        columns = self.places(np.arange(self.n_labels))[Y.indices].ravel()
        ends = Y.indptr.astype(np.int64) * len(self.factors)
        found = csr_array((np.ones(columns.size, np.float32), columns, ends), shape=(Y.shape[0], self.n_places))
        found.sum_duplicates()
        found.data[:] = 1
        return found

    def undecidable_pairs(self, labels: NDArray[np.int64]) -> int:
        """Return how many pairs of the labels share their bucket in every table."""
        _, sizes = np.unique(self.places(labels), axis=0, return_counts=True)
        return sum(comb(size, 2) for size in sizes.tolist())


def smallest_prime(least: int) -> int:
    """Return the smallest prime of at least this."""
    return next(p for p in count(max(least, 2)) if all(p % q for q in range(2, isqrt(p) + 1)))
