"""Texts with holes and what fills them: the training on unlabeled texts of a T5."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Corruption(NamedTuple):
    """How texts are corrupted.

    Attributes
    ----------
    share : float
        Share of the tokens that are taken out.
    span : float
        Mean number of tokens taken out at one place.
    sentinels : list of int
        The tokens that mark the places, in their order.
    end : int
        The token that ends texts.
    """

    share: float
    span: float
    sentinels: list[int]
    end: int

    def pair(self, tokens: list[int], rng: np.random.Generator) -> tuple[list[int], list[int]]:
        """Return a text with holes, and what fills them.

        Parameters
        ----------
        tokens : list of int
            At least two, none of them a sentinel or the end.
        rng : Generator

        Returns
        -------
        read : list of int
            The text with a sentinel in place of each span.
        written : list of int
            Each sentinel with its span, and one more sentinel.
        """
        read, written, done = [], [], 0
        spans = self.spans(len(tokens), rng)
        for sentinel, (start, stop) in zip(self.sentinels, spans, strict=False):
            read += [*tokens[done:start], sentinel]
            written += [sentinel, *tokens[start:stop]]
            done = stop
        return [*read, *tokens[done:], self.end], [*written, self.sentinels[len(spans)], self.end]

    def spans(self, n: int, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Draw where the spans of a text of `n` tokens begin and end; all ways to lay them out are equally likely."""
        n_taken = min(max(round(self.share * n), 1), n - 1)
        n_kept = n - n_taken
        n_spans = min(max(round(n_taken / self.span), 1), n_kept + 1, len(self.sentinels) - 1)
        lengths = _drawn_parts(n_taken - n_spans, n_spans, rng) + 1
        gaps = _drawn_parts(n_kept - (n_spans - 1), n_spans + 1, rng)
        gaps[1:-1] += 1  # Spans do not touch.
        starts = np.cumsum(gaps[:-1]) + np.cumsum(lengths) - lengths
        return list(zip(starts.tolist(), (starts + lengths).tolist(), strict=True))


def _drawn_parts(total: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return `n` numbers of at least 0 with a sum, each such list equally likely."""
    bars = np.sort(rng.choice(total + n - 1, n - 1, replace=False))
    return np.diff(np.concatenate([[-1], bars, [total + n - 1]])) - 1
