"""How a search reaches the score of a label: the models along its path in a tree."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xclassic.blocks.explaining import Reading, Row
from xclassic.explanation import Names, Step
from xclassic.label_tree.drawing import caption, labels_under
from xclassic.label_tree.search import TreeModel, contributions
from xclassic.label_tree.tree import LabelTree


def explain_path(
    model: TreeModel, number: int, row: Row, label: int, label_names: Names | None, *, score: str, beam: int | None
) -> list[Step]:
    """Return the models on the path from the root to a label.

    Parameters
    ----------
    model : TreeModel
        A model whose weights were checked.
    number : int
        Number of the tree.
    row : Row
    label : int
        Label id.
    label_names : sequence or None
        Names of the labels; None shows the names of the tree.
    score : str
        One of `search.PATH_SCORES`.
    beam : int or None
        Nodes that the search keeps on a level.

    Returns
    -------
    list of Step
        Empty for a label that is not in the tree.
    """
    tree = model.tree
    n_under = labels_under(tree)
    opened = {0: 0.0}  # Nodes that the search opens on a level, and their log-scores.
    log_score, kept = 0.0, True
    steps = []
    for parent, node in pairwise(_path(tree, label)):
        reading = _read(model, parent, row)
        first, last = tree.child_ptr[parent : parent + 2]
        margins = reading.margins[: last - first]
        gains = contributions(score, margins)
        log_score += gains[node - first]
        level_rank = None
        if beam is not None:
            rivals, scores = _rivals(model, row, score, opened)
            if tree.label[node] < 0:
                before = (scores > np.float32(log_score)) | ((scores == np.float32(log_score)) & (rivals < node))
                level_rank = 1 + int(before[rivals != node].sum())
                kept = kept and level_rank <= beam
            order = np.lexsort((rivals, -scores))[:beam]
            opened = dict(zip(rivals[order].tolist(), scores[order].tolist(), strict=True))
        steps.append(
            reading.step(
                node - int(first),
                tree=number,
                node=node,
                name=caption(tree, node, int(n_under[node]), label_names),
                contribution=float(gains[node - first]),
                rank=1 + int((margins > margins[node - first]).sum()),
                n_siblings=len(margins),
                level_rank=level_rank,
                kept=kept,
            )
        )
    return steps


def _path(tree: LabelTree, label: int) -> list[int]:
    path = []
    node = int(tree.leaves[label])
    while node >= 0:
        path.append(node)
        node = int(tree.parent[node])
    return path[::-1]


def _read(model: TreeModel, node: int, row: Row) -> Reading:
    return Reading(model.weights, int(np.searchsorted(model.tree.inner, node)), row)


def _rivals(
    model: TreeModel, row: Row, score: str, opened: dict[int, float]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the inner nodes below those that the search opens, and their log-scores as the search compares them."""
    tree = model.tree
    nodes, scores = [], []
    for parent, log_score in opened.items():
        children = np.arange(*tree.child_ptr[parent : parent + 2])
        inner = tree.label[children] < 0
        if inner.any():
            margins = _read(model, parent, row).margins[: len(children)]
            nodes.append(children[inner])
            scores.append(log_score + contributions(score, margins)[inner])
    if not nodes:
        return np.empty(0, np.int64), np.empty(0, np.float32)
    return np.concatenate(nodes), np.concatenate(scores).astype(np.float32)
