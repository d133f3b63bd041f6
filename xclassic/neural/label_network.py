"""A network of rows below one linear layer of labels: its loss, its training, and its body in model folders."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from xclassic.networks.batches import Ints, RowBatch, RowSampler, cut, split_rows
from xclassic.networks.feature_rows import SparseRows, arrays_of, feature_rows
from xclassic.networks.torch_support import has_bfloat16, to_device
from xclassic.networks.training import Plan, key_of, train
from xclassic.neural.base import VALIDATED_AT_ONCE
from xclassic.storage.arrays import FINITE, stored_array
from xclassic.storage.folder import Arrays
from xclassic.validation.features import Features

if TYPE_CHECKING:
    from xclassic.neural.base import NetworkClassifier

WARMUP = 0.1
# Rows computed together in prediction. Their number is always the same, since the bits of a product depend on it.
AT_ONCE = 32
UNSEEN = ("verbose", "n_jobs")  # by the weights that training ends with


class Body(torch.nn.Module):
    """Base of the networks of rows, whose ``forward`` takes the result of ``inputs``.

    Attributes
    ----------
    width : int
        Numbers that it makes of a row.
    """

    width: int

    def inputs(self, X: Any, rows: Ints, device: Any) -> Any:
        """Return some of the rows that ``_prepare`` made, as tensors on a device."""
        raise NotImplementedError

    def lengths(self, X: Any) -> NDArray[np.integer] | None:
        """Return the number of tokens that each row is padded to, if rows of one length should be computed together."""
        return None

    def key_parts(self, X: Any) -> list[NDArray[Any]]:
        """Return arrays that tell these rows from others."""
        raise NotImplementedError


class FeatureBody(Body):
    """Base of the bodies that read rows of features."""

    def inputs(self, X: Features, rows: Ints, device: Any) -> Tensor | SparseRows:
        return feature_rows(X, rows, device)

    def key_parts(self, X: Features) -> list[NDArray[Any]]:
        return arrays_of(X)


class LabelNetwork(torch.nn.Module):
    r"""A body below a linear layer of labels, with the mean binary cross-entropy of all labels as its loss.

    Parameters
    ----------
    body : Body
    Y : csr_array, shape (n_rows, n_labels)
        Labels of the training rows. The biases start at the log-odds of the labels; from zeros the network would first
        have to learn the frequencies of the labels, and on the way there can lose what tells rows apart.
    """

    def __init__(self, body: Body, Y: csr_array) -> None:
        super().__init__()
        self.body = body
        self.output = torch.nn.Linear(body.width, Y.shape[1])
        share = (np.bincount(Y.indices, minlength=Y.shape[1]) + 0.5) / (Y.shape[0] + 1)
        with torch.no_grad():
            self.output.bias.copy_(torch.from_numpy(np.log(share / (1 - share)).astype(np.float32)))

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.output.weight.device

    def loss(self, inputs: Any, targets: Tensor) -> Tensor:
        """Return the sum over rows of the mean loss of a label; `targets` has shape (n_rows, n_labels)."""
        return cross_entropy(self.output(self.body(inputs)), targets)

    def loss_of(self, X: Any, Y: csr_array, rows: Ints) -> Tensor:
        """Return the loss of some rows of the data."""
        targets = to_device(Y[rows].toarray(), self.device)
        return self.loss(self.body.inputs(X, rows, self.device), targets)

    def scores_of(self, X: Any, rows: Ints) -> Tensor:
        """Return the scores of all labels for some rows of the data, of which the best is judged in validation."""
        scores: Tensor = self.output(self.body(self.body.inputs(X, rows, self.device)))
        return scores

    def output_arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the weights, shape (width, n_labels), and biases of the layer of labels."""
        weight, bias = (p.detach().cpu().numpy() for p in (self.output.weight, self.output.bias))
        return weight.T, bias


def cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Return the sum over rows of the mean binary cross-entropy of a label."""
    losses = torch.nn.functional.binary_cross_entropy_with_logits(scores.float(), targets, reduction="none")
    return losses.mean(dim=1).sum()


def fit_network(
    clf: NetworkClassifier,
    network: LabelNetwork,
    X: Any,
    Y: csr_array,
    *,
    split: tuple[Ints, Ints] | None = None,
    stage: str = "",
) -> list[dict[str, float]]:
    """Train a network in place.

    Parameters
    ----------
    clf : NetworkClassifier
    network : LabelNetwork
        It is on its device.
    X : object
        What ``_prepare`` made of the training rows.
    Y : csr_array, shape (n_rows, n_labels)
    split : tuple of two ndarrays of int64, optional
        The rows to train on, and those that choose the best epoch; by default what `split_rows` finds.
    stage : str, optional
        Folder within the checkpoint, for one of several networks.

    Returns
    -------
    list of dict
        The ``curve_`` of the classifier.
    """
    trained, held = split or split_rows(Y, clf.validation, clf.random_state)
    checkpoint = None if clf.checkpoint is None else Path(clf.checkpoint, stage)
    bfloat16 = has_bfloat16(network.device)
    plan = Plan.of(
        clf, warmup=WARMUP, accumulate=1, bfloat16=bfloat16, checkpoint=checkpoint, **clf._training_options()
    )

    def loss(batch: RowBatch) -> Tensor:
        return network.loss_of(X, Y, batch.rows)

    sampler = RowSampler(trained, network.body.lengths(X), clf.batch_size, clf.random_state)
    plain = {name: value for name, value in clf.get_params().items() if name not in (*clf._not_saved, *UNSEEN)}
    key = key_of(*network.body.key_parts(X), Y.indptr, Y.indices, plain)
    validate = partial(precision_at_1, network, X, Y, held) if held.size else None
    return train(network, loss, sampler, plan, validate, key)


def precision_at_1(network: LabelNetwork, X: Any, Y: csr_array, rows: Ints) -> float:
    """Return the share of some rows whose best label is one of theirs."""
    network.eval()
    lengths = network.body.lengths(X)
    rows = rows if lengths is None else rows[np.argsort(lengths[rows], kind="stable")]
    with torch.inference_mode():
        best = [network.scores_of(X, part).argmax(dim=1).cpu().numpy() for part in cut(rows, VALIDATED_AT_ONCE)]
    return float(np.mean(Y[rows, np.concatenate(best)]))


def hidden_rows(body: Body, X: Any) -> NDArray[np.float32]:
    """Return what a body makes of each row, shape (n_rows, width), which does not depend on the other rows."""
    n_rows, lengths = X.shape[0], body.lengths(X)
    hidden = np.empty((n_rows, body.width), np.float32)
    device = next(body.parameters()).device
    groups = [np.arange(n_rows)] if lengths is None else [np.flatnonzero(lengths == n) for n in np.unique(lengths)]
    with torch.inference_mode():
        for rows in chain.from_iterable(cut(group, AT_ONCE) for group in groups):
            filled = np.resize(rows, AT_ONCE)
            hidden[rows] = body(body.inputs(X, filled, device))[: rows.size].float().cpu().numpy()
    return hidden


def restored_body(new_body: Callable[[], Body], arrays: Arrays) -> Body:
    """Return a body with stored weights.

    Raises
    ------
    ModelFileError
        If a weight is missing, does not fit or is not finite.
    """
    with torch.device("meta"):  # No memory is taken before the weights are known to fit.
        body = new_body()
    weights = {
        name: torch.tensor(stored_array(arrays, name, np.float32, tuple(empty.shape), FINITE))
        for name, empty in body.state_dict().items()
    }
    body.load_state_dict(weights, assign=True)
    return body.eval().requires_grad_(False)
