"""Beam search over the labels of a trie, on the device of the model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from xclassic.networks.half_products import half_products
from xclassic.neural.layers import attend, causal_bias, encode, heads, key_mask, product_dtype
from xclassic.neural.network import Network
from xclassic.neural.scoring import TrieOnDevice
from xclassic.neural.texts import Texts
from xclassic.neural.trie import TokenTrie
from xclassic.topk import TopK

PATHS_AT_ONCE = 640


class Beams(NamedTuple):
    """The best paths of each row so far.

    Attributes
    ----------
    nodes : Tensor of int64, shape (n_rows, n_beams)
        The node at the end of each path.
    scores : Tensor of float32, shape (n_rows, n_beams)
        Logarithm of the probability of each path, descending; minus infinity where there are fewer paths.
    done : Tensor of bool, shape (n_rows, n_beams)
        Whether the label of each path is certain.
    """

    nodes: Tensor
    scores: Tensor
    done: Tensor


def search_all(
    network: Network,
    trie: TokenTrie,
    tokens: list[list[int]],
    *,
    k: int,
    beam: int,
    labels: NDArray[np.int32] | None,
    bfloat16: bool,
    verbose: bool,
) -> TopK:
    """Return the best `k` labels of each text, a batch of texts of similar length at a time.

    Parameters
    ----------
    network : Network
    trie : TokenTrie
    tokens : list of list of int
        Tokens of each text.
    k, beam : int
        As for `search`.
    labels : ndarray of int32, or None
        The only labels to predict.
    bfloat16 : bool
        Whether to compute in bfloat16.
    verbose : bool
        Whether to show the progress.
    """
    model = network.model.eval()
    texts = Texts(tokens, network.tokenizer.pad_token_id)
    placed = TrieOnDevice.place(trie, model)
    allowed = None if labels is None else torch.from_numpy(trie.allowed_nodes(labels)).to(model.device)
    top = TopK.empty(len(tokens), k)
    order = np.argsort(texts.lengths, kind="stable")
    step = max(1, PATHS_AT_ONCE // beam)
    starts = range(0, len(tokens), step)
    with half_products(model, bfloat16), torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16):
        for start in tqdm(starts, desc="predicting", leave=False, disable=not verbose):
            rows = order[start : start + step]
            ids, mask = texts.batch(rows, model.device)
            found, scores = search(model, placed, trie.widths, ids, mask, k=k, beam=beam, allowed=allowed)
            top.ids[rows], top.scores[rows] = found.cpu().numpy(), scores.cpu().numpy()
    top.counts[:] = (top.ids >= 0).sum(axis=1)
    return top


@torch.inference_mode()
def search(
    model: Any,
    trie: TrieOnDevice,
    widths: list[int],
    input_ids: Tensor,
    attention_mask: Tensor,
    *,
    k: int,
    beam: int,
    allowed: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the best labels of each row.

    Parameters
    ----------
    model : T5ForConditionalGeneration
    trie : TrieOnDevice
    widths : list of int
        The largest number of children of a node, by level: ``TokenTrie.widths``.
    input_ids, attention_mask : Tensor of int64, shape (n_rows, length)
        Tokens of the texts, and 1 where there is one.
    k : int
        Number of labels to return.
    beam : int
        Paths kept at each step, at least `k`. With one path per label the search is exhaustive.
    allowed : Tensor of bool, shape (n_nodes,), optional
        Nodes that paths may go through; see `TokenTrie.allowed_nodes`. Scores do not depend on it.

    Returns
    -------
    labels : Tensor of int64, shape (n_rows, k)
        -1 where there are fewer.
    scores : Tensor of float32, shape (n_rows, k)
        Logarithms of probabilities, descending; minus infinity where there is no label.

    Notes
    -----
    A path whose label is certain costs nothing more, and a row is done when no open path can still be among its best
    `k`: probabilities only decrease along a path. Python loops over steps, never over rows or paths.
    """
    encoded = encode(model, input_ids, attention_mask)
    n_rows, device = len(input_ids), input_ids.device
    labels = torch.full((n_rows, k), -1, device=device)
    scores = torch.full((n_rows, k), -torch.inf, device=device)
    weights = trie.output_weights(model).to(encoded.dtype)
    rows = torch.arange(n_rows, device=device)  # Rows that are still searched.
    beams = Beams(
        torch.zeros((n_rows, 1), dtype=torch.int64, device=device),
        torch.zeros((n_rows, 1), device=device),
        (trie.only_label[0] >= 0).expand(n_rows, 1),
    )
    tokens = torch.full((n_rows, 1), model.config.decoder_start_token_id, device=device)
    decoder = _Decoder(model, encoded, attention_mask, len(widths))
    for width in widths:
        finished = _is_finished(beams, k)
        n_left = len(rows) - int(finished.sum())  # The host waits for this number only.
        if n_left * 2 <= len(rows):  # Moving the others together costs as much as half a step.
            order = finished.long().argsort(stable=True)  # Positions, since a mask would make the host wait each time.
            left, gone = order[:n_left], order[n_left:]
            _write(labels, scores, rows[gone], _part(beams, gone), trie)
            if n_left == 0:
                return labels, scores
            rows, beams, tokens = rows[left], _part(beams, left), tokens[left]
            decoder.keep(left)
        hidden = decoder.step(tokens)
        beams, parents = _extend(beams, hidden, trie, width, weights, beam, allowed)
        decoder.follow(parents)
        tokens = trie.vocabulary[trie.token_rank[beams.nodes]]
    _write(labels, scores, rows, beams, trie)
    return labels, scores


