"""The layers of a T5, called with as few operations as they need.

They compute the same as `T5ForConditionalGeneration`. A GPU is done with most operations on short texts sooner than the
host asks for the next, so time goes with their number: here masks and position biases are made once for all layers.
"""

from __future__ import annotations

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
    length = tokens.shape[1]
    bias = _self_attention(stack.block[0]).compute_bias(length, length) + key_mask(mask, hidden.dtype)
    bias = bias.to(product_dtype(hidden))
    for block in stack.block:
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
    bias, of_text = causal_bias(stack, tokens.shape[1], hidden), key_mask(mask, product_dtype(hidden))
    for block in stack.block:
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


def causal_bias(stack: Any, length: int, hidden: Tensor) -> Tensor:
    """Return the bias by position, shape (1, n_heads, length, length), with no attention to later tokens."""
    bias = _self_attention(stack.block[0]).compute_bias(length, length)
    later = torch.ones((length, length), dtype=torch.bool, device=bias.device).triu(1)
    dtype = product_dtype(hidden)
    return bias.to(dtype).masked_fill(later, torch.finfo(dtype).min)


def product_dtype(tensor: Tensor) -> torch.dtype:
    """Return the type in which products with a tensor are computed: that of autocast, or its own."""
    kind = tensor.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else tensor.dtype


def _self_attention(block: Any) -> Any:
    return block.layer[0].SelfAttention
