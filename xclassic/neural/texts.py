"""Token sequences of texts, and batches of them as tensors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xclassic.networks.torch_support import to_device


class Texts:
    """Token sequences of texts, flat.

    Parameters
    ----------
    ids : list of list of int
        One list per text.
    pad : int
        The token that pads shorter texts of a batch.
    """

    def __init__(self, ids: list[list[int]], pad: int) -> None:
        self.lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        self.starts = np.concatenate(([0], np.cumsum(self.lengths)))
        self.flat = np.fromiter((token for row in ids for token in row), np.int64, int(self.starts[-1]))
        self.shape = (len(ids),)
        self.pad = pad

    def batch(self, rows: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return tokens and mask of some texts, shape (n, length of the longest)."""
        lengths = self.lengths[rows]
        slots = np.arange(max(1, lengths.max(initial=0)))
        filled = slots < lengths[:, None]
        at = np.where(filled, self.starts[rows][:, None] + slots, 0)
        tokens = np.where(filled, self.flat[at] if self.flat.size else 0, self.pad)
        mask = filled if filled[:, 0].all() else filled | (slots == 0)  # An empty text is read as one pad.
        return to_device(tokens, device), to_device(mask.astype(np.int64), device)
