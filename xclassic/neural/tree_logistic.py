r"""The logistic loss of a `TreeEmbedding`, minimized on PyTorch.

.. math::

    \sum_h \lambda_h \sum_{i,\, u \in h:\, t_p(x_i) = 1} \log(1 + e^{-\pm (e_u \cdot A_h x_i + b_u)})
    + \frac{\kappa}{2} \sum_{u, c} \|e_c - P_u e_u\|^2
    + \frac{\nu}{2} \Big( \sum_u \|P_u - I\|^2 + \sum_h \|E_h\|^2 + \sum_h \|A_h\|^2 \Big)

over the nodes u whose parent p is above a label of the row, as in a probabilistic label tree. Residuals are eliminated
as under squared loss, and so are the projections: see `coupling_term`.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn import Module, Parameter, ParameterList
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from xclassic.linalg.low_rank import Array
from xclassic.networks.batches import Batch, BatchSampler, split_rows
from xclassic.networks.feature_rows import SparseRows, arrays_of, feature_rows, products
from xclassic.networks.torch_support import choose_device, to_device
from xclassic.networks.training import Plan, key_of, train
from xclassic.neural.tree_levels import Level
from xclassic.rows import spans
from xclassic.validation.features import Features

if TYPE_CHECKING:
    from xclassic.neural.tree_embedding import TreeEmbedding

CERTAIN = 30.0  # Margin of an only child, whose probability given its parent is 1 in float32.
EVALUATED = 1024  # Rows of which the loss is taken at a time.


class TreeNetwork(Module):
    """The encoders, vectors and biases of all levels.

    Parameters
    ----------
    levels : list of Level
        Their encoders and vectors are the start; the start of a bias is the log-odds of a node given its parent.
    """

    def __init__(self, levels: list[Level]) -> None:
        super().__init__()
        self.widths = [level.encoder.shape[1] for level in levels]
        self.encoder = Parameter(torch.from_numpy(np.concatenate([level.encoder for level in levels], axis=1)))
        self.nodes = ParameterList(torch.from_numpy(level.nodes) for level in levels)
        self.bias = ParameterList(torch.from_numpy(bias) for bias in _log_odds(levels))

    @property
    def device(self) -> Any:
        return self.encoder.device

    def codes(self, rows: Tensor | SparseRows) -> tuple[Tensor, ...]:
        """Return the codes of the result of `feature_rows` on each level, shape (n_rows, width)."""
        return products(rows, self.encoder).split(self.widths, dim=1)

    def margins(self, depth: int, codes: Tensor, rows: NDArray[np.int64], nodes: NDArray[np.int64]) -> Tensor:
        """Return the margins of pairs of a row and a node of a level."""
        at, of = to_device(rows, self.device), to_device(nodes, self.device)
        vectors, bias = self.nodes[depth], self.bias[depth]
        if len(codes) * len(vectors) <= len(rows) * vectors.shape[1]:  # All products take less memory than the pairs.
            return (codes @ vectors.T + bias)[at, of]
        return (codes[at] * vectors[of]).sum(dim=1) + bias[of]


def _log_odds(levels: list[Level]) -> list[NDArray[np.float32]]:
    """Return the log-odds of nodes in the rows of their parents, with a row of each kind added."""
    counts = [np.array([levels[0].targets.shape[0]])]
    counts += [np.bincount(level.targets.indices, minlength=level.targets.shape[1]) for level in levels]
    odds = [
        (n + 1) / (above[level.parent] - n + 1) for above, n, level in zip(counts, counts[1:], levels, strict=False)
    ]
    return [np.log(odd).astype(np.float32) for odd in odds]


class TreeLoss:
    """The objective of a batch of rows: its prediction loss, and its share of the other terms.

    Parameters
    ----------
    network : TreeNetwork
    levels : list of Level
    X : csr_array or ndarray, shape (n_rows, n_features)
    kappa, nu : float
    n_rows : int
        Rows of the training, over which the other terms are spread.
    """

    def __init__(
        self, network: TreeNetwork, levels: list[Level], X: Features, kappa: float, nu: float, n_rows: int
    ) -> None:
        self.network, self.levels, self.X = network, levels, X
        self.kappa, self.nu, self.n_rows = kappa, nu, n_rows
        self.parents = [torch.from_numpy(level.parent).to(network.device) for level in levels]

    def __call__(self, batch: Batch) -> Tensor:
        share = len(batch.rows) / self.n_rows
        return self.predictions(batch.rows) + share * (self.couplings() + self.penalties())

    def predictions(self, rows: NDArray[np.int64]) -> Tensor:
        """Return the sum of the logistic losses of some rows over the children of their nodes."""
        codes = self.network.codes(feature_rows(self.X, rows, self.network.device))
        total = torch.zeros((), device=self.network.device)
        active = csr_array(np.ones((len(rows), 1), np.float32))  # All rows are at the root.
        for depth, level in enumerate(self.levels):
            own = level.targets[rows]
            at, child, is_target = pairs_of_children(active, level.parent, own)
            margins = self.network.margins(depth, codes[depth], at, child)
            targets = torch.from_numpy(is_target).to(margins)
            losses = binary_cross_entropy_with_logits(margins, targets, reduction="sum")
            total = total + level.weight * losses
            active = own
        return total

    def couplings(self) -> Tensor:
        """Return the terms of the edges of the tree."""
        total = torch.zeros((), device=self.network.device)
        for (above, below), parent in zip(pairwise(self.network.nodes), self.parents[1:], strict=True):
            total = total + coupling_term(above, below, parent, self.kappa, self.nu)
        return total

    def penalties(self) -> Tensor:
        """Return the penalties of encoders and vectors."""
        return self.nu / 2 * sum(parameter.square().sum() for parameter in (self.network.encoder, *self.network.nodes))


def coupling_term(above: Tensor, below: Tensor, parent: Tensor, kappa: float, nu: float) -> Tensor:
    r"""Return the coupling of two levels with the best projections, which `tree_squares.fit_projections` describes.

    With these, a node e with n children of mean m has the terms
    :math:`\frac{\kappa}{2} \sum_c \|e_c - m\|^2 + \frac12 \frac{\kappa n \nu}{\kappa n \|e\|^2 + \nu} \|m - I e\|^2`.
    """
    n = torch.bincount(parent, minlength=len(above)).to(below)[:, None]
    means = torch.zeros(len(above), below.shape[1]).to(below).index_add(0, parent, below) / n
    within = (below - means[parent]).square().sum()
    gap = (means - pad(above, (0, below.shape[1] - above.shape[1]))).square().sum(dim=1, keepdim=True)
    strength = kappa * n * nu / (kappa * n * above.square().sum(dim=1, keepdim=True) + nu)
    return kappa / 2 * within + (strength * gap).sum() / 2


def pairs_of_children(
    active: csr_array, parent: NDArray[np.int64], own: csr_array
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the pairs of a row and a child of one of its nodes, and whether the row reaches the child.

    An only child is left out, since it is certain.

    Parameters
    ----------
    active, own : csr_array, shape (n_rows, n_parents) and (n_rows, n_nodes)
        The nodes that each row reaches on a level and the one below it.
    parent : ndarray of int64, shape (n_nodes,)
        Ascending.
    """
    n_children = np.bincount(parent, minlength=active.shape[1])
    first = np.concatenate([[0], np.cumsum(n_children)[:-1]])
    row = np.repeat(np.arange(active.shape[0]), np.diff(active.indptr))
    several = n_children[active.indices] > 1
    node, row = active.indices[several], row[several]
    sizes = n_children[node]
    rows = np.repeat(row, sizes)
    children = spans(first[node], sizes)
    keys = np.repeat(np.arange(own.shape[0]), np.diff(own.indptr)) * own.shape[1] + own.indices
    return rows, children, np.isin(rows * own.shape[1] + children, keys)