def _is_finished(beams: Beams, k: int) -> Tensor:
    """Return for each row whether its best `k` labels are certain."""
    best_open = beams.scores.masked_fill(beams.done, -torch.inf).amax(dim=1, keepdim=True)
    ahead = (beams.done & (beams.scores > best_open)).sum(dim=1)
    return (ahead >= k) | (best_open[:, 0] == -torch.inf)


def _part(beams: Beams, rows: Tensor) -> Beams:
    return Beams(*(tensor[rows] for tensor in beams))


def _extend(
    beams: Beams, hidden: Tensor, trie: TrieOnDevice, width: int, weights: Tensor, beam: int, allowed: Tensor | None
) -> tuple[Beams, Tensor]:
    """Return the best continuations of all paths of each row, and the path that each of them continues."""
    n_rows, n_beams = beams.nodes.shape
    children = trie.children(hidden, beams.nodes.reshape(-1), width, weights)
    log_p = children.log_p
    if allowed is not None:
        log_p = log_p.masked_fill(~allowed[children.nodes], -torch.inf)
    done = beams.done.reshape(-1, 1)
    stays = torch.arange(width, device=done.device) == 0
    log_p = torch.where(done, torch.where(stays, 0.0, -torch.inf), log_p)
    nodes = torch.where(done, beams.nodes.reshape(-1, 1), children.nodes)
    totals = (beams.scores.reshape(-1, 1) + log_p).view(n_rows, n_beams * width)
    scores, chosen = totals.topk(min(beam, n_beams * width), dim=1)
    nodes = nodes.view(n_rows, n_beams * width).gather(1, chosen)
    done = (trie.only_label[nodes] >= 0) | (scores == -torch.inf)
    return Beams(torch.where(scores == -torch.inf, 0, nodes), scores, done), chosen // width


def _write(labels: Tensor, scores: Tensor, rows: Tensor, beams: Beams, trie: TrieOnDevice) -> None:
    """Write the predictions of finished rows, best first; among equal scores the smaller label comes first."""
    found = beams.scores.masked_fill(~beams.done, -torch.inf)
    named = torch.where(found == -torch.inf, -1, trie.only_label[beams.nodes])
    order = named.argsort(dim=1, stable=True)
    order = order.gather(1, found.gather(1, order).argsort(dim=1, descending=True, stable=True))
    k = min(labels.shape[1], order.shape[1])
    labels[rows[:, None], torch.arange(k, device=rows.device)] = named.gather(1, order[:, :k])
    scores[rows[:, None], torch.arange(k, device=rows.device)] = found.gather(1, order[:, :k])


class _Decoder:
    """The decoder of a T5 one token at a time, for several paths of each row.

    Keys and values of the text are kept once for all paths of a row; keys and values of earlier tokens move with the
    paths.
    """

    def __init__(self, model: Any, encoded: Tensor, attention_mask: Tensor, n_steps: int) -> None:
        self.stack = model.get_decoder()
        self.mask = key_mask(attention_mask, product_dtype(encoded))
        cross = [block.layer[1].EncDecAttention for block in self.stack.block]
        self.text = [(heads(layer, layer.k(encoded)), heads(layer, layer.v(encoded))) for layer in cross]
        self.past: list[tuple[Tensor, Tensor]] = []
        self.biases = causal_bias(self.stack, max(1, n_steps), encoded)
        self.length = 0

    def step(self, tokens: Tensor) -> Tensor:
        """Read the last token of each path, shape (n_rows, n_beams); return the states, (n_rows * n_beams, d_model)."""
        n_rows, n_beams = tokens.shape
        hidden = self.stack.embed_tokens(tokens)
        self.length += 1
        bias = self.biases[:, :, self.length - 1 : self.length, : self.length]
        past = []
        for i, block in enumerate(self.stack.block):
            layer = block.layer[0].SelfAttention
            normed = block.layer[0].layer_norm(hidden)
            keys, values = (heads(layer, part(normed)).transpose(1, 2).unsqueeze(3) for part in (layer.k, layer.v))
            if self.past:
                keys, values = (torch.cat(pair, dim=3) for pair in zip(self.past[i], (keys, values), strict=True))
            past.append((keys, values))
            query = layer.q(normed).view(n_rows * n_beams, 1, layer.n_heads, -1).transpose(1, 2)
            found = attend(query, keys.flatten(0, 1), values.flatten(0, 1), bias)
            hidden = hidden + layer.o(found.transpose(1, 2).reshape(n_rows, n_beams, -1))
            layer = block.layer[1].EncDecAttention
            query = heads(layer, layer.q(block.layer[1].layer_norm(hidden)))
            found = attend(query, *self.text[i], self.mask)
            hidden = hidden + layer.o(found.transpose(1, 2).flatten(2))
            hidden = block.layer[2](hidden)
        self.past = past
        return self.stack.final_layer_norm(hidden).flatten(0, 1)

    def follow(self, parents: Tensor) -> None:
        """Let path i of each row continue the former path ``parents[row, i]``."""
        rows = torch.arange(len(parents), device=parents.device)[:, None]
        self.past = [(keys[rows, parents], values[rows, parents]) for keys, values in self.past]

    def keep(self, rows: Tensor) -> None:
        """Keep only the rows at the positions `rows`."""
        self.mask = self.mask[rows]
        self.text, self.past = (
            [(keys[rows], values[rows]) for keys, values in pairs] for pairs in (self.text, self.past)
        )
