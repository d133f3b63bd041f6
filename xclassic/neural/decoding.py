"""Beam search over the choices of a decoder, on the device of the model."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from xclassic.networks.half_products import half_products
from xclassic.neural.choices import AT, COUNT, END, FIRST, GAIN, LENGTH, START, Choices
from xclassic.neural.layers import aligned, attend, encode, heads, key_mask, product_dtype, self_attentions
from xclassic.neural.network import Network
from xclassic.neural.scoring import ChoicesOnDevice
from xclassic.neural.texts import Texts

PATHS_AT_ONCE = 640
BEYOND = 2**30  # The position of a slot without token, which is later than any other.


class Beams(NamedTuple):
    """The best paths of each row so far.

    Attributes
    ----------
    edges : Tensor of int64, shape (n_rows, n_beams)
        The edge that each path chose last.
    scores : Tensor of float32, shape (n_rows, n_beams)
        Logarithm of the probability of each path, descending; minus infinity where there are fewer paths.
    labels : Tensor of int64, shape (n_rows, n_beams)
        The number of the label, as far as it is decided.
    """

    edges: Tensor
    scores: Tensor
    labels: Tensor


def search_all(
    network: Network,
    choices: Choices,
    tokens: list[list[int]],
    *,
    k: int,
    beam: int,
    labels: NDArray[np.int32] | None = None,
    bfloat16: bool,
    verbose: bool,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the best `k` labels of each text and their scores, a batch of texts of similar length at a time.

    Parameters
    ----------
    network : Network
    choices : Choices
    tokens : list of list of int
        Tokens of each text.
    k, beam : int
        As for `search`.
    labels : ndarray of int32, optional
        The only labels to predict; for a single trie.
    bfloat16 : bool
        Whether to compute in bfloat16.
    verbose : bool
        Whether to show the progress.
    """
    model = network.model.eval()
    texts = Texts(tokens, network.tokenizer.pad_token_id)
    placed = ChoicesOnDevice.place(choices, model)
    allowed = None if labels is None else torch.from_numpy(choices.allowed(labels)).to(model.device)
    ids, scores = np.full((len(tokens), k), -1, np.int64), np.full((len(tokens), k), -np.inf, np.float32)
    order = np.argsort(texts.lengths, kind="stable")
    step = max(1, PATHS_AT_ONCE // beam)
    starts = range(0, len(tokens), step)
    with half_products(model, bfloat16), torch.autocast(model.device.type, torch.bfloat16, enabled=bfloat16):
        for start in tqdm(starts, desc="predicting", leave=False, disable=not verbose):
            rows = order[start : start + step]
            found = search(model, placed, *texts.batch(rows, model.device), k=k, beam=beam, allowed=allowed)
            ids[rows], scores[rows] = (part.cpu().numpy() for part in found)
    return ids, scores


@torch.inference_mode()
def search(
    model: Any,
    choices: ChoicesOnDevice,
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
    choices : ChoicesOnDevice
    input_ids, attention_mask : Tensor of int64, shape (n_rows, length)
        Tokens of the texts, and 1 where there is one.
    k : int
        Number of labels to return.
    beam : int
        Paths kept after each choice, at least `k`. With one path per label the search is exhaustive.
    allowed : Tensor of bool, shape (n_edges,), optional
        Edges that paths may take; see `Choices.allowed`. Scores do not depend on it.

    Returns
    -------
    labels : Tensor of int64, shape (n_rows, k)
        -1 where there are fewer.
    scores : Tensor of float32, shape (n_rows, k)
        Logarithms of probabilities, descending; minus infinity where there is no label.

    Notes
    -----
    Paths are compared after as many choices, not tokens. A path whose label is certain costs nothing more, and a row is
    done when its best `k` paths are: probabilities only decrease along a path. Python loops over steps, never over rows
    or paths.
    """
    encoded = encode(model, input_ids, attention_mask)
    n_rows, device = len(input_ids), input_ids.device
    labels = torch.full((n_rows, k), -1, device=device)
    scores = torch.full((n_rows, k), -torch.inf, device=device)
    weights = choices.output_weights(model).to(encoded.dtype)
    rows = torch.arange(n_rows, device=device)  # Rows that are still searched.
    start = torch.full((n_rows, 1), START, device=device)
    beams = Beams(start, torch.zeros((n_rows, 1), device=device), torch.zeros_like(start))
    decoder = _Decoder(model, encoded, attention_mask, choices.n_positions)
    while True:
        facts = choices.table[beams.edges]
        beams = beams._replace(labels=beams.labels + facts[..., GAIN])
        done = facts[..., FIRST] == END
        finished = done[:, :k].all(dim=1)
        wanted = facts.masked_fill((done | finished[:, None])[..., None], 0)
        length, width = wanted[..., LENGTH], wanted[..., COUNT].max()
        # The host waits for these numbers only.
        sizes = torch.stack([finished.sum(), width, length.max(), length.sum()]).tolist()
        n_done, width, n_tokens, n_filled = sizes
        n_left = len(rows) - n_done
        if n_left * 2 <= len(rows):  # Moving the others together costs as much as half a step.
            order = finished.long().argsort(stable=True)  # Positions, since a mask would make the host wait each time.
            left, gone = order[:n_left], order[n_left:]
            _write(labels, scores, rows[gone], _part(beams, gone))
            if n_left == 0:
                return labels, scores
            rows, beams, facts, length = rows[left], _part(beams, left), facts[left], length[left]
            decoder.keep(left)
        hidden = decoder.step(choices.read(facts[..., AT], length, n_tokens), length, n_filled)
        beams, parents = _extend(beams, facts, hidden, choices, width, weights, beam, allowed)
        decoder.follow(parents)


def _part(beams: Beams, rows: Tensor) -> Beams:
    return Beams(*(tensor[rows] for tensor in beams))


def _extend(
    beams: Beams,
    facts: Tensor,
    hidden: Tensor,
    choices: ChoicesOnDevice,
    width: int,
    weights: Tensor,
    beam: int,
    allowed: Tensor | None,
) -> tuple[Beams, Tensor]:
    """Return the best continuations of all paths of each row, and the path that each of them continues."""
    n_rows, n_beams = beams.edges.shape
    first, count = facts[..., FIRST].flatten(), facts[..., COUNT].flatten()
    edges, log_p = choices.following(hidden, first, count, width, weights)
    if allowed is not None:
        log_p = log_p.masked_fill(~allowed[edges], -torch.inf)
        edges = edges.masked_fill(log_p == -torch.inf, END)
    totals = (beams.scores.view(-1, 1) + log_p).view(n_rows, n_beams * width)
    scores, chosen = totals.topk(min(beam, n_beams * width), dim=1)
    parents = chosen // width
    edges = edges.view(n_rows, n_beams * width).gather(1, chosen)
    return Beams(edges, scores, beams.labels.gather(1, parents)), parents


def _write(labels: Tensor, scores: Tensor, rows: Tensor, beams: Beams) -> None:
    """Write the predictions of finished rows, best first; among equal scores the smaller label comes first."""
    k = min(labels.shape[1], beams.scores.shape[1])
    named = torch.where(beams.scores == -torch.inf, -1, beams.labels)
    order = named.argsort(dim=1, stable=True)
    order = order.gather(1, beams.scores.gather(1, order).argsort(dim=1, descending=True, stable=True))[:, :k]
    labels[rows[:, None], torch.arange(k, device=rows.device)] = named.gather(1, order)
    scores[rows[:, None], torch.arange(k, device=rows.device)] = beams.scores.gather(1, order)


class _Decoder:
    """The decoder of a T5, one edge at a time, for several paths of each row.

    Keys and values of the text are kept once for all paths of a row; keys and values of earlier tokens move with the
    paths, in one array of all layers. Paths read different numbers of tokens at a step, so each has slots without token
    and positions of its own.
    """

    def __init__(self, model: Any, encoded: Tensor, attention_mask: Tensor, n_positions: int) -> None:
        self.stack = model.get_decoder()
        dtype = product_dtype(encoded)
        self.own = self_attentions(self.stack)
        self.across = [block.layer[1].EncDecAttention for block in self.stack.block]
        self.weights = [torch.cat([_weight(part) for part in (layer.q, layer.k, layer.v)]) for layer in self.own]
        of_text = torch.cat([_weight(part) for layer in self.across for part in (layer.k, layer.v)])
        self.text = _split(torch.nn.functional.linear(encoded, of_text), 2 * len(self.own), self.own[0])
        self.mask = aligned(key_mask(attention_mask, dtype))
        n_rows, n_heads = len(encoded), self.own[0].n_heads
        self.past = self.text.new_empty((len(self.text), n_rows, n_heads, 0, self.text.shape[-1]))
        self.places = torch.empty((n_rows, 1, 0), dtype=torch.int64, device=encoded.device)
        self.ends = torch.zeros((n_rows, 1), dtype=torch.int64, device=encoded.device)
        self.biases = self._biases(n_positions).to(dtype)

    def _biases(self, n: int) -> Tensor:
        """Return the bias of each layer that has its own, by distance plus one, shape (n_own, n_heads, n + 1)."""
        by_distance = torch.stack(
            [layer.compute_bias(n, n)[0, :, -1].flip(1) for layer in self.own if layer.has_relative_attention_bias]
        )
        return torch.nn.functional.pad(by_distance, (1, 0), value=torch.finfo(self.mask.dtype).min)

    def step(self, tokens: Tensor, length: Tensor, n_filled: int) -> Tensor:
        """Read the next tokens of each path.

        Parameters
        ----------
        tokens : Tensor of int64, shape (n_rows, n_beams, n_tokens)
        length : Tensor of int64, shape (n_rows, n_beams)
            How many of them are to be read, counted from the last.
        n_filled : int
            How many that is in all.

        Returns
        -------
        Tensor, shape (n_rows * n_beams, d_model)
            The states after the last token.
        """
        n_rows, n_beams, n_tokens = tokens.shape
        n_paths, n_past = n_rows * n_beams, self.past.shape[3]
        filled = torch.arange(-n_tokens, 0, device=tokens.device) >= -length[..., None]
        distances = self._advance(filled, length)
        slots = _Slots(filled.flatten(), n_filled)
        past = self.past.new_empty((*self.past.shape[:3], n_past + n_tokens, self.past.shape[4]))
        past[:, :, :, :n_past] = self.past
        self.past = past  # The memory of the former one is free now.
        hidden = slots.pack(self.stack.embed_tokens(tokens.flatten()))
        for i, block in enumerate(self.stack.block):
            layer, cross = self.own[i], self.across[i]
            if i < len(self.biases):  # Each layer has its own, or all have that of the first.
                bias = aligned(self.biases[i][:, distances]).flatten(1, 2).transpose(0, 1)
            projected = torch.nn.functional.linear(block.layer[0].layer_norm(hidden), self.weights[i])
            new = _split(slots.spread(projected).unflatten(0, (n_paths, n_tokens)), 3, layer)
            past[2 * i : 2 * i + 2, :, :, n_past:] = new[1:]
            found = attend(new[0], past[2 * i], past[2 * i + 1], bias)
            hidden = hidden + layer.o(slots.pack(found.transpose(1, 2).flatten(2).flatten(0, 1)))
            query = slots.spread(cross.q(block.layer[1].layer_norm(hidden))).unflatten(0, (n_rows, n_beams * n_tokens))
            found = attend(heads(cross, query), self.text[2 * i], self.text[2 * i + 1], self.mask)
            hidden = hidden + cross.o(slots.pack(found.transpose(1, 2).flatten(2).flatten(0, 1)))
            hidden = block.layer[2](hidden)
        return self.stack.final_layer_norm(slots.spread(hidden).unflatten(0, (n_paths, n_tokens))[:, -1])

    def _advance(self, filled: Tensor, length: Tensor) -> Tensor:
        """Move on by some tokens; return how far each is from each slot, plus one, and 0 where it must not look.

        The shape is (n_rows, n_beams, n_tokens, n_slots).
        """
        self.ends = self.ends + length
        places = self.ends[..., None] + torch.arange(-filled.shape[2], 0, device=length.device)
        self.places = torch.cat([self.places, places.masked_fill(~filled, BEYOND)], dim=2)
        return (places[..., None] - self.places[:, :, None] + 1).clamp(min=0)

    def follow(self, parents: Tensor) -> None:
        """Let path i of each row continue the former path ``parents[row, i]``."""
        n_rows, n_beams = self.ends.shape
        order = parents + n_beams * torch.arange(n_rows, device=parents.device)[:, None]
        self.past = self.past.index_select(1, order.flatten())
        self.places, self.ends = self.places.flatten(0, 1)[order], self.ends.flatten()[order]

    def keep(self, rows: Tensor) -> None:
        """Keep only the rows at the positions `rows`."""
        n_rows = len(self.ends)
        self.past = self.past.unflatten(1, (n_rows, -1))[:, rows].flatten(1, 2)
        self.text, self.mask = self.text[:, rows], aligned(self.mask[rows])
        self.places, self.ends = self.places[rows], self.ends[rows]


class _Slots:
    """The slots of a step that hold a token; what all tokens go through alike is computed for these alone.

    Parameters
    ----------
    filled : Tensor of bool, shape (n,)
    n_filled : int
        If it is most of them, all are computed, since moving tokens takes time too.
    """

    def __init__(self, filled: Tensor, n_filled: int) -> None:
        self.packed = 3 * n_filled < 2 * len(filled)
        if self.packed:
            self.order = (~filled).byte().argsort(stable=True)[:n_filled]
            self.rank = (filled.cumsum(0) - 1).clamp(min=0)

    def pack(self, values: Tensor) -> Tensor:
        """Return the rows of filled slots."""
        return values[self.order] if self.packed else values

    def spread(self, values: Tensor) -> Tensor:
        """Return a row for each slot; those of empty ones have no meaning."""
        return values[self.rank] if self.packed else values


def _split(projected: Tensor, n: int, layer: Any) -> Tensor:
    """Return ``(n_rows, length, n * n_heads * d)`` as ``(n, n_rows, n_heads, length, d)``."""
    return projected.unflatten(2, (n, layer.n_heads, -1)).permute(2, 0, 3, 1, 4)


def _weight(layer: Any) -> Tensor:
    """Return the weights of a linear layer, to which peft adds corrections."""
    if type(layer) is torch.nn.Linear:
        return layer.weight
    return layer(torch.eye(layer.in_features, device=layer.weight.device)).T
