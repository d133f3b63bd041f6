"""The codes of Bloom filters: which bits a label has, drawn at random or chosen by the labels that co-occur."""

from __future__ import annotations

from functools import partial
from itertools import combinations
from math import ceil, comb, sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.parallel import StopByte, run_tasks

BITS = 10  # The default is this many bits for each square root of a label.
QUARTERS = 4  # The bits are divided into this many shares, one of them or more for hubs.
DRAWS = 10  # Draws of a plain code, the first one included, while another label has the same.
DENSE = 4  # Numbers drawn without replacement are sorted among all if these are at most so many times as many.


class Codes(NamedTuple):
    """The code of each label, and what the code of a label set may lose.

    Attributes
    ----------
    bits : ndarray of int32, shape (n_labels, bits_per_label)
        Bits of each label; a hub has its own bit in all places, a label without a row has -1.
    groups, blocks : ndarray of int32, shape (n_labels,)
        -1 for labels without a group.
    n_bits : int
    spanning_share, colliding_share : float
    """

    bits: NDArray[np.int32]
    groups: NDArray[np.int32]
    blocks: NDArray[np.int32]
    n_bits: int
    spanning_share: float = 0.0
    colliding_share: float = 0.0


def default_bits(n_labels: int) -> int:
    """Return the bits for a number of labels."""
    return max(1, min(n_labels, ceil(BITS * sqrt(n_labels))))


def bits_of_rows(Y: csr_array, codes: Codes) -> csr_array:
    """Return the bits of each row, those of all its labels, as ones."""
    label, place = np.nonzero(codes.bits >= 0)
    ones, shape = np.ones(len(label), np.float32), (len(codes.bits), codes.n_bits)
    code = csr_array((ones, (label, codes.bits[label, place])), shape)
    Z = csr_array(Y @ code)
    Z.sort_indices()
    Z.data[:] = 1
    return Z


def plain_codes(n_labels: int, labels: NDArray[np.int64], n_bits: int, length: int, seed: int) -> Codes:
    """Return random codes for `labels`, none for the others.

    Every bit starts the codes of as many labels. Codes are drawn anew, some times, while another label has the same.
    """
    if n_bits < length:
        raise ValueError(f"n_bits is {n_bits}, but every label has bits_per_label={length} of them; pass more bits.")
    random = np.random.default_rng(seed)
    start = (random.permutation(len(labels)) % n_bits)[:, None]
    codes, again = np.repeat(start, length, axis=1), np.arange(len(labels))
    for _ in range(DRAWS if length > 1 else 0):
        if not len(again):
            break
        steps = 1 + distinct_numbers(len(again), n_bits - 1, length - 1, random)
        codes[again, 1:] = (start[again] + steps) % n_bits
        _, first = np.unique(np.sort(codes, axis=1), axis=0, return_index=True)
        again = np.setdiff1d(np.arange(len(labels)), first)  # Nothing could tell two labels of one code apart.
    bits, none = np.full((n_labels, length), -1, np.int32), np.full(n_labels, -1, np.int32)
    bits[labels] = codes
    return Codes(bits, none, none, n_bits)