def fit_logistic(
    clf: TreeEmbedding, X: Features, Y: csr_array, levels: list[Level], kappa: float, nu: float, seed: int
) -> tuple[list[Array], list[Array], list[dict[str, float]]]:
    """Train encoders in place, and return vectors and biases of the nodes of each level, and the curve of the training.

    Parameters
    ----------
    clf : TreeEmbedding
    X : csr_array or ndarray, shape (n_rows, n_features)
        With the constant feature.
    Y : csr_array, shape (n_rows, n_labels)
    levels : list of Level
        The start.
    kappa, nu : float
    seed : int
    """
    trained, held = split_rows(Y, clf.validation, seed)
    network = TreeNetwork(levels).to(choose_device(clf.device))
    loss = TreeLoss(network, levels, X, kappa, nu, len(trained))
    lengths = np.zeros(X.shape[0], np.int64)  # Rows are not padded, so batches need no similar lengths.
    sampler = BatchSampler(
        Y, lengths, rows=trained, batch_size=clf.batch_size, positives="one", tail_share=None, tail_max=0, seed=seed
    )
    plan = Plan.of(clf, warmup=0.1, weight_decay=0.0, accumulate=1, bfloat16=False, seed=seed)
    plain = {name: value for name, value in clf.get_params().items() if name not in (*clf._not_saved, *UNSEEN)}
    key = key_of(*arrays_of(X), Y.indptr, Y.indices, *(level.parent for level in levels), plain, kappa, seed)
    curve = train(network, loss, sampler, plan, partial(_score, loss, held) if held.size else None, key)
    ends = np.cumsum([0, *network.widths])
    encoder = network.encoder.detach().cpu().numpy()
    for level, first, last in zip(levels, ends, ends[1:], strict=False):
        level.encoder = encoder[:, first:last]
    vectors, biases = ([array.detach().cpu().numpy() for array in arrays] for arrays in (network.nodes, network.bias))
    for level, vector, bias in zip(levels, vectors, biases, strict=True):
        only = np.bincount(level.parent)[level.parent] == 1
        vector[only], bias[only] = 0, CERTAIN
    return vectors, biases, curve


UNSEEN = ("verbose", "n_jobs", "beam", "path", "sparse")  # by the weights that training ends with


@torch.no_grad()
def _score(loss: TreeLoss, rows: NDArray[np.int64]) -> float:
    """Return minus the mean prediction loss of held-out rows."""
    parts = [rows[start : start + EVALUATED] for start in range(0, len(rows), EVALUATED)]
    return -sum(float(loss.predictions(part)) for part in parts) / len(rows)
