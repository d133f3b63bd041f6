"""Linear models of the residuals of a low-rank model.

Arguments are trusted: ``compression/reml.py`` makes and checks them.
"""

import numpy as np

from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t

from xclassic._kernels.arguments cimport FeatureRows, Rows


cdef extern from "remainders.h" namespace "xclassic" nogil:
    int64_t WIDTH

    cdef struct RemainderTask:
        Rows rows
        const float* square_norms
        const float* targets
        float alpha
        float l1
        int32_t sweeps
        uint64_t seed
        float eps
        float* W
        const uint8_t* stop

    void c_fit "xclassic::fit_remainders"(const RemainderTask&) except +


def fit_remainders(
    FeatureRows rows, *, const float[::1] square_norms, const float[:, ::1] targets, float alpha, float l1,
    int32_t sweeps, float eps, uint64_t seed, const uint8_t[::1] stop,
):
    """Return the weights of up to 16 labels, shape (d, n_labels), for targets of shape (n, n_labels)."""
    cdef int64_t n = rows.rows.n, d = rows.rows.d, used = targets.shape[1]
    padded = np.zeros((n, WIDTH), np.float32)
    padded[:, :used] = targets
    weights = np.zeros((d, WIDTH), np.float32)
    cdef const float[:, ::1] targets_view = padded
    cdef float[:, ::1] weights_view = weights
    cdef RemainderTask task
    task.rows = rows.rows
    task.square_norms = &square_norms[0]
    task.targets = &targets_view[0, 0]
    task.alpha = alpha
    task.l1 = l1
    task.sweeps = sweeps
    task.seed = seed
    task.eps = eps
    task.W = &weights_view[0, 0]
    task.stop = &stop[0]
    with nogil:
        c_fit(task)
    return weights[:, :used]
