"""Hinge-loss machines whose margins other labels add to, by dual coordinate descent, one label after the other.

Numba compiles it on the first call.
"""

from __future__ import annotations

import numpy as np

from xclassic._kernels.jit import Jitted


@Jitted
def train_hinge(  # type: ignore[no-untyped-def]
    row_ptr, features, values, square_norms, bias, n_features, label_ptr, label_rows, own_ptr, own_rows, own_duals,
    other_ptr, other_rows, other_duals, diagonal, positive_cost, negative_cost, tol, max_passes, seed, stop,
):  # fmt: skip
    """Solve for each label ``min_a r/2 |X^T a|^2 + (X^T b) . (X^T a) - sum_i |a_i|``, with ``0 <= t_i a_i <= C_i``.

    Parameters
    ----------
    row_ptr, features, values : ndarray of int64, int32, float32
        The rows.
    square_norms : ndarray of float32, shape (n_rows,)
        With that of the constant feature.
    bias : float
    n_features : int
    label_ptr, label_rows : ndarray of int64, int32
        Positive rows of each label, for which t is 1.
    own_ptr, own_rows, own_duals : ndarray of int64, int32, float64
        Dual variables a of each label to start from, with the sign of t.
    other_ptr, other_rows, other_duals : ndarray of int64, int32, float64
        What the labels that it is coupled with add up to, the b above.
    diagonal : ndarray of float64, shape (n_labels,)
        The r of each label.
    positive_cost, negative_cost : float
        The C of positive rows, and of all others.
    tol : float
        Largest projected gradient of a pass at which a label is done.
    max_passes : int
    seed : int
        Of the order of the rows.
    stop : ndarray of uint8, shape (1,)

    Returns
    -------
    ptr, rows, duals : ndarray of int64, int32, float64
        The a of each label, without zeros.
    violations : ndarray of float64, shape (n_labels,)
        Largest projected gradient of each label in its first pass.
    """
    n_rows, n_labels = len(row_ptr) - 1, len(label_ptr) - 1
    np.random.seed(seed)  # noqa: NPY002
    ptr = np.zeros(n_labels + 1, np.int64)
    rows, duals = np.empty(1024, np.int32), np.empty(1024)
    violations = np.zeros(n_labels)
    dual, target = np.zeros(n_rows), np.full(n_rows, -1.0)
    own, other = np.zeros(n_features + 1), np.zeros(n_features + 1)
    order = np.arange(n_rows).astype(np.int32)
    for label in range(n_labels):
        positives = label_rows[label_ptr[label] : label_ptr[label + 1]]
        target[positives] = 1
        own[:] = 0
        other[:] = 0
        for p in range(own_ptr[label], own_ptr[label + 1]):
            dual[own_rows[p]] = own_duals[p]
            _add(own, row_ptr, features, values, bias, own_rows[p], own_duals[p])
        for p in range(other_ptr[label], other_ptr[label + 1]):
            _add(other, row_ptr, features, values, bias, other_rows[p], other_duals[p])
        w = diagonal[label] * own + other
        violations[label] = _descend(w, dual, target, order, row_ptr, features, values, square_norms, bias,
                                     diagonal[label], positive_cost, negative_cost, tol, max_passes, stop)  # fmt: skip
        if stop[0]:
            break
        support = np.flatnonzero(dual)
        end = ptr[label] + len(support)
        if end > len(rows):
            rows = np.concatenate((rows, np.empty(end, np.int32)))
            duals = np.concatenate((duals, np.empty(end)))
        rows[ptr[label] : end] = support
        duals[ptr[label] : end] = dual[support]
        ptr[label + 1] = end
        dual[support] = 0
        target[positives] = -1
    return ptr, rows[: ptr[-1]].copy(), duals[: ptr[-1]].copy(), violations


@Jitted
def _add(w, row_ptr, features, values, bias, i, factor):  # type: ignore[no-untyped-def]
    """Add a multiple of row i to weights, of which the last is that of the constant feature."""
    for p in range(row_ptr[i], row_ptr[i + 1]):
        w[features[p]] += factor * values[p]
    w[-1] += factor * bias


@Jitted
def _descend(  # type: ignore[no-untyped-def]
    w,
    dual,
    target,
    order,
    row_ptr,
    features,
    values,
    square_norms,
    bias,
    r,
    positive_cost,
    negative_cost,
    tol,
    max_passes,
    stop,
):
    """Visit the rows in random order, leave out those that rest at a bound, and look at all of them in the end.

    Return the largest projected gradient of the first pass.
    """
    n_active, bound, whole, first = len(order), np.inf, True, 0.0
    for number in range(max_passes):
        highest = 0.0
        position = 0
        while position < n_active:
            other = position + np.random.randint(n_active - position)  # noqa: NPY002
            i = order[other]
            order[other] = order[position]
            order[position] = i
            margin = bias * w[-1]
            for p in range(row_ptr[i], row_ptr[i + 1]):
                margin += values[p] * w[features[p]]
            gradient = target[i] * margin - 1
            size = target[i] * dual[i]
            C = positive_cost if target[i] > 0 else negative_cost
            rests = (size <= 0 and gradient >= 0) or (size >= C and gradient <= 0)
            if rests and abs(gradient) > bound:
                n_active -= 1
                order[position] = order[n_active]
                order[n_active] = i
                continue
            position += 1
            curvature = r * square_norms[i]
            if rests or curvature == 0:  # The weights do not depend on a row without features.
                continue
            highest = max(highest, abs(gradient))
            new = target[i] * min(C, max(0.0, size - gradient / curvature))
            if new != dual[i]:
                _add(w, row_ptr, features, values, bias, i, r * (new - dual[i]))
                dual[i] = new
        if number == 0:
            first = highest
        if stop[0] or (highest <= tol and whole):
            break
        if highest <= tol:
            n_active, bound, whole = len(order), np.inf, True
        else:
            bound, whole = highest, False
    return first
