"""Matrix products in bfloat16 beside all else in float32, with fewer operations than autocast alone needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from transformers.models.mt5.modeling_mt5 import MT5LayerNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm
from transformers.models.umt5.modeling_umt5 import UMT5LayerNorm

NORMS = (T5LayerNorm, MT5LayerNorm, UMT5LayerNorm)


class _Norm(torch.nn.RMSNorm):
    """The norm of a T5 in one operation, with the result in the type that products take."""

    def __init__(self, norm: Any) -> None:
        super().__init__(norm.weight.shape, norm.variance_epsilon, device="meta")
        self.weight = norm.weight

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the hidden states divided by their root mean square."""
        return super().forward(hidden).bfloat16()


@contextmanager
def half_products(model: Any, enabled: bool = True) -> Iterator[dict[Parameter, Parameter]]:
    """Prepare a network of transformers for autocast to bfloat16 within the block.

    Autocast alone makes a copy of each weight whenever it is used, and of each activation for each product that it
    enters. A GPU is done with most of these copies sooner than the host has asked for them. Here the weights of
    products are bfloat16 throughout the block, and norms give what products take.

    Parameters
    ----------
    model : torch.nn.Module
        Its linear layers, but not its embeddings, get weights in bfloat16; at the end they get their weights back.
    enabled : bool, default=True
        Without it the model stays as it is.

    Yields
    ------
    dict of Parameter to Parameter
        For each weight that became bfloat16 the weight in float32. What is written to the latter stays; see `refresh`.
    """
    full: dict[Parameter, Parameter] = {}
    if not enabled:
        yield full
        return
    embeddings = getattr(model, "lm_head", None)  # A T5 may tie the two.
    for layer in model.modules():
        if isinstance(layer, torch.nn.Linear) and layer is not embeddings and layer.weight.dtype == torch.float32:
            weight: Any = layer.weight
            full[weight] = Parameter(weight.data, weight.requires_grad)
    with ExitStack() as undo:
        undo.callback(_give_back, full)
        for half in full:
            half.data = half.data.bfloat16()
        for owner in list(model.modules()):
            for name, child in owner.named_children():
                if isinstance(child, NORMS):
                    undo.callback(setattr, owner, name, child)
                    setattr(owner, name, _Norm(child))
        yield full


def refresh(full: dict[Parameter, Parameter]) -> None:
    """Bring the weights in bfloat16 up to date with those in float32."""
    with torch.no_grad():
        _copy_all([half.data for half in full], [whole.data for whole in full.values()])


def add_to_full(full: dict[Parameter, Parameter]) -> None:
    """Move the gradients of the weights in bfloat16 to those in float32, which add them up."""
    pairs = [(half, whole) for half, whole in full.items() if half.grad is not None]
    added = [torch.empty_like(whole) for _, whole in pairs]
    _copy_all(added, [half.grad for half, _ in pairs])
    for (half, whole), grad in zip(pairs, added, strict=True):
        whole.grad = grad if whole.grad is None else whole.grad.add_(grad)
        half.grad = None


def _copy_all(to: list[Tensor], source: list[Any]) -> None:
    if to:
        torch._foreach_copy_(to, source)


def _give_back(full: dict[Parameter, Parameter]) -> None:
    for half, whole in full.items():
        half.data, half.grad = whole.data, None
