"""The active-set solver of PPDSparse for rare labels. Numba compiles it on the first call.

It reads the rows near a label instead of all rows. The bias is held at -1 or below, so that a row on which no weight
lies has a margin of at most -1: as a negative it costs nothing. Rows that cost something are found through the columns
of the weights.
"""

from __future__ import annotations

import numpy as np

from xclassic._kernels.jit import Jitted

COARSE = 5  # The largest gradient at which a search follows is at first this many times eps, then smaller.
SWEEPS = 100  # Sweeps over the active rows after which a search follows in any case.
GROWTH = 2  # A search adds the worst violators, at most this many times the active rows, or as many as FIRST rows.
FIRST = 32
SHARE = 0.25  # Share of the tolerance by which a margin may be unknown before rows are read in full.
LONG = 32  # The first search leaves out columns that hold more than one row in this many.


@Jitted
def solve_labels(  # type: ignore[no-untyped-def]
    indptr,
    indices,
    values,
    column_ptr,
    column_rows,
    column_values,
    squares,
    label_ptr,
    label_rows,
    l1,
    cost,
    bias,
    eps,
    max_rounds,
    seed,
    stop,
):
    """Minimize the objective of `PPDSparse` for some labels, with ``bias b <= -1``.

    With alpha_i >= 0 for the active rows, ``v = sum_i alpha_i t_i x_i``, w is its soft threshold at l1, and b is v of
    the constant feature, cut to ``-1 / bias``.

    Parameters
    ----------
    indptr, indices, values : ndarray of int64, int32, float32
        Rows of X.
    column_ptr, column_rows, column_values : ndarray of int64, int32, float32
        Its columns.
    squares : ndarray of float32, shape (n_rows,)
        Squared length of each row, the constant feature not included.
    label_ptr, label_rows : ndarray of int64, int32
        Positive rows of each label.
    l1, cost, bias : float
    eps : float
        Duality gap, as a share of ``(|w|^2 + b^2) / 2``, at which a label is done.
    max_rounds : int
        Searches for violators after which a label is given up.
    seed : int
    stop : ndarray of uint8, shape (1,)

    Returns
    -------
    weight_ptr, features, weights : ndarray of int64, int32, float32
        The nonzero weights of each label.
    biases : ndarray of float32
        ``bias b``.
    gaps : ndarray of float64
        Duality gap of each label when last measured, and about what the bound on b costs, as the same share.
    active_ptr, active_rows : ndarray of int64, int32
        Rows with alpha above 0.
    work : ndarray of int64, shape (4,)
        Searches, entries of columns read, sweeps, entries of rows read.

    Notes
    -----
    Memory: ``22 n_rows + 17 n_features`` bytes.
    """
    n, d, n_labels = len(squares), len(column_ptr) - 1, len(label_ptr) - 1
    random = np.full(1, seed, np.int64)
    longest = np.sqrt(squares.max())
    v, known, features, seen = np.zeros(d), np.zeros(d, np.float32), np.empty(d, np.int32), np.zeros(d, np.bool_)
    alpha, active, sign = np.zeros(n), np.empty(n, np.int32), np.zeros(n, np.int8)
    sums, touched, marked = np.zeros(n, np.float32), np.empty(n, np.int32), np.zeros(n, np.bool_)
    weight_ptr, active_ptr = np.zeros(n_labels + 1, np.int64), np.zeros(n_labels + 1, np.int64)
    kept_features, kept_weights = np.empty(1024, np.int32), np.empty(1024, np.float32)
    kept_rows = np.empty(1024, np.int32)
    biases, gaps, work = np.zeros(n_labels, np.float32), np.zeros(n_labels), np.zeros(4, np.int64)
    for label in range(n_labels):
        if stop[0]:
            break
        n_active = n_features = n_touched = 0
        v_bias = 0.0
        for q in range(label_ptr[label], label_ptr[label + 1]):
            sign[label_rows[q]] = 1
            active[n_active] = label_rows[q]
            n_active += 1
            n_features = _list_features(indptr, indices, label_rows[q], seen, features, n_features)
        tolerance = COARSE * eps
        for search in range(max_rounds):
            v_bias = _sweep(
                indptr, indices, values, squares, active[:n_active], sign, alpha, v, v_bias, l1, cost, bias, tolerance,
                random, work, stop,
            )  # fmt: skip
            room = -1 - bias * min(v_bias, -1 / bias)  # A row violates if its w.x is above this.
            found, excesses, loss, n_touched = _violators(
                indptr, indices, values, column_ptr, column_rows, column_values, features[:n_features], v, known, l1,
                room, tolerance, search == 0, longest, sign, sums, touched, marked, n_touched, work,
            )  # fmt: skip
            gap, held = _gap(
                indptr, indices, values, active[:n_active], features[:n_features], sign, alpha, v, v_bias, l1, cost,
                bias, cost * loss,
            )  # fmt: skip
            if stop[0] or (search > 0 and (gap <= eps / 2 or gap + held <= eps)):
                break
            if search > 0 and len(found) == 0:
                tolerance /= 2
            limit = max(FIRST, GROWTH * n_active)
            if len(found) > limit:
                found = found[excesses >= np.partition(excesses, len(found) - limit)[len(found) - limit]]
            for q in range(len(found)):
                sign[found[q]] = -1
                active[n_active] = found[q]
                n_active += 1
                n_features = _list_features(indptr, indices, found[q], seen, features, n_features)
        end, end_active = weight_ptr[label], active_ptr[label]
        while len(kept_features) < end + n_features:
            kept_features = np.concatenate((kept_features, np.empty_like(kept_features)))
            kept_weights = np.concatenate((kept_weights, np.empty_like(kept_weights)))
        while len(kept_rows) < end_active + n_active:
            kept_rows = np.concatenate((kept_rows, np.empty_like(kept_rows)))
        for q in range(n_active):
            i = active[q]
            if alpha[i] > 0:
                kept_rows[end_active] = i
                end_active += 1
            alpha[i], sign[i] = 0, 0
        for q in range(n_features):
            f = features[q]
            w = _soft(v[f], l1)
            if w != 0:
                kept_features[end], kept_weights[end] = f, w
                end += 1
            v[f], known[f], seen[f] = 0, 0, False
        for q in range(n_touched):
            sums[touched[q]], marked[touched[q]] = 0, False
        weight_ptr[label + 1], active_ptr[label + 1] = end, end_active
        biases[label], gaps[label] = bias * min(v_bias, -1 / bias), gap + held
    return (
        weight_ptr,
        kept_features[: weight_ptr[-1]],
        kept_weights[: weight_ptr[-1]],
        biases,
        gaps,
        active_ptr,
        kept_rows[: active_ptr[-1]],
        work,
    )


