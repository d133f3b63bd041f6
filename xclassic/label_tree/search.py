"""The best labels of rows, by search in label trees with linear models in their nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import xclassic._kernels.search as kernels
from xclassic._kernels.arguments import CLIP, LANES, PATH_SCORES
from xclassic.blocks.weights import BlockWeights
from xclassic.label_tree.tree import LabelTree
from xclassic.parallel import RUNNING, StopByte
from xclassic.rows import kernel_rows
from xclassic.storage.folder import Arrays, ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.weighted_ranking import ScoreWeights


@dataclass
class TreeModel:
    """A label tree and the linear models of its nodes.

    Attributes
    ----------
    tree : LabelTree
    weights : BlockWeights
        A chunk for each inner node; its "labels" are the numbers of the node's children.
    """

    tree: LabelTree
    weights: BlockWeights
    _prepared: Any = field(default=None, repr=False)

    @classmethod
    def from_arrays(cls, tree: Arrays, weights: Arrays, n_labels: int, n_features: int) -> TreeModel:
        """Take over stored arrays, whose contents are checked before the first search.

        Raises
        ------
        ModelFileError
        """
        loaded = LabelTree.from_arrays(tree, n_labels, verify=False)
        n_nodes = len(loaded.label)
        return cls(loaded, BlockWeights.from_arrays(weights, n_features, n_nodes, full=False))

    def verify(self) -> None:
        """Check everything that a search follows.

        Raises
        ------
        ModelFileError
        """
        self.tree = LabelTree.from_arrays(self.tree.arrays(), self.tree.n_labels)
        self.weights.verify()
        n_children = np.diff(self.tree.child_ptr)[self.tree.inner]
        groups = np.concatenate([[0], np.cumsum(-(-n_children // LANES))])
        lanes = self.weights.labels
        if not np.array_equal(self.weights.chunk_group_ptr, groups) or not np.array_equal(
            lanes, lanes_of_children(self.tree)
        ):
            raise ModelFileError("The weights of the model do not belong to its label tree.")

    def prepared(self) -> Any:
        """Return the tree as the kernel reads it, made and checked at its first use."""
        if self._prepared is None:
            if not self.weights.verified:
                self.verify()
            chunk_of = np.full(self.tree.n_nodes, -1, np.int32)
            chunk_of[self.tree.inner] = np.arange(len(self.tree.inner))
            self._prepared = kernels.SearchTree(
                self.weights.stored, child_ptr=self.tree.child_ptr, label=self.tree.label, chunk_of=chunk_of
            )
        return self._prepared

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_prepared": None}


def search(
    models: list[TreeModel],
    X: Features,
    k: int,
    *,
    score: str,
    beam: int | None,
    labels: NDArray[np.int32] | None = None,
    weights: ScoreWeights | None = None,
    stop: StopByte = RUNNING,
) -> TopK:
    """Return the best `k` labels of each row by their mean score over the trees.

    Parameters
    ----------
    models : list of TreeModel
        Trees over the same labels.
    X : csr_array or ndarray of float32, shape (n_rows, n_features)
    k : int
    score : str
        One of `PATH_SCORES`.
    beam : int or None
        Nodes kept on each level; with None the search finds the best labels exactly.
    labels : ndarray of int32, optional
        The only labels to predict.
    weights : ScoreWeights, optional
        Factors of the scores. The search keeps on each level also the nodes best by score times the largest weight of a
        label under them.
    stop : ndarray of uint8, shape (1,), optional
        Set by `run_tasks` to end the work; the result is then unfinished.

    Returns
    -------
    TopK
        Scores are in [0, 1]: the exponential of the summed contributions along the path; or that times a weight.
    """
    exact = beam is None and len(models) == 1
    prepared = [model.prepared() for model in models]  # This comes first, since a damaged tree may have no levels.
    widest = max(int(np.diff(model.tree.level_ptr).max()) for model in models)
    width = widest if beam is None else min(beam, widest)
    found = kernels.search(
        prepared,
        kernel_rows(X),
        allowed=[None if labels is None else allowed_nodes(model.tree, labels) for model in models],
        label_weights=None if weights is None else weights.values,
        all_kept=width == widest,
        n_labels=models[0].tree.n_labels,
        score=PATH_SCORES.index(score),
        beam=0 if exact else width,
        k=k,
        stop=stop,
    )
    return TopK(*found)


def contributions(score: str, margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the margins of all children of a node add to log-scores, at most 0, as the kernel computes it."""
    room = np.maximum(1 - margins, 0)
    match score:
        case "hinge2":
            return -(room**2)
        case "hinge3":
            return -(room**3)
        case "sigmoid":
            return -np.logaddexp(0, -margins)
        case "clipped":
            return np.log(np.clip(margins, CLIP, 1))
        case _:
            return np.minimum(margins - np.logaddexp.reduce(margins), 0)


def lanes_of_children(tree: LabelTree, children: NDArray[np.int64] | None = None) -> NDArray[np.int32]:
    """Return the node of each lane: `children`, by default all nodes but the root, those of a node padded to groups.

    Lanes without a node hold -1.
    """
    children = np.arange(1, tree.n_nodes) if children is None else children
    n_children = np.unique(tree.parent[children], return_counts=True)[1]
    first_lane = LANES * np.concatenate([[0], np.cumsum(-(-n_children // LANES))])
    first_child = np.cumsum(n_children) - n_children
    lanes = np.full(first_lane[-1], -1, np.int32)
    lanes[np.arange(len(children)) + np.repeat(first_lane[:-1] - first_child, n_children)] = children
    return lanes


def allowed_nodes(tree: LabelTree, labels: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return for each node whether one of `labels` is at or under it."""
    allowed = np.zeros(tree.n_nodes + 1, np.uint8)
    allowed[tree.paths()[labels].ravel()] = 1  # The -1 past the end of a path marks the extra entry.
    return allowed[:-1]
