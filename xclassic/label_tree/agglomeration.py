"""Label trees by agglomeration: the two most similar groups of labels are merged, again and again."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, vstack

import xclassic._kernels.agglomerate as kernels
from xclassic.label_tree.tree import LabelTree
from xclassic.parallel import StopByte, run_tasks
from xclassic.validation.features import Features, canonical, check_rows
from xclassic.validation.parameters import check_choice, check_number

DISTANCES = ("pifa", "jaccard", "iou", "count")
LINKAGES = kernels.LINKAGES
FARTHEST = {"pifa": 1.0, "jaccard": 1.0, "iou": 0.0, "count": 0.0}  # Distance of labels that share nothing.
EXACT = 5000  # At most this many labels get all their cosines.
NEIGHBORS = 50  # Largest cosines kept of each of more labels.
BLOCK = 256  # Labels whose cosines with all others are held at once.


def agglomerate(similarity: Any, linkage: str = "average", farthest: float = 0.0) -> NDArray[np.float64]:
    """Merge all items by a sparse similarity.

    Parameters
    ----------
    similarity : sparse matrix or array-like, shape (n, n)
        Symmetric; entries that are not stored, and negative ones, count as 0.
    linkage : {"average", "complete", "single"}, default="average"
        Similarity of two groups: mean, smallest or largest of their pairs.
    farthest : float, default=0.0
        Distance of items of similarity 0; a merge at similarity s has distance ``farthest - s``.

    Returns
    -------
    ndarray of float64, shape (n - 1, 4)
        A linkage matrix like scipy's: the clusters merged, their distance, and the number of items.

    Raises
    ------
    ValueError, TypeError
        If `linkage` is unknown, or `similarity` is not square, symmetric and finite.

    Notes
    -----
    The heights, and without ties the merges, are those of ``scipy.cluster.hierarchy.linkage`` on the dense distances.
    Among equally near groups the one with the smallest item is taken. Groups that share nothing are joined last, the
    smallest first, so that they form a balanced tree.

    Cost: nearest-neighbor chains, about ``n`` scans of a list of neighbors, and for average and single linkage
    ``O(nnz log n)`` moves of entries. Memory: 30 to 60 bytes for each stored entry; never ``n`` times ``n``.

    References
    ----------
    .. [1] D. Müllner, "Modern hierarchical, agglomerative clustering algorithms", arXiv:1109.2378, 2011.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from xclassic.label_tree import agglomerate
    >>> agglomerate(csr_array([[0, 0.5, 0], [0.5, 0, 0.25], [0, 0.25, 0]]), "single", farthest=1.0)
    array([[0.  , 1.  , 0.5 , 2.  ],
           [2.  , 3.  , 0.75, 3.  ]])
    """
    check_choice("linkage", linkage, LINKAGES)
    similarity = canonical(similarity, "similarity").astype(np.float64)
    _check_symmetric(similarity)
    items, merged_at = run_tasks(
        partial(_agglomerate, linkage=LINKAGES.index(linkage)), [similarity], description="merging labels"
    )[0]
    order = np.argsort(-merged_at, kind="stable")
    clusters, sizes = kernels.number_clusters(items[order])
    return np.column_stack([clusters, farthest - merged_at[order], sizes]).astype(np.float64)


def _agglomerate(similarity: csr_array, stop: StopByte, linkage: int) -> Any:
    return kernels.agglomerate(
        indptr=similarity.indptr.astype(np.int64),
        indices=similarity.indices.astype(np.int32),
        similarities=similarity.data,
        linkage=linkage,
        stop=stop,
    )


def _check_symmetric(similarity: csr_array) -> None:
    if similarity.shape[0] != similarity.shape[1]:
        raise ValueError(f"similarity has shape {similarity.shape}; pass a row and a column for each item.")
    if not np.isfinite(similarity.data).all():
        raise ValueError("similarity holds NaN or infinity; pass finite numbers.")
    difference = (similarity - similarity.T).tocoo()
    if difference.data.any():
        i, j = (places[np.flatnonzero(difference.data)[0]] for places in difference.coords)
        raise ValueError(
            f"similarity[{i}, {j}] is {similarity[i, j]:g} and similarity[{j}, {i}] is {similarity[j, i]:g}; pass a "
            f"symmetric matrix, for example similarity.maximum(similarity.T)."
        )


def label_similarity(Y: csr_array, vectors: Features | None, distance: str, n_jobs: int | None = None) -> csr_array:
    """Return how similar labels are; see `cooccurrence_tree`.

    Parameters
    ----------
    Y : csr_array of ones, shape (n_rows, n_labels)
    vectors : csr_array or ndarray, shape (n_labels, d), or None
        Label vectors of unit length, for ``distance="pifa"``.
    distance : {"pifa", "jaccard", "iou", "count"}
    n_jobs : int, optional

    Returns
    -------
    csr_array of float64, shape (n_labels, n_labels)
        Symmetric, with an empty diagonal.
    """
    if distance == "pifa":
        similarity = _cosines(csr_array(vectors), n_jobs)
    else:
        shared = csr_array(Y.T @ Y).astype(np.float64)
        if distance != "count":
            rows_of = shared.diagonal()
            row = np.repeat(np.arange(shared.shape[0]), np.diff(shared.indptr))
            shared.data /= rows_of[row] + rows_of[shared.indices] - shared.data
        similarity = shared
    similarity.setdiag(0)
    similarity.eliminate_zeros()
    return similarity


def _cosines(vectors: csr_array, n_jobs: int | None) -> csr_array:
    """Return all cosines of a few labels, or those of the nearest neighbors of many."""
    n = vectors.shape[0]
    kept = n if n <= EXACT else NEIGHBORS + 1
    starts = range(0, n, BLOCK)
    blocks = run_tasks(partial(_nearest, vectors, csr_array(vectors.T), kept), starts, n_jobs=n_jobs)
    cosines = csr_array(vstack(blocks, format="csr")).astype(np.float64)
    return csr_array(cosines.maximum(cosines.T))


def _nearest(vectors: csr_array, transposed: csr_array, kept: int, start: int, stop: StopByte) -> csr_array:
    """Return the largest `kept` cosines of each label of a block; ties go to the smallest label ids."""
    cosines = csr_array(vectors[start : start + BLOCK] @ transposed)
    if kept >= cosines.shape[1]:
        return cosines
    for i in range(cosines.shape[0]):
        row = slice(cosines.indptr[i], cosines.indptr[i + 1])
        own = cosines.data[row]
        if len(own) > kept:
            least = np.partition(own, len(own) - kept)[len(own) - kept]
            own[own < least] = 0
            tied = np.flatnonzero(own == least)
            by_label = tied[np.argsort(cosines.indices[row][tied])]
            own[by_label[kept - np.count_nonzero(own > least) :]] = 0
    cosines.eliminate_zeros()
    return cosines


def cooccurrence_tree(
    Y: Any,
    vectors: Any = None,
    *,
    distance: str = "jaccard",
    linkage: str = "average",
    max_leaf: int = 1,
    max_share: float = 0.7,
    max_depth: int | None = None,
    n_jobs: int | None = None,
) -> LabelTree:
    """Group labels by agglomeration.

    Parameters
    ----------
    Y : sparse or dense 0-1 matrix, shape (n_rows, n_labels)
        Labels without a row are left out of the tree.
    vectors : sparse matrix or array-like, shape (n_labels, d), optional
        Label vectors, needed only for ``distance="pifa"``; see `label_vectors`.
    distance : {"pifa", "jaccard", "iou", "count"}
        Distance of two labels: 1 minus the cosine of their vectors, 1 minus the Jaccard index of their sets of rows,
        minus that index, or minus the number of rows they share. For more than 5,000 labels only the 50 largest cosines
        of each label are taken; the others count as 0.
    linkage : {"average", "complete", "single"}
        See `agglomerate`.
    max_leaf : int, default=1
        A group of at most this many labels becomes a node with these as its children.
    max_share : float, default=0.7
        A node of which one child has more than this share of the labels is dissolved in its parent, which then has more
        children: chains that split off one label after another become one node. Above 0, at most 1.
    max_depth : int, optional
        At most this many edges from the root to a label, at least 1; by default ``2 log2(n_labels)``. Nodes below it
        are dissolved.
    n_jobs : int, optional

    Returns
    -------
    LabelTree

    Raises
    ------
    TypeError, ValueError
        If a parameter is out of range, `Y` has no label or other values than 1, or `vectors` are missing where they
        are needed or are not one for each label.

    Notes
    -----
    Memory: the similarities, 12 bytes for each pair of labels that share a row (or 100 pairs for each label with "pifa"
    beyond 5,000 labels), and a few times that while merging.

    Examples
    --------
    >>> from scipy.sparse import csr_array
    >>> from xclassic.label_tree import cooccurrence_tree
    >>> Y = csr_array([[1, 0, 1, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 1, 1, 1]])
    >>> print(cooccurrence_tree(Y).draw(label_names=["jazz", "bread", "opera", "cake"]))
    4 labels: bread, cake, jazz, ...
    ├── 2 labels: bread, cake
    │   ├── bread
    │   └── cake
    └── 2 labels: jazz, opera
        ├── jazz
        └── opera
    """
    check_choice("distance", distance, DISTANCES)
    check_choice("linkage", linkage, LINKAGES)
    check_number("max_leaf", max_leaf, minimum=1, integer=True)
    check_number("max_share", max_share, minimum=0, maximum=1, inclusive=False)
    if max_depth is not None:
        check_number("max_depth", max_depth, minimum=1, integer=True)
    Y = csr_array(check_rows(Y, "Y"))
    if Y.nnz == 0 or (Y.data != 1).any():
        raise ValueError("Y must be a sparse matrix of ones, at least one; drop explicit zeros and weights.")
    vectors = None if vectors is None else check_rows(vectors, "vectors")
    if distance == "pifa" and (vectors is None or vectors.shape[0] != Y.shape[1]):
        found = "None" if vectors is None else f"of shape {vectors.shape}"
        raise ValueError(f"vectors is {found}; distance='pifa' needs one for each of the {Y.shape[1]} labels of Y.")
    labels = np.unique(Y.indices)
    if len(labels) == 1:
        return LabelTree.flat(labels, Y.shape[1])
    own_vectors = vectors[labels] if vectors is not None and distance == "pifa" else None
    similarity = label_similarity(csr_array(Y[:, labels]), own_vectors, distance, n_jobs)
    merges = agglomerate(similarity, linkage, FARTHEST[distance])[:, :2].astype(np.int64)
    m = len(labels)
    parents = np.full(2 * m - 1, -1)
    parents[merges.ravel()] = np.repeat(m + np.arange(m - 1), 2)
    ids = np.full(2 * m - 1, -1)
    ids[:m] = labels
    sizes = np.concatenate([np.ones(m, np.int64), _sizes(merges)])
    largest = np.concatenate([np.ones(m, np.int64), sizes[merges].max(axis=1)])
    dissolved = (sizes > 1) & ((largest > max_share * sizes) | (sizes[parents] <= max_leaf))
    dissolved[-1] = False
    parents = _dissolve(parents, dissolved)
    limit = max(1, round(2 * np.log2(m))) if max_depth is None else max_depth
    parents = _dissolve(parents, (sizes > 1) & ~dissolved & (_depths(parents) >= limit))
    used = np.zeros(2 * m - 1, np.bool_)
    used[:m] = used[parents[parents >= 0]] = True
    number = np.cumsum(used) - 1
    kept = parents[used]
    return LabelTree.from_parents(np.where(kept < 0, -1, number[kept]), labels=ids[used], n_labels=Y.shape[1])


def _sizes(merges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the number of items of each merge."""
    m = len(merges) + 1
    sizes = [1] * m
    for first, second in merges.tolist():
        sizes.append(sizes[first] + sizes[second])
    return np.array(sizes[m:])


def _dissolve(parents: NDArray[np.int64], dissolved: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Attach the children of dissolved nodes to the nearest ancestor that stays."""
    stays = np.where(dissolved, parents, np.arange(len(parents)))
    while dissolved[stays].any():
        stays = stays[stays]
    return np.where(parents < 0, -1, stays[parents])


def _depths(parents: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the depth of each node. Parents have larger numbers than their children."""
    depths = np.zeros(len(parents), np.int64)
    for node in range(len(parents) - 2, -1, -1):
        depths[node] = depths[parents[node]] + 1
    return depths
