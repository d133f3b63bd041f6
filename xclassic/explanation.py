"""Why a model gives a label its score, as data and text: the models that a row passes, and what moved them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Names = Sequence[Any] | NDArray[Any]


@dataclass(frozen=True)
class FeatureEffect:
    """What one feature of a row adds to a margin.

    Attributes
    ----------
    name : str or int
        Name of the feature, or its number where features have no names.
    value : float
        Value in the row as the model reads it, scaled to unit length under ``normalize=True``.
    weight : float
    contribution : float
        ``value * weight``.
    """

    name: str | int
    value: float
    weight: float
    contribution: float


@dataclass(frozen=True)
class Step:
    """What one linear model says of a row. The model is of a node on the path to the label, or of the label itself.

    Attributes
    ----------
    tree : int
        Number of the tree, from 0; 0 without trees.
    node : int
        Number of the node in the tree; without trees the label id, or the number of a part of its code.
        Name of the label or node; for a node without a name, the labels under it.
        Name of the label or node, or what labels lie under a node without a name.
    margin : float
        ``w.x + bias``.
    contribution : float
        What the margin adds to the log-score of the labels under the node, at most 0. Without trees what it adds to
        the score, which is the margin itself if the label has one model.
    rank : int
        Place of the margin among those of all children of the parent, or of all models; 1 is the best.
    n_siblings : int
        Number of these children or models, this one included.
    level_rank : int or None
        Place among the inner nodes that the search scores on this level. None for labels, since all of them are scored,
        and where there is no beam.
    kept : bool
        Whether the search gets through: this node and those above it are within the beam of their levels, or the label
        is on the shortlist of `Slice`. A label is kept if its parent is.
    bias : float
        The share of the margin that no feature of the row has moved.
    n_active : int
        Features of the row that have a weight here.
    features : list of FeatureEffect
        The features that moved the margin most, largest first.
    """

    tree: int
    node: int
    name: str
    margin: float
    contribution: float
    rank: int
    n_siblings: int
    level_rank: int | None
    kept: bool
    bias: float
    n_active: int
    features: list[FeatureEffect]


@dataclass(frozen=True)
class Explanation:
    """Why a model gives a label its score for one row; ``print`` shows it as text.

    Attributes
    ----------
    label : str, int or float
        As in ``classes_``.
    name : str
        The same, or its name in `label_names`.
    score : float
        As ``decision_function`` returns it. With trees it is the mean over them of the exponential of the summed
        contributions, 0 for a tree whose search loses the label: see `Step.kept`. A label that is not on the
        shortlist of `Slice` has the score that it would have there.
    best_label, best_name, best_score
        Label, name and score of the highest-scored label.
    n_trees : int
        Trees that scores are averaged over; 0 for a model without trees.
    steps : list of Step
        From the root to the label, tree by tree; without trees, the only model of the label, or those of its code.
    """

    label: Any
    name: str
    score: float
    best_label: Any
    best_name: str
    best_score: float
    n_trees: int
    steps: list[Step]

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as dicts and lists, which JSON can hold.

        Returns
        -------
        dict
            With the attributes as keys.
        """
        return asdict(self)

    def __str__(self) -> str:
        best = "the best" if self.label == self.best_label else f"best: {self.best_name}, {self.best_score:.4g}"
        lines = [f"{self.name}: score {self.score:.4g} ({best})"]
        previous = -1
        for step in self.steps:
            if self.n_trees and step.tree != previous:
                lines += ["", self._tree_line(step.tree)]
                previous = step.tree
            lines += ["", *_step_lines(step, in_tree=self.n_trees > 0)]
        return "\n".join(lines)

    def _tree_line(self, tree: int) -> str:
        path = [step for step in self.steps if step.tree == tree]
        log_score = sum(step.contribution for step in path)
        lost = "" if path[-1].kept else "; counts 0, since the search loses the path"
        score = f"exp({_fixed(log_score)}) = {np.exp(log_score):.4g}"
        return f"Tree {tree + 1} of {self.n_trees}: {score}{lost}"


def _step_lines(step: Step, in_tree: bool) -> list[str]:
    """Return the text of a step: its name, its place, and how its margin comes about."""
    remarks = [f"rank {step.rank} of {step.n_siblings}"]
    if in_tree:
        remarks.insert(0, f"log-score {_fixed(step.contribution)}")
    if step.level_rank is not None:
        remarks.append(f"on its level {step.level_rank}")
    if not step.kept:
        remarks.append("lost to the beam" if in_tree else "not on the shortlist")
    rest = step.margin - step.bias - sum(effect.contribution for effect in step.features)
    n_rest = step.n_active - len(step.features)
    cells = [("feature", "value", "weight", "value x weight")]
    cells += [(str(e.name), f"{e.value:.4f}", f"{e.weight:.4f}", f"{e.contribution:+.4f}") for e in step.features]
    if n_rest:
        cells.append((f"({n_rest} more)", "", "", f"{rest:+.4f}"))
    cells += [("(bias)", "", "", f"{step.bias:+.4f}"), ("margin", "", "", f"{step.margin:+.4f}")]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    table = ["  ".join([name.ljust(widths[0]), *map(str.rjust, numbers, widths[1:])]) for name, *numbers in cells]
    return [f"{step.name}: {', '.join(remarks)}", *(f"  {line}" for line in table)]


def _fixed(number: float) -> str:
    return f"{round(number, 4) + 0.0:.4f}"  # Adding zero removes a minus sign before zero.
