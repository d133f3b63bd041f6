"""Codes of labels the obvious slow way. Imports nothing from the package."""

from itertools import product


def trellis(n_paths, width):
    """The paths of a trellis, each the tuple of its states from the first layer on: the digits of the paths' number."""
    digits = []
    while n_paths > width:
        n_paths, digit = divmod(n_paths, width)
        digits.append(digit)
    digits.append(n_paths)
    paths = []
    for layer, n_ends in reversed(list(enumerate(digits))):
        for end in range(n_ends):
            paths += [(*states[::-1], end) for states in product(range(width), repeat=layer)]
    return paths


def edges(path, n_layers):
    """The edges of a path: pairs of a layer's state and the one before, and one to the sink before the last layer."""
    found = [(layer, path[layer - 1] if layer else None, state) for layer, state in enumerate(path)]
    return found if len(path) == n_layers else [*found, ("sink", len(path), path[-1])]


def ranked(sums, labels, k):
    """The labels of the largest sums, equal ones by label, without those below 0."""
    scored = [(-total, label) for total, label in zip(sums, labels, strict=True) if label >= 0]
    return [label for _, label in sorted(scored)[:k]]
