"""Python entry to the label-block kernels: fills the tasks of ``block_types.h`` and collects what the kernels wrote.

Arguments are trusted: the callers check shapes, dtypes and index ranges (``validation.py``, ``linear/blocks.py``).
"""

import os

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset


cdef int _level = 0


cdef const Level* current_level() noexcept nogil:
    return &level(_level)


def simd_levels():
    """Return the names of the instruction-set levels that this CPU can run, plainest first."""
    return [level(i).name.decode() for i in range(n_levels()) if level_runs_here(i)]


def simd_level():
    """Return the name of the level in use."""
    return level(_level).name.decode()


def use_simd_level(str name):
    """Switch every kernel of the process to the named level. Meant for tests; users set ``XCLASSIC_SIMD``."""
    global _level
    for i in range(n_levels()):
        if level(i).name.decode() == name and level_runs_here(i):
            _level = i
            return
    known = ", ".join(simd_levels())
    raise ValueError(f"XCLASSIC_SIMD={name!r} cannot be used here; this CPU and build can run: {known}")


use_simd_level(os.environ.get("XCLASSIC_SIMD") or list(reversed(simd_levels()))[0])


cdef Rows describe_rows(indptr, indices, values, int64_t n, int64_t d, float bias):
    """Describe CSR rows, or dense ones where ``indices`` is None. The caller keeps the arrays alive."""
    cdef Rows rows
    cdef const int64_t[::1] indptr_view
    cdef const int32_t[::1] indices_view
    cdef const float[::1] values_view = values
    rows.indptr = NULL
    rows.indices = NULL
    rows.values = &values_view[0] if values_view.shape[0] else NULL
    if indices is not None:
        indptr_view = indptr
        indices_view = indices
        rows.indptr = &indptr_view[0]
        # An empty matrix still has to be told from a dense one.
        rows.indices = &indices_view[0] if indices_view.shape[0] else <const int32_t*> rows.indptr
    rows.n = n
    rows.d = d
    rows.bias = bias
    return rows


cdef int set_values(Chunks* chunks, values, const float[::1] chunk_scales) except -1:
    """Point at stored weights of any type. The caller keeps the arrays alive."""
    cdef const uint8_t[::1] view = values.view(np.uint8)
    chunks.values = &view[0]
    chunks.value_type = ("float32", "float16", "int8").index(values.dtype.name)
    chunks.chunk_scales = &chunk_scales[0]
    return 0


cdef copied(const void* data, size_t size, dtype):
    """Copy numbers into a new array."""
    array = np.empty(size, dtype)
    cdef uint8_t[::1] view = array.view(np.uint8)
    if size:
        memcpy(&view[0], data, view.shape[0])
    return array


def _aligned(int64_t size):
    """Return an uninitialized float32 array that starts at a multiple of 64 bytes."""
    buffer = np.empty(size + 16, np.float32)
    skip = (-buffer.ctypes.data % 64) // 4
    return buffer[skip:skip + size]


cdef inline int _popcount(unsigned int mask) noexcept nogil:
    cdef int n = 0
    while mask:
        mask &= mask - 1
        n += 1
    return n


cdef class Cells:
    """Pruned weights of blocks, one after the other: lane mask and packed values of each feature with a weight."""

    cdef public list features, masks, values

    def __init__(self):
        self.features, self.masks, self.values = [], [], []

    cdef add_block(self, const float[::1] W, int width, int lanes_used, float prune, const int32_t[::1] feature_of):
        cdef int64_t d = feature_of.shape[0], n_values
        masks, values = np.empty(d + 1, np.uint16), np.empty(d * width + LANES, np.float32)
        cdef uint16_t[::1] masks_view = masks
        cdef float[::1] values_view = values
        with nogil:
            n_values = current_level().keep(
                KeepTask(&W[0], d, width, lanes_used, prune, &masks_view[0], &values_view[0])
            )
        kept = np.flatnonzero(masks[:d])
        self.features.append(np.asarray(feature_of)[kept])
        self.masks.append(masks[kept])
        self.values.append(values[:n_values].copy())

    def __reduce__(self):
        return _restore_cells, (self.features, self.masks, self.values)


def _restore_cells(features, masks, values):
    cells = Cells()
    cells.features, cells.masks, cells.values = features, masks, values
    return cells


