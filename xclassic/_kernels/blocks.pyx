"""Python entry to the label-block kernels. It fills the tasks of ``block_types.h`` and collects the outputs.

Arguments are trusted: the callers in ``blocks/`` check shapes, dtypes and index ranges.
"""

import os

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from xclassic._kernels.arguments cimport BestLabels, FeatureRows, StoredWeights, c_lanes, c_small_batch, opened, start


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
    """Switch every kernel of the process to the named level. It is meant for tests; users set ``XCLASSIC_SIMD``."""
    global _level
    for i in range(n_levels()):
        if level(i).name.decode() == name and level_runs_here(i):
            _level = i
            return
    known = ", ".join(simd_levels())
    raise ValueError(f"XCLASSIC_SIMD={name!r} cannot be used here; this CPU and build can run: {known}")


use_simd_level(os.environ.get("XCLASSIC_SIMD") or list(reversed(simd_levels()))[0])


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
    """Pruned weights of blocks, block by block: lane mask and packed values of each feature with a weight."""

    cdef public list features, masks, values

    def __init__(self):
        self.features, self.masks, self.values = [], [], []

    cdef add_block(
        self, const float[::1] W, int width, int lanes_used, float prune, const int32_t[::1] feature_of,
        float[::1] values,
    ):
        """Add a block; ``values`` is scratch of ``kept_size()``."""
        cdef int64_t d = feature_of.shape[0], n_values
        masks = np.empty(d + 1, np.uint16)
        cdef uint16_t[::1] masks_view = masks
        with nogil:
            n_values = current_level().keep(
                KeepTask(&W[0], d, width, lanes_used, prune, &masks_view[0], &values[0])
            )
        kept = np.flatnonzero(masks[:d])
        self.features.append(np.asarray(feature_of)[kept])
        self.masks.append(masks[kept])
        self.values.append(np.asarray(values)[:n_values].copy())

    def __reduce__(self):
        return _restore_cells, (self.features, self.masks, self.values)


def _restore_cells(features, masks, values):
    cells = Cells()
    cells.features, cells.masks, cells.values = features, masks, values
    return cells


def lane_width(int64_t n_labels):
    """Return the lanes of the narrowest block, of 2, 4, 8 or 16, that holds ``n_labels``; 16 if they fit no block."""
    return c_lane_width(n_labels)


def train_labels(
    rows, *, const float[::1] square_norms, const int32_t[::1] reading_order,
    const int32_t[::1] feature_of, const float[::1] row_weights, const int64_t[::1] label_ptr,
    const int32_t[::1] label_rows, const float[::1] label_shares, const float[::1] positive_costs,
    const float[::1] negative_costs, int width, int loss, float l1, float eps, int max_passes, double prune,
    uint64_t seed, const uint8_t[::1] stop,
):
    """Train the labels of one task, ``width`` at a time.

    Label j is positive on rows ``label_rows[label_ptr[j]:label_ptr[j + 1]]``, of whose cost it has the part in the same
    place of ``label_shares``, or all. Returns (cells, bias weights, gaps,
    counts); see ``TrainTask`` for the arguments and the counts.
    """
    cdef FeatureRows own = opened(rows)
    cdef int64_t n = own.rows.n, d = own.rows.d, n_labels = label_ptr.shape[0] - 1, first, p
    cdef int lane, used
    cdef TrainTask task
    cdef float bias = own.rows.bias
    cdef float[::1] W = _aligned((d + 1) * width), alpha = _aligned(max(n * width, kept_size(d, width)))
    cdef float[::1] spare = _aligned(spare_size(d, width)), pair_costs
    cdef uint16_t[::1] targets = np.empty(n, np.uint16), active = np.empty(n, np.uint16)
    cdef int32_t[::1] order = np.empty(order_size(n), np.int32)
    cdef float[::1] positive = np.ones(width, np.float32), negative = np.ones(width, np.float32)
    cdef double[::1] gaps = np.zeros(width)
    cdef int64_t[::1] counts = np.zeros(N_COUNTS, np.int64)
    cells = Cells()
    bias_weights = np.zeros(n_labels, np.float32)
    all_gaps = np.zeros(n_labels)
    all_counts = np.zeros(N_COUNTS, np.int64)

    task.rows = own.rows
    task.square_norms = start(square_norms)
    task.row_weights = start(row_weights)
    task.reading_order = start(reading_order)
    task.targets = &targets[0]
    if label_shares is not None:
        pair_costs = _aligned(n * width)
        task.pair_costs = &pair_costs[0]
    task.positive_costs = &positive[0]
    task.negative_costs = &negative[0]
    task.width = width
    task.loss = loss
    task.max_passes = max_passes
    task.seed = seed
    task.eps = eps
    task.l1 = l1
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
        with nogil:
            memset(&targets[0], 0, n * sizeof(uint16_t))
            for lane in range(used):
                positive[lane] = positive_costs[first + lane]
                negative[lane] = negative_costs[first + lane]
                for p in range(label_ptr[first + lane], label_ptr[first + lane + 1]):
                    targets[label_rows[p]] |= <uint16_t> (1 << lane)
            if task.pair_costs != NULL:
                for p in range(n * width):
                    pair_costs[p] = negative[p % width]
                for lane in range(used):
                    for p in range(label_ptr[first + lane], label_ptr[first + lane + 1]):
                        pair_costs[label_rows[p] * width + lane] = positive[lane] * label_shares[p]
            current_level().train(task)
        (<Cells> cells).add_block(W, width, used, prune, feature_of, alpha)
        for lane in range(used):
            bias_weights[first + lane] = bias * W[d * width + lane]
            all_gaps[first + lane] = gaps[lane]
        all_counts += counts
    return cells, bias_weights, all_gaps, all_counts


