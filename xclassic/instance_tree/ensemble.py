"""Trees that answer together: the mean of their leaves, and how they are stored."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import xclassic._kernels.forest as kernels
from xclassic.instance_tree.tree import InstanceTree
from xclassic.model_io import Arrays, ModelFileError
from xclassic.rows import kernel_rows
from xclassic.topk import TopK
from xclassic.validation import Features

_POINTERS = ("child_ptr", "router_ptr", "label_ptr")
_NARROW: dict[np.dtype[Any], np.dtype[Any]] = {  # dtypes of arrays in a tree, and in a stored model if the numbers fit
    np.dtype(np.int64): np.dtype(np.uint32),
    np.dtype(np.int32): np.dtype(np.uint16),
    np.dtype(np.float32): np.dtype(np.float16),
}


class Ensemble:
    """Trees over the same features and labels, whose leaves are averaged.

    Parameters
    ----------
    trees : list of InstanceTree
        At least one.
    """

    def __init__(self, trees: list[InstanceTree]) -> None:
        self.trees = trees
        self._prepared: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_prepared": None}

    def prepared(self) -> Any:
        """Return what the kernel reads, made and checked at its first use.

        Returns
        -------
        KernelForest

        Raises
        ------
        ModelFileError
            If the trees were loaded and one is damaged.
        """
        if self._prepared is None:
            self._prepared = kernels.KernelForest([tree.prepared() for tree in self.trees], self.trees[0].n_features)
        return self._prepared

    def rank(self, X: Features, k: int, labels: NDArray[np.int32] | None = None) -> TopK:
        """Return the best labels of each row by their mean share in its leaves.

        Parameters
        ----------
        X : csr_array or ndarray of float32, shape (n_rows, n_features)
        k : int
        labels : ndarray of int32, optional
            Answer with these only.

        Returns
        -------
        TopK
        """
        n_labels = self.trees[0].n_labels
        allowed = None
        if labels is not None:
            allowed = np.zeros(n_labels, np.uint8)
            allowed[labels] = 1
        stop = np.zeros(1, np.uint8)
        return TopK(*kernels.rank_labels(self.prepared(), *kernel_rows(X), n_labels, allowed, k, stop))

    def arrays(self) -> Arrays:
        """Return the arrays of all trees one after the other, in narrow types, and how many nodes each has.

        Weights and shares are half precise already (``rounding.h``), so nothing is lost.

        Returns
        -------
        dict of str to ndarray
        """
        parts = [tree.arrays() for tree in self.trees]
        arrays: Arrays = {"n_nodes": np.array([tree.n_nodes for tree in self.trees])}
        for name in parts[0]:
            values = np.concatenate([part[name] for part in parts])
            narrow = _NARROW.get(values.dtype, values.dtype)
            fits = narrow.kind == "f" or values.max(initial=0) <= np.iinfo(narrow).max
            arrays[name] = values.astype(narrow) if name != "bias" and fits else values
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Arrays, n_features: int, n_labels: int) -> Ensemble:
        """Take over stored arrays. Their contents are checked when the trees are first used.

        Parameters
        ----------
        arrays : dict of str to ndarray
            As `arrays` returned them; others are ignored.
        n_features, n_labels : int

        Returns
        -------
        Ensemble

        Raises
        ------
        ModelFileError
            If the arrays do not fit together.
        """
        n_nodes = arrays.get("n_nodes")
        if n_nodes is None or n_nodes.ndim != 1 or n_nodes.dtype != np.int64 or not n_nodes.size or n_nodes.min() < 1:
            raise ModelFileError("n_nodes of the forest must be the number of nodes of each tree.")
        ends = np.cumsum(n_nodes)
        trees = []
        entry = {"router_ptr": 0, "label_ptr": 0}
        for number, (last, size) in enumerate(zip(ends.tolist(), n_nodes.tolist(), strict=True)):
            nodes, pointers = slice(last - size, last), slice(last - size + number, last + number + 1)
            tree: Arrays = {}
            for name in ("bias", "n_points"):
                tree[name] = _slice(arrays, name, nodes)
            for name in _POINTERS:
                tree[name] = _slice(arrays, name, pointers)
            for pointer, names in (("router_ptr", ("features", "weights")), ("label_ptr", ("labels", "shares"))):
                begin = entry[pointer]
                entry[pointer] = begin + int(tree[pointer][-1])
                for name in names:
                    tree[name] = _slice(arrays, name, slice(begin, entry[pointer]))
            trees.append(InstanceTree.from_arrays(tree, n_features, n_labels, verify=False))
        used = {
            "bias": ends[-1],
            "child_ptr": ends[-1] + len(trees),
            "features": entry["router_ptr"],
            "labels": entry["label_ptr"],
        }
        for name, size in used.items():
            if len(arrays[name]) != size:
                raise ModelFileError(
                    f"Array {name} of the forest has {len(arrays[name])} entries, but its trees {size}."
                )
        return cls(trees)


def _slice(arrays: Arrays, name: str, part: slice) -> NDArray[Any]:
    found = arrays.get(name)
    if found is None or found.ndim != 1 or not 0 <= part.start <= part.stop <= len(found):
        raise ModelFileError(f"Array {name} of the forest is missing or too short.")
    wide = next((wide for wide, narrow in _NARROW.items() if found.dtype == narrow), found.dtype)
    return found[part].astype(wide, copy=False)
