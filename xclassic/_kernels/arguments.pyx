"""Arguments and results of kernels: the owners of the memory behind the pointers of ``arguments.h``, and its constants.

Contents are trusted: the caller that makes such an object has checked shapes, dtypes and index ranges.
"""

import numpy as np

from libc.string cimport memcpy

cdef tuple names(const char* const* table, int n):
    return tuple(table[i].decode() for i in range(n))


CHECKED = bool(c_checked)
LANES = c_lanes
CLIP = c_clip
LOSSES = names(LOSS_NAMES, N_LOSSES)
PATH_SCORES = names(PATH_SCORE_NAMES, N_PATH_SCORES)
VALUE_TYPES = names(VALUE_TYPE_NAMES, N_VALUE_TYPES)


cdef class FeatureRows:
    """The rows of a feature matrix as the kernels read them. It keeps the arrays alive.

    ``indptr`` and ``indices`` come from a CSR matrix, or are None for dense rows.
    """

    def __init__(self, indptr, indices, values, *, int64_t n_rows, int64_t n_features, float bias=0):
        cdef const int64_t[::1] indptr_view = indptr
        cdef const int32_t[::1] indices_view = indices
        cdef const float[::1] values_view = values
        if indptr is not None:
            check_lists(indptr_view, indices_view, n_features)
        self.indptr, self.indices, self.values = indptr, indices, values
        self.rows.indptr = start(indptr_view)
        self.rows.indices = start(indices_view)
        if indices is not None and self.rows.indices == NULL:
            self.rows.indices = <const int32_t*> self.rows.indptr  # This tells an empty matrix from a dense one.
        self.rows.values = start(values_view)
        self.rows.n = n_rows
        self.rows.d = n_features
        self.rows.bias = bias

    @property
    def n_rows(self):
        return self.rows.n

    @property
    def n_features(self):
        return self.rows.d

    @property
    def bias(self):
        return self.rows.bias

    def __reduce__(self):
        return _make_rows, (self.indptr, self.indices, self.values, self.rows.n, self.rows.d, self.rows.bias)


def _make_rows(indptr, indices, values, n_rows, n_features, bias):
    return FeatureRows(indptr, indices, values, n_rows=n_rows, n_features=n_features, bias=bias)


cdef class MappedRows:
    """The rows of a CSR matrix that kernels read where it lies, row by row, instead of a copy made for a problem.

    ``numbers`` holds the number that each feature of the matrix has in the problem, or is None for the same;
    ``lengths`` and ``exponents`` are None, or say what the values of each row are divided by: first by a power of two.
    """

    def __init__(
        self, indptr, indices, values, *, numbers, lengths, exponents, int64_t n_rows, int64_t n_features, float bias=0
    ):
        self.indptr, self.indices, self.values = indptr, indices, values
        self.numbers, self.lengths, self.exponents = numbers, lengths, exponents
        self.n_rows, self.n_features, self.bias = n_rows, n_features, bias
        self.longest = np.diff(indptr).max(initial=0)

    def __reduce__(self):
        arrays = (self.indptr, self.indices, self.values, self.numbers, self.lengths, self.exponents)
        return _make_mapped, (*arrays, self.n_rows, self.n_features, self.bias)


def _make_mapped(indptr, indices, values, numbers, lengths, exponents, n_rows, n_features, bias):
    return MappedRows(
        indptr, indices, values, numbers=numbers, lengths=lengths, exponents=exponents, n_rows=n_rows,
        n_features=n_features, bias=bias,
    )


cdef FeatureRows opened(rows):
    """Return rows as one thread reads them: mapped ones with a reader of its own, and others as they are."""
    if isinstance(rows, FeatureRows):
        return rows
    cdef MappedRows mapped = rows
    cdef const int32_t[::1] numbers = mapped.numbers, exponents = mapped.exponents
    cdef const float[::1] lengths = mapped.lengths
    cdef int64_t n_stored = mapped.n_features if numbers is None else numbers.shape[0]
    cdef FeatureRows own = FeatureRows(
        mapped.indptr, mapped.indices, mapped.values, n_rows=mapped.n_rows, n_features=n_stored, bias=mapped.bias
    )
    own.buffers = mapped, np.empty(mapped.longest + 1, np.int32), np.empty(mapped.longest + 1, np.float32)
    cdef int32_t[::1] features = own.buffers[1]
    cdef float[::1] values = own.buffers[2]
    own.reader = RowReader(
        NULL, start(numbers), n_stored, start(lengths), start(exponents), &features[0], &values[0], -1
    )
    own.rows.d = mapped.n_features
    own.rows.reader = &own.reader
    return own


