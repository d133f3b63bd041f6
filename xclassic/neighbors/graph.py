"""Approximate search among very many dense rows, by a graph of neighbors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xclassic.parallel import RUNNING, StopByte, fork_safe_lock
from xclassic.rows import dense
from xclassic.storage.arrays import FINITE, check_within
from xclassic.storage.folder import Arrays
from xclassic.topk import TopK
from xclassic.validation.features import Features
from xclassic.validation.parameters import check_choice

EDGES = 16  # At most this many edges per row of the graph, and twice as many in its lowest layer.
EFFORT = 128  # Candidates held while a row is added, and at least as many for a query.
BATCH = 4096  # Rows added per call of the library, which does not see Ctrl-C.


class GraphIndex:
    """Dense rows in a hierarchical navigable small-world graph of the library USearch; most of the nearest are found.

    The graph is made at the first search, even for a model that was loaded, since a graph from a file could not be
    trusted. It is the same each time. Searches of several threads take turns.

    Source: Y. A. Malkov and D. A. Yashunin, "Efficient and robust approximate nearest neighbor search using
    hierarchical navigable small world graphs", IEEE Transactions on Pattern Analysis and Machine Intelligence 2020.
    """

    def __init__(self, rows: NDArray[np.float32]) -> None:
        self.rows = rows
        self._graph: Any = None
        self._lock = fork_safe_lock()

    def _made(self) -> Any:
        self.verify()
        graph = usearch_index()(
            ndim=self.rows.shape[1], metric="ip", dtype="f32", connectivity=EDGES, expansion_add=EFFORT
        )
        for start in range(0, len(self.rows), BATCH):
            part = np.ascontiguousarray(self.rows[start : start + BATCH])
            graph.add(np.arange(start, start + len(part)), part, threads=1)  # More threads would change the graph.
        return graph

    @property
    def n_rows(self) -> int:
        return len(self.rows)

    def nearest(self, X: Features, k: int, stop: StopByte = RUNNING) -> TopK:
        queries, k = np.ascontiguousarray(dense(X)), min(k, len(self.rows))
        with self._lock:
            graph = self._made() if self._graph is None else self._graph
            self._graph = None  # A child forked during the search makes its own: that of the library stays locked.
            graph.expansion_search = max(EFFORT, 2 * k)
            found = [graph.search(query, k, threads=1).keys.astype(np.int64) for query in queries]
            self._graph = graph
        top = TopK.empty(len(queries), k)
        for i, ids in enumerate(found):
            products = self.rows[ids] @ queries[i]
            order = np.lexsort((ids, -products))[: np.count_nonzero(products > 0)]
            top.ids[i, : len(order)], top.scores[i, : len(order)] = ids[order], products[order]
            top.counts[i] = len(order)
        return top

    def verify(self) -> None:
        check_within("graph_rows", self.rows, *FINITE)

    def arrays(self) -> Arrays:
        return {"graph_rows": self.rows}

    def __getstate__(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["rows"])  # type: ignore[misc]


def check_search(search: object) -> None:
    """Raise unless `search` is a kind of search whose library is installed.

    Raises
    ------
    ValueError
        If `search` is neither "exact" nor "graph".
    ImportError
        If `search` is "graph" and USearch is not installed.
    """
    check_choice("search", search, ("exact", "graph"))
    if search == "graph":
        usearch_index()


def usearch_index() -> Any:
    """Return the index class of USearch.

    Raises
    ------
    ImportError
        If USearch is not installed.
    """
    try:
        from usearch.index import Index
    except ImportError as error:
        raise ImportError(
            "Graph search needs USearch: pip install 'xclassic[graph]', or set search='exact'."
        ) from error
    return Index
