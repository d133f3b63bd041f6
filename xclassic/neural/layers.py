"""The layers of a T5, mT5 or umT5, called with as few operations as they need.

They compute the same as `T5ForConditionalGeneration`. A GPU is done with most operations on short texts sooner than the
host asks for the next, so time goes with their number: here masks and position biases are made once for all layers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint


def encode(model: Any, tokens: Tensor, mask: Tensor, *, checkpointing: bool = False) -> Tensor:
    """Return the states of the encoder.

    Parameters
    ----------
    model : T5ForConditionalGeneration
    tokens, mask : Tensor of int64, shape (n, length)
        Tokens of the texts, and 1 where there is one.
    checkpointing : bool, default=False
        Whether the backward pass computes the activations of each block anew instead of keeping them.

    Returns
    -------
    Tensor, shape (n, length, d_model)
    """
    stack = model.get_encoder()
    hidden = stack.dropout(stack.embed_tokens(tokens))
    length, masked, dtype = tokens.shape[1], key_mask(mask, hidden.dtype), product_dtype(hidden)
    for block, bias in _with_bias(stack, length, lambda bias: aligned((bias + masked).to(dtype))):
        hidden = _run(checkpointing, _encoder_block, block, hidden, bias)
    return stack.dropout(stack.final_layer_norm(hidden))


def decode(model: Any, tokens: Tensor, encoded: Tensor, mask: Tensor, *, checkpointing: bool = False) -> Tensor:
    """Return the states of the decoder after each of some tokens.

    Parameters
    ----------
    model : T5ForConditionalGeneration
    tokens : Tensor of int64, shape (n, n_tokens)
    encoded : Tensor, shape (n, length, d_model)
        From `encode`.
    mask : Tensor of int64, shape (n, length)
        As for `encode`.
    checkpointing : bool, default=False
        As for `encode`.

    Returns
    -------
    Tensor, shape (n, n_tokens, d_model)
    """
    stack = model.get_decoder()
    hidden = stack.dropout(stack.embed_tokens(tokens))
    length, dtype = tokens.shape[1], product_dtype(hidden)
    of_text = aligned(key_mask(mask, dtype))
    later = torch.ones((length, length), dtype=torch.bool, device=hidden.device).triu(1)
    least = torch.finfo(dtype).min
    for block, bias in _with_bias(stack, length, lambda bias: aligned(bias.to(dtype).masked_fill(later, least))):
        hidden = _run(checkpointing, _decoder_block, block, hidden, bias, encoded, of_text)
    return stack.dropout(stack.final_layer_norm(hidden))


def _run(checkpointing: bool, block: Any, *inputs: Any) -> Tensor:
    return checkpoint(block, *inputs, use_reentrant=False) if checkpointing else block(*inputs)


def _encoder_block(block: Any, hidden: Tensor, bias: Tensor) -> Tensor:
    first, feed_forward = block.layer
    normed = first.layer_norm(hidden)
    hidden = hidden + first.dropout(_attention(first.SelfAttention, normed, normed, bias))
    return feed_forward(hidden)


def _decoder_block(block: Any, hidden: Tensor, bias: Tensor, encoded: Tensor, of_text: Tensor) -> Tensor:
    first, across, feed_forward = block.layer
    normed = first.layer_norm(hidden)
    hidden = hidden + first.dropout(_attention(first.SelfAttention, normed, normed, bias))
    read = _attention(across.EncDecAttention, across.layer_norm(hidden), encoded, of_text)
    return feed_forward(hidden + across.dropout(read))


def _attention(layer: Any, asking: Tensor, asked: Tensor, bias: Tensor) -> Tensor:
    query, keys, values = heads(layer, layer.q(asking)), heads(layer, layer.k(asked)), heads(layer, layer.v(asked))
    found = attend(query, keys, values, bias, dropout=layer.dropout if layer.training else 0.0)
    return layer.o(found.transpose(1, 2).flatten(2))


def heads(layer: Any, projected: Tensor) -> Tensor:
    """Return ``(n, length, n_heads * d)`` as ``(n, n_heads, length, d)``."""
    return projected.unflatten(2, (layer.n_heads, -1)).transpose(1, 2)


def attend(query: Tensor, keys: Tensor, values: Tensor, bias: Tensor, dropout: float = 0.0) -> Tensor:
    """Return the attention of a T5, whose scores are not scaled."""
    return torch.nn.functional.scaled_dot_product_attention(
        query, keys, values, attn_mask=bias, dropout_p=dropout, scale=1.0
    )


def key_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Return what is added to scores, shape (n, 1, 1, length), so that no attention goes to where `mask` is 0."""
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask == 0, torch.finfo(dtype).min)[:, None, None]


def aligned(bias: Tensor) -> Tensor:
    """Return what is added to scores in memory as the kernels of a GPU want it; else each layer would copy it."""
    short = -bias.shape[-1] % 8
    if short == 0 or bias.device.type == "cpu":
        return bias
    return torch.nn.functional.pad(bias, (0, short))[..., :-short]


def product_dtype(tensor: Tensor) -> torch.dtype:
    """Return the type in which products with a tensor are computed: that of autocast, or its own."""
    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensor.dtype


def self_attentions(stack: Any) -> list[Any]:
    """Return the attention of each block to the tokens of its own stack."""
    return [block.layer[0].SelfAttention for block in stack.block]


def _with_bias(stack: Any, length: int, finish: Callable[[Tensor], Tensor]) -> Iterator[tuple[Any, Tensor]]:
    """Yield each block with its bias by position; blocks of a T5 share that of the first, those of a umT5 do not."""
    for block, layer in zip(stack.block, self_attentions(stack), strict=True):
        if layer.has_relative_attention_bias:
            bias = finish(layer.compute_bias(length, length))
        yield block, bias