def ridge_labels(
    rows, *, const float[::1] diagonal, const int32_t[::1] feature_of, const float[::1] row_weights,
    const int64_t[::1] label_ptr, const int32_t[::1] label_rows, const float[::1] target_values, float ridge, int width,
    float tolerance, int max_sweeps, double prune, const uint8_t[::1] stop,
):
    """Fit the ridge regressions of one task, ``width`` at a time.

    Returns (cells, bias weights, relative residuals, sweeps).
    """
    cdef FeatureRows own = opened(rows)
    cdef int64_t d = own.rows.d, n_labels = label_ptr.shape[0] - 1, size = (d + 1) * width
    cdef int64_t first, sweeps = 0
    cdef int lane, used
    cdef RidgeTask task
    cdef float bias = own.rows.bias
    scratch = _aligned(max(4 * size, size + kept_size(d, width)))
    cdef float[::1] W = scratch[:size], residual = scratch[size:2 * size]
    cdef float[::1] direction = scratch[2 * size:3 * size], product = scratch[3 * size:4 * size]
    cdef int64_t[::1] ptr = np.zeros(width + 1, np.int64)
    cdef float[::1] target = np.zeros(width, np.float32)
    cdef double[::1] residuals = np.zeros(width)
    cdef int64_t[::1] counts = np.zeros(1, np.int64)
    cells = Cells()
    bias_weights = np.zeros(n_labels, np.float32)
    all_residuals = np.zeros(n_labels)

    task.rows = own.rows
    task.diagonal = &diagonal[0]
    task.row_weights = start(row_weights)
    task.ridge = ridge
    task.width = width
    task.max_sweeps = max_sweeps
    task.tolerance = tolerance
    task.positive_ptr = &ptr[0]
    task.positives = start(label_rows)
    task.target_values = &target[0]
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
        (<Cells> cells).add_block(W, width, used, prune, feature_of, scratch[size:])
        for lane in range(used):
            bias_weights[first + lane] = bias * W[d * width + lane]
            all_residuals[first + lane] = residuals[lane]
    return cells, bias_weights, all_residuals, sweeps


def dense_cells(const float[:, ::1] weights, *, double prune):
    """Return the Cells of dense weights of shape (n_features, n_labels), 16 labels a block."""
    cdef int64_t d = weights.shape[0], n_labels = weights.shape[1], first, f
    cdef int lane, used
    cdef float[::1] W = np.zeros(d * c_lanes, np.float32), values = np.empty(kept_size(d, c_lanes), np.float32)
    cdef const int32_t[::1] feature_of = np.arange(d, dtype=np.int32)
    cells = Cells()
    for first in range(0, n_labels, c_lanes):
        used = <int> min(<int64_t> c_lanes, n_labels - first)
        for f in range(d):
            for lane in range(used):
                W[f * c_lanes + lane] = weights[f, first + lane]
        (<Cells> cells).add_block(W, c_lanes, used, prune, feature_of, values)
    return cells


def merge_cells(list features, list masks, list values, *, int64_t n_features):
    """Merge the cells of the groups of one chunk, sorted by feature and then by group.

    Returns (features, feature_cell_ptr, feature_value_ptr, cell_groups, cell_masks, values); pointers start at 0.
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
    feature_cell_ptr = np.zeros(n_rows + 1, np.uint32)
    feature_value_ptr = np.zeros(n_rows + 1, np.uint32)
    cdef int32_t[::1] rf = row_features
    cdef uint32_t[::1] rc = feature_cell_ptr, rv = feature_value_ptr
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
    return row_features, feature_cell_ptr, feature_value_ptr, cell_groups, cell_masks, packed


def predict_topk(
    StoredWeights weights, FeatureRows rows, *, const uint16_t[::1] allowed, const float[::1] lane_weights, bint added,
    int64_t k, const uint8_t[::1] stop,
):
    """Return (ids, scores, counts) of the best ``k`` allowed labels of each row; see ``PredictTask``."""
    cdef PredictTask task
    cdef BestLabels found = BestLabels(rows.rows.n, k)
    task.best = found.best
    task.allowed = start(allowed)
    task.weights = start(lane_weights)
    task.added = added
    if k:
        _predict(task, weights, rows, stop)
    return found.arrays()


def predict_all(StoredWeights weights, FeatureRows rows, *, int64_t n_lanes, const uint8_t[::1] stop):
    """Return the scores of all lanes for each row, shape (n_rows, n_lanes)."""
    cdef PredictTask task
    scores = np.zeros((rows.rows.n, n_lanes), np.float32)
    cdef float[:, ::1] out = scores
    if scores.size:
        task.all = &out[0, 0]
        task.n_lanes = n_lanes
        _predict(task, weights, rows, stop)
    return scores


cdef _predict(PredictTask task, StoredWeights weights, FeatureRows rows, const uint8_t[::1] stop):
    """Run a task that says where its scores go."""
    cdef int32_t[::1] lookup
    cdef float[::1] scores = _aligned(weights.widest * c_lanes)
    if rows.rows.n == 0 or weights.widest == 0:
        return
    task.rows = rows.rows
    task.chunks = weights.chunks
    task.scores = &scores[0]
    task.stop = &stop[0]
    if rows.rows.n > c_small_batch and rows.rows.d:
        lookup = np.full(rows.rows.d, -1, np.int32)
        task.lookup = &lookup[0]
    with nogil:
        current_level().predict(task)
