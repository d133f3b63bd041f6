"""The few parameters of each estimator that are worth tuning, with their ranges."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any, NamedTuple

import numpy as np


class Between(NamedTuple):
    """Numbers from `low` to `high`; integers if both are, and by factors unless `log` is False."""

    low: float
    high: float
    log: bool = True

    def at(self, position: float) -> float:
        """Return the number at a position in [0, 1], with two digits, which are enough to compare models by."""
        low, high = (np.log(self[:2])) if self.log else self[:2]
        value = low + position * (high - low)
        value = float(np.exp(value) if self.log else value)
        if isinstance(self.low, int) and isinstance(self.high, int):
            return round(value)
        return min(max(float(f"{value:.2g}"), self.low), self.high)

    def position(self, value: Any) -> float:
        """Return where a number lies, the middle for a word such as "auto"."""
        if isinstance(value, str) or value is None:
            return 0.5
        value = min(max(value, self.low), self.high)
        low, value, high = np.log([self.low, value, self.high]) if self.log else (self.low, value, self.high)
        return float((value - low) / (high - low))

    def near(self, position: float, rng: np.random.Generator) -> float:
        """Return a random position close to another one."""
        return float(np.clip(position + rng.normal(scale=0.15), 0, 1))


class Among(NamedTuple):
    """One of some values."""

    values: tuple[Any, ...]

    def at(self, position: float) -> Any:
        """Return the value at a position in [0, 1]."""
        return self.values[min(int(position * len(self.values)), len(self.values) - 1)]

    def position(self, value: Any) -> float:
        """Return where a value lies, the first for one that is none of them."""
        number = self.values.index(value) if value in self.values else 0
        return (number + 0.5) / len(self.values)

    def near(self, position: float, rng: np.random.Generator) -> float:
        """Return another random position in three of ten cases: values have no neighbors."""
        return float(rng.uniform()) if rng.uniform() < 0.3 else position


Space = Mapping[str, Between | Among]

COST, LOGISTIC_COST = Between(0.1, 10.0), Between(1.0, 100.0)
RIDGE, CODE_LENGTH = Between(0.1, 30.0), Between(50, 500)
FEW_TREES, TREE_LEAVES = Among((1, 3, 5)), Among((20, 50, 100, 200))
FOREST: Space = {"max_leaf": Between(3, 40), "C": Between(1.0, 16.0)}
RERANKED: Space = {**FOREST, "alpha": Between(0.5, 1.0, log=False), "gamma": Between(3.0, 100.0)}
VOTES: Space = {"n_neighbors": Between(5, 200), "power": Between(0.5, 16.0)}
CODE: Space = {"n_components": CODE_LENGTH, "alpha": RIDGE}
NETWORK: Space = {"learning_rate": Between(3e-4, 3e-2), "dropout": Between(0.0, 0.6, log=False)}

TUNED: Mapping[str, Space] = {
    "DiSMEC": {"C": COST, "negative_cost": Between(0.1, 1.0), "propensity": Among((None, "default"))},
    "OneVsRestLeastSquares": {"alpha": RIDGE},
    "PPDSparse": {"C": COST, "l1": Between(0.01, 1.0)},
    "PDSparse": {"C": LOGISTIC_COST, "l1": Between(0.003, 0.3)},
    "ProXML": {"C": COST},
    "M3L": {"C": COST, "coupling": Between(0.03, 0.9)},
    "Slice": {"C": Between(0.03, 3.0), "shortlist": Between(100, 1000), "alpha": Between(0.1, 0.9, log=False)},
    "Parabel": {"C": COST, "n_trees": FEW_TREES, "max_leaf": TREE_LEAVES},
    "Bonsai": {"C": COST, "n_trees": FEW_TREES, "max_leaf": TREE_LEAVES, "branching": Among((16, 100))},
    "PLT": {"C": LOGISTIC_COST, "n_trees": FEW_TREES, "max_leaf": TREE_LEAVES, "branching": Among((2, 16))},
    "XRLinear": {"C": COST, "n_trees": FEW_TREES, "max_leaf": TREE_LEAVES, "branching": Among((8, 16, 32))},
    "XReg": {"C": LOGISTIC_COST, "n_trees": FEW_TREES, "max_leaf": TREE_LEAVES},
    "HierarchicalXC": {"C": COST, "linkage": Among(("average", "complete", "single")), "max_leaf": Among((1, 10, 50))},
    "PrefixTree": {"C": LOGISTIC_COST, "n_trees": FEW_TREES, "branching": Among((4, 6, 16))},
    "FastXML": FOREST,
    "PfastreXML": RERANKED,
    "SwiftXML": RERANKED,
    "MLRF": {"max_leaf": Between(5, 50), "min_leaf": Among((1, 3, 10)), "split_features": Between(0.03, 0.5)},
    "CRAFTML": {"max_leaf": Between(5, 50), "n_clusters": Between(4, 20)},
    "KNN": VOTES,
    "SLEEC": {**VOTES, "n_components": Between(30, 300)},
    "AnnexML": {**VOTES, "sharpness": Between(3.0, 30.0)},
    "PLST": CODE,
    "CPLST": CODE,
    "Rembrandt": CODE,
    "LEML": CODE,
    "REML": {"alpha": RIDGE, "sparse_alpha": RIDGE, "l1": Between(0.001, 0.1)},
    "CompressedSensing": {**CODE, "n_positives": Between(3, 30)},
    "BloomFilter": {"C": COST, "bits_per_label": Among((1, 2, 3))},
    "LTLS": {"C": COST, "width": Among((4, 16, 64))},
    "MACH": {"C": COST, "n_tables": Between(4, 32)},
    "LabelAugmentation": {"threshold": Between(0.01, 0.5)},
    "TreeEmbedding": {"n_components": CODE_LENGTH, "learning_rate": Between(3e-4, 3e-2)},
    "NeuralXC": {**NETWORK, "weight_decay": Between(1e-3, 0.1)},
    "DeepXML": {**NETWORK, "weight_decay": Between(1e-3, 0.1)},
    "XMLCNN": {**NETWORK, "n_filters": Among((64, 128, 256))},
}


def search_space(estimator: Any) -> dict[str, Between | Among]:
    """Return what is tuned of an estimator: its parameters of `TUNED` that have their defaults.

    Raises
    ------
    ValueError
        If there are none.
    """
    known = [TUNED[cls.__name__] for cls in type(estimator).__mro__ if cls.__name__ in TUNED]
    name = type(estimator).__name__
    if not known:
        raise ValueError(f"{name} has no parameters that are tuned; those that have some are {', '.join(TUNED)}.")
    parameters = signature(type(estimator)).parameters
    free = {key: kind for key, kind in known[0].items() if getattr(estimator, key) == parameters[key].default}
    if not free:
        names = ", ".join(known[0])
        raise ValueError(
            f"All parameters of {name} that are tuned ({names}) are set already; leave one at its default."
        )
    return free


def propose(
    space: Space, start: Mapping[str, Any], tried: list[dict[str, Any]], best: dict[str, Any] | None, seed: int
) -> dict[str, Any] | None:
    """Return the parameters of the next trial, None if there seem to be no others.

    The first are those at the start. After that, points spread evenly over the space alternate with points near the
    best one, so that few trials have seen everything and many end in the right place. They depend on the earlier trials
    alone, not on how many are to come.

    Parameters
    ----------
    space : dict of str to Between or Among
    start : dict
    tried : list of dict
        The parameters of all earlier trials.
    best : dict or None
        Those of the best of them, None if all failed.
    seed : int

    Returns
    -------
    dict or None
    """
    if not tried:
        return dict(start)
    number = len(tried)
    for attempt in range(200):
        rng = np.random.default_rng([seed, number, attempt])
        if best is not None and (number + attempt) % 2 == 0:
            positions = [kind.near(kind.position(best[name]), rng) for name, kind in space.items()]
        else:
            positions = _spread(len(space), seed, number // 2 + 1000 * attempt)
        params = {name: kind.at(position) for (name, kind), position in zip(space.items(), positions, strict=True)}
        if params not in tried:
            return params
    return None


def _spread(n_dimensions: int, seed: int, number: int) -> list[float]:
    """Return a point of a sequence that fills a cube evenly: multiples of the powers of a generalized golden ratio."""
    ratio = 2.0
    for _ in range(60):
        ratio = (1 + ratio) ** (1 / (n_dimensions + 1))
    shift = np.random.default_rng(seed).uniform(size=n_dimensions)
    return [float(u) for u in (shift + number * ratio ** -np.arange(1.0, n_dimensions + 1)) % 1]
