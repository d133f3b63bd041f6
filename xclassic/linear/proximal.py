"""Sparse classifiers with an L1 penalty, label by label, by proximal Newton steps on active features
(Yuan, Chang, Hsieh and Lin, JMLR 11, 2010).

Numba compiles it on the first call.
"""

from __future__ import annotations

import numpy as np

from xclassic._kernels.jit import Jitted

FEWEST_NEW = 16  # Features that may become active in a round, or as many as have a weight if these are more.
ROUNDING = 1e-10  # Duality gaps below it, as shares of the objective, are rounding errors.
INNER = 0.3  # Share of the duality gap over all features to which the problem of the active ones is solved.
PASSES = 4  # Passes over the active features between two measurements of the gap.
SHARE = 0.01  # Share of what the slope of a step promises by which the objective has to fall.
HALVINGS = 30  # A step that is still too long after as many is only rounding errors away from the optimum.
FLATTEST = 1e-6  # Least curvature of a step, as a share of that of rows that all have a loss.


@Jitted
def train_l1(  # type: ignore[no-untyped-def]
    row_ptr, row_features, row_values, column_ptr, column_rows, column_values, sums, squares, bias, label_ptr,
    label_rows, C, eps, max_passes, stop,
):  # fmt: skip
    """Minimize ``|w|_1 + C sum_i max(0, 1 - t_i w.x_i)^2`` for each label, where the constant feature is the last.

    Parameters
    ----------
    row_ptr, row_features, row_values : ndarray of int64, int32, float32
        The rows.
    column_ptr, column_rows, column_values : ndarray of int64, int32, float32
        The same by features.
    sums, squares : ndarray of float64, shape (n_features,), (n_features + 1,)
        Sum of the values of each feature, and of their squares, those of the constant feature last.
    bias : float
        Value of the constant feature.
    label_ptr, label_rows : ndarray of int64, int32
        Positive rows of each label.
    C : float
    eps : float
        Duality gap at which a label is done, as a share of its objective.
    max_passes : int
        Passes over the active features after which a label is done in any case.
    stop : ndarray of uint8, shape (1,)

    Returns
    -------
    ptr : ndarray of int64, shape (n_labels + 1,)
    features, weights : ndarray of int32, float32
        Weights of the labels one after the other, ascending by feature.
    biases : ndarray of float64, shape (n_labels,)
        What the constant feature adds to the scores.
    gaps : ndarray of float64, shape (n_labels,)
        Duality gap as a share of the objective.

    Notes
    -----
    Rows that hold no active feature and are negative all have the same margin, that of the constant feature, so they
    count as one. The cost of a label is a few passes over the rows that hold one of its active features.
    """
    eps = max(eps, ROUNDING)
    n_rows, n_features, n_labels = len(row_ptr) - 1, len(column_ptr) - 1, len(label_ptr) - 1
    place = np.full(n_rows, -1, np.int32)  # Where a row lies among those read; -1 for the others.
    gradient = np.zeros(n_features)
    is_active = np.zeros(n_features + 1, np.bool_)
    ptr = np.zeros(n_labels + 1, np.int64)
    features, weights = np.empty(1024, np.int32), np.empty(1024, np.float32)
    biases, gaps = np.zeros(n_labels), np.zeros(n_labels)
    for label in range(n_labels):
        positives = label_rows[label_ptr[label] : label_ptr[label + 1]]
        active = np.full(1 if bias > 0 else 0, n_features, np.int32)
        w = np.zeros(len(active))
        rows = positives.copy()
        place[rows] = np.arange(len(rows))
        slopes = np.zeros(0)
        gap, passes = np.inf, 0
        while True:
            rows = _touch(column_ptr, column_rows, active, place, rows)
            part = _part(column_ptr, column_rows, column_values, active, place, n_features)
            target = max(INNER * eps, min(INNER, INNER * gap))
            before = passes
            w, slopes, rest, passes = _solve(
                part, active, n_features, squares[active], w, len(positives), len(rows), n_rows - len(rows), bias, C,
                target, passes, max_passes, stop,
            )  # fmt: skip
            gradient[:] = rest * sums
            for r in range(len(rows)):
                i = rows[r]
                change = slopes[r] - rest
                if change != 0:
                    for p in range(row_ptr[i], row_ptr[i + 1]):
                        gradient[row_features[p]] += change * row_values[p]
            constant = abs(bias * (slopes.sum() + rest * (n_rows - len(rows)))) if bias > 0 else 0.0
            steepest = max(constant, np.abs(gradient).max()) if n_features else constant
            gap = _gap(w, slopes, rest, n_rows - len(rows), steepest, C)
            if gap <= eps or passes >= max_passes or stop[0]:
                break
            is_active[active] = True
            new = _violators(gradient, is_active, max(FEWEST_NEW, np.count_nonzero(w)))
            is_active[active] = False
            if len(new) == 0 and passes == before:  # The target was too loose for any step.
                if target <= INNER * eps:
                    break
                gap = target
            active = np.concatenate((active, new))
            w = np.concatenate((w, np.zeros(len(new))))
        place[rows] = -1
        if stop[0]:
            break
        gaps[label] = gap
        kept = np.flatnonzero(w)
        kept = kept[np.argsort(active[kept])]
        end = ptr[label]
        if end + len(kept) > len(features):
            features = np.concatenate((features, np.empty(end + len(kept), np.int32)))
            weights = np.concatenate((weights, np.empty(end + len(kept), np.float32)))
        for a in kept:
            if active[a] == n_features:
                biases[label] = bias * w[a]
            else:
                features[end], weights[end] = active[a], w[a]
                end += 1
        ptr[label + 1] = end
    return ptr, features[: ptr[-1]].copy(), weights[: ptr[-1]].copy(), biases, gaps


