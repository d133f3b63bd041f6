"""The network of `NeuralXC`: two autoencoders and a regressor between their codes, and its linear start."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from xclassic.networks.feature_rows import FeatureLinear, SparseRows
from xclassic.neural.label_network import FeatureBody, LabelNetwork, cross_entropy
from xclassic.neural.linear_start import leading_axes, ridge_start
from xclassic.parallel import blas_threads
from xclassic.rows import row_products
from xclassic.validation.features import Features

ACTIVATIONS = {"relu": torch.relu, "tanh": torch.tanh}
ENTRY = 0.025  # Entries of the input encoder at the start. AdamW moves all weights alike, so they get one size.


class Stack(torch.nn.Module):
    """Layers that each end in an activation; with `direct`, layers beside a linear map of the input, to which they add.

    With `direct` the last layer starts at 0 and has no activation, so that the stack starts as the linear map; a single
    layer would be linear too, and is left out. The first layer then expects inputs of length 1, whatever their width.
    """

    direct: Any
    layers: Any

    def __init__(
        self, n_inputs: int, sizes: Sequence[int], activation: str, direct: bool, first: type, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.dropout = torch.nn.Dropout(dropout)
        self.activation = ACTIVATIONS[activation]
        self.direct = first(n_inputs, sizes[-1]) if direct else None
        inner = [torch.nn.Linear(one, other) for one, other in pairwise(sizes)]
        self.layers = torch.nn.ModuleList([first(n_inputs, sizes[0]), *inner] if inner or not direct else [])
        for layer in self.layers:
            torch.nn.init.xavier_uniform_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        if direct and inner:
            torch.nn.init.normal_(self.layers[0].weight, std=math.sqrt(2))
            torch.nn.init.zeros_(inner[-1].weight)

    def forward(self, rows: Tensor | SparseRows) -> Any:
        """Return the output for each row."""
        if self.direct is None:
            return self.hidden(rows)
        return self.direct(rows) + self.layers[-1](self.hidden(rows)) if self.layers else self.direct(rows)

    def hidden(self, rows: Tensor | SparseRows) -> Any:
        """Return the output of the last layer that ends in an activation."""
        hidden: Any = rows
        for layer in self.layers if self.direct is None else self.layers[:-1]:
            hidden = self.dropout(self.activation(layer(hidden)))
        return hidden


class JointBody(FeatureBody):
    """From a row to its code, to the code of its labels, and up the label decoder but for its last layer."""

    encoder: Stack
    regressor: Stack
    decoder: torch.nn.Module

    def __init__(
        self, n_features: int, encoder: Sequence[int], regressor: Sequence[int], decoder: Sequence[int],
        activation: str, direct: bool, dropout: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.n_features = n_features
        self.encoder = Stack(n_features, encoder, activation, direct, FeatureLinear, dropout)
        self.regressor = Stack(encoder[-1], regressor, activation, direct, torch.nn.Linear, dropout)
        self.decoder = torch.nn.Identity()
        if decoder:
            self.decoder = Stack(regressor[-1], decoder, activation, direct, torch.nn.Linear, dropout)
        self.dropout = torch.nn.Dropout(dropout)
        self.width = (*regressor, *decoder)[-1]

    def forward(self, rows: Tensor | SparseRows) -> Any:
        return self.from_code(self.encoder(rows))

    def from_code(self, code: Tensor) -> Any:
        """Return the result for rows with these codes."""
        return self.decoder(self.regressor(self.dropout(code)))


class JointNetwork(LabelNetwork):
    r"""The body below the labels, and what only the loss needs: the input decoder and the label encoder.

    .. math:: BCE(\psi_o(f(\phi_i(x))), y) + \alpha \, MSE(\psi_i(\phi_i(x)), x)
        + \beta \, MSE(\sigma(\psi_o(\phi_o(y))), y)
    """

    body: Any
    input_decoder: Any
    label_encoder: Any

    def __init__(
        self, body: JointBody, Y: csr_array, layers: dict[str, list[int]], activation: str, direct: bool,
        alpha: float, beta: float,
    ) -> None:  # fmt: skip
        super().__init__(body, Y)
        self.alpha, self.beta = alpha, beta
        code, others = layers["input"][-1], layers["input"][-2::-1]
        if alpha:
            inner = Stack(code, others, activation, direct, torch.nn.Linear) if others else torch.nn.Identity()
            self.input_decoder = torch.nn.Sequential(inner, torch.nn.Linear((code, *others)[-1], body.n_features))
        if beta:
            self.label_encoder = Stack(Y.shape[1], layers["label"], activation, direct, torch.nn.Linear)

    def loss(self, inputs: Tensor | SparseRows, targets: Tensor) -> Any:
        code = self.body.encoder(inputs)
        loss = cross_entropy(self.output(self.body.from_code(code)), targets)
        if self.alpha:
            loss = loss + self.alpha * squared_error(self.input_decoder(code), dense_rows(inputs, self.body.n_features))
        if self.beta:
            rebuilt = torch.sigmoid(self.output(self.body.decoder(self.label_encoder(targets))))
            loss = loss + self.beta * squared_error(rebuilt, targets)
        return loss


def squared_error(rebuilt: Tensor, rows: Tensor) -> Tensor:
    """Return the sum over rows of the mean squared error."""
    return (rebuilt - rows).square().mean(dim=1).sum()


def dense_rows(rows: Tensor | SparseRows, n_features: int) -> Tensor:
    """Return the rows of a batch as a dense tensor."""
    if isinstance(rows, Tensor):
        return rows
    n = rows.starts.shape[0]
    ends = torch.cat([rows.starts[1:], rows.starts.new_tensor([rows.indices.shape[0]])])
    row = torch.repeat_interleave(torch.arange(n, device=rows.starts.device), ends - rows.starts)
    return rows.values.new_zeros(n, n_features).index_put((row, rows.indices.long()), rows.values)


def set_linear_start(network: JointNetwork, X: Features, Y: csr_array, penalty: float | None, seed: int) -> None:
    """Let a network whose stacks are direct begin as a linear one, on codes and the hidden layers of the regressor."""
    body = network.body.eval()  # Random features without dropout.
    direct, layers = body.regressor.direct, body.regressor.layers
    width = direct.weight.shape[1]
    with blas_threads(1), torch.no_grad():  # The model must not depend on how BLAS shares its work.
        axes = leading_axes(X, width, seed)
        scale = ENTRY * math.sqrt(len(axes))
        codes = row_products(X, axes)
        inputs = codes
        if layers:
            hidden, mean, size = _random_features(body.regressor, codes, scale)
            inputs = np.hstack([codes, (hidden - mean) / size])
        start = ridge_start(inputs, width, Y, min(len(direct.weight), inputs.shape[1], Y.shape[1]), penalty)
        _fill(body.encoder.direct, axes * scale)
        _fill(direct, start.regressor[:width] / scale)
        if layers:
            _fill(layers[-1], start.regressor[width:] / size)
            layers[-1].bias.copy_(-(layers[-1].weight @ torch.from_numpy(mean)))
        _pass_on(body.decoder)
        network.output.weight[:, : len(start.decoder)] = torch.from_numpy(start.decoder.T)
        network.output.bias.copy_(torch.from_numpy(start.bias))
        if network.alpha:
            inner, last = network.input_decoder
            _pass_on(inner)
            last.weight[:, :width] = torch.from_numpy(axes / scale)
        if network.beta:
            _fill(network.label_encoder.direct, np.linalg.pinv(start.decoder))


def _random_features(regressor: Stack, codes: NDArray[np.float32], scale: float) -> tuple[Any, Any, Any]:
    """Return the last hidden layer of the regressor for codes, its mean, and its root mean square length around it."""
    first: Any = regressor.layers[0]
    first.bias.copy_(-(first.weight @ torch.from_numpy(codes.mean(axis=0))))  # Half of the units are on for each row.
    first.weight /= scale
    parts = [
        regressor.hidden(torch.from_numpy(part) * scale).numpy()
        for part in np.array_split(codes, -(-len(codes) // 1024))
    ]
    hidden = np.concatenate(parts)
    mean = hidden.mean(axis=0)
    size = max(float(np.sqrt(np.square(hidden - mean).sum(axis=1).mean())), float(np.finfo(np.float32).tiny))
    return hidden, mean, np.float32(size)


def _pass_on(stack: torch.nn.Module) -> None:
    """Let the direct map of a stack begin as the identity, padded or cut."""
    if isinstance(stack, Stack):
        _fill(stack.direct, np.eye(*stack.direct.weight.shape[::-1], dtype=np.float32))


def _fill(layer: Any, weight: NDArray[np.float32]) -> None:
    """Set a linear layer to a weight of shape (n_inputs, n_outputs); what that does not cover is 0."""
    whole = layer.weight if isinstance(layer, FeatureLinear) else layer.weight.T
    whole.zero_()
    whole[: weight.shape[0], : weight.shape[1]] = torch.from_numpy(weight)
    layer.bias.zero_()