def distinct_numbers(n: int, below: int, length: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return n rows of different random numbers, shape (n, length)."""
    if below <= DENSE * length:
        return random.random((n, below)).argsort(axis=1)[:, :length]
    numbers = random.integers(below, size=(n, length))
    while (again := (np.diff(np.sort(numbers, axis=1)) == 0).any(axis=1)).any():
        numbers[again] = random.integers(below, size=(again.sum(), length))
    return numbers


def robust_codes(
    Y: csr_array,
    labels: NDArray[np.int64],
    n_bits: int,
    length: int,
    n_hubs: int | None,
    seed: int,
    n_jobs: int | None = None,
) -> Codes:
    """Return the robust codes that collide least over some numbers of hubs; `labels` are sorted by frequency."""
    if n_bits >= len(labels):
        bits, none = np.full((Y.shape[1], length), -1, np.int32), np.full(Y.shape[1], -1, np.int32)
        bits[labels] = np.arange(len(labels))[:, None]
        return Codes(bits, none, none, max(1, len(labels)))
    choices = [n_bits * i // QUARTERS for i in range(QUARTERS)] if n_hubs is None else [n_hubs]
    choices = [hubs for hubs in choices if room(len(labels) - hubs, n_bits - hubs, length)]
    if not choices:
        raise ValueError(
            f"n_bits={n_bits}, n_hubs={n_hubs} and bits_per_label={length} leave too few codes for {len(labels)} "
            "labels: pass more bits, of which one for each label always suffices, leave n_hubs out, or change "
            "bits_per_label."
        )
    seen = csr_array(Y[:, labels])
    shared = csr_array(seen.T @ seen, dtype=np.float64)
    shared.setdiag(0)
    shared.eliminate_zeros()
    tries = run_tasks(partial(_codes_with_hubs, seen, shared, n_bits, length, seed), choices, n_jobs=n_jobs)
    best = min(reversed(tries), key=lambda codes: codes.colliding_share)
    bits, groups, blocks = (np.full((Y.shape[1], *array.shape[1:]), -1, np.int32) for array in best[:3])
    bits[labels], groups[labels], blocks[labels] = best[:3]
    return best._replace(bits=bits, groups=groups, blocks=blocks)


def room(n_labels: int, n_bits: int, length: int) -> tuple[int, int] | None:
    """Return the most blocks that have a code for each label, and the bits of one; None if no number of them has."""
    for n_blocks in range(min(n_labels, n_bits // length), 0, -1):
        n_groups, width = ceil(n_labels / n_blocks), length
        while comb(width, length) < n_groups and width * n_blocks <= n_bits:
            width += 1
        if width * n_blocks <= n_bits:
            return n_blocks, width
    return None


def _codes_with_hubs(
    Y: csr_array, shared: csr_array, n_bits: int, length: int, seed: int, n_hubs: int, stop: StopByte
) -> Codes:
    """Return the codes of labels that are sorted by frequency, the first of them hubs."""
    from xclassic.coding.bloom_groups import group_labels

    n_labels = Y.shape[1]
    bits = np.repeat(np.arange(n_labels, dtype=np.int32)[:, None], length, axis=1)
    groups, blocks = np.full((2, n_labels), -1, np.int32)
    found = room(n_labels - n_hubs, n_bits - n_hubs, length)
    assert found is not None  # The numbers of hubs were chosen so.
    n_blocks, width = found
    n_groups, rest = ceil((n_labels - n_hubs) / n_blocks), slice(n_hubs, None)
    counts = np.bincount(Y.indices, minlength=n_labels)[rest]
    groups[rest], blocks[rest] = group_labels(csr_array(shared[rest, rest]), counts, n_groups, n_blocks, stop)
    subsets = np.array(list(combinations(range(width), length)), np.int32)
    subsets = np.random.default_rng(seed).permutation(subsets)[:n_groups]
    bits[rest] = n_hubs + width * blocks[rest, None] + subsets[groups[rest]]
    in_group, in_block = (_counts_by(csr_array(Y[:, rest]), owners[rest]) for owners in (groups, blocks))
    return Codes(
        bits,
        groups,
        blocks,
        n_hubs + n_blocks * width,
        spanning_share=float((np.diff(in_group.indptr) > 1).mean()),
        colliding_share=float(in_block.data[in_block.data > 1].sum() / max(1, Y.nnz)),
    )


def _counts_by(Y: csr_array, owners: NDArray[np.int32]) -> csr_array:
    """Return how many labels of each row every owner has."""
    ones = np.ones(len(owners), np.float32)
    return csr_array(Y @ csr_array((ones, (np.arange(len(owners)), owners))))
