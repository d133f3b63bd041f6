"""The trellis of LTLS: a graph of few edges with as many paths from source to sink as there are labels."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array


class Trellis(NamedTuple):
    r"""Layers of states between a source and a sink, with exactly `n_paths` paths.

    With digits :math:`n = \sum_t d_t b^t` of the number of paths in base b, the width, a state of layer t (from 0) is
    reached by :math:`b^t` paths, and :math:`d_t` states of the layer have an edge to the sink. Every other layer has b
    states, which have edges to all states of the next; the last one has as many as its digit, which may be b itself.
    All its states are ends, and their edges to the sink are left out: what these could add, the edges into them hold.

    A path is a number: first those through all layers, then those that leave at the layer before, and so on. Within
    these, the state in layer t is its digit at :math:`b^t`.

    Attributes
    ----------
    n_paths, width, n_edges : int
    sizes : ndarray of int64, shape (n_layers,)
        States of each layer.
    places : ndarray of int64, shape (n_layers,)
        ``width ** t``.
    first_edge : ndarray of int64, shape (n_layers,)
        The edge from the first state of the layer before, or from the source, to the first of this; those to the others
        follow, then those from the second state.
    n_exits, first_exit : ndarray of int64, shape (n_layers,)
        States that end paths, the first of their layer, and the edge of the first of them to the sink.
    first_path : ndarray of int64, shape (n_layers,)
        First of the paths that end in each layer.
    """

    n_paths: int
    width: int
    n_edges: int
    sizes: NDArray[np.int64]
    places: NDArray[np.int64]
    first_edge: NDArray[np.int64]
    n_exits: NDArray[np.int64]
    first_exit: NDArray[np.int64]
    first_path: NDArray[np.int64]

    @classmethod
    def of(cls, n_paths: int, width: int) -> Self:
        """Return the trellis of a width with `n_paths` paths; both are integers, and the width is at least 2."""
        n_layers = 1
        while width**n_layers < n_paths:
            n_layers += 1
        places = [width**t for t in range(n_layers)]
        digits, rest = [0] * n_layers, n_paths
        for t in reversed(range(n_layers)):
            digits[t], rest = divmod(rest, places[t])
        sizes = np.array([*[width] * (n_layers - 1), digits[-1]])
        into = np.append(1, sizes[:-1]) * sizes  # edges into each layer
        exits = np.array([*digits[:-1], 0])  # edges to the sink
        paths = np.array(digits) * places
        return cls(
            n_paths=n_paths,
            width=width,
            n_edges=int(into.sum() + exits.sum()),
            sizes=sizes,
            places=np.array(places),
            first_edge=np.cumsum(into) - into,
            n_exits=np.array(digits),
            first_exit=into.sum() + np.cumsum(exits) - exits,
            first_path=n_paths - np.cumsum(paths),
        )

    def incidence(self) -> csr_array:
        """Return which edges each path has, as a matrix of ones of shape (n_paths, n_edges)."""
        edges = [self._edges_of_layer(t) for t in reversed(range(len(self.sizes)))]
        lengths = np.concatenate([np.full(len(part), part.shape[1]) for part in edges])
        indptr = np.concatenate([[0], np.cumsum(lengths)])
        indices = np.concatenate([part.ravel() for part in edges]).astype(np.int32)
        return csr_array((np.ones(len(indices), np.float32), indices, indptr), shape=(self.n_paths, self.n_edges))

    def edges(self, path: int) -> list[int]:
        """Return the edges of a path, from the source to the sink."""
        last = int(np.flatnonzero(self.first_path <= path)[0])
        return self._edges_of_layer(last, np.array([path - self.first_path[last]]))[0].tolist()  # type: ignore[no-any-return]

    def name(self, edge: int) -> str:
        """Return where an edge leads, in words; layers and states count from 1."""
        if edge >= self.first_exit[0]:
            layer = int(np.searchsorted(self.first_exit, edge, side="right")) - 1
            return f"exit from layer {layer + 1}, state {edge - self.first_exit[layer] + 1}"
        layer = int(np.searchsorted(self.first_edge, edge, side="right")) - 1
        before, state = divmod(int(edge - self.first_edge[layer]), int(self.sizes[layer]))
        return f"layer {layer + 1}, state {state + 1}" + (f", from state {before + 1}" if layer else "")

    def _edges_of_layer(self, last: int, numbers: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Return the edges of the paths that end in a layer, all or some, given by their places among these."""
        if numbers is None:
            numbers = np.arange(self.n_exits[last] * self.places[last])
        states = numbers[:, None] // self.places[: last + 1] % self.width
        states[:, last] = numbers // self.places[last]  # The digit of the last layer may be the width itself.
        before = np.pad(states[:, :-1], ((0, 0), (1, 0)))
        edges = self.first_edge[: last + 1] + before * self.sizes[: last + 1] + states
        if last == len(self.sizes) - 1:
            return edges
        return np.column_stack([edges, self.first_exit[last] + states[:, last]])