@Jitted
def _soft(v, l1):  # type: ignore[no-untyped-def]
    """Return the soft threshold of v."""
    return v - min(max(v, -l1), l1)


@Jitted
def _shuffle(items, random):  # type: ignore[no-untyped-def]
    """Shuffle the items; a linear congruential generator keeps its state in `random`."""
    for q in range(len(items) - 1, 0, -1):
        random[0] = random[0] * 1103515245 + 12345 & 0x7FFFFFFF
        other = (random[0] >> 8) % (q + 1)
        items[q], items[other] = items[other], items[q]


@Jitted
def _dot(indptr, indices, values, i, v, l1):  # type: ignore[no-untyped-def]
    """Return ``w.x_i``."""
    total = 0.0
    for p in range(indptr[i], indptr[i + 1]):
        total += values[p] * _soft(v[indices[p]], l1)
    return total


@Jitted
def _list_features(indptr, indices, i, seen, features, n_features):  # type: ignore[no-untyped-def]
    """Add the features of a row to the list, and return its new length."""
    for p in range(indptr[i], indptr[i + 1]):
        f = indices[p]
        if not seen[f]:
            seen[f] = True
            features[n_features] = f
            n_features += 1
    return n_features


@Jitted
def _sweep(  # type: ignore[no-untyped-def]
    indptr, indices, values, squares, active, sign, alpha, v, v_bias, l1, cost, bias, tolerance, random, work, stop
):
    """Move the dual variables of the active rows until no gradient exceeds the tolerance; return v of the bias.

    The step is safe since w moves by no more than v does.
    """
    for _ in range(SWEEPS):
        largest = 0.0
        work[2] += 1
        _shuffle(active, random)  # In a fixed order descent crawls along the constant feature, which all rows share.
        for q in range(len(active)):
            i = active[q]
            t = sign[i]
            work[3] += indptr[i + 1] - indptr[i]
            b = min(v_bias, -1 / bias)
            gradient = t * (_dot(indptr, indices, values, i, v, l1) + bias * b) - 1 + alpha[i] / (2 * cost)
            if alpha[i] == 0:
                gradient = min(gradient, 0.0)
            largest = max(largest, abs(gradient))
            if abs(gradient) <= 0.1 * tolerance:
                continue
            curvature = squares[i] + 1 / (2 * cost)
            change = max(-alpha[i], -gradient / curvature)
            if v_bias + t * bias * change < -1 / bias or v_bias < -1 / bias:  # There b moves as well.
                change = max(-alpha[i], -gradient / (curvature + bias * bias))
            alpha[i] += change
            v_bias += t * bias * change
            for p in range(indptr[i], indptr[i + 1]):
                v[indices[p]] += t * change * values[p]
        if largest <= tolerance or stop[0]:
            break
    return v_bias


