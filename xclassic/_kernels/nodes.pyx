"""Python entry to the node trainer of ``nodes.h``.

Arguments are trusted: ``label_tree/nodes.py`` makes them.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libcpp.vector cimport vector

from xclassic._kernels.arguments cimport FeatureRows, Rows, copied, opened, start
from xclassic._kernels.blocks cimport Level, current_level


cdef extern from "nodes.h" namespace "xclassic" nogil:
    cdef struct NodeTask:
        Rows rows
        const float* square_norms
        const int32_t* feature_of
        int64_t n_features
        int64_t n_nodes
        const int64_t* row_ptr
        const int32_t* node_rows
        const float* row_mass
        const int64_t* child_ptr
        const int64_t* positive_ptr
        const int32_t* positives
        const float* positive_mass
        const uint64_t* seeds
        int32_t loss
        float cost
        float negative_cost
        const float* child_costs
        float eps
        int32_t max_passes
        float prune
        const Level* level
        const uint8_t* stop

    cdef cppclass ChunkParts:
        vector[int64_t] chunk_feature_ptr, chunk_cell_ptr, chunk_value_ptr
        vector[int32_t] features
        vector[uint32_t] feature_cell_ptr, feature_value_ptr
        vector[uint16_t] cell_groups, cell_masks
        vector[float] values
        vector[float] bias
        vector[double] residuals

    cdef cppclass NodeTrainer:
        NodeTrainer(const NodeTask&, ChunkParts&) except +
        void train_all() except +


def train_nodes(
    rows, *, const float[::1] square_norms, const int32_t[::1] feature_of, int64_t n_features,
    const int64_t[::1] row_ptr, const int32_t[::1] node_rows, const float[::1] row_mass, const int64_t[::1] child_ptr,
    const int64_t[::1] positive_ptr, const int32_t[::1] positives, const float[::1] positive_mass,
    const uint64_t[::1] seeds, int loss, float cost, float negative_cost, const float[::1] child_costs, float eps,
    int max_passes, float prune, const uint8_t[::1] stop,
):
    """Train the children of some nodes; see ``NodeTask``. Returns the members of ``ChunkParts`` as a dict of arrays."""
    cdef FeatureRows own = opened(rows)
    cdef NodeTask task
    cdef ChunkParts parts
    cdef NodeTrainer* trainer
    task.rows = own.rows
    task.square_norms = &square_norms[0]
    task.feature_of = start(feature_of)
    task.n_features = n_features
    task.n_nodes = row_ptr.shape[0] - 1
    task.row_ptr = &row_ptr[0]
    task.node_rows = start(node_rows)
    task.row_mass = start(row_mass)
    task.child_ptr = &child_ptr[0]
    task.positive_ptr = &positive_ptr[0]
    task.positives = start(positives)
    task.positive_mass = start(positive_mass)
    task.seeds = &seeds[0]
    task.loss = loss
    task.cost = cost
    task.negative_cost = negative_cost
    task.child_costs = start(child_costs)
    task.eps = eps
    task.max_passes = max_passes
    task.prune = prune
    task.level = current_level()
    task.stop = &stop[0]
    trainer = new NodeTrainer(task, parts)
    try:
        with nogil:
            trainer.train_all()
    finally:
        del trainer
    return {
        "chunk_feature_ptr": copied(parts.chunk_feature_ptr.data(), parts.chunk_feature_ptr.size(), np.int64),
        "chunk_cell_ptr": copied(parts.chunk_cell_ptr.data(), parts.chunk_cell_ptr.size(), np.int64),
        "chunk_value_ptr": copied(parts.chunk_value_ptr.data(), parts.chunk_value_ptr.size(), np.int64),
        "features": copied(parts.features.data(), parts.features.size(), np.int32),
        "feature_cell_ptr": copied(parts.feature_cell_ptr.data(), parts.feature_cell_ptr.size(), np.uint32),
        "feature_value_ptr": copied(parts.feature_value_ptr.data(), parts.feature_value_ptr.size(), np.uint32),
        "cell_groups": copied(parts.cell_groups.data(), parts.cell_groups.size(), np.uint16),
        "cell_masks": copied(parts.cell_masks.data(), parts.cell_masks.size(), np.uint16),
        "values": copied(parts.values.data(), parts.values.size(), np.float32),
        "bias": copied(parts.bias.data(), parts.bias.size(), np.float32),
        "residuals": copied(parts.residuals.data(), parts.residuals.size(), np.float64),
    }
