"""Label trees the obvious slow way: a tree is a label id, or a list of trees. Imports nothing from the package."""

from math import exp, log, log1p


def grow(parents, labels):
    """The tree of numbered nodes: siblings by number, the leaf of a labeled inner node first, a root if one lacks."""

    def subtree(node):
        children = [subtree(child) for child, parent in enumerate(parents) if parent == node]
        if not children:
            return labels[node]
        return children if labels[node] < 0 else [labels[node], *children]

    roots = [subtree(node) for node, parent in enumerate(parents) if parent == -1]
    return roots[0] if len(roots) == 1 and isinstance(roots[0], list) else roots


def grow_codes(codes):
    """The prefix tree of a dict from label to code: siblings by number."""
    if list(codes.values()) == [()]:
        return next(iter(codes))
    firsts = sorted({code[0] for code in codes.values()})
    return [grow_codes({label: code[1:] for label, code in codes.items() if code[0] == first}) for first in firsts]


def unfold(child_ptr, label, node=0):
    """The tree that level-ordered arrays describe."""
    children = range(child_ptr[node], child_ptr[node + 1])
    return [unfold(child_ptr, label, child) for child in children] if children else int(label[node])


def breadth_first(tree):
    """All subtrees, level by level."""
    found = [tree]
    for subtree in found:
        if isinstance(subtree, list):
            found.extend(subtree)
    return found


def labels_under(tree):
    """The labels of a subtree from left to right."""
    return [label for child in tree for label in labels_under(child)] if isinstance(tree, list) else [tree]


def codes(tree, code=()):
    """A dict from label to code."""
    if not isinstance(tree, list):
        return {tree: code}
    return {label: full for i, child in enumerate(tree) for label, full in codes(child, (*code, i)).items()}


def node_targets(tree, rows):
    """For each row of label sets and each node in level order, whether a label of the row lies at or under the node."""
    return [[any(label in row for label in labels_under(node)) for node in breadth_first(tree)] for row in rows]


def depth(tree):
    """Edges on the longest path."""
    return 1 + max(map(depth, tree)) if isinstance(tree, list) else 0


def cohesion(vectors, items):
    """The sum of the cosines of unit vectors with their mean direction: the length of their sum."""
    return sum(sum(vectors[item][f] for item in items) ** 2 for f in range(len(vectors[0]))) ** 0.5


def shortest_code_cost(counts, branching):
    """Sum of count times length over the best prefix code, by merging the rarest again and again."""
    if len(counts) == 1:
        return counts[0]
    weights, cost = list(counts), 0
    while (len(weights) - 1) % (branching - 1):
        weights.append(0)  # that never comes, so that every merge is full
    while len(weights) > 1:
        weights.sort()
        merged, weights = sum(weights[:branching]), weights[branching:]
        weights.append(merged)
        cost += merged
    return cost


def unit(vector):
    """The vector at length one, or zero."""
    length = sum(value * value for value in vector) ** 0.5
    return [value / length if length else 0.0 for value in vector]


def label_vectors(X, Y, view):
    """For each label the sum of its rows of X, of its rows of Y, or both side by side, of unit length."""
    found = []
    for label in range(len(Y[0])):
        sums = [
            unit([sum(Y[i][label] * rows[i][f] for i in range(len(rows))) for f in range(len(rows[0]))])
            for rows in (X, Y)
        ]
        found.append({"pifa": sums[0], "labels": sums[1], "both": unit([*sums[0], *sums[1]])}[view])
    return found


def contribution(score, margins, j):
    """What the j-th of sibling margins adds to the log-score of the labels under it."""
    m = margins[j]
    if score in ("hinge2", "hinge3"):
        return -(max(0.0, 1 - m) ** int(score[-1]))
    if score == "sigmoid":
        return -log1p(exp(-m)) if m > -500 else m
    if score == "clipped":
        return log(min(max(m, 1e-4), 1.0))
    top = max(margins)
    return m - top - log(sum(exp(other - top) for other in margins))


def beam_search(child_ptr, label, margins, score, beam=None, allowed=None):
    """A dict of the labels that a beam reaches and their probabilities, not below exp(-87)."""
    reached, found = {0: 0.0}, {}
    while reached:
        below = {}
        for node, above in reached.items():
            children = range(child_ptr[node], child_ptr[node + 1])
            of_children = [margins[child] for child in children]
            for j, child in enumerate(children):
                if allowed is not None and not allowed.intersection(labels_under([unfold(child_ptr, label, child)])):
                    continue
                log_score = above + contribution(score, of_children, j)
                if label[child] >= 0:
                    found[label[child]] = exp(max(log_score, -87.0))
                else:
                    below[child] = log_score
        best = sorted(below, key=lambda child: (-below[child], child))[:beam]
        reached = {child: below[child] for child in best}
    return found


def mean_scores(found):
    """The mean probability over trees of each label that any of them scored."""
    labels = set().union(*found)
    return {label: sum(probabilities.get(label, 0.0) for probabilities in found) / len(found) for label in labels}