def train_labels(
    indptr, indices, const float[::1] values, const float[::1] square_norms, reading_order,
    const int32_t[::1] feature_of, float bias, row_weights, const int64_t[::1] label_ptr, const int32_t[::1] label_rows,
    const float[::1] positive_costs, const float[::1] negative_costs, int width, int loss, float eps, int max_passes,
    double prune, uint64_t seed, const uint8_t[::1] stop,
):
    """Train the labels of one task, ``width`` at a time.

    Label j is positive on rows ``label_rows[label_ptr[j]:label_ptr[j + 1]]``. Returns (cells, bias weights, gaps,
    counts); see ``TrainTask`` for the arguments and the counts.
    """
    cdef int64_t n = square_norms.shape[0], d = feature_of.shape[0], n_labels = label_ptr.shape[0] - 1
    cdef int64_t first, p
    cdef int lane, used
    cdef TrainTask task
    cdef const float[::1] weights_view
    cdef const int32_t[::1] order_view
    cdef float[::1] W = _aligned((d + 1) * width), alpha = _aligned(n * width)
    cdef float[::1] spare = _aligned((d + 1) * max(width // 4, 1))
    cdef uint16_t[::1] targets = np.empty(n, np.uint16), active = np.empty(n, np.uint16)
    cdef int32_t[::1] order = np.empty(n + n // 8 + 2, np.int32)
    cdef float[::1] positive = np.ones(width, np.float32), negative = np.ones(width, np.float32)
    cdef double[::1] gaps = np.zeros(width)
    cdef int64_t[::1] counts = np.zeros(4, np.int64)
    cells = Cells()
    bias_weights = np.zeros(n_labels, np.float32)
    all_gaps = np.zeros(n_labels)
    all_counts = np.zeros(4, np.int64)

    task.rows = describe_rows(indptr, indices, values, n, d, bias)
    task.square_norms = &square_norms[0]
    task.row_weights = NULL
    task.pair_costs = NULL
    if row_weights is not None:
        weights_view = row_weights
        task.row_weights = &weights_view[0]
    task.reading_order = NULL
    if reading_order is not None:
        order_view = reading_order
        task.reading_order = &order_view[0]
    task.targets = &targets[0]
    task.positive_costs = &positive[0]
    task.negative_costs = &negative[0]
    task.width = width
    task.loss = loss
    task.max_passes = max_passes
    task.eps = eps
    task.W = &W[0]
    task.alpha = &alpha[0]
    task.spare = &spare[0]
    task.active = &active[0]
    task.order = &order[0]
    task.gaps = &gaps[0]
    task.counts = &counts[0]
    task.stop = &stop[0]

    for first in range(0, n_labels, width):
        if stop[0]:
            break
        used = <int> min(<int64_t> width, n_labels - first)
        task.lanes_used = used
        task.seed = seed + <uint64_t> first
        with nogil:
            memset(&targets[0], 0, n * sizeof(uint16_t))
            for lane in range(used):
                positive[lane] = positive_costs[first + lane]
                negative[lane] = negative_costs[first + lane]
                for p in range(label_ptr[first + lane], label_ptr[first + lane + 1]):
                    targets[label_rows[p]] |= <uint16_t> (1 << lane)
            current_level().train(task)
        (<Cells> cells).add_block(W, width, used, prune, feature_of)
        for lane in range(used):
            bias_weights[first + lane] = bias * W[d * width + lane]
            all_gaps[first + lane] = gaps[lane]
        all_counts += counts
    return cells, bias_weights, all_gaps, all_counts


def ridge_labels(
    indptr, indices, const float[::1] values, const float[::1] diagonal, const int32_t[::1] feature_of, float bias,
    int64_t n, row_weights, const int64_t[::1] label_ptr, const int32_t[::1] label_rows, const float[::1] target_values,
    float ridge, int width, float tolerance, int max_sweeps, double prune, const uint8_t[::1] stop,
):
    """Fit the ridge regressions of one task, ``width`` at a time.

    Returns (cells, bias weights, relative residuals, sweeps).
    """
    cdef int64_t d = feature_of.shape[0], n_labels = label_ptr.shape[0] - 1, size = (d + 1) * width
    cdef int64_t first, sweeps = 0
    cdef int lane, used
    cdef RidgeTask task
    cdef const float[::1] weights_view
    scratch = _aligned(4 * size)
    cdef float[::1] W = scratch[:size], residual = scratch[size:2 * size]
    cdef float[::1] direction = scratch[2 * size:3 * size], product = scratch[3 * size:]
    cdef int64_t[::1] ptr = np.zeros(width + 1, np.int64)
    cdef float[::1] target = np.zeros(width, np.float32)
    cdef double[::1] residuals = np.zeros(width)
    cdef int64_t[::1] counts = np.zeros(1, np.int64)
    cells = Cells()
    bias_weights = np.zeros(n_labels, np.float32)
    all_residuals = np.zeros(n_labels)

    task.rows = describe_rows(indptr, indices, values, n, d, bias)
    task.diagonal = &diagonal[0]
    task.ridge = ridge
    task.width = width
    task.max_sweeps = max_sweeps
    task.tolerance = tolerance
    task.positive_ptr = &ptr[0]
    task.positives = &label_rows[0] if label_rows.shape[0] else NULL
    task.target_values = &target[0]
    task.row_weights = NULL
    if row_weights is not None:
        weights_view = row_weights
        task.row_weights = &weights_view[0]
    task.W = &W[0]
    task.residual = &residual[0]
    task.direction = &direction[0]
    task.product = &product[0]
    task.residuals = &residuals[0]
    task.counts = &counts[0]
    task.stop = &stop[0]

    for first in range(0, n_labels, width):
        if stop[0]:
            break
        used = <int> min(<int64_t> width, n_labels - first)
        for lane in range(width):
            target[lane] = target_values[first + lane] if lane < used else 0
            ptr[lane] = label_ptr[first + min(lane, used)]
        ptr[width] = label_ptr[first + used]
        with nogil:
            current_level().ridge(task)
        sweeps += counts[0]
        (<Cells> cells).add_block(W, width, used, prune, feature_of)
        for lane in range(used):
            bias_weights[first + lane] = bias * W[d * width + lane]
            all_residuals[first + lane] = residuals[lane]
    return cells, bias_weights, all_residuals, sweeps


def dense_cells(const float[:, ::1] weights, double prune):
    """Return the Cells of dense weights of shape (n_features, n_labels), 16 labels a block."""
    cdef int64_t d = weights.shape[0], n_labels = weights.shape[1], first, f
    cdef int lane, used
    cdef float[::1] W = np.zeros(d * 16, np.float32)
    cdef const int32_t[::1] feature_of = np.arange(d, dtype=np.int32)
    cells = Cells()
    for first in range(0, n_labels, 16):
        used = <int> min(<int64_t> 16, n_labels - first)
        for f in range(d):
            for lane in range(used):
                W[f * 16 + lane] = weights[f, first + lane]
        (<Cells> cells).add_block(W, 16, used, prune, feature_of)
    return cells


def merge_cells(list features, list masks, list values, int64_t n_features):
    """Merge the cells of the groups of one chunk, sorted by feature and then by group.

    Returns (features, row_cells, row_values, cell_groups, cell_masks, values) with offsets that start at 0.
    Cost: O(cells + n_features), by counting.
    """
    cdef int64_t[::1] cell_at = np.zeros(n_features + 1, np.int64), value_at = np.zeros(n_features + 1, np.int64)
    cdef const int32_t[::1] f_view
    cdef const uint16_t[::1] m_view
    cdef const float[::1] v_view
    cdef int64_t i, q, f, n_rows = 0, n_cells = 0, n_values = 0, cell, value, source
    cdef int group
    for group in range(len(features)):
        f_view = features[group]
        m_view = masks[group]
        for i in range(f_view.shape[0]):
            cell_at[f_view[i] + 1] += 1
            value_at[f_view[i] + 1] += _popcount(m_view[i])
    for f in range(n_features):
        n_rows += cell_at[f + 1] > 0
        cell_at[f + 1] += cell_at[f]
        value_at[f + 1] += value_at[f]
    n_cells = cell_at[n_features]
    n_values = value_at[n_features]
    row_features = np.empty(n_rows, np.int32)
    row_cells = np.zeros(n_rows + 1, np.uint32)
    row_values = np.zeros(n_rows + 1, np.uint32)
    cdef int32_t[::1] rf = row_features
    cdef uint32_t[::1] rc = row_cells, rv = row_values
    n_rows = 0
    for f in range(n_features):
        if cell_at[f + 1] > cell_at[f]:
            rf[n_rows] = <int32_t> f
            n_rows += 1
            rc[n_rows] = <uint32_t> cell_at[f + 1]
            rv[n_rows] = <uint32_t> value_at[f + 1]
    cell_groups = np.empty(n_cells, np.uint16)
    cell_masks = np.empty(n_cells, np.uint16)
    packed = np.empty(n_values, np.float32)
    cdef uint16_t[::1] cg = cell_groups, cm = cell_masks
    cdef float[::1] pv = packed
    for group in range(len(features)):
        f_view = features[group]
        m_view = masks[group]
        v_view = values[group]
        source = 0
        for i in range(f_view.shape[0]):
            f = f_view[i]
            cell = cell_at[f]
            cell_at[f] += 1
            cg[cell] = <uint16_t> group
            cm[cell] = m_view[i]
            value = value_at[f]
            for q in range(_popcount(m_view[i])):
                pv[value + q] = v_view[source + q]
            source += _popcount(m_view[i])
            value_at[f] = value + _popcount(m_view[i])
    return row_features, row_cells, row_values, cell_groups, cell_masks, packed


def predict_topk(
    indptr, indices, const float[::1] values, int64_t n, int64_t d,
    const int64_t[::1] chunk_groups, const int64_t[::1] chunk_rows, const int32_t[::1] labels, const float[::1] bias,
    const int32_t[::1] features, const int64_t[::1] chunk_cells, const int64_t[::1] chunk_values,
    const uint32_t[::1] row_cells, const uint32_t[::1] row_values, const uint16_t[::1] cell_groups,
    const uint16_t[::1] cell_masks, weights, const float[::1] chunk_scales, const uint16_t[::1] allowed, int64_t k,
    const uint8_t[::1] stop,
):
    """Return (ids, scores, counts) of the best ``k`` allowed labels of each row."""
    cdef PredictTask task
    cdef int64_t widest = 0, c
    for c in range(chunk_groups.shape[0] - 1):
        widest = max(widest, chunk_groups[c + 1] - chunk_groups[c])
    ids = np.full((n, k), -1, np.int32)
    scores = np.full((n, k), -np.inf, np.float32)
    counts = np.zeros(n, np.int32)
    cdef int32_t[:, ::1] ids_view = ids
    cdef float[:, ::1] scores_view = scores
    cdef int32_t[::1] counts_view = counts
    cdef int32_t[::1] lookup
    cdef float[::1] accumulators = _aligned(widest * 16)
    if n == 0 or k == 0 or widest == 0:
        return ids, scores, counts
    task.rows = describe_rows(indptr, indices, values, n, d, 0)
    if n > 4:
        lookup = np.full(d, -1, np.int32)
        task.lookup = &lookup[0] if d else NULL
    task.chunks.n_chunks = chunk_groups.shape[0] - 1
    task.chunks.chunk_groups = &chunk_groups[0]
    task.chunks.chunk_rows = &chunk_rows[0]
    task.chunks.labels = &labels[0]
    task.chunks.bias = &bias[0]
    task.chunks.features = &features[0] if features.shape[0] else NULL
    task.chunks.chunk_cells = &chunk_cells[0]
    task.chunks.chunk_values = &chunk_values[0]
    task.chunks.row_cells = &row_cells[0]
    task.chunks.row_values = &row_values[0]
    task.chunks.cell_groups = &cell_groups[0] if cell_groups.shape[0] else NULL
    task.chunks.cell_masks = &cell_masks[0] if cell_masks.shape[0] else NULL
    set_values(&task.chunks, weights, chunk_scales)
    task.allowed = &allowed[0]
    task.k = k
    task.scores = &accumulators[0]
    task.top_ids = &ids_view[0, 0]
    task.top_scores = &scores_view[0, 0]
    task.top_counts = &counts_view[0]
    task.stop = &stop[0]
    with nogil:
        current_level().predict(task)
    return ids, scores, counts
