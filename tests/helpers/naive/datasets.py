"""Plain twins of the data set kernels: the obvious code, for comparison. Nothing here imports a kernel."""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
from scipy.sparse import csr_array

MAX_IDS = 2**31 - 1
LARGEST = np.finfo(np.float32).max


def read_xmc(path):
    """Read a valid file with a header, plain text: what anyone would write first."""
    with open(path) as file:
        n_points, n_features, n_labels = map(int, file.readline().split())
        values, features, feature_ptr, labels, label_ptr = [], [], [0], [], [0]
        for line in file:
            ids, _, cells = line.partition(" ")
            if ids.strip():
                labels.extend(map(int, ids.split(",")))
            for cell in cells.split():
                feature, value = cell.split(":")
                features.append(int(feature))
                values.append(float(value))
            feature_ptr.append(len(features))
            label_ptr.append(len(labels))
    X = csr_array((np.array(values, np.float32), features, feature_ptr), shape=(n_points, n_features))
    Y = csr_array((np.ones(len(labels), np.float32), labels, label_ptr), shape=(n_points, n_labels))
    return X, Y


class Malformed(Exception):
    """The text is not in the grammar; carries the number of the line."""


_VALUE = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ID = re.compile(rb"\d+")


def parse_xmc(text, zero_based=None):
    """Parse any bytes by the grammar that `read_xmc` documents, line by line, into lists of dicts and sets.

    Returns ``(rows, labels, n_features, n_labels)`` or raises `Malformed` with the number of the culprit line, or None
    where the file as a whole is wrong.
    """
    text = text.removeprefix(b"\xef\xbb\xbf")
    lines = text.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    numbered = [(number, line.removesuffix(b"\r")) for number, line in enumerate(lines, 1)]
    while numbered and numbered[0][1].startswith(b"#"):
        numbered.pop(0)
    if not numbered:
        raise Malformed(None)
    n_points, n_features, n_labels, first = None, MAX_IDS, MAX_IDS, 0 if zero_based is not False else 1
    if re.fullmatch(rb"[ \t]*\d+([ \t]+\d+)+[ \t]*", numbered[0][1]):
        number, line = numbered.pop(0)
        counts = [int(word) for word in line.split()]
        if len(counts) != 3 or max(counts) > MAX_IDS:
            raise Malformed(number)
        n_points, n_features, n_labels = counts
    elif zero_based is None:
        raise Malformed(numbered[0][0])
    rows, labels = [], []
    for number, line in numbered:
        if line.startswith(b"#"):
            continue
        if n_points is not None and len(rows) == n_points:
            if line:
                raise Malformed(number)
            continue
        if not line and n_points is None:
            raise Malformed(number)
        row, label = _parse_line(number, line, first, n_features, n_labels)
        rows.append(row)
        labels.append(label)
    if n_points is not None and len(rows) < n_points:
        raise Malformed(None)
    if n_points is None:
        n_features = max((feature + 1 for row in rows for feature in row), default=0)
        n_labels = max((id + 1 for label in labels for id in label), default=0)
    return rows, labels, n_features, n_labels


def _parse_line(number, line, first, n_features, n_labels):
    words = re.split(rb"[ \t]+", re.sub(rb",[ \t]+", b",", line) if _starts_with_labels(line) else line)
    labels = set()
    if _starts_with_labels(line):
        for word in words.pop(0).split(b","):
            if not _ID.fullmatch(word) or int(word) >= n_labels:
                raise Malformed(number)
            labels.add(int(word))
    row = {}
    for word in words:
        if not word:
            continue
        id, colon, value = word.partition(b":")
        if not colon or not _ID.fullmatch(id) or not _VALUE.fullmatch(value):
            raise Malformed(number)
        feature = int(id) - first
        if not 0 <= feature < n_features or feature in row:
            raise Malformed(number)
        row[feature] = nearest_float32(value)
        if not math.isfinite(row[feature]):
            raise Malformed(number)
    return row, labels


def _starts_with_labels(line):
    return bool(line) and line[:1] not in b" \t" and not re.match(rb"\d+:", line)


def nearest_float32(text):
    """Round decimal text to float32 by exact arithmetic, ties to the even mantissa."""
    mantissa, _, exponent = text.decode().lower().partition("e")
    sign = np.float32(-1 if mantissa.startswith("-") else 1)
    digits = Fraction(mantissa.strip("+-"))
    power = min(max(int(exponent or 0), -1000), 1000)  # the texts tried are far shorter than 1000 digits
    exact = digits * Fraction(10) ** power
    if exact >= 2**128 - 2**103:
        return sign * np.float32(np.inf)
    guess = np.float32(min(float(exact), float(LARGEST)))
    neighbors = [np.nextafter(guess, np.float32(0)), guess, np.nextafter(guess, LARGEST)]
    distances = [(abs(Fraction(float(value)) - exact), int(value.view(np.uint32)) & 1) for value in neighbors]
    return sign * neighbors[distances.index(min(distances))]


def stratify(Y, coins, shares, room):
    """Return the sides of rows before sizes are made up, straight from the rules of `stratified_split` and of folds."""
    labels = [set(np.flatnonzero(row)) for row in Y]
    n_rows, n_labels = Y.shape
    sides, totals = [set() for _ in shares], Y.sum(axis=0)
    first = 1 if shares[0] == 0 else 0

    def count(side, label):
        return sum(label in labels[row] for row in side)

    def remaining(label):
        return [row for row in range(n_rows) if label in labels[row] and row not in set().union(*sides)]

    def loses(row, side):
        """Whether train of a test side loses a label."""
        everywhere = {other for other in labels[row] if len(remaining(other)) == 1}
        return side > 0 and any(count(sides[side], other) + 1 == totals[other] for other in everywhere)

    def place(row, label=None):
        order = np.roll(np.arange(first, len(sides)), -coins[row])
        allowed = [side for side in order.tolist() if not loses(row, side)]
        lacks = {
            side: totals[label] * shares[side] - count(sides[side], label) for side in allowed if label is not None
        }
        best = max(allowed, key=lambda side: (lacks.get(side, 0), room[side] - len(sides[side])), default=0)
        sides[best].add(row)

    while rarest := min(
        ((len(remaining(label)), label) for label in range(n_labels) if remaining(label)), default=None
    ):
        for row in remaining(rarest[1]):
            place(row, rarest[1])
    for row in range(n_rows):
        if not labels[row]:
            place(row)
    return [next(number for number, side in enumerate(sides) if row in side) for row in range(n_rows)]
