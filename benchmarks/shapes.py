"""Make data sets of shapes that the data at hand do not have, in the format of the Extreme Classification Repository.

    python benchmarks/shapes.py short tail --out sets
    python benchmarks/run.py --data sets/short sets/tail --features tf-idf --method dismec

A label is a bag of words. A row has some labels, words of each, and words at random; frequencies of labels and words
fall like a power. Test rows have labels of the training rows.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic.datasets import write_xmc


class Shape(NamedTuple):
    """What a set is like.

    Attributes
    ----------
    n_rows, n_test, n_labels, n_words : int
    length : int
        Words of a row in the mean, with repetitions.
    labels_per_row : float
        In the mean.
    alone : float
        Share of the labels that are on one training row only.
    """

    n_rows: int
    n_test: int
    n_labels: int
    n_words: int
    length: int
    labels_per_row: float
    alone: float = 0.0


SHAPES = {
    "short": Shape(40_000, 5_000, 10_000, 60_000, 15, 3.0),  # titles
    "medium": Shape(30_000, 5_000, 5_000, 60_000, 60, 5.0),  # abstracts
    "long": Shape(3_000, 1_000, 4_000, 40_000, 500, 8.0),  # manuals
    "few": Shape(400, 200, 60, 5_000, 80, 2.0),  # few rows
    "tail": Shape(40_000, 5_000, 30_000, 60_000, 15, 3.0, 0.63),  # most labels on one row
    "many": Shape(10_000, 2_000, 1_000, 20_000, 60, 40.0),  # many labels on one row
}
WORDS_OF_LABEL, SIGNAL = 15, 0.5  # share of a row's words that come from its labels


def make(shape: Shape, seed: int = 0) -> tuple[csr_array, csr_array, csr_array, csr_array]:
    """Return word counts and labels of the training rows, and of the test rows."""
    random = np.random.default_rng(seed)
    n_alone = round(shape.alone * shape.n_labels)
    words_of = power_law(random, shape.n_words, (shape.n_labels, WORDS_OF_LABEL), 0.5)
    shared = shape.n_labels - n_alone  # the others get a row each
    Y, Y_test = (label_sets(random, n, shared, shape) for n in (shape.n_rows, shape.n_test))
    lonely = random.choice(shape.n_rows, n_alone, replace=n_alone > shape.n_rows)
    Y = csr_array(Y + matrix(lonely, np.arange(shared, shape.n_labels), Y.shape))
    Y.data[:] = 1
    return word_counts(random, Y, words_of, shape), Y, word_counts(random, Y_test, words_of, shape), Y_test


def label_sets(random: np.random.Generator, n_rows: int, n_labels: int, shape: Shape) -> csr_array:
    """Draw the labels of rows, at least one each."""
    sizes = np.maximum(1, random.poisson(shape.labels_per_row, n_rows))
    rows = np.repeat(np.arange(n_rows), sizes)
    Y = matrix(rows, power_law(random, n_labels, (rows.size,), 0.7), (n_rows, shape.n_labels))
    Y.data[:] = 1
    return Y


def word_counts(random: np.random.Generator, Y: csr_array, words_of: NDArray[np.int32], shape: Shape) -> csr_array:
    """Draw the words of rows: half of them from the labels, the others from all words."""
    lengths = np.maximum(2, random.poisson(shape.length, Y.shape[0]))
    rows = np.repeat(np.arange(Y.shape[0]), lengths)
    words = power_law(random, shape.n_words, (rows.size,), 0.5)
    own = random.random(rows.size) < SIGNAL
    chosen = Y.indptr[rows] + (random.random(rows.size) * np.diff(Y.indptr)[rows]).astype(np.int64)
    of_label = words_of[Y.indices[chosen], random.integers(WORDS_OF_LABEL, size=rows.size)]
    return matrix(rows, np.where(own, of_label, words), (Y.shape[0], shape.n_words))


def matrix(rows: NDArray[np.int64], columns: NDArray[np.integer], shape: tuple[int, int]) -> csr_array:
    """Count pairs of a row and a column."""
    return csr_array((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)


def power_law(random: np.random.Generator, n: int, shape: tuple[int, ...], exponent: float) -> NDArray[np.int32]:
    """Draw numbers below `n` whose density falls like a power of the number."""
    return np.minimum((n * random.random(shape) ** (1 / (1 - exponent))).astype(np.int32), n - 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="+", choices=SHAPES)
    parser.add_argument("--out", type=Path, required=True, help="folder that gets a folder for each shape")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.shapes:
        X, Y, X_test, Y_test = make(SHAPES[name], options.seed)
        folder = options.out / name
        folder.mkdir(parents=True, exist_ok=True)
        write_xmc(folder / "train.txt", X, Y)
        write_xmc(folder / "test.txt", X_test, Y_test)
        single = np.mean(np.bincount(Y.indices, minlength=Y.shape[1])[np.unique(Y.indices)] == 1)
        print(f"{folder}: {X.shape[0]} rows of {X.nnz / X.shape[0]:.0f} words, ", end="")
        print(f"{Y.nnz / Y.shape[0]:.1f} of {np.unique(Y.indices).size} labels, {100 * single:.0f} % on one row")


if __name__ == "__main__":
    main()
