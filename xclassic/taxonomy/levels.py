"""What hierarchies and graphs of labels have in common: from labels to the nodes of a level."""

from __future__ import annotations

import operator
from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from xclassic.metrics import label_groups
from xclassic.metrics._inputs import check_counts, read_pairs
from xclassic.metrics.groups import HOW, accuracy_of_groups, first_predictions, group_topk
from xclassic.topk import TopK
from xclassic.validation.parameters import check_choice, check_number


class LabelLevels(ABC):
    """Labels, and levels of nodes above them: every label is at or below at least one node of each level.

    A subclass sets `labels` and `levels`, and defines `nodes` and `membership`.

    Attributes
    ----------
    labels : ndarray of str, shape (n_labels,)
        How estimators know the labels.
    levels : tuple of str
        Names of the levels, from the top.
    """

    labels: NDArray[np.str_]
    levels: tuple[str, ...]

    @abstractmethod
    def nodes(self, level: str | int) -> NDArray[np.str_]:
        """Return the nodes of a level, sorted as text."""

    @abstractmethod
    def membership(self, level: str | int) -> csr_array:
        """Return a matrix of ones, shape (n_labels, n_nodes), where a label is at or below a node of a level."""

    @abstractmethod
    def ancestors(self, label: int) -> tuple[str, ...]:
        """Return the nodes above a label, from the top down."""

    def expand(self, top: TopK, level: str | int, *, how: str = "max") -> TopK:
        """Rank the nodes of a level by the predictions below them.

        Parameters
        ----------
        top : TopK
            Ranked labels.
        level : str or int
            Name of the level, or its number from 0 at the top.
        how : {"max", "sum"}, default="max"
            The score of a node. "max" is the highest score of the predicted labels below it; it suits any scores, and
            the best node is above the best label. "sum" is the sum of these scores, for probabilities of labels of
            which exactly one is true. A label that lies below a node by several ways counts once.

        Returns
        -------
        TopK
            Ranked nodes in ``min(k, n_nodes)`` slots, each at most once per row; ids are positions in
            ``nodes(level)``. Only nodes with a prediction below them are ranked: predict more labels if you need more
            nodes, or sums that miss nothing.

        Raises
        ------
        ValueError
            If a prediction is not a label of the hierarchy, or there is no such level.

        Notes
        -----
        Cost: two sorts of all predictions.

        Examples
        --------
        >>> from xclassic import LabelHierarchy, TopK
        >>> hierarchy = LabelHierarchy.from_paths(["Food > Tea", "Food > Rice", "Home > Lamps"])
        >>> top = TopK.from_dense([[0.25, 0.25, 0.375]], k=3)
        >>> hierarchy.expand(top, "L0", how="sum").scores
        array([[0.5  , 0.375]], dtype=float32)
        >>> hierarchy.expand(top, "L0", how="max").ids
        array([[1, 0]], dtype=int32)
        """
        check_choice("how", how, tuple(HOW))
        return group_topk(top, self.membership(level), how)

    def deepest(self, top: TopK, min_probability: float = 0.5) -> NDArray[np.object_]:
        """Return the deepest node of each row that is probable enough.

        Parameters
        ----------
        top : TopK
            Labels with probabilities, such as those of `Calibrated`, of which about one is true in each row; the more
            labels, the less the sums of nodes miss.
        min_probability : float, default=0.5
            In [0, 1]. The probability of a node is the sum of those of its labels.

        Returns
        -------
        ndarray of object, shape (n_rows,)
            Nodes as ``nodes(level)`` calls them, None where no node of any level is probable enough. On a level where
            several are, it is the most probable one.

        Raises
        ------
        ValueError
            If `min_probability` is out of range, or a prediction is not a label of the hierarchy.

        Notes
        -----
        Cost: that of `expand` for each level.

        Examples
        --------
        >>> from xclassic import LabelHierarchy, TopK
        >>> hierarchy = LabelHierarchy.from_paths(["Food > Tea", "Food > Rice", "Home > Lamps"])
        >>> top = TopK.from_dense([[0.5, 0.25, 0.125], [0.25, 0.375, 0.25], [0.25, 0.125, 0.375]], k=3)
        >>> hierarchy.deepest(top).tolist()
        ['Food > Tea', 'Food', None]
        """
        check_number("min_probability", min_probability, minimum=0, maximum=1)
        found = np.full(top.n_rows, None, np.object_)
        for level in self.levels:  # Deeper ones replace those above.
            best = self.expand(top, level, how="sum").head(1)
            sure = (best.counts > 0) & (best.scores[:, 0] >= min_probability)
            found[sure] = self.nodes(level)[best.ids[sure, 0]]
        return found

    def truth(self, Y: Any, level: str | int) -> csr_array:
        """Return the true nodes of a level.

        Parameters
        ----------
        Y : sparse or dense matrix, shape (n_rows, n_labels)
            True labels, where an entry is above zero.
        level : str or int
            Name of the level, or its number from 0 at the top.

        Returns
        -------
        csr_array of float32, shape (n_rows, n_nodes)
            Canonical matrix of ones, where a true label is the node or lies under it.

        Raises
        ------
        ValueError
            If the number of columns of `Y` is not the number of labels, or `Y` has no rows or negative entries.
        TypeError
            If `Y` is not a matrix of numbers.

        Examples
        --------
        >>> from xclassic import LabelHierarchy
        >>> hierarchy = LabelHierarchy.from_paths(["Food > Tea", "Food > Rice", "Home > Lamps"])
        >>> hierarchy.truth([[1, 1, 0], [0, 0, 1]], "L0").toarray().astype(int)
        array([[1, 0],
               [0, 1]])
        """
        pairs = read_pairs(Y, "Y")
        if pairs.n_labels != self.labels.size:
            raise ValueError(f"Y has {pairs.n_labels} columns; the hierarchy has {self.labels.size} labels.")
        shape = (pairs.n_rows, pairs.n_labels)
        given = csr_array((np.ones(pairs.keys.size, np.float32), (pairs.rows, pairs.labels)), shape=shape)
        truth = csr_array(given @ self.membership(level))
        truth.sort_indices()
        truth.data[:] = 1
        return truth

    def evaluate_levels(
        self, Y_true: Any, top: TopK, *, train_counts: ArrayLike | None = None, how: str = "max"
    ) -> dict[str, dict[str, float]]:
        """Return the metrics of the best node of each level.

        Parameters
        ----------
        Y_true : sparse or dense matrix, shape (n_rows, n_labels)
            True labels, where an entry is above zero.
        top : TopK
            Ranked labels.
        train_counts : array-like of int, shape (n_labels,), optional
            Training points of each label; they add accuracies for nodes by frequency. A node has the training points of
            all its labels.
        how : {"max", "sum"}, default="max"
            The score of a node; see `expand`.

        Returns
        -------
        dict of str to dict of str to float
            For each level by name, from the top, values in [0, 1]: ``"accuracy"``, the share of rows whose best node is
            true (P@1); ``"macro precision"``, ``"macro recall"`` and ``"macro F1"`` of the best nodes, over the nodes
            that are true or predicted somewhere; with `train_counts` ``"head accuracy"``, ``"torso accuracy"`` and
            ``"tail accuracy"``, over the rows with a true node of that group of `xclassic.metrics.label_groups`. A
            group without such rows is left out. `xclassic.metrics.format_table` formats the metrics of a level.

        Raises
        ------
        ValueError, TypeError
            As in `truth` and `expand`, or if `train_counts` has another size.
        """
        counts = None if train_counts is None else check_counts(train_counts)
        if counts is not None and counts.size != self.labels.size:
            raise ValueError(f"train_counts has {counts.size} entries; the hierarchy has {self.labels.size} labels.")
        results = {}
        for level in self.levels:
            truth, best = self.truth(Y_true, level), self.expand(top, level, how=how).head(1)
            results[level] = first_predictions(truth, best)
            if counts is not None:
                of_nodes = counts @ self.membership(level)
                results[level] |= accuracy_of_groups(truth, best, label_groups(of_nodes))
        return results

    def _check_label(self, label: int) -> int:
        if not 0 <= operator.index(label) < self.labels.size:
            raise ValueError(f"There is no label {label}; ids are 0 to {self.labels.size - 1}.")
        return operator.index(label)

    def _level_number(self, level: str | int) -> int:
        if isinstance(level, str):
            if level in self.levels:
                return self.levels.index(level)
        elif 0 <= operator.index(level) < len(self.levels):
            return operator.index(level)
        raise ValueError(
            f"There is no level {level!r}; levels are {', '.join(map(repr, self.levels))}, or 0 to "
            f"{len(self.levels) - 1}."
        )