@Jitted
def _touch(column_ptr, column_rows, active, place, rows):  # type: ignore[no-untyped-def]
    """Return `rows` and after them those that hold an active feature; write the places of the new ones."""
    n, n_rows = len(rows), len(place)
    most = n
    for j in active:
        if j < len(column_ptr) - 1:
            most += column_ptr[j + 1] - column_ptr[j]
    all_rows = np.empty(min(most, n_rows), np.int32)
    all_rows[:n] = rows
    for j in active:
        if j == len(column_ptr) - 1:
            continue
        for p in range(column_ptr[j], column_ptr[j + 1]):
            i = column_rows[p]
            if place[i] < 0:
                place[i] = n
                all_rows[n] = i
                n += 1
    return all_rows[:n]


@Jitted
def _part(column_ptr, column_rows, column_values, active, place, n_features):  # type: ignore[no-untyped-def]
    """Return the columns of the active features with rows numbered by place."""
    ptr = np.zeros(len(active) + 1, np.int64)
    for a in range(len(active)):
        j = active[a]
        ptr[a + 1] = ptr[a] + (column_ptr[j + 1] - column_ptr[j] if j < n_features else 0)
    rows, values = np.empty(ptr[-1], np.int32), np.empty(ptr[-1], np.float32)
    for a in range(len(active)):
        j = active[a]
        for q in range(ptr[a + 1] - ptr[a]):
            p = column_ptr[j] + q
            rows[ptr[a] + q] = place[column_rows[p]]
            values[ptr[a] + q] = column_values[p]
    return ptr, rows, values


