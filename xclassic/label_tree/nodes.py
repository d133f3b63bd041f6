"""Node training: in every inner node of a tree a linear model of each child, over the rows that reach the node."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

import xclassic._kernels.nodes as kernels
from xclassic._kernels.arguments import LANES, LOSSES
from xclassic.blocks.problem import BlockProblem, places_in
from xclassic.blocks.training import Trained
from xclassic.blocks.weights import BlockWeights, half_precision
from xclassic.label_tree.search import TreeModel, lanes_of_children, search
from xclassic.label_tree.tree import LabelTree
from xclassic.parallel import StopByte, run_tasks
from xclassic.rows import ScaledRows, TrainingRows

MAX_CHILDREN = LANES << 16  # At most this many children per node: the group of a cell is a 16-bit number.
TASKS = 96  # Tasks per tree, each at least one node. There are more if they would be large.
LARGE = 1 << 20  # Blocks of children times rows, a few seconds, from which on a task is large.


@dataclass(frozen=True)
class NodeSolver:
    """What is fitted for the children of a node.

    Attributes
    ----------
    loss : {"squared_hinge", "logistic", "least_squares", "softmax"}
    cost : float
        Cost of an error; for least squares the ridge penalty.
    eps : float
        Duality gap or residual at which a child is done: see `train_blocks` and `ridge_blocks`.
    max_passes : int
    prune : float
        Weights of at most this absolute value are dropped.
    half : bool
        Keep finished weights in half precision.
    negative_cost : float
        Factor of the cost of a negative, for squared hinge and logistic loss.
    """

    loss: str
    cost: float
    eps: float
    max_passes: int
    prune: float
    half: bool = False
    negative_cost: float = 1.0


@dataclass
class NodeRows:
    """The rows that reach each node of one level, node by node.

    Attributes
    ----------
    ptr : ndarray of int64, shape (n_nodes + 1,)
    rows : ndarray of int32
        Ascending within a node.
    mass : ndarray of float32 or None
        The weight of the row, times the largest relevance that a label under the node has in it; None if all are one.
    """

    ptr: NDArray[np.int64]
    rows: NDArray[np.int32]
    mass: NDArray[np.float32] | None

    def of(self, first: int, last: int) -> NodeRows:
        """Return the rows of nodes first to last - 1, with pointers from zero."""
        begin, end = self.ptr[first], self.ptr[last]
        mass = None if self.mass is None else self.mass[begin:end]
        return NodeRows(self.ptr[first : last + 1] - begin, self.rows[begin:end], mass)

    def weighted(self, weights: NDArray[np.float32]) -> NodeRows:
        """Return the same with each mass multiplied by the weight of the row."""
        of_rows = weights[self.rows]
        return replace(self, mass=of_rows if self.mass is None else of_rows * self.mass)


class _NodesTask(NamedTuple):
    """Some inner nodes of a level, for one worker to train.

    Attributes
    ----------
    reach : NodeRows
        Rows of the nodes.
    child_ptr : ndarray of int64, shape (n_nodes + 1,)
        Children of each node, counted from the first child of the first node.
    positive : NodeRows
        Rows of the children.
    seeds : ndarray of int64, shape (n_nodes,)
    costs : ndarray of float32, shape (n_children,), or None
        Factors of the costs of the children; None for ones.
    """

    reach: NodeRows
    child_ptr: NDArray[np.int64]
    positive: NodeRows
    seeds: NDArray[np.int64]
    costs: NDArray[np.float32] | None


def rows_by_level(Y: csr_array, tree: LabelTree, graded: bool = False) -> list[NodeRows]:
    """Return for each level of the tree the rows that have a label at or under each of its nodes.

    Parameters
    ----------
    Y : csr_array, shape (n_rows, n_labels)
    tree : LabelTree
    graded : bool
        Whether the entries of `Y` are relevances, above 0; otherwise they all count as ones.
    """
    paths = tree.paths()
    levels = []
    for depth in range(tree.depth + 1):
        first, last = tree.level_ptr[depth], tree.level_ptr[depth + 1]
        node = paths[:, depth]
        node = np.where(node < 0, last, node) - first  # Labels that end above go to a column of their own.
        columns = csr_array((Y.data, node[Y.indices], Y.indptr), shape=(Y.shape[0], last - first + 1), copy=True)
        columns = _largest(columns) if graded else columns
        columns.sum_duplicates()
        by_node = columns.tocsc()
        end = by_node.indptr[last - first]
        levels.append(
            NodeRows(
                by_node.indptr[:-1].astype(np.int64),
                by_node.indices[:end].astype(np.int32),
                by_node.data[:end].astype(np.float32) if graded else None,
            )
        )
    return levels


def _largest(columns: csr_array) -> csr_array:
    """Keep the largest of the entries that are stored at the same position."""
    row = np.repeat(np.arange(columns.shape[0]), np.diff(columns.indptr))
    order = np.lexsort((-columns.data, columns.indices, row))
    row, column, data = row[order], columns.indices[order], columns.data[order]
    first = np.ones(len(row), np.bool_)
    first[1:] = (row[1:] != row[:-1]) | (column[1:] != column[:-1])
    return csr_array((data[first], (row[first], column[first])), shape=columns.shape)


def train_tree(
    problem: BlockProblem,
    Y: csr_array,
    tree: LabelTree,
    solver: NodeSolver,
    *,
    graded: bool = False,
    all_rows: bool = False,
    matcher: Matcher | None = None,
    row_weights: NDArray[np.float32] | None = None,
    label_weight: NDArray[np.float32] | None = None,
    children: NDArray[np.int64] | None = None,
    seed: int = 0,
    n_jobs: int | None = None,
    verbose: int = 0,
) -> Trained:
    """Train every node of a tree on the rows that have a label under it.

    Parameters
    ----------
    problem : BlockProblem
        The problem of all rows.
    Y : csr_array, shape (n_rows, n_labels)
        Labels that are not in the tree are ignored.
    tree : LabelTree
    solver : NodeSolver
    graded : bool
        Read the entries of `Y` as relevances: a child gets the share of a row's weight that is its largest relevance
        under the child divided by that under the node. Not for least squares and softmax.
    all_rows : bool
        Train the root on rows without labels too, as negatives of all its children. There a row counts as one at least,
        so that a smaller relevance is a smaller share of it.
    matcher : Matcher, optional
        Train each node also on the rows that the trained levels above send to it.
    row_weights : ndarray of float32, shape (n_rows,), optional
        Factors of the costs of the rows.
    label_weight : ndarray of float32, shape (n_labels,), optional
        Factors of the costs in the models of the labels, not in those of nodes above. Not for least squares and
        softmax.
    children : ndarray of int64, optional
        The only nodes whose models are trained, ascending; by default all but the root. Not with a matcher, which needs
        the levels above.
    seed : int
    n_jobs, verbose
        See `run_tasks`.

    Returns
    -------
    Trained
        Weights with a chunk for each inner node that has such children, whose "labels" are their numbers, and a
        residual for each child.

    Notes
    -----
    Memory in addition to the finished weights: per worker the rows of the largest node, or of a map at most 16 bytes
    for each of its rows and features, with ``64`` bytes for each row and each feature that occurs there; and 4 bytes
    for each pair of a row and a node that it reaches.
    """
    if children is not None and matcher is not None:
        raise ValueError("A matcher follows the levels above a node, so all nodes are trained.")
    options: dict[str, Any] = {"graded": graded, "all_rows": all_rows, "row_weights": row_weights}
    options["label_weight"] = label_weight
    if matcher is None:
        options |= {"n_jobs": n_jobs, "verbose": verbose}
        return train_trees(problem, Y, [tree], solver, children=children, seeds=[seed], **options)[0]
    trained = np.arange(1, tree.n_nodes)
    reaching, cut = _levels(Y, tree, solver, trained, seed, **options)
    parts = _run(problem, solver, cut(0, reaching[0]), n_jobs, verbose)
    for depth in range(1, tree.depth):
        top = _truncated(tree, depth)
        weights = _gather([dict(part) for part in parts], top, np.arange(1, top.n_nodes), problem.n_features)
        reached = _united(reaching[depth], matcher.reached(TreeModel(top, weights), n_jobs), row_weights)
        parts += _run(problem, solver, cut(depth, reached), n_jobs, verbose)
    return _trained(parts, tree, trained, problem.n_features)


def train_trees(
    problem: BlockProblem,
    Y: csr_array,
    trees: list[LabelTree],
    solver: NodeSolver,
    *,
    children: NDArray[np.int64] | None = None,
    seeds: list[int],
    n_jobs: int | None = None,
    verbose: int = 0,
    **options: Any,
) -> list[Trained]:
    """Train the nodes of several trees, all at once, so that no worker waits for the last nodes of a tree.

    Parameters and memory are those of `train_tree`, with a seed for each of `trees`.
    """
    tasks: list[list[_NodesTask]] = []
    trained = [np.arange(1, tree.n_nodes) if children is None else children for tree in trees]
    for tree, nodes, seed in zip(trees, trained, seeds, strict=True):
        reaching, cut = _levels(Y, tree, solver, nodes, seed, **options)
        by_level = (cut(depth, reaching[depth]) for depth in range(tree.depth))
        tasks.append(list(itertools.chain.from_iterable(by_level)))
    parts = iter(_run(problem, solver, list(itertools.chain.from_iterable(tasks)), n_jobs, verbose))
    parts_of = [list(itertools.islice(parts, len(own))) for own in tasks]
    return [_trained(*own, problem.n_features) for own in zip(parts_of, trees, trained, strict=True)]


def _refuse_wide(tree: LabelTree, solver: NodeSolver) -> None:
    widest = int(np.diff(tree.child_ptr).max())
    if solver.loss == "softmax" and widest > LANES:
        raise ValueError(f"A node has {widest} children; loss='softmax' takes {LANES} at most. Use loss='logistic'.")
    if widest > MAX_CHILDREN:
        raise ValueError(f"A node has {widest} children; {MAX_CHILDREN} is the most. Group them below further nodes.")


def _levels(
    Y: csr_array,
    tree: LabelTree,
    solver: NodeSolver,
    trained: NDArray[np.int64],
    seed: int,
    *,
    graded: bool = False,
    all_rows: bool = False,
    row_weights: NDArray[np.float32] | None = None,
    label_weight: NDArray[np.float32] | None = None,
) -> tuple[list[NodeRows], Callable[[int, NodeRows], list[_NodesTask]]]:
    """Return the rows of the nodes of each level, and what cuts a level and the rows of its nodes into tasks."""
    _refuse_wide(tree, solver)
    positives = reaching = rows_by_level(Y, tree, graded)
    if row_weights is not None:
        reaching = [level.weighted(row_weights) for level in positives]
        positives = reaching if graded else positives  # Otherwise a child has all of the mass of a row, or nothing.
    if all_rows:
        reaching = [_all_rows(Y.shape[0], reaching[0], row_weights), *reaching[1:]]
    costs = None if label_weight is None else np.where(tree.label >= 0, label_weight[tree.label], np.float32(1))
    return reaching, partial(_tasks_of_level, tree, positives=positives, seed=seed, trained=trained, costs=costs)


def _run(
    problem: BlockProblem, solver: NodeSolver, tasks: list[_NodesTask], n_jobs: int | None, verbose: int
) -> list[dict[str, Any]]:
    train = partial(_train_task, problem, solver)
    return run_tasks(train, tasks, n_jobs=n_jobs, description="training nodes", verbose=verbose, pieces=True)


def _trained(parts: list[dict[str, Any]], tree: LabelTree, children: NDArray[np.int64], n_features: int) -> Trained:
    residuals = np.concatenate([part.pop("residuals") for part in parts])
    return Trained(_gather(parts, tree, children, n_features), residuals, np.zeros(1, np.int64))


@dataclass(frozen=True)
class Matcher:
    """How rows find nodes that they do not belong to.

    Attributes
    ----------
    X : csr_array, ScaledRows or ndarray of float32
        The rows, as a search sees them.
    score : str
    beam : int
        Nodes that a row reaches on each level.
    """

    X: TrainingRows
    score: str
    beam: int

    def reached(self, model: TreeModel, n_jobs: int | None) -> NodeRows:
        """Return the rows that reach each of the lowest nodes of a tree, which are its first "labels"."""
        n_nodes = int(np.diff(model.tree.level_ptr)[-1])
        starts = range(0, self.X.shape[0], 1024)
        parts = run_tasks(partial(_match, self, model), starts, n_jobs=n_jobs)
        ids = np.concatenate(parts)
        rows, slots = np.nonzero((ids >= 0) & (ids < n_nodes))
        nodes = ids[rows, slots]
        order = np.lexsort((rows, nodes))
        ptr = np.concatenate([[0], np.cumsum(np.bincount(nodes, minlength=n_nodes))])
        return NodeRows(ptr, rows[order].astype(np.int32), None)


def _match(matcher: Matcher, model: TreeModel, start: int, stop: StopByte) -> NDArray[np.int32]:
    end = min(start + 1024, matcher.X.shape[0])
    rows = matcher.X.rows(start, end) if isinstance(matcher.X, ScaledRows) else matcher.X[start:end]
    return search([model], rows, matcher.beam, score=matcher.score, beam=matcher.beam).ids


def _truncated(tree: LabelTree, depth: int) -> LabelTree:
    """Return the levels down to `depth`, whose nodes become labels 0, 1, ...; labels above it get the next numbers."""
    last = int(tree.level_ptr[depth + 1])
    n_lowest = last - int(tree.level_ptr[depth])
    child_ptr = np.minimum(tree.child_ptr[: last + 1], last)
    label = np.where(tree.label[:last] < 0, -1, 0)
    label[last - n_lowest :] = np.arange(n_lowest)
    above = np.flatnonzero(label[: last - n_lowest] == 0)
    label[above] = n_lowest + np.arange(len(above))
    return LabelTree(child_ptr, label, n_lowest + len(above))


def _all_rows(n_rows: int, root: NodeRows, row_weights: NDArray[np.float32] | None) -> NodeRows:
    """Return all rows as those of the root, which `root` has of the rows with labels; they count as one at least."""
    mass = None
    if root.mass is not None:
        mass = np.ones(n_rows, np.float32) if row_weights is None else row_weights.copy()
        mass[root.rows] = np.maximum(mass[root.rows], root.mass)
    return NodeRows(np.array([0, n_rows]), np.arange(n_rows, dtype=np.int32), mass)


def _united(level: NodeRows, other: NodeRows, row_weights: NDArray[np.float32] | None) -> NodeRows:
    """Return the rows of each node that are in either level, those of `other` alone with the mass of a whole row."""
    node = np.concatenate([np.repeat(np.arange(len(part.ptr) - 1), np.diff(part.ptr)) for part in (level, other)])
    row = np.concatenate([level.rows, other.rows])
    shape = (int(row.max(initial=-1)) + 1, len(level.ptr) - 1)
    by_node = csc_array((np.ones(len(row), np.float32), (row, node)), shape=shape)
    by_node.sum_duplicates()
    rows, mass = by_node.indices.astype(np.int32), None
    if level.mass is not None:
        own = csc_array((level.mass, level.rows, level.ptr), shape=shape)
        mass = np.ones(len(rows), np.float32) if row_weights is None else row_weights[rows]
        mass[places_in(by_node, own)] = level.mass
    return NodeRows(by_node.indptr.astype(np.int64), rows, mass)


def _tasks_of_level(
    tree: LabelTree,
    depth: int,
    reach: NodeRows,
    *,
    positives: list[NodeRows],
    seed: int,
    trained: NDArray[np.int64],
    costs: NDArray[np.float32] | None,
) -> list[_NodesTask]:
    """Cut the children of a level that are trained, in nodes of rows `reach`, into tasks of about equal work.

    The cut depends on the data alone.
    """
    first, last = int(tree.level_ptr[depth]), int(tree.level_ptr[depth + 1])
    end = int(tree.level_ptr[depth + 2])
    children = trained[np.searchsorted(trained, last) : np.searchsorted(trained, end)]
    if not len(children):
        return []
    nodes, n_children = np.unique(tree.parent[children], return_counts=True)
    first_child = np.concatenate([[0], np.cumsum(n_children)])
    reaching = np.diff(reach.ptr)[nodes - first]
    work = np.cumsum(reaching * -(-n_children // LANES) + 50)
    n_tasks = min(len(nodes), max(1, TASKS // tree.depth, int(work[-1]) // LARGE))
    cuts = np.searchsorted(work, work[-1] * np.arange(1, n_tasks) / n_tasks)
    bounds = np.unique(np.concatenate([[0], cuts, [len(nodes)]]))
    tasks = []
    for a, b in itertools.pairwise(bounds):
        inner = nodes[a:b]
        own = slice(first_child[a], first_child[b])
        positive = _selected(positives[depth + 1], children[own] - last)
        child_ptr = first_child[a : b + 1] - own.start
        own_costs = None if costs is None else costs[children[own]]
        tasks.append(_NodesTask(_selected(reach, inner - first), child_ptr, positive, seed + inner, own_costs))
    return tasks


def _selected(level: NodeRows, nodes: NDArray[np.int64]) -> NodeRows:
    """Return the rows of some nodes of a level."""
    if nodes[-1] - nodes[0] + 1 == len(nodes):
        return level.of(nodes[0], nodes[-1] + 1)
    parts = [level.of(node, node + 1) for node in nodes]
    mass = None if level.mass is None else np.concatenate([part.mass for part in parts])  # type: ignore[arg-type, misc]
    ptr = np.concatenate([[0], np.cumsum([len(part.rows) for part in parts])])
    return NodeRows(ptr, np.concatenate([part.rows for part in parts]), mass)


def _train_task(problem: BlockProblem, solver: NodeSolver, task: _NodesTask, stop: StopByte) -> Any:
    part = kernels.train_nodes(
        problem.rows,
        square_norms=problem.square_norms,
        feature_of=problem.feature_of,
        n_features=problem.n_features,
        row_ptr=task.reach.ptr,
        node_rows=task.reach.rows,
        row_mass=task.reach.mass,
        child_ptr=task.child_ptr,
        positive_ptr=task.positive.ptr,
        positives=task.positive.rows,
        positive_mass=task.positive.mass,
        seeds=task.seeds.astype(np.uint64),
        loss=LOSSES.index(solver.loss),
        cost=solver.cost,
        negative_cost=solver.negative_cost,
        child_costs=task.costs,
        eps=solver.eps,
        max_passes=solver.max_passes,
        prune=solver.prune,
        stop=stop,
    )
    if solver.half:
        part["values"] = half_precision(part["values"])
    return part


def _gather(parts: list[dict[str, Any]], tree: LabelTree, children: NDArray[np.int64], n_features: int) -> BlockWeights:
    """Join the chunks of all tasks, which trained `children`; `parts` is emptied meanwhile."""
    labels = lanes_of_children(tree, children)
    bias = np.zeros(len(labels), np.float32)
    bias[labels >= 0] = np.concatenate([part.pop("bias") for part in parts])
    n_groups = -(-np.unique(tree.parent[children], return_counts=True)[1] // LANES)

    def joined(name: str, padding: int = 0) -> Any:
        arrays = [part.pop(name) for part in parts]
        return np.concatenate([*arrays, np.zeros(padding, arrays[0].dtype)])

    def chained(name: str, sizes: list[int]) -> Any:
        starts = np.cumsum([0, *sizes[:-1]])
        return np.concatenate([[0], *(part.pop(name)[1:] + start for part, start in zip(parts, starts, strict=True))])

    def lifted(name: str, sizes: list[int]) -> Any:
        starts = np.cumsum([0, *sizes], dtype=np.uint32)
        lows = [part.pop(name) + start for part, start in zip(parts, starts[:-1], strict=True)]
        return np.concatenate([*lows, starts[-1:]])

    n_rows = [len(part["features"]) for part in parts]
    n_cells = [len(part["cell_masks"]) for part in parts]
    n_values = [len(part["values"]) for part in parts]
    return BlockWeights(
        chunk_group_ptr=np.concatenate([[0], np.cumsum(n_groups)]),
        chunk_feature_ptr=chained("chunk_feature_ptr", n_rows),
        labels=labels,
        bias=bias,
        features=joined("features"),
        chunk_cell_ptr=chained("chunk_cell_ptr", n_cells),
        chunk_value_ptr=chained("chunk_value_ptr", n_values),
        feature_cell_ptr=lifted("feature_cell_ptr", n_cells),
        feature_value_ptr=lifted("feature_value_ptr", n_values),
        cell_groups=joined("cell_groups"),
        cell_masks=joined("cell_masks"),
        values=joined("values", padding=LANES),
        chunk_scales=np.ones(len(n_groups), np.float32),
        n_features=n_features,
    )