@Jitted
def _gap(  # type: ignore[no-untyped-def]
    indptr, indices, values, active, features, sign, alpha, v, v_bias, l1, cost, bias, primal
):
    """Return the duality gap, and about what the bound on b costs, as shares of ``(|w|^2 + b^2) / 2``.

    `primal` is the loss of the rows that are not active. Without the bound all of them would share the sum of dual
    variables that it holds back, which costs the more, the fewer they are.
    """
    b = min(v_bias, -1 / bias)
    square, dual = b * b, (b - v_bias) * b
    for q in range(len(features)):
        w = _soft(v[features[q]], l1)
        square += w * w
        primal += l1 * abs(w)
    for q in range(len(active)):
        i = active[q]
        hinge = max(1 - sign[i] * (_dot(indptr, indices, values, i, v, l1) + bias * b), 0.0)
        primal += cost * hinge * hinge
        dual += alpha[i] - alpha[i] * alpha[i] / (4 * cost)
    held = (v_bias - b) / bias
    return (primal + square - dual) / (0.5 * square), held * held / (4 * cost * len(sign)) / (0.5 * square)


@Jitted
def _violators(  # type: ignore[no-untyped-def]
    indptr, indices, values, column_ptr, column_rows, column_values, features, v, known, l1, room, tolerance,
    first, longest, sign, sums, touched, marked, n_touched, work,
):  # fmt: skip
    """Return the rows that are not active and whose ``w.x`` exceeds `room` by more than the tolerance, and by how much.

    Also return a bound on the sum of squares of what rows that are not active exceed it by, and the number of rows
    touched.

    `sums` holds ``known.x`` of the rows touched. Columns of weights that have changed are read until the rest of the
    change can add no more than a share of the tolerance to any row, by the inequality of Cauchy and Schwarz; rows that
    may then be violators are read in full. The first search looks for candidates only and leaves out long columns.
    """
    n, n_changed = len(sign), 0
    changed, keys = np.empty(len(features), np.int32), np.empty(len(features))
    for q in range(len(features)):
        f = features[q]
        change = _soft(v[f], l1) - known[f]
        if change != 0:
            changed[n_changed] = f
            keys[n_changed] = change * change / (column_ptr[f + 1] - column_ptr[f])
            n_changed += 1
    order = np.argsort(keys[:n_changed])
    square = 0.0
    work[0] += 1
    for q in range(n_changed):
        f = changed[order[q]]
        length = column_ptr[f + 1] - column_ptr[f]
        w = _soft(v[f], l1)
        step = np.float32(w - known[f])
        if longest * np.sqrt(square + step * step) <= SHARE * tolerance or (first and LONG * length > n):
            square += step * step
            continue
        known[f] = w
        work[1] += length
        for p in range(column_ptr[f], column_ptr[f + 1]):
            i = column_rows[p]
            if not marked[i]:
                marked[i] = True
                touched[n_touched] = i
                n_touched += 1
            sums[i] += step * column_values[p]
    rest = 0.0 if first else longest * np.sqrt(square)
    n_found, loss = 0, 0.0
    found, excesses = np.empty(n_touched, np.int32), np.empty(n_touched)
    for q in range(n_touched):
        i = touched[q]
        excess = sums[i] + rest - room
        if sign[i] != 0 or excess <= 0:
            continue
        if excess > tolerance and rest > 0:
            work[3] += indptr[i + 1] - indptr[i]
            excess = max(_dot(indptr, indices, values, i, v, l1) - room, 0.0)
        loss += excess * excess
        if excess > tolerance:
            found[n_found], excesses[n_found] = i, excess
            n_found += 1
    return found[:n_found], excesses[:n_found], loss, n_touched
