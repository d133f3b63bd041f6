"""Rows and label trees at random, and what a node of a fitted tree holds."""

import numpy as np
from scipy.sparse import csr_array

from xclassic import LabelTree


def unit_random(n, d, seed=0, density=0.3):
    random = np.random.default_rng(seed)
    rows = random.random((n, d)) * (random.random((n, d)) < density)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return csr_array(rows.astype(np.float32))


def random_shape(n_labels, seed):
    """A tree of random arity, with leaves at different depths, over a random order of the labels."""
    random = np.random.default_rng(seed)
    labels = random.permutation(n_labels).tolist()
    parents, ids, open_nodes = [-1], [-1], [0]
    for label in labels:
        if random.random() < 0.4:
            parents.append(int(random.choice(open_nodes)))
            ids.append(-1)
            open_nodes.append(len(parents) - 1)
        parents.append(int(random.choice(open_nodes)) if random.random() < 0.6 else open_nodes[-1])
        ids.append(label)
    childless = [node for node in open_nodes[1:] if node not in parents]
    while childless:  # an inner node without children is not a node
        for node in childless:
            parents[node], ids[node] = None, None
        keep = [i for i, parent in enumerate(parents) if parent is not None]
        number = {old: new for new, old in enumerate(keep)}
        parents = [-1 if parents[i] == -1 else number[parents[i]] for i in keep]
        ids = [ids[i] for i in keep]
        childless = [node for node, label in enumerate(ids) if label < 0 and node and node not in parents]
    return LabelTree.from_parents(parents, ids, n_labels=n_labels)


def weights_of_node(model, node):
    """Weights and bias of one node."""
    weights = model.weights.to_csc(model.tree.n_nodes)[:, [node]].toarray().ravel()
    return weights, float(model.weights.bias[np.flatnonzero(model.weights.labels == node)[0]])
