"""The loss of the levels of a label tree, on the nodes of each level that are hard to tell from the right ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import Parameter

from xclassic.features.tuned_network import TunedNetwork
from xclassic.label_tree.tree import LabelTree
from xclassic.networks.batches import Batch
from xclassic.networks.torch_support import to_device
from xclassic.rows import spans

Ints = NDArray[np.int64]


class LevelLoss:
    """The cross-entropy of the nodes that a row reaches, summed over the levels of a label tree.

    Parameters
    ----------
    model : TunedNetwork
        It gets a vector for each node.
    Y : csr_array of ones, shape (n_rows, n_labels)
    tree : LabelTree
        Over all labels.
    vectors : ndarray of float32, shape (n_nodes, n_dimensions)
        Where the vectors of the nodes begin.
    beam : int
        Nodes of a level whose children are candidates of the next, for each row.
    temperature : float
    """

    def __init__(
        self, model: TunedNetwork, Y: csr_array, tree: LabelTree, vectors: Any, *, beam: int, temperature: float
    ) -> None:
        self.model, self.Y, self.tree, self.beam, self.temperature = model, Y, tree, beam, temperature
        self.targets = tree.node_targets(Y)
        self.key: tuple[NDArray[Any], ...] = (tree.child_ptr, tree.label)
        model.vectors = Parameter(torch.tensor(vectors, device=model.device))

    def __call__(self, batch: Batch) -> Tensor:
        """Return the sum over the rows of a batch."""
        rows = self.model.rows(self.model.texts(batch.rows)).float()
        targets = self.targets[batch.rows]
        total = rows.new_zeros(())
        nodes = np.zeros(1, np.int64)
        for level in range(1, self.tree.depth + 1):
            candidates = self.children(nodes)
            if not candidates.size:  # Labels may be leaves of any level, and the beam may have led to no others.
                break
            scores = self.scores(rows, candidates)
            total = total + cross_entropy(scores, csr_array(targets[:, candidates]))
            if level < self.tree.depth:
                nodes = np.union1d(candidates[self.best(scores)], self.reached(targets, level))
        return total

    def scores(self, rows: Tensor, nodes: Ints) -> Tensor:
        """Return the scores of nodes for rows, as a matrix."""
        with torch.autocast(rows.device.type, enabled=False):
            # A whole level is read where it lies; its gradient is then a product too.
            whole = nodes.size == nodes[-1] - nodes[0] + 1
            chosen = slice(nodes[0], nodes[-1] + 1) if whole else to_device(nodes, rows.device)
            return rows @ self.model.vectors[chosen].T / self.temperature

    def best(self, scores: Tensor) -> Ints:
        """Return the columns that are among the best `beam` of a row."""
        found = scores.detach().topk(min(self.beam, scores.shape[1]), dim=1).indices
        columns: Ints = found.unique().cpu().numpy()
        return columns

    def children(self, nodes: Ints) -> Ints:
        """Return the children of nodes, which are ascending, as they are."""
        first = self.tree.child_ptr[nodes]
        return spans(first, self.tree.child_ptr[nodes + 1] - first)

    def reached(self, targets: csr_array, level: int) -> Ints:
        """Return the nodes of a level that a label of some row is at or under."""
        first, end = self.tree.level_ptr[level : level + 2]
        nodes = np.unique(targets.indices)
        return nodes[(nodes >= first) & (nodes < end)]

    def precision(self, rows: Ints) -> float:
        """Return the share of rows whose best label, among all, is right."""
        labels = self.tree.labels
        vectors = self.model.vectors.detach()[to_device(self.tree.leaves[labels], self.model.device)].cpu().numpy()
        return self.model.precision(rows, vectors, self.Y[:, labels])


def cross_entropy(scores: Tensor, truth: csr_array) -> Tensor:
    """Return the sum over rows of the mean of ``-log p`` over the true columns, with p the softmax of a row."""
    counts = np.diff(truth.indptr)
    rows = np.repeat(np.arange(counts.size), counts)
    row, column, weight = (
        to_device(array, scores.device)
        for array in (rows, truth.indices.astype(np.int64), (1 / counts[rows]).astype(np.float32))
    )
    return -(scores.log_softmax(dim=1)[row, column] * weight).sum()
