"""The obvious versions of the losses that encoders are tuned by: one row, one level, one candidate at a time."""

import numpy as np


def level_candidates(tree, labels_of_rows, rows, vectors, beam, scale):
    """Return the candidates of each level for a batch: the children of true nodes, and of the best ones of each row."""
    ancestors = [{int(node) for label in labels for node in path(tree, label)} for labels in labels_of_rows]
    above, found = {0}, []
    for _ in range(tree.depth):
        nodes = sorted(child for node in above for child in children(tree, node))
        found.append(nodes)
        above = {node for nodes_of_row in ancestors for node in nodes_of_row if node in nodes}
        for row in rows:
            above |= set(sorted(nodes, key=lambda node: -scale * float(row @ vectors[node]))[:beam])
    return found


def level_loss(tree, labels_of_rows, rows, vectors, beam, scale):
    """Return the loss of a batch, and its gradient for the vectors of the nodes."""
    loss, gradient = 0.0, np.zeros_like(vectors)
    for nodes in level_candidates(tree, labels_of_rows, rows, vectors, beam, scale):
        for row, labels in zip(rows, labels_of_rows, strict=True):
            true = {int(node) for label in labels for node in path(tree, label)} & set(nodes)
            if not true:
                continue
            p = np.exp([scale * float(row @ vectors[node]) for node in nodes])
            p /= p.sum()
            for node, share in zip(nodes, p, strict=True):
                wanted = (node in true) / len(true)
                loss -= wanted * np.log(share)
                gradient[node] += scale * (share - wanted) * row
    return loss, gradient


def pair_loss(rows, own, label_rows, labels_of_rows, labels, scale):
    """Return the loss of pairs of a row and its own label, among labels of which the others of the row do not count."""
    loss = 0.0
    for row, label, known in zip(rows, own, labels_of_rows, strict=True):
        scores = {
            other: scale * float(row @ vector)
            for other, vector in zip(labels, label_rows, strict=True)
            if other == label or other not in known
        }
        loss -= scores[label] - np.log(sum(np.exp(score) for score in scores.values()))
    return loss


def path(tree, label):
    """Return the nodes from below the root to a label."""
    node, found = int(tree.leaves[label]), []
    while node > 0:
        found.append(node)
        node = int(tree.parent[node])
    return found


def children(tree, node):
    """Return the children of a node."""
    return range(tree.child_ptr[node], tree.child_ptr[node + 1])
