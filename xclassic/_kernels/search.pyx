"""Python entry to the tree search of ``search.h``.

Arguments are trusted: ``label_tree/search.py`` makes and checks them.
"""

from cython.operator cimport dereference
from libc.stdint cimport int32_t, int64_t, uint8_t

from xclassic._kernels.arguments cimport BestLabels, Chunks, FeatureRows, Rows, StoredWeights, start
from xclassic._kernels.blocks cimport Level, current_level


cdef extern from "search.h" namespace "xclassic" nogil:
    cdef cppclass Tree:
        Chunks chunks
        const int64_t* child_ptr
        const int32_t* label
        const int32_t* chunk_of
        const uint8_t* allowed

    cdef cppclass NodeWeights:
        NodeWeights(const Tree&, int64_t n_nodes, const float* label_weights) except +
        void give(Tree&, bint all_kept)

    cdef cppclass BestOfRow:
        BestOfRow(int64_t n, int64_t k) except +
        int64_t count(int64_t row)
        int32_t id(int64_t row, int64_t slot)
        float score(int64_t row, int64_t slot)

    cdef cppclass Ensemble:
        Ensemble(int64_t n, int64_t n_labels) except +
        void best(int64_t n_trees, const float* label_weights, BestOfRow&) except +

    cdef cppclass TreeSearch:
        TreeSearch(const Rows&, int32_t score, const Level*, const uint8_t* stop) except +
        void beam(const Tree&, int64_t beam, BestOfRow*, Ensemble*) except +
        void exact(const Tree&, int32_t row, int64_t k, BestOfRow&) except +


cdef class SearchTree:
    """A tree and its weights as the kernels read them. It keeps the arrays alive."""

    cdef Tree tree
    cdef int64_t n_nodes
    cdef object arrays

    def __init__(
        self, StoredWeights weights, *, const int64_t[::1] child_ptr, const int32_t[::1] label,
        const int32_t[::1] chunk_of,
    ):
        self.arrays = (weights, child_ptr, label, chunk_of)
        self.tree.chunks = weights.chunks
        self.tree.child_ptr = start(child_ptr)
        self.tree.label = start(label)
        self.tree.chunk_of = start(chunk_of)
        self.n_nodes = label.shape[0]


def search(
    list trees, FeatureRows rows, *, list allowed, const float[::1] label_weights, bint all_kept, int64_t n_labels,
    int score, int64_t beam, int64_t k, const uint8_t[::1] stop,
):
    """Return (ids, scores, counts) of the best ``k`` labels of each row, by their mean score over the trees.

    ``beam`` 0 opens nodes best first, in one tree only.
    ``allowed`` has for each tree None or a byte for each node.
    ``label_weights`` multiply the scores. With ``all_kept`` no level has more nodes than the beam.
    """
    cdef int64_t n = rows.rows.n
    cdef BestLabels found = BestLabels(n, k)
    if n == 0 or k == 0:
        return found.arrays()
    cdef const uint8_t[::1] mask
    cdef TreeSearch* one = new TreeSearch(rows.rows, score, current_level(), &stop[0])
    cdef BestOfRow* best = new BestOfRow(n, k)
    cdef Ensemble* ensemble = new Ensemble(n, n_labels if len(trees) > 1 else 0)
    cdef Tree tree
    cdef NodeWeights* weights = NULL
    cdef const float* of_labels = start(label_weights)
    cdef int64_t n_trees = len(trees)
    cdef bint alone = n_trees == 1
    cdef int64_t slot
    cdef int32_t row
    try:
        for number, search_tree in enumerate(trees):
            tree = (<SearchTree?> search_tree).tree
            mask = allowed[number]
            tree.allowed = start(mask)
            if of_labels != NULL:
                del weights
                weights = new NodeWeights(tree, (<SearchTree> search_tree).n_nodes, of_labels)
                weights.give(tree, all_kept)
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
                ensemble.best(n_trees, of_labels, dereference(best))
            for row in range(<int32_t> n):
                found.best.counts[row] = <int32_t> best.count(row)
                for slot in range(best.count(row)):
                    found.best.ids[row * k + slot] = best.id(row, slot)
                    found.best.scores[row * k + slot] = best.score(row, slot)
    finally:
        del one, best, ensemble, weights
    return found.arrays()
