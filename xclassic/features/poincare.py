"""Vectors of labels in hyperbolic space, where trees have room."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from tqdm.auto import tqdm

from xclassic.features.poincare_steps import descend
from xclassic.label_tree.tree import LabelTree
from xclassic.linalg.hyperbolic import Points, logarithm_map
from xclassic.parallel import StopByte, run_tasks, spawn_seeds
from xclassic.validation.features import canonical
from xclassic.validation.parameters import check_common, check_number

AT_ONCE = 2**16  # Pairs whose negatives are drawn together.
NARROW = 1e-3  # The first coordinates are below this, so that all points start near 0.
SLOW = 10  # The learning rate of the burn-in is smaller by this factor.


class PoincareEmbedding(BaseEstimator):
    r"""A point in the Poincaré ball for each node of a label tree or of a graph of labels.

    The ball's distances,

    .. math:: d(u, v) = \operatorname{arcosh} \left(1 + 2 \frac{\|u - v\|^2}{(1 - \|u\|^2)(1 - \|v\|^2)}\right),

    grow without bound towards its surface, so that a tree with its exponentially many leaves fits into few dimensions:
    general nodes come to lie near 0 and special ones near the surface. Points are moved to minimize

    .. math:: - \sum_{(u, v)} \log \frac{e^{-d(u, v)}}{e^{-d(u, v)} + \sum_{v' \in N(u)} e^{-d(u, v')}}

    over the pairs of a node u and an ancestor v of it, or the edges of a graph; N(u) are random nodes other than u and
    the nodes related to it. Use the points to group labels, as in ``PrefixTree(view="embeddings", embeddings=...)``.

    Parameters
    ----------
    n_components : int, default=10
        Number of dimensions, at least 1. Five hold a binary tree of depth 6.
    epochs : int, default=100
        Passes over the pairs.
    burn_in : int, default=10
        The first passes, with a tenth of the learning rate, in which directions are found.
    learning_rate : float, default=0.1
        Learning rate after the burn-in, above 0; it falls linearly to 0.
    n_negatives : int, default=20
        Random nodes that each pair is set against, at least 1.
    random_state : int or None, default=0
        Seed of the first points, the order of the pairs and the negatives; None takes a new one each time.
    verbose : int, default=0
        Above 0, show progress with the time left.

    Attributes
    ----------
    embedding_ : ndarray of float64, shape (n_nodes, n_components)
        The points, of norms of at most 1 - 1e-5. The point of a label of a tree is ``embedding_[tree.leaves[label]]``.
    tangent_ : ndarray of float64, shape (n_nodes, n_components)
        The same directions with half of the hyperbolic distances from 0 as lengths (the logarithm at 0). Methods that
        know straight lines only, as k-means, are for these.

    See Also
    --------
    PrefixTree : Groups labels by vectors.

    Notes
    -----
    The order of magnitude of the cost is 100 ns for each dimension, negative and pair of a pass, in one thread; a tree
    has as many pairs as the sum of the depths of its nodes. Memory is that of the pairs, 16 bytes each, and some 10 MB.

    References
    ----------
    .. [1] M. Nickel and D. Kiela, "Poincaré embeddings for learning hierarchical representations", NIPS 2017 (the loss
       of section 3, the update of equation 5).
    .. [2] O. Ganea, G. Bécigneul and T. Hofmann, "Hyperbolic neural networks", NeurIPS 2018 (the maps at 0, lemma 2).

    Examples
    --------
    >>> from xclassic import LabelTree
    >>> from xclassic.features import PoincareEmbedding
    >>> tree = LabelTree.from_codes([(0, 0), (0, 1), (1, 0), (1, 1)])
    >>> PoincareEmbedding(2).fit(tree).embedding_[tree.leaves].shape
    (4, 2)
    """

    embedding_: Points

    def __init__(
        self,
        n_components: int = 10,
        *,
        epochs: int = 100,
        burn_in: int = 10,
        learning_rate: float = 0.1,
        n_negatives: int = 20,
        random_state: int | np.random.RandomState | None = 0,
        verbose: int = 0,
    ) -> None:
        self.n_components = n_components
        self.epochs = epochs
        self.burn_in = burn_in
        self.learning_rate = learning_rate
        self.n_negatives = n_negatives
        self.random_state = random_state
        self.verbose = verbose

    def _check_parameters(self) -> None:
        check_common(self)
        for name, minimum in (("n_components", 1), ("epochs", 1), ("burn_in", 0), ("n_negatives", 1)):
            check_number(name, getattr(self, name), minimum=minimum, integer=True)
        check_number("learning_rate", self.learning_rate, minimum=0, inclusive=False)

    def fit(self, X: Any, y: Any = None) -> Self:
        """Place the nodes.

        Parameters
        ----------
        X : LabelTree, or sparse matrix or array-like, shape (n_nodes, n_nodes)
            A tree, whose nodes are related to all nodes above them; or a graph, whose entry (u, v) says how often in a
            pass v is drawn in towards u, in proportion to the others. ``Y.T @ Y`` of a label matrix is the graph of
            labels that share rows, symmetric; its diagonal is left out.
        y : object, optional
            Ignored.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of range, or the graph is not square, has no pair, or has entries that are negative,
            NaN or infinite.
        """
        self._check_parameters()
        graph = ancestors(X) if isinstance(X, LabelTree) else _checked(X)
        seed = int(spawn_seeds(self.random_state, 1)[0])
        (self.embedding_,) = run_tasks(partial(self._descend, graph), [seed])
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Points:
        """Place the nodes, and return ``embedding_``.

        Parameters
        ----------
        X, y
            As for ``fit``.

        Returns
        -------
        ndarray of float64, shape (n_nodes, n_components)
        """
        return self.fit(X).embedding_

    @property
    def tangent_(self) -> Points:
        """The points under the logarithm at 0."""
        check_is_fitted(self)
        return logarithm_map(self.embedding_)

    def _descend(self, graph: csr_array, seed: int, stop: StopByte) -> Points:
        random = np.random.default_rng(seed)
        n = graph.shape[0]
        points = random.uniform(-NARROW, NARROW, (n, self.n_components))
        indptr, indices = graph.indptr.astype(np.int64), graph.indices.astype(np.int32)
        pairs = np.stack([np.repeat(np.arange(n), np.diff(indptr)), indices], axis=1)
        bounds = np.cumsum(graph.data, dtype=np.float64)
        for epoch in tqdm(range(self.epochs), desc="embedding", leave=False, disable=not self.verbose):
            # With equal weights this takes each pair once.
            steps = (np.arange(len(pairs)) + random.random()) * (bounds[-1] / len(pairs))
            order = random.permutation(np.minimum(np.searchsorted(bounds, steps, side="right"), len(pairs) - 1))
            for start in range(0, len(order), AT_ONCE):
                chosen = pairs[order[start : start + AT_ONCE]]
                drawn = random.integers(0, n, (len(chosen), self.n_negatives))
                descend(indptr, indices, chosen, drawn, points, self._rate(epoch), stop)
            if stop[0]:
                break
        return points

    def _rate(self, epoch: int) -> float:
        if epoch < self.burn_in:
            return self.learning_rate / SLOW
        return self.learning_rate * (self.epochs - epoch) / (self.epochs - min(self.burn_in, self.epochs))


def ancestors(tree: LabelTree) -> csr_array:
    """Return the matrix of ones in whose row u the ancestors of node u are, shape (n_nodes, n_nodes)."""
    nodes, above = np.arange(tree.n_nodes), tree.parent
    rows, columns = [], []
    while (below := above >= 0).any():
        nodes, above = nodes[below], above[below]
        rows.append(nodes)
        columns.append(above)
        above = tree.parent[above]
    places = np.concatenate(rows), np.concatenate(columns)
    return csr_array((np.ones(len(places[0])), places), shape=(tree.n_nodes, tree.n_nodes))


def _checked(X: Any) -> csr_array:
    graph = canonical(X, "X")
    if graph.shape[0] != graph.shape[1]:
        raise ValueError(
            f"X has shape {graph.shape}; pass a LabelTree, or a square matrix such as Y.T @ Y, a row and a column for "
            "each label."
        )
    if not (np.isfinite(graph.data) & (graph.data >= 0)).all():
        raise ValueError("X has entries that are below zero, NaN or infinite; an entry is how often a pair is taken.")
    graph = graph.tocoo()
    apart = (graph.coords[0] != graph.coords[1]) & (graph.data > 0)
    if not apart.any():
        raise ValueError("X relates no two nodes, so there is nothing to learn.")
    return csr_array((graph.data[apart], tuple(part[apart] for part in graph.coords)), shape=graph.shape)