@Jitted
def _solve(  # type: ignore[no-untyped-def]
    part, active, n_features, squares, w, n_positives, n_places, n_rest, bias, C, target, passes, max_passes, stop
):
    """Take proximal Newton steps over the active features until the gap of their problem is at most `target`.

    A step takes the curvature of the rows that have a loss now, and is halved until the objective falls as much as its
    slope promises. The constant feature, the first one, moves with all others, so it takes its turn whenever as many
    entries were read as it has. Return the weights, the slope of the loss at each row read and at the others, and the
    number of passes so far.
    """
    ptr, rows, values = part
    n = len(active)
    z = _margins(part, active, n_features, w, n_places, bias)
    slopes, gradient = np.zeros(n_places), np.zeros(n)
    order, state = np.arange(n), np.uint64(n_positives)
    while True:
        _, rest = _losses(z, n_positives, n_rest, C, slopes)
        steepest = 0.0
        for a in range(n):
            if active[a] == n_features:
                gradient[a] = bias * (slopes.sum() + rest * n_rest)
            else:
                total = 0.0
                for p in range(ptr[a], ptr[a + 1]):
                    total += slopes[rows[p]] * values[p]
                gradient[a] = total
            steepest = max(steepest, abs(gradient[a]))
        gap = _gap(w, slopes, rest, n_rest, steepest, C)
        if passes >= max_passes or stop[0] or gap <= target:
            return w, slopes, rest, passes
        for _ in range(PASSES):
            passes += 1
            moved = False
            for b in range(n - 1, 0, -1):
                state = state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)
                other = np.int64((state >> np.uint64(33)) % np.uint64(b + 1))
                order[b], order[other] = order[other], order[b]
            read = 0
            for a in order:
                if active[a] != n_features:
                    column = rows[ptr[a] : ptr[a + 1]], values[ptr[a] : ptr[a + 1]]
                    moved |= _move(w, a, z, column, squares[a], n_positives, C)
                    read += ptr[a + 1] - ptr[a]
                if bias > 0 and (active[a] == n_features or read >= n_places):
                    moved |= _move_constant(w, 0, z, squares[0], n_positives, n_rest, bias, C)
                    read = 0
            if not moved:
                break
        if not moved:  # Rounding errors are all that is left.
            _, rest = _losses(z, n_positives, n_rest, C, slopes)
            return w, slopes, rest, max(passes, max_passes) if target <= ROUNDING else passes


@Jitted
def _move(w, a, z, column, square, n_positives, C):  # type: ignore[no-untyped-def]
    """Move the weight of one feature and the margins `z` of its rows; return whether it moved."""
    rows, values = column
    slope, curvature, loss = 0.0, 0.0, 0.0
    for p in range(len(rows)):
        r, x = rows[p], np.float64(values[p])
        room = 1 - z[r] if r < n_positives else 1 + z[r]
        if room > 0:
            slope += -room * x if r < n_positives else room * x
            curvature += x * x
            loss += room * room
    slope, curvature, loss = 2 * C * slope, 2 * C * curvature, C * loss
    step = _newton_step(w[a], slope, max(curvature, FLATTEST * 2 * C * square))
    if step == 0:
        return False
    promised = abs(w[a] + step) - abs(w[a]) + slope * step
    for _ in range(HALVINGS):
        penalty = abs(w[a] + step) - abs(w[a])
        if slope * step + C * square * step * step + penalty <= SHARE * promised:
            break  # The bound by the largest curvature falls enough, so the objective does.
        new_loss = 0.0
        for p in range(len(rows)):
            r = rows[p]
            margin = z[r] + step * values[p]
            room = 1 - margin if r < n_positives else 1 + margin
            if room > 0:
                new_loss += room * room
        if C * new_loss - loss + penalty <= SHARE * promised:
            break
        step *= 0.5
        promised *= 0.5
    else:
        return False
    w[a] += step
    for p in range(len(rows)):
        z[rows[p]] += step * values[p]
    return True