cdef class StoredWeights:
    """The arrays of a ``BlockWeights`` as the kernels read them. It keeps them alive."""

    def __init__(
        self, *, const int64_t[::1] chunk_group_ptr, const int64_t[::1] chunk_feature_ptr, const int32_t[::1] labels,
        const float[::1] bias, const int32_t[::1] features, const int64_t[::1] chunk_cell_ptr,
        const int64_t[::1] chunk_value_ptr, const uint32_t[::1] feature_cell_ptr,
        const uint32_t[::1] feature_value_ptr, const uint16_t[::1] cell_groups, const uint16_t[::1] cell_masks, values,
        const float[::1] chunk_scales,
    ):
        cdef const uint8_t[::1] bytes_of_values = values.view(np.uint8)
        cdef int64_t c
        self.arrays = (
            chunk_group_ptr, chunk_feature_ptr, labels, bias, features, chunk_cell_ptr, chunk_value_ptr,
            feature_cell_ptr, feature_value_ptr, cell_groups, cell_masks, values, chunk_scales,
        )
        self.chunks.n_chunks = chunk_group_ptr.shape[0] - 1
        self.chunks.chunk_group_ptr = start(chunk_group_ptr)
        self.chunks.chunk_feature_ptr = start(chunk_feature_ptr)
        self.chunks.labels = start(labels)
        self.chunks.bias = start(bias)
        self.chunks.features = start(features)
        self.chunks.chunk_cell_ptr = start(chunk_cell_ptr)
        self.chunks.chunk_value_ptr = start(chunk_value_ptr)
        self.chunks.feature_cell_ptr = start(feature_cell_ptr)
        self.chunks.feature_value_ptr = start(feature_value_ptr)
        self.chunks.cell_groups = start(cell_groups)
        self.chunks.cell_masks = start(cell_masks)
        self.chunks.values = start(bytes_of_values)
        self.chunks.value_type = VALUE_TYPES.index(values.dtype.name)
        self.chunks.chunk_scales = start(chunk_scales)
        self.widest = 0  # Most groups of any chunk.
        for c in range(self.chunks.n_chunks):
            self.widest = max(self.widest, chunk_group_ptr[c + 1] - chunk_group_ptr[c])


cdef class BestLabels:
    """Buffers for the ids, scores and counts of the best ``k`` labels of each row."""

    def __init__(self, int64_t n_rows, int64_t k):
        self.ids = np.full((n_rows, k), -1, np.int32)
        self.scores = np.full((n_rows, k), -np.inf, np.float32)
        self.counts = np.zeros(n_rows, np.int32)
        cdef int32_t[::1] ids = self.ids.reshape(-1), counts = self.counts
        cdef float[::1] scores = self.scores.reshape(-1)
        self.best.k = k
        if n_rows and k:
            self.best.ids = &ids[0]
            self.best.scores = &scores[0]
            self.best.counts = &counts[0]

    def arrays(self):
        """Return (ids, scores, counts), as ``TopK`` takes them."""
        return self.ids, self.scores, self.counts


cdef check_lists(const int64_t[::1] ptr, const int32_t[::1] items, int64_t bound):
    """Raise IndexError unless ``ptr`` cuts ``items`` below ``bound`` into lists. Only the checked build looks."""
    cdef int64_t i
    if not c_checked:
        return
    if ptr[0] < 0 or ptr[ptr.shape[0] - 1] > items.shape[0]:
        raise IndexError(f"Pointers run from {ptr[0]} to {ptr[ptr.shape[0] - 1]}; there are {items.shape[0]} entries.")
    for i in range(ptr.shape[0] - 1):
        if ptr[i + 1] < ptr[i]:
            raise IndexError(f"Pointer {i + 1} is {ptr[i + 1]}, below the one before it.")
    for i in range(ptr[0], ptr[ptr.shape[0] - 1]):
        if not 0 <= items[i] < bound:
            raise IndexError(f"Entry {i} is {items[i]}; {bound} are there.")


cdef copied(const void* data, size_t size, dtype):
    """Copy numbers into a new array."""
    array = np.empty(size, dtype)
    cdef uint8_t[::1] view = array.view(np.uint8)
    if size:
        memcpy(&view[0], data, view.shape[0])
    return array
