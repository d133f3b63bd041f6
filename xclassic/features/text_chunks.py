"""Rows of texts in chunks: counted, weighed and put together over threads."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from xclassic._kernels.terms import join_rows
from xclassic.features.analyzers import tokens_of
from xclassic.features.term_counts import Known, known_of
from xclassic.features.terms import Block, Counted, Cut, Terms
from xclassic.parallel import RUNNING, StopByte, run_tasks

Task = TypeVar("Task")
Result = TypeVar("Result")
Chunk: TypeAlias = dict[str, list[str]]  # The texts of each field.

CHARACTERS = 2**20  # Of the texts of a chunk, so that the table of their terms stays in the cache of a core.


def _are_few(columns: dict[str, NDArray[np.object_]]) -> bool:
    return sum(sum(map(len, column)) for column in columns.values()) <= CHARACTERS


def chunks_of(columns: dict[str, NDArray[np.object_]]) -> list[Chunk]:
    """Cut the texts of all fields into chunks of rows, at least one."""
    texts = {field: column.tolist() for field, column in columns.items()}
    if _are_few(columns):
        return [texts]
    lengths = [np.fromiter(map(len, column), np.int64, len(column)) for column in texts.values()]
    ends = np.cumsum(np.sum(lengths, axis=0))
    full = np.searchsorted(ends, np.arange(CHARACTERS, ends[-1], CHARACTERS))  # The last row of each chunk.
    cuts = np.unique([0, *(full + 1).tolist(), ends.size]).tolist()
    return [{field: column[start:end] for field, column in texts.items()} for start, end in pairwise(cuts)]


def run_chunks(
    function: Callable[[Task, StopByte], Result],
    tasks: list[Task],
    columns: dict[str, NDArray[np.object_]],
    n_jobs: int | None,
) -> list[Result]:
    """Run a function on every chunk of texts; few of them are done before threads would have started."""
    return [function(tasks[0], RUNNING)] if _are_few(columns) else run_tasks(function, tasks, n_jobs=n_jobs)


def _prepared(cuts: list[tuple[str, Cut]], texts: Chunk) -> list[Any]:
    """Return the texts of each block of columns in lower case, or their words if there is an analyzer."""
    lowered = {field: [text.lower() for text in column] for field, column in texts.items()}
    return [lowered[field] if cut.analyzer is None else tokens_of(cut.analyzer, texts[field]) for field, cut in cuts]


def count_chunk(
    cuts: list[tuple[str, Cut]], keep: bool, texts: Chunk, stop: StopByte
) -> tuple[list[Counted], list[Known]]:
    """Count the terms of each block of columns; return the rows too if they are to be kept."""
    rows, known = [], []
    for prepared, (_, cut) in zip(_prepared(cuts, texts), cuts, strict=True):
        counted = cut.count(prepared, stop)
        known.append(known_of(counted, cut, keep=keep))
        rows += [counted] * keep
    return rows, known


def weigh_chunk(
    blocks: list[tuple[str, Terms]],
    factors: list[float],
    task: tuple[list[Counted], list[NDArray[np.int32]]],
    stop: StopByte,
) -> Block:
    """Return the rows of counted texts, given the columns of their terms in each block."""
    parts = zip(blocks, factors, *task, strict=True)
    rows = [terms.rows_of(counted, columns, factor) for (_, terms), factor, counted, columns in parts]
    return side_by_side(rows, [terms.idf.size for _, terms in blocks])


def transform_chunk(blocks: list[tuple[str, Terms]], factors: list[float], texts: Chunk, stop: StopByte) -> Block:
    """Return the rows of texts."""
    prepared = _prepared([(field, terms.cut) for field, terms in blocks], texts)
    parts = zip(blocks, factors, prepared, strict=True)
    rows = [terms.rows(of_block, factor, stop) for (_, terms), factor, of_block in parts]
    return side_by_side(rows, [terms.idf.size for _, terms in blocks])


def side_by_side(blocks: list[Block], widths: list[int]) -> Block:
    """Return blocks of so many columns as one."""
    return blocks[0] if len(blocks) == 1 else join_rows(blocks, np.array(widths, np.int64))


def below_each_other(blocks: list[Block]) -> Block:
    """Return blocks of the same columns as one."""
    if len(blocks) == 1:
        return blocks[0]
    before = np.cumsum([0, *(block[1].size for block in blocks)])
    ptr = [np.zeros(1, np.int64), *(block[0][1:] + entries for block, entries in zip(blocks, before[:-1], strict=True))]
    indices, values = np.concatenate([block[1] for block in blocks]), np.concatenate([block[2] for block in blocks])
    return np.concatenate(ptr), indices, values


def matrix_of(block: Block, n_columns: int) -> csr_array:
    """Return a block as a matrix whose indices are of 32 bits unless it has too many entries."""
    ptr, indices, values = block
    dtype = np.int32 if max(indices.size, n_columns) < 2**31 else np.int64
    arrays = values, indices.astype(dtype, copy=False), ptr.astype(dtype)
    matrix = csr_array(arrays, shape=(ptr.size - 1, n_columns))
    matrix.has_canonical_format = True  # as the kernel made it
    return matrix
