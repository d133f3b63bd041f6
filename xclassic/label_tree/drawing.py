"""The top levels of a label tree as text, for Graphviz and in matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from xclassic.validation.parameters import check_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from xclassic.label_tree.tree import LabelTree

EXAMPLES = 3  # Labels that represent an inner node without a name.
WIDEST = 40  # Characters of a caption in a plot, at most.
GAP = 6  # Characters between the columns of a plot.


class Item(NamedTuple):
    """One box of a drawing.

    Attributes
    ----------
    text : str
    parent : int
        Position of the parent among the items, -1 for the root.
    style : str
        In Graphviz' terms: "rounded" for inner nodes, "solid" for labels, "dotted" for a count of children not shown.
    """

    text: str
    parent: int
    style: str


def outline(
    tree: LabelTree, label_names: Sequence[Any] | NDArray[Any] | None, max_depth: int, max_children: int
) -> list[Item]:
    """Return the items to draw, parents before children and top to bottom; `LabelTree.draw` has the parameters."""
    check_number("max_depth", max_depth, minimum=0, integer=True)
    check_number("max_children", max_children, minimum=1, integer=True)
    if label_names is not None and len(label_names) != tree.n_labels:
        raise ValueError(f"label_names has {len(label_names)} entries; the tree is made for {tree.n_labels} labels.")
    n_under = labels_under(tree)
    items: list[Item] = []
    waiting = [(0, -1, 0)]  # Node, position of its parent, depth.
    while waiting:
        node, parent, depth = waiting.pop()
        if node < 0:
            items.append(Item(f"... {-node} more", parent, "dotted"))
            continue
        here = len(items)
        text = caption(tree, node, int(n_under[node]), label_names)
        items.append(Item(text, parent, "rounded" if tree.label[node] < 0 else "solid"))
        first, last = (int(end) for end in tree.child_ptr[node : node + 2])
        if depth < max_depth and first < last:
            shown = range(first, min(last, first + max_children))
            children = [*shown, *([shown.stop - last] if shown.stop < last else [])]
            waiting += [(child, here, depth + 1) for child in reversed(children)]
    return items


def caption(tree: LabelTree, node: int, n_under: int, label_names: Sequence[Any] | NDArray[Any] | None) -> str:
    """Return the name of a node with `n_under` labels, or some of these labels."""
    name = "" if tree.names is None else str(tree.names[node])
    label = int(tree.label[node])
    if label >= 0:
        return str(label_names[label]) if label_names is not None else name or str(label)
    count = "1 label" if n_under == 1 else f"{n_under} labels"
    if name:
        return f"{name} ({count})"
    examples: list[str] = []
    first, last = node, node + 1
    while len(examples) < min(n_under, EXAMPLES):  # The nodes of a level under `node` are contiguous.
        leaves = first + np.flatnonzero(tree.label[first:last] >= 0)[: EXAMPLES - len(examples)]
        examples += [caption(tree, leaf, 1, label_names) for leaf in leaves.tolist()]
        first, last = int(tree.child_ptr[first]), int(tree.child_ptr[last])
    return f"{count}: {', '.join(examples)}" + (", ..." if n_under > EXAMPLES else "")


def labels_under(tree: LabelTree) -> NDArray[np.int64]:
    """Return the number of labels at or under each node."""
    counts = (tree.label >= 0).astype(np.int64)
    for level in reversed(range(tree.depth)):
        first, last = tree.level_ptr[level : level + 2]
        ends = tree.child_ptr[first : last + 1]
        total = np.cumsum(np.concatenate([[0], counts[last : ends[-1]]]))
        counts[first:last] += np.diff(total[ends - last])
    return counts


def as_text(items: list[Item]) -> str:
    """Return the items as lines, each below its parent."""
    last_child = {item.parent: position for position, item in enumerate(items)}
    lines, margins = [items[0].text], [""]
    for position, item in enumerate(items[1:], start=1):
        branch, below = ("└── ", "    ") if last_child[item.parent] == position else ("├── ", "│   ")
        lines.append(margins[item.parent] + branch + item.text)
        margins.append(margins[item.parent] + below)
    return "\n".join(lines)


def as_graphviz(items: list[Item]) -> str:
    """Return the items as a graph in Graphviz' language."""
    lines = ["digraph LabelTree {", "  rankdir=LR;", '  node [fontname="sans-serif", shape=box];']
    for position, item in enumerate(items):
        text = item.text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        lines.append(f'  n{position} [label="{text}", style={item.style}];')
        if item.parent >= 0:
            lines.append(f"  n{item.parent} -> n{position};")
    return "\n".join([*lines, "}"])


def as_plot(items: list[Item], ax: Axes | None) -> Axes:
    """Plot the items from left to right, the leaves one below the other; a unit is a character wide and a line high."""
    texts = [item.text if len(item.text) <= WIDEST else item.text[: WIDEST - 3] + "..." for item in items]
    depths, heights = _layout(items)
    widths = np.zeros(max(depths) + 1, np.int64)
    np.maximum.at(widths, depths, [len(text) for text in texts])
    left = np.concatenate([[0], np.cumsum(widths + GAP)])
    if ax is None:
        ax = _new_axes(0.08 * left[-1], 0.3 * (max(heights) + 2))
    for item, text, depth, height in zip(items, texts, depths, heights, strict=True):
        if item.parent >= 0:
            above, corner = left[depth - 1], left[depth] - GAP / 2
            ax.plot([above, corner, left[depth]], [heights[item.parent], height, height], "0.7", lw=0.8, zorder=1)
        box = {"boxstyle": "round" if item.style == "rounded" else "square", "facecolor": "white", "edgecolor": "0.5"}
        # A dollar sign in a name does not begin a formula.
        ax.text(left[depth], height, text, fontsize=8, va="center", bbox=box, parse_math=False, zorder=2)
    ax.set_xlim(-1, left[-1])
    ax.set_ylim(max(heights) + 1, -1)
    ax.set_axis_off()
    return ax


def _new_axes(width: float, height: float) -> Axes:
    try:
        from matplotlib import pyplot
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "plot needs matplotlib; install it with: pip install 'xclassic[report]'. draw and to_graphviz do not.",
            name=error.name,
        ) from error
    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def _layout(items: list[Item]) -> tuple[list[int], list[float]]:
    """Return depth and height of each item: leaves one below the other, parents in the middle of their children."""
    children: list[list[int]] = [[] for _ in items]
    depths = [0] * len(items)
    for position, item in enumerate(items[1:], start=1):
        children[item.parent].append(position)
        depths[position] = depths[item.parent] + 1
    tips = [position for position, below in enumerate(children) if not below]
    heights = [0.0] * len(items)
    for line, position in enumerate(tips):
        heights[position] = float(line)
    for position in reversed(range(len(items))):
        if below := children[position]:
            heights[position] = (heights[below[0]] + heights[below[-1]]) / 2
    return depths, heights
