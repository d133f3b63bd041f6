"""Convolutions over the words of texts, pooled in chunks: the body of `XMLCNN`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xclassic.networks.batches import Ints
from xclassic.neural.label_network import Body, LabelNetwork
from xclassic.neural.texts import Texts
from xclassic.neural.words import PAD, SPECIAL, UNKNOWN


class TextCNN(Body):
    """Word vectors, convolutions, dynamic max pooling, and a bottleneck.

    Parameters
    ----------
    n_words, n_dimensions : int
        Words of the vocabulary, and numbers of the vector of each.
    windows : sequence of int
        Words that the filters of each convolution read.
    n_filters, n_chunks, bottleneck : int
        Filters of a window, parts of a text, width of the result.
    dropout, word_dropout : float
        Shares of the results, and of the words, that a step of training leaves out.

    Attributes
    ----------
    given : ndarray or None
        Vectors to begin with that are not made of the texts, which tell this training from others.
    """

    def __init__(
        self,
        n_words: int,
        n_dimensions: int,
        *,
        windows: Sequence[int],
        n_filters: int,
        n_chunks: int,
        bottleneck: int,
        dropout: float,
        word_dropout: float,
    ) -> None:
        super().__init__()
        self.windows, self.n_chunks, self.word_dropout, self.width = windows, n_chunks, word_dropout, bottleneck
        self.given: NDArray[np.float32] | None = None
        self.words = torch.nn.Embedding(SPECIAL + n_words, n_dimensions, padding_idx=PAD)
        self.convolutions = torch.nn.ModuleList(torch.nn.Conv1d(n_dimensions, n_filters, window) for window in windows)
        self.bottleneck = torch.nn.Linear(len(windows) * n_filters * n_chunks, bottleneck)
        self.dropout = torch.nn.Dropout(dropout)

    def start_from(self, vectors: NDArray[np.float32]) -> None:
        """Set the vectors of the words; unknown words start from zero."""
        with torch.no_grad():
            self.words.weight.zero_()
            self.words.weight[SPECIAL:] = torch.from_numpy(vectors)

    def forward(self, inputs: tuple[Tensor, Tensor]) -> Tensor:
        tokens, lengths = inputs
        if self.training and self.word_dropout > 0:
            dropped = torch.rand(tokens.shape, device=tokens.device) < self.word_dropout
            tokens = torch.where(dropped & (tokens != PAD), UNKNOWN, tokens)
        vectors = self.words(tokens).transpose(1, 2)
        pooled = []
        for window, convolution in zip(self.windows, self.convolutions, strict=True):
            # With as many zeros around the text a window ends or begins at each word, however short the text is.
            around = torch.nn.functional.pad(vectors, (window // 2, window - 1 - window // 2))
            pooled.append(chunk_maxima(convolution(around), lengths, self.n_chunks).flatten(1))
        # The maximum of rectified maps is the rectified maximum, which takes less time.
        return self.dropout(self.bottleneck(torch.cat(pooled, dim=1).relu()).relu())

    # Reading

    def lengths(self, X: Texts) -> NDArray[np.int64]:
        """Return the length that each text is padded to, which depends on no other text."""
        return padded(X.lengths)

    def inputs(self, X: Texts, rows: Ints, device: Any) -> tuple[Tensor, Tensor]:
        tokens, mask = X.batch(rows, device)
        n_more = int(padded(X.lengths[rows]).max()) - tokens.shape[1]
        return torch.nn.functional.pad(tokens, (0, n_more), value=PAD), mask.sum(dim=1)

    def key_parts(self, X: Texts) -> list[NDArray[Any]]:
        return [X.flat, X.starts, *([] if self.given is None else [self.given])]


class SummedNetwork(LabelNetwork):
    """A body below a layer of labels, with the sum of the binary cross-entropy over labels as its loss.

    Of tens of thousands of labels the mean has gradients below the epsilon of AdamW, which then hardly moves a weight.
    """

    def loss(self, inputs: Any, targets: Tensor) -> Tensor:
        return super().loss(inputs, targets) * targets.shape[1]


def padded(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Return lengths rounded up to multiples of an eighth to a quarter of them, at least 4, so that few differ."""
    longest = np.maximum(lengths, 1).astype(np.int64)
    step = np.maximum(4, 2 ** np.floor(np.log2(longest)).astype(np.int64) // 4)
    return -(-longest // step) * step


def chunk_maxima(maps: Tensor, lengths: Tensor, n_chunks: int) -> Tensor:
    """Return the maxima of feature maps in chunks of each text, whose own length they are parts of.

    Parameters
    ----------
    maps : Tensor, shape (n_texts, n_filters, n_places)
    lengths : Tensor of int64, shape (n_texts,)
        Places of each text, at least one; what is behind them is not read.
    n_chunks : int
        Chunk c of a text of m places begins at c m / p, rounded down, and ends before (c + 1) m / p, rounded up. So
        those of a short text overlap, and none is empty.

    Returns
    -------
    Tensor, shape (n_texts, n_filters, n_chunks)
    """
    places = torch.arange(maps.shape[2], device=maps.device)
    maxima = []
    for chunk in range(n_chunks):
        first, end = chunk * lengths // n_chunks, -(-(chunk + 1) * lengths // n_chunks)
        outside = (places < first[:, None]) | (places >= end[:, None])
        maxima.append(maps.masked_fill(outside[:, None], -torch.inf).amax(dim=2))
    return torch.stack(maxima, dim=2)
