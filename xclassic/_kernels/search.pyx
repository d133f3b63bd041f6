"""Python entry to the tree search of ``search.h``.

Arguments are trusted: ``label_tree/search.py`` makes and checks them.
"""

import numpy as np

from cython.operator cimport dereference
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t

from xclassic._kernels.blocks cimport Chunks, Level, Rows, current_level, describe_rows, set_values


cdef extern from "search.h" namespace "xclassic" nogil:
    cdef cppclass Tree:
        Chunks chunks
        const int64_t* child_ptr
        const int32_t* label
        const int32_t* chunk_of
        const uint8_t* allowed

    cdef cppclass BestOfRow:
        BestOfRow(int64_t n, int64_t k) except +
        int64_t count(int64_t row)
        int32_t id(int64_t row, int64_t slot)
        float score(int64_t row, int64_t slot)

    cdef cppclass Ensemble:
        Ensemble(int64_t n, int64_t n_labels) except +
        void best(int64_t n_trees, BestOfRow&) except +

    cdef cppclass TreeSearch:
        TreeSearch(const Rows&, int32_t score, const Level*, const uint8_t* stop) except +
        void beam(const Tree&, int64_t beam, BestOfRow*, Ensemble*) except +
        void exact(const Tree&, int32_t row, int64_t k, BestOfRow&) except +


cdef class SearchTree:
    """A tree and its weights as the kernels read them. Keeps the arrays alive."""

    cdef Tree tree
    cdef object arrays

    def __init__(
        self, const int64_t[::1] child_ptr, const int32_t[::1] label, const int32_t[::1] chunk_of,
        const int64_t[::1] chunk_groups, const int64_t[::1] chunk_rows, const float[::1] bias,
        const int32_t[::1] features, const int64_t[::1] chunk_cells, const int64_t[::1] chunk_values,
        const uint32_t[::1] row_cells, const uint32_t[::1] row_values, const uint16_t[::1] cell_groups,
        const uint16_t[::1] cell_masks, values, const float[::1] chunk_scales,
    ):
        self.arrays = (
            child_ptr, label, chunk_of, chunk_groups, chunk_rows, bias, features, chunk_cells, chunk_values, row_cells,
            row_values, cell_groups, cell_masks, values, chunk_scales,
        )
        self.tree.child_ptr = &child_ptr[0]
        self.tree.label = &label[0]
        self.tree.chunk_of = &chunk_of[0]
        self.tree.allowed = NULL
        self.tree.chunks.n_chunks = chunk_groups.shape[0] - 1
        self.tree.chunks.chunk_groups = &chunk_groups[0]
        self.tree.chunks.chunk_rows = &chunk_rows[0]
        self.tree.chunks.labels = NULL
        self.tree.chunks.bias = &bias[0]
        self.tree.chunks.features = &features[0] if features.shape[0] else NULL
        self.tree.chunks.chunk_cells = &chunk_cells[0]
        self.tree.chunks.chunk_values = &chunk_values[0]
        self.tree.chunks.row_cells = &row_cells[0]
        self.tree.chunks.row_values = &row_values[0]
        self.tree.chunks.cell_groups = &cell_groups[0] if cell_groups.shape[0] else NULL
        self.tree.chunks.cell_masks = &cell_masks[0] if cell_masks.shape[0] else NULL
        set_values(&self.tree.chunks, values, chunk_scales)


def search(
    list trees, list allowed, indptr, indices, values, int64_t n, int64_t d, int64_t n_labels, int score, int64_t beam,
    int64_t k, const uint8_t[::1] stop,
):
    """Return (ids, scores, counts) of the best ``k`` labels of each row, by their mean score over the trees.

    ``beam`` 0 opens nodes best first, in one tree only.
    ``allowed`` has for each tree None or a byte for each node.
    """
    ids = np.full((n, k), -1, np.int32)
    scores = np.full((n, k), -np.inf, np.float32)
    counts = np.zeros(n, np.int32)
    if n == 0 or k == 0:
        return ids, scores, counts
    cdef int32_t[:, ::1] ids_view = ids
    cdef float[:, ::1] scores_view = scores
    cdef int32_t[::1] counts_view = counts
    cdef const uint8_t[::1] mask
    cdef Rows rows = describe_rows(indptr, indices, values, n, d, 0)
    cdef TreeSearch* one = new TreeSearch(rows, score, current_level(), &stop[0])
    cdef BestOfRow* best = new BestOfRow(n, k)
    cdef Ensemble* ensemble = new Ensemble(n, n_labels if len(trees) > 1 else 0)
    cdef Tree tree
    cdef int64_t n_trees = len(trees)
    cdef bint alone = n_trees == 1
    cdef int64_t slot
    cdef int32_t row
    try:
        for number, search_tree in enumerate(trees):
            tree = (<SearchTree?> search_tree).tree
            if allowed[number] is not None:
                mask = allowed[number]
                tree.allowed = &mask[0]
            with nogil:
                if beam == 0:
                    for row in range(<int32_t> n):
                        one.exact(tree, row, k, dereference(best))
                elif alone:
                    one.beam(tree, beam, best, NULL)
                else:
                    one.beam(tree, beam, NULL, ensemble)
        with nogil:
            if not alone:
                ensemble.best(n_trees, dereference(best))
            for row in range(<int32_t> n):
                counts_view[row] = <int32_t> best.count(row)
                for slot in range(best.count(row)):
                    ids_view[row, slot] = best.id(row, slot)
                    scores_view[row, slot] = best.score(row, slot)
    finally:
        del one, best, ensemble
    return ids, scores, counts