@Jitted
def _move_constant(w, a, z, square, n_positives, n_rest, bias, C):  # type: ignore[no-untyped-def]
    """Do what `_move` does for the constant feature, which all rows hold."""
    slope, curvature, loss = 0.0, 0.0, 0.0
    for r in range(len(z)):
        weight = n_rest if r == len(z) - 1 else 1
        room = 1 - z[r] if r < n_positives else 1 + z[r]
        if room > 0:
            slope += -room if r < n_positives else weight * room
            curvature += weight
            loss += weight * room * room
    slope, curvature, loss = 2 * C * slope * bias, 2 * C * curvature * bias * bias, C * loss
    step = _newton_step(w[a], slope, max(curvature, FLATTEST * 2 * C * square))
    if step == 0:
        return False
    promised = abs(w[a] + step) - abs(w[a]) + slope * step
    for _ in range(HALVINGS):
        new_loss = 0.0
        for r in range(len(z)):
            margin = z[r] + step * bias
            room = 1 - margin if r < n_positives else 1 + margin
            if room > 0:
                new_loss += (n_rest if r == len(z) - 1 else 1) * room * room
        if C * new_loss - loss + abs(w[a] + step) - abs(w[a]) <= SHARE * promised:
            break
        step *= 0.5
        promised *= 0.5
    else:
        return False
    w[a] += step
    z += step * bias
    return True


@Jitted
def _newton_step(w, slope, curvature):  # type: ignore[no-untyped-def]
    """Return the step to the minimum of the penalty and a parabola."""
    if curvature == 0:
        return 0.0
    if slope + 1 <= curvature * w:
        return -(slope + 1) / curvature
    if slope - 1 >= curvature * w:
        return -(slope - 1) / curvature
    return -w


@Jitted
def _margins(part, active, n_features, w, n_places, bias):  # type: ignore[no-untyped-def]
    """Return the scores of the rows read, and last that of the others."""
    ptr, rows, values = part
    z = np.zeros(n_places + 1)
    for a in range(len(active)):
        if w[a] == 0:
            continue
        if active[a] == n_features:
            z += bias * w[a]
        else:
            for p in range(ptr[a], ptr[a + 1]):
                z[rows[p]] += w[a] * values[p]
    return z


@Jitted
def _losses(z, n_positives, n_rest, C, slopes):  # type: ignore[no-untyped-def]
    """Return the loss and its slope at the rows that are not read; write the slopes at those that are."""
    total = 0.0
    for r in range(len(slopes)):
        room = max(0.0, 1 - z[r]) if r < n_positives else max(0.0, 1 + z[r])
        total += room * room
        slopes[r] = -2 * C * room if r < n_positives else 2 * C * room
    room = max(0.0, 1 + z[-1])
    return C * (total + n_rest * room * room), 2 * C * room


@Jitted
def _gap(w, slopes, rest, n_rest, steepest, C):  # type: ignore[no-untyped-def]
    """Return the duality gap as a share of the objective.

    The dual is ``max sum_i a_i - a_i^2 / (4 C)`` with ``a_i >= 0`` and ``|sum_i a_i t_i x_ij| <= 1`` for each
    feature j. Sizes of slopes are such numbers when they are scaled so that the steepest gradient is 1.
    """
    total, squares = rest * n_rest, rest * rest * n_rest
    for slope in slopes:
        total += abs(slope)
        squares += slope * slope
    squares /= 4 * C
    primal = np.abs(w).sum() + squares
    if primal == 0:
        return 0.0
    scale = min(total / (2 * squares), 1 / steepest if steepest > 0 else np.inf) if squares > 0 else 0.0
    return (primal - scale * total + scale * scale * squares) / primal


@Jitted
def _violators(gradient, is_active, most):  # type: ignore[no-untyped-def]
    """Return about `most` inactive features that the optimum may give a weight, those of the steepest gradients."""
    n = 0
    found = np.empty(len(gradient), np.int32)
    for j in range(len(gradient)):
        if not is_active[j] and abs(gradient[j]) > 1:
            found[n] = j
            n += 1
    found = found[:n]
    if n > most:
        steepness = np.abs(gradient[found])
        found = found[steepness >= np.partition(steepness, n - most)[n - most]]
    return found
