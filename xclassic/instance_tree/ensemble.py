"""Trees that predict together: the mean of their leaves, and their storage."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import xclassic._kernels.forest as kernels
from xclassic.instance_tree.tree import InstanceTree
from xclassic.parallel import StopByte
from xclassic.rows import kernel_rows
from xclassic.storage.folder import Arrays, ModelFileError
from xclassic.topk import TopK
from xclassic.validation.features import Features

# A stored model replaces the pointers of its trees by the number of entries of each node, which takes fewer bytes.
_SIZES = {"child_ptr": "n_children", "router_ptr": "n_weights", "label_ptr": "n_shares"}
_DTYPES: dict[str, type[np.generic]] = {  # Dtypes of the arrays after they are read.
    **dict.fromkeys((*_SIZES.values(), "n_points"), np.int64),
    **dict.fromkeys(("features", "labels"), np.int32),
    **dict.fromkeys(("weights", "shares", "bias"), np.float32),
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
        """Return the form of the trees that the kernel reads, made and checked at its first use.

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

    def rank(self, X: Features, k: int, labels: NDArray[np.int32] | None, stop: StopByte) -> TopK:
        """Return the best labels of each row, ranked by their mean share in its leaves.

        Parameters
        ----------
        X : csr_array or ndarray of float32, shape (n_rows, n_features)
        k : int
        labels : ndarray of int32, or None
            The only labels to predict.
        stop : ndarray of uint8, shape (1,)
            See `run_tasks`.

        Returns
        -------
        TopK
        """
        n_labels = self.trees[0].n_labels
        allowed = None
        if labels is not None:
            allowed = np.zeros(n_labels, np.uint8)
            allowed[labels] = 1
        found = kernels.rank_labels(self.prepared(), kernel_rows(X), n_labels=n_labels, allowed=allowed, k=k, stop=stop)
        return TopK(*found)

    def arrays(self) -> Arrays:
        """Return the concatenated arrays of all trees, in narrow types, and the number of nodes of each tree.

        Weights and shares are rounded to half precision already (``rounding.h``), so nothing is lost.

        Returns
        -------
        dict of str to ndarray
        """
        parts = [tree.arrays() for tree in self.trees]
        for part in parts:
            part.update({size: np.diff(part.pop(pointer)) for pointer, size in _SIZES.items()})
        arrays: Arrays = {"n_nodes": np.array([tree.n_nodes for tree in self.trees])}
        for name, dtype in _DTYPES.items():
            values = np.concatenate([part[name] for part in parts])
            halved = np.float16 if name != "bias" else np.float32
            arrays[name] = values.astype(halved if dtype is np.float32 else np.min_scalar_type(values.max(initial=0)))
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Arrays, n_features: int, n_labels: int) -> Ensemble:
        """Return the trees of stored arrays. Their contents are checked when the trees are first used.

        Parameters
        ----------
        arrays : dict of str to ndarray
            The arrays that `arrays` returned; others are ignored.
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
        trees = []
        end = dict.fromkeys((*_SIZES, "nodes"), 0)
        for size in n_nodes.tolist():
            nodes = slice(end["nodes"], end["nodes"] + size)
            end["nodes"] += size
            tree: Arrays = {name: _slice(arrays, name, nodes) for name in ("bias", "n_points")}
            for pointer, name in _SIZES.items():
                first = int(pointer == "child_ptr")  # The root is not a child.
                tree[pointer] = np.cumsum(np.append(first, _slice(arrays, name, nodes)), dtype=np.int64)
            for pointer, names in (("router_ptr", ("features", "weights")), ("label_ptr", ("labels", "shares"))):
                begin = end[pointer]
                end[pointer] = begin + int(tree[pointer][-1])
                for name in names:
                    tree[name] = _slice(arrays, name, slice(begin, end[pointer]))
            trees.append(InstanceTree.from_arrays(tree, n_features, n_labels, verify=False))
        for name, used in (("bias", "nodes"), ("features", "router_ptr"), ("labels", "label_ptr")):
            if len(arrays[name]) != end[used]:
                raise ModelFileError(
                    f"Array {name} of the forest has {len(arrays[name])} entries, but its trees {end[used]}."
                )
        return cls(trees)


def _slice(arrays: Arrays, name: str, part: slice) -> NDArray[Any]:
    found, wide = arrays.get(name), _DTYPES[name]
    kind = "f" if wide is np.float32 else "u"
    if found is None or found.ndim != 1 or found.dtype.kind != kind or found.itemsize > 4 or part.stop > len(found):
        raise ModelFileError(f"Array {name} of the forest is missing, too short, or of another type.")
    return found[part].astype(wide)
